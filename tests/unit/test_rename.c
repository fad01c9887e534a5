/* core/rename.h through the public function: what may take whose place, that no step of it can lose
 * a file, and what it costs. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define B "fault://rename/"

static int set_up(void **state)
{
    core_run_make_file_root();
    core_run_set_option("S3DLIO_META_TTL_MS=20");
    core_run_set_option("S3DLIO_RETRY_MAX=4");
    core_run_make_bucket("rename");
    return 0;
}

/* The content, or NULL; free it. */
static char *get(const char *uri)
{
    size_t length;
    char *data, *text;

    if (s3dlio_get(uri, NULL, (void **)&data, &length, NULL) < 0)
        return NULL;
    text = strndup(data, length);
    s3dlio_free(data);
    return text;
}

static void check(const char *uri, const char *text)
{
    char *found = get(uri);

    if (!text)
        assert_null(found);
    else if (!found)
        fail_msg("%s is not there", uri);
    else
        assert_string_equal(found, text);
    free(found);
}

static int mv(const char *from, const char *to)
{
    return s3dlio_rename(from, to, 0, NULL, NULL);
}

static int mkdir_(const char *uri)
{
    return s3dlio_mkdir(uri, NULL, NULL, NULL);
}

/* Deletes all below it, and itself. */
static void wipe(const char *uri)
{
    struct s3dlio_list *list;
    struct s3dlio_entry entry;
    char name[300];

    while (s3dlio_list_open(uri, S3DLIO_LIST_RECURSIVE, NULL, &list, NULL) == 0) {
        bool any = s3dlio_list_next(list, &entry, NULL) > 0;

        snprintf(name, sizeof name, "%s/%s", uri, any ? entry.name : "");
        s3dlio_list_close(list);
        assert_int_equal(s3dlio_delete(name, NULL, NULL), 0);
        if (!any)
            break;
    }
    s3dlio_delete(uri, NULL, NULL);
    snprintf(name, sizeof name, "%s/h//odd", uri); /* these two no listing shows */
    s3dlio_delete(name, NULL, NULL);
    snprintf(name, sizeof name, "%s/empty/", uri);
    s3dlio_delete(name, NULL, NULL);
    core_run_let_ttl_pass();
}

/* ---- files ----------------------------------------------------------------------------------- */

static void test_a_file(void **state)
{
    struct s3dlio_attr attr;

    core_run_put_text(B "f/a", "one");
    assert_int_equal(mv(B "f/a", B "f/b"), 0);
    assert_int_equal(core_run_type(B "f/a"), -ENOENT);
    assert_int_equal(s3dlio_stat(B "f/b", NULL, &attr, NULL), 0);
    assert_int_equal(attr.size_bytes, 3);
    check(B "f/b", "one");
    core_run_put_text(B "f/c", "three");
    assert_int_equal(mv(B "f/b", B "f/c"), 0);
    check(B "f/c", "one");
    check(B "f/b", NULL);
    assert_int_equal(mv(B "f/c", B "f/c"), 0);
    check(B "f/c", "one");
}

static void test_an_empty_file(void **state)
{
    core_run_put_text(B "e/a", "");
    assert_int_equal(mv(B "e/a", B "e/b"), 0);
    check(B "e/b", "");
    assert_int_equal(s3dlio_rename(B "e/b", B "e/c", S3DLIO_RENAME_NOREPLACE, NULL, NULL), 0);
    check(B "e/c", "");
    check(B "e/b", NULL);
}

static void test_what_may_take_whose_place(void **state)
{
    core_run_put_text(B "p/file", "f");
    core_run_put_text(B "p/dir/x", "x");
    assert_int_equal(mkdir_(B "p/empty"), 0);
    assert_int_equal(mv(B "p/none", B "p/new"), -ENOENT);
    assert_int_equal(mv(B "p/none", B "p/file"), -ENOENT);
    assert_int_equal(mv(B "p/file/x", B "p/new"), -ENOTDIR);
    assert_int_equal(mv(B "p/file", B "p/none/new"), -ENOENT);
    assert_int_equal(mv(B "p/file", B "p/file/new"), -ENOTDIR);
    assert_int_equal(mv(B "p/file", B "p/dir"), -EISDIR);
    assert_int_equal(mv(B "p/file", B "p/empty"), -EISDIR);
    assert_int_equal(mv(B "p/dir", B "p/file"), -ENOTDIR);
    assert_int_equal(mv(B "p/empty", B "p/dir"), -ENOTEMPTY);
    assert_int_equal(mv(B "p/dir", B "p/dir/x/y"), -ENOTDIR);
    assert_int_equal(mv(B "p/dir", B "p/dir/below"), -EINVAL);
    assert_int_equal(mv(B "p/dir/x", B "p/dir"), -ENOTEMPTY);
    assert_int_equal(mv(B "p/file", B "p/new/"), -ENOTDIR);
    assert_int_equal(mv(B "p/file/", B "p/new"), -ENOTDIR);
    assert_int_equal(mv(B "p/dir", B "p/dir"), 0);
    assert_int_equal(mv(B "p/dir/", B "p/dir"), 0);
    assert_int_equal(mv("fault://rename", B "p/bucket"), -EBUSY);
    assert_int_equal(mv(B "p/file", "mem://rename/file"), -EXDEV);
    assert_int_equal(mv(B "p/file", "fault://no-such-bucket/file"), -ENOENT);
    check(B "p/file", "f");
    check(B "p/dir/x", "x");
    assert_int_equal(mv(B "p/dir", B "p/empty"), 0);
    check(B "p/empty/x", "x");
    assert_int_equal(core_run_type(B "p/dir"), -ENOENT);
}

static int mv_new(const char *from, const char *to)
{
    return s3dlio_rename(from, to, S3DLIO_RENAME_NOREPLACE, NULL, NULL);
}

static void test_no_replace(void **state)
{
    core_run_put_text(B "n/a", "a");
    core_run_put_text(B "n/b", "b");
    assert_int_equal(mv_new(B "n/a", B "n/b"), -EEXIST);
    assert_int_equal(mv_new(B "n/a", B "n/a"), -EEXIST);
    assert_int_equal(mv_new(B "n/a", B "n"), -EEXIST);
    check(B "n/b", "b");
    core_run_reset_counts();
    assert_int_equal(mv_new(B "n/a", B "n/c"), 0);
    check(B "n/c", "a");
    check(B "n/a", NULL);
    assert_int_equal(core_run_count(STORE_COPY), 0); /* a plain copy would not look */
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 1);
}

/* The answer to the completion is lost, and the repeat finds our own object there. */
static void test_no_replace_survives_a_lost_answer(void **state)
{
    core_run_put_text(B "l/a", "a");
    core_run_faults("op=CompleteMultipartUpload nth=1 count=1 lose");
    assert_int_equal(mv_new(B "l/a", B "l/b"), 0);
    check(B "l/b", "a");
    check(B "l/a", NULL);
}

static void test_metadata_moves_along(void **state)
{
    struct s3dlio_write_options options = {
        .has = S3DLIO_HAS_MODE, .mode = 0640, .content_type = "text/x-test"};
    struct s3dlio_attr attr;
    char type[32] = "";

    assert_int_equal(s3dlio_put(B "m/a", "a", 1, &options, NULL, NULL, NULL), 0);
    assert_int_equal(mv_new(B "m/a", B "m/b"), 0);
    assert_int_equal(mv(B "m/b", B "m/c"), 0);
    assert_int_equal(s3dlio_stat(B "m/c", NULL, &attr, NULL), 0);
    assert_true(attr.has & S3DLIO_HAS_MODE);
    assert_int_equal(attr.mode, 0640);
    assert_int_equal(
        s3dlio_getxattr(B "m/c", "user.s3.content-type", type, sizeof type, NULL, NULL), 11);
    assert_memory_equal(type, "text/x-test", 11);
}

static void test_a_store_that_does_not_copy_keeps_the_source(void **state)
{
    core_run_put_text(B "i/a", "new");
    core_run_put_text(B "i/b", "old");
    core_run_faults("op=CopyObject ignore");
    assert_int_equal(mv(B "i/a", B "i/b"), -EIO);
    assert_int_equal(mv(B "i/a", B "i/c"), -EIO);
    assert_int_equal(core_run_count(STORE_DELETE), 0);
    core_run_faults(NULL);
    check(B "i/a", "new");
    check(B "i/b", "old");
    core_run_put_text(B "i/d/x", "x");
    core_run_faults("op=CopyObject ignore");
    assert_int_equal(mv(B "i/d", B "i/e"), -EIO);
    core_run_faults(NULL);
    check(B "i/d/x", "x");
}

static void test_a_source_that_changes_is_not_lost(void **state)
{
    core_run_put_text(B "c/a", "a");
    /* The look before the copy sees one version, those after it another. */
    core_run_faults("op=HeadObject key=c/a nth=3 count=1 changed");
    assert_int_equal(mv(B "c/a", B "c/b"), 0);
    assert_int_equal(core_run_count(STORE_COPY), 2);
    check(B "c/b", "a");
    core_run_put_text(B "c/x", "x");
    core_run_faults("op=DeleteObject changed");
    assert_int_equal(mv(B "c/x", B "c/y"), -EBUSY);
    core_run_faults(NULL);
    check(B "c/x", "x");
    check(B "c/y", "x");
}

static void test_what_a_file_costs(void **state)
{
    core_run_put_text(B "cost/a", "a");
    core_run_let_ttl_pass();
    core_run_reset_counts();
    assert_int_equal(mv(B "cost/a", B "cost/b"), 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    assert_int_equal(core_run_count(STORE_DELETE), 1);
    assert_true(core_run_requests() <= 11);
    core_run_reset_counts();
    assert_int_equal(core_run_type(B "cost/a"), -ENOENT);
    assert_int_equal(core_run_type(B "cost/b"), S3DLIO_FILE);
    check(B "cost/b", "a");
    assert_true(core_run_requests() <= 3);
}

/* ---- stopped after every request ------------------------------------------------------------- */

/* From the n-th request on nothing gets through, as if the process were killed. */
static void stop_after(unsigned n)
{
    char rule[64];

    snprintf(rule, sizeof rule, "nth=%u fail=access", n + 1);
    core_run_faults(rule);
}

static void test_a_file_stopped_anywhere(void **state)
{
    for (unsigned flags = 0; flags <= S3DLIO_RENAME_NOREPLACE; flags++) {
        unsigned n = 0;

        for (int r = -1; r != 0; n++) {
            char *from, *to;

            core_run_put_text(B "k/from", "content");
            s3dlio_delete(B "k/to", NULL, NULL);
            if (!flags)
                core_run_put_text(B "k/to", "old");
            core_run_let_ttl_pass();
            stop_after(n);
            r = s3dlio_rename(B "k/from", B "k/to", flags, NULL, NULL);
            core_run_faults(NULL);
            from = get(B "k/from");
            to = get(B "k/to");
            assert_true((from && strcmp(from, "content") == 0) ||
                        (to && strcmp(to, "content") == 0));
            assert_true(!to || strcmp(to, "content") == 0 || strcmp(to, "old") == 0);
            if (r != 0 && from) {
                int again = s3dlio_rename(B "k/from", B "k/to", flags, NULL, NULL);

                assert_true(again == 0 || (flags && to && again == -EEXIST));
                check(B "k/to", "content");
            }
            free(from);
            free(to);
            assert_true(n < 40);
        }
        assert_true(n > 5);
    }
}

#define FILES 7

static const char *const names[FILES] = {"a", "b/c", "b/d/e", "b/f", "g", "h//odd", "i"};

static void make_tree(bool marker)
{
    char uri[100];

    if (marker)
        mkdir_(B "t/from");
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(uri, sizeof uri, B "t/from/%s", names[i]);
        core_run_put_text(uri, names[i]);
    }
    if (marker)
        mkdir_(B "t/from/empty");
    core_run_let_ttl_pass();
}

static void check_tree(const char *root)
{
    char uri[100];

    for (unsigned i = 0; i < FILES; i++) {
        snprintf(uri, sizeof uri, "%s/%s", root, names[i]);
        check(uri, names[i]);
    }
}

/* Each file is whole on one side or both. */
static void check_union(void)
{
    char uri[100];

    for (unsigned i = 0; i < FILES; i++) {
        char *from, *to;

        snprintf(uri, sizeof uri, B "t/from/%s", names[i]);
        from = get(uri);
        snprintf(uri, sizeof uri, B "t/to/%s", names[i]);
        to = get(uri);
        assert_true(from || to);
        assert_true(!from || strcmp(from, names[i]) == 0);
        assert_true(!to || strcmp(to, names[i]) == 0);
        free(from);
        free(to);
    }
}

static void test_a_directory(void **state)
{
    for (int marker = 0; marker < 2; marker++) {
        make_tree(marker);
        core_run_reset_counts();
        assert_int_equal(mv(B "t/from", B "t/to"), 0);
        assert_int_equal(core_run_count(STORE_COPY), FILES + (marker ? 1 : 0));
        assert_int_equal(core_run_count(STORE_DELETE_MANY), 1);
        assert_true(core_run_count(STORE_LIST) <= 7);
        check_tree(B "t/to");
        assert_int_equal(core_run_type(B "t/from"), -ENOENT);
        assert_int_equal(core_run_type(B "t/to"), S3DLIO_DIRECTORY);
        assert_int_equal(core_run_type(B "t/to/b/d"), S3DLIO_DIRECTORY);
        assert_int_equal(core_run_type(B "t/to/empty"), marker ? S3DLIO_DIRECTORY : -ENOENT);
        assert_int_equal(core_run_type(B "t/from/a"), -ENOENT);
        wipe(B "t/to");
    }
}

static void test_an_empty_directory(void **state)
{
    struct s3dlio_write_options options = {.has = S3DLIO_HAS_MODE, .mode = 0700};
    struct s3dlio_attr attr;

    assert_int_equal(s3dlio_mkdir(B "o", NULL, NULL, NULL), 0);
    assert_int_equal(s3dlio_mkdir(B "o/a", &options, NULL, NULL), 0);
    assert_int_equal(mv(B "o/a", B "o/b/"), 0);
    assert_int_equal(core_run_type(B "o/a"), -ENOENT);
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_stat(B "o/b", NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0700);
    assert_int_equal(core_run_type(B "o/a"), -ENOENT);
    core_run_put_text(B "o/c/x", "x");
    assert_int_equal(s3dlio_unlink(B "o/c/x", NULL, NULL), 0);
    assert_int_equal(mv(B "o/c", B "o/b"), 0); /* one that is kept by this process only */
    assert_int_equal(core_run_type(B "o/c"), -ENOENT);
    assert_int_equal(core_run_type(B "o/b"), S3DLIO_DIRECTORY);
}

static void test_a_directory_stopped_anywhere(void **state)
{
    for (int marker = 0; marker < 2; marker++) {
        unsigned n = 0;

        for (int r = -1; r != 0; n++) {
            make_tree(marker);
            stop_after(n);
            r = mv(B "t/from", B "t/to");
            core_run_faults(NULL);
            check_union();
            core_run_let_ttl_pass();
            if (r != 0)
                assert_int_equal(mv(B "t/from", B "t/to"), 0);
            check_tree(B "t/to");
            assert_int_equal(core_run_type(B "t/from"), -ENOENT);
            assert_int_equal(core_run_type(B "t/to"), S3DLIO_DIRECTORY);
            wipe(B "t/to");
            assert_true(n < 60);
        }
        assert_true(n > 15);
    }
}

/* versitygw refuses to copy markers: they are made anew, with what is stored with them. */
static void test_markers_that_are_not_copied(void **state)
{
    struct s3dlio_write_options options = {.has = S3DLIO_HAS_MODE, .mode = 0700};
    struct s3dlio_attr attr;

    core_run_put_text(B "x/from/a", "a");
    assert_int_equal(s3dlio_mkdir(B "x/from/d", &options, NULL, NULL), 0);
    core_run_faults("op=CopyObject key=*/ fail=invalid");
    assert_int_equal(mv(B "x/from", B "x/to"), 0);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_stat(B "x/to/d", NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0700);
    check(B "x/to/a", "a");
}

/* After the copies a repeat makes none again, and it is not mistaken for another directory. */
static void test_a_repeat_goes_on(void **state)
{
    make_tree(true);
    core_run_faults("op=DeleteObjects fail=access");
    assert_int_equal(mv(B "t/from", B "t/to"), -EACCES);
    core_run_faults(NULL);
    core_run_put_text(B "t/other/x", "x");
    assert_int_equal(mv(B "t/other", B "t/to"), -ENOTEMPTY);
    core_run_reset_counts();
    assert_int_equal(mv(B "t/from", B "t/to"), 0);
    assert_int_equal(core_run_count(STORE_COPY), 0);
    check_tree(B "t/to");
    make_tree(false);
    assert_int_equal(mv(B "t/from", B "t/to"), -ENOTEMPTY); /* the journal is gone */
    wipe(B "t/to");
    wipe(B "t/from");
}

static void test_a_directory_of_many(void **state)
{
    struct s3dlio_put_item *items = calloc(2300, sizeof *items);
    char(*uris)[48] = calloc(2300, sizeof *uris);
    char *longest = malloc(1100);

    for (unsigned i = 0; i < 2300; i++) {
        snprintf(uris[i], sizeof uris[i], B "many/%05u", i);
        items[i] = (struct s3dlio_put_item){.uri = uris[i], .data = "x", .length_bytes = 1};
    }
    assert_int_equal(s3dlio_put_many(items, 2300, NULL, NULL), 0);
    memset(longest, 'k', 1099);
    memcpy(longest, B, strlen(B));
    longest[strlen(B) + 1020] = '\0';
    assert_int_equal(mv(B "many", longest), -ENAMETOOLONG);
    core_run_reset_counts();
    core_run_faults("op=CopyObject p=2 fail=server; op=CopyObject p=2 lose");
    assert_int_equal(mv(B "many", B "moved"), 0);
    core_run_faults(NULL);
    assert_int_equal(core_run_count(STORE_DELETE_MANY), 3);
    assert_int_equal(core_run_count(STORE_DELETE), 1); /* the journal of an implicit directory */
    check(B "moved/00000", "x");
    check(B "moved/02299", "x");
    assert_int_equal(core_run_type(B "many"), -ENOENT);
    free(longest);
    free(uris);
    free(items);
}

/* The file store renames by itself, a directory in one request. */
static void test_a_store_that_can(void **state)
{

    assert_int_equal(mkdir_("file://b"), 0);
    core_run_put_text("file://b/d/x", "x");
    core_run_put_text("file://b/f", "f");
    assert_int_equal(core_run_type("file://b/d/x"), S3DLIO_FILE);
    core_run_reset_counts();
    assert_int_equal(mv("file://b/d", "file://b/e"), 0);
    assert_int_equal(core_run_count(STORE_RENAME), 1);
    assert_int_equal(core_run_requests(), 1);
    check("file://b/e/x", "x");
    assert_int_equal(core_run_type("file://b/d"), -ENOENT);
    assert_int_equal(core_run_type("file://b/d/x"), -ENOENT);
    assert_int_equal(mv("file://b/f", "file://b/e"), -EISDIR);
    assert_int_equal(mv("file://b/e", "file://b/f"), -ENOTDIR);
    assert_int_equal(mv("file://b/e", "file://b/e/y"), -EINVAL);
    assert_int_equal(mv("file://b/none", "file://b/y"), -ENOENT);
    assert_int_equal(mv("file://b/f", "file://b/none/y"), -ENOENT);
    assert_int_equal(mv("file://b/f/", "file://b/y"), -ENOTDIR);
    assert_int_equal(mv_new("file://b/f", "file://b/e/x"), -EEXIST);
    assert_int_equal(mv_new("file://b/f", "file://b/e/y"), 0);
    check("file://b/e/y", "f");
    assert_int_equal(mv("file://b/e/y", "file://b/e/x"), 0);
    check("file://b/e/x", "f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_file, core_run_clear_names),
        cmocka_unit_test_setup(test_an_empty_file, core_run_clear_names),
        cmocka_unit_test_setup(test_what_may_take_whose_place, core_run_clear_names),
        cmocka_unit_test_setup(test_no_replace, core_run_clear_names),
        cmocka_unit_test_setup(test_no_replace_survives_a_lost_answer, core_run_clear_names),
        cmocka_unit_test_setup(test_metadata_moves_along, core_run_clear_names),
        cmocka_unit_test_setup(test_a_store_that_does_not_copy_keeps_the_source,
                               core_run_clear_names),
        cmocka_unit_test_setup(test_a_source_that_changes_is_not_lost, core_run_clear_names),
        cmocka_unit_test_setup(test_what_a_file_costs, core_run_clear_names),
        cmocka_unit_test_setup(test_a_file_stopped_anywhere, core_run_clear_names),
        cmocka_unit_test_setup(test_a_directory, core_run_clear_names),
        cmocka_unit_test_setup(test_an_empty_directory, core_run_clear_names),
        cmocka_unit_test_setup(test_a_directory_stopped_anywhere, core_run_clear_names),
        cmocka_unit_test_setup(test_markers_that_are_not_copied, core_run_clear_names),
        cmocka_unit_test_setup(test_a_repeat_goes_on, core_run_clear_names),
        cmocka_unit_test_setup(test_a_directory_of_many, core_run_clear_names),
        cmocka_unit_test_setup(test_a_store_that_can, core_run_clear_names),
    };

    return cmocka_run_group_tests_name("rename", tests, set_up, core_run_remove_file_root);
}
