/* Names: what creates, removes, renames and resolves them. Canonical operations return -errno. */
#ifndef S3DLIO_SHIM_CALLS_NAME_H
#define S3DLIO_SHIM_CALLS_NAME_H

#include <sys/types.h>

#include "shim/path.h"

int name_mkdir(const struct vpath *path, mode_t mode);
int name_rmdir(const struct vpath *path);
int name_unlink(const struct vpath *path);
/* chdir(2) to a virtual directory and to a virtual descriptor (-ENOTDIR). */
int name_chdir(const struct vpath *path);
int name_fchdir(int fd);

/* The number in /proc/self/fd/N, /proc/PID/fd/N (our own), /proc/thread-self/fd/N, /dev/fd/N,
 * /dev/stdin, /dev/stdout and /dev/stderr; -1 for any other path. The path must be readable. */
int name_proc_fd(const char *path);

#endif
