/* One read of an object that nobody has open: the request that opens it asks for what is wanted. */
#include <errno.h>
#include <string.h>

#include "core/names.h"
#include "core/reader_private.h"

static int begin(struct reader *reader, struct range_read *read, const struct limits *limits,
                 struct error *err)
{
    uint64_t part_bytes = reader->engine->plan.get_part_bytes;
    uint64_t end = read->end - read->start > part_bytes ? read->start + part_bytes : read->end;
    int r = reader->is_inline ? reader_get_attributes(reader, limits, err)
                              : reader_get_first(reader, read->start, end, limits, err);

    if (r < 0 && err->class == ERROR_RANGE) { /* it exists, and ends before that */
        reader->attr.size_bytes = 0;
        r = 0;
    }
    return r;
}

ssize_t reader_get(struct engine *engine, const struct uri *uri, const struct reader_target *target,
                   struct limits *limits, struct error *err)
{
    struct reader *reader = reader_new(engine, uri, err);
    struct range_read read = {
        .owner = reader,
        .buffer = target->buffer,
        .start = target->offset_bytes,
        .end = target->offset_bytes + target->length_bytes,
        .position = target->offset_bytes,
        .id = range_read_id(),
    };
    int r;

    if (!reader)
        return -error_errno(err);
    reader->advised_random = true; /* nothing beyond what is asked for */
    r = read.end < read.start ? error_set(err, ERROR_INVALID, "beyond the largest offset") : 0;
    if (r == 0 && read.end > read.start && !reader->kernel_writes)
        r = range_check_buffer(&read, err);
    if (r == 0 && read.end > read.start) {
        limits->work = &read;
        r = begin(reader, &read, limits, err);
        if (read.end > reader->attr.size_bytes)
            read.end = reader->attr.size_bytes > read.start ? reader->attr.size_bytes : read.start;
        if (r == 0) {
            shard_lock(reader->shard);
            r = reader_fill(reader, &read, limits, err);
            shard_unlock(reader->shard);
        }
        limits->work = NULL;
        if (r < 0 && err->class == ERROR_NOT_FOUND)
            r = names_explain_missing(engine, uri, limits, err);
    }
    reader_close(reader);
    return r < 0 ? r : (ssize_t)(read.end - read.start);
}
