/* Canonical operations on names that give a descriptor. All return -errno. */
#ifndef S3DLIO_SHIM_CALLS_OPEN_H
#define S3DLIO_SHIM_CALLS_OPEN_H

#include <sys/types.h>

#include "shim/file.h"
#include "shim/path.h"

/* open(2) on a virtual path: a file with one reference for the caller, no descriptor yet. Flags as
 * of open(2); what this version cannot serve is refused with -EOPNOTSUPP and one line. */
int open_file(const struct vpath *path, int flags, mode_t mode, struct file **ret_file);
/* The same with the lowest free descriptor. */
int open_fd(const struct vpath *path, int flags, mode_t mode);
/* The same wherever links lead, unless O_NOFOLLOW. LINK_TO_REAL (link.h): nothing was opened. */
int open_followed(struct vpath *path, int flags, mode_t mode);
/* close(2) of a virtual descriptor; -EBADF when it is none. */
int close_fd(int fd);

#endif
