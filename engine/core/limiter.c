/* Rounds, and what follows from them. See limiter.h. */
#include "core/limiter.h"

#include <string.h>

#define NS_PER_MS INT64_C(1000000)

#define LEVEL_MIN         2u
#define LEVEL_UNKNOWN     16u /* where nothing is known, and where opening begins */
#define DOUBLE_MAX        64u /* steps are smaller above */
#define OPEN_FAST_MAX     32u /* above it the level opens by one for every second answer */
#define NEAR_SHORT        8u
#define FAR_NS            (60 * NS_PER_MS) /* twice what the table is for */
#define ROUND_MIN_NS      (20 * NS_PER_MS)
#define ROUND_REQUESTS    8u
#define RISING_REQUESTS   4u
#define RISING_PAYS       0.4 /* of what more requests might bring, at the least, to go on rising */
#define RISING_KEPT       0.15 /* or to stay there */
#define MORE_PAYS         0.5
#define FEWER_SUFFICES    0.95 /* of the goodput, and of the best there was: */
#define FEWER_OF_BEST     0.9
#define INFLATED_SUFFICES 0.9 /* where answers take long to begin */
#define INFLATED_OF_BEST  0.85
#define INFLATED_TIMES    2
#define INFLATED_NS       (2 * NS_PER_MS)
#define USED              0.7 /* of a level, to be judged */
#define UPHEAVAL          1.6 /* a goodput that is so many times another says that all is new */
#define ODD_ROUNDS        2u
#define UNUSED_ROUNDS     2u
#define OUTLIER_TIMES     3 /* a SHORT request's time counts up to so many times the usual */
#define USUAL_SHARE       8 /* how fast that follows */
#define PAUSE_MIN_NS      (500 * NS_PER_MS)
#define PAUSE_MAX_NS      (8000 * NS_PER_MS)
#define AVOID_MAX_NS      (16 * LIMITER_AVOID_NS)
#define BDP_TIMES         2
#define MB                UINT64_C(1000000)

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned larger(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* ---- levels ---------------------------------------------------------------------------------- */

static unsigned course_max(const struct limiter *limiter, const struct limiter_course *course)
{
    unsigned most =
        smaller(larger(course->level_max / limiter->fellows, LEVEL_MIN), course->level_max);

    return course->ceiling ? smaller(most, larger(course->ceiling - course->ceiling / 10, 1))
                           : most;
}

static void begin_round(struct limiter_course *course)
{
    course->round = (struct limiter_round){.number = course->round.number + 1};
}

static void set_level(struct limiter_course *course, unsigned level)
{
    course->level = level;
    begin_round(course);
}

/* From the level as it is, with nothing known of it. */
static void rise(struct limiter_course *course)
{
    course->phase = LIMITER_RISING;
    course->speed = course->best = 0;
    course->unused = course->odd = 0;
    course->base = course->level;
    begin_round(course);
}

static void hold(struct limiter_course *course, unsigned level, int64_t now_ns)
{
    course->phase = LIMITER_HOLDING;
    course->base = level;
    course->unused = course->odd = 0;
    course->trial_at_ns = now_ns + course->pause_ns;
    set_level(course, level);
}

void limiter_init(struct limiter *limiter, const struct limiter_options *options)
{
    static const unsigned most[] = {LIMITER_SHORT_MAX, LIMITER_LONG_MAX};

    memset(limiter, 0, sizeof *limiter);
    limiter->fixed = options->fixed;
    limiter->is_local = options->is_local;
    limiter->near_long = options->near_long;
    limiter->fellows = 1;
    for (unsigned i = 0; i < LIMITER_FLOWS; i++) {
        struct limiter_course *course = &limiter->flows[i];

        course->level_max = larger(smaller(most[i], options->connections_max), 1);
        course->level = course->goal = smaller(LEVEL_UNKNOWN, course->level_max);
        course->pause_ns = PAUSE_MIN_NS;
    }
}

void limiter_reset_child(struct limiter *limiter)
{
    limiter->users = 0;
    limiter_set_fellows(limiter, 1);
    for (unsigned i = 0; i < LIMITER_FLOWS; i++) {
        limiter->flows[i].in_flight = limiter->flows[i].guesses = 0;
        begin_round(&limiter->flows[i]);
    }
}

/* ---- where it begins ------------------------------------------------------------------------- */

static unsigned at_most(unsigned most, uint64_t count)
{
    return count < most ? larger((unsigned)count, LEVEL_MIN) : most;
}

/* The longer the way, the more fits on it. */
static unsigned table(const struct limiter *limiter, uint64_t object_bytes, uint64_t count,
                      int64_t least_ns)
{
    if (limiter->is_local)
        return at_most(object_bytes < 10 * MB ? 32 : 16, count);
    if (object_bytes < MB)
        return at_most(128, count);
    return at_most(object_bytes < 100 * MB || least_ns > FAR_NS ? 64 : 32, count);
}

void limiter_expect(struct limiter *limiter, uint64_t object_bytes, uint64_t count,
                    int64_t least_ns)
{
    struct limiter_course *course = &limiter->flows[limiter_flow(object_bytes)];

    if (course->phase != LIMITER_OPENING || course->in_flight > 0)
        return;
    course->goal = smaller(table(limiter, object_bytes, count, least_ns), course_max(limiter, course));
    course->level = smaller(course->goal, LEVEL_UNKNOWN);
}

/* An endpoint turns out to be near before anything else is known of it. */
static void begin_near(struct limiter *limiter, enum limiter_flow flow)
{
    struct limiter_course *course = &limiter->flows[flow];
    unsigned few = flow == LIMITER_LONG ? limiter->near_long : NEAR_SHORT;

    if (limiter->is_local || course->is_known || course->level <= few)
        return;
    course->level = smaller(few, course_max(limiter, course));
    rise(course);
}

static void open_wider(struct limiter *limiter, struct limiter_course *course)
{
    course->answers++;
    if (course->level < course->goal && (course->level < OPEN_FAST_MAX || course->answers % 2 == 0))
        course->level++;
    if (course->level >= course->goal)
        rise(course);
}

/* ---- one round ------------------------------------------------------------------------------- */

static void note_time(struct limiter_course *course, int64_t now_ns)
{
    struct limiter_round *round = &course->round;

    if (round->begun_ns == 0)
        return;
    if (now_ns > round->seen_ns)
        round->area += (double)course->in_flight * (double)(now_ns - round->seen_ns);
    round->seen_ns = now_ns;
}

static double mean_level(const struct limiter_round *round)
{
    return round->area / (double)(round->seen_ns - round->begun_ns);
}

/* Work in a nanosecond, by Little's law. */
static double goodput(const struct limiter_round *round)
{
    return mean_level(round) * round->work / round->busy_ns;
}

/* Can the request be compared with those before? If sizes have changed for good, all begins anew.
 * The first level of all is compared with nothing: ranges grow while a stream begins. */
static bool is_usual(struct limiter_course *course, uint64_t bytes, int64_t now_ns)
{
    bool is_larger, is_first = course->phase == LIMITER_RISING && course->speed == 0;

    if (course->unit_bytes == 0 || (is_first && bytes > course->unit_bytes))
        course->unit_bytes = bytes;
    is_larger = bytes > course->unit_bytes + course->unit_bytes / 2;
    if (!is_larger && bytes >= course->unit_bytes / 2) {
        course->unusual = 0;
        return true;
    }
    if (!is_larger && ++course->unusual < 4 * course->level)
        return false;
    course->unit_bytes = bytes;
    course->unusual = 0;
    course->speed = course->best = 0;
    if (course->phase == LIMITER_TRYING)
        hold(course, course->base, now_ns);
    else
        begin_round(course);
    return false;
}

static void add_sample(struct limiter_course *course, enum limiter_flow flow,
                       const struct limiter_end *end)
{
    struct limiter_round *round = &course->round;
    double elapsed_ns = end->elapsed_ns > 0 ? (double)end->elapsed_ns : 1;

    if (flow == LIMITER_SHORT) {
        if (course->typical_ns > 0 && elapsed_ns > OUTLIER_TIMES * course->typical_ns)
            elapsed_ns = OUTLIER_TIMES * course->typical_ns;
        course->typical_ns +=
            course->typical_ns > 0 ? (elapsed_ns - course->typical_ns) / USUAL_SHARE : elapsed_ns;
    }
    round->count++;
    round->busy_ns += elapsed_ns;
    round->work += flow == LIMITER_LONG ? (double)end->bytes : 1;
    round->first_byte_ns += (double)end->first_byte_ns;
}

static bool is_complete(const struct limiter_course *course)
{
    const struct limiter_round *round = &course->round;
    unsigned enough = course->phase == LIMITER_RISING ? larger(course->level / 2, RISING_REQUESTS)
                                                      : larger(course->level, ROUND_REQUESTS);

    return round->count >= enough && round->seen_ns - round->begun_ns >= ROUND_MIN_NS;
}

/* ---- what a round says ----------------------------------------------------------------------- */

/* As much of `share` as the level has grown over the base? */
static bool pays(const struct limiter_course *course, double speed, double share)
{
    double grown = (double)course->level / (double)course->base;

    return speed >= course->speed * (1 + share * (grown - 1));
}

static void go_up(struct limiter *limiter, struct limiter_course *course, int64_t now_ns)
{
    unsigned most = course_max(limiter, course);
    unsigned next = course->level < DOUBLE_MAX ? 2 * course->level : course->level * 3 / 2;

    course->base = course->level;
    next = smaller(next, most);
    if (next > course->level)
        set_level(course, next);
    else
        hold(course, smaller(course->level, most), now_ns);
}

static void judge_rising(struct limiter *limiter, struct limiter_course *course, double speed,
                         int64_t now_ns)
{
    bool is_first = course->speed == 0;
    bool is_kept = is_first || pays(course, speed, RISING_KEPT);
    bool goes_on = is_first || pays(course, speed, RISING_PAYS);

    if (is_kept)
        course->speed = course->best = speed;
    if (goes_on)
        go_up(limiter, course, now_ns);
    else
        hold(course, is_kept ? course->level : course->base, now_ns);
}

/* At least so many keep twice the bandwidth-delay product under way. */
static unsigned floor_of(const struct limiter_course *course, const struct limiter_end *end)
{
    double bytes = BDP_TIMES * course->speed * (double)end->least_ns;

    if (course->unit_bytes > 0)
        return larger((unsigned)(bytes / (double)course->unit_bytes) + 1, LEVEL_MIN);
    return LEVEL_MIN;
}

static void try_more(struct limiter *limiter, struct limiter_course *course, int64_t now_ns)
{
    unsigned next =
        smaller(course->base + larger(course->base / 4, 1), course_max(limiter, course));

    course->tries_fewer = false;
    if (next <= course->base) {
        hold(course, course->base, now_ns);
        course->tries_fewer = true;
        return;
    }
    course->phase = LIMITER_TRYING;
    course->unused = 0;
    set_level(course, next);
}

static void try_fewer(struct limiter_course *course, const struct limiter_end *end)
{
    unsigned step = larger(course->base / 5, 1);
    unsigned next = course->base > step ? course->base - step : 1;

    course->tries_fewer = true;
    next = larger(next, floor_of(course, end));
    if (next >= course->base) {
        hold(course, course->base, end->now_ns);
        course->tries_fewer = false;
        return;
    }
    course->phase = LIMITER_TRYING;
    course->unused = 0;
    set_level(course, next);
}

/* Are answers slow to begin because so many are asked for? */
static bool is_inflated(const struct limiter_round *round, const struct limiter_end *end)
{
    double mean_ns = round->first_byte_ns / round->count;

    return end->least_ns > 0 &&
           mean_ns > INFLATED_TIMES * (double)end->least_ns + (double)INFLATED_NS;
}

static void judge_holding(struct limiter *limiter, struct limiter_course *course, double speed,
                          const struct limiter_end *end)
{
    bool is_odd =
        course->speed > 0 && (speed > UPHEAVAL * course->speed || course->speed > UPHEAVAL * speed);
    bool inflated = is_inflated(&course->round, end);

    if (is_odd && ++course->odd >= ODD_ROUNDS) {
        course->pause_ns = PAUSE_MIN_NS;
        rise(course);
        return;
    }
    if (is_odd) {
        begin_round(course);
        return;
    }
    course->odd = 0;
    course->speed = course->speed > 0 ? (course->speed + speed) / 2 : speed;
    if (course->speed > course->best)
        course->best = course->speed;
    if (end->now_ns < course->trial_at_ns)
        begin_round(course);
    else if (inflated || course->tries_fewer)
        try_fewer(course, end);
    else
        try_more(limiter, course, end->now_ns);
}

static void fail_trial(struct limiter_course *course, int64_t now_ns)
{
    course->tries_fewer = !course->tries_fewer;
    course->pause_ns *= 2;
    if (course->pause_ns > PAUSE_MAX_NS)
        course->pause_ns = PAUSE_MAX_NS;
    hold(course, course->base, now_ns);
}

static void judge_trial(struct limiter *limiter, struct limiter_course *course, double speed,
                        const struct limiter_end *end)
{
    bool inflated = is_inflated(&course->round, end);
    bool suffices = speed >= course->speed * (inflated ? INFLATED_SUFFICES : FEWER_SUFFICES) &&
                    speed >= course->best * (inflated ? INFLATED_OF_BEST : FEWER_OF_BEST);

    if (course->tries_fewer ? !suffices : !pays(course, speed, MORE_PAYS)) {
        fail_trial(course, end->now_ns);
        return;
    }
    course->base = course->level;
    course->speed = speed;
    course->pause_ns = PAUSE_MIN_NS;
    if (speed > course->best)
        course->best = speed;
    if (course->tries_fewer) {
        try_fewer(course, end);
    } else { /* there may be much more to be had */
        course->phase = LIMITER_RISING;
        go_up(limiter, course, end->now_ns);
    }
}

static void judge(struct limiter *limiter, struct limiter_course *course,
                  const struct limiter_end *end)
{
    double speed = goodput(&course->round);

    if (mean_level(&course->round) < USED * course->level) {
        if (course->phase == LIMITER_TRYING && ++course->unused >= UNUSED_ROUNDS)
            hold(course, course->base, end->now_ns);
        else
            begin_round(course);
        return;
    }
    course->is_known = true;
    switch (course->phase) {
    case LIMITER_OPENING: break;
    case LIMITER_RISING: judge_rising(limiter, course, speed, end->now_ns); break;
    case LIMITER_HOLDING: judge_holding(limiter, course, speed, end); break;
    case LIMITER_TRYING: judge_trial(limiter, course, speed, end); break;
    }
}

/* ---- too many -------------------------------------------------------------------------------- */

/* Longer each time, where the last one is not long ago. */
static void avoid(struct limiter_course *course, unsigned allowed, int64_t now_ns)
{
    bool is_again = course->avoid_ns > 0 && now_ns < course->avoid_until_ns + course->avoid_ns;

    course->avoid_ns = is_again ? 2 * course->avoid_ns : LIMITER_AVOID_NS;
    if (course->avoid_ns > AVOID_MAX_NS)
        course->avoid_ns = AVOID_MAX_NS;
    course->avoid_until_ns = now_ns + course->avoid_ns;
    course->ceiling = allowed;
}

static void on_refused(struct limiter *limiter, const struct limiter_begun *begun, int64_t now_ns)
{
    struct limiter_course *course = &limiter->flows[begun->flow];
    unsigned allowed = larger(begun->number, 2) - 1;

    if (begun->round < course->refused_round) { /* halved for its like already */
        course->ceiling = smaller(course->ceiling, allowed);
        return;
    }
    avoid(course, allowed, now_ns);
    course->level = larger(smaller(course->level, begun->number) / 2, 1);
    course->is_known = true;
    rise(course);
    course->refused_round = course->round.number;
}

/* ---- requests -------------------------------------------------------------------------------- */

struct limiter_begun limiter_begin(struct limiter *limiter, enum limiter_flow flow, bool is_guess,
                                   bool is_near, int64_t now_ns)
{
    struct limiter_course *course = &limiter->flows[flow];

    if (is_near)
        begin_near(limiter, flow);
    if (course->phase == LIMITER_OPENING && course->level >= course->goal)
        rise(course);
    if (now_ns >= course->avoid_until_ns)
        course->ceiling = 0;
    if (course->round.begun_ns == 0)
        course->round.begun_ns = course->round.seen_ns = now_ns;
    note_time(course, now_ns);
    course->in_flight++;
    course->guesses += is_guess;
    return (struct limiter_begun){.flow = flow,
                                  .is_guess = is_guess,
                                  .number = course->in_flight,
                                  .round = course->round.number};
}

void limiter_end(struct limiter *limiter, const struct limiter_begun *begun,
                 const struct limiter_end *end)
{
    struct limiter_course *course = &limiter->flows[begun->flow];

    note_time(course, end->now_ns);
    if (course->in_flight > 0)
        course->in_flight--;
    if (begun->is_guess && course->guesses > 0)
        course->guesses--;
    if (limiter->fixed || end->outcome == LIMITER_UNKNOWN)
        return;
    if (end->outcome == LIMITER_REFUSED) {
        on_refused(limiter, begun, end->now_ns);
        return;
    }
    if (end->is_near)
        begin_near(limiter, begun->flow);
    if (course->phase == LIMITER_OPENING) {
        open_wider(limiter, course);
        return;
    }
    if (begun->flow == LIMITER_LONG && !is_usual(course, end->bytes, end->now_ns))
        return;
    if (begun->round != course->round.number)
        return;
    add_sample(course, begun->flow, end);
    if (is_complete(course))
        judge(limiter, course, end);
}

/* ---- room ------------------------------------------------------------------------------------ */

unsigned limiter_target(const struct limiter *limiter, enum limiter_flow flow)
{
    return limiter->fixed ? limiter->fixed : limiter->flows[flow].level;
}

unsigned limiter_share(const struct limiter *limiter, enum limiter_flow flow)
{
    unsigned target = limiter_target(limiter, flow);

    return limiter->fixed || limiter->users < 2 ? target : larger(target / limiter->users, 1);
}

void limiter_join(struct limiter *limiter)
{
    limiter->users++;
}

void limiter_leave(struct limiter *limiter)
{
    if (limiter->users > 0)
        limiter->users--;
}

bool limiter_has_room(const struct limiter *limiter, enum limiter_flow flow, unsigned own)
{
    const struct limiter_course *course = &limiter->flows[flow];
    unsigned target = limiter_target(limiter, flow);
    unsigned others_too = course->in_flight - course->guesses;

    if (own == 0 || limiter->fixed)
        return own == 0 || own < target;
    if (others_too >= target)
        return false;
    return own < limiter_share(limiter, flow) || others_too < target - target / 4;
}

bool limiter_has_room_for_guess(const struct limiter *limiter, enum limiter_flow flow)
{
    return limiter->fixed || limiter->flows[flow].in_flight < limiter->flows[flow].level;
}

/* ---- other processes ------------------------------------------------------------------------- */

void limiter_set_fellows(struct limiter *limiter, unsigned count)
{
    unsigned before = limiter->fellows;

    count = larger(count, 1);
    if (count == before)
        return;
    limiter->fellows = count;
    for (unsigned i = 0; i < LIMITER_FLOWS; i++) {
        struct limiter_course *course = &limiter->flows[i];
        unsigned level = course->phase == LIMITER_TRYING ? course->base : course->level;
        unsigned most = course_max(limiter, course);

        course->goal = larger(smaller(course->goal * before / count, most), 1);
        course->level = larger(smaller(level * before / count, most), smaller(LEVEL_MIN, level));
        if (course->phase == LIMITER_TRYING)
            course->phase = LIMITER_HOLDING;
        course->base = course->level;
        course->speed = course->best = 0;
        begin_round(course);
    }
}
