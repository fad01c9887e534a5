/* Puts that close did not wait for (S3DLIO_CLOSE=deferred): small new objects, of one request each.
 *
 * Whoever closes hands over an upload that was not begun, with all its bytes, and goes on. Each put
 * ends by itself, retries and lost answers included, on whichever thread drives its shard; nothing
 * is left for a thread of the program to do. At most 128 are under way, or S3DLIO_PUT_INFLIGHT if that is set, half as
 * many from each time that the store asks for less, one more after so many that worked, with at most
 * a quarter of the memory budget; for a place close waits.
 *
 * The last few are held back for S3DLIO_CLOSE_HOLD_MS, unless somebody waits for them: programs often
 * set modes, owners and times, or give a file its name, right after they have closed it. Such a
 * change then travels with the put. One that comes later is put behind it with the same bytes once
 * more, if it is of attributes; for another name the caller waits.
 *
 * Order: until it has ended a put is found by its name. A look at attributes is answered from it;
 * every other public call about the name waits (api/api.h), and so does the last request of another
 * upload there (core/upload.c); those about directories wait for all. Fork, exec and the end of the
 * process wait for all of their own. Other processes of this user that defer too see it as well
 * (deferred_table.h).
 *
 * A put that fails is printed with its name by the next public call, is what the next one about that
 * name returns, and, until something is stored under that name, what s3dlio_settle returns. Lost
 * without a word is only what a killed process had not sent.
 *
 * Locking: the lock of one shard guards everything but the three counts, which are read
 * without. No function here but deferred_init and _reset_child is to be called with a lock held.
 */
#ifndef S3DLIO_CORE_DEFERRED_H
#define S3DLIO_CORE_DEFERRED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"
#include "core/deferred_table.h"
#include "core/limits.h"
#include "core/upload.h"

struct deferred_put;
struct deferred_failure;
struct engine;
struct reader;
struct rename;

struct deferred {
    bool is_on;
    atomic_uint count;  /* of puts */
    atomic_uint failed; /* of failures that count */
    atomic_uint unprinted;
    struct deferred_put *puts; /* the oldest first */
    uint64_t bytes;            /* of their bodies */
    uint64_t serial;           /* of the newest */
    unsigned places_max;
    unsigned places; /* how many there may be now */
    unsigned stored; /* since that was changed */
    int64_t halved_ns;
    int64_t hold_ns;
    unsigned held;
    struct deferred_failure *failures;
    struct error first_failure;   /* of those that are kept no more; class ERROR_NONE: none */
    struct deferred_table *table; /* NULL: no room for it, nothing is deferred */
};

/* Once the options are there. */
void deferred_init(struct engine *engine);
/* In a fork child: all of it is the parent's. */
void deferred_reset_child(struct deferred *deferred);

struct deferred_options {
    const struct uri *uri;
    struct upload *upload;        /* prepared: upload_put_prepare */
    struct upload_memory memory;  /* its `release` is not called */
    const struct attr *attr;      /* what stat says meanwhile */
    bool is_new;                  /* whoever opened it has found nothing of that name */
    void (*release)(void *owner); /* frees upload and memory; leaf locks only */
    void *owner;
};
/* False: not to be deferred (a reader has the name open, there is no seat or memory, the call's time
 * is over), and everything is still the caller's. May wait for a place. */
bool deferred_begin(struct engine *engine, const struct deferred_options *options,
                    const struct limits *limits);

/* Attributes of what is on its way to that name. */
bool deferred_look(struct engine *engine, const struct uri *uri, struct attr *ret_attr);
/* Changes of a put of this process that was not stored yet, without waiting for it. 1: done, and seen
 * by all who look from now on. 0: there is none, or this one cannot be changed so. -errno: as the
 * store would have said it. */
int deferred_set_attr(struct engine *engine, const struct uri *uri, const struct attr *attr,
                      const struct limits *limits, struct error *err);
int deferred_rename(struct engine *engine, const struct rename *rename, const struct limits *limits,
                    struct error *err);
/* A reader of it, if its bytes are few: the first read waits. Answers as above. */
int deferred_open(struct engine *engine, const struct uri *uri, struct reader **ret_reader,
                  struct error *err);
int deferred_wait_serial(struct engine *engine, uint64_t serial, const struct limits *limits,
                         struct error *err);
/* Sleeps until nothing is on its way to that name, or to one that stands for a directory in it. */
int deferred_wait(struct engine *engine, const struct uri *uri, const struct limits *limits,
                  struct error *err);
/* Until all have ended that have begun by now, of this process and of others. */
int deferred_wait_everywhere(struct engine *engine, const struct limits *limits, struct error *err);
/* The same for this process's own; what has not ended when the call's time is over counts as
 * failed. */
void deferred_finish(struct engine *engine, const struct limits *limits);

/* The failure of a put to that name which no call about it was told yet: -errno with *err, and it
 * counts as told. 0: there is none. */
int deferred_tell(struct engine *engine, const struct uri *uri, struct error *err);
/* Prints those that are not printed yet. */
void deferred_print(struct engine *engine);
/* Of all failures the first: -errno with *err; 0. */
int deferred_failure(struct engine *engine, struct error *err);
/* Something was stored under that name: what failed before counts no more. */
void deferred_forgive(struct engine *engine, const struct uri *uri);

static inline bool deferred_any(const struct deferred *deferred)
{
    return atomic_load_explicit(&deferred->count, memory_order_relaxed) != 0;
}
static inline bool deferred_is_to_print(const struct deferred *deferred)
{
    return atomic_load_explicit(&deferred->unprinted, memory_order_relaxed) != 0;
}
static inline bool deferred_any_failed(const struct deferred *deferred)
{
    return atomic_load_explicit(&deferred->failed, memory_order_relaxed) != 0;
}

#endif
