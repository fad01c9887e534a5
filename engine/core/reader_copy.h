/* The bytes of one version of an object, here: in memory when few, else in an unlinked spool file.
 *
 * One thread fills it, in any order; from then on it does not change, and any number of readers and
 * threads share it by references. Small ones count against the memory budget, others against
 * S3DLIO_SPOOL_LIMIT; a file's space is taken at once where the file system can. */
#ifndef S3DLIO_CORE_READER_COPY_H
#define S3DLIO_CORE_READER_COPY_H

#include "core/range.h"

struct engine;
struct reader_copy;

/* Room for so many bytes. One reference. 0, -ENOSPC, -ENOMEM, -EIO. */
int reader_copy_new(struct engine *engine, uint64_t size_bytes, struct reader_copy **ret_copy,
                    struct error *err);
int reader_copy_put(struct reader_copy *copy, const void *data, size_t length_bytes,
                    uint64_t offset_bytes, struct error *err);
/* All that the read still lacks. 0, -EFAULT, -EIO. */
int reader_copy_take(const struct reader_copy *copy, struct range_read *read, struct error *err);
/* A file with the same bytes, for other processes of this user: its path, whose owner removes it.
 * False: there is no room, or no path that short. */
bool reader_copy_leave(const struct reader_copy *copy, char *ret_path, size_t size);
/* Of such a file, which stays where it is. NULL: it is not there, or not one of this size and user. */
struct reader_copy *reader_copy_take_over(struct engine *engine, const char *path,
                                          uint64_t size_bytes);
struct reader_copy *reader_copy_ref(struct reader_copy *copy);
void reader_copy_unref(struct reader_copy *copy); /* NULL is fine */

#endif
