/* core/draft.h: what publishing costs, what is there after a failure, and the edges of a draft.
 * Random sequences are in test_draft_model.c. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/spool.h"
#include "sanitizer.h"

#define URI        "fault://draft/object"
#define BASE_BYTES (40 * MIB)
#define SPOOL_MAX  (64 * MIB)

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_SPOOL_LIMIT=64M");
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_make_bucket("draft");
    return 0;
}

static struct s3dlio_draft *open_draft(enum s3dlio_draft_base base)
{
    return core_run_open_draft(URI, base, NULL);
}

static void check_nothing_left(void)
{
    core_run_check_released();
    assert_int_equal(core_run_uploads_left("draft"), 0);
}

struct moved {
    uint64_t sent, received;
};

static struct moved moved_now(void)
{
    struct s3dlio_stats stats;

    s3dlio_get_stats(&stats);
    return (struct moved){stats.bytes_sent, stats.bytes_received};
}

/* ---- figures --------------------------------------------------------------------------------- */

static void test_nothing_is_fetched_at_open(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(URI, BASE_BYTES);
    core_run_reset_counts();
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_length(draft), BASE_BYTES);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(stats_requests(engine_stats(core_run_engine())) > 0, 1);
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_int_equal(core_run_count(STORE_GET), 0);
    assert_int_equal(core_run_count(STORE_PUT), 0);
    check_nothing_left();
}

static void test_append(void **state)
{
    struct s3dlio_draft *draft;
    struct moved before;

    core_run_put(URI, BASE_BYTES);
    core_run_reset_counts();
    before = moved_now();
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "the tail", BASE_BYTES);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(moved_now().sent - before.sent, 8);
    assert_int_equal(moved_now().received - before.received, 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART), 1);
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 1);
    core_run_check_object(URI, BASE_BYTES + 8, "the tail", BASE_BYTES);
    check_nothing_left();
}

static void test_one_byte(void **state)
{
    struct s3dlio_draft *draft;
    struct moved before;

    core_run_put(URI, BASE_BYTES);
    before = moved_now();
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "!", 20 * MIB + 7);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_true(moved_now().sent - before.sent <= 5 * MIB);
    assert_true(moved_now().received - before.received <= 5 * MIB);
    core_run_check_object(URI, BASE_BYTES, "!", 20 * MIB + 7);
    check_nothing_left();
}

static void test_small_is_two_requests(void **state)
{
    struct s3dlio_draft *draft = open_draft(S3DLIO_DRAFT_EMPTY);

    core_run_reset_counts();
    core_run_write_at(draft, "hello", 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_PUT), 1);
    assert_int_equal(core_run_count(STORE_HEAD), 0);

    core_run_reset_counts();
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "J", 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0); /* nothing more to send */
    assert_int_equal(core_run_count(STORE_HEAD), 1);
    assert_int_equal(core_run_count(STORE_GET), 1);
    assert_int_equal(core_run_count(STORE_PUT), 1);
}

static void test_stores_without_copies_or_conditions(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(URI, BASE_BYTES);
    core_run_store()->capabilities &= ~(unsigned)(STORE_CAP_PART_COPY | STORE_CAP_IF_MATCH_PUT);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "changed", 3 * MIB);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_UPLOAD_PART_COPY), 0);
    core_run_check_object(URI, BASE_BYTES, "changed", 3 * MIB);

    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "again", 3 * MIB);
    core_run_put(URI, 100); /* by somebody else */
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), -ESTALE);
    core_run_check_object(URI, 100, NULL, 0);
    check_nothing_left();
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Publishing fails there, the old object stands, and the same draft can be published after. */
static void fail_at(const char *rule, int errnum)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "new bytes", 20 * MIB);
    core_run_faults(rule);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), -errnum);
    core_run_faults(NULL);
    core_run_check_object(URI, BASE_BYTES, NULL, 0);
    assert_int_equal(core_run_uploads_left("draft"), 0);
    if (s3dlio_draft_close(draft, NULL, &error) < 0)
        fail_msg("after %s: %s", rule, error.message);
    core_run_check_object(URI, BASE_BYTES, "new bytes", 20 * MIB);
    check_nothing_left();
}

static void test_failures_at_each_request(void **state)
{
    fail_at("op=CreateMultipartUpload fail=access", EACCES);
    fail_at("op=UploadPartCopy nth=1 fail=access", EACCES);
    fail_at("op=UploadPartCopy nth=2 fail=no-space", ENOSPC);
    fail_at("op=UploadPartCopy nth=1 error200", EIO);
    fail_at("op=GetObject fail=access", EACCES);
    fail_at("op=UploadPart nth=1 fail=no-space", ENOSPC);
    fail_at("op=UploadPart nth=1 fail=network", EIO);
    fail_at("op=CompleteMultipartUpload fail=access", EACCES);
    fail_at("op=CompleteMultipartUpload error200", EIO);
    fail_at("op=UploadPartCopy nth=2 changed", ESTALE);
}

static void test_failure_of_a_single_put(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;

    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "new", 10);
    core_run_faults("op=PutObject fail=access");
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), -EACCES);
    core_run_faults(NULL);
    core_run_check_object(URI, 1000, NULL, 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), 0);
    core_run_check_object(URI, 1000, "new", 10);
    s3dlio_draft_abort(draft);
}

static void test_lost_answers(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(URI, BASE_BYTES);
    core_run_faults("op=CompleteMultipartUpload nth=1 count=1 lose");
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "kept", 20 * MIB);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_faults(NULL);
    core_run_write_at(draft, "more", 20 * MIB);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, BASE_BYTES, "more", 20 * MIB);

    core_run_put(URI, 1000);
    core_run_faults("op=PutObject nth=1 count=1 lose");
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "put", 1);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, 1000, "put", 1);
    check_nothing_left();
}

static void test_changed_meanwhile(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;
    char byte;

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "mine", 0);
    core_run_put(URI, 500);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 30 * MIB, &error), -ESTALE);
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 0, &error), 1);
    assert_int_equal(byte, 'm');
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), -ESTALE);
    assert_int_equal(s3dlio_draft_close(draft, NULL, &error), -ESTALE);
    core_run_check_object(URI, 500, NULL, 0);

    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "mine", 500);
    assert_int_equal(s3dlio_delete(URI, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, &error), -ESTALE);
    assert_int_equal(s3dlio_stat(URI, NULL, &(struct s3dlio_attr){0}, &error), -ENOENT);
    check_nothing_left();
}

static void test_exclusive(void **state)
{
    struct s3dlio_write_options exclusive = {.flags = S3DLIO_WRITE_EXCLUSIVE};
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error;

    core_run_put(URI, 10);
    assert_int_equal(s3dlio_draft_open(URI, &exclusive, S3DLIO_DRAFT_EMPTY, NULL, &draft, &error),
                     -EEXIST);
    assert_int_equal(s3dlio_delete(URI, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_open(URI, NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, &error),
                     -ENOENT);
    assert_int_equal(s3dlio_draft_open(URI, &exclusive, S3DLIO_DRAFT_EMPTY, NULL, &draft, &error),
                     0);
    core_run_put(URI, 20);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), -EEXIST);
    assert_int_equal(s3dlio_delete(URI, NULL, NULL), 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, &error), 0);
    core_run_write_at(draft, "second version", 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, &error), 0);
    check_nothing_left();
}

/* ---- the spool ------------------------------------------------------------------------------- */

static void test_full_spool(void **state)
{
    size_t piece = 10 * MIB;
    unsigned char *data = malloc(piece);
    struct s3dlio_draft *draft = open_draft(S3DLIO_DRAFT_EMPTY);
    struct s3dlio_error error;
    size_t length = 0;

    assert_non_null(data);
    for (;; length += piece) {
        core_run_fill(data, piece, length);
        if (s3dlio_draft_pwrite(draft, data, piece, length, &error) < 0)
            break;
    }
    assert_int_equal(error.errnum, ENOSPC);
    assert_int_equal(length, 6 * piece);
    assert_int_equal(s3dlio_draft_length(draft), length);
    assert_int_equal(s3dlio_draft_pwrite(draft, data, piece, length + piece, &error), -ENOSPC);
    assert_int_equal(s3dlio_draft_length(draft), length);
    core_run_fill(data, 100, 50);
    assert_int_equal(s3dlio_draft_pwrite(draft, data, 100, 50, &error), 100); /* takes no room */
    assert_int_equal(s3dlio_draft_close(draft, NULL, &error), 0);
    core_run_check_object(URI, length, NULL, 0);
    free(data);
    check_nothing_left();
}

/* What was only fetched gives way to what is written; reading goes on without a place for it. */
static void test_fetched_bytes_give_way(void **state)
{
    unsigned char *data = malloc(BASE_BYTES);
    struct s3dlio_draft *draft;

    assert_non_null(data);
    core_run_put(URI, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_pread(draft, data, BASE_BYTES, 0, NULL), BASE_BYTES);
    core_run_check(data, BASE_BYTES, 0);
    assert_int_equal(spool_used(), BASE_BYTES);
    core_run_fill(data, BASE_BYTES, BASE_BYTES);
    assert_int_equal(s3dlio_draft_pwrite(draft, data, BASE_BYTES, BASE_BYTES, NULL), BASE_BYTES);
    assert_int_equal(spool_used(), BASE_BYTES);
    assert_int_equal(s3dlio_draft_pread(draft, data, BASE_BYTES, 0, NULL), BASE_BYTES);
    core_run_check(data, BASE_BYTES, 0);
    assert_true(spool_used() <= SPOOL_MAX);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, 2 * BASE_BYTES, NULL, 0);
    free(data);
    check_nothing_left();
}

/* Room is promised for what is not there yet, and what is there asks for none. */
static void test_allocate(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_error error;

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_allocate(draft, 0, BASE_BYTES, NULL), 0);
    assert_int_equal(s3dlio_draft_allocate(draft, 0, BASE_BYTES + SPOOL_MAX, NULL), 0);
    assert_int_equal(s3dlio_draft_allocate(draft, 0, BASE_BYTES + SPOOL_MAX + 1, &error), -ENOSPC);
    assert_string_equal(error.class_name, "spool");
    assert_non_null(strstr(error.message, "S3DLIO_SPOOL_LIMIT"));
    assert_int_equal(s3dlio_draft_truncate(draft, BASE_BYTES + 2 * SPOOL_MAX, NULL), 0);
    assert_int_equal(s3dlio_draft_allocate(draft, BASE_BYTES, SPOOL_MAX + 1, &error), -ENOSPC);
    assert_int_equal(s3dlio_draft_allocate(draft, UINT64_MAX - 4, 8, &error), -EFBIG);
    assert_int_equal(s3dlio_draft_length(draft), BASE_BYTES + 2 * SPOOL_MAX);
    assert_int_equal(spool_used(), 0);
    s3dlio_draft_abort(draft);
    check_nothing_left();
}

static void test_holes(void **state)
{
    struct s3dlio_draft *draft = open_draft(S3DLIO_DRAFT_EMPTY);
    struct s3dlio_error error;
    unsigned char bytes[8];
    uint64_t at = 0;

    core_run_write_at(draft, "a", 0);
    core_run_write_at(draft, "b", MIB);
    assert_int_equal(s3dlio_draft_seek(draft, 0, true, &at, NULL), 0);
    assert_int_equal(at, 1);
    assert_int_equal(s3dlio_draft_seek(draft, 5, false, &at, NULL), 0);
    assert_int_equal(at, MIB);
    assert_int_equal(s3dlio_draft_seek(draft, MIB + 1, false, &at, &error), -ENXIO);
    assert_int_equal(s3dlio_draft_truncate(draft, MIB + 4, NULL), 0);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 8, MIB, NULL), 4);
    assert_memory_equal(bytes, "b\0\0", 4);
    assert_int_equal(s3dlio_draft_zero(draft, 0, UINT64_MAX, &error), 0);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 1, MIB, NULL), 1);
    assert_int_equal(bytes[0], 0);
    assert_int_equal(s3dlio_draft_pwrite(draft, "x", 1, UINT64_C(1) << 60, &error), -EFBIG);
    assert_int_equal(s3dlio_draft_pread(draft, (void *)8, 4, 0, &error), -EFAULT);
    assert_int_equal(s3dlio_draft_pwrite(draft, (void *)8, 4, 0, &error), -EFAULT);
    s3dlio_draft_abort(draft);
    check_nothing_left();
}

static void test_mapping(void **state)
{
    struct s3dlio_draft *draft;
    unsigned char *bytes, byte;
    int fd = -1;

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_map_fd(draft, 8 * MIB, MIB, &fd, NULL), 0);
    bytes = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 8 * MIB);
    assert_ptr_not_equal(bytes, MAP_FAILED);
    close(fd);
    core_run_check(bytes, MIB, 8 * MIB);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0); /* nothing was stored */
    assert_int_equal(core_run_count(STORE_UPLOAD_COMPLETE), 0);
    bytes[5] = 'X';
    assert_int_equal(s3dlio_draft_pread(draft, &byte, 1, 8 * MIB + 5, NULL), 1);
    assert_int_equal(byte, 'X');
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_check_object(URI, BASE_BYTES, "X", 8 * MIB + 5);
    bytes[5] = 'Y';
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, BASE_BYTES, "Y", 8 * MIB + 5);
    munmap(bytes, MIB);
    check_nothing_left();
}

/* ---- attributes and processes ---------------------------------------------------------------- */

static void test_attributes(void **state)
{
    struct s3dlio_write_options options = {.has = S3DLIO_HAS_MODE | S3DLIO_HAS_UID,
                                           .mode = 0600,
                                           .uid = 77,
                                           .content_type = "text/plain"};
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE | S3DLIO_HAS_MTIME,
                               .mode = 0751,
                               .mtime = {.tv_sec = 1000000000, .tv_nsec = 250000000}};
    struct s3dlio_draft *draft = NULL;

    assert_int_equal(s3dlio_draft_open(URI, &options, S3DLIO_DRAFT_EMPTY, NULL, &draft, NULL), 0);
    core_run_write_at(draft, "text", 0);
    assert_int_equal(s3dlio_draft_set_attr(draft, &attr, NULL), 0);
    core_run_reset_counts();
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(core_run_count(STORE_PUT), 2); /* and the mark of the directory */
    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0751);
    assert_int_equal(attr.uid, 77);
    assert_int_equal(attr.mtime.tv_sec, 1000000000);
    assert_int_equal(attr.mtime.tv_nsec, 250000000);

    draft = open_draft(S3DLIO_DRAFT_KEEP); /* what was there is carried on; the time is new */
    core_run_write_at(draft, "T", 0);
    assert_int_equal(s3dlio_draft_close(draft, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0751);
    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0751);
    assert_int_equal(attr.uid, 77);
    assert_true(attr.mtime.tv_sec > 1500000000);
}

/* Attributes of a large object cost no bytes. */
static void test_attributes_of_a_large_object(void **state)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0700};
    struct s3dlio_draft *draft;
    struct moved before;

    core_run_put(URI, BASE_BYTES);
    before = moved_now();
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_set_attr(draft, &attr, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    assert_int_equal(moved_now().sent, before.sent);
    assert_int_equal(moved_now().received, before.received);
    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0700);
    core_run_check_object(URI, BASE_BYTES, NULL, 0);
}

/* More of it is in test_draft_shared.c, with a store that processes share. */
static void test_fork(void **state)
{
    struct s3dlio_draft *draft;
    pid_t pid;

    NOT_UNDER_TSAN();
    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "parent", 0);
    pid = core_run_fork();
    if (pid == 0) {
        char text[8];

        if (s3dlio_draft_pread(draft, text, 6, 0, NULL) != 6 || memcmp(text, "parent", 6) != 0)
            _exit(1);
        if (s3dlio_draft_pwrite(draft, "child", 5, 0, NULL) != 5)
            _exit(2);
        s3dlio_draft_forget(draft);
        _exit(0);
    }
    core_run_wait_for(pid);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object(URI, 1000, "childt", 0);
    check_nothing_left();
}

static void test_abort(void **state)
{
    struct s3dlio_draft *draft;

    core_run_put(URI, 1000);
    draft = open_draft(S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "nobody sees this", 0);
    s3dlio_draft_abort(draft);
    s3dlio_draft_abort(NULL);
    core_run_check_object(URI, 1000, NULL, 0);
    assert_int_equal(
        s3dlio_draft_open("fault://draft/dir/", NULL, S3DLIO_DRAFT_EMPTY, NULL, &draft, NULL),
        -EISDIR);
    check_nothing_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_is_fetched_at_open, core_run_clear),
        cmocka_unit_test_setup(test_append, core_run_clear),
        cmocka_unit_test_setup(test_one_byte, core_run_clear),
        cmocka_unit_test_setup(test_small_is_two_requests, core_run_clear),
        cmocka_unit_test_setup(test_stores_without_copies_or_conditions, core_run_clear),
        cmocka_unit_test_setup(test_failures_at_each_request, core_run_clear),
        cmocka_unit_test_setup(test_failure_of_a_single_put, core_run_clear),
        cmocka_unit_test_setup(test_lost_answers, core_run_clear),
        cmocka_unit_test_setup(test_changed_meanwhile, core_run_clear),
        cmocka_unit_test_setup(test_exclusive, core_run_clear),
        cmocka_unit_test_setup(test_full_spool, core_run_clear),
        cmocka_unit_test_setup(test_fetched_bytes_give_way, core_run_clear),
        cmocka_unit_test_setup(test_allocate, core_run_clear),
        cmocka_unit_test_setup(test_holes, core_run_clear),
        cmocka_unit_test_setup(test_mapping, core_run_clear),
        cmocka_unit_test_setup(test_attributes, core_run_clear),
        cmocka_unit_test_setup(test_attributes_of_a_large_object, core_run_clear),
        cmocka_unit_test_setup(test_fork, core_run_clear),
        cmocka_unit_test_setup(test_abort, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
