/* Canonical operations on files with random access. All return a count, 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_DRAFT_H
#define S3DLIO_SHIM_CALLS_DRAFT_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "shim/file.h"

#define OBJECT_MAX_BYTES ((off_t)5 << 40)

/* Is the file a draft, or can it be made one now? 0; a refusal with one line, which says that
 * `operation` is; or the sticky error. For files that are written. */
int draft_need(struct file *file, const char *operation);

ssize_t draft_read_at(struct file *file, void *buffer, size_t length, uint64_t offset);
ssize_t draft_write_at(struct file *file, const void *buffer, size_t length, uint64_t offset);
/* Writes that move the end are one at a time, whichever descriptors they come by: between these two.
 * The value of the first is the second's. */
int draft_order(struct file *file);
void draft_unorder(struct file *file, int locked);

int draft_truncate_to(struct file *file, uint64_t length);
/* fallocate(2) for a mode; extends with zeros, or puts zeros in the place of what is there. */
int draft_allocate(struct file *file, int mode, uint64_t offset, uint64_t length);
/* lseek(2) for SEEK_DATA and SEEK_HOLE. */
off_t draft_seek_kind(struct file *file, uint64_t offset, int whence);

#endif
