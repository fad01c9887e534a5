/* The threads that serve faults of lazy maps, and fill maps in the background.
 *
 * One waits for faults, as the leader; with one in hand it leaves that to another, idle or new, and
 * serves. Whoever comes back leads if nobody does, else takes a job, else is idle. All of that is
 * guarded by the lock of the table.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/lazy_private.h"
#include "core/limits.h"
#include "core/stats.h"
#include "io/futex.h"
#include "io/gate.h"
#include "io/thread.h"

#define FILLING_MAX 4u /* threads; others are left to faults */
#define TEXT_BYTES  1024

enum task { LEAD, FILL, REST, END };

struct server {
    char *buffer;
    bool has_rested;
    uint32_t wakes;
    struct lazy_job *job;
};

static void *serve_main(void *arg);

/* ---- how many -------------------------------------------------------------------------------- */

/* One more, which is counted already. 0 or -errno. */
static int start_counted(void)
{
    int r = thread_start("s3dlio-map", THREAD_STACK_BYTES, serve_main, NULL, NULL);

    if (r < 0) {
        lazy_lock();
        lazy.threads--;
        lazy_unlock();
    }
    return r;
}

static void wake_one(void)
{
    atomic_fetch_add(&lazy.wakes, 1);
    futex_wake(&lazy.wakes, 1, FUTEX_BITS_ALL);
}

/* Somebody takes what has come up. 0, or -errno when there is nobody. */
static int call_one(void)
{
    bool start, any;

    lazy_lock();
    any = lazy.threads > 0;
    start = lazy.idle == 0 && lazy.threads < LAZY_THREADS_MAX;
    lazy.threads += start;
    lazy_unlock();
    if (start)
        return start_counted() < 0 && !any ? -EAGAIN : 0;
    wake_one();
    return 0;
}

int lazy_serve(void)
{
    bool needed;

    lazy_lock();
    needed = !lazy.has_leader && lazy.threads < LAZY_THREADS_MAX;
    lazy_unlock();
    return needed ? call_one() : 0;
}

void lazy_serve_job(struct lazy_job *job)
{
    struct lazy_job **at = &lazy.jobs;
    bool filling;

    job->next = NULL;
    lazy_lock();
    while (*at)
        at = &(*at)->next;
    *at = job;
    filling = lazy.filling >= FILLING_MAX;
    lazy_unlock();
    if (!filling)
        call_one();
}

void lazy_serve_look(void)
{
    uint64_t one = 1;

    if (lazy.event >= 0 && write(lazy.event, &one, sizeof one) < 0)
        log_debug("a map's thread was told twice");
}

void lazy_serve_reset_child(void)
{
    lazy.threads = lazy.idle = lazy.filling = 0;
    lazy.has_leader = false;
}

/* ---- a fault --------------------------------------------------------------------------------- */

static void tell(struct lazy_source *source, uint64_t offset, const struct error *err)
{
    char text[TEXT_BYTES];

    if (atomic_exchange(&source->told, true))
        return;
    error_format(err, text, sizeof text);
    log_error("mmap: SIGBUS for the page at byte %llu, which cannot be fetched: %s",
              (unsigned long long)offset, text);
}

/* False: nothing is to be fetched for it, or somebody does already, or has. */
static bool begin(uintptr_t address, struct lazy_flight *ret_flight)
{
    const struct lazy_range *range;
    uintptr_t start, end;
    bool found = false;

    lazy_lock();
    range = lazy_find(address, address + 1);
    if (!range || !lazy_missing(address, address + uffd_page_bytes(), &start, &end)) {
        uffd_wake(lazy.uffd, address, uffd_page_bytes());
    } else if (!lazy_is_coming(address)) {
        lazy_plan(range, address, ret_flight);
        atomic_fetch_add(&ret_flight->source->references, 1);
        lazy_flight_list(ret_flight);
        found = true;
    }
    lazy_unlock();
    return found;
}

static int fetch(struct server *self, struct engine *engine, const struct lazy_flight *flight,
                 struct error *err)
{
    struct limits limits;
    int r;

    if (!self->buffer)
        self->buffer = malloc(LAZY_CHUNK_BYTES);
    if (!self->buffer)
        return error_set(err, ERROR_NO_MEMORY, "fetching pages of a map");
    limits_begin(&limits, engine->operation_timeout_ns, NULL);
    r = lazy_read(engine, flight, self->buffer, &limits, err);
    limits_end(&limits);
    return r;
}

static void serve(struct server *self, uintptr_t address)
{
    struct lazy_flight flight;
    struct engine *engine = NULL;
    struct error error = {0};
    int r;

    if (!begin(address, &flight))
        return;
    r = engine_get(NULL, &engine, &error);
    if (r == 0) {
        stats_add(engine_stats(engine), STATS_MAPS_TOUCHED, 1);
        r = fetch(self, engine, &flight, &error);
    }
    if (r < 0)
        tell(flight.source, flight.offset + (address - flight.start), &error);
    lazy_flight_end(&flight, self->buffer, r, address);
}

/* ---- a thread's life ------------------------------------------------------------------------- */

static enum task next_task(struct server *self)
{
    enum task task = REST;

    lazy_lock();
    if (!lazy.has_leader && lazy.ranges) {
        lazy.has_leader = true;
        task = LEAD;
    } else if (lazy.jobs && lazy.filling < FILLING_MAX) {
        self->job = lazy.jobs;
        lazy.jobs = self->job->next;
        lazy.filling++;
        task = FILL;
    } else if (self->has_rested) {
        lazy.threads--;
        task = END;
    } else {
        lazy.idle++;
        self->wakes = atomic_load(&lazy.wakes);
    }
    lazy_unlock();
    return task;
}

/* Outside the gate, as long as it takes. */
static bool wait_for_fault(struct gate_scope *scope, uintptr_t *ret_address)
{
    struct pollfd fds[2] = {{.fd = lazy.uffd, .events = POLLIN}, {.fd = lazy.event, .events = POLLIN}};
    bool touched;
    uint64_t count;

    gate_leave(scope);
    poll(fds, 2, -1);
    gate_enter(scope);
    if (fds[1].revents && read(lazy.event, &count, sizeof count) < 0)
        log_debug("a map's thread was told nothing");
    touched = uffd_next(lazy.uffd, ret_address);
    lazy_lock();
    lazy.has_leader = false;
    lazy_unlock();
    return touched;
}

static void lead(struct server *self, struct gate_scope *scope)
{
    uintptr_t address;

    if (!wait_for_fault(scope, &address))
        return;
    if (call_one() < 0)
        log_debug("one thread for all maps");
    serve(self, address);
}

static void fill(struct server *self)
{
    struct lazy_job *job = self->job;
    struct engine *engine;
    struct limits limits;
    struct error error = {0};

    if (engine_get(NULL, &engine, &error) == 0) {
        limits_begin(&limits, engine->operation_timeout_ns, NULL);
        lazy_fill(engine, (void *)job->start, job->end - job->start, true, &limits, &error);
        limits_end(&limits);
    }
    free(job);
    lazy_lock();
    lazy.filling--;
    lazy_unlock();
}

static void rest(struct server *self, struct gate_scope *scope)
{
    gate_leave(scope);
    futex_wait(&lazy.wakes, self->wakes, thread_idle_ns(), FUTEX_BITS_ALL);
    gate_enter(scope);
    lazy_lock();
    lazy.idle--;
    lazy_unlock();
}

static void *serve_main(void *arg)
{
    struct server self = {.buffer = NULL};
    struct gate_scope scope;
    enum task task;

    (void)arg;
    gate_enter(&scope);
    while ((task = next_task(&self)) != END) {
        if (task == LEAD)
            lead(&self, &scope);
        else if (task == FILL)
            fill(&self);
        else
            rest(&self, &scope);
        self.has_rested = task == REST;
    }
    free(self.buffer);
    gate_leave(&scope);
    return NULL;
}
