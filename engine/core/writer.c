/* Streaming writes: filling buffers, growing them, sending them as parts. See writer.h.
 *
 * The buffer is a block of its own, because it goes to the upload with its part and a new one takes
 * its place. Sizes grow by four from 64 KiB until the first part is full; after that a writer is
 * known to be large and takes whole parts. Those are kept after they were sent, so their memory is
 * always that of long ago, and not copied to by way of the cache.
 */
#include "core/writer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "core/append_turn.h"
#include "core/metadata_change.h"
#include "core/names.h"
#include "core/part_memory.h"
#include "core/spool.h"
#include "core/writer_private.h"
#include "core/xattr.h"
#include "io/gate.h"

#define FIRST_BYTES ((uint64_t)64 << 10)
#define GROWTH      4
#define LARGE_BYTES ((uint64_t)4 << 20) /* a block of a stream that is going to fill it */

/* ---- memory ---------------------------------------------------------------------------------- */

void writer_block_free(void *arg)
{
    struct buffer_block *block = arg;

    if (!block)
        return;
    if (block->spooled) {
        spool_unmap(block->data, block->capacity_bytes);
    } else if (block->data) {
        part_memory_give(block->engine, block->data, block->capacity_bytes);
    }
    free(block);
}

static int block_from_budget(struct engine *engine, uint64_t bytes, struct buffer_block *block)
{
    void *memory;
    int r = part_memory_take(engine, bytes, &memory);

    if (r == 0)
        block->data = memory;
    return r;
}

static int block_from_spool(struct engine *engine, uint64_t bytes, struct buffer_block *block,
                            struct error *err)
{
    void *memory;
    int r = spool_map(&engine->options, bytes, &memory, err);

    if (r == 0) {
        block->data = memory;
        block->spooled = true;
    }
    return r;
}

static uint64_t part_bytes(const struct writer *writer)
{
    return range_plan_part_bytes(&writer->engine->plan, upload_part_count(writer->upload) + 1,
                                 writer->size_hint_bytes, writer->equal_parts);
}

/* How large the next buffer is to be, when one of `capacity` is full. */
static uint64_t next_capacity(const struct writer *writer, uint64_t capacity_bytes)
{
    uint64_t part = part_bytes(writer),
             next = capacity_bytes ? GROWTH * capacity_bytes : FIRST_BYTES;

    if (upload_part_count(writer->upload) > 0 || next > part)
        return part;
    if (!capacity_bytes && writer->size_hint_bytes > next)
        next = writer->size_hint_bytes;
    return next > part ? part : next;
}

/* Hands the block over once there is a place for it, so that it is never in nobody's hands while
 * the thread sleeps. */
static int send_block(struct writer *writer, const struct limits *limits, struct error *err)
{
    uint64_t serial = writer->block_serial;
    struct upload_memory memory;
    int r;

    r = writer_send_base(writer, limits, err);
    if (r == 0)
        r = upload_wait_place(writer->upload, limits, err);
    if (r < 0 || serial != writer->block_serial)
        return r; /* a signal handler's call has sent it */
    r = writer_keep(writer, writer->block, &memory, err);
    if (r < 0)
        return r;
    writer->block = NULL;
    writer->block_serial++;
    return upload_part(writer->upload, &memory, err);
}

static int obtain_memory(struct writer *writer, uint64_t bytes, struct buffer_block *block,
                         const struct limits *limits, struct error *err)
{
    unsigned ended_count = upload_ended_count(writer->upload);
    int r = block_from_budget(writer->engine, bytes, block);

    while (r == -EAGAIN) {
        bool is_freed = writer_give_up_one(writer);

        if (!is_freed && !upload_busy(writer->upload))
            break;
        r = is_freed ? 0 : upload_wait_since(writer->upload, ended_count, limits, err);
        if (r < 0)
            return r;
        ended_count = upload_ended_count(writer->upload);
        r = block_from_budget(writer->engine, bytes, block);
    }
    if (r == -EAGAIN)
        return block_from_spool(writer->engine, bytes, block, err);
    return r == 0 ? 0 : error_set_errno(err, -r, "memory for a part");
}

int writer_block_new(struct writer *writer, uint64_t bytes, const struct limits *limits,
                     struct buffer_block **ret_block, struct error *err)
{
    struct buffer_block *block = calloc(1, sizeof *block);
    int r;

    if (!block)
        return error_set(err, ERROR_NO_MEMORY, "memory for a part");
    block->engine = writer->engine;
    block->capacity_bytes = bytes;
    r = obtain_memory(writer, bytes, block, limits, err);
    if (r == 0)
        *ret_block = block;
    else
        free(block);
    return r;
}

/* Puts a larger block, or the first one, in the place of the current one. */
static int grow(struct writer *writer, const struct limits *limits, struct error *err)
{
    uint64_t serial = writer->block_serial;
    struct buffer_block *old = writer->block, *block;
    int r = writer_block_new(writer, next_capacity(writer, old ? old->capacity_bytes : 0), limits,
                             &block, err);

    if (r != 0)
        return r;
    if (serial != writer->block_serial) { /* a signal handler's call has been here */
        writer_block_free(block);
        return 0;
    }
    if (old) {
        memcpy(block->data, old->data, old->used_bytes);
        block->used_bytes = old->used_bytes;
        block->crc32c = old->crc32c;
        writer_block_free(old);
    }
    writer->block = block;
    writer->block_serial++;
    return 0;
}

/* Makes room for at least one byte more in the current block. */
static int make_room(struct writer *writer, const struct limits *limits, struct error *err)
{
    int r = 0;

    for (;;) {
        struct buffer_block *block = writer->block;

        if (block && block->used_bytes < block->capacity_bytes)
            return 0;
        if (block && block->used_bytes >= part_bytes(writer))
            r = send_block(writer, limits, err);
        else
            r = grow(writer, limits, err);
        if (r < 0)
            return r;
    }
}

/* ---- one call at a time ---------------------------------------------------------------------- */

/* A signal handler's call goes on where the one it interrupted stands: blocks and parts are whole
 * at every sleep. */
int writer_enter(struct writer *writer, bool nested, const struct limits *limits, struct error *err)
{
    if (writer->generation != gate_generation())
        return error_set(err, ERROR_INVALID, "a writer belongs to the process that opened it");
    return turn_take(&writer->turn, nested, limits, err);
}

void writer_leave(struct writer *writer)
{
    turn_give(&writer->turn);
}

/* ---- the public part ------------------------------------------------------------------------- */

static int check_name(struct engine *engine, const struct uri *uri,
                      const struct writer_options *options, const struct limits *limits,
                      struct error *err)
{
    size_t key_length = strlen(uri->key);

    if (key_length == 0 || uri->key[key_length - 1] == '/')
        return error_set(err, ERROR_IS_DIRECTORY, "the name of a directory");
    if (!options->upload.exclusive || options->sought)
        return 0;
    /* What counts is the conditional put at close; what can be known now is told now. */
    return names_require_absent(engine, uri, limits, err);
}

int writer_open(struct engine *engine, const struct uri *uri, const struct writer_options *options,
                const struct limits *limits, struct writer **ret_writer, struct error *err)
{
    struct writer *writer;
    struct store *store;
    int r = engine_store(engine, uri->scheme, &store, err);

    if (r == 0)
        r = check_name(engine, uri, options, limits, err);
    if (r < 0)
        return r;
    uploads_sweep(engine, uri, limits);
    writer = calloc(1, sizeof *writer);
    if (!writer)
        return error_set(err, ERROR_NO_MEMORY, "opening a writer");
    writer->engine = engine;
    writer->store = store;
    writer->uri = *uri;
    writer->parts.spool_fd = -1;
    writer->appends = options->append && !options->upload.exclusive && !options->once;
    writer->exclusive = options->upload.exclusive;
    writer->is_new = options->upload.exclusive || options->sought;
    writer->size_hint_bytes = options->size_hint_bytes;
    writer->generation = gate_generation();
    writer->equal_parts = store->capabilities & STORE_CAP_EQUAL_PARTS;
    turn_init(&writer->turn, engine_shard(engine, store, uri, 0));
    r = writer_begin(writer, options, limits, err);
    if (r < 0) {
        writer_free(writer);
        return r;
    }
    *ret_writer = writer;
    return 0;
}

static void fill(struct buffer_block *block, const unsigned char *data, size_t length_bytes)
{
    bool is_large = block->capacity_bytes >= LARGE_BYTES;

    if (is_large && !block->spooled)
        part_memory_reach(block->data, block->used_bytes, length_bytes);
    block->crc32c =
        crc32c_copy(block->crc32c, block->data + block->used_bytes, data, length_bytes, is_large);
    block->used_bytes += length_bytes;
    if (block->spooled)
        spool_rest(block->data, block->capacity_bytes);
}

int writer_put(struct writer *writer, const unsigned char *data, size_t length_bytes,
               const struct limits *limits, struct error *err)
{
    int r = 0;

    while (r == 0 && length_bytes > 0) {
        size_t piece;

        r = make_room(writer, limits, err);
        if (r < 0)
            break;
        piece = writer->block->capacity_bytes - writer->block->used_bytes;
        if (piece > length_bytes)
            piece = length_bytes;
        fill(writer->block, data, piece);
        writer->length_bytes += piece;
        data += piece;
        length_bytes -= piece;
    }
    return r;
}

static int put_behind_base(struct writer *writer, const unsigned char *data, size_t length_bytes,
                           struct limits *limits, struct error *err)
{
    int r = upload_check(writer->upload, err);

    if (r < 0 || length_bytes == 0)
        return r;
    r = writer_fetch_base(writer, limits, err);
    if (r < 0)
        return r;
    writer->changed = true;
    return writer_put(writer, data, length_bytes, limits, err);
}

static int append(struct writer *writer, const unsigned char *data, size_t length_bytes,
                  struct limits *limits, struct error *err)
{
    uint64_t before = writer_length(writer), done;
    int r;

    if (writer->finishing)
        return error_set(err, ERROR_INVALID, "the writer is being closed or renamed");
    r = put_behind_base(writer, data, length_bytes, limits, err);
    while (r < 0 && writer_is_overtaken(writer, err)) {
        done = writer_length(writer) - before;
        r = writer_go_behind(writer, limits, err);
        if (r < 0)
            break;
        before = writer_length(writer) - done;
        r = put_behind_base(writer, data + done, length_bytes - done, limits, err);
    }
    return r;
}

ssize_t writer_write(struct writer *writer, const void *data, size_t length_bytes,
                     struct limits *limits, struct error *err)
{
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    if (length_bytes && writer->attr.has & ATTR_HAS_MTIME) {
        writer->attr.has &= ~(unsigned)ATTR_HAS_MTIME;
        writer->late.has &= ~(unsigned)ATTR_HAS_MTIME;
        upload_drop_mtime(writer->upload);
    }
    r = append(writer, data, length_bytes, limits, err);
    writer_leave(writer);
    return r < 0 ? r : (ssize_t)length_bytes;
}

uint64_t writer_length(const struct writer *writer)
{
    return writer->base_bytes + writer->length_bytes;
}

/* All of it in one request. The block stays when the writer goes on. */
static int put_whole(struct writer *writer, bool goes_on, const struct limits *limits,
                     struct error *err)
{
    static const unsigned char nothing[1];
    struct buffer_block *block = writer->block; /* nobody else looks: see finishing */
    struct upload_memory memory = {.data = nothing};

    if (block)
        memory = (struct upload_memory){
            .data = block->data, .size_bytes = block->used_bytes, .crc32c = block->crc32c};
    if (block && !goes_on && !writer->appends) {
        memory.release = writer_block_free;
        memory.arg = block;
        writer->block = NULL;
    }
    return upload_put(writer->upload, &memory, limits, err);
}

int writer_send_rest(struct writer *writer, bool goes_on, const struct limits *limits,
                     struct error *err)
{
    int r = upload_check(writer->upload, err);

    if (r == 0)
        r = writer_send_base(writer, limits, err);
    if (r < 0)
        return r;
    if (upload_part_count(writer->upload) == 0)
        return put_whole(writer, goes_on, limits, err);
    if (writer->block && writer->block->used_bytes > 0)
        r = send_block(writer, limits, err);
    if (r == 0)
        r = writer_send_patches(writer, limits, err);
    return r < 0 ? r : upload_complete(writer->upload, limits, err);
}

int writer_check_open(const struct writer *writer, struct error *err)
{
    return writer->finishing ? error_set(err, ERROR_BUSY, "the writer is being closed already") : 0;
}

/* An append to a store without conditional puts goes on in its turn from the look at what is
 * there. */
static int finish(struct writer *writer, bool goes_on, struct limits *limits, struct error *err)
{
    struct append_turn turn = APPEND_TURN_NONE;
    int r = 0;

    if (writer->appends && append_turn_is_needed(writer->store))
        r = append_turn_take(&turn, writer->store, &writer->uri, limits, err);
    if (r == 0)
        r = writer_send_rest(writer, goes_on, limits, err);
    if (r < 0 && writer_is_overtaken(writer, err))
        r = writer_finish_behind(writer, &turn, limits, err);
    append_turn_give(&turn);
    return r;
}

static int complete(struct writer *writer, bool goes_on, struct limits *limits,
                    struct attr *ret_attr, struct error *err)
{
    char text[ATTR_URI_BYTES];
    int r;

    writer->finishing = true;
    r = writer->changed ? finish(writer, goes_on, limits, err) : upload_check(writer->upload, err);
    if (r < 0)
        upload_abort(writer->upload);
    else if (writer->changed)
        upload_tell_attr(writer->upload, ret_attr);
    else
        *ret_attr = writer->base.attr;
    attr_uri_text(&writer->uri, text);
    attr_cache_forget(writer->engine->attrs, text);
    if (r == 0 && writer->late.has)
        r = metadata_set_attr(writer->engine, &writer->uri, &writer->late, limits, ret_attr, err);
    writer->late.has = 0;
    if (r == 0 && writer->late_xattr)
        r = xattr_store_all(writer->engine, &writer->uri, &writer->base.metadata, limits, ret_attr,
                            err);
    writer->late_xattr = false;
    return r;
}

int writer_set_attr(struct writer *writer, const struct attr *attr, const struct limits *limits,
                    struct error *err)
{
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = writer_check_open(writer, err);
    if (r == 0) {
        attr_merge(&writer->attr, attr);
        r = writer->changed ? upload_set_attr(writer->upload, attr) : 1;
        if (r > 0)
            attr_merge(&writer->late, attr);
        else if (r < 0)
            error_set_errno(err, -r, "storing attributes");
    }
    writer_leave(writer);
    return r < 0 ? r : 0;
}

int writer_finish(struct writer *writer, struct limits *limits, struct attr *ret_attr,
                  struct error *err)
{
    struct attr attr;
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = writer_check_open(writer, err);
    if (r == 0)
        r = complete(writer, false, limits, &attr, err);
    if (r == 0 && ret_attr)
        *ret_attr = attr;
    writer_leave(writer);
    return r;
}

int writer_publish(struct writer *writer, struct limits *limits, struct attr *ret_attr,
                   struct error *err)
{
    struct attr attr;
    bool was_changed;
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    was_changed = writer->changed;
    r = writer_check_open(writer, err);
    if (r == 0) {
        r = complete(writer, true, limits, &attr, err);
        writer->finishing = false; /* after a failure the upload tells it again */
    }
    if (r == 0 && was_changed)
        r = writer_continue(writer, &attr, err);
    if (r == 0 && ret_attr)
        *ret_attr = attr;
    writer_leave(writer);
    return r;
}

void writer_abort(struct writer *writer, const struct limits *limits)
{
    struct error ignored;

    if (writer_enter(writer, true, limits, &ignored) < 0)
        return;
    upload_abort(writer->upload);
    writer_leave(writer);
}

/* Apart from its upload. */
static void free_rest(struct writer *writer)
{
    writer_block_free(writer->block);
    writer_forget_parts(writer);
    base_version_fini(&writer->base);
    free(writer->content_type);
    free(writer);
}

void writer_free(struct writer *writer)
{
    if (!writer)
        return;
    upload_free(writer->upload);
    free_rest(writer);
}

void writer_forget(struct writer *writer)
{
    if (!writer)
        return;
    upload_forget(writer->upload);
    free_rest(writer);
}
