/* Ranges that travel to another shard and back. See relay.h. */
#include "core/relay.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/engine.h"
#include "io/gate.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* ---- memory ---------------------------------------------------------------------------------- */

void relays_init(struct relays *relays)
{
    relays->first = NULL;
    pthread_mutex_init(&relays->mutex, NULL);
}

static void relay_free(struct relay *relay)
{
    struct engine *engine = relay->fetch.call.engine;

    pthread_mutex_lock(&engine->relays.mutex);
    DL_DELETE(engine->relays.first, relay);
    pthread_mutex_unlock(&engine->relays.mutex);
    /* In this order: what is released may lie idle in the pool. */
    budget_release(&engine->budget, relay->budget_class, relay->reserved_bytes);
    pool_put(&engine->pool, relay->buffer, relay->buffer_bytes);
    free(relay);
}

static void relay_unref(struct relay *relay, unsigned references)
{
    if (atomic_fetch_sub(&relay->references, references) == references)
        relay_free(relay);
}

/* What it was doing is the parent's. */
static void relay_bury(struct relay *relay)
{
    fetch_fini(&relay->fetch);
    relay_free(relay);
}

void relays_reset_child(struct relays *relays)
{
    struct relay *relay, *next;

    for (relay = relays->first; relay; relay = next) {
        next = relay->next;
        if (!relay->on_done)
            relay_bury(relay);
    }
}

/* ---- away ------------------------------------------------------------------------------------ */

static size_t on_space(struct fetch *fetch, void **ret_where)
{
    struct relay *relay = CONTAINER(fetch, struct relay, fetch);

    *ret_where = relay->buffer + fetch->received;
    return relay->buffer_bytes - fetch->received;
}

static void on_commit(struct fetch *fetch, size_t length)
{
    (void)fetch; /* which counts what it has received */
    (void)length;
}

static void on_home(struct shard_post *post);

static void go_home(struct relay *relay)
{
    relay->error = relay->fetch.call.request.error;
    relay->received = relay->fetch.received;
    relay->length = relay->fetch.length;
    relay->ended = true;
    fetch_fini(&relay->fetch);
    relay->trip.on_post = on_home;
    shard_post(relay->home, &relay->trip);
}

static void on_fetched(struct fetch *fetch)
{
    go_home(CONTAINER(fetch, struct relay, fetch));
}

static const struct fetch_ops relay_fetch_ops = {
    .space = on_space,
    .commit = on_commit,
    .on_done = on_fetched,
};

/* It may have ended, and arrived at home, before fetch_start returns. */
static void on_away(struct shard_post *post)
{
    struct relay *relay = CONTAINER(post, struct relay, trip);
    struct fetch *fetch = &relay->fetch;

    atomic_fetch_add(&relay->references, 1);
    fetch_start(fetch, fetch->offset, fetch->length, relay->etag);
    if (!relay->ended)
        fetch_want(fetch, FETCH_SOON);
    relay_unref(relay, 1);
}

/* Posted behind the start, so that has been. */
static void on_leave(struct shard_post *post)
{
    struct relay *relay = CONTAINER(post, struct relay, leave);
    struct fetch *fetch = &relay->fetch;

    if (!relay->ended && fetch->call.in_flight &&
        fetch->length - fetch->received <= FETCH_DRAIN_BYTES)
        fetch->call.no_retry = true;
    else if (!relay->ended)
        go_home(relay);
    relay_unref(relay, 1);
}

/* ---- at home --------------------------------------------------------------------------------- */

static void on_home(struct shard_post *post)
{
    struct relay *relay = CONTAINER(post, struct relay, trip);
    struct stats *stats = engine_stats(relay->fetch.call.engine);
    unsigned references = 1;

    if (relay->on_done) {
        stats_add(stats, STATS_AHEAD_SPREAD, relay->received);
        relay->on_done(relay);
        references++; /* the owner's */
    } else {
        stats_add(stats, STATS_AHEAD_WASTED, relay->received);
    }
    relay_unref(relay, references);
}

static struct relay *relay_new(const struct fetch *like, struct shard *away)
{
    const struct call *call = &like->call;
    struct engine *engine = call->engine;
    struct relay *relay = calloc(1, sizeof *relay);
    struct fetch *fetch;

    if (!relay)
        return NULL;
    relay->buffer = pool_get(&engine->pool, like->length);
    relay->buffer_bytes = like->length;
    if (!relay->buffer) {
        free(relay);
        return NULL;
    }
    fetch = &relay->fetch;
    fetch_init(fetch, engine, &call->uri, call->request.store, NULL);
    fetch->ops = &relay_fetch_ops;
    fetch->call.request.shard = away;
    fetch->call.deadline_ns = fetch->call.request.deadline_ns = call->deadline_ns;
    fetch->offset = like->offset;
    fetch->length = like->length;
    fetch->object_size_bytes = like->object_size_bytes;
    fetch->size_known = like->size_known;
    memcpy(relay->etag, like->etag, sizeof relay->etag);
    pthread_mutex_lock(&engine->relays.mutex);
    DL_APPEND(engine->relays.first, relay);
    pthread_mutex_unlock(&engine->relays.mutex);
    return relay;
}

struct relay *relay_start(const struct fetch *like, struct shard *away,
                          void (*on_done)(struct relay *relay), void *owner)
{
    struct relay *relay = relay_new(like, away);

    if (!relay)
        return NULL;
    relay->home = like->call.request.shard;
    relay->on_done = on_done;
    relay->owner = owner;
    relay->trip.on_post = on_away;
    relay->leave.on_post = on_leave;
    atomic_store(&relay->references, 2);
    if (shard_try_post(away, &relay->trip) < 0) {
        relay_free(relay);
        return NULL;
    }
    return relay;
}

void relay_leave(struct relay *relay, enum budget_class class, uint64_t reserved_bytes)
{
    relay->on_done = NULL;
    relay->owner = NULL;
    relay->budget_class = class;
    relay->reserved_bytes = reserved_bytes;
    if (relay->fetch.call.generation != gate_generation())
        relay_bury(relay);
    else
        shard_post(relay->fetch.call.request.shard, &relay->leave);
}
