/* Delays before repeats. The budget is a leaky bucket kept as one time: see retry.h.
 *
 * booked_ns is the time at which the bucket will be empty again if nobody comes; each repeat books
 * RETRY_SPACING_NS behind it and may run up to RETRY_BURST repeats early.
 */
#include "core/retry.h"

#include "base/clock.h"
#include "base/random.h"

#define RETRY_BURST      100
#define RETRY_SPACING_NS (NS_PER_S / 20)

void retry_policy_init(struct retry_policy *policy, unsigned max, uint32_t base_ms)
{
    policy->max = max;
    policy->base_ms = base_ms;
    atomic_init(&policy->booked_ns, 0);
}

/* Books one repeat; how long it has to wait for its turn. */
static int64_t book(struct retry_policy *policy, int64_t now_ns)
{
    int_fast64_t booked = atomic_load(&policy->booked_ns);
    int_fast64_t next;

    do {
        next = (booked > now_ns ? booked : now_ns) + RETRY_SPACING_NS;
    } while (!atomic_compare_exchange_weak(&policy->booked_ns, &booked, next));
    next -= now_ns + RETRY_BURST * RETRY_SPACING_NS;
    return next > 0 ? next : 0;
}

static int64_t jitter_ns(const struct retry_policy *policy, unsigned attempt)
{
    uint64_t bound_ms = attempt < 20 ? (uint64_t)policy->base_ms << attempt : RETRY_DELAY_MAX_MS;

    if (bound_ms > RETRY_DELAY_MAX_MS)
        bound_ms = RETRY_DELAY_MAX_MS;
    return (int64_t)random_below(bound_ms * 1000 + 1) * (NS_PER_MS / 1000);
}

bool retry_next(struct retry_policy *policy, const struct error *err, unsigned attempt,
                int64_t deadline_ns, int64_t *ret_at_ns)
{
    int64_t now_ns, delay_ns, asked_ns, turn_ns;

    if (!error_is_retryable(err->class) || attempt >= policy->max)
        return false;
    now_ns = clock_now_ns();
    delay_ns = jitter_ns(policy, attempt);
    asked_ns = err->retry_after_ms > 0 ? err->retry_after_ms * NS_PER_MS : 0;
    turn_ns = book(policy, now_ns);
    if (delay_ns < asked_ns)
        delay_ns = asked_ns;
    if (delay_ns < turn_ns)
        delay_ns = turn_ns;
    if (delay_ns >= deadline_ns - now_ns)
        return false;
    *ret_at_ns = now_ns + delay_ns;
    return true;
}
