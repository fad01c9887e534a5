/* What of the parts that went up ahead is still in the spool, and what changes mean to them: see
 * draft_ahead.c.
 *
 * Acknowledged parts stay in the spool as the kept parts of a writer do (writer_keep.c): in a
 * quarter of the memory budget, the first one longest, all with S3DLIO_KEEP_PARTS=spool or once the
 * program has gone back to change something. When the spool is full they are given up whatever was
 * said, so that a file may be larger than the disk. Bytes that were given up are EXTENT_SENT: there
 * is nothing to read there, and nothing can be changed, until the upload is complete and they are
 * the base's.
 */
#include <errno.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/part_memory.h"
#include "core/writer_private.h"

#define SENT (1u << EXTENT_SENT)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool draft_has_sent_off(const struct draft *draft)
{
    return extents_sum(&draft->extents, 0, draft->extents.length_bytes, SENT) > 0;
}

int draft_sent_off(struct error *err)
{
    return part_memory_gone(err);
}

/* ---- giving up ------------------------------------------------------------------------------- */

static bool give_up(struct draft *draft, uint32_t index)
{
    uint64_t start = draft_ahead_end(draft, index), end = draft_ahead_end(draft, index + 1);
    struct error ignored;

    if (draft_sent(draft)[index].is_stale || draft_is_mapped(draft, start, end) ||
        extents_sum(&draft->extents, start, end, SENT) > 0 ||
        draft_reserve_marks(draft, &ignored) < 0)
        return false;
    draft_set_kind(draft, start, end, EXTENT_SENT);
    draft_give_blocks_back(draft, start, end);
    return true;
}

void draft_ahead_trim(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    const struct engine *engine = draft->engine;
    uint64_t room = budget_share(&engine->budget) / WRITER_KEPT_SHARE;

    if (ahead->is_void || ahead->goes_back ||
        option_int(&engine->options, KEEP_PARTS) == WRITER_KEEP_SPOOL)
        return;
    for (uint32_t i = ahead->trimmed + 1; i < ahead->done; i++) {
        if (draft_ahead_end(draft, ahead->done) - draft_ahead_end(draft, i) <= room)
            return;
        give_up(draft, i);
        ahead->trimmed = i;
    }
}

static bool give_up_one(struct draft *draft)
{
    struct draft_ahead *ahead = &draft->shared->ahead;

    for (uint32_t i = 1; i < ahead->done; i++)
        if (give_up(draft, i))
            return true;
    return ahead->done > 0 && give_up(draft, 0);
}

int draft_ahead_make_room(struct draft *draft, const struct limits *limits, struct error *err)
{
    struct error failure;
    int r = 1;

    error_clear(&draft->ahead_failure);
    while (r > 0 && draft_ahead_goes_on(draft)) {
        if (give_up_one(draft))
            return 1;
        draft_ahead_push(draft, limits);
        r = draft_ahead_wait(draft, limits, &failure);
    }
    if (r == 0 && draft->ahead_failure.class != ERROR_NONE) {
        failure = draft->ahead_failure;
        r = -error_errno(&failure);
    }
    if (r < 0)
        *err = failure;
    return r < 0 ? r : 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

int draft_ahead_change(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    struct draft_ahead *ahead = &draft->shared->ahead;

    if (start > draft->extents.length_bytes)
        draft_ahead_stop(draft);
    if (start >= draft->extents.length_bytes) /* at every write of a stream: no look at its parts */
        return 0;
    end = smaller(end, draft->extents.length_bytes);
    if (extents_sum(&draft->extents, start, end, SENT) > 0)
        return draft_sent_off(err);
    for (uint32_t i = 0; i < ahead->sent && draft_ahead_end(draft, i) < end; i++) {
        if (draft_ahead_end(draft, i + 1) <= start)
            continue;
        draft_sent(draft)[i].is_stale = true;
        ahead->goes_back = true;
    }
    return 0;
}

int draft_ahead_cast_off(struct draft *draft, struct error *err)
{
    if (draft_has_sent_off(draft))
        return draft_sent_off(err);
    draft->shared->ahead.is_void = draft->shared->ahead.sent > 0;
    draft_ahead_stop(draft);
    return 0;
}

int draft_ahead_cut(struct draft *draft, uint64_t length_bytes, const struct limits *limits,
                    struct error *err)
{
    struct draft_ahead *ahead = &draft->shared->ahead;
    uint32_t whole = 0;

    while (whole < ahead->sent && draft_ahead_end(draft, whole + 1) <= length_bytes)
        whole++;
    if (whole == ahead->sent)
        return 0;
    if (extents_sum(&draft->extents, draft_ahead_end(draft, whole), length_bytes, SENT) > 0)
        return draft_sent_off(err);
    draft_ahead_settle(draft, limits);
    if (draft->is_publishing || ahead->sent != ahead->done) /* numbers that may be on their way */
        return draft_ahead_cast_off(draft, err);
    draft_ahead_free(draft);
    atomic_store(&ahead->done, whole);
    atomic_store(&ahead->sent, whole);
    if (ahead->trimmed >= whole)
        ahead->trimmed = whole > 0 ? whole - 1 : 0;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

void draft_ahead_publish(struct draft *draft)
{
    uint64_t at = 0;

    while (at < draft->extents.length_bytes) {
        struct extent extent = extents_at(&draft->extents, at);

        if (extent.kind == EXTENT_SENT)
            draft_set_kind(draft, extent.start, extent.end, EXTENT_BASE);
        at = extent.end;
    }
    draft_ahead_clear(draft);
}
