/* Copies between descriptors: FICLONE and its kin, copy_file_range, sendfile. Whether a
 * file system can clone is its own affair, so clones are judged by what they leave behind. */
#include "tests/preload/preload.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define SIZE ((size_t)3 << 20)

static int in, out; /* of the test that runs */

static void begin(int in_flags, int out_flags)
{
    in = open(preload_path("source"), in_flags);
    out = open(preload_path("target"), out_flags, 0644);
    assert_true(in >= 0 && out >= 0);
}

static void end(void)
{
    assert_int_equal(close(in), 0);
    assert_int_equal(close(out), 0);
}

/* Zeros up to `start`, then `length` bytes of the pattern from `from` on, and nothing else. */
static void holds(const char *name, size_t start, size_t from, size_t length)
{
    struct stat st;
    unsigned char *bytes = malloc(start + length + 1);
    int fd = open(preload_path(name), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, start + length);
    assert_int_equal(pread(fd, bytes, start + length + 1, 0), start + length);
    for (size_t i = 0; i < start; i++)
        assert_int_equal(bytes[i], 0);
    assert_true(preload_matches(bytes + start, length, from));
    close(fd);
    free(bytes);
}

static int set_up(void **state)
{
    unlink(preload_path("target"));
    preload_make(preload_path("source"), SIZE);
    return 0;
}

static int tear_down(void **state)
{
    unlink(preload_path("target"));
    unlink(preload_path("source"));
    return 0;
}

/* As cp does: a clone if there are any, else a copy. */
static void clone_or_copy(void)
{
    if (!ioctl(out, FICLONE, in))
        return;
    assert_true(errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL);
    while (copy_file_range(in, NULL, out, NULL, SIZE, 0) > 0)
        ;
}

/* ---- copy_file_range ---- */

static void whole(void **state)
{
    begin(O_RDONLY, O_WRONLY | O_CREAT | O_EXCL);
    assert_int_equal(copy_file_range(in, NULL, out, NULL, SSIZE_MAX & ~0xffffL, 0), SIZE);
    assert_int_equal(lseek(in, 0, SEEK_CUR), SIZE);
    assert_int_equal(lseek(out, 0, SEEK_CUR), SIZE);
    assert_int_equal(copy_file_range(in, NULL, out, NULL, SIZE, 0), 0);
    end();
    holds("target", 0, 0, SIZE);
}

static void in_pieces(void **state)
{
    size_t done = 0;
    begin(O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC);
    for (ssize_t n = 1; n > 0; done += (size_t)n) {
        n = copy_file_range(in, NULL, out, NULL, 700001, 0);
        assert_true(n >= 0);
    }
    assert_int_equal(done, SIZE);
    end();
    holds("target", 0, 0, SIZE);
}

static void offsets(void **state)
{
    off64_t from = 1000, to = 500;
    begin(O_RDONLY, O_RDWR | O_CREAT);
    assert_int_equal(copy_file_range(in, &from, out, &to, 2000, 0), 2000);
    assert_int_equal(from, 3000);
    assert_int_equal(to, 2500);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 0);
    assert_int_equal(lseek(out, 0, SEEK_CUR), 0);
    from = (off64_t)SIZE - 10;
    assert_int_equal(copy_file_range(in, &from, out, &to, 100, 0), 10);
    assert_int_equal(copy_file_range(in, &from, out, &to, 100, 0), 0);
    assert_int_equal(from, SIZE);
    assert_int_equal(ftruncate(out, 2500), 0);
    end();
    holds("target", 500, 1000, 2000);
}

/* What is cloned is changed, and lies beside bytes of its own. */
static void mixed_with_writes(void **state)
{
    char bytes[16];
    begin(O_RDONLY, O_RDWR | O_CREAT);
    assert_int_equal(copy_file_range(in, NULL, out, NULL, SIZE, 0), SIZE);
    assert_int_equal(pwrite(out, "CHANGED", 7, 1 << 20), 7);
    assert_int_equal(write(out, "tail", 4), 4);
    assert_int_equal(pread(out, bytes, 9, (1 << 20) - 1), 9);
    assert_memory_equal(bytes + 1, "CHANGED", 7);
    assert_true(preload_matches(bytes, 1, (1 << 20) - 1));
    assert_int_equal(pwrite(out, "", 0, 0), 0);
    end();
    begin(O_RDONLY, O_RDWR);
    assert_int_equal(lseek(out, 0, SEEK_END), SIZE + 4);
    assert_int_equal(pread(out, bytes, 4, SIZE), 4);
    assert_memory_equal(bytes, "tail", 4);
    assert_int_equal(copy_file_range(in, &(off64_t){1 << 20}, out, &(off64_t){1 << 20}, 7, 0), 7);
    assert_int_equal(ftruncate(out, SIZE), 0);
    end();
    holds("target", 0, 0, SIZE);
}

static void over_a_longer_file(void **state)
{
    preload_make(preload_path("target"), SIZE + 5);
    begin(O_RDONLY, O_WRONLY);
    clone_or_copy();
    end();
    holds("target", 0, 0, SIZE + 5);
}

/* The source is being written itself. */
static void from_what_is_written(void **state)
{
    begin(O_RDWR, O_WRONLY | O_CREAT | O_TRUNC);
    assert_int_equal(ftruncate(in, SIZE + 100), 0);
    assert_int_equal(ftruncate(in, SIZE), 0);
    assert_int_equal(copy_file_range(in, NULL, out, NULL, SIZE, 0), SIZE);
    end();
    holds("target", 0, 0, SIZE);
}

static void one_file(void **state)
{
    off64_t from = 0, to = 4096;
    int fd = open(preload_path("source"), O_RDWR);
    assert_errno(copy_file_range(fd, &from, fd, &to, 4097, 0), EINVAL);
    to = SIZE;
    assert_int_equal(copy_file_range(fd, &from, fd, &to, 5000, 0), 5000);
    in = open(preload_path("source"), O_RDONLY);
    from = to = 0;
    assert_errno(copy_file_range(in, &from, fd, &to, 1, 0), EINVAL);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    close(in);
    assert_int_equal(close(fd), 0);
    holds("source", 0, 0, SIZE);
}

static void what_is_refused(void **state)
{
    off64_t offset = -5;
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    begin(O_RDONLY, O_WRONLY | O_CREAT);
    assert_errno(copy_file_range(in, NULL, out, NULL, 1, 1), EINVAL);
    assert_errno(copy_file_range(in, &offset, out, NULL, 1, 0), EINVAL);
    assert_errno(copy_file_range(in, NULL, out, &offset, 1, 0), EINVAL);
    assert_errno(copy_file_range(out, NULL, out, NULL, 1, 0), EBADF);
    assert_errno(copy_file_range(in, NULL, in, NULL, 1, 0), EBADF);
    assert_errno(copy_file_range(in, NULL, 999, NULL, 1, 0), EBADF);
    assert_errno(copy_file_range(-1, NULL, out, NULL, 1, 0), EBADF);
    assert_errno(copy_file_range(directory, NULL, out, NULL, 1, 0), EISDIR);
    assert_errno(copy_file_range(in, NULL, directory, NULL, 1, 0), EISDIR);
    assert_errno(copy_file_range(in, preload_bad(16), out, NULL, 1, 0), EFAULT);
    assert_errno(copy_file_range(in, &offset, out, NULL, 5, 0), EOVERFLOW);
    offset = 1;
    assert_errno(copy_file_range(in, &offset, out, NULL, SIZE_MAX, 0), EOVERFLOW);
    assert_int_equal(copy_file_range(in, NULL, out, NULL, 0, 0), 0);
    end();
    begin(O_RDONLY, O_WRONLY | O_APPEND);
    assert_errno(copy_file_range(in, NULL, out, NULL, 1, 0), EBADF);
    assert_errno(sendfile(out, in, NULL, 1), EINVAL);
    assert_errno(sendfile(out, directory, NULL, 1), EINVAL);
    end();
    close(directory);
}

/* ---- clones ---- */

static void a_clone(void **state)
{
    struct stat st;
    begin(O_RDONLY, O_WRONLY | O_CREAT | O_EXCL);
    clone_or_copy();
    assert_int_equal(fchmod(out, 0640), 0);
    assert_int_equal(futimens(out, (struct timespec[2]){{1000, 0}, {2000, 0}}), 0);
    end();
    holds("target", 0, 0, SIZE);
    assert_int_equal(stat(preload_path("target"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_mtime, 2000);
}

/* The target has what the source was when it was cloned. */
static void a_source_that_goes_on(void **state)
{
    for (int how = 0; how < 3; how++) {
        begin(O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC);
        clone_or_copy();
        if (how == 0)
            assert_int_equal(unlink(preload_path("source")), 0);
        else if (how == 1)
            preload_make(preload_path("source"), 10);
        else
            assert_int_equal(rename(preload_path("source"), preload_path("moved")), 0);
        end();
        holds("target", 0, 0, SIZE);
        preload_make(preload_path("source"), SIZE);
    }
    unlink(preload_path("moved"));
}

static void an_empty_clone(void **state)
{
    preload_make(preload_path("source"), 0);
    begin(O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC);
    clone_or_copy();
    end();
    holds("target", 0, 0, 0);
}

/* A bad request fails by whichever error comes first, and changes nothing. */
static void clones_that_fail(void **state)
{
    struct file_clone_range range = {.src_offset = SIZE + 4096, .src_length = 4096};
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    preload_make(preload_path("target"), 100);
    begin(O_RDONLY, O_RDWR);
    range.src_fd = in;
    assert_int_equal(ioctl(out, FICLONERANGE, &range), -1);
    range.src_offset = 0;
    range.src_length = SIZE + 4096;
    assert_int_equal(ioctl(out, FICLONERANGE, &range), -1);
    assert_int_equal(ioctl(out, FICLONE, directory), -1);
    assert_int_equal(ioctl(directory, FICLONE, in), -1);
    assert_int_equal(ioctl(in, FICLONE, out), -1);
    assert_errno(ioctl(out, FICLONE, -1), EBADF);
    assert_errno(ioctl(out, FICLONE, 999), EBADF);
    end();
    close(directory);
    holds("target", 0, 0, 100);
}

/* ---- sendfile ---- */

static void send_to_a_file(void **state)
{
    off_t offset = 0;
    begin(O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC);
    assert_int_equal(sendfile(out, in, &offset, (size_t)8 << 20), SIZE);
    assert_int_equal(offset, SIZE);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 0);
    assert_int_equal(lseek(out, 0, SEEK_CUR), SIZE);
    assert_int_equal(sendfile(out, in, &offset, 100), 0);
    end();
    holds("target", 0, 0, SIZE);
    begin(O_RDONLY, O_WRONLY | O_TRUNC);
    assert_int_equal(lseek(in, 1000, SEEK_SET), 1000);
    assert_int_equal(lseek(out, 300, SEEK_SET), 300);
    assert_int_equal(sendfile(out, in, NULL, 50000), 50000);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 51000);
    assert_int_equal(lseek(out, 0, SEEK_CUR), 50300);
    offset = -1;
    assert_errno(sendfile(out, in, &offset, 1), EINVAL);
    assert_errno(sendfile(in, in, NULL, 1), EBADF);
    assert_errno(sendfile(out, out, NULL, 1), EBADF);
    assert_int_equal(sendfile(out, in, NULL, 0), 0);
    end();
    holds("target", 300, 1000, 50000);
}

/* Between a disk and the file system under test, in both directions. */
static void send_to_and_from_a_disk(void **state)
{
    char name[] = "/tmp/s3dlio-copy.XXXXXX";
    unsigned char bytes[3000];
    off_t offset = 100;
    int disk = mkstemp(name);
    begin(O_RDONLY, O_WRONLY | O_CREAT | O_TRUNC);
    assert_int_equal(sendfile(disk, in, NULL, 3000), 3000);
    assert_int_equal(pread(disk, bytes, sizeof bytes, 0), 3000);
    assert_true(preload_matches(bytes, sizeof bytes, 0));
    assert_int_equal(sendfile(out, disk, &offset, 5000), 2900);
    assert_int_equal(offset, 3000);
    assert_int_equal(lseek(disk, 50, SEEK_SET), 50);
    assert_int_equal(sendfile(out, disk, NULL, 50), 50);
    assert_int_equal(lseek(disk, 0, SEEK_CUR), 100);
    assert_int_equal(ftruncate(out, 2900), 0);
    end();
    close(disk);
    unlink(name);
    holds("target", 0, 100, 2900);
}

static void send_to_a_socket(void **state)
{
    int pair[2];
    unsigned char bytes[10000];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    begin(O_RDONLY, O_WRONLY | O_CREAT);
    assert_int_equal(sendfile(pair[0], in, NULL, sizeof bytes), sizeof bytes);
    assert_int_equal(recv(pair[1], bytes, sizeof bytes, MSG_WAITALL), sizeof bytes);
    assert_true(preload_matches(bytes, sizeof bytes, 0));
    assert_int_equal(lseek(in, 0, SEEK_CUR), sizeof bytes);
    assert_errno(sendfile(out, pair[0], NULL, 10), EINVAL);
    end();
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(whole),
        TEST(in_pieces),
        TEST(offsets),
        TEST(mixed_with_writes),
        TEST(over_a_longer_file),
        TEST(from_what_is_written),
        TEST(one_file),
        TEST(what_is_refused),
        TEST(a_clone),
        TEST(a_source_that_goes_on),
        TEST(an_empty_clone),
        TEST(clones_that_fail),
        TEST(send_to_a_file),
        TEST(send_to_and_from_a_disk),
        TEST(send_to_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
