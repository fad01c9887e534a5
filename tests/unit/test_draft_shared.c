/* core/draft.h after fork: parent and child have one draft, and either may be killed. The store is a
 * directory, so that both find in it what the other has published. */
#include "core_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/draft_private.h"
#include "core/spool.h"
#include "sanitizer.h"

#define URI        "file://shared/object"
#define OTHER_URI  "file://shared/other"
#define BASE_BYTES (2 * MIB)

static int set_up(void **state)
{
    char path[64];

    snprintf(path, sizeof path, "%s/shared", core_run_make_file_root());
    assert_int_equal(mkdir(path, 0700), 0);
    core_run_set_option("S3DLIO_SPOOL_LIMIT=64M");
    core_run_set_option("S3DLIO_BLOCK_SIZE=4K");
    core_run_make_bucket("shared");
    return 0;
}

static struct s3dlio_draft *open_draft(const char *uri, enum s3dlio_draft_base base)
{
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error;

    if (s3dlio_draft_open(uri, NULL, base, NULL, &draft, &error) < 0)
        fail_msg("%s", error.message);
    return draft;
}

/* ---- children ----------------------------------------------------------------------------------- */

/* In a child an assertion is an exit status. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "child, line %d: %s\n", __LINE__, #condition);                         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

typedef void child_fn(struct s3dlio_draft *draft, void *arg);

static pid_t start(child_fn *function, struct s3dlio_draft *draft, void *arg)
{
    pid_t pid;

    s3dlio_fork_prepare();
    pid = fork();
    if (pid == 0) {
        s3dlio_fork_child();
        function(draft, arg);
        _exit(0);
    }
    s3dlio_fork_parent();
    assert_true(pid > 0);
    return pid;
}

static void wait_for(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void run(child_fn *function, struct s3dlio_draft *draft, void *arg)
{
    wait_for(start(function, draft, arg));
}

static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static bool has_at(struct s3dlio_draft *draft, const char *text, uint64_t offset)
{
    size_t length = strlen(text);
    char found[64];

    return s3dlio_draft_pread(draft, found, length, offset, NULL) == (ssize_t)length &&
           memcmp(found, text, length) == 0;
}

/* What is stored is the pattern, but for these texts. */
struct expected {
    size_t length;
    const char *texts[4];
    size_t offsets[4];
};

static void check_object(const char *uri, const struct expected *expected)
{
    struct s3dlio_error error;
    size_t length = 0;
    unsigned char *bytes;
    void *data;

    if (s3dlio_get(uri, NULL, &data, &length, &error) < 0)
        fail_msg("%s", error.message);
    bytes = data;
    assert_int_equal(length, expected->length);
    for (unsigned i = 0; i < 4 && expected->texts[i]; i++) {
        size_t size = strlen(expected->texts[i]);

        assert_memory_equal(bytes + expected->offsets[i], expected->texts[i], size);
        core_run_fill(bytes + expected->offsets[i], size, expected->offsets[i]);
    }
    core_run_check(bytes, length, 0);
    s3dlio_free(data);
}

/* ---- one file for two --------------------------------------------------------------------------- */

static void writes_first(struct s3dlio_draft *draft, void *arg)
{
    uint64_t at = 0;

    CHECK(has_at(draft, "parent", 100));
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
    CHECK(has_at(draft, "while you waited", 300));
    CHECK(s3dlio_draft_length(draft) == BASE_BYTES + 1000);
}

static void test_each_sees_what_the_other_writes(void **state)
{
    struct s3dlio_draft *draft;
    pid_t pid;
    int go[2];

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
    core_run_write_at(draft, "parent", 100);
    run(writes_first, draft, NULL);
    assert_true(has_at(draft, "child", 200));
    assert_true(has_at(draft, "tail", BASE_BYTES));
    assert_int_equal(s3dlio_draft_length(draft), BASE_BYTES + 4);

    assert_int_equal(pipe(go), 0);
    pid = start(reads_after, draft, go);
    core_run_write_at(draft, "while you waited", 300);
    assert_int_equal(s3dlio_draft_truncate(draft, BASE_BYTES + 1000, NULL), 0);
    assert_int_equal(write(go[1], "", 1), 1);
    wait_for(pid);
    assert_int_equal(s3dlio_draft_truncate(draft, BASE_BYTES, NULL), 0);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_object(URI, &(struct expected){
                          BASE_BYTES, {"parent", "child", "while you waited"}, {100, 200, 300}});
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
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
    run(changes_all_kinds, draft, NULL);
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
    struct s3dlio_draft *draft = open_draft(URI, S3DLIO_DRAFT_EMPTY);
    unsigned next[APPENDERS] = {0};
    pid_t pids[APPENDERS];
    unsigned char record[40];

    for (unsigned char i = 0; i < APPENDERS; i++)
        pids[i] = start(appends, draft, &i);
    for (unsigned i = 0; i < APPENDERS; i++)
        wait_for(pids[i]);
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

/* ---- publishing --------------------------------------------------------------------------------- */

static void publishes(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "child", 5, 1000, NULL) == 5);
    CHECK(s3dlio_draft_publish(draft, NULL, NULL) == 0);
}

static void closes(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "the child again", 15, 3000, NULL) == 15);
    CHECK(s3dlio_draft_close(draft, NULL, NULL) == 0);
}

/* The base moves on under the other, who goes on from it. */
static void test_each_publishes(void **state)
{
    struct expected expected = {BASE_BYTES, {"child"}, {1000}};
    struct s3dlio_draft *draft;
    unsigned char bytes[100];

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 100, 0, NULL), 100); /* opens a reader */
    run(publishes, draft, NULL);
    check_object(URI, &expected);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 100, MIB, NULL), 100);
    core_run_check(bytes, 100, MIB);

    core_run_write_at(draft, "parent", 2000);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    expected.texts[1] = "parent", expected.offsets[1] = 2000;
    check_object(URI, &expected);
    run(closes, draft, NULL);
    expected.texts[2] = "the child again", expected.offsets[2] = 3000;
    check_object(URI, &expected);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 100, MIB + 500000, NULL), 100);
    core_run_check(bytes, 100, MIB + 500000);
    core_run_write_at(draft, "end", 4000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    expected.texts[3] = "end", expected.offsets[3] = 4000;
    check_object(URI, &expected);
    core_run_check_released();
}

static void maps_and_writes(struct s3dlio_draft *draft, void *arg)
{
    unsigned char *inherited = arg, *own;
    int fd = -1;

    memcpy(inherited, "by the parent's mapping", 23);
    CHECK(s3dlio_draft_map_fd(draft, MIB, 4096, &fd, NULL) == 0);
    own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, MIB);
    CHECK(own != MAP_FAILED);
    memcpy(own + 7, "by the child's mapping", 22);
}

static void test_mappings_of_each(void **state)
{
    struct expected expected = {
        BASE_BYTES, {"by the parent's mapping", "by the child's mapping"}, {64 * KIB, MIB + 7}};
    struct s3dlio_draft *draft;
    unsigned char *mapping;
    int fd = -1;

    core_run_put(URI, BASE_BYTES);
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
    assert_int_equal(s3dlio_draft_map_fd(draft, 64 * KIB, 4096, &fd, NULL), 0);
    mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 64 * KIB);
    assert_ptr_not_equal(mapping, MAP_FAILED);
    close(fd);
    run(maps_and_writes, draft, mapping);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    check_object(URI, &expected);
    run(publishes, draft, NULL);
    mapping[100] = 'x';
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    expected.texts[2] = "child", expected.offsets[2] = 1000;
    expected.texts[3] = "x", expected.offsets[3] = 64 * KIB + 100;
    check_object(URI, &expected);
    munmap(mapping, 4096);
    core_run_check_released();
}

/* More ranges than there is room for are fewer and larger ones. */
static void test_many_mappings(void **state)
{
    struct s3dlio_draft *draft;
    unsigned char *mapping;
    int fd = -1;

    core_run_put(URI, 40 * MIB);
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
    for (size_t at = 0; at < 40 * MIB; at += 256 * KIB) {
        assert_int_equal(s3dlio_draft_map_fd(draft, at, 4096, &fd, NULL), 0);
        mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
        assert_ptr_not_equal(mapping, MAP_FAILED);
        core_run_check(mapping, 4096, at);
        mapping[1] = core_run_byte(at + 1);
        munmap(mapping, 4096);
        close(fd);
    }
    core_run_write_at(draft, "last", 39 * MIB);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_object(URI, &(struct expected){40 * MIB, {"last"}, {39 * MIB}});
    core_run_check_released();
}

/* ---- streams ------------------------------------------------------------------------------------ */

static void test_a_stream_that_is_shared(void **state)
{
    unsigned char data[5000];
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_draft *draft = NULL;

    core_run_fill(data, sizeof data, 0);
    assert_int_equal(s3dlio_writer_open(URI, NULL, NULL, &writer, NULL), 0);
    assert_true(s3dlio_writer_is_unsent(writer));
    assert_int_equal(s3dlio_writer_write(writer, data, sizeof data, NULL), sizeof data);
    assert_true(s3dlio_writer_is_unsent(writer));
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    run(publishes, draft, NULL);
    core_run_write_at(draft, "parent", 4000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    check_object(URI, &(struct expected){sizeof data, {"child", "parent"}, {1000, 4000}});
    core_run_check_released();
}

static void test_streams_that_were_sent(void **state)
{
    size_t length = 40 * MIB;
    unsigned char *data = malloc(length);
    struct s3dlio_writer *writer = NULL;

    assert_non_null(data);
    core_run_fill(data, length, 0);
    assert_int_equal(s3dlio_writer_open(URI, NULL, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, data, 10, NULL), 10);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    assert_true(s3dlio_writer_is_unsent(writer)); /* since then */
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    assert_true(s3dlio_writer_is_unsent(writer));
    assert_int_equal(s3dlio_writer_write(writer, data + 10, length - 10, NULL), length - 10);
    assert_false(s3dlio_writer_is_unsent(writer));
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    check_object(URI, &(struct expected){length, {NULL}, {0}});
    free(data);
}

/* ---- the spool's limit -------------------------------------------------------------------------- */

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
    struct s3dlio_draft *draft = open_draft(URI, S3DLIO_DRAFT_EMPTY), *other;
    struct s3dlio_error error;
    int status;
    pid_t pid = start(fills_and_dies, draft, NULL);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(s3dlio_draft_append(draft, data, 1, NULL, NULL), 1);
    assert_int_equal(spool_used(), 40 * MIB + 1);
    other = open_draft(OTHER_URI, S3DLIO_DRAFT_EMPTY);
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
    draft = open_draft(URI, S3DLIO_DRAFT_EMPTY);
    assert_int_equal(((struct draft *)draft)->shared_fd, -1);
    run(writes, draft, NULL);
    assert_true(has_at(draft, "child", 0));
    s3dlio_draft_abort(draft);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    core_run_check_released();
}

/* ---- deaths ------------------------------------------------------------------------------------- */

#define SLOTS      64u
#define SLOT_BYTES 1024u
#define KILLS      200u
#define KILL_STEPS 30u

#define STEPS_WATCHED    500u
#define STOPS_MAX        9u /* at system calls, entering and leaving, of one step */
#define INSTRUCTIONS_MAX 500u

/* What the child is doing, so that the parent knows what may be there: each step changes the length by
 * one slot at most, and the content of one. A version 0 is zeros, or nothing at all. */
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

/* The step that was under way was done, or it was not. */
static void settle_step(struct s3dlio_draft *draft, struct progress *progress)
{
    uint64_t length = s3dlio_draft_length(draft);
    unsigned char bytes[SLOT_BYTES];

    if (!atomic_exchange(&progress->is_busy, false))
        return;
    if (progress->new_length != progress->length) {
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
    pid_t pid = start(works_until_killed, draft, progress);
    int status;

    while (atomic_load(&progress->steps) < target && waitpid(pid, &status, WNOHANG) == 0)
        continue;
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void test_killed_anywhere(void **state)
{
    struct progress *progress = shared_memory(sizeof *progress);
    struct s3dlio_draft *draft;
    unsigned seed = 4711;

    core_run_put(URI, 0);
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
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
            draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
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
    struct progress *progress = shared_memory(sizeof *progress);
    struct s3dlio_draft *draft;
    unsigned seed = 42;

    core_run_put(URI, 0);
    draft = open_draft(URI, S3DLIO_DRAFT_KEEP);
    for (unsigned i = 0; i < STEPS_WATCHED; i++) {
        int status = 0;
        pid_t pid;

        plan_step(progress, &seed);
        atomic_store(&progress->is_busy, true);
        pid = start(does_one_step, draft, progress);
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

/* ---- whoever has the turn ----------------------------------------------------------------------- */

#define SLOW_URI "fault://shared/slow"

static void publishes_slowly(struct s3dlio_draft *draft, void *arg)
{
    s3dlio_draft_pwrite(draft, "child", 5, 0, NULL);
    s3dlio_draft_publish(draft, NULL, NULL);
}

static void wait_until_taken(struct s3dlio_draft *public)
{
    struct draft *draft = (struct draft *)public;

    while (draft->shared->facts[0].write_id[0] == '\0' &&
           draft->shared->facts[1].write_id[0] == '\0')
        continue;
    assert_int_equal(pthread_mutex_trylock(&draft->shared->turn.mutex), EBUSY);
}

static void test_killed_while_it_publishes(void **state)
{
    struct s3dlio_draft *draft = open_draft(SLOW_URI, S3DLIO_DRAFT_EMPTY);
    int status;
    pid_t pid;

    core_run_write_at(draft, "parent", 0);
    core_run_faults("op=PutObject delay=60000");
    pid = start(publishes_slowly, draft, NULL);
    wait_until_taken(draft);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    core_run_faults(NULL);
    assert_true(has_at(draft, "childt", 0));
    core_run_write_at(draft, "P", 5);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_released();
}

/* The deadline of a call counts while another process has the turn. */
static void reads_in_vain(struct s3dlio_draft *draft, void *arg)
{
    struct core_run_scope scope;
    struct error error = {0};
    char byte;

    gate_enter(&scope.gate);
    limits_begin(&scope.limits, 50 * NS_PER_MS, NULL);
    CHECK(draft_pread((struct draft *)draft, &byte, 1, 0, &scope.limits, &error) < 0);
    CHECK(error.class == ERROR_TIMEOUT);
    limits_end(&scope.limits);
    gate_leave(&scope.gate);
}

static void writes_in_turn(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "child!", 6, 0, NULL) == 6);
}

static void *publish_main(void *arg)
{
    return s3dlio_draft_publish(arg, NULL, NULL) == 0 ? NULL : arg;
}

/* The child is made while a thread of the parent has the turn, and gets it after that. */
static void test_waiting(void **state)
{
    struct s3dlio_draft *draft = open_draft(SLOW_URI, S3DLIO_DRAFT_EMPTY);
    pthread_t thread;
    void *failed;

    NOT_UNDER_TSAN();
    core_run_write_at(draft, "parent", 0);
    core_run_faults("op=PutObject delay=1000");
    assert_int_equal(pthread_create(&thread, NULL, publish_main, draft), 0);
    wait_until_taken(draft);
    run(reads_in_vain, draft, NULL);
    run(writes_in_turn, draft, NULL);
    assert_true(has_at(draft, "child!", 0));
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    core_run_faults(NULL);
    s3dlio_draft_abort(draft);
    core_run_check_released();
}

/* A publication that was done, and nobody was told: the next one goes on from it. */
static void test_a_lost_publication(void **state)
{
    struct s3dlio_draft *draft = open_draft(SLOW_URI, S3DLIO_DRAFT_EMPTY);
    struct s3dlio_error error;

    core_run_write_at(draft, "first", 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_write_at(draft, "lost", 10);
    core_run_faults("op=PutObject lose");
    core_run_faults("op=HeadObject fail=access");
    assert_true(s3dlio_draft_publish(draft, NULL, &error) < 0);
    core_run_faults(NULL);
    core_run_write_at(draft, "third", 20);
    if (s3dlio_draft_close(draft, NULL, &error) < 0)
        fail_msg("%s", error.message);
    draft = open_draft(SLOW_URI, S3DLIO_DRAFT_KEEP);
    assert_true(has_at(draft, "lost", 10));
    assert_true(has_at(draft, "third", 20));
    s3dlio_draft_abort(draft);
    core_run_check_released();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_sees_what_the_other_writes),
        cmocka_unit_test(test_lengths_holes_attributes_names),
        cmocka_unit_test(test_appends_of_many),
        cmocka_unit_test(test_each_publishes),
        cmocka_unit_test(test_mappings_of_each),
        cmocka_unit_test(test_many_mappings),
        cmocka_unit_test(test_a_stream_that_is_shared),
        cmocka_unit_test(test_streams_that_were_sent),
        cmocka_unit_test(test_room_is_of_all),
        cmocka_unit_test(test_a_limit_on_files),
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_killed_at_an_instruction),
        cmocka_unit_test(test_killed_while_it_publishes),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_a_lost_publication),
    };

    return cmocka_run_group_tests(tests, set_up, core_run_remove_file_root);
}
