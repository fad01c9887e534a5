/* The fork gate: who runs engine code holds it for reading, fork takes it for writing.
 *
 * So at the moment of fork no thread is inside curl, OpenSSL or an engine lock, and the child finds
 * every structure whole. Nobody holds the gate while asleep: gate_sleep_begin/end bracket every
 * wait. Entering also blocks signals and defers cancellation, so that a handler which calls the
 * engine again never meets a lock of its own thread; both are as the caller had them during a
 * sleep.
 *
 * Order: the gate first, then a shard's lock, then any other engine lock.
 */
#ifndef S3DLIO_IO_GATE_H
#define S3DLIO_IO_GATE_H

#include <signal.h>
#include <stdint.h>

/* On the stack of one public call (or one round of an engine thread's loop). Calls nest only by way
 * of a signal handler during a sleep, each with a scope of its own. */
struct gate_scope {
    sigset_t caller_mask;
    int caller_cancel_state;
    struct gate_scope *outer;
};

void gate_enter(struct gate_scope *scope);
void gate_leave(struct gate_scope *scope);

/* The innermost scope of this thread; NULL outside. */
struct gate_scope *gate_current(void);

/* Leaves the gate around something that sleeps. The caller holds no lock. Signals are let
 * through from begin to end unless the sleep itself takes the mask (epoll_pwait): then pass
 * keep_blocked. */
void gate_sleep_begin(int keep_blocked);
void gate_sleep_end(int keep_blocked);

void gate_fork_prepare(void); /* waits for all others, then keeps them out */
void gate_fork_parent(void);
void gate_fork_child(void); /* also advances the process generation */

/* 0 in the first process, one more in each fork child: state made under another number belongs to
 * the parent (threads, connections, requests in flight). */
uint64_t gate_generation(void);

#endif
