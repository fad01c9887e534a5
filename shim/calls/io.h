/* Canonical operations on an open file. All return a count, 0 or -errno. */
#ifndef S3DLIO_SHIM_CALLS_IO_H
#define S3DLIO_SHIM_CALLS_IO_H

#include <sys/types.h>
#include <sys/uio.h>

#include "shim/file.h"

ssize_t io_read(struct file *file, void *buffer, size_t length);               /* at its offset */
ssize_t io_read_at(struct file *file, void *buffer, size_t length, off_t offset);
ssize_t io_write(struct file *file, const void *buffer, size_t length);        /* at its offset */
/* At an offset; behind the end when the descriptor appends. */
ssize_t io_write_at(struct file *file, const void *buffer, size_t length, off_t offset);
off_t io_seek(struct file *file, off_t offset, int whence);
/* The size now: of the object for readers, of what was written for writers. */
off_t io_size(struct file *file);

#endif
