/* Who asks, where, and when: credentials, regions, endpoints. Servers only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "run.h"

/* A GET of "who" through a store with these changes; the error. */
static struct error get_with(const char *const *changes)
{
    struct other other;
    struct error error;
    struct store_call call;

    other_open(&other, changes);
    run_call_init(&call, STORE_GET, "who");
    call.request.store = other.store;
    store_call_do(&call);
    error = call.request.error;
    store_call_fini(&call);
    other_close(&other);
    return error;
}

static enum error_class head_with(const char *const *changes)
{
    enum error_class class;
    struct other other;
    struct store_call call;

    other_open(&other, changes);
    run_call_init(&call, STORE_HEAD, "who");
    call.request.store = other.store;
    class = store_call_do(&call);
    store_call_fini(&call);
    other_close(&other);
    return class;
}

static int setup(void **state)
{
    (void)state;
    put_text("who", "it is me");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return try_delete("who") == ERROR_NONE ? 0 : -1;
}

static void wrong_secret(void **state)
{
    const char *const changes[] = {"AWS_SECRET_ACCESS_KEY=not-the-secret", NULL};
    struct error error = get_with(changes);

    (void)state;
    assert_class(error.class, ERROR_ACCESS);
    assert_string_equal(error.code, "SignatureDoesNotMatch");
    assert_int_equal(error.http_status, 403);
    assert_true(error.request_id[0] != '\0');
    assert_class(head_with(changes), ERROR_ACCESS);
}

static void unknown_key(void **state)
{
    const char *const changes[] = {"AWS_ACCESS_KEY_ID=NOSUCHKEYATALL", NULL};
    struct error error = get_with(changes);

    (void)state;
    assert_class(error.class, ERROR_ACCESS);
    assert_string_equal(error.code, run.traits->unknown_key_code);
}

static void no_credentials(void **state)
{
    const char *const none[] = {
        "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_CONFIG_FILE=/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE=/dev/null", NULL};
    const char *const anonymous[] = {"S3DLIO_ANONYMOUS=1", NULL};
    struct error error = get_with(none);

    (void)state;
    assert_class(error.class, ERROR_ACCESS);
    assert_int_equal(error.http_status, 0);
    assert_non_null(strstr(error.message, "AWS_ACCESS_KEY_ID"));
    error = get_with(anonymous);
    assert_class(error.class, ERROR_ACCESS);
    assert_int_equal(error.http_status, 403);
}

static void made_up_token(void **state)
{
    const char *const changes[] = {"AWS_SESSION_TOKEN=not-a-token", NULL};
    struct error error = get_with(changes);

    (void)state;
    assert_class(error.class, ERROR_TOKEN);
    assert_class(head_with(changes), error.class);
}

static void other_region(void **state)
{
    const char *const changes[] = {"AWS_REGION=eu-central-7", NULL};

    (void)state;
    assert_class(get_with(changes).class, ERROR_NONE); /* the store follows the right one */
    if (!(run.traits->has & CHECKS_REGION))
        assert_class(head_with(changes), ERROR_NONE);
}

/* Made there, found from here: the first answer redirects, later ones come at once. */
static void bucket_in_another_region(void **state)
{
    const char *const changes[] = {"AWS_REGION=eu-central-7", NULL};
    const char *const here[] = {NULL};
    char name[80];
    struct other other;
    struct store_call call;
    static const enum store_operation operations[] = {STORE_CREATE_BUCKET, STORE_HEAD, STORE_PUT,
                                                      STORE_DELETE, STORE_DELETE_BUCKET};

    (void)state;
    if (!(run.traits->has & HAS_REGIONS))
        return;
    snprintf(name, sizeof name, "%s-far", run.bucket);
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        other_open(&other, i == 0 ? changes : here);
        run_call_init(&call, operations[i], "key");
        call.request.store = other.store;
        call.request.bucket = name;
        assert_class(store_call_do(&call), i == 1 ? ERROR_NOT_FOUND : ERROR_NONE);
        store_call_fini(&call);
        other_close(&other);
    }
}

static void unreachable_endpoint(void **state)
{
    const char *const refused[] = {"AWS_ENDPOINT_URL=http://127.0.0.1:1", NULL};
    const char *const unknown[] = {"AWS_ENDPOINT_URL=http://no-such-host.invalid", NULL};

    (void)state;
    assert_class(get_with(refused).class, ERROR_NETWORK);
    assert_class(get_with(unknown).class, ERROR_DNS);
}

static void bad_endpoint_is_named(void **state)
{
    static const char *const urls[] = {
        "AWS_ENDPOINT_URL=127.0.0.1:9000", "AWS_ENDPOINT_URL=ftp://host",
        "AWS_ENDPOINT_URL=http://host:port", "AWS_ENDPOINT_URL=http://",
        "AWS_ENDPOINT_URL=http://u:p@host"};

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char *environment[] = {(char *)urls[i], "AWS_CONFIG_FILE=/dev/null",
                               "AWS_SHARED_CREDENTIALS_FILE=/dev/null", NULL};
        struct options options;
        struct store *store;
        struct error err = {0};

        assert_int_equal(options_load(environment, NULL, NULL, &options), 0);
        assert_true(run.store->ops->open(&options, &store, &err) < 0);
        assert_class(err.class, ERROR_INVALID);
        assert_non_null(strstr(err.message, "AWS_ENDPOINT_URL"));
        options_fini(&options);
    }
}

static void describes_itself(void **state)
{
    struct store_description description;
    struct store_stats stats = {0};

    (void)state;
    run.store->ops->describe(run.store, &description);
    assert_string_equal(description.endpoint, getenv("AWS_ENDPOINT_URL"));
    assert_string_equal(description.credential_source, "environment");
    assert_in_range(description.clock_offset_ms + 10000, 0, 20000);
    if (strncmp(description.endpoint, "https", 5) == 0)
        assert_int_equal(strncmp(description.tls, "TLSv1.", 6), 0);
    else
        assert_string_equal(description.tls, "none");
    run.store->ops->get_stats(run.store, &stats);
    assert_true(stats.connections_opened > 0);
}

int cases_identity(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_secret),         cmocka_unit_test(unknown_key),
        cmocka_unit_test(no_credentials),       cmocka_unit_test(made_up_token),
        cmocka_unit_test(other_region),         cmocka_unit_test(bucket_in_another_region),
        cmocka_unit_test(unreachable_endpoint), cmocka_unit_test(bad_endpoint_is_named),
        cmocka_unit_test(describes_itself),
    };

    if (!(run.traits->has & IS_SERVER))
        return 0;
    return cmocka_run_group_tests_name("identity", tests, setup, teardown);
}
