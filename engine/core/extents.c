/* Extents as a sorted array of packed marks. See extents.h. */
#include "core/extents.h"

#include <string.h>

static uint64_t mark_of(uint64_t start, enum extent_kind kind)
{
    return start << EXTENT_KIND_BITS | (uint64_t)kind;
}

static uint64_t start_of(uint64_t mark)
{
    return mark >> EXTENT_KIND_BITS;
}

static enum extent_kind kind_of(uint64_t mark)
{
    return (enum extent_kind)(mark & ((1u << EXTENT_KIND_BITS) - 1));
}

/* The number of marks that start at or before `offset`. */
static size_t marks_until(const struct extents *extents, uint64_t offset)
{
    size_t low = 0, high = extents->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (start_of(extents->marks[middle]) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct extent extents_at(const struct extents *extents, uint64_t offset)
{
    size_t next = marks_until(extents, offset);
    uint64_t mark = extents->marks[next - 1];

    return (struct extent){
        .start = start_of(mark),
        .end = next < extents->count ? start_of(extents->marks[next]) : extents->length_bytes,
        .kind = kind_of(mark),
    };
}

/* Puts `count` marks in the place of [from, to). */
static void replace(struct extents *extents, size_t from, size_t to, const uint64_t *marks,
                    size_t count)
{
    memmove(extents->marks + from + count, extents->marks + to,
            (extents->count - to) * sizeof *marks);
    memcpy(extents->marks + from, marks, count * sizeof *marks);
    extents->count = extents->count - (to - from) + count;
}

void extents_set(struct extents *extents, uint64_t start, uint64_t end, enum extent_kind kind)
{
    uint64_t marks[2];
    size_t from, to, count = 0;
    bool joins_left, joins_right;
    enum extent_kind right;

    if (start >= end)
        return;
    from = marks_until(extents, start);
    if (start_of(extents->marks[from - 1]) == start)
        from--;
    to = marks_until(extents, end);
    right = kind_of(extents->marks[to - 1]);
    joins_left = from > 0 && kind_of(extents->marks[from - 1]) == kind;
    joins_right = end == extents->length_bytes || right == kind;
    if (!joins_left)
        marks[count++] = mark_of(start, kind);
    if (!joins_right)
        marks[count++] = mark_of(end, right);
    replace(extents, from, to, marks, count);
}

void extents_resize(struct extents *extents, uint64_t length_bytes, enum extent_kind kind)
{
    uint64_t before = extents->length_bytes;

    extents->length_bytes = length_bytes;
    if (length_bytes < before) {
        extents->count = length_bytes ? marks_until(extents, length_bytes - 1) : 0;
    } else if (length_bytes > before) {
        if (extents->count == 0 || kind_of(extents->marks[extents->count - 1]) != kind)
            extents->marks[extents->count++] = mark_of(before, kind);
    }
}

void extents_rebase(struct extents *extents)
{
    size_t count = 0;

    for (size_t i = 0; i < extents->count; i++) {
        enum extent_kind kind =
            extent_is_local(kind_of(extents->marks[i])) ? EXTENT_CLEAN : EXTENT_BASE;

        if (count == 0 || kind_of(extents->marks[count - 1]) != kind)
            extents->marks[count++] = mark_of(start_of(extents->marks[i]), kind);
    }
    extents->count = count;
}

uint64_t extents_sum(const struct extents *extents, uint64_t start, uint64_t end, unsigned kinds)
{
    uint64_t sum = 0;

    while (start < end) {
        struct extent extent = extents_at(extents, start);

        if (extent.end > end)
            extent.end = end;
        if (kinds & 1u << extent.kind)
            sum += extent.end - start;
        start = extent.end;
    }
    return sum;
}
