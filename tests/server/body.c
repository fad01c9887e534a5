/*
 * Segment lists and the shared pattern; see body.h.
 *
 * The pattern is held several times in a row, so that pieces of some megabytes are contiguous
 * wherever they start, yet all of it stays in the processor's cache. Blocks end in their store's
 * block_free, on whichever thread drops the last reference.
 */
#include "body.h"

#include "pattern.h"
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_BYTES (4u * PATTERN_PERIOD)

static uint8_t pattern[PIECE_BYTES + PATTERN_PERIOD]; /* frozen once made */

void body_startup(void)
{
    pattern_fill(pattern, 0, PATTERN_PERIOD);
    for (size_t at = PATTERN_PERIOD; at < sizeof(pattern); at += PATTERN_PERIOD)
        memcpy(pattern + at, pattern, PATTERN_PERIOD);
}

static struct block *block_ref(struct block *block)
{
    if (block)
        atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

void block_unref(struct block *block)
{
    if (block && atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) == 1)
        block->store->ops->block_free(block->store, block);
}

static int body_one(struct block *block, uint64_t offset, uint64_t length, struct body *ret_body)
{
    struct body body = {.size = length};
    if (length) {
        body.segments = malloc(sizeof(*body.segments));
        if (!body.segments)
            return -ENOMEM;
        body.segments[0] = (struct segment){block_ref(block), offset, length};
        body.count = 1;
    }
    *ret_body = body;
    return 0;
}

int body_from_block(struct block *block, uint64_t length, struct body *ret_body)
{
    return body_one(block, 0, length, ret_body);
}

int body_from_pattern(uint64_t position, uint64_t length, struct body *ret_body)
{
    return body_one(NULL, position % PATTERN_PERIOD, length, ret_body);
}

int body_append(struct body *body, const struct body *more)
{
    if (!more->count)
        return 0;
    size_t count = body->count + more->count;
    struct segment *segments = realloc(body->segments, count * sizeof(*segments));
    if (!segments)
        return -ENOMEM;
    body->segments = segments;
    for (size_t i = 0; i < more->count; i++) {
        segments[body->count + i] = more->segments[i];
        block_ref(more->segments[i].block);
    }
    body->count = count;
    body->size += more->size;
    return 0;
}

int body_slice(const struct body *body, uint64_t start, uint64_t length, struct body *ret_body)
{
    struct body slice = {0};
    slice.segments = calloc(body->count ? body->count : 1, sizeof(*slice.segments));
    if (!slice.segments)
        return -ENOMEM;
    uint64_t position = 0;
    for (size_t i = 0; i < body->count && length; i++) {
        const struct segment *from = &body->segments[i];
        if (start < position + from->length) {
            uint64_t skip = start - position;
            uint64_t take = from->length - skip < length ? from->length - skip : length;
            slice.segments[slice.count++] =
                (struct segment){block_ref(from->block), from->offset + skip, take};
            slice.size += take;
            start += take;
            length -= take;
        }
        position += from->length;
    }
    *ret_body = slice;
    return 0;
}

void body_fini(struct body *body)
{
    for (size_t i = 0; i < body->count; i++)
        block_unref(body->segments[i].block);
    free(body->segments);
    *body = (struct body){0};
}

/* The contiguous piece of a segment at an offset in it. */
static size_t segment_piece(const struct segment *segment, uint64_t skip, uint64_t max,
                            const uint8_t **ret_data)
{
    uint64_t length = segment->length - skip;
    if (segment->block) {
        *ret_data = segment->block->base + segment->offset + skip;
    } else {
        *ret_data = pattern + (segment->offset + skip) % PATTERN_PERIOD;
        if (length > PIECE_BYTES)
            length = PIECE_BYTES;
    }
    return length < max ? length : max;
}

size_t body_piece(const struct body *body, uint64_t offset, uint64_t max, const uint8_t **ret_data)
{
    uint64_t position = 0;
    for (size_t i = 0; i < body->count; i++) {
        const struct segment *segment = &body->segments[i];
        if (offset < position + segment->length)
            return segment_piece(segment, offset - position, max, ret_data);
        position += segment->length;
    }
    return 0;
}

size_t body_pieces(const struct body *body, uint64_t start, uint64_t length, struct iovec *iov,
                   size_t iov_count)
{
    size_t pieces = 0;
    uint64_t position = 0;
    for (size_t i = 0; i < body->count && length; i++) {
        const struct segment *segment = &body->segments[i];
        while (length && start < position + segment->length) {
            const uint8_t *data;
            size_t take = segment_piece(segment, start - position, length, &data);
            if (pieces < iov_count)
                iov[pieces] = (struct iovec){(void *)data, take};
            pieces++;
            start += take;
            length -= take;
        }
        position += segment->length;
    }
    return pieces;
}
