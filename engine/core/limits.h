/* What bounds one public call, and the ways in which core code sleeps.
 *
 * Every public call has a deadline, perhaps a cancel flag, and perhaps a buffer that it fills.
 * Thread-local state says which call the running thread works for: bytes may be put into a caller's
 * buffer only while that is exactly the call. So a call left behind by longjmp never writes again,
 * and a signal handler's call does not write for the one it interrupted. Engine code runs inside a
 * call always, or on an engine thread, which works for none.
 *
 * Nothing here takes a lock; limits_wait releases the shard's lock while it sleeps (io/shard.h).
 */
#ifndef S3DLIO_CORE_LIMITS_H
#define S3DLIO_CORE_LIMITS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/shard.h"

/* What a call holds and others wait for. It is given back by its holder, or by left() when the
 * holder's thread leaves by pthread_exit in the middle of a wait (it is not cancelled there: api.h):
 * on that thread, inside the gate, no lock held. After a longjmp nobody calls it. The memory is the holder's. */
struct limits_held {
    void (*left)(struct limits_held *held);
    struct limits_held *next; /* held before it by the same call */
};

struct limits {
    int64_t deadline_ns;
    const atomic_bool *cancelled; /* NULL: cannot be cancelled */
    void *work;                   /* what the call fills; its owner knows the type */
    struct limits_held *held;     /* the last first */
    struct limits *outer;         /* the call of this thread that a signal handler interrupted */
    struct limits *within;        /* the call of this thread that this is a part of; NULL */
};

/* timeout_ns 0 or less: no deadline. End in reverse order, on the same thread. */
void limits_begin(struct limits *limits, int64_t timeout_ns, const atomic_bool *cancelled);
/* For a part of the running call that has a time of its own. */
void limits_begin_within(struct limits *limits, int64_t timeout_ns);
void limits_end(struct limits *limits);

/* The call that this thread works for; NULL on engine threads. */
const struct limits *limits_current(void);

/* By the thread's call, from now on and no longer. To let go of what another call holds, or none,
 * does nothing. */
void limits_hold(struct limits_held *held);
void limits_let_go(struct limits_held *held);

/* What is waited for lives as long as the wait and longer: on the heap, never freed while a wait
 * that was left by longjmp may still be looked at (such an object is leaked instead). */
struct limits_wait {
    bool (*done)(const void *arg,
                 uint64_t value); /* under the lock, on any thread; writes nothing */
    bool (*advance)(void *arg);   /* may be NULL; on the waiting thread; see shard_waiter */
    void *arg;
    uint64_t value;
};

/* Waits on the locked shard until done(). 0; -ECANCELED; the errno of ERROR_TIMEOUT. In a fork
 * child that comes back from a wait of its parent: -EIO. */
int limits_wait(struct shard *shard, const struct limits *limits, const struct limits_wait *wait,
                struct error *err);

/* Sleeps, no lock held, while a word in memory that processes share has this value, but only for a
 * moment: look again. 0; what ends the call as above. */
int limits_wait_shared(const struct limits *limits, _Atomic uint32_t *word, uint32_t value,
                       struct error *err);

#endif
