/* core/draft.h: bytes of other objects in drafts. They are read, kept and changed as the draft's
 * own, move through the store alone, and are of the version that was open or of none. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define B          "fault://clone/"
#define SOURCE     B "source.bin"
#define OTHER      B "other.bin"
#define TARGET     B "target.bin"
#define BASE_BYTES (40 * MIB)

/* The bucket's directory is marked from the beginning: what is stored here has a mode. */
static int set_up(void **state)
{
    struct s3dlio_write_options options = {.has = S3DLIO_HAS_MODE, .mode = 0600};

    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_make_bucket("clone");
    assert_int_equal(s3dlio_put(TARGET, "", 0, &options, NULL, NULL, NULL), 0);
    return 0;
}

static int clear(void **state)
{
    return core_run_clear_objects(SOURCE, TARGET);
}

static struct s3dlio_draft *open_draft(enum s3dlio_draft_base base, unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags, .has = S3DLIO_HAS_MODE, .mode = 0600};

    return core_run_open_draft(TARGET, base, &options);
}

/* [offset, offset + length) of the object, opened for that. */
static ssize_t clone_from(struct s3dlio_draft *draft, const char *uri, uint64_t offset,
                          uint64_t length)
{
    struct s3dlio_reader *reader = core_run_open_reader(uri);
    ssize_t r = s3dlio_draft_clone(draft, reader, offset, length, offset, NULL, NULL);

    s3dlio_reader_close(reader);
    return r;
}

/* The pattern in [from, length), `text` at `at` (NULL: none), zeros before `from`. */
static void check_bytes(const unsigned char *bytes, size_t length, size_t from, const char *text,
                        size_t at)
{
    size_t text_length = text ? strlen(text) : 0;

    for (size_t i = 0; i < from; i++)
        if (bytes[i])
            fail_msg("byte %zu is not zero", i);
    core_run_check(bytes + from, (text ? at : length) - from, from);
    if (!text)
        return;
    assert_memory_equal(bytes + at, text, text_length);
    core_run_check(bytes + at + text_length, length - at - text_length, at + text_length);
}

static void check_target(size_t length, size_t from, const char *text, size_t at)
{
    size_t found = 0;
    void *data;

    assert_int_equal(s3dlio_get(TARGET, NULL, &data, &found, NULL), 0);
    assert_int_equal(found, length);
    check_bytes(data, length, from, text, at);
    s3dlio_free(data);
}

static void check_draft(struct s3dlio_draft *draft, size_t length, const char *text, size_t at)
{
    unsigned char *bytes = malloc(length);

    assert_int_equal(s3dlio_draft_length(draft), length);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, length, 0, NULL), length);
    check_bytes(bytes, length, 0, text, at);
    free(bytes);
}

static uint64_t moved(void)
{
    struct s3dlio_stats stats;

    s3dlio_get_stats(&stats);
    return stats.bytes_sent + stats.bytes_received;
}

/* ---- whole objects --------------------------------------------------------------------------- */

static void whole(size_t length, unsigned flags, uint64_t copies, uint64_t all)
{
    struct s3dlio_draft *draft;
    struct s3dlio_attr attr, now;
    uint64_t before;

    core_run_put(SOURCE, length);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, flags);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), length);
    core_run_reset_counts();
    before = moved();
    assert_int_equal(s3dlio_draft_close(draft, &attr, NULL), 0);
    assert_int_equal(moved(), before);
    assert_int_equal(core_run_count(STORE_COPY), copies);
    if (core_run_requests() > all)
        fail_msg("%llu requests", (unsigned long long)core_run_requests());
    check_target(length, 0, NULL, 0);
    assert_int_equal(s3dlio_stat(TARGET, NULL, &now, NULL), 0);
    assert_int_equal(attr.size_bytes, length);
    assert_string_equal(attr.etag, now.etag);
    assert_int_equal(now.has & S3DLIO_HAS_MODE, S3DLIO_HAS_MODE);
    assert_int_equal(now.mode, 0600);
    s3dlio_delete(TARGET, NULL, NULL);
}

/* One request, and the look whether the directory is marked, because of the mode; one at what is
 * there already, where nothing may be. */
static void test_a_whole_object_is_one_copy(void **state)
{
    whole(100, 0, 1, 2);
    whole(BASE_BYTES, 0, 1, 2);
    whole(100, S3DLIO_WRITE_EXCLUSIVE, 1, 5);
    whole(BASE_BYTES, S3DLIO_WRITE_EXCLUSIVE, 1, 5);
    core_run_check_released();
}

static void test_nothing_may_be_there(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_EXCLUSIVE);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
    core_run_put(TARGET, 1000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -EEXIST);
    check_target(1000, 0, NULL, 0);
    core_run_check_released();
}

static void test_an_empty_object(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_attr attr;

    core_run_put(SOURCE, 0);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), 0);
    assert_int_equal(s3dlio_draft_close(draft, &attr, NULL), 0);
    check_target(0, 0, NULL, 0);
}

static void test_what_goes_with_it(void **state)
{
    struct s3dlio_write_options options = {.content_type = "text/x-test",
                                           .has = S3DLIO_HAS_MODE | S3DLIO_HAS_UID,
                                           .mode = 0755,
                                           .uid = 4711};
    struct s3dlio_draft *draft;
    struct s3dlio_attr attr;
    char type[32] = "";

    assert_int_equal(s3dlio_put(SOURCE, "text", 4, &options, NULL, NULL, NULL), 0);
    assert_int_equal(s3dlio_setxattr(SOURCE, "user.colour", "red", 3, 0, NULL, NULL), 0);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), 4);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(s3dlio_stat(TARGET, NULL, &attr, NULL), 0);
    assert_int_equal(attr.has, S3DLIO_HAS_MODE);
    assert_int_equal(attr.mode, 0600);
    assert_int_equal(s3dlio_getxattr(TARGET, "user.s3.content-type", type, sizeof type, NULL, NULL),
                     11);
    assert_memory_equal(type, "text/x-test", 11);
    assert_int_equal(s3dlio_getxattr(TARGET, "user.colour", type, sizeof type, NULL, NULL),
                     -ENODATA);
}

/* ---- parts of it ----------------------------------------------------------------------------- */

static void test_reads_before_publishing(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
    check_draft(draft, BASE_BYTES, NULL, 0);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL),
                     0); /* fetched, and copied all the same */
    assert_int_equal(core_run_count(STORE_COPY), 1);
    check_target(BASE_BYTES, 0, NULL, 0);
    core_run_check_released();
}

static void test_in_pieces(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    for (uint64_t at = 0; at < BASE_BYTES; at += 8 * MIB)
        assert_int_equal(clone_from(draft, SOURCE, at, 8 * MIB), 8 * MIB);
    assert_int_equal(clone_from(draft, SOURCE, BASE_BYTES, 8 * MIB), 0);
    assert_int_equal(s3dlio_draft_length(draft), BASE_BYTES);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    assert_true(core_run_requests() <= 2);
    check_target(BASE_BYTES, 0, NULL, 0);
}

static void test_changed_after(void **state)
{
    struct s3dlio_draft *draft;
    uint64_t before;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
    core_run_write_at(draft, "changed", 20 * MIB + 5);
    before = moved();
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    assert_true(moved() - before <= 10 * MIB);
    assert_true(core_run_count(STORE_UPLOAD_PART_COPY) >= 2);
    check_target(BASE_BYTES, 0, "changed", 20 * MIB + 5);

    s3dlio_delete(SOURCE, NULL, NULL); /* from now on it is a version of the target */
    check_draft(draft, BASE_BYTES, "changed", 20 * MIB + 5);
    core_run_write_at(draft, "CHANGED", 20 * MIB + 5);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_target(BASE_BYTES, 0, "CHANGED", 20 * MIB + 5);
    core_run_check_released();
}

static void test_behind_a_hole(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, SOURCE, 16 * MIB, UINT64_MAX), BASE_BYTES - 16 * MIB);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_target(BASE_BYTES, 16 * MIB, NULL, 0);
    core_run_check_released();
}

static void test_over_written_bytes(void **state)
{
    struct s3dlio_draft *draft;
    unsigned char byte = 0;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    core_run_write_at(draft, "overwritten", 5);
    core_run_write_at(draft, "stays", BASE_BYTES);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 6, NULL), 1);
    assert_int_equal(byte, core_run_byte(6));
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_target(BASE_BYTES + 5, 0, "stays", BASE_BYTES);
    core_run_check_released();
}

/* A version of its own that is replaced: only that one. */
static void test_into_an_object_that_is_there(void **state)
{
    struct s3dlio_draft *draft;

    for (unsigned is_changed = 0; is_changed < 2; is_changed++) {
        core_run_put(SOURCE, BASE_BYTES);
        core_run_put(TARGET, 1000);
        draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
        assert_int_equal(s3dlio_draft_truncate(draft, 0, NULL), 0);
        assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
        if (is_changed)
            core_run_put(TARGET, 2000);
        assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), is_changed ? -ESTALE : 0);
        check_target(is_changed ? 2000 : BASE_BYTES, 0, NULL, 0);
    }
    core_run_check_released();
}

static void test_own_bytes(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(TARGET, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
    core_run_write_at(draft, "overwritten", 20 * MIB);
    assert_int_equal(clone_from(draft, TARGET, 20 * MIB, 100), 100);
    check_draft(draft, BASE_BYTES, NULL, 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_target(BASE_BYTES, 0, NULL, 0);
}

static void test_renamed_meanwhile(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, S3DLIO_WRITE_EXCLUSIVE);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
    assert_int_equal(s3dlio_draft_rename(draft, B "elsewhere.bin", 0, NULL, NULL), 0);
    check_draft(draft, BASE_BYTES, NULL, 0);
    assert_int_equal(s3dlio_draft_rename(draft, TARGET, 0, NULL, NULL), 0);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_COPY), 1);
    check_target(BASE_BYTES, 0, NULL, 0);
}

/* ---- refusals and failures ------------------------------------------------------------------- */

static void test_what_is_refused(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_reader *reader;
    char byte = 0;
    int fd;

    core_run_put(SOURCE, BASE_BYTES);
    core_run_put(OTHER, BASE_BYTES);
    reader = core_run_open_reader(SOURCE);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(s3dlio_draft_clone(draft, reader, 0, 100, 1, NULL, NULL), -EXDEV);
    core_run_store()->capabilities &= ~(unsigned)STORE_CAP_COPY;
    assert_int_equal(clone_from(draft, SOURCE, 0, 100), -EXDEV);
    core_run_store()->capabilities |= STORE_CAP_COPY;
    assert_int_equal(clone_from(draft, SOURCE, 0, 100), 100);
    assert_int_equal(clone_from(draft, OTHER, 100, 100), -EXDEV);
    assert_int_equal(s3dlio_draft_length(draft), 100);

    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 0, NULL), 1); /* all that was cloned */
    assert_int_equal(clone_from(draft, OTHER, 100, 100), 100);
    assert_int_equal(s3dlio_draft_map_fd(draft, 0, 200, &fd, NULL), 0);
    assert_int_equal(clone_from(draft, OTHER, 100, 100), -EXDEV);
    close(fd);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_target(200, 0, NULL, 0);
    s3dlio_reader_close(reader);

    core_run_put(TARGET, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP, 0);
    assert_int_equal(clone_from(draft, SOURCE, 0, 100), -EXDEV);
    s3dlio_draft_abort(draft);
    assert_int_equal(s3dlio_mkdir("mem://clone", NULL, NULL, NULL), 0);
    core_run_put("mem://clone/x", 100);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, "mem://clone/x", 0, 100), -EXDEV);
    s3dlio_draft_abort(draft);
    reader = core_run_open_reader("mem://clone/x");
    assert_int_equal(s3dlio_reader_can_clone(reader, "mem://clone/y"), 0);
    assert_int_equal(s3dlio_reader_can_clone(reader, TARGET), -EXDEV);
    s3dlio_reader_close(reader);
    core_run_check_released();
}

static void test_a_source_that_changes(void **state)
{
    struct s3dlio_draft *draft;
    char byte;

    for (unsigned is_gone = 0; is_gone < 2; is_gone++)
        for (unsigned is_partial = 0; is_partial < 2; is_partial++) {
            core_run_put(SOURCE, BASE_BYTES);
            core_run_put(TARGET, 1000);
            draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
            assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
            if (is_partial)
                core_run_write_at(draft, "changed", 20 * MIB);
            if (is_gone)
                core_run_delete_elsewhere(SOURCE);
            else
                core_run_put_elsewhere(SOURCE, 2000, 1);
            assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), -ESTALE);
            assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 5, NULL), -ESTALE);
            s3dlio_draft_abort(draft);
            check_target(1000, 0, NULL, 0);
        }
    core_run_check_released();
}

/* What this process does to the source costs nothing, or the bytes. */
static void test_a_source_that_is_changed_here(void **state)
{
    for (unsigned how = 0; how < 6; how++) {
        const bool is_partial = how / 3;
        struct s3dlio_draft *draft;
        uint64_t before = 0;

        core_run_put(SOURCE, BASE_BYTES);
        draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
        assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
        if (is_partial)
            core_run_write_at(draft, "changed", 20 * MIB);
        if (how % 3 == 0)
            assert_int_equal(s3dlio_unlink(SOURCE, NULL, NULL), 0);
        else if (how % 3 == 1)
            core_run_put(SOURCE, 2000);
        else
            assert_int_equal(s3dlio_rename(SOURCE, OTHER, 0, NULL, NULL), 0);
        before = moved();
        assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
        if (how == 2)
            assert_int_equal(moved(), before);
        check_target(BASE_BYTES, 0, is_partial ? "changed" : NULL, 20 * MIB);
    }
    core_run_check_released();
}

/* Then the bytes move after all. */
static void test_copies_are_refused(void **state)
{
    static const char *const rules[] = {"op=CopyObject fail=access",
                                        "op=UploadPartCopy fail=access",
                                        "op=CopyObject fail=unsupported"};

    for (unsigned i = 0; i < 3; i++) {
        struct s3dlio_draft *draft;
        const bool is_partial = i == 1;
        uint64_t before;

        core_run_put(SOURCE, BASE_BYTES);
        draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
        assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
        if (is_partial)
            core_run_write_at(draft, "changed", 20 * MIB);
        core_run_faults(rules[i]);
        before = moved();
        assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
        core_run_faults(NULL);
        if (i == 2) /* then parts are copied */
            assert_true(moved() - before < MIB);
        else
            assert_true(moved() - before >= 2 * BASE_BYTES - 10 * MIB);
        check_target(BASE_BYTES, 0, is_partial ? "changed" : NULL, 20 * MIB);
    }
    core_run_check_released();
}

/* What is not a copy is not tried in another way: the bytes would be fetched for nothing. */
static void test_sending_is_refused(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(SOURCE, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
    assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
    core_run_write_at(draft, "changed", 20 * MIB);
    core_run_reset_counts();
    core_run_faults("op=CreateMultipartUpload fail=access");
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), -EACCES);
    assert_int_equal(core_run_count(STORE_UPLOAD_CREATE), 1);
    core_run_faults(NULL);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_target(BASE_BYTES, 0, "changed", 20 * MIB);
    core_run_check_released();
}

static void test_stopped_anywhere(void **state)
{
    char rule[64];
    int r = -1;

    for (unsigned is_partial = 0; is_partial < 2; is_partial++)
        for (unsigned n = 1; r < 0 || n == 1; n++) {
            struct s3dlio_draft *draft;

            core_run_put(SOURCE, BASE_BYTES);
            core_run_put(TARGET, 1000);
            draft = open_draft(S3DLIO_DRAFT_EMPTY, 0);
            assert_int_equal(clone_from(draft, SOURCE, 0, UINT64_MAX), BASE_BYTES);
            if (is_partial)
                core_run_write_at(draft, "changed", 20 * MIB);
            snprintf(rule, sizeof rule, "nth=%u count=1 fail=access", n);
            core_run_faults(rule);
            r = s3dlio_draft_publish(draft, NULL, NULL);
            core_run_faults(NULL);
            if (r < 0)
                check_target(1000, 0, NULL, 0);
            assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
            check_target(BASE_BYTES, 0, is_partial ? "changed" : NULL, 20 * MIB);
            assert_true(n < 20);
        }
    core_run_check_released();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_whole_object_is_one_copy, clear),
        cmocka_unit_test_setup(test_nothing_may_be_there, clear),
        cmocka_unit_test_setup(test_an_empty_object, clear),
        cmocka_unit_test_setup(test_what_goes_with_it, clear),
        cmocka_unit_test_setup(test_reads_before_publishing, clear),
        cmocka_unit_test_setup(test_in_pieces, clear),
        cmocka_unit_test_setup(test_changed_after, clear),
        cmocka_unit_test_setup(test_behind_a_hole, clear),
        cmocka_unit_test_setup(test_over_written_bytes, clear),
        cmocka_unit_test_setup(test_into_an_object_that_is_there, clear),
        cmocka_unit_test_setup(test_own_bytes, clear),
        cmocka_unit_test_setup(test_renamed_meanwhile, clear),
        cmocka_unit_test_setup(test_what_is_refused, clear),
        cmocka_unit_test_setup(test_a_source_that_changes, clear),
        cmocka_unit_test_setup(test_a_source_that_is_changed_here, clear),
        cmocka_unit_test_setup(test_copies_are_refused, clear),
        cmocka_unit_test_setup(test_sending_is_refused, clear),
        cmocka_unit_test_setup(test_stopped_anywhere, clear),
    };

    return cmocka_run_group_tests_name("draft_clone", tests, set_up, NULL);
}
