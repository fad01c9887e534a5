/* The working directory, as name_cwd.c keeps it. 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_NAME_H
#define S3DLIO_SHIM_CALLS_NAME_H

#include "shim/path.h"

/* chdir(2) to a virtual directory. */
int name_chdir(const struct vpath *path);

#endif
