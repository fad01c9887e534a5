/* Look-ups and pages of listings that are asked for twice because their answer is late: which answer
 * counts, and what is left alone. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
    atomic_store(&engine_endpoint(core_run_engine(), core_run_store())->latency.hedges, 1000);
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

    atomic_store(&engine_endpoint(core_run_engine(), core_run_store())->latency.hedges, 0);
    core_run_faults(USUAL "op=HeadObject nth=1 count=1 delay=300");
    assert_int_equal(look_up(B "object", &attr), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, learn, forget)
        TEST(a_late_look_is_asked_for_twice),       TEST(what_is_not_there_is_an_answer),
        TEST(a_late_page_is_asked_for_twice),       TEST(a_second_one_that_fails_does_no_harm),
        TEST(a_first_that_fails_is_repeated),       TEST(without_one_to_spare_it_is_waited_for),
        TEST(a_caller_who_gives_up_leaves_neither),
    };

    return cmocka_run_group_tests(tests, make_objects, NULL);
}
