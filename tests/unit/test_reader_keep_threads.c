/* core/reader_registry.h, core/reader_keep.h: readers and changes of their object at the same time,
 * in threads, signal handlers and children. */
#include "reader_keep_run.h"
#include "sanitizer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void wait_for_count(enum store_operation operation)
{
    while (core_run_count(operation) == 0)
        sched_yield();
}

static void *unlink_it(void *arg)
{
    return (void *)(intptr_t)s3dlio_unlink(NAME, NULL, NULL);
}

/* An open that the deletion overtakes waits for it, and finds nothing. */
static void test_open_in_the_middle_of_a_deletion(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;
    pthread_t thread;
    void *result;

    core_run_put(NAME, LARGE_BYTES);
    core_run_faults("op=DeleteObject delay=50");
    pthread_create(&thread, NULL, unlink_it, NULL);
    wait_for_count(STORE_DELETE);
    assert_int_equal(s3dlio_reader_open(NAME, NULL, &reader, &error), -ENOENT);
    pthread_join(thread, &result);
    assert_null(result);
}

static void *rename_it(void *arg)
{
    return (void *)(intptr_t)s3dlio_rename(NAME, OTHER, 0, NULL, NULL);
}

static void test_read_in_the_middle_of_a_rename(void **state)
{
    struct s3dlio_reader *reader;
    pthread_t thread;
    void *result;

    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
    core_run_faults("op=DeleteObject delay=50; op=HeadObject delay=5; op=CopyObject delay=5");
    pthread_create(&thread, NULL, rename_it, NULL);
    do {
        reader_keep_all(reader, LARGE_BYTES);
    } while (core_run_count(STORE_DELETE) == 0);
    reader_keep_all(reader, LARGE_BYTES);
    pthread_join(thread, &result);
    assert_null(result);
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

static void test_close_during_the_fetch(void **state)
{
    struct s3dlio_reader *reader;
    pthread_t thread;
    void *result;

    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
    core_run_reset_counts();
    core_run_faults("op=GetObject delay=30");
    pthread_create(&thread, NULL, unlink_it, NULL);
    wait_for_count(STORE_GET);
    s3dlio_reader_close(reader);
    pthread_join(thread, &result);
    assert_null(result);
}

static void test_two_deletions_at_once(void **state)
{
    struct s3dlio_reader *reader;
    pthread_t threads[2];
    void *results[2];

    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
    core_run_faults("op=GetObject delay=5; op=DeleteObject delay=5");
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, unlink_it, NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], &results[i]);
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

static void *move_about(void *arg)
{
    for (unsigned i = 0; i < 30; i++) {
        struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600 + i % 8};
        struct s3dlio_error error; /* another thread was first: fine */

        s3dlio_rename(NAME, OTHER, 0, NULL, &error);
        s3dlio_set_attr(OTHER, &attr, NULL, NULL, &error);
        s3dlio_rename(OTHER, NAME, 0, NULL, &error);
    }
    return NULL;
}

static void test_many_moves_at_once(void **state)
{
    struct s3dlio_reader *reader;
    pthread_t threads[3];

    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
    core_run_faults("op=GetObject p=50 delay=1");
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, move_about, NULL);
    for (unsigned i = 0; i < 5; i++)
        reader_keep_all(reader, LARGE_BYTES);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

/* Version i is all of the byte i. */
#define VERSION_BYTES (MIB + 300000)
#define VERSIONS      200

static atomic_bool replaced_all;

static void put_version(unsigned version)
{
    unsigned char *data = malloc(VERSION_BYTES);
    struct s3dlio_error error;

    memset(data, (int)version, VERSION_BYTES);
    core_run_must(s3dlio_put(NAME, data, VERSION_BYTES, NULL, NULL, NULL, &error), &error);
    free(data);
}

static void read_one_version(void)
{
    struct s3dlio_reader *reader = core_run_open_reader(NAME);
    unsigned char *buffer = malloc(200000);
    int version = -1;

    for (size_t at = 0; at < VERSION_BYTES; at += 200000) {
        struct s3dlio_error error;
        ssize_t n = s3dlio_reader_pread(reader, buffer, 200000, at, NULL, &error);

        if (n < 0)
            fail_msg("%s", error.message);
        assert_int_equal(n, VERSION_BYTES - at < 200000 ? VERSION_BYTES - at : 200000);
        if (version < 0)
            version = buffer[0];
        for (ssize_t i = 0; i < n; i++)
            if (buffer[i] != version)
                fail_msg("versions %d and %d in one reader", version, buffer[i]);
    }
    free(buffer);
    s3dlio_reader_close(reader);
}

static void *read_versions(void *arg)
{
    while (!atomic_load(&replaced_all))
        read_one_version();
    return NULL;
}

static void test_each_reader_sees_one_version(void **state)
{
    pthread_t threads[8];

    put_version(0);
    atomic_store(&replaced_all, false);
    core_run_faults("op=GetObject p=30 delay=1; op=PutObject p=30 delay=1; seed=5");
    for (unsigned i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, read_versions, NULL);
    for (unsigned i = 1; i <= VERSIONS; i++)
        put_version(i);
    atomic_store(&replaced_all, true);
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

/* ---- handlers and forks ---------------------------------------------------------------------- */

static struct s3dlio_reader *handler_reader;
static atomic_int handler_runs;
static ssize_t handler_result;

/* Opens and reads what the interrupted call is deleting: neither waits for that. */
static void on_signal(int number)
{
    static unsigned char buffer[1000];
    struct s3dlio_reader *reader = NULL;

    handler_result =
        s3dlio_reader_pread(handler_reader, buffer, sizeof buffer, 4 * MIB, NULL, NULL);
    if (s3dlio_reader_open(NAME, NULL, &reader, NULL) == 0)
        s3dlio_reader_close(reader);
    atomic_fetch_add(&handler_runs, 1);
}

static void test_signal_handler(void **state)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    pthread_t thread;
    void *result;

    NOT_UNDER_TSAN();
    sigaction(SIGUSR1, &action, NULL);
    core_run_put(NAME, LARGE_BYTES);
    handler_reader = core_run_open_reader(NAME);
    core_run_faults("op=DeleteObject delay=100");
    pthread_create(&thread, NULL, unlink_it, NULL);
    wait_for_count(STORE_DELETE);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    assert_null(result);
    assert_int_equal(atomic_load(&handler_runs), 1);
    assert_int_equal(handler_result, 1000);
    reader_keep_all(handler_reader, LARGE_BYTES);
    s3dlio_reader_close(handler_reader);
}

static void test_fork(void **state)
{
    struct s3dlio_reader *reader;
    pid_t children[2];

    NOT_UNDER_TSAN();
    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
    for (size_t at = 0; at < LARGE_BYTES / 2; at += LARGE_BYTES / 20)
        reader_keep_check(reader, LARGE_BYTES / 20, at);
    children[0] = core_run_fork();
    if (children[0] == 0) {
        reader_keep_unlink();
        reader_keep_all(reader, LARGE_BYTES);
        s3dlio_reader_close(reader);
        _exit(0);
    }
    reader_keep_unlink();
    children[1] = core_run_fork();
    if (children[1] == 0) { /* what was kept is inherited */
        reader_keep_all(reader, LARGE_BYTES);
        s3dlio_reader_close(reader);
        _exit(0);
    }
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
    for (unsigned i = 0; i < 2; i++)
        core_run_wait_for(children[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_open_in_the_middle_of_a_deletion, reader_keep_clear),
        cmocka_unit_test_setup(test_read_in_the_middle_of_a_rename, reader_keep_clear),
        cmocka_unit_test_setup(test_close_during_the_fetch, reader_keep_clear),
        cmocka_unit_test_setup(test_two_deletions_at_once, reader_keep_clear),
        cmocka_unit_test_setup(test_many_moves_at_once, reader_keep_clear),
        cmocka_unit_test_setup(test_each_reader_sees_one_version, reader_keep_clear),
        cmocka_unit_test_setup(test_signal_handler, reader_keep_clear),
        cmocka_unit_test_setup(test_fork, reader_keep_clear),
        cmocka_unit_test_setup(reader_keep_nothing_left, reader_keep_clear),
    };

    return cmocka_run_group_tests(tests, reader_keep_set_up, core_run_remove_file_root);
}
