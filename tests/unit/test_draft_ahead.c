/* core/draft_private.h, draft_ahead.c: a draft that is written like a stream, perhaps by one
 * process after the other, goes up meanwhile; and whatever happens then, what is published is
 * what was written. */
#include "draft_child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "sanitizer.h"

#undef URI
#define URI   "fault://ahead/object"
#define OTHER "fault://ahead/other"
#define PART  (5 * MIB)
#define BYTES (28 * MIB) /* six parts */

static unsigned char pattern[BYTES];

static int set_up(void **state)
{
    core_run_make_file_root();
    core_run_set_option("S3DLIO_FAULT=store=file");
    core_run_set_option("S3DLIO_PUT_PART_SIZE=5M");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=16");
    core_run_make_bucket("ahead");
    core_run_fill(pattern, BYTES, 0);
    return 0;
}

static struct s3dlio_draft *open_stream(unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_draft *draft = NULL;

    s3dlio_unlink(URI, NULL, NULL);
    core_run_reset_counts();
    assert_int_equal(s3dlio_writer_open(URI, &options, NULL, &writer, NULL), 0);
    core_run_stream(writer, 0, 100, 100);
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    return draft;
}

/* In parent and child. */
static void go_on(struct s3dlio_draft *draft, size_t to)
{
    uint64_t at;

    for (size_t from; (from = s3dlio_draft_length(draft)) < to;) {
        size_t length = to - from < MIB ? to - from : MIB;

        CHECK(s3dlio_draft_append(draft, pattern + from, length, &at, NULL) == (ssize_t)length);
        CHECK(at == from);
    }
}

static void end(struct s3dlio_draft *draft)
{
    struct s3dlio_error error = {0};

    if (s3dlio_draft_close(draft, NULL, &error) < 0)
        fail_msg("%s", error.message);
    core_run_check_released();
    core_run_faults(NULL);
    assert_int_equal(core_run_uploads_left("ahead"), 0);
}

static void end_whole(struct s3dlio_draft *draft)
{
    end(draft);
    core_run_check_object(URI, BYTES, NULL, 0);
}

static void test_parts_go_up_while_it_is_written(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    go_on(draft, 2 * PART);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 1);
    go_on(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 5);
    assert_int_equal(core_run_type(URI), -ENOENT);
    end_whole(draft);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 6);
}

static void test_a_small_file_is_one_request(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    go_on(draft, 8 * MIB);
    end(draft);
    core_run_check_object(URI, 8 * MIB, NULL, 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 0);
    assert_int_equal(core_run_count(STORE_PUT), 1);
}

static void test_an_end_on_a_boundary(void **state)
{
    struct s3dlio_draft *draft = open_stream(S3DLIO_WRITE_EXCLUSIVE);

    go_on(draft, 4 * PART);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 3);
    end(draft);
    core_run_check_object(URI, 4 * PART, NULL, 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 4);
}

/* ---- several processes ----------------------------------------------------------------------- */

struct job {
    size_t to;
    unsigned parts; /* that it sends */
};

static void writes_on(struct s3dlio_draft *draft, void *arg)
{
    const struct job *job = arg;

    core_run_reset_counts();
    core_run_faults("op=UploadPart delay=50");
    go_on(draft, job->to);
    CHECK(core_run_count(STORE_UPLOAD_PART) == job->parts);
    s3dlio_draft_forget(draft); /* waits for them */
}

static void test_children_in_turn(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    draft_child_run(writes_on, draft, &(struct job){12 * MIB, 2});
    draft_child_run(writes_on, draft, &(struct job){13 * MIB, 0});
    draft_child_run(writes_on, draft, &(struct job){27 * MIB, 3});
    go_on(draft, BYTES);
    end_whole(draft);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 1);
}

static void test_parent_and_child_in_turn(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    core_run_faults("op=UploadPart delay=100");
    go_on(draft, 12 * MIB); /* on their way at the fork: the child leaves it to its parent */
    draft_child_run(writes_on, draft, &(struct job){18 * MIB, 0});
    go_on(draft, 24 * MIB);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 4);
    while (core_run_count(STORE_UPLOAD_PART) < 5)
        go_on(draft, s3dlio_draft_length(draft) + 1000);
    go_on(draft, BYTES);
    end_whole(draft);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 6);
}

static void dies(struct s3dlio_draft *draft, void *arg)
{
    core_run_faults("op=UploadPart nth=3 count=1 delay=60000");
    go_on(draft, BYTES);
    kill(getpid(), SIGKILL);
}

static void test_a_child_dies_with_parts_on_their_way(void **state)
{
    struct s3dlio_draft *draft;
    pid_t pid;
    int status = 0;

    NOT_UNDER_TSAN();
    draft = open_stream(0);
    pid = draft_child_start(dies, draft, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(core_run_uploads_left("ahead"), 1);
    end_whole(draft);
}

/* ---- what ends it ---------------------------------------------------------------------------- */

static void test_changed_elsewhere(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct s3dlio_draft *draft = open_stream(0);

        go_on(draft, 20 * MIB);
        assert_int_equal(core_run_count(STORE_UPLOAD_PART), 3);
        if (i == 0) {
            core_run_write_at(draft, "changed", PART - 3);
            go_on(draft, BYTES);
            end(draft);
            core_run_check_object(URI, BYTES, "changed", PART - 3);
        } else if (i == 1) {
            assert_int_equal(s3dlio_draft_truncate(draft, PART + 5, NULL), 0);
            go_on(draft, BYTES);
            end_whole(draft);
        } else {
            assert_int_equal(s3dlio_draft_zero(draft, 3, 1, NULL), 0);
            assert_int_equal(s3dlio_draft_pwrite(draft, pattern + 3, 1, 3, NULL), 1);
            go_on(draft, BYTES);
            end_whole(draft);
        }
    }
}

static void test_attributes_that_come_late(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    struct s3dlio_draft *draft = open_stream(0);

    go_on(draft, BYTES);
    assert_int_equal(s3dlio_draft_set_attr(draft, &attr, NULL), 0);
    end_whole(draft);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 2); /* the first one had others */
}

static void test_another_name(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    go_on(draft, 20 * MIB);
    assert_int_equal(s3dlio_draft_rename(draft, OTHER, 0, NULL, NULL), 0);
    go_on(draft, BYTES);
    end(draft);
    core_run_check_object(OTHER, BYTES, NULL, 0);
    assert_int_equal(core_run_type(URI), -ENOENT);
}

static void test_a_part_is_refused(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    core_run_faults("op=UploadPart nth=2 count=1 fail=access");
    go_on(draft, BYTES);
    end_whole(draft);
    draft = open_stream(0);
    core_run_faults("op=CreateMultipartUpload nth=1 count=1 fail=access");
    go_on(draft, BYTES);
    end_whole(draft);
}

static void test_published_in_between(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    go_on(draft, 20 * MIB);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_check_object(URI, 20 * MIB, NULL, 0);
    go_on(draft, BYTES);
    end_whole(draft);
}

static void test_nothing_is_published(void **state)
{
    struct s3dlio_draft *draft = open_stream(0);

    go_on(draft, BYTES);
    assert_int_equal(core_run_uploads_left("ahead"), 1);
    s3dlio_draft_abort(draft);
    core_run_check_released();
    assert_int_equal(core_run_uploads_left("ahead"), 0);
    assert_int_equal(core_run_type(URI), -ENOENT);
}

/* A draft that is none of that is sent at the end. */
static void test_random_access(void **state)
{
    struct s3dlio_draft *draft;

    s3dlio_unlink(URI, NULL, NULL);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_open(URI, NULL, S3DLIO_DRAFT_EMPTY, NULL, &draft, NULL), 0);
    go_on(draft, BYTES);
    assert_int_equal(core_run_requests(), 0);
    end_whole(draft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_parts_go_up_while_it_is_written, core_run_clear),
        cmocka_unit_test_setup(test_a_small_file_is_one_request, core_run_clear),
        cmocka_unit_test_setup(test_an_end_on_a_boundary, core_run_clear),
        cmocka_unit_test_setup(test_children_in_turn, core_run_clear),
        cmocka_unit_test_setup(test_parent_and_child_in_turn, core_run_clear),
        cmocka_unit_test_setup(test_a_child_dies_with_parts_on_their_way, core_run_clear),
        cmocka_unit_test_setup(test_changed_elsewhere, core_run_clear),
        cmocka_unit_test_setup(test_attributes_that_come_late, core_run_clear),
        cmocka_unit_test_setup(test_another_name, core_run_clear),
        cmocka_unit_test_setup(test_a_part_is_refused, core_run_clear),
        cmocka_unit_test_setup(test_published_in_between, core_run_clear),
        cmocka_unit_test_setup(test_nothing_is_published, core_run_clear),
        cmocka_unit_test_setup(test_random_access, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, core_run_remove_file_root);
}
