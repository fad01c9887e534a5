/* Marks on directories: made before metadata is stored, looked for when one is listed. See
 * marked.h. */
#include "core/marked.h"

#include <string.h>

#include "core/call.h"
#include "core/engine.h"
#include "core/metadata_change.h"
#include "core/names.h"

/* Where the mark of a directory is (its key with or without the slash). */
static int mark_key(const struct uri *directory, struct uri *ret_key, struct error *err)
{
    size_t length = strlen(directory->key);

    *ret_key = *directory;
    if (length == 0) {
        strcpy(ret_key->key, MARKED_BUCKET_KEY);
        return 0;
    }
    if (directory->key[length - 1] == '/')
        return 0;
    if (length == URI_KEY_MAX)
        return error_set(err, ERROR_TOO_LONG, "the key of the directory is too long");
    strcpy(ret_key->key + length, "/");
    return 0;
}

static bool is_mark(const struct store_metadata *metadata)
{
    const char *value = store_metadata_get(metadata, ATTR_MARKED);

    return value && strcmp(value, "1") == 0;
}

static bool is_known(struct engine *engine, const struct uri *directory, struct attr *ret_attr)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(directory, text);
    return attr_cache_get(engine->attrs, text, ret_attr) == ATTR_CACHE_FOUND && ret_attr->marked;
}

/* A bucket's own attributes say so only here. */
static void remember_bucket(struct engine *engine, const struct uri *directory)
{
    char text[ATTR_URI_BYTES];
    struct attr attr;

    if (directory->key[0])
        return;
    attr_uri_text(directory, text);
    attr_directory(directory, &attr);
    attr.marked = true;
    attr_cache_put(engine->attrs, text, &attr);
}

static int edit_mark(void *arg, const struct store_object *object, struct store_metadata *metadata,
                     struct error *err)
{
    int r;

    (void)arg, (void)object;
    if (is_mark(metadata))
        return 0;
    r = store_metadata_set(metadata, ATTR_MARKED, "1");
    return r < 0 ? error_set_errno(err, -r, "marking the directory") : 1;
}

int marked_require(struct engine *engine, const struct uri *name, const struct limits *limits,
                   struct error *err)
{
    struct metadata_edit edit = {.edit = edit_mark, .is_mark = true};
    struct uri directory, key;
    struct store *store;
    struct attr attr;
    int r = engine_store(engine, name->scheme, &store, err);

    if (r < 0)
        return r;
    if (!(store->capabilities & STORE_CAP_METADATA) || !name->key[0] ||
        !names_parent(name, &directory) || is_known(engine, &directory, &attr))
        return 0;
    r = mark_key(&directory, &key, err);
    if (r == 0)
        r = metadata_change(engine, &key, &edit, limits, NULL, err);
    if (r == 0)
        remember_bucket(engine, &directory);
    return r;
}

/* ---- listing --------------------------------------------------------------------------------- */

static bool shows(const struct store_page *page, const char *key)
{
    for (size_t i = 0; i < page->count && strcmp(page->entries[i].key, key) <= 0; i++)
        if (strcmp(page->entries[i].key, key) == 0)
            return true;
    return false;
}

/* What the marker says. When it cannot be had, asking for entries is the safe answer. */
static bool look(struct engine *engine, const struct uri *directory, const struct uri *key,
                 const struct limits *limits)
{
    char text[ATTR_URI_BYTES];
    struct error error = {0};
    struct call *head = call_new(engine, STORE_HEAD, key, limits, &error);
    bool marked = true;
    struct attr attr;

    if (head && call_run(head, limits, &error) == 0) {
        attr_from_object(&head->request.object, key, &attr);
        marked = directory->key[0] ? attr.marked : is_mark(&head->request.object.metadata);
        attr_uri_text(key, text);
        if (directory->key[0])
            attr_cache_put(engine->attrs, text, &attr);
        else if (marked)
            remember_bucket(engine, directory);
    } else if (error.class == ERROR_NOT_FOUND) {
        marked = false;
    }
    call_delete(head);
    return marked;
}

enum wish { AUTO, ALWAYS, NEVER };

static enum wish wish(struct engine *engine, const struct uri *directory)
{
    struct error ignored;
    struct store *store;

    if (!directory->bucket[0] || engine_store(engine, directory->scheme, &store, &ignored) < 0 ||
        !(store->capabilities & STORE_CAP_METADATA))
        return NEVER;
    return (enum wish)option_int(&engine->options, LISTING_METADATA);
}

bool marked_ask(struct engine *engine, const struct uri *directory, const struct store_page *page,
                const struct limits *limits)
{
    enum wish wished = wish(engine, directory);
    char text[ATTR_URI_BYTES];
    struct error ignored;
    struct attr attr;
    struct uri key;

    if (wished != AUTO)
        return wished == ALWAYS;
    attr_uri_text(directory, text);
    if (attr_cache_get(engine->attrs, text, &attr) == ATTR_CACHE_FOUND && directory->key[0] &&
        !attr.mark_unknown)
        return attr.marked;
    return mark_key(directory, &key, &ignored) == 0 && shows(page, key.key) &&
           look(engine, directory, &key, limits);
}

bool marked_ask_again(struct engine *engine, const struct uri *directory,
                      const struct limits *limits)
{
    enum wish wished = wish(engine, directory);
    struct error ignored;
    struct attr attr;
    struct uri key;

    if (wished != AUTO)
        return wished == ALWAYS;
    return is_known(engine, directory, &attr) ||
           (mark_key(directory, &key, &ignored) == 0 && look(engine, directory, &key, limits));
}
