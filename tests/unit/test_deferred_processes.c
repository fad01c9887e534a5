/* core/deferred.h: puts that close does not wait for, in threads and processes. */
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

#define FILES 50

static void *put_files(void *arg)
{
    char uri[100];
    intptr_t failed = 0;

    for (unsigned i = 0; i < FILES; i++) {
        snprintf(uri, sizeof uri, B "threads/%s-%u", (char *)arg, i);
        failed += deferred_run_put(uri, uri) < 0;
        failed += deferred_run_stat_size(uri) != (int)strlen(uri);
        failed += i % 10 == 0 && !core_run_holds(uri, uri);
    }
    return (void *)failed;
}

static void test_threads(void **state)
{

    core_run_faults("op=PutObject p=50 delay=5");
    deferred_run_by_threads(put_files);
    assert_int_equal(core_run_count(STORE_PUT), DEFERRED_RUN_THREADS * FILES);
    core_run_check_released();
}

static void test_fork_waits(void **state)
{
    pid_t child;

    core_run_faults("op=PutObject delay=300");
    assert_int_equal(deferred_run_put(B "forked", "parent's"), 1);
    child = core_run_fork();
    if (child == 0)
        _exit(!s3dlio_is_settled() || !core_run_holds(B "forked", "parent's"));
    assert_true(s3dlio_is_settled());
    core_run_wait_for(child);
    assert_int_equal(core_run_count(STORE_PUT), 1);
}

/* What parent and child tell each other: they do not share the mem store, but the table. */
struct shared {
    _Atomic int step;
};

static struct shared *share(void)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(shared != MAP_FAILED);
    return shared;
}

static void wait_for_step(struct shared *shared, int step)
{
    for (unsigned i = 0; i < 60000 && atomic_load(&shared->step) < step; i++)
        usleep(1000);
    assert_true(atomic_load(&shared->step) >= step);
}

/* A child that closes the file, whose put takes so long; then it waits for step 2, settles, and ends
 * by _exit. */
static pid_t close_in_child(struct shared *shared, const char *uri, unsigned delay_ms)
{
    pid_t child = core_run_fork();
    char rule[100];

    if (child != 0) {
        wait_for_step(shared, 1);
        return child;
    }
    snprintf(rule, sizeof rule, "op=PutObject key=%s delay=%u", uri + strlen(B), delay_ms);
    core_run_faults(rule);
    if (s3dlio_writer_close_soon(deferred_run_begin_with_attributes(uri), NULL) != 1)
        _exit(1);
    atomic_store(&shared->step, 1);
    wait_for_step(shared, 2);
    _exit(deferred_run_settle() != 0);
}

static void test_another_process_sees_it(void **state)
{
    struct shared *shared = share();
    pid_t child;

    deferred_run_mtime_s = -1000;
    child = close_in_child(shared, B "theirs", 600000);
    assert_true(deferred_run_has_attributes(B "theirs"));
    assert_int_equal(deferred_run_stat_size(B "not-theirs"), -ENOENT);
    core_run_put_text(B "ours", "x"); /* others' puts are in the way of their own names only */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(deferred_run_stat_size(B "theirs"), -ENOENT);
    core_run_put_text(B "theirs", "x");
    assert_true(core_run_holds(B "theirs", "x"));
}

struct waiting {
    struct shared *shared;
    int r;
};

static void *open_it(void *arg)
{
    struct waiting *waiting = arg;
    struct s3dlio_error error = {0};
    struct s3dlio_reader *reader;

    waiting->r = s3dlio_reader_open(B "theirs", NULL, &reader, &error);
    atomic_store(&waiting->shared->step, 3);
    return NULL;
}

/* The child's put ends in its own time: the open comes back then, and not before. */
static void test_another_process_waits_for_it(void **state)
{
    struct waiting waiting = {.shared = share()};
    pthread_t thread;
    pid_t child;

    deferred_run_check_table_is_empty();
    child = close_in_child(waiting.shared, B "theirs", 500);

    core_run_delete_elsewhere(B "theirs");
    assert_int_equal(pthread_create(&thread, NULL, open_it, &waiting), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(deferred_run_stat_size(B "theirs"), -ENOENT); /* nothing is on its way there */
    assert_int_equal(waiting.r, -ENOENT);                          /* of this process's own store */
    core_run_wait_for(child);
}

static void test_another_process_is_killed_meanwhile(void **state)
{
    struct waiting waiting = {.shared = share()};
    pthread_t thread;
    pid_t child = close_in_child(waiting.shared, B "theirs", 600000);

    core_run_delete_elsewhere(B "theirs");
    assert_int_equal(pthread_create(&thread, NULL, open_it, &waiting), 0);
    usleep(50000);
    assert_int_equal(atomic_load(&waiting.shared->step), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiting.r, -ENOENT);
}

static void test_a_seat_of_the_dead_is_taken(void **state)
{
    struct shared *shared = share();
    pid_t child = close_in_child(shared, B "theirs", 600000);

    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    for (unsigned i = 0; i < 20; i++)
        assert_true(deferred_run_put(B "theirs", "x") >= 0);
    assert_int_equal(deferred_run_settle(), 0);
    deferred_run_check_table_is_empty();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_threads, core_run_clear),
        cmocka_unit_test_setup(test_fork_waits, core_run_clear),
        cmocka_unit_test_setup(test_another_process_sees_it, core_run_clear),
        cmocka_unit_test_setup(test_another_process_waits_for_it, core_run_clear),
        cmocka_unit_test_setup(test_another_process_is_killed_meanwhile, core_run_clear),
        cmocka_unit_test_setup(test_a_seat_of_the_dead_is_taken, core_run_clear),
    };

    return cmocka_run_group_tests(tests, deferred_run_set_up, NULL);
}
