/* Ranges of a draft that somebody maps: present, with blocks of their own, watched by checksums.
 *
 * What a program writes through a mapping is seen by nobody. So each block of a mapped range has the
 * checksum that it had when it was last looked at; what differs at the next publish is dirty. Ranges
 * are never taken back: a program may keep a mapping longer than any descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "core/draft_private.h"

#define BLOCK_BYTES ((uint64_t)64 << 10)
#define PAGE_BYTES  ((uint64_t)4096)

struct draft_map {
    uint64_t start, end; /* whole pages; the end may lie behind the file's */
    uint32_t *sums;      /* one for each block */
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool draft_is_mapped(const struct draft *draft, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < draft->map_count; i++)
        if (start < draft->maps[i].end && draft->maps[i].start < end)
            return true;
    return false;
}

static bool is_covered(const struct draft *draft, uint64_t start, uint64_t end)
{
    for (unsigned i = 0; i < draft->map_count; i++)
        if (draft->maps[i].start <= start && end <= draft->maps[i].end)
            return true;
    return false;
}

/* ---- checksums ---------------------------------------------------------------------------------- */

static int sum_block(const struct draft *draft, uint64_t start, uint64_t end, uint32_t *ret_sum,
                     struct error *err)
{
    unsigned char buffer[8192];
    uint32_t sum = 0;

    while (start < end) {
        ssize_t n =
            pread(draft->spool_fd, buffer, smaller(end - start, sizeof buffer), (off_t)start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set_errno(err, n < 0 ? errno : EIO, "reading the spool");
        sum = crc32c_update(sum, buffer, (size_t)n);
        start += (uint64_t)n;
    }
    *ret_sum = sum;
    return 0;
}

/* What differs from its checksum is dirty when `mark` says so; checksums are made anew. */
static int look_at(struct draft *draft, const struct draft_map *map, bool mark, struct error *err)
{
    unsigned index = 0;

    for (uint64_t at = map->start; at < map->end; at += BLOCK_BYTES, index++) {
        uint64_t end = smaller(at + BLOCK_BYTES, map->end);
        uint64_t known = smaller(end, draft->extents.length_bytes);
        uint32_t sum;
        int r = sum_block(draft, at, end, &sum, err);

        if (r == 0 && extents_reserve(&draft->extents) < 0)
            r = error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
        if (r < 0)
            return r;
        if (mark && at < known && sum != map->sums[index]) {
            draft_set_kind(draft, at, known, EXTENT_DIRTY);
            draft->changed = true;
        }
        map->sums[index] = sum;
    }
    return 0;
}

int draft_note_mapped(struct draft *draft, struct error *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < draft->map_count; i++)
        r = look_at(draft, &draft->maps[i], true, err);
    return r;
}

void draft_maps_free(struct draft *draft)
{
    for (unsigned i = 0; i < draft->map_count; i++)
        free(draft->maps[i].sums);
    free(draft->maps);
    draft->maps = NULL;
    draft->map_count = 0;
}

/* ---- making a range present --------------------------------------------------------------------- */

static int add_map(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    struct draft_map *maps = reallocarray(draft->maps, draft->map_count + 1, sizeof *maps);
    size_t blocks = (size_t)((end - start + BLOCK_BYTES - 1) / BLOCK_BYTES);
    struct draft_map map = {.start = start, .end = end};
    int r;

    if (maps)
        draft->maps = maps;
    map.sums = maps ? calloc(blocks, sizeof *map.sums) : NULL;
    if (!map.sums)
        return error_set(err, ERROR_NO_MEMORY, "watching a mapped range");
    r = look_at(draft, &map, false, err);
    if (r < 0) {
        free(map.sums);
        return r;
    }
    draft->maps[draft->map_count++] = map;
    return 0;
}

/* Holes that a mapping may write to are data from now on. */
static int fill_holes(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    while (start < end) {
        struct extent extent = extents_at(&draft->extents, start);
        uint64_t stop = smaller(extent.end, end);

        if (extents_reserve(&draft->extents) < 0)
            return error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
        if (extent.kind == EXTENT_ZERO)
            extents_set(&draft->extents, start, stop, EXTENT_DIRTY);
        start = stop;
    }
    return 0;
}

/* Blocks on the disk for all of it, so that no access meets a full one. */
static int allocate(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r = draft_need_spool(draft, err);

    if (r < 0)
        return r;
    r = posix_fallocate(draft->spool_fd, (off_t)start, (off_t)(end - start));
    if (r)
        return error_set_errno(err, r, "reserving space in the spool");
    if (draft->spool_bytes < end)
        draft->spool_bytes = end;
    return 0;
}

static int make_present(struct draft *draft, uint64_t start, uint64_t end, struct limits *limits,
                        struct error *err)
{
    uint64_t known = smaller(end, draft->extents.length_bytes);
    unsigned before = draft->map_count;
    int r;

    if (is_covered(draft, start, end))
        return 0;
    if (start < known)
        r = draft_make_room(draft, start, known, err);
    else
        r = 0;
    if (r < 0)
        return r;
    r = allocate(draft, start, end, err);
    if (r == 0)
        r = draft_fetch(draft, start, known, limits, err);
    if (r == 0)
        r = fill_holes(draft, start, known, err);
    if (r == 0)
        r = add_map(draft, start, end, err);
    if (draft->map_count == before && start < known)
        draft_give_room_back(draft, start, known);
    return r;
}

int draft_map_fd(struct draft *draft, uint64_t offset, uint64_t length_bytes, struct limits *limits,
                 int *ret_fd, struct error *err)
{
    uint64_t start = offset - offset % PAGE_BYTES;
    uint64_t end = offset + length_bytes + PAGE_BYTES - 1;
    int fd, r;

    end -= end % PAGE_BYTES;
    if (length_bytes == 0 || end < offset || end > DRAFT_LENGTH_MAX)
        return error_set(err, ERROR_INVALID, "no such range can be mapped");
    r = draft_enter(draft, false, limits, err);
    if (r < 0)
        return r;
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
