/* core/draft_private.h, draft_ahead.c: a draft that is written like a stream, perhaps by one
 * process after the other, goes up meanwhile; and whatever happens then, what is published is
 * what was written. */
#include "ahead_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "sanitizer.h"

#define BYTES (28 * MIB) /* six parts */

static int set_up(void **state)
{
    return ahead_run_set_up(BYTES);
}

static void test_parts_go_up_while_it_is_written(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, 2 * PART);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 1);
    ahead_run_write(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 5);
    assert_int_equal(core_run_type(URI), -ENOENT);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 6);
}

static void test_a_small_file_is_one_request(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, 8 * MIB);
    ahead_run_end(draft);
    core_run_check_object(URI, 8 * MIB, NULL, 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 0);
    assert_int_equal(core_run_count(STORE_PUT), 1);
}

static void test_an_end_on_a_boundary(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(S3DLIO_WRITE_EXCLUSIVE);

    ahead_run_write(draft, 4 * PART);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 3);
    ahead_run_end(draft);
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
    ahead_run_write(draft, job->to);
    CHECK(core_run_count(STORE_UPLOAD_PART) == job->parts);
    s3dlio_draft_forget(draft); /* waits for them */
}

static void test_children_in_turn(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    draft_child_run(writes_on, draft, &(struct job){12 * MIB, 2});
    draft_child_run(writes_on, draft, &(struct job){13 * MIB, 0});
    draft_child_run(writes_on, draft, &(struct job){27 * MIB, 3});
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 1);
}

static void test_parent_and_child_in_turn(void **state)
{
    struct s3dlio_draft *draft;

    NOT_UNDER_TSAN();
    draft = ahead_run_open(0);
    core_run_faults("op=UploadPart delay=100");
    ahead_run_write(draft,
                    12 * MIB); /* on their way at the fork: the child leaves it to its parent */
    draft_child_run(writes_on, draft, &(struct job){18 * MIB, 0});
    ahead_run_write(draft, 24 * MIB);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 4);
    while (core_run_count(STORE_UPLOAD_PART) < 5)
        ahead_run_write(draft, s3dlio_draft_length(draft) + 1000);
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 6);
}

static void dies(struct s3dlio_draft *draft, void *arg)
{
    core_run_faults("op=UploadPart nth=3 count=1 delay=60000");
    ahead_run_write(draft, BYTES);
    kill(getpid(), SIGKILL);
}

static void test_a_child_dies_with_parts_on_their_way(void **state)
{
    struct s3dlio_draft *draft;

    NOT_UNDER_TSAN();
    draft = ahead_run_open(0);
    ahead_run_let_die(draft, dies);
    assert_int_equal(core_run_uploads_left("ahead"), 1);
    ahead_run_end_whole(draft, BYTES);
}

/* ---- what ends it ---------------------------------------------------------------------------- */

static void test_changed_elsewhere(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct s3dlio_draft *draft = ahead_run_open(0);

        ahead_run_write(draft, 20 * MIB);
        assert_int_equal(core_run_count(STORE_UPLOAD_PART), 3);
        if (i == 0) {
            core_run_write_at(draft, "changed", PART - 3);
            ahead_run_write(draft, BYTES);
            ahead_run_end(draft);
            core_run_check_object(URI, BYTES, "changed", PART - 3);
        } else if (i == 1) {
            assert_int_equal(s3dlio_draft_truncate(draft, PART + 5, NULL), 0);
            ahead_run_write(draft, BYTES);
            ahead_run_end_whole(draft, BYTES);
        } else {
            assert_int_equal(s3dlio_draft_zero(draft, 3, 1, NULL), 0);
            assert_int_equal(s3dlio_draft_pwrite(draft, ahead_run_bytes() + 3, 1, 3, NULL), 1);
            ahead_run_write(draft, BYTES);
            ahead_run_end_whole(draft, BYTES);
        }
    }
}

static void test_attributes_that_come_late(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0600};
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, BYTES);
    assert_int_equal(s3dlio_draft_set_attr(draft, &attr, NULL), 0);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
}

static void test_another_name(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, 20 * MIB);
    ahead_run_rename(draft, BYTES);
}

static void test_a_part_is_refused(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    core_run_faults("op=UploadPart nth=2 count=1 fail=access");
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
    draft = ahead_run_open(0);
    core_run_faults("op=CreateMultipartUpload nth=1 count=1 fail=access");
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
}

static void test_published_in_between(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, 20 * MIB);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_check_object(URI, 20 * MIB, NULL, 0);
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
}

static void test_nothing_is_published(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, BYTES);
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
    ahead_run_write(draft, BYTES);
    assert_int_equal(core_run_requests(), 0);
    ahead_run_end_whole(draft, BYTES);
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
