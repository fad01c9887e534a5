/* A lock in memory that processes share: one futex word with its owner's thread id, so that a dead
 * owner's lock can be taken over. What it guards must be whole at every instant.
 *
 * No system call unless somebody waits. errno is kept. Any thread, signal handlers too.
 */
#ifndef S3DLIO_SHIM_SHARED_LOCK_H
#define S3DLIO_SHIM_SHARED_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct shared_lock {
    _Atomic uint32_t word; /* 0 is free: memory of zeros is a lock */
};

/* Returns 1 when taken, 0 to a signal handler that interrupted its own thread in it: that passes
 * through and does not give the lock back. */
int shared_lock_take(struct shared_lock *lock);
void shared_lock_give(struct shared_lock *lock);
/* In a fork child: its thread has another id. */
void shared_lock_fork_child(void);

/* In a program that this thread has just executed: what it had before is free. */
void shared_lock_exec(struct shared_lock *lock);

/* Has this process come to its end, whether its parent knows or not? Of a number in use again, the
 * answer is no. */
bool shared_lock_process_ended(pid_t pid);

#endif
