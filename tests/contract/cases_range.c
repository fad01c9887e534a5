/* Ranges of an object, at all its edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "run.h"

#define SIZE 100000u

static void ranges(void **state)
{
    static const struct {
        uint64_t offset, length;
        uint64_t expected; /* bytes; 0: ERROR_RANGE */
    } rows[] = {
        {0, 1, 1},
        {0, SIZE, SIZE},
        {0, SIZE + 1, SIZE},
        {0, UINT64_C(1) << 40, SIZE},
        {1, 1, 1},
        {SIZE - 1, 1, 1},
        {SIZE - 1, 1000, 1},
        {4095, 4097, 4097},
        {500, 0, SIZE - 500},
        {0, 0, SIZE},
        {SIZE, 1, 0},
        {SIZE, 0, 0},
        {SIZE + 1000, 1000, 0},
    };
    char etag[STORE_ETAG_MAX];

    (void)state;
    put_pattern("range", 5, SIZE, etag);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store_call call;

        run_call_init(&call, STORE_GET, "range");
        call.request.offset = rows[i].offset;
        call.request.length = rows[i].length;
        call.request.if_match = etag;
        assert_class(store_call_do(&call), rows[i].expected ? ERROR_NONE : ERROR_RANGE);
        assert_int_equal(call.length, rows[i].expected);
        if (rows[i].expected) {
            assert_pattern(call.data, 5, rows[i].offset, call.length);
            assert_int_equal(call.request.object.size_bytes, SIZE);
            assert_int_equal(call.request.object_is_range, rows[i].expected != SIZE);
            assert_string_equal(call.request.object.etag, etag);
        }
        store_call_fini(&call);
    }
    assert_class(try_delete("range"), ERROR_NONE);
}

static void changed_between_ranges(void **state)
{
    char first[STORE_ETAG_MAX], second[STORE_ETAG_MAX];
    struct store_call call;

    (void)state;
    put_pattern("range", 1, SIZE, first);
    run_call_init(&call, STORE_GET, "range");
    call.request.length = 1000;
    call.request.if_match = first;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    put_pattern("range", 2, SIZE, second);
    assert_string_not_equal(first, second);
    run_call_init(&call, STORE_GET, "range");
    call.request.offset = 1000;
    call.request.length = 1000;
    call.request.if_match = first;
    assert_class(store_call_do(&call), ERROR_CHANGED);
    assert_int_equal(call.length, 0);
    assert_int_equal(error_errno(&call.request.error), 116 /* ESTALE */);
    store_call_fini(&call);
    run_call_init(&call, STORE_HEAD, "range");
    call.request.if_match = first;
    assert_class(store_call_do(&call), ERROR_CHANGED);
    store_call_fini(&call);
    assert_class(try_delete("range"), ERROR_NONE);
}

static enum error_class get_first(const char *if_match)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, STORE_GET, "copied");
    call.request.length = 1000;
    call.request.if_match = if_match;
    class = store_call_do(&call);
    store_call_fini(&call);
    return class;
}

/* What a reader goes on with after its object's metadata was changed. */
static void copied_onto_itself(void **state)
{
    struct store_metadata metadata = {0};
    char etag[STORE_ETAG_MAX], answered[STORE_ETAG_MAX];
    struct store_call call;

    (void)state;
    if (!(run.traits->has & HAS_METADATA))
        return;
    assert_int_equal(store_metadata_add(&metadata, "mode", "33188"), 0);
    put_pattern("copied", 1, SIZE, etag);
    run_call_init(&call, STORE_COPY, "copied");
    call.request.source_bucket = run.bucket;
    call.request.source_key = "copied";
    call.request.if_match = etag;
    call.request.metadata = &metadata;
    assert_class(store_call_do(&call), ERROR_NONE);
    strcpy(answered, call.request.object.etag);
    store_call_fini(&call);
    assert_true(answered[0] != '\0');
    assert_class(get_first(answered), ERROR_NONE);
    assert_class(get_first(etag), strcmp(etag, answered) == 0 ? ERROR_NONE : ERROR_CHANGED);
    store_metadata_fini(&metadata);
    assert_class(try_delete("copied"), ERROR_NONE);
}

int cases_range(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(changed_between_ranges),
        cmocka_unit_test(copied_onto_itself),
    };

    return cmocka_run_group_tests_name("ranges", tests, NULL, NULL);
}
