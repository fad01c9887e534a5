/* The attribute cache: a hash by name and a list by use. See attr_cache.h.
 *
 * A directory is an entry like any other; its `complete_until_ns` says how long its contents are
 * known. Whatever is put makes its directories known too, so that a complete directory never lacks
 * something that this process has made below it. All under one mutex, held for a few hash look-ups.
 */
#include "core/attr_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

struct entry {
    UT_hash_handle hh;
    struct entry *prev, *next; /* by use, the next to go first */
    struct attr attr;
    int64_t expires_ns;
    int64_t complete_until_ns; /* 0: not known completely */
    bool kept;
    char name[];
};

struct attr_cache {
    pthread_mutex_t mutex;
    struct entry *by_name;
    struct entry *by_use;
    unsigned count, entries_max;
    int64_t ttl_ns;
    int64_t broken_ns; /* when an entry was last lost that may still exist */
};

struct attr_cache *attr_cache_new(int64_t ttl_ns, unsigned entries_max)
{
    struct attr_cache *cache = calloc(1, sizeof *cache);

    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->mutex, NULL);
    cache->ttl_ns = ttl_ns;
    cache->entries_max = entries_max;
    return cache;
}

static struct entry *find(struct attr_cache *cache, const char *name, size_t length)
{
    struct entry *entry;

    HASH_FIND(hh, cache->by_name, name, length, entry);
    return entry;
}

static void drop(struct attr_cache *cache, struct entry *entry)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the table is there while it has entries */
    HASH_DELETE(hh, cache->by_name, entry);
    DL_DELETE(cache->by_use, entry);
    cache->count--;
    free(entry);
}

void attr_cache_free(struct attr_cache *cache)
{
    if (!cache)
        return;
    while (cache->by_use)
        drop(cache, cache->by_use);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

/* Length of the name of the directory that holds `name`; 0 at a bucket or above. */
static size_t parent_length(const char *name, size_t length)
{
    const char *root = strstr(name, "://");
    size_t first = root ? (size_t)(root - name) + 3 : 0;

    while (length > first && name[length - 1] != '/')
        length--;
    return length > first ? length - 1 : 0;
}

static void touch(struct attr_cache *cache, struct entry *entry)
{
    DL_DELETE(cache->by_use, entry);
    DL_APPEND(cache->by_use, entry);
}

/* An entry is lost although what it tells of may exist: its directory is not known completely. */
static void lose(struct attr_cache *cache, struct entry *entry)
{
    struct entry *parent = find(cache, entry->name, parent_length(entry->name, entry->hh.keylen));

    cache->broken_ns = clock_now_ns();
    if (parent)
        parent->complete_until_ns = 0;
    drop(cache, entry);
}

static void make_room(struct attr_cache *cache)
{
    for (unsigned tries = 0; cache->count >= cache->entries_max && tries < 8; tries++) {
        struct entry *oldest = cache->by_use;

        if (!oldest)
            return;
        if (oldest->kept && tries < 7)
            touch(cache, oldest);
        else
            lose(cache, oldest);
    }
}

/* The entry of that name, made when there is none; NULL without memory. */
static struct entry *obtain(struct attr_cache *cache, const char *name, size_t length)
{
    struct entry *entry = find(cache, name, length);

    if (entry) {
        touch(cache, entry);
        return entry;
    }
    make_room(cache);
    entry = calloc(1, sizeof *entry + length + 1);
    if (!entry)
        return NULL;
    memcpy(entry->name, name, length);
    HASH_ADD(hh, cache->by_name, name[0], length, entry);
    if (!entry->hh.tbl) {
        free(entry);
        return NULL;
    }
    DL_APPEND(cache->by_use, entry);
    cache->count++;
    return entry;
}

/* Something is at every name above what exists: most likely a directory, but a file would win. */
static void put_parents(struct attr_cache *cache, const char *name, size_t length)
{
    while ((length = parent_length(name, length)) > 0 && !find(cache, name, length))
        obtain(cache, name, length);
}

/* Listings show no metadata: what is known of the same version from elsewhere stays. */
static bool says_more(const struct entry *entry, const struct attr *attr, int64_t now_ns)
{
    return entry->expires_ns > now_ns && entry->attr.has && !attr->has &&
           entry->attr.size_bytes == attr->size_bytes && attr->etag[0] &&
           strcmp(entry->attr.etag, attr->etag) == 0;
}

void attr_cache_put(struct attr_cache *cache, const char *uri, const struct attr *attr)
{
    size_t length = strlen(uri);
    int64_t now_ns;
    struct entry *entry;

    if (cache->ttl_ns <= 0)
        return;
    now_ns = clock_now_ns();
    pthread_mutex_lock(&cache->mutex);
    put_parents(cache, uri, length);
    entry = obtain(cache, uri, length);
    if (entry) {
        if (!says_more(entry, attr, now_ns))
            entry->attr = *attr;
        entry->expires_ns = now_ns + cache->ttl_ns;
        if (attr->type != ATTR_DIRECTORY) {
            entry->complete_until_ns = 0;
            entry->kept = false;
        }
    }
    pthread_mutex_unlock(&cache->mutex);
}

enum attr_cache_answer attr_cache_get(struct attr_cache *cache, const char *uri,
                                      struct attr *ret_attr)
{
    enum attr_cache_answer answer = ATTR_CACHE_UNKNOWN;
    size_t length = strlen(uri);
    int64_t now_ns = clock_now_ns();
    struct entry *entry, *parent;

    pthread_mutex_lock(&cache->mutex);
    entry = find(cache, uri, length);
    if (entry && (entry->kept || entry->expires_ns > now_ns)) {
        touch(cache, entry);
        *ret_attr = entry->attr;
        answer = ATTR_CACHE_FOUND;
    } else if (!entry) {
        parent = find(cache, uri, parent_length(uri, length));
        if (parent && parent->complete_until_ns > now_ns)
            answer = ATTR_CACHE_ABSENT;
    }
    pthread_mutex_unlock(&cache->mutex);
    return answer;
}

/* The entry stays, so that a complete directory does not seem to lack it. */
void attr_cache_forget(struct attr_cache *cache, const char *uri)
{
    size_t length = strlen(uri);
    struct entry *entry;

    if (cache->ttl_ns <= 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    put_parents(cache, uri, length);
    entry = obtain(cache, uri, length);
    if (entry)
        entry->expires_ns = 0;
    pthread_mutex_unlock(&cache->mutex);
}

void attr_cache_remove(struct attr_cache *cache, const char *uri)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = find(cache, uri, strlen(uri));
    if (entry)
        drop(cache, entry);
    pthread_mutex_unlock(&cache->mutex);
}

/* Makes the entry a directory if it is something else. */
static struct entry *obtain_directory(struct attr_cache *cache, const char *name)
{
    struct entry *entry = obtain(cache, name, strlen(name));

    if (entry && entry->attr.type != ATTR_DIRECTORY) {
        memset(&entry->attr, 0, sizeof entry->attr);
        entry->attr.type = ATTR_DIRECTORY;
        entry->attr.inode = attr_inode(name);
    }
    return entry;
}

void attr_cache_complete(struct attr_cache *cache, const char *directory, int64_t since_ns)
{
    struct entry *entry;

    if (cache->ttl_ns <= 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    entry = obtain_directory(cache, directory);
    if (entry && cache->broken_ns < since_ns) {
        entry->complete_until_ns = since_ns + cache->ttl_ns;
        if (entry->expires_ns < entry->complete_until_ns)
            entry->expires_ns = entry->complete_until_ns;
    }
    pthread_mutex_unlock(&cache->mutex);
}

bool attr_cache_is_complete(struct attr_cache *cache, const char *directory)
{
    int64_t now_ns = clock_now_ns();
    struct entry *entry;
    bool complete;

    pthread_mutex_lock(&cache->mutex);
    entry = find(cache, directory, strlen(directory));
    complete = entry && entry->complete_until_ns > now_ns;
    pthread_mutex_unlock(&cache->mutex);
    return complete;
}

void attr_cache_keep(struct attr_cache *cache, const char *directory)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = obtain_directory(cache, directory);
    if (entry)
        entry->kept = true;
    pthread_mutex_unlock(&cache->mutex);
}

void attr_cache_unkeep(struct attr_cache *cache, const char *directory)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = find(cache, directory, strlen(directory));
    if (entry)
        entry->kept = false;
    pthread_mutex_unlock(&cache->mutex);
}

bool attr_cache_is_kept(struct attr_cache *cache, const char *directory)
{
    struct entry *entry;
    bool kept;

    pthread_mutex_lock(&cache->mutex);
    entry = find(cache, directory, strlen(directory));
    kept = entry && entry->kept;
    pthread_mutex_unlock(&cache->mutex);
    return kept;
}

unsigned attr_cache_count(struct attr_cache *cache)
{
    unsigned count;

    pthread_mutex_lock(&cache->mutex);
    count = cache->count;
    pthread_mutex_unlock(&cache->mutex);
    return count;
}
