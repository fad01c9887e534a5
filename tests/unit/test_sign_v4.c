/* engine/http/sign_v4.h against AWS's published vectors: the examples of the S3 documentation
 * (header form, 24 May 2013) and the SigV4 test suite (30 August 2015). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "http/sign_v4.h"

#define S3_HOST                                                                                    \
    {                                                                                              \
        "host", "examplebucket.s3.amazonaws.com"                                                   \
    }
#define S3_DATE                                                                                    \
    {                                                                                              \
        "x-amz-date", "20130524T000000Z"                                                           \
    }
#define S3_EMPTY                                                                                   \
    {                                                                                              \
        "x-amz-content-sha256", SIGN_EMPTY_SHA256                                                  \
    }
#define SUITE_HOST                                                                                 \
    {                                                                                              \
        "host", "example.amazonaws.com"                                                            \
    }
#define SUITE_DATE                                                                                 \
    {                                                                                              \
        "x-amz-date", "20150830T123600Z"                                                           \
    }
#define UNRESERVED  "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define PUT_SHA256  "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define FORM_SHA256 "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"

static const struct vector {
    const char *name, *path, *query;
    const char *method;            /* NULL: GET */
    struct sign_header headers[6]; /* none: SUITE_HOST, SUITE_DATE */
    const char *names;             /* as they are signed; NULL: of those two */
    const char *payload_hash;      /* NULL: of nothing */
    bool normalize;
    const char *signature;
} s3_vectors[] = {
    {"GET object", "/test.txt", "", .headers = {S3_HOST, {"range", "bytes=0-9"}, S3_EMPTY, S3_DATE},
     .names = "host;range;x-amz-content-sha256;x-amz-date",
     .signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT object", "/test%24file.text", "", .method = "PUT",
     .headers = {{"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                 S3_DATE,
                 {"x-amz-content-sha256", PUT_SHA256},
                 S3_HOST,
                 {"date", "Fri, 24 May 2013 00:00:00 GMT"}},
     .names = "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     .payload_hash = PUT_SHA256,
     .signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET lifecycle", "/", "lifecycle", .headers = {S3_HOST, S3_EMPTY, S3_DATE},
     .names = "host;x-amz-content-sha256;x-amz-date",
     .signature = "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"list objects", "/", "prefix=J&max-keys=2", .headers = {S3_HOST, S3_EMPTY, S3_DATE},
     .names = "host;x-amz-content-sha256;x-amz-date",
     .signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static const struct vector suite_vectors[] = {
    {"get-vanilla", "/", "",
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla", "/", "", .method = "POST",
     .signature = "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-empty-query-key", "/", "Param1=value1",
     .signature = "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
    {"get-vanilla-query-order-key", "/", "Param1=value2&Param1=Value1",
     .signature = "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"},
    {"get-vanilla-query-order-key-case", "/", "Param2=value2&Param1=value1",
     .signature = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-vanilla-query-order-value", "/", "Param1=value2&Param1=value1",
     .signature = "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"},
    {"get-vanilla-query-unreserved", "/", UNRESERVED "=" UNRESERVED,
     .signature = "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
    {"get-vanilla-utf8-query", "/", "%E1%88%B4=bar",
     .signature = "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
    {"get-unreserved", "/" UNRESERVED, "",
     .signature = "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
    {"get-utf8", "/%E1%88%B4", "",
     .signature = "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
    {"get-header-key-duplicate", "/", "",
     .headers = {SUITE_HOST,
                 {"my-header1", "value2"},
                 {"my-header1", "value2"},
                 {"my-header1", "value1"},
                 SUITE_DATE},
     .names = "host;my-header1;x-amz-date",
     .signature = "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
    {"get-header-value-order", "/", "",
     .headers = {SUITE_HOST,
                 {"my-header1", "value4"},
                 {"my-header1", "value1"},
                 {"my-header1", "value3"},
                 {"my-header1", "value2"},
                 SUITE_DATE},
     .names = "host;my-header1;x-amz-date",
     .signature = "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
    {"get-header-value-trim", "/", "",
     .headers =
         {SUITE_HOST, {"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}, SUITE_DATE},
     .names = "host;my-header1;my-header2;x-amz-date",
     .signature = "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-header-value-case", "/", "", .method = "POST",
     .headers = {SUITE_HOST, {"my-header1", "VALUE1"}, SUITE_DATE},
     .names = "host;my-header1;x-amz-date",
     .signature = "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
    {"post-x-www-form-urlencoded", "/", "", .method = "POST",
     .headers = {{"content-type", "application/x-www-form-urlencoded"}, SUITE_HOST, SUITE_DATE},
     .names = "content-type;host;x-amz-date", .payload_hash = FORM_SHA256,
     .signature = "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"get-relative", "/example/..", "", .normalize = true,
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-relative-relative", "/example1/example2/../..", "", .normalize = true,
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash", "//", "", .normalize = true,
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-dot-slash", "/./", "", .normalize = true,
     .signature = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"get-slash-pointless-dot", "/./example", "", .normalize = true,
     .signature = "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
    {"get-slashes", "//example//", "", .normalize = true,
     .signature = "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
    {"get-space", "/example%20space/", "", .normalize = true,
     .signature = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
};

static const struct sign_header suite_headers[6] = {SUITE_HOST, SUITE_DATE};

static void check(const struct vector *vector, const struct sign_v4 *base)
{
    struct sign_v4 request = *base;
    struct buffer got, want;
    char date[17];

    request.method = vector->method ? vector->method : "GET";
    request.path = vector->path;
    request.query = vector->query;
    request.headers = vector->headers[0].name ? vector->headers : suite_headers;
    while (request.header_count < 6 && request.headers[request.header_count].name)
        request.header_count++;
    request.payload_hash = vector->payload_hash ? vector->payload_hash : SIGN_EMPTY_SHA256;
    request.normalize_path = vector->normalize;
    sign_v4_timestamp(request.when, date);
    buffer_init(&got, 4096);
    buffer_init(&want, 4096);
    buffer_append_format(&want,
                         "AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, "
                         "SignedHeaders=%s, Signature=%s",
                         base->access_key, date, base->service,
                         vector->names ? vector->names : "host;x-amz-date", vector->signature);
    assert_int_equal(sign_v4_authorization(&request, &got), 0);
    if (strcmp(buffer_str(&got), buffer_str(&want)) != 0)
        fail_msg("%s:\n got %s\nwant %s", vector->name, buffer_str(&got), buffer_str(&want));
    buffer_fini(&got);
    buffer_fini(&want);
}

static void signs_the_s3_examples(void **state)
{
    const struct sign_v4 base = {
        .access_key = "AKIAIOSFODNN7EXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        .region = "us-east-1",
        .service = "s3",
        .when = 1369353600,
    };

    (void)state;
    for (size_t i = 0; i < sizeof s3_vectors / sizeof s3_vectors[0]; i++)
        check(&s3_vectors[i], &base);
}

static void signs_the_test_suite(void **state)
{
    const struct sign_v4 base = {
        .access_key = "AKIDEXAMPLE",
        .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        .region = "us-east-1",
        .service = "service",
        .when = 1440938160,
    };

    (void)state;
    for (size_t i = 0; i < sizeof suite_vectors / sizeof suite_vectors[0]; i++)
        check(&suite_vectors[i], &base);
}

static void signing_keys_are_not_mixed_up(void **state)
{
    struct sign_v4 request = {
        .method = "GET",
        .path = "/",
        .query = "",
        .payload_hash = SIGN_UNSIGNED_PAYLOAD,
        .headers = (struct sign_header[]){{"host", "h"}},
        .header_count = 1,
        .access_key = "A",
        .secret_key = "secret",
        .region = "r",
        .service = "s3",
    };
    struct buffer first, again, other;

    (void)state;
    buffer_init(&first, 1024);
    buffer_init(&again, 1024);
    buffer_init(&other, 1024);
    assert_int_equal(sign_v4_authorization(&request, &first), 0);
    for (int i = 0; i < 10; i++) { /* more than are kept */
        request.secret_key = i % 2 ? "other" : "another";
        request.when += 86400;
        buffer_clear(&other);
        assert_int_equal(sign_v4_authorization(&request, &other), 0);
        assert_string_not_equal(buffer_str(&first), buffer_str(&other));
    }
    request.secret_key = "secret";
    request.when = 0;
    assert_int_equal(sign_v4_authorization(&request, &again), 0);
    assert_string_equal(buffer_str(&first), buffer_str(&again));
    buffer_fini(&first);
    buffer_fini(&again);
    buffer_fini(&other);
}

static void hashes_and_times(void **state)
{
    char text[65];

    (void)state;
    sign_sha256_hex("", 0, text);
    assert_string_equal(text, SIGN_EMPTY_SHA256);
    sign_sha256_hex("Welcome to Amazon S3.", 21, text);
    assert_string_equal(text, PUT_SHA256);
    sign_md5_base64("", 0, text);
    assert_string_equal(text, "1B2M2Y8AsgTpgAmY7PhCfg==");
    sign_v4_timestamp(0, text);
    assert_string_equal(text, "19700101T000000Z");
    sign_v4_timestamp(1709164800, text);
    assert_string_equal(text, "20240229T000000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs_the_s3_examples),
        cmocka_unit_test(signs_the_test_suite),
        cmocka_unit_test(signing_keys_are_not_mixed_up),
        cmocka_unit_test(hashes_and_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
