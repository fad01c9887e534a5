/* The window of a sequential reader: which ranges are on their way, and when to believe in a
 * stream.
 *
 * A reader begins as a stream if its first read is at offset 0. A read that neither continues the
 * last one nor finds its bytes in the window (a short step back, threads taking turns) is a jump;
 * the second jump ends the stream and drops the window. After a jump only several adjacent reads,
 * together larger than a few blocks, make a stream again: a scan of some pages in a database is
 * none. It begins with one short range, behind the block that it was in: most such scans end soon.
 * Nothing beyond the first window is asked for until the program has come near its end.
 *
 * The window reaches `window_bytes` ahead of the position and grows by four each time the program has
 * consumed half of that, up to twice what plan and limiter want under way, or what the budget allows:
 * while a range is late, others are fetched behind it, also while the program waits for that one. On a
 * near store it is as much as is under way. Its ranges are a 32nd of the reach, or on a near store
 * half, between a MiB and the full size, and shorter towards the end of the object. A file that
 * is read from its beginning has two ranges of a MiB at once; on a near store the whole reach,
 * which there is few ranges as well, whose bytes stay in the kernel until the program wants them.
 * Without budget it is the one range at the position, no longer than the read if the program comes
 * so late that its bytes are lost.
 *
 * Where bytes are decrypted and the thread that does it is the limit (core/spread.h), of the ranges ahead of
 * the position all but every n-th are fetched by other shards, the one at the position never: its
 * bytes go straight to the program's buffer.
 *
 * All under the reader's shard's lock.
 */
#include <stddef.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "core/reader_private.h"

#define STREAK_READS      3u
#define STREAK_BLOCKS     2u /* in units of the block size */
#define WINDOW_SHARE      2u /* of the budget: the most that one reader takes */
#define RANGE_BYTES_MIN   (UINT64_C(256) << 10)
#define FILE_WINDOW_BYTES (UINT64_C(2) << 20)
#define GROWTH            4u
#define FAR_RANGE_BYTES   (UINT64_C(1) << 20) /* at least, where the reach has room for two */
#define FAR_RANGES        32u
#define NEAR_SHARE        8u /* of the budget: read ahead of near stores */
#define NEAR_BYTES_MIN    (4 * RANGE_NEAR_BYTES)
#define FAR_WINDOWS       2u /* the window, in units of what is under way */
#define DRAIN_AFTER_NS    (5 * NS_PER_MS)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t window_end(const struct reader *reader)
{
    return reader->window ? reader->window->prev->end : 0;
}

struct range *stream_find(const struct reader *reader, uint64_t position)
{
    struct range *range;

    for (range = reader->window; range; range = range->next) {
        if (position >= range->offset && position < range->end)
            return range;
    }
    return NULL;
}

/* ---- is it a stream? ------------------------------------------------------------------------- */

static bool is_stream(const struct reader *reader)
{
    if (reader->advised_random)
        return false;
    if (reader->jumps == 0 || reader->advised_sequential)
        return true;
    return reader->streak >= STREAK_READS &&
           reader->streak_bytes >= STREAK_BLOCKS * reader->engine->plan.block_bytes;
}

static void begin_stream(struct reader *reader, uint64_t position)
{
    reader->jumps = 0;
    reader->window_bytes = RANGE_BYTES_MIN / 2;
    reader->grow_at = position + RANGE_BYTES_MIN / 2;
}

bool stream_note_read(struct reader *reader, uint64_t start, uint64_t end)
{
    const struct range *range = reader->jumps == 0 ? stream_find(reader, start) : NULL;
    bool inside = range && range_offers(range, start);

    if (start == reader->next_offset || inside) {
        reader->streak++;
        reader->streak_bytes += end - start;
    } else {
        reader->jumps++;
        reader->streak = 0;
        reader->streak_bytes = end - start;
        if (reader->jumps == 2)
            stream_drop(reader);
    }
    reader->next_offset = inside ? larger(end, reader->next_offset) : end;
    if (!is_stream(reader))
        return false;
    if (reader->jumps > 0)
        begin_stream(reader, start);
    return true;
}

/* ---- the window ------------------------------------------------------------------------------ */

unsigned stream_in_flight(const struct reader *reader)
{
    const struct range *range;
    unsigned count = 0;

    for (range = reader->window; range; range = range->next) {
        count += !range_done(range);
    }
    return count;
}

void stream_settle(struct reader *reader)
{
    bool has_joined = stream_in_flight(reader) > 0 || advised_in_flight(reader) > 0;

    if (has_joined && !reader->has_joined)
        endpoint_join(reader->endpoint, ENDPOINT_GETS);
    else if (!has_joined && reader->has_joined)
        endpoint_leave(reader->endpoint, ENDPOINT_GETS);
    reader->has_joined = has_joined;
}

void stream_remove(struct reader *reader, struct range *range)
{
    stats_add(engine_stats(reader->engine), STATS_AHEAD_USED, range->taken - range->offset);
    DL_DELETE(reader->window, range);
    range_drop_unread(range, STATS_AHEAD_WASTED, range->arrived - range->taken);
}

/* Removes what no thread is waiting for. */
void stream_drop(struct reader *reader)
{
    struct range *range, *next;

    for (range = reader->window; range; range = next) {
        next = range->next;
        if (range->users == 0)
            stream_remove(reader, range);
    }
    stream_settle(reader);
}

/* ---- over how many shards -------------------------------------------------------------------- */

static bool may_spread(const struct reader *reader)
{
    return reader->engine->shard_count > 1 && !reader->store->ops->choose_shard &&
           (reader->decrypts || reader->engine->spread_always);
}

static void begin_sample(struct reader *reader)
{
    reader->spread = (struct spread_sample){.slept_ns = shard_slept_ns(reader->shard)};
    reader->spread_ns = clock_now_ns();
}

/* The program has read this one. */
static void sample_range(struct reader *reader, const struct range *range)
{
    struct spread_sample sample;

    if (!may_spread(reader))
        return;
    if (reader->spread_ns == 0)
        begin_sample(reader);
    reader->spread.ranges++;
    reader->spread.awaited += range->awaited;
    reader->spread.bytes += range->end - range->offset;
    if (spread_is_short(&reader->spread))
        return;
    sample = reader->spread;
    sample.elapsed_ns = clock_now_ns() - reader->spread_ns;
    sample.slept_ns = shard_slept_ns(reader->shard) - sample.slept_ns;
    reader->width =
        spread_decide((unsigned)larger(reader->width, 1), reader->engine->spread_max, &sample);
    begin_sample(reader);
}

/* Where a range ahead of the position is to be fetched. */
static struct shard *next_shard(struct reader *reader)
{
    struct engine *engine = reader->engine;
    unsigned width = engine->spread_always ? engine->shard_count : reader->width;
    unsigned turn;

    if (width < 2 || !may_spread(reader))
        return reader->shard;
    turn = ++reader->turn % width;
    return engine->shards[(shard_index(reader->shard) + turn) % engine->shard_count];
}

/* Behind the position, one range that is in memory stays: for a short step back. */
void stream_retire(struct reader *reader, uint64_t position)
{
    struct range *range, *next, *last = NULL;
    const struct range *first = reader->window;

    for (range = reader->window; range; range = next) {
        next = range->next;
        if (range->end > position)
            break;
        if (range->users > 0)
            continue;
        if (!range->counted)
            sample_range(reader, range);
        range->counted = true;
        if (last) {
            stream_remove(reader, last);
            last = NULL;
        }
        if (range_done(range) && range->valid < range->arrived)
            last = range;
        else
            stream_remove(reader, range);
    }
    if (last != first)
        stream_settle(reader);
}

static void grow(struct reader *reader, uint64_t position, uint64_t window_max)
{
    while (position >= reader->grow_at && reader->window_bytes < window_max) {
        reader->window_bytes = smaller(GROWTH * reader->window_bytes, window_max);
        reader->grow_at += reader->window_bytes / 2;
    }
}

/* The program reads a file from its beginning, and on. */
static void begin_file(struct reader *reader, uint64_t position)
{
    bool near = endpoint_is_near(reader->endpoint);
    uint64_t size_bytes = reader->attr.size_bytes;
    uint64_t part_bytes = range_plan_get_bytes(&reader->engine->plan, size_bytes, near);

    endpoint_expect(reader->endpoint, ENDPOINT_GETS, size_bytes, size_bytes / part_bytes + 1);
    begin_stream(reader, position);
    reader->window_bytes = near ? RANGE_NEAR_COUNT * RANGE_NEAR_BYTES : FILE_WINDOW_BYTES;
    reader->grow_at = position + reader->window_bytes / 2;
}

/* A stream goes beyond the first window when the program does, or is about to. */
static bool wants_more(struct reader *reader, const struct range_read *read)
{
    uint64_t end = window_end(reader);

    if (reader->window_bytes > 0)
        return true;
    if (read->end <= end && (reader->streak < 2 || read->end <= end / 2))
        return false;
    begin_file(reader, read->start);
    return true;
}

static void on_range_done(struct range *range);

/* Bytes that a near store sends rest in the kernel as long as the program reads on. Where many files
 * are read in turns they cannot, and to ask for each piece costs less than memory for all. */
static bool is_worth_memory(const struct reader *reader, uint64_t bytes)
{
    const struct budget *budget = &reader->engine->budget;

    return !endpoint_is_near(reader->endpoint) || bytes <= RANGE_BYTES_MIN ||
           budget_used_by(budget, BUDGET_READ_AHEAD) + bytes <=
               larger(budget_share(budget) / NEAR_SHARE, NEAR_BYTES_MIN);
}

/* Where a range ends that has no memory: what the program does not take at once is lost. */
static uint64_t bare_end(const struct reader *reader, const struct range_read *read, uint64_t from,
                         uint64_t end)
{
    if (endpoint_is_near(reader->endpoint) || reader->lost_range)
        return smaller(end, larger(read->end, from + RANGE_BYTES_MIN));
    return end;
}

static void start(struct reader *reader, struct range *range, uint64_t end, bool is_ahead)
{
    struct shard *shard = range->reserved_bytes && is_ahead ? next_shard(reader) : reader->shard;
    uint64_t from = range->offset;

    if (shard != reader->shard && range_start_away(range, shard, from, end, reader->stored_bytes,
                                                   reader->etag))
        return;
    range_start(range, from, end, reader->stored_bytes, reader->etag);
    fetch_want(&range->fetch, FETCH_SOON);
}

/* NULL: there is no memory for more than the one range at the position. */
static struct range *launch(struct reader *reader, const struct range_read *read, uint64_t from,
                            uint64_t end)
{
    struct range *range = range_new(reader->engine, &reader->uri, reader->store, reader->shard);

    if (!range)
        return NULL;
    if (is_worth_memory(reader, end - from) &&
        range_reserve(range, BUDGET_READ_AHEAD, end - from)) {
        reader->lost_range = false;
    } else if (reader->window || from > read->position) {
        range_drop(range);
        return NULL;
    } else {
        end = bare_end(reader, read, from, end);
        range_reserve(range, BUDGET_READ_AHEAD, end - from);
    }
    range->owner = reader;
    range->on_done = on_range_done;
    stats_add(engine_stats(reader->engine), STATS_AHEAD_ASKED, end - from);
    advised_cut(reader, from, end);
    reader->changes++;
    DL_APPEND(reader->window, range);
    range->offset = from;
    start(reader, range, end, from > read->position);
    return range;
}

/* What to aim at: how far, in ranges of which size, and how many at once. */
struct reach {
    uint64_t end, range_bytes;
    unsigned count;
};

/* Of the reach: large enough to be worth a request, small enough for several to be on their way. */
static uint64_t piece_bytes(uint64_t reach_bytes, unsigned count, bool near)
{
    if (near || count < 2)
        return reach_bytes / 2;
    return larger(reach_bytes / smaller(count, FAR_RANGES),
                  smaller(reach_bytes / 2, FAR_RANGE_BYTES));
}

static bool has_room(const struct reader *reader, const struct reach *reach, unsigned flying)
{
    return flying < reach->count &&
           endpoint_has_room(reader->endpoint, ENDPOINT_GETS, LIMITER_LONG, flying);
}

static struct reach plan_reach(struct reader *reader, const struct range_read *read, bool ahead)
{
    const struct range_plan *plan = &reader->engine->plan;
    unsigned target = endpoint_target(reader->endpoint, ENDPOINT_GETS, LIMITER_LONG);
    uint64_t size_bytes = reader->attr.size_bytes;
    bool near = endpoint_is_near(reader->endpoint);
    uint64_t part_bytes = range_plan_get_bytes(plan, size_bytes, near);
    uint64_t flight_max = range_plan_flight_max(plan, size_bytes, near, target);
    uint64_t window_max = smaller(near ? flight_max : FAR_WINDOWS * flight_max,
                                  budget_share(&reader->engine->budget) / WINDOW_SHARE);
    uint64_t reach_bytes = read->end - read->position;
    struct reach reach = {.count = (unsigned)(flight_max / part_bytes)};

    if (ahead) {
        grow(reader, read->position, window_max);
        reach_bytes += reader->window_bytes;
    }
    reach_bytes = smaller(reach_bytes, larger(window_max, part_bytes));
    reach.end = smaller(size_bytes, read->position + reach_bytes);
    reach.range_bytes =
        larger(RANGE_BYTES_MIN, smaller(part_bytes, piece_bytes(reach_bytes, reach.count, near)));
    reach.range_bytes -= reach.range_bytes % RANGE_ALIGN_BYTES;
    if (plan->get_part_is_set && reach.range_bytes > part_bytes)
        reach.range_bytes = part_bytes;
    return reach;
}

/* Where what is held beside the window from the position on ends; the position: nothing is. */
static uint64_t beside_end(const struct reader *reader, uint64_t position)
{
    return advised_end(reader, block_held_end(reader, position));
}

/* The position is not in the window: does what is held beside it lead there, or on from it? */
static bool is_joined(const struct reader *reader, uint64_t position)
{
    uint64_t at = beside_end(reader, position);

    return at > position &&
           (stream_find(reader, at) ||
            (window_end(reader) <= position && advised_end(reader, window_end(reader)) == at));
}

/* Where the window is to go on. */
static uint64_t window_edge(const struct reader *reader, uint64_t position)
{
    return reader->window ? advised_end(reader, window_end(reader)) : beside_end(reader, position);
}

static uint64_t range_end(struct reader *reader, const struct reach *reach, uint64_t from)
{
    uint64_t left_bytes = reader->attr.size_bytes - smaller(from, reader->attr.size_bytes);
    uint64_t bytes = range_plan_towards_end(&reader->engine->plan, reach->range_bytes, left_bytes,
                                            reach->count);

    if (left_bytes - bytes < RANGE_ALIGN_BYTES)
        bytes = left_bytes;
    return advised_begin(reader, from, from + bytes);
}

/* From the end of the window, or without one from the position, as far as it reaches. A range may
 * be done as soon as it is launched, and launch others: then those on their way are counted anew. */
static void fill_reach(struct reader *reader, const struct range_read *read, bool ahead)
{
    struct reach reach = plan_reach(reader, read, ahead);
    unsigned flying = stream_in_flight(reader);

    while (has_room(reader, &reach, flying)) {
        uint64_t from = window_edge(reader, read->position);
        uint64_t end = range_end(reader, &reach, from);
        uint64_t changes = reader->changes;

        if (from >= reach.end || !launch(reader, read, from, end))
            break;
        flying = reader->changes == changes + 1 ? flying + 1 : stream_in_flight(reader);
    }
    if (!reader->has_joined)
        stream_settle(reader);
}

struct range *stream_extend(struct reader *reader, const struct range_read *read, bool ahead)
{
    struct range *found = stream_find(reader, read->position);
    bool joined;

    if (found && !range_offers(found, read->position)) {
        stream_drop(reader);
        found = NULL;
    }
    joined = found || is_joined(reader, read->position);
    if (!joined && reader->window)
        stream_drop(reader); /* the stream goes on elsewhere */
    ahead = ahead && wants_more(reader, read);
    if (found && !ahead && read->end <= window_end(reader))
        return found;
    if (reader->window && !joined)
        return NULL; /* threads are waiting in another window */
    fill_reach(reader, read, ahead);
    return stream_find(reader, read->position);
}

/* Whoever waits for a range that is late has others fetched meanwhile. */
static void on_range_done(struct range *range)
{
    struct reader *reader = (struct reader *)range->owner;
    struct range_read read = {
        .start = reader->next_offset,
        .end = reader->next_offset,
        .position = reader->next_offset,
    };

    reader->changes++;
    if (reader->window_bytes > 0 && reader->jumps == 0 && !range_failed(range) &&
        window_end(reader) >= reader->next_offset)
        fill_reach(reader, &read, true);
    advised_go_on(reader);
}

/* ---- bytes left in the kernel ---------------------------------------------------------------- */

/* The program has stopped reading for a while: a paused range would keep its connection from
 * others, so it comes into memory, or goes when there is none. */
static void on_drain(struct shard_timer *timer)
{
    struct reader *reader = (struct reader *)((char *)timer - offsetof(struct reader, drain_timer));
    struct range *range, *next;

    if (reader->drain_reads != reader->reads) {
        stream_arm_drain(reader);
        return;
    }
    for (range = reader->window; range; range = next) {
        next = range->next;
        range->draining = true;
        if (!range->fetch.paused || range->users > 0)
            continue;
        if (range->buffer || range_reserve(range, BUDGET_READ_AHEAD, range->end - range->offset))
            fetch_resume(&range->fetch);
        if (range->fetch.paused) {
            reader->lost_range = true;
            stream_remove(reader, range);
        }
    }
}

void stream_init(struct reader *reader)
{
    shard_timer_init(&reader->drain_timer, on_drain);
}

void stream_arm_drain(struct reader *reader)
{
    struct range *range;

    if (reader->drain_timer.at_ns != CLOCK_NEVER)
        return;
    for (range = reader->window; range; range = range->next) {
        if (!range_done(range)) {
            reader->drain_reads = reader->reads;
            shard_timer_set(reader->shard, &reader->drain_timer, clock_now_ns() + DRAIN_AFTER_NS);
            return;
        }
    }
}
