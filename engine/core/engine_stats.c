/* The counters' memory, and what of them others keep. See engine.h. */
#include <pthread.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "core/engine.h"
#include "core/stats_board.h"
#include "core/teller.h"

static pthread_mutex_t making_mutex = PTHREAD_MUTEX_INITIALIZER; /* a leaf, inside the gate */
static bool on_board;                                            /* under it */

/* Where others see them; else where nobody does; without memory a child's go on from the parent's. */
static struct stats *make(void)
{
    static struct stats spare;
    struct stats *stats = board_take();

    on_board = stats != NULL;
    if (!stats)
        stats = mmap(NULL, sizeof *stats, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    return stats == MAP_FAILED ? &spare : stats;
}

struct stats *engine_make_stats(struct engine *engine)
{
    struct stats *stats;

    pthread_mutex_lock(&making_mutex);
    stats = atomic_load(&engine->stats);
    if (!stats) {
        stats = make();
        atomic_store_explicit(&stats->memory_limit_bytes, engine->budget.limit_bytes,
                              memory_order_relaxed);
        atomic_store_explicit(&engine->stats, stats, memory_order_release);
        teller_start();
    }
    pthread_mutex_unlock(&making_mutex);
    return stats;
}

void engine_copy_stats(struct engine *engine, struct stats_copy *ret_copy)
{
    static const struct stats none;
    const struct stats *stats = atomic_load_explicit(&engine->stats, memory_order_acquire);
    struct store_stats stores = {0};

    stats_copy(stats ? stats : &none, clock_now_ns(), ret_copy);
    for (unsigned i = 0; i < ENGINE_STORES_MAX; i++) {
        struct store *store = atomic_load(&engine->stores[i]);

        if (store && store->ops->get_stats)
            store->ops->get_stats(store, &stores);
    }
    ret_copy->counters[STATS_CONNECTIONS_OPENED] = stores.connections_opened;
    ret_copy->counters[STATS_CONNECTIONS_REUSED] = stores.connections_reused;
    ret_copy->memory_bytes = budget_used(&engine->budget);
    ret_copy->memory_peak_bytes = budget_peak(&engine->budget);
    ret_copy->memory_limit_bytes = engine->budget.limit_bytes;
}

void engine_reset_stats(struct engine *engine)
{
    struct stats *stats = atomic_exchange(&engine->stats, NULL);

    if (stats && on_board)
        board_forget(stats); /* others would go on seeing what is counted there */
}
