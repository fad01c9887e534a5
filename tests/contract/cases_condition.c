/* Conditions on put, delete and the source of a copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "run.h"

#define NO_ETAG "\"0123456789abcdef0123456789abcdef\""

static char text[256];

static enum error_class put_if(const char *key, const char *value, const char *if_match,
                               bool if_none_match)
{
    struct iovec body = {(char *)value, strlen(value)};
    enum error_class class;
    struct store_call call;

    run_call_init(&call, STORE_PUT, key);
    call.request.body = &body;
    call.request.body_count = 1;
    call.request.if_match = if_match;
    call.request.if_none_match = if_none_match;
    class = store_call_do(&call);
    store_call_fini(&call);
    return class;
}

static void create_only_if_absent(void **state)
{
    (void)state;
    assert_class(put_if("once", "first", NULL, true), ERROR_NONE);
    assert_class(put_if("once", "second", NULL, true), ERROR_EXISTS);
    get_text("once", text, sizeof text);
    assert_string_equal(text, "first");
    assert_class(try_delete("once"), ERROR_NONE);
}

static void replace_only_that_version(void **state)
{
    char etag[STORE_ETAG_MAX];

    (void)state;
    put_pattern("swap", 1, 10, etag);
    assert_class(put_if("swap", "wrong", NO_ETAG, false), ERROR_CHANGED);
    assert_class(put_if("swap", "right", etag, false), ERROR_NONE);
    assert_class(put_if("swap", "late", etag, false), ERROR_CHANGED);
    get_text("swap", text, sizeof text);
    assert_string_equal(text, "right");
    assert_class(try_delete("swap"), ERROR_NONE);
    assert_class(put_if("swap", "absent", etag, false), ERROR_NOT_FOUND);
    assert_class(try_head("swap"), ERROR_NOT_FOUND);
}

static void delete_only_that_version(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct store_call call;

    (void)state;
    put_pattern("drop", 1, 10, etag);
    run_call_init(&call, STORE_DELETE, "drop");
    call.request.if_match = NO_ETAG;
    assert_class(store_call_do(&call),
                 run.traits->has & DELETE_IF_MATCH ? ERROR_CHANGED : ERROR_NONE);
    store_call_fini(&call);
    assert_class(try_head("drop"),
                 run.traits->has & DELETE_IF_MATCH ? ERROR_NONE : ERROR_NOT_FOUND);
    put_pattern("drop", 1, 10, etag);
    run_call_init(&call, STORE_DELETE, "drop");
    call.request.if_match = etag;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    assert_class(try_head("drop"), ERROR_NOT_FOUND);
}

static void copy_only_that_version(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct store_call call;

    (void)state;
    put_pattern("from", 1, 10, etag);
    run_call_init(&call, STORE_COPY, "to");
    call.request.source_bucket = run.bucket;
    call.request.source_key = "from";
    call.request.if_match = NO_ETAG;
    assert_class(store_call_do(&call), ERROR_CHANGED);
    assert_class(try_head("to"), ERROR_NOT_FOUND);
    call.done = false;
    store_request_fini(&call.request);
    error_clear(&call.request.error);
    call.request.if_match = etag;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    assert_class(try_head("to"), ERROR_NONE);
    assert_class(try_delete("from"), ERROR_NONE);
    assert_class(try_delete("to"), ERROR_NONE);
}

int cases_condition(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_only_if_absent),
        cmocka_unit_test(replace_only_that_version),
        cmocka_unit_test(delete_only_that_version),
        cmocka_unit_test(copy_only_that_version),
    };

    return cmocka_run_group_tests_name("conditions", tests, NULL, NULL);
}
