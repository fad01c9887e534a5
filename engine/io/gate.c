/* The fork gate: a readers-writer lock that prefers the writer, on one futex word.
 *
 * Invariants: the low bits of the word count the threads that run engine code, GATE_FORKING is set
 * from gate_fork_prepare until one of the other two. Nobody is counted while asleep. gate.forking
 * serialises threads that fork at the same time; saved_mask belongs to its holder.
 *
 * A thread of its own may enter while it forks (other libraries' pthread_atfork handlers do I/O):
 * it passes uncounted. One that forks from a handler of a synchronous signal raised inside the
 * engine is counted once, so that much is not waited for.
 *
 * Signals: all but the synchronous ones (SIGSEGV and kin) are blocked inside. Blocking those would
 * turn a fault in the program's own memory, which it may handle, into its death.
 *
 * Scopes left by longjmp out of a sleep stay behind in gate_self.current; they are overwritten by
 * the next gate_enter and never read.
 */
#include "io/gate.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/clock.h"
#include "io/futex.h"

#define GATE_FORKING    (UINT32_C(1) << 31)
#define GATE_BIT_READER 1U
#define GATE_BIT_WRITER 2U

static struct {
    _Atomic uint32_t word;
    _Atomic uint32_t forking; /* 0 free, 1 taken, 2 taken and somebody waits */
    _Atomic uint64_t generation;
    sigset_t saved_mask;
    int saved_cancel_state;
} gate;

static __thread struct {
    struct gate_scope *current;
    bool inside;
    bool forking;
} gate_self;

static void gate_block_signals(sigset_t *ret_previous)
{
    static const int synchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t all;

    sigfillset(&all);
    for (size_t i = 0; i < sizeof synchronous / sizeof synchronous[0]; i++)
        sigdelset(&all, synchronous[i]);
    pthread_sigmask(SIG_BLOCK, &all, ret_previous);
}

static void gate_count_in(void)
{
    uint32_t word = atomic_load_explicit(&gate.word, memory_order_relaxed);

    gate_self.inside = true;
    if (gate_self.forking)
        return;
    for (;;) {
        if (word & GATE_FORKING) {
            futex_wait(&gate.word, word, CLOCK_NEVER, GATE_BIT_READER);
            word = atomic_load_explicit(&gate.word, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(
                       &gate.word, &word, word + 1, memory_order_acquire, memory_order_relaxed)) {
            return;
        }
    }
}

static void gate_count_out(void)
{
    gate_self.inside = false;
    if (gate_self.forking)
        return;
    if (atomic_fetch_sub_explicit(&gate.word, 1, memory_order_release) & GATE_FORKING)
        futex_wake(&gate.word, 1, GATE_BIT_WRITER);
}

void gate_enter(struct gate_scope *scope)
{
    gate_block_signals(&scope->caller_mask);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &scope->caller_cancel_state);
    scope->outer = gate_self.current;
    gate_self.current = scope;
    gate_count_in();
}

void gate_leave(struct gate_scope *scope)
{
    gate_count_out();
    gate_self.current = scope->outer;
    pthread_setcancelstate(scope->caller_cancel_state, NULL);
    pthread_sigmask(SIG_SETMASK, &scope->caller_mask, NULL);
}

struct gate_scope *gate_current(void)
{
    return gate_self.inside ? gate_self.current : NULL;
}

void gate_sleep_begin(int keep_blocked)
{
    struct gate_scope *scope = gate_self.current;

    gate_count_out();
    pthread_setcancelstate(scope->caller_cancel_state, NULL);
    if (!keep_blocked)
        pthread_sigmask(SIG_SETMASK, &scope->caller_mask, NULL);
}

void gate_sleep_end(int keep_blocked)
{
    sigset_t ignored;

    if (!keep_blocked)
        gate_block_signals(&ignored);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    gate_count_in();
}

static void gate_fork_take(void)
{
    uint32_t expected = 0;

    if (atomic_compare_exchange_strong(&gate.forking, &expected, 1))
        return;
    while (atomic_exchange(&gate.forking, 2) != 0)
        futex_wait(&gate.forking, 2, CLOCK_NEVER, FUTEX_BITS_ALL);
}

void gate_fork_prepare(void)
{
    uint32_t own = gate_self.inside ? 1 : 0;
    sigset_t caller_mask;
    uint32_t word;

    gate_block_signals(&caller_mask);
    gate_fork_take();
    gate.saved_mask = caller_mask;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &gate.saved_cancel_state);
    word = atomic_fetch_or_explicit(&gate.word, GATE_FORKING, memory_order_acquire) | GATE_FORKING;
    while (word != (GATE_FORKING | own)) {
        futex_wait(&gate.word, word, CLOCK_NEVER, GATE_BIT_WRITER);
        word = atomic_load_explicit(&gate.word, memory_order_acquire);
    }
    gate_self.forking = true;
}

/* Gives the caller back its signals and cancellation, after `forking` is no longer ours to read. */
static void gate_fork_restore(const sigset_t *mask, int cancel_state)
{
    pthread_setcancelstate(cancel_state, NULL);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

void gate_fork_parent(void)
{
    sigset_t mask = gate.saved_mask;
    int cancel_state = gate.saved_cancel_state;

    gate_self.forking = false;
    atomic_fetch_and_explicit(&gate.word, ~GATE_FORKING, memory_order_release);
    futex_wake(&gate.word, INT_MAX, GATE_BIT_READER);
    if (atomic_exchange(&gate.forking, 0) == 2)
        futex_wake(&gate.forking, 1, FUTEX_BITS_ALL);
    gate_fork_restore(&mask, cancel_state);
}

void gate_fork_child(void)
{
    sigset_t mask = gate.saved_mask;
    int cancel_state = gate.saved_cancel_state;

    /* Threads that waited for either word do not exist here. */
    gate_self.forking = false;
    atomic_store(&gate.word, gate_self.inside ? 1 : 0);
    atomic_store(&gate.forking, 0);
    atomic_fetch_add(&gate.generation, 1);
    gate_fork_restore(&mask, cancel_state);
}

uint64_t gate_generation(void)
{
    return atomic_load_explicit(&gate.generation, memory_order_relaxed);
}
