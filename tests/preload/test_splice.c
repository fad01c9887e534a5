/* Files and pipes: splice, tee, vmsplice. */
#include "tests/preload/preload.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define SIZE ((size_t)300000)

static int ends[2]; /* of the pipe of the test that runs */

static int set_up(void **state)
{
    preload_make(preload_path("source"), SIZE);
    return pipe2(ends, O_CLOEXEC);
}

static int tear_down(void **state)
{
    close(ends[0]);
    close(ends[1]);
    unlink(preload_path("target"));
    unlink(preload_path("source"));
    return 0;
}

static int open_source(void)
{
    int fd = open(preload_path("source"), O_RDONLY);
    assert_true(fd >= 0);
    return fd;
}

static int open_target(int flags)
{
    int fd = open(preload_path("target"), flags | O_CREAT, 0644);
    assert_true(fd >= 0);
    return fd;
}

static void assert_target(size_t length, size_t from)
{
    unsigned char *bytes = malloc(length + 1);
    int fd = open_target(O_RDONLY);
    assert_int_equal(pread(fd, bytes, length + 1, 0), length);
    assert_true(preload_matches(bytes, length, from));
    close(fd);
    free(bytes);
}

static size_t waiting(void)
{
    int bytes = -1;
    assert_int_equal(ioctl(ends[0], FIONREAD, &bytes), 0);
    return (size_t)bytes;
}

/* As programs copy: one thread, in and out in turn, which must never wait for itself. */
static void through_a_pipe(void **state)
{
    int in = open_source(), out = open_target(O_WRONLY);
    size_t done = 0;
    for (ssize_t got; (got = splice(in, NULL, ends[1], NULL, SIZE, SPLICE_F_MOVE)) > 0;) {
        while (got > 0) {
            ssize_t put = splice(ends[0], NULL, out, NULL, (size_t)got, SPLICE_F_MORE);
            assert_true(put > 0);
            got -= put;
            done += (size_t)put;
        }
    }
    assert_int_equal(done, SIZE);
    assert_int_equal(lseek(in, 0, SEEK_CUR), SIZE);
    assert_int_equal(lseek(out, 0, SEEK_CUR), SIZE);
    assert_int_equal(close(in) | close(out), 0);
    assert_target(SIZE, 0);
}

static void offsets(void **state)
{
    int in = open_source(), out = open_target(O_RDWR);
    off64_t from = 1000, to = 0;
    assert_int_equal(splice(in, &from, ends[1], NULL, 500, 0), 500);
    assert_int_equal(from, 1500);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 0);
    assert_int_equal(splice(ends[0], NULL, out, &to, 200, 0), 200);
    assert_int_equal(to, 200);
    assert_int_equal(waiting(), 300);
    assert_int_equal(splice(ends[0], NULL, out, &to, 1000, 0), 300);
    assert_int_equal(lseek(out, 0, SEEK_CUR), 0);
    from = (off64_t)SIZE - 10;
    assert_int_equal(splice(in, &from, ends[1], NULL, 100, 0), 10);
    assert_int_equal(splice(in, &from, ends[1], NULL, 100, 0), 0);
    assert_int_equal(from, SIZE);
    assert_int_equal(close(in) | close(out), 0);
    assert_target(500, 1000);
}

/* What was handed over is the pipe's, whatever becomes of the file. */
static void a_pipe_keeps_what_it_has(void **state)
{
    unsigned char bytes[5000];
    int in = open_source();
    assert_int_equal(splice(in, NULL, ends[1], NULL, sizeof bytes, 0), sizeof bytes);
    close(in);
    unlink(preload_path("source"));
    assert_int_equal(read(ends[0], bytes, sizeof bytes), sizeof bytes);
    assert_true(preload_matches(bytes, sizeof bytes, 0));
}

static void a_full_pipe_and_an_empty_one(void **state)
{
    int in = open_source(), out = open_target(O_WRONLY);
    size_t capacity = (size_t)fcntl(ends[1], F_GETPIPE_SZ), filled = 0;
    assert_errno(splice(ends[0], NULL, out, NULL, 100, SPLICE_F_NONBLOCK), EAGAIN);
    for (ssize_t n; (n = splice(in, NULL, ends[1], NULL, SIZE, SPLICE_F_NONBLOCK)) > 0;)
        filled += (size_t)n;
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(filled, capacity);
    assert_int_equal(lseek(in, 0, SEEK_CUR), filled);
    assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    assert_errno(splice(in, NULL, ends[1], NULL, SIZE, 0), EAGAIN);
    close(ends[1]);
    size_t done = 0;
    for (ssize_t n; (n = splice(ends[0], NULL, out, NULL, SIZE, 0)) > 0;)
        done += (size_t)n;
    assert_int_equal(done, filled);
    assert_int_equal(splice(ends[0], NULL, out, NULL, 100, 0), 0); /* nobody writes to it */
    ends[1] = dup(0);
    assert_int_equal(close(in) | close(out), 0);
    assert_target(filled, 0);
}

/* One that waits gets what comes. */
static void with_another_process(void **state)
{
    int in = open_source(), status = 0;
    pid_t pid = fork();
    if (!pid) {
        int out = open_target(O_WRONLY);
        close(ends[1]);
        ssize_t n = 1;
        while (n > 0)
            n = splice(ends[0], NULL, out, NULL, SIZE, 0);
        _exit(n < 0 || close(out));
    }
    size_t done = 0;
    while (done < SIZE) {
        ssize_t n = splice(in, NULL, ends[1], NULL, SIZE - done, 0);
        assert_true(n > 0);
        done += (size_t)n;
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    ends[1] = dup(0);
    close(in);
    assert_target(SIZE, 0);
}

static void nobody_reads(void **state)
{
    int in = open_source();
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    assert_errno(splice(in, NULL, ends[1], NULL, 100, 0), EPIPE);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 0);
    ends[0] = dup(0);
    close(in);
}

static void what_is_refused(void **state)
{
    int in = open_source(), out = open_target(O_WRONLY), more = open_target(O_WRONLY | O_APPEND);
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY), file = open("/dev/null", O_RDWR);
    off64_t at = 0, negative = -1;
    assert_int_equal(write(ends[1], "abc", 3), 3);
    assert_int_equal(splice(in, NULL, ends[1], NULL, 0, 0), 0);
    assert_errno(splice(in, NULL, ends[1], NULL, 10, 0x1000), EINVAL);
    assert_errno(splice(in, NULL, out, NULL, 10, 0), EINVAL);
    assert_errno(splice(in, NULL, file, NULL, 10, 0), EINVAL);
    assert_errno(splice(in, NULL, 1000, NULL, 10, 0), EBADF);
    assert_errno(splice(in, NULL, ends[0], NULL, 10, 0), EBADF);
    assert_errno(splice(out, NULL, ends[1], NULL, 10, 0), EBADF);
    assert_errno(splice(ends[0], NULL, in, NULL, 10, 0), EBADF);
    assert_errno(splice(ends[1], NULL, out, NULL, 10, 0), EBADF);
    assert_errno(splice(ends[0], NULL, more, NULL, 10, 0), EINVAL);
    assert_errno(splice(in, NULL, ends[1], &at, 10, 0), ESPIPE);
    assert_errno(splice(ends[0], &at, out, NULL, 10, 0), ESPIPE);
    assert_errno(splice(in, &negative, ends[1], NULL, 10, 0), EINVAL);
    assert_errno(splice(directory, NULL, ends[1], NULL, 10, 0), EINVAL);
    assert_errno(tee(in, ends[1], 10, 0), EINVAL);
    assert_errno(tee(ends[0], out, 10, 0), EINVAL);
    assert_errno(vmsplice(out, &(struct iovec){(void *)"x", 1}, 1, 0), EBADF);
    assert_int_equal(waiting(), 3); /* what did not arrive is there still */
    close(in);
    close(out);
    close(more);
    close(directory);
    close(file);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(through_a_pipe),           TEST(offsets),
        TEST(a_pipe_keeps_what_it_has), TEST(a_full_pipe_and_an_empty_one),
        TEST(with_another_process),     TEST(nobody_reads),
        TEST(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
