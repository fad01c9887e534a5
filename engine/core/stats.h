/* Counters of the process: what was asked of stores, and what it moved.
 *
 * Relaxed atomics, written by whoever submits or ends a request; readers get a snapshot that is not
 * one instant. Memory figures are the budget's and connections the stores' own; neither is here.
 */
#ifndef S3DLIO_CORE_STATS_H
#define S3DLIO_CORE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "store/store.h"

struct stats {
    atomic_uint_fast64_t requests[STORE_OPERATION_COUNT]; /* repeats included */
    atomic_uint_fast64_t retries;                         /* of these, repeats */
    atomic_uint_fast64_t errors;                          /* requests that ended with one */
    atomic_uint_fast64_t bytes_received, bytes_sent;      /* bodies */
};

static inline void stats_add(atomic_uint_fast64_t *counter, uint64_t amount)
{
    atomic_fetch_add_explicit(counter, amount, memory_order_relaxed);
}
static inline uint64_t stats_read(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
/* The sum over all operations. */
uint64_t stats_requests(const struct stats *stats);
/* In a fork child: what was counted is the parent's. */
void stats_reset_child(struct stats *stats);

#endif
