/* Reads out of order: aligned blocks that are kept, and requests for exactly what was asked.
 *
 * Small reads fetch the block around them, so that readers of pages, footers and directories pay
 * one round trip for each neighbourhood; blocks live under the reader's shard's lock, least
 * recently used first out, and threads that want the same block wait for the same request. Larger
 * reads are one request straight into the caller's buffer, on a shard that belongs to the calling
 * thread, so that threads do not drive each other's connections.
 */
#include <string.h>
#include <utlist.h>

#include "core/reader_private.h"

#define BLOCKS_MAX 1024u

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void drop_block(struct reader *reader, struct range *block)
{
    HASH_DEL(reader->blocks, block);
    reader->block_count--;
    range_drop(block);
}

void block_drop_all(struct reader *reader)
{
    struct range *block, *next;

    for (block = reader->blocks; block; block = next) {
        next = block->hh.next;
        drop_block(reader, block);
    }
}

void block_adopt(struct reader *reader)
{
    struct range *block, *next;

    for (block = reader->blocks; block; block = next) {
        next = block->hh.next;
        block->users = 0;
        if (!range_done(block))
            drop_block(reader, block);
    }
}

/* The least recently used one that nobody waits for; false when there is none. */
static bool evict_block(struct reader *reader)
{
    struct range *block, *next;

    for (block = reader->blocks; block; block = next) {
        next = block->hh.next;
        if (block->users == 0 && range_done(block)) {
            drop_block(reader, block);
            return true;
        }
    }
    return false;
}

void block_drop_idle(struct reader *reader)
{
    while (evict_block(reader))
        continue;
}

static void insert_block(struct reader *reader, struct range *block)
{
    HASH_ADD(hh, reader->blocks, offset, sizeof block->offset, block);
    reader->block_count++;
}

/* The block at that offset, asked for if need be; NULL without memory. */
static struct range *obtain_block(struct reader *reader, uint64_t offset, bool must)
{
    uint64_t end = smaller(offset + reader->engine->plan.block_bytes, reader->attr.size_bytes);
    struct range *block;

    HASH_FIND(hh, reader->blocks, &offset, sizeof offset, block);
    if (block && !range_failed(block)) {
        stats_add(engine_stats(reader->engine), STATS_BLOCKS_FOUND, 1);
        HASH_DEL(reader->blocks, block); /* to the end: most recently used */
        HASH_ADD(hh, reader->blocks, offset, sizeof block->offset, block);
        return block;
    }
    if (block && block->users == 0)
        drop_block(reader, block);
    else if (block)
        return NULL;
    if (reader->block_count >= BLOCKS_MAX)
        evict_block(reader);
    block = range_new(reader->engine, &reader->uri, reader->store, reader->shard);
    if (!block)
        return NULL;
    block->owner = reader;
    block->buffered_only = true;
    while (!range_reserve(block, BUDGET_BLOCKS, end - offset) && evict_block(reader))
        continue;
    if (!block->reserved_bytes && !must) {
        range_drop(block);
        return NULL;
    }
    block->offset = offset;
    stats_add(engine_stats(reader->engine), STATS_BLOCKS_FETCHED, 1);
    insert_block(reader, block);
    range_start(block, offset, end, reader->stored_bytes, reader->etag);
    return block;
}

int block_take(struct reader *reader, struct range_read *read, const struct limits *limits,
               struct error *err)
{
    uint64_t offset = read->position - read->position % reader->engine->plan.block_bytes;
    struct range *block = obtain_block(reader, offset, true);
    int r;

    if (!block)
        return exact_take(reader, read, limits, err);
    r = range_wait_whole(block, limits, err);
    if (r == 0 && read->position < block->arrived)
        r = range_copy(block, read, err);
    if (block->is_forced && block->users == 0)
        drop_block(reader, block);
    return r;
}

void block_prefetch(struct reader *reader, uint64_t start, uint64_t end)
{
    uint64_t block_bytes = reader->engine->plan.block_bytes;
    unsigned count = 0, count_max = endpoint_target(
                                     reader->endpoint, ENDPOINT_GETS, LIMITER_SHORT);

    for (uint64_t at = start - start % block_bytes; at < end && count < count_max;
         at += block_bytes, count++)
        if (!stream_find(reader, at) && !obtain_block(reader, at, false))
            return;
}

/* ---- exact reads ----------------------------------------------------------------------------- */

static struct shard *own_shard(struct reader *reader, uint64_t offset)
{
    struct engine *engine = reader->engine;

    if (reader->store->ops->choose_shard)
        return engine_shard(engine, reader->store, &reader->uri, offset);
    return engine->shards[shard_thread_id() % engine->shard_count];
}

/* Enters and leaves with the reader's shard locked; sleeps with another. */
int exact_take(struct reader *reader, struct range_read *read, const struct limits *limits,
               struct error *err)
{
    struct shard *shard = own_shard(reader, read->position);
    struct range *range = range_new(reader->engine, &reader->uri, reader->store, shard);
    uint64_t stored_bytes = reader->stored_bytes;
    char etag[STORE_ETAG_MAX];
    int r;

    if (!range)
        return error_set(err, ERROR_NO_MEMORY, "reading a range");
    memcpy(etag, reader->etag, sizeof etag);
    shard_unlock(reader->shard);
    shard_lock(shard);
    range->owner = reader;
    range->only_read = read->id;
    range->fetch.call.deadline_ns = limits->deadline_ns;
    range_start(range, read->position, read->end, stored_bytes, etag);
    r = range_take(range, read, limits, err);
    range_drop(range);
    shard_unlock(shard);
    shard_lock(reader->shard);
    return r;
}
