/* Objects as a whole: put, get, head, delete, copy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "cases.h"
#include "run.h"

static char text[4096];

static void put_get_head_agree(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct store_call head, get;

    (void)state;
    put_pattern("agree", 1, 1000, etag);
    assert_true(etag[0] == '"');
    run_call_init(&head, STORE_HEAD, "agree");
    assert_class(store_call_do(&head), ERROR_NONE);
    run_call_init(&get, STORE_GET, "agree");
    assert_class(store_call_do(&get), ERROR_NONE);
    assert_string_equal(head.request.object.etag, etag);
    assert_string_equal(get.request.object.etag, etag);
    assert_int_equal(head.request.object.size_bytes, 1000);
    assert_int_equal(get.request.object.size_bytes, 1000);
    assert_int_equal(get.length, 1000);
    assert_int_equal(get.request.bytes_received, 1000);
    assert_int_equal(get.objects, 1);
    assert_false(get.request.object_is_range);
    assert_pattern(get.data, 1, 0, 1000);
    assert_in_range(head.request.object.mtime.tv_sec, time(NULL) - 600, time(NULL) + 600);
    assert_int_equal(head.request.object.mtime.tv_sec, get.request.object.mtime.tv_sec);
    store_call_fini(&head);
    store_call_fini(&get);
    assert_class(try_delete("agree"), ERROR_NONE);
}

static void empty_object(void **state)
{
    struct store_call call;

    (void)state;
    put_pattern("empty", 0, 0, NULL);
    run_call_init(&call, STORE_GET, "empty");
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.request.object.size_bytes, 0);
    assert_int_equal(call.length, 0);
    assert_int_equal(call.objects, 1);
    store_call_fini(&call);
    run_call_init(&call, STORE_GET, "empty");
    call.request.length = 100;
    assert_class(store_call_do(&call), ERROR_RANGE);
    assert_int_equal(call.objects, 0);
    store_call_fini(&call);
    assert_class(try_delete("empty"), ERROR_NONE);
}

/* A body in several pieces, with its checksum. */
static void round_trip(const char *key, size_t length)
{
    char *data = malloc(length);
    struct iovec body[3] = {
        {data, length / 3}, {data + length / 3, 0}, {data + length / 3, length - length / 3}};
    struct store_call call;

    assert_non_null(data);
    pattern_fill(data, 7, 0, length);
    run_call_init(&call, STORE_PUT, key);
    call.request.body = body;
    call.request.body_count = 3;
    call.request.has_body_crc32c = true;
    call.request.body_crc32c = crc32c_update(0, data, length);
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    run_call_init(&call, STORE_GET, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.length, length);
    assert_memory_equal(call.data, data, length);
    store_call_fini(&call);
    free(data);
    assert_class(try_delete(key), ERROR_NONE);
}

static void one_mebibyte(void **state)
{
    (void)state;
    round_trip("large/1M", (size_t)1 << 20);
    delete_below("large/");
}

static void eight_mebibytes_and_one(void **state)
{
    (void)state;
    round_trip("large/8M1", ((size_t)8 << 20) + 1);
    delete_below("large/");
}

static void wrong_checksum(void **state)
{
    struct iovec body = {"data", 4};
    struct store_call call;

    (void)state;
    run_call_init(&call, STORE_PUT, "damaged");
    call.request.body = &body;
    call.request.body_count = 1;
    call.request.has_body_crc32c = true;
    call.request.body_crc32c = crc32c_update(0, "data", 4) ^ 1;
    assert_class(store_call_do(&call), run.traits->has & CHECKS_CRC ? ERROR_INTEGRITY : ERROR_NONE);
    store_call_fini(&call);
    assert_class(try_head("damaged"), run.traits->has & CHECKS_CRC ? ERROR_NOT_FOUND : ERROR_NONE);
    assert_class(try_delete("damaged"), ERROR_NONE);
}

static void missing_key(void **state)
{
    struct store_call call;

    (void)state;
    run_call_init(&call, STORE_GET, "no/such/key");
    assert_class(store_call_do(&call), ERROR_NOT_FOUND);
    assert_string_equal(call.request.error.operation, "GetObject");
    assert_non_null(strstr(call.request.error.uri, "/no/such/key"));
    assert_int_equal(call.objects, 0);
    store_call_fini(&call);
    assert_class(try_head("no/such/key"), ERROR_NOT_FOUND);
}

static void missing_bucket(void **state)
{
    static const enum store_operation operations[] = {STORE_GET, STORE_LIST, STORE_PUT,
                                                      STORE_DELETE_BUCKET, STORE_UPLOAD_CREATE};
    enum error_class class;
    struct store_call call;

    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        run_call_init(&call, operations[i], "key");
        call.request.bucket = "contract-no-such-bucket";
        assert_class(store_call_do(&call), ERROR_NO_BUCKET);
        store_call_fini(&call);
    }
    run_call_init(&call, STORE_HEAD, "key");
    call.request.bucket = "contract-no-such-bucket";
    class = store_call_do(&call);
    assert_true(class == ERROR_NO_BUCKET ||
                (!(run.traits->has & HEAD_KNOWS_BUCKET) && class == ERROR_NOT_FOUND));
    store_call_fini(&call);
}

static void overwriting(void **state)
{
    (void)state;
    put_text("over", "one");
    put_text("over", "another");
    get_text("over", text, sizeof text);
    assert_string_equal(text, "another");
    assert_class(try_delete("over"), ERROR_NONE);
    assert_class(try_head("over"), ERROR_NOT_FOUND);
}

static void deleting_twice(void **state)
{
    (void)state;
    put_text("gone", "x");
    assert_class(try_delete("gone"), ERROR_NONE);
    assert_class(try_delete("gone"), ERROR_NONE);
    assert_class(try_delete("never/there"), ERROR_NONE);
}

static void deleting_many(void **state)
{
    const char *keys[] = {"many/1", "many/a & b <c> \"d\" 'e'", "many/absent", "many/\xc3\xa9+%20"};
    struct store_call call;

    (void)state;
    put_text(keys[0], "x");
    put_text(keys[1], "x");
    put_text(keys[3], "x");
    run_call_init(&call, STORE_DELETE_MANY, NULL);
    call.request.keys = keys;
    call.request.key_count = 4;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    for (size_t i = 0; i < 4; i++)
        assert_class(try_head(keys[i]), ERROR_NOT_FOUND);
    delete_below("many/");
}

static void copying(void **state)
{
    struct store_call call;

    (void)state;
    put_pattern("copy/from + %41 \xc3\xa9", 3, 5000, NULL);
    run_call_init(&call, STORE_COPY, "copy/to");
    call.request.source_bucket = run.bucket;
    call.request.source_key = "copy/from + %41 \xc3\xa9";
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_true(call.request.object.etag[0] == '"');
    store_call_fini(&call);
    run_call_init(&call, STORE_GET, "copy/to");
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.length, 5000);
    assert_pattern(call.data, 3, 0, 5000);
    store_call_fini(&call);
    run_call_init(&call, STORE_COPY, "copy/none");
    call.request.source_bucket = run.bucket;
    call.request.source_key = "copy/absent";
    assert_class(store_call_do(&call), ERROR_NOT_FOUND);
    store_call_fini(&call);
    delete_below("copy/");
}

static void buckets_are_listed(void **state)
{
    char name[80];
    bool found = false;
    struct store_call call;

    (void)state;
    snprintf(name, sizeof name, "%s/", run.bucket);
    run_call_init(&call, STORE_LIST_BUCKETS, NULL);
    assert_class(store_call_do(&call), ERROR_NONE);
    for (size_t i = 0; i < call.request.page->count; i++) {
        assert_true(call.request.page->entries[i].is_prefix);
        found |= strcmp(call.request.page->entries[i].key, name) == 0;
    }
    assert_true(found);
    store_call_fini(&call);
}

static void bucket_exists_already(void **state)
{
    enum error_class class;
    struct store_call call;

    (void)state;
    run_call_init(&call, STORE_CREATE_BUCKET, NULL);
    class = store_call_do(&call);
    assert_true(class == ERROR_EXISTS || class == ERROR_NONE); /* Amazon's first region: 200 */
    store_call_fini(&call);
    put_text("inside", "x");
    run_call_init(&call, STORE_DELETE_BUCKET, NULL);
    assert_class(store_call_do(&call), ERROR_NOT_EMPTY);
    store_call_fini(&call);
    assert_class(try_delete("inside"), ERROR_NONE);
}

int cases_object(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put_get_head_agree),
        cmocka_unit_test(empty_object),
        cmocka_unit_test(one_mebibyte),
        cmocka_unit_test(eight_mebibytes_and_one),
        cmocka_unit_test(wrong_checksum),
        cmocka_unit_test(missing_key),
        cmocka_unit_test(missing_bucket),
        cmocka_unit_test(overwriting),
        cmocka_unit_test(deleting_twice),
        cmocka_unit_test(deleting_many),
        cmocka_unit_test(copying),
        cmocka_unit_test(buckets_are_listed),
        cmocka_unit_test(bucket_exists_already),
    };

    return cmocka_run_group_tests_name("objects", tests, NULL, NULL);
}
