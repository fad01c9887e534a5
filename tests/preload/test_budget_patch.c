/* Streams whose sent parts had to leave memory, and are changed all the same: what is in the spool
 * then becomes a draft. */
#include "tests/preload/usage.h"

#define LENGTH (23 * MIB + 17)

/* Two ranges and a part that any budget grants, idle buffers, a large piece of the spool, and the
 * rest. */
#define ALLOWED_BYTES (64 * MIB)

static uint64_t resident_before;

static void add(int fd, uint64_t offset, uint64_t length, uint64_t shift)
{
    static unsigned char piece[1 << 16];
    for (uint64_t done = 0; done < length;) {
        size_t n = length - done < sizeof piece ? (size_t)(length - done) : sizeof piece;
        preload_fill(piece, n, offset + done + shift);
        assert_int_equal(pwrite(fd, piece, n, (off_t)(offset + done)), n);
        done += n;
    }
}

static void assert_content(int fd, uint64_t offset, uint64_t end, uint64_t shift)
{
    static unsigned char piece[1 << 16];
    while (offset < end) {
        size_t n = end - offset < sizeof piece ? (size_t)(end - offset) : sizeof piece;
        assert_int_equal(pread(fd, piece, n, (off_t)offset), n);
        if (!preload_matches(piece, n, offset + shift))
            fail_msg("wrong bytes from %llu on", (unsigned long long)offset);
        offset += n;
    }
}

static int begin(const char *name)
{
    int fd = open(preload_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    return fd;
}

static void assert_bounded(void)
{
    struct usage usage = usage_now();
    if (USAGE_IS_MEASURED && usage.peak_bytes > resident_before + ALLOWED_BYTES)
        fail_msg("a peak of %llu MiB", (unsigned long long)(usage.peak_bytes / MIB));
}

/* A header, something in the middle and the end, then on with the stream. */
static void patch(int fd)
{
    add(fd, 0, 100, 1);
    add(fd, 9 * MIB, 2 * MIB, 2);
    add(fd, LENGTH - 1000, 1000, 3);
    add(fd, LENGTH, MIB, 0);
}

static void assert_patched(const char *name)
{
    struct stat st;
    int fd = open(preload_path(name), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, LENGTH + MIB);
    assert_content(fd, 0, 100, 1);
    assert_content(fd, 100, 9 * MIB, 0);
    assert_content(fd, 9 * MIB, 11 * MIB, 2);
    assert_content(fd, 11 * MIB, LENGTH - 1000, 0);
    assert_content(fd, LENGTH - 1000, LENGTH, 3);
    assert_content(fd, LENGTH, LENGTH + MIB, 0);
    close(fd);
    assert_int_equal(unlink(preload_path(name)), 0);
}

static void a_stream_is_patched(void **state)
{
    int fd = begin("patched");
    add(fd, 0, LENGTH, 0);
    patch(fd);
    assert_int_equal(close(fd), 0);
    assert_patched("patched");
    assert_bounded();
}

static void streams_in_turns_are_patched(void **state)
{
    enum { COUNT = 4 };
    char names[COUNT][16];
    int fds[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "turns-%u", i);
        fds[i] = begin(names[i]);
    }
    for (uint64_t at = 0; at < LENGTH; at += MIB)
        for (unsigned i = 0; i < COUNT; i++)
            add(fds[i], at, LENGTH - at < MIB ? LENGTH - at : MIB, 0);
    for (unsigned i = 0; i < COUNT; i++)
        patch(fds[i]);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(close(fds[COUNT - 1 - i]), 0);
    for (unsigned i = 0; i < COUNT; i++)
        assert_patched(names[i]);
    assert_bounded();
}

static int begin_test(void **state)
{
    usage_reset_peak();
    resident_before = usage_now().resident_bytes;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_stream_is_patched, begin_test),
        cmocka_unit_test_setup(streams_in_turns_are_patched, begin_test),
    };
    return cmocka_run_group_tests(tests, usage_begin, usage_end);
}
