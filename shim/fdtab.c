/* The descriptor table; see fdtab.h. */
#include "shim/fdtab.h"

#include <stddef.h>

#include "shim/real.h"

_Atomic(fdtab_entry *) fdtab_leaves[FDTAB_LEAVES];
__thread bool fdtab_is_aside;
atomic_uint fdtab_change_count;

/* No number from here on was ever virtual: searches leave the rest of the memory untouched. */
static _Atomic int table_end;

static fdtab_entry *leaf_make(unsigned leaf)
{
    void *memory = REAL(mmap)(NULL, FDTAB_LEAF_SIZE * sizeof(fdtab_entry), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    fdtab_entry *expected = NULL;
    if (!atomic_compare_exchange_strong(&fdtab_leaves[leaf], &expected, (fdtab_entry *)memory)) {
        REAL(munmap)(memory, FDTAB_LEAF_SIZE * sizeof(fdtab_entry));
        return expected;
    }
    return memory;
}

uint64_t fdtab_exchange(int fd, uint64_t entry)
{
    unsigned leaf = (unsigned)fd >> FDTAB_LEAF_BITS;
    if (leaf >= FDTAB_LEAVES || fdtab_is_aside)
        return entry ? UINT64_MAX : 0;
    fdtab_entry *entries = atomic_load(&fdtab_leaves[leaf]);
    if (!entries) {
        if (!entry)
            return 0;
        entries = leaf_make(leaf);
        if (!entries)
            return UINT64_MAX;
    }
    int end = atomic_load(&table_end);
    while (entry && fd >= end && !atomic_compare_exchange_weak(&table_end, &end, fd + 1))
        ;
    uint64_t old = atomic_exchange(&entries[(unsigned)fd & (FDTAB_LEAF_SIZE - 1)], entry);
    atomic_fetch_add(&fdtab_change_count, 1); /* who sees this sees the entry */
    return old;
}

int fdtab_next(int fd)
{
    if (fdtab_is_aside)
        return -1;
    for (int at = fd < 0 ? 0 : fd, end = atomic_load(&table_end); at < end; at++) {
        fdtab_entry *entries = atomic_load(&fdtab_leaves[(unsigned)at >> FDTAB_LEAF_BITS]);
        if (!entries)
            at |= (int)FDTAB_LEAF_SIZE - 1;
        else if (atomic_load_explicit(&entries[(unsigned)at & (FDTAB_LEAF_SIZE - 1)],
                                      memory_order_relaxed))
            return at;
    }
    return -1;
}
