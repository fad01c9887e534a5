/* The dialer's thread and its loop. Contract: dialer.h.
 *
 * dialer.lock guards the inbox and the descriptors' creation; dialer.dials, dialer.later and
 * everything in a dial belong to the thread, and to the fork child after that (the gate keeps the
 * thread out then). One epoll set: slot numbers in its data say which dial an event belongs to, so
 * that one that is over is recognised. The thread ends when it had no dial for thread_idle_ns()
 * and, under the lock, finds the inbox empty; the next job starts another one, which goes on with
 * the same descriptors.
 */
#include "http/dialer.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/dial.h"
#include "io/fd.h"
#include "io/gate.h"
#include "io/thread.h"

#define DIALER_EVENTS_MAX   32
#define DIALER_ATTEMPTS_MAX 8
#define DIALER_ID_WAKE      0
/* Lookups run with a descriptor table of their own and cannot wake us: the few that are needed are
 * asked for now and then. */
#define DIALER_LOOKUP_TICK_MS 2
#define DIALER_SLEEP_MAX_NS   (3600 * NS_PER_S) /* what fits into an int of milliseconds */

static struct {
    pthread_mutex_t lock;
    struct dialer_job *inbox, **inbox_end;
    bool running;
    uint64_t generation;
    int epoll_fd, wake_fd;
    uint32_t last_id;
    struct dial *dials;
    struct dialer_job *later; /* not due yet */
} dialer = {.lock = PTHREAD_MUTEX_INITIALIZER, .epoll_fd = -1, .wake_fd = -1};

static void *dialer_main(void *arg);

/* ---- jobs ------------------------------------------------------------------------------------ */

static int dialer_open(void)
{
    struct epoll_event event = {.events = EPOLLIN};

    if (dialer.epoll_fd < 0) {
        int fd;

        fd_room_begin(FD_FOR_REQUESTS);
        fd = epoll_create1(EPOLL_CLOEXEC);
        dialer.epoll_fd = fd_adopt_own(fd < 0 ? -errno : fd);
        fd_room_end();
        if (dialer.epoll_fd < 0)
            return dialer.epoll_fd;
    }
    if (dialer.wake_fd < 0) {
        int fd;

        fd_room_begin(FD_FOR_REQUESTS);
        fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        dialer.wake_fd = fd_adopt_own(fd < 0 ? -errno : fd);
        fd_room_end();
        if (dialer.wake_fd < 0)
            return dialer.wake_fd;
        event.data.u64 = DIALER_ID_WAKE;
        if (epoll_ctl(dialer.epoll_fd, EPOLL_CTL_ADD, dialer.wake_fd, &event) < 0)
            return -errno;
    }
    return 0;
}

static int dialer_ensure_running(void)
{
    int rc;

    dialer_reset_child();
    if (dialer.running)
        return 0;
    dialer.inbox_end = &dialer.inbox;
    rc = dialer_open();
    if (rc == 0)
        rc = thread_start("s3dlio-dial", THREAD_STACK_LARGE_BYTES, dialer_main, NULL, NULL);
    dialer.running = rc == 0;
    return rc;
}

static void dialer_wake(void)
{
    uint64_t one = 1;

    (void)!write(dialer.wake_fd, &one, sizeof one);
}

int dialer_post(struct dialer_job *job)
{
    int rc;

    pthread_mutex_lock(&dialer.lock);
    rc = dialer_ensure_running();
    if (rc == 0) {
        job->next = NULL;
        *dialer.inbox_end = job;
        dialer.inbox_end = &job->next;
        dialer_wake();
    }
    pthread_mutex_unlock(&dialer.lock);
    return rc;
}

void dialer_kick(void)
{
    pthread_mutex_lock(&dialer.lock);
    if (dialer.running && dialer.generation == gate_generation())
        dialer_wake();
    pthread_mutex_unlock(&dialer.lock);
}

/* Runs what is due of a list, keeps the rest. */
static void dialer_run_due(struct dialer_job *job, int64_t now_ns)
{
    struct dialer_job *next;

    for (; job; job = next) {
        next = job->next;
        if (job->at_ns <= now_ns || (job->hurry && atomic_load(job->hurry))) {
            job->run(job);
        } else {
            job->next = dialer.later;
            dialer.later = job;
        }
    }
}

static void dialer_run_jobs(void)
{
    struct dialer_job *posted, *later = dialer.later;
    int64_t now_ns = clock_now_ns();

    pthread_mutex_lock(&dialer.lock);
    posted = dialer.inbox;
    dialer.inbox = NULL;
    dialer.inbox_end = &dialer.inbox;
    pthread_mutex_unlock(&dialer.lock);
    dialer.later = NULL;
    dialer_run_due(posted, now_ns);
    dialer_run_due(later, now_ns);
}

/* ---- dials ----------------------------------------------------------------------------------- */

static void dialer_add(struct dialer_job *job)
{
    struct dial *dial = (struct dial *)job;

    if (++dialer.last_id == DIALER_ID_WAKE)
        dialer.last_id++;
    dial->id = dialer.last_id;
    dial->prev = NULL;
    dial->next = dialer.dials;
    if (dialer.dials)
        dialer.dials->prev = dial;
    dialer.dials = dial;
}

int dial_start(struct dial *dial)
{
    dial->job = (struct dialer_job){.run = dialer_add};
    dial->link = NULL;
    dial->connecting = false;
    dial->attempts = 0;
    dial->socket_count = 0;
    dial->timer_ns = CLOCK_NEVER;
    dial->deadline_ns = clock_deadline_ns(dial->target->connect_timeout_ns);
    return dialer_post(&dial->job);
}

void dialer_watch(struct dial *dial, curl_socket_t fd, int events)
{
    struct epoll_event event = {.data.u64 = (uint64_t)dial->id << 32 | (uint32_t)fd};
    unsigned i = 0;

    while (i < dial->socket_count && dial->sockets[i] != fd)
        i++;
    if (events == CURL_POLL_REMOVE) {
        if (i == dial->socket_count)
            return;
        epoll_ctl(dialer.epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        dial->sockets[i] = dial->sockets[--dial->socket_count];
        return;
    }
    event.events =
        (events & CURL_POLL_IN ? EPOLLIN : 0U) | (events & CURL_POLL_OUT ? EPOLLOUT : 0U);
    if (i < dial->socket_count) {
        epoll_ctl(dialer.epoll_fd, EPOLL_CTL_MOD, fd, &event);
    } else if (i < DIAL_SOCKETS_MAX && epoll_ctl(dialer.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0) {
        dial->sockets[i] = fd;
        dial->socket_count++;
    }
}

static void dialer_finish(struct dial *dial, const struct error *err)
{
    struct link *link = dial->link;

    if (dial->prev)
        dial->prev->next = dial->next;
    else
        dialer.dials = dial->next;
    if (dial->next)
        dial->next->prev = dial->prev;
    dial->link = NULL;
    if (err->class != ERROR_NONE && link) {
        link_free(link);
        link = NULL;
    }
    dial->on_done(dial, link, err);
}

/* Moves one dial as far as it goes; it may be over after. */
static void dialer_step(struct dial *dial, int64_t now_ns)
{
    struct error err = {0};
    bool may_repeat;
    int rc = 0;

    if (atomic_load(dial->cancelled)) {
        error_set(&err, ERROR_CANCELLED, "connecting to %s was given up", dial->target->host);
        dialer_finish(dial, &err);
        return;
    }
    if (!dial->connecting) {
        rc = dial_begin(dial, &err);
        dial->connecting = rc == 0;
    }
    if (dial->connecting) {
        if (dial->timer_ns <= now_ns) {
            dial->timer_ns = CLOCK_NEVER;
            dial_socket_action(dial, CURL_SOCKET_TIMEOUT, 0);
        }
        rc = dial_check(dial, &may_repeat, &err);
        if (rc < 0 && rc != -EAGAIN && may_repeat && dial->attempts < DIALER_ATTEMPTS_MAX) {
            dial->connecting = false;
            dial->timer_ns = now_ns; /* at once, in the next round */
            return;
        }
    }
    if (rc == -EAGAIN && now_ns < dial->deadline_ns)
        return;
    if (rc == -EAGAIN)
        error_set(&err, ERROR_TIMEOUT, "%s %s:%u took longer than %lld ms",
                  dial->connecting ? "connecting to" : "looking up", dial->target->host,
                  dial->target->port, (long long)(dial->target->connect_timeout_ns / NS_PER_MS));
    dialer_finish(dial, &err);
}

static void dialer_step_all(void)
{
    int64_t now_ns = clock_now_ns();
    struct dial *dial, *next;

    for (dial = dialer.dials; dial; dial = next) {
        next = dial->next;
        dialer_step(dial, now_ns);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int dialer_timeout_ms(void)
{
    int64_t at_ns = CLOCK_NEVER, left_ns;

    for (const struct dialer_job *job = dialer.later; job; job = job->next)
        if (job->at_ns < at_ns)
            at_ns = job->at_ns;
    for (const struct dial *dial = dialer.dials; dial; dial = dial->next) {
        if (!dial->connecting)
            return DIALER_LOOKUP_TICK_MS;
        if (dial->timer_ns < at_ns)
            at_ns = dial->timer_ns;
        if (dial->deadline_ns < at_ns)
            at_ns = dial->deadline_ns;
    }
    if (at_ns == CLOCK_NEVER)
        return dialer.dials ? -1 : (int)(thread_idle_ns() / NS_PER_MS);
    left_ns = at_ns - clock_now_ns();
    if (left_ns > DIALER_SLEEP_MAX_NS)
        left_ns = DIALER_SLEEP_MAX_NS;
    return left_ns <= 0 ? 0 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
}

static void dialer_event(const struct epoll_event *event)
{
    uint32_t id = (uint32_t)(event->data.u64 >> 32);
    int fd = (int)(uint32_t)event->data.u64, events = 0;
    struct dial *dial = dialer.dials;
    uint64_t drained;

    if (event->data.u64 == DIALER_ID_WAKE) {
        (void)!read(dialer.wake_fd, &drained, sizeof drained);
        return;
    }
    while (dial && dial->id != id)
        dial = dial->next;
    if (!dial || !dial->connecting)
        return;
    if (event->events & EPOLLIN)
        events |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT)
        events |= CURL_CSELECT_OUT;
    if (event->events & (EPOLLERR | EPOLLHUP))
        events |= CURL_CSELECT_ERR;
    dial_socket_action(dial, fd, events);
}

static bool dialer_leave(void)
{
    bool leave;

    pthread_mutex_lock(&dialer.lock);
    leave = !dialer.inbox;
    dialer.running = !leave;
    pthread_mutex_unlock(&dialer.lock);
    return leave;
}

static void *dialer_main(void *arg)
{
    struct epoll_event events[DIALER_EVENTS_MAX];
    struct gate_scope scope;
    int count;

    (void)arg;
    gate_enter(&scope);
    do {
        int timeout_ms;

        dialer_run_jobs();
        dialer_step_all();
        timeout_ms = dialer_timeout_ms();
        gate_sleep_begin(1);
        count = epoll_wait(dialer.epoll_fd, events, DIALER_EVENTS_MAX, timeout_ms);
        gate_sleep_end(1);
        for (int i = 0; i < count; i++)
            dialer_event(&events[i]);
    } while (count != 0 || dialer.dials || dialer.later || !dialer_leave());
    gate_leave(&scope);
    return NULL;
}

void dialer_reset_child(void)
{
    if (dialer.generation == gate_generation())
        return;
    dialer.epoll_fd = dialer.wake_fd = -1;
    dialer.dials = NULL;
    dialer.later = NULL;
    dialer.inbox = NULL;
    dialer.running = false;
    dialer.generation = gate_generation();
}
