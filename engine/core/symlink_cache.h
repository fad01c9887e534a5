/* Targets of symbolic links that were read, so that many names behind one link read it once.
 *
 * A target is found by the link's inode number and ETag, as fresh attributes have them: an object
 * of that version never holds anything else, so nothing here gets stale and nothing has to be
 * dropped. Links without an ETag are not kept. At most SYMLINK_CACHE_SLOTS; a newcomer takes its
 * slot from whoever was there. Any thread inside the gate; one leaf mutex.
 */
#ifndef S3DLIO_CORE_SYMLINK_CACHE_H
#define S3DLIO_CORE_SYMLINK_CACHE_H

#include <sys/types.h>

#include "core/attr.h"

#define SYMLINK_CACHE_SLOTS 256u

struct symlink_cache;

struct symlink_cache *symlink_cache_new(void); /* NULL without memory */
void symlink_cache_free(struct symlink_cache *cache);

/* The length of the target, which is put into `target` with its NUL (room for attr->size_bytes +
 * 1); -1 when it is not known. */
ssize_t symlink_cache_get(struct symlink_cache *cache, const struct attr *attr, char *target);
void symlink_cache_put(struct symlink_cache *cache, const struct attr *attr, const char *target);

#endif
