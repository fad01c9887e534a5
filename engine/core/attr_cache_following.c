/* Which entries of a directory a program is likely to look up next. Part of attr_cache.c, under its
 * mutex.
 *
 * What was put last is last in the list by use, so that behind an entry come those that a listing
 * showed after it, or that were looked up after it. fts sorts large directories by inodes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/attr_cache_private.h"

#define FOLLOWING_TRIES 4u /* entries of other directories lie between, at most so many for each */

/* A file or link directly in the directory of so many bytes of its name, that has passed. */
static bool follows(struct attr_cache *cache, const struct entry *entry, const char *name,
                    size_t length, int64_t now_ns)
{
    return entry->hh.keylen > length && entry->name[length] == '/' &&
           memcmp(entry->name, name, length) == 0 && !strchr(entry->name + length + 1, '/') &&
           (entry->attr.type == ATTR_FILE || entry->attr.type == ATTR_SYMLINK) &&
           !attr_cache_is_fresh(cache, entry, now_ns);
}

static int compare_inodes(const void *left, const void *right)
{
    const struct entry *const *a = left, *const *b = right;

    return ((*a)->attr.inode > (*b)->attr.inode) - ((*a)->attr.inode < (*b)->attr.inode);
}

/* All behind `first` by inode, in that order, the caller's; NULL: none, or no memory. */
static struct entry **sort_behind(struct attr_cache *cache, const struct entry *first,
                                  size_t length, size_t *ret_count)
{
    struct entry **entries = calloc(cache->count, sizeof(struct entry *));
    int64_t now_ns = clock_now_ns();
    struct entry *entry;
    size_t count = 0;

    DL_FOREACH(cache->by_use, entry)
    if (entries && entry->attr.inode > first->attr.inode &&
        follows(cache, entry, first->name, length, now_ns))
        entries[count++] = entry;
    if (entries)
        qsort(entries, count, sizeof(struct entry *), compare_inodes);
    *ret_count = count;
    return entries;
}

static unsigned next_by_inode(struct attr_cache *cache, const struct entry *first, size_t length,
                              unsigned max, char **ret_names)
{
    size_t count;
    struct entry **entries = sort_behind(cache, first, length, &count);
    unsigned found = 0;

    while (found < max && found < count && (ret_names[found] = strdup(entries[found]->name)))
        found++;
    free(entries);
    return found;
}

static unsigned next_by_use(struct attr_cache *cache, const struct entry *first, size_t length,
                            unsigned max, char **ret_names)
{
    unsigned found = 0, tries = FOLLOWING_TRIES * (max + 16);
    int64_t now_ns = clock_now_ns();
    struct entry *entry;

    for (entry = first->next; entry && found < max && tries > 0; entry = entry->next, tries--)
        if (follows(cache, entry, first->name, length, now_ns) &&
            (ret_names[found] = strdup(entry->name)))
            found++;
    return found;
}

unsigned attr_cache_following(struct attr_cache *cache, const char *name, bool by_inode,
                              unsigned max, char **ret_names)
{
    size_t length = strlen(name), directory_length = attr_cache_parent_length(name, length);
    struct entry *entry;
    unsigned found = 0;

    pthread_mutex_lock(&cache->mutex);
    entry = attr_cache_find(cache, name, length);
    if (entry && by_inode)
        found = next_by_inode(cache, entry, directory_length, max, ret_names);
    else if (entry)
        found = next_by_use(cache, entry, directory_length, max, ret_names);
    pthread_mutex_unlock(&cache->mutex);
    return found;
}
