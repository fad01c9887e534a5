/* core/limiter.h: on networks that are computed, how many requests it finds worth while, how soon, and
 * what it does when the network changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/limiter.h"

#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_S   INT64_C(1000000000)
#define MIB        (UINT64_C(1) << 20)
#define MB         UINT64_C(1000000)
#define STEP_NS    (NS_PER_MS / 4)
#define FLIGHTS    256u
#define USERS      4u
#define REQUEST    (16 * MIB)
#define NEAR_FIRST (NS_PER_MS / 2)

/* ---- a network ------------------------------------------------------------------------------- */

/* What is 0 does not limit. */
struct network {
    int64_t first_byte_ns;
    uint64_t connection_bytes_s, shared_bytes_s;
    unsigned in_flight_max; /* above, requests are refused */
    unsigned slots;         /* above, requests wait for their turn at the server */
    unsigned crowd;         /* above, each connection takes a twentieth from all */
    unsigned tail;          /* each so manieth request is answered ten times as late */
};

struct flight {
    bool is_used, is_refused, is_served;
    unsigned user;
    int64_t begun_ns, answer_ns; /* answer: when it comes, if it is served at once */
    int64_t first_byte_ns;       /* came */
    double left_bytes;
    uint64_t bytes;
    struct limiter_begun begun;
};

struct run {
    struct network network;
    struct limiter limiter;
    uint64_t request_bytes;
    unsigned users,
        wanted; /* wanted: at most so many at once by a user; 0: as many as there is room */
    int64_t now_ns;
    struct flight flights[FLIGHTS];
    unsigned own[USERS], in_flight;
    uint64_t done, refused, bytes, done_by[USERS];
};

static void run_init(struct run *run, const struct network *network, uint64_t request_bytes)
{
    struct limiter_options options = {.connections_max = 400, .near_long = 2};

    memset(run, 0, sizeof *run);
    run->network = *network;
    run->request_bytes = request_bytes;
    run->users = 1;
    run->now_ns = 1000 * NS_PER_S;
    limiter_init(&run->limiter, &options);
}

static struct flight *free_flight(struct run *run)
{
    for (unsigned i = 0; i < FLIGHTS; i++)
        if (!run->flights[i].is_used)
            return &run->flights[i];
    return NULL;
}

static bool is_near(const struct run *run)
{
    return run->done > 0 && run->network.first_byte_ns < 2 * NS_PER_MS;
}

static void begin(struct run *run, unsigned user)
{
    const struct network *network = &run->network;
    struct flight *flight = free_flight(run);
    uint64_t number = run->done + run->refused + run->in_flight;
    /* Requests do not go in step. */
    int64_t jitter_ns = network->first_byte_ns / 10 * (int64_t)(number * 7 % 11) / 11;

    assert_non_null(flight);
    run->own[user]++;
    run->in_flight++;
    *flight = (struct flight){.is_used = true,
                              .user = user,
                              .begun_ns = run->now_ns,
                              .bytes = run->request_bytes,
                              .left_bytes = (double)run->request_bytes};
    flight->is_refused = network->in_flight_max && run->in_flight > network->in_flight_max;
    flight->answer_ns = network->first_byte_ns + jitter_ns;
    if (network->tail && number % network->tail == network->tail - 1)
        flight->answer_ns *= 10;
    flight->begun = limiter_begin(&run->limiter, limiter_flow(run->request_bytes), false,
                                  is_near(run), run->now_ns);
}

static void end(struct run *run, struct flight *flight)
{
    struct limiter_end end = {
        .outcome = flight->is_refused ? LIMITER_REFUSED : LIMITER_WORKED,
        .now_ns = run->now_ns,
        .elapsed_ns = run->now_ns - flight->begun_ns,
        .first_byte_ns = flight->first_byte_ns,
        .least_ns = run->network.first_byte_ns,
        .bytes = flight->is_refused ? 0 : flight->bytes,
    };

    flight->is_used = false;
    run->in_flight--;
    run->own[flight->user]--;
    if (flight->is_refused) {
        run->refused++;
    } else {
        run->done++;
        run->done_by[flight->user]++;
        run->bytes += flight->bytes;
    }
    end.is_near = is_near(run);
    limiter_end(&run->limiter, &flight->begun, &end);
}

/* Those that wait for their turn longest are served first. */
static unsigned serve(struct run *run)
{
    unsigned served = 0, receiving = 0;

    for (unsigned i = 0; i < FLIGHTS; i++)
        served += run->flights[i].is_used && run->flights[i].is_served;
    for (;;) {
        struct flight *next = NULL;

        for (unsigned i = 0; i < FLIGHTS; i++) {
            struct flight *flight = &run->flights[i];

            if (flight->is_used && !flight->is_served &&
                (!next || flight->begun_ns < next->begun_ns))
                next = flight;
        }
        if (!next || (run->network.slots && served >= run->network.slots))
            break;
        next->is_served = true;
        next->answer_ns += run->now_ns;
        served++;
    }
    for (unsigned i = 0; i < FLIGHTS; i++) {
        struct flight *flight = &run->flights[i];

        receiving += flight->is_used && flight->is_served && run->now_ns >= flight->answer_ns;
    }
    return receiving;
}

static double connection_bytes(const struct run *run, unsigned receiving)
{
    const struct network *network = &run->network;
    double rate = network->connection_bytes_s ? (double)network->connection_bytes_s : 1e12;
    double shared = (double)network->shared_bytes_s;

    if (network->crowd && receiving > network->crowd)
        shared /= 1 + (receiving - network->crowd) / 20.0;
    if (network->shared_bytes_s && rate > shared / receiving)
        rate = shared / receiving;
    return rate * (double)STEP_NS / (double)NS_PER_S;
}

static void step(struct run *run)
{
    unsigned receiving = serve(run);
    double bytes = receiving ? connection_bytes(run, receiving) : 0;

    for (unsigned i = 0; i < FLIGHTS; i++) {
        struct flight *flight = &run->flights[i];

        if (!flight->is_used || !flight->is_served || run->now_ns < flight->answer_ns)
            continue;
        if (!flight->first_byte_ns)
            flight->first_byte_ns = run->now_ns - flight->begun_ns;
        flight->left_bytes -= bytes;
        if (flight->left_bytes <= 0 || flight->is_refused)
            end(run, flight);
    }
    for (unsigned user = 0; user < run->users; user++)
        while ((!run->wanted || run->own[user] < run->wanted) &&
               limiter_has_room(&run->limiter, limiter_flow(run->request_bytes), run->own[user]))
            begin(run, user);
    run->now_ns += STEP_NS;
}

static void run_for(struct run *run, int64_t time_ns)
{
    int64_t end_ns = run->now_ns + time_ns;

    while (run->now_ns < end_ns)
        step(run);
}

/* In bytes a second. */
static double speed_over(struct run *run, int64_t time_ns)
{
    uint64_t before = run->bytes;

    run_for(run, time_ns);
    return (double)(run->bytes - before) * (double)NS_PER_S / (double)time_ns;
}

static unsigned target(const struct run *run)
{
    return limiter_target(&run->limiter, limiter_flow(run->request_bytes));
}

/* ---- networks -------------------------------------------------------------------------------- */

static const struct network cloud = {
    .first_byte_ns = 30 * NS_PER_MS, .connection_bytes_s = 90 * MB, .tail = 100};

static void test_each_connection_brings_more(void **state)
{
    struct run run;

    run_init(&run, &cloud, REQUEST);
    run_for(&run, 2 * NS_PER_S);
    assert_int_equal(target(&run), LIMITER_LONG_MAX);
    run_for(&run, 30 * NS_PER_S);
    assert_true(target(&run) >= 48);
}

static void test_short_ones_rise_within_some_round_trips(void **state)
{
    struct run run;

    run_init(&run, &cloud, 100000);
    run_for(&run, NS_PER_S);
    assert_true(target(&run) >= 96);
    run_for(&run, 30 * NS_PER_S);
    assert_true(target(&run) >= 80);
}

static void test_a_shared_bottleneck_needs_no_more_than_fills_it(void **state)
{
    struct network network = {.first_byte_ns = 30 * NS_PER_MS,
                              .connection_bytes_s = 90 * MB,
                              .shared_bytes_s = 900 * MB}; /* 10 connections, and those that wait */
    struct run run;

    run_init(&run, &network, REQUEST);
    run_for(&run, 2 * NS_PER_S);
    assert_in_range(target(&run), 10, 32);
    run_for(&run, 60 * NS_PER_S);
    assert_in_range(target(&run), 9, 20);
    assert_true(speed_over(&run, 30 * NS_PER_S) > 0.88 * 900e6);
}

static void test_a_near_one_needs_few(void **state)
{
    struct network network = {.first_byte_ns = NEAR_FIRST,
                              .connection_bytes_s = 2200 * MB,
                              .shared_bytes_s = 5000 * MB,
                              .crowd = 3};
    struct run run;

    run_init(&run, &network, 8 * MIB);
    run_for(&run, 2 * NS_PER_S);
    assert_in_range(target(&run), 2, 4);
    run_for(&run, 30 * NS_PER_S);
    assert_in_range(target(&run), 2, 4);
}

/* Disks behind a store in the same room. */
static void test_a_near_one_may_need_many(void **state)
{
    struct network network = {.first_byte_ns = NEAR_FIRST, .connection_bytes_s = 100 * MB};
    struct run run;

    run_init(&run, &network, 2 * MIB);
    run_for(&run, 3 * NS_PER_S);
    assert_true(target(&run) >= 32);
}

static void test_answers_that_wait_bring_nothing(void **state)
{
    struct network network = {
        .first_byte_ns = 20 * NS_PER_MS, .connection_bytes_s = 100 * MB, .slots = 24};
    struct run run;

    run_init(&run, &network, 100000);
    limiter_expect(&run.limiter, 100000, 100000, 0); /* 128, by the table: too many here */
    run_for(&run, 30 * NS_PER_S);
    assert_in_range(target(&run), 20, 36);
}

static void check_throttled(uint64_t request_bytes)
{
    struct network network = {
        .first_byte_ns = 30 * NS_PER_MS, .connection_bytes_s = 90 * MB, .in_flight_max = 40};
    double full_s = 40 / (0.0315 + (double)request_bytes / 90e6); /* requests a second */
    struct run run;
    uint64_t before;

    run_init(&run, &network, request_bytes);
    run_for(&run, 30 * NS_PER_S);
    before = run.done;
    run_for(&run, 60 * NS_PER_S);
    assert_true((double)(run.done - before) > 0.75 * 60 * full_s);
    assert_true(run.refused * 50 < run.done);
    assert_true(run.refused > 0);
}

static void test_what_is_refused_is_avoided(void **state)
{
    check_throttled(REQUEST);
    check_throttled(100000);
}

static void test_it_halves_once_for_all_that_are_refused(void **state)
{
    struct run run;
    unsigned before;

    run_init(&run, &cloud, REQUEST);
    run_for(&run, 3 * NS_PER_S);
    before = target(&run);
    run.network.in_flight_max = 1;
    while (!run.refused)
        step(&run);
    run_for(&run, 30 * NS_PER_MS); /* all that were under way when the first was refused */
    assert_in_range(target(&run), before / 2 - 1, before / 2);
}

static void test_it_follows_a_network_that_changes(void **state)
{
    struct run run;

    run_init(&run, &cloud, REQUEST);
    run.network.shared_bytes_s = 500 * MB;
    run_for(&run, 20 * NS_PER_S);
    assert_in_range(target(&run), 5, 20);
    run.network.shared_bytes_s = 0;
    run_for(&run, 20 * NS_PER_S);
    assert_true(target(&run) >= 40);
    run.network.shared_bytes_s = 500 * MB;
    run_for(&run, 60 * NS_PER_S);
    assert_true(target(&run) <= 32);
    assert_true(speed_over(&run, 10 * NS_PER_S) > 0.88 * 500e6);
}

/* ---- who asks -------------------------------------------------------------------------------- */

static void test_a_level_that_is_not_used_is_not_judged(void **state)
{
    struct run run;

    run_init(&run, &cloud, REQUEST);
    run.wanted = 3;
    run_for(&run, 20 * NS_PER_S);
    assert_int_equal(target(&run), 16);
    run.wanted = 0;
    run_for(&run, 3 * NS_PER_S);
    assert_true(target(&run) >= 48);
}

/* Ranges grow while a stream begins: that must not make the first level wait for others of its size. */
static void test_growing_ranges(void **state)
{
    static const struct network slow = {.first_byte_ns = 100 * NS_PER_MS,
                                        .connection_bytes_s = 10 * MB};
    struct run run;

    run_init(&run, &slow, MIB);
    limiter_expect(&run.limiter, 512 * MIB, 512, 0);
    run_for(&run, 300 * NS_PER_MS);
    run.request_bytes = 4 * MIB;
    run_for(&run, 300 * NS_PER_MS);
    assert_int_equal(target(&run), 32);
    run.request_bytes = 8 * MIB;
    run_for(&run, 600 * NS_PER_MS); /* those of 4 MiB have come */
    assert_int_equal(target(&run), 64);
}

static void test_the_table_of_beginnings(void **state)
{
    static const struct {
        uint64_t object_bytes, count;
        bool is_local;
        unsigned expected;
        int64_t least_ns;
    } rows[] = {
        {100 * 1000, 1000, false, 128, 0}, {100 * 1000, 50, false, 50, 0},
        {50 * MB, 1000, false, 64, 0},     {50 * MB, 24, false, 24, 0},
        {MB * 200, 1000, false, 32, 0},    {MB * 200, 1000, false, 32, 30 * NS_PER_MS},
        {MB * 200, 5, false, 5, 0},        {MB * 200, 1000, false, 64, 100 * NS_PER_MS},
        {MB * 5, 1000, true, 32, 0},       {MB * 50, 1000, true, 16, 0},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limiter_options options = {
            .connections_max = 400, .near_long = 2, .is_local = rows[i].is_local};
        enum limiter_flow flow = limiter_flow(rows[i].object_bytes);
        struct limiter limiter;

        limiter_init(&limiter, &options);
        limiter_expect(&limiter, rows[i].object_bytes, rows[i].count, rows[i].least_ns);
        assert_int_equal(limiter.flows[flow].goal, rows[i].expected);
        assert_true(limiter_target(&limiter, flow) <= 16);
    }
}

static void test_what_was_set_wins(void **state)
{
    struct limiter_options options = {.fixed = 5, .connections_max = 400, .near_long = 2};
    struct run run;

    run_init(&run, &cloud, REQUEST);
    limiter_init(&run.limiter, &options);
    limiter_set_fellows(&run.limiter, 4);
    run.users = 2;
    limiter_join(&run.limiter);
    limiter_join(&run.limiter);
    run_for(&run, 5 * NS_PER_S);
    assert_int_equal(target(&run), 5);
    assert_int_equal(run.own[0], 5); /* each object's */
    assert_int_equal(run.own[1], 5);
}

static void test_connections_limit_it(void **state)
{
    struct limiter_options options = {.connections_max = 10, .near_long = 2};
    struct run run;

    run_init(&run, &cloud, REQUEST);
    limiter_init(&run.limiter, &options);
    run_for(&run, 5 * NS_PER_S);
    assert_in_range(target(&run), 8, 10); /* 8: it tries fewer */
}

static void test_users_have_shares(void **state)
{
    struct run run;

    run_init(&run, &cloud, REQUEST);
    run.users = USERS;
    for (unsigned i = 0; i < USERS; i++)
        limiter_join(&run.limiter);
    run_for(&run, 20 * NS_PER_S);
    for (unsigned i = 0; i < USERS; i++)
        assert_true(run.done_by[i] * USERS * 10 > run.done * 7);
    for (unsigned i = 1; i < USERS; i++)
        limiter_leave(&run.limiter);
    assert_int_equal(limiter_share(&run.limiter, LIMITER_LONG), target(&run));
}

static void test_one_user_takes_what_others_leave(void **state)
{
    struct run run;

    run_init(&run, &cloud, REQUEST);
    limiter_join(&run.limiter);
    limiter_join(&run.limiter); /* idle */
    run_for(&run, 10 * NS_PER_S);
    assert_true(run.own[0] * 4 >= target(&run) * 3);
}

static void test_guesses_are_in_nobodys_way(void **state)
{
    struct limiter_options options = {.connections_max = 400, .near_long = 2};
    struct limiter_begun begun;
    struct limiter limiter;
    unsigned count = 0;

    limiter_init(&limiter, &options);
    while (limiter_has_room_for_guess(&limiter, LIMITER_SHORT)) {
        begun = limiter_begin(&limiter, LIMITER_SHORT, true, false, NS_PER_S);
        count++;
    }
    assert_int_equal(count, 16);
    for (count = 0; limiter_has_room(&limiter, LIMITER_SHORT, count); count++)
        begun = limiter_begin(&limiter, LIMITER_SHORT, false, false, NS_PER_S);
    assert_int_equal(count, 16);
    assert_false(limiter_has_room_for_guess(&limiter, LIMITER_SHORT));
    assert_true(limiter_has_room(&limiter, LIMITER_SHORT, 0)); /* the first always */
    limiter_end(&limiter, &begun, &(struct limiter_end){.outcome = LIMITER_UNKNOWN});
    assert_true(limiter_has_room(&limiter, LIMITER_SHORT, 15));
}

static void test_processes_divide_it(void **state)
{
    struct run run;
    unsigned before;

    run_init(&run, &cloud, REQUEST);
    run_for(&run, 3 * NS_PER_S);
    before = run.limiter.flows[LIMITER_LONG].base;
    assert_in_range(before, 48, LIMITER_LONG_MAX);
    limiter_set_fellows(&run.limiter, 4);
    assert_int_equal(target(&run), before / 4);
    run_for(&run, 20 * NS_PER_S);
    assert_in_range(target(&run), 12, 16);
    limiter_set_fellows(&run.limiter, 1);
    run_for(&run, 20 * NS_PER_S);
    assert_true(target(&run) >= 48);
    limiter_set_fellows(&run.limiter, 1000);
    assert_in_range(target(&run), 1, 2);
}

static void test_a_child_begins_with_nothing_under_way(void **state)
{
    struct run run;

    run_init(&run, &cloud, REQUEST);
    limiter_join(&run.limiter);
    run_for(&run, 3 * NS_PER_S);
    limiter_reset_child(&run.limiter);
    assert_int_equal(run.limiter.flows[LIMITER_LONG].in_flight, 0);
    assert_int_equal(run.limiter.users, 0);
    assert_true(target(&run) >= 48);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_connection_brings_more),
        cmocka_unit_test(test_short_ones_rise_within_some_round_trips),
        cmocka_unit_test(test_a_shared_bottleneck_needs_no_more_than_fills_it),
        cmocka_unit_test(test_a_near_one_needs_few),
        cmocka_unit_test(test_a_near_one_may_need_many),
        cmocka_unit_test(test_answers_that_wait_bring_nothing),
        cmocka_unit_test(test_what_is_refused_is_avoided),
        cmocka_unit_test(test_it_halves_once_for_all_that_are_refused),
        cmocka_unit_test(test_it_follows_a_network_that_changes),
        cmocka_unit_test(test_a_level_that_is_not_used_is_not_judged),
        cmocka_unit_test(test_growing_ranges),
        cmocka_unit_test(test_the_table_of_beginnings),
        cmocka_unit_test(test_what_was_set_wins),
        cmocka_unit_test(test_connections_limit_it),
        cmocka_unit_test(test_users_have_shares),
        cmocka_unit_test(test_one_user_takes_what_others_leave),
        cmocka_unit_test(test_guesses_are_in_nobodys_way),
        cmocka_unit_test(test_processes_divide_it),
        cmocka_unit_test(test_a_child_begins_with_nothing_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
