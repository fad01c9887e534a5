/* Delays before repeats. The budget is a leaky bucket kept as one time: see retry.h.
 *
 * booked_ns is the time at which the bucket will be empty again if nobody comes; each repeat books
 * RETRY_SPACING_NS behind it and may run up to RETRY_BURST repeats early.
 */
#include "core/retry.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"

#define RETRY_BURST      100
#define RETRY_SPACING_NS (NS_PER_S / 20)
#define LAST_TRIES_NS    (2 * NS_PER_S) /* until the deadline: no more tries than there are */
#define TELL_AFTER_NS    (5 * NS_PER_S)
#define TELL_EVERY_NS    (60 * NS_PER_S)

void retry_policy_init(struct retry_policy *policy, unsigned max, uint32_t base_ms)
{
    policy->max = max;
    policy->base_ms = base_ms;
    policy->is_patient = false;
    atomic_init(&policy->booked_ns, 0);
    atomic_init(&policy->told_ns, 0);
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
    bool is_patient = policy->is_patient && err->class == ERROR_THROTTLED;
    int64_t now_ns, delay_ns, asked_ns, turn_ns, left_ns;

    if (!error_is_retryable(err->class) || (attempt >= policy->max && !is_patient))
        return false;
    now_ns = clock_now_ns();
    delay_ns = jitter_ns(policy, attempt);
    asked_ns = err->retry_after_ms > 0 ? err->retry_after_ms * NS_PER_MS : 0;
    turn_ns = book(policy, now_ns);
    left_ns = deadline_ns - now_ns;
    if (is_patient && delay_ns >= left_ns && left_ns > LAST_TRIES_NS)
        delay_ns = left_ns / 2;
    if (delay_ns < asked_ns)
        delay_ns = asked_ns;
    if (delay_ns < turn_ns)
        delay_ns = turn_ns;
    if (delay_ns >= left_ns)
        return false;
    *ret_at_ns = now_ns + delay_ns;
    return true;
}

void retry_tell_overload(struct retry_policy *policy, const char *what, const struct error *err,
                         int64_t since_ns)
{
    int64_t now_ns = clock_now_ns();
    int_fast64_t told_ns = atomic_load(&policy->told_ns);

    if (now_ns - since_ns < TELL_AFTER_NS || (told_ns && now_ns - told_ns < TELL_EVERY_NS) ||
        !atomic_compare_exchange_strong(&policy->told_ns, &told_ns, now_ns))
        return;
    log_warn("%s: the store has been overloaded for %lld s (%d%s%s); what it refuses is sent "
             "again, less and less often, until S3DLIO_OPERATION_TIMEOUT_SECS",
             what, (long long)((now_ns - since_ns) / NS_PER_S), err->http_status,
             err->code[0] ? " " : "", err->code);
}
