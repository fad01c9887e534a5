/* Ranges: where arriving bytes go, waiting for them, handing them out. See range.h.
 *
 * Three places for the next bytes, in this order: the buffer of the call that the running thread
 * works for, if it wants exactly these; on a near store the kernel's socket buffer, as long as
 * nobody waits for the range and the program keeps reading (a copy saved); the range's own buffer.
 * Without memory for that they stay in the kernel, too, unless somebody waits who cannot take them
 * as they come.
 */
#include "core/range.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/relay.h"
#include "core/writable.h"
#include "io/gate.h"

#define DRAIN_BUFFER_BYTES ((size_t)32 << 10)
/* A copy of at least this size does not keep others from the shard. */
#define UNLOCKED_COPY_BYTES ((size_t)32 << 10)

uint64_t range_read_id(void)
{
    static atomic_uint_fast64_t last;

    return atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct range *of_fetch(struct fetch *fetch)
{
    return (struct range *)((char *)fetch - offsetof(struct range, fetch));
}

static struct engine *engine_of(const struct range *range)
{
    return range->fetch.call.engine;
}

/* What the running thread reads from this range's reader; NULL: nothing. */
static struct range_read *current_read(const struct range *range)
{
    const struct limits *limits = limits_current();
    struct range_read *read = limits ? limits->work : NULL;

    if (!read || !range->owner || read->owner != range->owner || range->buffered_only)
        return NULL;
    return !range->only_read || range->only_read == read->id ? read : NULL;
}

/* ---- where bytes go -------------------------------------------------------------------------- */

bool range_reserve(struct range *range, enum budget_class class, uint64_t bytes)
{
    if (range->reserved_bytes)
        return true;
    if (!budget_try(&engine_of(range)->budget, class, bytes))
        return false;
    range->budget_class = class;
    range->reserved_bytes = bytes;
    return true;
}

void range_become(struct range *range, enum budget_class class)
{
    struct budget *budget = &engine_of(range)->budget;

    budget_release(budget, range->budget_class, range->reserved_bytes);
    budget_force(budget, class, range->reserved_bytes);
    range->budget_class = class;
}

/* Somebody waits for these bytes and cannot take them itself: then the budget has no say. */
static bool obtain_buffer(struct range *range)
{
    struct engine *engine = engine_of(range);
    uint64_t bytes = range->end - range->offset;

    if (range->buffer)
        return true;
    if (!range_reserve(range, BUDGET_READ_AHEAD, bytes)) {
        if (range->users == 0)
            return false;
        budget_force(&engine->budget, BUDGET_READ_AHEAD, bytes);
        range->budget_class = BUDGET_READ_AHEAD;
        range->reserved_bytes = bytes;
        range->is_forced = true;
    }
    range->buffer = pool_get(&engine->pool, bytes);
    range->buffer_bytes = bytes;
    return range->buffer != NULL;
}

/* [from, to) went into the buffer of the read. */
static void note_direct(struct range *range, uint64_t id, uint64_t from, uint64_t to)
{
    if (range->direct_read != id || range->direct_end != from) {
        range->direct_read = id;
        range->direct_start = from;
    }
    range->direct_end = to;
}

int range_check_run(const struct range_read *read, uint64_t from, uint64_t to, struct error *err)
{
    uintptr_t buffer = (uintptr_t)read->buffer; /* which may be any: NULL, too */

    if (read->checked || writable_check((void *)(buffer + (from - read->start)), to - from) == 0)
        return 0;
    return error_set_errno(err, EFAULT, "the buffer cannot be written");
}

int range_check_buffer(struct range_read *read, struct error *err)
{
    int r = range_check_run(read, read->start, read->end, err);

    read->checked = r == 0;
    return r;
}

/* Hands the call what waits for it in the buffer, so that the next bytes may follow direct. */
static void hand_over(struct range *range, struct range_read *read)
{
    uint64_t from = range->taken, to = smaller(range->arrived, read->end);

    if (from >= to || from < read->start || range_check_run(read, from, to, NULL) < 0)
        return;
    memcpy(read->buffer + (from - read->start), range->buffer + (from - range->offset), to - from);
    note_direct(range, read->id, from, to);
    range->taken = to;
}

static bool wants(const struct range_read *read, const struct range *range)
{
    return read->end > range->arrived && read->start < range->end;
}

/* Does a thread other than the one of this read wait for the range? */
static bool others_wait(const struct range *range, const struct range_read *read)
{
    return range->users > (read && read->waits_for == range);
}

/* May the bytes stay where they are for a while? */
static bool may_rest(const struct range *range, const struct range_read *read)
{
    return !others_wait(range, read) && !range->draining && !range->buffered_only &&
           endpoint_is_near(range->fetch.call.endpoint);
}

static size_t on_space(struct fetch *fetch, void **ret_where)
{
    struct range *range = of_fetch(fetch);
    struct range_read *read = current_read(range);

    range->aimed = false;
    if (!range->owner) {
        *ret_where = range->buffer;
        return DRAIN_BUFFER_BYTES;
    }
    if (read && wants(read, range)) {
        hand_over(range, read);
        if (!others_wait(range, read) && range->taken == range->arrived &&
            range->arrived >= read->start) {
            range->aimed = true;
            *ret_where = read->buffer + (range->arrived - read->start);
            return smaller(read->end, range->end) - range->arrived;
        }
    } else if (may_rest(range, read)) {
        return 0;
    }
    if (!obtain_buffer(range))
        return 0;
    *ret_where = range->buffer + (range->arrived - range->offset);
    return range->end - range->arrived;
}

static void on_commit(struct fetch *fetch, size_t length)
{
    struct range *range = of_fetch(fetch);
    uint64_t from = range->arrived;

    if (!range->owner) {
        if (range->wasted != STATS_COUNTERS)
            stats_add(engine_stats(engine_of(range)), range->wasted, length);
        return;
    }
    range->arrived += length;
    if (range->aimed) {
        note_direct(range, current_read(range)->id, from, range->arrived);
        range->valid = range->taken = range->arrived;
    }
}

static void on_object(struct fetch *fetch)
{
    struct range *range = of_fetch(fetch);

    if (range->end > range->offset + fetch->length)
        range->end = range->offset + fetch->length;
    if (range->owner && range->on_object)
        range->on_object(range);
}

static void range_free(struct range *range)
{
    struct engine *engine = engine_of(range);

    fetch_fini(&range->fetch);
    /* In this order: what is released may lie idle in the pool. */
    budget_release(&engine->budget, range->budget_class, range->reserved_bytes);
    pool_put(&engine->pool, range->buffer, range->buffer_bytes);
    free(range);
}

static void on_done(struct fetch *fetch)
{
    struct range *range = of_fetch(fetch);

    if (!range->owner)
        range_free(range);
    else if (range->on_done)
        range->on_done(range);
}

/* ---- life ------------------------------------------------------------------------------------ */

static const struct fetch_ops range_fetch_ops = {
    .space = on_space,
    .commit = on_commit,
    .on_object = on_object,
    .on_done = on_done,
};

struct range *range_new(struct engine *engine, const struct uri *uri, struct store *store,
                        struct shard *shard)
{
    struct range *range = malloc(sizeof *range);

    if (!range)
        return NULL;
    fetch_init(&range->fetch, engine, uri, store, NULL);
    memset((char *)range + sizeof range->fetch, 0, sizeof *range - sizeof range->fetch);
    range->wasted = STATS_COUNTERS;
    range->fetch.ops = &range_fetch_ops;
    range->fetch.call.request.shard = shard;
    return range;
}

static void aim(struct range *range, uint64_t offset, uint64_t end)
{
    range->offset = range->valid = range->taken = range->arrived = offset;
    range->end = end;
}

static void know_size(struct range *range, uint64_t size_bytes)
{
    range->fetch.object_size_bytes = size_bytes;
    range->fetch.size_known = true;
}

void range_start(struct range *range, uint64_t offset, uint64_t end, uint64_t size_bytes,
                 const char *etag)
{
    aim(range, offset, end);
    if (etag)
        know_size(range, size_bytes);
    fetch_start(&range->fetch, offset, end - offset, etag ? etag : "");
}

/* As if its own call had ended. */
static void on_relay_done(struct relay *relay)
{
    struct range *range = relay->owner;
    struct fetch *fetch = &range->fetch;

    range->relay = NULL;
    range->buffer = relay->buffer;
    range->buffer_bytes = relay->buffer_bytes;
    relay->buffer = NULL;
    range->end = range->offset + relay->length;
    range->arrived = range->offset + relay->received;
    fetch->received = relay->received;
    fetch->call.request.error = relay->error;
    fetch->call.done = true;
    on_done(fetch);
}

bool range_start_away(struct range *range, struct shard *away, uint64_t offset, uint64_t end,
                      uint64_t size_bytes, const char *etag)
{
    struct fetch *fetch = &range->fetch;

    aim(range, offset, end);
    know_size(range, size_bytes);
    fetch->offset = offset;
    fetch->length = end - offset;
    strncpy(fetch->etag, etag, sizeof fetch->etag - 1);
    range->relay = relay_start(fetch, away, on_relay_done, range);
    return range->relay != NULL;
}

static void leave_relay(struct range *range)
{
    if (!range->relay)
        return;
    relay_leave(range->relay, range->budget_class, range->reserved_bytes);
    range->relay = NULL;
    range->reserved_bytes = 0;
}

/* The rest of a range that nobody wants comes in on the side, if it is short. */
static bool keep_draining(struct range *range)
{
    struct call *call = &range->fetch.call;

    if (range_done(range) || !call->in_flight || range->end - range->arrived > FETCH_DRAIN_BYTES ||
        call->generation != gate_generation())
        return false;
    pool_put(&engine_of(range)->pool, range->buffer, range->buffer_bytes);
    range->buffer = pool_get(&engine_of(range)->pool, DRAIN_BUFFER_BYTES);
    range->buffer_bytes = DRAIN_BUFFER_BYTES;
    return range->buffer != NULL;
}

void range_drop(struct range *range)
{
    struct engine *engine = engine_of(range);

    leave_relay(range);
    if (range->users > 0) { /* its waiter was left by longjmp: the memory stays */
        fetch_fini(&range->fetch);
        return;
    }
    if (!keep_draining(range)) {
        range_free(range);
        return;
    }
    budget_release(&engine->budget, range->budget_class, range->reserved_bytes);
    range->reserved_bytes = 0;
    range->owner = NULL;
    range->fetch.call.no_retry = true;
    fetch_resume(&range->fetch);
}

void range_drop_unread(struct range *range, enum stats_counter wasted, uint64_t unread_bytes)
{
    stats_add(engine_stats(engine_of(range)), wasted, unread_bytes);
    range->wasted = wasted;
    range_drop(range);
}

/* ---- handing out ----------------------------------------------------------------------------- */

static bool has_arrived(const void *arg, uint64_t value)
{
    const struct range *range = arg;

    return range->arrived >= value || range_done(range);
}

static bool advance(void *arg)
{
    struct range *range = arg;

    return fetch_advance(&range->fetch);
}

static int wait_for(struct range *range, uint64_t position, const struct limits *limits,
                    struct error *err)
{
    struct limits_wait wait = {
        .done = has_arrived, .advance = advance, .arg = range, .value = position};
    int r;

    range->users++;
    range->awaited = true;
    fetch_want(&range->fetch, FETCH_NOW);
    fetch_resume(&range->fetch);
    r = limits_wait(range->fetch.call.request.shard, limits, &wait, err);
    range->users--;
    if (r < 0)
        call_name_error(&range->fetch.call, err);
    return r;
}

int range_wait_whole(struct range *range, const struct limits *limits, struct error *err)
{
    int r = wait_for(range, range->end, limits, err);

    if (r < 0 || !range_failed(range))
        return r;
    if (err)
        *err = range->fetch.call.request.error;
    return -error_errno(&range->fetch.call.request.error);
}

int range_copy(struct range *range, struct range_read *read, struct error *err)
{
    uint64_t from = read->position, to = smaller(range->arrived, read->end);
    struct shard *shard = range->fetch.call.request.shard;
    bool unlocked = to - from >= UNLOCKED_COPY_BYTES;
    int r = range_check_run(read, from, to, err);

    if (r < 0)
        return r;
    if (unlocked) {
        range->users++;
        shard_unlock(shard);
    }
    memcpy(read->buffer + (from - read->start), range->buffer + (from - range->offset), to - from);
    if (unlocked) {
        shard_lock(shard);
        range->users--;
    }
    read->position = to;
    if (range->taken < to && range->taken >= from)
        range->taken = to;
    return 0;
}

bool range_settle(const struct range *range, struct range_read *read)
{
    if (range->direct_read != read->id || range->direct_start > read->position ||
        range->direct_end <= read->position)
        return false;
    read->position = smaller(range->direct_end, read->end);
    return true;
}

static bool in_buffer(const struct range *range, uint64_t position)
{
    return position >= range->valid && position < range->arrived;
}

int range_take(struct range *range, struct range_read *read, const struct limits *limits,
               struct error *err)
{
    uint64_t wanted = smaller(read->end, range->end);
    int r = 0;

    if (range->taken < read->position && range->arrived >= read->position)
        range->taken = read->position; /* skipped */
    if (in_buffer(range, read->position))
        r = range_copy(range, read, err);
    if (r < 0 || read->position >= wanted)
        return r;
    read->waits_for = range;
    r = wait_for(range, wanted, limits, err);
    read->waits_for = NULL;
    if (r < 0)
        return r;
    range_settle(range, read);
    if (wanted > range->end)
        wanted = range->end;
    if (read->position < wanted && in_buffer(range, read->position))
        r = range_copy(range, read, err);
    if (r == 0 && read->position < wanted && range_failed(range)) {
        r = -error_errno(&range->fetch.call.request.error);
        if (err)
            *err = range->fetch.call.request.error;
    }
    return r;
}
