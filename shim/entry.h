/* What every interposed entry does besides its own work, in one place: keep errno of a success,
 * turn -errno into errno and -1, keep cancellation out. */
#ifndef S3DLIO_SHIM_ENTRY_H
#define S3DLIO_SHIM_ENTRY_H

#include <errno.h>
#include <pthread.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A thread is not cancelled in the middle of a virtual call, where it has locks and memory. From
 * here to the end of the block; ENTRY_POINT for what is a cancellation point (pthreads(7)): it acts
 * before anything was done, or when all is done and given back. */
#define ENTRY_HOLD()                                                                               \
    int entry_state __attribute__((cleanup(entry_give), unused)) = entry_hold()
#define ENTRY_POINT()                                                                              \
    int entry_state __attribute__((cleanup(entry_give_point), unused)) = entry_hold_point()

static inline int entry_hold(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}

static inline void entry_give(const int *state)
{
    pthread_setcancelstate(*state, NULL);
}

static inline int entry_hold_point(void)
{
    pthread_testcancel();
    return entry_hold();
}

static inline void entry_give_point(const int *state)
{
    entry_give(state);
    pthread_testcancel();
}

/* The border: `saved` is errno at entry. */
static inline long entry_return(int saved, long result)
{
    errno = result < 0 ? (int)-result : saved;
    return result < 0 ? -1 : result;
}

#endif
