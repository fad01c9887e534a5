/* core/metadata_change.h through the public function: modes, owners and times of what exists. */
#include "core_run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/call.h"

#define B "fault://attr/"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=20");
    core_run_make_bucket("attr");
    return 0;
}

static int chmod_(const char *uri, unsigned mode)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = mode};

    return s3dlio_set_attr(uri, &attr, NULL, NULL, NULL);
}

static struct s3dlio_attr stat_(const char *uri)
{
    struct s3dlio_attr attr = {0};

    assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
    return attr;
}

/* Puts an object with this one piece of metadata, as another program would. */
static void put_foreign(const char *uri_text, const char *name, const char *value)
{
    struct store_metadata metadata = {0};
    struct core_run_scope scope;
    struct error error = {0};
    struct iovec body = {"foreign", 7};
    struct uri uri;
    struct call *call;

    core_run_enter(&scope);
    assert_int_equal(uri_parse(uri_text, &uri), 0);
    assert_int_equal(store_metadata_add(&metadata, name, value), 0);
    call = call_new(core_run_engine(), STORE_PUT, &uri, &scope.limits, &error);
    call->request.metadata = &metadata;
    call->request.content_type = "text/foreign";
    call->request.body = &body;
    call->request.body_count = uri.key[strlen(uri.key) - 1] == '/' ? 0 : 1;
    assert_int_equal(call_run(call, &scope.limits, &error), 0);
    call_delete(call);
    store_metadata_fini(&metadata);
    core_run_leave(&scope);
}

/* Does the object have this metadata, and that content type (NULL: whatever)? */
static void check_stored(const char *uri_text, const char *name, const char *value,
                         const char *content_type)
{
    struct core_run_scope scope;
    struct error error = {0};
    struct uri uri;
    struct call *call;
    const char *found;

    core_run_enter(&scope);
    assert_int_equal(uri_parse(uri_text, &uri), 0);
    call = call_new(core_run_engine(), STORE_HEAD, &uri, &scope.limits, &error);
    assert_int_equal(call_run(call, &scope.limits, &error), 0);
    found = store_metadata_get(&call->request.object.metadata, name);
    if (!value)
        assert_null(found);
    else if (!found)
        fail_msg("%s has no %s", uri_text, name);
    else
        assert_string_equal(found, value);
    if (content_type)
        assert_string_equal(call->request.object.content_type, content_type);
    call_delete(call);
    core_run_leave(&scope);
}

static void test_a_file(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_UID | S3DLIO_HAS_GID | S3DLIO_HAS_MTIME,
                               .uid = 12,
                               .gid = 34,
                               .mtime = {1500000000, 250000000}};
    struct s3dlio_attr now;

    core_run_put(B "f", 100);
    assert_int_equal(chmod_(B "f", 0640), 0);
    assert_int_equal(s3dlio_set_attr(B "f", &attr, NULL, &now, NULL), 0);
    assert_int_equal(now.mode, 0640);
    core_run_let_ttl_pass();
    now = stat_(B "f");
    assert_int_equal(now.type, S3DLIO_FILE);
    assert_int_equal(now.size_bytes, 100);
    assert_int_equal(now.has, 15);
    assert_int_equal(now.mode, 0640);
    assert_int_equal(now.uid, 12);
    assert_int_equal(now.gid, 34);
    assert_int_equal(now.mtime.tv_sec, 1500000000);
    assert_int_equal(now.mtime.tv_nsec, 250000000);
    check_stored(B "f", "mode", "33184", NULL); /* 0100640, as s3fs has it */
    check_stored(B "f", "mtime", "1500000000.250000000", NULL);
}

static void test_all_else_stays(void **state)
{
    put_foreign(B "o", "note", "kept");
    assert_int_equal(chmod_(B "o", 0600), 0);
    check_stored(B "o", "note", "kept", "text/foreign");
    put_foreign(B "h", ":cache-control", "max-age=1");
    assert_int_equal(chmod_(B "h", 0600), 0);
    check_stored(B "h", ":cache-control", "max-age=1", "text/foreign");
}

/* chmod does not touch the time although the copy is new. */
static void test_the_time_stays(void **state)
{
    struct s3dlio_attr before, after;

    core_run_put(B "t", 1);
    before = stat_(B "t");
    core_run_let_ttl_pass();
    assert_int_equal(chmod_(B "t", 0600), 0);
    core_run_let_ttl_pass();
    after = stat_(B "t");
    assert_int_equal(before.mtime.tv_sec, after.mtime.tv_sec);
    assert_int_equal(before.mtime.tv_nsec, after.mtime.tv_nsec);
}

static void test_what_it_costs(void **state)
{
    core_run_put(B "dir/c", 1);
    core_run_put(B "dir/d", 1);
    assert_int_equal(chmod_(B "dir/d", 0600), 0); /* marks the directory */
    stat_(B "dir/c");
    core_run_reset_counts();
    assert_int_equal(chmod_(B "dir/c", 0600), 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_int_equal(core_run_requests(), 2);
    core_run_reset_counts();
    assert_int_equal(chmod_(B "dir/c", 0600), 0);
    assert_int_equal(core_run_requests(), 0);
    assert_int_equal(stat_(B "dir/c").mode, 0600);
    assert_int_equal(core_run_requests(), 0);
}

static void test_a_directory(void **state)
{
    core_run_put(B "implicit/x", 1);
    assert_int_equal(chmod_(B "implicit", 0711), 0);
    assert_int_equal(stat_(B "implicit").mode, 0711);
    core_run_let_ttl_pass();
    assert_int_equal(stat_(B "implicit").mode, 0711);
    assert_int_equal(stat_(B "implicit/").type, S3DLIO_DIRECTORY);
    check_stored(B "implicit/", "mode", "16841", NULL); /* 040711 */
    assert_int_equal(chmod_(B "implicit/", 0700), 0);
    core_run_let_ttl_pass();
    assert_int_equal(stat_(B "implicit").mode, 0700);
}

static void test_errors(void **state)
{
    core_run_put(B "e", 1);
    assert_int_equal(chmod_(B "none", 0600), -ENOENT);
    assert_int_equal(chmod_(B "e/x", 0600), -ENOTDIR);
    assert_int_equal(chmod_("fault://attr", 0600), -EPERM);
    core_run_faults("op=CopyObject fail=access");
    assert_int_equal(chmod_(B "e", 0600), -EACCES);
    core_run_faults(NULL);
    core_run_let_ttl_pass();
    assert_int_equal(stat_(B "e").has & S3DLIO_HAS_MODE, 0);
}

/* Another version got there first: the change is made to that. */
static void test_a_race(void **state)
{
    core_run_put(B "r", 1);
    core_run_faults("op=CopyObject nth=1 count=2 changed");
    assert_int_equal(chmod_(B "r", 0600), 0);
    core_run_faults("op=CopyObject changed");
    assert_int_equal(chmod_(B "r", 0640), -EBUSY);
}

static void test_foreign_forms(void **state)
{
    put_foreign(B "rclone", "mtime", "1600000000.5");
    assert_int_equal(stat_(B "rclone").mtime.tv_sec, 1600000000);
    assert_int_equal(stat_(B "rclone").mtime.tv_nsec, 500000000);
    put_foreign(B "s3fs", "mode", "33188");
    assert_int_equal(stat_(B "s3fs").mode, 0644);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_file, core_run_clear_names),
        cmocka_unit_test_setup(test_all_else_stays, core_run_clear_names),
        cmocka_unit_test_setup(test_the_time_stays, core_run_clear_names),
        cmocka_unit_test_setup(test_what_it_costs, core_run_clear_names),
        cmocka_unit_test_setup(test_a_directory, core_run_clear_names),
        cmocka_unit_test_setup(test_errors, core_run_clear_names),
        cmocka_unit_test_setup(test_a_race, core_run_clear_names),
        cmocka_unit_test_setup(test_foreign_forms, core_run_clear_names),
    };

    return cmocka_run_group_tests_name("set_attr", tests, set_up, NULL);
}
