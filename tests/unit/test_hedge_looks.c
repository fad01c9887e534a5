/* Look-ups and pages of listings that are asked for twice because their answer is late: which answer
 * counts, and what is left alone. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "core/call.h"

#define B      "fault://looks/"
#define NAMES  20u
#define NEVER  "60000" /* ms: longer than any call here */
#define LIMIT  5000u
#define USUAL  "op=* delay=3; "
#define ROUNDS 12u /* enough to know what is usual, and to have saved up a few */

static uint64_t won(void)
{
    return stats_read(&engine_stats(core_run_engine())->counters[STATS_HEDGES_WON]);
}

static struct latency *latency(void)
{
    return &engine_endpoint(core_run_engine(), core_run_store())->latency;
}

static int look_up(const char *uri, struct s3dlio_attr *ret_attr)
{
    struct s3dlio_call call = {.timeout_ms = LIMIT};

    return s3dlio_stat(uri, &call, ret_attr, NULL);
}

/* How many entries there are, or -errno; they ascend. */
static int list_all(void)
{
    struct s3dlio_call call = {.timeout_ms = LIMIT};
    struct s3dlio_entry entry;
    struct s3dlio_list *list;
    char last[64] = "";
    int count = 0, r = s3dlio_list_open(B "many/", 0, &call, &list, NULL);

    if (r < 0)
        return r;
    while ((r = s3dlio_list_next(list, &entry, NULL)) > 0) {
        assert_true(strcmp(entry.name, last) > 0);
        snprintf(last, sizeof last, "%s", entry.name);
        count++;
    }
    s3dlio_list_close(list);
    return r < 0 ? r : count;
}

static int make_objects(void **state)
{
    char uri[64];

    core_run_set_option("S3DLIO_PREFETCH=0");
    core_run_set_option("S3DLIO_HEDGE_PERCENT=5");
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_make_bucket("looks");
    core_run_put(B "object", 4321);
    for (unsigned i = 0; i < NAMES; i++) {
        snprintf(uri, sizeof uri, B "many/%02u", i);
        core_run_put_text(uri, "x");
    }
    return 0;
}

/* What is usual is known. */
static int learn(void **state)
{
    struct s3dlio_attr attr;

    core_run_clear(state);
    core_run_faults(USUAL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(look_up(B "object", &attr), 0);
        assert_int_equal(list_all(), NAMES);
    }
    atomic_store(&latency()->hedges, 1000);
    core_run_faults(NULL);
    core_run_reset_counts();
    return 0;
}

static int forget(void **state)
{
    core_run_faults(NULL);
    return 0;
}

static void a_late_look_is_asked_for_twice(void **state)
{
    uint64_t before = won();
    struct s3dlio_attr attr;

    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=" NEVER);
    assert_int_equal(look_up(B "object", &attr), 0);
    assert_int_equal(attr.size_bytes, 4321);
    assert_int_equal(core_run_count(STORE_HEAD), 2);
    assert_int_equal(won(), before + 1);
}

static void what_is_not_there_is_an_answer(void **state)
{
    uint64_t before = won();
    struct core_run_scope scope;
    struct error error;
    struct call *call;
    struct uri uri;

    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=" NEVER);
    assert_int_equal(uri_parse(B "nothing", &uri), 0);
    core_run_enter(&scope);
    call = call_new(core_run_engine(), STORE_HEAD, &uri, &scope.limits, &error);
    assert_int_equal(call_run(call, &scope.limits, &error), -ENOENT);
    call_delete(call);
    core_run_leave(&scope);
    assert_int_equal(won(), before + 1);
}

static void a_late_page_is_asked_for_twice(void **state)
{
    uint64_t before = won();

    core_run_faults(USUAL "op=ListObjects nth=1 count=1 delay=" NEVER);
    assert_int_equal(list_all(), NAMES);
    assert_int_equal(won(), before + 1);
}

/* The first has the word then. */
static void a_second_one_that_fails_does_no_harm(void **state)
{
    uint64_t before = won();
    struct s3dlio_attr attr;

    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=300; "
                          "op=HeadObject nth=2 count=1 fail=server; ");
    assert_int_equal(look_up(B "object", &attr), 0);
    assert_int_equal(attr.size_bytes, 4321);
    core_run_faults(NULL);
    core_run_faults(USUAL "op=ListObjects nth=1 count=1 delay=300; "
                          "op=ListObjects nth=2 count=1 fail=server; ");
    assert_int_equal(list_all(), NAMES);
    assert_int_equal(won(), before);
}

static void a_first_that_fails_is_repeated(void **state)
{
    struct s3dlio_attr attr;

    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=200 fail=server; "
                          "op=HeadObject nth=2 count=1 delay=" NEVER);
    assert_int_equal(look_up(B "object", &attr), 0);
    assert_int_equal(attr.size_bytes, 4321);
}

static void without_one_to_spare_it_is_waited_for(void **state)
{
    struct s3dlio_attr attr;

    atomic_store(&latency()->tails[LATENCY_LOOKS].answers, LATENCY_ANSWERS_FEW);
    atomic_store(&latency()->hedges, 0);
    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=300");
    assert_int_equal(look_up(B "object", &attr), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
}

/* A program of a dozen requests has its late one, too. */
static void among_few_one_comes_before_it_is_saved_up(void **state)
{
    struct s3dlio_attr attr;

    atomic_store(&latency()->tails[LATENCY_LOOKS].answers, LATENCY_ANSWERS_MIN);
    atomic_store(&latency()->hedges, 0);
    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=" NEVER);
    assert_int_equal(look_up(B "object", &attr), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 2);
}

/* Nobody is left waiting, and nothing under way. */
static void a_caller_who_gives_up_leaves_neither(void **state)
{
    struct s3dlio_call call = {.timeout_ms = 300};
    struct s3dlio_attr attr;

    core_run_faults("op=HeadObject delay=" NEVER);
    assert_true(s3dlio_stat(B "object", &call, &attr, NULL) < 0);
    assert_int_equal(core_run_count(STORE_HEAD), 2);
    assert_int_equal(core_run_reads_under_way(), 0);
}

static void the_fourth_may_be_late(void **state)
{
    struct latency few;

    latency_init(&few, 5);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(latency_late_ns(&few), 0);
        assert_int_equal(latency_look_late_ns(&few, LATENCY_PAGES), 0);
        latency_on_look(&few, LATENCY_PAGES, 30 * NS_PER_MS);
        latency_on_first_byte(&few, 30 * NS_PER_MS, 0);
    }
    assert_in_range(latency_late_ns(&few), 80 * NS_PER_MS, 90 * NS_PER_MS);
    assert_in_range(latency_look_late_ns(&few, LATENCY_PAGES), 80 * NS_PER_MS, 90 * NS_PER_MS);
    assert_int_equal(latency_look_late_ns(&few, LATENCY_LOOKS), 0);
    assert_true(latency_may_hedge(&few, LATENCY_PAGES));
    assert_false(latency_may_hedge(&few, LATENCY_BYTES));
    latency_init(&few, 5); /* a near store, of which a busy machine is the slow part */
    for (unsigned i = 0; i < LATENCY_ANSWERS_FEW - 1; i++)
        latency_on_look(&few, LATENCY_PAGES, NS_PER_MS);
    assert_int_equal(latency_look_late_ns(&few, LATENCY_PAGES), LATENCY_GUESS_MIN_NS);
    latency_on_look(&few, LATENCY_PAGES, NS_PER_MS);
    assert_int_equal(latency_look_late_ns(&few, LATENCY_PAGES), 2 * LATENCY_LATE_MIN_NS);
}

/* What came too early is paid back: of n requests, n ≥ 20, 5 % stay 5 %. */
static void one_that_was_borrowed_is_paid_back(void **state)
{
    struct latency latency;
    unsigned hedged = 0;

    latency_init(&latency, 5);
    for (unsigned i = 1; i <= 400; i++) {
        latency_on_first_byte(&latency, 30 * NS_PER_MS, 0);
        hedged += latency_may_hedge(&latency, LATENCY_BYTES);
        assert_true(hedged <= (i < 20 ? 1 : i / 20));
    }
    assert_int_equal(hedged, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, learn, forget)
        TEST(a_late_look_is_asked_for_twice),       TEST(what_is_not_there_is_an_answer),
        TEST(a_late_page_is_asked_for_twice),       TEST(a_second_one_that_fails_does_no_harm),
        TEST(a_first_that_fails_is_repeated),       TEST(without_one_to_spare_it_is_waited_for),
        TEST(among_few_one_comes_before_it_is_saved_up),
        TEST(a_caller_who_gives_up_leaves_neither),
        cmocka_unit_test(the_fourth_may_be_late),
        cmocka_unit_test(one_that_was_borrowed_is_paid_back),
    };

    return cmocka_run_group_tests(tests, make_objects, NULL);
}
