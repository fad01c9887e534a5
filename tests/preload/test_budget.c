/* One memory budget for reading and writing, here as small as can be: nothing waits for memory that
 * only a later call would free, and what is in memory stays bounded, however many files are
 * open. */
#include "tests/preload/usage.h"

#include <pthread.h>
#include <sys/resource.h>

/* Above what was there before: two ranges and a part of 8 MiB, which any budget grants; the pool's
 * idle buffers, 16 MiB; connections, tables, stacks and allocators. */
#define GRANTED_BYTES (24 * MIB)
#define IDLE_BYTES    (16 * MIB)
#define OTHER_BYTES   (24 * MIB)
/* Buffers grow by four, so as much may lie in spool files as is written, four times. */
#define SPOOL_GROWTH 4

#define MANY        1000u
#define STRIDE      617u  /* has no divisor in common with MANY */
#define USUAL_FDS   1024u /* as most programs are started */
#define PIECE_BYTES ((size_t)1 << 20)

static struct usage before;

static int begin_test(void **state)
{
    usage_reset_peak();
    before = usage_now();
    return 0;
}

/* A test that has failed leaves nothing to the next one. */
static int end_test(void **state)
{
    for (int fd = 10; fd < (int)USUAL_FDS; fd++)
        close(fd);
    return 0;
}

static void assert_bounded(uint64_t spool_bytes)
{
    struct usage usage = usage_now();
    uint64_t allowed = before.resident_bytes + GRANTED_BYTES + IDLE_BYTES + OTHER_BYTES;
    if (getenv("S3DLIO_TEST_USAGE"))
        fprintf(stderr, "peak +%llu MiB, files +%lld MiB, %u descriptors\n",
                (unsigned long long)((usage.peak_bytes - before.resident_bytes) / MIB),
                (long long)(usage.file_bytes - before.file_bytes) / (long long)MIB, usage.fd_count);
    if (!USAGE_IS_MEASURED)
        return;
    if (usage.peak_bytes > allowed)
        fail_msg("peak of %llu MiB, %llu MiB at the beginning",
                 (unsigned long long)(usage.peak_bytes / MIB),
                 (unsigned long long)(before.resident_bytes / MIB));
    if (preload_is_virtual() && usage.file_bytes > before.file_bytes + spool_bytes + OTHER_BYTES)
        fail_msg("%llu MiB in files without a name",
                 (unsigned long long)((usage.file_bytes - before.file_bytes) / MIB));
}

/* ---- files with a content each ---- */

static const char *name_of(const char *prefix, unsigned file)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%u", prefix, file);
    return preload_path(name);
}

static uint64_t pattern_offset(unsigned file, uint64_t offset)
{
    return offset + (uint64_t)file * 7919;
}

static int create(const char *prefix, unsigned file, int flags)
{
    int fd = open(name_of(prefix, file), O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        fail_msg("%s: %s", name_of(prefix, file), strerror(errno));
    return fd;
}

static int open_to_read(const char *prefix, unsigned file)
{
    int fd = open(name_of(prefix, file), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("%s: %s", name_of(prefix, file), strerror(errno));
    return fd;
}

static bool add(int fd, unsigned file, uint64_t offset, size_t length)
{
    static _Thread_local unsigned char piece[PIECE_BYTES];
    while (length) {
        size_t n = length < sizeof piece ? length : sizeof piece;
        preload_fill(piece, n, pattern_offset(file, offset));
        if (write(fd, piece, n) != (ssize_t)n)
            return false;
        offset += n;
        length -= n;
    }
    return true;
}

/* The next bytes of the file are its own. */
static bool next_is_right(int fd, unsigned file, uint64_t offset, size_t length)
{
    static _Thread_local unsigned char piece[PIECE_BYTES];
    while (length) {
        size_t n = length < sizeof piece ? length : sizeof piece;
        if (read(fd, piece, n) != (ssize_t)n ||
            !preload_matches(piece, n, pattern_offset(file, offset)))
            return false;
        offset += n;
        length -= n;
    }
    return true;
}

static bool is_right(const char *path, unsigned file, size_t length)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is = fd >= 0 && next_is_right(fd, file, 0, length) && read(fd, &byte, 1) == 0;
    return fd >= 0 && !close(fd) && is;
}

static bool make(const char *prefix, unsigned file, size_t length)
{
    int fd = create(prefix, file, O_WRONLY);
    return add(fd, file, 0, length) && !close(fd);
}

static void assert_right(const char *prefix, unsigned count, size_t length)
{
    for (unsigned i = 0; i < count; i++)
        if (!is_right(name_of(prefix, i), i, length))
            fail_msg("%s is not what was written", name_of(prefix, i));
}

static void remove_all(const char *prefix, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(unlink(name_of(prefix, i)), 0);
}

/* ---- one thread ---- */

static void copy_pieces(int from, int to, size_t piece_bytes)
{
    char *piece = malloc(piece_bytes);
    ssize_t n;
    assert_non_null(piece);
    while ((n = read(from, piece, piece_bytes)) > 0)
        assert_int_equal(write(to, piece, (size_t)n), n);
    assert_int_equal(n, 0);
    free(piece);
}

static void copying_in_one_thread(void **state)
{
    static const size_t pieces[] = {100003, 1 << 20, 9 << 20};
    const size_t length = 40 * MIB + 12345;
    assert_true(make("copy", 0, length));
    for (unsigned i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        int from = open(name_of("copy", 0), O_RDONLY | O_CLOEXEC);
        int to = open(name_of("copy", 1), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(from >= 0 && to >= 0);
        copy_pieces(from, to, pieces[i]);
        assert_int_equal(close(to), 0);
        assert_int_equal(close(from), 0);
        assert_true(is_right(name_of("copy", 1), 0, length));
    }
    assert_bounded(8 * MIB);
    remove_all("copy", 2);
}

/* ---- writers ---- */

static void a_thousand_writers(void **state)
{
    static int fds[MANY];
    const size_t tail = 3000, more = 100 << 10;
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = create("tail", i, O_WRONLY);
        assert_true(add(fds[i], i, 0, tail));
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_true(add(fds[i], i, tail, more));
    assert_bounded(SPOOL_GROWTH * MANY * (tail + more));
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(close(fds[i * STRIDE % MANY]), 0);
    assert_right("tail", MANY, tail + more);
    assert_bounded(0);
    remove_all("tail", MANY);
}

/* Each of them sends parts, has one in the making, and its first one perhaps: both may lie in the spool. */
static void large_writers_in_turns(void **state)
{
    enum { COUNT = 12 };
    int fds[COUNT];
    const unsigned pieces = 20;
    for (unsigned i = 0; i < COUNT; i++)
        fds[i] = create("large", i, O_WRONLY);
    for (unsigned piece = 0; piece < pieces; piece++)
        for (unsigned i = 0; i < COUNT; i++)
            assert_true(add(fds[i], i, piece * PIECE_BYTES, PIECE_BYTES));
    assert_bounded(COUNT * 2 * 8 * MIB);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(close(fds[COUNT - 1 - i]), 0);
    assert_right("large", COUNT, pieces * PIECE_BYTES);
    assert_bounded(0);
    remove_all("large", COUNT);
}

/* Parts that were sent are not kept, the first one perhaps, which may lie in the spool; what would change
 * another is refused, and the stream goes on. */
static void a_part_that_is_gone(void **state)
{
    const size_t length = 30 * MIB;
    int fd = create("gone", 0, O_WRONLY);
    assert_true(add(fd, 0, 0, length));
    if (preload_is_virtual())
        assert_errno(pwrite(fd, "x", 1, 9 * MIB), EOPNOTSUPP);
    assert_true(add(fd, 0, length, PIECE_BYTES));
    assert_int_equal(close(fd), 0);
    assert_right("gone", 1, length + PIECE_BYTES);
    remove_all("gone", 1);
}

/* ---- readers ---- */

static void a_thousand_readers(void **state)
{
    enum { FILES = 100 };
    static int fds[MANY];
    const size_t length = MIB + 4321, step = 50000;
    for (unsigned i = 0; i < FILES; i++)
        assert_true(make("read", i, length));
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = open_to_read("read", i % FILES);
    }
    assert_bounded(0);
    for (size_t offset = 0; offset < length; offset += step)
        for (unsigned i = 0; i < FILES; i++)
            assert_true(
                next_is_right(fds[i], i, offset, length - offset < step ? length - offset : step));
    assert_bounded(0);
    for (unsigned i = FILES; i < MANY; i++)
        assert_true(next_is_right(fds[i], i % FILES, 0, step));
    for (unsigned i = FILES; i < MANY; i++)
        assert_true(next_is_right(fds[i], i % FILES, step, step));
    assert_bounded(0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(close(fds[i * STRIDE % MANY]), 0);
    remove_all("read", FILES);
}

/* A look at the beginning of each, and of all of them at the next bytes. */
static void a_thousand_headers(void **state)
{
    enum { FILES = 100 };
    static int fds[MANY];
    const size_t length = MIB, step = 1000;
    for (unsigned i = 0; i < FILES; i++)
        assert_true(make("head", i, length));
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = open_to_read("head", i % FILES);
        assert_true(next_is_right(fds[i], i % FILES, 0, step));
    }
    assert_bounded(0);
    for (unsigned i = 0; i < MANY; i++)
        assert_true(next_is_right(fds[i], i % FILES, step, step));
    assert_bounded(0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(close(fds[i * STRIDE % MANY]), 0);
    remove_all("head", FILES);
}

static void a_thousand_readers_that_jump(void **state)
{
    enum { FILES = 100, JUMPS = 3 };
    static int fds[MANY];
    const size_t length = MIB + 4321;
    unsigned char bytes[1000];
    for (unsigned i = 0; i < FILES; i++)
        assert_true(make("jump", i, length));
    for (unsigned i = 0; i < MANY; i++)
        fds[i] = open_to_read("jump", i % FILES);
    for (unsigned jump = 0; jump < JUMPS; jump++)
        for (unsigned i = 0; i < MANY; i++) {
            uint64_t offset = 300000 + (jump * 7 + i / FILES) % 10 * 70000;
            assert_int_equal(pread(fds[i], bytes, sizeof bytes, (off_t)offset), sizeof bytes);
            assert_true(preload_matches(bytes, sizeof bytes, pattern_offset(i % FILES, offset)));
        }
    assert_bounded(0);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(close(fds[i * STRIDE % MANY]), 0);
    remove_all("jump", FILES);
}

/* ---- threads ---- */

#define THREAD_BYTES (24 * MIB + 99)

static void *read_one(void *arg)
{
    unsigned file = (unsigned)(uintptr_t)arg;
    return is_right(name_of("thread", file), file, THREAD_BYTES) ? arg : NULL;
}

static void *write_one(void *arg)
{
    return make("thread", (unsigned)(uintptr_t)arg, THREAD_BYTES) ? arg : NULL;
}

static void a_writer_beside_readers(void **state)
{
    enum { READERS = 3 };
    pthread_t threads[READERS + 1];
    void *result;
    for (unsigned i = 1; i <= READERS; i++)
        assert_true(make("thread", i, THREAD_BYTES));
    for (unsigned i = 0; i <= READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, i < READERS ? read_one : write_one,
                                        (void *)(uintptr_t)(i + 1)),
                         0);
    for (unsigned i = 0; i <= READERS; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_non_null(result);
    }
    assert_bounded(READERS * 8 * MIB);
    assert_true(is_right(name_of("thread", READERS + 1), READERS + 1, THREAD_BYTES));
    for (unsigned i = 1; i <= READERS + 1; i++)
        assert_int_equal(unlink(name_of("thread", i)), 0);
}

/* ---- processes ---- */

static void assert_children_end(unsigned count)
{
    int status;
    for (unsigned i = 0; i < count; i++) {
        assert_true(wait(&status) > 0);
        if (status)
            fail_msg("a child ended with status %#x", (unsigned)status);
    }
}

/* In a child: its own peak. */
static bool child_is_bounded(void)
{
    uint64_t peak = usage_status_bytes(getpid(), "VmHWM");
    return !USAGE_IS_MEASURED ||
           peak <= before.resident_bytes + GRANTED_BYTES + IDLE_BYTES + OTHER_BYTES;
}

static void forked_writers(void **state)
{
    enum { CHILDREN = 5 };
    const size_t length = 20 * MIB + 77;
    int fd = create("forked", CHILDREN, O_WRONLY);
    assert_true(add(fd, CHILDREN, 0, length));
    for (unsigned i = 0; i < CHILDREN; i++)
        if (!fork())
            _exit(!make("forked", i, length) ? 1 : !child_is_bounded() ? 2 : 0);
    assert_true(add(fd, CHILDREN, length, PIECE_BYTES));
    assert_int_equal(close(fd), 0);
    assert_children_end(CHILDREN);
    assert_right("forked", CHILDREN, length);
    assert_true(is_right(name_of("forked", CHILDREN), CHILDREN, length + PIECE_BYTES));
    assert_bounded(0);
    remove_all("forked", CHILDREN + 1);
}

static bool write_many(const char *prefix, unsigned count)
{
    static int fds[MANY];
    bool is_right = true;
    for (unsigned i = 0; i < count; i++) {
        fds[i] = create(prefix, i, O_WRONLY);
        is_right = is_right && add(fds[i], i, 0, 5000);
    }
    for (unsigned i = 0; i < count; i++)
        is_right = is_right && add(fds[i], i, 5000, 5000);
    for (unsigned i = 0; i < count; i++)
        is_right = !close(fds[i * STRIDE % count]) && is_right;
    return is_right;
}

static void a_thousand_writers_in_a_child(void **state)
{
    int fd = create("parent", 0, O_WRONLY);
    assert_true(add(fd, 0, 0, 3 * PIECE_BYTES));
    if (!fork())
        _exit(!write_many("child", MANY) ? 1 : !child_is_bounded() ? 2 : 0);
    assert_children_end(1);
    assert_true(add(fd, 0, 3 * PIECE_BYTES, 3 * PIECE_BYTES));
    assert_int_equal(close(fd), 0);
    assert_right("child", MANY, 10000);
    assert_right("parent", 1, 6 * PIECE_BYTES);
    assert_bounded(0);
    remove_all("child", MANY);
    remove_all("parent", 1);
}

/* What the parent has begun, its child goes on with, and then the parent again. */
static void writers_that_a_child_shares(void **state)
{
    enum { SHARED = 200 };
    static int fds[SHARED];
    bool is_right = true;
    for (unsigned i = 0; i < SHARED; i++) {
        fds[i] = create("shared", i, O_WRONLY);
        assert_true(add(fds[i], i, 0, 5000));
    }
    if (!fork()) {
        for (unsigned i = 0; i < SHARED; i++)
            is_right = is_right && add(fds[i], i, 5000, 70000);
        _exit(!is_right ? 1 : !child_is_bounded() ? 2 : 0);
    }
    assert_children_end(1);
    for (unsigned i = 0; i < SHARED; i++) {
        assert_true(add(fds[i], i, 75000, 5000));
        assert_int_equal(close(fds[i]), 0);
    }
    assert_right("shared", SHARED, 80000);
    assert_bounded(0);
    remove_all("shared", SHARED);
}

/* ---- drafts ---- */

static void two_hundred_drafts(void **state)
{
    enum { DRAFTS = 200 };
    static int fds[DRAFTS];
    const size_t length = 300000;
    unsigned char bytes[1000];
    for (unsigned i = 0; i < DRAFTS; i++) {
        /* The pattern of another file where the draft will put its own. */
        fds[i] = create("draft", i, O_WRONLY);
        assert_true(add(fds[i], i, 0, 100000) && add(fds[i], i + 1, 100000, 100000) &&
                    add(fds[i], i, 200000, length - 200000) && !close(fds[i]));
        fds[i] = open(name_of("draft", i), O_RDWR | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    for (unsigned i = 0; i < DRAFTS; i++) {
        assert_int_equal(lseek(fds[i], 100000, SEEK_SET), 100000);
        assert_true(add(fds[i], i, 100000, 100000));
        assert_int_equal(pread(fds[i], bytes, sizeof bytes, 99500), sizeof bytes);
        assert_true(preload_matches(bytes, sizeof bytes, pattern_offset(i, 99500)));
    }
    assert_bounded(DRAFTS * 2 * length);
    for (unsigned i = 0; i < DRAFTS; i++)
        assert_int_equal(close(fds[i * 77 % DRAFTS]), 0);
    assert_right("draft", DRAFTS, length);
    assert_bounded(0);
    remove_all("draft", DRAFTS);
}

/* ---- descriptors ---- */

/* The limit is the program's: it may have all of it, and is told when it has. */
static void as_many_as_the_limit(void **state)
{
    enum { LIMIT = 100 };
    struct rlimit limit, small;
    static int fds[LIMIT];
    unsigned count = 0;
    int lowest = dup(0);
    assert_true(lowest >= 0 && lowest < LIMIT);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    small = (struct rlimit){LIMIT, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    while (count < LIMIT) {
        int fd = open(name_of("limit", count), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            break;
        fds[count++] = fd;
        assert_true(add(fd, count - 1, 0, 5000));
    }
    assert_int_equal(errno, EMFILE);
    assert_true(count >= LIMIT - 12); /* streams, the watcher's pipes, the runner's */
    for (unsigned i = 0; i < count; i++) {
        assert_true(add(fds[i], i, 5000, 5000));
        assert_int_equal(close(fds[i]), 0);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_right("limit", count, 10000);
    remove_all("limit", count);
}

/* In a child, for a hard limit is for good: there is no room above. What was written is stored all the
 * same, also by a process that has sent no request before (its parent knows the directory). */
static bool all_of_a_hard_limit(unsigned taken)
{
    enum { LIMIT = 128 };
    struct rlimit small = {LIMIT, LIMIT};
    static int fds[LIMIT];
    unsigned count = 0;
    bool is_right_all = !setrlimit(RLIMIT_NOFILE, &small);
    for (; taken > 0; taken--)
        is_right_all = dup(0) >= 0 && is_right_all;
    while (is_right_all && count < LIMIT) { /* not O_TRUNC: a draft, with files of its own */
        int fd = open(name_of("hard", count), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            break;
        fds[count] = fd;
        is_right_all = add(fd, count, 0, 5000);
        count++;
    }
    is_right_all = is_right_all && errno == EMFILE && count >= LIMIT / 8;
    for (unsigned i = 0; i < count; i++)
        is_right_all = add(fds[i], i, 5000, 5000) && !close(fds[i]) && is_right_all;
    for (unsigned i = 0; i < count; i++)
        is_right_all =
            is_right(name_of("hard", i), i, 10000) && !unlink(name_of("hard", i)) && is_right_all;
    return is_right_all;
}

/* What the child said on stderr; it has ended well. */
static void run_with_taken(unsigned taken, char *said, size_t size)
{
    size_t filled = 0;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (!fork()) {
        dup2(ends[1], 2);
        _exit(!all_of_a_hard_limit(taken));
    }
    close(ends[1]);
    for (ssize_t n; filled < size - 1 && (n = read(ends[0], said + filled, size - 1 - filled)) > 0;)
        filled += (size_t)n;
    said[filled] = '\0';
    close(ends[0]);
    assert_children_end(1);
}

/* A draft has three descriptors. The program's own is refused without a word, as on a disk. */
static void without_room_above_the_limit(void **state)
{
    char said[PATH_MAX + 512];
    unsigned explained = 0;
    for (unsigned taken = 0; taken < 3; taken++) {
        run_with_taken(taken, said, sizeof said);
        explained += strstr(said, "RLIMIT_NOFILE") != NULL;
    }
    assert_int_equal(explained, preload_is_virtual() ? 2 : 0);
}

static int set_up(void **state)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return -1;
    limit.rlim_cur = USUAL_FDS;
    return setrlimit(RLIMIT_NOFILE, &limit) ? -1 : usage_begin(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copying_in_one_thread, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_thousand_writers, begin_test, end_test),
        cmocka_unit_test_setup_teardown(large_writers_in_turns, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_part_that_is_gone, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_thousand_readers, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_thousand_headers, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_thousand_readers_that_jump, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_writer_beside_readers, begin_test, end_test),
        cmocka_unit_test_setup_teardown(forked_writers, begin_test, end_test),
        cmocka_unit_test_setup_teardown(a_thousand_writers_in_a_child, begin_test, end_test),
        cmocka_unit_test_setup_teardown(writers_that_a_child_shares, begin_test, end_test),
        cmocka_unit_test_setup_teardown(two_hundred_drafts, begin_test, end_test),
        cmocka_unit_test_setup_teardown(as_many_as_the_limit, begin_test, end_test),
        cmocka_unit_test_setup_teardown(without_room_above_the_limit, begin_test, end_test),
    };
    return cmocka_run_group_tests(tests, set_up, usage_end);
}
