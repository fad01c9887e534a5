/* core/reader_registry.h, core/reader_keep.h: what this process does to an object leaves those of
 * its readers alone that have it open, for no more requests than that takes. */
#include "reader_keep_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEDIUM_BYTES (600 * KIB + 7) /* its copy is in memory */
#define SMALL_BYTES  5000
#define HUGE_BYTES   (20 * MIB) /* more than the spool has room for */

/* ---- every change, wherever the reader stands ------------------------------------------------ */

static void do_delete(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_delete(NAME, NULL, &error), &error);
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

    core_run_must(s3dlio_put(uri, data, size, NULL, NULL, NULL, &error), &error);
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

    core_run_must(s3dlio_put_many(items, 2, NULL, &error), &error);
    free(data);
}

static void do_write(void)
{
    void *data = other_bytes(HUGE_BYTES);
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_must(s3dlio_writer_open(NAME, NULL, NULL, &writer, &error), &error);
    assert_int_equal(s3dlio_writer_write(writer, data, HUGE_BYTES, &error), HUGE_BYTES);
    core_run_must(s3dlio_writer_close(writer, NULL, &error), &error);
    assert_true(core_run_count(STORE_UPLOAD_COMPLETE) > 0);
    free(data);
}

static void do_publish(void)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;

    core_run_must(s3dlio_draft_open(NAME, NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, &error), &error);
    assert_int_equal(s3dlio_draft_pwrite(draft, "changed", 7, 1000, &error), 7);
    core_run_must(s3dlio_draft_publish(draft, NULL, &error), &error);
    core_run_must(s3dlio_draft_truncate(draft, 100, &error), &error);
    core_run_must(s3dlio_draft_close(draft, NULL, &error), &error);
}

static void do_rename(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_rename(NAME, OTHER, 0, NULL, &error), &error);
}

static void do_rename_there_and_back(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_rename(NAME, OTHER, 0, NULL, &error), &error);
    core_run_must(s3dlio_rename(OTHER, NAME, 0, NULL, &error), &error);
}

static void do_rename_over(void)
{
    struct s3dlio_error error;

    put_other(OTHER, LARGE_BYTES);
    core_run_must(s3dlio_rename(OTHER, NAME, 0, NULL, &error), &error);
}

static void do_rename_directory(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_rename("fault://keep/dir", "fault://keep/moved", 0, NULL, &error), &error);
    core_run_must(s3dlio_rename("fault://keep/moved", "fault://keep/again", 0, NULL, &error),
                  &error);
    core_run_must(s3dlio_delete("fault://keep/again/object", NULL, &error), &error);
}

static void do_rename_and_unlink(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_rename(NAME, OTHER, 0, NULL, &error), &error);
    core_run_must(s3dlio_unlink(OTHER, NULL, &error), &error);
}

static void do_copy_over(void)
{
    struct s3dlio_error error;

    put_other(OTHER, LARGE_BYTES);
    core_run_must(s3dlio_copy(OTHER, NAME, NULL, &error), &error);
}

static void do_chmod(void)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    struct s3dlio_error error;

    core_run_must(s3dlio_set_attr(NAME, &attr, NULL, NULL, &error), &error);
}

static void do_setxattr(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_setxattr(NAME, "user.a", "b", 1, 0, NULL, &error), &error);
    core_run_must(s3dlio_unlink(NAME, NULL, &error), &error);
}

static const struct change {
    const char *name;
    void (*make)(void);
    bool moves; /* the object stays: nothing is fetched */
} changes[] = {
    {"unlink", reader_keep_unlink, false},
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
        reader_keep_check(reader, size / 20, at);
}

static void at_the_end(struct s3dlio_reader *reader, size_t size)
{
    reader_keep_all(reader, size);
}

static void here_and_there(struct s3dlio_reader *reader, size_t size)
{
    for (size_t i = 0; i < 10; i++)
        reader_keep_check(reader, 100, i * 7919 * 13 % (size - 100));
}

static void (*const positions[])(struct s3dlio_reader *, size_t) = {at_start, in_the_middle,
                                                                    at_the_end, here_and_there};

static void try_all(size_t size, const char *faults)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (size_t j = 0; j < sizeof positions / sizeof *positions; j++) {
            struct s3dlio_reader *readers[3];

            reader_keep_clear(NULL);
            core_run_put(NAME, size);
            for (size_t k = 0; k < 3; k++)
                readers[k] = core_run_open_reader(NAME);
            if (faults)
                core_run_faults(faults);
            positions[j](readers[0], size);
            core_run_reset_counts();
            changes[i].make();
            for (size_t k = 0; k < 3; k++) {
                if (k == 1) /* a second one of that version costs nothing more */
                    core_run_reset_counts();
                if (k == 0)
                    reader_keep_all(readers[k], size);
                else
                    reader_keep_check(readers[k], size, 0);
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

    core_run_must(s3dlio_mkdir("file://b", NULL, NULL, &error), &error);
    core_run_put(names[0], LARGE_BYTES);
    readers[0] = core_run_open_reader(names[0]);
    core_run_must(s3dlio_rename(names[0], names[1], 0, NULL, &error), &error);
    core_run_must(s3dlio_rename("file://b/d", "file://b/e", 0, NULL, &error), &error);
    reader_keep_all(readers[0], LARGE_BYTES);
    readers[1] = core_run_open_reader(names[2]);
    put_other("file://b/other", 10);
    core_run_must(s3dlio_rename("file://b/other", names[2], 0, NULL, &error), &error);
    core_run_must(s3dlio_unlink(names[2], NULL, &error), &error);
    for (size_t i = 0; i < 2; i++) {
        reader_keep_all(readers[i], LARGE_BYTES);
        s3dlio_reader_close(readers[i]);
    }
}

/* ---- what it costs --------------------------------------------------------------------------- */

static void test_small_costs_nothing(void **state)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct s3dlio_reader *reader;

        reader_keep_clear(NULL);
        core_run_put(NAME, SMALL_BYTES);
        reader = core_run_open_reader(NAME);
        core_run_reset_counts();
        changes[i].make();
        if (changes[i].make != do_publish) /* which reads what it changes */
            assert_int_equal(core_run_count(STORE_GET), 0);
        reader_keep_all(reader, SMALL_BYTES);
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
    received = stats_read(&engine_stats(core_run_engine())->counters[STATS_BYTES_RECEIVED]);
    reader = core_run_open_reader(NAME);
    reader_keep_check(reader, 1000, 4 * MIB); /* a block */
    reader_keep_unlink();
    received = stats_read(&engine_stats(core_run_engine())->counters[STATS_BYTES_RECEIVED]) - received;
    assert_int_equal(received, LARGE_BYTES);
    core_run_reset_counts();
    reader_keep_all(reader, LARGE_BYTES);
    assert_int_equal(core_run_count(STORE_GET), 0);
    s3dlio_reader_close(reader);
}

static void test_closed_readers_cost_nothing(void **state)
{
    core_run_put(NAME, LARGE_BYTES);
    s3dlio_reader_close(core_run_open_reader(NAME));
    core_run_reset_counts();
    reader_keep_unlink();
    assert_int_equal(core_run_count(STORE_GET), 0);
}

static void test_readers_of_other_objects_cost_nothing(void **state)
{
    struct s3dlio_reader *reader;

    core_run_put(NAME, LARGE_BYTES);
    core_run_put(NAME "-longer", LARGE_BYTES);
    reader = core_run_open_reader(NAME "-longer");
    core_run_reset_counts();
    do_rename();
    core_run_put(NAME, 10);
    reader_keep_unlink();
    assert_int_equal(core_run_count(STORE_GET), 0);
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
    s3dlio_delete(NAME "-longer", NULL, NULL);
}

/* Parts that stay are copied by the store; nothing is fetched for the sake of the draft's own
 * reader. */
static void test_a_draft_does_not_keep_its_own_base(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;
    unsigned char byte;

    core_run_put(NAME, HUGE_BYTES);
    core_run_must(s3dlio_draft_open(NAME, NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, &error), &error);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 0, &error), 1); /* so it has a reader */
    assert_int_equal(s3dlio_draft_pwrite(draft, "x", 1, HUGE_BYTES, &error), 1);
    core_run_reset_counts();
    core_run_must(s3dlio_draft_publish(draft, NULL, &error), &error);
    assert_true(core_run_count(STORE_GET) <= 2); /* the part that the new byte is in */
    core_run_must(s3dlio_draft_close(draft, NULL, &error), &error);
}

/* ---- when it cannot be ----------------------------------------------------------------------- */

static void test_no_room(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    core_run_put(NAME, HUGE_BYTES);
    reader = core_run_open_reader(NAME);
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
    reader_keep_all(reader, HUGE_BYTES);
    s3dlio_reader_close(reader);
    reader = core_run_open_reader(NAME);
    reader_keep_check(reader, HUGE_BYTES, 0);
    s3dlio_reader_close(reader);
    reader_keep_unlink();
}

static void test_store_fails(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
    core_run_faults("op=GetObject fail=server");
    assert_int_equal(s3dlio_unlink(NAME, NULL, &error), -EIO);
    assert_int_equal(core_run_count(STORE_DELETE), 0);
    core_run_faults(NULL);
    reader_keep_unlink();
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

/* Another process was first: there is nothing left to be kept, and no reason to refuse. */
static void test_gone_already(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;
    unsigned char byte;

    core_run_put(NAME, LARGE_BYTES);
    reader = core_run_open_reader(NAME);
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
    reader = core_run_open_reader(NAME);
    core_run_faults("op=DeleteObject fail=access");
    assert_int_equal(s3dlio_unlink(NAME, NULL, &error), -EACCES);
    assert_int_equal(s3dlio_rename(NAME, OTHER, 0, NULL, &error), -EACCES);
    core_run_faults(NULL);
    core_run_faults("op=CopyObject fail=access");
    assert_int_equal(s3dlio_rename(NAME, OTHER, 0, NULL, &error), -EACCES);
    reader_keep_all(reader, LARGE_BYTES);
    s3dlio_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_change, reader_keep_clear),
        cmocka_unit_test_setup(test_every_change_on_a_slow_store, reader_keep_clear),
        cmocka_unit_test_setup(test_every_change_of_small_objects, reader_keep_clear),
        cmocka_unit_test_setup(test_a_store_that_renames, reader_keep_clear),
        cmocka_unit_test_setup(test_small_costs_nothing, reader_keep_clear),
        cmocka_unit_test_setup(test_only_the_rest_is_fetched, reader_keep_clear),
        cmocka_unit_test_setup(test_closed_readers_cost_nothing, reader_keep_clear),
        cmocka_unit_test_setup(test_readers_of_other_objects_cost_nothing, reader_keep_clear),
        cmocka_unit_test_setup(test_a_draft_does_not_keep_its_own_base, reader_keep_clear),
        cmocka_unit_test_setup(test_no_room, reader_keep_clear),
        cmocka_unit_test_setup(test_store_fails, reader_keep_clear),
        cmocka_unit_test_setup(test_gone_already, reader_keep_clear),
        cmocka_unit_test_setup(test_failed_request_leaves_all_as_it_was, reader_keep_clear),
        cmocka_unit_test_setup(reader_keep_nothing_left, reader_keep_clear),
    };

    return cmocka_run_group_tests(tests, reader_keep_set_up, core_run_remove_file_root);
}
