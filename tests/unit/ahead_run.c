/* See ahead_run.h. */
#include "ahead_run.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

static unsigned char *pattern;

int ahead_run_set_up(size_t bytes)
{
    core_run_make_file_root();
    core_run_set_option("S3DLIO_FAULT=store=file");
    core_run_set_option("S3DLIO_PUT_PART_SIZE=5M");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=16");
    core_run_make_bucket("ahead");
    pattern = malloc(bytes);
    assert_non_null(pattern);
    core_run_fill(pattern, bytes, 0);
    return 0;
}

const unsigned char *ahead_run_bytes(void)
{
    return pattern;
}

struct s3dlio_writer *ahead_run_open_writer(unsigned flags, size_t length)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;

    s3dlio_unlink(URI, NULL, NULL);
    core_run_reset_counts();
    assert_int_equal(s3dlio_writer_open(URI, &options, NULL, &writer, NULL), 0);
    core_run_stream(writer, 0, length, length < MIB ? length : MIB);
    return writer;
}

struct s3dlio_draft *ahead_run_open(unsigned flags)
{
    struct s3dlio_writer *writer = ahead_run_open_writer(flags, 100);
    struct s3dlio_draft *draft = NULL;

    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    return draft;
}

void ahead_run_write(struct s3dlio_draft *draft, size_t to)
{
    uint64_t at;

    for (size_t from; (from = s3dlio_draft_length(draft)) < to;) {
        size_t length = to - from < MIB ? to - from : MIB;
        ssize_t n = s3dlio_draft_append(draft, pattern + from, length, &at, NULL);

        CHECK(n > 0 && (size_t)n <= length);
        CHECK(at == from);
    }
}

void ahead_run_let_die(struct s3dlio_draft *draft, draft_child_fn *dies)
{
    pid_t pid = draft_child_start(dies, draft, NULL);
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

void ahead_run_end(struct s3dlio_draft *draft)
{
    struct s3dlio_error error = {0};

    if (s3dlio_draft_close(draft, NULL, &error) < 0)
        fail_msg("%s", error.message);
    core_run_check_released();
    core_run_faults(NULL);
    assert_int_equal(core_run_uploads_left("ahead"), 0);
}

void ahead_run_end_whole(struct s3dlio_draft *draft, size_t length)
{
    ahead_run_end(draft);
    core_run_check_object(URI, length, NULL, 0);
}

void ahead_run_rename(struct s3dlio_draft *draft, size_t length)
{
    s3dlio_unlink(OTHER, NULL, NULL);
    assert_int_equal(s3dlio_draft_rename(draft, OTHER, 0, NULL, NULL), 0);
    ahead_run_write(draft, length);
    ahead_run_end(draft);
    core_run_check_object(OTHER, length, NULL, 0);
    assert_int_equal(core_run_type(URI), -ENOENT);
}
