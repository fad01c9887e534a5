/*
 * Counters by operation and the log of the last requests.
 *
 * A request is counted when its answer is decided, before the answer is sent: whoever has read an
 * answer finds it in the counters. Bytes out are those the answer was to carry. One lock covers it
 * all; the gauges of connections and requests are atomics.
 */
#ifndef TESTS_SERVER_STATS_H
#define TESTS_SERVER_STATS_H

#include "buf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum {
    STATS_LOG_LINES = 10000,
    STATS_MAX_OPS = 40,
};

struct stats_row {
    uint64_t requests;
    uint64_t errors; /* answered with 400 and more, or not at all */
    uint64_t bytes_in, bytes_out;
};

struct stats_record {
    unsigned op; /* row of the operation table */
    const char *op_name;
    const char *bucket, *key, *range;
    unsigned status; /* 0: connection reset instead of an answer */
    uint64_t bytes_in, bytes_out;
    uint64_t connection;
};

struct stats {
    pthread_mutex_t lock; /* covers rows, max_in_flight, cpu_at_reset_s, lines */
    struct stats_row rows[STATS_MAX_OPS];
    const char *names[STATS_MAX_OPS];
    uint64_t max_in_flight;
    double cpu_at_reset_s;
    uint64_t line_count; /* ever; the ring holds the last ones */
    char *lines[STATS_LOG_LINES];
    atomic_ullong connections_accepted, connections_open, in_flight;
};

void stats_init(struct stats *stats);
void stats_fini(struct stats *stats);
void stats_request_begin(struct stats *stats); /* in flight from here … */
void stats_request_end(struct stats *stats);   /* … to here */
void stats_count(struct stats *stats, const struct stats_record *record);
void stats_reset(struct stats *stats);
void stats_clear_log(struct stats *stats);
void stats_json(struct stats *stats, struct buf *out);
void stats_log(struct stats *stats, struct buf *out);

#endif
