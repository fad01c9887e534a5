/* Attributes seen lately, by name, for the life of S3DLIO_META_TTL_MS.
 *
 * Positive entries come from stat, open, listings and what this process wrote. A failed look-up is not
 * kept; but a directory listed to its end, or made by this process, is known completely for the
 * TTL: a name that is not in it does not exist. Evicting an entry takes the completeness from its
 * directory; forgetting one (something may be there) or removing one (nothing is) does not.
 * A directory that lost its last file through this process is kept as a directory until rmdir.
 *
 * Names are those of attr_uri_text. At most ATTR_CACHE_ENTRIES, least recently used first out. Any
 * thread inside the gate; one leaf mutex.
 */
#ifndef S3DLIO_CORE_ATTR_CACHE_H
#define S3DLIO_CORE_ATTR_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

#define ATTR_CACHE_ENTRIES 100000u

struct attr_cache;

/* ttl_ns 0: nothing is trusted but kept directories. NULL without memory. */
struct attr_cache *attr_cache_new(int64_t ttl_ns, unsigned entries_max);
void attr_cache_free(struct attr_cache *cache);

enum attr_cache_answer {
    ATTR_CACHE_UNKNOWN,
    ATTR_CACHE_FOUND,  /* *ret_attr is set */
    ATTR_CACHE_ABSENT, /* its directory is known completely and does not hold it */
};
enum attr_cache_answer attr_cache_get(struct attr_cache *cache, const char *uri,
                                      struct attr *ret_attr);

void attr_cache_put(struct attr_cache *cache, const char *uri, const struct attr *attr);
/* Something may be there, we do not know what. */
void attr_cache_forget(struct attr_cache *cache, const char *uri);
/* Nothing is there any more. */
void attr_cache_remove(struct attr_cache *cache, const char *uri);
/* The directory was listed to its end, beginning at since_ns (or made at that time, empty), while
 * everything in it was put: complete until since + TTL. */
void attr_cache_complete(struct attr_cache *cache, const char *directory, int64_t since_ns);
bool attr_cache_is_complete(struct attr_cache *cache, const char *directory);
/* The directory stays one although nothing is left in it. */
void attr_cache_keep(struct attr_cache *cache, const char *directory);
void attr_cache_unkeep(struct attr_cache *cache, const char *directory);
bool attr_cache_is_kept(struct attr_cache *cache, const char *directory);
unsigned attr_cache_count(struct attr_cache *cache);

#endif
