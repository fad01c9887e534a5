/* Sums over the counters of stats.h, and their beginning in a child. */
#include "core/stats.h"

uint64_t stats_requests(const struct stats *stats)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        total += stats_read(&stats->requests[i]);
    return total;
}

void stats_reset_child(struct stats *stats)
{
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        atomic_store_explicit(&stats->requests[i], 0, memory_order_relaxed);
    atomic_store_explicit(&stats->retries, 0, memory_order_relaxed);
    atomic_store_explicit(&stats->errors, 0, memory_order_relaxed);
    atomic_store_explicit(&stats->bytes_received, 0, memory_order_relaxed);
    atomic_store_explicit(&stats->bytes_sent, 0, memory_order_relaxed);
}
