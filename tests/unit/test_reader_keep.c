/* core/reader_registry.h, core/reader_keep.h: what this process does to an object leaves those of its
 * readers alone that have it open. */
#include "core_run.h"
#include "sanitizer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/spool.h"

#define LARGE_BYTES  (5 * MIB + 4321)
#define MEDIUM_BYTES (600 * KIB + 7) /* its copy is in memory */
#define SMALL_BYTES  5000
#define HUGE_BYTES   (20 * MIB)
#define NAME         "fault://keep/dir/object"
#define OTHER        "fault://keep/other/name"

static int set_up(void **state)
{
    core_run_make_file_root();
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_set_option("S3DLIO_SPOOL_LIMIT=16M");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_make_bucket("keep");
    return 0;
}

static int clear(void **state)
{
    core_run_faults(NULL);
    s3dlio_delete(NAME, NULL, NULL);
    s3dlio_delete(OTHER, NULL, NULL);
    return core_run_clear(state);
}

static void must(int r, const struct s3dlio_error *error)
{
    if (r < 0)
        fail_msg("%s", error->message);
}

static struct s3dlio_reader *open_reader(const char *uri)
{
    struct s3dlio_reader *reader = NULL;
    struct s3dlio_error error;

    must(s3dlio_reader_open(uri, NULL, &reader, &error), &error);
    return reader;
}

static void read_check(struct s3dlio_reader *reader, size_t length, uint64_t offset)
{
    unsigned char *buffer = malloc(length);
    struct s3dlio_error error;
    ssize_t n = s3dlio_reader_pread(reader, buffer, length, offset, NULL, &error);

    if (n < 0)
        fail_msg("%s", error.message);
    assert_int_equal(n, length);
    core_run_check(buffer, length, offset);
    free(buffer);
}

/* All of it, in order and here and there. */
static void read_all(struct s3dlio_reader *reader, size_t size)
{
    unsigned char byte;

    for (size_t at = 0; at < size; at += 100000)
        read_check(reader, size - at < 100000 ? size - at : 100000, at);
    for (size_t i = 1; i < 20; i++)
        read_check(reader, size / 40, size * i / 21);
    read_check(reader, size, 0);
    assert_int_equal(s3dlio_reader_pread(reader, &byte, 1, size, NULL, NULL), 0);
}

/* ---- every change, wherever the reader stands --------------------------------------------------- */

static void do_unlink(void)
{
    struct s3dlio_error error;

    must(s3dlio_unlink(NAME, NULL, &error), &error);
}

static void do_delete(void)
{
    struct s3dlio_error error;

    must(s3dlio_delete(NAME, NULL, &error), &error);
}

static void *other_bytes(size_t size)
{
    void *data = malloc(size);

    memset(data, 0xee, size);
    return data;
}

static void put_other(const char *uri, size_t size)
{
    void *data = other_bytes(size);
    struct s3dlio_error error;

    must(s3dlio_put(uri, data, size, NULL, NULL, NULL, &error), &error);
    free(data);
}

static void do_put(void)
{
    put_other(NAME, LARGE_BYTES);
}

static void do_put_shorter(void)
{
    put_other(NAME, 10);
}

static void do_put_many(void)
{
    void *data = other_bytes(1000);
    struct s3dlio_put_item items[] = {
        {.uri = "fault://keep/third", .data = data, .length_bytes = 5},
        {.uri = NAME, .data = data, .length_bytes = 1000}};
    struct s3dlio_error error;

    must(s3dlio_put_many(items, 2, NULL, &error), &error);
    free(data);
}

static void do_write(void)
{
    void *data = other_bytes(HUGE_BYTES);
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    must(s3dlio_writer_open(NAME, NULL, NULL, &writer, &error), &error);
    assert_int_equal(s3dlio_writer_write(writer, data, HUGE_BYTES, &error), HUGE_BYTES);
    must(s3dlio_writer_close(writer, NULL, &error), &error);
    assert_true(core_run_count(STORE_UPLOAD_COMPLETE) > 0);
    free(data);
}

static void do_publish(void)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;

    must(s3dlio_draft_open(NAME, NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, &error), &error);
    assert_int_equal(s3dlio_draft_pwrite(draft, "changed", 7, 1000, &error), 7);
    must(s3dlio_draft_publish(draft, NULL, &error), &error);
    must(s3dlio_draft_truncate(draft, 100, &error), &error);
    must(s3dlio_draft_close(draft, NULL, &error), &error);
}

static void do_rename(void)
{
    struct s3dlio_error error;

    must(s3dlio_rename(NAME, OTHER, 0, NULL, &error), &error);
}

static void do_rename_there_and_back(void)
{
    struct s3dlio_error error;

    must(s3dlio_rename(NAME, OTHER, 0, NULL, &error), &error);
    must(s3dlio_rename(OTHER, NAME, 0, NULL, &error), &error);
}

static void do_rename_over(void)
{
    struct s3dlio_error error;

    put_other(OTHER, LARGE_BYTES);
    must(s3dlio_rename(OTHER, NAME, 0, NULL, &error), &error);
}

static void do_rename_directory(void)
{
    struct s3dlio_error error;

    must(s3dlio_rename("fault://keep/dir", "fault://keep/moved", 0, NULL, &error), &error);
    must(s3dlio_rename("fault://keep/moved", "fault://keep/again", 0, NULL, &error), &error);
    must(s3dlio_delete("fault://keep/again/object", NULL, &error), &error);
}

static void do_rename_and_unlink(void)
{
    struct s3dlio_error error;

    must(s3dlio_rename(NAME, OTHER, 0, NULL, &error), &error);
    must(s3dlio_unlink(OTHER, NULL, &error), &error);
}

static void do_copy_over(void)
{
    struct s3dlio_error error;

    put_other(OTHER, LARGE_BYTES);
    must(s3dlio_copy(OTHER, NAME, NULL, &error), &error);
}

static void do_chmod(void)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    struct s3dlio_error error;

    must(s3dlio_set_attr(NAME, &attr, NULL, NULL, &error), &error);
}

static void do_setxattr(void)
{
    struct s3dlio_error error;

    must(s3dlio_setxattr(NAME, "user.a", "b", 1, 0, NULL, &error), &error);
    must(s3dlio_unlink(NAME, NULL, &error), &error);
}

static const struct change {
    const char *name;
    void (*make)(void);
    bool moves; /* the object stays: nothing is fetched */
} changes[] = {
    {"unlink", do_unlink, false},
    {"delete", do_delete, false},
    {"put", do_put, false},
    {"put shorter", do_put_shorter, false},
    {"put many", do_put_many, false},
    {"write", do_write, false},
    {"publish", do_publish, false},
    {"rename", do_rename, true},
    {"rename there and back", do_rename_there_and_back, true},
    {"rename over", do_rename_over, false},
    {"rename directory", do_rename_directory, false},
    {"rename and unlink", do_rename_and_unlink, false},
    {"copy over", do_copy_over, false},
    {"chmod", do_chmod, true},
    {"setxattr, unlink", do_setxattr, false},
};

static void at_start(struct s3dlio_reader *reader, size_t size)
{
}

static void in_the_middle(struct s3dlio_reader *reader, size_t size)
{
    for (size_t at = 0; at < size / 2; at += size / 20)
        read_check(reader, size / 20, at);
}

static void at_the_end(struct s3dlio_reader *reader, size_t size)
{
    read_all(reader, size);
}

static void here_and_there(struct s3dlio_reader *reader, size_t size)
{
    for (size_t i = 0; i < 10; i++)
        read_check(reader, 100, i * 7919 * 13 % (size - 100));
}

static void (*const positions[])(struct s3dlio_reader *, size_t) = {at_start, in_the_middle,
                                                                    at_the_end, here_and_there};

static void try_all(size_t size, const char *faults)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (size_t j = 0; j < sizeof positions / sizeof *positions; j++) {
            struct s3dlio_reader *readers[3];

            clear(NULL);
            core_run_put(NAME, size);
            for (size_t k = 0; k < 3; k++)
                readers[k] = open_reader(NAME);
            if (faults)
                core_run_faults(faults);
            positions[j](readers[0], size);
            core_run_reset_counts();
            changes[i].make();
            for (size_t k = 0; k < 3; k++) {
                if (k == 1) /* a second one of that version costs nothing more */
                    core_run_reset_counts();
                if (k == 0)
                    read_all(readers[k], size);
                else
                    read_check(readers[k], size, 0);
                s3dlio_reader_close(readers[k]);
            }
            if (!changes[i].moves && core_run_count(STORE_GET) > 0)
                fail_msg("%s: a reader asked the store again", changes[i].name);
        }
}

static void test_every_change(void **state)
{
    try_all(2 * MIB + 77, NULL);
    try_all(MEDIUM_BYTES, NULL);
}

static void test_every_change_on_a_slow_store(void **state)
{
    try_all(2 * MIB, "op=GetObject delay=1; op=GetObject p=20 truncate after=70000; seed=3");
}

static void test_every_change_of_small_objects(void **state)
{
    try_all(SMALL_BYTES, NULL);
    try_all(SMALL_BYTES, "op=GetObject delay=1");
}

/* The file store renames by itself; what is renamed has another ETag there. */
static void test_a_store_that_renames(void **state)
{
    static const char *const names[] = {"file://b/d/f", "file://b/d/g", "file://b/e/g"};
    struct s3dlio_reader *readers[2];
    struct s3dlio_error error;

    must(s3dlio_mkdir("file://b", NULL, NULL, &error), &error);
    core_run_put(names[0], LARGE_BYTES);
    readers[0] = open_reader(names[0]);
    must(s3dlio_rename(names[0], names[1], 0, NULL, &error), &error);
    must(s3dlio_rename("file://b/d", "file://b/e", 0, NULL, &error), &error);
    read_all(readers[0], LARGE_BYTES);
    readers[1] = open_reader(names[2]);
    put_other("file://b/other", 10);
    must(s3dlio_rename("file://b/other", names[2], 0, NULL, &error), &error);
    must(s3dlio_unlink(names[2], NULL, &error), &error);
    for (size_t i = 0; i < 2; i++) {
        read_all(readers[i], LARGE_BYTES);
        s3dlio_reader_close(readers[i]);
    }
}

/* ---- what it costs ------------------------------------------------------------------------------ */

static void test_small_costs_nothing(void **state)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct s3dlio_reader *reader;

        clear(NULL);
        core_run_put(NAME, SMALL_BYTES);
        reader = open_reader(NAME);
        core_run_reset_counts();
        changes[i].make();
        if (changes[i].make != do_publish) /* which reads what it changes */
            assert_int_equal(core_run_count(STORE_GET), 0);
        read_all(reader, SMALL_BYTES);
        if (!changes[i].moves && changes[i].make != do_publish)
            assert_int_equal(core_run_count(STORE_GET), 0);
        s3dlio_reader_close(reader);
    }
}

static void test_only_the_rest_is_fetched(void **state)
{
    uint64_t received;
    struct s3dlio_reader *reader;

    core_run_put(NAME, LARGE_BYTES);
    received = stats_read(&core_run_engine()->stats.bytes_received);
    reader = open_reader(NAME);
    read_check(reader, 1000, 4 * MIB); /* a block */
    do_unlink();
    received = stats_read(&core_run_engine()->stats.bytes_received) - received;
    assert_int_equal(received, LARGE_BYTES);
    core_run_reset_counts();
    read_all(reader, LARGE_BYTES);
    assert_int_equal(core_run_count(STORE_GET), 0);
    s3dlio_reader_close(reader);
}

static void test_closed_readers_cost_nothing(void **state)
{
    core_run_put(NAME, LARGE_BYTES);
    s3dlio_reader_close(open_reader(NAME));
    core_run_reset_counts();
    do_unlink();
    assert_int_equal(core_run_count(STORE_GET), 0);
}

static void test_readers_of_other_objects_cost_nothing(void **state)
{
    struct s3dlio_reader *reader;

    core_run_put(NAME, LARGE_BYTES);
    core_run_put(NAME "-longer", LARGE_BYTES);
    reader = open_reader(NAME "-longer");
    core_run_reset_counts();
    do_rename();
    core_run_put(NAME, 10);
    do_unlink();
    assert_int_equal(core_run_count(STORE_GET), 0);
    read_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
    s3dlio_delete(NAME "-longer", NULL, NULL);
}

/* Parts that stay are copied by the store; nothing is fetched for the sake of the draft's own reader. */
static void test_a_draft_does_not_keep_its_own_base(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;
    unsigned char byte;

    core_run_put(NAME, HUGE_BYTES);
    must(s3dlio_draft_open(NAME, NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, &error), &error);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 0, &error), 1); /* so it has a reader */
    assert_int_equal(s3dlio_draft_pwrite(draft, "x", 1, HUGE_BYTES, &error), 1);
    core_run_reset_counts();
    must(s3dlio_draft_publish(draft, NULL, &error), &error);
    assert_true(core_run_count(STORE_GET) <= 2); /* the part that the new byte is in */
    must(s3dlio_draft_close(draft, NULL, &error), &error);
}

/* ---- when it cannot be -------------------------------------------------------------------------- */

static void test_no_room(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    core_run_put(NAME, HUGE_BYTES);
    reader = open_reader(NAME);
    core_run_reset_counts();
    assert_int_equal(s3dlio_unlink(NAME, NULL, &error), -ENOSPC);
    assert_non_null(strstr(error.message, "S3DLIO_SPOOL_LIMIT"));
    assert_non_null(strstr(error.message, "close it"));
    assert_int_equal(s3dlio_put(NAME, "new", 3, NULL, NULL, NULL, &error), -ENOSPC);
    assert_int_equal(core_run_count(STORE_GET), 0);
    assert_int_equal(core_run_count(STORE_DELETE), 0);
    assert_int_equal(core_run_count(STORE_PUT), 0);
    put_other(OTHER, 10);
    assert_int_equal(s3dlio_rename(OTHER, NAME, 0, NULL, &error), -ENOSPC);
    do_chmod(); /* takes no room */
    do_rename_there_and_back();
    read_all(reader, HUGE_BYTES);
    s3dlio_reader_close(reader);
    reader = open_reader(NAME);
    read_check(reader, HUGE_BYTES, 0);
    s3dlio_reader_close(reader);
    do_unlink();
}

static void test_store_fails(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    core_run_put(NAME, LARGE_BYTES);
    reader = open_reader(NAME);
    core_run_faults("op=GetObject fail=server");
    assert_int_equal(s3dlio_unlink(NAME, NULL, &error), -EIO);
    assert_int_equal(core_run_count(STORE_DELETE), 0);
    core_run_faults(NULL);
    do_unlink();
    read_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

/* Another process was first: there is nothing left to be kept, and no reason to refuse. */
static void test_gone_already(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;
    unsigned char byte;

    core_run_put(NAME, LARGE_BYTES);
    reader = open_reader(NAME);
    core_run_put_elsewhere(NAME, LARGE_BYTES, 1);
    do_put();
    assert_int_equal(s3dlio_reader_pread(reader, &byte, 1, 4 * MIB, NULL, &error), -ESTALE);
    s3dlio_reader_close(reader);
}

static void test_failed_request_leaves_all_as_it_was(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    core_run_put(NAME, LARGE_BYTES);
    reader = open_reader(NAME);
    core_run_faults("op=DeleteObject fail=access");
    assert_int_equal(s3dlio_unlink(NAME, NULL, &error), -EACCES);
    assert_int_equal(s3dlio_rename(NAME, OTHER, 0, NULL, &error), -EACCES);
    core_run_faults(NULL);
    core_run_faults("op=CopyObject fail=access");
    assert_int_equal(s3dlio_rename(NAME, OTHER, 0, NULL, &error), -EACCES);
    read_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

/* ---- at the same time --------------------------------------------------------------------------- */

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
    reader = open_reader(NAME);
    core_run_faults("op=DeleteObject delay=50; op=HeadObject delay=5; op=CopyObject delay=5");
    pthread_create(&thread, NULL, rename_it, NULL);
    do {
        read_all(reader, LARGE_BYTES);
    } while (core_run_count(STORE_DELETE) == 0);
    read_all(reader, LARGE_BYTES);
    pthread_join(thread, &result);
    assert_null(result);
    read_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

static void test_close_during_the_fetch(void **state)
{
    struct s3dlio_reader *reader;
    pthread_t thread;
    void *result;

    core_run_put(NAME, LARGE_BYTES);
    reader = open_reader(NAME);
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
    reader = open_reader(NAME);
    core_run_faults("op=GetObject delay=5; op=DeleteObject delay=5");
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, unlink_it, NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], &results[i]);
    read_all(reader, LARGE_BYTES);
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
    reader = open_reader(NAME);
    core_run_faults("op=GetObject p=50 delay=1");
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, move_about, NULL);
    for (unsigned i = 0; i < 5; i++)
        read_all(reader, LARGE_BYTES);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    read_all(reader, LARGE_BYTES);
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
    must(s3dlio_put(NAME, data, VERSION_BYTES, NULL, NULL, NULL, &error), &error);
    free(data);
}

static void read_one_version(void)
{
    struct s3dlio_reader *reader = open_reader(NAME);
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

/* ---- handlers and forks ------------------------------------------------------------------------- */

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
    pthread_t thread;
    void *result;

    NOT_UNDER_TSAN();
    signal(SIGUSR1, on_signal);
    core_run_put(NAME, LARGE_BYTES);
    handler_reader = open_reader(NAME);
    core_run_faults("op=DeleteObject delay=100");
    pthread_create(&thread, NULL, unlink_it, NULL);
    wait_for_count(STORE_DELETE);
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &result);
    assert_null(result);
    assert_int_equal(atomic_load(&handler_runs), 1);
    assert_int_equal(handler_result, 1000);
    read_all(handler_reader, LARGE_BYTES);
    s3dlio_reader_close(handler_reader);
}

static void test_fork(void **state)
{
    struct s3dlio_reader *reader;
    int status;
    pid_t pid;

    NOT_UNDER_TSAN();
    core_run_put(NAME, LARGE_BYTES);
    reader = open_reader(NAME);
    in_the_middle(reader, LARGE_BYTES);
    s3dlio_fork_prepare();
    pid = fork();
    if (pid == 0) {
        s3dlio_fork_child();
        do_unlink();
        read_all(reader, LARGE_BYTES);
        s3dlio_reader_close(reader);
        _exit(0);
    }
    s3dlio_fork_parent();
    do_unlink();
    s3dlio_fork_prepare();
    if (fork() == 0) { /* what was kept is inherited */
        s3dlio_fork_child();
        read_all(reader, LARGE_BYTES);
        s3dlio_reader_close(reader);
        _exit(0);
    }
    s3dlio_fork_parent();
    read_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
    while (wait(&status) > 0)
        assert_int_equal(status, 0);
}

static void test_nothing_left_behind(void **state)
{
    struct s3dlio_stats stats;

    do {
        s3dlio_get_stats(&stats);
    } while (stats.memory_bytes > 0);
    assert_int_equal(spool_used(), 0);
    assert_null(core_run_engine()->readers.places);
    assert_null(core_run_engine()->readers.changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_change, clear),
        cmocka_unit_test_setup(test_every_change_on_a_slow_store, clear),
        cmocka_unit_test_setup(test_every_change_of_small_objects, clear),
        cmocka_unit_test_setup(test_a_store_that_renames, clear),
        cmocka_unit_test_setup(test_small_costs_nothing, clear),
        cmocka_unit_test_setup(test_only_the_rest_is_fetched, clear),
        cmocka_unit_test_setup(test_closed_readers_cost_nothing, clear),
        cmocka_unit_test_setup(test_readers_of_other_objects_cost_nothing, clear),
        cmocka_unit_test_setup(test_a_draft_does_not_keep_its_own_base, clear),
        cmocka_unit_test_setup(test_no_room, clear),
        cmocka_unit_test_setup(test_store_fails, clear),
        cmocka_unit_test_setup(test_gone_already, clear),
        cmocka_unit_test_setup(test_failed_request_leaves_all_as_it_was, clear),
        cmocka_unit_test_setup(test_open_in_the_middle_of_a_deletion, clear),
        cmocka_unit_test_setup(test_read_in_the_middle_of_a_rename, clear),
        cmocka_unit_test_setup(test_close_during_the_fetch, clear),
        cmocka_unit_test_setup(test_two_deletions_at_once, clear),
        cmocka_unit_test_setup(test_many_moves_at_once, clear),
        cmocka_unit_test_setup(test_each_reader_sees_one_version, clear),
        cmocka_unit_test_setup(test_signal_handler, clear),
        cmocka_unit_test_setup(test_fork, clear),
        cmocka_unit_test_setup(test_nothing_left_behind, clear),
    };

    return cmocka_run_group_tests(tests, set_up, core_run_remove_file_root);
}
