/* Turns; see turn.h. A frame that is not below the owner's on the same stack proves that the
 * owner's call has been left: stacks grow down. On a signal stack nothing can be said, so it counts
 * as inside. In a fork child whoever was inside does not exist. */
#include "core/turn.h"

#include <signal.h>
#include <stddef.h>

#include "io/gate.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static void turn_left(struct limits_held *held)
{
    struct turn *turn = CONTAINER(held, struct turn, held);

    shard_lock(turn->shard);
    turn->depth = 0;
    shard_unlock(turn->shard);
}

void turn_init(struct turn *turn, struct shard *shard)
{
    *turn =
        (struct turn){.shard = shard, .generation = gate_generation(), .held = {.left = turn_left}};
}

static bool is_free(const void *arg, uint64_t value)
{
    const struct turn *turn = arg;

    return turn->depth == 0;
}

static bool on_signal_stack(void)
{
    stack_t stack;

    return sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
}

static bool is_own(const struct turn *turn)
{
    return turn->depth > 0 && pthread_equal(turn->thread, pthread_self());
}

static bool was_left(const struct turn *turn, const char *frame)
{
    return is_own(turn) && frame >= turn->frame && !on_signal_stack();
}

int turn_take(struct turn *turn, bool nested, const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = is_free, .arg = turn};
    const char *frame = __builtin_frame_address(0);
    int r = 0;

    shard_lock(turn->shard);
    if (was_left(turn, frame) || turn->generation != gate_generation())
        turn->depth = 0;
    turn->generation = gate_generation();
    if (is_own(turn)) {
        if (nested)
            turn->depth++;
        else
            r = error_set(err, ERROR_BUSY, "in use by the call that a signal interrupted");
    } else {
        r = limits_wait(turn->shard, limits, &wait, err);
        if (r == 0) {
            turn->depth = 1;
            turn->thread = pthread_self();
            turn->frame = frame;
            limits_hold(&turn->held);
        }
    }
    shard_unlock(turn->shard);
    return r;
}

void turn_give(struct turn *turn)
{
    shard_lock(turn->shard);
    if (turn->depth > 0 && --turn->depth == 0)
        limits_let_go(&turn->held);
    shard_unlock(turn->shard);
}
