/* core/removals.h: deletions that are accepted before the store has made them. */
#include "core_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sanitizer.h"

#define B "fault://removed/"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=3000");
    core_run_make_bucket("removed");
    return 0;
}

static int drop(const char *uri)
{
    return s3dlio_unlink_soon(uri, NULL, NULL);
}

static int settle(void)
{
    struct s3dlio_error error = {0};

    return s3dlio_settle(NULL, &error);
}

static void name_of(char *uri, size_t size, const char *directory, unsigned n)
{
    snprintf(uri, size, B "%s/f%04u", directory, n);
}

/* So many files, of which the cache knows; the counts begin anew. */
static void fill(const char *directory, unsigned files)
{
    char uri[100];

    for (unsigned i = 0; i < files; i++) {
        name_of(uri, sizeof uri, directory, i);
        core_run_put_text(uri, "x");
        assert_int_equal(core_run_type(uri), S3DLIO_FILE);
    }
    core_run_reset_counts();
}

static void drop_many(const char *directory, unsigned from, unsigned to)
{
    char uri[100];

    for (; from < to; from++) {
        name_of(uri, sizeof uri, directory, from);
        assert_int_equal(drop(uri), 0);
    }
}

/* None of them is there, whatever the caches say. */
static void check_gone(const char *directory, unsigned files)
{
    char uri[100];

    for (unsigned i = 0; i < files; i++) {
        name_of(uri, sizeof uri, directory, i);
        assert_false(core_run_holds(uri, "x"));
    }
}

static void test_the_first_is_deleted_at_once(void **state)
{
    fill("first", 2);
    assert_int_equal(drop(B "first/f0000"), 0);
    assert_int_equal(core_run_count(STORE_DELETE), 1);
    assert_int_equal(core_run_count(STORE_DELETE_MANY), 0);
    assert_true(s3dlio_is_settled());
    assert_int_equal(drop(B "first/f0001"), 0);
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_count(STORE_DELETE), 1);
    assert_int_equal(core_run_count(STORE_DELETE_MANY), 1);
    check_gone("first", 2);
}

static void test_those_that_come_meanwhile_go_together(void **state)
{
    fill("together", 50);
    core_run_faults("op=DeleteObjects delay=300");
    drop_many("together", 0, 50);
    assert_false(s3dlio_is_settled());
    assert_int_equal(settle(), 0);
    assert_true(s3dlio_is_settled());
    assert_int_equal(core_run_count(STORE_DELETE), 1);
    assert_int_equal(core_run_count(STORE_DELETE_MANY), 2);
    check_gone("together", 50);
}

/* Nobody calls, and they go all the same. */
static void test_the_rest_follows_by_itself(void **state)
{
    fill("alone", 20);
    core_run_faults("op=DeleteObjects delay=50");
    drop_many("alone", 0, 20);
    for (unsigned i = 0; i < 1000 && !s3dlio_is_settled(); i++)
        usleep(10000);
    assert_true(s3dlio_is_settled());
    assert_int_equal(core_run_count(STORE_DELETE_MANY), 2);
    core_run_faults(NULL);
    check_gone("alone", 20);
}

static void test_more_than_a_request_holds(void **state)
{
    fill("many", 2500);
    core_run_faults("op=DeleteObjects delay=500");
    drop_many("many", 0, 2500);
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_count(STORE_DELETE), 1);
    assert_true(core_run_count(STORE_DELETE_MANY) >= 3 && core_run_count(STORE_DELETE_MANY) <= 5);
    core_run_faults(NULL);
    check_gone("many", 2500);
}

static void test_the_next_call_finds_them_deleted(void **state)
{
    fill("order", 10);
    core_run_faults("op=DeleteObjects delay=200");
    drop_many("order", 0, 10);
    core_run_put_text(B "order/f0005", "new");
    assert_true(s3dlio_is_settled());
    assert_true(core_run_holds(B "order/f0005", "new"));
    assert_int_equal(core_run_type(B "order/f0004"), -ENOENT);
    drop_many("order", 5, 6);
    assert_int_equal(s3dlio_rmdir(B "order", NULL, NULL), 0);
    core_run_faults(NULL);
    check_gone("order", 10);
}

/* Nothing is asked again: what was a file a moment ago is to go. */
static void test_slower_than_the_ttl(void **state)
{
    struct s3dlio_error error;

    fill("slow", 20);
    drop_many("slow", 0, 10);
    assert_int_equal(settle(), 0);
    core_run_let_ttl_pass();
    core_run_reset_counts();
    drop_many("slow", 10, 20);
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_requests(), core_run_count(STORE_DELETE_MANY));
    assert_int_equal(s3dlio_unlink_soon(B "slow/f0015", NULL, &error), -ENOENT);
    core_run_let_ttl_pass();
    assert_int_equal(s3dlio_unlink_soon(B "slow/f0015", NULL, &error), -ENOENT);
    check_gone("slow", 20);
}

/* Another thread's reading goes on meanwhile. */
static void test_open_files_do_not_wait(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_writer *writer;
    char text[2] = "";

    fill("busy", 5);
    core_run_put_text(B "beside", "x");
    assert_int_equal(s3dlio_reader_open(B "beside", NULL, &reader, NULL), 0);
    assert_int_equal(s3dlio_writer_open(B "written", NULL, NULL, &writer, NULL), 0);
    core_run_faults("op=DeleteObjects delay=1000");
    drop_many("busy", 0, 5);
    assert_int_equal(s3dlio_reader_pread(reader, text, 1, 0, NULL, NULL), 1);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_false(s3dlio_is_settled());
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(s3dlio_is_settled());
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    check_gone("busy", 5);
}

static void test_what_is_no_file_is_told(void **state)
{
    struct s3dlio_error error;

    fill("odd", 3);
    core_run_put_text(B "odd/sub/x", "x");
    core_run_faults("op=DeleteObjects delay=200");
    drop_many("odd", 0, 2);
    assert_int_equal(s3dlio_unlink_soon(B "odd/f0001", NULL, &error), -ENOENT);
    drop_many("odd", 2, 3);
    assert_int_equal(s3dlio_unlink_soon(B "odd/never", NULL, &error), -ENOENT);
    assert_int_equal(s3dlio_unlink_soon(B "odd/sub", NULL, &error), -EISDIR);
    assert_int_equal(s3dlio_unlink_soon("nonsense", NULL, &error), -EINVAL);
    assert_true(core_run_holds(B "odd/sub/x", "x"));
    assert_int_equal(settle(), 0);
}

/* What XML has no form for, what somebody of us reads, and what a store has no batches for. */
static void test_what_does_not_fit_a_batch(void **state)
{
    struct s3dlio_reader *reader;
    char text[2] = "";

    fill("unfit", 4);
    core_run_put_text(B "unfit/a\nb", "x");
    assert_int_equal(core_run_type(B "unfit/a\nb"), S3DLIO_FILE);
    assert_int_equal(s3dlio_reader_open(B "unfit/f0001", NULL, &reader, NULL), 0);
    core_run_reset_counts();
    drop_many("unfit", 0, 2);
    assert_int_equal(drop(B "unfit/a\nb"), 0);
    assert_int_equal(core_run_count(STORE_DELETE), 3);
    assert_int_equal(s3dlio_reader_pread(reader, text, 1, 0, NULL, NULL), 1);
    assert_string_equal(text, "x");
    s3dlio_reader_close(reader);
    core_run_store()->capabilities &= ~STORE_CAP_DELETE_MANY;
    drop_many("unfit", 2, 4);
    assert_int_equal(core_run_count(STORE_DELETE), 5);
    assert_int_equal(core_run_count(STORE_DELETE_MANY), 0);
    check_gone("unfit", 4);
}

static void test_a_batch_that_fails_is_made_one_by_one(void **state)
{
    fill("singly", 10);
    core_run_faults("op=DeleteObjects fail=unsupported");
    drop_many("singly", 0, 10);
    assert_int_equal(settle(), 0);
    core_run_faults(NULL);
    check_gone("singly", 10);
}

static void *settle_it(void *arg)
{
    return (void *)(intptr_t)settle();
}

/* One thread makes them one by one: another one's calls wait for that as well. */
static void test_others_wait_for_those_made_one_by_one(void **state)
{
    pthread_t thread;
    void *result;

    fill("mended", 6);
    core_run_faults(
        "op=DeleteObjects nth=1 count=1 delay=100; op=DeleteObjects nth=2 fail=unsupported; "
        "op=DeleteObject nth=2 delay=200");
    drop_many("mended", 0, 6);
    assert_int_equal(pthread_create(&thread, NULL, settle_it, NULL), 0);
    while (core_run_count(STORE_DELETE) < 2)
        usleep(1000);
    core_run_put_text(B "mended/f0005", "new");
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_null(result);
    core_run_faults(NULL);
    assert_true(core_run_holds(B "mended/f0005", "new"));
    check_gone("mended", 5);
}

static void refuse_one(const char *directory)
{
    char rules[200];

    fill(directory, 10);
    snprintf(rules, sizeof rules,
             "op=DeleteObjects fail=access; op=DeleteObject key=%s/f0007 fail=access", directory);
    core_run_faults(rules);
    drop_many(directory, 0, 10);
}

static void test_rmdir_tells_what_was_not_deleted(void **state)
{
    struct s3dlio_error error;

    refuse_one("told");
    core_run_put_text(B "beside/told", "x");
    assert_int_equal(drop(B "beside/told"), 0);
    assert_int_equal(s3dlio_rmdir(B "beside", NULL, &error), 0);
    assert_int_equal(s3dlio_rmdir(B "told", NULL, &error), -EACCES);
    assert_non_null(strstr(error.message, "told/f0007"));
    assert_int_equal(s3dlio_rmdir(B "told", NULL, &error), -ENOTEMPTY);
    assert_int_equal(settle(), 0);
    core_run_faults(NULL);
    assert_true(core_run_holds(B "told/f0007", "x"));
    assert_false(core_run_holds(B "told/f0006", "x"));
    assert_int_equal(core_run_type(B "told/f0007"), S3DLIO_FILE);
    assert_int_equal(drop(B "told/f0007"), 0);
    assert_int_equal(s3dlio_rmdir(B "told", NULL, &error), 0);
}

static void test_settle_tells_it_else(void **state)
{
    refuse_one("late");
    assert_int_equal(settle(), -EACCES);
    assert_int_equal(settle(), 0);
    core_run_faults(NULL);
    assert_int_equal(core_run_type(B "late/f0007"), S3DLIO_FILE);
}

static void test_fork(void **state)
{
    int status = -1;
    pid_t child;

    NOT_UNDER_TSAN();
    fill("forked", 10);
    core_run_faults("op=DeleteObjects delay=200");
    drop_many("forked", 0, 10);
    s3dlio_fork_prepare();
    child = fork();
    if (child == 0) {
        s3dlio_fork_child();
        _exit(!s3dlio_is_settled() || core_run_type(B "forked/f0009") != -ENOENT);
    }
    s3dlio_fork_parent();
    assert_true(s3dlio_is_settled());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    core_run_faults(NULL);
    check_gone("forked", 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_first_is_deleted_at_once, core_run_clear),
        cmocka_unit_test_setup(test_those_that_come_meanwhile_go_together, core_run_clear),
        cmocka_unit_test_setup(test_the_rest_follows_by_itself, core_run_clear),
        cmocka_unit_test_setup(test_more_than_a_request_holds, core_run_clear),
        cmocka_unit_test_setup(test_the_next_call_finds_them_deleted, core_run_clear),
        cmocka_unit_test_setup(test_slower_than_the_ttl, core_run_clear),
        cmocka_unit_test_setup(test_open_files_do_not_wait, core_run_clear),
        cmocka_unit_test_setup(test_what_is_no_file_is_told, core_run_clear),
        cmocka_unit_test_setup(test_what_does_not_fit_a_batch, core_run_clear),
        cmocka_unit_test_setup(test_a_batch_that_fails_is_made_one_by_one, core_run_clear),
        cmocka_unit_test_setup(test_others_wait_for_those_made_one_by_one, core_run_clear),
        cmocka_unit_test_setup(test_rmdir_tells_what_was_not_deleted, core_run_clear),
        cmocka_unit_test_setup(test_settle_tells_it_else, core_run_clear),
        cmocka_unit_test_setup(test_fork, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
