/* One call at a time on an object, while calls may sleep.
 *
 * A mutex cannot be held over a sleep (a fork, a signal handler, a longjmp may come in between), so
 * this is a flag under the shard's lock with its owner beside it. A call that its own thread's
 * signal handler makes while the outer one sleeps is let in or refused, as the object can bear it;
 * a turn that was left by longjmp is taken over by its thread. One whose thread is cancelled while
 * it sleeps is free from then on. */
#ifndef S3DLIO_CORE_TURN_H
#define S3DLIO_CORE_TURN_H

#include <pthread.h>
#include <stdbool.h>

#include "core/limits.h"

struct turn {
    struct shard *shard;
    unsigned depth;          /* calls inside, one within the other; 0: free */
    pthread_t thread;        /* of them all */
    uint64_t generation;     /* of the process that they are in */
    const char *frame;       /* where on its stack the outermost was made */
    struct limits_held held; /* by the outermost */
};

void turn_init(struct turn *turn, struct shard *shard);
/* Waits for the turn, no lock held: 0, -errno as limits_wait, -EBUSY for a handler's call that is
 * not `nested`. `turn` lives on the heap. */
int turn_take(struct turn *turn, bool nested, const struct limits *limits, struct error *err);
void turn_give(struct turn *turn);

#endif
