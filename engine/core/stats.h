/* Counters of the process: what was asked of stores, how long that took, and what it moved.
 *
 * Relaxed atomics without a lock, written by whoever submits or ends a request; readers, other
 * processes among them, get a copy that is not one instant. A request costs some ten additions.
 * A counter is a row of stats.def and a stats_add where it happens.
 *
 * Durations: to the first byte from the moment a request was sent, where its store tells that, and
 * in all from the moment it was submitted, waiting for a connection included. The requests in
 * flight on average are the sum of the latter over the time since the first request.
 */
#ifndef S3DLIO_CORE_STATS_H
#define S3DLIO_CORE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/histogram.h"
#include "core/samples.h"
#include "store/store.h"

enum stats_counter {
#define COUNTER(id, ...) STATS_##id,
#include "core/stats.def"
#undef COUNTER
    STATS_COUNTERS
};

/* How many requests at once are found worth while, by direction and length (core/limiter.h), in the
 * order of stats_level_word, and the most that there were. */
#define STATS_LEVELS 4u

struct stats {
    _Atomic int64_t begun_ns; /* when the first request was; 0: none yet */
    atomic_uint_fast64_t requests[STORE_OPERATION_COUNT]; /* submitted, repeats included */
    atomic_uint_fast64_t counters[STATS_COUNTERS];
    atomic_uint_fast64_t in_flight, in_flight_peak;
    /* The budget's, as of the last request. */
    atomic_uint_fast64_t memory_bytes, memory_peak_bytes, memory_limit_bytes;
    atomic_uint_fast64_t level[STATS_LEVELS], level_peak[STATS_LEVELS];
    struct histogram first_byte[STORE_OPERATION_COUNT], total[STORE_OPERATION_COUNT];
    struct samples samples;
};

/* Numbers only, of one moment or nearly so. */
struct stats_copy {
    uint64_t requests_all, requests[STORE_OPERATION_COUNT];
    uint64_t counters[STATS_COUNTERS];
    uint64_t in_flight, in_flight_peak;
    uint64_t memory_bytes, memory_peak_bytes, memory_limit_bytes;
    uint64_t level[STATS_LEVELS], level_peak[STATS_LEVELS];
    int64_t elapsed_ns; /* since the first request */
    struct histogram_copy first_byte[STORE_OPERATION_COUNT], total[STORE_OPERATION_COUNT];
    struct samples_copy samples;
};

struct stats_row {
    const char *group, *word, *unit, *prometheus, *help;
};
const struct stats_row *stats_row(enum stats_counter counter);

static inline void stats_add(struct stats *stats, enum stats_counter counter, uint64_t amount)
{
    atomic_fetch_add_explicit(&stats->counters[counter], amount, memory_order_relaxed);
}
static inline uint64_t stats_read(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
/* The sum over all operations. */
uint64_t stats_requests(const struct stats *stats);

/* A request is submitted, and that is over: with or without an answer. Once each, in this order. */
struct stats_end {
    enum store_operation operation;
    int64_t submitted_ns, sent_ns, first_byte_ns, ended_ns; /* 0: not known, did not come */
    uint64_t bytes_received, bytes_sent;
    bool failed, abandoned;
};
void stats_begin(struct stats *stats, enum store_operation operation, int64_t now_ns);
void stats_end(struct stats *stats, const struct stats_end *end);

void stats_note_level(struct stats *stats, unsigned which, unsigned level, unsigned in_flight);
const char *stats_level_word(unsigned which); /* "get_short", … */

void stats_copy(const struct stats *stats, int64_t now_ns, struct stats_copy *ret_copy);

#endif
