/* The one runtime of the process: frozen options, shards, opened stores, budget, caches, counters.
 *
 * Made by the first call that needs it; no thread and no socket comes with it. Never freed: calls
 * may come from destructors and exit handlers. What changes after the start has its own lock or
 * atomics; the array of stores is guarded by stores_mutex, a leaf that is not held over a sleep.
 * Lock order: gate, shard, then one leaf lock (stores, pool, attribute cache, listed directories,
 * moves, readers, relays, swept buckets).
 */
#ifndef S3DLIO_CORE_ENGINE_H
#define S3DLIO_CORE_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/uri.h"
#include "config/options.h"
#include "core/attr_cache.h"
#include "core/budget.h"
#include "core/deferred.h"
#include "core/endpoint.h"
#include "core/listed.h"
#include "core/oplog.h"
#include "core/pool.h"
#include "core/prefetch.h"
#include "core/range_plan.h"
#include "core/reader_registry.h"
#include "core/relay.h"
#include "core/removals.h"
#include "core/rename_moves.h"
#include "core/retry.h"
#include "core/stats.h"
#include "core/uploads.h"
#include "store/store.h"

#define ENGINE_SHARDS_MAX 64u
#define ENGINE_LANES_MAX  64u
#define ENGINE_STORES_MAX 8u

struct engine {
    _Atomic uint64_t generation; /* of the gate: whose shards, stores and counters these are */
    pthread_mutex_t renewing;    /* in a fork child, by the first that enters */
    struct options options;
    struct range_plan plan;
    int64_t operation_timeout_ns;
    struct shard *shards[ENGINE_SHARDS_MAX];
    unsigned shard_count;
    atomic_uint next_shard;
    /* More shards, filled from the front by need, for threads that wait at the same time. */
    _Atomic(struct shard *) lanes[ENGINE_LANES_MAX];
    pthread_mutex_t lanes_mutex;
    struct budget budget;
    struct pool pool;
    struct retry_policy retry;
    struct attr_cache *attrs;
    struct listed *listed;
    struct symlink_cache *links;
    struct prefetch prefetch;
    struct rename_moves moves;
    struct reader_registry readers;
    struct removals removals;
    struct relays relays;
    unsigned spread_max; /* so many shards for one stream */
    bool spread_always;  /* set by tests: streams use all shards, whatever is the limit */
    struct deferred deferred;
    struct uploads_swept swept;
    _Atomic(struct stats *) stats; /* NULL until there is something to count: engine_stats */
    struct oplog *oplog;           /* NULL: none is wanted */
    pthread_mutex_t stores_mutex;
    _Atomic(struct store *) stores[ENGINE_STORES_MAX]; /* filled from the front, never emptied */
    struct endpoint endpoints[ENGINE_STORES_MAX];      /* of each store */
};

/* The runtime, made with `environment` (NULL: the process's) when there is none yet. Inside the
 * gate. 0 or -errno. */
int engine_get(char *const *environment, struct engine **ret_engine, struct error *err);
/* NULL when there is none. */
struct engine *engine_peek(void);
/* NULL also in a fork child that has not used its copy yet: nothing was done there. */
struct engine *engine_used(void);

/* The opened store of a scheme; opens it the first time. */
int engine_store(struct engine *engine, const char *scheme, struct store **ret_store,
                 struct error *err);
/* Of a store that was opened. */
struct endpoint *engine_endpoint(struct engine *engine, const struct store *store);
/* A shard for work on this object from `offset` on: the store's choice, else the next in turn. */
struct shard *engine_shard(struct engine *engine, struct store *store, const struct uri *uri,
                           uint64_t offset);
/* A shard in which no other thread waits, locked: `usual` or a lane. When all are in use, or
 * there are too few descriptors for one more, `usual`. */
struct shard *engine_lock_idle_shard(struct engine *engine, struct shard *usual);

/* Where requests are counted; never NULL. Made by the first that is (core/engine_stats.c), so what
 * only holds a reader or a name costs nothing. Inside the gate. */
struct stats *engine_make_stats(struct engine *engine);
static inline struct stats *engine_stats(struct engine *engine)
{
    struct stats *stats = atomic_load_explicit(&engine->stats, memory_order_acquire);

    return stats ? stats : engine_make_stats(engine);
}
/* What was counted so far, connections included; all 0 when nothing was. Inside the gate. */
void engine_copy_stats(struct engine *engine, struct stats_copy *ret_copy);
/* In a fork child: what was counted is the parent's. */
void engine_reset_stats(struct engine *engine);

/* In a fork child, inside no gate: what others have to know of it. All else that is the parent's,
 * engine_get forgets there, when it is first called: a child that executes another program, or
 * ends, has no use for it. */
void engine_reset_child(void);
/* Others know of its readers as that process's, too. Inside the gate. */
void engine_give_readers(int pid);
/* The process ends: others forget its readers, and that it moved data. Inside the gate. */
void engine_end(void);
void engine_leave_fellows(struct engine *engine);

/* Wakes every waiter so that it looks at its cancel flag. Inside the gate, no lock held. */
void engine_kick(struct engine *engine);

#endif
