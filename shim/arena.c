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

static int arena_map(struct arena **ret_arena)
{
    struct arena *arena = atomic_load_explicit(&mapped, memory_order_acquire);
    if (arena) {
        *ret_arena = arena;
        return 0;
    }
    /* Shared with children by fork; nobody else needs to open it. */
    void *memory = REAL(mmap)(NULL, sizeof *arena, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    arena = NULL;
    if (!atomic_compare_exchange_strong(&mapped, &arena, (struct arena *)memory))
        REAL(munmap)(memory, sizeof *arena);
    *ret_arena = atomic_load(&mapped);
    return 0;
}

int arena_alloc(uint32_t flags, struct arena_slot **ret_slot)
{
    struct arena *arena;
    int result = arena_map(&arena);
    if (result < 0)
        return result;
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

static uint32_t thread_id(void)
{
    return (uint32_t)syscall(SYS_gettid);
}

static int owner_is_dead(uint32_t owner)
{
    return syscall(SYS_tkill, (pid_t)owner, 0) < 0 && errno == ESRCH;
}

int arena_lock(struct arena_slot *slot)
{
    uint32_t self = thread_id();
    for (;;) {
        uint32_t owner = 0;
        if (atomic_compare_exchange_strong(&slot->lock, &owner, self))
            return 1;
        if (owner == self)
            return 0;
        if (owner_is_dead(owner)) {
            if (atomic_compare_exchange_strong(&slot->lock, &owner, self))
                return 1;
            continue;
        }
        /* The unlocker wakes one; the timeout is for an owner that dies without unlocking. */
        struct timespec patience = {.tv_nsec = 50 * 1000 * 1000};
        syscall(SYS_futex, &slot->lock, FUTEX_WAIT, owner, &patience, NULL, 0);
    }
}

void arena_unlock(struct arena_slot *slot)
{
    atomic_store(&slot->lock, 0);
    syscall(SYS_futex, &slot->lock, FUTEX_WAKE, 1, NULL, NULL, 0);
}
