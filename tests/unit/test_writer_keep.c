/* core/writer.h, draft.h: patching what was written, and streams that become drafts. The program
 * runs itself a second time with S3DLIO_KEEP_PARTS=spool. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/spool.h"

#define URI  "fault://keep/object"
#define PART (8 * MIB)
#define MANY (12 * PART) /* more than is kept in memory */

static bool with_spool;

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_MEMORY_BUDGET=160M");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=2");
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    if (with_spool)
        core_run_set_option("S3DLIO_KEEP_PARTS=spool");
    core_run_make_bucket("keep");
    return 0;
}

static struct s3dlio_writer *open_writer(unsigned flags, size_t from, size_t to)
{
    struct s3dlio_write_options options = {.flags = flags, .has = S3DLIO_HAS_MODE, .mode = 0640};
    struct s3dlio_writer *writer = NULL;

    assert_int_equal(s3dlio_writer_open(URI, &options, NULL, &writer, NULL), 0);
    core_run_stream(writer, from, to, MIB);
    return writer;
}

static void check_nothing_left(void)
{
    struct s3dlio_stats stats;

    s3dlio_get_stats(&stats);
    assert_true(stats.memory_peak_bytes <= stats.memory_budget_bytes);
    core_run_check_released();
}

static void patch(size_t length, size_t offset, unsigned parts_again)
{
    struct s3dlio_writer *writer = open_writer(0, 0, length);

    core_run_reset_counts();
    assert_int_equal(s3dlio_writer_patch(writer, "patched", 7, offset, NULL), 7);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(core_run_count(STORE_UPLOAD_PART) <= parts_again + 1);
    core_run_check_object(URI, length, "patched", offset);
    check_nothing_left();
}

static void test_patch(void **state)
{
    patch(1000, 10, 0);
    patch(3 * PART + 5, 0, 1);
    patch(3 * PART + 5, PART - 3, 2);
    patch(3 * PART + 5, 3 * PART - 3, 1);
    patch(3 * PART + 100, 3 * PART + 50, 0);
    patch(MANY, 4, 1); /* the first part is kept longest */
}

static void test_patch_while_parts_are_on_their_way(void **state)
{
    core_run_faults("op=UploadPart delay=30");
    patch(2 * PART + 5, PART + 7, 3);
    patch(2 * PART + 5, 7, 3);
}

static void test_patch_that_cannot_be(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, MANY);
    struct s3dlio_error error;

    assert_int_equal(s3dlio_writer_patch(writer, "xy", 2, MANY - 1, &error), -EOPNOTSUPP);
    if (with_spool) {
        assert_int_equal(s3dlio_writer_patch(writer, "xy", 2, 2 * PART, &error), 2);
    } else {
        assert_int_equal(s3dlio_writer_patch(writer, "xy", 2, 2 * PART, &error), -EOPNOTSUPP);
        assert_non_null(strstr(error.message, "S3DLIO_KEEP_PARTS=spool"));
    }
    s3dlio_writer_abort(writer);
    check_nothing_left();
}

/* Goes on to `to`, then back to change a few bytes. */
static void stream_and_patch(struct s3dlio_writer *writer, size_t to, size_t offset)
{
    struct s3dlio_error error = {0};

    core_run_stream(writer, s3dlio_writer_length(writer), to, MIB);
    if (s3dlio_writer_patch(writer, "patched", 7, offset, &error) != 7)
        fail_msg("at %zu of %zu: %s", offset, to, error.message);
}

/* An archive: at the end of each member its header is changed, however far behind that is. */
static void test_a_program_that_goes_back_again(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, 0);
    struct core_run_texts expected = {
        .length = 3 * MANY + 5,
        .texts = {"patched", "patched", "patched"},
        .offsets = {10, MANY + 10, 2 * MANY - 3},
    };

    stream_and_patch(writer, MANY, 10);
    stream_and_patch(writer, 2 * MANY, MANY + 10);
    stream_and_patch(writer, 3 * MANY + 5, 2 * MANY - 3);
    stream_and_patch(writer, 3 * MANY + 5, MANY + 10);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_texts(URI, &expected);
    check_nothing_left();
}

/* More changed parts than memory holds. */
static void test_every_part_is_patched(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, 0);
    struct core_run_texts expected = {.length = CORE_RUN_TEXTS * PART};

    for (size_t i = 0; i < CORE_RUN_TEXTS; i++) {
        expected.texts[i] = "patched";
        expected.offsets[i] = i * PART + 1000;
        stream_and_patch(writer, (i + 1) * PART, expected.offsets[i]);
    }
    for (size_t i = 0; i < CORE_RUN_TEXTS; i++)
        stream_and_patch(writer, expected.length, expected.offsets[i]);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_texts(URI, &expected);
    check_nothing_left();
}

static void test_patch_of_an_append(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_put(URI, 10 * MIB);
    writer = open_writer(S3DLIO_WRITE_APPEND, 10 * MIB, 10 * MIB + 2 * PART + 9);
    assert_int_equal(s3dlio_writer_patch(writer, "x", 1, 5, &error), -EOPNOTSUPP);
    assert_int_equal(s3dlio_writer_patch(writer, "tail", 4, 10 * MIB + 3, &error), 4);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(URI, 10 * MIB + 2 * PART + 9, "tail", 10 * MIB + 3);
    check_nothing_left();
}

/* ---- conversion ------------------------------------------------------------------------------ */

static void convert(unsigned flags, size_t from, size_t length)
{
    struct s3dlio_writer *writer = open_writer(flags, from, length);
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error;
    struct s3dlio_attr attr;
    unsigned char byte;

    if (s3dlio_draft_from_writer(writer, &draft, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(s3dlio_draft_length(draft), length);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, length / 2, NULL), 1);
    core_run_check(&byte, 1, length / 2);
    assert_int_equal(s3dlio_draft_pwrite(draft, "here", 4, length / 3, NULL), 4);
    assert_int_equal(s3dlio_draft_close(draft, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0640);
    core_run_check_object(URI, length, "here", length / 3);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE),
                     core_run_count(STORE_UPLOAD_COMPLETE) +
                         (core_run_count(STORE_UPLOAD_ABORT) > 0 ? 1 : 0));
    check_nothing_left();
    core_run_reset_counts();
}

static void test_convert(void **state)
{
    convert(0, 0, 1000);
    convert(0, 0, PART);
    convert(0, 0, 3 * PART + 17);
    core_run_put(URI, 10 * MIB);
    core_run_reset_counts();
    convert(S3DLIO_WRITE_APPEND, 10 * MIB, 10 * MIB + 100);
    core_run_put(URI, 10 * MIB);
    core_run_reset_counts();
    convert(S3DLIO_WRITE_APPEND, 10 * MIB, 10 * MIB + 2 * PART);
    core_run_put(URI, 1000);
    core_run_reset_counts();
    convert(S3DLIO_WRITE_APPEND, 1000, 5000);
}

static void test_convert_after_publish(void **state)
{
    struct s3dlio_writer *writer = open_writer(0, 0, 2 * PART + 3);
    struct s3dlio_draft *draft = NULL;

    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    assert_int_equal(s3dlio_draft_pwrite(draft, "abc", 3, 5, NULL), 3);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, 2 * PART + 3, "abc", 5);
    check_nothing_left();
}

/* In memory most of it is gone, and stays as it is; with the spool it can be changed. */
static void test_convert_many(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error;

    if (with_spool) {
        convert(0, 0, MANY);
        return;
    }
    writer = open_writer(0, 0, MANY);
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, &error), 0);
    assert_int_equal(s3dlio_draft_pwrite(draft, "x", 1, 2 * PART, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.message, "S3DLIO_KEEP_PARTS=spool"));
    assert_int_equal(s3dlio_draft_pwrite(draft, "more", 4, MANY, NULL), 4);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_count(STORE_UPLOAD_PART) <= 2);
    core_run_check_object(URI, MANY + 4, "more", MANY);
    check_nothing_left();
}

/* What travelled with the upload is there at once, the rest a request later. */
static void test_convert_with_attributes(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0604};
    struct s3dlio_writer *writer = open_writer(0, 0, MANY);
    struct s3dlio_draft *draft = NULL;

    core_run_reset_counts();
    assert_int_equal(s3dlio_writer_set_attr(writer, &attr, NULL), 0);
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    attr = (struct s3dlio_attr){.has = S3DLIO_HAS_UID | S3DLIO_HAS_GID, .uid = 1234, .gid = 5678};
    assert_int_equal(s3dlio_draft_set_attr(draft, &attr, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, MANY, NULL, 0);
    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode & 07777, 0604);
    assert_int_equal(attr.uid, 1234);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 0);
    check_nothing_left();
}

/* Bytes that only the upload had are the object's then. */
static void test_convert_and_lose_the_answer(void **state)
{
    struct s3dlio_draft *draft = NULL;
    char byte;

    assert_int_equal(s3dlio_draft_from_writer(open_writer(0, 0, MANY), &draft, NULL), 0);
    core_run_faults("op=CompleteMultipartUpload lose nth=1 count=1");
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 3 * PART, NULL), 1);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, MANY, NULL, 0);
    check_nothing_left();
}

/* The same, when it is found out only by the next call. */
static void test_convert_and_find_it_there(void **state)
{
    struct s3dlio_draft *draft = NULL;
    char byte;

    assert_int_equal(s3dlio_draft_from_writer(open_writer(0, 0, MANY), &draft, NULL), 0);
    core_run_faults("op=CompleteMultipartUpload lose nth=1 count=1; op=HeadObject fail=access");
    assert_true(s3dlio_draft_publish(draft, NULL, NULL) < 0);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 3 * PART, NULL), 1);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, MANY, NULL, 0);
    check_nothing_left();
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_patch, core_run_clear),
        cmocka_unit_test_setup(test_patch_while_parts_are_on_their_way, core_run_clear),
        cmocka_unit_test_setup(test_patch_that_cannot_be, core_run_clear),
        cmocka_unit_test_setup(test_a_program_that_goes_back_again, core_run_clear),
        cmocka_unit_test_setup(test_every_part_is_patched, core_run_clear),
        cmocka_unit_test_setup(test_patch_of_an_append, core_run_clear),
        cmocka_unit_test_setup(test_convert, core_run_clear),
        cmocka_unit_test_setup(test_convert_after_publish, core_run_clear),
        cmocka_unit_test_setup(test_convert_many, core_run_clear),
        cmocka_unit_test_setup(test_convert_with_attributes, core_run_clear),
        cmocka_unit_test_setup(test_convert_and_lose_the_answer, core_run_clear),
        cmocka_unit_test_setup(test_convert_and_find_it_there, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}

static void test_with_spool(void **state)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execl("/proc/self/exe", "test_writer_keep", "spool", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest again[] = {cmocka_unit_test(test_with_spool)};
    int failed;

    with_spool = argc > 1;
    failed = with_spool ? 0 : cmocka_run_group_tests(again, NULL, NULL);
    return failed + run_all();
}
