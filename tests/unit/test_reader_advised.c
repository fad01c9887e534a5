/* Advice of regions that are going to be needed: they are held apart from each other and from the
 * stream, taken by whatever reads them, bounded, and never asked for twice. */
#include "core_run.h"
#include "sanitizer.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

#define URI    "fault://advised/object"
#define BYTES  (48 * MIB)
#define PART   (512 * KIB)
#define FLIGHT 8u
#define AHEAD  (FLIGHT - FLIGHT / 4)    /* what advice has under way */
#define FAR    "op=GetObject delay=4; " /* ms */
#define NEVER  "120000"

static struct s3dlio_reader *reader;

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_PREFETCH=0");
    core_run_set_option("S3DLIO_GET_PART_SIZE=512K");
    core_run_set_option("S3DLIO_GET_INFLIGHT=8");
    core_run_set_option("S3DLIO_MEMORY_BUDGET=48M");
    core_run_faults("op=* delay=4"); /* no answer says that the store is near */
    core_run_make_bucket("advised");
    core_run_put(URI, BYTES);
    return 0;
}

static int begin(void **state)
{
    core_run_clear(state);
    core_run_faults(FAR);
    reader = core_run_open_reader(URI);
    core_run_reset_counts();
    return 0;
}

static int tear_down(void **state)
{
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    return 0;
}

static uint64_t count_of(enum stats_counter counter)
{
    return stats_read(&engine_stats(core_run_engine())->counters[counter]);
}

static uint64_t memory_bytes(void)
{
    struct s3dlio_stats stats;

    s3dlio_get_stats(&stats);
    return stats.memory_bytes;
}

static void need(uint64_t offset, uint64_t length)
{
    s3dlio_reader_advise(reader, offset, length, S3DLIO_ADVICE_WILLNEED);
}

static void read_at(uint64_t offset, size_t length)
{
    unsigned char *buffer = malloc(length);
    struct s3dlio_error error;

    core_run_must(s3dlio_reader_pread(reader, buffer, length, offset, NULL, &error), &error);
    core_run_check(buffer, length, offset);
    free(buffer);
}

static void read_all(uint64_t start, uint64_t end, size_t step)
{
    for (uint64_t at = start; at < end; at += step)
        read_at(at, step < end - at ? step : end - at);
}

/* Without a call that would drive anything. */
static void wait_until_asked(uint64_t requests)
{
    int64_t until_ns = clock_now_ns() + 10 * NS_PER_S;

    while ((core_run_count(STORE_GET) < requests || core_run_reads_under_way() > 0) &&
           clock_now_ns() < until_ns)
        usleep(1000);
    assert_int_equal(core_run_count(STORE_GET), requests);
    assert_int_equal(core_run_reads_under_way(), 0);
}

/* ---- apart ----------------------------------------------------------------------------------- */

static void regions_do_not_drop_each_other(void **state)
{
    need(10 * MIB, 2 * MIB);
    need(20 * MIB, 3 * MIB);
    need(30 * MIB, 2 * MIB);
    wait_until_asked(7 * MIB / PART);
    for (uint64_t at = 0; at < 2 * MIB; at += 100000) {
        read_at(30 * MIB + at, 5000);
        read_at(10 * MIB + at, 90000);
        read_at(20 * MIB + at, 70000);
    }
    read_at(20 * MIB, 3 * MIB);
    assert_int_equal(core_run_count(STORE_GET), 7 * MIB / PART);
}

/* Reads here and there in advised regions do not end a stream, and it leaves them out. */
static void nothing_is_asked_for_twice(void **state)
{
    uint64_t asked = count_of(STATS_AHEAD_ASKED), wasted = count_of(STATS_AHEAD_WASTED);
    uint64_t used = count_of(STATS_AHEAD_USED), first = MIB / 4, jump = 20 * MIB + 100000;

    need(0, 700000);
    for (uint64_t at = 0; at < BYTES; at += 200000) {
        if (at == 3000000) {
            need(6 * MIB, 2 * MIB); /* ahead of the stream, in or before its window */
            need(9 * MIB, 4 * MIB);
            need(5 * MIB, 6 * MIB);  /* both, and what is between */
            need(20 * MIB, 4 * MIB); /* where it does not reach yet */
        }
        if (at >= 3200000 && jump < 24 * MIB) {
            read_at(jump, 50000);
            jump += PART; /* no piece is read to its end so, and let go */
        }
        read_at(at, 200000 < BYTES - at ? 200000 : BYTES - at);
    }
    s3dlio_reader_close(reader);
    reader = NULL;
    assert_int_equal(count_of(STATS_AHEAD_ASKED) - asked + first, BYTES);
    assert_int_equal(count_of(STATS_AHEAD_WASTED) - wasted, 0);
    assert_int_equal(count_of(STATS_AHEAD_USED) - used, BYTES);
}

static void a_stream_goes_on_while_another_region_is_advised(void **state)
{
    uint64_t asked;

    read_all(0, 3 * MIB, 128 * KIB);
    while (core_run_reads_under_way() > 0)
        usleep(1000);
    asked = count_of(STATS_AHEAD_ASKED);
    need(40 * MIB, 2 * MIB);
    read_at(40 * MIB + 100000, 20000);
    read_at(41 * MIB + 100000, 20000);
    read_at(40 * MIB + 500000, 20000);
    assert_int_equal(count_of(STATS_AHEAD_ASKED) - asked, 2 * MIB); /* and nothing beside it */
    read_all(3 * MIB, 20 * MIB, 128 * KIB);
    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_DONTNEED);
    s3dlio_reader_close(reader);
    reader = NULL;
    assert_true(count_of(STATS_AHEAD_ASKED) - asked <= 2 * MIB + 17 * MIB + 2 * FLIGHT * PART);
}

/* ---- how it is asked for --------------------------------------------------------------------- */

static void ranges_are_asked_for_at_once_and_the_rest_when_there_is_room(void **state)
{
    core_run_faults("op=GetObject delay=30");
    need(10 * MIB, 10 * MIB);
    assert_int_equal(core_run_count(STORE_GET), AHEAD);
    wait_until_asked(10 * MIB / PART);
    need(9 * MIB, 11 * MIB);
    wait_until_asked(11 * MIB / PART);
}

static void no_read_waits_for_advice(void **state)
{
    core_run_faults("op=GetObject nth=1 count=6 delay=" NEVER);
    need(10 * MIB, 10 * MIB);
    assert_int_equal(core_run_count(STORE_GET), AHEAD);
    read_at(40 * MIB, 4096);
    read_at(30 * MIB, 300000);
    read_at(0, 3 * MIB);
    read_at(18 * MIB, 3 * MIB); /* not asked for yet, though advised */
    assert_int_equal(core_run_reads_under_way(), AHEAD);
}

static void what_is_advised_and_waits_goes_to_who_comes(void **state)
{
    core_run_faults("op=GetObject nth=1 count=6 delay=" NEVER);
    need(10 * MIB, 10 * MIB);
    read_at(15 * MIB, 4096);
    assert_int_equal(core_run_count(STORE_GET), AHEAD + 1);
    read_at(15 * MIB + PART - 4096, 4096);
    assert_int_equal(core_run_count(STORE_GET), AHEAD + 1);
    read_at(15 * MIB + 4096, PART - 8192);
    assert_int_equal(core_run_count(STORE_GET), AHEAD + 1);
}

static void failed_advice_is_none(void **state)
{
    core_run_faults("op=GetObject nth=1 count=4 fail=access");
    need(10 * MIB, 2 * MIB);
    read_all(10 * MIB, 12 * MIB, 100000);
    core_run_faults("op=GetObject nth=1 count=2 delay=30 truncate after=1000");
    need(20 * MIB, 2 * MIB);
    read_all(20 * MIB, 22 * MIB, 100000);
}

/* ---- who takes it ---------------------------------------------------------------------------- */

static void *take_every_fourth(void *arg)
{
    for (uint64_t at = *(const uint64_t *)arg; at < 14 * MIB; at += 4 * 50000)
        read_at(at, 50000 < 14 * MIB - at ? 50000 : 14 * MIB - at);
    return NULL;
}

static void threads_take_it_together(void **state)
{
    uint64_t starts[4];
    pthread_t threads[4];

    need(10 * MIB, 4 * MIB);
    for (unsigned i = 0; i < 4; i++) {
        starts[i] = 10 * MIB + i * 50000;
        assert_int_equal(pthread_create(&threads[i], NULL, take_every_fourth, &starts[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(core_run_count(STORE_GET), 4 * MIB / PART);
}

static void a_child_keeps_what_had_arrived(void **state)
{
    pid_t pid;

    NOT_UNDER_TSAN();
    need(10 * MIB, 2 * MIB);
    wait_until_asked(2 * MIB / PART);
    core_run_faults("op=GetObject nth=1 count=4 delay=" NEVER);
    need(20 * MIB, 2 * MIB);
    pid = core_run_fork();
    if (pid == 0) {
        core_run_reset_counts();
        core_run_faults(NULL);
        read_at(10 * MIB, 2 * MIB);
        if (core_run_count(STORE_GET) > 0)
            _exit(1);
        read_all(20 * MIB, 22 * MIB, 100000);
        s3dlio_reader_close(reader);
        _exit(0);
    }
    core_run_wait_for(pid);
    read_all(10 * MIB, 12 * MIB, 100000);
}

/* The object goes, by this process: what is kept for the reader is not asked for again, and what is
 * in memory is in the copy then. */
static void what_is_kept_is_taken_from_it(void **state)
{
    uint64_t received = count_of(STATS_BYTES_RECEIVED);
    struct s3dlio_error error;

    need(10 * MIB, 20 * MIB);
    wait_until_asked(20 * MIB / PART);
    core_run_must(s3dlio_delete(URI, NULL, &error), &error);
    assert_in_range(count_of(STATS_BYTES_RECEIVED) - received, BYTES - MIB, BYTES);
    assert_int_equal(memory_bytes(), 0);
    read_all(0, BYTES, 300000);
    core_run_put(URI, BYTES);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void the_oldest_unused_goes_first(void **state)
{
    uint64_t wasted = count_of(STATS_AHEAD_WASTED);

    need(8 * MIB, 8 * MIB);
    need(16 * MIB, 8 * MIB);
    wait_until_asked(16 * MIB / PART);
    for (uint64_t at = 8 * MIB; at < 16 * MIB; at += PART)
        read_at(at, 1000);    /* used last */
    need(32 * MIB, 16 * MIB); /* half the budget is 24 MiB */
    wait_until_asked(32 * MIB / PART);
    assert_int_equal(count_of(STATS_AHEAD_WASTED) - wasted,
                     8 * MIB + MIB / 4); /* the first window */
    read_at(8 * MIB, 8 * MIB);
    read_at(32 * MIB, 16 * MIB);
    assert_int_equal(core_run_count(STORE_GET), 32 * MIB / PART);
    read_at(16 * MIB, MIB);
    assert_true(core_run_count(STORE_GET) > 32 * MIB / PART);
}

static void all_of_a_large_object_is_what_fits(void **state)
{
    need(0, 0);
    wait_until_asked(24 * MIB / PART);
    assert_in_range(memory_bytes(), 20 * MIB, 25 * MIB);
    read_all(0, BYTES, 300000);
}

static void many_regions_are_bounded(void **state)
{
    for (unsigned i = 0; i < 2000; i++)
        need(i * 16 * KIB, 17 * 64 * KIB);
    read_all(0, BYTES, 300000);
    assert_true(memory_bytes() <= 48 * MIB);
}

static void what_was_read_is_let_go(void **state)
{
    need(10 * MIB, 4 * MIB);
    wait_until_asked(4 * MIB / PART);
    assert_true(memory_bytes() >= 4 * MIB);
    for (uint64_t at = 14 * MIB; at > 10 * MIB; at -= 16 * KIB)
        read_at(at - 16 * KIB, 16 * KIB);
    assert_true(memory_bytes() < MIB);
    assert_int_equal(core_run_count(STORE_GET), 4 * MIB / PART);
}

static void what_is_not_needed_any_more_is_let_go(void **state)
{
    uint64_t wasted = count_of(STATS_AHEAD_WASTED);

    need(10 * MIB, 4 * MIB);
    wait_until_asked(4 * MIB / PART);
    s3dlio_reader_advise(reader, 10 * MIB, 2 * MIB, S3DLIO_ADVICE_DONTNEED);
    assert_in_range(memory_bytes(), 2 * MIB, 3 * MIB); /* with the first window */
    assert_int_equal(count_of(STATS_AHEAD_WASTED) - wasted, 2 * MIB);
    read_at(12 * MIB, 2 * MIB);
    assert_int_equal(core_run_count(STORE_GET), 4 * MIB / PART);
    core_run_faults("op=GetObject nth=1 delay=" NEVER);
    need(20 * MIB, 4 * MIB);
    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_DONTNEED);
    assert_int_equal(core_run_reads_under_way(), 0);
    assert_int_equal(memory_bytes(), 0);
}

static void no_memory_is_left_behind(void **state)
{
    need(10 * MIB, 20 * MIB);
    s3dlio_reader_close(reader);
    reader = NULL;
    while (core_run_reads_under_way() > 0)
        usleep(1000);
    assert_int_equal(memory_bytes(), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(regions_do_not_drop_each_other),
        TEST(nothing_is_asked_for_twice),
        TEST(a_stream_goes_on_while_another_region_is_advised),
        TEST(ranges_are_asked_for_at_once_and_the_rest_when_there_is_room),
        TEST(no_read_waits_for_advice),
        TEST(what_is_advised_and_waits_goes_to_who_comes),
        TEST(failed_advice_is_none),
        TEST(threads_take_it_together),
        TEST(what_is_kept_is_taken_from_it),
        TEST(the_oldest_unused_goes_first),
        TEST(all_of_a_large_object_is_what_fits),
        TEST(many_regions_are_bounded),
        TEST(what_was_read_is_let_go),
        TEST(what_is_not_needed_any_more_is_let_go),
        TEST(no_memory_is_left_behind),
        TEST(a_child_keeps_what_had_arrived), /* the last: processes share the budget for a while */
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
