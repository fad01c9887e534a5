/* engine/store/s3_endpoint.c, s3_request.c, s3_metadata.c: where requests go and what they say. No
 * network: heads are only written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/options.h"
#include "store/s3.h"

#define BASE                                                                                       \
    "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_ACCESS_KEY_ID=AK",  \
        "AWS_SECRET_ACCESS_KEY=SK"

static struct options options;
static struct s3_store *store;

static void open_with(const char *a, const char *b)
{
    char *environment[] = {BASE, (char *)a, (char *)b, NULL};
    struct store *opened;
    struct error err = {0};

    assert_int_equal(options_load(environment, NULL, NULL, &options), 0);
    if (store_find("s3")->open(&options, &opened, &err) < 0)
        fail_msg("%s", err.message);
    store = (struct s3_store *)opened;
}

static void close_it(void)
{
    store->base.ops->close(&store->base);
    options_fini(&options);
}

/* ---- endpoints ------------------------------------------------------------------------------ */

static void hosts_and_styles(void **state)
{
    static const struct {
        const char *a, *b, *bucket, *host;
        bool path_style;
    } rows[] = {
        {NULL, NULL, "bkt", "bkt.s3.us-east-1.amazonaws.com", false},
        {NULL, NULL, "", "s3.us-east-1.amazonaws.com", true},
        {"AWS_REGION=eu-west-3", NULL, "bkt", "bkt.s3.eu-west-3.amazonaws.com", false},
        {"AWS_REGION=cn-north-1", NULL, "bkt", "bkt.s3.cn-north-1.amazonaws.com.cn", false},
        {"AWS_REGION=us-gov-west-1", NULL, "bkt", "bkt.s3.us-gov-west-1.amazonaws.com", false},
        {NULL, NULL, "dotted.bkt", "s3.us-east-1.amazonaws.com", true},
        {NULL, NULL, "Upper_Case", "s3.us-east-1.amazonaws.com", true},
        {"S3DLIO_ADDRESSING=path", NULL, "bkt", "s3.us-east-1.amazonaws.com", true},
        {"AWS_ENDPOINT_URL=http://127.0.0.1:9000", NULL, "bkt", "127.0.0.1:9000", true},
        {"AWS_ENDPOINT_URL=http://127.0.0.1:80/", NULL, "bkt", "127.0.0.1", true},
        {"AWS_ENDPOINT_URL=https://host:443", NULL, "bkt", "host", true},
        {"AWS_ENDPOINT_URL=https://host:80", NULL, "bkt", "host:80", true},
        {"AWS_ENDPOINT_URL=http://[::1]:9000", NULL, "bkt", "[::1]:9000", true},
        {"AWS_ENDPOINT_URL=http://127.0.0.1:9000", "S3DLIO_ADDRESSING=virtual", "bkt",
         "127.0.0.1:9000", true},
        {"AWS_ENDPOINT_URL=http://s3.test:9000", "S3DLIO_ADDRESSING=virtual", "bkt",
         "bkt.s3.test:9000", false},
        {"AWS_ENDPOINT_URL=http://s3.test", "S3DLIO_ADDRESSING=virtual", "a.b", "a.b.s3.test",
         false},
        {"AWS_ENDPOINT_URL=https://s3.test", "S3DLIO_ADDRESSING=virtual", "a.b", "s3.test", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct s3_target target, again;

        open_with(rows[i].a ? rows[i].a : rows[i].b, rows[i].a ? rows[i].b : NULL);
        assert_int_equal(s3_endpoint_find(store, rows[i].bucket, &target, NULL), 0);
        assert_string_equal(target.endpoint->host_header, rows[i].host);
        assert_int_equal(target.path_style, rows[i].path_style);
        assert_int_equal(s3_endpoint_find(store, rows[i].bucket, &again, NULL), 0);
        assert_ptr_equal(again.endpoint, target.endpoint);
        close_it();
    }
}

static void a_known_region_moves_the_host(void **state)
{
    struct s3_target target;

    (void)state;
    open_with(NULL, NULL);
    s3_bucket_set_region(store, "far", "ap-south-1");
    assert_int_equal(s3_endpoint_find(store, "far", &target, NULL), 0);
    assert_string_equal(target.region, "ap-south-1");
    assert_string_equal(target.endpoint->host_header, "far.s3.ap-south-1.amazonaws.com");
    assert_int_equal(s3_endpoint_find(store, "near", &target, NULL), 0);
    assert_string_equal(target.region, "us-east-1");
    close_it();
    open_with("AWS_ENDPOINT_URL=http://own:1", NULL);
    s3_bucket_set_region(store, "far", "ap-south-1");
    assert_int_equal(s3_endpoint_find(store, "far", &target, NULL), 0);
    assert_string_equal(target.region, "ap-south-1");
    assert_string_equal(target.endpoint->host_header, "own:1");
    close_it();
}

/* ---- heads ---------------------------------------------------------------------------------- */

static char head_text[32768];

/* The head of a request as it would be sent now. */
static enum error_class head_of(const struct s3_operation *operation, struct store_request *request)
{
    struct s3_call call = {.request = request, .store = store, .operation = operation};
    struct error err = {0};
    struct buffer head;

    buffer_init(&head, sizeof head_text - 1);
    buffer_init(&call.payload, 1 << 20);
    request->store = &store->base;
    assert_int_equal(
        s3_endpoint_find(store, operation->service ? "" : request->bucket, &call.target, NULL), 0);
    if (!operation->prepare || operation->prepare(&call, &err) == 0)
        s3_write_head(&call, &head, &err);
    strcpy(head_text, buffer_str(&head));
    if (operation->release)
        operation->release(&call);
    credentials_unref(call.credentials);
    buffer_fini(&call.payload);
    buffer_fini(&head);
    return err.class;
}

static void assert_line(const char *line)
{
    if (!strstr(head_text, line))
        fail_msg("%s\nis not in\n%s", line, head_text);
}

static void keys_are_encoded(void **state)
{
    struct store_request request = {.bucket = "bkt", .key = "a b/+%41?#\xc3\xa9~/../x"};

    (void)state;
    open_with("AWS_ENDPOINT_URL=http://h:1/base/", NULL);
    assert_int_equal(head_of(&s3_get, &request), ERROR_NONE);
    assert_line("GET /base/bkt/a%20b/%2B%2541%3F%23%C3%A9~/../x HTTP/1.1\r\nhost: h:1\r\n");
    assert_line("\r\nauthorization: AWS4-HMAC-SHA256 Credential=AK/");
    assert_line("/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, ");
    assert_line("\r\nx-amz-content-sha256: e3b0c442");
    assert_null(strstr(head_text, "content-length"));
    assert_null(strstr(head_text, "SK"));
    close_it();
}

static void ranges_and_conditions(void **state)
{
    struct store_request request = {.operation = STORE_GET,
                                    .bucket = "bkt",
                                    .key = "k",
                                    .offset = 10,
                                    .length = 5,
                                    .if_match = "\"tag\""};

    (void)state;
    open_with("S3DLIO_REQUESTER_PAYS=1", "AWS_SESSION_TOKEN=TOK");
    assert_int_equal(head_of(&s3_get, &request), ERROR_NONE);
    assert_line("GET /k HTTP/1.1\r\nhost: bkt.s3.us-east-1.amazonaws.com\r\n");
    assert_line("\r\nrange: bytes=10-14\r\n");
    assert_line("\r\nif-match: \"tag\"\r\n");
    assert_line("\r\nx-amz-request-payer: requester\r\n");
    assert_line("\r\nx-amz-security-token: TOK\r\n");
    request.length = 0;
    assert_int_equal(head_of(&s3_get, &request), ERROR_NONE);
    assert_line("\r\nrange: bytes=10-\r\n");
    request.offset = 0;
    assert_int_equal(head_of(&s3_get, &request), ERROR_NONE);
    assert_null(strstr(head_text, "range:"));
    close_it();
}

static void bodies_and_checksums(void **state)
{
    struct iovec body = {"hello", 5};
    struct store_request request = {.operation = STORE_PUT,
                                    .bucket = "bkt",
                                    .key = "k",
                                    .body = &body,
                                    .body_count = 1,
                                    .content_type = "text/plain",
                                    .if_none_match = true,
                                    .has_body_crc32c = true,
                                    .body_crc32c = 0x9a71bb4c};

    (void)state;
    open_with("S3DLIO_ANONYMOUS=0", NULL);
    assert_int_equal(head_of(&s3_put, &request), ERROR_NONE);
    assert_line("PUT /k HTTP/1.1\r\n");
    assert_line("\r\ncontent-length: 5\r\n");
    assert_line("\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n");
    assert_line("\r\nx-amz-checksum-crc32c: mnG7TA==\r\n");
    assert_line("\r\nif-none-match: *\r\n");
    assert_line("\r\ncontent-type: text/plain\r\n");
    request.content_type = "a\r\nb";
    assert_int_equal(head_of(&s3_put, &request), ERROR_INVALID);
    close_it();
}

static void listings_are_queries(void **state)
{
    struct store_request request = {
        .bucket = "bkt", .prefix = "a b/", .delimiter = "/", .start_after = "x&y", .max_keys = 7};

    (void)state;
    open_with("AWS_ENDPOINT_URL=http://h:1", NULL);
    assert_int_equal(head_of(&s3_list, &request), ERROR_NONE);
    assert_line("GET /bkt?list-type=2&encoding-type=url&prefix=a%20b%2F&delimiter=%2F"
                "&start-after=x%26y&max-keys=7 HTTP/1.1\r\n");
    request = (struct store_request){.bucket = "bkt", .token = "1/+="};
    assert_int_equal(head_of(&s3_list, &request), ERROR_NONE);
    assert_line("&continuation-token=1%2F%2B%3D HTTP/1.1");
    assert_int_equal(head_of(&s3_list_buckets, &request), ERROR_NONE);
    assert_line("GET /?continuation-token=1%2F%2B%3D HTTP/1.1");
    close_it();
}

static void uploads_name_parts(void **state)
{
    struct store_part part = {.number = 1, .etag = "\"e\"", .has_crc32c = true};
    struct store_request request = {.operation = STORE_UPLOAD_PART_COPY,
                                    .bucket = "bkt",
                                    .key = "k",
                                    .upload_id = "id/+",
                                    .part_number = 3,
                                    .source_bucket = "src",
                                    .source_key = "s p/\xc3\xa9",
                                    .offset = 5,
                                    .length = 10,
                                    .if_match = "\"x\"",
                                    .upload_crc32c = true,
                                    .parts = &part,
                                    .part_count = 1};

    (void)state;
    open_with("AWS_ENDPOINT_URL=http://h:1", NULL);
    assert_int_equal(head_of(&s3_upload_part_copy, &request), ERROR_NONE);
    assert_line("PUT /bkt/k?partNumber=3&uploadId=id%2F%2B HTTP/1.1\r\n");
    assert_line("\r\nx-amz-copy-source: /src/s%20p/%C3%A9\r\n");
    assert_line("\r\nx-amz-copy-source-range: bytes=5-14\r\n");
    assert_line("\r\nx-amz-copy-source-if-match: \"x\"\r\n");
    assert_line("\r\ncontent-length: 0\r\n");
    assert_int_equal(head_of(&s3_upload_create, &request), ERROR_NONE);
    assert_line("POST /bkt/k?uploads= HTTP/1.1\r\n");
    assert_line("\r\nx-amz-checksum-algorithm: CRC32C\r\n");
    assert_line("\r\nx-amz-checksum-type: FULL_OBJECT\r\n");
    assert_int_equal(head_of(&s3_upload_complete, &request), ERROR_NONE);
    assert_line("POST /bkt/k?uploadId=id%2F%2B HTTP/1.1\r\n");
    assert_line("\r\nx-amz-checksum-crc32c: AAAAAA==\r\n");
    close_it();
}

static void anonymous_is_not_signed(void **state)
{
    struct store_request request = {.bucket = "bkt", .key = "k"};

    (void)state;
    open_with("S3DLIO_ANONYMOUS=1", NULL);
    assert_int_equal(head_of(&s3_get, &request), ERROR_NONE);
    assert_null(strstr(head_text, "authorization"));
    assert_null(strstr(head_text, "x-amz-date"));
    close_it();
}

static void delete_many_is_xml(void **state)
{
    const char *keys[] = {"a<&>\"", "tab\there"};
    const char *control[] = {"\x01"};
    struct store_request request = {.bucket = "bkt", .keys = keys, .key_count = 2};

    (void)state;
    open_with("AWS_ENDPOINT_URL=http://h:1", NULL);
    assert_int_equal(head_of(&s3_delete_many, &request), ERROR_NONE);
    assert_line("POST /bkt?delete= HTTP/1.1\r\n");
    assert_line("\r\ncontent-md5: ");
    request.keys = control;
    request.key_count = 1;
    assert_int_equal(head_of(&s3_delete_many, &request), ERROR_UNSUPPORTED);
    request.key_count = 0;
    assert_int_equal(head_of(&s3_delete_many, &request), ERROR_INVALID);
    close_it();
}

/* ---- metadata ------------------------------------------------------------------------------- */

static void metadata_is_wrapped_where_needed(void **state)
{
    struct store_metadata metadata = {0};
    struct store_request request = {.bucket = "bkt", .key = "k", .metadata = &metadata};

    (void)state;
    open_with(NULL, NULL);
    assert_int_equal(store_metadata_add(&metadata, "mode", "0644"), 0);
    assert_int_equal(store_metadata_add(&metadata, "link", "caf\xc3\xa9"), 0);
    assert_int_equal(store_metadata_add(&metadata, "lines", "a\nb"), 0);
    assert_int_equal(head_of(&s3_put, &request), ERROR_NONE);
    assert_line("\r\nx-amz-meta-mode: 0644\r\n");
    assert_line("\r\nx-amz-meta-link: =?UTF-8?B?Y2Fmw6k=?=\r\n");
    assert_line("\r\nx-amz-meta-lines: =?UTF-8?B?YQpi?=\r\n");
    store_metadata_fini(&metadata);
    assert_int_equal(store_metadata_add(&metadata, "bad name", "x"), 0);
    assert_int_equal(head_of(&s3_put, &request), ERROR_INVALID);
    store_metadata_fini(&metadata);
    close_it();
}

static void metadata_is_unwrapped(void **state)
{
    static const struct {
        const char *header, *value;
    } rows[] = {
        {"plain", "plain"},
        {"=?UTF-8?B?Y2Fmw6k=?=", "caf\xc3\xa9"},
        {"=?utf-8?q?caf=C3=A9_x?=", "caf\xc3\xa9 x"},
        {"=?UTF-8?q?=c3=a9?=", "\xc3\xa9"},
        {"=?UTF-8?B?YQ==?= =?UTF-8?B?Yg==?=", "ab"},
        {"a =?UTF-8?B?Yg==?= c", "a b c"},
        {"=?ISO-8859-1?q?=E9?=", "=?ISO-8859-1?q?=E9?="},
        {"=?UTF-8?B?!!?=", "=?UTF-8?B?!!?="},
        {"=?UTF-8?q?=G1?=", "=?UTF-8?q?=G1?="},
        {"=?UTF-8?B?AA==?=", "=?UTF-8?B?AA==?="}, /* a NUL */
        {"=?UTF-8?B?YQ", "=?UTF-8?B?YQ"},
        {"", ""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static struct http_head head;
        struct store_metadata metadata = {0};

        head.header_count = 2;
        head.headers[0] = (struct http_header){"etag", "\"x\""};
        head.headers[1] = (struct http_header){"x-amz-meta-v", rows[i].header};
        assert_int_equal(s3_metadata_read(&head, &metadata), 0);
        assert_string_equal(store_metadata_get(&metadata, "v"), rows[i].value);
        store_metadata_fini(&metadata);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_styles),      cmocka_unit_test(a_known_region_moves_the_host),
        cmocka_unit_test(keys_are_encoded),      cmocka_unit_test(ranges_and_conditions),
        cmocka_unit_test(bodies_and_checksums),  cmocka_unit_test(listings_are_queries),
        cmocka_unit_test(uploads_name_parts),    cmocka_unit_test(anonymous_is_not_signed),
        cmocka_unit_test(delete_many_is_xml),    cmocka_unit_test(metadata_is_wrapped_where_needed),
        cmocka_unit_test(metadata_is_unwrapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
