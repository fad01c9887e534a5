/* engine/store/fault.c: every kind of fault, on the in-memory store. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store/fault.h"
#include "store_run.h"

static struct run run;
static char text[64];

static int setup(void **state)
{
    (void)state;
    run_open(&run, "fault", NULL);
    if (run_simple(&run, STORE_CREATE_BUCKET, "b", NULL) != ERROR_NONE)
        return -1;
    return run_put(&run, "b", "k", "0123456789") == ERROR_NONE ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    run_close(&run);
    return 0;
}

static void add(const char *rules)
{
    assert_int_equal(fault_store_add(run.store, rules, NULL), 0);
}

static void passes_through_without_rules(void **state)
{
    (void)state;
    assert_int_equal(run.store->capabilities & STORE_CAP_INLINE, 0);
    assert_true(run.store->capabilities & STORE_CAP_METADATA);
    assert_int_equal(run_get(&run, "b", "k", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "0123456789");
    assert_int_equal(run_list(&run, "b", "", "/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "k");
    assert_int_equal(fault_store_hits(run.store), 0);
}

static void fails_nth_of_a_key(void **state)
{
    struct store_call r;

    (void)state;
    add("op=GetObject key=k nth=2 count=1 fail=throttled retry-after=1500");
    assert_int_equal(run_get(&run, "b", "k", text, sizeof text), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "k"), ERROR_NONE);
    run_init(&run, &r, STORE_GET, "b", "k");
    assert_int_equal(store_call_do(&r), ERROR_THROTTLED);
    assert_int_equal(r.request.error.retry_after_ms, 1500);
    assert_int_equal(r.objects, 0);
    store_call_fini(&r);
    assert_int_equal(run_get(&run, "b", "k", text, sizeof text), ERROR_NONE);
    assert_int_equal(fault_store_hits(run.store), 1);
    fault_store_clear(run.store);
}

static void every_class_has_its_name(void **state)
{
    (void)state;
    add("key=one fail=server; key=two fail=network; key=three fail=timeout");
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "one"), ERROR_SERVER);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "two"), ERROR_NETWORK);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "three"), ERROR_TIMEOUT);
}

static void loses_the_answer_after_the_work(void **state)
{
    (void)state;
    add("op=PutObject lose");
    assert_int_equal(run_put(&run, "b", "lost", "done"), ERROR_NETWORK);
    assert_int_equal(run_get(&run, "b", "lost", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "done");
    add("op=ListObjects lose");
    assert_int_equal(run_list(&run, "b", "", NULL, text, sizeof text), ERROR_NETWORK);
}

static void error_in_200_does_nothing(void **state)
{
    (void)state;
    add("op=PutObject error200");
    assert_int_equal(run_put(&run, "b", "new", "x"), ERROR_SERVER);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "new"), ERROR_NOT_FOUND);
}

static void replaces_the_object(void **state)
{
    struct store_call head, get;

    (void)state;
    run_init(&run, &head, STORE_HEAD, "b", "k");
    assert_int_equal(store_call_do(&head), ERROR_NONE);
    add("op=GetObject changed");
    run_init(&run, &get, STORE_GET, "b", "k");
    assert_int_equal(store_call_do(&get), ERROR_NONE);
    assert_string_not_equal(get.request.object.etag, head.request.object.etag);
    store_call_fini(&get);
    run_init(&run, &get, STORE_GET, "b", "k");
    get.request.if_match = head.request.object.etag;
    assert_int_equal(store_call_do(&get), ERROR_CHANGED);
    store_call_fini(&get);
    store_call_fini(&head);
}

static void truncates_the_body(void **state)
{
    struct store_call r;

    (void)state;
    add("op=GetObject after=4 truncate");
    run_init(&run, &r, STORE_GET, "b", "k");
    assert_int_equal(store_call_do(&r), ERROR_NETWORK);
    assert_string_equal(r.data, "0123");
    assert_int_equal(r.request.bytes_received, 4);
    assert_int_equal(r.objects, 1);
    store_call_fini(&r);
}

static void delays_and_pauses(void **state)
{
    int64_t begin = clock_now_ns();
    struct store_call r;

    (void)state;
    add("op=GetObject delay=30; op=GetObject after=5 pause=40");
    run_init(&run, &r, STORE_GET, "b", "k");
    store_call_begin(&r);
    store_call_wait_bytes(&r, 5);
    assert_false(r.done);
    assert_int_equal(r.length, 5);
    store_call_wait(&r);
    assert_string_equal(r.data, "0123456789");
    assert_true(clock_now_ns() - begin >= 70 * NS_PER_MS);
    store_call_fini(&r);
}

static void can_be_abandoned_at_any_time(void **state)
{
    static const char *const rules[] = {"delay=1000", "after=3 pause=1000", "after=3 truncate"};
    struct store_call r;

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        add(rules[i]);
        run_init(&run, &r, STORE_GET, "b", "k");
        store_call_begin(&r);
        store_call_abandon(&r);
        assert_false(r.done);
        store_call_fini(&r);
        fault_store_clear(run.store);
    }
}

static void a_seed_repeats_itself(void **state)
{
    unsigned failed[2] = {0};

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        add("seed=7; op=HeadObject p=25 fail=network");
        for (unsigned i = 0; i < 400; i++)
            failed[round] += run_simple(&run, STORE_HEAD, "b", "k") != ERROR_NONE;
        fault_store_clear(run.store);
    }
    assert_int_equal(failed[0], failed[1]);
    assert_in_range(failed[0], 60, 140);
}

static void bad_rules_are_named(void **state)
{
    static const char *const bad[] = {"op=Get",    "fail=nonsense", "p=101", "delay=soon",
                                      "truncated", "delay",         "nth=-1"};
    struct error err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fault_store_add(run.store, bad[i], &err), -EINVAL);
        assert_non_null(strstr(err.message, "S3DLIO_FAULT"));
    }
    assert_int_equal(run_get(&run, "b", "k", text, sizeof text), ERROR_NONE);
}

static void option_sets_it_up(void **state)
{
    char *environment[] = {"S3DLIO_FAULT=store=mem seed=1; op=CreateBucket fail=access", NULL};
    char *unknown[] = {"S3DLIO_FAULT=store=nonsense", NULL};
    const struct store_ops *ops = store_find("fault");
    struct options options;
    struct store *store;
    struct error err;
    struct run own;

    (void)state;
    run_open(&own, "fault", environment);
    assert_int_equal(run_simple(&own, STORE_CREATE_BUCKET, "b", NULL), ERROR_ACCESS);
    run_close(&own);
    assert_int_equal(options_load(unknown, NULL, NULL, &options), 0);
    assert_int_equal(ops->open(&options, &store, &err), -EINVAL);
    options_fini(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(passes_through_without_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(fails_nth_of_a_key, setup, teardown),
        cmocka_unit_test_setup_teardown(every_class_has_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(loses_the_answer_after_the_work, setup, teardown),
        cmocka_unit_test_setup_teardown(error_in_200_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(replaces_the_object, setup, teardown),
        cmocka_unit_test_setup_teardown(truncates_the_body, setup, teardown),
        cmocka_unit_test_setup_teardown(delays_and_pauses, setup, teardown),
        cmocka_unit_test_setup_teardown(can_be_abandoned_at_any_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_seed_repeats_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_rules_are_named, setup, teardown),
        cmocka_unit_test(option_sets_it_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
