/* Deletions that a program was told of before the store has made them, so that removing a tree
 * costs a request for a thousand names instead of one each.
 *
 * The first file that is removed from a directory is deleted before the call returns: what forbids
 * that is an errno. Those that follow in the same directory are accepted when nothing about them
 * has to be asked, and sent at once when no batch is on its way, else with all others that come
 * until it is back; so no deletion waits for more than one round trip, and none for a timer. What a
 * batch fails to delete is deleted one by one, which also tells why.
 *
 * Order: every public call about names but another such removal waits first (api/api.h), and so do
 * publishing, fork, exec and the end of the process; the names count as gone in the attribute
 * cache, for other processes too. Lost is only what a killed process had not sent. A failure is
 * printed for each name, and told once: by rmdir of a directory that the name was in, else by
 * s3dlio_settle.
 *
 * Locking: the lock of one shard guards everything but `pending`, which is read without.
 * */
#ifndef S3DLIO_CORE_REMOVALS_H
#define S3DLIO_CORE_REMOVALS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uri.h"
#include "core/limits.h"
#include "core/turn.h"

struct engine;
struct removal_batch;

struct removals {
    atomic_bool pending;           /* there is a batch in one of the three places */
    struct removal_batch *filling; /* waits for the one that is flying */
    struct removal_batch *flying;
    struct removal_batch
        *again;          /* a list: were not deleted in a batch; until they are one by one */
    struct turn mending; /* of whoever does that */
    uint64_t directory;  /* in which one was deleted by itself: its inode; 0: none */
    bool has_failed;     /* nobody was told yet */
    struct uri failed;
    struct error failure;
};

void removals_init(struct removals *removals, struct shard *shard);

/* Accepts the deletion of an object that is there, or (false) leaves it to the caller. May wait
 * while a batch is full. */
bool removals_add(struct engine *engine, const struct uri *uri, const struct limits *limits);
/* The object was deleted by itself: what follows in its directory may be accepted. */
void removals_begin(struct engine *engine, const struct uri *uri);

/* Sleeps until nothing is pending. When the call's time is over first the rest stays pending. */
void removals_wait(struct engine *engine, const struct limits *limits);
static inline bool removals_pending(const struct removals *removals)
{
    return atomic_load_explicit(&removals->pending, memory_order_relaxed);
}

/* The failure of a deletion below `directory` (NULL: anywhere) that nobody was told yet: -errno
 * with *err, and it counts as told. 0: there is none. */
int removals_failure(struct engine *engine, const struct uri *directory, struct error *err);

/* In a fork child: they are the parent's. */
void removals_reset_child(struct removals *removals, struct shard *shard);

#endif
