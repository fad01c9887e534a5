/* The shard's life, its lock, watches and timers, and the dispatch of events.
 *
 * Everything but `held`, `drives`, `park`, `posts`, `lock_…` is guarded by the lock; `leader`, `wake_fd` and
 * `background_running` are also looked at without, by who posts (shard_post.c). The epoll set comes
 * with the first watch or wait. Events carry slot and generation of their watch: a leader fetches
 * them without the lock, and what they belonged to may be gone when it has it. Slot 0 is the
 * eventfd. Timers are a sorted ring, searched from the end, because deadlines mostly grow.
 *
 * What to do when is decided elsewhere: shard_wait.c, shard_background.c, shard_post.c.
 */
#include "io/shard_private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/fd.h"
#include "io/futex.h"
#include "io/gate.h"
#include "io/thread.h"

#define SHARD_SLOT_WAKE   0
#define SHARD_PATIENCE_NS NS_PER_MS

static void shard_set_up(struct shard *shard)
{
    pthread_mutex_init(&shard->lock, NULL);
    atomic_store(&shard->lock_wanted, 0);
    atomic_store(&shard->lock_impatient, 0);
    shard->generation = gate_generation();
    shard->epoll_fd = -1;
    atomic_store(&shard->wake_fd, -1);
    atomic_store(&shard->posts, NULL);
    shard->timers.prev = shard->timers.next = &shard->timers;
    shard->leader = 0;
    shard->woken = false;
    shard->polled_ns = shard->slept_ns = 0;
    atomic_store(&shard->held, 0);
    shard->background_running = false;
    pthread_cond_init(&shard->background_ended, NULL);
    atomic_store(&shard->background_quit, false);
    atomic_store(&shard->park, SHARD_PARK_AWAKE);
    shard->slot_free = 0;
    for (uint32_t i = 0; i < shard->slot_count; i++) {
        shard->slots[i].watch = NULL;
        shard->slots[i].generation++;
        shard->slots[i].next_free = i + 1;
    }
    shard_waits_reset(shard);
}

int shard_new(unsigned index, struct shard **ret_shard)
{
    struct shard *shard = calloc(1, sizeof *shard);

    if (!shard)
        return -ENOMEM;
    shard->index = index;
    shard_set_up(shard);
    *ret_shard = shard;
    return 0;
}

void shard_free(struct shard *shard)
{
    bool inside = gate_current() != NULL;

    if (!shard)
        return;
    if (inside)
        gate_sleep_begin(1);
    shard_background_stop(shard);
    if (inside)
        gate_sleep_end(1);
    fd_close(shard->epoll_fd);
    fd_close(shard->wake_fd);
    shard_waits_free(shard);
    pthread_cond_destroy(&shard->background_ended);
    pthread_mutex_destroy(&shard->lock);
    free(shard->slots);
    free(shard);
}

void shard_reset_child(struct shard *shard)
{
    shard_set_up(shard);
}

unsigned shard_index(const struct shard *shard)
{
    return shard->index;
}

/* The mutex alone is not fair: a thread that takes it again at once wins against one that has to
 * be woken. Who has waited for a millisecond makes newcomers wait in front of the mutex until it
 * has had its turn, and the background thread steps back for anybody. */
void shard_lock(struct shard *shard)
{
    uint32_t impatient = atomic_load_explicit(&shard->lock_impatient, memory_order_relaxed);
    struct timespec until;

    thread_adopt(); /* who comes here may lead, and so run curl */
    if (impatient > 0)
        futex_wait(&shard->lock_impatient, impatient, SHARD_PATIENCE_NS, FUTEX_BITS_ALL);
    if (pthread_mutex_trylock(&shard->lock) == 0)
        return;
    atomic_fetch_add(&shard->lock_wanted, 1);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SHARD_PATIENCE_NS;
    until.tv_sec += until.tv_nsec / NS_PER_S;
    until.tv_nsec %= NS_PER_S;
    if (pthread_mutex_timedlock(&shard->lock, &until) != 0) {
        atomic_fetch_add(&shard->lock_impatient, 1);
        pthread_mutex_lock(&shard->lock);
        if (atomic_fetch_sub(&shard->lock_impatient, 1) == 1)
            futex_wake(&shard->lock_impatient, INT_MAX, FUTEX_BITS_ALL);
    }
    atomic_fetch_sub(&shard->lock_wanted, 1);
}

void shard_unlock(struct shard *shard)
{
    shard_notify_ready(shard);
    shard_notify_successor(shard);
    /* A leader that is late may have left by longjmp, and wakes nobody. */
    if (atomic_load_explicit(&shard->held, memory_order_relaxed) > 0 &&
        (shard->leader == 0 || !shard_is_led(shard, clock_now_ns())))
        shard_background_kick(shard);
    pthread_mutex_unlock(&shard->lock);
}

/* Whoever holds will want to watch soon, perhaps on a thread that is worse placed to open files. */
void shard_hold(struct shard *shard)
{
    (void)shard_open(shard);
    atomic_fetch_add(&shard->held, 1);
}

void shard_release(struct shard *shard)
{
    atomic_fetch_sub(&shard->held, 1);
}

/* ---- watches --------------------------------------------------------------------------------- */

static uint64_t shard_slot_key(const struct shard *shard, uint32_t slot)
{
    return (uint64_t)shard->slots[slot].generation << 32 | slot;
}

static int shard_slots_grow(struct shard *shard)
{
    uint32_t count = shard->slot_count ? shard->slot_count * 2 : 16;
    struct shard_slot *slots = realloc(shard->slots, count * sizeof *slots);

    if (!slots)
        return -ENOMEM;
    for (uint32_t i = shard->slot_count; i < count; i++)
        slots[i] = (struct shard_slot){.next_free = i + 1};
    shard->slots = slots;
    shard->slot_count = count;
    return 0;
}

int shard_watch_add(struct shard *shard, struct shard_watch *watch)
{
    struct epoll_event event = {.events = watch->events};
    uint32_t slot;
    int rc = shard_open(shard);

    if (rc < 0)
        return rc;
    if (shard->slot_free == shard->slot_count) {
        rc = shard_slots_grow(shard);
        if (rc < 0)
            return rc;
    }
    slot = shard->slot_free;
    event.data.u64 = shard_slot_key(shard, slot);
    if (epoll_ctl(shard->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return -errno;
    shard->slot_free = shard->slots[slot].next_free;
    shard->slots[slot].watch = watch;
    watch->slot = slot;
    return 0;
}

int shard_watch_modify(struct shard *shard, struct shard_watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events};

    event.data.u64 = shard_slot_key(shard, watch->slot);
    if (epoll_ctl(shard->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event) < 0)
        return -errno;
    watch->events = events;
    return 0;
}

void shard_watch_remove(struct shard *shard, struct shard_watch *watch)
{
    struct shard_slot *slot = &shard->slots[watch->slot];

    epoll_ctl(shard->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
    slot->watch = NULL;
    slot->generation++;
    slot->next_free = shard->slot_free;
    shard->slot_free = watch->slot;
}

/* The eventfd's place is slot 0, taken before any watch. */
int shard_open(struct shard *shard)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd, wake_fd;

    if (shard->epoll_fd >= 0)
        return 0;
    if (shard->slot_count == 0 && shard_slots_grow(shard) < 0)
        return -ENOMEM;
    fd_room_begin(FD_FOR_REQUESTS);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    epoll_fd = fd_adopt_own(epoll_fd < 0 ? -errno : epoll_fd);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    wake_fd = fd_adopt_own(wake_fd < 0 ? -errno : wake_fd);
    fd_room_end();
    if (epoll_fd < 0) {
        fd_close(wake_fd);
        return epoll_fd;
    }
    event.data.u64 = SHARD_SLOT_WAKE;
    if (wake_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) < 0) {
        int rc = wake_fd < 0 ? wake_fd : -errno;

        fd_close(wake_fd);
        fd_close(epoll_fd);
        return rc;
    }
    shard->slot_free = shard->slots[SHARD_SLOT_WAKE].next_free;
    shard->epoll_fd = epoll_fd;
    shard->wake_fd = wake_fd;
    return 0;
}

void shard_interrupt(struct shard *shard)
{
    uint64_t one = 1;

    if (shard->woken || shard->wake_fd < 0)
        return;
    shard->woken = true;
    (void)!write(shard->wake_fd, &one, sizeof one);
}

/* ---- timers ---------------------------------------------------------------------------------- */

void shard_timer_init(struct shard_timer *timer, void (*on_timer)(struct shard_timer *))
{
    *timer = (struct shard_timer){.at_ns = CLOCK_NEVER, .on_timer = on_timer};
}

void shard_timer_set(struct shard *shard, struct shard_timer *timer, int64_t at_ns)
{
    struct shard_timer *before;

    shard_timer_clear(shard, timer);
    if (at_ns == CLOCK_NEVER)
        return;
    timer->at_ns = at_ns;
    for (before = shard->timers.prev; before != &shard->timers; before = before->prev)
        if (before->at_ns <= at_ns)
            break;
    timer->prev = before;
    timer->next = before->next;
    before->next->prev = timer;
    before->next = timer;
    if (before == &shard->timers && shard->leader != 0 && at_ns < shard->sleep_until_ns)
        shard_interrupt(shard);
}

void shard_timer_clear(struct shard *shard, struct shard_timer *timer)
{
    (void)shard; /* the ring is found by its neighbours */
    if (timer->at_ns == CLOCK_NEVER)
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->at_ns = CLOCK_NEVER;
    timer->prev = timer->next = NULL;
}

int64_t shard_next_timer(const struct shard *shard)
{
    return shard->timers.next == &shard->timers ? CLOCK_NEVER : shard->timers.next->at_ns;
}

/* ---- dispatch -------------------------------------------------------------------------------- */

static void shard_run_timers(struct shard *shard, int64_t now_ns)
{
    while (shard_next_timer(shard) <= now_ns) {
        struct shard_timer *timer = shard->timers.next;

        shard_timer_clear(shard, timer);
        timer->on_timer(timer);
    }
}

void shard_dispatch(struct shard *shard, const struct epoll_event *events, int count)
{
    uint64_t drained;

    shard_run_posts(shard);
    for (int i = 0; i < count; i++) {
        uint32_t number = (uint32_t)events[i].data.u64;
        const struct shard_slot *slot = &shard->slots[number];

        if (number == SHARD_SLOT_WAKE) {
            (void)!read(shard->wake_fd, &drained, sizeof drained);
            shard->woken = false;
        } else if (slot->watch && shard_slot_key(shard, number) == events[i].data.u64) {
            slot->watch->on_event(slot->watch, events[i].events);
        }
    }
    shard->polled_ns = clock_now_ns();
    shard_run_timers(shard, shard->polled_ns);
}

int shard_sleep_ms(int64_t from_ns, int64_t until_ns)
{
    int64_t left_ns = until_ns - from_ns;

    return left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void shard_poll(struct shard *shard)
{
    struct epoll_event events[SHARD_EVENTS_MAX];
    int count;

    if (shard_open(shard) < 0)
        return;
    count = epoll_wait(shard->epoll_fd, events, SHARD_EVENTS_MAX, 0);
    shard_dispatch(shard, events, count < 0 ? 0 : count);
}
