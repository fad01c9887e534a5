/* core/deferred.h: puts that close does not wait for. */
#include "core_run.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define B "fault://deferred/"

#define SLOWLY "op=PutObject delay=300"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=3000");
    core_run_set_option("S3DLIO_CLOSE=deferred");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=8");
    core_run_set_option("S3DLIO_PUT_PART_SIZE=5M");
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_set_option("S3DLIO_LOG=off"); /* failures are printed, each of them */
    core_run_make_bucket("deferred");
    return 0;
}

static struct s3dlio_writer *begin(const char *uri, unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error;

    core_run_must(s3dlio_writer_open(uri, &options, NULL, &writer, &error), &error);
    return writer;
}

/* What closing it soon returns. */
static int end(struct s3dlio_writer *writer, const char *text)
{
    struct s3dlio_error error = {0};

    assert_int_equal(s3dlio_writer_write(writer, text, strlen(text), &error), strlen(text));
    return s3dlio_writer_close_soon(writer, &error);
}

static int put(const char *uri, const char *text)
{
    return end(begin(uri, 0), text);
}

static int settle(void)
{
    struct s3dlio_error error = {0};

    return s3dlio_settle(NULL, &error);
}

static int stat_size(const char *uri)
{
    struct s3dlio_error error = {0};
    struct s3dlio_attr attr;
    int r = s3dlio_stat(uri, NULL, &attr, &error);

    return r < 0 ? r : (int)attr.size_bytes;
}

/* Whatever failed counts no more, so that the next test begins without. */
static void forgive(const char *uri)
{
    struct s3dlio_error error = {0};

    core_run_faults(NULL);
    s3dlio_stat(uri, NULL, &(struct s3dlio_attr){0}, &error); /* tells it */
    core_run_put_text(uri, "forgiven");
    assert_int_equal(settle(), 0);
}

/* `check` in a child in which no put ever ends, so that nothing depends on how fast this machine is. */
static void with_a_put_that_never_ends(bool (*check)(void))
{
    pid_t child = core_run_fork();

    if (child == 0) {
        core_run_faults("op=PutObject key=never* delay=600000");
        _exit(!check());
    }
    core_run_wait_for(child);
    core_run_reset_counts();
}

static bool closing_returns(void)
{
    uint64_t before = core_run_requests();

    return put(B "never", "some text") == 1 && !s3dlio_is_settled() &&
           core_run_requests() == before + 1;
}

static void test_close_does_not_wait(void **state)
{
    with_a_put_that_never_ends(closing_returns);
    core_run_faults("op=PutObject delay=50");
    assert_int_equal(put(B "early", "some text"), 1);
    assert_int_equal(settle(), 0);
    assert_true(s3dlio_is_settled());
    assert_int_equal(core_run_requests(), 1);
    assert_true(core_run_holds(B "early", "some text"));
    core_run_check_released();
}

static void test_nobody_has_to_call(void **state)
{
    core_run_faults("op=PutObject delay=50");
    assert_int_equal(put(B "alone", "x"), 1);
    for (unsigned i = 0; i < 6000 && !s3dlio_is_settled(); i++)
        usleep(10000);
    assert_true(s3dlio_is_settled());
}

static time_t mtime_s = 1000;

static struct s3dlio_writer *begin_with_attributes(const char *uri)
{
    struct s3dlio_attr wanted = {
        .has = S3DLIO_HAS_MODE | S3DLIO_HAS_MTIME, .mode = 0640, .mtime = {mtime_s, 500000000}};
    struct s3dlio_writer *writer = begin(uri, 0);

    s3dlio_writer_write(writer, "12345", 5, NULL);
    s3dlio_writer_set_attr(writer, &wanted, NULL);
    return writer;
}

static bool has_attributes(const char *uri)
{
    struct s3dlio_attr attr;

    return s3dlio_stat(uri, NULL, &attr, NULL) == 0 && attr.type == S3DLIO_FILE &&
           attr.size_bytes == 5 && attr.mode == 0640 && attr.mtime.tv_sec == mtime_s &&
           attr.mtime.tv_nsec == 500000000 && attr.inode > 1;
}

static bool looking_does_not_wait(void)
{
    uint64_t before;

    if (s3dlio_writer_close_soon(begin_with_attributes(B "never"), NULL) != 1)
        return false;
    before = core_run_requests();
    return has_attributes(B "never") && core_run_requests() == before && !s3dlio_is_settled();
}

static void test_stat_answers_meanwhile(void **state)
{
    with_a_put_that_never_ends(looking_does_not_wait);
    assert_int_equal(s3dlio_writer_close_soon(begin_with_attributes(B "looked-at"), NULL), 1);
    assert_int_equal(settle(), 0);
    assert_true(has_attributes(B "looked-at"));
}

static void check_waits(const char *what, int (*use)(const char *uri))
{
    char uri[100];

    snprintf(uri, sizeof uri, B "waits/%s", what);
    core_run_faults(NULL);
    core_run_faults(SLOWLY " key=waits/*");
    assert_int_equal(put(uri, "text"), 1);
    if (use(uri) < 0)
        fail_msg("%s", what);
    if (!s3dlio_is_settled())
        fail_msg("%s did not wait", what);
    assert_int_equal(settle(), 0);
}

static int read_it(const char *uri)
{
    struct s3dlio_reader *reader = core_run_open_reader(uri);
    char text[8] = "";
    ssize_t r = s3dlio_reader_pread(reader, text, sizeof text, 0, NULL, NULL);

    s3dlio_reader_close(reader);
    return r == 4 && !strcmp(text, "text") ? 0 : -1;
}

static int get_it(const char *uri)
{
    return core_run_holds(uri, "text") ? 0 : -1;
}

static int get_many(const char *uri)
{
    struct s3dlio_get_item item = {.uri = uri};
    int r = s3dlio_get_many(&item, 1, NULL, NULL);

    s3dlio_free(item.data);
    return r;
}

static int rename_it(const char *uri)
{
    int r = s3dlio_rename(uri, B "renamed", 0, NULL, NULL);

    return r < 0 || !core_run_holds(B "renamed", "text") ? -1 : 0;
}

static int rename_onto_it(const char *uri)
{
    core_run_put_text(B "other", "other");
    int r = s3dlio_rename(B "other", uri, 0, NULL, NULL);

    return r < 0 || !core_run_holds(uri, "other") ? -1 : 0;
}

static int rename_above(const char *uri)
{
    int r = s3dlio_rename(B "waits", B "moved", 0, NULL, NULL);

    return r < 0 || !core_run_holds(B "moved/rename-above", "text") ? -1 : 0;
}

static int unlink_it(const char *uri)
{
    int r = s3dlio_unlink(uri, NULL, NULL);

    return r < 0 || !core_run_holds(uri, NULL) ? -1 : 0;
}

static int unlink_soon(const char *uri)
{
    int r = s3dlio_unlink_soon(uri, NULL, NULL);

    return r < 0 || !core_run_holds(uri, NULL) ? -1 : 0;
}

static int change_mode(const char *uri)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    int r = s3dlio_set_attr(uri, &attr, NULL, NULL, NULL);

    return r < 0 || s3dlio_stat(uri, NULL, &attr, NULL) < 0 || attr.mode != 0600 ? -1 : 0;
}

static int copy_it(const char *uri)
{
    return s3dlio_copy(uri, B "copied", NULL, NULL);
}

static int append_to_it(const char *uri)
{
    return end(begin(uri, S3DLIO_WRITE_APPEND), "more") < 0 || !core_run_holds(uri, "textmore") ? -1
                                                                                               : 0;
}

static int draft_it(const char *uri)
{
    struct s3dlio_draft *draft = core_run_open_draft(uri, S3DLIO_DRAFT_KEEP, NULL);

    core_run_write_at(draft, "T", 0);
    return s3dlio_draft_close(draft, NULL, NULL) < 0 || !core_run_holds(uri, "Text") ? -1 : 0;
}

/* Opened before, published after. */
static int put_it(const char *uri)
{
    return s3dlio_put(uri, "other", 5, NULL, NULL, NULL, NULL);
}

static int list_it(const char *uri)
{
    struct s3dlio_entry entry;
    struct s3dlio_list *list;
    bool found = false;

    if (s3dlio_list_open(B "waits", 0, NULL, &list, NULL) < 0)
        return -1;
    while (s3dlio_list_next(list, &entry, NULL) > 0)
        found = found || !strcmp(entry.name, "list");
    s3dlio_list_close(list);
    return found ? 0 : -1;
}

static int list_again(const char *uri)
{
    struct s3dlio_list *list;
    int r;

    core_run_faults(NULL);
    if (s3dlio_list_open(B "waits", 0, NULL, &list, NULL) < 0)
        return -1;
    core_run_faults(SLOWLY);
    r = put(uri, "once more");
    r = r < 0 ? r : s3dlio_list_rewind(list, NULL);
    s3dlio_list_close(list);
    return r;
}

static int remove_directory(const char *uri)
{
    return s3dlio_rmdir(B "waits", NULL, NULL) == -ENOTEMPTY ? 0 : -1;
}

static int sync_it(const char *uri)
{
    return s3dlio_sync(NULL, NULL);
}

/* A file where a directory would have to be. */
static int look_below(const char *uri)
{
    char below[100];

    snprintf(below, sizeof below, "%s/sub/name", uri);
    return stat_size(below) == -ENOTDIR ? 0 : -1;
}

static void test_what_waits(void **state)
{
    check_waits("read", read_it);
    check_waits("get", get_it);
    check_waits("get-many", get_many);
    check_waits("rename", rename_it);
    check_waits("rename-onto", rename_onto_it);
    check_waits("unlink", unlink_it);
    check_waits("unlink-soon", unlink_soon);
    check_waits("set-attr", change_mode);
    check_waits("copy", copy_it);
    check_waits("append", append_to_it);
    check_waits("draft", draft_it);
    check_waits("put", put_it);
    check_waits("list", list_it);
    check_waits("list-again", list_again);
    check_waits("rmdir", remove_directory);
    check_waits("sync", sync_it);
    check_waits("look-below", look_below);
    check_waits("rename-above", rename_above);
}

static bool others_do_not_wait(void)
{
    struct s3dlio_reader *reader;

    core_run_put_text(B "beside", "x");
    if (put(B "never", "x") != 1)
        return false;
    reader = core_run_open_reader(B "beside");
    s3dlio_reader_close(reader);
    core_run_put_text(B "beside", "y");
    return core_run_holds(B "beside", "y") && !s3dlio_is_settled();
}

static void test_other_names_do_not_wait(void **state)
{
    with_a_put_that_never_ends(others_do_not_wait);
}

static void test_the_last_one_closed_counts(void **state)
{
    core_run_faults("op=PutObject nth=1 count=1 delay=300");
    assert_int_equal(put(B "twice", "first"), 1);
    assert_int_equal(put(B "twice", "second"), 1);
    assert_int_equal(settle(), 0);
    assert_true(core_run_holds(B "twice", "second"));
    core_run_faults(NULL);
    core_run_faults("op=PutObject nth=1 count=1 delay=300");
    struct s3dlio_writer *writer = begin(B "twice", 0);
    assert_int_equal(put(B "twice", "third"), 1);
    assert_int_equal(s3dlio_writer_write(writer, "last", 4, NULL), 4);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(s3dlio_is_settled());
    assert_true(core_run_holds(B "twice", "last"));
}

static void test_only_so_many(void **state)
{
    struct deferred *deferred = &core_run_engine()->deferred;
    char uri[100];

    core_run_faults("op=PutObject delay=50");
    for (unsigned i = 0; i < 60; i++) {
        snprintf(uri, sizeof uri, B "many/%u", i);
        assert_int_equal(put(uri, uri), 1);
        assert_in_range(atomic_load(&deferred->count), 0, 8);
    }
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_requests(), 60);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(uri, sizeof uri, B "many/%u", i);
        assert_true(core_run_holds(uri, uri));
    }
    core_run_check_released();
}

static int put_pattern(const char *uri, size_t length)
{
    struct s3dlio_writer *writer = begin(uri, 0);

    core_run_stream(writer, 0, length, MIB);
    return s3dlio_writer_close_soon(writer, NULL);
}

/* A quarter of 64 MiB. */
static void test_only_so_many_bytes(void **state)
{
    struct core_run_scope scope;
    char uri[100];

    core_run_faults("op=PutObject delay=50");
    for (unsigned i = 0; i < 12; i++) {
        uint64_t bytes;

        snprintf(uri, sizeof uri, B "large/%u", i);
        assert_int_equal(put_pattern(uri, 4 * MIB), 1);
        core_run_enter(&scope);
        shard_lock(core_run_engine()->shards[0]);
        bytes = core_run_engine()->deferred.bytes;
        shard_unlock(core_run_engine()->shards[0]);
        core_run_leave(&scope);
        assert_in_range(bytes, 0, 16 * MIB);
    }
    assert_int_equal(settle(), 0);
    core_run_check_object(B "large/7", 4 * MIB, "", 0);
    core_run_check_released();
}

static void check_waited(int result)
{
    assert_int_equal(result, 0);
    assert_true(s3dlio_is_settled());
}

/* An empty file is one request, too. */
static void test_what_is_deferred(void **state)
{
    core_run_put_text(B "old", "old");
    core_run_faults("op=PutObject delay=20");
    assert_int_equal(put(B "empty", ""), 1);
    assert_int_equal(put(B "old", "new"), 1);
    assert_int_equal(end(begin(B "old", S3DLIO_WRITE_EMPTIES), "newer"), 1);
    assert_int_equal(end(begin(B "exclusive", S3DLIO_WRITE_EXCLUSIVE), "x"), 1);
    assert_int_equal(put_pattern(B "one-part", 5 * MIB), 1);
    assert_int_equal(settle(), 0);
    assert_true(core_run_holds(B "empty", ""));
    assert_true(core_run_holds(B "old", "newer"));
    assert_true(core_run_holds(B "exclusive", "x"));
    core_run_check_object(B "one-part", 5 * MIB, "", 0);
}

static void test_what_is_not(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_reader *reader;
    char text[4] = "";

    core_run_put_text(B "kept", "ol");
    core_run_faults("op=PutObject delay=20");
    check_waited(end(begin(B "kept", S3DLIO_WRITE_APPEND), "d"));
    check_waited(put_pattern(B "two-parts", 5 * MIB + 1));
    reader = core_run_open_reader(B "kept");
    check_waited(put(B "kept", "new"));
    assert_int_equal(s3dlio_reader_pread(reader, text, 3, 0, NULL, NULL), 3);
    assert_string_equal(text, "old");
    s3dlio_reader_close(reader);
    writer = begin(B "published", 0);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    core_run_reset_counts();
    check_waited(s3dlio_writer_close_soon(writer, NULL));
    assert_int_equal(core_run_requests(), 0);
}

/* What killed processes have left is found out by looking. */
static void check_table_is_empty(void)
{
    struct s3dlio_list *list;

    assert_int_equal(s3dlio_list_open(B, 0, NULL, &list, NULL), 0); /* waits for all */
    s3dlio_list_close(list);
    assert_false(deferred_table_any(core_run_engine()->deferred.table));
}

static void test_no_seat(void **state)
{
    struct deferred_table *table = core_run_engine()->deferred.table;
    struct core_run_scope scope;
    struct attr attr = {.type = ATTR_FILE};
    struct deferred_name name;
    struct uri uri;
    unsigned seats[64], count = 0;

    core_run_enter(&scope);
    assert_int_equal(uri_parse(B "crowded", &uri), 0);
    deferred_name_of(core_run_store(), &uri, &name);
    while (count < 64 && (seats[count] = deferred_table_enter(table, &name, &attr, CLOCK_NEVER)))
        count++;
    core_run_leave(&scope);
    assert_in_range(count, 1, 63);
    check_waited(put(B "crowded", "x"));
    while (count--)
        deferred_table_leave(table, seats[count]);
    check_table_is_empty();
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void test_a_failure_is_told(void **state)
{
    struct s3dlio_error error = {0};
    struct s3dlio_reader *reader;

    core_run_faults("op=PutObject key=lost fail=access");
    assert_int_equal(put(B "lost", "x"), 1);
    assert_int_equal(put(B "found", "x"), 1);
    assert_int_equal(s3dlio_settle(NULL, &error), -EACCES);
    assert_non_null(strstr(error.message, "lost"));
    assert_int_equal(s3dlio_sync(NULL, &error), -EACCES);
    assert_int_equal(stat_size(B "found"), 1);
    error = (struct s3dlio_error){0};
    assert_int_equal(s3dlio_reader_open(B "lost", NULL, &reader, &error), -EACCES);
    assert_non_null(strstr(error.message, "lost"));
    assert_int_equal(stat_size(B "lost"), -ENOENT);
    assert_int_equal(settle(), -EACCES);
    forgive(B "lost");
    core_run_check_released();
}

static void test_writing_it_again_makes_it_good(void **state)
{
    core_run_faults("op=PutObject key=again nth=1 count=2 fail=access");
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(put(B "again", "x"), 1);
        assert_int_equal(settle(), -EACCES);
        assert_int_equal(stat_size(B "again"), -EACCES);
    }
    assert_int_equal(put(B "again", "stored"), 1);
    assert_int_equal(settle(), 0);
    assert_true(core_run_holds(B "again", "stored"));
}

static void test_many_failures(void **state)
{
    char uri[100];

    core_run_faults("op=PutObject key=fails/* fail=access");
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(uri, sizeof uri, B "fails/%u", i);
        assert_int_equal(put(uri, "x"), 1);
    }
    assert_int_equal(settle(), -EACCES);
    assert_int_equal(stat_size(B "fails/1199"), -EACCES);
    core_run_faults(NULL);
    for (unsigned i = 0; i < 1200; i++) {
        snprintf(uri, sizeof uri, B "fails/%u", i);
        stat_size(uri); /* tells it */
        core_run_put_text(uri, "x");
    }
    assert_int_equal(settle(), -EACCES); /* some names were too many to be remembered */
    core_run_engine()->deferred.first_failure.class = ERROR_NONE;
    atomic_store(&core_run_engine()->deferred.failed, 0);
    assert_int_equal(settle(), 0);
}

static void test_it_is_repeated(void **state)
{
    core_run_faults("op=PutObject key=repeated nth=1 count=2 fail=server");
    assert_int_equal(put(B "repeated", "x"), 1);
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_count(STORE_PUT), 3);
    assert_true(core_run_holds(B "repeated", "x"));
}

static void test_a_lost_answer(void **state)
{
    core_run_faults("op=PutObject key=answered nth=1 count=1 lose");
    assert_int_equal(
        end(begin(B "answered", S3DLIO_WRITE_EXCLUSIVE | S3DLIO_WRITE_SOUGHT), "mine"), 1);
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_true(core_run_holds(B "answered", "mine"));
}

static void test_no_answer_at_all(void **state)
{
    core_run_faults("op=PutObject key=unanswered fail=server");
    assert_int_equal(put(B "unanswered", "x"), 1);
    assert_int_equal(settle(), -EIO);
    forgive(B "unanswered");
}

static void test_somebody_was_quicker(void **state)
{
    struct s3dlio_writer *writer = begin(B "quick", S3DLIO_WRITE_EXCLUSIVE);

    core_run_plant(B "quick", NULL);
    assert_int_equal(end(writer, "late"), 1);
    assert_int_equal(settle(), -EEXIST);
    assert_int_equal(stat_size(B "quick"), -EEXIST);
    assert_int_equal(stat_size(B "quick"), 1);
    forgive(B "quick");
}

static void test_a_store_without_conditions(void **state)
{
    struct s3dlio_writer *writer = begin(B "plain-taken", S3DLIO_WRITE_EXCLUSIVE);

    core_run_plant(B "plain-taken", NULL);
    core_run_faults("op=PutObject key=plain* nth=1 count=2 fail=unsupported");
    assert_int_equal(end(writer, "late"), 1);
    assert_int_equal(settle(), -EEXIST);
    assert_int_equal(end(begin(B "plain", S3DLIO_WRITE_EXCLUSIVE), "mine"), 1);
    assert_int_equal(settle(), -EEXIST);
    assert_true(core_run_holds(B "plain", "mine"));
    assert_false(core_run_store()->capabilities & STORE_CAP_IF_NONE_MATCH);
    forgive(B "plain-taken");
    core_run_clear(NULL);
}

static void test_fewer_where_the_store_asks_for_it(void **state)
{
    struct deferred *deferred = &core_run_engine()->deferred;
    char uri[100];

    core_run_faults("op=PutObject key=slow/* nth=1 count=3 fail=throttled");
    for (unsigned i = 0; i < 3; i++) {
        snprintf(uri, sizeof uri, B "slow/%u", i);
        assert_int_equal(put(uri, "x"), 1);
    }
    assert_int_equal(settle(), 0);
    assert_in_range(deferred->places, 1, 7);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(uri, sizeof uri, B "slow/%u", i);
        assert_int_equal(put(uri, "x"), 1);
    }
    assert_int_equal(settle(), 0);
    assert_int_equal(deferred->places, 8);
}

static bool what_takes_too_long_counts_as_failed(void)
{
    struct s3dlio_call call = {.timeout_ms = 1};
    struct s3dlio_error error = {0};
    int r;

    if (put(B "never", "x") != 1)
        return false;
    r = s3dlio_settle(&call, &error);
    return r < 0 && r == s3dlio_sync(&call, &error) && !s3dlio_is_settled();
}

static void test_what_takes_too_long(void **state)
{
    with_a_put_that_never_ends(what_takes_too_long_counts_as_failed);
}

/* ---- threads and processes ------------------------------------------------------------------- */

#define THREADS 4
#define FILES   50

static void *put_files(void *arg)
{
    char uri[100];
    intptr_t failed = 0;

    for (unsigned i = 0; i < FILES; i++) {
        snprintf(uri, sizeof uri, B "threads/%s-%u", (char *)arg, i);
        failed += put(uri, uri) < 0;
        failed += stat_size(uri) != (int)strlen(uri);
        failed += i % 10 == 0 && !core_run_holds(uri, uri);
    }
    return (void *)failed;
}

static void test_threads(void **state)
{
    static char *names[THREADS] = {"a", "b", "c", "d"};
    pthread_t threads[THREADS];
    void *failed;

    core_run_faults("op=PutObject p=50 delay=5");
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_files, names[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(settle(), 0);
    assert_int_equal(core_run_count(STORE_PUT), THREADS * FILES);
    core_run_check_released();
}

static void test_fork_waits(void **state)
{
    pid_t child;

    core_run_faults("op=PutObject delay=300");
    assert_int_equal(put(B "forked", "parent's"), 1);
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
    char rule[64];

    if (child != 0) {
        wait_for_step(shared, 1);
        return child;
    }
    snprintf(rule, sizeof rule, "op=PutObject delay=%u", delay_ms);
    core_run_faults(rule);
    if (s3dlio_writer_close_soon(begin_with_attributes(uri), NULL) != 1)
        _exit(1);
    atomic_store(&shared->step, 1);
    wait_for_step(shared, 2);
    _exit(settle() != 0);
}

static void test_another_process_sees_it(void **state)
{
    struct shared *shared = share();
    pid_t child;

    mtime_s = -1000;
    child = close_in_child(shared, B "theirs", 600000);
    assert_true(has_attributes(B "theirs"));
    assert_int_equal(stat_size(B "not-theirs"), -ENOENT);
    core_run_put_text(B "ours", "x"); /* others' puts are in the way of their own names only */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(stat_size(B "theirs"), -ENOENT);
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

    check_table_is_empty();
    child = close_in_child(waiting.shared, B "theirs", 500);

    core_run_delete_elsewhere(B "theirs");
    assert_int_equal(pthread_create(&thread, NULL, open_it, &waiting), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(stat_size(B "theirs"), -ENOENT); /* nothing is on its way there */
    assert_int_equal(waiting.r, -ENOENT); /* of this process's own store */
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
        assert_true(put(B "theirs", "x") >= 0);
    assert_int_equal(settle(), 0);
    check_table_is_empty();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_close_does_not_wait, core_run_clear),
        cmocka_unit_test_setup(test_nobody_has_to_call, core_run_clear),
        cmocka_unit_test_setup(test_stat_answers_meanwhile, core_run_clear),
        cmocka_unit_test_setup(test_what_waits, core_run_clear),
        cmocka_unit_test_setup(test_other_names_do_not_wait, core_run_clear),
        cmocka_unit_test_setup(test_the_last_one_closed_counts, core_run_clear),
        cmocka_unit_test_setup(test_only_so_many, core_run_clear),
        cmocka_unit_test_setup(test_only_so_many_bytes, core_run_clear),
        cmocka_unit_test_setup(test_what_is_deferred, core_run_clear),
        cmocka_unit_test_setup(test_what_is_not, core_run_clear),
        cmocka_unit_test_setup(test_no_seat, core_run_clear),
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
        cmocka_unit_test_setup(test_threads, core_run_clear),
        cmocka_unit_test_setup(test_fork_waits, core_run_clear),
        cmocka_unit_test_setup(test_another_process_sees_it, core_run_clear),
        cmocka_unit_test_setup(test_another_process_waits_for_it, core_run_clear),
        cmocka_unit_test_setup(test_another_process_is_killed_meanwhile, core_run_clear),
        cmocka_unit_test_setup(test_a_seat_of_the_dead_is_taken, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
