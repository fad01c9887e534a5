/* The table of lazy maps, and what makes, changes and inherits them. See lazy.h.
 *
 * The table is a list: programs have few such maps, and look-ups come with system calls. */
#include "core/lazy.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "config/options.h"
#include "core/budget.h"
#include "core/lazy_private.h"
#include "core/stats.h"
#include "io/fd.h"
#include "io/gate.h"

/* Flags of mmap that mean the same here. */
#define FLAGS_KEPT (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_32BIT)
/* With these the program wants the bytes now, or memory of another kind. */
#define FLAGS_OTHER (MAP_POPULATE | MAP_LOCKED | MAP_HUGETLB | MAP_SYNC | MAP_GROWSDOWN)

#define MEMORY_SHARE 2u /* of the memory limit: the largest map whose pages may all come to stay */

#ifndef MAP_32BIT
#    define MAP_32BIT 0
#endif

struct lazy lazy = {.uffd = -1, .event = -1, .empty = -1};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static sigset_t signals; /* of who has it */
static __thread bool is_mine;

bool lazy_lock(void)
{
    sigset_t all, before;

    if (is_mine)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pthread_mutex_lock(&mutex);
    signals = before;
    is_mine = true;
    return true;
}

void lazy_unlock(void)
{
    sigset_t before = signals;

    is_mine = false;
    pthread_mutex_unlock(&mutex);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

uintptr_t lazy_page_up(uintptr_t address)
{
    uintptr_t mask = uffd_page_bytes() - 1, up = (address + mask) & ~mask;

    return up < address ? UINTPTR_MAX & ~mask : up;
}

/* ---- the table ------------------------------------------------------------------------------- */

struct lazy_range *lazy_find(uintptr_t start, uintptr_t end)
{
    struct lazy_range *found = NULL;

    for (struct lazy_range *range = lazy.ranges; range; range = range->next)
        if (range->start < end && start < range->end && (!found || range->start < found->start))
            found = range;
    return found;
}

void lazy_add(struct lazy_range *range)
{
    range->next = lazy.ranges;
    lazy.ranges = range;
}

/* Without a spare one the range stays as it was: held too long rather than lost. */
static void cut_middle(struct lazy_range *range, uintptr_t start, uintptr_t end)
{
    struct lazy_range *rest = lazy.spares;

    if (!rest)
        return;
    lazy.spares = rest->next;
    *rest = *range;
    rest->start = end;
    rest->offset += end - range->start;
    atomic_fetch_add(&rest->source->references, 1);
    range->next = rest;
    range->end = start;
}

struct lazy_range *lazy_cut(uintptr_t start, uintptr_t end)
{
    struct lazy_range *gone = NULL, **at = &lazy.ranges;

    while (*at) {
        struct lazy_range *range = *at;

        if (start <= range->start && range->end <= end) {
            *at = range->next;
            range->next = gone;
            gone = range;
            continue;
        }
        if (range->start < start && end < range->end) {
            cut_middle(range, start, end);
            return gone;
        }
        if (range->start < start && start < range->end) {
            range->end = start;
        } else if (start <= range->start && range->start < end) {
            range->offset += end - range->start;
            range->start = end;
        }
        at = &range->next;
    }
    return gone;
}

void lazy_ranges_free(struct lazy_range *gone)
{
    bool any = gone != NULL;

    while (gone) {
        struct lazy_range *next = gone->next;

        lazy_source_unref(gone->source);
        free(gone);
        gone = next;
    }
    if (any)
        lazy_serve_look();
}

static bool lock_at(uintptr_t start, uintptr_t end)
{
    if (!lazy_lock())
        return false;
    if (lazy_find(start, end))
        return true;
    lazy_unlock();
    return false;
}

/* With the lock taken: a range to spare, for which it is given back meanwhile. */
static void spare_have(void)
{
    struct lazy_range *spare;

    if (lazy.spares)
        return;
    lazy_unlock();
    spare = malloc(sizeof *spare);
    lazy_lock();
    if (spare) {
        spare->next = lazy.spares;
        lazy.spares = spare;
    }
}

static uintptr_t end_of(const void *address, size_t length_bytes)
{
    uintptr_t end = (uintptr_t)address + length_bytes;

    return end < (uintptr_t)address ? UINTPTR_MAX : lazy_page_up(end);
}

bool lazy_has(const void *address, size_t length_bytes)
{
    bool found = lock_at((uintptr_t)address, end_of(address, length_bytes));

    if (found)
        lazy_unlock();
    return found;
}

bool lazy_begin(const void *address, size_t length_bytes)
{
    if (!lock_at((uintptr_t)address, end_of(address, length_bytes)))
        return false;
    spare_have();
    return true;
}

void lazy_end(const void *address, size_t length_bytes, bool is_gone)
{
    struct lazy_range *gone =
        is_gone ? lazy_cut((uintptr_t)address, end_of(address, length_bytes)) : NULL;
    struct gate_scope scope;

    lazy_unlock();
    if (!gone)
        return;
    gate_enter(&scope);
    lazy_ranges_free(gone);
    gate_leave(&scope);
}

bool lazy_is_read_only(const void *address, size_t length_bytes)
{
    uintptr_t start = (uintptr_t)address, end = end_of(address, length_bytes);
    bool found = false;

    if (!lazy_lock())
        return false;
    for (const struct lazy_range *range = lazy.ranges; range; range = range->next)
        found = found || (range->is_shared && range->start < end && start < range->end);
    lazy_unlock();
    return found;
}

bool lazy_shows(const struct reader *reader)
{
    bool found = false;

    if (!lazy_lock())
        return false;
    for (const struct lazy_range *range = lazy.ranges; range; range = range->next)
        found = found || range->source->origin == reader;
    lazy_unlock();
    return found;
}

void lazy_advise(const void *address, size_t length_bytes, enum reader_advice advice)
{
    uintptr_t start = (uintptr_t)address, end = end_of(address, length_bytes);

    if (!lazy_lock())
        return;
    for (struct lazy_range *range = lazy.ranges; range; range = range->next)
        if (range->start < end && start < range->end)
            range->advice = advice;
    lazy_unlock();
}

void lazy_set_inherited(const void *address, size_t length_bytes, bool inherited)
{
    uintptr_t start = (uintptr_t)address, end = end_of(address, length_bytes);

    if (!lazy_lock())
        return;
    for (struct lazy_range *range = lazy.ranges; range; range = range->next)
        if (range->start < end && start < range->end)
            range->not_inherited = !inherited;
    lazy_unlock();
}

void lazy_hold(void)
{
    atomic_fetch_add(&lazy.holders, 1);
}

void lazy_release(void)
{
    atomic_fetch_sub(&lazy.holders, 1);
}

bool lazy_is_held(void)
{
    return atomic_load(&lazy.holders) > 0;
}

enum uffd_mode lazy_mode(void)
{
    return lazy.mode;
}

/* ---- making one ------------------------------------------------------------------------------ */

static int open_all(enum uffd_mode most)
{
    enum uffd_mode mode = UFFD_NONE;

    if (lazy.uffd < 0)
        lazy.uffd = uffd_open(most, &mode);
    if (lazy.uffd < 0)
        return lazy.uffd;
    if (mode != UFFD_NONE)
        lazy.mode = mode;
    if (lazy.event < 0)
        lazy.event = fd_adopt_own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (lazy.empty < 0)
        lazy.empty = fd_adopt(memfd_create("s3dlio-nothing", MFD_CLOEXEC));
    return lazy.event < 0 || lazy.empty < 0 ? -EMFILE : 0;
}

/* Descriptors are kept once they are there. 0 or -errno. */
static int ready(struct engine *engine)
{
    static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
    static const enum uffd_mode most[] = {UFFD_ALL, UFFD_USER, UFFD_NONE};
    int r;

    pthread_mutex_lock(&opening);
    r = open_all(most[option_int(&engine->options, MMAP)]);
    pthread_mutex_unlock(&opening);
    return r;
}

int lazy_register(const struct lazy_range *range)
{
    void *memory = (void *)range->start;

    if (madvise(memory, range->end - range->start, MADV_DONTFORK) < 0)
        return -errno;
    return uffd_register(lazy.uffd, range->start, range->end - range->start);
}

int lazy_map_nothing(uintptr_t start, uintptr_t end)
{
    void *memory = start == end ? NULL
                                : mmap((void *)start, end - start, PROT_READ,
                                       MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, lazy.empty, 0);

    return memory == MAP_FAILED ? -errno : 0;
}

static bool is_fit(const struct engine *engine, const struct reader *reader,
                   const struct lazy_request *request)
{
    uint64_t size_bytes = reader_attr(reader)->size_bytes;

    return !(request->flags & FLAGS_OTHER) && !(request->protection & PROT_EXEC) &&
           request->length_bytes >= (uint64_t)option_int(&engine->options, MMAP_THRESHOLD) &&
           request->offset_bytes < size_bytes &&
           request->length_bytes <= budget_memory_limit() / MEMORY_SHARE;
}

static struct lazy_range *range_new(struct engine *engine, struct reader *reader,
                                    const struct lazy_request *request, struct error *err)
{
    struct lazy_range *range = calloc(1, sizeof *range);

    if (!range)
        return NULL;
    range->source = lazy_source_new(engine, reader, err);
    range->offset = request->offset_bytes;
    range->is_shared = (request->flags & MAP_TYPE) != MAP_PRIVATE;
    if (range->source)
        return range;
    free(range);
    return NULL;
}

/* Under the lock. */
static int place(struct lazy_range *range, const struct lazy_request *request, void **ret_memory)
{
    uint64_t left = range->source->size_bytes - request->offset_bytes;
    size_t length = request->length_bytes < left ? request->length_bytes : (size_t)left;
    void *memory = mmap(request->address, request->length_bytes, request->protection,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
                            (request->flags & FLAGS_KEPT),
                        -1, 0);
    int r;

    if (memory == MAP_FAILED)
        return -errno;
    range->start = (uintptr_t)memory;
    range->end = lazy_page_up(range->start + length);
    r = lazy_register(range);
    if (r == 0)
        r = lazy_map_nothing(range->end, lazy_page_up(range->start + request->length_bytes));
    if (r < 0) {
        munmap(memory, request->length_bytes);
        return -EOPNOTSUPP;
    }
    lazy_add(range);
    *ret_memory = memory;
    return 0;
}

int lazy_map(struct engine *engine, struct reader *reader, const struct lazy_request *request,
             void **ret_memory, struct error *err)
{
    struct lazy_range *range = NULL;
    int r;

    if (!is_fit(engine, reader, request) || ready(engine) < 0)
        return -EOPNOTSUPP;
    range = range_new(engine, reader, request, err);
    if (!range)
        return -EOPNOTSUPP;
    lazy_lock();
    r = place(range, request, ret_memory);
    lazy_unlock();
    if (r == 0 && lazy_serve() < 0) {
        lazy_begin((void *)range->start, 1);
        munmap((void *)range->start, request->length_bytes);
        lazy_end((void *)range->start, request->length_bytes, true);
        return -EOPNOTSUPP;
    }
    if (r == 0) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the range is in the table */
        stats_add(engine_stats(engine), STATS_MAPS_MADE, 1);
        return 0;
    }
    lazy_source_unref(range->source);
    free(range);
    return r;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void advise_all(int advice)
{
    for (const struct lazy_range *range = lazy.ranges; range; range = range->next)
        if (!range->not_inherited)
            madvise((void *)range->start, range->end - range->start, advice);
}

void lazy_fork_prepare(void)
{
    lazy_lock();
    advise_all(MADV_DOFORK);
}

void lazy_fork_parent(void)
{
    advise_all(MADV_DONTFORK);
    lazy_unlock();
}

/* Ranges that the parent wanted to keep for itself are no maps here. */
static struct lazy_range *take_out_not_inherited(void)
{
    struct lazy_range *gone = NULL, **at = &lazy.ranges;

    while (*at) {
        struct lazy_range *range = *at;

        if (!range->not_inherited) {
            at = &range->next;
            continue;
        }
        *at = range->next;
        range->next = gone;
        gone = range;
    }
    return gone;
}

/* What other threads had begun they do not end here. Their stacks are still there to read. */
static void forget_flights(void)
{
    for (const struct lazy_flight *flight = lazy.flights; flight; flight = flight->next) {
        atomic_fetch_sub(&flight->source->references, 1);
        if (flight->stream)
            flight->stream->busy = false;
    }
    lazy.flights = NULL;
    lazy.jobs = NULL;
}

/* Pages that nobody would fetch must not read as zeros. */
static void give_up(int reason)
{
    log_error("mmap: no userfaultfd or no thread for the maps of a fork child (error %d): pages "
              "that are not there yet are SIGBUS",
              -reason);
    for (const struct lazy_range *range = lazy.ranges; range; range = range->next) {
        uintptr_t at = range->start, start, end;

        for (; at < range->end && lazy_missing(at, range->end, &start, &end); at = end)
            lazy_map_nothing(start, end);
    }
}

void lazy_fork_child_begin(void)
{
    lazy.uffd = lazy.event = -1; /* closed with what the parent took for itself */
    forget_flights();
    lazy_serve_reset_child();
    atomic_store(&lazy.holders, 0);
    lazy_unlock();
}

void lazy_fork_child(void)
{
    struct lazy_range *gone;
    int r = 0;

    lazy_lock();
    gone = take_out_not_inherited();
    if (lazy.ranges)
        r = open_all(lazy.mode);
    for (const struct lazy_range *range = lazy.ranges; range && r == 0; range = range->next)
        r = lazy_register(range);
    if (r < 0)
        give_up(r);
    lazy_unlock();
    lazy_ranges_free(gone);
    if (!lazy.ranges || r < 0 || (r = lazy_serve()) == 0)
        return;
    lazy_lock();
    give_up(r);
    lazy_unlock();
}
