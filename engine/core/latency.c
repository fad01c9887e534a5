/* Keeps the least first-byte time and the percentile. See latency.h. */
#include "core/latency.h"

#include "base/clock.h"

#define STALLED_TIMES 4   /* what is late */
#define HEDGE         100 /* in hundredths */

void latency_init(struct latency *latency, unsigned hedge_percent)
{
    latency->hedge_percent = hedge_percent;
    for (unsigned i = 0; i < LATENCY_KINDS; i++) {
        atomic_init(&latency->tails[i].answers, 0);
        atomic_init(&latency->tails[i].late_ns, 0);
    }
    atomic_init(&latency->hedges, 0);
    atomic_init(&latency->least_ns, 0);
    atomic_init(&latency->least_before_ns, 0);
    atomic_init(&latency->period_ns, 0);
}

static int64_t load(const atomic_int_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(atomic_int_fast64_t *value, int64_t number)
{
    atomic_store_explicit(value, number, memory_order_relaxed);
}

static unsigned answers(const struct latency *latency, enum latency_kind kind)
{
    return atomic_load_explicit(&latency->tails[kind].answers, memory_order_relaxed);
}

static bool has_few(const struct latency *latency, enum latency_kind kind)
{
    return answers(latency, kind) < LATENCY_ANSWERS_FEW;
}

/* The estimate goes up by 19 steps when it was exceeded and down by one when not: where both
 * happen as much as they should, 19 to 1, it stays. A step is a 200th of it. */
static void track_late(struct latency *latency, enum latency_kind kind, int64_t waited_ns)
{
    struct latency_tail *tail = &latency->tails[kind];
    int64_t late_ns = load(&tail->late_ns), step_ns = late_ns / 200;

    if (late_ns == 0)
        late_ns = waited_ns + waited_ns / 2;
    else
        late_ns += waited_ns > late_ns ? 19 * step_ns : -step_ns;
    store(&tail->late_ns, late_ns);
    if (has_few(latency, kind))
        atomic_fetch_add_explicit(&tail->answers, 1, memory_order_relaxed);
    if (load(&latency->hedges) < LATENCY_HEDGES_MAX * HEDGE)
        atomic_fetch_add_explicit(&latency->hedges, latency->hedge_percent, memory_order_relaxed);
}

/* Two threads may both begin a period: a sample more or less does not matter. */
void latency_on_answer(struct latency *latency, int64_t elapsed_ns)
{
    int64_t now_ns = clock_now_ns(), least = load(&latency->least_ns);

    if (elapsed_ns <= 0)
        elapsed_ns = 1;
    if (now_ns - load(&latency->period_ns) > LATENCY_PERIOD_NS) {
        store(&latency->least_before_ns, least);
        store(&latency->period_ns, now_ns);
        least = 0;
    }
    if (least == 0 || elapsed_ns < least)
        least = elapsed_ns;
    store(&latency->least_ns, least);
}

void latency_on_first_byte(struct latency *latency, int64_t elapsed_ns, int64_t waited_ns)
{
    track_late(latency, LATENCY_BYTES, waited_ns > elapsed_ns ? waited_ns : elapsed_ns);
    latency_on_answer(latency, elapsed_ns);
}

int64_t latency_first_byte_ns(const struct latency *latency)
{
    int64_t least = load(&latency->least_ns), before = load(&latency->least_before_ns);

    return before > 0 && (least == 0 || before < least) ? before : least;
}

void latency_on_look(struct latency *latency, enum latency_kind kind, int64_t waited_ns)
{
    track_late(latency, kind, waited_ns);
}

static int64_t known_late_ns(const struct latency *latency, enum latency_kind kind,
                             unsigned times)
{
    int64_t late_ns = load(&latency->tails[kind].late_ns);

    if (latency->hedge_percent == 0 || answers(latency, kind) < LATENCY_ANSWERS_MIN)
        return 0;
    if (has_few(latency, kind))
        return 2 * late_ns > LATENCY_GUESS_MIN_NS ? 2 * late_ns : LATENCY_GUESS_MIN_NS;
    return times * (late_ns > LATENCY_LATE_MIN_NS ? late_ns : LATENCY_LATE_MIN_NS);
}

int64_t latency_late_ns(const struct latency *latency)
{
    return known_late_ns(latency, LATENCY_BYTES, 1);
}

int64_t latency_look_late_ns(const struct latency *latency, enum latency_kind kind)
{
    return known_late_ns(latency, kind, 2);
}

int64_t latency_stalled_ns(const struct latency *latency)
{
    int64_t late_ns = latency_late_ns(latency);

    if (latency->hedge_percent == 0)
        return 0;
    if (late_ns == 0)
        return LATENCY_STALLED_UNKNOWN_NS;
    return STALLED_TIMES * late_ns > LATENCY_STALLED_MIN_NS ? STALLED_TIMES * late_ns
                                                            : LATENCY_STALLED_MIN_NS;
}

bool latency_may_hedge(struct latency *latency, enum latency_kind kind)
{
    if (atomic_fetch_sub(&latency->hedges, HEDGE) < (has_few(latency, kind) ? 0 : HEDGE)) {
        atomic_fetch_add(&latency->hedges, HEDGE);
        return false;
    }
    return true;
}

bool latency_is_near(const struct latency *latency)
{
    int64_t first_byte_ns = latency_first_byte_ns(latency);

    return first_byte_ns > 0 && first_byte_ns < LATENCY_NEAR_NS;
}
