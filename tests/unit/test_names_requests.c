/* core/names.h, listing.h, attr_cache.h: how many requests look-ups, listings and creating cost.
 *
 * Objects are planted past the caches, as another machine would put them. The TTL is long
 * enough for a busy machine; a test that lets it pass says so. Each test has names of its own.
 */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/call.h"

#define TTL_MS 2000
#define B      "fault://counted/"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=2000");
    core_run_make_bucket("counted");
    core_run_let_ttl_pass(); /* a bucket made here is known completely until then */
    return 0;
}

static int clear(void **state)
{
    core_run_faults(NULL);
    return 0;
}

/* One byte under that name; `metadata` may be NULL. */
static void plant_with(const char *text, const char *metadata, const char *value)
{
    struct store_metadata attributes = {0};
    struct iovec body = {.iov_base = "x", .iov_len = 1};
    struct core_run_scope scope;
    struct error error;
    struct uri uri;
    struct call *call;

    assert_int_equal(uri_parse(text, &uri), 0);
    if (metadata)
        assert_int_equal(store_metadata_add(&attributes, metadata, value), 0);
    core_run_enter(&scope);
    call = call_new(core_run_engine(), STORE_PUT, &uri, &scope.limits, &error);
    assert_non_null(call);
    call->request.body = &body;
    call->request.body_count = 1;
    call->request.metadata = &attributes;
    assert_int_equal(call_run(call, &scope.limits, &error), 0);
    call_delete(call);
    core_run_leave(&scope);
    store_metadata_fini(&attributes);
}

static void plant(const char *text)
{
    plant_with(text, NULL, NULL);
}

/* "…0000" and on. */
static void plant_many(const char *format, unsigned count)
{
    char text[200];

    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, format, i);
        plant(text);
    }
}

/* Since the last call. */
static unsigned requests(void)
{
    unsigned total = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        total += (unsigned)core_run_count((enum store_operation)i);
    core_run_reset_counts();
    return total;
}

static unsigned stat_mode(const char *uri)
{
    struct s3dlio_attr attr;

    assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
    return attr.has & S3DLIO_HAS_MODE ? attr.mode : 0;
}

/* The names of a directory, each looked up too when `with_attributes`; asserts that their keys
 * ascend. */
static unsigned list(const char *uri, bool with_attributes)
{
    char before[300] = "", key[300], name[600];
    int length = (int)strlen(uri);
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    unsigned count = 0;

    assert_int_equal(s3dlio_list_open(uri, 0, NULL, &listing, NULL), 0);
    while (s3dlio_list_next(listing, &entry, NULL) > 0) {
        count++;
        snprintf(key, sizeof key, "%s%s", entry.name,
                 entry.attr.type == S3DLIO_DIRECTORY ? "/" : "");
        assert_true(strcmp(before, key) < 0);
        strcpy(before, key);
        if (with_attributes) {
            snprintf(name, sizeof name, "%.*s/%s", length - (uri[length - 1] == '/'), uri,
                     entry.name);
            assert_int_equal(core_run_type(name), entry.attr.type);
        }
    }
    s3dlio_list_close(listing);
    return count;
}

/* What `ls -l` does. */
static unsigned ls(const char *uri)
{
    assert_int_equal(core_run_type(uri), S3DLIO_DIRECTORY);
    return list(uri, true);
}

static void create(const char *directory, unsigned from, unsigned count)
{
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_EXCLUSIVE};
    struct s3dlio_writer *writer;
    char uri[200];

    for (unsigned i = from; i < from + count; i++) {
        snprintf(uri, sizeof uri, "%s/%04u.bin", directory, i);
        assert_int_equal(core_run_type(uri), -ENOENT);
        assert_int_equal(core_run_type(directory), S3DLIO_DIRECTORY);
        assert_int_equal(s3dlio_writer_open(uri, &options, NULL, &writer, NULL), 0);
        assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
        assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    }
}

/* ---- directories -------------------------------------------------------------------------------- */

static void test_a_thousand_entries_are_one_request(void **state)
{
    plant_many(B "flat/%04u", 1000);
    requests();
    assert_int_equal(ls(B "flat"), 1000);
    assert_int_equal(requests(), 1);
    assert_int_equal(ls(B "flat/"), 1000); /* again, within the TTL */
    assert_int_equal(requests(), 0);
    assert_int_equal(core_run_type(B "flat/none"), -ENOENT);
    assert_int_equal(core_run_type(B "flat/none.txt"), -ENOENT);
    assert_int_equal(requests(), 0);
}

static void test_a_marker_is_asked_for_its_metadata(void **state)
{
    plant_with(B "marked/", "mode", "16872"); /* 040750 */
    plant_many(B "marked/%04u", 999);
    requests();
    assert_int_equal(stat_mode(B "marked"), 0750);
    assert_int_equal(list(B "marked", true), 999);
    assert_int_equal(requests(), 2 + 999); /* as s3fs makes them: entries have metadata, too */
}

static void test_a_thousand_and_one_keys_are_two_pages(void **state)
{
    plant(B "full/");
    plant_many(B "full/%04u", 1000);
    requests();
    assert_int_equal(ls(B "full"), 1000);
    assert_int_equal(requests(), 3);
}

/* ---- hints that a directory has a marker ---------------------------------------------------------- */

/* Another process of this user looks at it, so that the hint is there and nothing else. */
static void let_another_see(const char *uri)
{
    int status;
    pid_t pid;

    s3dlio_fork_prepare();
    pid = fork();
    if (pid == 0) {
        s3dlio_fork_child();
        _exit(core_run_type(uri) == S3DLIO_DIRECTORY ? 0 : 1);
    }
    s3dlio_fork_parent();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    requests();
}

static void test_a_hinted_directory_is_its_marker_and_a_page(void **state)
{
    plant_with(B "hinted/", "mode", "16872"); /* 040750 */
    plant(B "h-full/");
    plant_many(B "h-full/%04u", 1000);
    let_another_see(B "h-full");
    assert_int_equal(ls(B "h-full"), 1000);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "h-full/none"), -ENOENT); /* known completely */
    assert_int_equal(requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(ls(B "h-full"), 1000); /* and now as one that was a directory */
    assert_int_equal(requests(), 2);
    let_another_see(B "hinted");
    assert_int_equal(stat_mode(B "hinted"), 0750);
    assert_int_equal(requests(), 1);
}

static void test_a_hint_costs_no_more_than_none(void **state)
{
    plant(B "h-few/");
    plant_many(B "h-few/%02u", 10);
    plant(B "h-empty/");
    let_another_see(B "h-few");
    assert_int_equal(ls(B "h-few"), 10);
    assert_int_equal(requests(), 2);
    let_another_see(B "h-empty");
    assert_int_equal(ls(B "h-empty"), 0);
    assert_int_equal(requests(), 2);
}

/* The page that the look-up left out answers for names, whether they are there or not. */
static void test_names_below_a_hinted_directory(void **state)
{
    plant(B "h-names/");
    plant_many(B "h-names/%02u", 10);
    let_another_see(B "h-names");
    create(B "h-names", 20, 30);
    assert_int_equal(requests(), 2 + 30);
    assert_int_equal(list(B "h-names", false), 40);
    plant(B "h-miss/");
    let_another_see(B "h-miss");
    assert_int_equal(core_run_type(B "h-miss"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type(B "h-miss/a.txt"), -ENOENT);
    assert_int_equal(core_run_type(B "h-miss/b"), -ENOENT);
    assert_int_equal(requests(), 2);
}

static void test_a_hinted_tree(void **state)
{
    plant(B "h-tree/");
    plant(B "h-tree/d/");
    plant_many(B "h-tree/d/%02u", 30);
    plant(B "h-tree/e/");
    plant_many(B "h-tree/e/%02u", 30);
    let_another_see(B "h-tree");
    assert_int_equal(ls(B "h-tree"), 2); /* markers of directories below cost nothing */
    assert_int_equal(requests(), 2);
    assert_int_equal(list(B "h-tree/d", false), 30);
    assert_int_equal(list(B "h-tree/e", false), 30);
    assert_int_equal(requests(), 2); /* whether they are marked */
}

static void test_wrong_hints(void **state)
{
    plant(B "h-lost/");
    plant_many(B "h-lost/%02u", 10);
    let_another_see(B "h-lost");
    core_run_delete_elsewhere(B "h-lost/");
    requests();
    assert_int_equal(ls(B "h-lost"), 10);
    assert_int_equal(requests(), 2); /* the marker, and the usual way */
    core_run_let_ttl_pass();
    assert_int_equal(ls(B "h-lost"), 10);
    assert_int_equal(requests(), 1); /* the hint has gone */
    plant(B "h-gone/");
    let_another_see(B "h-gone");
    core_run_delete_elsewhere(B "h-gone/");
    assert_int_equal(core_run_type(B "h-gone"), -ENOENT);
    plant(B "h-file/");
    let_another_see(B "h-file");
    core_run_delete_elsewhere(B "h-file/");
    plant(B "h-file");
    assert_int_equal(core_run_type(B "h-file"), S3DLIO_FILE);
    plant(B "h-refused/");
    let_another_see(B "h-refused");
    core_run_faults("op=HeadObject fail=access");
    assert_int_equal(core_run_type(B "h-refused"), S3DLIO_DIRECTORY);
}

/* Removing a directory ends the hint, making one begins it. */
static void test_hints_of_this_process(void **state)
{
    assert_int_equal(s3dlio_mkdir(B "h-own", NULL, NULL, NULL), 0);
    create(B "h-own", 0, 1);
    core_run_let_ttl_pass();
    requests();
    assert_int_equal(core_run_type(B "h-own"), S3DLIO_DIRECTORY);
    assert_int_equal(requests(), 1);
    assert_int_equal(s3dlio_unlink(B "h-own/0000.bin", NULL, NULL), 0);
    assert_int_equal(s3dlio_rmdir(B "h-own", NULL, NULL), 0);
    core_run_let_ttl_pass();
    requests();
    assert_int_equal(core_run_type(B "h-own"), -ENOENT);
    assert_int_equal(requests(), 1);
}

/* ---- pages ---------------------------------------------------------------------------------------- */

static void test_pages_go_on_behind_the_first(void **state)
{
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    unsigned count = 0;

    plant_many(B "long/%04u", 2500);
    requests();
    assert_int_equal(ls(B "long"), 2500);
    assert_int_equal(requests(), 3);
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
    plant_many(B "few-%02u", 10);
    plant_many(B "few/%02u", 10);
    plant_many(B "many-%04u", 1200);
    plant_many(B "many/%02u", 10);
    requests();
    assert_int_equal(ls(B "few"), 10);
    assert_int_equal(requests(), 1);
    assert_int_equal(ls(B "many"), 10);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "man"), -ENOENT); /* the page goes beyond "man/" */
    assert_int_equal(requests(), 1);
}

static void test_file_and_directory_of_one_name(void **state)
{
    plant_with(B "both", "mode", "33188");
    plant(B "both/below");
    plant_with(B "in/both", "mode", "33206");
    plant(B "in/both/below");
    requests();
    assert_int_equal(core_run_type(B "both"), S3DLIO_FILE);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "both/"), -ENOTDIR);
    assert_int_equal(core_run_type(B "both/none"), -ENOTDIR);
    assert_int_equal(core_run_type(B "in"), S3DLIO_DIRECTORY);
    assert_int_equal(stat_mode(B "in/both"), 0666);
    assert_int_equal(list(B "in", true), 1);
    assert_int_equal(core_run_type(B "in/both/below"), S3DLIO_FILE);
}

static void test_a_first_child_with_many_keys_is_passed_over(void **state)
{
    plant_many(B "deep/a/%04u", 3000);
    plant(B "deep/a-file");
    plant(B "deep/b/x");
    plant(B "deep/c");
    requests();
    assert_int_equal(core_run_type(B "deep"), S3DLIO_DIRECTORY);
    assert_int_equal(list(B "deep", true), 4);
    assert_int_equal(requests(), 2);
}

static void test_a_small_tree_is_one_request(void **state)
{
    char uri[100];

    plant_many(B "tree/d/%02u", 30);
    plant_many(B "tree/e/f/%02u", 30);
    plant(B "tree/e//odd");
    requests();
    assert_int_equal(ls(B "tree"), 2);
    assert_int_equal(ls(B "tree/d"), 30);
    assert_int_equal(ls(B "tree/e"), 1);
    assert_int_equal(ls(B "tree/e/f"), 30);
    snprintf(uri, sizeof uri, B "tree/e/f/none");
    assert_int_equal(core_run_type(uri), -ENOENT);
    assert_int_equal(requests(), 1);
}

static void test_a_large_tree_is_one_request_a_directory(void **state)
{
    char uri[100];

    plant_many(B "wood/d0/%04u", 900);
    plant_many(B "wood/d1/%04u", 900);
    plant_many(B "wood/d2/%04u", 900);
    requests();
    assert_int_equal(ls(B "wood"), 3);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(uri, sizeof uri, B "wood/d%u", i);
        assert_int_equal(ls(uri), 900);
    }
    /* The look-up's page, the rest of the root; d0 was on the page, of d1 its beginning. */
    assert_int_equal(requests(), 4);
}

static void test_a_bucket_is_one_request(void **state)
{
    core_run_make_bucket("single");
    plant_many("fault://single/%04u/x", 5);
    core_run_let_ttl_pass();
    requests();
    assert_int_equal(ls("fault://single"), 5);
    assert_int_equal(requests(), 1);
}

/* ---- single names ------------------------------------------------------------------------------- */

static void test_files(void **state)
{
    plant_with(B "one/file.txt", "mode", "33216"); /* 0100700 */
    plant_with(B "one/file", "mode", "33216");
    requests();
    assert_int_equal(stat_mode(B "one/file.txt"), 0700);
    assert_int_equal(requests(), 1);
    assert_int_equal(stat_mode(B "one/file"), 0700);
    assert_int_equal(requests(), 2);
    assert_int_equal(stat_mode(B "one/file"), 0700);
    assert_int_equal(requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(stat_mode(B "one/file"), 0700); /* known to be a file */
    assert_int_equal(requests(), 1);
}

static void test_a_look_up_of_the_directory_hides_no_metadata(void **state)
{
    plant_with(B "hold/file", "mode", "33216");
    plant_with(B "hold/sub/", "mode", "16832"); /* 040700 */
    requests();
    assert_int_equal(core_run_type(B "hold"), S3DLIO_DIRECTORY);
    assert_int_equal(stat_mode(B "hold/file"), 0700);
    assert_int_equal(stat_mode(B "hold/sub"), 0700);
    assert_int_equal(requests(), 3);
    core_run_let_ttl_pass();
    assert_int_equal(list(B "hold", true), 2); /* what a listing shows is taken as it is */
    assert_int_equal(requests(), 1);
}

static void test_missing_names(void **state)
{
    plant_many(B "have/%04u", 5);
    plant_many(B "large/%04u", 1500);
    requests();
    assert_int_equal(core_run_type(B "absent"), -ENOENT);
    assert_int_equal(requests(), 1);
    assert_int_equal(core_run_type(B "absent.txt"), -ENOENT);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "absent/x.txt"), -ENOENT);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "have/none.txt"), -ENOENT);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "have/other.txt"), -ENOENT); /* complete by then */
    assert_int_equal(requests(), 0);
    assert_int_equal(core_run_type(B "large"), S3DLIO_DIRECTORY);
    assert_int_equal(requests(), 1);
    assert_int_equal(core_run_type(B "large/none"), -ENOENT);
    assert_int_equal(requests(), 1);
    assert_int_equal(core_run_type(B "large/none.txt"), -ENOENT);
    assert_int_equal(requests(), 2);
    assert_int_equal(core_run_type(B "large/none.txt"), -ENOENT); /* asked as one that misses */
    assert_int_equal(requests(), 1);
    assert_int_equal(core_run_type(B "have/0001/x"), -ENOTDIR);
    assert_int_equal(core_run_type(B "have/0001/x.txt"), -ENOTDIR);
}

static void test_opening_missing_names(void **state)
{
    struct s3dlio_reader *reader;

    plant_many(B "read/%04u", 5);
    requests();
    assert_int_equal(s3dlio_reader_open(B "read/none", NULL, &reader, NULL), -ENOENT);
    assert_int_equal(requests(), 2);
    assert_int_equal(s3dlio_reader_open(B "read/none", NULL, &reader, NULL), -ENOENT);
    assert_int_equal(requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_reader_open(B "read", NULL, &reader, NULL), -EISDIR);
    assert_int_equal(requests(), 2);
    assert_int_equal(ls(B "read"), 5);
    assert_int_equal(requests(), 0);
    assert_int_equal(s3dlio_reader_open(B "read/0001/x", NULL, &reader, NULL), -ENOTDIR);
}

static void test_who_may_not_list_may_read(void **state)
{
    plant(B "closed/file");
    core_run_faults("op=ListObjects fail=access");
    assert_int_equal(core_run_type(B "closed/file"), S3DLIO_FILE);
    assert_int_equal(core_run_type(B "closed/none"), -EACCES);
}

/* ---- changes ------------------------------------------------------------------------------------ */

static void test_creating_in_a_new_directory(void **state)
{
    requests();
    assert_int_equal(s3dlio_mkdir(B "new", NULL, NULL, NULL), 0);
    assert_int_equal(requests(), 3); /* is it there, is the bucket there, make it */
    create(B "new", 0, 100);
    assert_int_equal(requests(), 100);
    core_run_let_ttl_pass();
    create(B "new", 100, 100); /* listed once, its marker asked for once */
    assert_in_range(requests(), 101, 103);
    assert_int_equal(list(B "new", true), 200);
}

static void test_creating_in_a_directory_of_others(void **state)
{
    plant_many(B "theirs/%04u", 5);
    requests();
    create(B "theirs", 0, 50);
    assert_int_equal(requests(), 50 + 2);
}

/* Who has looked says so: the name is not looked for again, and the store decides in the end. */
static void test_creating_what_was_sought(void **state)
{
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_EXCLUSIVE | S3DLIO_WRITE_SOUGHT};
    struct s3dlio_writer *writer;
    struct s3dlio_draft *draft;

    plant_many(B "sought/%04u", 1500);
    requests();
    assert_int_equal(core_run_type(B "sought/a.bin"), -ENOENT);
    assert_int_equal(requests(), 3); /* the object, its directory, what begins with the name */
    assert_int_equal(s3dlio_writer_open(B "sought/a.bin", &options, NULL, &writer, NULL), 0);
    assert_int_equal(requests(), 0);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(requests(), 1);
    assert_int_equal(s3dlio_writer_open(B "sought/a.bin", &options, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, "y", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), -EEXIST);
    requests();
    assert_int_equal(
        s3dlio_draft_open(B "sought/b.bin", &options, S3DLIO_DRAFT_EMPTY, NULL, &draft, NULL), 0);
    assert_int_equal(requests(), 0);
    s3dlio_draft_abort(draft);
}

static void test_removing_slowly(void **state)
{
    char uri[100];

    plant_many(B "gone/%04u", 60);
    requests();
    assert_int_equal(ls(B "gone"), 60);
    for (unsigned i = 0; i < 60; i++) {
        if (i == 30)
            core_run_let_ttl_pass();
        snprintf(uri, sizeof uri, B "gone/%04u", i);
        assert_int_equal(s3dlio_unlink(uri, NULL, NULL), 0);
    }
    assert_int_equal(requests(), 60 + 2); /* listed, and once again */
    assert_int_equal(s3dlio_unlink(B "gone/0007", NULL, NULL), -ENOENT);
}

static void test_own_changes_show_in_the_next_listing(void **state)
{
    plant_many(B "seen/%04u", 5);
    assert_int_equal(core_run_type(B "seen"), S3DLIO_DIRECTORY);
    core_run_put(B "seen/0002x", 1);
    assert_int_equal(list(B "seen", false), 6);
    assert_int_equal(core_run_type(B "seen/"), S3DLIO_DIRECTORY);
    core_run_let_ttl_pass();
    assert_int_equal(core_run_type(B "seen"), S3DLIO_DIRECTORY);
    assert_int_equal(s3dlio_unlink(B "seen/0002x", NULL, NULL), 0);
    assert_int_equal(list(B "seen", false), 5);
    core_run_let_ttl_pass();
    assert_int_equal(core_run_type(B "seen"), S3DLIO_DIRECTORY);
    assert_int_equal(s3dlio_mkdir(B "seen/sub", NULL, NULL, NULL), 0);
    assert_int_equal(list(B "seen", false), 6);
}

static void test_changes_of_others_show_after_the_ttl(void **state)
{
    plant_many(B "others/%04u", 5);
    assert_int_equal(ls(B "others"), 5);
    plant(B "others/0001a");
    core_run_let_ttl_pass();
    requests();
    assert_int_equal(ls(B "others"), 6);
    assert_int_equal(requests(), 1);
}

/* ---- fork --------------------------------------------------------------------------------------- */

static void test_fork(void **state)
{
    unsigned count;
    int status;
    pid_t pid;

    plant_many(B "forked/%04u", 1500);
    assert_int_equal(core_run_type(B "forked"), S3DLIO_DIRECTORY);
    s3dlio_fork_prepare();
    pid = fork();
    if (pid == 0) {
        s3dlio_fork_child();
        requests();
        count = list(B "forked", true);
        _exit(count == 1500 && requests() == 1 ? 0 : 1);
    }
    s3dlio_fork_parent();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    requests();
    assert_int_equal(list(B "forked", true), 1500);
    assert_int_equal(requests(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_thousand_entries_are_one_request, clear),
        cmocka_unit_test_setup(test_a_marker_is_asked_for_its_metadata, clear),
        cmocka_unit_test_setup(test_a_thousand_and_one_keys_are_two_pages, clear),
        cmocka_unit_test_setup(test_a_hinted_directory_is_its_marker_and_a_page, clear),
        cmocka_unit_test_setup(test_a_hint_costs_no_more_than_none, clear),
        cmocka_unit_test_setup(test_names_below_a_hinted_directory, clear),
        cmocka_unit_test_setup(test_a_hinted_tree, clear),
        cmocka_unit_test_setup(test_wrong_hints, clear),
        cmocka_unit_test_setup(test_hints_of_this_process, clear),
        cmocka_unit_test_setup(test_pages_go_on_behind_the_first, clear),
        cmocka_unit_test_setup(test_siblings_before_the_slash, clear),
        cmocka_unit_test_setup(test_file_and_directory_of_one_name, clear),
        cmocka_unit_test_setup(test_a_first_child_with_many_keys_is_passed_over, clear),
        cmocka_unit_test_setup(test_a_small_tree_is_one_request, clear),
        cmocka_unit_test_setup(test_a_large_tree_is_one_request_a_directory, clear),
        cmocka_unit_test_setup(test_a_bucket_is_one_request, clear),
        cmocka_unit_test_setup(test_files, clear),
        cmocka_unit_test_setup(test_a_look_up_of_the_directory_hides_no_metadata, clear),
        cmocka_unit_test_setup(test_missing_names, clear),
        cmocka_unit_test_setup(test_opening_missing_names, clear),
        cmocka_unit_test_setup(test_who_may_not_list_may_read, clear),
        cmocka_unit_test_setup(test_creating_in_a_new_directory, clear),
        cmocka_unit_test_setup(test_creating_in_a_directory_of_others, clear),
        cmocka_unit_test_setup(test_creating_what_was_sought, clear),
        cmocka_unit_test_setup(test_removing_slowly, clear),
        cmocka_unit_test_setup(test_own_changes_show_in_the_next_listing, clear),
        cmocka_unit_test_setup(test_changes_of_others_show_after_the_ttl, clear),
        cmocka_unit_test_setup(test_fork, clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
