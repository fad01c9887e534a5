/* core/copy.h: what one request cannot copy goes by parts, and everything that belongs to the
 * object goes with it. The most that one request copies is lowered for this. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/copy.h"

#define B     "fault://copy/"
#define LARGE (45 * MIB)
#define TAGS  "team=a%20b&level=3"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_make_bucket("copy");
    return 0;
}

static int clear(void **state)
{
    core_run_store()->copy_max_bytes = 0;
    return core_run_clear(state);
}

static void name(struct uri *uri, const char *key)
{
    *uri = (struct uri){.scheme = "fault", .bucket = "copy"};
    strcpy(uri->key, key);
}

/* Puts an object with tags and metadata. */
static void put_tagged(const char *key, size_t length)
{
    struct core_run_scope scope;
    struct store_metadata metadata = {0};
    unsigned char *data = malloc(length + 1);
    struct iovec body = {data, length};
    struct error error;
    struct call *call;
    struct uri uri;

    name(&uri, key);
    core_run_fill(data, length, 0);
    assert_int_equal(store_metadata_add(&metadata, STORE_TAGS, TAGS), 0);
    assert_int_equal(store_metadata_add(&metadata, "colour", "red"), 0);
    core_run_enter(&scope);
    call = call_new(core_run_engine(), STORE_PUT, &uri, &scope.limits, &error);
    call->request.body = &body;
    call->request.body_count = 1;
    call->request.metadata = &metadata;
    call->request.content_type = "text/x-test";
    assert_int_equal(call_run(call, &scope.limits, &error), 0);
    call_delete(call);
    core_run_leave(&scope);
    store_metadata_fini(&metadata);
    free(data);
    core_run_reset_counts();
}

/* Runs one request on the key and compares what it tells of `pair`. */
static void check_pair(const char *key, enum store_operation operation, const char *pair,
                       const char *value)
{
    struct core_run_scope scope;
    struct error error;
    struct call *call;
    const char *found;
    struct uri uri;

    name(&uri, key);
    core_run_enter(&scope);
    call = call_new(core_run_engine(), operation, &uri, &scope.limits, &error);
    assert_int_equal(call_run(call, &scope.limits, &error), 0);
    found = store_metadata_get(&call->request.object.metadata, pair);
    assert_true(found ? value && strcmp(found, value) == 0 : !value);
    if (operation == STORE_HEAD)
        assert_string_equal(call->request.object.content_type, "text/x-test");
    call_delete(call);
    core_run_leave(&scope);
}

static void check_copy(const char *uri, const char *key, size_t length)
{
    size_t found = 0;
    void *data;

    assert_int_equal(s3dlio_get(uri, NULL, &data, &found, NULL), 0);
    assert_int_equal(found, length);
    core_run_check(data, length, 0);
    s3dlio_free(data);
    check_pair(key, STORE_HEAD, "colour", "red");
    check_pair(key, STORE_GET_TAGS, STORE_TAGS, TAGS);
}

static void test_parts(void **state)
{
    put_tagged("large", LARGE);
    core_run_store()->copy_max_bytes = 10 * MIB;
    assert_int_equal(s3dlio_copy(B "large", B "copied", NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_COPY), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 5);
    assert_int_equal(core_run_count(STORE_GET_TAGS), 1);
    check_copy(B "copied", "copied", LARGE);

    core_run_store()->copy_max_bytes = LARGE;
    core_run_reset_counts();
    assert_int_equal(s3dlio_copy(B "large", B "copied", NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    assert_int_equal(core_run_count(STORE_GET_TAGS), 0);
    check_copy(B "copied", "copied", LARGE);
    s3dlio_delete(B "copied", NULL, NULL);
    s3dlio_delete(B "large", NULL, NULL);
}

static void test_failures(void **state)
{
    put_tagged("large", 20 * MIB);
    core_run_store()->copy_max_bytes = MIB;
    core_run_faults("op=GetObjectTagging fail=access");
    assert_int_equal(s3dlio_copy(B "large", B "copied", NULL, NULL), -EACCES);
    core_run_faults(NULL);
    core_run_faults("op=UploadPartCopy nth=1 changed");
    assert_int_equal(s3dlio_copy(B "large", B "copied", NULL, NULL), -ESTALE);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_copy(B "large", B "copied", NULL, NULL), 0);
    check_copy(B "copied", "copied", 20 * MIB);
}

static void test_renaming_keeps_tags(void **state)
{
    put_tagged("small", 1000);
    assert_int_equal(s3dlio_rename(B "small", B "moved", S3DLIO_RENAME_NOREPLACE, NULL, NULL), 0);
    check_copy(B "moved", "moved", 1000);
    core_run_store()->copy_max_bytes = 1;
    assert_int_equal(s3dlio_mkdir(B "d", NULL, NULL, NULL), 0);
    assert_int_equal(s3dlio_rename(B "moved", B "d/moved", 0, NULL, NULL), 0);
    assert_int_equal(s3dlio_rename(B "d", B "e", 0, NULL, NULL), 0);
    check_copy(B "e/moved", "e/moved", 1000);

    put_tagged("empty", 0);
    assert_int_equal(s3dlio_rename(B "empty", B "void", S3DLIO_RENAME_NOREPLACE, NULL, NULL), 0);
    check_copy(B "void", "void", 0);
}

static void test_new_versions_keep_tags(void **state)
{
    struct s3dlio_write_options append = {.flags = S3DLIO_WRITE_APPEND};
    struct s3dlio_writer *writer;
    struct s3dlio_draft *draft;
    unsigned char byte = core_run_byte(1000);

    put_tagged("small", 1000);
    assert_int_equal(s3dlio_writer_open(B "small", &append, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, &byte, 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    check_copy(B "small", "small", 1001);

    assert_int_equal(s3dlio_draft_open(B "small", NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, NULL), 0);
    byte = core_run_byte(5);
    assert_int_equal(s3dlio_draft_pwrite(draft, &byte, 1, 5, NULL), 1);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_copy(B "small", "small", 1001);
}

/* Data alone. */
static void test_clones_have_no_tags(void **state)
{
    for (unsigned is_large = 0; is_large < 2; is_large++) {
        struct s3dlio_reader *reader;
        struct s3dlio_draft *draft;

        put_tagged("source", 10 * MIB);
        core_run_store()->copy_max_bytes = is_large ? MIB : 0;
        assert_int_equal(s3dlio_reader_open(B "source", NULL, &reader, NULL), 0);
        assert_int_equal(s3dlio_draft_open(B "clone", NULL, S3DLIO_DRAFT_EMPTY, NULL, &draft, NULL),
                         0);
        assert_int_equal(s3dlio_draft_clone(draft, reader, 0, UINT64_MAX, 0, NULL, NULL), 10 * MIB);
        s3dlio_reader_close(reader);
        core_run_reset_counts();
        assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
        assert_int_equal(core_run_count(STORE_COPY), !is_large);
        assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), is_large);
        check_pair("clone", STORE_GET_TAGS, STORE_TAGS, NULL);
        check_pair("clone", STORE_HEAD, "colour", NULL);
    }
}

/* A change of metadata by parts takes a while: what is put there meanwhile stays. */
static void test_no_other_version_is_replaced(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};

    put_tagged("large", 10 * MIB);
    core_run_store()->copy_max_bytes = MIB;
    core_run_faults("op=CompleteMultipartUpload nth=1 changed"); /* fails where there is If-Match */
    assert_int_equal(s3dlio_set_attr(B "large", &attr, NULL, NULL, NULL), -EBUSY);
    assert_int_equal(core_run_uploads_left("copy"), 0);
    core_run_faults(NULL);
    core_run_faults("op=CompleteMultipartUpload nth=1 count=1 changed");
    assert_int_equal(s3dlio_set_attr(B "large", &attr, NULL, NULL, NULL), 0);
    check_copy(B "large", "large", 10 * MIB);
    assert_int_equal(core_run_uploads_left("copy"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_parts, clear),
        cmocka_unit_test_setup(test_failures, clear),
        cmocka_unit_test_setup(test_renaming_keeps_tags, clear),
        cmocka_unit_test_setup(test_new_versions_keep_tags, clear),
        cmocka_unit_test_setup(test_clones_have_no_tags, clear),
        cmocka_unit_test_setup(test_no_other_version_is_replaced, clear),
    };

    return cmocka_run_group_tests_name("copy", tests, set_up, NULL);
}
