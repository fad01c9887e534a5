/* When is a failed request sent again: typed errors, full jitter, and a budget of the process.
 *
 * The delay is chosen at random below base × 2^attempt (full jitter), or what Retry-After asks for
 * if that is longer. Over the whole process repeats are limited to a rate: a burst, then so many a
 * second; whoever comes above it waits longer, so that an outage does not multiply the requests,
 * and nobody fails because others did. No locks; any thread.
 */
#ifndef S3DLIO_CORE_RETRY_H
#define S3DLIO_CORE_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define RETRY_DELAY_MAX_MS 20000

struct retry_policy {
    unsigned max; /* repeats without progress in between */
    uint32_t base_ms;
    /* The budget: the time until which the rate is already spoken for. */
    atomic_int_fast64_t booked_ns;
};

void retry_policy_init(struct retry_policy *policy, unsigned max, uint32_t base_ms);

/* `attempt` counts from 0 for the first repeat. *ret_at_ns is when to send again; false when that
 * makes no sense: not that kind of error, too many attempts, or beyond the deadline. */
bool retry_next(struct retry_policy *policy, const struct error *err, unsigned attempt,
                int64_t deadline_ns, int64_t *ret_at_ns);

#endif
