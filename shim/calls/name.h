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

#endif
