/* Bodies under way: pausing, abandoning, many at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cases.h"
#include "run.h"

#define SIZE ((size_t)8 << 20)

static int setup(void **state)
{
    (void)state;
    put_pattern("body", 11, SIZE, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return try_delete("body") == ERROR_NONE ? 0 : -1;
}

static void pause_and_resume(void **state)
{
    struct store_call call;

    (void)state;
    run_call_init(&call, STORE_GET, "body");
    call.pause_at = 100000;
    store_call_begin(&call);
    store_call_wait_bytes(&call, 100000);
    assert_false(call.done);
    assert_int_equal(call.length, 100000);
    usleep(50000);
    assert_class(try_head("body"), ERROR_NONE); /* others go on meanwhile */
    assert_int_equal(call.length, 100000);
    store_call_resume(&call);
    store_call_wait(&call);
    assert_class(call.request.error.class, ERROR_NONE);
    assert_int_equal(call.length, SIZE);
    assert_pattern(call.data, 11, 0, SIZE);
    store_call_fini(&call);
}

static void small_rooms(void **state)
{
    struct store_call call;

    (void)state;
    run_call_init(&call, STORE_GET, "body");
    call.request.offset = 1;
    call.request.length = 300000;
    call.room_max = 777;
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.length, 300000);
    assert_pattern(call.data, 11, 1, 300000);
    store_call_fini(&call);
}

static void abandon_in_the_middle(void **state)
{
    (void)state;
    for (size_t at = 1; at < SIZE; at *= 20) {
        struct store_call call;

        run_call_init(&call, STORE_GET, "body");
        call.pause_at = at;
        store_call_begin(&call);
        store_call_wait_bytes(&call, at);
        store_call_abandon(&call);
        assert_false(call.done);
        store_call_fini(&call);
        assert_class(try_head("body"), ERROR_NONE);
    }
}

static void abandon_at_once(void **state)
{
    char *data = calloc(1, SIZE);
    struct iovec body = {data, SIZE};
    struct store_call get, put;

    (void)state;
    assert_non_null(data);
    run_call_init(&get, STORE_GET, "body");
    store_call_begin(&get);
    store_call_abandon(&get);
    store_call_fini(&get);
    run_call_init(&put, STORE_PUT, "half/sent");
    put.request.body = &body;
    put.request.body_count = 1;
    store_call_begin(&put);
    store_call_abandon(&put);
    memset(data, 0xff, SIZE); /* the memory is ours again */
    store_call_fini(&put);
    free(data);
    usleep(50000);
    delete_below("half/");
}

static void commit_and_abandon(struct store_sink *sink, size_t length)
{
    struct store_call *call =
        (struct store_call *)((char *)sink - offsetof(struct store_call, sink));

    call->length += length;
    store_abandon(&call->request);
}

static void abandon_from_inside(void **state)
{
    struct store_call call;

    (void)state;
    run_call_init(&call, STORE_GET, "body");
    call.room_max = 1000;
    call.sink.commit = commit_and_abandon;
    store_call_begin(&call);
    store_call_wait_bytes(&call, 1);
    assert_false(call.done);
    store_call_fini(&call);
    assert_class(try_head("body"), ERROR_NONE);
}

static void many_at_a_time(void **state)
{
    enum { COUNT = 40, LENGTH = 50000 };
    static struct store_call calls[COUNT];

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        run_call_init(&calls[i], STORE_GET, "body");
        calls[i].request.offset = i * (uint64_t)LENGTH;
        calls[i].request.length = LENGTH;
        store_call_begin(&calls[i]);
    }
    for (unsigned i = COUNT; i-- > 0;) {
        store_call_wait(&calls[i]);
        assert_class(calls[i].request.error.class, ERROR_NONE);
        assert_int_equal(calls[i].length, LENGTH);
        assert_pattern(calls[i].data, 11, i * (uint64_t)LENGTH, LENGTH);
        store_call_fini(&calls[i]);
    }
}

static void deadline_ends_a_pause(void **state)
{
    struct store_call call;

    (void)state;
    if (run.store->capabilities & STORE_CAP_INLINE || !(run.traits->has & IS_SERVER))
        return; /* nothing to wait for */
    run_call_init(&call, STORE_GET, "body");
    call.pause_at = 1000;
    call.request.deadline_ns = clock_deadline_ns(300 * NS_PER_MS);
    assert_class(store_call_do(&call), ERROR_TIMEOUT);
    store_call_fini(&call);
}

int cases_body(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_and_resume),      cmocka_unit_test(small_rooms),
        cmocka_unit_test(abandon_in_the_middle), cmocka_unit_test(abandon_at_once),
        cmocka_unit_test(abandon_from_inside),   cmocka_unit_test(many_at_a_time),
        cmocka_unit_test(deadline_ends_a_pause),
    };

    return cmocka_run_group_tests_name("bodies", tests, setup, teardown);
}
