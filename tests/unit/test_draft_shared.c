/* core/draft.h after fork: what parent and child write in their one draft, and what room it
 * takes. */
#include "draft_child.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/draft_private.h"
#include "core/spool.h"

/* ---- one file for two ------------------------------------------------------------------------ */

static void writes_first(struct s3dlio_draft *draft, void *arg)
{
    uint64_t at = 0;

    CHECK(draft_child_has_at(draft, "parent", 100));
    CHECK(s3dlio_draft_pwrite(draft, "child", 5, 200, NULL) == 5);
    CHECK(s3dlio_draft_append(draft, "tail", 4, &at, NULL) == 4);
    CHECK(at == BASE_BYTES);
    s3dlio_draft_forget(draft);
}

static void reads_after(struct s3dlio_draft *draft, void *arg)
{
    int *go = arg;
    char byte;

    CHECK(read(go[0], &byte, 1) == 1);
    CHECK(draft_child_has_at(draft, "while you waited", 300));
    CHECK(s3dlio_draft_length(draft) == BASE_BYTES + 1000);
}

static void test_each_sees_what_the_other_writes(void **state)
{
    struct s3dlio_draft *draft;
    pid_t pid;
    int go[2];

    core_run_put(URI, BASE_BYTES);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    core_run_write_at(draft, "parent", 100);
    draft_child_run(writes_first, draft, NULL);
    assert_true(draft_child_has_at(draft, "child", 200));
    assert_true(draft_child_has_at(draft, "tail", BASE_BYTES));
    assert_int_equal(s3dlio_draft_length(draft), BASE_BYTES + 4);

    assert_int_equal(pipe(go), 0);
    pid = draft_child_start(reads_after, draft, go);
    core_run_write_at(draft, "while you waited", 300);
    assert_int_equal(s3dlio_draft_truncate(draft, BASE_BYTES + 1000, NULL), 0);
    assert_int_equal(write(go[1], "", 1), 1);
    core_run_wait_for(pid);
    assert_int_equal(s3dlio_draft_truncate(draft, BASE_BYTES, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_texts(URI, &(struct core_run_texts){BASE_BYTES,
                                                       {"parent", "child", "while you waited"},
                                                       {100, 200, 300}});
    close(go[0]);
    close(go[1]);
    core_run_check_released();
}

static void changes_all_kinds(struct s3dlio_draft *draft, void *arg)
{
    struct s3dlio_attr attr = {.has = S3DLIO_HAS_MODE, .mode = 0640};
    uint64_t at = 0;

    CHECK(s3dlio_draft_zero(draft, 0, 65536, NULL) == 0);
    CHECK(s3dlio_draft_truncate(draft, 100000, NULL) == 0);
    CHECK(s3dlio_draft_seek(draft, 0, false, &at, NULL) == 0 && at == 65536);
    CHECK(s3dlio_draft_set_attr(draft, &attr, NULL) == 0);
    CHECK(s3dlio_draft_rename(draft, OTHER_URI, 0, NULL, NULL) == 0);
    s3dlio_draft_abort(draft);
}

static void test_lengths_holes_attributes_names(void **state)
{
    struct s3dlio_draft *draft;
    struct s3dlio_attr attr;
    unsigned char bytes[16] = {1};
    uint64_t at = 0;

    core_run_put(URI, BASE_BYTES);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    draft_child_run(changes_all_kinds, draft, NULL);
    assert_int_equal(s3dlio_draft_length(draft), 100000);
    assert_int_equal(s3dlio_draft_seek(draft, 0, false, &at, NULL), 0);
    assert_int_equal(at, 65536);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 16, 65528, NULL), 16);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    core_run_check(bytes + 8, 8, 65536);
    assert_int_equal(s3dlio_draft_close(draft, &attr, NULL), 0);
    assert_int_equal(attr.mode, 0640);
    assert_int_equal(attr.size_bytes, 100000);
    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), -ENOENT);
    assert_int_equal(s3dlio_stat(OTHER_URI, NULL, &attr, NULL), 0);
    core_run_check_released();
}

#define APPENDERS 4
#define APPENDS   1000

static void appends(struct s3dlio_draft *draft, void *arg)
{
    unsigned char record[40];

    for (unsigned i = 0; i < APPENDS; i++) {
        memset(record, *(unsigned char *)arg, sizeof record);
        memcpy(record, &i, sizeof i);
        CHECK(s3dlio_draft_append(draft, record, sizeof record, NULL, NULL) == sizeof record);
    }
}

static void test_appends_of_many(void **state)
{
    struct s3dlio_draft *draft = core_run_open_draft(URI, S3DLIO_DRAFT_EMPTY, NULL);
    unsigned next[APPENDERS] = {0};
    pid_t pids[APPENDERS];
    unsigned char record[40];

    for (unsigned char i = 0; i < APPENDERS; i++)
        pids[i] = draft_child_start(appends, draft, &i);
    for (unsigned i = 0; i < APPENDERS; i++)
        core_run_wait_for(pids[i]);
    assert_int_equal(s3dlio_draft_length(draft), APPENDERS * APPENDS * sizeof record);
    for (size_t at = 0; at < APPENDERS * APPENDS * sizeof record; at += sizeof record) {
        unsigned number;

        assert_int_equal(s3dlio_draft_pread(draft, record, sizeof record, at, NULL), sizeof record);
        memcpy(&number, record, sizeof number);
        assert_true(record[4] < APPENDERS);
        assert_int_equal(number, next[record[4]]++);
        for (unsigned i = 5; i < sizeof record; i++)
            assert_int_equal(record[i], record[4]);
    }
    s3dlio_draft_abort(draft);
    core_run_check_released();
}

/* ---- the spool's limit ----------------------------------------------------------------------- */

static void fills_and_dies(struct s3dlio_draft *draft, void *arg)
{
    static unsigned char data[8 * MIB];

    for (unsigned i = 0; i < 5; i++)
        CHECK(s3dlio_draft_append(draft, data, sizeof data, NULL, NULL) == sizeof data);
    kill(getpid(), SIGKILL);
}

static void test_room_is_of_all(void **state)
{
    static unsigned char data[8 * MIB];
    struct s3dlio_draft *draft = core_run_open_draft(URI, S3DLIO_DRAFT_EMPTY, NULL), *other;
    struct s3dlio_error error;
    int status;
    pid_t pid = draft_child_start(fills_and_dies, draft, NULL);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(s3dlio_draft_append(draft, data, 1, NULL, NULL), 1);
    assert_int_equal(spool_used(), 40 * MIB + 1);
    other = core_run_open_draft(OTHER_URI, S3DLIO_DRAFT_EMPTY, NULL);
    assert_int_equal(s3dlio_draft_append(other, data, sizeof data, NULL, NULL), sizeof data);
    assert_int_equal(s3dlio_draft_append(draft, data, sizeof data, NULL, NULL), sizeof data);
    assert_int_equal(s3dlio_draft_append(other, data, sizeof data, NULL, &error), -ENOSPC);
    assert_int_equal(s3dlio_draft_truncate(draft, 0, NULL), 0);
    assert_int_equal(s3dlio_draft_append(other, data, sizeof data, NULL, &error), sizeof data);
    s3dlio_draft_abort(draft);
    s3dlio_draft_abort(other);
    core_run_check_released();
}

static void writes(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "child", 5, 0, NULL) == 5);
}

/* What is shared has no file where files may not be as long as it might become. */
static void test_a_limit_on_files(void **state)
{
    struct s3dlio_draft *draft;
    struct rlimit before, small;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = MIB, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_EMPTY, NULL);
    assert_int_equal(((struct draft *)draft)->shared_fd, -1);
    draft_child_run(writes, draft, NULL);
    assert_true(draft_child_has_at(draft, "child", 0));
    s3dlio_draft_abort(draft);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    core_run_check_released();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sees_what_the_other_writes),
        cmocka_unit_test(test_lengths_holes_attributes_names),
        cmocka_unit_test(test_appends_of_many),
        cmocka_unit_test(test_room_is_of_all),
        cmocka_unit_test(test_a_limit_on_files),
    };

    return cmocka_run_group_tests(tests, draft_child_set_up, core_run_remove_file_root);
}
