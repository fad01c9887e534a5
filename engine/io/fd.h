/* Descriptors that belong to the engine: close-on-exec, out of the program's way, and known.
 *
 * Where the hard RLIMIT_NOFILE leaves room they have numbers above the program's soft limit: it may
 * open as many files as it could without us, and all that it has opened does not keep ours from
 * being made.
 *
 * Any thread. Who owns a number is a bitmap of atomics: a descriptor is registered before anybody
 * else can learn its number and unregistered before it is closed. */
#ifndef S3DLIO_IO_FD_H
#define S3DLIO_IO_FD_H

#include <stdbool.h>

/* What one is for. Where there is no room above the program's limit, some are kept for requests
 * (event loops, connections), so that what a program that has used all its numbers has written
 * can still be sent. */
enum fd_use { FD_FOR_FILES, FD_FOR_REQUESTS };

/* While one is made: numbers above the program's limit may be given out, or the kept ones.
 * Nests, in several threads, too; when the last is out the limit is the program's again, errno
 * as it was. In the gate, for a leaf mutex is taken. */
void fd_room_begin(enum fd_use use);
void fd_room_end(void);

/* Takes over a new descriptor: moves it to a high number where there is one, sets close-on-exec,
 * registers it. Returns the number it now has, or -errno (fd is closed then). A negative fd is
 * returned as it is, so that calls can be nested around -errno. In the gate, too. */
int fd_adopt(int fd);
/* The same, at the number that it has. */
int fd_adopt_here(int fd);
/* fd_adopt for what a fork child has no use for: connections, event loops. */
int fd_adopt_own(int fd);
/* In a fork child, where it is the only thread: closes what the parent took by fd_adopt_own.
 * Whoever has its number forgets it, and does not close it again. */
void fd_reset_child(void);
/* Unregisters and closes. -1 is ignored. */
void fd_close(int fd);
bool fd_owned(int fd);

#endif
