/* engine/store/s3_object.c, s3_error.c: which answers are believed, and what a refusal means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "store/s3.h"

static struct s3_store store;
static struct store_request request;
static struct s3_call call;
static struct http_head head;

static void begin(enum store_operation operation, const struct s3_operation *row)
{
    store_request_fini(&request);
    memset(&store, 0, sizeof store);
    memset(&call, 0, sizeof call);
    memset(&head, 0, sizeof head);
    store_request_init(&request, operation, &store.base, NULL, NULL);
    request.bucket = "bkt";
    call.store = &store;
    call.request = &request;
    call.operation = row;
    strcpy(call.target.region, "us-east-1");
    head.content_length = -1;
}

static void add_header(const char *name, const char *value)
{
    head.headers[head.header_count++] = (struct http_header){name, value};
}

/* ---- ranges --------------------------------------------------------------------------------- */

static void partial_answers(void **state)
{
    static const struct {
        uint64_t offset, length;
        int status;
        int64_t content_length;
        const char *range; /* NULL: none */
        uint64_t body;     /* UINT64_MAX: refused */
        uint64_t size;
    } rows[] = {
        {0, 10, 206, 10, "bytes 0-9/100", 10, 100},
        {0, 10, 206, -1, "bytes 0-9/100", 10, 100},
        {90, 20, 206, 10, "bytes 90-99/100", 10, 100},
        {90, 0, 206, 10, "bytes 90-99/100", 10, 100},
        {0, 10, 200, 5, NULL, 5, 5},
        {0, 10, 200, 10, NULL, 10, 10},
        {0, 0, 200, 77, NULL, 77, 77},
        {0, 0, 200, 0, NULL, 0, 0},
        {0, 10, 200, 11, NULL, UINT64_MAX, 0},
        {1, 10, 200, 5, NULL, UINT64_MAX, 0},
        {0, 0, 200, -1, NULL, UINT64_MAX, 0},
        {0, 0, 206, 77, "bytes 0-76/77", UINT64_MAX, 0},
        {0, 10, 206, 10, NULL, UINT64_MAX, 0},
        {0, 10, 206, 10, "bytes 0-9/*", UINT64_MAX, 0},
        {0, 10, 206, 10, "bytes 1-10/100", UINT64_MAX, 0},
        {0, 10, 206, 9, "bytes 0-8/100", UINT64_MAX, 0},
        {0, 10, 206, 11, "bytes 0-10/100", UINT64_MAX, 0},
        {0, 10, 206, 9, "bytes 0-9/100", UINT64_MAX, 0},
        {0, 10, 206, 10, "bytes 0-9/5", UINT64_MAX, 0},
        {0, 10, 206, 10, "items 0-9/100", UINT64_MAX, 0},
        {0, 10, 204, 0, NULL, UINT64_MAX, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {0};

        begin(STORE_GET, &s3_get);
        request.offset = rows[i].offset;
        request.length = rows[i].length;
        head.status = rows[i].status;
        head.content_length = rows[i].content_length;
        if (rows[i].range)
            add_header("content-range", rows[i].range);
        if (rows[i].body == UINT64_MAX) {
            assert_true(s3_get.head(&call, &head, &err) < 0);
            assert_int_equal(err.class, ERROR_PROTOCOL);
            continue;
        }
        assert_int_equal(s3_get.head(&call, &head, &err), 0);
        assert_int_equal(call.body, S3_BODY_SINK);
        assert_int_equal(call.body_limit, rows[i].body);
        assert_int_equal(request.object.size_bytes, rows[i].size);
        assert_int_equal(request.object_is_range, rows[i].body != rows[i].size);
    }
}

static void attributes_of_heads(void **state)
{
    char long_etag[300];
    struct error err = {0};

    (void)state;
    begin(STORE_HEAD, &s3_head);
    head.status = 200;
    head.content_length = 123;
    add_header("etag", "bare");
    add_header("last-modified", "Sun, 22 Nov 2026 07:52:48 GMT");
    add_header("content-type", "text/plain");
    add_header("x-amz-meta-mode", "33188");
    assert_int_equal(s3_head.head(&call, &head, &err), 0);
    assert_int_equal(request.object.size_bytes, 123);
    assert_string_equal(request.object.etag, "\"bare\"");
    assert_string_equal(request.object.content_type, "text/plain");
    assert_int_equal(request.object.mtime.tv_sec, 1795333968);
    assert_string_equal(store_metadata_get(&request.object.metadata, "mode"), "33188");
    memset(long_etag, 'e', sizeof long_etag - 1);
    long_etag[sizeof long_etag - 1] = '\0';
    head.headers[0].value = long_etag;
    assert_true(s3_head.head(&call, &head, &err) < 0);
    head.header_count = 0;
    assert_int_equal(s3_head.head(&call, &head, &err), 0);
    assert_string_equal(request.object.etag, "");
    head.content_length = -1;
    assert_true(s3_head.head(&call, &head, &err) < 0);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static enum error_class judge(int status, const char *code)
{
    struct error err = {0};

    head.status = status;
    s3_answer_head(&call.answer, &head);
    if (code)
        s3_answer_element(&call.answer, "Error", "Code", code);
    s3_answer_error(&call, &err);
    return err.class;
}

static void codes_before_statuses(void **state)
{
    static const struct {
        int status;
        const char *code;
        enum error_class class;
    } rows[] = {
        {404, "NoSuchKey", ERROR_NOT_FOUND},
        {404, "NoSuchBucket", ERROR_NO_BUCKET},
        {404, NULL, ERROR_NOT_FOUND},
        {403, "RequestTimeTooSkewed", ERROR_CLOCK},
        {403, NULL, ERROR_ACCESS},
        {400, "ExpiredToken", ERROR_TOKEN},
        {403, "InvalidTokenId", ERROR_TOKEN},
        {400, NULL, ERROR_INVALID},
        {400, "400", ERROR_INVALID},
        {503, "SlowDown", ERROR_THROTTLED},
        {503, NULL, ERROR_THROTTLED},
        {500, "Unheard", ERROR_SERVER},
        {599, NULL, ERROR_SERVER},
        {418, NULL, ERROR_INVALID},
        {200, "InternalError", ERROR_SERVER},
        {200, "Unheard", ERROR_SERVER},
        {412, NULL, ERROR_CHANGED},
        {409, "ConditionalRequestConflict", ERROR_BUSY},
        {416, "InvalidRange", ERROR_RANGE},
        {304, NULL, ERROR_PROTOCOL},
        {301, NULL, ERROR_REGION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(STORE_GET, &s3_get);
        assert_string_equal(error_class_name(judge(rows[i].status, rows[i].code)),
                            error_class_name(rows[i].class));
    }
    begin(STORE_PUT, &s3_put);
    request.if_none_match = true;
    assert_int_equal(judge(412, "PreconditionFailed"), ERROR_EXISTS);
    begin(STORE_LIST, &s3_list);
    assert_int_equal(judge(404, NULL), ERROR_NO_BUCKET);
}

static void words_where_codes_say_little(void **state)
{
    struct error err = {0};
    char line[512];

    (void)state;
    begin(STORE_PUT, &s3_put);
    s3_answer_element(&call.answer, "Error", "Message", "something else");
    assert_int_equal(judge(400, "InvalidRequest"), ERROR_INVALID);
    s3_answer_element(&call.answer, "Error", "Message",
                      "Object is WORM protected and cannot be overwritten");
    assert_int_equal(judge(400, "InvalidRequest"), ERROR_ACCESS);
    s3_answer_error(&call, &err);
    error_format(&err, line, sizeof line);
    assert_string_equal(line, "access denied (400 InvalidRequest: Object is WORM protected and cannot "
                              "be overwritten): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or "
                              "AWS_PROFILE, and what they may do");
}

static void headers_tell_what_bodies_do_not(void **state)
{
    char date[64];
    time_t wrong = time(NULL) - 3600;
    struct tm tm;
    struct error err = {0};

    (void)state;
    begin(STORE_HEAD, &s3_head);
    add_header("x-amz-bucket-region", "eu-west-1");
    assert_int_equal(judge(400, NULL), ERROR_REGION);
    assert_string_equal(call.answer.region, "eu-west-1");
    begin(STORE_HEAD, &s3_head);
    add_header("x-amz-bucket-region", "us-east-1");
    assert_int_equal(judge(403, NULL), ERROR_ACCESS);
    begin(STORE_HEAD, &s3_head);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&wrong, &tm));
    add_header("date", date);
    assert_int_equal(judge(403, NULL), ERROR_CLOCK);
    assert_in_range(-call.answer.date_offset_ms, 3590000, 3610000);
    atomic_store(&store.clock_correction_s, -3600);
    assert_int_equal(judge(403, NULL), ERROR_ACCESS);
    begin(STORE_HEAD, &s3_head);
    add_header("x-minio-error-code", "NoSuchBucket");
    assert_int_equal(judge(404, NULL), ERROR_NO_BUCKET);
    begin(STORE_GET, &s3_get);
    add_header("retry-after", "60");
    add_header("x-amz-request-id", "REQ1");
    judge(429, "TooManyRequests");
    s3_answer_error(&call, &err);
    assert_int_equal(err.retry_after_ms, 60000);
    assert_string_equal(err.request_id, "REQ1");
    head.headers[0].value = "99999999999999999999";
    judge(429, NULL);
    assert_int_equal(call.answer.retry_after_ms, 3600000);
    head.headers[0].value = "soon";
    judge(429, NULL);
    assert_int_equal(call.answer.retry_after_ms, 0);
}

/* A region becomes part of a host name, a message part of a line. */
/* Servers look at the range of a part copy first, which the version that was asked for has. */
static void ranges_of_another_version(void **state)
{
    static const char beyond[] = "Range specified is not valid for source object of size: 13";

    (void)state;
    for (int named = 0; named < 2; named++) {
        enum error_class changed = ERROR_CHANGED;

        begin(STORE_UPLOAD_PART_COPY, &s3_upload_part_copy);
        request.if_match = named ? "\"0\"" : NULL;
        assert_int_equal(judge(416, "InvalidRange"), named ? changed : ERROR_RANGE);
        s3_answer_element(&call.answer, "Error", "Message", beyond);
        assert_int_equal(judge(400, "InvalidArgument"), named ? changed : ERROR_INVALID);
        s3_answer_element(&call.answer, "Error", "Message", "Part number must be above 0");
        assert_int_equal(judge(400, "InvalidArgument"), ERROR_INVALID);
    }
    begin(STORE_GET, &s3_get);
    request.if_match = "\"0\"";
    assert_int_equal(judge(416, "InvalidRange"), ERROR_RANGE);
}

static void names_that_are_too_long(void **state)
{
    char key[600];

    (void)state;
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    begin(STORE_PUT, &s3_put);
    request.key = key;
    assert_int_equal(judge(400, "XMinioInvalidObjectName"), ERROR_TOO_LONG);
    assert_int_equal(judge(400, "InvalidArgument"), ERROR_INVALID);
    key[255] = key[511] = '/';
    assert_int_equal(judge(400, "XMinioInvalidObjectName"), ERROR_INVALID);
    strcpy(key + 246, "/");
    assert_int_equal(judge(400, "XMinioInvalidObjectName"), ERROR_INVALID);
    strcpy(key + 246, "k/");
    assert_int_equal(judge(400, "XMinioInvalidObjectName"), ERROR_TOO_LONG);
    memset(key, 'k', sizeof key - 1);
    key[256] = '/';
    assert_int_equal(judge(400, "XMinioInvalidObjectName"), ERROR_TOO_LONG);
}

static void what_servers_say_is_not_trusted(void **state)
{
    struct error err = {0};

    (void)state;
    begin(STORE_GET, &s3_get);
    s3_answer_element(&call.answer, "Error", "Region", "evil.example/#");
    assert_string_equal(call.answer.region, "");
    s3_answer_element(&call.answer, "Error", "Message", "two\nlines\x1b[31m");
    assert_int_equal(judge(400, "Bad\nCode"), ERROR_INVALID);
    s3_answer_error(&call, &err);
    assert_null(strpbrk(err.message, "\n\x1b"));
    assert_string_equal(err.code, "Bad Code");
}

static void checksums_in_base64(void **state)
{
    uint32_t crc = 0;

    (void)state;
    assert_true(s3_parse_crc32c("mnG7TA==", &crc));
    assert_int_equal(crc, 0x9a71bb4c);
    assert_false(s3_parse_crc32c("mnG7TA=", &crc));
    assert_false(s3_parse_crc32c("mnG7T!==", &crc));
    assert_false(s3_parse_crc32c(NULL, &crc));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partial_answers),
        cmocka_unit_test(attributes_of_heads),
        cmocka_unit_test(codes_before_statuses),
        cmocka_unit_test(words_where_codes_say_little),
        cmocka_unit_test(headers_tell_what_bodies_do_not),
        cmocka_unit_test(ranges_of_another_version),
        cmocka_unit_test(names_that_are_too_long),
        cmocka_unit_test(what_servers_say_is_not_trusted),
        cmocka_unit_test(checksums_in_base64),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    store_request_fini(&request);
    return failed;
}
