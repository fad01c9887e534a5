/* Deadlines, cancelling, and which call a thread works for. See limits.h. */
#include "core/limits.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "io/futex.h"
#include "io/gate.h"

#define MOMENT_NS (20 * NS_PER_MS) /* after which a flag, a death or a lost wake is noticed */

/* Dangles after a longjmp out of a call, until the thread's next call; nobody looks in between. */
static _Thread_local struct limits *current;

void limits_begin(struct limits *limits, int64_t timeout_ns, const atomic_bool *cancelled)
{
    limits->deadline_ns = clock_deadline_ns(timeout_ns);
    limits->cancelled = cancelled;
    limits->work = NULL;
    limits->held = NULL;
    limits->within = NULL;
    limits->outer = current;
    current = limits;
}

void limits_begin_within(struct limits *limits, int64_t timeout_ns)
{
    limits_begin(limits, timeout_ns, NULL);
    limits->within = limits->outer;
}

void limits_end(struct limits *limits)
{
    current = limits->outer;
}

const struct limits *limits_current(void)
{
    return current;
}

void limits_hold(struct limits_held *held)
{
    limits_let_go(held); /* what a call left behind was taken over by the same one */
    if (!current)
        return; /* nobody cancels an engine thread */
    held->next = current->held;
    current->held = held;
}

void limits_let_go(struct limits_held *held)
{
    struct limits_held **at = current ? &current->held : NULL;

    while (at && *at && *at != held)
        at = &(*at)->next;
    if (at && *at)
        *at = held->next;
    held->next = NULL;
}

static bool is_cancelled(const atomic_bool *flag)
{
    return flag && atomic_load_explicit(flag, memory_order_acquire);
}

/* On the heap: a wait that was left by longjmp is looked at until its thread waits again. */
struct waiting {
    struct shard_waiter waiter;
    const atomic_bool *cancelled;
    struct limits_wait wait;
    struct limits *call;
};

static bool waiting_ready(const struct shard_waiter *waiter)
{
    const struct waiting *waiting = waiter->arg;

    return waiting->wait.done(waiting->wait.arg, waiting->wait.value) ||
           is_cancelled(waiting->cancelled);
}

static bool waiting_advance(struct shard_waiter *waiter)
{
    const struct waiting *waiting = waiter->arg;

    return waiting->wait.advance(waiting->wait.arg);
}

static void give_back_all(struct limits *call)
{
    while (call->held) {
        struct limits_held *held = call->held;

        call->held = held->next;
        held->left(held);
    }
}

static void waiting_unwound(struct shard_waiter *waiter)
{
    struct waiting *waiting = waiter->arg;
    struct limits *call;

    for (call = waiting->call; call; call = call->within)
        give_back_all(call);
    free(waiting);
}

static int explain(const struct limits *limits, int r, struct error *err)
{
    if (is_cancelled(limits->cancelled))
        return error_set(err, ERROR_CANCELLED, "cancelled by the caller");
    if (r == -ETIMEDOUT)
        return error_set(err, ERROR_TIMEOUT, "the operation took too long");
    return error_set_errno(err, r < 0 ? -r : EIO, "waiting for the answer");
}

int limits_wait(struct shard *shard, const struct limits *limits, const struct limits_wait *wait,
                struct error *err)
{
    uint64_t generation = gate_generation();
    struct limits *call = current;
    struct waiting *waiting;
    int r;

    if (wait->done(wait->arg, wait->value))
        return 0;
    waiting = malloc(sizeof *waiting);
    if (!waiting)
        return error_set(err, ERROR_NO_MEMORY, "waiting for the answer");
    *waiting = (struct waiting){
        .waiter = {.ready = waiting_ready,
                   .advance = wait->advance ? waiting_advance : NULL,
                   .unwound = waiting_unwound,
                   .arg = waiting},
        .cancelled = limits->cancelled,
        .wait = *wait,
        .call = call,
    };
    r = shard_wait(shard, &waiting->waiter, limits->deadline_ns);
    current = call; /* a handler that jumped may have left another */
    free(waiting);
    if (generation != gate_generation())
        return error_set(err, ERROR_IO, "the process was forked in the middle of the call");
    return wait->done(wait->arg, wait->value) ? 0 : explain(limits, r, err);
}

int limits_wait_shared(const struct limits *limits, _Atomic uint32_t *word, uint32_t value,
                       struct error *err)
{
    uint64_t generation = gate_generation();
    struct limits *call = current;

    if (is_cancelled(limits->cancelled) || clock_now_ns() >= limits->deadline_ns)
        return explain(limits, -ETIMEDOUT, err);
    gate_sleep_begin(0);
    futex_wait_shared(word, value, MOMENT_NS);
    gate_sleep_end(0);
    current = call;
    if (generation != gate_generation())
        return error_set(err, ERROR_IO, "the process was forked in the middle of the call");
    return 0;
}
