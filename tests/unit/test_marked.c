/* core/marked.h and listing_ahead.h: the same attributes by look-up and by listing, at the least
 * cost. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define B "fault://marked/"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=20");
    core_run_make_bucket("marked");
    return 0;
}

static void put_mode(const char *uri, unsigned mode)
{
    struct s3dlio_write_options options = {.has = S3DLIO_HAS_MODE, .mode = mode};

    assert_int_equal(s3dlio_put(uri, "x", 1, &options, NULL, NULL, NULL), 0);
}

/* Every entry has the attributes that a fresh look-up finds. Their number. */
static unsigned check_listing(const char *uri)
{
    struct s3dlio_list *list;
    struct s3dlio_entry entry;
    struct s3dlio_attr listed[100], alone;
    char names[100][300];
    unsigned count = 0;

    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_list_open(uri, 0, NULL, &list, NULL), 0);
    for (; s3dlio_list_next(list, &entry, NULL) > 0 && count < 100; count++) {
        snprintf(names[count], sizeof names[count], "%s/%s", uri, entry.name);
        listed[count] = entry.attr;
        assert_int_equal(s3dlio_stat(names[count], NULL, &alone, NULL), 0); /* from the cache */
        assert_int_equal(alone.type, entry.attr.type);
        assert_int_equal(alone.mode, entry.attr.mode);
    }
    s3dlio_list_close(list);
    core_run_let_ttl_pass();
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(s3dlio_stat(names[i], NULL, &alone, NULL), 0);
        assert_int_equal(alone.type, listed[i].type);
        assert_int_equal(alone.has, listed[i].has);
        assert_int_equal(alone.mode, listed[i].mode);
        assert_int_equal(alone.size_bytes, listed[i].size_bytes);
        assert_int_equal(alone.inode, listed[i].inode);
        assert_int_equal(alone.mtime.tv_sec, listed[i].mtime.tv_sec);
        assert_int_equal(alone.mtime.tv_nsec, listed[i].mtime.tv_nsec);
    }
    return count;
}

static void test_a_file_with_a_mode_marks(void **state)
{
    core_run_put(B "a/plain", 1);
    put_mode(B "a/mode", 0600);
    core_run_put(B "a/sub/x", 1);
    assert_int_equal(check_listing(B "a"), 3);
}

static void test_an_unmarked_directory_costs_pages_only(void **state)
{
    char uri[64];

    for (unsigned i = 0; i < 10; i++) {
        snprintf(uri, sizeof uri, B "plain/%u", i);
        core_run_put(uri, 1);
    }
    assert_int_equal(check_listing(B "plain"), 10);
    core_run_let_ttl_pass();
    core_run_reset_counts();
    assert_int_equal(s3dlio_mkdir(B "plain/made", NULL, NULL, NULL), 0);
    check_listing(B "plain");
    core_run_reset_counts();
    struct s3dlio_list *list;
    struct s3dlio_entry entry;
    assert_int_equal(s3dlio_list_open(B "plain", 0, NULL, &list, NULL), 0);
    while (s3dlio_list_next(list, &entry, NULL) > 0)
        ;
    s3dlio_list_close(list);
    assert_int_equal(core_run_requests(), 1);
}

static void test_marking_costs_once(void **state)
{
    put_mode(B "once/a", 0600);
    core_run_reset_counts();
    put_mode(B "once/b", 0600);
    put_mode(B "once/c", 0600);
    assert_int_equal(core_run_requests(), 2);
    core_run_let_ttl_pass();
    core_run_reset_counts();
    put_mode(B "once/d", 0600); /* what is known has gone: one look */
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_int_equal(core_run_count(STORE_PUT), 1);
}

static void test_every_way_to_store_marks(void **state)
{
    struct s3dlio_write_options mode = {.has = S3DLIO_HAS_MODE, .mode = 0700};
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MTIME, .mtime = {1000000000, 0}};
    struct s3dlio_writer *writer;

    core_run_put(B "w/a/x", 1);
    assert_int_equal(s3dlio_mkdir(B "w/a/dir", &mode, NULL, NULL), 0);
    check_listing(B "w/a");
    core_run_put(B "w/b/x", 1);
    assert_int_equal(s3dlio_symlink("x", B "w/b/link", NULL, NULL), 0);
    check_listing(B "w/b");
    core_run_put(B "w/c/x", 1);
    assert_int_equal(s3dlio_set_attr(B "w/c/x", &attr, NULL, NULL, NULL), 0);
    check_listing(B "w/c");
    core_run_put(B "w/d/x", 1);
    assert_int_equal(s3dlio_setxattr(B "w/d/x", "user.a", "b", 1, 0, NULL, NULL), 0);
    check_listing(B "w/d");
    assert_int_equal(s3dlio_writer_open(B "w/e/x", &mode, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    check_listing(B "w/e");
    core_run_put(B "w/f/x", 1);
    assert_int_equal(s3dlio_rename(B "w/b/link", B "w/f/link", 0, NULL, NULL), 0);
    check_listing(B "w/f");
    core_run_put(B "w/g/dir/x", 1);
    assert_int_equal(s3dlio_set_attr(B "w/g/dir", &attr, NULL, NULL, NULL), 0);
    check_listing(B "w/g");
    check_listing(B "w");
}

/* The mark of a bucket is an object of its own, which no listing shows. */
static void test_the_bucket_itself(void **state)
{
    put_mode(B "root-file", 0600);
    assert_true(check_listing("fault://marked") >= 1);
    core_run_let_ttl_pass();
    struct s3dlio_list *list;
    struct s3dlio_entry entry;
    assert_int_equal(s3dlio_list_open("fault://marked", 0, NULL, &list, NULL), 0);
    while (s3dlio_list_next(list, &entry, NULL) > 0)
        assert_string_not_equal(entry.name, ".s3dlio-directory");
    s3dlio_list_close(list);
}

static int64_t time_of(const char *uri)
{
    struct s3dlio_attr attr;

    assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
    return attr.mtime.tv_sec * NS_PER_S + attr.mtime.tv_nsec;
}

#define UNCHANGED (946684800 * NS_PER_S)
#define STORED    (1000000000 * NS_PER_S)

/* One time for all directories of which no change is known; however they are looked at. */
static void test_times_of_directories(void **state)
{
    struct s3dlio_attr mode = {.has = S3DLIO_HAS_MODE, .mode = 0711};
    struct s3dlio_attr time = {.has = S3DLIO_HAS_MTIME, .mtime = {STORED / NS_PER_S, 0}};

    core_run_plant(B "t/plain/x", NULL);
    core_run_plant(B "t/made/", NULL);
    assert_int_equal(time_of(B "t/made"), UNCHANGED);
    assert_int_equal(time_of(B "t/plain"), UNCHANGED);
    check_listing(B "t");
    assert_int_equal(s3dlio_set_attr(B "t/made", &mode, NULL, NULL, NULL), 0);
    assert_int_equal(time_of(B "t/made"), UNCHANGED);
    assert_int_equal(s3dlio_set_attr(B "t/plain", &time, NULL, NULL, NULL), 0);
    assert_int_equal(time_of(B "t/plain"), STORED);
    check_listing(B "t");
    check_listing("fault://marked");
}

/* Of those that are changed here, the time of that, until one is stored. */
static void test_times_of_changed_directories(void **state)
{
    struct s3dlio_attr time = {.has = S3DLIO_HAS_MTIME, .mtime = {STORED / NS_PER_S, 0}};
    int64_t made, written;

    core_run_plant(B "u/x", NULL);
    assert_int_equal(s3dlio_mkdir(B "u/made", NULL, NULL, NULL), 0);
    made = time_of(B "u/made");
    assert_true(made > STORED);
    core_run_put(B "u/made/x", 1);
    written = time_of(B "u/made");
    assert_true(written > made);
    core_run_put(B "u/made/sub/x", 1);
    assert_int_equal(time_of(B "u/made"), written);
    core_run_let_ttl_pass();
    assert_int_equal(time_of(B "u/made"), written);
    check_listing(B "u");
    assert_int_equal(s3dlio_unlink(B "u/made/x", NULL, NULL), 0);
    assert_true(time_of(B "u/made") > written);
    assert_int_equal(s3dlio_set_attr(B "u/made", &time, NULL, NULL, NULL), 0);
    core_run_put(B "u/made/y", 1);
    assert_int_equal(time_of(B "u/made"), STORED);
    check_listing(B "u");
}

static void test_a_renamed_directory_stays_marked(void **state)
{
    put_mode(B "r/from/a", 0600);
    put_mode(B "r/from/sub/b", 0400);
    assert_int_equal(s3dlio_rename(B "r/from", B "r/to", 0, NULL, NULL), 0);
    assert_int_equal(check_listing(B "r/to"), 2);
    assert_int_equal(check_listing(B "r/to/sub"), 1);
}

static void test_marks_survive_changes_of_the_directory(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0711};

    put_mode(B "s/a", 0600);
    assert_int_equal(s3dlio_set_attr(B "s", &attr, NULL, NULL, NULL), 0);
    check_listing(B "s");
    assert_int_equal(s3dlio_setxattr(B "s", "user.a", "b", 1, 0, NULL, NULL), 0);
    check_listing(B "s");
}

/* Entries are asked for many at a time, ahead of the reader; one that has gone shows as listed. */
/* A directory that its parent's listing showed is looked at before its own listing is believed. */
static void test_marked_below_unmarked(void **state)
{
    struct s3dlio_entry entry;
    struct s3dlio_list *list;

    assert_int_equal(s3dlio_mkdir(B "top", NULL, NULL, NULL), 0);
    assert_int_equal(s3dlio_mkdir(B "top/sub", NULL, NULL, NULL), 0);
    assert_int_equal(s3dlio_symlink("x", B "top/sub/link", NULL, NULL), 0);
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_list_open(B "top", 0, NULL, &list, NULL), 0);
    assert_int_equal(s3dlio_list_next(list, &entry, NULL), 1);
    assert_int_equal(entry.attr.type, S3DLIO_DIRECTORY);
    s3dlio_list_close(list);
    assert_int_equal(s3dlio_list_open(B "top/sub", 0, NULL, &list, NULL), 0);
    assert_int_equal(s3dlio_list_next(list, &entry, NULL), 1);
    assert_int_equal(entry.attr.type, S3DLIO_SYMLINK);
    s3dlio_list_close(list);
}

static void test_ahead(void **state)
{
    struct s3dlio_list *list;
    struct s3dlio_entry entry;
    char uri[64];
    unsigned count = 0;

    for (unsigned i = 0; i < 90; i++) {
        snprintf(uri, sizeof uri, B "ahead/%02u", i);
        put_mode(uri, 0600);
    }
    core_run_let_ttl_pass();
    core_run_reset_counts();
    core_run_faults("op=HeadObject delay=20; op=HeadObject key=ahead/50 fail=not-found");
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_int_equal(s3dlio_list_open(B "ahead", 0, NULL, &list, NULL), 0);
    for (; s3dlio_list_next(list, &entry, NULL) > 0; count++)
        assert_int_equal(entry.attr.mode, strcmp(entry.name, "50") == 0 ? 0 : 0600);
    s3dlio_list_close(list);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(count, 90);
    assert_int_equal(core_run_count(STORE_HEAD), 91); /* one for the marker */
    assert_true((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 < 900);
    core_run_faults("op=HeadObject key=ahead/3* fail=access");
    assert_int_equal(s3dlio_list_open(B "ahead", 0, NULL, &list, NULL), 0);
    for (count = 0; s3dlio_list_next(list, &entry, NULL) > 0; count++)
        ;
    assert_int_equal(count, 30);
    assert_int_equal(s3dlio_list_next(list, &entry, NULL), -EACCES);
    core_run_faults(NULL);
    for (; s3dlio_list_next(list, &entry, NULL) > 0; count++)
        ;
    assert_int_equal(count, 90);
    assert_int_equal(s3dlio_list_rewind(list, NULL), 0);
    assert_int_equal(s3dlio_list_next(list, &entry, NULL), 1);
    s3dlio_list_close(list); /* with requests under way */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_file_with_a_mode_marks, core_run_clear_names),
        cmocka_unit_test_setup(test_an_unmarked_directory_costs_pages_only, core_run_clear_names),
        cmocka_unit_test_setup(test_marking_costs_once, core_run_clear_names),
        cmocka_unit_test_setup(test_every_way_to_store_marks, core_run_clear_names),
        cmocka_unit_test_setup(test_the_bucket_itself, core_run_clear_names),
        cmocka_unit_test_setup(test_times_of_directories, core_run_clear_names),
        cmocka_unit_test_setup(test_times_of_changed_directories, core_run_clear_names),
        cmocka_unit_test_setup(test_a_renamed_directory_stays_marked, core_run_clear_names),
        cmocka_unit_test_setup(test_marks_survive_changes_of_the_directory, core_run_clear_names),
        cmocka_unit_test_setup(test_marked_below_unmarked, core_run_clear_names),
        cmocka_unit_test_setup(test_ahead, core_run_clear_names),
    };

    return cmocka_run_group_tests_name("marked", tests, set_up, NULL);
}
