/* Locks between processes; see shared_lock.h. */
#include "shim/shared_lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/real.h"

/* Besides the owner's id: somebody sleeps. */
#define WAITERS     0x80000000u
#define PATIENCE_NS (50 * 1000 * 1000)

static _Thread_local uint32_t own_id;

static uint32_t thread_id(void)
{
    if (!own_id)
        own_id = (uint32_t)syscall(SYS_gettid);
    return own_id;
}

void shared_lock_fork_child(void)
{
    own_id = 0;
}

/* One that was killed exists until its parent asks for it; its pidfd tells. */
bool shared_lock_process_ended(pid_t pid)
{
    int saved = errno;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    bool ended = fd < 0 && errno == ESRCH;
    if (fd >= 0) {
        struct pollfd poll = {.fd = fd, .events = POLLIN};
        struct timespec now = {0};
        ended = REAL(ppoll)(&poll, 1, &now, NULL) == 1;
        REAL(close)(fd);
    }
    errno = saved;
    return ended;
}

/* Threads vanish when they end, but for a process's first one. */
static bool owner_is_dead(pid_t owner)
{
    if (!owner || (syscall(SYS_tkill, owner, 0) < 0 && errno == ESRCH)) /* 0: never by us */
        return true;
    return shared_lock_process_ended(owner);
}

/* Someone else's: sleep until it is given back, for at most a while in case its owner dies. */
static void wait_for(struct shared_lock *lock, uint32_t seen)
{
    struct timespec patience = {.tv_nsec = PATIENCE_NS};
    uint32_t marked = seen | WAITERS;
    if (seen != marked && !atomic_compare_exchange_strong(&lock->word, &seen, marked))
        return;
    if (syscall(SYS_futex, &lock->word, FUTEX_WAIT, marked, &patience, NULL, 0) < 0 &&
        errno == ETIMEDOUT && owner_is_dead((pid_t)(marked & ~WAITERS)))
        atomic_compare_exchange_strong(&lock->word, &marked, 0);
}

int shared_lock_take(struct shared_lock *lock)
{
    uint32_t self = thread_id(), seen = 0, mine = self;
    int saved = errno;
    while (!atomic_compare_exchange_strong(&lock->word, &seen, mine)) {
        if ((seen & ~WAITERS) == self)
            return 0;
        if (seen)
            wait_for(lock, seen);
        mine = self | WAITERS; /* others may sleep besides us */
        seen = 0;
    }
    errno = saved;
    return 1;
}

void shared_lock_give(struct shared_lock *lock)
{
    if (atomic_exchange(&lock->word, 0) & WAITERS)
        syscall(SYS_futex, &lock->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void shared_lock_exec(struct shared_lock *lock)
{
    if ((lock->word & ~WAITERS) == thread_id())
        shared_lock_give(lock);
}
