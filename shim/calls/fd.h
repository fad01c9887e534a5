/* Canonical operations on descriptors as such. All return -errno. */
#ifndef S3DLIO_SHIM_CALLS_FD_H
#define S3DLIO_SHIM_CALLS_FD_H

#include <stdbool.h>

#include "shim/file.h"

/* The lowest free descriptor at or above `minimum` for the same file. */
int fd_dup(struct file *file, int minimum, bool cloexec);
/* dup3(2) where `from` or `to` is virtual, and they differ. */
int fd_dup_to(int from, int to, int flags);

#endif
