/* Keeps the least first-byte time. See limiter.h. */
#include "core/limiter.h"

#include "base/clock.h"

void limiter_init(struct limiter *limiter, unsigned inflight_max, unsigned hedge_percent)
{
    limiter->inflight_max = inflight_max;
    limiter->hedge_percent = hedge_percent;
    atomic_init(&limiter->answers, 0);
    atomic_init(&limiter->late_ns, 0);
    atomic_init(&limiter->hedges, 0);
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

/* The estimate goes up by 19 steps when it was exceeded and down by one when not: where both
 * happen as much as they should, 19 to 1, it stays. A step is a 200th of it. */
static void track_late(struct limiter *limiter, int64_t waited_ns)
{
    int64_t late_ns = load(&limiter->late_ns), step_ns = late_ns / 200;

    if (late_ns == 0)
        late_ns = waited_ns + waited_ns / 2;
    else
        late_ns += waited_ns > late_ns ? 19 * step_ns : -step_ns;
    store(&limiter->late_ns, late_ns);
    if (atomic_load_explicit(&limiter->answers, memory_order_relaxed) < LIMITER_ANSWERS_MIN)
        atomic_fetch_add_explicit(&limiter->answers, 1, memory_order_relaxed);
    if (load(&limiter->hedges) < LIMITER_HEDGES_MAX * 100)
        atomic_fetch_add_explicit(&limiter->hedges, limiter->hedge_percent, memory_order_relaxed);
}

/* Two threads may both begin a period: a sample more or less does not matter. */
void limiter_on_first_byte(struct limiter *limiter, int64_t elapsed_ns, int64_t waited_ns)
{
    int64_t now_ns = clock_now_ns(), least = load(&limiter->least_ns);

    if (elapsed_ns <= 0)
        elapsed_ns = 1;
    track_late(limiter, waited_ns > elapsed_ns ? waited_ns : elapsed_ns);
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

int64_t limiter_late_ns(const struct limiter *limiter)
{
    int64_t late_ns = load(&limiter->late_ns);

    if (limiter->hedge_percent == 0 ||
        atomic_load_explicit(&limiter->answers, memory_order_relaxed) < LIMITER_ANSWERS_MIN)
        return 0;
    return late_ns > LIMITER_LATE_MIN_NS ? late_ns : LIMITER_LATE_MIN_NS;
}

bool limiter_may_hedge(struct limiter *limiter)
{
    if (atomic_fetch_sub(&limiter->hedges, 100) < 100) {
        atomic_fetch_add(&limiter->hedges, 100);
        return false;
    }
    return true;
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
