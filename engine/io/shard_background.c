/* The shard's own thread: watches over requests in flight while the program computes.
 *
 * Three ways to rest, in `park`: ticking every millisecond while something is in flight and program
 * threads drive now and then; deep when nothing is in flight, or a program thread has led for a
 * while without a break; and asleep in epoll as leader, when nobody has driven for a tick. Only the
 * deep rest has to be ended from outside: shard_unlock does, when it leaves requests in flight and
 * no leader behind. A program thread takes the lead from this one without a word; the thread finds
 * another ticket when it wakes, and ticks again.
 *
 * The thread starts when shard_unlock finds requests in flight that nobody waits for, or when something is
 * posted and nobody leads, and ends when nothing was in flight for thread_idle_ns(). It ends under
 * the shard's lock, and all inside the gate: `background_running` says what is true, in a fork child
 * too. What is posted without the lock counts as in flight before its sender looks whether the
 * thread runs; the thread says that it ends before it looks whether anything is in flight.
 */
#include "io/shard_private.h"

#include <limits.h>
#include <stdio.h>

#include "base/log.h"
#include "io/futex.h"
#include "io/gate.h"
#include "io/thread.h"

#define BACKGROUND_TICK_NS       NS_PER_MS
#define BACKGROUND_TICKS_TO_DEEP 8
/* A leader that left by longjmp wakes nobody: look now and then. */
#define BACKGROUND_DEEP_NS (250 * NS_PER_MS)

struct background {
    struct shard *shard;
    unsigned idle_ticks; /* in a row with nothing in flight */
    unsigned led_ticks;  /* in a row with the same leader asleep */
    int64_t idle_since_ns;
};

/* Posted, and no leader that was told of it. */
static bool background_has_posts(const struct shard *shard)
{
    return shard_has_posts(shard) && atomic_load(&shard->leader) == 0;
}

static void background_rest(struct background *self, uint32_t drives)
{
    struct shard *shard = self->shard;
    bool idle = self->idle_ticks >= BACKGROUND_TICKS_TO_DEEP;
    bool deep = idle || self->led_ticks >= BACKGROUND_TICKS_TO_DEEP;
    uint32_t park = deep ? SHARD_PARK_DEEP : SHARD_PARK_TICKING;

    atomic_store(&shard->park, park);
    /* The other side counts up `held` or `drives`, or posts, first, then looks at `park`. */
    if (background_has_posts(shard)) {
        self->led_ticks = 0;
    } else if (!deep) {
        futex_wait(&shard->park, park, BACKGROUND_TICK_NS, FUTEX_BITS_ALL);
    } else {
        if (!atomic_load(&shard->background_quit) && atomic_load(&shard->drives) == drives &&
            (!idle || atomic_load(&shard->held) == 0))
            futex_wait(&shard->park, park, idle ? thread_idle_ns() : BACKGROUND_DEEP_NS,
                       FUTEX_BITS_ALL);
        self->led_ticks = 0;
    }
    atomic_store(&shard->park, SHARD_PARK_AWAKE);
}

/* Leads until another takes over, nothing is in flight, or somebody wants the lock. */
static void background_lead(struct shard *shard)
{
    struct epoll_event events[SHARD_EVENTS_MAX];

    if (shard_open(shard) < 0)
        return;
    while (atomic_load(&shard->held) > 0 && !atomic_load(&shard->background_quit) &&
           atomic_load(&shard->lock_wanted) == 0) {
        int64_t now_ns = clock_now_ns();
        uint64_t ticket = shard_take_lead(shard, now_ns, CLOCK_NEVER, true);
        int timeout_ms = shard_sleep_ms(now_ns, shard->sleep_until_ns);
        int count;

        shard_notify_ready(shard);
        shard_notify_successor(shard);
        pthread_mutex_unlock(&shard->lock);
        gate_sleep_begin(1);
        count = epoll_wait(shard->epoll_fd, events, SHARD_EVENTS_MAX, timeout_ms);
        gate_sleep_end(1);
        pthread_mutex_lock(&shard->lock);
        if (shard->leader != ticket)
            return;
        shard->leader = 0;
        shard_dispatch(shard, events, count < 0 ? 0 : count);
    }
}

static void background_watch(struct background *self)
{
    struct shard *shard = self->shard;
    struct gate_scope scope;

    gate_enter(&scope);
    pthread_mutex_lock(&shard->lock);
    shard_run_posts(shard);
    if (shard_is_led(shard, clock_now_ns())) {
        self->led_ticks++;
    } else {
        self->led_ticks = 0;
        background_lead(shard);
    }
    shard_notify_ready(shard);
    shard_notify_successor(shard);
    pthread_mutex_unlock(&shard->lock);
    gate_leave(&scope);
}

/* Whether the thread is to end: then the shard may be gone already. */
static bool background_leave(struct background *self)
{
    struct shard *shard = self->shard;
    struct gate_scope scope;
    bool leave;

    gate_enter(&scope);
    pthread_mutex_lock(&shard->lock);
    leave = atomic_load(&shard->background_quit) || atomic_load(&shard->held) == 0;
    if (leave) {
        atomic_store(&shard->background_running, false);
        if (!atomic_load(&shard->background_quit) && atomic_load(&shard->held) > 0)
            leave = atomic_exchange(&shard->background_running, true); /* another one was started */
        pthread_cond_broadcast(&shard->background_ended);
    }
    pthread_mutex_unlock(&shard->lock);
    gate_leave(&scope);
    return leave;
}

static bool background_is_idle(struct background *self)
{
    int64_t now_ns;

    if (atomic_load(&self->shard->held) > 0) {
        self->idle_ticks = 0;
        return false;
    }
    now_ns = clock_now_ns();
    if (self->idle_ticks++ == 0)
        self->idle_since_ns = now_ns;
    return now_ns - self->idle_since_ns >= thread_idle_ns();
}

static void *background_main(void *arg)
{
    struct background self = {.shard = arg};
    struct shard *shard = arg;

    for (;;) {
        uint32_t drives = atomic_load(&shard->drives);

        background_rest(&self, drives);
        if (atomic_load(&shard->background_quit) || background_is_idle(&self)) {
            if (background_leave(&self))
                return NULL;
        } else if (self.idle_ticks == 0) {
            if (atomic_load(&shard->drives) == drives || background_has_posts(shard))
                background_watch(&self);
            else
                self.led_ticks = 0;
        }
    }
}

void shard_background_wake(struct shard *shard)
{
    if (atomic_exchange(&shard->park, SHARD_PARK_AWAKE) != SHARD_PARK_AWAKE)
        futex_wake(&shard->park, 1, FUTEX_BITS_ALL);
}

int shard_background_start(struct shard *shard)
{
    char name[16];
    int rc;

    if (atomic_exchange(&shard->background_running, true))
        return 0;
    snprintf(name, sizeof name, "s3dlio-%u", shard->index % 1000);
    rc = thread_start(name, THREAD_STACK_BYTES, background_main, shard, NULL);
    if (rc < 0) {
        atomic_store(&shard->background_running, false);
        log_debug("no background thread for shard %u: error %d", shard->index, -rc);
    }
    return rc;
}

void shard_background_kick(struct shard *shard)
{
    if (!atomic_load(&shard->background_running))
        (void)shard_background_start(shard);
    else if (atomic_load(&shard->park) == SHARD_PARK_DEEP)
        shard_background_wake(shard);
}

void shard_background_stop(struct shard *shard)
{
    pthread_mutex_lock(&shard->lock);
    atomic_store(&shard->background_quit, true);
    while (shard->background_running) {
        shard_background_wake(shard);
        shard_interrupt(shard);
        pthread_cond_wait(&shard->background_ended, &shard->lock);
    }
    pthread_mutex_unlock(&shard->lock);
}
