/* core/budget.h, pool.h, retry.h, latency.h: what is granted, kept, repeated and measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/budget.h"
#include "core/latency.h"
#include "core/part_memory.h"
#include "core/pool.h"
#include "core/retry.h"

#ifndef MADV_POPULATE_WRITE
#    define MADV_POPULATE_WRITE 23
#endif
#define MIB (UINT64_C(1) << 20)

static const struct budget_units small = {MIB / 16, MIB, MIB};

static void test_limit_and_floors(void **state)
{
    struct budget budget;

    budget_init(&budget, 10 * MIB, &(struct budget_units){MIB / 4, 2 * MIB, 5 * MIB});
    assert_true(budget_try(&budget, BUDGET_BLOCKS, 9 * MIB));
    assert_false(budget_try(&budget, BUDGET_BLOCKS, 2 * MIB));
    budget_release(&budget, BUDGET_BLOCKS, 9 * MIB);
    budget_force(&budget, BUDGET_PARTS, 10 * MIB);
    assert_true(budget_try(&budget, BUDGET_BLOCKS, MIB)); /* four blocks, whatever else */
    assert_false(budget_try(&budget, BUDGET_BLOCKS, 1));
    budget_release(&budget, BUDGET_PARTS, 10 * MIB);
    assert_true(budget_try(&budget, BUDGET_BLOCKS, 8 * MIB));
    assert_true(budget_try(&budget, BUDGET_READ_AHEAD, 2 * MIB)); /* two ranges, whatever else */
    assert_true(budget_try(&budget, BUDGET_READ_AHEAD, 2 * MIB));
    assert_false(budget_try(&budget, BUDGET_READ_AHEAD, 1));
    assert_true(budget_try(&budget, BUDGET_PARTS, 5 * MIB)); /* one part */
    assert_false(budget_try(&budget, BUDGET_PARTS, 1));
    assert_int_equal(budget_used(&budget), 18 * MIB);
    budget_release(&budget, BUDGET_BLOCKS, 9 * MIB);
    assert_true(budget_try(&budget, BUDGET_PARTS, MIB));
    assert_int_equal(budget_used(&budget), 10 * MIB);
    assert_int_equal(budget_peak(&budget), 18 * MIB);
}

static void test_processes_divide_it(void **state)
{
    struct budget budget;

    budget_init(&budget, 64 * MIB, &small);
    assert_true(budget_try(&budget, BUDGET_PARTS, 32 * MIB));
    budget_divide(&budget, 4);
    assert_int_equal(budget_share(&budget), 16 * MIB);
    assert_false(budget_try(&budget, BUDGET_PARTS, 1)); /* and what is in use stays */
    assert_true(budget_try(&budget, BUDGET_READ_AHEAD, 2 * MIB));
    budget_release(&budget, BUDGET_PARTS, 24 * MIB);
    assert_true(budget_try(&budget, BUDGET_PARTS, 6 * MIB));
    assert_false(budget_try(&budget, BUDGET_PARTS, 1));
    budget_divide(&budget, 1);
    assert_true(budget_try(&budget, BUDGET_PARTS, 32 * MIB));
}

static void test_default_limit(void **state)
{
    struct budget budget;

    budget_init(&budget, 0, &small);
    assert_true(budget.limit_bytes > 0);
    assert_true(budget.limit_bytes <= 1024 * MIB);
    assert_true(budget.limit_bytes <= budget_memory_limit() / 8);
}

static void test_pool_gives_warm_buffers_back(void **state)
{
    struct budget budget;
    struct pool pool;
    unsigned char *first, *second;

    budget_init(&budget, 64 * MIB, &small);
    pool_init(&pool, &budget);
    first = pool_get(&pool, 3 * MIB);
    assert_non_null(first);
    memset(first, 7, 3 * MIB);
    pool_put(&pool, first, 3 * MIB);
    second = pool_get(&pool, 4 * MIB); /* of the same class */
    assert_ptr_equal(first, second);
    pool_put(&pool, second, 4 * MIB);
    first = pool_get(&pool, POOL_GROWING_MAX); /* what grows: the same as well */
    assert_ptr_equal(second, first);
    memset(first, 1, POOL_GROWING_MAX);
    pool_put(&pool, first, POOL_GROWING_MAX);
    second = pool_get(&pool, POOL_GROWING_MIN);
    assert_ptr_equal(second, first);
    pool_put(&pool, second, POOL_GROWING_MIN);
    first = pool_get(&pool, 100);
    second = pool_get(&pool, 100);
    assert_non_null(first);
    assert_ptr_not_equal(first, second);
    pool_put(&pool, first, 100);
    pool_put(&pool, second, 100);
    pool_put(&pool, NULL, 100);
    assert_null(pool_get(&pool, (size_t)1 << 40));
    pool_trim(&pool);
    assert_int_equal(pool.idle_bytes, 0);
}

static void test_pool_keeps_no_more_than_fits(void **state)
{
    struct budget budget;
    struct pool pool;
    void *buffers[16];

    budget_init(&budget, 32 * MIB, &small);
    pool_init(&pool, &budget);
    for (unsigned i = 0; i < 16; i++)
        buffers[i] = pool_get(&pool, 8 * MIB);
    for (unsigned i = 0; i < 16; i++)
        pool_put(&pool, buffers[i], 8 * MIB);
    assert_true(pool.idle_bytes <= 32 * MIB + POOL_IDLE_BYTES);
    assert_true(budget_try(&budget, BUDGET_BLOCKS, 32 * MIB));
    buffers[0] = pool_get(&pool, 64 * MIB); /* new memory: idle memory goes first */
    assert_int_equal(pool.idle_bytes, 0);
    pool_put(&pool, buffers[0], 64 * MIB);
    pool_trim(&pool);
}

static void test_which_errors_are_repeated(void **state)
{
    struct retry_policy policy;
    struct error error;
    int64_t at_ns = 0, now_ns = clock_now_ns();

    retry_policy_init(&policy, 3, 100);
    error_set(&error, ERROR_SERVER, "x");
    assert_true(retry_next(&policy, &error, 0, CLOCK_NEVER, &at_ns));
    assert_true(at_ns >= now_ns && at_ns <= clock_now_ns() + 100 * NS_PER_MS);
    assert_true(retry_next(&policy, &error, 2, CLOCK_NEVER, &at_ns));
    assert_true(at_ns <= clock_now_ns() + 400 * NS_PER_MS);
    assert_false(retry_next(&policy, &error, 3, CLOCK_NEVER, &at_ns));
    error_set(&error, ERROR_ACCESS, "x");
    assert_false(retry_next(&policy, &error, 0, CLOCK_NEVER, &at_ns));
    error_set(&error, ERROR_NOT_FOUND, "x");
    assert_false(retry_next(&policy, &error, 0, CLOCK_NEVER, &at_ns));
}

static void test_retry_after_up_to_the_deadline(void **state)
{
    struct retry_policy policy;
    struct error error;
    int64_t at_ns, now_ns = clock_now_ns();

    retry_policy_init(&policy, 3, 1);
    error_set(&error, ERROR_THROTTLED, "x");
    error.retry_after_ms = 3000;
    assert_true(retry_next(&policy, &error, 0, CLOCK_NEVER, &at_ns));
    assert_true(at_ns >= now_ns + 3 * NS_PER_S);
    assert_true(retry_next(&policy, &error, 0, now_ns + 5 * NS_PER_S, &at_ns));
    assert_false(retry_next(&policy, &error, 0, now_ns + 2 * NS_PER_S, &at_ns));
}

/* Ever less often, but on, up to the end of the operation. */
static void test_overload_is_waited_out(void **state)
{
    struct retry_policy policy;
    struct error error;
    int64_t at_ns = 0, last_ns, now_ns = clock_now_ns();
    unsigned far = 0;

    retry_policy_init(&policy, 3, 50);
    policy.is_patient = true;
    error_set(&error, ERROR_THROTTLED, "x");
    for (unsigned attempt = 3; attempt < 40; attempt++) {
        assert_true(retry_next(&policy, &error, attempt, CLOCK_NEVER, &at_ns));
        far += at_ns > now_ns + 2 * NS_PER_S;
    }
    assert_in_range(far, 15, 40);
    last_ns = now_ns + 4 * NS_PER_S;
    for (unsigned attempt = 10; attempt < 40; attempt++) {
        assert_true(retry_next(&policy, &error, attempt, last_ns, &at_ns));
        assert_true(at_ns < last_ns);
    }
    assert_false(retry_next(&policy, &error, 3, now_ns, &at_ns));
    error_set(&error, ERROR_SERVER, "x");
    assert_false(retry_next(&policy, &error, 3, CLOCK_NEVER, &at_ns));
}

static void test_an_outage_does_not_multiply_requests(void **state)
{
    struct retry_policy policy;
    struct error error;
    int64_t at_ns, now_ns = clock_now_ns();
    unsigned soon = 0;

    retry_policy_init(&policy, 5, 1);
    error_set(&error, ERROR_SERVER, "x");
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(retry_next(&policy, &error, 0, CLOCK_NEVER, &at_ns));
        soon += at_ns < now_ns + NS_PER_S;
    }
    assert_true(soon < 150);
    assert_true(at_ns > now_ns + 30 * NS_PER_S);
}

static void test_near_and_far(void **state)
{
    struct latency latency;

    latency_init(&latency, 0);
    assert_false(latency_is_near(&latency));
    latency_on_first_byte(&latency, 30 * NS_PER_MS, 0);
    assert_false(latency_is_near(&latency));
    latency_on_first_byte(&latency, NS_PER_MS / 2, 0);
    latency_on_first_byte(&latency, 200 * NS_PER_MS, 0); /* our own queue */
    assert_true(latency_is_near(&latency));
    assert_int_equal(latency_first_byte_ns(&latency), NS_PER_MS / 2);
}

static unsigned count_pages(void *memory, size_t bytes)
{
    unsigned char state[2 * PART_MEMORY_STEP / 4096];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned count = 0;

    assert_true(bytes / page <= sizeof state);
    assert_int_equal(mincore(memory, bytes, state), 0);
    for (size_t i = 0; i < bytes / page; i++)
        count += state[i] & 1;
    return count;
}

static void test_part_memory_is_fetched_in_steps(void **state)
{
    unsigned step = (unsigned)(PART_MEMORY_STEP / (uint64_t)sysconf(_SC_PAGESIZE));
    struct budget budget;
    struct pool pool;
    unsigned char *memory;

    (void)state;
    budget_init(&budget, 64 * MIB, &small);
    pool_init(&pool, &budget);
    memory = pool_get(&pool, 2 * PART_MEMORY_STEP);
    assert_non_null(memory);
    if (madvise(memory, 0, MADV_POPULATE_WRITE) < 0) {
        print_message("skip: this kernel cannot do it\n");
        skip();
    }
    (void)madvise(memory, 2 * PART_MEMORY_STEP, MADV_NOHUGEPAGE); /* larger steps of the system's */
    assert_int_equal(count_pages(memory, 2 * PART_MEMORY_STEP), 0);
    part_memory_reach(memory, 0, 1);
    assert_int_equal(count_pages(memory, 2 * PART_MEMORY_STEP), step);
    memory[1] = 'x';
    part_memory_reach(memory, 1, PART_MEMORY_STEP - 1);
    assert_int_equal(count_pages(memory, 2 * PART_MEMORY_STEP), step);
    part_memory_reach(memory, PART_MEMORY_STEP - 1, 2);
    assert_int_equal(count_pages(memory, 2 * PART_MEMORY_STEP), 2 * step);
    part_memory_reach(memory, 0, 2 * PART_MEMORY_STEP);
    assert_int_equal(memory[1], 'x');
    pool_put(&pool, memory, 2 * PART_MEMORY_STEP);
    pool_trim(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_and_floors),
        cmocka_unit_test(test_processes_divide_it),
        cmocka_unit_test(test_default_limit),
        cmocka_unit_test(test_pool_gives_warm_buffers_back),
        cmocka_unit_test(test_pool_keeps_no_more_than_fits),
        cmocka_unit_test(test_part_memory_is_fetched_in_steps),
        cmocka_unit_test(test_which_errors_are_repeated),
        cmocka_unit_test(test_retry_after_up_to_the_deadline),
        cmocka_unit_test(test_overload_is_waited_out),
        cmocka_unit_test(test_an_outage_does_not_multiply_requests),
        cmocka_unit_test(test_near_and_far),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
