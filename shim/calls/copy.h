/* Canonical operations between two open files. */
#ifndef S3DLIO_SHIM_CALLS_COPY_H
#define S3DLIO_SHIM_CALLS_COPY_H

#include <linux/fs.h>

#include "shim/file.h"

/* ioctl_ficlonerange(2): the store copies when `to` is published, nothing moves before. 0; -EXDEV
 * between a bucket and anything else; -EOPNOTSUPP where the bytes have to be copied by whoever
 * asks. */
int copy_clone(struct file *to, const struct file_clone_range *range);

#endif
