/* core/deferred.h: puts that close did not wait for, and that fail. */
#include "deferred_run.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_a_failure_is_told(void **state)
{
    struct s3dlio_error error = {0};
    struct s3dlio_reader *reader;

    core_run_faults("op=PutObject key=lost fail=access");
    assert_int_equal(deferred_run_put(B "lost", "x"), 1);
    assert_int_equal(deferred_run_put(B "found", "x"), 1);
    assert_int_equal(s3dlio_settle(NULL, &error), -EACCES);
    assert_non_null(strstr(error.message, "lost"));
    assert_int_equal(s3dlio_sync(NULL, &error), -EACCES);
    assert_int_equal(deferred_run_stat_size(B "found"), 1);
    error = (struct s3dlio_error){0};
    assert_int_equal(s3dlio_reader_open(B "lost", NULL, &reader, &error), -EACCES);
    assert_non_null(strstr(error.message, "lost"));
    assert_int_equal(deferred_run_stat_size(B "lost"), -ENOENT);
    assert_int_equal(deferred_run_settle(), -EACCES);
    deferred_run_forgive(B "lost");
    core_run_check_released();
}

static void test_writing_it_again_makes_it_good(void **state)
{
    core_run_faults("op=PutObject key=again nth=1 count=2 fail=access");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(deferred_run_put(B "again", "x"), 1);
        assert_int_equal(deferred_run_settle(), -EACCES);
        assert_int_equal(deferred_run_stat_size(B "again"), -EACCES);
    }
    assert_int_equal(deferred_run_put(B "again", "stored"), 1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(core_run_holds(B "again", "stored"));
}

static void test_many_failures(void **state)
{
    char uri[100];

    core_run_faults("op=PutObject key=fails/* fail=access");
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(uri, sizeof uri, B "fails/%u", i);
        assert_int_equal(deferred_run_put(uri, "x"), 1);
    }
    assert_int_equal(deferred_run_settle(), -EACCES);
    assert_int_equal(deferred_run_stat_size(B "fails/1199"), -EACCES);
    core_run_faults(NULL);
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(uri, sizeof uri, B "fails/%u", i);
        deferred_run_stat_size(uri); /* tells it */
        core_run_put_text(uri, "x");
    }
    assert_int_equal(deferred_run_settle(),
                     -EACCES); /* some names were too many to be remembered */
    core_run_engine()->deferred.first_failure.class = ERROR_NONE;
    atomic_store(&core_run_engine()->deferred.failed, 0);
    assert_int_equal(deferred_run_settle(), 0);
}

static void test_it_is_repeated(void **state)
{
    core_run_faults("op=PutObject key=repeated nth=1 count=2 fail=server");
    assert_int_equal(deferred_run_put(B "repeated", "x"), 1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_int_equal(core_run_count(STORE_PUT), 3);
    assert_true(core_run_holds(B "repeated", "x"));
}

static void test_a_lost_answer(void **state)
{
    core_run_faults("op=PutObject key=answered nth=1 count=1 lose");
    assert_int_equal(
        deferred_run_end(
            deferred_run_begin(B "answered", S3DLIO_WRITE_EXCLUSIVE | S3DLIO_WRITE_SOUGHT), "mine"),
        1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_true(core_run_holds(B "answered", "mine"));
}

static void test_no_answer_at_all(void **state)
{
    core_run_faults("op=PutObject key=unanswered fail=server");
    assert_int_equal(deferred_run_put(B "unanswered", "x"), 1);
    assert_int_equal(deferred_run_settle(), -EIO);
    deferred_run_forgive(B "unanswered");
}

static void test_somebody_was_quicker(void **state)
{
    struct s3dlio_writer *writer = deferred_run_begin(B "quick", S3DLIO_WRITE_EXCLUSIVE);

    core_run_plant(B "quick", NULL);
    assert_int_equal(deferred_run_end(writer, "late"), 1);
    assert_int_equal(deferred_run_settle(), -EEXIST);
    assert_int_equal(deferred_run_stat_size(B "quick"), -EEXIST);
    assert_int_equal(deferred_run_stat_size(B "quick"), 1);
    deferred_run_forgive(B "quick");
}

static void test_a_store_without_conditions(void **state)
{
    struct s3dlio_writer *writer = deferred_run_begin(B "plain-taken", S3DLIO_WRITE_EXCLUSIVE);

    core_run_plant(B "plain-taken", NULL);
    core_run_faults("op=PutObject key=plain* nth=1 count=2 fail=unsupported");
    assert_int_equal(deferred_run_end(writer, "late"), 1);
    assert_int_equal(deferred_run_settle(), -EEXIST);
    assert_int_equal(
        deferred_run_end(deferred_run_begin(B "plain", S3DLIO_WRITE_EXCLUSIVE), "mine"), 1);
    assert_int_equal(deferred_run_settle(), -EEXIST);
    assert_true(core_run_holds(B "plain", "mine"));
    assert_false(core_run_store()->capabilities & STORE_CAP_IF_NONE_MATCH);
    deferred_run_forgive(B "plain-taken");
    core_run_clear(NULL);
}

static void test_fewer_where_the_store_asks_for_it(void **state)
{
    struct deferred *deferred = &core_run_engine()->deferred;
    char uri[100];

    core_run_faults("op=PutObject key=slow/* nth=1 count=3 fail=throttled");
    for (unsigned i = 0; i < 3; i++) {
        snprintf(uri, sizeof uri, B "slow/%u", i);
        assert_int_equal(deferred_run_put(uri, "x"), 1);
    }
    assert_int_equal(deferred_run_settle(), 0);
    assert_in_range(deferred->places, 1, 7);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(uri, sizeof uri, B "slow/%u", i);
        assert_int_equal(deferred_run_put(uri, "x"), 1);
    }
    assert_int_equal(deferred_run_settle(), 0);
    assert_int_equal(deferred->places, 8);
}

static bool what_takes_too_long_counts_as_failed(void)
{
    struct s3dlio_call call = {.timeout_ms = 1};
    struct s3dlio_error error = {0};
    int r;

    if (deferred_run_put(B "never", "x") != 1)
        return false;
    r = s3dlio_settle(&call, &error);
    return r < 0 && r == s3dlio_sync(&call, &error) && !s3dlio_is_settled();
}

static void test_what_takes_too_long(void **state)
{
    deferred_run_with_a_put_that_never_ends(what_takes_too_long_counts_as_failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_failure_is_told, core_run_clear),
        cmocka_unit_test_setup(test_writing_it_again_makes_it_good, core_run_clear),
        cmocka_unit_test_setup(test_many_failures, core_run_clear),
        cmocka_unit_test_setup(test_it_is_repeated, core_run_clear),
        cmocka_unit_test_setup(test_a_lost_answer, core_run_clear),
        cmocka_unit_test_setup(test_no_answer_at_all, core_run_clear),
        cmocka_unit_test_setup(test_somebody_was_quicker, core_run_clear),
        cmocka_unit_test_setup(test_a_store_without_conditions, core_run_clear),
        cmocka_unit_test_setup(test_fewer_where_the_store_asks_for_it, core_run_clear),
        cmocka_unit_test_setup(test_what_takes_too_long, core_run_clear),
    };

    return cmocka_run_group_tests(tests, deferred_run_set_up, NULL);
}
