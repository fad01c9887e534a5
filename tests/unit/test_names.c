/* core/names.h, listing.h, attr_cache.h through the public functions: what exists, what it is, and
 * what asking costs. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=200");
    core_run_make_bucket("names");
    return 0;
}

static void test_what_names_mean(void **state)
{
    core_run_put("fault://names/a/b/file", 5);
    core_run_put("fault://names/both", 1);
    core_run_put("fault://names/both/below", 1);
    assert_int_equal(core_run_type("fault://names/a/b/file"), S3DLIO_FILE);
    assert_int_equal(core_run_type("fault://names/a/b"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type("fault://names/a/"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type("fault://names/both"), S3DLIO_FILE);
    assert_int_equal(core_run_type("fault://names/both/below"), S3DLIO_FILE);
    assert_int_equal(core_run_type("fault://names"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type("fault://names/"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type("fault://"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type("fault://names/none"), -ENOENT);
    assert_int_equal(core_run_type("fault://names/none/x/y"), -ENOENT);
    assert_int_equal(core_run_type("fault://names/a/b/file/x"), -ENOTDIR);
    assert_int_equal(core_run_type("fault://names/a/b/file/x/y/z"), -ENOTDIR);
    assert_int_equal(core_run_type("fault://names/a/b/file/"), -ENOTDIR);
    assert_int_equal(core_run_type("fault://absent-bucket"), -ENOENT);
    assert_int_equal(core_run_type("fault://absent-bucket/x"), -ENOENT);
}

static void test_inodes(void **state)
{
    struct s3dlio_attr file, directory, same;

    core_run_put("fault://names/inode/file", 5);
    assert_int_equal(s3dlio_stat("fault://names/inode/file", NULL, &file, NULL), 0);
    assert_int_equal(s3dlio_stat("fault://names/inode", NULL, &directory, NULL), 0);
    assert_int_equal(s3dlio_stat("fault://names/inode/", NULL, &same, NULL), 0);
    assert_true(file.inode > 1 && directory.inode > 1);
    assert_true(file.inode != directory.inode);
    assert_true(directory.inode == same.inode);
}

static void test_stat_asks_once_within_the_ttl(void **state)
{
    core_run_put("fault://names/once", 5);
    core_run_reset_counts();
    assert_int_equal(core_run_type("fault://names/once"), S3DLIO_FILE);
    assert_int_equal(core_run_requests(), 1);
    assert_int_equal(core_run_type("fault://names/once"), S3DLIO_FILE);
    assert_int_equal(core_run_requests(), 1);
    core_run_let_ttl_pass();
    assert_int_equal(core_run_type("fault://names/once"), S3DLIO_FILE);
    assert_int_equal(core_run_requests(), 2);
}

/* "a b/ c" of a listing. */
static int list(const char *uri, unsigned flags, char *text, size_t size)
{
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    struct s3dlio_error error;
    int r = s3dlio_list_open(uri, flags, NULL, &listing, &error);

    if (r < 0)
        return r;
    text[0] = '\0';
    while ((r = s3dlio_list_next(listing, &entry, &error)) > 0)
        snprintf(text + strlen(text), size - strlen(text), "%s%s%s", text[0] ? " " : "", entry.name,
                 entry.attr.type == S3DLIO_DIRECTORY ? "/" : "");
    s3dlio_list_close(listing);
    return r;
}

static void test_listing(void **state)
{
    char text[1000];

    core_run_put("fault://names/l/b", 1);
    core_run_put("fault://names/l/b-c", 1);
    core_run_put("fault://names/l/b/hidden", 1);
    core_run_put("fault://names/l/d/x", 1);
    core_run_put("fault://names/l/d/y", 1);
    core_run_put("fault://names/l//odd", 1);
    core_run_put("fault://names/l/../odd", 1);
    assert_int_equal(list("fault://names/l", 0, text, sizeof text), 0);
    assert_string_equal(text, "b b-c d/");
    assert_int_equal(list("fault://names/l/", 0, text, sizeof text), 0);
    assert_string_equal(text, "b b-c d/");
    assert_int_equal(list("fault://names/l", S3DLIO_LIST_RECURSIVE, text, sizeof text), 0);
    assert_string_equal(text, "b b-c b/hidden d/x d/y");
    assert_int_equal(list("fault://names/none", 0, text, sizeof text), -ENOENT);
    assert_int_equal(list("fault://names/l/b-c", 0, text, sizeof text), -ENOTDIR);
    assert_int_equal(list("fault://names/l/b-c/x", 0, text, sizeof text), -ENOTDIR);
    assert_int_equal(list("fault://", 0, text, sizeof text), 0);
    assert_string_equal(text, "names/");
}

static void test_listing_primes_attributes(void **state)
{
    struct s3dlio_attr attr;
    char text[1000], uri[64];

    for (unsigned i = 0; i < 20; i++) {
        snprintf(uri, sizeof uri, "fault://names/primed/f%u", i);
        core_run_put(uri, i);
    }
    core_run_reset_counts();
    assert_int_equal(list("fault://names/primed", 0, text, sizeof text), 0);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(uri, sizeof uri, "fault://names/primed/f%u", i);
        assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, i);
    }
    assert_int_equal(core_run_type("fault://names/primed/absent"), -ENOENT);
    assert_int_equal(core_run_requests(), 1);
}

static void test_long_listing_pages(void **state)
{
    struct s3dlio_put_item items[2500];
    char(*uris)[48] = malloc(2500 * sizeof *uris);
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    unsigned count = 0;

    for (unsigned i = 0; i < 2500; i++) {
        snprintf(uris[i], sizeof uris[i], "fault://names/long/%06u", i);
        items[i] = (struct s3dlio_put_item){.uri = uris[i], .data = "x", .length_bytes = 1};
    }
    assert_int_equal(s3dlio_put_many(items, 2500, NULL, NULL), 0);
    core_run_reset_counts();
    core_run_faults("op=ListObjects nth=2 count=1 fail=server; op=ListObjects delay=2");
    assert_int_equal(s3dlio_list_open("fault://names/long", 0, NULL, &listing, NULL), 0);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (count = 0; s3dlio_list_next(listing, &entry, NULL) > 0; count++)
            assert_int_equal(atoi(entry.name), count);
        assert_int_equal(count, 2500);
        assert_int_equal(s3dlio_list_rewind(listing, NULL), 0);
    }
    s3dlio_list_close(listing);
    free(uris);
}

static void test_mkdir_rmdir(void **state)
{
    struct s3dlio_write_options options = {.has = S3DLIO_HAS_MODE, .mode = 0750};
    struct s3dlio_attr attr;
    char text[100];

    core_run_put("fault://names/file", 1);
    assert_int_equal(s3dlio_mkdir("fault://names/d", &options, NULL, NULL), 0);
    assert_int_equal(s3dlio_mkdir("fault://names/d", NULL, NULL, NULL), -EEXIST);
    assert_int_equal(s3dlio_mkdir("fault://names/file", NULL, NULL, NULL), -EEXIST);
    assert_int_equal(s3dlio_mkdir("fault://names/no/d", NULL, NULL, NULL), -ENOENT);
    assert_int_equal(s3dlio_mkdir("fault://names/file/d", NULL, NULL, NULL), -ENOTDIR);
    assert_int_equal(s3dlio_mkdir("fault://names", NULL, NULL, NULL), -EEXIST);
    core_run_reset_counts();
    assert_int_equal(core_run_type("fault://names/d/new"), -ENOENT);
    assert_int_equal(core_run_requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_stat("fault://names/d", NULL, &attr, NULL), 0);
    assert_int_equal(attr.type, S3DLIO_DIRECTORY);
    assert_int_equal(attr.mode, 0750);
    assert_int_equal(list("fault://names/d", 0, text, sizeof text), 0);
    assert_string_equal(text, "");
    core_run_put("fault://names/d/x", 1);
    assert_int_equal(s3dlio_rmdir("fault://names/d", NULL, NULL), -ENOTEMPTY);
    assert_int_equal(s3dlio_rmdir("fault://names/file", NULL, NULL), -ENOTDIR);
    assert_int_equal(s3dlio_rmdir("fault://names/none", NULL, NULL), -ENOENT);
    assert_int_equal(s3dlio_unlink("fault://names/d/x", NULL, NULL), 0);
    assert_int_equal(s3dlio_rmdir("fault://names/d", NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://names/d"), -ENOENT);
    assert_int_equal(s3dlio_rmdir("fault://names/d", NULL, NULL), -ENOENT);
}

static void test_implicit_directory_stays_after_its_last_file(void **state)
{
    char text[100];

    core_run_put("fault://names/i/j/x", 1);
    assert_int_equal(s3dlio_unlink("fault://names/i/j/x", NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://names/i/j"), S3DLIO_DIRECTORY);
    assert_int_equal(list("fault://names/i/j", 0, text, sizeof text), 0);
    assert_string_equal(text, "");
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_rmdir("fault://names/i/j", NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://names/i/j"), -ENOENT);
    assert_int_equal(s3dlio_rmdir("fault://names/i", NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://names/i"), -ENOENT);
}

static void test_unlink(void **state)
{
    core_run_put("fault://names/u/x", 1);
    assert_int_equal(s3dlio_unlink("fault://names/u", NULL, NULL), -EISDIR);
    assert_int_equal(s3dlio_unlink("fault://names/u/none", NULL, NULL), -ENOENT);
    assert_int_equal(s3dlio_unlink("fault://names/u/x/y", NULL, NULL), -ENOTDIR);
    assert_int_equal(s3dlio_unlink("fault://names/u/x", NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://names/u/x"), -ENOENT);
    assert_int_equal(s3dlio_delete("fault://names/u/x", NULL, NULL), 0);
}

static void test_buckets(void **state)
{
    char text[100];

    assert_int_equal(s3dlio_mkdir("fault://second", NULL, NULL, NULL), 0);
    assert_int_equal(s3dlio_mkdir("fault://second", NULL, NULL, NULL), -EEXIST);
    assert_int_equal(list("fault://second", 0, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(list("fault://", 0, text, sizeof text), 0);
    assert_string_equal(text, "names/ second/");
    assert_int_equal(s3dlio_rmdir("fault://names", NULL, NULL), -ENOTEMPTY);
    assert_int_equal(s3dlio_rmdir("fault://second", NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://second"), -ENOENT);
}

static void test_refusals_are_not_absence(void **state)
{
    core_run_faults("op=HeadObject fail=access; op=ListObjects fail=access");
    assert_int_equal(core_run_type("fault://names/secret"), -EACCES);
    core_run_faults(NULL);
    core_run_faults("op=HeadObject fail=server; op=ListObjects fail=server");
    assert_int_equal(core_run_type("fault://names/secret"), -EIO);
}

static void test_copy(void **state)
{
    struct s3dlio_attr from, to;

    core_run_put("fault://names/source", 100);
    assert_int_equal(s3dlio_copy("fault://names/source", "fault://names/copy", NULL, NULL), 0);
    assert_int_equal(s3dlio_stat("fault://names/source", NULL, &from, NULL), 0);
    assert_int_equal(s3dlio_stat("fault://names/copy", NULL, &to, NULL), 0);
    assert_int_equal(from.size_bytes, to.size_bytes);
    assert_int_equal(s3dlio_copy("fault://names/none", "fault://names/copy", NULL, NULL), -ENOENT);
    assert_int_equal(s3dlio_copy("fault://names/source", "mem://names/copy", NULL, NULL), -EXDEV);
}

/* Another process has made the directory since its parent was known not to hold it. */
static void test_mkdir_of_what_somebody_has_made(void **state)
{
    assert_int_equal(s3dlio_mkdir("fault://names/made", NULL, NULL, NULL), 0);
    assert_int_equal(core_run_type("fault://names/made/there"), -ENOENT);
    core_run_plant("fault://names/made/there/", NULL);
    assert_int_equal(s3dlio_mkdir("fault://names/made/there", NULL, NULL, NULL), -EEXIST);
    assert_int_equal(core_run_type("fault://names/made/there"), S3DLIO_DIRECTORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_mkdir_of_what_somebody_has_made, core_run_clear_names),
        cmocka_unit_test_setup(test_what_names_mean, core_run_clear_names),
        cmocka_unit_test_setup(test_inodes, core_run_clear_names),
        cmocka_unit_test_setup(test_stat_asks_once_within_the_ttl, core_run_clear_names),
        cmocka_unit_test_setup(test_listing, core_run_clear_names),
        cmocka_unit_test_setup(test_listing_primes_attributes, core_run_clear_names),
        cmocka_unit_test_setup(test_long_listing_pages, core_run_clear_names),
        cmocka_unit_test_setup(test_mkdir_rmdir, core_run_clear_names),
        cmocka_unit_test_setup(test_implicit_directory_stays_after_its_last_file,
                               core_run_clear_names),
        cmocka_unit_test_setup(test_unlink, core_run_clear_names),
        cmocka_unit_test_setup(test_buckets, core_run_clear_names),
        cmocka_unit_test_setup(test_refusals_are_not_absence, core_run_clear_names),
        cmocka_unit_test_setup(test_copy, core_run_clear_names),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
