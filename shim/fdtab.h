/* Which descriptors of this process are virtual: a two-level table, fd → file.
 *
 * The test on the miss path is two relaxed loads. An entry holds the file's index and generation; a
 * hit takes a reference on the file and reads the entry again (file_get), so a close in another
 * thread never frees what a call is using. Leaves are made on demand and never unmapped; fork
 * copies the table as it copies descriptors. A thread that has taken a descriptor table of its own
 * (unshare(2), CLOSE_RANGE_UNSHARE; the engine has such threads) shares numbers with nobody: to it
 * no number is virtual.
 */
#ifndef S3DLIO_SHIM_FDTAB_H
#define S3DLIO_SHIM_FDTAB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FDTAB_LEAF_BITS 12
#define FDTAB_LEAF_SIZE (1u << FDTAB_LEAF_BITS)
#define FDTAB_LEAVES 256u /* 2^20 descriptors */

/* Inline though the shim is built for size: every call on any descriptor comes through here. */
#define FDTAB_INLINE static inline __attribute__((always_inline))

typedef _Atomic uint64_t fdtab_entry; /* 0: not ours */

extern _Atomic(fdtab_entry *) fdtab_leaves[FDTAB_LEAVES];

/* This thread's descriptors are its own. Looked at only where an entry was found. */
extern __thread bool fdtab_is_aside __attribute__((tls_model("initial-exec")));

/* 0 when the descriptor is not ours, or no descriptor. */
FDTAB_INLINE uint64_t fdtab_load(int fd)
{
    unsigned leaf = (unsigned)fd >> FDTAB_LEAF_BITS;
    if (__builtin_expect(leaf >= FDTAB_LEAVES, 0))
        return 0;
    fdtab_entry *entries = atomic_load_explicit(&fdtab_leaves[leaf], memory_order_relaxed);
    if (__builtin_expect(!entries, 1))
        return 0;
    uint64_t entry = atomic_load_explicit(&entries[(unsigned)fd & (FDTAB_LEAF_SIZE - 1)],
                                          memory_order_acquire);
    return __builtin_expect(entry && fdtab_is_aside, 0) ? 0 : entry;
}

FDTAB_INLINE bool fdtab_is_virtual(int fd)
{
    return fdtab_load(fd) != 0;
}

/* How many changes there were. The table is changed before a placeholder gets to a number that was
 * in use, and after it has left: a call that found a number real and met a placeholder all the same
 * finds this changed. */
extern atomic_uint fdtab_change_count;

FDTAB_INLINE unsigned fdtab_changes(void)
{
    return atomic_load_explicit(&fdtab_change_count, memory_order_acquire);
}

/* Stores the entry; returns the one that was there. -1 (as UINT64_MAX) when no leaf could be
 * made. */
uint64_t fdtab_exchange(int fd, uint64_t entry);

/* The lowest virtual descriptor at or above `fd`, or -1. */
int fdtab_next(int fd);

#endif
