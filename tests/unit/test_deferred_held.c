/* core/deferred.h: puts that are kept back for a moment, and what is changed of a file between its
 * close and the end of its put. */
#include "deferred_run.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FOR_EVER (3600 * NS_PER_S)

static int set_up(void **state)
{
    int r = deferred_run_set_up(state);
    struct deferred *deferred = &core_run_engine()->deferred;

    deferred->places = deferred->places_max = 64;
    return r;
}

/* Held until somebody wants it; the bucket has its mark, so that requests count for files alone. */
static int hold(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    int r = core_run_clear(state);

    core_run_engine()->deferred.hold_ns = 0;
    core_run_put_text(B "mark", "x");
    attr.mode = 0600 + (mode_t)(clock_now_ns() & 7);
    if (s3dlio_set_attr(B "mark", &attr, NULL, NULL, NULL) < 0)
        return -1;
    core_run_engine()->deferred.hold_ns = FOR_EVER;
    core_run_reset_counts();
    return r;
}

static int set_mode(const char *uri, mode_t mode)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = mode};

    return s3dlio_set_attr(uri, &attr, NULL, NULL, NULL);
}

static int mode_of(const char *uri)
{
    struct s3dlio_attr attr;
    struct s3dlio_error ignored;
    int r = s3dlio_stat(uri, NULL, &attr, &ignored);

    return r < 0 ? r : (int)attr.mode;
}

static int move(const char *from, const char *to)
{
    struct s3dlio_error ignored;

    return s3dlio_rename(from, to, 0, NULL, &ignored);
}

/* What shall be new is opened as the shim does: it has looked. */
static int put_new(const char *uri, const char *text)
{
    return deferred_run_end(deferred_run_begin(uri, S3DLIO_WRITE_SOUGHT), text);
}

static void settle(uint64_t puts)
{
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(s3dlio_is_settled());
    assert_int_equal(core_run_count(STORE_PUT), puts);
    assert_int_equal(core_run_count(STORE_COPY), 0);
    assert_int_equal(core_run_count(STORE_DELETE), 0);
}

/* ---- held ---- */

static void test_nothing_is_sent(void **state)
{
    assert_int_equal(deferred_run_put(B "held", "text"), 1);
    assert_int_equal(deferred_run_stat_size(B "held"), 4);
    assert_int_equal(core_run_requests(), 0);
    assert_false(s3dlio_is_settled());
    assert_true(core_run_holds(B "held", "text")); /* who wants it has it sent */
    settle(1);
    core_run_check_released();
}

static void test_not_for_ever(void **state)
{
    core_run_engine()->deferred.hold_ns = 10 * NS_PER_MS;
    assert_int_equal(deferred_run_put(B "alone", "x"), 1);
    for (unsigned i = 0; i < 6000 && !s3dlio_is_settled(); i++)
        usleep(10000);
    assert_true(s3dlio_is_settled());
    assert_true(core_run_holds(B "alone", "x"));
}

static void test_only_the_last_ones(void **state)
{
    char uri[100];

    for (unsigned i = 0; i < 20; i++) {
        snprintf(uri, sizeof uri, B "last/%u", i);
        assert_int_equal(deferred_run_put(uri, uri), 1);
        assert_int_equal(core_run_count(STORE_PUT), i < 16 ? 0 : i - 15);
        assert_in_range(core_run_engine()->deferred.held, 0, 16);
    }
    settle(20);
    assert_int_equal(core_run_engine()->deferred.held, 0);
}

static int put_pattern(const char *uri, size_t length)
{
    struct s3dlio_writer *writer = deferred_run_begin(uri, 0);

    core_run_stream(writer, 0, length, MIB);
    return s3dlio_writer_close_soon(writer, NULL);
}

/* A quarter of 64 MiB: what is held makes room for the next. */
static void test_only_so_many_bytes(void **state)
{
    char uri[100];

    for (unsigned i = 0; i < 6; i++) {
        snprintf(uri, sizeof uri, B "large/%u", i);
        assert_int_equal(put_pattern(uri, 4 * MIB), 1);
        assert_int_equal(core_run_count(STORE_PUT), i < 4 ? 0 : 4);
    }
    settle(6);
    core_run_check_object(B "large/5", 4 * MIB, "", 0);
    core_run_check_released();
}

static void test_fork_sends_it(void **state)
{
    pid_t child;

    assert_int_equal(deferred_run_put(B "forked", "parent's"), 1);
    child = core_run_fork();
    if (child == 0)
        _exit(!s3dlio_is_settled() || !core_run_holds(B "forked", "parent's"));
    core_run_wait_for(child);
    settle(1);
}

/* ---- attributes ---- */

static void test_attributes_travel(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_UID | S3DLIO_HAS_MTIME | S3DLIO_HAS_ATIME,
                               .uid = 1234,
                               .mtime = {1000, 500000000},
                               .atime = {2000, 0}};

    assert_int_equal(deferred_run_put(B "attr", "text"), 1);
    assert_int_equal(set_mode(B "attr", 0640), 0);
    assert_int_equal(s3dlio_set_attr(B "attr", &attr, NULL, NULL, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(s3dlio_stat(B "attr", NULL, &attr, NULL), 0);
        assert_int_equal(attr.mode, 0640);
        assert_int_equal(attr.uid, 1234);
        assert_int_equal(attr.mtime.tv_sec, 1000);
        assert_int_equal(attr.mtime.tv_nsec, 500000000);
        assert_int_equal(attr.atime.tv_sec, 2000);
        assert_int_equal(attr.size_bytes, 4);
        settle(1);
    }
}

/* Sent already: put once more behind itself, whatever becomes of the answers. */
static void check_late(const char *rule, const char *uri)
{
    core_run_engine()->deferred.hold_ns = 0;
    core_run_faults(rule);
    assert_int_equal(deferred_run_put(uri, "late"), 1);
    assert_int_equal(set_mode(uri, 0604), 0);
    assert_false(s3dlio_is_settled());
    assert_int_equal(mode_of(uri), 0604);
    assert_int_equal(set_mode(uri, 0640), 0);
    assert_int_equal(mode_of(uri), 0640);
    assert_int_equal(deferred_run_settle(), 0);
    assert_int_equal(mode_of(uri), 0640);
    assert_true(core_run_holds(uri, "late"));
}

static void test_attributes_come_later(void **state)
{
    check_late("op=PutObject key=later nth=1 count=1 delay=300", B "later");
    assert_int_equal(core_run_count(STORE_PUT), 2);
    check_late("op=PutObject key=late-lost nth=1 count=1 delay=300; "
               "op=PutObject key=late-lost nth=2 count=1 lose",
               B "late-lost");
    check_late("op=PutObject key=late-first nth=1 count=1 delay=300 lose", B "late-first");
    check_late("op=PutObject key=late-again nth=1 count=1 delay=300; "
               "op=PutObject key=late-again nth=2 count=2 fail=server",
               B "late-again");
    core_run_check_released();
}

static void test_attributes_that_are_refused(void **state)
{
    struct s3dlio_error error = {0};

    core_run_engine()->deferred.hold_ns = 0;
    core_run_faults("op=PutObject key=half nth=1 count=1 delay=300; "
                    "op=PutObject key=half nth=2 fail=access");
    assert_int_equal(deferred_run_put(B "half", "late"), 1);
    assert_int_equal(set_mode(B "half", 0604), 0);
    assert_int_equal(s3dlio_settle(NULL, &error), -EACCES);
    assert_non_null(strstr(error.message, "half"));
    deferred_run_forgive(B "half");
}

/* Somebody else's version is not replaced by the same bytes with other attributes. */
static void test_attributes_of_another_version(void **state)
{
    struct s3dlio_error error = {0};

    core_run_engine()->deferred.hold_ns = 0;
    core_run_faults("op=PutObject key=others nth=1 count=2 delay=300");
    assert_int_equal(deferred_run_put(B "others", "late"), 1);
    assert_int_equal(set_mode(B "others", 0604), 0);
    for (unsigned i = 0; i < 6000 && core_run_count(STORE_PUT) < 2; i++)
        usleep(10000);
    core_run_put_elsewhere(B "others", 1000, 0);
    assert_int_equal(s3dlio_settle(NULL, &error), -ESTALE);
    assert_non_null(strstr(error.message, "others"));
    assert_int_equal(deferred_run_stat_size(B "others"), -ESTALE);
    core_run_check_object(B "others", 1000, "", 0);
    deferred_run_forgive(B "others");
}

/* ---- names ---- */

static void test_a_name_travels(void **state)
{
    assert_int_equal(put_new(B "from", "text"), 1);
    assert_int_equal(set_mode(B "from", 0640), 0);
    assert_int_equal(move(B "from", B "to"), 0);
    assert_int_equal(set_mode(B "to", 0604), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(deferred_run_stat_size(B "from"), -ENOENT);
        assert_int_equal(mode_of(B "to"), 0604);
        settle(1);
    }
    assert_true(core_run_holds(B "to", "text"));
    assert_true(core_run_holds(B "from", NULL));
    assert_int_equal(set_mode(B "to", 0644), 0);
    core_run_check_released();
}

static void test_a_name_that_is_taken(void **state)
{
    struct s3dlio_error ignored;

    core_run_engine()->deferred.hold_ns = 0;
    core_run_put_text(B "taken", "old");
    assert_int_equal(s3dlio_mkdir(B "directory", NULL, NULL, NULL), 0);
    core_run_engine()->deferred.hold_ns = FOR_EVER;
    core_run_reset_counts();
    assert_int_equal(put_new(B "new", "new"), 1);
    assert_int_equal(s3dlio_rename(B "new", B "taken", S3DLIO_RENAME_NOREPLACE, NULL, &ignored),
                     -EEXIST);
    assert_int_equal(move(B "new", B "directory"), -EISDIR);
    assert_int_equal(move(B "new", B "taken/below"), -ENOTDIR);
    assert_int_equal(move(B "new", B "new/below"), -ENOTDIR);
    assert_true(core_run_holds(B "taken", "old"));
    assert_true(core_run_holds(B "new", "new"));
    assert_int_equal(put_new(B "newer", "newer"), 1);
    assert_int_equal(move(B "newer", B "taken"), 0);
    assert_int_equal(deferred_run_stat_size(B "taken"), 5);
    settle(2);
    assert_true(core_run_holds(B "taken", "newer"));
    assert_int_equal(s3dlio_rmdir(B "directory", NULL, NULL), 0);
}

static void test_only_where_there_is_nothing(void **state)
{
    struct s3dlio_error error = {0};

    assert_int_equal(put_new(B "none", "x"), 1);
    assert_int_equal(s3dlio_rename(B "none", B "other", S3DLIO_RENAME_NOREPLACE, NULL, &error), 0);
    core_run_plant(B "other", NULL); /* somebody else is quicker */
    assert_int_equal(s3dlio_settle(NULL, &error), -EEXIST);
    assert_non_null(strstr(error.message, "other"));
    assert_true(core_run_holds(B "none", NULL));
    assert_int_equal(deferred_run_stat_size(B "other"), -EEXIST);
    assert_int_equal(deferred_run_stat_size(B "other"), 1);
    deferred_run_forgive(B "other");
}

/* What stands under the old name has to go, so the store is asked. */
static void test_a_name_that_was_there(void **state)
{
    core_run_engine()->deferred.hold_ns = 0;
    core_run_put_text(B "before", "old");
    core_run_engine()->deferred.hold_ns = FOR_EVER;
    assert_int_equal(deferred_run_put(B "before", "new"), 1);
    assert_int_equal(move(B "before", B "after"), 0);
    assert_true(core_run_holds(B "before", NULL));
    assert_true(core_run_holds(B "after", "new"));
}

static void test_in_the_order_of_a_disk(void **state)
{
    assert_int_equal(put_new(B "a", "one"), 1);
    assert_int_equal(move(B "a", B "b"), 0);
    assert_int_equal(put_new(B "a", "two"), 1);
    assert_int_equal(move(B "a", B "b"), 0); /* waits for the first */
    assert_int_equal(s3dlio_unlink(B "b", NULL, NULL), 0);
    assert_int_equal(deferred_run_stat_size(B "b"), -ENOENT);
    assert_int_equal(put_new(B "b", "three"), 1);
    assert_int_equal(put_new(B "a", "four"), 1);
    assert_int_equal(move(B "b", B "c"), 0);
    assert_int_equal(move(B "a", B "b"), 0);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(core_run_holds(B "a", NULL));
    assert_true(core_run_holds(B "b", "four"));
    assert_true(core_run_holds(B "c", "three"));
    assert_int_equal(move(B "c", B "c2"), 0);
    assert_true(core_run_holds(B "c2", "three"));
}

static void test_its_reader_stays(void **state)
{
    struct s3dlio_reader *reader;
    char text[8] = "";

    core_run_engine()->deferred.hold_ns = 0;
    core_run_put_text(B "open", "old");
    core_run_engine()->deferred.hold_ns = FOR_EVER;
    reader = core_run_open_reader(B "open");
    assert_int_equal(put_new(B "open-new", "new"), 1);
    assert_int_equal(move(B "open-new", B "open"), 0);
    assert_int_equal(s3dlio_reader_pread(reader, text, 3, 0, NULL, NULL), 3);
    assert_string_equal(text, "old");
    s3dlio_reader_close(reader);
    assert_true(core_run_holds(B "open", "new"));
    assert_true(core_run_holds(B "open-new", NULL));
}

static void test_it_fails_by_its_new_name(void **state)
{
    struct s3dlio_error error = {0};

    core_run_faults("op=PutObject key=lost fail=access");
    assert_int_equal(put_new(B "unlost", "x"), 1);
    assert_int_equal(move(B "unlost", B "lost"), 0);
    assert_int_equal(s3dlio_settle(NULL, &error), -EACCES);
    assert_non_null(strstr(error.message, "lost"));
    assert_null(strstr(error.message, "unlost"));
    assert_int_equal(deferred_run_stat_size(B "unlost"), -ENOENT);
    deferred_run_forgive(B "lost");
}

static void test_the_store_is_out_of_reach(void **state)
{
    core_run_faults("op=* key=away* fail=access");
    assert_int_equal(put_new(B "here", "x"), 1);
    assert_int_equal(move(B "here", B "away/there"), -EACCES);
    core_run_faults(NULL);
    assert_int_equal(deferred_run_stat_size(B "here"), 1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(core_run_holds(B "here", "x"));
}

/* ---- opened ---- */

static void test_opening_does_not_wait(void **state)
{
    struct s3dlio_reader *reader, *empty;
    char text[8] = "";

    assert_int_equal(put_new(B "opened", "text"), 1);
    assert_int_equal(put_new(B "empty", ""), 1);
    assert_int_equal(s3dlio_reader_open_soon(B "opened", &reader), 1);
    assert_int_equal(s3dlio_reader_open_soon(B "empty", &empty), 1);
    assert_int_equal(s3dlio_reader_open_soon(B "nowhere", &empty), 0);
    assert_int_equal(move(B "opened", B "renamed"), 0);
    assert_int_equal(core_run_count(STORE_PUT), 0);
    assert_int_equal(s3dlio_reader_pread(reader, text, sizeof text, 0, NULL, NULL), 4);
    assert_string_equal(text, "text");
    assert_int_equal(core_run_count(STORE_PUT), 1); /* the first read waits */
    assert_int_equal(s3dlio_unlink(B "renamed", NULL, NULL), 0);
    assert_int_equal(s3dlio_reader_pread(reader, text, 2, 2, NULL, NULL), 2);
    s3dlio_reader_close(reader);
    assert_int_equal(s3dlio_reader_pread(empty, text, 2, 0, NULL, NULL), 0);
    assert_true(s3dlio_is_settled());
    s3dlio_reader_close(empty);
    core_run_check_released();
}

static void test_reading_tells_of_the_failure(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error = {0};
    char text[8];

    core_run_faults("op=PutObject key=unread fail=access");
    assert_int_equal(put_new(B "unread", "text"), 1);
    assert_int_equal(s3dlio_reader_open_soon(B "unread", &reader), 1);
    assert_int_equal(s3dlio_reader_pread(reader, text, 4, 0, NULL, &error), -EACCES);
    s3dlio_reader_close(reader);
    deferred_run_forgive(B "unread");
}

/* ---- processes and threads ---- */

static void wait_for_step(_Atomic int *step, int value)
{
    for (unsigned i = 0; i < 60000 && atomic_load(step) < value; i++)
        usleep(1000);
    assert_true(atomic_load(step) >= value);
}

static _Atomic int *share_step(void)
{
    _Atomic int *step =
        mmap(NULL, sizeof *step, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(step != MAP_FAILED);
    return step;
}

/* However long it was to be held. */
static void test_another_process_wants_it(void **state)
{
    _Atomic int *step = share_step();
    struct s3dlio_error error = {0};
    struct s3dlio_reader *reader;
    pid_t child = core_run_fork();

    if (child == 0) {
        core_run_reset_counts();
        if (put_new(B "wanted", "text") != 1)
            _exit(1);
        atomic_store(step, 1);
        wait_for_step(step, 2);
        _exit(core_run_count(STORE_PUT) != 1 || !s3dlio_is_settled());
    }
    wait_for_step(step, 1);
    assert_int_equal(s3dlio_reader_open(B "wanted", NULL, &reader, &error), -ENOENT);
    atomic_store(step, 2);
    core_run_wait_for(child);
}

/* Each has a store of its own here, but both have the table. */
static void test_another_process_sees_it(void **state)
{
    _Atomic int *step = share_step();
    pid_t child = core_run_fork();

    if (child == 0) {
        bool done;

        core_run_reset_counts();
        done = put_new(B "theirs-new", "text") == 1 && set_mode(B "theirs-new", 0604) == 0 &&
               move(B "theirs-new", B "theirs") == 0;

        atomic_store(step, 1);
        wait_for_step(step, 2);
        done = done && set_mode(B "theirs", 0640) == 0;
        atomic_store(step, 3);
        wait_for_step(step, 4);
        _exit(!done || core_run_count(STORE_PUT) != 0 || deferred_run_settle() != 0);
    }
    wait_for_step(step, 1);
    assert_int_equal(mode_of(B "theirs"), 0604);
    assert_int_equal(deferred_run_stat_size(B "theirs"), 4);
    assert_int_equal(deferred_run_stat_size(B "theirs-new"), -ENOENT);
    atomic_store(step, 2);
    wait_for_step(step, 3);
    assert_int_equal(mode_of(B "theirs"), 0640);
    atomic_store(step, 4);
    core_run_wait_for(child);
    assert_int_equal(deferred_run_stat_size(B "theirs"), -ENOENT);
}

#define FILES 50

static void *put_files(void *arg)
{
    char from[100], to[100];
    intptr_t failed = 0;

    for (unsigned i = 0; i < FILES; i++) {
        snprintf(from, sizeof from, B "threads/.%s-%u", (char *)arg, i);
        snprintf(to, sizeof to, B "threads/%s-%u", (char *)arg, i);
        failed += put_new(from, to) < 0;
        failed += set_mode(from, 0640) < 0;
        failed += move(from, to) < 0;
        failed += set_mode(to, 0604) < 0;
        failed += mode_of(to) != 0604 || mode_of(from) != -ENOENT;
        failed += i % 10 == 0 && !core_run_holds(to, to);
    }
    return (void *)failed;
}

static void check_threads(int64_t hold_ns)
{
    char uri[100];

    core_run_engine()->deferred.hold_ns = hold_ns;
    core_run_faults("op=PutObject p=50 delay=5");
    deferred_run_by_threads(put_files);
    for (unsigned i = 0; i < DEFERRED_RUN_THREADS * FILES; i++) {
        const char *name = deferred_run_threads[i % DEFERRED_RUN_THREADS];
        unsigned number = i / DEFERRED_RUN_THREADS;

        snprintf(uri, sizeof uri, B "threads/%s-%u", name, number);
        assert_true(core_run_holds(uri, uri));
        assert_int_equal(mode_of(uri), 0604);
        snprintf(uri, sizeof uri, B "threads/.%s-%u", name, number);
        assert_true(core_run_holds(uri, NULL));
    }
    core_run_check_released();
}

static void test_threads(void **state)
{
    check_threads(2 * NS_PER_MS); /* some go in between */
}

static void test_threads_that_are_late(void **state)
{
    check_threads(0);
}

/* Two that take each other's name do not wait for each other for ever; what comes of it is a matter
 * of luck. */
static void *swap_names(void *arg)
{
    const char *own = arg, *other = !strcmp(own, B "x") ? B "y" : B "x";

    for (unsigned i = 0; i < FILES; i++) {
        put_new(own, "text");
        move(own, other);
    }
    return NULL;
}

static void test_each_onto_the_other(void **state)
{
    pthread_t threads[2];

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, swap_names, i ? B "x" : B "y"), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(core_run_holds(B "x", "text") || core_run_holds(B "y", "text"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_sent, hold),
        cmocka_unit_test_setup(test_not_for_ever, hold),
        cmocka_unit_test_setup(test_only_the_last_ones, hold),
        cmocka_unit_test_setup(test_only_so_many_bytes, hold),
        cmocka_unit_test_setup(test_fork_sends_it, hold),
        cmocka_unit_test_setup(test_attributes_travel, hold),
        cmocka_unit_test_setup(test_attributes_come_later, hold),
        cmocka_unit_test_setup(test_attributes_that_are_refused, hold),
        cmocka_unit_test_setup(test_attributes_of_another_version, hold),
        cmocka_unit_test_setup(test_a_name_travels, hold),
        cmocka_unit_test_setup(test_a_name_that_is_taken, hold),
        cmocka_unit_test_setup(test_only_where_there_is_nothing, hold),
        cmocka_unit_test_setup(test_a_name_that_was_there, hold),
        cmocka_unit_test_setup(test_in_the_order_of_a_disk, hold),
        cmocka_unit_test_setup(test_its_reader_stays, hold),
        cmocka_unit_test_setup(test_it_fails_by_its_new_name, hold),
        cmocka_unit_test_setup(test_the_store_is_out_of_reach, hold),
        cmocka_unit_test_setup(test_opening_does_not_wait, hold),
        cmocka_unit_test_setup(test_reading_tells_of_the_failure, hold),
        cmocka_unit_test_setup(test_another_process_sees_it, hold),
        cmocka_unit_test_setup(test_another_process_wants_it, hold),
        cmocka_unit_test_setup(test_threads, hold),
        cmocka_unit_test_setup(test_threads_that_are_late, hold),
        cmocka_unit_test_setup(test_each_onto_the_other, hold),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
