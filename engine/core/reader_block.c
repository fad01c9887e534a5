/* Reads out of order: aligned blocks that are kept, and requests for exactly what was asked.
 *
 * Small reads fetch the block around them, so that readers of pages, footers and directories pay
 * one round trip for each neighbourhood; blocks live under the reader's shard's lock, least
 * recently used first out, and threads that want the same block wait for the same request. Larger
 * reads are one request straight into the caller's buffer, on a shard that belongs to the calling
 * thread, so that threads do not drive each other's connections.
 *
 * A read that crosses into a block which is not there either fetches both in one request. So does a
 * program whose reads keep to neighbourhoods, as those of trees and indices do, on a store where a
 * round trip takes longer than the bytes of one more block: as long as of the blocks that it lacked a
 * fair share were next to one that it had. Such a range stands in the table under its first block.
 */
#include <string.h>
#include <utlist.h>

#include "core/reader_private.h"

#define BLOCKS_MAX     1024u
#define JUDGED_MISSES  8u  /* so many say something of the program, */
#define COUNTED_MISSES 64u /* and the last ones say more */
#define NEIGHBOURS_IN  8u  /* one of so many was next to a block that was there: fetch two */

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

/* What has the block at that offset: as its first, or as its second; NULL: nothing. */
static struct range *find_block(const struct reader *reader, uint64_t offset)
{
    uint64_t before = offset - reader->engine->plan.block_bytes;
    struct range *block;

    HASH_FIND(hh, reader->blocks, &offset, sizeof offset, block);
    if (block || offset == 0)
        return block;
    HASH_FIND(hh, reader->blocks, &before, sizeof before, block);
    return block && block->end > offset ? block : NULL;
}

uint64_t block_held_end(const struct reader *reader, uint64_t position)
{
    const struct range *block =
        find_block(reader, position - position % reader->engine->plan.block_bytes);

    return block && !range_failed(block) ? block->end : position;
}

/* Counts that the block at `offset` is not there. True when its reads keep to neighbourhoods. */
static bool note_miss(struct reader *reader, uint64_t offset)
{
    uint64_t block_bytes = reader->engine->plan.block_bytes;

    if (reader->block_misses == COUNTED_MISSES) {
        reader->block_misses /= 2;
        reader->block_neighbours /= 2;
    }
    reader->block_misses++;
    reader->block_neighbours += find_block(reader, offset + block_bytes) ||
                                (offset > 0 && find_block(reader, offset - block_bytes));
    return reader->block_misses >= JUDGED_MISSES &&
           NEIGHBOURS_IN * reader->block_neighbours >= reader->block_misses;
}

/* Where the range ends that is to be asked for at `offset`, for a read (or advice) up to read_end. */
static uint64_t plan_end(struct reader *reader, uint64_t offset, uint64_t read_end, bool is_read)
{
    uint64_t block_bytes = reader->engine->plan.block_bytes;
    uint64_t end = offset + block_bytes;
    bool near_by = is_read && note_miss(reader, offset) && !endpoint_is_near(reader->endpoint);

    if ((near_by || read_end > end) && !find_block(reader, end) && !stream_find(reader, end) &&
        advised_end(reader, end) == end)
        end += block_bytes;
    return smaller(end, reader->attr.size_bytes);
}

/* The block at that offset, asked for if need be, for reads up to read_end; NULL without memory. */
static struct range *obtain_block(struct reader *reader, uint64_t offset, uint64_t read_end,
                                  bool must)
{
    struct range *block = find_block(reader, offset);
    uint64_t end;

    if (block && !range_failed(block)) {
        stats_add(engine_stats(reader->engine), STATS_BLOCKS_FOUND, 1);
        HASH_DEL(reader->blocks, block); /* to the end: most recently used */
        HASH_ADD(hh, reader->blocks, offset, sizeof block->offset, block);
        return block;
    }
    end = plan_end(reader, offset, read_end, must);
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
    stats_add(engine_stats(reader->engine), STATS_BLOCKS_FETCHED,
              1 + (end > offset + reader->engine->plan.block_bytes));
    insert_block(reader, block);
    range_start(block, offset, end, reader->stored_bytes, reader->etag);
    return block;
}

int block_take(struct reader *reader, struct range_read *read, const struct limits *limits,
               struct error *err)
{
    uint64_t offset = read->position - read->position % reader->engine->plan.block_bytes;
    struct range *block = obtain_block(reader, offset, read->end, true);
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
        if (!stream_find(reader, at) && advised_end(reader, at) == at &&
            !obtain_block(reader, at, end, false))
            return;
}

/* ---- exact reads ----------------------------------------------------------------------------- */

/* The one by whose turn it is, or where that is said, locked. On a near store, where bytes cost little
 * but what the processor does with them, each of several threads waits in a shard of its own: who
 * waits where another leads is given its bytes through a buffer, and woken for them. */
static struct shard *lock_own_shard(struct reader *reader, uint64_t offset)
{
    struct engine *engine = reader->engine;
    bool is_chosen = reader->store->ops->choose_shard;
    struct shard *shard = is_chosen ? engine_shard(engine, reader->store, &reader->uri, offset)
                                    : engine->shards[shard_thread_id() % engine->shard_count];

    if (!is_chosen && endpoint_is_near(reader->endpoint))
        return engine_lock_idle_shard(engine, shard);
    shard_lock(shard);
    return shard;
}

/* Enters and leaves with the reader's shard locked; sleeps with another. */
int exact_take(struct reader *reader, struct range_read *read, const struct limits *limits,
               struct error *err)
{
    struct range *range = range_new(reader->engine, &reader->uri, reader->store, reader->shard);
    uint64_t stored_bytes = reader->stored_bytes;
    char etag[STORE_ETAG_MAX];
    struct shard *shard;
    int r;

    if (!range)
        return error_set(err, ERROR_NO_MEMORY, "reading a range");
    memcpy(etag, reader->etag, sizeof etag);
    shard_unlock(reader->shard);
    shard = lock_own_shard(reader, read->position);
    range->fetch.call.request.shard = shard;
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
