/* Shared slots; see arena.h. */
#include "shim/arena.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "shim/real.h"

struct arena {
    _Atomic uint32_t next; /* where the search for a free slot starts */
    uint32_t padding[15];
    struct arena_slot slots[ARENA_SLOTS];
};

static _Atomic(struct arena *) mapped;

/* NULL with errno when there is no memory. */
static struct arena *arena_map(void)
{
    struct arena *arena = atomic_load_explicit(&mapped, memory_order_acquire);
    if (arena)
        return arena;
    /* Shared with children by fork; nobody else needs to open it. */
    void *memory = REAL(mmap)(NULL, sizeof *arena, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (!atomic_compare_exchange_strong(&mapped, &arena, (struct arena *)memory))
        munmap(memory, sizeof *arena);
    return atomic_load(&mapped);
}

int arena_alloc(uint32_t flags, struct arena_slot **ret_slot)
{
    struct arena *arena = arena_map();
    if (!arena)
        return -errno;
    uint32_t start = atomic_load_explicit(&arena->next, memory_order_relaxed);
    for (uint32_t i = 0; i < ARENA_SLOTS; i++) {
        struct arena_slot *slot = &arena->slots[(start + i) % ARENA_SLOTS];
        uint32_t none = 0;
        if (!atomic_compare_exchange_strong(&slot->holders, &none, 1))
            continue;
        atomic_store(&slot->lock, 0);
        atomic_store(&slot->offset, 0);
        atomic_store(&slot->flags, flags);
        atomic_store_explicit(&arena->next, start + i + 1, memory_order_relaxed);
        *ret_slot = slot;
        return 0;
    }
    return -ENFILE;
}

void arena_hold(struct arena_slot *slot)
{
    atomic_fetch_add(&slot->holders, 1);
}

uint32_t arena_release(struct arena_slot *slot)
{
    return atomic_fetch_sub(&slot->holders, 1) - 1;
}

/* ---- the offset's lock: the owner's thread id, and a bit that says that somebody sleeps ---- */

#define WAITERS 0x80000000u

static _Thread_local uint32_t own_id;

static uint32_t thread_id(void)
{
    if (!own_id)
        own_id = (uint32_t)syscall(SYS_gettid);
    return own_id;
}

void arena_fork_child(void)
{
    own_id = 0;
}

static int owner_is_dead(uint32_t owner)
{
    return syscall(SYS_tkill, (pid_t)owner, 0) < 0 && errno == ESRCH;
}

/* Someone else's: sleep until it is released, for at most a while in case its owner dies. */
static void lock_sleep(struct arena_slot *slot, uint32_t seen)
{
    struct timespec patience = {.tv_nsec = 50 * 1000 * 1000};
    uint32_t marked = seen | WAITERS;
    if (seen != marked && !atomic_compare_exchange_strong(&slot->lock, &seen, marked))
        return;
    if (syscall(SYS_futex, &slot->lock, FUTEX_WAIT, marked, &patience, NULL, 0) < 0 &&
        errno == ETIMEDOUT && owner_is_dead(marked & ~WAITERS))
        atomic_compare_exchange_strong(&slot->lock, &marked, 0);
}

int arena_lock(struct arena_slot *slot)
{
    uint32_t self = thread_id(), seen = 0, mine = self;
    int saved = errno;
    while (!atomic_compare_exchange_strong(&slot->lock, &seen, mine)) {
        if ((seen & ~WAITERS) == self)
            return 0;
        if (seen)
            lock_sleep(slot, seen);
        mine = self | WAITERS; /* others may sleep besides us */
        seen = 0;
    }
    errno = saved;
    return 1;
}

void arena_unlock(struct arena_slot *slot)
{
    if (atomic_exchange(&slot->lock, 0) & WAITERS)
        syscall(SYS_futex, &slot->lock, FUTEX_WAKE, 1, NULL, NULL, 0);
}
