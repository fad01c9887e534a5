/* How far a sequential reader reads ahead of a range that is late, how many ranges it has under way,
 * and what becomes of an answer that is late before anybody waits for it. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

#define URI    "fault://window/object"
#define BYTES  (32 * MIB)
#define PART   (512 * KIB) /* what is shorter is let come in when nobody wants it any more */
#define FLIGHT 4u
#define FAR    "op=GetObject delay=4; " /* ms */
#define NEVER  "120000"

#define SHORT_URI   "fault://window/short"
#define LAST_BYTES  (64 * KIB) /* behind what an open asks for */
#define SHORT_BYTES (256 * KIB + LAST_BYTES)

static struct s3dlio_reader *reader;
static unsigned char buffer[PART];

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_PREFETCH=0");
    core_run_set_option("S3DLIO_GET_PART_SIZE=512K");
    core_run_set_option("S3DLIO_GET_INFLIGHT=4");
    core_run_set_option("S3DLIO_HEDGE_PERCENT=5");
    core_run_faults("op=* delay=4"); /* no answer says that the store is near */
    core_run_make_bucket("window");
    core_run_put(URI, BYTES);
    return 0;
}

static int tear_down(void **state)
{
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    return 0;
}

static ssize_t read_part(uint64_t at, unsigned timeout_ms)
{
    struct s3dlio_call call = {.timeout_ms = timeout_ms};
    struct s3dlio_error error;
    ssize_t n = s3dlio_reader_pread(reader, buffer, PART, at, &call, &error);

    if (n > 0)
        core_run_check(buffer, (size_t)n, at);
    return n;
}

/* As far as requests get with `rules`; where the reading ended. */
static uint64_t read_until_stuck(const char *rules, unsigned patience_ms)
{
    uint64_t at = 0;

    core_run_faults(FAR);
    reader = core_run_open_reader(URI);
    core_run_reset_counts();
    core_run_faults(NULL);
    core_run_faults(rules);
    while (at < BYTES && read_part(at, patience_ms) == (ssize_t)PART)
        at += PART;
    return at;
}

static void behind_a_late_one_others_are_fetched(void **state)
{
    uint64_t at = read_until_stuck(FAR "op=GetObject nth=20 count=2 delay=" NEVER, 700);

    /* Those before it, itself (and once more, for it is hedged), and the rest of twice the flight. */
    assert_in_range(at, PART, BYTES - PART);
    assert_in_range(core_run_count(STORE_GET), at / PART + 2 * FLIGHT, at / PART + 2 * FLIGHT + 2);
}

static void no_more_are_under_way_than_were_set(void **state)
{
    uint64_t at = read_until_stuck(FAR "op=GetObject nth=20 delay=" NEVER, 700);

    assert_in_range(at, PART, BYTES - PART);
    assert_in_range(core_run_count(STORE_GET), 19 + FLIGHT, 19 + FLIGHT + 1);
}

/* Two ranges are late, and one that is there as soon as it is asked for has others asked for. When
 * that happens depends on how the window grows: each one is tried. */
static void no_more_are_when_one_is_there_at_once(void **state)
{
    struct endpoint *endpoint = engine_endpoint(core_run_engine(), core_run_store());
    char rules[256];

    for (unsigned late = 3; late < 7; late++) {
        for (unsigned at_once = late + 2; at_once < late + 5; at_once++) {
            atomic_store(&endpoint->latency.hedges, 0);
            snprintf(rules, sizeof rules,
                     "op=GetObject count=%u delay=4; op=GetObject nth=%u count=2 delay=" NEVER
                     "; op=GetObject nth=%u delay=" NEVER,
                     at_once - 1, late, at_once + 1);
            read_until_stuck(rules, 100);
            assert_in_range(core_run_reads_under_way(), 1, FLIGHT);
            s3dlio_reader_close(reader);
            reader = NULL;
        }
    }
}

static uint64_t count_of(enum stats_counter which)
{
    return stats_read(&engine_stats(core_run_engine())->counters[which]);
}

/* The answer was on its way when the program closed. */
static void what_arrives_after_a_close_is_wasted(void **state)
{
    uint64_t wasted = count_of(STATS_AHEAD_WASTED), used = count_of(STATS_AHEAD_USED);
    uint64_t received = count_of(STATS_BYTES_RECEIVED);
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    struct s3dlio_error error;

    core_run_faults("op=GetObject nth=2 delay=60");
    core_run_put(SHORT_URI, SHORT_BYTES);
    reader = core_run_open_reader(SHORT_URI);
    for (uint64_t at = 0; at < SHORT_BYTES - LAST_BYTES; at += LAST_BYTES)
        core_run_must(s3dlio_reader_pread(reader, buffer, LAST_BYTES, at, NULL, &error), &error);
    assert_int_equal(core_run_reads_under_way(), 1);
    s3dlio_reader_close(reader);
    reader = NULL;
    assert_int_equal(count_of(STATS_AHEAD_WASTED) - wasted, 0); /* nothing came yet */
    while (count_of(STATS_AHEAD_WASTED) - wasted < LAST_BYTES && clock_now_ns() < until_ns)
        usleep(500);
    assert_int_equal(count_of(STATS_BYTES_RECEIVED) - received, SHORT_BYTES);
    assert_int_equal(count_of(STATS_AHEAD_USED) - used, SHORT_BYTES - LAST_BYTES);
    assert_int_equal(count_of(STATS_AHEAD_WASTED) - wasted, LAST_BYTES);
}

/* The program does something else meanwhile. */
static void a_late_one_is_asked_for_twice_before_it_is_waited_for(void **state)
{
    struct endpoint *endpoint = engine_endpoint(core_run_engine(), core_run_store());
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    uint64_t at;

    core_run_faults(FAR);
    reader = core_run_open_reader(URI);
    for (at = 0; at < BYTES / 2; at += PART) /* enough to know what is late */
        assert_int_equal(read_part(at, 10000), PART);
    atomic_store(&endpoint->latency.hedges, 1000);
    core_run_reset_counts();
    core_run_faults(NULL);
    core_run_faults(FAR "op=GetObject nth=1 count=1 delay=" NEVER);
    for (; core_run_count(STORE_GET) == 0 && at < BYTES; at += PART)
        assert_int_equal(read_part(at, 10000), PART); /* until one is sent, which is far ahead */
    while (core_run_reads_under_way() > 0 && clock_now_ns() < until_ns)
        usleep(1000);
    assert_int_equal(core_run_reads_under_way(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, core_run_clear, tear_down)
        TEST(behind_a_late_one_others_are_fetched),
        TEST(no_more_are_under_way_than_were_set),
        TEST(no_more_are_when_one_is_there_at_once),
        TEST(what_arrives_after_a_close_is_wasted),
        TEST(a_late_one_is_asked_for_twice_before_it_is_waited_for),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
