/* core/symlink.h through the public functions. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define B "fault://links/"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=20");
    core_run_make_bucket("links");
    return 0;
}

static int link_(const char *target, const char *uri)
{
    return s3dlio_symlink(target, uri, NULL, NULL);
}

static void check_link(const char *uri, const char *target)
{
    char text[5000];
    ssize_t length = s3dlio_readlink(uri, text, sizeof text, NULL, NULL);

    assert_int_equal(length, strlen(target));
    assert_memory_equal(text, target, strlen(target));
}

static void test_a_link(void **state)
{
    struct s3dlio_attr attr;
    char text[4];

    assert_int_equal(link_("../some where/é", B "a"), 0);
    check_link(B "a", "../some where/é");
    core_run_let_ttl_pass();
    check_link(B "a", "../some where/é");
    assert_int_equal(s3dlio_stat(B "a", NULL, &attr, NULL), 0);
    assert_int_equal(attr.type, S3DLIO_SYMLINK);
    assert_int_equal(attr.mode, 0777);
    assert_int_equal(attr.size_bytes, strlen("../some where/é"));
    assert_int_equal(s3dlio_readlink(B "a", text, 4, NULL, NULL), 4);
    assert_memory_equal(text, "../s", 4);
    assert_int_equal(s3dlio_unlink(B "a", NULL, NULL), 0);
    assert_int_equal(s3dlio_stat(B "a", NULL, &attr, NULL), -ENOENT);
}

static void test_errors(void **state)
{
    char *longest = malloc(4097), text[10];

    memset(longest, 'x', 4096);
    longest[4096] = '\0';
    core_run_put(B "file", 3);
    core_run_put(B "dir/file", 3);
    assert_int_equal(link_("", B "x"), -ENOENT);
    assert_int_equal(link_(longest, B "x"), -ENAMETOOLONG);
    longest[4095] = '\0';
    assert_int_equal(link_(longest, B "x"), 0);
    check_link(B "x", longest);
    assert_int_equal(link_("t", B "x"), -EEXIST);
    assert_int_equal(link_("t", B "file"), -EEXIST);
    assert_int_equal(link_("t", B "dir"), -EEXIST);
    assert_int_equal(link_("t", B "none/x"), -ENOENT);
    assert_int_equal(link_("t", B "file/x"), -ENOTDIR);
    assert_int_equal(link_("t", B "new/"), -ENOENT);
    assert_int_equal(link_("t", "fault://links"), -EEXIST);
    assert_int_equal(s3dlio_readlink(B "file", text, 10, NULL, NULL), -EINVAL);
    assert_int_equal(s3dlio_readlink(B "dir", text, 10, NULL, NULL), -EINVAL);
    assert_int_equal(s3dlio_readlink(B "none", text, 10, NULL, NULL), -ENOENT);
    free(longest);
}

/* Renaming moves the link and not what it points to; a change of its owner leaves it a link. */
static void test_links_stay_links(void **state)
{
    struct s3dlio_attr owner = {.has = S3DLIO_HAS_UID, .uid = 5}, attr;

    assert_int_equal(link_("somewhere", B "old"), 0);
    assert_int_equal(s3dlio_rename(B "old", B "new", 0, NULL, NULL), 0);
    check_link(B "new", "somewhere");
    assert_int_equal(s3dlio_rename(B "new", B "third", S3DLIO_RENAME_NOREPLACE, NULL, NULL), 0);
    check_link(B "third", "somewhere");
    assert_int_equal(s3dlio_set_attr(B "third", &owner, NULL, NULL, NULL), 0);
    core_run_let_ttl_pass();
    check_link(B "third", "somewhere");
    assert_int_equal(s3dlio_stat(B "third", NULL, &attr, NULL), 0);
    assert_int_equal(attr.type, S3DLIO_SYMLINK);
    assert_int_equal(attr.uid, 5);
}

static ssize_t find(const char *uri, unsigned flags, char *ret_target)
{
    strcpy(ret_target, "untouched");
    return s3dlio_find_link(uri, flags, NULL, ret_target, NULL);
}

/* The first link on the way; after that its target is known without a request. */
static void test_the_way(void **state)
{
    char target[S3DLIO_TARGET_BYTES];
    struct s3dlio_attr attr;

    core_run_put(B "way/real/file", 3);
    assert_int_equal(link_("real", B "way/first"), 0);
    assert_int_equal(link_("first", B "way/second"), 0);
    assert_int_equal(s3dlio_stat(B "way/first/sub/x", NULL, &attr, NULL), -ENOTDIR);
    assert_int_equal(find(B "way/first/sub/x", 0, target), strlen(B "way/first"));
    assert_string_equal(target, "real");
    core_run_let_ttl_pass();
    assert_int_equal(find(B "way/first/sub/x", 0, target), strlen(B "way/first"));
    assert_int_equal(find(B "way/second", S3DLIO_LINK_LAST, target), strlen(B "way/second"));
    assert_string_equal(target, "first");
    assert_int_equal(find(B "way/second/", S3DLIO_LINK_LAST, target), strlen(B "way/second"));
    assert_int_equal(find(B "way/second", 0, target), 0);
    assert_int_equal(find(B "way/second/", 0, target), 0);
    assert_int_equal(find(B "way/real/file/x", 0, target), 0);
    assert_int_equal(find(B "way/none/x", 0, target), 0);
    assert_int_equal(find(B "way/real/file", S3DLIO_LINK_LAST, target), 0);
    assert_string_equal(target, "untouched");
    assert_int_equal(find("fault://links", S3DLIO_LINK_LAST, target), 0);
    assert_int_equal(find("fault://nowhere/a/b", 0, target), -ENOENT);
}

/* What a link says is read once for each version of it. */
static void test_target_is_read_once(void **state)
{
    char target[S3DLIO_TARGET_BYTES];
    uint64_t before;

    assert_int_equal(link_("old", B "kept"), 0);
    assert_int_equal(find(B "kept/x", 0, target), strlen(B "kept"));
    before = core_run_count(STORE_GET);
    core_run_let_ttl_pass();
    assert_int_equal(find(B "kept/x", 0, target), strlen(B "kept"));
    assert_string_equal(target, "old");
    assert_int_equal(core_run_count(STORE_GET), before);
    assert_int_equal(s3dlio_unlink(B "kept", NULL, NULL), 0);
    assert_int_equal(link_("new", B "kept"), 0);
    assert_int_equal(find(B "kept/x", 0, target), strlen(B "kept"));
    assert_string_equal(target, "new");
    assert_int_equal(core_run_count(STORE_GET), before + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_link, core_run_clear_names),
        cmocka_unit_test_setup(test_errors, core_run_clear_names),
        cmocka_unit_test_setup(test_links_stay_links, core_run_clear_names),
        cmocka_unit_test_setup(test_the_way, core_run_clear_names),
        cmocka_unit_test_setup(test_target_is_read_once, core_run_clear_names),
    };

    return cmocka_run_group_tests_name("symlink", tests, set_up, NULL);
}
