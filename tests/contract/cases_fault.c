/* What servers and networks get wrong, ordered from the bundled server: each fault gives its
 * class of error, in time, and the store works afterwards. See tests/server/README.md for the
 * rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "cases.h"
#include "run.h"

#define SIZE 200000u

static char text[256];

/* ---- the admin path ------------------------------------------------------------------------- */

static size_t append(char *data, size_t size, size_t count, void *arg)
{
    return buffer_append(arg, data, size * count) == 0 ? size * count : 0;
}

static void admin(const char *method, const char *path, const char *body)
{
    CURL *curl = curl_easy_init();
    long status = 0;
    char url[512];
    struct buffer answer;
    CURLcode code;

    assert_non_null(curl);
    buffer_init(&answer, 65536);
    snprintf(url, sizeof url, "%s/-/%s", getenv("AWS_ENDPOINT_URL"), path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    if (body)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    if (getenv("AWS_CA_BUNDLE"))
        curl_easy_setopt(curl, CURLOPT_CAINFO, getenv("AWS_CA_BUNDLE"));
    code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        fail_msg("%s %s: %s", method, url, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 != 2)
        fail_msg("%s %s: %ld %s", method, url, status, buffer_str(&answer));
    buffer_fini(&answer);
    curl_easy_cleanup(curl);
}

static void order(const char *rule)
{
    admin("POST", "faults", rule);
}

static int setup(void **state)
{
    (void)state;
    put_pattern("fault/body", 13, SIZE, NULL);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    admin("DELETE", "faults", NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    delete_below("fault/");
    return 0;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static struct error get_range(struct store *store, uint64_t offset, uint64_t length,
                              const char *if_match, size_t *ret_length)
{
    struct error error;
    struct store_call call;

    run_call_init(&call, STORE_GET, "fault/body");
    call.request.store = store;
    call.request.offset = offset;
    call.request.length = length;
    call.request.if_match = if_match;
    store_call_do(&call);
    assert_pattern(call.data ? call.data : "", 13, offset, call.length);
    error = call.request.error;
    *ret_length = call.length;
    store_call_fini(&call);
    return error;
}

static enum error_class get_class(struct store *store)
{
    size_t length;

    return get_range(store, 100, 50000, NULL, &length).class;
}

static enum error_class list_class(void)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, STORE_LIST, NULL);
    call.request.prefix = "fault/";
    class = store_call_do(&call);
    assert_true((class == ERROR_NONE) == (call.request.page != NULL));
    store_call_fini(&call);
    return class;
}

static void assert_works(void)
{
    admin("DELETE", "faults", NULL);
    assert_class(get_class(run.store), ERROR_NONE);
}

/* ---- broken answers ------------------------------------------------------------------------- */

static void broken_answers_to_get(void **state)
{
    static const struct {
        const char *action;
        enum error_class class;
    } rows[] = {
        {"truncate@5000", ERROR_NETWORK},     {"truncate", ERROR_NETWORK},
        {"reset@5000", ERROR_NETWORK},        {"wrong-range", ERROR_PROTOCOL},
        {"wrong-length", ERROR_PROTOCOL},     {"huge-header:100000", ERROR_PROTOCOL},
        {"many-headers:400", ERROR_PROTOCOL}, {"endless-body", ERROR_PROTOCOL},
    };
    char rule[256];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(rule, sizeof rule, "op=GetObject key=fault/body action=%s", rows[i].action);
        order(rule);
        assert_class(get_class(run.store), rows[i].class);
        assert_works();
    }
}

static void part_of_a_body_is_told(void **state)
{
    struct error error;
    size_t length;

    (void)state;
    order("op=GetObject action=truncate@5000");
    error = get_range(run.store, 1000, 50000, NULL, &length);
    assert_class(error.class, ERROR_NETWORK);
    assert_int_equal(length, 5000); /* the core goes on from there */
    assert_works();
}

static void missing_etag_is_tolerated(void **state)
{
    struct store_call call;

    (void)state;
    order("op=GetObject action=no-etag");
    run_call_init(&call, STORE_GET, "fault/body");
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_string_equal(call.request.object.etag, "");
    assert_int_equal(call.length, SIZE);
    store_call_fini(&call);
}

static void broken_listings(void **state)
{
    (void)state;
    order("op=ListObjectsV2 action=bad-xml");
    assert_class(list_class(), ERROR_PROTOCOL);
    admin("DELETE", "faults", NULL);
    order("op=ListObjectsV2 action=endless-body");
    assert_class(list_class(), ERROR_PROTOCOL);
    admin("DELETE", "faults", NULL);
    order("op=ListObjectsV2 action=truncate@100");
    assert_class(list_class(), ERROR_NETWORK);
    admin("DELETE", "faults", NULL);
    assert_class(list_class(), ERROR_NONE);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void refusals_are_classed(void **state)
{
    static const struct {
        const char *action;
        enum error_class class;
        const char *code;
        int retry_after_ms;
    } rows[] = {
        {"status:503:SlowDown:retry-after=2", ERROR_THROTTLED, "SlowDown", 2000},
        {"status:429:TooManyRequests:retry-after=1", ERROR_THROTTLED, "TooManyRequests", 1000},
        {"status:500:InternalError", ERROR_SERVER, "InternalError", 0},
        {"status:400:RequestTimeout", ERROR_TIMEOUT, "RequestTimeout", 0},
        {"status:507:QuotaExceeded", ERROR_NO_SPACE, "QuotaExceeded", 0},
        {"status:501:NotImplemented", ERROR_UNSUPPORTED, "NotImplemented", 0},
        {"status:418:Teapot", ERROR_INVALID, "Teapot", 0},
    };
    char rule[256];
    size_t length;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error;

        snprintf(rule, sizeof rule, "op=GetObject action=%s", rows[i].action);
        order(rule);
        error = get_range(run.store, 0, 1000, NULL, &length);
        assert_class(error.class, rows[i].class);
        assert_string_equal(error.code, rows[i].code);
        assert_int_equal(error.retry_after_ms, rows[i].retry_after_ms);
        assert_true(error.request_id[0] != '\0');
        admin("DELETE", "faults", NULL);
        snprintf(rule, sizeof rule, "op=HeadObject action=%s", rows[i].action);
        order(rule);
        if (rows[i].class == ERROR_THROTTLED || rows[i].class == ERROR_SERVER)
            assert_class(try_head("fault/body"), rows[i].class);
        admin("DELETE", "faults", NULL);
    }
}

static void errors_in_answers_of_200(void **state)
{
    struct store_call create, part, complete, copy;
    struct iovec body = {"x", 1};

    (void)state;
    order("op=CopyObject action=error200\nop=CompleteMultipartUpload nth=1 action=error200\n"
          "op=UploadPartCopy action=error200");
    run_call_init(&copy, STORE_COPY, "fault/copy");
    copy.request.source_bucket = run.bucket;
    copy.request.source_key = "fault/body";
    assert_class(store_call_do(&copy), ERROR_SERVER);
    assert_int_equal(copy.request.error.http_status, 200);
    assert_true(copy.request.error.code[0] != '\0');
    store_call_fini(&copy);
    assert_class(try_head("fault/copy"), ERROR_NOT_FOUND);
    run_call_init(&create, STORE_UPLOAD_CREATE, "fault/upload");
    assert_class(store_call_do(&create), ERROR_NONE);
    run_call_init(&part, STORE_UPLOAD_PART_COPY, "fault/upload");
    part.request.upload_id = create.request.returned_upload_id;
    part.request.part_number = 1;
    part.request.source_bucket = run.bucket;
    part.request.source_key = "fault/body";
    assert_class(store_call_do(&part), ERROR_SERVER);
    store_call_fini(&part);
    run_call_init(&part, STORE_UPLOAD_PART, "fault/upload");
    part.request.upload_id = create.request.returned_upload_id;
    part.request.part_number = 1;
    part.request.body = &body;
    part.request.body_count = 1;
    assert_class(store_call_do(&part), ERROR_NONE);
    for (unsigned round = 0; round < 2; round++) {
        run_call_init(&complete, STORE_UPLOAD_COMPLETE, "fault/upload");
        complete.request.upload_id = create.request.returned_upload_id;
        complete.request.parts = &part.request.part;
        complete.request.part_count = 1;
        assert_class(store_call_do(&complete), round ? ERROR_NONE : ERROR_SERVER);
        store_call_fini(&complete);
    }
    store_call_fini(&part);
    store_call_fini(&create);
}

static void lost_answers(void **state)
{
    (void)state;
    order("op=PutObject key=fault/lost action=lose-answer");
    assert_class(try_put("fault/lost", "was done"), ERROR_NETWORK);
    get_text("fault/lost", text, sizeof text);
    assert_string_equal(text, "was done");
}

static void damaged_upload(void **state)
{
    char data[5000] = "data";
    struct iovec body = {data, sizeof data};
    struct store_call call;

    (void)state;
    order("op=PutObject key=fault/damaged action=corrupt@1234");
    run_call_init(&call, STORE_PUT, "fault/damaged");
    call.request.body = &body;
    call.request.body_count = 1;
    call.request.has_body_crc32c = true;
    call.request.body_crc32c = crc32c_update(0, data, sizeof data);
    assert_class(store_call_do(&call), ERROR_INTEGRITY);
    store_call_fini(&call);
    assert_class(try_head("fault/damaged"), ERROR_NOT_FOUND);
}

static void replaced_between_ranges(void **state)
{
    struct error error;
    struct store_call head;
    size_t length;

    (void)state;
    run_call_init(&head, STORE_HEAD, "fault/body");
    assert_class(store_call_do(&head), ERROR_NONE);
    order("op=GetObject key=fault/body nth=2 action=replace");
    error = get_range(run.store, 0, 1000, head.request.object.etag, &length);
    assert_class(error.class, ERROR_NONE);
    error = get_range(run.store, 1000, 1000, head.request.object.etag, &length);
    assert_class(error.class, ERROR_CHANGED);
    assert_int_equal(length, 0);
    store_call_fini(&head);
    setup(NULL);
}

/* ---- time ----------------------------------------------------------------------------------- */

static void waits_have_limits(void **state)
{
    const char *const changes[] = {"S3DLIO_FIRST_BYTE_TIMEOUT_MS=300",
                                   "S3DLIO_PROGRESS_TIMEOUT_MS=300", NULL};
    int64_t begin = clock_now_ns();
    struct other other;

    (void)state;
    other_open(&other, changes);
    order("op=GetObject action=delay:20000");
    assert_class(get_class(other.store), ERROR_TIMEOUT);
    admin("DELETE", "faults", NULL);
    order("op=GetObject action=stall@1000:20000");
    assert_class(get_class(other.store), ERROR_TIMEOUT);
    admin("DELETE", "faults", NULL);
    assert_class(get_class(other.store), ERROR_NONE);
    assert_true(clock_now_ns() - begin < 10 * NS_PER_S);
    other_close(&other);
}

static void deadline_of_a_request(void **state)
{
    int64_t begin = clock_now_ns();
    struct store_call call;

    (void)state;
    order("op=GetObject action=stall@1000:20000");
    run_call_init(&call, STORE_GET, "fault/body");
    call.request.deadline_ns = clock_deadline_ns(300 * NS_PER_MS);
    assert_class(store_call_do(&call), ERROR_TIMEOUT);
    store_call_fini(&call);
    assert_true(clock_now_ns() - begin < 5 * NS_PER_S);
}

static void abandoned_while_it_stalls(void **state)
{
    struct store_call call;

    (void)state;
    order("op=GetObject action=stall@1000:20000");
    run_call_init(&call, STORE_GET, "fault/body");
    store_call_begin(&call);
    store_call_wait_bytes(&call, 1000);
    store_call_abandon(&call);
    store_call_fini(&call);
    assert_works();
}

static void wrong_clock_is_corrected(void **state)
{
    static const char *const shifts[] = {"clock?offset_s=7200", "clock?offset_s=-86400"};
    const char *const changes[] = {NULL};
    struct other other;
    struct store_call call;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        other_open(&other, changes);
        admin("PUT", shifts[i], NULL);
        assert_class(get_class(other.store), ERROR_NONE);
        admin("PUT", "clock?offset_s=0", NULL);
        /* back again, by a refusal without a body */
        run_call_init(&call, STORE_HEAD, "fault/body");
        call.request.store = other.store;
        assert_class(store_call_do(&call), ERROR_NONE);
        store_call_fini(&call);
        other_close(&other);
    }
}

/* ---- identity ------------------------------------------------------------------------------- */

static void wrong_redirect_heals(void **state)
{
    const char *const changes[] = {NULL};
    struct other other;

    (void)state;
    other_open(&other, changes);
    order("op=GetObject nth=1 action=redirect:eu-north-9");
    assert_class(get_class(other.store), ERROR_REGION); /* two redirects: one is followed */
    assert_class(get_class(other.store), ERROR_NONE);
    other_close(&other);
}

static void write_credentials(const char *path, const char *token)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fprintf(file, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
            getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"));
    if (token)
        fprintf(file, "aws_session_token = %s\n", token);
    fclose(file);
}

/* The file is written anew while the program runs; GET and HEAD both notice the refusal. */
static void renewed_credentials_are_read(void **state)
{
    static const enum store_operation operations[] = {STORE_GET, STORE_HEAD};
    char path[] = "/tmp/contract-credentials-XXXXXX", variable[80];
    const char *const changes[] = {variable, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", NULL};
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    snprintf(variable, sizeof variable, "AWS_SHARED_CREDENTIALS_FILE=%s", path);
    for (size_t i = 0; i < 2; i++) {
        struct other other;
        struct store_call call;

        write_credentials(path, "stale-token");
        other_open(&other, changes);
        for (unsigned round = 0; round < 2; round++) {
            run_call_init(&call, operations[i], "fault/body");
            call.request.store = other.store;
            assert_class(store_call_do(&call), round ? ERROR_NONE : ERROR_TOKEN);
            store_call_fini(&call);
            write_credentials(path, NULL);
        }
        other_close(&other);
    }
    unlink(path);
}

static void expired_token_without_a_newer_one(void **state)
{
    struct error error;
    size_t length;

    (void)state;
    order("op=GetObject action=expire-token");
    error = get_range(run.store, 0, 100, NULL, &length);
    assert_class(error.class, ERROR_TOKEN);
    assert_string_equal(error.code, "ExpiredToken");
    assert_non_null(strstr(error.message, "no newer credentials"));
}

int cases_fault(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(broken_answers_to_get, clear),
        cmocka_unit_test_teardown(part_of_a_body_is_told, clear),
        cmocka_unit_test_teardown(missing_etag_is_tolerated, clear),
        cmocka_unit_test_teardown(broken_listings, clear),
        cmocka_unit_test_teardown(refusals_are_classed, clear),
        cmocka_unit_test_teardown(errors_in_answers_of_200, clear),
        cmocka_unit_test_teardown(lost_answers, clear),
        cmocka_unit_test_teardown(damaged_upload, clear),
        cmocka_unit_test_teardown(replaced_between_ranges, clear),
        cmocka_unit_test_teardown(waits_have_limits, clear),
        cmocka_unit_test_teardown(deadline_of_a_request, clear),
        cmocka_unit_test_teardown(abandoned_while_it_stalls, clear),
        cmocka_unit_test_teardown(wrong_clock_is_corrected, clear),
        cmocka_unit_test_teardown(wrong_redirect_heals, clear),
        cmocka_unit_test_teardown(renewed_credentials_are_read, clear),
        cmocka_unit_test_teardown(expired_token_without_a_newer_one, clear),
    };

    if (strcmp(run.traits->name, "bundled") != 0)
        return 0;
    return cmocka_run_group_tests_name("faults", tests, setup, teardown);
}
