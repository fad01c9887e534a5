/* Files that stand for objects in locks between processes; empty, in place.h's directory.
 *
 * Whoever has one open holds a shared lock on its first byte (an open file description's,
 * fcntl(2)), so that the last one knows to remove it. Users' locks begin at the second byte. */
#ifndef S3DLIO_CORE_LOCK_FILE_H
#define S3DLIO_CORE_LOCK_FILE_H

#include <stdbool.h>

struct uri;
struct error;
struct store;

/* The object of this name in this store: another endpoint's is another one. A descriptor of the
 * engine, or -ENOLCK. Waits for nothing but another process's removal. `keeps_locks`: this process
 * has fcntl locks on the file, which would go with any of its descriptors that is closed
 * (fcntl(2)): none is, and the number stays as low as it comes. */
int lock_file_open(struct store *store, const struct uri *uri, bool keeps_locks, int *ret_fd,
                   struct error *err);
/* The last of its description: no other process has it. */
void lock_file_close(struct store *store, int fd, const struct uri *uri);

#endif
