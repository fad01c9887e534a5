/* Links that the kernel shows for descriptors and the working directory: /proc/self/fd/N, /dev/fd/N,
 * /dev/stdin, /proc/self/cwd. For virtual ones the kernel knows only the placeholder; what they stand
 * for is answered here. */
#ifndef S3DLIO_SHIM_PROC_H
#define S3DLIO_SHIM_PROC_H

#include "shim/path.h"

/* 1 with the canonical virtual path that the link stands for; 0 when it is no such link, or real. The
 * path must be readable. */
int proc_target(const char *path, char ret_target[PATH_VIRTUAL_MAX]);

#endif
