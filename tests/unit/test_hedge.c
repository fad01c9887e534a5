/* Reads that are asked for twice because the answer is late (core/latency.h, fetch_want), or stands still: which
 * answer counts, how many there are, and that every byte is right. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define URI     "fault://hedge/object"
#define BYTES   ((size_t)4 << 20)
#define BLOCK   ((size_t)100000)
#define SOON    "op=GetObject delay=2; "
#define LATE    "op=GetObject nth=1 count=1 delay=3000; "
#define LATE_NS NS_PER_S /* far less than one that is late, far more than two that are not */

static struct s3dlio_reader *reader;

static int make_object(void **state)
{
    core_run_set_option("S3DLIO_PREFETCH=0");
    core_run_set_option("S3DLIO_HEDGE_PERCENT=5");
    core_run_make_bucket("hedge");
    core_run_put(URI, BYTES);
    return 0;
}

static uint64_t counter(enum stats_counter which)
{
    return stats_read(&engine_stats(core_run_engine())->counters[which]);
}

/* A piece in no order, so that each read is one request. */
static void read_piece(unsigned number)
{
    unsigned char *buffer = malloc(BLOCK);
    struct s3dlio_error error;
    uint64_t at = (uint64_t)number * 17 % 40 * BLOCK;
    ssize_t n = s3dlio_reader_pread(reader, buffer, BLOCK, at, NULL, &error);

    core_run_must(n, &error);
    assert_int_equal(n, BLOCK);
    core_run_check(buffer, BLOCK, at);
    free(buffer);
}

/* Enough answers to know what is late, and to have saved up a few hedges. */
static int set_up(void **state)
{
    core_run_faults(SOON);
    reader = core_run_open_reader(URI);
    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_RANDOM);
    for (unsigned i = 0; i < 60; i++)
        read_piece(i);
    core_run_reset_counts();
    return 0;
}

static int tear_down(void **state)
{
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    return 0;
}

static void a_late_answer_is_not_waited_for(void **state)
{
    uint64_t sent = counter(STATS_HEDGES_SENT), won = counter(STATS_HEDGES_WON);
    int64_t began_ns = clock_now_ns();

    core_run_faults(NULL);
    core_run_faults(SOON LATE);
    read_piece(7);
    assert_in_range(clock_now_ns() - began_ns, 0, LATE_NS);
    assert_int_equal(counter(STATS_HEDGES_SENT) - sent, 1);
    assert_int_equal(counter(STATS_HEDGES_WON) - won, 1);
    assert_int_equal(core_run_count(STORE_GET), 2);
    read_piece(8);
}

/* The second fails, or is as late: the first answer counts. */
static void a_hedge_that_fails_does_no_harm(void **state)
{
    uint64_t won = counter(STATS_HEDGES_WON);

    core_run_faults(NULL);
    core_run_faults(
        "op=GetObject nth=1 count=1 delay=200; op=GetObject nth=2 count=1 fail=server; ");
    read_piece(9);
    assert_int_equal(counter(STATS_HEDGES_WON), won);
    assert_int_equal(core_run_count(STORE_GET), 2);
}

/* The first has failed meanwhile: it is repeated as ever. */
static void a_first_that_fails_is_repeated(void **state)
{
    core_run_faults(NULL);
    core_run_faults(
        "op=GetObject nth=1 count=1 delay=100 fail=server; op=GetObject nth=2 count=1 delay=3000; ");
    read_piece(10);
    assert_in_range(core_run_count(STORE_GET), 2, 3);
}

/* What the second one leaves off in the middle is gone on with. */
static void a_hedge_that_breaks_off_is_resumed(void **state)
{
    core_run_faults(NULL);
    core_run_faults(LATE "op=GetObject nth=2 count=1 truncate after=30000; ");
    read_piece(11);
    assert_int_equal(core_run_count(STORE_GET), 3);
}

/* Between the two the object was replaced: the first had found the version that is open. */
static void a_hedge_that_finds_another_version_does_no_harm(void **state)
{
    core_run_faults(NULL);
    core_run_faults("op=GetObject nth=1 count=1 delay=200; op=GetObject nth=2 count=1 changed; ");
    read_piece(12);
    assert_int_equal(core_run_count(STORE_GET), 2);
}

/* A body that begins in time and then stands still is left; what it lacks is asked for anew. */
static void a_body_that_stands_still_is_left(void **state)
{
    core_run_faults(NULL);
    core_run_faults(SOON "op=GetObject nth=1 count=1 after=30000 pause=60000; ");
    read_piece(13);
    assert_int_equal(core_run_count(STORE_GET), 2);
}

/* The one that goes on in its place stands still, too. */
static void bodies_that_stand_still_one_after_another(void **state)
{
    core_run_faults(NULL);
    core_run_faults(SOON "op=GetObject nth=1 count=2 after=30000 pause=60000; ");
    read_piece(14);
    assert_int_equal(core_run_count(STORE_GET), 3);
}

/* Whoever has sent a second one already gives up both. */
static void neither_of_two_answers(void **state)
{
    core_run_faults(NULL);
    core_run_faults(SOON "op=GetObject nth=1 count=2 delay=60000; ");
    read_piece(15);
    assert_in_range(core_run_count(STORE_GET), 3, 4);
}

/* As many were sent twice as may be: it comes when it comes. */
static void without_a_hedge_to_spare_it_is_waited_for(void **state)
{
    struct endpoint *endpoint = engine_endpoint(core_run_engine(), core_run_store());

    core_run_faults(NULL);
    core_run_faults(SOON "op=GetObject nth=1 count=1 after=30000 pause=1200; ");
    atomic_store(&endpoint->latency.hedges, 0);
    read_piece(17);
    assert_int_equal(core_run_count(STORE_GET), 1);
}

static void a_short_pause_is_waited_for(void **state)
{
    core_run_faults(NULL);
    core_run_faults(SOON "op=GetObject nth=1 count=1 after=30000 pause=100; ");
    read_piece(16);
    assert_int_equal(core_run_count(STORE_GET), 1);
}

static void few_are_hedged(void **state)
{
    uint64_t sent = counter(STATS_HEDGES_SENT), hedges;

    core_run_faults(NULL);
    core_run_faults("op=GetObject delay=1; op=GetObject p=50 delay=40; seed=5");
    core_run_reset_counts();
    for (unsigned i = 0; i < 200; i++)
        read_piece(i);
    hedges = counter(STATS_HEDGES_SENT) - sent;
    assert_in_range(hedges, 1, LATENCY_HEDGES_MAX + 200 / 20 + 1);
}

static void what_is_late_follows_the_store(void **state)
{
    struct latency latency;
    int64_t late_ns;

    latency_init(&latency, 5);
    assert_int_equal(latency_late_ns(&latency), 0);
    for (unsigned i = 0; i < 2000; i++)
        latency_on_first_byte(&latency, (20 + i % 20) * NS_PER_MS, 0);
    late_ns = latency_late_ns(&latency); /* 19 of 20 are below 39 ms */
    assert_in_range(late_ns, 35 * NS_PER_MS, 43 * NS_PER_MS);
    for (unsigned i = 0; i < 4000; i++)
        latency_on_first_byte(&latency, (100 + i % 20) * NS_PER_MS, 0);
    late_ns = latency_late_ns(&latency);
    assert_in_range(late_ns, 112 * NS_PER_MS, 130 * NS_PER_MS);
    for (unsigned i = 0; i < 4000; i++)
        latency_on_first_byte(&latency, NS_PER_MS / 2, 0);
    assert_int_equal(latency_late_ns(&latency), LATENCY_LATE_MIN_NS);
    for (unsigned i = 0; i < LATENCY_HEDGES_MAX; i++)
        assert_true(latency_may_hedge(&latency, LATENCY_BYTES));
    assert_false(latency_may_hedge(&latency, LATENCY_BYTES));
    latency_init(&latency, 0);
    for (unsigned i = 0; i < 100; i++)
        latency_on_first_byte(&latency, NS_PER_MS, 0);
    assert_int_equal(latency_late_ns(&latency), 0); /* switched off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_late_answer_is_not_waited_for),
        TEST(a_hedge_that_fails_does_no_harm),
        TEST(a_first_that_fails_is_repeated),
        TEST(a_hedge_that_breaks_off_is_resumed),
        TEST(a_hedge_that_finds_another_version_does_no_harm),
        TEST(a_body_that_stands_still_is_left),
        TEST(bodies_that_stand_still_one_after_another),
        TEST(neither_of_two_answers),
        TEST(without_a_hedge_to_spare_it_is_waited_for),
        TEST(a_short_pause_is_waited_for),
        TEST(few_are_hedged),
        cmocka_unit_test(what_is_late_follows_the_store),
    };

    return cmocka_run_group_tests(tests, make_object, NULL);
}
