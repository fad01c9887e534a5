/* core/range_plan.h: sizes of ranges and parts, at their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "config/options.h"
#include "core/range_plan.h"
#include "store/store.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

static void problem(void *arg, const char *message)
{
    fail_msg("%s", message);
}

static struct range_plan plan_of(const char *option)
{
    char *environment[] = {(char *)option, NULL};
    struct options options;
    struct range_plan plan;

    assert_int_equal(options_load(environment, problem, NULL, &options), 0);
    range_plan_init(&plan, &options);
    options_fini(&options);
    return plan;
}

static void test_ranges(void **state)
{
    struct range_plan plan = plan_of(NULL);

    assert_int_equal(range_plan_get_bytes(&plan, GIB, false), 8 * MIB);
    assert_int_equal(range_plan_get_bytes(&plan, 32 * MIB, false), 8 * MIB);
    assert_int_equal(range_plan_get_bytes(&plan, 16 * MIB, false), 4 * MIB);
    assert_int_equal(range_plan_get_bytes(&plan, 100, false), MIB);
    assert_int_equal(range_plan_get_bytes(&plan, GIB, true), RANGE_NEAR_BYTES);
    assert_int_equal(range_plan_flight_max(&plan, 100 * MIB, false, 64), 64 * 8 * MIB);
    assert_int_equal(range_plan_flight_max(&plan, 100 * MIB, true, 3), 3 * RANGE_NEAR_BYTES);
}

/* Ranges of 8 MiB, 16 at once, of 300 MiB. */
static void test_the_last_ranges(void **state)
{
    struct range_plan plan = plan_of(NULL), set = plan_of("S3DLIO_GET_PART_SIZE=8M");
    uint64_t left = 300 * MIB, last = 8 * MIB;
    unsigned count = 0;

    for (; left > 0; left -= last, count++) {
        uint64_t bytes = range_plan_towards_end(&plan, 8 * MIB, left, 16);

        assert_true(bytes <= last && bytes > 0 && bytes <= left);
        if (left >= 16 * 8 * MIB)
            assert_int_equal(bytes, 8 * MIB);
        else if (left > 2 * MIB)
            assert_true(bytes >= 2 * MIB && bytes <= (left / 16 > 2 * MIB ? left / 16 : 2 * MIB));
        last = bytes;
    }
    assert_in_range(count, 38 + 16, 38 + 32); /* 38 of 8 MiB */
    assert_int_equal(range_plan_towards_end(&plan, MIB, 5 * MIB, 16), MIB);
    assert_int_equal(range_plan_towards_end(&plan, 8 * MIB, 100 * MIB, 1), 8 * MIB);
    assert_int_equal(range_plan_towards_end(&set, 8 * MIB, 9 * MIB, 16), 8 * MIB);
    assert_int_equal(range_plan_towards_end(&set, 8 * MIB, 100, 16), 100);
}

static void test_options_win(void **state)
{
    struct range_plan plan = plan_of("S3DLIO_GET_PART_SIZE=1M");

    assert_int_equal(range_plan_get_bytes(&plan, 10 * GIB, false), MIB);
    assert_int_equal(range_plan_get_bytes(&plan, 10 * GIB, true), MIB);
    plan = plan_of("S3DLIO_GET_THRESHOLD=100M"); /* below it, one request at a time */
    assert_int_equal(range_plan_get_bytes(&plan, 99 * MIB, false), 99 * MIB);
    assert_int_equal(range_plan_flight_max(&plan, 99 * MIB, true, 5), 99 * MIB);
    assert_int_equal(range_plan_get_bytes(&plan, 100 * MIB, false), 8 * MIB);
    plan = plan_of("S3DLIO_GET_THRESHOLD=4M");
    assert_int_equal(range_plan_get_bytes(&plan, 4 * MIB, false), MIB);
    assert_int_equal(range_plan_flight_max(&plan, 4 * MIB, false, 64), 64 * MIB);
    plan = plan_of("S3DLIO_PUT_PART_SIZE=1M"); /* below what stores take */
    assert_int_equal(range_plan_part_bytes(&plan, 1, 0, false), STORE_PART_MIN);
    plan = plan_of("S3DLIO_MIN_PART_SIZE=64M");
    assert_int_equal(range_plan_part_bytes(&plan, 1, 0, false), 64 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 1, GIB, false), 64 * MIB);
}

static void test_parts_by_network_speed(void **state)
{
    struct range_plan plan = plan_of("S3DLIO_NETWORK_SPEED_GBPS=100");

    assert_int_equal(range_plan_part_bytes(&plan, 1, 2 * GIB, false), 64 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 1, 600 * MIB, false), 32 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 1, 100 * MIB, false), 16 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 30, 0, false), 16 * MIB); /* length unknown */
    assert_int_equal(range_plan_part_bytes(&plan, 31, 0, false), 32 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 61, 0, false), 64 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 5001, 0, false), 256 * MIB);
    plan = plan_of("S3DLIO_NETWORK_SPEED_GBPS=25");
    assert_int_equal(range_plan_part_bytes(&plan, 1, 2 * GIB, false), 32 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 61, 0, false), 32 * MIB);
    plan = plan_of("S3DLIO_NETWORK_SPEED_GBPS=10"); /* the default, but said */
    assert_int_equal(range_plan_part_bytes(&plan, 1, 0, false), 16 * MIB);
    plan = plan_of(NULL);
    assert_int_equal(range_plan_part_bytes(&plan, 1, 2 * GIB, false), 16 * MIB);
}

/* What an upload of parts as planned can hold. */
static uint64_t capacity(const struct range_plan *plan, uint64_t hint, bool equal)
{
    uint64_t total = 0;

    for (unsigned number = 1; number <= STORE_PARTS_MAX; number++) {
        uint64_t bytes = range_plan_part_bytes(plan, number, hint, equal);

        assert_true(bytes >= STORE_PART_MIN && bytes <= STORE_PART_MAX);
        if (equal)
            assert_int_equal(bytes, range_plan_part_bytes(plan, 1, hint, equal));
        total += bytes;
    }
    return total;
}

static void test_any_object_fits(void **state)
{
    struct range_plan plan = plan_of(NULL);

    assert_int_equal(range_plan_part_bytes(&plan, 1, 0, false), 8 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 1000, 0, false), 8 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 1001, 0, false), 16 * MIB);
    assert_int_equal(range_plan_part_bytes(&plan, 2001, 0, false), 32 * MIB);
    assert_true(capacity(&plan, 0, false) >= 5 * TIB);
    assert_true(capacity(&plan, 5 * TIB, false) >= 5 * TIB);
    assert_true(capacity(&plan, 5 * TIB, true) >= 5 * TIB);
    assert_true(capacity(&plan, 200 * GIB, true) >= 200 * GIB);
    assert_true(capacity(&plan, GIB, false) >= 5 * TIB); /* the hint was wrong */
    plan = plan_of("S3DLIO_NETWORK_SPEED_GBPS=100");
    assert_true(capacity(&plan, 0, false) >= 5 * TIB);
    plan = plan_of("S3DLIO_PUT_PART_SIZE=5M");
    assert_true(capacity(&plan, 0, false) >= 500 * GIB);
    assert_true(capacity(&plan, 5 * TIB, true) >= 5 * TIB);
}

static void test_copies(void **state)
{
    assert_int_equal(range_plan_copy_part_bytes(6 * GIB), 512 * MIB);
    assert_true(range_plan_copy_part_bytes(5 * TIB) * STORE_PARTS_MAX >= 5 * TIB);
    assert_true(range_plan_copy_part_bytes(5 * TIB) <= STORE_PART_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_the_last_ranges),
        cmocka_unit_test(test_options_win),
        cmocka_unit_test(test_parts_by_network_speed),
        cmocka_unit_test(test_any_object_fits),
        cmocka_unit_test(test_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
