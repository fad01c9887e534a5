/* Sums over the counters of stats.h. */
#include "core/stats.h"

uint64_t stats_requests(const struct stats *stats)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        total += stats_read(&stats->requests[i]);
    return total;
}
