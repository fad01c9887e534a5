/* Programs that make system calls by instructions of their own, with S3DLIO_INLINE_SYSCALLS=on: they
 * mean the same as those of the C library, on every thread, whatever it does with signals. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/preload/inline.h"

#ifdef INLINE_CALLS

static char file[PATH_MAX];

static int setup(void **state)
{
    snprintf(file, sizeof file, "%s", preload_path("inline"));
    preload_make(file, 5000);
    return 0;
}

/* 0, or the number of the step that failed. */
static int use(const char *name)
{
    char path[PATH_MAX], other[PATH_MAX + 10], buffer[100] = {0};
    snprintf(path, sizeof path, "%s", preload_path(name));
    snprintf(other, sizeof other, "%s-renamed", path);
    struct stat st = {0};
    long fd = inline_openat(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0 || inline_syscall(SYS_write, fd, (long)"hello", 5, 0, 0) != 5)
        return 1;
    if (inline_syscall(SYS_close, fd, 0, 0, 0, 0))
        return 2;
    if (inline_renameat(path, other) || inline_renameat(path, other) != -ENOENT)
        return 3;
    if (inline_syscall(SYS_stat, (long)other, (long)&st, 0, 0, 0) || st.st_size != 5)
        return 4;
    fd = inline_openat(other, O_RDONLY, 0);
    if (fd < 0 || inline_syscall(SYS_pread64, fd, (long)buffer, 100, 1, 0) != 4 ||
        memcmp(buffer, "ello", 4))
        return 5;
    inline_syscall(SYS_close, fd, 0, 0, 0, 0);
    return inline_syscall(SYS_unlinkat, AT_FDCWD, (long)other, 0, 0, 0) || !stat(other, &st) ? 6
                                                                                             : 0;
}

static void files(void **state)
{
    assert_int_equal(use("files"), 0);
    long fd = inline_openat(file, O_RDONLY, 0);
    assert_true(fd >= 0);
    assert_int_equal(inline_syscall(SYS_close, fd, 0, 0, 0, 0), 0);
    assert_int_equal(inline_syscall(SYS_close, fd, 0, 0, 0, 0), -EBADF);
}

static void errno_stays(void **state)
{
    errno = ERANGE;
    assert_int_equal(inline_openat(preload_path("inline-none"), O_RDONLY, 0), -ENOENT);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(inline_syscall(SYS_getppid, 0, 0, 0, 0, 0), getppid());
    assert_int_equal(errno, ERANGE);
}

static void directories(void **state)
{
    _Alignas(struct dirent64) char records[4096] = {0};
    long fd = inline_openat(preload_root(), O_RDONLY | O_DIRECTORY, 0), got, found = 0;
    assert_true(fd >= 0);
    while ((got = inline_syscall(SYS_getdents64, fd, (long)records, sizeof records, 0, 0)) > 0)
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (void *)(records + at);
            found += !strcmp(entry->d_name, "inline");
            at += entry->d_reclen;
        }
    assert_int_equal(found, 1);
    assert_int_equal(inline_syscall(SYS_close, fd, 0, 0, 0, 0), 0);
}

static void *in_thread(void *name)
{
    return (void *)(long)use(name);
}

static void threads(void **state)
{
    static char *const names[] = {"thread-1", "thread-2", "thread-3"};
    pthread_t threads[3];
    void *result;
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, in_thread, names[i]), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_int_equal((long)result, 0);
    }
}

static void child_is(pid_t child, int expected)
{
    int status;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, expected << 8);
}

static void children(void **state)
{
    pid_t child = fork();
    if (!child)
        _exit(use("forked"));
    child_is(child, 0);
    child = (pid_t)inline_syscall(SYS_fork, 0, 0, 0, 0, 0);
    if (!child)
        _exit(use("forked-inline"));
    child_is(child, 0);
    child = (pid_t)inline_syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!child)
        _exit(use("cloned-inline"));
    child_is(child, 0);
}

static char around_fork[PATH_MAX];
static volatile long before_fork, in_child;

static void look_before(void)
{
    struct stat st;
    before_fork = *around_fork && !inline_syscall(SYS_stat, (long)around_fork, (long)&st, 0, 0, 0);
}

static void look_in_child(void)
{
    struct stat st;
    in_child = *around_fork && !inline_syscall(SYS_stat, (long)around_fork, (long)&st, 0, 0, 0);
}

/* The program's handlers run between this library's, which hold signals back. */
static void around_forks(void **state)
{
    assert_int_equal(pthread_atfork(look_before, NULL, look_in_child), 0);
    snprintf(around_fork, sizeof around_fork, "%s", file);
    pid_t child = fork();
    if (!child)
        _exit(before_fork + 2 * in_child);
    child_is(child, 3);
    *around_fork = 0;
}

/* Signals that wait do not make the next such call deadly. */
static void with_signals_blocked(void **state)
{
    sigset_t all, before;
    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &all, &before), 0);
    assert_int_equal(use("blocked"), 0);
    pid_t child = fork();
    if (!child)
        _exit(use("blocked-fork"));
    child_is(child, 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(sigprocmask(SIG_SETMASK, &all, &before), 0);
    assert_int_equal(use("blocked-too"), 0);
    assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
}

/* The mask that the program sets by such a call is the one it has afterwards. */
static void masks(void **state)
{
    uint64_t set = 1ull << (SIGUSR1 - 1) | 1ull << (SIGSYS - 1), before = 0;
    sigset_t now;
    assert_int_equal(inline_syscall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 8, 0), 0);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    assert_true(sigismember(&now, SIGUSR1));
    assert_int_equal(use("masked"), 0);
    assert_int_equal(
        inline_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&set, (long)&before, 8, 0), 0);
    assert_true(before & 1ull << (SIGUSR1 - 1));
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &now), 0);
    assert_false(sigismember(&now, SIGUSR1));
    assert_int_equal(inline_syscall(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, 4, 0), -EINVAL);
    assert_int_equal(inline_syscall(SYS_rt_sigprocmask, 77, (long)&set, 0, 8, 0), -EINVAL);
}

static volatile int handled;

static void on_usr1(int number)
{
    handled = 1 + use("handler");
}

static void in_handlers(void **state)
{
    struct sigaction action = {.sa_handler = on_usr1}, before;
    sigfillset(&action.sa_mask);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    raise(SIGUSR1);
    assert_int_equal(handled, 1);
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
}

/* The handler is set by such a call, too: what it blocks does not make its own calls deadly. */
static void in_handlers_set_inline(void **state)
{
    struct {
        void (*handler)(int);
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {0}, before; /* the kernel's own */
    struct sigaction first;
    handled = 0;
    assert_int_equal(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_usr1}, &first), 0);
    assert_int_equal(inline_syscall(SYS_rt_sigaction, SIGUSR1, 0, (long)&action, 8, 0), 0);
    assert_ptr_equal(action.handler, on_usr1);
    action.mask = ~UINT64_C(0);
    assert_int_equal(inline_syscall(SYS_rt_sigaction, SIGUSR1, (long)&action, (long)&before, 8, 0),
                     0);
    raise(SIGUSR1);
    assert_int_equal(handled, 1);
    assert_int_equal(sigaction(SIGUSR1, &first, NULL), 0);
}

static volatile int own;

static void on_sigsys(int number, siginfo_t *info, void *context)
{
    own += info->si_signo == SIGSYS;
}

/* A program's own handler is called for what is its own. */
static void handlers_of_sigsys(void **state)
{
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO}, before;
    sighandler_t first = signal(SIGSYS, SIG_DFL); /* cmocka's */
    assert_true(first != SIG_ERR);
    assert_int_equal(sigaction(SIGSYS, &action, &before), 0);
    assert_ptr_equal(before.sa_handler, SIG_DFL);
    assert_int_equal(sigaction(SIGSYS, NULL, &before), 0);
    assert_ptr_equal(before.sa_sigaction, on_sigsys);
    raise(SIGSYS);
    assert_int_equal(own, 1);
    assert_int_equal(use("own-handler"), 0);
    assert_int_equal(own, 1);
    action.sa_handler = SIG_IGN;
    action.sa_flags = 0;
    assert_int_equal(sigaction(SIGSYS, &action, NULL), 0);
    raise(SIGSYS);
    assert_ptr_equal(signal(SIGSYS, SIG_DFL), SIG_IGN);
    assert_int_equal(use("no-handler"), 0);
    pid_t child = fork();
    if (!child) {
        raise(SIGSYS);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    signal(SIGSYS, first);
}

/* A child that shares this memory, on this stack: nothing stands between it and the kernel. */
static void *vforks(void *unused)
{
    long child;
    __asm__ volatile("syscall\n"
                     "test %%eax, %%eax\n"
                     "jne 1f\n"
                     "mov $7, %%edi\n"
                     "mov %2, %%eax\n"
                     "syscall\n"
                     "1:\n"
                     : "=a"(child)
                     : "0"((long)SYS_vfork), "i"(SYS_exit_group)
                     : "rcx", "r11", "rdi", "memory");
    int status = 0;
    return (void *)(long)(waitpid((pid_t)child, &status, 0) == child && status == 7 << 8);
}

static void children_in_the_same_memory(void **state)
{
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, vforks, NULL), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((long)result, 1);
    assert_int_equal(use("after-vfork"), 0);
}

static void library_calls(void **state)
{
    assert_int_equal(syscall(SYS_getppid), getppid());
    assert_int_equal(syscall(SYS_gettid), gettid());
    assert_int_equal(syscall(SYS_close, -1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(syscall(SYS_tgkill, -1, -1, 0), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(syscall(SYS_clone3, NULL, 0L), -1); /* one that would be let through */
    assert_int_equal(errno, EINVAL);
    assert_int_equal(use("after-clone3"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(errno_stays),
        cmocka_unit_test(directories),
        cmocka_unit_test(threads),
        cmocka_unit_test(children),
        cmocka_unit_test(around_forks),
        cmocka_unit_test(with_signals_blocked),
        cmocka_unit_test(masks),
        cmocka_unit_test(in_handlers),
        cmocka_unit_test(in_handlers_set_inline),
        cmocka_unit_test(handlers_of_sigsys),
        cmocka_unit_test(children_in_the_same_memory),
        cmocka_unit_test(library_calls),
    };
    return cmocka_run_group_tests_name("inline_call", tests, setup, NULL);
}

#else

static void nothing(void **state)
{
    print_message("skip: only on x86-64, and not under sanitizers\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing)};
    return cmocka_run_group_tests_name("inline_call", tests, NULL, NULL);
}

#endif
