/* Reading: open, read, pread, vectors, seeking, end of file, bad arguments. */
#include "tests/preload/preload.h"

#include <sys/mman.h>
#include <sys/uio.h>

#define SIZE (3 << 20 | 12345)

static const char *data;

static int setup(void **state)
{
    data = strdup(preload_path("read.dat"));
    preload_make(data, SIZE);
    preload_make(preload_path("empty.dat"), 0);
    return 0;
}

static void whole_file(void **state)
{
    int fd = open(data, O_RDONLY);
    assert_true(fd >= 0);
    unsigned char *buffer = malloc(SIZE + 100);
    size_t done = 0;
    for (ssize_t got; (got = read(fd, buffer + done, 100000)) > 0;)
        done += (size_t)got;
    assert_int_equal(done, SIZE);
    assert_true(preload_matches(buffer, SIZE, 0));
    assert_int_equal(read(fd, buffer, 10), 0);
    assert_int_equal(close(fd), 0);
    assert_errno(read(fd, buffer, 1), EBADF);
    free(buffer);
}

static void short_only_at_the_end(void **state)
{
    int fd = open(data, O_RDONLY);
    unsigned char *buffer = malloc(SIZE + 100);
    assert_int_equal(read(fd, buffer, SIZE + 100), SIZE);
    assert_int_equal(lseek(fd, SIZE - 10, SEEK_SET), SIZE - 10);
    assert_int_equal(read(fd, buffer, 100), 10);
    assert_true(preload_matches(buffer, 10, SIZE - 10));
    close(fd);
    free(buffer);
}

static void positions(void **state)
{
    int fd = open(data, O_RDONLY);
    unsigned char buffer[4096];
    static const off_t offsets[] = {SIZE - 1, 0, 65535, 65536, 1 << 20, (1 << 20) - 1, 4095, 77};
    for (unsigned i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        size_t want = SIZE - offsets[i] < 4096 ? (size_t)(SIZE - offsets[i]) : 4096;
        assert_int_equal(pread(fd, buffer, 4096, offsets[i]), want);
        assert_true(preload_matches(buffer, want, (uint64_t)offsets[i]));
    }
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    assert_int_equal(pread(fd, buffer, 10, SIZE), 0);
    assert_int_equal(pread(fd, buffer, 10, (off_t)SIZE * 1000), 0);
    assert_errno(pread(fd, buffer, 10, -1), EINVAL);
    close(fd);
}

static void seeking(void **state)
{
    int fd = open(data, O_RDONLY);
    assert_int_equal(lseek(fd, 0, SEEK_END), SIZE);
    assert_int_equal(lseek(fd, -5, SEEK_CUR), SIZE - 5);
    assert_int_equal(lseek(fd, 10, SEEK_END), SIZE + 10);
    assert_errno(lseek(fd, -1, SEEK_SET), EINVAL);
    assert_errno(lseek(fd, 0, 99), EINVAL);
    assert_int_equal(lseek(fd, 100, SEEK_DATA), 100);
    assert_int_equal(lseek(fd, 100, SEEK_HOLE), SIZE);
    assert_errno(lseek(fd, SIZE, SEEK_DATA), ENXIO);
    assert_errno(lseek(fd, SIZE, SEEK_HOLE), ENXIO);
    assert_int_equal(lseek(fd, 7, SEEK_SET), 7);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal((unsigned char)byte, preload_byte(7));
    close(fd);
}

static void vectors(void **state)
{
    int fd = open(data, O_RDONLY);
    unsigned char a[100], b[1], c[5000];
    struct iovec iov[] = {{a, sizeof a}, {NULL, 0}, {b, 1}, {c, sizeof c}};
    assert_int_equal(preadv(fd, iov, 4, 1000), 5101);
    assert_true(preload_matches(a, 100, 1000) && preload_matches(b, 1, 1100) &&
                preload_matches(c, 5000, 1101));
    assert_int_equal(readv(fd, iov, 4), 5101);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5101);
    assert_int_equal(preadv(fd, iov, 4, SIZE - 101), 101);
    assert_errno(readv(fd, iov, (int)(intptr_t)preload_bad((uintptr_t)-1)), EINVAL);
    assert_errno(preadv(fd, iov, 4, -1), EINVAL);
    assert_int_equal(preadv2(fd, iov, 4, -1, 0), 5101);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 10202);
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    iov[2].iov_base = nowhere; /* what lies before it is read */
    memset(a, 0, sizeof a);
    assert_int_equal(preadv(fd, iov, 4, 2000), 100);
    assert_true(preload_matches(a, 100, 2000));
    assert_int_equal(munmap(nowhere, 4096), 0);
    close(fd);
}

static void empty_file(void **state)
{
    char byte;
    int fd = open(preload_path("empty.dat"), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, &byte, 1), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
    close(fd);
}

static void errors_of_open(void **state)
{
    assert_errno(open(preload_path("absent"), O_RDONLY), ENOENT);
    assert_errno(open(preload_path("read.dat/below"), O_RDONLY), ENOTDIR);
    assert_errno(open(preload_path("read.dat/"), O_RDONLY), ENOTDIR);
    assert_errno(open(data, O_RDONLY | O_DIRECTORY), ENOTDIR);
    assert_errno(open(preload_path("absent/x"), O_WRONLY | O_CREAT, 0644), ENOENT);
    assert_errno(open(preload_root(), O_WRONLY), EISDIR);
    assert_errno(open(preload_root(), O_RDWR), EISDIR);
    assert_errno(open("", O_RDONLY), ENOENT);
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    memcpy(long_name, preload_root(), strlen(preload_root()));
    long_name[strlen(preload_root())] = '/';
    assert_errno(open(long_name, O_RDONLY), ENAMETOOLONG);
}

static void reading_a_directory(void **state)
{
    char byte;
    int fd = open(preload_root(), O_RDONLY);
    assert_true(fd >= 0);
    assert_errno(read(fd, &byte, 1), EISDIR);
    assert_errno(write(fd, "x", 1), EBADF);
    close(fd);
}

static void wrong_direction(void **state)
{
    int fd = open(data, O_RDONLY);
    assert_errno(write(fd, "x", 1), EBADF);
    assert_errno(ftruncate(fd, 0), EINVAL);
    close(fd);
}

static void bad_pointers(void **state)
{
    int fd = open(data, O_RDONLY);
    assert_errno(read(fd, preload_bad(0), 10), EFAULT);
    assert_errno(pread(fd, preload_bad(1), 10, 0), EFAULT);
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page, 8192, PROT_READ);
    assert_errno(pread(fd, page, 8192, 0), EFAULT);
    munmap(page, 8192);
    assert_errno(pread(fd, page, 4096, 0), EFAULT);
    assert_errno(open(preload_bad(8), O_RDONLY), EFAULT);
    assert_errno(open(preload_bad(0), O_RDONLY), EFAULT);
    struct stat st;
    assert_errno(stat(preload_bad(16), &st), EFAULT);
    close(fd);
}

static void lowest_descriptor(void **state)
{
    int first = open(data, O_RDONLY), second = open(data, O_RDONLY);
    close(first);
    assert_int_equal(open(data, O_RDONLY), first);
    assert_int_equal(fcntl(second, F_GETFD), 0);
    int third = open(data, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fcntl(third, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(third, F_GETFL) & (O_ACCMODE | O_APPEND | O_CREAT), O_RDONLY);
    close(first);
    close(second);
    close(third);
    assert_errno(close(third), EBADF);
}

static void through_dev_fd(void **state)
{
    int fd = open(data, O_RDONLY);
    char name[64], buffer[8];
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    assert_int_equal(lseek(fd, 500, SEEK_SET), 500);
    int again = open(name, O_RDONLY);
    assert_true(again >= 0);
    assert_int_equal(read(again, buffer, 8), 8); /* an offset of its own */
    assert_true(preload_matches(buffer, 8, 0));
    close(again);
    close(fd);
}

static void errno_is_kept(void **state)
{
    char byte;
    int fd = open(data, O_RDONLY);
    errno = 4711;
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(errno, 4711);
    close(fd);
    assert_int_equal(errno, 4711);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file),          cmocka_unit_test(short_only_at_the_end),
        cmocka_unit_test(positions),           cmocka_unit_test(seeking),
        cmocka_unit_test(vectors),             cmocka_unit_test(empty_file),
        cmocka_unit_test(errors_of_open),      cmocka_unit_test(reading_a_directory),
        cmocka_unit_test(wrong_direction),     cmocka_unit_test(bad_pointers),
        cmocka_unit_test(lowest_descriptor),   cmocka_unit_test(through_dev_fd),
        cmocka_unit_test(errno_is_kept),
    };
    return cmocka_run_group_tests_name("read", tests, setup, NULL);
}
