/* The version that a reader has: what is known of it, and readers of one that is known already (no
 * request at open, If-Match on every one that follows). */
#include "core/reader_private.h"

int reader_open_version(struct engine *engine, const struct uri *uri, const struct attr *attr,
                        struct reader **ret_reader, struct error *err)
{
    struct reader *reader = reader_new(engine, uri, err);

    if (!reader)
        return -error_errno(err);
    reader->attr = *attr;
    *ret_reader = reader;
    return 0;
}

const struct uri *reader_uri(const struct reader *reader)
{
    return &reader->uri;
}

const char *reader_content_type(const struct reader *reader)
{
    return reader->content_type;
}

bool reader_is_tagged(const struct reader *reader)
{
    return reader->is_tagged;
}
