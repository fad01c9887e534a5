/* Disk space for what memory is not for: unlinked files in S3DLIO_SPOOL_DIR, readable by nobody
 * else, together at most S3DLIO_SPOOL_LIMIT bytes of this process, those that it shares with others
 * included.
 *
 * spool_map gives memory that the kernel may write to a disk; its blocks are reserved at once, so a
 * full disk is an error here and not a SIGBUS later. spool_open gives a file whose owner reserves
 * what it puts there. Any thread; the count is an atomic. */
#ifndef S3DLIO_CORE_SPOOL_H
#define S3DLIO_CORE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct options;

/* What a system call on a spool file or its directory said, and what it was about: ERROR_SPOOL,
 * which names the option. EIO where the directory is not one to write to, for that says nothing
 * about the name that a program gave; else errnum. Returns its negative. */
int spool_error(struct error *err, int errnum, const char *what);

int spool_map(const struct options *options, size_t size_bytes, void **ret_memory,
              struct error *err);
void spool_unmap(void *memory, size_t size_bytes);
/* Nobody looks at it for a while: it takes no memory of this process until then, what is in it
 * stays. */
void spool_rest(void *memory, size_t size_bytes);

/* An empty file without a name, for reading and writing; a descriptor of the engine (io/fd.h). */
int spool_open(const struct options *options, int *ret_fd, struct error *err);
/* An empty file with a name, which nobody else can open, for other processes of this user; a plain
 * descriptor and a path, of at most `size` bytes, the caller's to close and to remove. */
int spool_open_named(const struct options *options, char *ret_path, size_t size, int *ret_fd,
                     struct error *err);
/* Counts bytes against the limit: 0, or -ENOSPC (ERROR_SPOOL). */
int spool_reserve(const struct options *options, uint64_t bytes, struct error *err);
void spool_release(uint64_t bytes);
/* Counts what others have reserved, or given back, of what this process has a share in. */
void spool_recount(uint64_t before_bytes, uint64_t after_bytes);
uint64_t spool_used(void);

#endif
