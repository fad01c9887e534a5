/* core/writer.h: streams that take another name, before their first part and after. Whatever is at
 * the store is whole after every request; the old name is free when the call returns. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define B    "fault://restream/"
#define OLD  B "old.bin"
#define NEW  B "new.bin"
#define PART (8 * MIB)
#define FEW  (3 * PART + 5)
#define MANY (12 * PART + 5) /* more than is sent once more, or kept in memory */

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_MEMORY_BUDGET=160M");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=2");
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_make_bucket("restream");
    return 0;
}

static int clear(void **state)
{
    return core_run_clear_objects(OLD, NEW);
}

static struct s3dlio_writer *open_writer(unsigned flags, size_t from, size_t to)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;

    assert_int_equal(s3dlio_writer_open(OLD, &options, NULL, &writer, NULL), 0);
    core_run_stream(writer, from, to, MIB);
    return writer;
}

static int rename_to(struct s3dlio_writer *writer, const char *uri, unsigned flags)
{
    return s3dlio_writer_rename(writer, uri, flags, NULL, NULL);
}

static void check_nothing_left(void)
{
    core_run_check_released();
    assert_int_equal(core_run_uploads_left("restream"), 0);
}

/* ---- before the first part ------------------------------------------------------------------- */

static void test_unsent_costs_no_copy(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, 1000);

    core_run_put_text(NEW, "replaced");
    core_run_reset_counts();
    assert_int_equal(rename_to(writer, OLD, 0), 0);
    assert_int_equal(rename_to(writer, NEW, S3DLIO_RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_to(writer, B "none/x", 0), -ENOENT);
    assert_int_equal(rename_to(writer, B, 0), -EBUSY);
    assert_int_equal(rename_to(writer, "mem://restream/x", 0), -EXDEV);
    assert_int_equal(rename_to(writer, NEW, 8), -EINVAL);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_int_equal(core_run_changes(), 0);
    assert_true(core_run_holds(NEW, "replaced"));
    core_run_stream(writer, 1000, 2000, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(core_run_changes(), 1);
    assert_true(core_run_holds(OLD, NULL));
    core_run_check_object(NEW, 2000, "", 0);
    check_nothing_left();
}

static void test_no_replace(void **state)
{
    struct s3dlio_writer *writer = open_writer(S3DLIO_WRITE_EXCLUSIVE, 0, 1000);

    assert_int_equal(rename_to(writer, NEW, S3DLIO_RENAME_NOREPLACE), 0);
    core_run_put_text(NEW, "another's");
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), -EEXIST);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "another's"));
    check_nothing_left();
}

static void test_what_is_there_moves_at_once(void **state)
{
    struct s3dlio_writer *writer;

    core_run_put(OLD, 1000);
    writer = open_writer(S3DLIO_WRITE_APPEND, 1000, 1500);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL));
    core_run_check_object(NEW, 1000, "", 0);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    core_run_check_object(NEW, 1500, "", 0);
    core_run_put_text(OLD, "another's");
    assert_int_equal(rename_to(writer, OLD, 0), 0);
    assert_true(core_run_holds(NEW, NULL));
    core_run_stream(writer, 1500, 2000, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(OLD, 2000, "", 0);
    assert_true(core_run_holds(NEW, NULL));

    writer = open_writer(0, 0, 100);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL));
    core_run_check_object(NEW, 2000, "", 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(NEW, 100, "", 0);
    check_nothing_left();
}

/* "another's", and then the pattern of what was appended. */
static void check_behind_another(const char *uri, size_t from, size_t to)
{
    const size_t before = sizeof "another's" - 1;
    size_t length = before + to - from;
    unsigned char *data = malloc(length + 1);
    struct s3dlio_reader *reader;

    assert_non_null(data);
    assert_int_equal(s3dlio_reader_open(uri, NULL, &reader, NULL), 0);
    assert_int_equal(s3dlio_reader_pread(reader, data, length + 1, 0, NULL, NULL), length);
    s3dlio_reader_close(reader);
    assert_memory_equal(data, "another's", before);
    core_run_check(data + before, to - from, from);
    free(data);
}

static void test_what_was_appended_to_has_changed(void **state)
{
    struct s3dlio_writer *writer;

    core_run_put(OLD, 1000);
    writer = open_writer(S3DLIO_WRITE_APPEND, 1000, 1500);
    core_run_put_text(OLD, "another's");
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "another's"));
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    check_behind_another(NEW, 1000, 1500);

    core_run_put(OLD, 1000);
    writer = open_writer(S3DLIO_WRITE_APPEND, 1000, 1500);
    s3dlio_delete(OLD, NULL, NULL);
    assert_int_equal(rename_to(writer, NEW, 0), -ENOENT);
    s3dlio_writer_abort(writer);
    check_nothing_left();
}

/* ---- after it -------------------------------------------------------------------------------- */

static void test_few_parts_are_sent_again(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, FEW);

    core_run_put_text(NEW, "replaced");
    assert_int_equal(s3dlio_writer_patch(writer, "patched", 7, PART - 3, NULL), 7);
    core_run_reset_counts();
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "replaced"));
    core_run_put_text(OLD, "another's");
    core_run_stream(writer, FEW, FEW + MIB, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, "another's"));
    core_run_check_object(NEW, FEW + MIB, "patched", PART - 3);
    check_nothing_left();
}

static void test_many_parts_are_copied(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, MANY);
    struct s3dlio_stats before, after;

    core_run_put_text(NEW, "replaced");
    assert_int_equal(s3dlio_writer_patch(writer, "patched", 7, 100, NULL), 7);
    core_run_reset_counts();
    s3dlio_get_stats(&before);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    s3dlio_get_stats(&after);
    assert_true(after.bytes_sent - before.bytes_sent <= PART); /* what was patched */
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 12);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "replaced"));
    core_run_put_text(OLD, "another's");
    core_run_stream(writer, MANY, MANY + PART, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, "another's"));
    core_run_check_object(NEW, MANY + PART, "patched", 100);
    check_nothing_left();
}

static void test_twice(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, MANY);

    assert_int_equal(rename_to(writer, NEW, 0), 0);
    core_run_stream(writer, MANY, MANY + PART, MIB);
    assert_int_equal(s3dlio_writer_patch(writer, "patched", 7, MANY, NULL), 7);
    assert_int_equal(rename_to(writer, B "third.bin", S3DLIO_RENAME_NOREPLACE), 0);
    assert_int_equal(rename_to(writer, OLD, 0), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(core_run_holds(NEW, NULL) && core_run_holds(B "third.bin", NULL));
    core_run_check_object(OLD, MANY + PART, "patched", MANY);
    check_nothing_left();
}

static void test_behind_a_base_that_was_copied(void **state)
{
    struct s3dlio_writer *writer;

    core_run_put(OLD, 2 * PART);
    writer = open_writer(S3DLIO_WRITE_APPEND, 2 * PART, 5 * PART);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL));
    core_run_check_object(NEW, 2 * PART, "", 0);
    core_run_stream(writer, 5 * PART, 6 * PART, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(NEW, 6 * PART, "", 0);
    assert_true(core_run_holds(OLD, NULL));

    core_run_put(OLD, 2 * PART);
    writer = open_writer(S3DLIO_WRITE_APPEND, 2 * PART, 5 * PART);
    core_run_put_text(OLD, "another's");
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, NULL));
    check_behind_another(NEW, 2 * PART, 5 * PART);
    check_nothing_left();
}

static void test_attributes_that_came_late(void **state)
{
    struct s3dlio_attr wanted = {.has = S3DLIO_HAS_MODE, .mode = 0604}, attr;
    struct s3dlio_writer *writer = open_writer(0, 0, MANY);

    assert_int_equal(s3dlio_writer_set_attr(writer, &wanted, NULL), 0);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    core_run_reset_counts();
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_COPY), 0);
    assert_int_equal(s3dlio_stat(NEW, NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0604);
}

static void test_streams_that_turn_random(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, FEW);
    struct s3dlio_draft *draft = NULL;

    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    assert_int_equal(s3dlio_draft_pwrite(draft, "random", 6, 100, NULL), 6);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(NEW, FEW, "random", 100);
    assert_true(core_run_holds(OLD, NULL));
    check_nothing_left();
}

static void test_a_store_without_part_copies(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, MANY);

    core_run_store()->capabilities &= ~(unsigned)STORE_CAP_PART_COPY;
    assert_int_equal(rename_to(writer, NEW, 0), -EOPNOTSUPP);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(OLD, MANY, "", 0);
    assert_true(core_run_holds(NEW, NULL));
    writer = open_writer(0, 0, FEW);
    assert_int_equal(rename_to(writer, NEW, 0), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(NEW, FEW, "", 0);
    assert_true(core_run_holds(OLD, NULL));
    check_nothing_left();
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Publishes, goes on, closes: all of it is there. */
static void end_as(struct s3dlio_writer *writer, const char *uri, size_t length)
{
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    core_run_check_object(uri, length, "", 0);
    core_run_stream(writer, length, length + 100, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(uri, length + 100, "", 0);
}

/* The n-th request of the rename fails, and then it is made again or not. False: all of the rename
 * was done before, or it did not need that request. */
static bool stop_at(unsigned n, size_t length, bool again)
{
    struct s3dlio_writer *writer = open_writer(0, 0, length);
    char rule[64];
    int r;

    core_run_put_text(NEW, "replaced");
    snprintf(rule, sizeof rule, "nth=%u count=1 fail=access", n);
    core_run_faults(rule);
    r = rename_to(writer, NEW, 0);
    core_run_faults(NULL);
    assert_true(r == 0 || r == -EACCES);
    assert_true(core_run_holds(NEW, "replaced"));
    if (r == 0) {
        end_as(writer, NEW, length);
    } else if (!again) {
        core_run_stream(writer, length, length + MIB, MIB);
        if (s3dlio_writer_close(writer, NULL, NULL) == 0)
            core_run_check_object(OLD, length + MIB, "", 0);
        else
            assert_true(core_run_holds(OLD, NULL)); /* what failed was the completion */
        assert_true(core_run_holds(NEW, "replaced"));
    } else if (rename_to(writer, NEW, 0) == 0) {
        assert_true(core_run_holds(OLD, NULL));
        end_as(writer, NEW, length);
    } else {
        assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), -EACCES);
    }
    if (r < 0)
        check_nothing_left();
    s3dlio_delete(OLD, NULL, NULL);
    s3dlio_delete(NEW, NULL, NULL);
    return r < 0;
}

static void test_stopped_anywhere(void **state)
{
    for (unsigned again = 0; again < 2; again++) {
        unsigned n = 1;

        while (stop_at(n, MANY, again))
            n++;
        assert_true(n > 15);
    }
}

/* The last request there is the abort of the first upload, which may stay. */
static void test_few_parts_stopped_anywhere(void **state)
{
    for (unsigned n = 1; n <= 6; n++)
        for (unsigned again = 0; again < 2; again++)
            assert_true(stop_at(n, FEW, again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unsent_costs_no_copy, clear),
        cmocka_unit_test_setup(test_no_replace, clear),
        cmocka_unit_test_setup(test_what_is_there_moves_at_once, clear),
        cmocka_unit_test_setup(test_what_was_appended_to_has_changed, clear),
        cmocka_unit_test_setup(test_few_parts_are_sent_again, clear),
        cmocka_unit_test_setup(test_many_parts_are_copied, clear),
        cmocka_unit_test_setup(test_twice, clear),
        cmocka_unit_test_setup(test_behind_a_base_that_was_copied, clear),
        cmocka_unit_test_setup(test_attributes_that_came_late, clear),
        cmocka_unit_test_setup(test_streams_that_turn_random, clear),
        cmocka_unit_test_setup(test_a_store_without_part_copies, clear),
        cmocka_unit_test_setup(test_stopped_anywhere, clear),
        cmocka_unit_test_setup(test_few_parts_stopped_anywhere, clear),
    };

    return cmocka_run_group_tests_name("writer_rename", tests, set_up, NULL);
}
