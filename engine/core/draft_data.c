/* Where the bytes of a draft are, and moving them: base, spool, caller. See draft_private.h. */
#include <errno.h>
#include <string.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/spool.h"

#define CHUNK_BYTES ((uint64_t)1 << 20)
#define PAGE_BYTES  ((uint64_t)4096)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The one that is there may be of a version before. */
int draft_reader(struct draft *draft, struct reader **ret_reader, struct error *err)
{
    const struct draft_facts *facts = draft_facts(draft);
    const struct uri *uri = facts->is_cloned ? &facts->source.uri : &facts->uri;
    const struct attr *attr = facts->is_cloned ? &facts->source.attr : &facts->base;
    int r = 0;

    if (draft->reader && draft->reader_serial != facts->source_serial) {
        reader_close(draft->reader);
        draft->reader = NULL;
    }
    if (!draft->reader)
        r = reader_open_version(draft->engine, uri, attr, draft, &draft->reader, err);
    if (r < 0)
        return r;
    draft->reader_serial = facts->source_serial;
    *ret_reader = draft->reader;
    return 0;
}

/* ---- fetching -------------------------------------------------------------------------------- */

struct chunk {
    unsigned char *data;
    uint64_t size_bytes;
};

static int chunk_get(struct draft *draft, uint64_t size_bytes, struct chunk *ret_chunk,
                     struct error *err)
{
    unsigned char *data = pool_get(&draft->engine->pool, size_bytes);

    if (!data)
        return error_set(err, ERROR_NO_MEMORY, "memory for a block");
    budget_force(&draft->engine->budget, BUDGET_BLOCKS, size_bytes);
    *ret_chunk = (struct chunk){data, size_bytes};
    return 0;
}

static void chunk_put(struct draft *draft, const struct chunk *chunk)
{
    pool_put(&draft->engine->pool, chunk->data, chunk->size_bytes);
    budget_release(&draft->engine->budget, BUDGET_BLOCKS, chunk->size_bytes);
}

/* Bytes of the base; -EAGAIN when the draft was changed meanwhile by a signal handler's call, or
 * the base turns out to be another. */
static int base_read(struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                     struct limits *limits, struct error *err)
{
    struct reader_target target = {to, end - start, start};
    uint64_t serial = draft->shared->serial;
    struct reader *reader;
    ssize_t n = draft_reader(draft, &reader, err);

    if (n == 0)
        n = reader_pread(reader, &target, limits, err);
    if (n == -ESTALE && draft_settle(draft, limits))
        return -EAGAIN;
    if (n < 0)
        return (int)n;
    if (serial != draft->shared->serial)
        return -EAGAIN;
    if ((uint64_t)n != end - start)
        return error_set(err, ERROR_CHANGED, "the object has become shorter");
    return 0;
}

/* Puts bytes of the base, for which room is reserved, into the spool. */
static int keep(struct draft *draft, const unsigned char *data, uint64_t start, uint64_t end,
                struct error *err)
{
    int r = draft_reserve_marks(draft, err);
    ssize_t n;

    if (r < 0)
        return r;
    n = draft_spool_write(draft, data, end - start, start);
    if (n < 0 || (uint64_t)n < end - start)
        return spool_error(err, n < 0 ? (int)-n : ENOSPC, "writing to one");
    draft_set_kind(draft, start, end, EXTENT_CLEAN);
    return 0;
}

int draft_fetch(struct draft *draft, uint64_t start, uint64_t end, struct limits *limits,
                struct error *err)
{
    uint64_t at = start;
    struct chunk chunk = {0};
    int r = chunk_get(draft, CHUNK_BYTES, &chunk, err);

    if (r < 0)
        return r;
    while (r == 0 && at < smaller(end, draft->extents.length_bytes)) {
        struct extent extent = extents_at(&draft->extents, at);
        uint64_t stop = smaller(smaller(extent.end, end), at + CHUNK_BYTES);

        if (extent.kind == EXTENT_BASE)
            r = base_read(draft, chunk.data, at, stop, limits, err);
        if (extent.kind == EXTENT_SENT)
            r = draft_sent_off(err);
        if (r == 0 && extent.kind == EXTENT_BASE)
            r = keep(draft, chunk.data, at, stop, err);
        if (r == -EAGAIN)
            r = 0;
        else
            at = stop;
    }
    chunk_put(draft, &chunk);
    return r;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Bytes of the base for a caller, the aligned block around them, kept for the next time if there is
 * room. Returns how many were copied; 0: look again. */
static ssize_t read_block(struct draft *draft, unsigned char *buffer, uint64_t start, uint64_t end,
                          struct limits *limits, struct error *err)
{
    struct extent extent = extents_at(&draft->extents, start);
    uint64_t block = draft->engine->plan.block_bytes;
    uint64_t from = larger(extent.start, start - start % block);
    uint64_t stop = end + block - 1 - (end + block - 1) % block;
    struct error ignored;
    struct chunk chunk = {0};
    int r;

    stop = smaller(smaller(stop, extent.end), from + larger(CHUNK_BYTES, block));
    r = chunk_get(draft, stop - from, &chunk, err);
    if (r < 0)
        return r;
    r = base_read(draft, chunk.data, from, stop, limits, err);
    if (r == 0 && draft_reserve(draft, from, stop, &ignored) == 0 &&
        keep(draft, chunk.data, from, stop, &ignored) < 0)
        draft_give_room_back(draft, from, stop);
    end = smaller(end, stop);
    if (r == 0)
        memcpy(buffer, chunk.data + (start - from), end - start);
    chunk_put(draft, &chunk);
    if (r == -EAGAIN)
        return 0;
    return r < 0 ? r : (ssize_t)(end - start);
}

ssize_t draft_data_read(struct draft *draft, unsigned char *buffer, uint64_t start, uint64_t end,
                        struct limits *limits, struct error *err)
{
    uint64_t at = start;

    while (at < smaller(end, draft->extents.length_bytes)) {
        struct extent extent = extents_at(&draft->extents, at);
        uint64_t stop = smaller(extent.end, end);
        unsigned char *to = buffer + (at - start);
        ssize_t n = (ssize_t)(stop - at);

        if (extent.kind == EXTENT_ZERO)
            memset(to, 0, stop - at);
        else if (extent.kind == EXTENT_BASE)
            n = read_block(draft, to, at, stop, limits, err);
        else if (extent.kind == EXTENT_SENT)
            n = draft_sent_off(err);
        else if (draft_spool_read(draft, to, at, stop, err) < 0)
            n = -error_errno(err);
        if (n < 0)
            return n;
        at += (uint64_t)n;
    }
    return (ssize_t)(at - start);
}

int draft_copy_out(struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                   struct limits *limits, struct error *err)
{
    int r = 0;

    while (r == 0 && start < end) {
        struct extent extent = extents_at(&draft->extents, start);
        uint64_t stop = smaller(extent.end, end);

        if (extent.kind == EXTENT_ZERO)
            memset(to, 0, stop - start);
        else if (extent.kind == EXTENT_BASE)
            r = base_read(draft, to, start, stop, limits, err);
        else if (extent.kind == EXTENT_SENT)
            r = draft_sent_off(err);
        else
            r = draft_spool_read(draft, to, start, stop, err);
        to += stop - start;
        start = stop;
    }
    return r;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* What a mapping has left behind the end, in the last page, is no data. */
static int clear_tail(struct draft *draft, struct error *err)
{
    uint64_t end = draft->extents.length_bytes;

    if (!draft->shared->map_count)
        return 0;
    return draft_punch(draft, end, end + PAGE_BYTES - end % PAGE_BYTES, err);
}

/* New zeros are a hole, unless a mapping may write there without our seeing it: then they are data,
 * and have room. */
static enum extent_kind kind_of_zeros(const struct draft *draft, uint64_t start, uint64_t end)
{
    return draft_is_mapped(draft, start, end) ? EXTENT_DIRTY : EXTENT_ZERO;
}

static int reserve_zeros(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r = draft_reserve_marks(draft, err);

    if (r < 0 || kind_of_zeros(draft, start, end) == EXTENT_ZERO)
        return r;
    r = draft_need_file(draft, end, err);
    return r < 0 ? r : draft_make_room(draft, start, end, err);
}

static int lengthen(struct draft *draft, uint64_t length_bytes, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;
    struct draft_change change = {.length_bytes = length_bytes};
    int r = clear_tail(draft, err);

    if (r == 0)
        r = reserve_zeros(draft, before, length_bytes, err);
    if (r < 0)
        return r;
    change.filling = kind_of_zeros(draft, before, length_bytes);
    draft_note_change(draft);
    draft_change_extents(draft, &change);
    return 0;
}

int draft_data_resize(struct draft *draft, uint64_t length_bytes, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;

    if (length_bytes == before)
        return 0;
    return length_bytes < before ? draft_shorten(draft, length_bytes, err)
                                 : lengthen(draft, length_bytes, err);
}

/* Room for the range is reserved, and for what lies between the end and it. */
static ssize_t write_reserved(struct draft *draft, const void *buffer, size_t length_bytes,
                              uint64_t offset, struct error *err)
{
    uint64_t end = offset + length_bytes, before = draft->extents.length_bytes;
    struct draft_change change = {.start = offset, .kind = EXTENT_DIRTY};
    ssize_t n;

    draft_touch(draft, offset, end);
    n = draft_spool_write(draft, buffer, length_bytes, offset);
    if (n == -ENOSPC) { /* of the disk: what was only fetched makes room once */
        int r;

        draft_give_room_back(draft, offset, end);
        draft_drop_clean(draft);
        r = draft_reserve(draft, offset, end, err);
        if (r < 0)
            return r;
        n = draft_spool_write(draft, buffer, length_bytes, offset);
    }
    change.end = n > 0 ? offset + (uint64_t)n : offset;
    draft_give_room_back(draft, change.end, end);
    if (n < 0)
        return spool_error(err, (int)-n, "writing to one");
    change.length_bytes = larger(change.end, before);
    if (offset > before)
        change.filling = kind_of_zeros(draft, before, offset);
    else
        change.filling = EXTENT_DIRTY;
    draft_note_change(draft);
    draft_change_extents(draft, &change);
    return n;
}

ssize_t draft_data_write(struct draft *draft, const void *buffer, size_t length_bytes,
                         uint64_t offset, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;
    ssize_t n = 0;

    if (offset > before) {
        n = clear_tail(draft, err);
        if (n == 0)
            n = reserve_zeros(draft, before, offset, err);
    }
    if (n == 0)
        n = draft_reserve_marks(draft, err);
    if (n < 0)
        return n;
    n = draft_make_room(draft, offset, offset + length_bytes, err);
    if (n == 0)
        n = write_reserved(draft, buffer, length_bytes, offset, err);
    draft_untouch(draft); /* what failed has written nothing */
    if (n < 0 && offset > before && kind_of_zeros(draft, before, offset) == EXTENT_DIRTY)
        draft_give_room_back(draft, before, offset);
    return n;
}

int draft_data_zero(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    enum extent_kind kind;
    int r;

    end = smaller(end, draft->extents.length_bytes);
    if (start >= end)
        return 0;
    r = reserve_zeros(draft, start, end, err);
    if (r < 0)
        return r;
    kind = kind_of_zeros(draft, start, end);
    draft_note_change(draft);
    draft_touch(draft, start, end);
    draft_set_kind(draft, start, end, kind);
    r = draft_punch(draft, start, end, err);
    if (r == 0)
        draft_untouch(draft);
    return r;
}
