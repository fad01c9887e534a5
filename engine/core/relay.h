/* A range that another shard fetches for an owner that lives on this one ("home").
 *
 * Where one thread cannot decrypt as fast as bytes come, others do it: the request runs on the other
 * shard ("away") from its first byte to its last retry, into a buffer of the relay, and is handed
 * over as a whole. Nothing is shared while it is under way: the relay travels by shard_post, and
 * what the owner has of it is the pointer, to leave it by.
 *
 * Two references: the trip's, from start to arrival at home, and the owner's, which ends with
 * on_done, or travels to the other shard when the owner leaves. Memory that is under way stays
 * reserved: by the owner, or by the relay that was left. A list in the engine remembers
 * all relays for the fork child, which has no use for those that were left.
 */
#ifndef S3DLIO_CORE_RELAY_H
#define S3DLIO_CORE_RELAY_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/budget.h"
#include "core/fetch.h"

struct relay {
    struct fetch fetch;        /* under the lock of the shard away, from start to end */
    bool ended;                /* the same */
    char etag[STORE_ETAG_MAX]; /* what the fetch starts with */
    unsigned char *buffer;
    size_t buffer_bytes;
    uint64_t received, length; /* the end: as in the fetch */
    struct error error;

    struct shard *home;
    void (*on_done)(struct relay *relay); /* under the lock of home; NULL: the owner has left */
    void *owner;
    enum budget_class budget_class; /* once it has left */
    uint64_t reserved_bytes;

    struct shard_post trip, leave;
    atomic_uint references;
    struct relay *prev, *next; /* of the engine's */
};

/* Of an engine; a leaf mutex. */
struct relays {
    pthread_mutex_t mutex;
    struct relay *first;
};

void relays_init(struct relays *relays);
/* In a fork child: frees those whose owner had left in the parent. */
void relays_reset_child(struct relays *relays);

/* What `like` was going to fetch, a fetch of home that is set up (offset, length, version) and not
 * started, is fetched by `away`, another shard. Home's lock is held. on_done comes on home, once,
 * never from inside this; there `buffer` may be taken, by setting NULL. NULL: no memory, or no
 * thread. */
struct relay *relay_start(const struct fetch *like, struct shard *away,
                          void (*on_done)(struct relay *relay), void *owner);
/* The owner has no use for it any more: on_done will not come. What it has reserved goes along. If
 * little is missing the rest comes in, so that the connection stays usable. Home's lock is held;
 * also in a fork child. */
void relay_leave(struct relay *relay, enum budget_class class, uint64_t reserved_bytes);

#endif
