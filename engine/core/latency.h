/* How long the answers of an endpoint take: until they begin at the least, and when one is late.
 *
 * A store whose first byte comes within LATENCY_NEAR_NS is best served by few connections and small
 * ranges that stay in the processor's cache (measured: 1-2 MiB on two connections), a far one by
 * many large ranges. What counts is the least first-byte time of the last one or two periods: all
 * others measure the queue that we fill ourselves.
 * Relaxed atomics; any thread.
 */
#ifndef S3DLIO_CORE_LATENCY_H
#define S3DLIO_CORE_LATENCY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LATENCY_NEAR_NS   INT64_C(2000000)
#define LATENCY_PERIOD_NS INT64_C(10000000000)

#define LATENCY_ANSWERS_MIN  3u                /* before anything is called late */
#define LATENCY_ANSWERS_FEW  20u               /* what is late is a guess before, */
#define LATENCY_GUESS_MIN_NS INT64_C(80000000) /* and nothing is in less than this */
#define LATENCY_LATE_MIN_NS  INT64_C(5000000)  /* nothing is late before */
#define LATENCY_HEDGES_MAX   10                /* saved up */

#define LATENCY_STALLED_MIN_NS     INT64_C(500000000) /* a body that stands still */
#define LATENCY_STALLED_UNKNOWN_NS INT64_C(2000000000)

enum latency_kind { LATENCY_BYTES, LATENCY_LOOKS, LATENCY_PAGES, LATENCY_KINDS };

struct latency_tail {
    atomic_uint answers;         /* up to LATENCY_ANSWERS_FEW */
    atomic_int_fast64_t late_ns; /* the 95th percentile, tracked */
};

struct latency {
    atomic_int_fast64_t least_ns;        /* first-byte time of this period; 0: none yet */
    atomic_int_fast64_t least_before_ns; /* of the period before */
    atomic_int_fast64_t period_ns;       /* when this one began */
    unsigned hedge_percent;
    struct latency_tail tails[LATENCY_KINDS];
    atomic_int_fast64_t hedges; /* that may be sent, in hundredths */
};

/* hedge_percent: of the requests, at most so many are sent a second time. */
void latency_init(struct latency *latency, unsigned hedge_percent);
/* elapsed_ns since the request was sent that was answered; waited_ns since the first that asked
 * for the same. */
void latency_on_first_byte(struct latency *latency, int64_t elapsed_ns, int64_t waited_ns);
/* The same of a request that is not hedged: only the least is learned. */
void latency_on_answer(struct latency *latency, int64_t elapsed_ns);
/* A look-up, or a page of a listing, was answered as a whole, waited_ns after it was first sent. */
void latency_on_look(struct latency *latency, enum latency_kind kind, int64_t waited_ns);
/* When such an answer is late: twice the time in which 19 of 20 came. As below. */
int64_t latency_look_late_ns(const struct latency *latency, enum latency_kind kind);
/* The least of late; 0 while unknown. */
int64_t latency_first_byte_ns(const struct latency *latency);
/* When an answer is late: 19 of 20 came sooner, or while few have come, in half the time, and it is
 * not a moment of a busy machine. 0 while unknown, or when there is to be no hedging. */
int64_t latency_late_ns(const struct latency *latency);
/* How long a body may stand still before it is asked for again: several times what an answer takes
 * to begin. 0: nothing is sent twice. */
int64_t latency_stalled_ns(const struct latency *latency);
/* True: one more request of that kind may be hedged, and counts as that. While few have been answered
 * one may come before it is saved up: a program of a dozen requests has its late one, too. */
bool latency_may_hedge(struct latency *latency, enum latency_kind kind);
/* False while unknown. */
bool latency_is_near(const struct latency *latency);

#endif
