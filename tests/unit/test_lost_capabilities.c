/* Stores that turn out not to do what they were asked (core/call.h): the slower way in the same
 * call, the capability gone for the next one, and back to the error where that was not the
 * reason. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>

#include "store/store.h"

#define B     "fault://lost/"
#define URI   B "object"
#define LARGE (12 * MIB)

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_set_option("S3DLIO_RETRY_BASE_MS=1");
    core_run_set_option("S3DLIO_PUT_PART_SIZE=5M");
    core_run_make_bucket("lost");
    return 0;
}

static int clear(void **state)
{
    core_run_store()->copy_max_bytes = 0;
    core_run_clear(state);
    return core_run_clear_objects(URI, B "other");
}

static bool can(unsigned capability)
{
    return core_run_store()->capabilities & capability;
}

static void check_nothing_left(void)
{
    core_run_faults(NULL);
    core_run_check_released();
    assert_int_equal(core_run_uploads_left("lost"), 0);
}

static struct s3dlio_writer *open_writer(unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error;

    core_run_must(s3dlio_writer_open(URI, &options, NULL, &writer, &error), &error);
    return writer;
}

/* Appends a few bytes to `length`. */
static void append(size_t length)
{
    struct s3dlio_writer *writer = open_writer(S3DLIO_WRITE_APPEND);
    struct s3dlio_error error;

    core_run_stream(writer, length, length + 100, 50);
    core_run_must(s3dlio_writer_close(writer, NULL, &error), &error);
}

static void change(const char *text, size_t offset)
{
    struct s3dlio_draft *draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    struct s3dlio_error error;

    core_run_write_at(draft, text, offset);
    core_run_must(s3dlio_draft_close(draft, NULL, &error), &error);
}

/* ---- copies of parts ------------------------------------------------------------------------- */

static void lose_part_copies(const char *class)
{
    char rule[64];

    snprintf(rule, sizeof rule, "op=UploadPartCopy fail=%s", class);
    core_run_faults(rule);
}

static void test_append(void **state)
{
    core_run_put(URI, LARGE);
    lose_part_copies("unsupported");
    append(LARGE);
    assert_false(can(STORE_CAP_PART_COPY));
    assert_true(core_run_count(STORE_UPLOAD_PART_COPY) > 0);
    core_run_check_object(URI, LARGE + 100, NULL, 0);
    core_run_reset_counts();
    append(LARGE + 100);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 0);
    core_run_check_object(URI, LARGE + 200, NULL, 0);
    check_nothing_left();
}

static void test_append_much(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_put(URI, LARGE);
    lose_part_copies("invalid");
    writer = open_writer(S3DLIO_WRITE_APPEND);
    core_run_stream(writer, LARGE, 4 * LARGE, MIB);
    core_run_must(s3dlio_writer_close(writer, NULL, &error), &error);
    core_run_check_object(URI, 4 * LARGE, NULL, 0);
    check_nothing_left();
}

static void test_change(void **state)
{
    core_run_put(URI, LARGE);
    lose_part_copies("invalid");
    change("changed", LARGE / 2);
    assert_false(can(STORE_CAP_PART_COPY));
    core_run_check_object(URI, LARGE, "changed", LARGE / 2);
    core_run_reset_counts();
    change("CHANGED", LARGE / 2);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 0);
    core_run_check_object(URI, LARGE, "CHANGED", LARGE / 2);
    check_nothing_left();
}

static void test_copy_and_rename(void **state)
{
    struct s3dlio_error error;

    core_run_put(URI, LARGE);
    core_run_store()->copy_max_bytes = MIB;
    lose_part_copies("unsupported");
    core_run_must(s3dlio_copy(URI, B "other", NULL, &error), &error);
    core_run_check_object(B "other", LARGE, NULL, 0);
    core_run_must(s3dlio_rename(URI, B "moved", 0, NULL, &error), &error);
    assert_int_equal(core_run_type(URI), -ENOENT);
    core_run_check_object(B "moved", LARGE, NULL, 0);
    assert_int_equal(
        s3dlio_rename(B "moved", B "other", S3DLIO_RENAME_NOREPLACE, NULL, &error), -EEXIST);
    core_run_must(s3dlio_rename(B "moved", URI, S3DLIO_RENAME_NOREPLACE, NULL, &error), &error);
    core_run_check_object(URI, LARGE, NULL, 0);
    check_nothing_left();
}

/* Exclusive, but small enough for one request. */
/* Parts are copied instead, or all is read and sent; a directory's files are for the program to
 * move. */
static void test_no_copies(void **state)
{
    static const size_t sizes[] = {0, 100, LARGE};
    struct s3dlio_error error;

    for (unsigned i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        size_t size = sizes[i / 2];

        clear(state);
        core_run_put(URI, size);
        core_run_put_text(B "other", "old");
        if (i % 2)
            core_run_store()->capabilities &= ~STORE_CAP_PART_COPY;
        core_run_faults("op=CopyObject fail=unsupported");
        core_run_must(s3dlio_rename(URI, B "other", 0, NULL, &error), &error);
        assert_false(can(STORE_CAP_COPY));
        core_run_check_object(B "other", size, NULL, 0);
        assert_int_equal(core_run_type(URI), -ENOENT);
        if (i % 2)
            assert_int_equal(s3dlio_copy(B "other", URI, NULL, &error), -EXDEV);
        else
            core_run_must(s3dlio_copy(B "other", URI, NULL, &error), &error);
    }
    clear(state);
    core_run_put_text(B "folder/file", "x");
    core_run_faults("op=CopyObject fail=unsupported");
    assert_int_equal(s3dlio_rename(B "folder", B "moved", 0, NULL, &error), -EXDEV);
    assert_true(core_run_holds(B "folder/file", "x"));
    check_nothing_left();
}

static void test_rename_without_replacing(void **state)
{
    struct s3dlio_error error;

    core_run_put(URI, LARGE);
    lose_part_copies("unsupported");
    core_run_must(s3dlio_rename(URI, B "other", S3DLIO_RENAME_NOREPLACE, NULL, &error), &error);
    assert_int_equal(core_run_type(URI), -ENOENT);
    core_run_check_object(B "other", LARGE, NULL, 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    check_nothing_left();
}

static void set_mode(uint32_t mode)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = mode}, found;
    struct s3dlio_error error;

    core_run_must(s3dlio_set_attr(URI, &attr, NULL, &found, &error), &error);
    core_run_must(s3dlio_stat(URI, NULL, &found, &error), &error);
    assert_int_equal(found.mode, mode);
    core_run_check_object(URI, LARGE, NULL, 0);
}

static void test_metadata(void **state)
{
    core_run_put(URI, LARGE);
    core_run_store()->copy_max_bytes = MIB;
    lose_part_copies("unsupported");
    set_mode(0600);
    core_run_reset_counts();
    set_mode(0640);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 0);
    check_nothing_left();
}

/* A failure of the slower way is one, and the object stays. */
static void test_failure_of_the_slower_way(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    struct s3dlio_error error;

    core_run_put(URI, LARGE);
    core_run_store()->copy_max_bytes = MIB;
    lose_part_copies("unsupported");
    core_run_faults("op=UploadPart nth=2 fail=no-space");
    assert_int_equal(s3dlio_set_attr(URI, &attr, NULL, NULL, &error), -ENOSPC);
    core_run_check_object(URI, LARGE, NULL, 0);
    check_nothing_left();
}

/* ---- conditions ------------------------------------------------------------------------------ */

static int create(unsigned flags, size_t length, struct s3dlio_error *ret_error)
{
    struct s3dlio_writer *writer = open_writer(flags);

    core_run_stream(writer, 0, length, length < MIB ? length : MIB);
    return s3dlio_writer_close(writer, NULL, ret_error);
}

static void test_exclusive(void **state)
{
    static const size_t lengths[] = {1000, LARGE};
    struct s3dlio_error error;

    for (unsigned i = 0; i < 2; i++) {
        clear(state);
        core_run_faults("op=PutObject nth=1 count=1 fail=unsupported");
        core_run_faults("op=CompleteMultipartUpload nth=1 count=1 fail=invalid");
        core_run_must(create(S3DLIO_WRITE_EXCLUSIVE, lengths[i], &error), &error);
        assert_false(can(STORE_CAP_IF_NONE_MATCH));
        assert_true(can(STORE_CAP_IF_MATCH_PUT));
        core_run_check_object(URI, lengths[i], NULL, 0);
        check_nothing_left();
    }
}

/* What the condition would have said is looked at. */
static void test_exclusive_too_late(void **state)
{
    struct s3dlio_writer *writer = open_writer(S3DLIO_WRITE_EXCLUSIVE);
    struct s3dlio_error error;

    core_run_stream(writer, 0, 100, 100);
    core_run_put_elsewhere(URI, 500, 0);
    core_run_faults("op=PutObject nth=1 count=1 fail=unsupported");
    assert_int_equal(s3dlio_writer_close(writer, NULL, &error), -EEXIST);
    core_run_check_object(URI, 500, NULL, 0);
    check_nothing_left();
}

static void test_replaced_meanwhile(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;

    core_run_put(URI, 1000);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    for (size_t i = 0; i < 1000; i++)
        core_run_write_at(draft, "x", i);
    core_run_put_elsewhere(URI, 500, 0);
    core_run_faults("op=PutObject nth=1 count=1 fail=unsupported");
    assert_int_equal(s3dlio_draft_close(draft, NULL, &error), -ESTALE);
    core_run_check_object(URI, 500, NULL, 0);
    check_nothing_left();
}

/* Said for another reason: the same again, and the conditions are still used. */
static void test_other_reasons(void **state)
{
    struct s3dlio_error error;

    core_run_faults("op=PutObject fail=invalid");
    assert_int_equal(create(S3DLIO_WRITE_EXCLUSIVE, 100, &error), -EINVAL);
    assert_true(can(STORE_CAP_IF_NONE_MATCH));
    core_run_faults(NULL);
    core_run_reset_counts();
    core_run_faults("op=PutObject fail=access");
    assert_int_equal(create(S3DLIO_WRITE_EXCLUSIVE, 100, &error), -EACCES);
    assert_int_equal(core_run_count(STORE_PUT), 1);
    check_nothing_left();
}

/* Who appends looks again, in its turn: what came in between is not lost. */
static void test_append_without_conditions(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_put(URI, 1000);
    writer = open_writer(S3DLIO_WRITE_APPEND);
    core_run_stream(writer, 1000, 1100, 100);
    core_run_put_elsewhere(URI, 1000, 0);
    core_run_faults("op=PutObject nth=1 count=1 fail=unsupported");
    core_run_must(s3dlio_writer_close(writer, NULL, &error), &error);
    assert_false(can(STORE_CAP_IF_MATCH_PUT));
    core_run_check_object(URI, 1100, NULL, 0);
    append(1100);
    core_run_check_object(URI, 1200, NULL, 0);
    check_nothing_left();
}

static void test_directories(void **state)
{
    struct s3dlio_error error;

    core_run_faults("op=PutObject nth=1 count=1 fail=unsupported");
    core_run_must(s3dlio_mkdir(B "directory", NULL, NULL, &error), &error);
    assert_false(can(STORE_CAP_IF_NONE_MATCH));
    assert_int_equal(s3dlio_mkdir(B "directory", NULL, NULL, &error), -EEXIST);
    core_run_must(s3dlio_rmdir(B "directory", NULL, &error), &error);
    check_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_append, clear),
        cmocka_unit_test_setup(test_append_much, clear),
        cmocka_unit_test_setup(test_change, clear),
        cmocka_unit_test_setup(test_copy_and_rename, clear),
        cmocka_unit_test_setup(test_no_copies, clear),
        cmocka_unit_test_setup(test_rename_without_replacing, clear),
        cmocka_unit_test_setup(test_metadata, clear),
        cmocka_unit_test_setup(test_failure_of_the_slower_way, clear),
        cmocka_unit_test_setup(test_exclusive, clear),
        cmocka_unit_test_setup(test_exclusive_too_late, clear),
        cmocka_unit_test_setup(test_replaced_meanwhile, clear),
        cmocka_unit_test_setup(test_other_reasons, clear),
        cmocka_unit_test_setup(test_append_without_conditions, clear),
        cmocka_unit_test_setup(test_directories, clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
