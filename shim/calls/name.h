/* Canonical operations on names. 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_NAME_H
#define S3DLIO_SHIM_CALLS_NAME_H

#include <sys/types.h>

#include "shim/path.h"

int name_mkdir(const struct vpath *path, mode_t mode);
/* chdir(2) to a virtual directory. */
int name_chdir(const struct vpath *path);

#endif
