/* Making and reading symbolic links. See symlink.h. */
#include "core/symlink.h"

#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/names.h"
#include "core/put.h"
#include "core/reader.h"
#include "core/symlink_cache.h"

static int check_target(const char *target, struct error *err)
{
    size_t length = strlen(target);

    if (length == 0)
        return error_set_errno(err, ENOENT, "a link to nothing");
    if (length > SYMLINK_TARGET_MAX)
        return error_set(err, ERROR_TOO_LONG, "the target of the link is too long");
    return 0;
}

/* Nothing of that name exists, and its directory does. */
static int check_place(struct engine *engine, const struct uri *uri, const struct limits *limits,
                       struct error *err)
{
    struct uri parent;
    struct attr attr;
    int r = names_require_absent(engine, uri, limits, err);

    if (r < 0)
        return r;
    if (uri->key[strlen(uri->key) - 1] == '/') /* names that exist have a key: not empty */
        return error_set(err, ERROR_NOT_FOUND, "a link is no directory");
    if (!names_parent(uri, &parent) || !parent.key[0])
        return 0;
    r = names_lookup(engine, &parent, limits, &attr, err);
    if (r == 0 && attr.type != ATTR_DIRECTORY)
        r = error_set(err, ERROR_NOT_DIRECTORY, "part of its path is a file");
    return r;
}

int symlink_make(struct engine *engine, const char *target, const struct uri *uri,
                 const struct limits *limits, struct error *err)
{
    struct attr attr = {.type = ATTR_SYMLINK, .has = ATTR_HAS_MODE, .mode = 0777};
    struct put put = {
        .uri = *uri,
        .data = target,
        .length_bytes = strlen(target),
        .options = {.exclusive = true, .content_type = "text/plain", .attr = &attr},
    };
    struct store *store;
    int r = engine_store(engine, uri->scheme, &store, err);

    if (r == 0 && !(store->capabilities & STORE_CAP_METADATA))
        r = error_set(err, ERROR_REFUSED, "the store keeps no metadata, so no links");
    if (r == 0)
        r = check_target(target, err);
    if (r == 0)
        r = check_place(engine, uri, limits, err);
    return r < 0 ? r : put_object(engine, &put, limits, err);
}

/* The target of what is known to be a link, as `attr` describes it. */
static ssize_t read_target(struct engine *engine, const struct uri *uri, const struct attr *attr,
                           char ret_target[SYMLINK_TARGET_MAX + 1], struct limits *limits,
                           struct error *err)
{
    struct reader_target target = {ret_target, SYMLINK_TARGET_MAX, 0};
    ssize_t length;

    if (attr->size_bytes > SYMLINK_TARGET_MAX)
        return error_set(err, ERROR_TOO_LONG, "the target of the link is too long");
    length = symlink_cache_get(engine->links, attr, ret_target);
    if (length >= 0)
        return length;
    length = reader_get(engine, uri, &target, limits, err);
    if (length < 0)
        return length;
    ret_target[length] = '\0';
    if ((uint64_t)length == attr->size_bytes)
        symlink_cache_put(engine->links, attr, ret_target);
    return length;
}

ssize_t symlink_read(struct engine *engine, const struct uri *uri, char *buffer, size_t size,
                     struct limits *limits, struct error *err)
{
    char target[SYMLINK_TARGET_MAX + 1];
    struct attr attr;
    ssize_t length = names_lookup(engine, uri, limits, &attr, err);

    if (length < 0)
        return length;
    if (attr.type != ATTR_SYMLINK)
        return error_set(err, ERROR_INVALID, "no symbolic link");
    length = read_target(engine, uri, &attr, target, limits, err);
    if (length > (ssize_t)size)
        length = (ssize_t)size;
    if (length > 0)
        memcpy(buffer, target, (size_t)length);
    return length;
}

/* ---- the way to a name ----------------------------------------------------------------------- */

/* The end of the component of `key` that begins at `at`; at most `end`. */
static size_t component_end(const char *key, size_t at, size_t end)
{
    while (at < end && key[at] != '/')
        at++;
    return at;
}

static void cut(const struct uri *uri, size_t length, struct uri *ret_part)
{
    *ret_part = *uri;
    ret_part->key[length] = '\0';
}

/* How much of the key needs no look: the longest part that the cache knows to be a directory, or to
 * be in one, since names were looked for from the other end before. */
static size_t known_way(struct engine *engine, const struct uri *uri, size_t end)
{
    char text[ATTR_URI_BYTES];
    struct attr attr;
    struct uri part;

    for (size_t length = end; length > 0;) {
        enum attr_cache_answer known;

        cut(uri, length, &part);
        attr_uri_text(&part, text);
        known = attr_cache_get(engine->attrs, text, &attr);
        size_t above = length;
        while (above > 0 && uri->key[--above] != '/')
            ;
        if (known == ATTR_CACHE_FOUND || known == ATTR_CACHE_NAMED)
            return attr.type == ATTR_DIRECTORY ? length + 1 : above ? above + 1 : 0;
        length = above;
    }
    return 0;
}

/* 1: *ret_attr is of the link whose key is *length long, of as much as it was before; 0: none;
 * -errno. */
static int first_link(struct engine *engine, const struct uri *uri, const struct limits *limits,
                      size_t *length, struct attr *ret_attr, struct error *err)
{
    size_t end = *length;
    struct uri part;

    for (size_t at = known_way(engine, uri, end); at < end; at++) {
        int r;

        at = component_end(uri->key, at, end);
        cut(uri, at, &part);
        r = names_lookup(engine, &part, limits, ret_attr, err);
        if (r < 0)
            return err->class == ERROR_NOT_FOUND ? 0 : r;
        *length = at;
        if (ret_attr->type != ATTR_DIRECTORY)
            return ret_attr->type == ATTR_SYMLINK;
    }
    return 0;
}

ssize_t symlink_find(struct engine *engine, const struct uri *uri, bool with_last,
                     char ret_target[SYMLINK_TARGET_MAX + 1], struct limits *limits,
                     struct error *err)
{
    size_t end = strlen(uri->key);
    struct store *store;
    struct attr attr;
    struct uri link;
    ssize_t r = engine_store(engine, uri->scheme, &store, err);

    if (r < 0 || !(store->capabilities & STORE_CAP_METADATA))
        return r;
    while (end > 0 && uri->key[end - 1] == '/')
        end--;
    while (!with_last && end > 0 && uri->key[end - 1] != '/')
        end--;
    while (end > 0 && uri->key[end - 1] == '/')
        end--;
    r = first_link(engine, uri, limits, &end, &attr, err);
    if (r <= 0)
        return r;
    cut(uri, end, &link);
    r = read_target(engine, &link, &attr, ret_target, limits, err);
    return r < 0 ? r : (ssize_t)end;
}
