/* core/deferred.h: puts that close does not wait for, what waits for them, and which they are. */
#include "deferred_run.h"

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

#define SLOWLY "op=PutObject delay=300"

static bool closing_returns(void)
{
    uint64_t before = core_run_requests();

    return deferred_run_put(B "never", "some text") == 1 && !s3dlio_is_settled() &&
           core_run_requests() == before + 1;
}

static void test_close_does_not_wait(void **state)
{
    deferred_run_with_a_put_that_never_ends(closing_returns);
    core_run_faults("op=PutObject delay=50");
    assert_int_equal(deferred_run_put(B "early", "some text"), 1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(s3dlio_is_settled());
    assert_int_equal(core_run_requests(), 1);
    assert_true(core_run_holds(B "early", "some text"));
    core_run_check_released();
}

static void test_nobody_has_to_call(void **state)
{
    core_run_faults("op=PutObject delay=50");
    assert_int_equal(deferred_run_put(B "alone", "x"), 1);
    for (unsigned i = 0; i < 6000 && !s3dlio_is_settled(); i++)
        usleep(10000);
    assert_true(s3dlio_is_settled());
}

static bool looking_does_not_wait(void)
{
    uint64_t before;

    if (s3dlio_writer_close_soon(deferred_run_begin_with_attributes(B "never"), NULL) != 1)
        return false;
    before = core_run_requests();
    return deferred_run_has_attributes(B "never") && core_run_requests() == before &&
           !s3dlio_is_settled();
}

static void test_stat_answers_meanwhile(void **state)
{
    deferred_run_with_a_put_that_never_ends(looking_does_not_wait);
    assert_int_equal(
        s3dlio_writer_close_soon(deferred_run_begin_with_attributes(B "looked-at"), NULL), 1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(deferred_run_has_attributes(B "looked-at"));
}

static void check_waits(const char *what, int (*use)(const char *uri))
{
    char uri[100];

    snprintf(uri, sizeof uri, B "waits/%s", what);
    core_run_faults(NULL);
    core_run_faults(SLOWLY " key=waits/*");
    assert_int_equal(deferred_run_put(uri, "text"), 1);
    if (use(uri) < 0)
        fail_msg("%s", what);
    if (!s3dlio_is_settled())
        fail_msg("%s did not wait", what);
    assert_int_equal(deferred_run_settle(), 0);
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

static int copy_it(const char *uri)
{
    return s3dlio_copy(uri, B "copied", NULL, NULL);
}

static int append_to_it(const char *uri)
{
    return deferred_run_end(deferred_run_begin(uri, S3DLIO_WRITE_APPEND), "more") < 0 ||
                   !core_run_holds(uri, "textmore")
               ? -1
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
    r = deferred_run_put(uri, "once more");
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
    return deferred_run_stat_size(below) == -ENOTDIR ? 0 : -1;
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
    if (deferred_run_put(B "never", "x") != 1)
        return false;
    reader = core_run_open_reader(B "beside");
    s3dlio_reader_close(reader);
    core_run_put_text(B "beside", "y");
    return core_run_holds(B "beside", "y") && !s3dlio_is_settled();
}

static void test_other_names_do_not_wait(void **state)
{
    deferred_run_with_a_put_that_never_ends(others_do_not_wait);
}

static void test_the_last_one_closed_counts(void **state)
{
    core_run_faults("op=PutObject nth=1 count=1 delay=300");
    assert_int_equal(deferred_run_put(B "twice", "first"), 1);
    assert_int_equal(deferred_run_put(B "twice", "second"), 1);
    assert_int_equal(deferred_run_settle(), 0);
    assert_true(core_run_holds(B "twice", "second"));
    core_run_faults(NULL);
    core_run_faults("op=PutObject nth=1 count=1 delay=300");
    struct s3dlio_writer *writer = deferred_run_begin(B "twice", 0);
    assert_int_equal(deferred_run_put(B "twice", "third"), 1);
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
        assert_int_equal(deferred_run_put(uri, uri), 1);
        assert_in_range(atomic_load(&deferred->count), 0, 8);
    }
    assert_int_equal(deferred_run_settle(), 0);
    assert_int_equal(core_run_requests(), 60);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(uri, sizeof uri, B "many/%u", i);
        assert_true(core_run_holds(uri, uri));
    }
    core_run_check_released();
}

static int put_pattern(const char *uri, size_t length)
{
    struct s3dlio_writer *writer = deferred_run_begin(uri, 0);

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
    assert_int_equal(deferred_run_settle(), 0);
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
    assert_int_equal(deferred_run_put(B "empty", ""), 1);
    assert_int_equal(deferred_run_put(B "old", "new"), 1);
    assert_int_equal(deferred_run_end(deferred_run_begin(B "old", S3DLIO_WRITE_EMPTIES), "newer"),
                     1);
    assert_int_equal(
        deferred_run_end(deferred_run_begin(B "exclusive", S3DLIO_WRITE_EXCLUSIVE), "x"), 1);
    assert_int_equal(put_pattern(B "one-part", 5 * MIB), 1);
    assert_int_equal(deferred_run_settle(), 0);
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
    check_waited(deferred_run_end(deferred_run_begin(B "kept", S3DLIO_WRITE_APPEND), "d"));
    check_waited(put_pattern(B "two-parts", 5 * MIB + 1));
    reader = core_run_open_reader(B "kept");
    check_waited(deferred_run_put(B "kept", "new"));
    assert_int_equal(s3dlio_reader_pread(reader, text, 3, 0, NULL, NULL), 3);
    assert_string_equal(text, "old");
    s3dlio_reader_close(reader);
    writer = deferred_run_begin(B "published", 0);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    core_run_reset_counts();
    check_waited(s3dlio_writer_close_soon(writer, NULL));
    assert_int_equal(core_run_requests(), 0);
}

/* What killed processes have left is found out by looking. */
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
    check_waited(deferred_run_put(B "crowded", "x"));
    while (count--)
        deferred_table_leave(table, seats[count]);
    deferred_run_check_table_is_empty();
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
    };

    return cmocka_run_group_tests(tests, deferred_run_set_up, NULL);
}
