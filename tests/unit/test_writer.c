/* core/writer.h, upload.h, put.h: what is written is what is there, or the old object is. */
#include "core_run.h"
#include "sanitizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PART (8 * MIB)

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_MEMORY_BUDGET=24M");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=2");
    core_run_set_option("S3DLIO_OPERATION_TIMEOUT_SECS=10");
    core_run_make_bucket("writer");
    return 0;
}

static struct s3dlio_writer *open_writer(const char *uri,
                                         const struct s3dlio_write_options *options)
{
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error;

    if (s3dlio_writer_open(uri, options, NULL, &writer, &error) < 0)
        fail_msg("%s", error.message);
    return writer;
}

/* Writes the pattern up to `length` in steps. 0, or what write said. */
static int write_pattern(struct s3dlio_writer *writer, size_t length, size_t step)
{
    unsigned char *data = malloc(step);
    int r = 0;

    for (size_t at = 0; r == 0 && at < length; at += step) {
        size_t piece = length - at < step ? length - at : step;
        ssize_t n;

        core_run_fill(data, piece, at);
        n = s3dlio_writer_write(writer, data, piece, NULL);
        r = n < 0 ? (int)n : 0;
        if (r == 0)
            assert_int_equal(n, piece);
    }
    free(data);
    return r;
}

static void write_whole(size_t length, size_t step)
{
    struct s3dlio_writer *writer = open_writer("fault://writer/object", NULL);
    struct s3dlio_error error;
    struct s3dlio_attr attr;

    assert_int_equal(write_pattern(writer, length, step), 0);
    assert_int_equal(s3dlio_writer_length(writer), length);
    if (s3dlio_writer_close(writer, &attr, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(attr.size_bytes, length);
    assert_true(attr.etag[0]);
    core_run_check_object("fault://writer/object", length, NULL, 0);
    core_run_check_released();
}

static void test_sizes(void **state)
{
    static const size_t lengths[] = {0,        1,    65536,    65537,        1000000,
                                     PART - 1, PART, PART + 1, 2 * PART + 7, 5 * PART};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        write_whole(lengths[i], 700000);
    write_whole(3 * PART, 20 * MIB);
}

static void test_below_a_part_is_one_request(void **state)
{
    struct s3dlio_writer *writer = open_writer("fault://writer/one", NULL);

    assert_int_equal(write_pattern(writer, PART, MIB), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_PUT), 1);
    assert_int_equal(stats_requests(engine_stats(core_run_engine())) > 0, 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 0);
    assert_int_equal(core_run_count(STORE_HEAD), 0);
}

/* Whichever ends makes room for the next, also where another shard sends it. */
static void write_beside_a_late_part(void)
{
    struct s3dlio_writer *writer = open_writer("fault://writer/late", NULL);

    core_run_faults("op=UploadPart delay=2; op=UploadPart nth=1 count=1 delay=120000");
    assert_int_equal(write_pattern(writer, 6 * PART, MIB), 0);
    assert_in_range(core_run_count(STORE_UPLOAD_PART), 4, 6);
    core_run_faults(NULL);
    s3dlio_writer_abort(writer);
}

static void test_a_part_that_is_late_holds_up_no_other(void **state)
{
    write_beside_a_late_part();
    core_run_check_released();
}

/* There is memory for it and for one other. */
static void test_a_part_that_is_late_keeps_no_others_memory(void **state)
{
    struct budget *budget = &core_run_engine()->budget;

    budget_force(budget, BUDGET_PARTS, PART);
    write_beside_a_late_part();
    budget_release(budget, BUDGET_PARTS, PART);
    core_run_check_released();
}

static void test_parts(void **state)
{
    struct s3dlio_writer *writer = open_writer("fault://writer/parts", NULL);

    assert_int_equal(write_pattern(writer, 2 * PART + 1, MIB), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 3);
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 1);
    assert_int_equal(core_run_count(STORE_PUT), 0);
}

static void test_parts_that_fail_are_repeated(void **state)
{
    core_run_faults("op=UploadPart nth=2 count=2 fail=server; op=CreateMultipartUpload nth=1 "
                    "count=1 fail=throttled; op=UploadPart delay=5");
    write_whole(4 * PART, 3 * MIB);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 4 + 2);
}

static void test_failed_upload_leaves_the_old_object(void **state)
{
    struct s3dlio_writer *writer;
    struct s3dlio_error error;

    core_run_put("fault://writer/old", 100);
    core_run_faults("op=UploadPart nth=2 fail=access");
    writer = open_writer("fault://writer/old", NULL);
    write_pattern(writer, 3 * PART, MIB);
    assert_int_equal(s3dlio_writer_close(writer, NULL, &error), -EACCES);
    assert_true(core_run_count(STORE_UPLOAD_ABORT) > 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 0);
    core_run_check_object("fault://writer/old", 100, NULL, 0);
    core_run_check_released();

    core_run_faults("op=PutObject fail=no-space");
    writer = open_writer("fault://writer/old", NULL);
    assert_int_equal(write_pattern(writer, 1000, 1000), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, &error), -ENOSPC);
    core_run_check_object("fault://writer/old", 100, NULL, 0);
}

static void test_write_tells_of_a_failed_part(void **state)
{
    struct s3dlio_writer *writer = open_writer("fault://writer/told", NULL);

    core_run_faults("op=UploadPart fail=no-space");
    assert_int_equal(write_pattern(writer, 10 * PART, MIB), -ENOSPC);
    s3dlio_writer_abort(writer);
    core_run_check_released();
}

static void test_lost_answers(void **state)
{
    struct s3dlio_write_options exclusive = {.flags = S3DLIO_WRITE_EXCLUSIVE};
    struct s3dlio_writer *writer = open_writer("fault://writer/lost-put", &exclusive);

    core_run_faults("op=PutObject nth=1 count=1 lose");
    assert_int_equal(write_pattern(writer, 1000, 1000), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object("fault://writer/lost-put", 1000, NULL, 0);

    core_run_faults(NULL);
    core_run_faults("op=CompleteMultipartUpload nth=1 count=1 lose");
    writer = open_writer("fault://writer/lost-complete", NULL);
    assert_int_equal(write_pattern(writer, 2 * PART, MIB), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object("fault://writer/lost-complete", 2 * PART, NULL, 0);
}

static void test_exclusive(void **state)
{
    struct s3dlio_write_options exclusive = {.flags = S3DLIO_WRITE_EXCLUSIVE};
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error;

    core_run_put("fault://writer/there", 10);
    assert_int_equal(s3dlio_writer_open("fault://writer/there", &exclusive, NULL, &writer, &error),
                     -EEXIST);
    writer = open_writer("fault://writer/race", &exclusive);
    core_run_put("fault://writer/race", 10);
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, &error), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, &error), -EEXIST);
    core_run_check_object("fault://writer/race", 10, NULL, 0);
}

static void test_attributes_travel(void **state)
{
    struct s3dlio_write_options options = {
        .has = S3DLIO_HAS_MODE | S3DLIO_HAS_UID | S3DLIO_HAS_GID,
        .mode = 0640,
        .uid = 1234,
        .gid = 5678,
    };
    struct s3dlio_writer *writer = open_writer("fault://writer/attr", &options);
    struct s3dlio_attr attr;

    assert_int_equal(s3dlio_writer_close(writer, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0640);
    assert_int_equal(s3dlio_stat("fault://writer/attr", NULL, &attr, NULL), 0);
    assert_int_equal(attr.has, options.has);
    assert_int_equal(attr.mode, 0640);
    assert_int_equal(attr.uid, 1234);
    assert_int_equal(attr.gid, 5678);
}

/* Each holds a tail; together far more than the budget. None may wait for another. */
static void test_many_writers_with_tails(void **state)
{
    struct s3dlio_writer *writers[200];
    struct s3dlio_stats stats;
    char uri[64];

    for (unsigned i = 0; i < 200; i++) {
        snprintf(uri, sizeof uri, "fault://writer/many/%u", i);
        writers[i] = open_writer(uri, NULL);
        assert_int_equal(write_pattern(writers[i], 300000, 100000), 0);
    }
    s3dlio_get_stats(&stats);
    assert_true(stats.memory_peak_bytes <= stats.memory_budget_bytes);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(s3dlio_writer_close(writers[i], NULL, NULL), 0);
    core_run_check_object("fault://writer/many/0", 300000, NULL, 0);
    core_run_check_object("fault://writer/many/199", 300000, NULL, 0);
    core_run_check_released();
}

static void test_abort_leaves_nothing(void **state)
{
    struct s3dlio_writer *writer = open_writer("fault://writer/aborted", NULL);
    struct s3dlio_attr attr;

    core_run_faults("op=UploadPart delay=10");
    assert_int_equal(write_pattern(writer, 3 * PART, MIB), 0);
    s3dlio_writer_abort(writer);
    assert_int_equal(s3dlio_stat("fault://writer/aborted", NULL, &attr, NULL), -ENOENT);
    core_run_check_released();
}

static void test_fork_with_writer_open(void **state)
{
    struct s3dlio_writer *writer;
    pid_t pid;

    NOT_UNDER_TSAN();
    writer = open_writer("fault://writer/forked", NULL);
    core_run_faults("op=UploadPart delay=20");
    assert_int_equal(write_pattern(writer, 2 * PART + 100, MIB), 0);
    pid = core_run_fork();
    if (pid == 0) {
        if (s3dlio_writer_write(writer, "x", 1, NULL) >= 0)
            _exit(1);
        s3dlio_writer_forget(writer);
        core_run_check_released();
        write_whole(2 * PART, MIB);
        _exit(0);
    }
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_object("fault://writer/forked", 2 * PART + 100, NULL, 0);
    core_run_wait_for(pid);
}

static void test_names_that_cannot_be_written(void **state)
{
    struct s3dlio_writer *writer = NULL;

    assert_int_equal(s3dlio_writer_open("fault://writer", NULL, NULL, &writer, NULL), -EISDIR);
    assert_int_equal(s3dlio_writer_open("fault://writer/dir/", NULL, NULL, &writer, NULL), -EISDIR);
    assert_null(writer);
}

static void test_put_by_parts(void **state)
{
    size_t length = 40 * MIB + 3;

    core_run_put("fault://writer/put", length);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 3); /* of 16 MiB */
    core_run_check_object("fault://writer/put", length, NULL, 0);
}

/* chmod and utimens of an open file: for nothing before the first part, one copy in place after. */
static void test_attributes_set_late(void **state)
{
    struct s3dlio_attr wanted = {.has = S3DLIO_HAS_MODE | S3DLIO_HAS_MTIME, .mode = 0640,
                                 .mtime = {.tv_sec = 1000000}}, found;
    static const size_t sizes[] = {100, 3 * PART};

    for (int i = 0; i < 2; i++) {
        struct s3dlio_writer *writer = open_writer("fault://writer/attr", NULL);

        assert_int_equal(write_pattern(writer, sizes[i], MIB), 0);
        assert_int_equal(s3dlio_writer_set_attr(writer, &wanted, NULL), 0);
        core_run_reset_counts();
        assert_int_equal(s3dlio_writer_close(writer, &found, NULL), 0);
        assert_int_equal(core_run_count(STORE_COPY) + core_run_count(STORE_UPLOAD_PART_COPY), i);
        assert_int_equal(found.mode, 0640);
        core_run_check_object("fault://writer/attr", sizes[i], NULL, 0);
        assert_int_equal(s3dlio_stat("fault://writer/attr", NULL, &found, NULL), 0);
        assert_int_equal(found.mode, 0640);
        assert_int_equal(found.mtime.tv_sec, 1000000);
    }
}

static void test_write_takes_the_time_back(void **state)
{
    struct s3dlio_attr wanted = {.has = S3DLIO_HAS_MTIME, .mtime = {.tv_sec = 1000000}}, found;
    struct s3dlio_writer *writer = open_writer("fault://writer/time", NULL);

    assert_int_equal(write_pattern(writer, 10, 10), 0);
    assert_int_equal(s3dlio_writer_set_attr(writer, &wanted, NULL), 0);
    assert_int_equal(write_pattern(writer, 10, 10), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(s3dlio_stat("fault://writer/time", NULL, &found, NULL), 0);
    assert_true(found.mtime.tv_sec > 1000000);
}

/* Streams so many bytes into an upload that may have `parts_max` parts, of 5 MiB at first; what
 * close says. */
static int stream_into_parts(const char *uri, unsigned parts_max, size_t length)
{
    struct range_plan *plan = &core_run_engine()->plan, before = *plan;
    struct s3dlio_writer *writer;
    int r;

    plan->parts_max = parts_max;
    plan->put_part_bytes = 5 * MIB;
    writer = open_writer(uri, NULL);
    write_pattern(writer, length, MIB);
    r = s3dlio_writer_close(writer, NULL, NULL);
    *plan = before;
    core_run_check_released();
    return r;
}

static void test_parts_grow_before_their_number_ends(void **state)
{
    const size_t length = 12 * 5 * MIB + 1;

    assert_int_equal(stream_into_parts("fault://writer/grown", 12, length), 0);
    core_run_check_object("fault://writer/grown", length, NULL, 0);
    assert_in_range(core_run_count(STORE_UPLOAD_PART), 7, 12);
}

static void test_parts_of_a_stream_of_unknown_length_grow(void **state)
{
    const size_t length = 12 * PART + 1;
    struct range_plan *plan = &core_run_engine()->plan;

    plan->parts_max = 12;
    write_whole(length, 700000);
    plan->parts_max = STORE_PARTS_MAX;
    assert_in_range(core_run_count(STORE_UPLOAD_PART), 2, 12);
}

/* Where parts cannot grow, the number of them is what ends the object. */
static void test_more_parts_than_the_store_takes(void **state)
{
    core_run_put("fault://writer/full", 100);
    core_run_store()->capabilities |= STORE_CAP_EQUAL_PARTS;
    assert_int_equal(stream_into_parts("fault://writer/full", 3, 15 * MIB + 1), -EFBIG);
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 0);
    assert_true(core_run_count(STORE_UPLOAD_ABORT) > 0);
    core_run_check_object("fault://writer/full", 100, NULL, 0);
    assert_int_equal(stream_into_parts("fault://writer/full", 3, 40 * MIB), -EFBIG);
    core_run_check_object("fault://writer/full", 100, NULL, 0);
    assert_int_equal(core_run_uploads_left("writer"), 0);
    assert_int_equal(stream_into_parts("fault://writer/full", 3, 15 * MIB), 0);
    core_run_check_object("fault://writer/full", 15 * MIB, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sizes, core_run_clear),
        cmocka_unit_test_setup(test_attributes_set_late, core_run_clear),
        cmocka_unit_test_setup(test_write_takes_the_time_back, core_run_clear),
        cmocka_unit_test_setup(test_below_a_part_is_one_request, core_run_clear),
        cmocka_unit_test_setup(test_a_part_that_is_late_holds_up_no_other, core_run_clear),
        cmocka_unit_test_setup(test_a_part_that_is_late_keeps_no_others_memory, core_run_clear),
        cmocka_unit_test_setup(test_parts, core_run_clear),
        cmocka_unit_test_setup(test_parts_that_fail_are_repeated, core_run_clear),
        cmocka_unit_test_setup(test_failed_upload_leaves_the_old_object, core_run_clear),
        cmocka_unit_test_setup(test_write_tells_of_a_failed_part, core_run_clear),
        cmocka_unit_test_setup(test_lost_answers, core_run_clear),
        cmocka_unit_test_setup(test_exclusive, core_run_clear),
        cmocka_unit_test_setup(test_attributes_travel, core_run_clear),
        cmocka_unit_test_setup(test_many_writers_with_tails, core_run_clear),
        cmocka_unit_test_setup(test_abort_leaves_nothing, core_run_clear),
        cmocka_unit_test_setup(test_fork_with_writer_open, core_run_clear),
        cmocka_unit_test_setup(test_names_that_cannot_be_written, core_run_clear),
        cmocka_unit_test_setup(test_put_by_parts, core_run_clear),
        cmocka_unit_test_setup(test_parts_grow_before_their_number_ends, core_run_clear),
        cmocka_unit_test_setup(test_parts_of_a_stream_of_unknown_length_grow, core_run_clear),
        cmocka_unit_test_setup(test_more_parts_than_the_store_takes, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
