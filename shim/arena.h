/* The open file descriptions of a process tree: slots in one shared memory arena, inherited by fork.
 *
 * A slot holds what POSIX says dup and fork share: the offset and the status flags. It holds numbers
 * only, no pointers. The arena is anonymous shared memory mapped at the first virtual open; slots are
 * found by a lock-free search and belong to no process in particular: `holders` counts the processes
 * that have one open.
 */
#ifndef S3DLIO_SHIM_ARENA_H
#define S3DLIO_SHIM_ARENA_H

#include <stdatomic.h>
#include <stdint.h>

struct arena_slot {
    _Atomic uint32_t holders;  /* processes; 0 is free */
    _Atomic uint32_t lock;     /* 0 is free: serialises the offset */
    _Atomic int64_t offset;
    _Atomic uint32_t flags;    /* O_ACCMODE, O_APPEND, O_NONBLOCK … as fcntl(F_GETFL) shows them */
    _Atomic uint32_t reserved;
};

#define ARENA_SLOTS 65536u

/* A free slot with one holder, offset 0. 0, -ENOMEM, -ENFILE, or the errno of memfd_create. */
int arena_alloc(uint32_t flags, struct arena_slot **ret_slot);
/* One more holder: before a fork. */
void arena_hold(struct arena_slot *slot);
/* One holder less; returns how many are left. */
uint32_t arena_release(struct arena_slot *slot);

/* The offset's lock. Held over the read or write that moves it, as the kernel's f_pos lock is; a
 * dead owner's is taken over. Returns 1 when taken, 0 to a signal handler that interrupted its own
 * thread in it: that passes through and does not unlock. No system call unless somebody waits. */
int arena_lock(struct arena_slot *slot);
void arena_unlock(struct arena_slot *slot);
void arena_fork_child(void);

#endif
