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
    if (reader_registry_add_settled(reader, err) < 0) {
        reader_close(reader);
        return -ENOMEM;
    }
    *ret_reader = reader;
    return 0;
}

bool reader_locate(const struct reader *reader, struct uri *ret_uri, struct attr *ret_attr)
{
    bool is_there;

    shard_lock(reader->shard);
    is_there = !reader->copy;
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
