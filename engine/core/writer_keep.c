/* Parts that were sent and are kept all the same: so that a header can be patched, and so that a
 * stream that turns out to be no stream can become a draft.
 *
 * A kept part's buffer is lent to the upload, and ours again when it comes back. Buffers are kept
 * while the process's memory is far from its budget, the first part longest. What has to go is
 * written to an unlinked file first if it is likely to be wanted again: the first part, every part
 * once the program has gone back to change something (an archive's headers), all with
 * S3DLIO_KEEP_PARTS=spool. Kept memory never makes a write wait: it is given up before anything
 * else is tried.
 *
 * The list is touched by whoever has the writer's turn; a buffer's state is an atomic.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "core/part_memory.h"
#include "core/spool.h"
#include "core/writer_private.h"
#include "io/fd.h"

#define AGAIN_PARTS_MAX 4u /* as many are sent once more rather than copied */
#define PIECE_BYTES     ((size_t)1 << 20)

struct kept_part {
    struct buffer_block *block; /* NULL: in the spool, or gone */
    uint64_t offset, size_bytes;
    unsigned number;
    bool is_spooled; /* the file has the bytes as they are */
    bool has_room;   /* reserved in the file */
    bool is_patched; /* other than what was sent */
};

static void on_sent(void *arg)
{
    struct buffer_block *block = arg;

    if (block->spooled)
        spool_rest(block->data, block->capacity_bytes);
    if (atomic_exchange(&block->state, BLOCK_BACK) == BLOCK_CAST_OFF)
        writer_block_free(block);
}

static bool is_sent(const struct kept_part *part)
{
    return part->block && atomic_load(&part->block->state) == BLOCK_BACK;
}

/* ---- giving up ------------------------------------------------------------------------------- */

static bool take_room(struct writer *writer, struct kept_part *part)
{
    struct error ignored;

    if (part->has_room)
        return true;
    if (writer->parts.spool_fd < 0 &&
        spool_open(&writer->engine->options, &writer->parts.spool_fd, &ignored) < 0)
        return false;
    if (spool_reserve(&writer->engine->options, part->size_bytes, &ignored) < 0)
        return false;
    writer->parts.spooled_bytes += part->size_bytes;
    part->has_room = true;
    return true;
}

/* Into the spool. Failure is no error: only a later patch or conversion minds. */
static bool spool_part(struct writer *writer, struct kept_part *part)
{
    uint64_t done = 0;

    if (!take_room(writer, part))
        return false;
    while (done < part->size_bytes) {
        ssize_t n = pwrite(writer->parts.spool_fd, part->block->data + done,
                           part->size_bytes - done, (off_t)(part->offset + done));

        if (n <= 0 && errno != EINTR)
            return false;
        done += n > 0 ? (uint64_t)n : 0;
    }
    return true;
}

static bool is_worth_room(const struct writer *writer, const struct kept_part *part)
{
    return part == writer->parts.kept || writer->parts.goes_back ||
           option_int(&writer->engine->options, KEEP_PARTS) == WRITER_KEEP_SPOOL;
}

static bool evict(struct writer *writer, struct kept_part *part)
{
    if (!is_sent(part))
        return false;
    if (!part->is_spooled && is_worth_room(writer, part))
        part->is_spooled = spool_part(writer, part);
    if (part->is_patched && !part->is_spooled)
        return false;
    writer_block_free(part->block);
    part->block = NULL;
    return true;
}

bool writer_give_up_one(struct writer *writer)
{
    for (unsigned i = 1; i < writer->parts.kept_count; i++)
        if (evict(writer, &writer->parts.kept[i]))
            return true;
    return writer->parts.kept_count > 0 && evict(writer, &writer->parts.kept[0]);
}

/* All but the first part go when much of the budget is in use. */
static void trim(struct writer *writer)
{
    const struct budget *budget = &writer->engine->budget;

    for (unsigned i = 1; i < writer->parts.kept_count; i++) {
        if (budget_used(budget) <= budget_share(budget) / WRITER_KEPT_SHARE)
            return;
        evict(writer, &writer->parts.kept[i]);
    }
}

/* ---- keeping --------------------------------------------------------------------------------- */

static int make_place(struct writer *writer)
{
    unsigned capacity = writer->parts.kept_capacity ? 2 * writer->parts.kept_capacity : 16;
    struct kept_part *kept;

    if (writer->parts.kept_count < writer->parts.kept_capacity)
        return 0;
    kept = reallocarray(writer->parts.kept, capacity, sizeof *kept);
    if (!kept)
        return -ENOMEM;
    writer->parts.kept = kept;
    writer->parts.kept_capacity = capacity;
    return 0;
}

uint64_t writer_block_offset(const struct writer *writer)
{
    return (writer->copies_base ? writer->base_bytes : 0) + writer->parts.sent_bytes;
}

int writer_keep(struct writer *writer, struct buffer_block *block, struct upload_memory *ret_memory,
                struct error *err)
{
    trim(writer);
    if (make_place(writer) < 0)
        return error_set(err, ERROR_NO_MEMORY, "keeping the list of parts");
    writer->parts.kept[writer->parts.kept_count++] = (struct kept_part){
        .block = block,
        .offset = writer_block_offset(writer),
        .size_bytes = block->used_bytes,
        .number = upload_part_count(writer->upload) + 1,
    };
    writer->parts.sent_bytes += block->used_bytes;
    atomic_store(&block->state, BLOCK_LENT);
    *ret_memory = (struct upload_memory){
        .data = block->data,
        .size_bytes = block->used_bytes,
        .crc32c = block->crc32c,
        .release = on_sent,
        .arg = block,
    };
    return 0;
}

void writer_parts_free(struct writer_parts *parts)
{
    for (unsigned i = 0; i < parts->kept_count; i++)
        writer_block_free(parts->kept[i].block);
    free(parts->kept);
    fd_close(parts->spool_fd);
    spool_release(parts->spooled_bytes);
    *parts = (struct writer_parts){.spool_fd = -1};
}

struct writer_parts writer_take_parts(struct writer *writer)
{
    struct writer_parts parts = writer->parts;

    writer->parts = (struct writer_parts){.spool_fd = -1};
    return parts;
}

void writer_forget_parts(struct writer *writer)
{
    writer_parts_free(&writer->parts);
}

/* ---- patching -------------------------------------------------------------------------------- */

/* While these sleep a signal handler's call may make the list longer and put it elsewhere. */
static int wait_until_sent(struct writer *writer, unsigned index, const struct limits *limits,
                           struct error *err)
{
    int r = 0;

    while (r == 0 && writer->parts.kept[index].block && !is_sent(&writer->parts.kept[index]))
        r = upload_wait_part(writer->upload, limits, err);
    return r;
}

static bool overlaps(const struct kept_part *part, uint64_t offset, uint64_t end)
{
    return offset < part->offset + part->size_bytes && part->offset < end;
}

/* Puts the piece of [offset, end) that lies in a buffer there. */
static void patch_block(struct buffer_block *block, uint64_t start, const unsigned char *data,
                        uint64_t offset, uint64_t end)
{
    uint64_t from = offset > start ? offset : start;
    uint64_t to = end < start + block->used_bytes ? end : start + block->used_bytes;

    if (from >= to)
        return;
    memcpy(block->data + (from - start), data + (from - offset), to - from);
    block->crc32c = crc32c_update(0, block->data, block->used_bytes);
}

static int read_part(struct writer *writer, const struct kept_part *part,
                     struct buffer_block *block, struct error *err)
{
    uint64_t done = 0;

    while (done < part->size_bytes) {
        ssize_t n = pread(writer->parts.spool_fd, block->data + done, part->size_bytes - done,
                          (off_t)(part->offset + done));

        if (n == 0 || (n < 0 && errno != EINTR))
            return spool_error(err, n < 0 ? errno : EIO, "reading one");
        done += n > 0 ? (uint64_t)n : 0;
    }
    block->used_bytes = part->size_bytes;
    block->crc32c = crc32c_update(0, block->data, block->used_bytes);
    atomic_store(&block->state, BLOCK_BACK);
    return 0;
}

/* From the spool back into memory. */
static int load(struct writer *writer, unsigned index, const struct limits *limits,
                struct error *err)
{
    struct buffer_block *block;
    int r;

    if (writer->parts.kept[index].block)
        return 0;
    r = writer_block_new(writer, writer->parts.kept[index].size_bytes, limits, &block, err);
    if (r < 0)
        return r;
    r = writer->parts.kept[index].block ? -EEXIST /* the handler has loaded it */
                                        : read_part(writer, &writer->parts.kept[index], block, err);
    if (r == 0)
        writer->parts.kept[index].block = block;
    else
        writer_block_free(block);
    return r == -EEXIST ? 0 : r;
}

/* Is every byte of the range where it can be changed? */
static int check_patch(const struct writer *writer, uint64_t offset, uint64_t end,
                       struct error *err)
{
    if (end > writer->base_bytes + writer->length_bytes || offset < writer->base_bytes)
        return error_set(err, ERROR_UNSUPPORTED, "only what was written can be patched");
    for (unsigned i = 0; i < writer->parts.kept_count; i++) {
        const struct kept_part *part = &writer->parts.kept[i];

        if (overlaps(part, offset, end) && !part->block && !part->is_spooled)
            return part_memory_gone(err);
    }
    return 0;
}

/* Waits for parts on the wire. */
static int patch_parts(struct writer *writer, const unsigned char *data, uint64_t offset,
                       uint64_t end, const struct limits *limits, struct error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < writer->parts.kept_count; i++) {
        struct kept_part *part;

        if (!overlaps(&writer->parts.kept[i], offset, end))
            continue;
        r = wait_until_sent(writer, i, limits, err);
        if (r == 0)
            r = load(writer, i, limits, err);
        if (r < 0)
            break;
        part = &writer->parts.kept[i];
        patch_block(part->block, part->offset, data, offset, end);
        part->is_patched = true;
        part->is_spooled = false;
    }
    return r;
}

ssize_t writer_patch(struct writer *writer, const void *data, size_t length_bytes, uint64_t offset,
                     const struct limits *limits, struct error *err)
{
    uint64_t end = offset + length_bytes;
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = upload_check(writer->upload, err);
    if (r == 0)
        r = check_patch(writer, offset, end, err);
    if (r == 0) {
        writer->parts.goes_back = writer->changed = true;
        r = patch_parts(writer, data, offset, end, limits, err);
    }
    if (r == 0 && writer->block)
        patch_block(writer->block, writer_block_offset(writer), data, offset, end);
    writer->appends = false;
    writer_leave(writer);
    return r < 0 ? r : (ssize_t)length_bytes;
}

/* There is a place for it. */
static int send_kept(struct writer *writer, struct kept_part *part, struct error *err)
{
    struct upload_memory memory = {
        .data = part->block->data,
        .size_bytes = part->size_bytes,
        .crc32c = part->block->crc32c,
        .release = on_sent,
        .arg = part->block,
    };

    part->is_patched = false;
    atomic_store(&part->block->state, BLOCK_LENT);
    return upload_part_again(writer->upload, part->number, &memory, err);
}

int writer_send_patches(struct writer *writer, const struct limits *limits, struct error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < writer->parts.kept_count; i++) {
        if (!writer->parts.kept[i].is_patched)
            continue;
        r = upload_wait_place(writer->upload, limits, err);
        if (r == 0)
            r = load(writer, i, limits, err);
        if (r == 0)
            r = send_kept(writer, &writer->parts.kept[i], err);
    }
    return r;
}

/* ---- parts of another upload ----------------------------------------------------------------- */

bool writer_can_send_again(const struct writer *writer)
{
    bool can = writer->parts.kept_count <= AGAIN_PARTS_MAX;

    for (unsigned i = 0; can && i < writer->parts.kept_count; i++)
        can = is_sent(&writer->parts.kept[i]);
    return can;
}

int writer_send_parts(struct writer *writer, bool copies, const struct limits *limits,
                      struct error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < writer->parts.kept_count; i++) {
        struct kept_part *part = &writer->parts.kept[i];

        r = upload_wait_place(writer->upload, limits, err);
        if (r < 0)
            return r;
        r = copies ? upload_part_copy(writer->upload, part->offset, part->size_bytes, err)
                   : send_kept(writer, part, err);
    }
    return r;
}

static int put_spooled(struct writer *writer, int spool_fd, uint64_t start, uint64_t end,
                       const struct limits *limits, struct error *err)
{
    unsigned char *piece = malloc(PIECE_BYTES);
    int r = piece ? 0 : error_set(err, ERROR_NO_MEMORY, "sending a part once more");

    while (r == 0 && start < end) {
        size_t wanted = end - start < PIECE_BYTES ? end - start : PIECE_BYTES;
        ssize_t n = pread(spool_fd, piece, wanted, (off_t)start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            r = spool_error(err, n < 0 ? errno : EIO, "reading one");
        else
            r = writer_put(writer, piece, (size_t)n, limits, err);
        start += n > 0 ? (uint64_t)n : 0;
    }
    free(piece);
    return r;
}

int writer_put_parts(struct writer *writer, const struct writer_parts *parts, uint64_t start,
                     const struct limits *limits, struct error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < parts->kept_count; i++) {
        const struct kept_part *part = &parts->kept[i];
        uint64_t end = part->offset + part->size_bytes;
        uint64_t from = part->offset > start ? part->offset : start;

        if (from >= end)
            continue;
        r = part->block ? writer_put(writer, part->block->data + (from - part->offset), end - from,
                                     limits, err)
                        : put_spooled(writer, parts->spool_fd, from, end, limits, err);
    }
    return r;
}

/* ---- handing over ---------------------------------------------------------------------------- */

int writer_parts_are_here(const struct writer *writer, struct error *err)
{
    for (unsigned i = 0; i < writer->parts.kept_count; i++)
        if (!writer->parts.kept[i].block && !writer->parts.kept[i].is_spooled)
            return part_memory_gone(err);
    return 0;
}

int writer_each_part(struct writer *writer, writer_part_fn *function, void *arg, struct error *err)
{
    struct writer_part last = {.offset = writer_block_offset(writer)};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < writer->parts.kept_count; i++) {
        const struct kept_part *kept = &writer->parts.kept[i];
        struct writer_part part = {
            .data = kept->block ? kept->block->data : NULL,
            .offset = kept->offset,
            .size_bytes = kept->size_bytes,
            .number = kept->number,
            .is_spooled = !kept->block && kept->is_spooled,
            .is_patched = kept->is_patched,
        };

        r = function(arg, &part, err);
    }
    if (r < 0 || !writer->block || !writer->block->used_bytes)
        return r;
    last.data = writer->block->data;
    last.size_bytes = writer->block->used_bytes;
    return function(arg, &last, err);
}

struct upload *writer_give_upload(struct writer *writer)
{
    struct upload *upload = writer->upload;

    for (unsigned i = 0; i < writer->parts.kept_count; i++) {
        struct buffer_block *block = writer->parts.kept[i].block;

        writer->parts.kept[i].block = NULL;
        if (block && atomic_exchange(&block->state, BLOCK_CAST_OFF) == BLOCK_BACK)
            writer_block_free(block);
    }
    writer->upload = NULL;
    return upload;
}
