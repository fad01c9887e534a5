/* User metadata: what is written is what is read, in whatever way it was stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "run.h"

static const char *const pairs[][2] = {
    {"mode", "33188"},
    {"mtime", "1700000000.123456789"},
    {"blanks", "  two before, one behind "},
    {"utf8", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
    {"looks-encoded", "=?UTF-8?B?eA==?="},
    {"percent", "100%25 + =&"},
    {"lines", "one\ntwo\r\n"},
    {"bytes", "\xff\xfe\x80"},
    {"under_score.dot", "x"},
};
#define PAIRS (sizeof pairs / sizeof pairs[0])

static void fill(struct store_metadata *metadata)
{
    *metadata = (struct store_metadata){0};
    for (size_t i = 0; i < PAIRS; i++)
        assert_int_equal(store_metadata_add(metadata, pairs[i][0], pairs[i][1]), 0);
}

static void assert_pairs(const struct store_metadata *metadata)
{
    for (size_t i = 0; i < PAIRS; i++) {
        const char *value = store_metadata_get(metadata, pairs[i][0]);

        if (!value)
            fail_msg("%s is missing", pairs[i][0]);
        assert_string_equal(value, pairs[i][1]);
    }
}

static void put_described(const char *key, const struct store_metadata *metadata, const char *type)
{
    struct iovec body = {"x", 1};
    struct store_call call;

    run_call_init(&call, STORE_PUT, key);
    call.request.body = &body;
    call.request.body_count = 1;
    call.request.metadata = metadata;
    call.request.content_type = type;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
}

static void round_trip(void **state)
{
    struct store_metadata metadata;
    struct store_call call;

    (void)state;
    fill(&metadata);
    put_described("described", &metadata, "text/x-test; charset=utf-8");
    run_call_init(&call, STORE_HEAD, "described");
    assert_class(store_call_do(&call), ERROR_NONE);
    if (run.traits->has & HAS_METADATA) {
        assert_pairs(&call.request.object.metadata);
        assert_string_equal(call.request.object.content_type, "text/x-test; charset=utf-8");
    } else {
        assert_int_equal(run.store->capabilities & STORE_CAP_METADATA, 0);
        assert_int_equal(call.request.object.metadata.length, 0);
    }
    store_call_fini(&call);
    run_call_init(&call, STORE_GET, "described");
    assert_class(store_call_do(&call), ERROR_NONE);
    if (run.traits->has & HAS_METADATA)
        assert_pairs(&call.request.object.metadata);
    store_call_fini(&call);
    store_metadata_fini(&metadata);
    assert_class(try_delete("described"), ERROR_NONE);
}

static void copy_keeps_or_replaces(void **state)
{
    struct store_metadata metadata, other = {0};
    struct store_call call;

    (void)state;
    if (!(run.traits->has & HAS_METADATA))
        return;
    fill(&metadata);
    assert_int_equal(store_metadata_add(&other, "mode", "other"), 0);
    put_described("from", &metadata, "text/plain");
    for (unsigned replace = 0; replace < 2; replace++) {
        run_call_init(&call, STORE_COPY, "to");
        call.request.source_bucket = run.bucket;
        call.request.source_key = "from";
        call.request.metadata = replace ? &other : NULL;
        call.request.content_type = replace ? "text/other" : NULL;
        assert_class(store_call_do(&call), ERROR_NONE);
        store_call_fini(&call);
        run_call_init(&call, STORE_HEAD, "to");
        assert_class(store_call_do(&call), ERROR_NONE);
        if (replace) {
            assert_string_equal(store_metadata_get(&call.request.object.metadata, "mode"), "other");
            assert_null(store_metadata_get(&call.request.object.metadata, "mtime"));
            assert_string_equal(call.request.object.content_type, "text/other");
        } else {
            assert_pairs(&call.request.object.metadata);
            assert_string_equal(call.request.object.content_type, "text/plain");
        }
        store_call_fini(&call);
    }
    store_metadata_fini(&metadata);
    store_metadata_fini(&other);
    assert_class(try_delete("from"), ERROR_NONE);
    assert_class(try_delete("to"), ERROR_NONE);
}

/* The tags of the object; NULL: HEAD tells of none. */
static void assert_tags(const char *key, const char *tags)
{
    struct store_call call;
    bool told;

    run_call_init(&call, STORE_HEAD, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    told = store_metadata_get(&call.request.object.metadata, STORE_TAG_COUNT);
    assert_null(store_metadata_get(&call.request.object.metadata, STORE_TAGS));
    store_call_fini(&call);
    assert_int_equal(told, tags != NULL);
    run_call_init(&call, STORE_GET_TAGS, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    if (tags)
        assert_string_equal(store_metadata_get(&call.request.object.metadata, STORE_TAGS), tags);
    else
        assert_null(store_metadata_get(&call.request.object.metadata, STORE_TAGS));
    store_call_fini(&call);
}

static void copy_tagged(bool replace, bool drop)
{
    struct store_metadata metadata = {0};
    struct store_call call;

    assert_int_equal(store_metadata_add(&metadata, "mode", "other"), 0);
    run_call_init(&call, STORE_COPY, "to");
    call.request.source_bucket = run.bucket;
    call.request.source_key = "tagged";
    call.request.metadata = replace ? &metadata : NULL;
    call.request.drop_tags = drop;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    store_metadata_fini(&metadata);
}

static void tags(void **state)
{
    static const char text[] = "team=a%20b%2Fc%3D";
    struct store_metadata metadata = {0};
    struct store_call call;

    (void)state;
    if (!(run.traits->has & HAS_TAGS)) {
        put_text("tagged", "x");
        run_call_init(&call, STORE_GET_TAGS, "tagged");
        assert_class(store_call_do(&call), ERROR_UNSUPPORTED);
        store_call_fini(&call);
        assert_class(try_delete("tagged"), ERROR_NONE);
        return;
    }
    assert_int_equal(store_metadata_add(&metadata, STORE_TAGS, text), 0);
    put_described("tagged", &metadata, "text/plain");
    assert_tags("tagged", text);
    copy_tagged(false, false);
    assert_tags("to", text);
    copy_tagged(true, false);
    assert_tags("to", text);
    copy_tagged(true, true);
    assert_tags("to", NULL);
    store_metadata_fini(&metadata);
    assert_class(try_delete("tagged"), ERROR_NONE);
    assert_class(try_delete("to"), ERROR_NONE);
}

/* Names become header names, values header lines: neither may smuggle one in. */
static void names_are_checked(void **state)
{
    static const char *const bad[] = {"two words", "colon:", "line\r\nx-evil", "\xc3\xa9", ""};

    (void)state;
    if (!(run.traits->has & IS_SERVER))
        return;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct store_metadata metadata = {0};
        struct store_call call;

        assert_int_equal(store_metadata_add(&metadata, bad[i], "x"), 0);
        run_call_init(&call, STORE_PUT, "bad");
        call.request.metadata = &metadata;
        assert_class(store_call_do(&call), ERROR_INVALID);
        store_call_fini(&call);
        store_metadata_fini(&metadata);
    }
    assert_class(try_head("bad"), ERROR_NOT_FOUND);
}

static void header_values_are_checked(void **state)
{
    struct store_call call;

    (void)state;
    if (!(run.traits->has & IS_SERVER))
        return;
    run_call_init(&call, STORE_PUT, "bad");
    call.request.content_type = "text/plain\r\nx-evil: 1";
    assert_class(store_call_do(&call), ERROR_INVALID);
    store_call_fini(&call);
}

int cases_metadata(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(copy_keeps_or_replaces),
        cmocka_unit_test(tags),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(header_values_are_checked),
    };

    return cmocka_run_group_tests_name("metadata", tests, NULL, NULL);
}
