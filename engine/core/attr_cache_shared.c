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

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/place.h"

#define DIRECTORIES 16384u
#define NAMES       65536u
#define HINTS       16384u

struct directory {
    _Atomic int64_t at_ns;
    _Atomic uint64_t count;
};

struct tables {
    struct directory directories[DIRECTORIES];
    _Atomic int64_t names[NAMES];
    _Atomic uint64_t hints[HINTS]; /* upper half of the hash, seconds of the clock; 0: none */
};

struct attr_shared {
    struct tables *tables; /* mapped */
    struct {
        uint64_t own_count, others_count;
        int64_t others_ns;
    } seen[DIRECTORIES];
};

static void *map_file(size_t size_bytes)
{
    int place = place_open();
    void *memory = MAP_FAILED;
    struct stat st;
    int fd;

    if (place < 0)
        return MAP_FAILED;
    fd = openat(place, "changes-3", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    close(place);
    if (fd < 0)
        return MAP_FAILED;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        posix_fallocate(fd, 0, (off_t)size_bytes) == 0)
        memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory;
}

struct attr_shared *attr_shared_new(void)
{
    size_t size_bytes = sizeof(struct tables);
    struct attr_shared *shared = calloc(1, sizeof *shared);
    void *memory;

    if (!shared)
        return NULL;
    memory = map_file(size_bytes);
    if (memory == MAP_FAILED)
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
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a, then mixed so that all bits count */

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    return hash ^ hash >> 33;
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
