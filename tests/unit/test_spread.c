/* engine/core/spread.h: when a stream takes more threads, and when fewer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "core/spread.h"

static struct spread_sample sample(unsigned awaited, int64_t slept_ns)
{
    return (struct spread_sample){
        .ranges = 8,
        .awaited = awaited,
        .bytes = 2 * SPREAD_BYTES_MIN,
        .elapsed_ns = 1000,
        .slept_ns = slept_ns,
    };
}

static unsigned decide(unsigned width, unsigned awaited, int64_t slept_ns)
{
    struct spread_sample seen = sample(awaited, slept_ns);

    return spread_decide(width, 6, &seen);
}

static void one_that_is_awaited_without_sleep_takes_more(void **state)
{
    assert_int_equal(decide(1, 8, 0), 2);
    assert_int_equal(decide(2, 8, 100), 4);
    assert_int_equal(decide(4, 8, 0), 6);
    assert_int_equal(decide(6, 8, 0), 6);
}

static void one_that_sleeps_takes_fewer(void **state)
{
    assert_int_equal(decide(6, 8, 900), 3);
    assert_int_equal(decide(2, 8, 500), 1);
    assert_int_equal(decide(1, 8, 1000), 1);
}

static void in_between_all_stays(void **state)
{
    for (unsigned width = 1; width <= 6; width++)
        assert_int_equal(decide(width, 8, 300), width);
}

static void bytes_that_were_there_say_nothing(void **state)
{
    assert_int_equal(decide(1, 0, 0), 1);
    assert_int_equal(decide(2, 3, 0), 2);
}

static void one_shard_is_all_there_is(void **state)
{
    struct spread_sample seen = sample(8, 0);

    assert_int_equal(spread_decide(1, 1, &seen), 1);
    assert_int_equal(spread_decide(4, 1, &seen), 1);
}

static void few_are_not_judged(void **state)
{
    struct spread_sample seen = sample(8, 0);

    assert_false(spread_is_short(&seen));
    seen.ranges = SPREAD_RANGES_MIN - 1;
    assert_true(spread_is_short(&seen));
    seen = sample(8, 0);
    seen.bytes = SPREAD_BYTES_MIN - 1;
    assert_true(spread_is_short(&seen));
}

static void some_processors_are_left_to_the_program(void **state)
{
    assert_int_equal(spread_width_max(2, false, 1), 1);
    assert_int_equal(spread_width_max(2, false, 2), 1);
    assert_int_equal(spread_width_max(2, false, 4), 2);
    assert_int_equal(spread_width_max(32, false, 64), 32);
    assert_int_equal(spread_width_max(32, false, 7), 3);
    assert_int_equal(spread_width_max(5, true, 2), 5); /* as it was said */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_awaited_without_sleep_takes_more),
        cmocka_unit_test(one_that_sleeps_takes_fewer),
        cmocka_unit_test(in_between_all_stays),
        cmocka_unit_test(bytes_that_were_there_say_nothing),
        cmocka_unit_test(one_shard_is_all_there_is),
        cmocka_unit_test(few_are_not_judged),
        cmocka_unit_test(some_processors_are_left_to_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
