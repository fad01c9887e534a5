/* core/draft.h after fork: whatever a process that is killed was doing to the draft has been done,
 * or it has not. */
#include "draft_child.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/draft_private.h"

#define SLOTS      64u
#define SLOT_BYTES 1024u
#define KILLS      200u
#define KILL_STEPS 30u

#define STEPS_WATCHED    500u
#define STOPS_MAX        9u /* at system calls, entering and leaving, of one step */
#define INSTRUCTIONS_MAX 500u

/* What the child is doing, so that the parent knows what may be there: each step changes the length
 * by one slot at most, and the content of one. A version 0 is zeros, or nothing at all. */
struct progress {
    unsigned versions[SLOTS];
    unsigned length; /* in slots */
    unsigned slot, version, new_length;
    atomic_uint steps;
    atomic_bool is_busy;
};

static void fill_slot(unsigned char bytes[SLOT_BYTES], unsigned slot, unsigned version)
{
    for (unsigned i = 0; i < SLOT_BYTES; i++)
        bytes[i] = (unsigned char)(version == 0 ? 0 : slot * 7 + version * 13 + version / 251);
}

static void do_step(struct s3dlio_draft *draft, const struct progress *progress)
{
    unsigned char bytes[SLOT_BYTES];
    uint64_t offset = (uint64_t)progress->slot * SLOT_BYTES, at = 0;

    fill_slot(bytes, progress->slot, progress->version);
    if (progress->slot == progress->new_length)
        CHECK(s3dlio_draft_truncate(draft, offset, NULL) == 0);
    else if (progress->version == 0 && progress->slot == progress->length)
        CHECK(s3dlio_draft_truncate(draft, offset + SLOT_BYTES, NULL) == 0);
    else if (progress->version == 0)
        CHECK(s3dlio_draft_zero(draft, offset, SLOT_BYTES, NULL) == 0);
    else if (progress->slot < progress->length)
        CHECK(s3dlio_draft_pwrite(draft, bytes, SLOT_BYTES, offset, NULL) == SLOT_BYTES);
    else
        CHECK(s3dlio_draft_append(draft, bytes, SLOT_BYTES, &at, NULL) == SLOT_BYTES &&
              at == offset);
}

static void take_step(struct progress *progress)
{
    if (progress->slot < progress->new_length)
        progress->versions[progress->slot] = progress->version;
    progress->length = progress->new_length;
}

static void plan_step(struct progress *progress, unsigned *seed)
{
    unsigned choice = (unsigned)rand_r(seed) % 8, length = progress->length;
    unsigned slot = length ? (unsigned)rand_r(seed) % length : 0;

    progress->version = choice % 4 == 0 ? 0 : 1 + (unsigned)rand_r(seed) % 1000;
    if (length == 0 || (choice < 2 && length < SLOTS))
        slot = length;
    progress->new_length = slot == length ? length + 1 : length;
    if (choice == 7 && length > 0)
        slot = progress->new_length = length - 1;
    progress->slot = slot;
}

static void works_until_killed(struct s3dlio_draft *draft, void *arg)
{
    struct progress *progress = arg;
    unsigned seed = atomic_load(&progress->steps) * 7919 + 17;
    unsigned char bytes[SLOT_BYTES];

    for (;;) {
        plan_step(progress, &seed);
        atomic_store(&progress->is_busy, true);
        do_step(draft, progress);
        take_step(progress);
        atomic_store(&progress->is_busy, false);
        if (progress->length)
            CHECK(s3dlio_draft_pread(draft, bytes, SLOT_BYTES,
                                     (uint64_t)rand_r(&seed) % progress->length * SLOT_BYTES,
                                     NULL) == SLOT_BYTES);
        atomic_fetch_add(&progress->steps, 1);
    }
}

static bool is_version(const unsigned char *bytes, unsigned slot, unsigned version)
{
    unsigned char expected[SLOT_BYTES];

    fill_slot(expected, slot, version);
    return memcmp(bytes, expected, SLOT_BYTES) == 0;
}

/* The step that was under way was done, or it was not. The child may have taken it already. */
static void settle_step(struct s3dlio_draft *draft, struct progress *progress)
{
    bool cuts = progress->slot == progress->new_length;
    uint64_t length = s3dlio_draft_length(draft);
    unsigned char bytes[SLOT_BYTES];

    if (!atomic_exchange(&progress->is_busy, false))
        return;
    if (cuts || progress->new_length != progress->length) {
        if (length == (uint64_t)progress->new_length * SLOT_BYTES)
            take_step(progress);
        return;
    }
    assert_int_equal(
        s3dlio_draft_pread(draft, bytes, SLOT_BYTES, (uint64_t)progress->slot * SLOT_BYTES, NULL),
        SLOT_BYTES);
    if (is_version(bytes, progress->slot, progress->version))
        take_step(progress);
}

static void check_slots(struct s3dlio_draft *draft, const struct progress *progress)
{
    static unsigned char bytes[SLOTS * SLOT_BYTES];
    const struct draft *inner = (struct draft *)draft;
    size_t length = (size_t)progress->length * SLOT_BYTES;
    unsigned local = 1u << EXTENT_CLEAN | 1u << EXTENT_DIRTY;

    assert_int_equal(s3dlio_draft_length(draft), length);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, sizeof bytes, 0, NULL), length);
    for (unsigned i = 0; i < progress->length; i++)
        if (!is_version(bytes + (size_t)i * SLOT_BYTES, i, progress->versions[i]))
            fail_msg("slot %u is not version %u", i, progress->versions[i]);
    assert_int_equal(inner->shared->reserved_bytes, extents_sum(&inner->extents, 0, length, local));
}

/* The published object is what the draft was. */
static void check_published(const struct progress *progress)
{
    struct s3dlio_error error;
    size_t length = 0;
    void *data;

    if (s3dlio_get(URI, NULL, &data, &length, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(length, (size_t)progress->length * SLOT_BYTES);
    for (unsigned i = 0; i < progress->length; i++)
        assert_true(
            is_version((unsigned char *)data + (size_t)i * SLOT_BYTES, i, progress->versions[i]));
    s3dlio_free(data);
}

static void kill_somewhere(struct s3dlio_draft *draft, struct progress *progress, unsigned steps)
{
    unsigned target = atomic_load(&progress->steps) + steps;
    pid_t pid = draft_child_start(works_until_killed, draft, progress);
    int status;

    while (atomic_load(&progress->steps) < target && waitpid(pid, &status, WNOHANG) == 0)
        continue;
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void test_killed_anywhere(void **state)
{
    struct progress *progress = draft_child_memory(sizeof *progress);
    struct s3dlio_draft *draft;
    unsigned seed = 4711;

    core_run_put(URI, 0);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    for (unsigned i = 0; i < KILLS; i++) {
        kill_somewhere(draft, progress, 1 + (unsigned)rand_r(&seed) % KILL_STEPS);
        settle_step(draft, progress);
        check_slots(draft, progress);
        if (i % 5 == 0) {
            assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
            check_published(progress);
        }
        if (i % 20 == 7) { /* clean bytes, and bytes that are to be fetched */
            assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
            core_run_check_released();
            draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
        }
    }
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_published(progress);
    munmap(progress, sizeof *progress);
    core_run_check_released();
}

/* One step, watched by the parent, which ends it after some instructions. */
static void does_one_step(struct s3dlio_draft *draft, void *arg)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(2);
    raise(SIGSTOP);
    do_step(draft, arg);
}

/* Lets the child go on, so many times; false when it ended. */
static bool goes_on(pid_t pid, enum __ptrace_request how, unsigned times, int *status)
{
    for (unsigned i = 0; i < times; i++)
        if (ptrace(how, pid, NULL, NULL) < 0 || waitpid(pid, status, 0) != pid ||
            !WIFSTOPPED(*status))
            return false;
    return true;
}

/* To somewhere behind a system call, and then it is killed, unless it has ended. */
static void kill_within(pid_t pid, unsigned *seed)
{
    unsigned stops = (unsigned)rand_r(seed) % STOPS_MAX;
    unsigned instructions = (unsigned)rand_r(seed) % INSTRUCTIONS_MAX;
    int status = 0;

    if (goes_on(pid, PTRACE_SYSCALL, stops, &status) &&
        goes_on(pid, PTRACE_SINGLESTEP, instructions, &status)) {
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
    } else {
        assert_int_equal(status, 0);
    }
}

/* What is killed is stopped exactly there, so that every line of a change is met. */
static void test_killed_at_an_instruction(void **state)
{
    struct progress *progress = draft_child_memory(sizeof *progress);
    struct s3dlio_draft *draft;
    unsigned seed = 42;

    core_run_put(URI, 0);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    for (unsigned i = 0; i < STEPS_WATCHED; i++) {
        int status = 0;
        pid_t pid;

        plan_step(progress, &seed);
        atomic_store(&progress->is_busy, true);
        pid = draft_child_start(does_one_step, draft, progress);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
            print_message("skip: processes cannot be watched here\n");
            skip();
        }
        kill_within(pid, &seed);
        settle_step(draft, progress);
        check_slots(draft, progress);
        if (i % 16 == 0)
            assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    }
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_published(progress);
    munmap(progress, sizeof *progress);
    core_run_check_released();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_killed_at_an_instruction),
    };

    return cmocka_run_group_tests(tests, draft_child_set_up, core_run_remove_file_root);
}
