/* Leader and followers: the threads that wait drive the loop.
 *
 * `leader` is the ticket of a thread that is asleep in epoll_pwait; while the lock is held by
 * somebody, nobody leads. Who wakes and finds another ticket there has lost the lead and dispatches
 * nothing: epoll reports level-triggered, so the new leader sees the same events. A leader is live
 * until shortly after it should have woken by itself; nobody waits longer for one that left by
 * longjmp. Whoever has changed something wakes the sleepers whose ready() now holds; whoever leaves
 * without a leader in place wakes one more to lead. So while sleepers exist, one of them leads or
 * has been woken, and those that were lost by longjmp delay the others by no more than the time a
 * follower sleeps.
 *
 * Nested waits: a signal handler may run during a sleep and wait itself. The interrupted sleeper
 * can do nothing meanwhile and is passed over; when the inner wait ends it is told to look again.
 *
 * Guarded by the shard's lock, but for `interrupted` and `gone` (set by the sleeper's own thread
 * without it) and the thread-local chain.
 */
#include "io/shard_private.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "io/gate.h"
#include "io/thread.h"

static __thread struct shard_sleeper *shard_innermost; /* of this thread's waits */

/* ---- who waits ------------------------------------------------------------------------------- */

static bool shard_on_signal_stack(void)
{
    stack_t stack;

    return sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
}

/* Waits of this thread that cannot be alive any more: a handler's frame lies below the frame it
 * interrupted (or on another stack, where nothing can be said). */
static void shard_forget_stale(const void *frame)
{
    if (!shard_innermost || shard_on_signal_stack())
        return;
    while (shard_innermost && (const char *)shard_innermost->frame <= (const char *)frame) {
        struct shard_sleeper *sleeper = shard_innermost;

        shard_innermost = sleeper->outer;
        if (sleeper->generation == gate_generation())
            atomic_store(&sleeper->gone, true);
    }
}

uint64_t shard_thread_id(void)
{
    static _Atomic uint64_t last_id;
    static __thread uint64_t id;

    if (id == 0)
        id = atomic_fetch_add(&last_id, 1) + 1;
    return id;
}

static void shard_sleeper_link(struct shard *shard, struct shard_sleeper *sleeper)
{
    sleeper->prev = shard->sleepers.prev;
    sleeper->next = &shard->sleepers;
    sleeper->prev->next = sleeper;
    shard->sleepers.prev = sleeper;
    sleeper->linked = true;
    sleeper->notified = false;
}

static void shard_sleeper_unlink(struct shard_sleeper *sleeper)
{
    if (!sleeper->linked)
        return;
    sleeper->prev->next = sleeper->next;
    sleeper->next->prev = sleeper->prev;
    sleeper->linked = false;
}

static void shard_sleeper_put(struct shard *shard, struct shard_sleeper *sleeper)
{
    shard_sleeper_unlink(sleeper);
    if (sleeper->ticket != 0 && shard->leader == sleeper->ticket)
        shard->leader = 0;
    sleeper->ticket = 0;
    while (sem_trywait(&sleeper->wake) == 0)
        continue;
    sleeper->next = shard->free_sleepers;
    shard->free_sleepers = sleeper;
}

static void shard_reap(struct shard *shard)
{
    struct shard_sleeper *sleeper = shard->sleepers.next, *next;

    for (; sleeper != &shard->sleepers; sleeper = next) {
        next = sleeper->next;
        if (atomic_load(&sleeper->gone))
            shard_sleeper_put(shard, sleeper);
    }
}

static struct shard_sleeper *shard_sleeper_get(struct shard *shard,
                                               const struct shard_waiter *waiter, const void *frame)
{
    struct shard_sleeper *sleeper = shard->free_sleepers;

    if (sleeper) {
        shard->free_sleepers = sleeper->next;
    } else {
        sleeper = calloc(1, sizeof *sleeper);
        if (!sleeper)
            return NULL;
        sem_init(&sleeper->wake, 0, 0);
        sleeper->shard = shard;
    }
    sleeper->waiter = *waiter;
    sleeper->generation = shard->generation;
    sleeper->frame = frame;
    sleeper->outer = shard_innermost;
    sleeper->ticket = 0;
    sleeper->linked = false;
    atomic_store(&sleeper->interrupted, false);
    atomic_store(&sleeper->gone, false);
    if (sleeper->outer)
        atomic_store(&sleeper->outer->interrupted, true);
    shard_innermost = sleeper;
    return sleeper;
}

/* The wait is over, whichever way: its thread's chain ends at the outer one again. */
static void shard_sleeper_pop(struct shard_sleeper *sleeper)
{
    shard_innermost = sleeper->outer;
    if (sleeper->outer) {
        atomic_store(&sleeper->outer->interrupted, false);
        sem_post(&sleeper->outer->wake);
    }
}

void shard_waits_reset(struct shard *shard)
{
    shard->sleepers.prev = shard->sleepers.next = &shard->sleepers;
    shard->free_sleepers = NULL; /* after fork: left to whoever they belonged to */
}

void shard_waits_free(struct shard *shard)
{
    shard_reap(shard);
    while (shard->free_sleepers) {
        struct shard_sleeper *sleeper = shard->free_sleepers;

        shard->free_sleepers = sleeper->next;
        sem_destroy(&sleeper->wake);
        free(sleeper);
    }
}

bool shard_try_lock_idle(struct shard *shard)
{
    thread_adopt(); /* as in shard_lock */
    if (atomic_load_explicit(&shard->lock_wanted, memory_order_relaxed) > 0 ||
        pthread_mutex_trylock(&shard->lock) != 0)
        return false;
    shard_reap(shard);
    if (shard->sleepers.next == &shard->sleepers && shard_open(shard) == 0)
        return true;
    pthread_mutex_unlock(&shard->lock);
    return false;
}

/* ---- who is woken ---------------------------------------------------------------------------- */

static bool shard_can_wake(const struct shard_sleeper *sleeper)
{
    return !sleeper->notified &&
           !atomic_load_explicit(&sleeper->interrupted, memory_order_relaxed) &&
           !atomic_load_explicit(&sleeper->gone, memory_order_relaxed);
}

static void shard_notify(struct shard *shard, struct shard_sleeper *sleeper)
{
    sleeper->notified = true;
    if (sleeper->ticket != 0)
        shard_interrupt(shard);
    else
        sem_post(&sleeper->wake);
}

void shard_notify_ready(struct shard *shard)
{
    struct shard_sleeper *sleeper;

    for (sleeper = shard->sleepers.next; sleeper != &shard->sleepers; sleeper = sleeper->next)
        if (shard_can_wake(sleeper) && sleeper->waiter.ready(&sleeper->waiter))
            shard_notify(shard, sleeper);
}

/* One that was woken already will look for itself when it leaves. */
void shard_notify_successor(struct shard *shard)
{
    struct shard_sleeper *sleeper, *chosen = NULL;

    if (shard->sleepers.next == &shard->sleepers)
        return;
    if (shard->leader != 0 && !shard->leader_is_background)
        return;
    for (sleeper = shard->sleepers.next; sleeper != &shard->sleepers; sleeper = sleeper->next) {
        if (sleeper->notified)
            return;
        if (!chosen && shard_can_wake(sleeper))
            chosen = sleeper;
    }
    if (chosen)
        shard_notify(shard, chosen);
}

bool shard_is_led(const struct shard *shard, int64_t now_ns)
{
    return shard->leader != 0 && !shard->leader_is_background &&
           now_ns < shard->sleep_until_ns + SHARD_LEADER_LATE_NS;
}

uint64_t shard_take_lead(struct shard *shard, int64_t now_ns, int64_t until_ns, bool background)
{
    int64_t timer_ns = shard_next_timer(shard);

    if (until_ns > timer_ns)
        until_ns = timer_ns;
    if (until_ns > now_ns + SHARD_LEADER_SLEEP_NS)
        until_ns = now_ns + SHARD_LEADER_SLEEP_NS;
    shard->leader = ++shard->last_ticket;
    shard->leader_is_background = background;
    if (shard_has_posts(shard)) /* of somebody who saw no leader yet */
        until_ns = now_ns;
    shard->sleep_until_ns = until_ns;
    return shard->leader;
}

int64_t shard_slept_ns(const struct shard *shard)
{
    return shard->slept_ns;
}

/* ---- sleeping -------------------------------------------------------------------------------- */

/* The thread is being cancelled, or leaves by pthread_exit, in the middle of its sleep: ends the
 * wait, and the call around it, whose frames go next. */
static void shard_wait_unwound(void *arg)
{
    struct shard_sleeper *sleeper = arg;
    struct shard_waiter waiter = sleeper->waiter;
    struct shard *shard = sleeper->shard;

    gate_sleep_end(1);
    shard_sleeper_pop(sleeper);
    if (sleeper->generation == gate_generation()) {
        shard_lock(shard);
        shard_sleeper_put(shard, sleeper);
        shard_unlock(shard);
        if (waiter.unwound)
            waiter.unwound(&waiter);
    }
    gate_leave(gate_current());
}

static int shard_lead(struct shard *shard, struct shard_sleeper *self, int64_t now_ns,
                      int64_t deadline_ns)
{
    struct epoll_event events[SHARD_EVENTS_MAX];
    const sigset_t *mask = &gate_current()->caller_mask;
    int64_t slept_ns;
    int timeout_ms, count;
    bool lost;

    self->ticket = shard_take_lead(shard, now_ns, deadline_ns, false);
    timeout_ms = shard_sleep_ms(now_ns, shard->sleep_until_ns);
    shard_sleeper_link(shard, self);
    shard_notify_ready(shard);
    pthread_mutex_unlock(&shard->lock);
    pthread_cleanup_push(shard_wait_unwound, self);
    gate_sleep_begin(1);
    count = epoll_pwait(shard->epoll_fd, events, SHARD_EVENTS_MAX, timeout_ms, mask);
    slept_ns = clock_now_ns() - now_ns;
    gate_sleep_end(1);
    pthread_cleanup_pop(0);
    if (self->generation != gate_generation())
        return -ECANCELED;
    shard_lock(shard);
    shard_sleeper_unlink(self);
    lost = shard->leader != self->ticket;
    self->ticket = 0;
    if (lost)
        return 0;
    shard->leader = 0;
    shard->slept_ns += slept_ns;
    atomic_fetch_add_explicit(&shard->drives, 1, memory_order_relaxed);
    shard_dispatch(shard, events, count < 0 ? 0 : count);
    return 0;
}

static int shard_follow(struct shard *shard, struct shard_sleeper *self, int64_t now_ns,
                        int64_t deadline_ns)
{
    int64_t until_ns = now_ns + SHARD_FOLLOWER_SLEEP_NS;
    struct timespec until;

    if (until_ns > deadline_ns)
        until_ns = deadline_ns;
    until = (struct timespec){.tv_sec = until_ns / NS_PER_S, .tv_nsec = until_ns % NS_PER_S};
    shard_sleeper_link(shard, self);
    shard_notify_ready(shard);
    pthread_mutex_unlock(&shard->lock);
    pthread_cleanup_push(shard_wait_unwound, self);
    gate_sleep_begin(0);
    sem_clockwait(&self->wake, CLOCK_MONOTONIC, &until);
    gate_sleep_end(0);
    pthread_cleanup_pop(0);
    if (self->generation != gate_generation())
        return -ECANCELED;
    shard_lock(shard);
    shard_sleeper_unlink(self);
    return 0;
}

/* Moves what can be moved without sleeping. The others' sockets are asked now and then, too: a
 * thread that always finds its own bytes would let them run dry. */
static bool shard_try(struct shard *shard, struct shard_sleeper *self, int64_t now_ns)
{
    bool moved = false;

    if (!shard_is_led(shard, now_ns) && now_ns - shard->polled_ns > NS_PER_MS) {
        shard_poll(shard);
        moved = self->waiter.ready(&self->waiter);
    }
    if (!moved && self->waiter.advance)
        moved = self->waiter.advance(&self->waiter);
    if (moved)
        atomic_fetch_add_explicit(&shard->drives, 1, memory_order_relaxed);
    return moved;
}

static int shard_wait_loop(struct shard *shard, struct shard_sleeper *self, int64_t deadline_ns)
{
    for (;;) {
        int64_t now_ns = clock_now_ns();
        int rc;

        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        if (!shard_try(shard, self, now_ns)) {
            if (self->waiter.ready(&self->waiter))
                return 0;
            if (shard_is_led(shard, now_ns))
                rc = shard_follow(shard, self, now_ns, deadline_ns);
            else
                rc = shard_lead(shard, self, now_ns, deadline_ns);
            if (rc < 0)
                return rc;
        }
        if (self->waiter.ready(&self->waiter))
            return 0;
    }
}

int shard_wait(struct shard *shard, const struct shard_waiter *waiter, int64_t deadline_ns)
{
    struct shard_sleeper *self;
    int rc;

    if (waiter->ready(waiter))
        return 0;
    shard_forget_stale(__builtin_frame_address(0));
    rc = shard_open(shard);
    if (rc < 0)
        return rc;
    shard_reap(shard);
    self = shard_sleeper_get(shard, waiter, __builtin_frame_address(0));
    if (!self)
        return -ENOMEM;
    rc = shard_wait_loop(shard, self, deadline_ns);
    shard_sleeper_pop(self);
    if (rc != -ECANCELED)
        shard_sleeper_put(shard, self);
    else
        shard_lock(shard); /* as the caller expects it; this is another process's shard now */
    return rc;
}
