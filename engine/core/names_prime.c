/* What a page of a listing tells of names, for the attribute cache. See names_private.h.
 *
 * Directories without a marker have no metadata, so that all is known of them; of files and of
 * directories with one only the type counts. A first pass puts names, a second makes directories
 * complete: nothing is complete before everything in it is known.
 */
#include "core/names_private.h"

#include <string.h>

#include "core/engine.h"

struct walk {
    struct engine *engine;
    const struct store_page *page;
    int64_t asked_ns;
    size_t base_length;        /* of the directory's key and its slash */
    char text[ATTR_URI_BYTES]; /* a name in the cache; the directory's to begin with */
    size_t text_length;        /* of the directory's name, with a slash */
    bool completing;
};

/* Can a path lead there? */
static bool is_plain(const char *component, size_t length)
{
    return length > 0 && !(length == 1 && component[0] == '.') &&
           !(length == 2 && component[0] == '.' && component[1] == '.');
}

/* walk->text has the name of a directory. A file of the same name has come before it and wins. */
static void take_directory(struct walk *walk, bool may_have_marker)
{
    struct attr_cache *cache = walk->engine->attrs;
    struct attr attr;
    enum attr_cache_answer answer = attr_cache_get(cache, walk->text, &attr);
    bool is_known = answer == ATTR_CACHE_FOUND || answer == ATTR_CACHE_NAMED;

    if (is_known && attr.type != ATTR_DIRECTORY)
        return;
    if (walk->completing) {
        attr_cache_complete(cache, walk->text, walk->asked_ns);
    } else if (may_have_marker) {
        attr_cache_put_named(cache, walk->text, ATTR_DIRECTORY, walk->asked_ns);
    } else if (!is_known) {
        attr = (struct attr){.type = ATTR_DIRECTORY, .inode = attr_inode(walk->text)};
        attr_cache_put_listed(cache, walk->text, &attr, walk->asked_ns, walk->asked_ns);
    }
}

/* One key; `same` bytes of its name relative to the directory begin the one before it too. */
static void take_key(struct walk *walk, const struct store_entry *entry, size_t same)
{
    const char *name = entry->key + walk->base_length;
    size_t at = 0, length = strlen(name);

    if (walk->text_length + length >= sizeof walk->text)
        return;
    for (;;) {
        size_t end = at + strcspn(name + at, "/");

        if (!is_plain(name + at, end - at))
            return;
        memcpy(walk->text + walk->text_length, name, end);
        walk->text[walk->text_length + end] = '\0';
        if (!name[end])
            break;
        /* A key that ends here is a marker, or a group, which may hide one and shows nothing
         * else. */
        if (end >= same && !(entry->is_prefix && walk->completing))
            take_directory(walk, end + 1 == length);
        at = end + 1;
        if (!name[at])
            return;
    }
    if (!walk->completing)
        attr_cache_put_named(walk->engine->attrs, walk->text, ATTR_FILE, walk->asked_ns);
}

static void take_page(struct walk *walk, size_t index, const char *below)
{
    const char *before = "";

    for (; index < walk->page->count; index++) {
        const struct store_entry *entry = &walk->page->entries[index];
        const char *name = entry->key + walk->base_length;
        size_t same = 0;

        if (strncmp(entry->key, below, walk->base_length) != 0)
            return;
        while (before[same] && before[same] == name[same])
            same++;
        take_key(walk, entry, same);
        before = name;
    }
}

void names_prime(struct engine *engine, const struct uri *uri, const struct store_page *page,
                 size_t index, int64_t asked_ns)
{
    struct walk walk = {.engine = engine, .page = page, .asked_ns = asked_ns};
    struct error ignored;
    struct uri below;

    if (names_marker_of(uri, &below, &ignored) < 0)
        return;
    walk.base_length = strlen(below.key);
    attr_uri_text(uri, walk.text);
    walk.text_length = strlen(walk.text);
    walk.text[walk.text_length++] = '/';
    take_page(&walk, index, below.key);
    if (page->next_token)
        return;
    walk.completing = true;
    take_page(&walk, index, below.key);
    walk.text[walk.text_length - 1] = '\0';
    attr_cache_complete(engine->attrs, walk.text, asked_ns);
}
