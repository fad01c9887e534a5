/* core/xattr.h and core/uploads.h through the public functions. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define B "fault://xattr/"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=20");
    core_run_make_bucket("xattr");
    return 0;
}

static int set(const char *uri, const char *name, const char *value, int flags)
{
    return s3dlio_setxattr(uri, name, value, strlen(value), flags, NULL, NULL);
}

static void check(const char *uri, const char *name, const void *value, size_t length)
{
    char found[3000];

    assert_int_equal(s3dlio_getxattr(uri, name, found, sizeof found, NULL, NULL), length);
    assert_memory_equal(found, value, length);
}

static void test_set_and_get(void **state)
{
    static const char bytes[] = "\0\1\xff\"{},:%=\n";
    char names[200], value[4];

    core_run_put(B "a", 10);
    assert_int_equal(set(B "a", "user.one", "1", 0), 0);
    assert_int_equal(
        s3dlio_setxattr(B "a", "user.\"odd\",:% é", bytes, sizeof bytes, 0, NULL, NULL), 0);
    assert_int_equal(set(B "a", "user.empty", "", 0), 0);
    assert_int_equal(set(B "a", "user.one", "uno", 0), 0);
    core_run_let_ttl_pass();
    check(B "a", "user.one", "uno", 3);
    check(B "a", "user.\"odd\",:% é", bytes, sizeof bytes);
    check(B "a", "user.empty", "", 0);
    assert_int_equal(s3dlio_getxattr(B "a", "user.one", NULL, 0, NULL, NULL), 3);
    assert_int_equal(s3dlio_getxattr(B "a", "user.one", value, 2, NULL, NULL), -ERANGE);
    assert_int_equal(s3dlio_listxattr(B "a", NULL, 0, NULL, NULL), 17 + 11 + 9);
    assert_int_equal(s3dlio_listxattr(B "a", names, 5, NULL, NULL), -ERANGE);
    assert_int_equal(s3dlio_listxattr(B "a", names, sizeof names, NULL, NULL), 17 + 11 + 9);
    assert_int_equal(s3dlio_removexattr(B "a", "user.one", NULL, NULL), 0);
    assert_int_equal(s3dlio_getxattr(B "a", "user.one", value, 4, NULL, NULL), -ENODATA);
    assert_int_equal(s3dlio_removexattr(B "a", "user.one", NULL, NULL), -ENODATA);
    assert_int_equal(s3dlio_removexattr(B "a", "user.empty", NULL, NULL), 0);
    assert_int_equal(s3dlio_removexattr(B "a", "user.\"odd\",:% é", NULL, NULL), 0);
    assert_int_equal(s3dlio_listxattr(B "a", names, sizeof names, NULL, NULL), 0);
}

static void test_flags_and_errors(void **state)
{
    char *big = malloc(3000), value[300], name[400];

    core_run_put(B "e", 10);
    assert_int_equal(set(B "e", "user.a", "x", XATTR_REPLACE), -ENODATA);
    assert_int_equal(set(B "e", "user.a", "x", XATTR_CREATE), 0);
    assert_int_equal(set(B "e", "user.a", "y", XATTR_CREATE), -EEXIST);
    assert_int_equal(set(B "e", "user.a", "z", XATTR_REPLACE), 0);
    check(B "e", "user.a", "z", 1);
    assert_int_equal(set(B "e", "user.a", "z", 4), -EINVAL);
    assert_int_equal(set(B "e", "security.x", "z", 0), -EOPNOTSUPP);
    assert_int_equal(set(B "e", "user.", "z", 0), -EINVAL);
    assert_int_equal(set(B "none", "user.a", "z", 0), -ENOENT);
    assert_int_equal(s3dlio_getxattr(B "none", "user.a", value, 1, NULL, NULL), -ENOENT);
    assert_int_equal(s3dlio_getxattr(B "e", "user.none", value, 1, NULL, NULL), -ENODATA);
    assert_int_equal(s3dlio_getxattr(B "e", "security.x", value, 1, NULL, NULL), -EOPNOTSUPP);
    memset(big, 'b', 3000);
    big[2999] = '\0';
    assert_int_equal(set(B "e", "user.big", big, 0), -ENOSPC);
    big[1100] = '\0';
    assert_int_equal(set(B "e", "user.big", big, 0), 0);
    check(B "e", "user.big", big, 1100);
    check(B "e", "user.a", "z", 1);
    strcpy(name, "user.");
    memset(name + 5, 'n', 300);
    name[305] = '\0';
    assert_int_equal(set(B "e", name, "z", 0), -ERANGE);
    free(big);
}

static void test_what_the_store_says(void **state)
{
    struct s3dlio_attr attr;
    char value[200];

    core_run_put(B "v", 10);
    assert_int_equal(s3dlio_stat(B "v", NULL, &attr, NULL), 0);
    check(B "v", "user.s3.etag", attr.etag, strlen(attr.etag));
    check(B "v", "user.s3.uri", B "v", strlen(B "v"));
    check(B "v", "user.s3.content-type", "application/octet-stream", 24);
    check(B "v", "user.s3.storage-class", "STANDARD", 8);
    assert_int_equal(s3dlio_getxattr(B "v", "user.s3.other", value, 200, NULL, NULL), -ENODATA);
    assert_int_equal(set(B "v", "user.s3.etag", "x", 0), -EPERM);
    assert_int_equal(s3dlio_listxattr(B "v", value, 200, NULL, NULL), 0);
}

static void test_directories_and_links(void **state)
{
    char value[20];

    core_run_put(B "d/x", 1);
    assert_int_equal(s3dlio_listxattr(B "d", value, 20, NULL, NULL), 0);
    assert_int_equal(s3dlio_getxattr(B "d", "user.a", value, 20, NULL, NULL), -ENODATA);
    assert_int_equal(set(B "d", "user.a", "dir", 0), 0);
    check(B "d", "user.a", "dir", 3);
    assert_int_equal(s3dlio_symlink("x", B "d/link", NULL, NULL), 0);
    assert_int_equal(set(B "d/link", "user.a", "no", 0), -EPERM);
    assert_int_equal(s3dlio_listxattr("fault://xattr", value, 20, NULL, NULL), 0);
}

static void test_what_it_costs(void **state)
{
    core_run_put(B "c/a", 1);
    core_run_put(B "c/b", 1);
    assert_int_equal(set(B "c/b", "user.a", "x", 0), 0);
    struct s3dlio_attr attr;
    assert_int_equal(s3dlio_stat(B "c/a", NULL, &attr, NULL), 0);
    core_run_reset_counts();
    assert_int_equal(set(B "c/a", "user.a", "x", 0), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    assert_int_equal(core_run_count(STORE_PUT), 0);
}

/* ---- uploads --------------------------------------------------------------------------------- */

static void leave_upload(const char *uri)
{
    /* The completion fails, and so does the abort: as if the process were killed. */
    core_run_faults("op=CompleteMultipartUpload fail=access; op=AbortMultipartUpload fail=access");
    core_run_put(B "up/source", 1);
    assert_int_equal(s3dlio_rename(B "up/source", uri, S3DLIO_RENAME_NOREPLACE, NULL, NULL),
                     -EACCES);
    core_run_faults(NULL);
}

static void test_uploads(void **state)
{
    struct s3dlio_upload *uploads;
    size_t count;

    leave_upload(B "up/a");
    leave_upload(B "up/ab");
    core_run_put(B "up/a/x", 1);
    leave_upload(B "up/a/b");
    assert_int_equal(s3dlio_uploads_list("fault://xattr", NULL, &uploads, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_true(uploads[0].begun.tv_sec > 1000000000);
    s3dlio_free(uploads);
    assert_int_equal(s3dlio_uploads_list(B "none", NULL, &uploads, &count, NULL), 0);
    assert_int_equal(count, 0);
    s3dlio_free(uploads);
    assert_int_equal(s3dlio_uploads_list(B "up/a", NULL, &uploads, &count, NULL), 0);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_true(strcmp(uploads[i].uri, B "up/a") == 0 ||
                    strcmp(uploads[i].uri, B "up/a/b") == 0);
        assert_int_equal(s3dlio_uploads_abort(uploads[i].uri, uploads[i].upload_id, NULL, NULL), 0);
        assert_int_equal(s3dlio_uploads_abort(uploads[i].uri, uploads[i].upload_id, NULL, NULL),
                         -ENOENT);
    }
    s3dlio_free(uploads);
    assert_int_equal(s3dlio_uploads_list(B "up/", NULL, &uploads, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_string_equal(uploads[0].uri, B "up/ab");
    s3dlio_free(uploads);
    assert_int_equal(s3dlio_uploads_list("fault://", NULL, &uploads, &count, NULL), -EINVAL);
    assert_int_equal(s3dlio_uploads_list("fault://none", NULL, &uploads, &count, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_set_and_get, core_run_clear_names),
        cmocka_unit_test_setup(test_flags_and_errors, core_run_clear_names),
        cmocka_unit_test_setup(test_what_the_store_says, core_run_clear_names),
        cmocka_unit_test_setup(test_directories_and_links, core_run_clear_names),
        cmocka_unit_test_setup(test_what_it_costs, core_run_clear_names),
        cmocka_unit_test_setup(test_uploads, core_run_clear_names),
    };

    return cmocka_run_group_tests_name("xattr", tests, set_up, NULL);
}
