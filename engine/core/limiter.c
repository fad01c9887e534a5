/* Keeps the least first-byte time. See limiter.h. */
#include "core/limiter.h"

#include "base/clock.h"

void limiter_init(struct limiter *limiter, unsigned inflight_max)
{
    limiter->inflight_max = inflight_max;
    atomic_init(&limiter->least_ns, 0);
    atomic_init(&limiter->least_before_ns, 0);
    atomic_init(&limiter->period_ns, 0);
}

static int64_t load(const atomic_int_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(atomic_int_fast64_t *value, int64_t number)
{
    atomic_store_explicit(value, number, memory_order_relaxed);
}

/* Two threads may both begin a period: a sample more or less does not matter. */
void limiter_on_first_byte(struct limiter *limiter, int64_t elapsed_ns)
{
    int64_t now_ns = clock_now_ns(), least = load(&limiter->least_ns);

    if (elapsed_ns <= 0)
        elapsed_ns = 1;
    if (now_ns - load(&limiter->period_ns) > LIMITER_PERIOD_NS) {
        store(&limiter->least_before_ns, least);
        store(&limiter->period_ns, now_ns);
        least = 0;
    }
    if (least == 0 || elapsed_ns < least)
        least = elapsed_ns;
    store(&limiter->least_ns, least);
}

int64_t limiter_first_byte_ns(const struct limiter *limiter)
{
    int64_t least = load(&limiter->least_ns), before = load(&limiter->least_before_ns);

    return before > 0 && (least == 0 || before < least) ? before : least;
}

unsigned limiter_target(const struct limiter *limiter)
{
    return limiter->inflight_max;
}

bool limiter_is_near(const struct limiter *limiter)
{
    int64_t first_byte_ns = limiter_first_byte_ns(limiter);

    return first_byte_ns > 0 && first_byte_ns < LIMITER_NEAR_NS;
}
