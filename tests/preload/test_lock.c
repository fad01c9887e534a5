/* flock, lockf and fcntl locks: between descriptions, over fork, between processes, at death. */
#include "tests/preload/preload.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static const char *data;

static int setup(void **state)
{
    data = strdup(preload_path("lock.dat"));
    preload_make(data, 10000);
    return 0;
}

static int data_open(int flags)
{
    int fd = open(data, flags);
    assert_true(fd >= 0);
    return fd;
}

static struct flock range(short type, short whence, off_t start, off_t length)
{
    return (struct flock){.l_type = type, .l_whence = whence, .l_start = start, .l_len = length};
}

static int set(int fd, int command, struct flock lock)
{
    return fcntl(fd, command, &lock);
}

/* What `try` returns in a child: 0 or an errno. */
static int in_child(int (*try)(void *), void *arg)
{
    int status;
    pid_t pid = fork();
    if (!pid)
        _exit(try(arg));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int try_range(void *arg)
{
    int fd = open(data, O_RDWR);
    return fcntl(fd, F_SETLK, arg) < 0 ? errno : 0;
}

static int try_flock(void *arg)
{
    int fd = open(data, O_RDONLY);
    return flock(fd, *(int *)arg | LOCK_NB) < 0 ? errno : 0;
}

static void bad_arguments(void **state)
{
    int fd = data_open(O_RDONLY);
    struct flock lock = range(F_RDLCK, SEEK_SET, 0, 0);
    assert_int_equal(fcntl(fd, F_SETLK, &lock), 0);
    lock.l_type = F_WRLCK;
    assert_errno(fcntl(fd, F_SETLK, &lock), EBADF); /* not open for writing */
    lock.l_type = F_RDLCK;
    assert_int_equal(fcntl(fd, F_GETLK, &lock), 0);
    assert_int_equal(lock.l_type, F_UNLCK);
    lock.l_type = 99;
    assert_errno(fcntl(fd, F_SETLK, &lock), EINVAL);
    assert_errno(fcntl(fd, F_SETLK, NULL), EFAULT);
    assert_errno(fcntl(fd, F_SETLK, preload_bad(0x7f0000000000)), EFAULT);
    assert_errno(set(fd, F_SETLK, range(F_RDLCK, 9, 0, 1)), EINVAL);
    assert_errno(set(fd, F_SETLK, range(F_RDLCK, SEEK_SET, -1, 1)), EINVAL);
    assert_errno(set(fd, F_SETLK, range(F_RDLCK, SEEK_SET, 5, -6)), EINVAL);
    assert_errno(set(fd, F_SETLK, range(F_RDLCK, SEEK_END, INT64_MAX, 1)), EOVERFLOW);
    assert_errno(flock(fd, 0), EINVAL);
    assert_errno(flock(fd, LOCK_EX | LOCK_SH), EINVAL);
    assert_errno(lockf(fd, F_LOCK, 0), EBADF);
    assert_errno(lockf(fd, 99, 0), EINVAL);
    close(fd);
    fd = data_open(O_WRONLY);
    assert_errno(set(fd, F_SETLK, range(F_RDLCK, SEEK_SET, 0, 1)), EBADF);
    close(fd);
    fd = data_open(O_PATH);
    assert_errno(flock(fd, LOCK_SH), EBADF);
    close(fd);
}

static void flock_is_the_descriptions(void **state)
{
    int a = data_open(O_RDONLY), b = data_open(O_RDONLY), copy = dup(a);
    assert_int_equal(flock(a, LOCK_EX), 0);
    assert_int_equal(flock(copy, LOCK_EX | LOCK_NB), 0); /* the same one */
    assert_errno(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    assert_int_equal(flock(copy, LOCK_SH), 0);
    assert_int_equal(flock(b, LOCK_SH | LOCK_NB), 0);
    assert_errno(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(b);
    assert_int_equal(flock(a, LOCK_EX | LOCK_NB), 0);
    close(a);
    b = data_open(O_RDONLY);
    assert_errno(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK); /* the copy still has it */
    close(copy);
    assert_int_equal(flock(b, LOCK_EX | LOCK_NB), 0);
    close(b);
}

static int unlock_inherited(void *arg)
{
    return flock(*(int *)arg, LOCK_UN) < 0 ? errno : 0;
}

static void flock_over_fork(void **state)
{
    int fd = data_open(O_RDONLY), exclusive = LOCK_EX;
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(in_child(try_flock, &exclusive), EWOULDBLOCK);
    assert_int_equal(in_child(unlock_inherited, &fd), 0); /* one lock between them */
    assert_int_equal(in_child(try_flock, &exclusive), 0);
    close(fd);
}

static void ranges_between_processes(void **state)
{
    int fd = data_open(O_RDWR);
    struct flock lock;
    assert_int_equal(set(fd, F_SETLK, range(F_WRLCK, SEEK_SET, 100, 50)), 0);
    lock = range(F_WRLCK, SEEK_SET, 100, 1);
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    lock = range(F_RDLCK, SEEK_SET, 149, 0);
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    lock = range(F_WRLCK, SEEK_SET, 0, 100);
    assert_int_equal(in_child(try_range, &lock), 0);
    lock = range(F_WRLCK, SEEK_SET, 150, 0);
    assert_int_equal(in_child(try_range, &lock), 0);
    lock = range(F_WRLCK, SEEK_END, -9851, 1); /* 149 of 10,000 */
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    lock = range(F_WRLCK, SEEK_SET, 101, -1); /* the byte before */
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    assert_int_equal(lseek(fd, 200, SEEK_SET), 200);
    assert_int_equal(set(fd, F_SETLK, range(F_UNLCK, SEEK_CUR, -100, 25)), 0);
    lock = range(F_WRLCK, SEEK_SET, 100, 25);
    assert_int_equal(in_child(try_range, &lock), 0);
    lock = range(F_WRLCK, SEEK_SET, 125, 1);
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    close(fd);
    assert_int_equal(in_child(try_range, &lock), 0);
}

static int who_has_it(void *arg)
{
    struct flock lock = range(F_RDLCK, SEEK_SET, 0, 0);
    int fd = open(data, O_RDONLY);
    if (fcntl(fd, F_GETLK, &lock) < 0)
        return errno;
    return lock.l_type == F_WRLCK && lock.l_whence == SEEK_SET && lock.l_start == 7 &&
                   lock.l_len == 3 && lock.l_pid == getppid()
               ? 0
               : 255;
}

static void getlk_names_the_holder(void **state)
{
    int fd = data_open(O_RDWR);
    assert_int_equal(set(fd, F_SETLK, range(F_WRLCK, SEEK_SET, 7, 3)), 0);
    assert_int_equal(in_child(who_has_it, NULL), 0);
    struct flock own = range(F_WRLCK, SEEK_SET, 0, 0);
    assert_int_equal(fcntl(fd, F_GETLK, &own), 0);
    assert_int_equal(own.l_type, F_UNLCK); /* to its holder it is free */
    close(fd);
}

/* fcntl(2): any descriptor's close takes the process's locks on the file with it. */
static void any_close_drops_them(void **state)
{
    struct flock lock = range(F_WRLCK, SEEK_SET, 0, 0);
    int fd = data_open(O_RDWR), other = data_open(O_RDONLY), copy;
    assert_int_equal(set(fd, F_SETLK, lock), 0);
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    close(other);
    assert_int_equal(in_child(try_range, &lock), 0);
    assert_int_equal(set(fd, F_SETLK, lock), 0);
    copy = dup(fd);
    close(copy);
    assert_int_equal(in_child(try_range, &lock), 0);
    close(fd);
}

static void ofd_locks_are_the_descriptions(void **state)
{
    int a = data_open(O_RDWR), b = data_open(O_RDWR), other;
    struct flock lock = range(F_WRLCK, SEEK_SET, 0, 10);
    assert_int_equal(set(a, F_OFD_SETLK, lock), 0);
    assert_errno(set(b, F_OFD_SETLK, lock), EAGAIN);
    assert_errno(set(b, F_SETLK, lock), EAGAIN);
    other = data_open(O_RDONLY);
    close(other); /* nobody else's close touches them */
    assert_errno(set(b, F_OFD_SETLK, lock), EAGAIN);
    assert_int_equal(fcntl(b, F_OFD_GETLK, &lock), 0);
    assert_int_equal(lock.l_type, F_WRLCK);
    assert_int_equal(lock.l_pid, -1);
    assert_int_equal(lock.l_start, 0);
    lock = range(F_WRLCK, SEEK_SET, 0, 10);
    lock.l_pid = 1;
    assert_errno(fcntl(a, F_OFD_SETLK, &lock), EINVAL);
    close(a);
    lock.l_pid = 0;
    assert_int_equal(set(b, F_OFD_SETLK, lock), 0);
    close(b);
}

static void both_kinds_in_one_process(void **state)
{
    struct flock lock = range(F_WRLCK, SEEK_SET, 0, 0);
    int exclusive = LOCK_EX, fd = data_open(O_RDWR), other = data_open(O_RDWR);
    assert_int_equal(set(fd, F_SETLK, lock), 0);
    assert_int_equal(flock(other, LOCK_EX), 0);
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    assert_int_equal(in_child(try_flock, &exclusive), EWOULDBLOCK);
    close(fd);
    assert_int_equal(in_child(try_range, &lock), 0);
    assert_int_equal(in_child(try_flock, &exclusive), EWOULDBLOCK);
    close(other);
    assert_int_equal(in_child(try_flock, &exclusive), 0);
}

static int try_lockf(void *arg)
{
    int fd = open(data, O_RDWR);
    lseek(fd, 20, SEEK_SET);
    if (lockf(fd, F_TEST, 10) < 0)
        return errno;
    return lockf(fd, F_TLOCK, 10) < 0 ? errno : 0;
}

static void lockf_locks_from_the_offset(void **state)
{
    int fd = data_open(O_RDWR);
    assert_int_equal(lseek(fd, 25, SEEK_SET), 25);
    assert_int_equal(lockf(fd, F_LOCK, 5), 0);
    assert_int_equal(lockf(fd, F_TEST, 5), 0);
    assert_int_equal(in_child(try_lockf, NULL), EACCES);
    assert_int_equal(lockf(fd, F_ULOCK, 5), 0);
    assert_int_equal(in_child(try_lockf, NULL), 0);
    close(fd);
}

/* The child waits for the lock; when it has it, it says so. */
static void waits_until_it_is_free(void **state)
{
    for (int kind = 0; kind < 3; kind++) {
        int told[2], fd = data_open(O_RDWR), status;
        struct flock lock = range(F_WRLCK, SEEK_SET, 0, 0);
        char byte = 0;
        assert_int_equal(pipe(told), 0);
        assert_int_equal(kind ? set(fd, F_SETLK, lock) : flock(fd, LOCK_EX), 0);
        pid_t pid = fork();
        if (!pid) {
            alarm(60);
            close(fd); /* its flock is not ours to keep */
            int own = open(data, O_RDWR);
            if (write(told[1], "w", 1) != 1)
                _exit(1);
            int result = kind == 0   ? flock(own, LOCK_EX)
                         : kind == 1 ? fcntl(own, F_SETLKW, &lock)
                                     : lockf(own, F_LOCK, 0);
            _exit(result < 0 || write(told[1], "g", 1) != 1);
        }
        assert_int_equal(read(told[0], &byte, 1), 1);
        assert_int_equal(byte, 'w');
        fcntl(told[0], F_SETFL, O_NONBLOCK);
        assert_errno(read(told[0], &byte, 1), EAGAIN);
        fcntl(told[0], F_SETFL, 0);
        close(fd);
        assert_int_equal(read(told[0], &byte, 1), 1);
        assert_int_equal(byte, 'g');
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        close(told[0]);
        close(told[1]);
    }
}

static void a_death_releases(void **state)
{
    int told[2], status, exclusive = LOCK_EX;
    struct flock lock = range(F_WRLCK, SEEK_SET, 0, 0);
    char byte;
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (!pid) {
        int fd = open(data, O_RDWR), again = open(data, O_RDWR);
        if (fcntl(fd, F_SETLK, &lock) < 0 || flock(again, LOCK_EX) < 0 ||
            write(told[1], "x", 1) != 1)
            _exit(1);
        alarm(60); /* not for ever, should the test fail */
        for (;;)
            pause();
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(in_child(try_range, &lock), EAGAIN);
    assert_int_equal(in_child(try_flock, &exclusive), EWOULDBLOCK);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(in_child(try_range, &lock), 0);
    assert_int_equal(in_child(try_flock, &exclusive), 0);
    close(told[0]);
    close(told[1]);
}

static void of_files_being_written_and_directories(void **state)
{
    int exclusive = LOCK_EX;
    int fd = open(preload_path("lock.new"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(flock(fd, exclusive), 0);
    assert_int_equal(set(fd, F_SETLK, range(F_WRLCK, SEEK_END, 0, 0)), 0);
    assert_int_equal(close(fd), 0);
    fd = open(preload_root(), O_RDONLY | O_DIRECTORY);
    int other = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(fd, exclusive), 0);
    assert_errno(flock(other, exclusive | LOCK_NB), EWOULDBLOCK);
    close(fd);
    close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments),
        cmocka_unit_test(flock_is_the_descriptions),
        cmocka_unit_test(flock_over_fork),
        cmocka_unit_test(ranges_between_processes),
        cmocka_unit_test(getlk_names_the_holder),
        cmocka_unit_test(any_close_drops_them),
        cmocka_unit_test(both_kinds_in_one_process),
        cmocka_unit_test(ofd_locks_are_the_descriptions),
        cmocka_unit_test(lockf_locks_from_the_offset),
        cmocka_unit_test(waits_until_it_is_free),
        cmocka_unit_test(a_death_releases),
        cmocka_unit_test(of_files_being_written_and_directories),
    };
    return cmocka_run_group_tests_name("lock", tests, setup, NULL);
}
