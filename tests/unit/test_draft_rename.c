/* core/draft.h: drafts that take another name, or get their first one. What stands at the store
 * under either name is whole after every request, and no request is made that is not needed. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>

#define B   "fault://retarget/"
#define OLD B "old.bin"
#define NEW B "new.bin"

static int set_up(void **state)
{
    core_run_make_file_root();
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_make_bucket("retarget");
    return 0;
}

static int clear(void **state)
{
    return core_run_clear_objects(OLD, NEW);
}

static struct s3dlio_draft *open_with(const char *uri, enum s3dlio_draft_base base, unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};

    return core_run_open_draft(uri, base, &options);
}

static int rename_to(struct s3dlio_draft *draft, const char *uri, unsigned flags)
{
    return s3dlio_draft_rename(draft, uri, flags, NULL, NULL);
}

/* ---- nothing at the store -------------------------------------------------------------------- */

static void test_unsent_costs_no_copy(void **state)
{
    struct s3dlio_draft *draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, 0);

    core_run_write_at(draft, "text", 0);
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_int_equal(core_run_changes(), 0);
    assert_true(core_run_holds(NEW, NULL));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_changes(), 1);
    assert_int_equal(core_run_count(STORE_PUT), 1);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "text"));
}

static void test_target_is_replaced_at_publish(void **state)
{
    struct s3dlio_draft *draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_EXCLUSIVE);

    core_run_put_text(NEW, "before");
    core_run_write_at(draft, "after", 0);
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_true(core_run_holds(NEW, "before"));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "after"));
}

static void test_no_replace(void **state)
{
    struct s3dlio_draft *draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, 0);

    core_run_put_text(NEW, "another's");
    core_run_write_at(draft, "ours", 0);
    assert_int_equal(rename_to(draft, NEW, S3DLIO_RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_to(draft, NEW, 64), -EINVAL);
    s3dlio_delete(NEW, NULL, NULL);
    assert_int_equal(rename_to(draft, NEW, S3DLIO_RENAME_NOREPLACE), 0);
    core_run_put_text(NEW, "another's again");
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -EEXIST);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "another's again"));
}

static void test_new_name_is_judged(void **state)
{
    struct s3dlio_draft *draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, 0);

    core_run_put_text(B "dir/entry", "");
    core_run_put_text(B "file", "");
    core_run_write_at(draft, "text", 0);
    assert_int_equal(rename_to(draft, B "dir", 0), -EISDIR);
    assert_int_equal(rename_to(draft, B "dir", S3DLIO_RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_to(draft, B "file/x", 0), -ENOTDIR);
    assert_int_equal(rename_to(draft, B "file/", 0), -ENOTDIR);
    assert_int_equal(rename_to(draft, OLD "/x", 0), -ENOTDIR);
    assert_int_equal(rename_to(draft, B "none/x", 0), -ENOENT);
    assert_int_equal(rename_to(draft, B, 0), -EBUSY);
    assert_int_equal(rename_to(draft, "mem://retarget/x", 0), -EXDEV);
    assert_int_equal(rename_to(draft, B "dir/x", 0), 0);
    assert_int_equal(core_run_changes(), 2);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(B "dir/x", "text"));
}

static void test_own_name(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put_text(OLD, "before");
    draft = open_with(OLD, S3DLIO_DRAFT_KEEP, 0);
    core_run_reset_counts();
    assert_int_equal(rename_to(draft, OLD, 0), 0);
    assert_int_equal(rename_to(draft, OLD, S3DLIO_RENAME_NOREPLACE), 0);
    assert_int_equal(core_run_requests(), 0);
    s3dlio_draft_abort(draft);
}

static void test_again_and_back(void **state)
{
    struct s3dlio_draft *draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, 0);

    core_run_write_at(draft, "text", 0);
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_int_equal(rename_to(draft, B "third.bin", 0), 0);
    assert_int_equal(rename_to(draft, OLD, 0), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, "text") && core_run_holds(NEW, NULL) &&
                core_run_holds(B "third.bin", NULL));
}

/* ---- something at the store ------------------------------------------------------------------ */

static void test_the_version_before_moves_at_once(void **state)
{
    struct s3dlio_draft *draft;
    char byte;

    core_run_put_text(OLD, "before");
    draft = open_with(OLD, S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "A", 5);
    core_run_reset_counts();
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    assert_int_equal(core_run_count(STORE_DELETE), 1);
    assert_int_equal(core_run_changes(), 2);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "before"));
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 3, NULL), 1);
    assert_int_equal(byte, 'o');
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "beforA"));
}

static void test_what_is_replaced_moves_too(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put_text(OLD, "before");
    draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, 0);
    core_run_write_at(draft, "after", 0);
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "before"));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "after"));
}

static void test_what_was_published_moves(void **state)
{
    struct s3dlio_draft *draft = open_with(OLD, S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_EXCLUSIVE);

    core_run_write_at(draft, "first", 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_put_text(NEW, "another's");
    assert_int_equal(rename_to(draft, NEW, S3DLIO_RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "first"));
    core_run_write_at(draft, " and last", 5);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "first and last"));
}

static void test_unchanged_is_not_sent_again(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put_text(OLD, "before");
    draft = open_with(OLD, S3DLIO_DRAFT_KEEP, 0);
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_requests(), 0);
    assert_true(core_run_holds(NEW, "before"));
}

/* As rename(2), whatever has the name moves; what the draft would lose is not overwritten. */
static void test_another_version_moves(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put_text(OLD, "before");
    draft = open_with(OLD, S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "A", 5);
    core_run_put_text(OLD, "another's");
    assert_int_equal(rename_to(draft, NEW, 0), 0);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "another's"));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -ESTALE);
    assert_true(core_run_holds(NEW, "another's"));
}

static void test_a_removed_file(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put_text(OLD, "before");
    draft = open_with(OLD, S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "A", 5);
    s3dlio_delete(OLD, NULL, NULL);
    assert_int_equal(rename_to(draft, NEW, 0), -ENOENT);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -ESTALE);
    assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, NULL));
}

/* ---- failures -------------------------------------------------------------------------------- */

/* From the n-th request of the rename on nothing gets through; then the process ends there, or the
 * store is back. False: all of the rename was done before. */
static bool stop_at(unsigned n, bool is_killed)
{
    struct s3dlio_draft *draft;
    char rule[64];
    int r;

    core_run_put_text(OLD, "before");
    core_run_put_text(NEW, "replaced");
    draft = open_with(OLD, S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "A", 5);
    snprintf(rule, sizeof rule, "nth=%u fail=access", n);
    core_run_faults(rule);
    r = rename_to(draft, NEW, 0);
    core_run_faults(NULL);
    assert_true(r == 0 || r == -EACCES);
    assert_true(core_run_holds(OLD, "before") ||
                (core_run_holds(NEW, "before") && core_run_holds(OLD, NULL)));
    assert_true(core_run_holds(NEW, "before") || core_run_holds(NEW, "replaced"));
    if (is_killed) {
        s3dlio_draft_abort(draft);
    } else {
        assert_int_equal(rename_to(draft, NEW, 0), 0);
        assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "before"));
        assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
        assert_true(core_run_holds(OLD, NULL) && core_run_holds(NEW, "beforA"));
    }
    return r < 0;
}

static void test_stopped_anywhere(void **state)
{
    unsigned n = 1;

    while (stop_at(n, true))
        n++;
    assert_true(n > 5);
    for (n = 1; stop_at(n, false);)
        n++;
    assert_true(n > 5);
}

/* ---- files without a name -------------------------------------------------------------------- */

#define NO_NAME B "dir/.#unnamed"

static void test_unnamed_sends_nothing(void **state)
{
    struct s3dlio_draft *draft = open_with(NO_NAME, S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_UNNAMED);
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_UNNAMED};
    struct s3dlio_attr attr;
    char text[5] = "";

    core_run_write_at(draft, "text", 0);
    assert_int_equal(s3dlio_draft_pread(draft, text, 4, 0, NULL), 4);
    assert_string_equal(text, "text");
    assert_int_equal(s3dlio_draft_publish(draft, &attr, NULL), 0);
    assert_int_equal(attr.size_bytes, 4);
    assert_int_equal(s3dlio_draft_rename(draft, NO_NAME, 0, NULL, NULL), -EINVAL);
    assert_int_equal(s3dlio_draft_close(draft, &attr, NULL), 0);
    assert_int_equal(s3dlio_draft_open(NO_NAME, &options, S3DLIO_DRAFT_KEEP, NULL, &draft, NULL),
                     -EINVAL);
    assert_int_equal(core_run_requests(), 0);
}

static void test_unnamed_gets_a_name(void **state)
{
    struct s3dlio_draft *draft = open_with(NO_NAME, S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_UNNAMED);

    core_run_write_at(draft, "text", 0);
    core_run_put_text(NEW, "another's");
    assert_int_equal(rename_to(draft, NEW, S3DLIO_RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    s3dlio_delete(NEW, NULL, NULL);
    core_run_reset_counts();
    assert_int_equal(rename_to(draft, NEW, S3DLIO_RENAME_NOREPLACE), 0);
    assert_int_equal(core_run_changes(), 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    assert_int_equal(core_run_changes(), 1);
    assert_true(core_run_holds(NEW, "text"));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_changes(), 1);
}

/* ---- directories ----------------------------------------------------------------------------- */

/* The version that it starts from moved with the directory; no request but one look at it. */
static void test_follows_its_directory(void **state)
{
    struct s3dlio_draft *kept, *fresh, *replaced;
    char byte;

    core_run_put_text(B "dir/kept", "before");
    core_run_put_text(B "dir/replaced", "before");
    kept = open_with(B "dir/kept", S3DLIO_DRAFT_KEEP, 0);
    fresh = open_with(B "dir/fresh", S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_EXCLUSIVE);
    replaced = open_with(B "dir/replaced", S3DLIO_DRAFT_EMPTY, 0);
    core_run_write_at(kept, "A", 5);
    core_run_write_at(fresh, "new", 0);
    core_run_write_at(replaced, "after", 0);
    assert_int_equal(s3dlio_rename(B "dir", B "moved", 0, NULL, NULL), 0);
    core_run_reset_counts();
    assert_int_equal(rename_to(kept, B "moved/kept", S3DLIO_RENAME_FOLLOW), 0);
    assert_int_equal(core_run_requests(), 1);
    assert_int_equal(rename_to(fresh, B "moved/fresh", S3DLIO_RENAME_FOLLOW), 0);
    assert_int_equal(rename_to(replaced, B "moved/replaced", S3DLIO_RENAME_FOLLOW), 0);
    assert_int_equal(core_run_requests(), 1);
    assert_int_equal(s3dlio_draft_pread(kept, &byte, 1, 3, NULL), 1);
    assert_int_equal(byte, 'o');
    assert_int_equal(s3dlio_draft_close(kept, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_close(fresh, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_close(replaced, NULL, NULL), 0);
    assert_true(core_run_holds(B "moved/kept", "beforA") && core_run_holds(B "moved/fresh", "new"));
    assert_true(core_run_holds(B "moved/replaced", "after") &&
                core_run_holds(B "dir/replaced", NULL));
}

/* What somebody else put there meanwhile is not overwritten, nor what has another name already. */
static void test_follows_no_other_version(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put_text(B "dir/file", "before");
    draft = open_with(B "dir/file", S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "A", 5);
    core_run_put_text(B "dir/file", "another's");
    assert_int_equal(s3dlio_rename(B "dir", B "other", 0, NULL, NULL), 0);
    assert_int_equal(rename_to(draft, B "other/file", S3DLIO_RENAME_FOLLOW), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -ESTALE);
    assert_true(core_run_holds(B "other/file", "another's"));
}

static void test_streams_follow_too(void **state)
{
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_APPEND};
    struct s3dlio_writer *writer;

    core_run_put_text(B "dir/log", "one ");
    assert_int_equal(s3dlio_writer_open(B "dir/log", &options, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, "two", 3, NULL), 3);
    assert_int_equal(s3dlio_rename(B "dir", B "logs", 0, NULL, NULL), 0);
    assert_int_equal(s3dlio_writer_rename(writer, B "logs/log", S3DLIO_RENAME_FOLLOW, NULL, NULL), 0);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_true(core_run_holds(B "logs/log", "one two") && core_run_holds(B "dir/log", NULL));
}

/* ---- stores that rename by themselves -------------------------------------------------------- */

static void test_a_store_that_renames(void **state)
{
    struct s3dlio_draft *draft;

    assert_int_equal(s3dlio_mkdir("file://b", NULL, NULL, NULL), 0);
    core_run_put_text("file://b/old", "before");
    draft = open_with("file://b/old", S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "A", 5);
    assert_int_equal(rename_to(draft, "file://b/none/x", 0), -ENOENT);
    assert_int_equal(rename_to(draft, "file://b/new", 0), 0);
    assert_true(core_run_holds("file://b/old", NULL) && core_run_holds("file://b/new", "before"));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds("file://b/old", NULL) && core_run_holds("file://b/new", "beforA"));

    draft = open_with("file://b/old", S3DLIO_DRAFT_EMPTY, 0);
    core_run_write_at(draft, "unsent", 0);
    assert_int_equal(rename_to(draft, "file://b/new", S3DLIO_RENAME_NOREPLACE), -EEXIST);
    assert_int_equal(rename_to(draft, "file://b/newer", S3DLIO_RENAME_NOREPLACE), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(core_run_holds("file://b/old", NULL) && core_run_holds("file://b/newer", "unsent"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_unsent_costs_no_copy, clear),
        cmocka_unit_test_setup(test_target_is_replaced_at_publish, clear),
        cmocka_unit_test_setup(test_no_replace, clear),
        cmocka_unit_test_setup(test_new_name_is_judged, clear),
        cmocka_unit_test_setup(test_own_name, clear),
        cmocka_unit_test_setup(test_again_and_back, clear),
        cmocka_unit_test_setup(test_the_version_before_moves_at_once, clear),
        cmocka_unit_test_setup(test_what_is_replaced_moves_too, clear),
        cmocka_unit_test_setup(test_what_was_published_moves, clear),
        cmocka_unit_test_setup(test_unchanged_is_not_sent_again, clear),
        cmocka_unit_test_setup(test_another_version_moves, clear),
        cmocka_unit_test_setup(test_a_removed_file, clear),
        cmocka_unit_test_setup(test_stopped_anywhere, clear),
        cmocka_unit_test_setup(test_unnamed_sends_nothing, clear),
        cmocka_unit_test_setup(test_unnamed_gets_a_name, clear),
        cmocka_unit_test_setup(test_follows_its_directory, clear),
        cmocka_unit_test_setup(test_follows_no_other_version, clear),
        cmocka_unit_test_setup(test_streams_follow_too, clear),
        cmocka_unit_test_setup(test_a_store_that_renames, clear),
    };

    return cmocka_run_group_tests_name("draft_rename", tests, set_up, core_run_remove_file_root);
}
