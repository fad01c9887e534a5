/* What the files of core/attr_cache.h share; all of it under the cache's mutex. */
#ifndef S3DLIO_CORE_ATTR_CACHE_PRIVATE_H
#define S3DLIO_CORE_ATTR_CACHE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/attr_cache_pages.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

struct entry {
    UT_hash_handle hh;
    struct entry *prev, *next; /* by use, the next to go first */
    struct attr attr;
    int64_t expires_ns;
    int64_t complete_until_ns; /* 0: not known completely */
    int64_t changed_ns;        /* it, or something below it, by this process */
    int64_t removed_ns;        /* something below it */
    unsigned children;         /* entries directly below it */
    bool was_disturbed;        /* others changed something below it while it was listed */
    unsigned answers[2];       /* to look-ups of names that it lacks (when it was disturbed those of
                                * the store, too), and that it has */
    uint64_t found;            /* the latter, never counted anew */
    bool kept;
    bool named; /* of attr only type and inode count */
    enum attr_owed owed;
    char name[];
};

struct attr_cache {
    pthread_mutex_t mutex;
    struct entry *by_name;
    struct entry *by_use;
    unsigned count, entries_max;
    int64_t ttl_ns;
    int64_t broken_ns;        /* when an entry was last lost that may still exist */
    int64_t dropped_ns;       /* when an entry was last dropped */
    _Atomic uint64_t missing; /* attr_inode of the name that was looked for in vain last */
    struct attr_pages pages;
    struct attr_shared *shared; /* what other processes change; may be NULL */
};

struct entry *attr_cache_find(struct attr_cache *cache, const char *name, size_t length);
/* Length of the name of the directory that holds `name`; 0 at a bucket or above. */
size_t attr_cache_parent_length(const char *name, size_t length);
bool attr_cache_is_fresh(struct attr_cache *cache, const struct entry *entry, int64_t now_ns);

#endif
