/* Cutting a changed object into parts. See draft_plan.h.
 *
 * Two passes over the extents: runs that are worth a copy and what lies between them, then each run
 * into parts. When that gives too many, the smallest run worth a copy and the sizes of parts double
 * and both passes are made again.
 */
#include "core/draft_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COPYABLE (1u << EXTENT_BASE | 1u << EXTENT_CLEAN)

int draft_plan_add(struct draft_plan *plan, uint64_t offset, uint64_t length, bool is_copy)
{
    if (plan->count == plan->capacity) {
        size_t capacity = plan->capacity ? 2 * plan->capacity : 16;
        struct draft_part *parts = reallocarray(plan->parts, capacity, sizeof *parts);

        if (!parts)
            return -ENOMEM;
        plan->parts = parts;
        plan->capacity = capacity;
    }
    plan->parts[plan->count++] = (struct draft_part){offset, length, is_copy};
    return 0;
}

/* Cuts a run into parts of nearly one length, at least `bytes` where the largest allows that; one
 * part when it is shorter. */
static int cut(struct draft_plan *plan, const struct draft_part *run, uint64_t bytes,
               uint64_t part_max_bytes)
{
    uint64_t count = run->length / bytes, fewest = (run->length - 1) / part_max_bytes + 1;
    uint64_t offset = run->offset;
    int r = 0;

    if (count < fewest)
        count = fewest;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        uint64_t length = run->length / count + (i < run->length % count ? 1 : 0);

        r = draft_plan_add(plan, offset, length, run->is_copy);
        offset += length;
    }
    return r;
}

static int cut_sent(struct draft_plan *plan, uint64_t start, uint64_t end,
                    const struct draft_plan_limits *limits)
{
    struct draft_part run = {start, end - start, false};

    return start < end ? cut(plan, &run, limits->upload_bytes, limits->part_max_bytes) : 0;
}

static int cut_copied(struct draft_plan *plan, uint64_t start, uint64_t end,
                      const struct draft_plan_limits *limits)
{
    struct draft_part run = {start, end - start, true};

    return cut(plan, &run, limits->copy_bytes, limits->part_max_bytes);
}

/* The next run from `offset` on that the store has: its end; *ret_start is its beginning, the
 * length of the file when there is none. */
static uint64_t next_unchanged(const struct extents *extents, uint64_t offset, uint64_t *ret_start)
{
    uint64_t length = extents->length_bytes, end;

    while (offset < length) {
        struct extent extent = extents_at(extents, offset);

        if (COPYABLE & 1u << extent.kind)
            break;
        offset = extent.end;
    }
    *ret_start = end = offset;
    while (end < length) {
        struct extent extent = extents_at(extents, end);

        if (!(COPYABLE & 1u << extent.kind))
            break;
        end = extent.end;
    }
    return end;
}

/* One attempt: runs shorter than copy_min are sent. `sent` is where the run begins that is being
 * gathered for sending. */
static int make_runs(struct draft_plan *plan, const struct extents *extents,
                     const struct draft_plan_limits *limits, uint64_t copy_min)
{
    uint64_t length = extents->length_bytes, sent = 0, at = 0;
    int r = 0;

    while (r == 0 && at < length) {
        uint64_t start, end = next_unchanged(extents, at, &start);

        if (start > sent && start < length && start - sent < limits->part_min_bytes)
            start = sent + limits->part_min_bytes; /* a part needs that much */
        at = end;
        if (start >= end || (end - start < copy_min && (end < length || sent < start)))
            continue;
        r = cut_sent(plan, sent, start, limits);
        if (r == 0)
            r = cut_copied(plan, start, end, limits);
        sent = end;
    }
    return r < 0 ? r : cut_sent(plan, sent, length, limits);
}

/* All parts of one size; a copy where nothing in it has changed. */
static int make_grid(struct draft_plan *plan, const struct extents *extents,
                     const struct draft_plan_limits *limits)
{
    uint64_t length = extents->length_bytes;
    int r = 0;

    for (uint64_t at = 0; r == 0 && at < length; at += limits->upload_bytes) {
        uint64_t end = length - at > limits->upload_bytes ? at + limits->upload_bytes : length;
        uint64_t unchanged = limits->can_copy ? extents_sum(extents, at, end, COPYABLE) : 0;

        r = draft_plan_add(plan, at, end - at, unchanged == end - at);
    }
    return r;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int make_parts(struct draft_plan *plan, const struct extents *extents,
                      const struct draft_plan_limits *limits)
{
    struct draft_plan_limits now = *limits;
    uint64_t copy_min = limits->part_min_bytes;

    for (;;) {
        int r;

        now.upload_bytes = smaller(now.upload_bytes, limits->part_max_bytes);
        now.copy_bytes = smaller(now.copy_bytes, limits->part_max_bytes);
        plan->count = 0;
        if (limits->equal_parts)
            r = make_grid(plan, extents, &now);
        else if (limits->can_copy)
            r = make_runs(plan, extents, &now, copy_min);
        else
            r = cut_sent(plan, 0, extents->length_bytes, &now);
        if (r < 0 || plan->count <= limits->parts_max)
            return r;
        if (copy_min > extents->length_bytes && now.upload_bytes == limits->part_max_bytes)
            return -EFBIG;
        copy_min *= 2;
        now.upload_bytes *= 2;
        now.copy_bytes *= 2;
    }
}

/* Is there something to send or to fetch, or does the store have all of it? A copy of all of it is
 * made by the store itself; but a small object that is here goes up in one request. */
static bool is_single(const struct extents *extents, const struct draft_plan_limits *limits)
{
    uint64_t length = extents->length_bytes;
    uint64_t copyable = extents_sum(extents, 0, length, COPYABLE);
    uint64_t absent = extents_sum(extents, 0, length, 1u << EXTENT_BASE);

    if (length == 0)
        return true;
    if (length > limits->single_max_bytes)
        return length <= smaller(limits->upload_bytes, limits->part_max_bytes) &&
               (!limits->can_copy || copyable < limits->part_min_bytes);
    return !limits->can_copy || copyable < length || absent == 0;
}

int draft_plan_make(struct draft_plan *plan, const struct extents *extents,
                    const struct draft_plan_limits *limits)
{
    int r;

    *plan = (struct draft_plan){.is_single = is_single(extents, limits)};
    if (!plan->is_single)
        r = make_parts(plan, extents, limits);
    else
        r = extents->length_bytes ? draft_plan_add(plan, 0, extents->length_bytes, false) : 0;
    if (r < 0)
        draft_plan_fini(plan);
    return r;
}

void draft_plan_fini(struct draft_plan *plan)
{
    free(plan->parts);
    *plan = (struct draft_plan){0};
}
