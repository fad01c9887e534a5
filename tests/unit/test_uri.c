/* engine/base/uri.h: what a URI means, and what is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/uri.h"

static void parts_of_a_uri(void **state)
{
    static const struct {
        const char *text, *scheme, *bucket, *key, *formatted;
    } rows[] = {
        {"s3://bucket/key", "s3", "bucket", "key", "s3://bucket/key"},
        {"s3:/bucket/key", "s3", "bucket", "key", "s3://bucket/key"},
        {"S3://Bucket/Key", "s3", "Bucket", "Key", "s3://Bucket/Key"},
        {"s3://bucket", "s3", "bucket", "", "s3://bucket"},
        {"s3://bucket/", "s3", "bucket", "", "s3://bucket"},
        {"s3://", "s3", "", "", "s3://"},
        {"s3:/", "s3", "", "", "s3://"},
        {"file:///data/x", "file", "data", "x", "file://data/x"},
        {"s3://b/dir/", "s3", "b", "dir/", "s3://b/dir/"},
        {"s3://b//k", "s3", "b", "/k", "s3://b//k"},
        {"s3://b/a/../%2F?x#y z", "s3", "b", "a/../%2F?x#y z", "s3://b/a/../%2F?x#y z"},
        {"gs+x.y-2://b/k", "gs+x.y-2", "b", "k", "gs+x.y-2://b/k"},
    };
    struct uri uri;
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(uri_parse(rows[i].text, &uri), 0);
        assert_string_equal(uri.scheme, rows[i].scheme);
        assert_string_equal(uri.bucket, rows[i].bucket);
        assert_string_equal(uri.key, rows[i].key);
        assert_int_equal(uri_format(&uri, text, sizeof text), strlen(rows[i].formatted));
        assert_string_equal(text, rows[i].formatted);
    }
}

static void what_is_no_uri(void **state)
{
    static const char *const rows[] = {
        "",
        "bucket/key",
        "/s3/bucket/key",
        "://b/k",
        "s3",
        "s3:",
        "s3:bucket",
        "3s://b/k",
        "s_3://b/k",
        "s 3://b",
        "a-scheme-too-long://b/k",
        ":/b",
    };
    struct uri uri = {.key = "untouched"};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(uri_parse(rows[i], &uri), -EINVAL);
    assert_string_equal(uri.key, "untouched");
}

/* "s3://" bucket "/" key of the given lengths. */
static int parse_of_length(size_t bucket_length, size_t key_length)
{
    char *text = calloc(1, bucket_length + key_length + 16);
    struct uri uri;
    int rc;

    assert_non_null(text);
    strcpy(text, "s3://");
    memset(text + 5, 'b', bucket_length);
    text[5 + bucket_length] = '/';
    memset(text + 6 + bucket_length, 'k', key_length);
    rc = uri_parse(text, &uri);
    if (rc == 0) {
        assert_int_equal(strlen(uri.bucket), bucket_length);
        assert_int_equal(strlen(uri.key), key_length);
    }
    free(text);
    return rc;
}

static void lengths_at_their_limits(void **state)
{
    (void)state;
    assert_int_equal(parse_of_length(URI_BUCKET_MAX, URI_KEY_MAX), 0);
    assert_int_equal(parse_of_length(URI_BUCKET_MAX + 1, 1), -ENAMETOOLONG);
    assert_int_equal(parse_of_length(1, URI_KEY_MAX + 1), -ENAMETOOLONG);
    assert_int_equal(parse_of_length(100000, 100000), -ENAMETOOLONG);
}

static void formatting_into_too_little_room(void **state)
{
    struct uri uri;
    char text[8];

    (void)state;
    assert_int_equal(uri_parse("s3://bucket/key", &uri), 0);
    assert_int_equal(uri_format(&uri, text, sizeof text), 15);
    assert_string_equal(text, "s3://bu");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_uri),
        cmocka_unit_test(what_is_no_uri),
        cmocka_unit_test(lengths_at_their_limits),
        cmocka_unit_test(formatting_into_too_little_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
