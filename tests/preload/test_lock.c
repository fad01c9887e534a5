/* flock, lockf and fcntl locks: between descriptions, over fork, between processes, at death. */
#include "tests/preload/preload.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
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

/* ---- a descriptor for reading, opened once, in a process that takes turns with a writer ---- */

enum { BY_FLOCK, BY_PROCESS, BY_DESCRIPTION };

static int lock_by(int kind, int fd, short type)
{
    int operation = type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN;
    if (kind == BY_FLOCK)
        return flock(fd, operation);
    return set(fd, kind == BY_PROCESS ? F_SETLKW : F_OFD_SETLKW, range(type, SEEK_SET, 0, 0));
}

/* What is told by the pipes, both ways: the next turn; 0 ends it. */
struct turns {
    pid_t pid;
    int to, from, kind;
};

/* The value of each turn is a text that gets longer with it. */
static size_t value_of(int turn, char *ret_text)
{
    return (size_t)sprintf(ret_text, "%d:%.*s", turn, turn * 3, "abcdefghijklmnopqrstuvwxyz");
}

static int write_turns(int in, int out, int kind)
{
    int turn, fd = open(data, O_RDWR);
    char text[64];
    for (;;) {
        if (read(in, &turn, sizeof turn) != sizeof turn || !turn)
            return close(fd);
        size_t length = value_of(turn, text);
        if (lock_by(kind, fd, F_WRLCK) < 0 || ftruncate(fd, 0) < 0 ||
            pwrite(fd, text, length, 0) != (ssize_t)length || lock_by(kind, fd, F_UNLCK) < 0)
            return 1;
        if (write(out, &turn, sizeof turn) != sizeof turn)
            return 2;
    }
}

static struct turns turns_begin(int kind)
{
    int to[2], from[2];
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    struct turns turns = {.pid = fork(), .to = to[1], .from = from[0], .kind = kind};
    if (!turns.pid) {
        alarm(60);
        close(to[1]);
        close(from[0]);
        _exit(write_turns(to[0], from[1], kind));
    }
    close(to[0]);
    close(from[1]);
    return turns;
}

static void turn_take(struct turns *turns, int turn)
{
    int done = 0;
    assert_int_equal(write(turns->to, &turn, sizeof turn), sizeof turn);
    assert_int_equal(read(turns->from, &done, sizeof done), sizeof done);
    assert_int_equal(done, turn);
}

static void turns_end(struct turns *turns)
{
    int status, last = 0;
    assert_int_equal(write(turns->to, &last, sizeof last), sizeof last);
    assert_int_equal(waitpid(turns->pid, &status, 0), turns->pid);
    assert_int_equal(status, 0);
    close(turns->to);
    close(turns->from);
}

static void check_value(int fd, int turn)
{
    char text[64], seen[64];
    size_t length = value_of(turn, text);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, length);
    assert_int_equal(pread(fd, seen, sizeof seen, 0), length);
    assert_memory_equal(seen, text, length);
    assert_int_equal(pread(fd, seen, sizeof seen, 2), length - 2);
    assert_memory_equal(seen, text + 2, length - 2);
}

static void a_reader_sees_each_turn(void **state)
{
    char text[64];
    for (int kind = BY_FLOCK; kind <= BY_DESCRIPTION; kind++) {
        preload_make(data, 10000);
        struct turns turns = turns_begin(kind);
        int fd = data_open(O_RDONLY), copy = dup(fd);
        assert_int_equal(lseek(fd, 2, SEEK_SET), 2);
        for (int turn = 1; turn <= 6; turn++) {
            turn_take(&turns, turn);
            assert_int_equal(lock_by(kind, fd, F_RDLCK), 0);
            check_value(fd, turn);
            check_value(copy, turn);
            assert_int_equal(lseek(fd, 0, SEEK_CUR), 2); /* the offset is the program's */
            assert_int_equal(lseek(fd, 0, SEEK_END), value_of(turn, text));
            assert_int_equal(lseek(copy, 2, SEEK_SET), 2);
            assert_int_equal(lock_by(kind, fd, F_UNLCK), 0);
        }
        close(copy);
        close(fd);
        turns_end(&turns);
    }
}

/* A reader that found its version gone before. */
static void a_reader_goes_on_under_a_lock(void **state)
{
    char text[64];
    preload_make(data, 3 << 20);
    struct turns turns = turns_begin(BY_FLOCK);
    int fd = data_open(O_RDONLY);
    turn_take(&turns, 1);
    if (preload_is_virtual()) { /* what it has opened, until it has the lock */
        assert_int_equal(pread(fd, text, 10, 2 << 20), 10);
        assert_true(preload_matches(text, 10, 2 << 20));
    }
    assert_int_equal(flock(fd, LOCK_SH), 0);
    check_value(fd, 1);
    turns_end(&turns);
    close(fd);
}

/* What is mapped anew is the new version. */
static void a_reader_maps_each_turn(void **state)
{
    char text[64];
    preload_make(data, 10000);
    struct turns turns = turns_begin(BY_FLOCK);
    int fd = data_open(O_RDONLY);
    for (int turn = 1; turn <= 3; turn++) {
        turn_take(&turns, turn);
        assert_int_equal(flock(fd, LOCK_SH), 0);
        size_t length = value_of(turn, text);
        char *map = mmap(NULL, length, PROT_READ, turn & 1 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
        assert_ptr_not_equal(map, MAP_FAILED);
        assert_memory_equal(map, text, length);
        assert_int_equal(map[length], 0);
        assert_int_equal(munmap(map, length), 0);
        assert_int_equal(flock(fd, LOCK_UN), 0);
    }
    close(fd);
    turns_end(&turns);
}

/* While there is a map, of whatever length, the descriptor and it show one version. */
static void a_mapped_reader_keeps_its_version(void **state)
{
    preload_make(data, 10000);
    if (!preload_is_virtual())
        return; /* the kernel's maps show what is written */
    struct turns turns = turns_begin(BY_FLOCK);
    int fd = data_open(O_RDONLY);
    unsigned char *map = mmap(NULL, 10000, PROT_READ, MAP_SHARED, fd, 0), bytes[100];
    turn_take(&turns, 1);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    assert_int_equal(pread(fd, bytes, sizeof bytes, 5000), sizeof bytes);
    assert_true(preload_matches(bytes, sizeof bytes, 5000));
    assert_true(preload_matches(map, 10000, 0));
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_int_equal(munmap(map, 10000), 0);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    check_value(fd, 1);
    close(fd);
    turns_end(&turns);
}

struct watch {
    int fd;
    _Atomic bool ends;
};

/* Each read is of one version. (The kernel shows, without a lock, what is half written.) */
static void *watch_value(void *arg)
{
    struct watch *watch = arg;
    char text[64], seen[64];
    unsigned long wrong = 0;
    while (!atomic_load(&watch->ends)) {
        ssize_t length = pread(watch->fd, seen, sizeof seen, 0);
        bool known = false;
        for (int turn = 1; length > 0 && turn <= 6 && !known; turn++)
            known = (size_t)length == value_of(turn, text) && !memcmp(seen, text, (size_t)length);
        wrong += preload_is_virtual() && !known && !(length < 0 && errno == ESTALE);
    }
    return (void *)wrong;
}

static void a_reader_in_many_threads(void **state)
{
    preload_make(data, 0);
    struct turns turns = turns_begin(BY_FLOCK);
    turn_take(&turns, 1);
    struct watch watch = {.fd = data_open(O_RDONLY)};
    pthread_t threads[3];
    void *wrong;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, watch_value, &watch), 0);
    for (int turn = 2; turn <= 6; turn++) {
        turn_take(&turns, turn);
        assert_int_equal(flock(watch.fd, LOCK_SH), 0);
        check_value(watch.fd, turn);
        assert_int_equal(flock(watch.fd, LOCK_UN), 0);
    }
    atomic_store(&watch.ends, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    turns_end(&turns);
    close(watch.fd);
}

static void a_reader_of_a_removed_file(void **state)
{
    int fd = data_open(O_RDONLY);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(unlink(data), 0);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    char first;
    assert_int_equal(pread(fd, &first, 1, 0), 1);
    assert_int_equal(lseek(fd, 0, SEEK_END), st.st_size);
    close(fd);
    preload_make(data, 10000);
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
        cmocka_unit_test(a_reader_sees_each_turn),
        cmocka_unit_test(a_reader_goes_on_under_a_lock),
        cmocka_unit_test(a_reader_maps_each_turn),
        cmocka_unit_test(a_mapped_reader_keeps_its_version),
        cmocka_unit_test(a_reader_in_many_threads),
        cmocka_unit_test(a_reader_of_a_removed_file),
    };
    return cmocka_run_group_tests_name("lock", tests, setup, NULL);
}
