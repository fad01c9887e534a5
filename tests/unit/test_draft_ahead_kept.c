/* core/draft_ahead.h: parts that were sent are given up while a draft is written, so that it may be
 * larger than the spool; what is done to the draft then, and what happens to it. */
#include "ahead_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/spool.h"
#include "sanitizer.h"

#define BYTES   (78 * MIB)
#define ROOM    (16 * MIB) /* a quarter of the memory budget */
#define LIMIT   (40 * MIB) /* of the spool */
#define GONE_AT (PART + 100)
#define REFUSED "S3DLIO_KEEP_PARTS=spool"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_set_option("S3DLIO_SPOOL_LIMIT=40M");
    return ahead_run_set_up(BYTES);
}

/* Of BYTES, with most of it given up. */
static struct s3dlio_draft *open_long(void)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, BYTES);
    return draft;
}

static void end_with(struct s3dlio_draft *draft, const char *text, size_t offset)
{
    ahead_run_end(draft);
    core_run_check_object(URI, BYTES, text, offset);
}

/* ---- giving up ------------------------------------------------------------------------------- */

static void test_a_share_is_kept(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    for (size_t to = MIB; to <= BYTES; to += MIB) {
        ahead_run_write(draft, to);
        while (spool_used() > ROOM + 4 * PART) /* until the store has acknowledged what is sent */
            ahead_run_write(draft, to = s3dlio_draft_length(draft) + 1000);
    }
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), (BYTES + PART - 1) / PART);
}

/* Nothing is acknowledged before the spool is full. */
static void test_a_full_spool_waits_for_the_store(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    core_run_faults("op=UploadPart delay=150");
    ahead_run_write(draft, BYTES);
    assert_true(spool_used() <= LIMIT);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), (BYTES + PART - 1) / PART);
}

/* ---- changes --------------------------------------------------------------------------------- */

static void test_the_first_part_and_the_last_can_be_changed(void **state)
{
    struct s3dlio_draft *draft = open_long();

    core_run_write_at(draft, "patched", 10);
    core_run_write_at(draft, "patched", BYTES - PART);
    core_run_reset_counts();
    ahead_run_end(draft);
    assert_in_range(core_run_count(STORE_UPLOAD_PART), 2, 4);
    core_run_check_texts(URI, &(struct core_run_texts){.length = BYTES,
                                                       .texts = {"patched", "patched"},
                                                       .offsets = {10, BYTES - PART}});
}

static void test_what_goes_back_is_kept_from_then_on(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, 12 * MIB);
    core_run_write_at(draft, "patched", 10);
    ahead_run_write(draft, 36 * MIB); /* it fits the spool */
    core_run_write_at(draft, "again", GONE_AT);
    ahead_run_end(draft);
    core_run_check_texts(URI, &(struct core_run_texts){.length = 36 * MIB,
                                                       .texts = {"patched", "again"},
                                                       .offsets = {10, GONE_AT}});
}

static void test_what_is_gone_cannot_be_changed(void **state)
{
    struct s3dlio_draft *draft = open_long();
    struct s3dlio_error error = {0};
    char byte;
    int fd;

    assert_int_equal(s3dlio_draft_pwrite(draft, "x", 1, GONE_AT, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.message, REFUSED));
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, GONE_AT, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.message, REFUSED));
    assert_int_equal(s3dlio_draft_truncate(draft, GONE_AT, &error), -EOPNOTSUPP);
    assert_int_equal(s3dlio_draft_zero(draft, GONE_AT, 5, &error), -EOPNOTSUPP);
    assert_int_equal(s3dlio_draft_map_fd(draft, 0, BYTES, &fd, &error), -EOPNOTSUPP);
    ahead_run_end_whole(draft, BYTES);
}

static void test_cut(void **state)
{
    static const size_t lengths[] = {BYTES - 1, BYTES - PART - 7, 3 * PART, 5, 0};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct s3dlio_draft *draft = open_long();

        assert_int_equal(s3dlio_draft_truncate(draft, lengths[i], NULL), 0);
        if (i % 2 == 0) {
            ahead_run_write(draft, BYTES);
            ahead_run_end_whole(draft, BYTES);
        } else {
            ahead_run_end(draft);
            core_run_check_object(URI, lengths[i], NULL, 0);
        }
        assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    }
}

static void test_longer_with_a_hole(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, BYTES - MIB);
    assert_int_equal(s3dlio_draft_truncate(draft, BYTES, NULL), 0);
    assert_int_equal(
        s3dlio_draft_pwrite(draft, ahead_run_bytes() + BYTES - MIB, MIB, BYTES - MIB, NULL), MIB);
    ahead_run_end_whole(draft, BYTES);
}

/* ---- names and attributes -------------------------------------------------------------------- */

static void test_another_name(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    ahead_run_write(draft, BYTES - 2 * PART);
    ahead_run_rename(draft, BYTES);
}

/* Then all of it can be read and changed. */
static void test_published_in_between(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);
    unsigned char byte;

    ahead_run_write(draft, BYTES - MIB);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_check_object(URI, BYTES - MIB, NULL, 0);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, GONE_AT, NULL), 1);
    assert_int_equal(byte, core_run_byte(GONE_AT));
    core_run_write_at(draft, "changed", GONE_AT);
    ahead_run_write(draft, BYTES);
    end_with(draft, "changed", GONE_AT);
}

/* ---- appending to what is not there yet ------------------------------------------------------ */

static struct s3dlio_draft *open_append(size_t length)
{
    struct s3dlio_draft *draft = ahead_run_open(S3DLIO_WRITE_APPEND);

    ahead_run_write(draft, length);
    return draft;
}

static void test_append_to_a_new_file(void **state)
{
    struct s3dlio_draft *draft = open_append(BYTES);

    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), (BYTES + PART - 1) / PART);
    draft = open_append(BYTES);
    assert_int_equal(s3dlio_draft_truncate(draft, BYTES - 10, NULL), 0); /* that is no append */
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
}

/* What others have put there meanwhile stays: ours comes behind it, if all of it is here. */
static void test_append_behind_another(void **state)
{
    struct s3dlio_draft *draft = open_append(15 * MIB);
    struct s3dlio_error error = {0};

    core_run_put_elsewhere(URI, 0, 0);
    ahead_run_end_whole(draft, 15 * MIB);
    draft = open_append(BYTES);
    core_run_put_elsewhere(URI, 1000, 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, &error), -EOPNOTSUPP);
    assert_non_null(strstr(error.message, REFUSED));
    core_run_check_object(URI, 1000, NULL, 0);
    assert_int_equal(core_run_uploads_left("ahead"), 0);
    core_run_check_released();
}

static void test_append_goes_on(void **state)
{
    struct s3dlio_writer *writer = ahead_run_open_writer(S3DLIO_WRITE_APPEND, 42 * MIB);
    struct s3dlio_draft *draft = NULL;

    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_a_part_is_refused_and_sent_again(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    core_run_faults("op=UploadPart nth=9 count=1 fail=access");
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
}

/* The program is told the store's error, not that the spool is full. */
static void test_the_store_takes_no_more(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);
    struct s3dlio_error error = {0};
    ssize_t n = 1;
    uint64_t at;

    ahead_run_write(draft, 50 * MIB);
    core_run_faults("op=UploadPart fail=access");
    while (n > 0 && s3dlio_draft_length(draft) + MIB <= BYTES + LIMIT)
        n = s3dlio_draft_append(draft, ahead_run_bytes(), MIB, &at, &error);
    assert_int_equal(n, -EACCES);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), -EACCES);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_draft_truncate(draft, 50 * MIB, NULL), 0);
    ahead_run_end_whole(draft, 50 * MIB); /* nothing was lost */
}

static void test_publishing_fails_and_is_tried_again(void **state)
{
    struct s3dlio_draft *draft = open_long();

    core_run_write_at(draft, "patched", 10);
    core_run_faults("op=CompleteMultipartUpload nth=1 count=1 fail=access");
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), -EACCES);
    assert_int_equal(core_run_type(URI), -ENOENT);
    core_run_write_at(draft, "Patched", 10);
    end_with(draft, "Patched", 10);
}

static void test_the_upload_is_gone(void **state)
{
    struct s3dlio_draft *draft = open_long();
    struct s3dlio_error error = {0};

    core_run_faults("op=CompleteMultipartUpload fail=not-found; op=UploadPart fail=not-found");
    assert_true(s3dlio_draft_publish(draft, NULL, &error) < 0);
    core_run_faults(NULL);
    s3dlio_draft_abort(draft);
    core_run_check_released();
    assert_int_equal(core_run_type(URI), -ENOENT);
    assert_int_equal(core_run_uploads_left("ahead"), 0);
}

/* ---- several processes ----------------------------------------------------------------------- */

static void dies(struct s3dlio_draft *draft, void *arg)
{
    core_run_faults("op=UploadPart nth=9 count=0 delay=60000");
    ahead_run_write(draft, 65 * MIB);
    kill(getpid(), SIGKILL);
}

static void test_a_child_dies_with_parts_on_their_way(void **state)
{
    struct s3dlio_draft *draft;

    NOT_UNDER_TSAN();
    draft = ahead_run_open(0);
    ahead_run_let_die(draft, dies);
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
}

static void writes_on(struct s3dlio_draft *draft, void *arg)
{
    ahead_run_write(draft, *(const size_t *)arg);
    s3dlio_draft_forget(draft);
}

static void test_children_in_turn(void **state)
{
    struct s3dlio_draft *draft = ahead_run_open(0);

    for (size_t to = 10 * MIB; to < BYTES; to += 17 * MIB)
        draft_child_run(writes_on, draft, &to);
    ahead_run_write(draft, BYTES);
    ahead_run_end_whole(draft, BYTES);
}

/* ---- a stream that has sent parts itself ----------------------------------------------------- */

static struct s3dlio_draft *convert(struct s3dlio_writer *writer)
{
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error = {0};

    if (s3dlio_draft_from_writer(writer, &draft, &error) < 0)
        fail_msg("%s", error.message);
    return draft;
}

static void test_a_stream_goes_on(void **state)
{
    size_t to = 60 * MIB;

    NOT_UNDER_TSAN();
    for (unsigned delayed = 0; delayed < 2; delayed++) {
        struct s3dlio_writer *writer;
        struct s3dlio_draft *draft;

        core_run_faults(delayed ? "op=UploadPart delay=50" : NULL);
        writer = ahead_run_open_writer(0, 42 * MIB);
        draft = convert(writer);
        draft_child_run(writes_on, draft, &to);
        ahead_run_write(draft, BYTES);
        ahead_run_end_whole(draft, BYTES);
        assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    }
}

static void test_a_stream_that_was_changed(void **state)
{
    struct s3dlio_writer *writer = ahead_run_open_writer(0, 30 * MIB);
    struct s3dlio_draft *draft;

    assert_int_equal(s3dlio_writer_patch(writer, "patched", 7, 10, NULL), 7);
    draft = convert(writer);
    ahead_run_write(draft, BYTES);
    end_with(draft, "patched", 10);
}

static void test_a_stream_that_is_given_up(void **state)
{
    struct s3dlio_draft *draft;

    core_run_faults("op=UploadPart delay=50");
    draft = convert(ahead_run_open_writer(0, 42 * MIB));
    s3dlio_draft_abort(draft);
    core_run_check_released();
    core_run_faults(NULL);
    assert_int_equal(core_run_uploads_left("ahead"), 0);
    assert_int_equal(core_run_type(URI), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_share_is_kept, core_run_clear),
        cmocka_unit_test_setup(test_a_full_spool_waits_for_the_store, core_run_clear),
        cmocka_unit_test_setup(test_the_first_part_and_the_last_can_be_changed, core_run_clear),
        cmocka_unit_test_setup(test_what_goes_back_is_kept_from_then_on, core_run_clear),
        cmocka_unit_test_setup(test_what_is_gone_cannot_be_changed, core_run_clear),
        cmocka_unit_test_setup(test_cut, core_run_clear),
        cmocka_unit_test_setup(test_longer_with_a_hole, core_run_clear),
        cmocka_unit_test_setup(test_another_name, core_run_clear),
        cmocka_unit_test_setup(test_published_in_between, core_run_clear),
        cmocka_unit_test_setup(test_append_to_a_new_file, core_run_clear),
        cmocka_unit_test_setup(test_append_behind_another, core_run_clear),
        cmocka_unit_test_setup(test_append_goes_on, core_run_clear),
        cmocka_unit_test_setup(test_a_part_is_refused_and_sent_again, core_run_clear),
        cmocka_unit_test_setup(test_the_store_takes_no_more, core_run_clear),
        cmocka_unit_test_setup(test_publishing_fails_and_is_tried_again, core_run_clear),
        cmocka_unit_test_setup(test_the_upload_is_gone, core_run_clear),
        cmocka_unit_test_setup(test_a_child_dies_with_parts_on_their_way, core_run_clear),
        cmocka_unit_test_setup(test_children_in_turn, core_run_clear),
        cmocka_unit_test_setup(test_a_stream_goes_on, core_run_clear),
        cmocka_unit_test_setup(test_a_stream_that_was_changed, core_run_clear),
        cmocka_unit_test_setup(test_a_stream_that_is_given_up, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, core_run_remove_file_root);
}
