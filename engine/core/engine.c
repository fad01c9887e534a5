/* Making the runtime, opening stores, choosing shards, and what a fork child forgets. See
 * engine.h. */
#include "core/engine.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own_files.h"
#include "core/limits.h"
#include "core/reader_shared.h"
#include "core/spread.h"
#include "core/symlink_cache.h"
#include "io/gate.h"

#define LANE_SHARE 64u /* of the descriptors that the process may have, to one lane */

static _Atomic(struct engine *) the_engine;
static pthread_mutex_t making_mutex = PTHREAD_MUTEX_INITIALIZER; /* before every other leaf lock */

static void report_problem(void *arg, const char *message)
{
    (void)arg;
    log_warn("%s", message);
}

static int make_shards(struct engine *engine, struct error *err)
{
    unsigned wanted = (unsigned)option_int(&engine->options, RT_THREADS);
    int r;

    if (wanted > ENGINE_SHARDS_MAX)
        wanted = ENGINE_SHARDS_MAX;
    while (engine->shard_count < wanted) {
        r = shard_new(engine->shard_count, &engine->shards[engine->shard_count]);
        if (r < 0)
            return error_set_errno(err, -r, "making an event loop");
        engine->shard_count++;
    }
    return 0;
}

static bool is_set(const struct options *options, enum option_id id)
{
    return options->values[id].origin != ORIGIN_DEFAULT;
}

/* That the process may run on. */
static unsigned processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* As said, or what a loader of that many fetches would keep ready. */
static int64_t guesses_wanted(const struct options *options)
{
    if (!is_set(options, OPTION_ID_PREFETCH) && (is_set(options, OPTION_ID_LOADER_NUM_WORKERS) ||
                                                 is_set(options, OPTION_ID_LOADER_PREFETCH)))
        return option_int(options, LOADER_NUM_WORKERS) * option_int(options, LOADER_PREFETCH);
    return option_int(options, PREFETCH);
}

/* Guesses are not to take the last connections from what is waited for. */
static unsigned guesses_max(const struct options *options)
{
    int64_t connections = option_int(options, MAX_HTTP_CONNECTIONS) / 2;
    int64_t wanted = guesses_wanted(options);

    return (unsigned)(wanted < connections ? wanted : connections);
}

static int engine_fill(struct engine *engine, char *const *environment, struct error *err)
{
    const struct options *options = &engine->options;
    struct budget_units units;
    int r = options_load(environment, report_problem, NULL, &engine->options);

    if (r < 0)
        return error_set_errno(err, -r, "reading the configuration");
    log_set_level((enum log_level)option_int(options, LOG));
    range_plan_init(&engine->plan, options);
    engine->operation_timeout_ns = option_int(options, OPERATION_TIMEOUT_SECS) * NS_PER_S;
    units = (struct budget_units){engine->plan.block_bytes, engine->plan.get_part_bytes,
                                  range_plan_part_bytes(&engine->plan, 1, 0, false)};
    budget_init(&engine->budget, (uint64_t)option_int(options, MEMORY_BUDGET), &units);
    pool_init(&engine->pool, &engine->budget);
    retry_policy_init(&engine->retry, (unsigned)option_int(options, RETRY_MAX),
                      (uint32_t)option_int(options, RETRY_BASE_MS));
    engine->retry.is_patient = options->values[OPTION_ID_RETRY_MAX].origin == ORIGIN_DEFAULT;
    atomic_init(&engine->generation, gate_generation());
    pthread_mutex_init(&engine->renewing, NULL);
    pthread_mutex_init(&engine->stores_mutex, NULL);
    pthread_mutex_init(&engine->lanes_mutex, NULL);
    rename_moves_init(&engine->moves);
    reader_registry_init(&engine->readers);
    relays_init(&engine->relays);
    engine->spread_max = spread_width_max((unsigned)option_int(options, RT_THREADS),
                                          is_set(options, OPTION_ID_RT_THREADS), processors());
    pthread_mutex_init(&engine->swept.mutex, NULL);
    engine->attrs =
        attr_cache_new(option_int(options, META_TTL_MS) * NS_PER_MS, ATTR_CACHE_ENTRIES);
    engine->listed = listed_new(option_int(options, META_TTL_MS) * NS_PER_MS,
                                ATTR_CACHE_ENTRIES / ATTR_CACHE_PAGE_KEYS);
    engine->links = symlink_cache_new();
    if (!engine->attrs || !engine->listed || !engine->links)
        return error_set(err, ERROR_NO_MEMORY, "making the attribute cache");
    if (option_text(options, OPLOG)) {
        engine->oplog = oplog_new(option_text(options, OPLOG));
        if (!engine->oplog)
            return error_set(err, ERROR_NO_MEMORY, "making the op-log");
    }
    prefetch_init(&engine->prefetch, guesses_max(options),
                  option_int(options, META_TTL_MS) * NS_PER_MS);
    r = make_shards(engine, err);
    if (r == 0) {
        removals_init(&engine->removals, engine->shards[0]);
        deferred_init(engine);
    }
    return r;
}

static void engine_free(struct engine *engine)
{
    for (unsigned i = 0; i < engine->shard_count; i++)
        shard_free(engine->shards[i]);
    for (unsigned i = 0; i < ENGINE_LANES_MAX; i++)
        shard_free(atomic_load(&engine->lanes[i]));
    deferred_table_close(engine->deferred.table);
    oplog_free(engine->oplog);
    prefetch_fini(&engine->prefetch);
    symlink_cache_free(engine->links);
    listed_free(engine->listed);
    attr_cache_free(engine->attrs);
    rename_moves_fini(&engine->moves);
    options_fini(&engine->options);
    free(engine);
}

static int engine_make(char *const *environment, struct engine **ret_engine, struct error *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    int r;

    if (!engine)
        return error_set(err, ERROR_NO_MEMORY, "making the engine");
    r = engine_fill(engine, environment, err);
    if (r < 0) {
        engine_free(engine);
        return r;
    }
    *ret_engine = engine;
    return 0;
}

/* Shards, stores and counters forget what is the parent's. */
static void forget_parent(struct engine *engine)
{
    for (unsigned i = 0; i < engine->shard_count; i++)
        shard_reset_child(engine->shards[i]);
    for (unsigned i = 0; i < ENGINE_LANES_MAX && atomic_load(&engine->lanes[i]); i++)
        shard_reset_child(atomic_load(&engine->lanes[i]));
    for (unsigned i = 0; i < ENGINE_STORES_MAX; i++) {
        struct store *store = atomic_load(&engine->stores[i]);

        if (store && store->ops->reset_child)
            store->ops->reset_child(store);
        if (store)
            endpoint_reset_child(&engine->endpoints[i]);
    }
    relays_reset_child(&engine->relays);
    removals_reset_child(&engine->removals, engine->shards[0]);
    deferred_reset_child(&engine->deferred);
    engine_reset_stats(engine);
    if (engine->oplog)
        oplog_reset_child(engine->oplog);
}

static bool is_renewed(const struct engine *engine)
{
    return atomic_load_explicit(&engine->generation, memory_order_acquire) == gate_generation();
}

/* No fork comes in between: the caller is inside the gate. */
static void renew(struct engine *engine)
{
    pthread_mutex_lock(&engine->renewing);
    if (!is_renewed(engine)) {
        forget_parent(engine);
        atomic_store_explicit(&engine->generation, gate_generation(), memory_order_release);
    }
    pthread_mutex_unlock(&engine->renewing);
}

int engine_get(char *const *environment, struct engine **ret_engine, struct error *err)
{
    static char *const empty[] = {NULL};
    struct engine *engine = atomic_load_explicit(&the_engine, memory_order_acquire);
    int r = 0;

    if (!engine) {
        pthread_mutex_lock(&making_mutex);
        engine = atomic_load(&the_engine);
        if (!engine) {
            if (!environment)
                environment = environ ? environ : empty;
            r = engine_make(environment, &engine, err);
            if (r == 0)
                atomic_store_explicit(&the_engine, engine, memory_order_release);
        }
        pthread_mutex_unlock(&making_mutex);
    }
    if (r < 0)
        return r;
    if (!is_renewed(engine))
        renew(engine);
    *ret_engine = engine;
    return 0;
}

struct engine *engine_peek(void)
{
    return atomic_load_explicit(&the_engine, memory_order_acquire);
}

struct engine *engine_used(void)
{
    struct engine *engine = engine_peek();

    return engine && is_renewed(engine) ? engine : NULL;
}

/* ---- stores ---------------------------------------------------------------------------------- */

static struct store *find_store(struct engine *engine, const char *scheme)
{
    for (unsigned i = 0; i < ENGINE_STORES_MAX; i++) {
        struct store *store = atomic_load_explicit(&engine->stores[i], memory_order_acquire);

        if (!store)
            return NULL;
        if (strcmp(store->ops->scheme, scheme) == 0)
            return store;
    }
    return NULL;
}

static int open_store(struct engine *engine, const char *scheme, struct store **ret_store,
                      struct error *err)
{
    const struct store_ops *ops = store_find(scheme);
    unsigned slot = 0;
    int r;

    if (!ops)
        return error_set(err, ERROR_UNSUPPORTED, "there is no store for %s://", scheme);
    while (slot < ENGINE_STORES_MAX && atomic_load(&engine->stores[slot]))
        slot++;
    if (slot == ENGINE_STORES_MAX)
        return error_set(err, ERROR_UNSUPPORTED, "too many kinds of stores are open");
    r = ops->open(&engine->options, ret_store, err);
    if (r < 0)
        return r;
    endpoint_init(&engine->endpoints[slot], *ret_store, &engine->options, &engine->budget);
    atomic_store_explicit(&engine->stores[slot], *ret_store, memory_order_release);
    return 0;
}

int engine_store(struct engine *engine, const char *scheme, struct store **ret_store,
                 struct error *err)
{
    struct store *store = find_store(engine, scheme);
    int r = 0;

    if (!store) {
        pthread_mutex_lock(&engine->stores_mutex);
        own_files_begin();
        store = find_store(engine, scheme);
        if (!store)
            r = open_store(engine, scheme, &store, err);
        own_files_end();
        pthread_mutex_unlock(&engine->stores_mutex);
    }
    if (r == 0)
        *ret_store = store;
    return r;
}

struct endpoint *engine_endpoint(struct engine *engine, const struct store *store)
{
    unsigned i = 0;

    while (i + 1 < ENGINE_STORES_MAX && engine->endpoints[i].store != store)
        i++;
    return &engine->endpoints[i];
}

struct shard *engine_shard(struct engine *engine, struct store *store, const struct uri *uri,
                           uint64_t offset)
{
    unsigned index;

    if (store->ops->choose_shard)
        index = store->ops->choose_shard(store, uri->bucket, uri->key, offset, engine->shard_count);
    else
        index = atomic_fetch_add_explicit(&engine->next_shard, 1, memory_order_relaxed);
    return engine->shards[index % engine->shard_count];
}

/* One takes two descriptors and those of its connections, which the program, or the connections of
 * others, may need more. */
static bool has_descriptors(unsigned lanes)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && lanes <= limit.rlim_max / LANE_SHARE;
}

/* NULL when there are to be no more. */
static struct shard *obtain_lane(struct engine *engine, unsigned number)
{
    struct shard *lane = atomic_load_explicit(&engine->lanes[number], memory_order_acquire);

    if (lane || !has_descriptors(number + 1))
        return lane;
    pthread_mutex_lock(&engine->lanes_mutex);
    lane = atomic_load_explicit(&engine->lanes[number], memory_order_relaxed);
    if (!lane && shard_new(ENGINE_SHARDS_MAX + number, &lane) == 0)
        atomic_store_explicit(&engine->lanes[number], lane, memory_order_release);
    pthread_mutex_unlock(&engine->lanes_mutex);
    return lane;
}

/* place: 0 the usual one, else a lane. */
static struct shard *at_place(struct engine *engine, struct shard *usual, unsigned place)
{
    return place == 0 ? usual : obtain_lane(engine, place - 1);
}

/* Where the thread was last its connection is warm, and hardly anybody else is; those in front are
 * taken first by others, so that connections of threads that have ended are used again. */
struct shard *engine_lock_idle_shard(struct engine *engine, struct shard *usual)
{
    static _Thread_local unsigned last;
    struct shard *shard = at_place(engine, usual, last);

    if (shard && shard_try_lock_idle(shard))
        return shard;
    for (unsigned place = 0; place <= ENGINE_LANES_MAX; place++) {
        shard = at_place(engine, usual, place);
        if (!shard)
            break;
        if (shard_try_lock_idle(shard)) {
            last = place;
            return shard;
        }
    }
    shard_lock(usual);
    return usual;
}

/* ---- fork and cancel ------------------------------------------------------------------------- */

void engine_reset_child(void)
{
    struct engine *engine = engine_peek();

    if (engine)
        reader_registry_reset_child(&engine->readers);
}

void engine_give_readers(int pid)
{
    struct engine *engine = engine_peek();

    if (engine)
        shared_give_all(engine->readers.shared, pid);
}

void engine_end(void)
{
    struct engine *engine = engine_peek();

    if (!engine)
        return;
    shared_leave_all(engine->readers.shared);
    engine_leave_fellows(engine);
}

void engine_leave_fellows(struct engine *engine)
{
    for (unsigned i = 0; i < ENGINE_STORES_MAX && atomic_load(&engine->stores[i]); i++)
        endpoint_leave_fellows(&engine->endpoints[i]);
}

static void on_kick(struct shard_timer *timer)
{
    free(timer);
}

static void kick_shard(struct shard *shard)
{
    struct shard_timer *timer = malloc(sizeof *timer);

    if (!timer)
        return;
    shard_timer_init(timer, on_kick);
    shard_lock(shard);
    shard_timer_set(shard, timer, clock_now_ns());
    shard_unlock(shard);
}

void engine_kick(struct engine *engine)
{
    for (unsigned i = 0; i < engine->shard_count; i++)
        kick_shard(engine->shards[i]);
    for (unsigned i = 0; i < ENGINE_LANES_MAX && atomic_load(&engine->lanes[i]); i++)
        kick_shard(atomic_load(&engine->lanes[i]));
}
