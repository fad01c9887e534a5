/* The version that a reader has: what is known of it, and readers of one that is known already (no
 * request at open, If-Match on every one that follows). */
#include <errno.h>
#include <string.h>

#include "core/reader_private.h"

int reader_open_version(struct engine *engine, const struct uri *uri, const struct attr *attr,
                        const void *owner, struct reader **ret_reader, struct error *err)
{
    struct reader *reader = reader_new(engine, uri, err);

    if (!reader)
        return -error_errno(err);
    reader->attr = *attr;
    reader->owner = owner;
    memcpy(reader->etag, attr->etag, sizeof reader->etag);
    reader->stored_bytes = attr->size_bytes;
    if (reader_registry_add_settled(reader, !owner, err) < 0) {
        reader_close(reader);
        return -ENOMEM;
    }
    *ret_reader = reader;
    return 0;
}

/* In no registry: whatever becomes of the name, the bytes are here. */
int reader_open_put(struct engine *engine, const struct uri *uri, const struct attr *attr,
                    const struct reader_put *put, struct reader **ret_reader, struct error *err)
{
    struct reader *reader = reader_new(engine, uri, err);
    int r = 0;

    if (!reader)
        return -error_errno(err);
    if (put->size_bytes)
        r = reader_copy_new(engine, put->size_bytes, &reader->copy, err);
    if (r == 0 && put->size_bytes)
        r = reader_copy_put(reader->copy, put->data, put->size_bytes, 0, err);
    if (r < 0) {
        reader_close(reader);
        return r;
    }
    reader->attr = *attr;
    reader->stored_bytes = attr->size_bytes;
    atomic_store(&reader->put_serial, put->serial);
    *ret_reader = reader;
    return 0;
}

static bool is_missing(const struct error *err)
{
    return err->class == ERROR_NOT_FOUND || err->class == ERROR_IS_DIRECTORY ||
           err->class == ERROR_NOT_DIRECTORY;
}

/* Says `stale` every read of it? */
static bool is_stale(const struct reader *reader)
{
    bool stale;

    shard_lock(reader->shard);
    stale = reader->stale.class != ERROR_NONE;
    shard_unlock(reader->shard);
    return stale;
}

int reader_open_newer(const struct reader *reader, const struct limits *limits,
                      struct reader **ret_reader, struct error *err)
{
    struct uri uri;
    struct attr known;
    struct reader *newer;
    int r;

    reader_locate(reader, &uri, &known);
    newer = reader_new(reader->engine, &uri, err);
    if (!newer)
        return -error_errno(err);
    r = reader_begin(newer, reader_get_attributes, limits, err);
    if (r == 0) {
        reader_remember(newer);
        r = newer->attr.type == ATTR_FILE &&
            (strcmp(newer->attr.etag, known.etag) != 0 ||
             newer->attr.size_bytes != known.size_bytes || is_stale(reader));
    } else if (is_missing(err)) {
        error_clear(err);
        r = 0;
    }
    if (r == 1)
        *ret_reader = newer;
    else
        reader_close(newer);
    return r;
}

bool reader_locate(const struct reader *reader, struct uri *ret_uri, struct attr *ret_attr)
{
    bool is_there;

    shard_lock(reader->shard);
    is_there = !reader->copy && reader->stored_bytes == reader->attr.size_bytes;
    *ret_uri = reader->uri;
    *ret_attr = reader->attr;
    memcpy(ret_attr->etag, reader->etag, sizeof ret_attr->etag);
    shard_unlock(reader->shard);
    return is_there;
}

const char *reader_content_type(const struct reader *reader)
{
    return reader->content_type;
}

bool reader_is_tagged(const struct reader *reader)
{
    return reader->is_tagged;
}
