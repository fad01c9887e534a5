/* What the engine makes of several requests, on servers: renames and copies of what one request
 * cannot copy. The most that one request copies is lowered for this to the smallest part that
 * servers take. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cases.h"
#include "core/engine.h"
#include "io/gate.h"
#include "run.h"
#include "s3dlio.h"

#define LARGE (2 * STORE_PART_MIN + 77) /* three parts */

#define TAG_ONE "level=3"
#define TAG_TWO "team=a%20b"

static struct store *engine_s3; /* the engine's, with its own connections */

static const char *uri(const char *key)
{
    static char texts[4][256];
    static unsigned next;
    char *text = texts[next++ % 4];

    snprintf(text, sizeof texts[0], "s3://%s/%s", run.bucket, key);
    return text;
}

static int set_up(void **state)
{
    struct gate_scope gate;
    struct error err;

    (void)state;
    assert_int_equal(s3dlio_init(environ, NULL), 0);
    gate_enter(&gate);
    assert_int_equal(engine_store(engine_peek(), "s3", &engine_s3, &err), 0);
    gate_leave(&gate);
    engine_s3->copy_max_bytes = STORE_PART_MIN;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    engine_s3->copy_max_bytes = 0;
    delete_below("core/");
    return 0;
}

/* With tags, metadata and a type of its own; the bytes are the pattern from `length` on. */
static void put_described(const char *key, size_t length)
{
    struct store_metadata metadata = {0};
    char *data = malloc(length + 1);
    struct iovec body = {data, length};
    struct store_call call;

    pattern_fill(data, (unsigned)length, 0, length);
    assert_int_equal(store_metadata_add(&metadata, STORE_TAGS, TAG_ONE "&" TAG_TWO), 0);
    assert_int_equal(store_metadata_add(&metadata, "colour", "red"), 0);
    assert_int_equal(store_metadata_add(&metadata, ":cache-control", "max-age=60"), 0);
    run_call_init(&call, STORE_PUT, key);
    call.request.body = &body;
    call.request.body_count = 1;
    call.request.metadata = &metadata;
    call.request.content_type = "text/x-test";
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    store_metadata_fini(&metadata);
    free(data);
}

static void assert_pair(const struct store_call *call, const char *name, const char *value)
{
    const char *found = store_metadata_get(&call->request.object.metadata, name);

    assert_non_null(found);
    assert_string_equal(found, value);
}

/* It is all there; `suffix` ends the ETag and tells of how many parts it was made ("-3\""). */
static void assert_described(const char *key, size_t length, const char *suffix)
{
    struct store_call call;
    const char *tags;
    size_t etag;

    run_call_init(&call, STORE_GET, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.length, length);
    assert_pattern(call.data, (unsigned)length, 0, length);
    assert_string_equal(call.request.object.content_type, "text/x-test");
    assert_pair(&call, "colour", "red");
    assert_pair(&call, ":cache-control", "max-age=60");
    etag = strlen(call.request.object.etag);
    assert_true(etag > strlen(suffix));
    assert_string_equal(call.request.object.etag + etag - strlen(suffix), suffix);
    store_call_fini(&call);
    run_call_init(&call, STORE_GET_TAGS, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    tags = store_metadata_get(&call.request.object.metadata, STORE_TAGS);
    assert_non_null(tags); /* versitygw gives them in any order */
    assert_true(strcmp(tags, TAG_ONE "&" TAG_TWO) == 0 || strcmp(tags, TAG_TWO "&" TAG_ONE) == 0);
    store_call_fini(&call);
}

static void assert_no_uploads(void)
{
    struct s3dlio_upload *uploads;
    size_t count;

    assert_int_equal(s3dlio_uploads_list(uri("core/"), NULL, &uploads, &count, NULL), 0);
    assert_int_equal(count, 0);
    s3dlio_free(uploads);
}

static void copied(void **state)
{
    (void)state;
    put_described("core/source", LARGE);
    assert_int_equal(s3dlio_copy(uri("core/source"), uri("core/target"), NULL, NULL), 0);
    assert_described("core/target", LARGE, "-3\"");
    assert_described("core/source", LARGE, "\"");
    assert_no_uploads();
}

static void renamed(void **state)
{
    (void)state;
    put_described("core/old", LARGE);
    put_text("core/new", "replaced");
    assert_int_equal(s3dlio_rename(uri("core/old"), uri("core/new"), 0, NULL, NULL), 0);
    assert_class(try_head("core/old"), ERROR_NOT_FOUND);
    assert_described("core/new", LARGE, "-3\"");
    assert_no_uploads();
}

static void renamed_unless_taken(void **state)
{
    const unsigned flags = S3DLIO_RENAME_NOREPLACE;
    char text[16];

    (void)state;
    put_described("core/old", LARGE);
    put_text("core/taken", "as it was");
    assert_int_equal(s3dlio_rename(uri("core/old"), uri("core/taken"), flags, NULL, NULL), -EEXIST);
    get_text("core/taken", text, sizeof text);
    assert_string_equal(text, "as it was");
    assert_described("core/old", LARGE, "\"");
    assert_int_equal(s3dlio_rename(uri("core/old"), uri("core/free"), flags, NULL, NULL), 0);
    assert_class(try_head("core/old"), ERROR_NOT_FOUND);
    assert_described("core/free", LARGE, "-3\"");
    assert_no_uploads();
}

static void directory_renamed(void **state)
{
    (void)state;
    put_described("core/tree/large", LARGE);
    put_described("core/tree/sub/small", 1000);
    put_described("core/tree/empty", 0);
    assert_int_equal(s3dlio_rename(uri("core/tree"), uri("core/moved"), 0, NULL, NULL), 0);
    assert_described("core/moved/large", LARGE, "-3\"");
    assert_described("core/moved/sub/small", 1000, "\"");
    assert_described("core/moved/empty", 0, "\"");
    assert_class(try_head("core/tree/large"), ERROR_NOT_FOUND);
    assert_class(try_head("core/tree/sub/small"), ERROR_NOT_FOUND);
    assert_no_uploads();
}

/* A copy onto itself, which is by parts, too. */
static void changed_in_place(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};

    (void)state;
    put_described("core/mode", LARGE);
    assert_int_equal(s3dlio_set_attr(uri("core/mode"), &attr, NULL, NULL, NULL), 0);
    assert_described("core/mode", LARGE, "-3\"");
    assert_int_equal(s3dlio_stat(uri("core/mode"), NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode & 07777, 0600);
    assert_no_uploads();
}

int cases_core(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copied),
        cmocka_unit_test(renamed),
        cmocka_unit_test(renamed_unless_taken),
        cmocka_unit_test(directory_renamed),
        cmocka_unit_test(changed_in_place),
    };

    if (!(run.traits->has & IS_SERVER))
        return 0;
    return cmocka_run_group_tests_name("copies by parts", tests, set_up, tear_down);
}
