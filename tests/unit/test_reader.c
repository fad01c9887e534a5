/* core/reader.h: every byte right, whichever way it comes, and no more requests than promised. */
#include "core/reader.h"
#include "core_run.h"
#include "sanitizer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OBJECT_BYTES (9 * MIB + 12345)

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_make_bucket("reader");
    core_run_put("fault://reader/large", OBJECT_BYTES);
    core_run_put("fault://reader/small", 5000);
    core_run_put("fault://reader/empty", 0);
    return 0;
}

static void read_check(struct s3dlio_reader *reader, size_t length, uint64_t offset)
{
    unsigned char *buffer = malloc(length);
    struct s3dlio_error error;
    ssize_t n = s3dlio_reader_pread(reader, buffer, length, offset, NULL, &error);
    uint64_t left = offset < OBJECT_BYTES ? OBJECT_BYTES - offset : 0;

    if (n < 0)
        fail_msg("%s", error.message);
    assert_int_equal(n, length < left ? length : left);
    core_run_check(buffer, (size_t)n, offset);
    free(buffer);
}

static void read_through(size_t step)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");

    for (uint64_t at = 0; at < OBJECT_BYTES + step; at += step)
        read_check(reader, step, at);
    s3dlio_reader_close(reader);
}

static void test_sequential(void **state)
{
    static const size_t steps[] = {4096, 65536, 100000, 262144, 1 << 20, 3 << 20, OBJECT_BYTES};

    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        read_through(steps[i]);
}

static void test_sequential_slow_store(void **state)
{
    core_run_faults("op=GetObject delay=3");
    read_through(100000);
    read_through(1 << 20);
    read_through(OBJECT_BYTES);
}

static void test_bodies_that_stall_and_break(void **state)
{
    core_run_faults(
        "op=GetObject p=30 pause=5 after=70000; op=GetObject p=20 truncate after=30000; "
        "op=GetObject p=10 fail=server; seed=7");
    read_through(200000);
    read_through(1 << 20);
}

static void test_small_object_is_one_request(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_attr attr;
    unsigned char buffer[8192];

    reader = core_run_open_reader("fault://reader/small");
    s3dlio_reader_attr(reader, &attr);
    assert_int_equal(attr.size_bytes, 5000);
    assert_int_equal(attr.type, S3DLIO_FILE);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, sizeof buffer, 0, NULL, NULL), 5000);
    core_run_check(buffer, 5000, 0);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, sizeof buffer, 5000, NULL, NULL), 0);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 10, 4995, NULL, NULL), 5);
    s3dlio_reader_close(reader);
    assert_int_equal(core_run_count(STORE_GET), 1);
    assert_int_equal(core_run_count(STORE_HEAD), 0);
    assert_int_equal(core_run_count(STORE_LIST), 0);
}

static void test_empty_object(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/empty");
    unsigned char buffer[16];

    assert_int_equal(s3dlio_reader_pread(reader, buffer, sizeof buffer, 0, NULL, NULL), 0);
    s3dlio_reader_close(reader);
    assert_int_equal(core_run_count(STORE_GET), 1);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
}

static void test_open_errors(void **state)
{
    struct s3dlio_reader *reader = NULL;
    struct s3dlio_error error;

    core_run_put("fault://reader/dir/file", 10);
    assert_int_equal(s3dlio_reader_open("fault://reader/none", NULL, &reader, &error), -ENOENT);
    assert_int_equal(s3dlio_reader_open("fault://reader/dir", NULL, &reader, &error), -EISDIR);
    assert_int_equal(s3dlio_reader_open("fault://reader/dir/", NULL, &reader, &error), -EISDIR);
    assert_int_equal(s3dlio_reader_open("fault://reader", NULL, &reader, &error), -EISDIR);
    assert_int_equal(s3dlio_reader_open("fault://reader/small/x", NULL, &reader, &error), -ENOTDIR);
    assert_int_equal(s3dlio_reader_open("fault://nobucket/x", NULL, &reader, &error), -ENOENT);
    assert_int_equal(s3dlio_reader_open("nonsense", NULL, &reader, &error), -EINVAL);
    assert_int_equal(s3dlio_reader_open("gopher://x/y", NULL, &reader, &error), -EOPNOTSUPP);
    assert_null(reader);
    core_run_faults("op=GetObject fail=access");
    assert_int_equal(s3dlio_reader_open("fault://reader/small", NULL, &reader, &error), -EACCES);
    assert_string_equal(error.class_name, "access");
}

static void test_random_reads_cost_one_request_each(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");

    read_check(reader, 200000, 5 * MIB);
    read_check(reader, 200000, 3 * MIB + 77);
    read_check(reader, 200000, 7 * MIB + 1);
    read_check(reader, 200000, 2 * MIB + 1);
    assert_int_equal(core_run_count(STORE_GET), 1 + 4);
    assert_true(stats_read(&engine_stats(core_run_engine())->counters[STATS_BYTES_RECEIVED]) > 0);
    s3dlio_reader_close(reader);
}

static void test_small_random_reads_share_blocks(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    uint64_t block = 64 * KIB;

    for (unsigned i = 0; i < 10; i++)
        read_check(reader, 4096, 40 * block + (i * 7919) % (block - 4096));
    assert_int_equal(core_run_count(STORE_GET), 1 + 1);
    read_check(reader, 100, 41 * block - 50); /* across two */
    assert_int_equal(core_run_count(STORE_GET), 1 + 2);
    read_check(reader, 4096, OBJECT_BYTES - 100); /* the last, short one */
    assert_int_equal(core_run_count(STORE_GET), 1 + 3);
    s3dlio_reader_close(reader);
}

/* On a near store a round trip takes no longer than the bytes of a block. */
static void test_blocks_are_fetched_one_by_one_nearby(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    struct stats *stats = engine_stats(core_run_engine());
    uint64_t before = stats_read(&stats->counters[STATS_BLOCKS_FETCHED]);

    for (unsigned i = 0; i < 30; i++)
        read_check(reader, 4096, (20 + i * 13 % 40) * 64 * KIB);
    assert_int_equal(stats_read(&stats->counters[STATS_BLOCKS_FETCHED]) - before, 30);
    assert_int_equal(core_run_count(STORE_GET), 1 + 30);
    s3dlio_reader_close(reader);
}

static void test_short_step_back_is_free(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    uint64_t requests;

    read_check(reader, 100000, 0);
    read_check(reader, 100000, 100000);
    requests = core_run_count(STORE_GET);
    read_check(reader, 50000, 0);
    assert_int_equal(core_run_count(STORE_GET), requests);
    s3dlio_reader_close(reader);
}

/* The first window, then ranges of a MiB, or of two on a near store. */
static void test_streams_are_few_requests(void **state)
{
    struct s3dlio_reader *reader;

    core_run_put("fault://reader/three", 3 * MIB);
    core_run_reset_counts();
    reader = core_run_open_reader("fault://reader/three");
    for (uint64_t at = 0; at < 3 * MIB; at += 128 * KIB)
        read_check(reader, 128 * KIB, at);
    assert_in_range(core_run_count(STORE_GET), 1 + 2, 1 + 3);
    s3dlio_reader_close(reader);
}

static void test_replaced_object_is_stale(void **state)
{
    struct s3dlio_reader *reader;
    unsigned char buffer[1000];
    struct s3dlio_error error;

    core_run_put("fault://reader/replaced", 4 * MIB);
    reader = core_run_open_reader("fault://reader/replaced");
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 0, NULL, &error), 1000);
    core_run_put_elsewhere("fault://reader/replaced", 4 * MIB, 1);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 3 * MIB, NULL, &error), -ESTALE);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 0, NULL, &error), -ESTALE);
    s3dlio_reader_close(reader);
}

static void test_deleted_object_is_stale(void **state)
{
    struct s3dlio_reader *reader;
    unsigned char buffer[1000];
    struct s3dlio_error error;

    core_run_put("fault://reader/deleted", 4 * MIB);
    reader = core_run_open_reader("fault://reader/deleted");
    core_run_delete_elsewhere("fault://reader/deleted");
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 3 * MIB, NULL, &error), -ESTALE);
    s3dlio_reader_close(reader);
}

static void test_failing_range_is_an_error_once(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    unsigned char buffer[1000];
    struct s3dlio_error error;

    core_run_faults("op=GetObject fail=server");
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 5 * MIB, NULL, &error), -EIO);
    assert_true(error.retryable);
    core_run_faults(NULL);
    read_check(reader, 1000, 5 * MIB);
    s3dlio_reader_close(reader);
}

static ssize_t read_at(struct reader *reader, unsigned char *buffer, size_t length, uint64_t offset,
                       struct core_run_scope *scope)
{
    struct reader_target target = {buffer, length, offset};
    struct error error;

    return reader_pread(reader, &target, &scope->limits, &error);
}

/* As publishing does when it tries again after a range has failed: what came straight into the
 * buffer of one read is not in that of the next. */
static void test_a_read_again_within_a_call(void **state)
{
    unsigned char *buffer = calloc(1, 6 * MIB), first[10], again[10] = "";
    struct reader *opened, *reader;
    ssize_t results[4] = {0};
    struct core_run_scope scope;
    struct error error;
    struct uri uri;

    assert_int_equal(uri_parse("fault://reader/large", &uri), 0);
    /* The first is opening's, the second the first read's. */
    core_run_faults("op=GetObject nth=3 count=1 delay=50 fail=access");
    core_run_enter(&scope);
    results[0] = reader_open(core_run_engine(), &uri, &scope.limits, &opened, &error);
    if (results[0] == 0)
        results[0] = reader_open_version(core_run_engine(), &uri, reader_attr(opened), NULL,
                                         &reader, &error);
    if (results[0] == 0) {
        results[1] = read_at(reader, first, sizeof first, 0, &scope);
        results[2] = read_at(reader, buffer, 6 * MIB, 17, &scope);
        results[3] = read_at(reader, again, sizeof again, 0, &scope);
        reader_close(reader);
        reader_close(opened);
    }
    core_run_leave(&scope);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], sizeof first);
    assert_int_equal(results[2], -EACCES);
    assert_int_equal(results[3], sizeof again);
    core_run_check(again, sizeof again, 0);
    free(buffer);
}

static void test_bad_buffers(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    unsigned char *readonly = mmap(NULL, 2 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct s3dlio_error error;

    assert_int_equal(s3dlio_reader_pread(reader, NULL, 100, 0, NULL, &error), -EFAULT);
    assert_int_equal(s3dlio_reader_pread(reader, (void *)1, MIB, 0, NULL, &error), -EFAULT);
    assert_int_equal(s3dlio_reader_pread(reader, readonly, 2 * MIB, 0, NULL, &error), -EFAULT);
    assert_int_equal(s3dlio_reader_pread(reader, readonly, 2 * MIB, 1, NULL, &error), -EFAULT);
    read_check(reader, MIB, 0);
    munmap(readonly, 2 * MIB);
    s3dlio_reader_close(reader);
}

static void test_deadline(void **state)
{
    struct s3dlio_call call = {.timeout_ms = 50};
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    unsigned char buffer[1000];
    struct s3dlio_error error;

    core_run_faults("op=GetObject delay=2000");
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 6 * MIB, &call, &error), -EIO);
    assert_string_equal(error.class_name, "timeout");
    s3dlio_reader_close(reader);
}

static void *trigger(void *arg)
{
    usleep(30000);
    s3dlio_cancel_trigger(arg);
    return NULL;
}

static void test_cancel(void **state)
{
    struct s3dlio_call call = {.cancel = s3dlio_cancel_new()};
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");
    unsigned char buffer[1000];
    struct s3dlio_error error;
    pthread_t thread;

    core_run_faults("op=GetObject delay=5000");
    assert_int_equal(pthread_create(&thread, NULL, trigger, call.cancel), 0);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, 1000, 6 * MIB, &call, &error), -ECANCELED);
    pthread_join(thread, NULL);
    s3dlio_reader_close(reader);
    s3dlio_cancel_free(call.cancel);
}

struct worker {
    struct s3dlio_reader *reader;
    unsigned seed;
    bool sequential;
};

static void *work(void *arg)
{
    struct worker *worker = arg;

    for (unsigned i = 0; i < 60; i++) {
        size_t length = (size_t)(rand_r(&worker->seed) % 300000) + 1;
        uint64_t offset =
            worker->sequential ? i * 150000u : (uint64_t)rand_r(&worker->seed) % OBJECT_BYTES;

        read_check(worker->reader, length, offset);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct worker workers[8];
    pthread_t threads[8];
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");

    core_run_faults("op=GetObject p=50 delay=1");
    for (unsigned i = 0; i < 8; i++) {
        workers[i] = (struct worker){reader, i, i < 3};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    s3dlio_reader_close(reader);
}

static void test_fork_with_reader_half_way(void **state)
{
    struct s3dlio_reader *reader;
    pid_t pid;

    NOT_UNDER_TSAN();
    reader = core_run_open_reader("fault://reader/large");
    core_run_faults("op=GetObject delay=2");
    read_check(reader, 300000, 0);
    read_check(reader, 300000, 300000);
    pid = core_run_fork();
    if (pid == 0) {
        for (uint64_t at = 600000; at < OBJECT_BYTES; at += 300000)
            read_check(reader, 300000, at);
        read_check(reader, 1000, 5);
        s3dlio_reader_close(reader);
        _exit(0);
    }
    for (uint64_t at = 600000; at < OBJECT_BYTES; at += 300000)
        read_check(reader, 300000, at);
    s3dlio_reader_close(reader);
    core_run_wait_for(pid);
}

static void test_advice(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader("fault://reader/large");

    s3dlio_reader_advise(reader, 5 * MIB, 300000, S3DLIO_ADVICE_WILLNEED);
    read_check(reader, 100000, 5 * MIB);
    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_RANDOM);
    read_check(reader, 100000, 100000);
    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_DONTNEED);
    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_SEQUENTIAL);
    for (uint64_t at = MIB; at < OBJECT_BYTES; at += 500000)
        read_check(reader, 500000, at);
    s3dlio_reader_advise(reader, UINT64_MAX, UINT64_MAX, S3DLIO_ADVICE_WILLNEED);
    s3dlio_reader_close(reader);
}

static void test_no_memory_left_behind(void **state)
{
    struct s3dlio_stats stats;

    usleep(20000);
    s3dlio_get_stats(&stats);
    assert_int_equal(stats.memory_bytes, 0);
    assert_true(stats.memory_peak_bytes <= stats.memory_budget_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sequential, core_run_clear),
        cmocka_unit_test_setup(test_sequential_slow_store, core_run_clear),
        cmocka_unit_test_setup(test_bodies_that_stall_and_break, core_run_clear),
        cmocka_unit_test_setup(test_small_object_is_one_request, core_run_clear),
        cmocka_unit_test_setup(test_empty_object, core_run_clear),
        cmocka_unit_test_setup(test_open_errors, core_run_clear),
        cmocka_unit_test_setup(test_random_reads_cost_one_request_each, core_run_clear),
        cmocka_unit_test_setup(test_small_random_reads_share_blocks, core_run_clear),
        cmocka_unit_test_setup(test_blocks_are_fetched_one_by_one_nearby, core_run_clear),
        cmocka_unit_test_setup(test_short_step_back_is_free, core_run_clear),
        cmocka_unit_test_setup(test_streams_are_few_requests, core_run_clear),
        cmocka_unit_test_setup(test_replaced_object_is_stale, core_run_clear),
        cmocka_unit_test_setup(test_deleted_object_is_stale, core_run_clear),
        cmocka_unit_test_setup(test_failing_range_is_an_error_once, core_run_clear),
        cmocka_unit_test_setup(test_a_read_again_within_a_call, core_run_clear),
        cmocka_unit_test_setup(test_bad_buffers, core_run_clear),
        cmocka_unit_test_setup(test_deadline, core_run_clear),
        cmocka_unit_test_setup(test_cancel, core_run_clear),
        cmocka_unit_test_setup(test_threads, core_run_clear),
        cmocka_unit_test_setup(test_fork_with_reader_half_way, core_run_clear),
        cmocka_unit_test_setup(test_advice, core_run_clear),
        cmocka_unit_test_setup(test_no_memory_left_behind, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
