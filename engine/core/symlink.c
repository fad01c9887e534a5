/* Making and reading symbolic links. See symlink.h. */
#include "core/symlink.h"

#include <errno.h>
#include <string.h>

#include "core/engine.h"
#include "core/names.h"
#include "core/put.h"
#include "core/reader.h"

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
    int r = names_lookup(engine, uri, limits, &attr, err);

    if (r == 0)
        return error_set(err, ERROR_EXISTS, "something of that name exists");
    if (err->class != ERROR_NOT_FOUND)
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
        r = error_set_errno(err, EPERM, "the store keeps no metadata, so no links");
    if (r == 0)
        r = check_target(target, err);
    if (r == 0)
        r = check_place(engine, uri, limits, err);
    return r < 0 ? r : put_object(engine, &put, limits, err);
}

ssize_t symlink_read(struct engine *engine, const struct uri *uri, char *buffer, size_t size,
                     struct limits *limits, struct error *err)
{
    struct reader_target target = {buffer, size, 0};
    struct attr attr;
    int r = names_lookup(engine, uri, limits, &attr, err);

    if (r < 0)
        return r;
    if (attr.type != ATTR_SYMLINK)
        return error_set(err, ERROR_INVALID, "no symbolic link");
    return reader_get(engine, uri, &target, limits, err);
}
