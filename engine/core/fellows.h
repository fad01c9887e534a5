/* Which processes of a user on this machine move data now, and at which endpoint: in a table that they
 * share (core/place.h), so that each takes its share of requests and of memory.
 *
 * A seat is a process at an endpoint. It counts while it was touched within FELLOWS_ACTIVE_NS, and is
 * anybody's after that: one that was killed has no share a second later. A seat that was taken
 * meanwhile is replaced at the next touch. What stands there is trusted for nothing else; without
 * the table, or a free seat, a process knows of no others.
 *
 * Times are those of CLOCK_MONOTONIC, which all processes of a machine have in common. Any thread, inside
 * the gate; no locks. A seat is used by one thread at a time.
 */
#ifndef S3DLIO_CORE_FELLOWS_H
#define S3DLIO_CORE_FELLOWS_H

#include <stdint.h>

#define FELLOWS_ACTIVE_NS INT64_C(1000000000)
#define FELLOWS_SEATS     512u

struct fellows_table;

struct fellows_seat {
    uint64_t process;  /* a number that no other process has; not 0 */
    uint64_t endpoint; /* the same for all processes */
    unsigned index;
};

/* NULL without a place for it. */
struct fellows_table *fellows_open(void);

/* The process moves data there now. */
void fellows_touch(struct fellows_table *table, struct fellows_seat *seat, int64_t now_ns);
/* It does no longer. */
void fellows_leave(struct fellows_table *table, struct fellows_seat *seat);

/* This one always included. */
struct fellows_count {
    unsigned at_endpoint, processes;
};
struct fellows_count fellows_count(struct fellows_table *table, const struct fellows_seat *seat,
                                   int64_t now_ns);

#endif
