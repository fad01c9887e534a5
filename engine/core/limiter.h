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

#define LIMITER_ANSWERS_MIN 20u              /* before anything is called late */
#define LIMITER_LATE_MIN_NS INT64_C(5000000) /* nothing is late before */
#define LIMITER_HEDGES_MAX  10               /* saved up */

struct limiter {
    unsigned inflight_max;
    atomic_int_fast64_t least_ns;        /* first-byte time of this period; 0: none yet */
    atomic_int_fast64_t least_before_ns; /* of the period before */
    atomic_int_fast64_t period_ns;       /* when this one began */
    unsigned hedge_percent;
    atomic_uint answers;         /* up to LIMITER_ANSWERS_MIN */
    atomic_int_fast64_t late_ns; /* the 95th percentile of waited_ns, tracked */
    atomic_int_fast64_t hedges;  /* that may be sent, in hundredths */
};

/* hedge_percent: of the requests, at most so many are sent a second time. */
void limiter_init(struct limiter *limiter, unsigned inflight_max, unsigned hedge_percent);
/* elapsed_ns since the request was sent that was answered; waited_ns since the first that asked
 * for the same. */
void limiter_on_first_byte(struct limiter *limiter, int64_t elapsed_ns, int64_t waited_ns);
unsigned limiter_target(const struct limiter *limiter);
/* The least of late; 0 while unknown. */
int64_t limiter_first_byte_ns(const struct limiter *limiter);
/* When an answer is late: 19 of 20 came sooner. 0 while unknown, or when there is to be no
 * hedging. */
int64_t limiter_late_ns(const struct limiter *limiter);
/* True: one more request may be hedged, and counts as that. */
bool limiter_may_hedge(struct limiter *limiter);
/* False while unknown. */
bool limiter_is_near(const struct limiter *limiter);

#endif
