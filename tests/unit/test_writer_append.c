/* core/writer.h: appending to what is there, and streams that are published on their way. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define URI   "fault://append/object"
#define PART  (8 * MIB)
#define LARGE (20 * MIB)

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_make_bucket("append");
    return 0;
}

static struct s3dlio_writer *open_writer(unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error;

    if (s3dlio_writer_open(URI, &options, NULL, &writer, &error) < 0)
        fail_msg("%s", error.message);
    return writer;
}

static void append_to(size_t base, size_t length)
{
    struct s3dlio_writer *writer;
    struct s3dlio_attr attr;

    core_run_put(URI, base);
    writer = open_writer(S3DLIO_WRITE_APPEND);
    assert_int_equal(s3dlio_writer_length(writer), base);
    core_run_stream(writer, base, base + length, 300000);
    assert_int_equal(s3dlio_writer_length(writer), base + length);
    assert_int_equal(s3dlio_writer_close(writer, &attr, NULL), 0);
    assert_int_equal(attr.size_bytes, base + length);
    core_run_check_object(URI, base + length, NULL, 0);
    core_run_check_released();
}

static void test_sizes(void **state)
{
    static const size_t bases[] = {0, 1, 1000000, 5 * MIB - 1, 5 * MIB, LARGE};
    static const size_t lengths[] = {1, 1000, PART, PART + 1, 3 * PART};

    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++)
            append_to(bases[i], lengths[j]);
}

static void test_cost(void **state)
{
    struct s3dlio_stats before, after;
    struct s3dlio_writer *writer;

    core_run_put(URI, LARGE);
    core_run_reset_counts();
    s3dlio_get_stats(&before);
    writer = open_writer(S3DLIO_WRITE_APPEND);
    for (unsigned i = 0; i < 100; i++)
        core_run_stream(writer, LARGE + 10 * i, LARGE + 10 * i + 10, 10);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    s3dlio_get_stats(&after);
    assert_int_equal(after.bytes_sent - before.bytes_sent, 1000);
    assert_int_equal(after.bytes_received, before.bytes_received);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 1);
    core_run_check_object(URI, LARGE + 1000, NULL, 0);
}

static void test_nothing_appended_is_nothing_sent(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_attr attr;

    core_run_put(URI, 1000);
    core_run_reset_counts();
    writer = open_writer(S3DLIO_WRITE_APPEND);
    assert_int_equal(s3dlio_writer_close(writer, &attr, NULL), 0);
    assert_int_equal(attr.size_bytes, 1000);
    assert_int_equal(core_run_count(STORE_PUT), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
}

static void test_to_nothing(void **state)
{
    struct s3dlio_writer *writer;

    assert_int_equal(s3dlio_delete(URI, NULL, NULL), 0);
    writer = open_writer(S3DLIO_WRITE_APPEND);
    core_run_stream(writer, 0, 1000, 1000);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(URI, 1000, NULL, 0);
}

static void test_without_copies(void **state)
{
    core_run_store()->capabilities &= ~(unsigned)STORE_CAP_PART_COPY;
    append_to(LARGE, 1000);
    append_to(LARGE, 2 * PART);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 0);
}

static void fail_at(const char *rule, int errnum)
{
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_put(URI, LARGE);
    writer = open_writer(S3DLIO_WRITE_APPEND);
    core_run_stream(writer, LARGE, LARGE + 100, 100);
    core_run_faults(rule);
    assert_int_equal(s3dlio_writer_close(writer, NULL, &error), -errnum);
    core_run_faults(NULL);
    core_run_check_object(URI, LARGE, NULL, 0);
    core_run_check_released();
}

static void test_failures_leave_the_old_object(void **state)
{
    fail_at("op=CreateMultipartUpload fail=access", EACCES);
    fail_at("op=UploadPartCopy fail=access", EACCES);
    fail_at("op=UploadPart fail=no-space", ENOSPC);
    fail_at("op=CompleteMultipartUpload fail=access", EACCES);
}

/* ---- publishing ------------------------------------------------------------------------------ */

static void publish_at(const size_t *points, size_t count, size_t step)
{
    struct s3dlio_writer *writer = open_writer(0);
    struct s3dlio_attr attr;
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        core_run_stream(writer, at, points[i], step);
        at = points[i];
        assert_int_equal(s3dlio_writer_publish(writer, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, at);
        core_run_check_object(URI, at, NULL, 0);
        assert_int_equal(s3dlio_writer_length(writer), at);
    }
    assert_int_equal(s3dlio_writer_close(writer, &attr, NULL), 0);
    assert_int_equal(attr.size_bytes, at);
    core_run_check_object(URI, at, NULL, 0);
    core_run_check_released();
}

static void test_publish(void **state)
{
    static const size_t small[] = {0, 10, 10, 20, 100000, 100001};
    static const size_t large[] = {100, 3 * PART, 3 * PART + 1, 3 * PART + 2, 5 * PART};
    static const size_t between[] = {4 * MIB, 6 * MIB, PART, PART + 1, 2 * PART};

    publish_at(small, sizeof small / sizeof *small, 7);
    publish_at(large, sizeof large / sizeof *large, MIB);
    publish_at(between, sizeof between / sizeof *between, 777777);
    core_run_store()->capabilities &= ~(unsigned)STORE_CAP_PART_COPY;
    publish_at(large, sizeof large / sizeof *large, MIB);
}

/* A log that is synced after each line: no byte of it is fetched again. */
static void test_synced_log(void **state)
{
    struct s3dlio_writer *writer = open_writer(0);

    for (size_t i = 0; i < 50; i++) {
        core_run_stream(writer, 100 * i, 100 * i + 100, 100);
        assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    }
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_PUT), 50);
    assert_int_equal(core_run_count(STORE_GET), 0);
    core_run_check_object(URI, 5000, NULL, 0);
}

static void test_publish_fails(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_put(URI, 500);
    writer = open_writer(0);
    core_run_stream(writer, 0, 1000, 1000);
    core_run_faults("op=PutObject fail=access");
    assert_int_equal(s3dlio_writer_publish(writer, NULL, &error), -EACCES);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, &error), -EACCES);
    assert_int_equal(s3dlio_writer_close(writer, NULL, &error), -EACCES);
    core_run_check_object(URI, 500, NULL, 0);
    core_run_check_released();
}

static void test_published_exclusive(void **state)
{
    struct s3dlio_writer *writer;

    assert_int_equal(s3dlio_delete(URI, NULL, NULL), 0);
    writer = open_writer(S3DLIO_WRITE_EXCLUSIVE);
    core_run_stream(writer, 0, 1000, 1000);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    core_run_stream(writer, 1000, 2000, 1000);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object(URI, 2000, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sizes, core_run_clear),
        cmocka_unit_test_setup(test_cost, core_run_clear),
        cmocka_unit_test_setup(test_nothing_appended_is_nothing_sent, core_run_clear),
        cmocka_unit_test_setup(test_to_nothing, core_run_clear),
        cmocka_unit_test_setup(test_without_copies, core_run_clear),
        cmocka_unit_test_setup(test_failures_leave_the_old_object, core_run_clear),
        cmocka_unit_test_setup(test_publish, core_run_clear),
        cmocka_unit_test_setup(test_synced_log, core_run_clear),
        cmocka_unit_test_setup(test_publish_fails, core_run_clear),
        cmocka_unit_test_setup(test_published_exclusive, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
