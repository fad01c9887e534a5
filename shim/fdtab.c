/* The descriptor table; see fdtab.h. */
#include "shim/fdtab.h"

#include <stddef.h>

#include "shim/real.h"

_Atomic(fdtab_entry *) fdtab_leaves[FDTAB_LEAVES];
__thread bool fdtab_is_aside;

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
    return atomic_exchange(&entries[(unsigned)fd & (FDTAB_LEAF_SIZE - 1)], entry);
}

int fdtab_next(int fd)
{
    unsigned start = fd < 0 ? 0 : (unsigned)fd;
    if (fdtab_is_aside)
        return -1;
    for (unsigned leaf = start >> FDTAB_LEAF_BITS; leaf < FDTAB_LEAVES; leaf++) {
        fdtab_entry *entries = atomic_load(&fdtab_leaves[leaf]);
        if (!entries)
            continue;
        unsigned first = leaf == start >> FDTAB_LEAF_BITS ? start & (FDTAB_LEAF_SIZE - 1) : 0;
        for (unsigned i = first; i < FDTAB_LEAF_SIZE; i++)
            if (atomic_load_explicit(&entries[i], memory_order_relaxed))
                return (int)(leaf << FDTAB_LEAF_BITS | i);
    }
    return -1;
}
