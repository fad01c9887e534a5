/* Names to which puts are on their way that close did not wait for, in a table that the processes of
 * a user share (core/place.h): so a process sees what another one has closed, and waits for it.
 *
 * A seat stands for one put. Names are found by 128 bits of hash, endpoint included. A process that
 * died leaves seats that count no more, and are free for others. Nothing here is trusted further:
 * what stands in a seat makes others wait, for a time that ends, or answers a look at attributes.
 * Without a place for the file each process, with the children it forks, has a table of its own.
 *
 * Any thread, inside the gate; no lock.
 */
#ifndef S3DLIO_CORE_DEFERRED_TABLE_H
#define S3DLIO_CORE_DEFERRED_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uri.h"
#include "core/attr.h"
#include "core/limits.h"
#include "store/store.h"

struct deferred_table;

struct deferred_name {
    uint64_t hash[2];
};

/* NULL without memory. */
struct deferred_table *deferred_table_open(void);
void deferred_table_close(struct deferred_table *table); /* NULL is fine */
/* Is there anything in it, as far as one can tell without looking? */
bool deferred_table_any(struct deferred_table *table);

void deferred_name_of(struct store *store, const struct uri *uri, struct deferred_name *ret_name);

/* A seat for a put that has ended by until_ns (CLOCK_MONOTONIC). Its number, or 0: there is none. */
unsigned deferred_table_enter(struct deferred_table *table, const struct deferred_name *name,
                              const struct attr *attr, int64_t until_ns);
/* It is to have other attributes. */
void deferred_table_change(struct deferred_table *table, unsigned seat, const struct attr *attr);
/* Does another process wait for it? */
bool deferred_table_is_wanted(struct deferred_table *table, unsigned seat);
void deferred_table_leave(struct deferred_table *table, unsigned seat);

/* ---- those of other processes ---------------------------------------------------------------- */

/* What is on its way to that name: size, time, and what is stored with it. */
bool deferred_table_look(struct deferred_table *table, const struct deferred_name *name,
                         struct attr *ret_attr);
/* Sleeps until nothing is on its way there; with name NULL until everything has ended that is there
 * now. 0 or -errno. */
int deferred_table_wait(struct deferred_table *table, const struct deferred_name *name,
                        const struct limits *limits, struct error *err);

#endif
