/* One call at a time on what processes share; turn.h is the same within one process, and goes
 * before.
 *
 * It lies in memory that several processes map. Its holder is a thread: when that dies, the next
 * one gets the turn and `owner_died`, which whoever has put things right clears. The holder may
 * sleep. A child of fork does not inherit it.
 */
#ifndef S3DLIO_CORE_SHARED_TURN_H
#define S3DLIO_CORE_SHARED_TURN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"

struct shared_turn {
    pthread_mutex_t mutex; /* robust */
    _Atomic uint32_t released, waiters;
    atomic_bool owner_died;
};

/* 0 or -errno. */
int shared_turn_init(struct shared_turn *turn);
/* Waits for the turn, no lock held: 0, or -errno as limits_wait. A thread that has it already, from
 * a call that it left by longjmp, gets it. */
int shared_turn_take(struct shared_turn *turn, const struct limits *limits, struct error *err);
/* False, and nothing happens, where the caller does not have it: in a fork child, by what its
 * parent began. The memory may be unmapped by a process none of whose threads has the turn. */
bool shared_turn_give(struct shared_turn *turn);

#endif
