/* Where the bytes of a draft are, and moving them: base, spool, caller. See draft_private.h.
 *
 * The spool's space is counted before it is used, so that its limit and a full disk are met by the
 * call that wanted more, and nothing that was written before is lost. Bytes that were only
 * fetched are given up first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/draft_private.h"
#include "core/spool.h"

#define CHUNK_BYTES ((uint64_t)1 << 20)
#define PAGE_BYTES  ((uint64_t)4096)
#define LOCAL       (1u << EXTENT_CLEAN | 1u << EXTENT_DIRTY)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- the base and the spool --------------------------------------------------------------------- */

int draft_reader(struct draft *draft, struct reader **ret_reader, struct error *err)
{
    const struct uri *uri = draft->is_cloned ? &draft->source.uri : &draft->uri;
    const struct attr *attr = draft->is_cloned ? &draft->source.attr : &draft->base.attr;
    int r = 0;

    if (!draft->reader)
        r = reader_open_version(draft->engine, uri, attr, &draft->reader, err);
    if (r == 0)
        *ret_reader = draft->reader;
    return r;
}

int draft_need_spool(struct draft *draft, struct error *err)
{
    return draft->spool_fd >= 0 ? 0 : spool_open(&draft->engine->options, &draft->spool_fd, err);
}

int draft_need_file(struct draft *draft, uint64_t size_bytes, struct error *err)
{
    int r = draft_need_spool(draft, err);

    if (r < 0 || draft->spool_bytes >= size_bytes)
        return r;
    if (ftruncate(draft->spool_fd, (off_t)size_bytes) < 0)
        return error_set_errno(err, errno, "extending the spool");
    draft->spool_bytes = size_bytes;
    return 0;
}

/* Bytes of [start, end) that are not in the spool; what lies behind the end of the file is not. */
static uint64_t missing(const struct draft *draft, uint64_t start, uint64_t end)
{
    uint64_t known = smaller(end, draft->extents.length_bytes);

    return end - start - extents_sum(&draft->extents, start, known, LOCAL);
}

static int reserve(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    uint64_t bytes = missing(draft, start, end);
    int r = spool_reserve(&draft->engine->options, bytes, err);

    if (r == 0)
        draft->reserved_bytes += bytes;
    return r;
}

static void give_back(struct draft *draft, uint64_t bytes)
{
    spool_release(bytes);
    draft->reserved_bytes -= bytes;
}

static bool punch_hole(const struct draft *draft, uint64_t start, uint64_t end)
{
    return fallocate(draft->spool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
                     (off_t)(end - start)) == 0;
}

/* Gives up what was only fetched. True when that made room. */
static bool drop_clean(struct draft *draft)
{
    bool can_fetch = draft->base.exists || draft->is_cloned;
    uint64_t before = draft->reserved_bytes;
    uint64_t at = 0;

    if (draft->map_count || !can_fetch || draft->spool_fd < 0)
        return false;
    while (at < draft->extents.length_bytes) {
        struct extent extent = extents_at(&draft->extents, at);

        at = extent.end;
        if (extent.kind == EXTENT_CLEAN && punch_hole(draft, extent.start, extent.end))
            draft_set_kind(draft, extent.start, extent.end, EXTENT_BASE);
    }
    return draft->reserved_bytes < before;
}

int draft_make_room(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r = reserve(draft, start, end, err);

    if (r == -ENOSPC && drop_clean(draft))
        r = reserve(draft, start, end, err);
    return r;
}

void draft_give_room_back(struct draft *draft, uint64_t start, uint64_t end)
{
    give_back(draft, missing(draft, start, end));
}

void draft_set_kind(struct draft *draft, uint64_t start, uint64_t end, enum extent_kind kind)
{
    if (!extent_is_local(kind))
        give_back(draft, extents_sum(&draft->extents, start, end, LOCAL));
    extents_set(&draft->extents, start, end, kind);
}

/* ---- spool I/O ---------------------------------------------------------------------------------- */

/* As pwrite(2), but goes on until nothing more fits. */
static ssize_t spool_write(struct draft *draft, const void *data, uint64_t length_bytes,
                           uint64_t offset)
{
    uint64_t written = 0;

    while (written < length_bytes) {
        ssize_t n = pwrite(draft->spool_fd, (const char *)data + written, length_bytes - written,
                           (off_t)(offset + written));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && written == 0)
            return n < 0 ? -errno : -EIO;
        if (n <= 0)
            break;
        written += (uint64_t)n;
    }
    draft->spool_bytes = larger(draft->spool_bytes, offset + written);
    return (ssize_t)written;
}

static int spool_read(const struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                      struct error *err)
{
    while (start < end) {
        ssize_t n = pread(draft->spool_fd, to, end - start, (off_t)start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(err, n < 0 ? errno : EIO, "reading the spool");
        to += n;
        start += (uint64_t)n;
    }
    return 0;
}

static int write_zeros(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    static const unsigned char zeros[16 * PAGE_BYTES];

    while (start < end) {
        ssize_t n = spool_write(draft, zeros, smaller(end - start, sizeof zeros), start);

        if (n < 0)
            return error_set_errno(err, (int)-n, "clearing a part of the spool");
        start += (uint64_t)n;
    }
    return 0;
}

int draft_punch(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    end = smaller(end, draft->spool_bytes);
    if (start >= end || (!draft_is_mapped(draft, start, end) && punch_hole(draft, start, end)))
        return 0; /* blocks under a mapping stay, so that it never meets a full disk */
    return write_zeros(draft, start, end, err);
}

/* ---- fetching ----------------------------------------------------------------------------------- */

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

/* Bytes of the base; -EAGAIN when the draft was changed meanwhile by a signal handler's call. */
static int base_read(struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                     struct limits *limits, struct error *err)
{
    struct reader_target target = {to, end - start, start};
    uint64_t serial = draft->serial;
    struct reader *reader;
    ssize_t n = draft_reader(draft, &reader, err);

    if (n == 0)
        n = reader_pread(reader, &target, limits, err);
    if (n < 0)
        return (int)n;
    if (serial != draft->serial)
        return -EAGAIN;
    if ((uint64_t)n != end - start)
        return error_set(err, ERROR_CHANGED, "the object has become shorter");
    return 0;
}

/* Puts bytes of the base, for which room is reserved, into the spool. */
static int keep(struct draft *draft, const unsigned char *data, uint64_t start, uint64_t end,
                struct error *err)
{
    int r = draft_need_spool(draft, err);
    ssize_t n;

    if (r < 0)
        return r;
    if (extents_reserve(&draft->extents) < 0)
        return error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
    n = spool_write(draft, data, end - start, start);
    if (n < 0 || (uint64_t)n < end - start)
        return error_set_errno(err, n < 0 ? (int)-n : ENOSPC, "writing to the spool");
    extents_set(&draft->extents, start, end, EXTENT_CLEAN);
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

/* ---- reading ------------------------------------------------------------------------------------ */

/* Bytes of the base for a caller, the aligned block around them, kept for the next time if there is
 * room. Returns how many were copied; 0: look again. */
static ssize_t read_block(struct draft *draft, const struct extent *extent, unsigned char *buffer,
                          uint64_t start, uint64_t end, struct limits *limits, struct error *err)
{
    uint64_t block = draft->engine->plan.block_bytes;
    uint64_t from = larger(extent->start, start - start % block);
    uint64_t stop = end + block - 1 - (end + block - 1) % block;
    struct error ignored;
    struct chunk chunk = {0};
    int r;

    stop = smaller(smaller(stop, extent->end), from + larger(CHUNK_BYTES, block));
    r = chunk_get(draft, stop - from, &chunk, err);
    if (r < 0)
        return r;
    r = base_read(draft, chunk.data, from, stop, limits, err);
    if (r == 0 && reserve(draft, from, stop, &ignored) == 0 &&
        keep(draft, chunk.data, from, stop, &ignored) < 0)
        give_back(draft, missing(draft, from, stop));
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
            n = read_block(draft, &extent, to, at, stop, limits, err);
        else if (spool_read(draft, to, at, stop, err) < 0)
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
        else
            r = spool_read(draft, to, start, stop, err);
        to += stop - start;
        start = stop;
    }
    return r;
}

/* ---- changing ----------------------------------------------------------------------------------- */

void draft_note_change(struct draft *draft)
{
    draft->changed = true;
    draft->serial++;
    draft->attr.has &= ~(unsigned)ATTR_HAS_MTIME;
}

/* What a mapping has left behind the end, in the last page, is no data. */
static int clear_tail(struct draft *draft, struct error *err)
{
    uint64_t end = draft->extents.length_bytes;

    if (!draft->map_count)
        return 0;
    return draft_punch(draft, end, end + PAGE_BYTES - end % PAGE_BYTES, err);
}

static int prepare(struct draft *draft, struct error *err)
{
    int r = draft_need_spool(draft, err);

    if (r == 0 && extents_reserve(&draft->extents) < 0)
        r = error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
    return r;
}

/* New zeros are a hole, unless a mapping may write there without our seeing it: then they are data,
 * and have room. */
static int reserve_zeros(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    if (extents_reserve(&draft->extents) < 0)
        return error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
    if (!draft_is_mapped(draft, start, end))
        return 0;
    return draft_need_file(draft, end, err) < 0 ? -error_errno(err)
                                                : draft_make_room(draft, start, end, err);
}

static void set_zeros(struct draft *draft, uint64_t start, uint64_t end)
{
    draft_set_kind(draft, start, end,
                   draft_is_mapped(draft, start, end) ? EXTENT_DIRTY : EXTENT_ZERO);
}

static int shorten(struct draft *draft, uint64_t length_bytes, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;
    int r = draft_punch(draft, length_bytes, larger(before, draft->spool_bytes), err);

    if (r < 0)
        return r;
    give_back(draft, extents_sum(&draft->extents, length_bytes, before, LOCAL));
    extents_resize(&draft->extents, length_bytes, EXTENT_ZERO);
    return 0;
}

static int lengthen(struct draft *draft, uint64_t length_bytes, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;
    int r = clear_tail(draft, err);

    if (r == 0)
        r = reserve_zeros(draft, before, length_bytes, err);
    if (r < 0)
        return r;
    extents_resize(&draft->extents, length_bytes, EXTENT_ZERO);
    set_zeros(draft, before, length_bytes);
    return 0;
}

int draft_data_resize(struct draft *draft, uint64_t length_bytes, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;
    int r;

    if (length_bytes == before)
        return 0;
    r = length_bytes < before ? shorten(draft, length_bytes, err)
                              : lengthen(draft, length_bytes, err);
    if (r == 0)
        draft_note_change(draft);
    return r;
}

/* Room for the range is reserved. */
static ssize_t write_reserved(struct draft *draft, const void *buffer, size_t length_bytes,
                              uint64_t offset, struct error *err)
{
    uint64_t end = offset + length_bytes, done = offset;
    ssize_t n = spool_write(draft, buffer, length_bytes, offset);

    if (n == -ENOSPC) { /* of the disk: what was only fetched makes room once */
        int r;

        give_back(draft, missing(draft, offset, end));
        drop_clean(draft);
        r = reserve(draft, offset, end, err);
        if (r < 0)
            return r;
        n = spool_write(draft, buffer, length_bytes, offset);
    }
    if (n > 0)
        done += (uint64_t)n;
    give_back(draft, missing(draft, done, end));
    if (n < 0)
        return error_set_errno(err, (int)-n, "writing to the spool");
    if (done > draft->extents.length_bytes)
        extents_resize(&draft->extents, done, EXTENT_ZERO);
    draft_set_kind(draft, offset, done, EXTENT_DIRTY);
    return n;
}

ssize_t draft_data_write(struct draft *draft, const void *buffer, size_t length_bytes,
                         uint64_t offset, struct error *err)
{
    uint64_t before = draft->extents.length_bytes;
    struct error ignored;
    ssize_t n = prepare(draft, err);

    if (n == 0 && offset > before)
        n = lengthen(draft, offset, err);
    if (n == 0)
        n = draft_make_room(draft, offset, offset + length_bytes, err);
    if (n == 0)
        n = write_reserved(draft, buffer, length_bytes, offset, err);
    if (n >= 0)
        draft_note_change(draft);
    else if (before < draft->extents.length_bytes)
        shorten(draft, before, &ignored);
    return n;
}

int draft_data_zero(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r;

    end = smaller(end, draft->extents.length_bytes);
    if (start >= end)
        return 0;
    r = reserve_zeros(draft, start, end, err);
    if (r < 0)
        return r;
    r = draft_punch(draft, start, end, err);
    if (r < 0) {
        if (draft_is_mapped(draft, start, end))
            give_back(draft, missing(draft, start, end));
        return r;
    }
    set_zeros(draft, start, end);
    draft_note_change(draft);
    return 0;
}
