/* Canonical operations on files that are being written. All return a count, 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_CONTENT_H
#define S3DLIO_SHIM_CALLS_CONTENT_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "shim/file.h"

#define OBJECT_MAX_BYTES ((off_t)5 << 40)

/* -EFBIG, and one line a process: no object can be longer than OBJECT_MAX_BYTES. */
int content_refuse_length(const struct file *file);

uint64_t content_length(const struct file *file);
ssize_t content_read_at(struct file *file, void *buffer, size_t length, uint64_t offset);
/* Between content_order and content_unorder: writes are one at a time, whichever descriptors of
 * whichever processes they come by. The value of the first is the second's argument. */
ssize_t content_write_at(struct file *file, const void *buffer, size_t length, uint64_t offset);
int content_order(struct file *file);
void content_unorder(struct file *file, int locked);

int content_truncate(struct file *file, uint64_t length);
/* fallocate(2) for a mode; extends with zeros, or puts zeros in the place of what is there. */
int content_allocate(struct file *file, int mode, uint64_t offset, uint64_t length);
/* lseek(2) for SEEK_DATA and SEEK_HOLE. */
off_t content_seek_kind(struct file *file, uint64_t offset, int whence);
/* Makes a draft of a stream, for `operation`; a refusal names it. */
int content_need_draft(struct file *file, const char *operation);

#endif
