/* What the files of deferred puts share: deferred.c (on their way, looking, waiting),
 * deferred_held.c (those that are kept back for a moment, and changes that come after a close),
 * deferred_failures.c. Everything under the lock of deferred_shard, unless it says otherwise. */
#ifndef S3DLIO_CORE_DEFERRED_PRIVATE_H
#define S3DLIO_CORE_DEFERRED_PRIVATE_H

#include <stddef.h>

#include "core/call.h"
#include "core/deferred.h"
#include "core/engine.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

struct deferred_put {
    struct call call; /* its uri is the put's name from the beginning, the rest once it is sent */
    struct engine *engine;
    struct iovec body;
    struct upload *upload;
    struct upload_memory memory;
    struct attr attr; /* as they show */
    void (*release)(void *owner);
    void *owner;
    enum {
        PUT_HELD,  /* nothing was sent; the timer runs */
        PUT_TAKEN, /* by a thread that changes it, outside the lock; to be given back */
        PUT_SENT
    } state;
    bool is_new;    /* nothing else stands under its name at the store */
    bool is_wanted; /* somebody waits for it */
    int64_t held_until_ns;
    struct shard_timer timer;
    struct attr late;          /* changed since it was sent: it is put once more */
    bool is_again;             /* that one is on its way, */
    char etag[STORE_ETAG_MAX]; /* in the place of this version */
    struct error failure;      /* of the PUT, while a HEAD is on its way */
    bool is_refused;           /* its condition was */
    bool is_plain;             /* goes without */
    unsigned seat;
    uint64_t serial;
    struct deferred_put *prev, *next;
};

/* One for all, as for deletions: objects are small here. */
static inline struct shard *deferred_shard(struct engine *engine)
{
    return engine->shards[0];
}

/* deferred.c */

/* The newest put to that name. */
struct deferred_put *deferred_find(struct deferred *deferred, const struct uri *uri);
/* The same, or to one that stands for a directory in it. */
struct deferred_put *deferred_find_on_the_way(struct deferred *deferred, const struct uri *uri);
void deferred_send(struct deferred_put *put);
/* A seat for the put under that name, or 0; no lock held, or any. */
unsigned deferred_seat(struct deferred_put *put, const struct uri *uri);

/* deferred_held.c */

/* A put that was just listed: keeps it back, or sends it at once. */
void deferred_hold(struct deferred_put *put);
/* Sends it, if it is held. */
void deferred_let_go(struct deferred_put *put);
void deferred_let_all_go(struct engine *engine);
/* One is stored. Is it put once more, because of what was changed meanwhile? 1, 0; -errno when that
 * cannot be stored. */
int deferred_goes_again(struct deferred_put *put, const char *etag);

/* deferred_failures.c */

void deferred_keep_failure(struct deferred *deferred, const struct uri *uri,
                           const struct error *error);
/* Something is stored under that name. */
void deferred_forgive_one(struct deferred *deferred, const struct uri *uri);

#endif
