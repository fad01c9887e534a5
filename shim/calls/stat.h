/* Canonical operations on attributes. All return 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_STAT_H
#define S3DLIO_SHIM_CALLS_STAT_H

#include <sys/stat.h>

#include "shim/file.h"
#include "shim/path.h"

int stat_path(const struct vpath *path, bool follows, struct stat *ret_stat);
int stat_file(struct file *file, struct stat *ret_stat);
/* Engine attributes of a path, of a link those of the link itself. */
int stat_attr(const struct vpath *path, struct s3dlio_attr *ret_attr);
/* For calls that act on what a link leads to: -ELOOP for a link (link.h). */
int stat_followed(const struct vpath *path, struct s3dlio_attr *ret_attr);

/* The device number of the mount that a virtual path is in. */
dev_t stat_device(const char *path);

/* Is there a directory for a new name to be in, and may it be made? 0, -ENOENT, -ENOTDIR,
 * -ENAMETOOLONG. */
int stat_parent(const struct vpath *path);

#endif
