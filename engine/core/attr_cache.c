/* The attribute cache: a hash by name and a list by use. See attr_cache.h.
 *
 * A directory is an entry like any other; its `complete_until_ns` says how long its contents are
 * known. Whatever is put makes its directories known too, so that a complete directory never lacks
 * something that this process has made below it. When this process last changed or removed
 * something at or below a name stands in its entry; an entry made anew takes over when the last one
 * of any name was dropped, so that dropping loses nothing. All under one mutex, held for a few hash
 * look-ups, or the copying of a page.
 */
#include "core/attr_cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/attr_cache_private.h"
#include "core/attr_cache_shared.h"

#define WORTH_PAGES_MAX 8u

struct attr_cache *attr_cache_new(int64_t ttl_ns, unsigned entries_max)
{
    struct attr_cache *cache = calloc(1, sizeof *cache);

    if (!cache)
        return NULL;
    pthread_mutex_init(&cache->mutex, NULL);
    cache->shared = attr_shared_new();
    cache->ttl_ns = ttl_ns;
    cache->entries_max = entries_max;
    return cache;
}

struct entry *attr_cache_find(struct attr_cache *cache, const char *name, size_t length)
{
    struct entry *entry;

    HASH_FIND(hh, cache->by_name, name, length, entry);
    return entry;
}

size_t attr_cache_parent_length(const char *name, size_t length)
{
    const char *root = strstr(name, "://");
    size_t first = root ? (size_t)(root - name) + 3 : 0;

    while (length > first && name[length - 1] != '/')
        length--;
    return length > first ? length - 1 : 0;
}

static struct entry *parent_of(struct attr_cache *cache, const struct entry *entry)
{
    return attr_cache_find(cache, entry->name,
                           attr_cache_parent_length(entry->name, entry->hh.keylen));
}

static void drop(struct attr_cache *cache, struct entry *entry)
{
    struct entry *parent = parent_of(cache, entry);

    if (parent && parent->children > 0)
        parent->children--;
    cache->dropped_ns = clock_now_ns();
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
    attr_pages_clear(&cache->pages);
    attr_shared_free(cache->shared);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

static void touch(struct attr_cache *cache, struct entry *entry)
{
    DL_DELETE(cache->by_use, entry);
    DL_APPEND(cache->by_use, entry);
}

/* An entry is lost although what it tells of may exist: its directory is not known completely. */
static void lose(struct attr_cache *cache, struct entry *entry)
{
    struct entry *parent = parent_of(cache, entry);

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
    struct entry *entry = attr_cache_find(cache, name, length), *parent;

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
    entry->changed_ns = entry->removed_ns = cache->dropped_ns;
    parent = parent_of(cache, entry);
    if (parent)
        parent->children++;
    return entry;
}

/* Something is at every name above what exists: most likely a directory, but a file would win. */
static void put_parents(struct attr_cache *cache, const char *name, size_t length)
{
    while ((length = attr_cache_parent_length(name, length)) > 0 &&
           !attr_cache_find(cache, name, length))
        obtain(cache, name, length);
}

/* Something has changed or gone: what was said of the directories above has passed. */
static void note_change(struct attr_cache *cache, const char *name, size_t length, bool removed,
                        bool is_own)
{
    int64_t now_ns = clock_now_ns();

    attr_shared_note_name(cache->shared, name, length);
    if (is_own)
        attr_shared_note_time(cache->shared, name, attr_cache_parent_length(name, length));
    while ((length = attr_cache_parent_length(name, length)) > 0) {
        struct entry *above = attr_cache_find(cache, name, length);

        attr_shared_note_below(cache->shared, name, length);
        if (above)
            above->changed_ns = now_ns;
        if (above && removed)
            above->removed_ns = now_ns;
        if (!above)
            cache->dropped_ns = now_ns;
    }
}

static bool others_changed_below(struct attr_cache *cache, const char *directory, int64_t since_ns)
{
    return attr_shared_below_changed(cache->shared, directory, strlen(directory), since_ns);
}

static bool others_changed(struct attr_cache *cache, const char *name, int64_t since_ns)
{
    size_t length = strlen(name);

    return attr_shared_name_changed(cache->shared, name, length,
                                    attr_cache_parent_length(name, length), since_ns);
}

/* Has the process removed names from its directory since a listing that shows this one? */
static bool may_be_removed(struct attr_cache *cache, const char *name, int64_t asked_ns)
{
    size_t length = strlen(name);
    struct entry *parent;

    if (attr_cache_find(cache, name, length))
        return false;
    parent = attr_cache_find(cache, name, attr_cache_parent_length(name, length));
    return (parent ? parent->removed_ns : cache->dropped_ns) >= asked_ns;
}

/* Is what a listing said of a name overtaken? Directories stay what they are when they change. */
static bool is_overtaken(struct attr_cache *cache, const char *name, enum attr_type type,
                         int64_t asked_ns)
{
    struct entry *entry = attr_cache_find(cache, name, strlen(name));

    return (type != ATTR_DIRECTORY && entry && entry->changed_ns >= asked_ns) ||
           others_changed(cache, name, asked_ns);
}

/* Listings show no metadata: what is known of the same version from elsewhere stays. */
static bool says_more(const struct entry *entry, const struct attr *attr, int64_t now_ns)
{
    return entry->expires_ns > now_ns && !entry->named && entry->attr.has && !attr->has &&
           entry->attr.size_bytes == attr->size_bytes && attr->etag[0] &&
           strcmp(entry->attr.etag, attr->etag) == 0;
}

static void put(struct attr_cache *cache, const char *uri, const struct attr *attr, int64_t seen_ns)
{
    size_t length = strlen(uri);
    struct entry *entry;

    put_parents(cache, uri, length);
    entry = obtain(cache, uri, length);
    if (!entry)
        return;
    if (!says_more(entry, attr, seen_ns))
        entry->attr = *attr;
    entry->named = false;
    entry->expires_ns = seen_ns + cache->ttl_ns;
    if (attr->type != ATTR_DIRECTORY) {
        entry->complete_until_ns = 0;
        entry->kept = false;
    }
}

void attr_cache_put(struct attr_cache *cache, const char *uri, const struct attr *attr)
{
    if (cache->ttl_ns <= 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    put(cache, uri, attr, clock_now_ns());
    pthread_mutex_unlock(&cache->mutex);
}

static void put_listed(struct attr_cache *cache, const char *uri, const struct attr *attr,
                       int64_t asked_ns, int64_t seen_ns)
{
    if (may_be_removed(cache, uri, asked_ns))
        return;
    if (is_overtaken(cache, uri, attr->type, asked_ns))
        obtain(cache, uri, strlen(uri)); /* it exists, and nothing complete may lack it */
    else
        put(cache, uri, attr, seen_ns);
}

void attr_cache_put_listed(struct attr_cache *cache, const char *uri, const struct attr *attr,
                           int64_t asked_ns, int64_t seen_ns)
{
    if (cache->ttl_ns <= 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    put_listed(cache, uri, attr, asked_ns, seen_ns);
    pthread_mutex_unlock(&cache->mutex);
}

static void put_named(struct attr_cache *cache, const char *uri, enum attr_type type,
                      int64_t asked_ns)
{
    size_t length = strlen(uri);
    bool overtaken = is_overtaken(cache, uri, type, asked_ns);
    struct entry *entry;

    put_parents(cache, uri, length);
    entry = obtain(cache, uri, length);
    if (!entry || overtaken || entry->kept ||
        (entry->expires_ns > clock_now_ns() && entry->attr.type == type))
        return;
    entry->attr = (struct attr){.type = type, .inode = attr_inode(uri)};
    entry->named = true;
    entry->expires_ns = asked_ns + cache->ttl_ns;
}

void attr_cache_put_named(struct attr_cache *cache, const char *uri, enum attr_type type,
                          int64_t asked_ns)
{
    if (cache->ttl_ns <= 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    if (!may_be_removed(cache, uri, asked_ns))
        put_named(cache, uri, type, asked_ns);
    pthread_mutex_unlock(&cache->mutex);
}

bool attr_cache_is_fresh(struct attr_cache *cache, const struct entry *entry, int64_t now_ns)
{
    return entry->kept || (entry->expires_ns > now_ns &&
                           !others_changed(cache, entry->name, entry->expires_ns - cache->ttl_ns));
}

void attr_cache_renew(struct attr_cache *cache, const char *uri, const struct attr *attr,
                      int64_t asked_ns, int64_t since_ns)
{
    struct entry *entry;

    if (cache->ttl_ns <= 0)
        return;
    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, uri, strlen(uri));
    if (!entry || entry->named || !attr_cache_is_fresh(cache, entry, clock_now_ns())) {
        if (entry)
            entry->expires_ns = 0; /* nothing of it is to live longer */
        put_listed(cache, uri, attr, asked_ns, since_ns);
    }
    pthread_mutex_unlock(&cache->mutex);
}

/* What others change ends it before its time. */
static bool is_complete(struct attr_cache *cache, struct entry *entry, int64_t now_ns)
{
    if (entry->complete_until_ns <= now_ns)
        return false;
    if (!others_changed_below(cache, entry->name, entry->complete_until_ns - cache->ttl_ns))
        return true;
    entry->complete_until_ns = now_ns;
    return false;
}

enum attr_cache_answer attr_cache_get(struct attr_cache *cache, const char *uri,
                                      struct attr *ret_attr)
{
    enum attr_cache_answer answer = ATTR_CACHE_UNKNOWN;
    size_t length = strlen(uri);
    int64_t now_ns = clock_now_ns();
    struct entry *entry, *parent;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, uri, length);
    parent = attr_cache_find(cache, uri, attr_cache_parent_length(uri, length));
    if (entry) {
        bool fresh = attr_cache_is_fresh(cache, entry, now_ns);

        answer = !fresh ? ATTR_CACHE_PAST : entry->named ? ATTR_CACHE_NAMED : ATTR_CACHE_FOUND;
        if (fresh)
            touch(cache, entry);
        if (fresh && parent) {
            parent->answers[1]++;
            parent->found++;
        }
        *ret_attr = entry->attr;
    } else if (parent && is_complete(cache, parent, now_ns)) {
        parent->answers[0]++;
        answer = ATTR_CACHE_ABSENT;
    }
    pthread_mutex_unlock(&cache->mutex);
    return answer;
}

/* What is there stays an entry, so that a complete directory does not seem to lack it. */
static void change(struct attr_cache *cache, const char *uri, bool is_there, bool is_own)
{
    size_t length = strlen(uri);
    bool stays = is_there && cache->ttl_ns > 0;
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    if (stays)
        put_parents(cache, uri, length);
    entry = stays ? obtain(cache, uri, length) : attr_cache_find(cache, uri, length);
    if (entry && stays) {
        entry->expires_ns = 0;
        entry->attr.type = ATTR_FILE;
        entry->changed_ns = clock_now_ns();
    } else if (entry && !is_there) {
        drop(cache, entry);
    }
    note_change(cache, uri, length, !is_there, is_own);
    pthread_mutex_unlock(&cache->mutex);
}

void attr_cache_forget(struct attr_cache *cache, const char *uri)
{
    change(cache, uri, true, true);
}

void attr_cache_remove(struct attr_cache *cache, const char *uri)
{
    change(cache, uri, false, true);
}

void attr_cache_doubt(struct attr_cache *cache, const char *uri, bool is_there)
{
    change(cache, uri, is_there, false);
}

void attr_cache_drop_below(struct attr_cache *cache, const char *directory)
{
    size_t length = strlen(directory);
    struct entry *entry, *next;

    pthread_mutex_lock(&cache->mutex);
    for (entry = cache->by_use; entry; entry = next) {
        next = entry->next;
        if (entry->hh.keylen > length && entry->name[length] == '/' &&
            memcmp(entry->name, directory, length) == 0)
            drop(cache, entry);
    }
    cache->broken_ns = cache->dropped_ns = clock_now_ns();
    entry = attr_cache_find(cache, directory, length);
    if (entry) {
        entry->complete_until_ns = 0;
        entry->changed_ns = entry->removed_ns = cache->broken_ns;
    }
    attr_shared_note_below(cache->shared, directory, length);
    note_change(cache, directory, length, true, true);
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
        entry->named = false;
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
    if (entry)
        entry->was_disturbed = others_changed_below(cache, directory, since_ns);
    if (entry && entry->was_disturbed) {
        entry->complete_until_ns = since_ns;
    } else if (entry && cache->broken_ns < since_ns && entry->removed_ns < since_ns) {
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
    entry = attr_cache_find(cache, directory, strlen(directory));
    complete = entry && is_complete(cache, entry, now_ns);
    pthread_mutex_unlock(&cache->mutex);
    return complete;
}

void attr_cache_note_missing(struct attr_cache *cache, const char *uri)
{
    struct entry *directory;

    atomic_store(&cache->missing, attr_inode(uri));
    pthread_mutex_lock(&cache->mutex);
    directory = attr_cache_find(cache, uri, attr_cache_parent_length(uri, strlen(uri)));
    if (directory && directory->was_disturbed)
        directory->answers[0]++;
    pthread_mutex_unlock(&cache->mutex);
}

bool attr_cache_was_missing(struct attr_cache *cache, const char *uri)
{
    return atomic_load(&cache->missing) == attr_inode(uri);
}

unsigned attr_cache_worth_pages(struct attr_cache *cache, const char *directory, bool known)
{
    int64_t now_ns = clock_now_ns();
    unsigned pages = 0;
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, directory, strlen(directory));
    if (entry && entry->complete_until_ns && entry->complete_until_ns <= now_ns) {
        pages = entry->children / ATTR_CACHE_PAGE_KEYS + 1;
        if (pages > entry->answers[known] || pages > WORTH_PAGES_MAX)
            pages = 0;
        entry->answers[known] = 0;
    }
    pthread_mutex_unlock(&cache->mutex);
    return pages;
}

uint64_t attr_cache_found(struct attr_cache *cache, const char *directory)
{
    struct entry *entry;
    uint64_t found;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, directory, strlen(directory));
    found = entry ? entry->found : 0;
    pthread_mutex_unlock(&cache->mutex);
    return found;
}

static bool changed_below(struct attr_cache *cache, const char *directory, int64_t since_ns)
{
    struct entry *entry = attr_cache_find(cache, directory, strlen(directory));

    return (entry ? entry->changed_ns : cache->dropped_ns) >= since_ns ||
           others_changed_below(cache, directory, since_ns);
}

bool attr_cache_changed_below(struct attr_cache *cache, const char *directory, int64_t since_ns)
{
    bool changed;

    pthread_mutex_lock(&cache->mutex);
    changed = changed_below(cache, directory, since_ns);
    pthread_mutex_unlock(&cache->mutex);
    return changed;
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

bool attr_cache_is_kept(struct attr_cache *cache, const char *directory)
{
    struct entry *entry;
    bool kept;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, directory, strlen(directory));
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

struct attr_shared *attr_cache_shared(struct attr_cache *cache)
{
    return cache->shared;
}

/* ---- pages ----------------------------------------------------------------------------------- */

void attr_cache_owe_page(struct attr_cache *cache, const char *directory, enum attr_owed owed)
{
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, directory, strlen(directory));
    if (entry && !is_complete(cache, entry, clock_now_ns()))
        entry->owed = owed;
    pthread_mutex_unlock(&cache->mutex);
}

enum attr_owed attr_cache_take_owed(struct attr_cache *cache, const char *directory,
                                    struct attr *ret_marker)
{
    enum attr_owed owed = ATTR_OWED_NOTHING;
    int64_t now_ns = clock_now_ns();
    struct entry *entry;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, directory, strlen(directory));
    if (entry && entry->owed && attr_cache_is_fresh(cache, entry, now_ns) && !entry->named &&
        entry->attr.type == ATTR_DIRECTORY && !is_complete(cache, entry, now_ns)) {
        owed = entry->owed;
        *ret_marker = entry->attr;
    }
    if (entry)
        entry->owed = ATTR_OWED_NOTHING;
    pthread_mutex_unlock(&cache->mutex);
    return owed;
}

void attr_cache_keep_page(struct attr_cache *cache, const struct uri *prefix,
                          struct store_page *page, bool grouped, int64_t asked_ns)
{
    if (cache->ttl_ns <= 0) {
        store_page_free(page);
        return;
    }
    pthread_mutex_lock(&cache->mutex);
    attr_pages_keep(&cache->pages, prefix, page, grouped, asked_ns);
    pthread_mutex_unlock(&cache->mutex);
}

bool attr_cache_start(struct attr_cache *cache, const struct uri *directory,
                      struct attr_cache_start *ret_start)
{
    char text[ATTR_URI_BYTES];
    bool found;

    attr_uri_text(directory, text);
    pthread_mutex_lock(&cache->mutex);
    found = attr_pages_start(&cache->pages, directory, clock_now_ns() - cache->ttl_ns, ret_start);
    if (found && changed_below(cache, text, ret_start->asked_ns)) {
        store_page_free(ret_start->page);
        free(ret_start->after);
        found = false;
    }
    pthread_mutex_unlock(&cache->mutex);
    return found;
}
