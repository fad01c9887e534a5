/* flock, lockf and fcntl locks on virtual descriptors. All return -errno. */
#ifndef S3DLIO_SHIM_CALLS_LOCK_H
#define S3DLIO_SHIM_CALLS_LOCK_H

#include <fcntl.h>
#include <stdbool.h>

#include "shim/file.h"

/* fcntl(2) with F_GETLK, F_SETLK, F_SETLKW or one of their F_OFD_ forms. */
int lock_fcntl(struct file *file, int command, struct flock *lock, int cancel_state);

/* Has another process a lock of fcntl on it? As far as this description has asked for one
 * itself. */
bool lock_is_anothers(struct file *file);
/* A descriptor of the file was closed: with any of them go this process's fcntl locks on the object
 * (fcntl(2)). */
void lock_descriptor_closed(struct file *file);
/* Before fork: a lock that a program takes on a descriptor that it inherits (flock 9) is the
 * description's, so the lock file is opened while all can have it. Nothing is said when it
 * cannot. */
void lock_share(struct file *file);
/* The lock file comes from the program before: false, it is none. The engine hears of it when the
 * file wakes. */
bool lock_adopt(struct file *file, int fd);
void lock_wake(struct file *file);
/* Around fork. */
void lock_fork_prepare(void);
void lock_fork_done(void);
/* The file is going; `is_last`: in every process. */
void lock_end(struct file *file, bool is_last);

#endif
