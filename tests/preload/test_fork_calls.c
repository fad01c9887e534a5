/* Forks while other threads are inside calls on open files: the child lacks those threads, and what
 * they have for the length of their calls is not its own. What both have closed has ended then,
 * however long the child lives: its locks are gone, and it is stored. */
#include "tests/preload/text.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FORKS 40

/* ---- processes that wait for each other ---- */

static void assert_ends(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status)
        fail_msg("status %#x", status);
}

/* Two kinds of lock, which do not know of each other: fcntl's and flock's. */
static int lock_wait(int fd, bool is_flock)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return is_flock ? flock(fd, LOCK_EX) : fcntl(fd, F_SETLKW, &lock);
}

/* A process that has the file's lock until it is told, and not the descriptor `fd` (-1: none). */
static pid_t have_locked(const char *path, bool is_flock, int fd, const int go[2])
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (!pid) {
        int own = open(path, is_flock ? O_RDONLY : O_RDWR);
        close(fd);
        if (own < 0 || lock_wait(own, is_flock))
            _exit(92);
        preload_tell(ready[1]);
        preload_wait_for(go[0]);
        _exit(0);
    }
    preload_wait_for(ready[0]);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

/* ---- a thread that waits for a lock ---- */

struct waiter {
    pthread_t thread;
    _Atomic pid_t tid;
    bool is_flock;
    int fd, result, error;
};

static void *wait_for_lock(void *arg)
{
    struct waiter *waiter = arg;
    waiter->tid = (pid_t)syscall(SYS_gettid);
    waiter->result = lock_wait(waiter->fd, waiter->is_flock);
    waiter->error = errno;
    char byte; /* whoever this is now, the descriptor is there */
    if (waiter->result && pread(waiter->fd, &byte, 1, 0) != 1)
        _exit(96);
    return NULL;
}

static bool is_waiting(const struct waiter *waiter)
{
    char name[64], text[128] = "";
    long number = -1;
    unsigned long fd, command = 0;
    snprintf(name, sizeof name, "/proc/self/task/%d/syscall", (int)waiter->tid);
    int file = open(name, O_RDONLY);
    assert_true(file >= 0);
    assert_true(read(file, text, sizeof text - 1) > 0);
    close(file);
    bool is_known = sscanf(text, "%ld %lx %lx", &number, &fd, &command) == 3;
    return is_known && (waiter->is_flock ? number == SYS_flock && command == LOCK_EX
                                         : number == SYS_fcntl && command == F_SETLKW);
}

static void waiter_start(struct waiter *waiter, int fd, bool is_flock)
{
    *waiter = (struct waiter){.fd = fd, .is_flock = is_flock};
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_lock, waiter), 0);
    while (!waiter->tid || !is_waiting(waiter))
        sched_yield();
}

static void waiter_end(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
    assert_int_equal(waiter->result, 0);
}

/* A child that closes the descriptor, and lives on until it is told. */
static pid_t child_that_closes(int fd, const int go[2])
{
    int closed[2];
    assert_int_equal(pipe(closed), 0);
    pid_t pid = fork();
    if (!pid) {
        alarm(60);
        if (close(fd))
            _exit(93);
        preload_tell(closed[1]);
        preload_wait_for(go[0]);
        _exit(0);
    }
    preload_wait_for(closed[0]);
    close(closed[0]);
    close(closed[1]);
    return pid;
}

/* ---- what ends ---- */

static void a_lock_ends_with_its_descriptors(void **state)
{
    int go_holder[2], go_child[2];
    text_put("fc-lock", "text");
    assert_int_equal(pipe(go_holder), 0);
    assert_int_equal(pipe(go_child), 0);
    int fd = text_open("fc-lock", O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    pid_t holder = have_locked(preload_path("fc-lock"), false, fd, go_holder);
    struct waiter waiter;
    waiter_start(&waiter, fd, false);
    pid_t child = child_that_closes(fd, go_child);
    preload_tell(go_holder[1]);
    waiter_end(&waiter);
    assert_int_equal(close(fd), 0);
    fd = text_open("fc-lock", O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(close(fd), 0);
    preload_tell(go_child[1]);
    assert_ends(child);
    assert_ends(holder);
}

/* The process that opened it closes it first, so it is the last one's close that stores it. */
static void the_last_close_stores(void **state)
{
    int go_holder[2], go_child[2], go_writer[2], done[2];
    int *const pipes[] = {go_holder, go_child, go_writer, done};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pipe(pipes[i]), 0);
    int fd = text_begin("fc-last", O_RDWR, "first ");
    pid_t holder = have_locked(preload_path("fc-last"), true, fd, go_holder);
    pid_t writer = fork();
    if (!writer) {
        struct waiter waiter;
        waiter_start(&waiter, fd, true);
        pid_t child = child_that_closes(fd, go_child);
        preload_tell(done[1]);
        preload_wait_for(go_writer[0]);
        waiter_end(&waiter);
        if (write(fd, "last", 4) != 4 || close(fd))
            _exit(94);
        preload_tell(done[1]);
        assert_ends(child);
        _exit(0);
    }
    preload_wait_for(done[0]);
    assert_int_equal(close(fd), 0);
    preload_tell(go_holder[1]);
    assert_ends(holder);
    preload_tell(go_writer[1]);
    preload_wait_for(done[0]);
    text_is("fc-last", "first last");
    preload_tell(go_child[1]);
    assert_ends(writer);
}

/* ---- fork inside a call of this thread's own ---- */

static int handled_fd;
static _Atomic pid_t handled_pid;

static void fork_in_handler(int signal)
{
    int saved = errno;
    pid_t pid = fork();
    if (!pid && close(handled_fd))
        _exit(95);
    handled_pid = pid;
    errno = saved;
}

static void in_a_handler_the_call_goes_on(void **state)
{
    int go_holder[2];
    text_put("fc-handler", "text");
    assert_int_equal(pipe(go_holder), 0);
    int fd = text_open("fc-handler", O_RDWR), other = text_open("fc-handler", O_RDONLY);
    pid_t holder = have_locked(preload_path("fc-handler"), false, fd, go_holder);
    pid_t parent = getpid();
    struct sigaction action = {.sa_handler = fork_in_handler}, old;
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    handled_fd = other;
    struct waiter waiter;
    waiter_start(&waiter, fd, false);
    handled_pid = -1;
    assert_int_equal(syscall(SYS_tgkill, getpid(), waiter.tid, SIGUSR1), 0);
    while (handled_pid < 0)
        sched_yield();
    assert_int_equal(getpid(), parent);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.result, -1);
    assert_int_equal(waiter.error, EINTR);
    int status = -1;
    assert_int_equal(waitpid(handled_pid, &status, 0), handled_pid);
    assert_int_equal(status, 0);
    char byte;
    assert_int_equal(read(other, &byte, 1), 1);
    assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
    close(fd);
    close(other);
    preload_tell(go_holder[1]);
    assert_ends(holder);
}

/* ---- forks at any moment ---- */

static atomic_bool stop;
static atomic_int bad;

static void *open_and_close(void *path)
{
    while (!stop) {
        int fd = open(path, O_RDWR | O_CREAT, 0644);
        bad += fd < 0 || flock(fd, LOCK_EX) || write(fd, "x", 1) != 1 || close(fd);
    }
    return NULL;
}

/* Children that have closed everything keep nobody from anything. */
static void closed_by_all(void **state)
{
    char *paths[] = {strdup(preload_path("fc-any0")), strdup(preload_path("fc-any1"))};
    int go[2], closed[2];
    pid_t children[FORKS];
    pthread_t threads[2];
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(closed), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, paths[i]), 0);
    for (int i = 0; i < FORKS; i++) {
        children[i] = fork();
        if (!children[i]) {
            alarm(60);
            dup2(go[0], 3);
            dup2(closed[1], 4);
            closefrom(5);
            preload_tell(4);
            preload_wait_for(3);
            _exit(0);
        }
        preload_wait_for(closed[0]);
    }
    stop = true;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(bad, 0);
    for (int i = 0; i < 2; i++) {
        int fd = open(paths[i], O_RDWR);
        assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
        assert_int_equal(close(fd), 0);
        free(paths[i]);
    }
    for (int i = 0; i < FORKS; i++)
        preload_tell(go[1]);
    for (int i = 0; i < FORKS; i++)
        assert_ends(children[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: a process that has had fcntl locks stores what it has written whenever it closes. */
        cmocka_unit_test(the_last_close_stores),
        cmocka_unit_test(a_lock_ends_with_its_descriptors),
        cmocka_unit_test(in_a_handler_the_call_goes_on),
        cmocka_unit_test(closed_by_all),
    };
    return cmocka_run_group_tests_name("fork_calls", tests, NULL, NULL);
}
