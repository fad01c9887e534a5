/* Canonical operations on ranges of files. All return 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_EXTENT_H
#define S3DLIO_SHIM_CALLS_EXTENT_H

#include "shim/file.h"

/* fsync(2), msync(2): what is written so far becomes the object, as S3DLIO_FSYNC says. */
int extent_sync(struct file *file);

#endif
