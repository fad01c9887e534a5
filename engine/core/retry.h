/* When is a failed request sent again: typed errors, full jitter, and a budget of the process.
 *
 * The delay is chosen at random below base × 2^attempt (full jitter), or what Retry-After asks for
 * if that is longer. Over the whole process repeats are limited to a rate: a burst, then so many a
 * second; whoever comes above it waits longer, so that an outage does not multiply the requests,
 * and nobody fails because others did. No locks; any thread.
 *
 * A store that is overloaded (429, 503) says that it will do the work later: a patient policy goes on
 * asking, ever less often, as long as the operation has time. What keeps failing otherwise ends after
 * so many repeats.
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
    bool is_patient; /* with a store that is overloaded */
    /* The budget: the time until which the rate is already spoken for. */
    atomic_int_fast64_t booked_ns;
    atomic_int_fast64_t told_ns; /* when the user last heard of an overload; 0: never */
};

void retry_policy_init(struct retry_policy *policy, unsigned max, uint32_t base_ms);

/* `attempt` counts from 0 for the first repeat. *ret_at_ns is when to send again; false when that
 * makes no sense: not that kind of error, too many attempts, or beyond the deadline. */
bool retry_next(struct retry_policy *policy, const struct error *err, unsigned attempt,
                int64_t deadline_ns, int64_t *ret_at_ns);

/* `what` gets no other answer since then than that the store is overloaded, the last one *err: where
 * that takes long, the user hears of it, now and then. */
void retry_tell_overload(struct retry_policy *policy, const char *what, const struct error *err,
                         int64_t since_ns);

#endif
