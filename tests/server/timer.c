/*
 * A binary heap of deadlines and the thread that serves it; see timer.h.
 *
 * Order of locks: the timer's lock is taken before libmicrohttpd's own (inside suspend and resume),
 * never the other way round, as handlers are called without libmicrohttpd's locks.
 */
#include "timer.h"

#include <microhttpd.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define PROBE_NS (10 * 1000 * 1000ull) /* how often a stalled socket is looked at */

uint64_t timer_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void heap_push(struct timer *timer, struct timer_entry entry)
{
    size_t at = timer->count++;
    while (at > 0 && timer->heap[(at - 1) / 2].wake_ns > entry.wake_ns) {
        timer->heap[at] = timer->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    timer->heap[at] = entry;
}

static struct timer_entry heap_pop(struct timer *timer)
{
    struct timer_entry first = timer->heap[0];
    struct timer_entry last = timer->heap[--timer->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= timer->count)
            break;
        if (child + 1 < timer->count && timer->heap[child + 1].wake_ns < timer->heap[child].wake_ns)
            child++;
        if (timer->heap[child].wake_ns >= last.wake_ns)
            break;
        timer->heap[at] = timer->heap[child];
        at = child;
    }
    if (timer->count)
        timer->heap[at] = last;
    return first;
}

bool timer_peer_closed(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) != 0;
}

/* Whether the entry's wait is over; if it was only woken to look at its socket, it is not. */
static bool is_over(const struct timer_entry *entry)
{
    return entry->wake_ns >= entry->end_ns || timer_peer_closed(entry->fd);
}

static void wait_until(struct timer *timer, uint64_t deadline_ns)
{
    struct timespec until = {(time_t)(deadline_ns / NS_PER_S), (long)(deadline_ns % NS_PER_S)};
    pthread_cond_timedwait(&timer->changed, &timer->lock, &until);
}

static void serve_first(struct timer *timer)
{
    struct timer_entry entry = heap_pop(timer);
    if (timer->stopping || is_over(&entry)) {
        MHD_resume_connection(entry.connection);
        return;
    }
    entry.wake_ns += PROBE_NS;
    if (entry.wake_ns > entry.end_ns)
        entry.wake_ns = entry.end_ns;
    heap_push(timer, entry);
}

static void *timer_main(void *arg)
{
    struct timer *timer = arg;
    pthread_mutex_lock(&timer->lock);
    while (!timer->stopping || timer->count) {
        if (!timer->count)
            pthread_cond_wait(&timer->changed, &timer->lock);
        else if (timer->stopping || timer->heap[0].wake_ns <= timer_now_ns())
            serve_first(timer);
        else
            wait_until(timer, timer->heap[0].wake_ns);
    }
    pthread_mutex_unlock(&timer->lock);
    return NULL;
}

int timer_start(struct timer *timer)
{
    *timer = (struct timer){0};
    pthread_mutex_init(&timer->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&timer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return -pthread_create(&timer->thread, NULL, timer_main, timer);
}

void timer_stop(struct timer *timer)
{
    pthread_mutex_lock(&timer->lock);
    timer->stopping = true;
    pthread_cond_signal(&timer->changed);
    pthread_mutex_unlock(&timer->lock);
    pthread_join(timer->thread, NULL);
}

void timer_fini(struct timer *timer)
{
    pthread_cond_destroy(&timer->changed);
    pthread_mutex_destroy(&timer->lock);
    free(timer->heap);
}

static bool suspend(struct timer *timer, struct timer_entry entry)
{
    bool suspended = false;
    pthread_mutex_lock(&timer->lock);
    if (timer->stopping)
        goto out;
    if (timer->count == timer->capacity) {
        size_t capacity = timer->capacity ? timer->capacity * 2 : 64;
        struct timer_entry *heap = realloc(timer->heap, capacity * sizeof(*heap));
        if (!heap)
            goto out;
        timer->heap = heap;
        timer->capacity = capacity;
    }
    MHD_suspend_connection(entry.connection);
    heap_push(timer, entry);
    if (timer->heap[0].connection == entry.connection)
        pthread_cond_signal(&timer->changed);
    suspended = true;
out:
    pthread_mutex_unlock(&timer->lock);
    return suspended;
}

bool timer_suspend(struct timer *timer, struct MHD_Connection *connection, uint64_t delay_ns)
{
    uint64_t end_ns = timer_now_ns() + delay_ns;
    return suspend(timer, (struct timer_entry){end_ns, end_ns, connection, -1});
}

bool timer_suspend_while_open(struct timer *timer, struct MHD_Connection *connection, int fd,
                              uint64_t delay_ns)
{
    uint64_t now_ns = timer_now_ns();
    uint64_t step_ns = delay_ns < PROBE_NS ? delay_ns : PROBE_NS;
    return suspend(timer,
                   (struct timer_entry){now_ns + step_ns, now_ns + delay_ns, connection, fd});
}
