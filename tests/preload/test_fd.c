/* dup and its kin, fcntl, ioctl, closing ranges: descriptors behave as descriptors. */
#include "tests/preload/preload.h"

#include <linux/close_range.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

static char *data;

static void before_the_first_request(void);

static int setup(void **state)
{
    before_the_first_request();
    data = strdup(preload_path("fd.dat"));
    preload_make(data, 10000);
    return 0;
}

static int data_open(void)
{
    int fd = open(data, O_RDONLY);
    assert_true(fd >= 0);
    return fd;
}

static void assert_at(int fd, uint64_t offset)
{
    char buffer[10];
    assert_int_equal(read(fd, buffer, sizeof buffer), sizeof buffer);
    assert_true(preload_matches(buffer, sizeof buffer, offset));
}

static void dup_shares_the_offset(void **state)
{
    int fd = data_open(), copy = dup(fd);
    assert_true(copy > fd);
    assert_at(fd, 0);
    assert_at(copy, 10);
    assert_int_equal(close(fd), 0);
    assert_at(copy, 20);
    assert_int_equal(lseek(copy, 0, SEEK_CUR), 30);
    assert_int_equal(close(copy), 0);
    assert_errno(read(copy, &fd, 1), EBADF);
    assert_errno(dup(copy), EBADF);
}

static void lowest_number(void **state)
{
    int a = data_open(), b = data_open(), c = data_open();
    close(a);
    close(b);
    int copy = dup(c);
    assert_int_equal(copy, a);
    assert_int_equal(fcntl(c, F_DUPFD, 0), b);
    int high = fcntl(c, F_DUPFD, 100);
    assert_int_equal(high, 100);
    assert_int_equal(fcntl(high, F_GETFD), 0);
    int sealed = fcntl(c, F_DUPFD_CLOEXEC, 100);
    assert_int_equal(sealed, 101);
    assert_int_equal(fcntl(sealed, F_GETFD), FD_CLOEXEC);
    assert_at(sealed, 0);
    close_range((unsigned)a, (unsigned)c, 0);
    close(high);
    close(sealed);
    assert_errno(fcntl(c, F_DUPFD, 0), EBADF);
}

static void dup2_onto_anything(void **state)
{
    int fd = data_open(), local = open("/dev/null", O_RDONLY);
    char byte;
    assert_int_equal(dup2(fd, fd), fd);
    assert_int_equal(dup2(fd, 50), 50); /* onto nothing */
    assert_at(50, 0);
    assert_int_equal(dup2(local, 50), 50); /* a real one onto a virtual one */
    assert_int_equal(read(50, &byte, 1), 0);
    assert_int_equal(dup2(fd, 50), 50); /* and back */
    assert_at(50, 10);
    int other = data_open();
    assert_int_equal(dup2(other, 50), 50); /* one virtual onto another */
    assert_at(50, 0);
    assert_int_equal(dup3(fd, 50, O_CLOEXEC), 50);
    assert_int_equal(fcntl(50, F_GETFD), FD_CLOEXEC);
    assert_at(50, 20);
    close(50);
    close(other);

    assert_errno(dup3(fd, fd, 0), EINVAL);
    assert_errno(dup3(fd, 50, 1), EINVAL);
    assert_errno(dup2(fd, -1), EBADF);
    assert_errno(dup2(fd, 1 << 30), EBADF);
    assert_errno(dup2(60, fd), EBADF);
    assert_at(fd, 30);
    close(fd);
    close(local);
    assert_errno(dup2(fd, fd), EBADF);
}

/* The last descriptor of a file being written is what completes it, dup2 onto it included. */
static void dup2_completes(void **state)
{
    const char *path = preload_path("fd.dup2");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), copy = dup(fd);
    assert_true(fd >= 0 && copy >= 0);
    assert_int_equal(write(fd, "one ", 4), 4);
    assert_int_equal(write(copy, "two", 3), 3);
    assert_int_equal(close(fd), 0);
    int local = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(local, copy), copy);
    close(local);
    close(copy);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 7);
}

static void standard_descriptor(void **state)
{
    int saved = dup(0), fd = data_open();
    assert_int_equal(dup2(fd, 0), 0);
    close(fd);
    assert_at(0, 0);
    assert_int_equal(dup2(saved, 0), 0);
    close(saved);
}

static void status_flags(void **state)
{
    int fd = data_open();
    int flags = fcntl(fd, F_GETFL);
    assert_int_equal(flags & O_ACCMODE, O_RDONLY);
    assert_int_equal(flags & (O_APPEND | O_NONBLOCK | O_CREAT), 0);
    assert_int_equal(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    int copy = dup(fd), again = data_open();
    assert_true(fcntl(copy, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(again, F_GETFL) & O_NONBLOCK);
    int off = 0;
    assert_int_equal(ioctl(copy, FIONBIO, &off), 0);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(copy, F_GETFD), 0);
    assert_int_equal(ioctl(copy, FIOCLEX), 0);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    assert_int_equal(ioctl(copy, FIONCLEX), 0);
    assert_int_equal(fcntl(copy, F_GETFD), 0);
    assert_errno(fcntl(fd, 9999), EINVAL);
    close(fd);
    close(copy);
    close(again);
    fd = open(preload_path("fd.flags"), O_WRONLY | O_CREAT | O_APPEND | O_EXCL, 0644);
    assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_CREAT | O_EXCL),
                     O_WRONLY | O_APPEND);
    close(fd);
}

static void no_terminal(void **state)
{
    int fd = data_open(), left;
    struct termios state_of;
    char name[64];
    errno = 0;
    assert_int_equal(isatty(fd), 0);
    assert_int_equal(errno, ENOTTY);
    assert_errno(tcgetattr(fd, &state_of), ENOTTY);
    assert_null(ttyname(fd));
    assert_int_equal(ttyname_r(fd, name, sizeof name), ENOTTY);
    assert_errno(tcgetpgrp(fd), ENOTTY);
    assert_errno(ioctl(fd, TIOCGWINSZ, name), ENOTTY);
    assert_int_equal(lseek(fd, 4000, SEEK_SET), 4000);
    assert_int_equal(ioctl(fd, FIONREAD, &left), 0);
    assert_int_equal(left, 6000);
    close(fd);
    errno = 0;
    assert_int_equal(isatty(fd), 0);
    assert_int_equal(errno, EBADF);
}

static void closing_ranges(void **state)
{
    int fd = data_open();
    assert_int_equal(dup2(fd, 70), 70);
    assert_int_equal(dup2(fd, 72), 72);
    int local = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(local, 71), 71);
    assert_int_equal(close_range(70, 71, CLOSE_RANGE_CLOEXEC), 0);
    assert_int_equal(fcntl(70, F_GETFD), FD_CLOEXEC);
    assert_int_equal(close_range(70, 71, 0), 0);
    assert_errno(fcntl(70, F_GETFD), EBADF);
    assert_errno(fcntl(71, F_GETFD), EBADF);
    assert_at(72, 0);
    assert_errno(close_range(5, 4, 0), EINVAL);
    assert_errno(close_range(70, 75, 1 << 20), EINVAL);
    closefrom(60);
    assert_errno(fcntl(72, F_GETFD), EBADF);
    assert_at(fd, 10);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 60; i < (int)limit.rlim_cur + 300; i++) /* as daemons do, and beyond */
        close(i);
    int again = data_open();
    assert_at(again, 0);
    close(again);
    close(fd);
    close(local);
}

static void *close_aside(void *result)
{
    *(int *)result = close_range(3, ~0u, CLOSE_RANGE_UNSHARE);
    return NULL;
}

/* A thread with a table of its own closes its own descriptors only. */
static void closing_aside(void **state)
{
    int fd = data_open(), result = -1;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, close_aside, &result), 0);
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
    assert_at(fd, 0);
    close(fd);
}

/* A descriptor that is older than the first connection outlives it: the directory above needs no
 * request. */
static void before_the_first_request(void)
{
    char name[PATH_MAX];
    int fd = open(preload_path(".."), O_RDONLY | O_DIRECTORY);
    struct stat st;
    assert_true(fd >= 0);
    snprintf(name, sizeof name, "%s", strrchr(preload_root(), '/') + 1);
    assert_int_equal(fstatat(fd, name, &st, 0), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(fstatat(fd, name, &st, 0), 0);
    close(fd);
}

static void *churn(void *stop)
{
    int fd = open(data, O_RDONLY), local = open("/dev/null", O_RDONLY);
    while (!*(volatile bool *)stop) {
        dup2(fd, 90);
        dup2(local, 90);
    }
    close(fd);
    close(local);
    return NULL;
}

/* A number that changes hands under a reader: right bytes, end of file or EBADF, nothing else. */
static void changing_hands(void **state)
{
    volatile bool stop = false;
    pthread_t thread;
    int local = open("/dev/null", O_RDONLY);
    assert_int_equal(dup2(local, 90), 90);
    assert_int_equal(pthread_create(&thread, NULL, churn, (void *)&stop), 0);
    for (int i = 0; i < 20000; i++) {
        unsigned char bytes[8];
        ssize_t got = pread(90, bytes, sizeof bytes, 96);
        if (got < 0)
            assert_int_equal(errno, EBADF);
        else if (got)
            assert_true(got == sizeof bytes && preload_matches(bytes, sizeof bytes, 96));
    }
    stop = true;
    pthread_join(thread, NULL);
    close(90);
    close(local);
}

static void sockets(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = data_open(), sock = socket(AF_UNIX, SOCK_STREAM, 0), flags;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", data);
    if (strlen(data) < sizeof address.sun_path) {
        assert_errno(connect(sock, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
        assert_errno(bind(sock, (struct sockaddr *)&address, sizeof address), EADDRINUSE);
    }
    snprintf(address.sun_path, sizeof address.sun_path, "%s/none/s", preload_root());
    assert_errno(connect(sock, (struct sockaddr *)&address, sizeof address), ENOENT);
    assert_errno(bind(sock, (struct sockaddr *)&address, sizeof address), ENOENT);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", preload_root());
    assert_errno(connect(sock, (struct sockaddr *)&address, sizeof address), ENOENT);
    if (preload_is_virtual())
        assert_errno(bind(sock, (struct sockaddr *)&address, sizeof address), EOPNOTSUPP);
    close(sock);
    flags = fcntl(fd, F_GETFL);
    assert_true(flags >= 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dup_shares_the_offset),
        cmocka_unit_test(lowest_number),
        cmocka_unit_test(dup2_onto_anything),
        cmocka_unit_test(dup2_completes),
        cmocka_unit_test(standard_descriptor),
        cmocka_unit_test(status_flags),
        cmocka_unit_test(no_terminal),
        cmocka_unit_test(closing_ranges),
        cmocka_unit_test(changing_hands),
        cmocka_unit_test(closing_aside),
        cmocka_unit_test(sockets),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
