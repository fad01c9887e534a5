/* A robust mutex, which the kernel hands on when its owner dies, but never slept on: a signal
 * handler may interrupt the sleep, call again, jump away. Who has to wait sleeps on a word beside
 * it, and looks again after a moment in any case. See shared_turn.h. */
#include "core/shared_turn.h"

#include <errno.h>

#include "io/futex.h"

int shared_turn_init(struct shared_turn *turn)
{
    pthread_mutexattr_t attr;
    int r = pthread_mutexattr_init(&attr);

    if (r)
        return -r;
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    r = pthread_mutex_init(&turn->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    atomic_init(&turn->released, 0);
    atomic_init(&turn->waiters, 0);
    atomic_init(&turn->owner_died, false);
    return -r;
}

/* Signals are blocked: nothing of ours runs in the middle of this. */
static bool try(struct shared_turn *turn)
{
    int r = pthread_mutex_trylock(&turn->mutex);

    if (r == EOWNERDEAD) {
        atomic_store(&turn->owner_died, true);
        pthread_mutex_consistent(&turn->mutex);
    }
    return r == 0 || r == EOWNERDEAD || r == EDEADLK;
}

int shared_turn_take(struct shared_turn *turn, const struct limits *limits, struct error *err)
{
    int r = 0;

    while (r == 0 && !try(turn)) {
        uint32_t released;

        atomic_fetch_add(&turn->waiters, 1);
        released = atomic_load(&turn->released);
        if (try(turn)) {
            atomic_fetch_sub(&turn->waiters, 1);
            return 0;
        }
        r = limits_wait_shared(limits, &turn->released, released, err);
        atomic_fetch_sub(&turn->waiters, 1);
    }
    return r;
}

/* A waiter that died is counted for ever: that costs a system call, now and then. */
bool shared_turn_give(struct shared_turn *turn)
{
    if (pthread_mutex_unlock(&turn->mutex) != 0)
        return false;
    if (atomic_load(&turn->waiters) != 0) {
        atomic_fetch_add(&turn->released, 1);
        futex_wake_shared(&turn->released, 1);
    }
    return true;
}
