/* The tables of changes that the processes of a user share. See attr_cache_shared.h.
 *
 * A directory's slot counts all changes; what this process made of them is counted beside it, so
 * the difference is the others'. When that has grown since the last look, the others' last change
 * is no later than the time in the slot. A name's slot is a time only. The tables are never trusted
 * further: whatever stands in them, times only make caches forget, and hints only choose what to
 * ask first. Room is reserved before they are mapped, so that a full file system is found out here
 * and not by a signal.
 */
#include "core/attr_cache_shared.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "core/place.h"

#define DIRECTORIES 16384u
#define NAMES       65536u
#define HINTS       16384u
#define TIMES       16384u

struct directory {
    _Atomic int64_t at_ns;
    _Atomic uint64_t count;
};

/* Without a lock: who comes between two writers takes the time of the one for that of the other,
 * who changes something at the same moment. */
struct time_of {
    _Atomic int64_t at_ns;  /* of the real-time clock; stored first */
    _Atomic uint64_t inode; /* of the directory; 0: none */
};

struct tables {
    struct directory directories[DIRECTORIES];
    _Atomic int64_t names[NAMES];
    _Atomic uint64_t hints[HINTS]; /* upper half of the hash, seconds of the clock; 0: none */
    struct time_of times[TIMES];
};

struct attr_shared {
    struct tables *tables; /* mapped */
    struct {
        uint64_t own_count, others_count;
        int64_t others_ns;
    } seen[DIRECTORIES];
};

struct attr_shared *attr_shared_new(void)
{
    size_t size_bytes = sizeof(struct tables);
    struct attr_shared *shared = calloc(1, sizeof *shared);
    void *memory;

    if (!shared)
        return NULL;
    memory = place_map("changes-4", size_bytes);
    if (!memory)
        memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        free(shared);
        return NULL;
    }
    shared->tables = memory;
    return shared;
}

void attr_shared_free(struct attr_shared *shared)
{
    if (!shared)
        return;
    munmap(shared->tables, sizeof *shared->tables);
    free(shared);
}

/* ---- changes --------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *name, size_t length)
{
    return hash_mix(hash_bytes(HASH_BASIS, name, length));
}

/* A time of another boot may lie ahead. */
static int64_t no_later_than_now(int64_t at_ns)
{
    int64_t now_ns = clock_now_ns();

    return at_ns < now_ns ? at_ns : now_ns;
}

/* When others last changed something below; 0: never. */
static int64_t look(struct attr_shared *shared, unsigned index)
{
    struct directory *slot = &shared->tables->directories[index];
    uint64_t count = atomic_load_explicit(&slot->count, memory_order_acquire);
    uint64_t others = count - shared->seen[index].own_count;

    if (others != shared->seen[index].others_count) {
        shared->seen[index].others_count = others;
        shared->seen[index].others_ns =
            no_later_than_now(atomic_load_explicit(&slot->at_ns, memory_order_relaxed));
    }
    return shared->seen[index].others_ns;
}

/* The name before its directories: who sees those changed finds it. */
void attr_shared_note_name(struct attr_shared *shared, const char *name, size_t length)
{
    if (shared)
        atomic_store_explicit(&shared->tables->names[hash_of(name, length) % NAMES], clock_now_ns(),
                              memory_order_release);
}

void attr_shared_note_below(struct attr_shared *shared, const char *name, size_t length)
{
    unsigned index = (unsigned)(hash_of(name, length) % DIRECTORIES);
    struct directory *slot;

    if (!shared)
        return;
    slot = &shared->tables->directories[index];
    look(shared, index); /* before our own time hides theirs */
    atomic_store_explicit(&slot->at_ns, clock_now_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&slot->count, 1, memory_order_release);
    shared->seen[index].own_count++;
}

bool attr_shared_below_changed(struct attr_shared *shared, const char *directory, size_t length,
                               int64_t since_ns)
{
    return shared && look(shared, (unsigned)(hash_of(directory, length) % DIRECTORIES)) >= since_ns;
}

bool attr_shared_name_changed(struct attr_shared *shared, const char *name, size_t length,
                              size_t directory_length, int64_t since_ns)
{
    int64_t at_ns;

    if (!attr_shared_below_changed(shared, name, directory_length, since_ns))
        return false;
    at_ns = atomic_load_explicit(&shared->tables->names[hash_of(name, length) % NAMES],
                                 memory_order_acquire);
    return no_later_than_now(at_ns) >= since_ns;
}

/* ---- hints ----------------------------------------------------------------------------------- */

static uint32_t now_s(void)
{
    return (uint32_t)(clock_now_ns() / NS_PER_S);
}

void attr_shared_set_hint(struct attr_shared *shared, uint64_t hash, bool has_marker)
{
    uint64_t tag = hash & ~(uint64_t)UINT32_MAX;
    _Atomic uint64_t *slot;

    if (!shared)
        return;
    slot = &shared->tables->hints[hash % HINTS];
    if (has_marker)
        atomic_store_explicit(slot, tag | now_s(), memory_order_relaxed);
    else if ((atomic_load_explicit(slot, memory_order_relaxed) & ~(uint64_t)UINT32_MAX) == tag)
        atomic_store_explicit(slot, 0, memory_order_relaxed);
}

/* A time of another boot may lie ahead: then the age is huge. */
bool attr_shared_has_hint(struct attr_shared *shared, uint64_t hash)
{
    uint64_t hint;

    if (!shared)
        return false;
    hint = atomic_load_explicit(&shared->tables->hints[hash % HINTS], memory_order_relaxed);
    return hint && hint >> 32 == hash >> 32 && now_s() - (uint32_t)hint < ATTR_HINT_S;
}

/* ---- times of directories --------------------------------------------------------------------- */

/* 0: none is known. */
static int64_t time_known(struct time_of *slot, uint64_t inode)
{
    if (atomic_load_explicit(&slot->inode, memory_order_acquire) != inode)
        return 0;
    return atomic_load_explicit(&slot->at_ns, memory_order_relaxed);
}

void attr_shared_note_time(struct attr_shared *shared, const char *name, size_t length)
{
    uint64_t inode = hash_of(name, length); /* as attr_inode has it */
    struct time_of *slot;
    struct timespec now;
    int64_t at_ns, before_ns;

    if (!shared || length == 0)
        return;
    slot = &shared->tables->times[inode % TIMES];
    clock_gettime(CLOCK_REALTIME, &now);
    at_ns = (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
    before_ns = time_known(slot, inode);
    if (at_ns <= before_ns && before_ns < INT64_MAX)
        at_ns = before_ns + 1;
    atomic_store_explicit(&slot->at_ns, at_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->inode, inode, memory_order_release);
}

void attr_shared_get_time(struct attr_shared *shared, uint64_t inode, struct timespec *ret_time)
{
    int64_t at_ns = shared ? time_known(&shared->tables->times[inode % TIMES], inode) : 0;

    if (at_ns > 0)
        *ret_time = (struct timespec){.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
}
