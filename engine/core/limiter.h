/* How many requests of a kind may be under way, as the options say, and what kind of network is
 * behind them.
 *
 * A store whose first byte comes within LIMITER_NEAR_NS is best served by few connections and small
 * ranges that stay in the processor's cache (measured: 1-2 MiB on two connections), a far one by
 * many large ranges. What counts is the least first-byte time of the last one or two periods: all
 * others measure the queue that we fill ourselves.
 * Relaxed atomics; any thread.
 */
#ifndef S3DLIO_CORE_LIMITER_H
#define S3DLIO_CORE_LIMITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LIMITER_NEAR_NS   INT64_C(2000000)
#define LIMITER_PERIOD_NS INT64_C(10000000000)

struct limiter {
    unsigned inflight_max;
    atomic_int_fast64_t least_ns;        /* first-byte time of this period; 0: none yet */
    atomic_int_fast64_t least_before_ns; /* of the period before */
    atomic_int_fast64_t period_ns;       /* when this one began */
};

void limiter_init(struct limiter *limiter, unsigned inflight_max);
void limiter_on_first_byte(struct limiter *limiter, int64_t elapsed_ns);
unsigned limiter_target(const struct limiter *limiter);
/* The least of late; 0 while unknown. */
int64_t limiter_first_byte_ns(const struct limiter *limiter);
/* False while unknown. */
bool limiter_is_near(const struct limiter *limiter);

#endif
