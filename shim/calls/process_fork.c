/* fork and its kin.
 *
 * Everything of ours that has a lock is taken before glibc runs the program's atfork handlers, so
 * that a handler that takes an allocator's locks (jemalloc's does) finds no thread of the engine
 * that waits for them. In the child the engine has no threads and no connections; what is being
 * written is shared, but for appends that have sent parts and do not keep them. fork called inside
 * glibc does not come through here: forkpty and daemon are wrapped; the children of popen, system
 * and posix_spawn run none of our code before their exec.
 *
 * Locking: `forks.lock` first, then the parcels', the locks', the engine's, the maps', the files', the
 * streams'.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "shim/calls/fd.h"
#include "shim/calls/lock.h"
#include "shim/calls/map.h"
#include "shim/calls/process.h"
#include "shim/calls/stdio.h"
#include "shim/calls/syscall.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/exit.h"
#include "shim/inline_call.h"
#include "shim/parcel.h"
#include "shim/private_fd.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

#define PIPES_MAX    64
#define PIPE_MINIMUM 512

static struct {
    pthread_mutex_t lock;
    int pipes[PIPES_MAX]; /* write ends that tell of a vfork child's exec; children close others' */
    unsigned count;
} forks = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Set in the parent just before a real vfork, in memory that its child shares; the child sees its
 * own number differ. */
static _Thread_local pid_t vfork_parent __attribute__((tls_model("initial-exec")));

bool process_has_virtual(void)
{
    return file_any() || staged_any_own() || path_cwd()[0] || !engine_is_settled();
}

bool process_is_vfork_child(void)
{
    return vfork_parent && vfork_parent != getpid();
}

static void pipes_close(int keep_fd)
{
    for (unsigned i = 0; i < forks.count; i++)
        if (forks.pipes[i] != keep_fd)
            REAL(close)(forks.pipes[i]);
    forks.count = 0;
}

/* What is being written becomes the child's, too; that it is close-on-exec says little, the child
 * may give it another number first. Streams are changed for that while their writers may still be
 * waited for. */
static void share(int fd, struct file *file, void *unused)
{
    if (file_is_staged(file))
        staged_share(file->staged);
    if (fd > 2 && REAL(fcntl)(fd, F_GETFD) == 0)
        lock_share(file);
}

static void files_share(void)
{
    if (file_any())
        file_each(share, NULL);
}

/* Signals wait meanwhile: a handler that reads a virtual file would wait for us. False: errno says
 * why there is to be no child, and nothing is to be undone. */
static bool fork_prepare(sigset_t *ret_signals)
{
    sigset_t all;
    files_share();
    sigfillset(&all);
    inline_call_keep_open(&all);
    REAL(pthread_sigmask)(SIG_BLOCK, &all, ret_signals);
    pthread_mutex_lock(&forks.lock);
    parcel_fork_prepare();
    lock_fork_prepare();
    engine_fork_prepare();
    map_fork_prepare();
    int result = file_fork_prepare();
    if (!result) {
        stdio_fork_prepare();
        return true;
    }
    map_fork_done();
    engine_fork_parent();
    lock_fork_done();
    parcel_fork_parent();
    pthread_mutex_unlock(&forks.lock);
    REAL(pthread_sigmask)(SIG_SETMASK, ret_signals, NULL);
    errno = -result;
    return false;
}

/* errno stays what fork left. */
static void fork_done(pid_t pid, int keep_fd, const sigset_t *signals)
{
    int error = errno;
    stdio_fork_done();
    if (pid) {
        file_fork_parent(pid);
        map_fork_done();
        engine_fork_parent();
        lock_fork_done();
        parcel_fork_parent();
    } else {
        file_fork_child();
        map_fork_done();
        engine_fork_child();
        lock_fork_done();
        parcel_fork_child();
        vfork_parent = 0;
        exit_fork_child();
        pipes_close(keep_fd);
    }
    pthread_mutex_unlock(&forks.lock);
    REAL(pthread_sigmask)(SIG_SETMASK, signals, NULL);
    errno = error;
}

pid_t process_fork(pid_t (*real)(void), int keep_fd)
{
    sigset_t signals;
    if (!fork_prepare(&signals))
        return -1;
    pid_t pid = real();
    fork_done(pid, keep_fd, &signals);
    if (!pid && real == REAL(fork)) /* not _Fork: memory is given back */
        file_fork_child_end();
    return pid;
}

static int child_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int process_apart(int (*work)(const void *arg), const void *arg)
{
    /* Its end must not reach the handlers, which act on the parent's memory. */
    sigset_t child_signal, signals;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    REAL(sigprocmask)(SIG_BLOCK, &child_signal, &signals);
    pid_t pid = process_fork(REAL(fork), -1);
    if (!pid)
        REAL(_exit)(-work(arg));
    int result = pid < 0 ? -errno : child_wait(pid);
    struct timespec now = {0};
    sigtimedwait(&child_signal, NULL, &now);
    REAL(sigprocmask)(SIG_SETMASK, &signals, NULL);
    return result;
}

pid_t fork(void)
{
    return process_fork(REAL(fork), -1);
}

/* Async-signal-safe by contract, so it takes locks only when there is something to keep whole. */
pid_t _Fork(void)
{
    if (!process_has_virtual() && !engine_is_loaded())
        return REAL(_Fork)();
    return process_fork(REAL(_Fork), -1);
}

pid_t forkpty(int *terminal, char *name, const struct termios *attributes,
              const struct winsize *size)
{
    sigset_t signals;
    if (!fork_prepare(&signals))
        return -1;
    pid_t pid = REAL(forkpty)(terminal, name, attributes, size);
    fork_done(pid, -1, &signals);
    int error = errno;
    if (!pid)
        file_fork_child_end();
    for (int fd = 0; !pid && fd <= 2; fd++) { /* the terminal took their places */
        file_put(file_detach(fd));
        stdio_fd_changed(fd);
    }
    errno = error;
    return pid;
}

/* ---- clone ---- */

struct clone_call {
    int (*function)(void *);
    void *argument;
    sigset_t signals;
};

static int clone_child(void *arg)
{
    struct clone_call *call = arg;
    fork_done(0, -1, &call->signals);
    _exit(call->function(call->argument)); /* to return would end this thread only, not the engine's */
}

/* Is it a fork, as far as we are concerned? Who shares memory has its tables, too. */
static bool is_fork(unsigned long flags)
{
    return !(flags & CLONE_VM) && (process_has_virtual() || engine_is_loaded());
}

/* Descriptors in common, but each its own table of what they mean. */
static int shared_descriptors(void)
{
    return report_refusal("clone with CLONE_FILES and without CLONE_VM", NULL);
}

int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    va_list arguments;
    va_start(arguments, argument);
    pid_t *parent_tid = va_arg(arguments, pid_t *);
    void *tls = va_arg(arguments, void *);
    pid_t *child_tid = va_arg(arguments, pid_t *);
    va_end(arguments);
    if (!is_fork((unsigned)flags) || !function || !stack)
        return REAL(clone)(function, stack, flags, argument, parent_tid, tls, child_tid);
    if (flags & CLONE_FILES)
        return (int)entry_return(errno, shared_descriptors());
    struct clone_call call = {.function = function, .argument = argument};
    if (!fork_prepare(&call.signals))
        return -1;
    pid_t pid = REAL(clone)(clone_child, stack, flags, &call, parent_tid, tls, child_tid);
    fork_done(pid, -1, &call.signals);
    return pid;
}

bool process_clone_is_ours(const long *a)
{
    return is_fork((unsigned long)a[0]) && !a[1];
}

long process_clone(const long *a)
{
    sigset_t signals;
    if (a[0] & CLONE_FILES)
        return entry_return(errno, shared_descriptors());
    if (!fork_prepare(&signals))
        return -1;
    long result = syscall_kernel(SYS_clone, a[0], a[1], a[2], a[3], a[4], 0);
    if (result < 0)
        errno = (int)-result;
    fork_done(result < 0 ? -1 : (pid_t)result, -1, &signals);
    return result < 0 ? -1 : result;
}

/* ---- daemon ---- */

static void find_stream(int fd, struct file *file, void *found)
{
    if (file_is_staged(file) && staged_is_ours(file->staged) && !file->staged->draft)
        *(bool *)found = true;
}

static int streams_to_null(void)
{
    int null = REAL(open)("/dev/null", O_RDWR);
    if (null < 0)
        return -errno;
    int result = 0;
    for (int fd = 0; fd <= 2 && result >= 0; fd++)
        result = null == fd ? 0 : fd_dup_to(null, fd, 0);
    if (null > 2)
        REAL(close)(null);
    return result < 0 ? result : 0;
}

static int daemon_child(int keep_directory, int keep_streams)
{
    if (setsid() < 0)
        return -errno;
    if (!keep_directory) {
        path_set_cwd(NULL);
        if (REAL(chdir)("/") < 0)
            return -errno;
    }
    return keep_streams ? 0 : streams_to_null();
}

int daemon(int keep_directory, int keep_streams)
{
    if (!process_has_virtual() && !engine_is_loaded())
        return REAL(daemon)(keep_directory, keep_streams);
    int saved = errno;
    bool stays = false;
    files_share();
    file_each(find_stream, &stays);
    if (stays)
        return (int)entry_return(saved, report_refusal("daemon with an upload in progress", NULL));
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid)
        REAL(_exit)(0);
    return (int)entry_return(saved, daemon_child(keep_directory, keep_streams));
}

/* ---- vfork ---- */

static int pipe_register(int ends[2])
{
    int result = 0;
    pthread_mutex_lock(&forks.lock);
    if (forks.count == PIPES_MAX)
        result = -EAGAIN;
    else if (pipe2(ends, O_CLOEXEC) < 0)
        result = -errno;
    else {
        ends[0] = private_fd_raise(ends[0], PIPE_MINIMUM);
        ends[1] = private_fd_raise(ends[1], PIPE_MINIMUM);
        forks.pipes[forks.count++] = ends[1];
    }
    pthread_mutex_unlock(&forks.lock);
    return result;
}

static void pipe_forget(int fd)
{
    pthread_mutex_lock(&forks.lock);
    for (unsigned i = 0; i < forks.count; i++)
        if (forks.pipes[i] == fd)
            forks.pipes[i--] = forks.pipes[--forks.count];
    REAL(close)(fd);
    pthread_mutex_unlock(&forks.lock);
}

/* vfork for a process with virtual files: a copy, whose parent goes on when the child has executed
 * another program or ended, because then the pipe closes. */
static pid_t vfork_by_fork(void)
{
    int ends[2];
    int result = pipe_register(ends);
    if (result < 0) {
        errno = -result;
        return -1;
    }
    pid_t pid = process_fork(REAL(fork), ends[1]);
    int error = errno;
    if (!pid) {
        REAL(close)(ends[0]);
        return 0;
    }
    pipe_forget(ends[1]);
    char byte;
    while (pid > 0 && REAL(read)(ends[0], &byte, 1) < 0 && errno == EINTR)
        ;
    REAL(close)(ends[0]);
    errno = error;
    return pid;
}

void *process_vfork_target(void)
{
    if (process_has_virtual())
        return (void *)vfork_by_fork;
    vfork_parent = getpid();
    return (void *)REAL(vfork);
}

#include "alias_process_fork.h"
