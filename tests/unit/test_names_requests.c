/* core/names.h, listing.h, attr_cache.h: how many requests look-ups, listings and creating cost. */
#include "names_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- directories ----------------------------------------------------------------------------- */

static void test_a_thousand_entries_are_one_request(void **state)
{
    names_run_plant_many(B "flat/%04u", 1000);
    names_run_requests();
    assert_int_equal(names_run_ls(B "flat"), 1000);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(names_run_ls(B "flat/"), 1000); /* again, within the TTL */
    assert_int_equal(names_run_requests(), 0);
    assert_int_equal(core_run_type(B "flat/none"), -ENOENT);
    assert_int_equal(core_run_type(B "flat/none.txt"), -ENOENT);
    assert_int_equal(names_run_requests(), 0);
}

static void test_a_marker_is_asked_for_its_metadata(void **state)
{
    names_run_plant_with(B "marked/", "mode", "16872"); /* 040750 */
    names_run_plant_many(B "marked/%04u", 999);
    names_run_requests();
    assert_int_equal(names_run_mode(B "marked"), 0750);
    assert_int_equal(names_run_list(B "marked", true), 999);
    assert_int_equal(names_run_requests(),
                     2 + 999); /* as s3fs makes them: entries have metadata, too */
}

static void test_a_thousand_and_one_keys_are_two_pages(void **state)
{
    names_run_plant(B "full/");
    names_run_plant_many(B "full/%04u", 1000);
    names_run_requests();
    assert_int_equal(names_run_ls(B "full"), 1000);
    assert_int_equal(names_run_requests(), 3);
}

/* The bucket's listing has shown that it is there, not whether it has a marker: whoever is going to list it
 * finds that on its first page. */
static void test_opening_a_directory_begins_its_listing(void **state)
{
#define OPENED "fault://opened/"
    core_run_make_bucket("opened");
    names_run_plant_many(OPENED "plain/%04u", 1001);
    names_run_plant_with(OPENED "with/", "mode", "16872"); /* 040750 */
    names_run_plant(OPENED "with/a");
    core_run_let_ttl_pass(); /* of the list of buckets */
    assert_int_equal(core_run_type(OPENED), S3DLIO_DIRECTORY);
    names_run_requests();
    assert_int_equal(core_run_type(OPENED "plain/"), S3DLIO_DIRECTORY);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(names_run_ls(OPENED "plain"), 1001);
    assert_int_equal(names_run_requests(), 1); /* the second page */
    assert_int_equal(names_run_mode(OPENED "with/"), 0750);
    assert_int_equal(names_run_requests(), 2);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void test_pages_go_on_behind_the_first(void **state)
{
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    unsigned count = 0;

    names_run_plant_many(B "long/%04u", 2500);
    names_run_requests();
    assert_int_equal(names_run_ls(B "long"), 2500);
    assert_int_equal(names_run_requests(), 3);
    core_run_let_ttl_pass();
    assert_int_equal(core_run_type(B "long"), S3DLIO_DIRECTORY);
    assert_int_equal(s3dlio_list_open(B "long", 0, NULL, &listing, NULL), 0);
    for (unsigned i = 0; i < 1500; i++)
        assert_int_equal(s3dlio_list_next(listing, &entry, NULL), 1);
    assert_int_equal(s3dlio_list_rewind(listing, NULL), 0);
    while (s3dlio_list_next(listing, &entry, NULL) > 0)
        assert_int_equal(atoi(entry.name), count++);
    assert_int_equal(count, 2500);
    s3dlio_list_close(listing);
}

static void test_siblings_before_the_slash(void **state)
{
    names_run_plant_many(B "few-%02u", 10);
    names_run_plant_many(B "few/%02u", 10);
    names_run_plant_many(B "many-%04u", 1200);
    names_run_plant_many(B "many/%02u", 10);
    names_run_requests();
    assert_int_equal(names_run_ls(B "few"), 10);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(names_run_ls(B "many"), 10);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "man"), -ENOENT); /* the page goes beyond "man/" */
    assert_int_equal(names_run_requests(), 1);
}

static void test_file_and_directory_of_one_name(void **state)
{
    names_run_plant_with(B "both", "mode", "33188");
    names_run_plant(B "both/below");
    names_run_plant_with(B "in/both", "mode", "33206");
    names_run_plant(B "in/both/below");
    names_run_requests();
    assert_int_equal(core_run_type(B "both"), S3DLIO_FILE);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "both/"), -ENOTDIR);
    assert_int_equal(core_run_type(B "both/none"), -ENOTDIR);
    assert_int_equal(core_run_type(B "in"), S3DLIO_DIRECTORY);
    assert_int_equal(names_run_mode(B "in/both"), 0666);
    assert_int_equal(names_run_list(B "in", true), 1);
    assert_int_equal(core_run_type(B "in/both/below"), S3DLIO_FILE);
}

static void test_a_first_child_with_many_keys_is_passed_over(void **state)
{
    names_run_plant_many(B "deep/a/%04u", 3000);
    names_run_plant(B "deep/a-file");
    names_run_plant(B "deep/b/x");
    names_run_plant(B "deep/c");
    names_run_requests();
    assert_int_equal(core_run_type(B "deep"), S3DLIO_DIRECTORY);
    assert_int_equal(names_run_list(B "deep", true), 4);
    assert_int_equal(names_run_requests(), 2);
}

static void test_a_small_tree_is_one_request(void **state)
{
    char uri[100];

    names_run_plant_many(B "tree/d/%02u", 30);
    names_run_plant_many(B "tree/e/f/%02u", 30);
    names_run_plant(B "tree/e//odd");
    names_run_requests();
    assert_int_equal(names_run_ls(B "tree"), 2);
    assert_int_equal(names_run_ls(B "tree/d"), 30);
    assert_int_equal(names_run_ls(B "tree/e"), 1);
    assert_int_equal(names_run_ls(B "tree/e/f"), 30);
    snprintf(uri, sizeof uri, B "tree/e/f/none");
    assert_int_equal(core_run_type(uri), -ENOENT);
    assert_int_equal(names_run_requests(), 1);
}

static void test_a_large_tree_is_one_request_a_directory(void **state)
{
    char uri[100];

    names_run_plant_many(B "wood/d0/%04u", 900);
    names_run_plant_many(B "wood/d1/%04u", 900);
    names_run_plant_many(B "wood/d2/%04u", 900);
    names_run_requests();
    assert_int_equal(names_run_ls(B "wood"), 3);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(uri, sizeof uri, B "wood/d%u", i);
        assert_int_equal(names_run_ls(uri), 900);
    }
    /* The look-up's page, the rest of the root; d0 was on the page, of d1 its beginning. */
    assert_int_equal(names_run_requests(), 4);
}

static void test_a_bucket_is_one_request(void **state)
{
    core_run_make_bucket("single");
    names_run_plant_many("fault://single/%04u/x", 5);
    core_run_let_ttl_pass();
    names_run_requests();
    assert_int_equal(names_run_ls("fault://single"), 5);
    assert_int_equal(names_run_requests(), 1);
}

/* ---- single names ---------------------------------------------------------------------------- */

static void test_files(void **state)
{
    names_run_plant_with(B "one/file.txt", "mode", "33216"); /* 0100700 */
    names_run_plant_with(B "one/file", "mode", "33216");
    names_run_requests();
    assert_int_equal(names_run_mode(B "one/file.txt"), 0700);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(names_run_mode(B "one/file"), 0700);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(names_run_mode(B "one/file"), 0700);
    assert_int_equal(names_run_requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(names_run_mode(B "one/file"), 0700); /* known to be a file */
    assert_int_equal(names_run_requests(), 1);
}

static void test_a_look_up_of_the_directory_hides_no_metadata(void **state)
{
    names_run_plant_with(B "hold/file", "mode", "33216");
    names_run_plant_with(B "hold/sub/", "mode", "16832"); /* 040700 */
    names_run_requests();
    assert_int_equal(core_run_type(B "hold"), S3DLIO_DIRECTORY);
    assert_int_equal(names_run_mode(B "hold/file"), 0700);
    assert_int_equal(names_run_mode(B "hold/sub"), 0700);
    assert_int_equal(names_run_requests(), 3);
    core_run_let_ttl_pass();
    assert_int_equal(names_run_list(B "hold", true),
                     2); /* what a listing shows is taken as it is */
    assert_int_equal(names_run_requests(), 1);
}

static void test_missing_names(void **state)
{
    names_run_plant_many(B "have/%04u", 5);
    names_run_plant_many(B "large/%04u", 1500);
    names_run_requests();
    assert_int_equal(core_run_type(B "absent"), -ENOENT);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(core_run_type(B "absent.txt"), -ENOENT);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "absent/x.txt"), -ENOENT);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "have/none.txt"), -ENOENT);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "have/other.txt"), -ENOENT); /* complete by then */
    assert_int_equal(names_run_requests(), 0);
    assert_int_equal(core_run_type(B "large"), S3DLIO_DIRECTORY);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(core_run_type(B "large/none"), -ENOENT);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(core_run_type(B "large/none.txt"), -ENOENT);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "large/none.txt"), -ENOENT); /* asked as one that misses */
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(core_run_type(B "have/0001/x"), -ENOTDIR);
    assert_int_equal(core_run_type(B "have/0001/x.txt"), -ENOTDIR);
}

static void test_opening_missing_names(void **state)
{
    struct s3dlio_reader *reader;

    names_run_plant_many(B "read/%04u", 5);
    names_run_requests();
    assert_int_equal(s3dlio_reader_open(B "read/none", NULL, &reader, NULL), -ENOENT);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(s3dlio_reader_open(B "read/none", NULL, &reader, NULL), -ENOENT);
    assert_int_equal(names_run_requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_reader_open(B "read", NULL, &reader, NULL), -EISDIR);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(names_run_ls(B "read"), 5);
    assert_int_equal(names_run_requests(), 0);
    assert_int_equal(s3dlio_reader_open(B "read/0001/x", NULL, &reader, NULL), -ENOTDIR);
}

static void test_who_may_not_list_may_read(void **state)
{
    names_run_plant(B "closed/file");
    core_run_faults("op=ListObjects fail=access");
    assert_int_equal(core_run_type(B "closed/file"), S3DLIO_FILE);
    assert_int_equal(core_run_type(B "closed/none"), -EACCES);
}

/* ---- changes --------------------------------------------------------------------------------- */

static void test_creating_in_a_new_directory(void **state)
{
    names_run_requests();
    assert_int_equal(s3dlio_mkdir(B "new", NULL, NULL, NULL), 0);
    assert_int_equal(names_run_requests(), 3); /* is it there, is the bucket there, make it */
    names_run_create(B "new", 0, 100);
    assert_int_equal(names_run_requests(), 100);
    core_run_let_ttl_pass();
    names_run_create(B "new", 100, 100); /* listed once, its marker asked for once */
    assert_in_range(names_run_requests(), 101, 103);
    assert_int_equal(names_run_list(B "new", true), 200);
}

static void test_creating_in_a_directory_of_others(void **state)
{
    names_run_plant_many(B "theirs/%04u", 5);
    names_run_requests();
    names_run_create(B "theirs", 0, 50);
    assert_int_equal(names_run_requests(), 50 + 2);
}

/* Who has looked says so: the name is not looked for again, and the store decides in the end. */
/* The mode marks its directory, which is known by that; its contents are asked for once. */
static void test_missing_names_beside_one_with_a_mode(void **state)
{
    struct s3dlio_write_options options = {
        .flags = S3DLIO_WRITE_SOUGHT, .has = S3DLIO_HAS_MODE, .mode = 0600};
    struct s3dlio_writer *writer;

    names_run_plant(B "modes/");
    names_run_plant_many(B "modes/%02u", 10);
    assert_int_equal(s3dlio_writer_open(B "modes/new", &options, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    names_run_requests();
    assert_int_equal(core_run_type(B "modes/none.txt"), -ENOENT);
    assert_int_equal(core_run_type(B "modes/none"), -ENOENT);
    assert_int_equal(core_run_type(B "modes/other.txt"), -ENOENT);
    assert_int_equal(names_run_requests(), 1);
}

static void test_creating_what_was_sought(void **state)
{
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_EXCLUSIVE | S3DLIO_WRITE_SOUGHT};
    struct s3dlio_writer *writer;
    struct s3dlio_draft *draft;

    names_run_plant_many(B "sought/%04u", 1500);
    names_run_requests();
    assert_int_equal(core_run_type(B "sought/a.bin"), -ENOENT);
    assert_int_equal(names_run_requests(),
                     3); /* the object, its directory, what begins with the name */
    assert_int_equal(s3dlio_writer_open(B "sought/a.bin", &options, NULL, &writer, NULL), 0);
    assert_int_equal(names_run_requests(), 0);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(s3dlio_writer_open(B "sought/a.bin", &options, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, "y", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), -EEXIST);
    names_run_requests();
    assert_int_equal(
        s3dlio_draft_open(B "sought/b.bin", &options, S3DLIO_DRAFT_EMPTY, NULL, &draft, NULL), 0);
    assert_int_equal(names_run_requests(), 0);
    s3dlio_draft_abort(draft);
}

static void test_removing_slowly(void **state)
{
    char uri[100];

    names_run_plant_many(B "gone/%04u", 60);
    names_run_requests();
    assert_int_equal(names_run_ls(B "gone"), 60);
    for (unsigned i = 0; i < 60; i++) {
        if (i == 30)
            core_run_let_ttl_pass();
        snprintf(uri, sizeof uri, B "gone/%04u", i);
        assert_int_equal(s3dlio_unlink(uri, NULL, NULL), 0);
    }
    assert_int_equal(names_run_requests(), 60 + 2); /* listed, and once again */
    assert_int_equal(s3dlio_unlink(B "gone/0007", NULL, NULL), -ENOENT);
}

static void test_own_changes_show_in_the_next_listing(void **state)
{
    names_run_plant_many(B "seen/%04u", 5);
    assert_int_equal(core_run_type(B "seen"), S3DLIO_DIRECTORY);
    core_run_put(B "seen/0002x", 1);
    assert_int_equal(names_run_list(B "seen", false), 6);
    assert_int_equal(core_run_type(B "seen/"), S3DLIO_DIRECTORY);
    core_run_let_ttl_pass();
    assert_int_equal(core_run_type(B "seen"), S3DLIO_DIRECTORY);
    assert_int_equal(s3dlio_unlink(B "seen/0002x", NULL, NULL), 0);
    assert_int_equal(names_run_list(B "seen", false), 5);
    core_run_let_ttl_pass();
    assert_int_equal(core_run_type(B "seen"), S3DLIO_DIRECTORY);
    assert_int_equal(s3dlio_mkdir(B "seen/sub", NULL, NULL, NULL), 0);
    assert_int_equal(names_run_list(B "seen", false), 6);
}

static void test_changes_of_others_show_after_the_ttl(void **state)
{
    names_run_plant_many(B "others/%04u", 5);
    assert_int_equal(names_run_ls(B "others"), 5);
    names_run_plant(B "others/0001a");
    core_run_let_ttl_pass();
    names_run_requests();
    assert_int_equal(names_run_ls(B "others"), 6);
    assert_int_equal(names_run_requests(), 1);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void test_fork(void **state)
{
    unsigned count;
    pid_t pid;

    names_run_plant_many(B "forked/%04u", 1500);
    assert_int_equal(core_run_type(B "forked"), S3DLIO_DIRECTORY);
    pid = core_run_fork();
    if (pid == 0) {
        names_run_requests();
        count = names_run_list(B "forked", true);
        _exit(count == 1500 && names_run_requests() == 1 ? 0 : 1);
    }
    core_run_wait_for(pid);
    names_run_requests();
    assert_int_equal(names_run_list(B "forked", true), 1500);
    assert_int_equal(names_run_requests(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_thousand_entries_are_one_request, core_run_clear),
        cmocka_unit_test_setup(test_a_marker_is_asked_for_its_metadata, core_run_clear),
        cmocka_unit_test_setup(test_a_thousand_and_one_keys_are_two_pages, core_run_clear),
        cmocka_unit_test_setup(test_pages_go_on_behind_the_first, core_run_clear),
        cmocka_unit_test_setup(test_siblings_before_the_slash, core_run_clear),
        cmocka_unit_test_setup(test_file_and_directory_of_one_name, core_run_clear),
        cmocka_unit_test_setup(test_a_first_child_with_many_keys_is_passed_over, core_run_clear),
        cmocka_unit_test_setup(test_a_small_tree_is_one_request, core_run_clear),
        cmocka_unit_test_setup(test_a_large_tree_is_one_request_a_directory, core_run_clear),
        cmocka_unit_test_setup(test_a_bucket_is_one_request, core_run_clear),
        cmocka_unit_test_setup(test_files, core_run_clear),
        cmocka_unit_test_setup(test_a_look_up_of_the_directory_hides_no_metadata, core_run_clear),
        cmocka_unit_test_setup(test_missing_names, core_run_clear),
        cmocka_unit_test_setup(test_opening_missing_names, core_run_clear),
        cmocka_unit_test_setup(test_who_may_not_list_may_read, core_run_clear),
        cmocka_unit_test_setup(test_creating_in_a_new_directory, core_run_clear),
        cmocka_unit_test_setup(test_creating_in_a_directory_of_others, core_run_clear),
        cmocka_unit_test_setup(test_missing_names_beside_one_with_a_mode, core_run_clear),
        cmocka_unit_test_setup(test_creating_what_was_sought, core_run_clear),
        cmocka_unit_test_setup(test_removing_slowly, core_run_clear),
        cmocka_unit_test_setup(test_own_changes_show_in_the_next_listing, core_run_clear),
        cmocka_unit_test_setup(test_changes_of_others_show_after_the_ttl, core_run_clear),
        cmocka_unit_test_setup(test_opening_a_directory_begins_its_listing, core_run_clear),
        cmocka_unit_test_setup(test_fork, core_run_clear),
    };

    return cmocka_run_group_tests(tests, names_run_set_up, NULL);
}
