/* The private file of a draft: room in it, its bytes, and the order in which it and the map of what
 * is in it change. See draft_private.h.
 *
 * Room is counted before it is used, so that the limit and a full disk are met by the call that
 * wanted more, and nothing that was written before is lost. Bytes that were only fetched are given
 * up first.
 *
 * A process may die between a change of the file and that of the map. What is written goes to the
 * file first; what is cut off or cleared leaves the map first. Clean bytes are the one kind that
 * may be wrong then: they are taken for changed ones, which is what they may be, and never the
 * other way.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/spool.h"
#include "io/gate.h"

#define PAGE_BYTES ((uint64_t)4096)
#define LOCAL      (1u << EXTENT_CLEAN | 1u << EXTENT_DIRTY)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int size_of(const struct draft *draft, uint64_t *ret_size_bytes, struct error *err)
{
    struct stat st;

    if (fstat(draft->spool_fd, &st) < 0)
        return spool_error(err, errno, "looking at one");
    *ret_size_bytes = (uint64_t)st.st_size;
    return 0;
}

int draft_need_file(struct draft *draft, uint64_t size_bytes, struct error *err)
{
    uint64_t known = 0;
    int r = size_of(draft, &known, err);

    if (r < 0 || known >= size_bytes)
        return r;
    if (ftruncate(draft->spool_fd, (off_t)size_bytes) < 0)
        return spool_error(err, errno, "extending one");
    return 0;
}

ssize_t draft_spool_write(struct draft *draft, const void *data, uint64_t length_bytes,
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
    return (ssize_t)written;
}

int draft_spool_read(const struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                     struct error *err)
{
    while (start < end) {
        ssize_t n = pread(draft->spool_fd, to, end - start, (off_t)start);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_error(err, n < 0 ? errno : EIO, "reading one");
        to += n;
        start += (uint64_t)n;
    }
    return 0;
}

static int write_zeros(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    static const unsigned char zeros[16 * PAGE_BYTES];

    while (start < end) {
        ssize_t n = draft_spool_write(draft, zeros, smaller(end - start, sizeof zeros), start);

        if (n < 0)
            return spool_error(err, (int)-n, "clearing a part of one");
        start += (uint64_t)n;
    }
    return 0;
}

bool draft_give_blocks_back(const struct draft *draft, uint64_t start, uint64_t end)
{
    return fallocate(draft->spool_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start,
                     (off_t)(end - start)) == 0;
}

int draft_punch(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    uint64_t size = 0;
    int r = start < end ? size_of(draft, &size, err) : 0;

    if (start >= end || r < 0)
        return r;
    end = smaller(end, size);
    if (start >= end ||
        (!draft_is_mapped(draft, start, end) && draft_give_blocks_back(draft, start, end)))
        return 0; /* blocks under a mapping stay, so that it never meets a full disk */
    return write_zeros(draft, start, end, err);
}

/* ---- after a death --------------------------------------------------------------------------- */

void draft_touch(struct draft *draft, uint64_t start, uint64_t end)
{
    struct draft_range *touched = &draft->shared->touched;

    __atomic_store_n(&touched->start, start, __ATOMIC_SEQ_CST);
    __atomic_store_n(&touched->end, end, __ATOMIC_SEQ_CST);
}

void draft_untouch(struct draft *draft)
{
    __atomic_store_n(&draft->shared->touched.end, 0, __ATOMIC_SEQ_CST);
}

/* What of the touched range is in the file becomes what the map says of it, or the reverse. */
static int mend_touched(struct draft *draft, struct error *err)
{
    struct draft_range touched = draft->shared->touched;
    uint64_t length = draft->extents.length_bytes, at = touched.start;
    int r = 0;

    while (r == 0 && at < smaller(touched.end, length)) {
        struct extent extent = extents_at(&draft->extents, at);
        uint64_t stop = smaller(extent.end, touched.end);

        if (extent.kind == EXTENT_CLEAN)
            r = draft_reserve_marks(draft, err);
        if (r == 0 && extent.kind == EXTENT_CLEAN) {
            draft_note_change(draft);
            draft_set_kind(draft, at, stop, EXTENT_DIRTY);
        }
        if (extent.kind == EXTENT_ZERO)
            r = draft_punch(draft, at, stop, err);
        at = stop;
    }
    if (r == 0)
        r = draft_punch(draft, at > length ? at : length, touched.end, err);
    if (r == 0)
        draft_untouch(draft);
    return r;
}

int draft_mend(struct draft *draft, struct error *err)
{
    struct draft_shared *shared = draft->shared;
    int r = 0;

    bool is_renewing = draft_facts(draft)->is_renewing;

    if (!atomic_load(&shared->turn.owner_died) && shared->touched.end == 0 && !is_renewing)
        return 0;
    draft_shared_repair(draft);
    if (is_renewing)
        r = draft_renew(draft, err);
    if (r < 0)
        return r;
    if (shared->touched.end > 0)
        r = mend_touched(draft, err);
    if (r < 0)
        return r;
    if (draft_facts(draft)->base_exists && draft_has_sent_off(draft))
        draft_ahead_publish(draft);
    shared->reserved_bytes = extents_sum(&draft->extents, 0, draft->extents.length_bytes, LOCAL);
    atomic_store(&shared->turn.owner_died, false);
    return 0;
}

/* ---- room ------------------------------------------------------------------------------------ */

void draft_count_room(struct draft *draft)
{
    spool_recount(draft->counted_bytes, draft->shared->reserved_bytes);
    draft->counted_bytes = draft->shared->reserved_bytes;
}

/* Bytes of [start, end) that are not in the spool; what lies behind the end of the file is not. */
static uint64_t missing(const struct draft *draft, uint64_t start, uint64_t end)
{
    uint64_t known = smaller(end, draft->extents.length_bytes);

    return end - start - extents_sum(&draft->extents, start, known, LOCAL);
}

int draft_reserve(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    uint64_t bytes = missing(draft, start, end);
    int r = spool_reserve(&draft->engine->options, bytes, err);

    if (r == 0) {
        draft->counted_bytes += bytes;
        draft->shared->reserved_bytes += bytes;
    }
    return r;
}

/* Not by the child that a signal handler made in the middle of a call, which returns from it. */
static void give_back(struct draft *draft, uint64_t bytes)
{
    if (draft->inside == 0 || draft->generation != gate_generation())
        return;
    draft->shared->reserved_bytes -= bytes;
    draft_count_room(draft);
}

bool draft_drop_clean(struct draft *draft)
{
    uint64_t before = draft->shared->reserved_bytes;
    uint64_t at = 0;

    if (draft->shared->map_count || !draft_facts_have_source(draft_facts(draft)))
        return false;
    while (at < draft->extents.length_bytes) {
        struct extent extent = extents_at(&draft->extents, at);

        at = extent.end;
        if (extent.kind != EXTENT_CLEAN)
            continue;
        draft_set_kind(draft, extent.start, extent.end, EXTENT_BASE);
        if (!draft_give_blocks_back(draft, extent.start, extent.end)) {
            draft->shared->reserved_bytes += extent.end - extent.start;
            draft_count_room(draft);
            draft_set_kind(draft, extent.start, extent.end, EXTENT_CLEAN);
        }
    }
    return draft->shared->reserved_bytes < before;
}

int draft_make_room(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r = draft_reserve(draft, start, end, err);

    if (r == -ENOSPC && draft_drop_clean(draft))
        r = draft_reserve(draft, start, end, err);
    return r;
}

static int allocate_hole(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    int r = draft_make_room(draft, start, end, err);

    if (r < 0)
        return r;
    draft_give_room_back(draft, start, end);
    do {
        r = fallocate(draft->spool_fd, FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)(end - start));
    } while (r < 0 && (errno == EINTR || (errno == ENOSPC && draft_drop_clean(draft))));
    if (r < 0 && errno == EOPNOTSUPP) /* such a file system has no room to promise */
        return 0;
    return r < 0 ? spool_error(err, errno, "reserving room in one") : 0;
}

int draft_spool_allocate(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    uint64_t length = draft->extents.length_bytes;
    int r = 0;

    while (r == 0 && start < smaller(end, length)) {
        struct extent extent = extents_at(&draft->extents, start);
        uint64_t stop = smaller(extent.end, end);

        if (extent.kind == EXTENT_ZERO)
            r = allocate_hole(draft, start, stop, err);
        start = stop;
    }
    return r == 0 && start < end ? allocate_hole(draft, start, end, err) : r;
}

void draft_give_room_back(struct draft *draft, uint64_t start, uint64_t end)
{
    give_back(draft, missing(draft, start, end));
}

/* ---- the map --------------------------------------------------------------------------------- */

void draft_note_change(struct draft *draft)
{
    draft->shared->changed = true;
    draft->shared->serial++;
    if (draft_facts(draft)->attr.has & ATTR_HAS_MTIME) {
        draft_facts_begin(draft)->attr.has &= ~(unsigned)ATTR_HAS_MTIME;
        draft_facts_commit(draft);
    }
}

void draft_set_kind(struct draft *draft, uint64_t start, uint64_t end, enum extent_kind kind)
{
    struct draft_change change = {draft->extents.length_bytes, EXTENT_ZERO, start, end, kind};
    uint64_t local = extent_is_local(kind) ? 0 : extents_sum(&draft->extents, start, end, LOCAL);

    draft_change_extents(draft, &change);
    give_back(draft, local);
}

int draft_shorten(struct draft *draft, uint64_t length_bytes, struct error *err)
{
    uint64_t before = draft->extents.length_bytes, end = 0;
    uint64_t local = extents_sum(&draft->extents, length_bytes, before, LOCAL);
    struct draft_change change = {.length_bytes = length_bytes, .filling = EXTENT_ZERO};
    int r = size_of(draft, &end, err);

    if (r < 0)
        return r;
    draft_note_change(draft);
    draft_touch(draft, length_bytes, before > end ? before : end);
    draft_change_extents(draft, &change);
    give_back(draft, local);
    r = draft_punch(draft, length_bytes, end, err);
    if (r == 0)
        draft_untouch(draft);
    return r;
}
