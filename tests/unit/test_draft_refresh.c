/* core/draft.h: what others have published, seen by a draft in which nothing was changed. */
#include "core_run.h"

#include <errno.h>
#include <string.h>

#define URI   "fault://refresh/object"
#define OTHER "fault://refresh/other"

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_make_bucket("refresh");
    return 0;
}

static int clear(void **state)
{
    core_run_clear(state);
    s3dlio_unlink(URI, NULL, NULL);
    return 0;
}

static struct s3dlio_draft *open_draft(enum s3dlio_draft_base base, unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};

    return core_run_open_draft(URI, base, &options);
}

static void check_is(struct s3dlio_draft *draft, size_t length, size_t from)
{
    unsigned char bytes[100];

    assert_int_equal(s3dlio_draft_length(draft), length);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, sizeof bytes, 50, NULL), sizeof bytes);
    core_run_check(bytes, sizeof bytes, from + 50);
}

static void test_another_version_is_seen(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
    check_is(draft, 1000, 0);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 0);
    core_run_put_elsewhere(URI, 2000, 7);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 1);
    check_is(draft, 2000, 7);
    core_run_put_elsewhere(URI, 500, 3);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 1);
    check_is(draft, 500, 3);
    core_run_write_at(draft, "mine", 10);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 0);
    core_run_delete_elsewhere(URI);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_type(URI), -ENOENT);
    core_run_check_released();
}

/* Between the open and the first read: what is read is one version, and after that no other. */
static void test_another_version_before_the_first_read(void **state)
{
    struct s3dlio_draft *draft;
    unsigned char byte;

    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
    core_run_put_elsewhere(URI, 2000, 7);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 50, NULL), 1);
    check_is(draft, 2000, 7);
    core_run_put_elsewhere(URI, 3000, 9);
    core_run_write_at(draft, "mine", 10);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -ESTALE);
    draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "mine", 10);
    core_run_put_elsewhere(URI, 1000, 1);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 50, NULL), -ESTALE);
    s3dlio_draft_abort(draft);
    core_run_check_released();
}

static void test_what_was_changed_stays(void **state)
{
    struct s3dlio_draft *draft;
    size_t length = 0;
    void *data;

    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "mine", 10);
    core_run_put_elsewhere(URI, 2000, 7);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 0);
    assert_int_equal(s3dlio_draft_length(draft), 1000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -ESTALE);
    assert_int_equal(s3dlio_get(URI, NULL, &data, &length, NULL), 0);
    assert_int_equal(length, 2000);
    core_run_check(data, length, 7);
    s3dlio_free(data);
}

/* Made by an open, and by somebody else with something in it. */
static void test_a_bare_file_replaces_nothing(void **state)
{
    struct s3dlio_draft *draft = open_draft(S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_SOUGHT);

    core_run_put(URI, 1000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, 1000, NULL, 0);

    s3dlio_unlink(URI, NULL, NULL);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_SOUGHT);
    core_run_put(URI, 1000);
    assert_int_equal(s3dlio_draft_refresh(draft, NULL), 1);
    check_is(draft, 1000, 0);
    core_run_write_at(draft, "mine", 10);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, 1000, "mine", 10);

    s3dlio_unlink(URI, NULL, NULL);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_SOUGHT);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(URI, ""));

    s3dlio_unlink(URI, NULL, NULL);
    core_run_put(OTHER, 1000);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_SOUGHT);
    assert_int_equal(s3dlio_draft_rename(draft, OTHER, 0, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OTHER, "")); /* a rename does */
    core_run_check_released();
}

/* Where something was there it is replaced: O_TRUNC. */
static void test_an_emptied_file_is_empty(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(URI, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_another_version_is_seen, clear),
        cmocka_unit_test_setup(test_another_version_before_the_first_read, clear),
        cmocka_unit_test_setup(test_what_was_changed_stays, clear),
        cmocka_unit_test_setup(test_a_bare_file_replaces_nothing, clear),
        cmocka_unit_test_setup(test_an_emptied_file_is_empty, clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
