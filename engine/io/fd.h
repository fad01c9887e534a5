/* Descriptors that belong to the engine: close-on-exec, out of the program's way, and known.
 *
 * Any thread, no lock: a bitmap of atomics. A descriptor is registered before anybody else can
 * learn its number and unregistered before it is closed. */
#ifndef S3DLIO_IO_FD_H
#define S3DLIO_IO_FD_H

#include <stdbool.h>

/* Takes over a new descriptor: moves it to a high number where the soft RLIMIT_NOFILE leaves room,
 * sets close-on-exec, registers it. Returns the number it now has, or -errno (fd is closed then).
 * A negative fd is returned as it is, so that calls can be nested around -errno. */
int fd_adopt(int fd);
/* The same, at the number that it has. */
int fd_adopt_here(int fd);
/* Unregisters and closes. -1 is ignored. */
void fd_close(int fd);
bool fd_owned(int fd);

#endif
