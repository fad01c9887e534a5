/* A copy through this process: read here, sent again, part by part. See copy_bytes.h. */
#include "core/copy_bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "core/engine.h"
#include "core/part_memory.h"
#include "core/reader.h"
#include "core/upload.h"

struct block {
    struct engine *engine;
    void *data;
    uint64_t size_bytes;
};

struct passing {
    struct engine *engine;
    const struct copy_bytes *copy;
    struct reader *reader;
    struct upload *upload;
    struct limits limits;
};

static void block_free(void *arg)
{
    struct block *block = arg;

    part_memory_give(block->engine, block->data, block->size_bytes);
    free(block);
}

/* From the budget when own parts have given theirs back; one part beyond it when there are none. */
static int obtain(struct passing *passing, struct block *block, struct error *err)
{
    unsigned ended_count = upload_ended_count(passing->upload);
    int r = part_memory_take(block->engine, block->size_bytes, &block->data);

    while (r == -EAGAIN && upload_busy(passing->upload)) {
        r = upload_wait_since(passing->upload, ended_count, &passing->limits, err);
        if (r < 0)
            return r;
        ended_count = upload_ended_count(passing->upload);
        r = part_memory_take(block->engine, block->size_bytes, &block->data);
    }
    if (r == -EAGAIN)
        r = part_memory_force(block->engine, block->size_bytes, &block->data);
    return r == 0 ? 0 : error_set(err, ERROR_NO_MEMORY, "copying an object");
}

static int block_new(struct passing *passing, uint64_t bytes, struct block **ret_block,
                     struct error *err)
{
    struct block *block = calloc(1, sizeof *block);
    int r;

    if (!block)
        return error_set(err, ERROR_NO_MEMORY, "copying an object");
    *block = (struct block){.engine = passing->engine, .size_bytes = bytes};
    r = obtain(passing, block, err);
    if (r == 0)
        *ret_block = block;
    else
        free(block);
    return r;
}

static int read_block(struct passing *passing, const struct block *block, uint64_t offset,
                      struct error *err)
{
    uint64_t done = 0;

    while (done < block->size_bytes) {
        struct reader_target target = {(unsigned char *)block->data + done, block->size_bytes - done, offset + done};
        ssize_t n = reader_pread(passing->reader, &target, &passing->limits, err);

        if (n == 0)
            return error_set(err, ERROR_CHANGED, "the object has become shorter");
        if (n < 0)
            return (int)n;
        done += (uint64_t)n;
    }
    return 0;
}

static int pass_part(struct passing *passing, uint64_t offset, uint64_t bytes, struct error *err)
{
    struct upload_memory memory = {.size_bytes = bytes, .release = block_free};
    struct block *block = NULL;
    int r = upload_wait_place(passing->upload, &passing->limits, err);

    if (r == 0)
        r = block_new(passing, bytes, &block, err);
    if (r != 0)
        return r;
    r = read_block(passing, block, offset, err);
    if (r < 0) {
        block_free(block);
        return r;
    }
    memory.data = block->data;
    memory.arg = block;
    memory.crc32c = crc32c_update(0, block->data, bytes);
    return upload_part(passing->upload, &memory, err);
}

static int pass_all(struct passing *passing, struct error *err)
{
    uint64_t size = passing->copy->source->size_bytes, offset = 0;
    int r = 0;

    while (r == 0 && offset < size) {
        unsigned number = upload_part_count(passing->upload) + 1;
        uint64_t bytes = range_plan_part_bytes(&passing->engine->plan, number, size, true);

        if (bytes > size - offset)
            bytes = size - offset;
        r = pass_part(passing, offset, bytes, err);
        offset += bytes;
    }
    return r < 0 ? r : upload_complete(passing->upload, &passing->limits, err);
}

static void tell_target(const struct passing *passing, struct store_object *ret_target)
{
    struct attr attr;

    upload_tell_attr(passing->upload, &attr);
    *ret_target = (struct store_object){.size_bytes = attr.size_bytes, .mtime = attr.mtime};
    memcpy(ret_target->etag, attr.etag, sizeof ret_target->etag);
}

static int open_both(struct passing *passing, struct error *err)
{
    const struct copy_bytes *copy = passing->copy;
    struct upload_options options = {
        .exclusive = copy->exclusive,
        .content_type = copy->source->content_type[0] ? copy->source->content_type : NULL,
        .metadata = copy->metadata,
        .base_etag = copy->in_place ? copy->source->etag : NULL,
        .owner = passing,
    };
    struct attr attr;
    int r = upload_new(passing->engine, copy->to, &options, &passing->upload, err);

    attr_from_object(copy->source, copy->from, &attr);
    if (r == 0)
        r = reader_open_version(passing->engine, copy->from, &attr, passing, &passing->reader, err);
    return r;
}

int copy_bytes(struct engine *engine, const struct copy_bytes *copy, const struct limits *limits,
               struct store_object *ret_target, struct error *err)
{
    struct passing *passing = calloc(1, sizeof *passing);
    int r;

    if (!passing)
        return error_set(err, ERROR_NO_MEMORY, "copying an object");
    passing->engine = engine;
    passing->copy = copy;
    limits_begin_within(&passing->limits, limits->deadline_ns - clock_now_ns());
    passing->limits.cancelled = limits->cancelled;
    r = open_both(passing, err);
    if (r == 0)
        r = pass_all(passing, err);
    if (r == 0)
        tell_target(passing, ret_target);
    else if (passing->upload)
        upload_abort(passing->upload);
    limits_end(&passing->limits);
    reader_close(passing->reader);
    upload_free(passing->upload);
    free(passing);
    return r;
}
