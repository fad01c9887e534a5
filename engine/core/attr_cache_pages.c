/* Pages of listings, kept for the listing that follows a look-up. See attr_cache_pages.h.
 *
 * A page without groups shows a whole interval of keys, and so the beginnings of all directories
 * that begin in it: of each a listing with the delimiter can be made here, up to the last key.
 * Pages are few (some 250 KiB each) and found by looking at all of them.
 */
#include "core/attr_cache_pages.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define KEY_ROOM 2048u

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void attr_pages_keep(struct attr_pages *pages, const struct uri *prefix, struct store_page *page,
                     bool grouped, int64_t asked_ns)
{
    struct attr_page *place = &pages->pages[0];

    for (unsigned i = 0; i < ATTR_PAGES_MAX; i++) {
        struct attr_page *at = &pages->pages[i];

        if (!at->page || (place->page && at->asked_ns < place->asked_ns))
            place = at;
    }
    store_page_free(place->page);
    *place = (struct attr_page){.prefix = *prefix,
                                .page = page,
                                .grouped = grouped,
                                .asked_ns = asked_ns,
                                .seen_ns = clock_now_ns()};
}

void attr_pages_clear(struct attr_pages *pages)
{
    for (unsigned i = 0; i < ATTR_PAGES_MAX; i++) {
        store_page_free(pages->pages[i].page);
        pages->pages[i].page = NULL;
    }
}

/* Does the page show how the directory begins? */
static bool shows(const struct attr_page *at, const struct uri *directory)
{
    const struct store_page *page = at->page;

    if (strcmp(at->prefix.scheme, directory->scheme) != 0 ||
        strcmp(at->prefix.bucket, directory->bucket) != 0)
        return false;
    if (at->grouped)
        return strcmp(at->prefix.key, directory->key) == 0;
    if (!directory->key[0] || !starts_with(directory->key, at->prefix.key))
        return false;
    return !page->next_token ||
           (page->count && strcmp(page->entries[page->count - 1].key, directory->key) >= 0);
}

/* Index of the first entry that is not before `key`. */
static size_t seek(const struct store_page *page, const char *key)
{
    size_t low = 0, high = page->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(page->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Adds the entry at *index, or the group that it is the first of, and moves behind that. */
static int add_grouped(struct store_page_builder *builder, const struct store_page *page,
                       const char *directory, size_t *index)
{
    const struct store_entry *entry = &page->entries[*index];
    const char *slash = strchr(entry->key + strlen(directory), '/');
    struct store_entry group = {.is_prefix = true};
    char key[KEY_ROOM];
    size_t length;

    ++*index;
    if (!slash || entry->is_prefix)
        return store_page_builder_add(builder, entry);
    length = (size_t)(slash - entry->key) + 1;
    if (length >= sizeof key)
        return -1;
    memcpy(key, entry->key, length);
    key[length] = '\0';
    while (*index < page->count && strncmp(page->entries[*index].key, key, length) == 0)
        ++*index;
    group.key = key;
    return store_page_builder_add(builder, &group);
}

static bool make_start(const struct attr_page *at, const struct uri *directory,
                       struct attr_cache_start *ret_start)
{
    const struct store_page *page = at->page;
    struct store_page_builder *builder = store_page_builder_new();
    struct attr_cache_start start = {.asked_ns = at->asked_ns, .seen_ns = at->seen_ns};
    size_t index = seek(page, directory->key);
    int r = builder ? 0 : -1;

    while (r == 0 && index < page->count && starts_with(page->entries[index].key, directory->key))
        r = add_grouped(builder, page, directory->key, &index);
    if (r == 0 && index == page->count && page->next_token && !at->grouped) {
        start.after = strdup(page->entries[page->count - 1].key);
        r = start.after ? 0 : -1;
    }
    if (r == 0) {
        start.page = store_page_builder_finish(builder, at->grouped ? page->next_token : NULL);
        builder = NULL;
    }
    store_page_builder_free(builder);
    if (!start.page) {
        free(start.after);
        return false;
    }
    *ret_start = start;
    return true;
}

bool attr_pages_start(struct attr_pages *pages, const struct uri *directory, int64_t oldest_ns,
                      struct attr_cache_start *ret_start)
{
    const struct attr_page *best = NULL;

    for (unsigned i = 0; i < ATTR_PAGES_MAX; i++) {
        const struct attr_page *at = &pages->pages[i];

        if (at->page && at->asked_ns > oldest_ns && shows(at, directory) &&
            (!best || at->asked_ns > best->asked_ns))
            best = at;
    }
    return best && make_start(best, directory, ret_start);
}
