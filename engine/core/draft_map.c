/* Ranges of a draft that somebody maps: present, with blocks of their own, watched by checksums.
 *
 * What a program writes through a mapping is seen by nobody. So each block of a mapped range has
 * the checksum that it had when it was last looked at; what differs at the next publish is dirty.
 * Ranges are never taken back: a program may keep a mapping longer than any descriptor.
 *
 * The ranges are shared, for what one process writes another may publish. The checksums are each
 * process's own: a block that it never looked at, or that another has looked at since, counts as
 * changed, which costs an upload and is never wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/spool.h"

#define BLOCK_BYTES ((uint64_t)64 << 10)
#define SUM_KNOWN   ((uint64_t)1 << 32)

/* Of the range with the same index, as it was when this process last saw it. */
struct draft_sums {
    struct draft_range range; /* whole blocks; the end may lie behind the file's */
    uint64_t *sums;           /* one for each block; 0: unknown */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool draft_is_mapped(const struct draft *draft, uint64_t start, uint64_t end)
{
    const struct draft_shared *shared = draft->shared;

    for (uint32_t i = 0; i < shared->map_count; i++)
        if (start < shared->maps[i].end && shared->maps[i].start < end)
            return true;
    return false;
}

static bool is_covered(const struct draft *draft, uint64_t start, uint64_t end)
{
    const struct draft_shared *shared = draft->shared;

    for (uint32_t i = 0; i < shared->map_count; i++)
        if (shared->maps[i].start <= start && end <= shared->maps[i].end)
            return true;
    return false;
}

/* ---- checksums ------------------------------------------------------------------------------- */

static uint64_t blocks_of(const struct draft_range *range)
{
    return (range->end - range->start) / BLOCK_BYTES;
}

/* Checksums for the range as it is now. */
static int fit(struct draft *draft, uint32_t index, struct error *err)
{
    struct draft_range range = draft->shared->maps[index];
    struct draft_sums *known;
    uint64_t *sums;

    if (!draft->sums)
        draft->sums = calloc(DRAFT_MAPS_MAX, sizeof *draft->sums);
    known = draft->sums ? &draft->sums[index] : NULL;
    if (known && known->range.start == range.start && known->range.end == range.end)
        return 0;
    sums = known ? calloc(blocks_of(&range), sizeof *sums) : NULL;
    if (!sums)
        return error_set(err, ERROR_NO_MEMORY, "watching a mapped range");
    if (known->sums) /* a range only grows */
        memcpy(sums + (known->range.start - range.start) / BLOCK_BYTES, known->sums,
               blocks_of(&known->range) * sizeof *sums);
    free(known->sums);
    *known = (struct draft_sums){range, sums};
    return 0;
}

static int sum_block(const struct draft *draft, uint64_t start, uint64_t *ret_sum,
                     struct error *err)
{
    unsigned char buffer[8192];
    uint32_t sum = 0;

    for (uint64_t at = start; at < start + BLOCK_BYTES; at += sizeof buffer) {
        if (draft_spool_read(draft, buffer, at, at + sizeof buffer, err) < 0)
            return -error_errno(err);
        sum = crc32c_update(sum, buffer, sizeof buffer);
    }
    *ret_sum = SUM_KNOWN | sum;
    return 0;
}

/* What is of that kind between the two is to be sent. */
static int make_dirty(struct draft *draft, uint64_t start, uint64_t end, enum extent_kind kind,
                      struct error *err)
{
    while (start < end) {
        struct extent extent = extents_at(&draft->extents, start);
        uint64_t stop = smaller(extent.end, end);
        int r = draft_reserve_marks(draft, err);

        if (r < 0)
            return r;
        if (extent.kind == kind)
            draft_set_kind(draft, start, stop, EXTENT_DIRTY);
        start = stop;
    }
    return 0;
}

static int look_at(struct draft *draft, const struct draft_sums *known, struct error *err)
{
    for (uint64_t at = known->range.start; at < known->range.end; at += BLOCK_BYTES) {
        uint64_t *sum = &known->sums[(at - known->range.start) / BLOCK_BYTES], now;
        int r = sum_block(draft, at, &now, err);

        if (r == 0 && now != *sum) {
            draft->shared->changed = true;
            r = make_dirty(draft, at, smaller(at + BLOCK_BYTES, draft->extents.length_bytes),
                           EXTENT_CLEAN, err);
        }
        if (r < 0)
            return r;
        *sum = now;
    }
    return 0;
}

int draft_note_mapped(struct draft *draft, struct error *err)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < draft->shared->map_count; i++) {
        r = fit(draft, i, err);
        if (r == 0)
            r = draft_need_file(draft, draft->sums[i].range.end, err);
        if (r == 0)
            r = look_at(draft, &draft->sums[i], err);
    }
    return r;
}

void draft_maps_free(struct draft *draft)
{
    for (unsigned i = 0; draft->sums && i < DRAFT_MAPS_MAX; i++)
        free(draft->sums[i].sums);
    free(draft->sums);
    draft->sums = NULL;
}

/* ---- the ranges ------------------------------------------------------------------------------ */

static uint64_t distance(const struct draft_range *range, uint64_t start, uint64_t end)
{
    if (end < range->start)
        return range->start - end;
    return start > range->end ? start - range->end : 0;
}

/* The index of the range nearest to this; map_count when there is a place for one more and none
 * touches it. */
static uint32_t place_of(const struct draft *draft, uint64_t start, uint64_t end)
{
    const struct draft_shared *shared = draft->shared;
    uint64_t least = UINT64_MAX;
    uint32_t nearest = 0;

    for (uint32_t i = 0; i < shared->map_count; i++) {
        uint64_t bytes = distance(&shared->maps[i], start, end);

        if (bytes < least)
            nearest = i;
        least = smaller(least, bytes);
    }
    return least > 0 && shared->map_count < DRAFT_MAPS_MAX ? shared->map_count : nearest;
}

/* Where there is no place for one more range, up to the nearest one. */
static void widen(const struct draft *draft, uint64_t *start, uint64_t *end)
{
    uint32_t place = place_of(draft, *start, *end);
    const struct draft_range *range = &draft->shared->maps[place];

    if (place == draft->shared->map_count)
        return;
    if (range->end < *start)
        *start = range->end;
    if (range->start > *end)
        *end = range->start;
}

/* Each store leaves ranges that are right. */
static uint32_t enter_range(struct draft_shared *shared, uint32_t place, uint64_t start,
                            uint64_t end)
{
    struct draft_range *range = &shared->maps[place];

    if (place == shared->map_count) {
        *range = (struct draft_range){start, end};
        __atomic_store_n(&shared->map_count, place + 1, __ATOMIC_SEQ_CST);
    }
    if (start < range->start)
        __atomic_store_n(&range->start, start, __ATOMIC_SEQ_CST);
    if (end > range->end)
        __atomic_store_n(&range->end, end, __ATOMIC_SEQ_CST);
    return place;
}

/* What nobody could write to before is known to be what the map says. */
static int watch(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    uint32_t index = enter_range(draft->shared, place_of(draft, start, end), start, end);
    int r = fit(draft, index, err);

    for (uint64_t at = start; r == 0 && at < end; at += BLOCK_BYTES) {
        const struct draft_sums *known = &draft->sums[index];
        uint64_t *sum = &known->sums[(at - known->range.start) / BLOCK_BYTES];

        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): fit has made the sums */
        if (*sum == 0)
            r = sum_block(draft, at, sum, err);
    }
    return r;
}

/* ---- making a range present ------------------------------------------------------------------ */

/* Blocks on the disk for all of it, so that no access meets a full one. */
static int allocate(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r = posix_fallocate(draft->spool_fd, (off_t)start, (off_t)(end - start));

    return r ? spool_error(err, r, "reserving room in one") : 0;
}

static int make_present(struct draft *draft, uint64_t start, uint64_t end, struct limits *limits,
                        struct error *err)
{
    uint64_t known;
    int r = 0;

    if (is_covered(draft, start, end))
        return 0;
    widen(draft, &start, &end);
    known = smaller(end, draft->extents.length_bytes);
    if (start < known)
        r = draft_make_room(draft, start, known, err);
    if (r < 0)
        return r;
    r = allocate(draft, start, end, err);
    if (r == 0)
        r = draft_fetch(draft, start, known, limits, err);
    if (r == 0) /* holes that a mapping may write to are data from now on */
        r = make_dirty(draft, start, known, EXTENT_ZERO, err);
    if (r == 0)
        r = watch(draft, start, end, err);
    if (r < 0 && start < known)
        draft_give_room_back(draft, start, known);
    return r;
}

int draft_map_fd(struct draft *draft, uint64_t offset, uint64_t length_bytes, struct limits *limits,
                 int *ret_fd, struct error *err)
{
    uint64_t start = offset - offset % BLOCK_BYTES;
    uint64_t end = offset + length_bytes + BLOCK_BYTES - 1;
    int fd, r;

    end -= end % BLOCK_BYTES;
    if (length_bytes == 0 || end < offset || end > DRAFT_LENGTH_MAX)
        return error_set(err, ERROR_INVALID, "no such range can be mapped");
    r = draft_enter(draft, false, limits, err);
    if (r < 0)
        return r;
    draft_stop_appending(draft);
    draft_ahead_stop(draft);
    r = draft_ahead_change(draft, start, end, err);
    if (r == 0)
        r = make_present(draft, start, end, limits, err);
    if (r == 0) {
        fd = fcntl(draft->spool_fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            r = error_set_errno(err, errno, "duplicating the spool's descriptor");
        else
            *ret_fd = fd;
    }
    draft_leave(draft);
    return r;
}
