/* posix_spawn.
 *
 * glibc makes the child itself, from the kernel's descriptors, and runs none of our code in it. As
 * long as nothing virtual is near, or what the child does can be told beforehand (process_plan.c),
 * that is what happens. Otherwise the child is made by fork, does what it was asked to through our
 * own calls, and executes the program as any other process does; a pipe that closes with exec tells
 * how that went.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shim/calls/fd.h"
#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/calls/process.h"
#include "shim/calls/process_action.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/private_fd.h"
#include "shim/real.h"

#define PIPE_MINIMUM 512 /* out of the way of the actions */

/* ---- file actions ---- */

static void close_any(int fd)
{
    if (close_fd(fd) == -EBADF)
        REAL(close)(fd);
}

static int act_dup2(int fd, int new_fd)
{
    if (fd == new_fd) { /* glibc clears close-on-exec */
        int flags = REAL(fcntl)(fd, F_GETFD);
        return flags < 0 || REAL(fcntl)(fd, F_SETFD, flags & ~FD_CLOEXEC) < 0 ? -errno : 0;
    }
    int result = fd_dup_to(fd, new_fd, 0);
    return result < 0 ? result : 0;
}

static int act_open(const struct __spawn_action *action)
{
    struct vpath path;
    int wanted = action->as.open.fd, flags = action->as.open.flags;
    int fd = path_classify_follow(AT_FDCWD, action->as.open.path, &path);
    close_any(wanted); /* as glibc does, so that it may be the lowest free one */
    if (fd > 0)
        fd = open_followed(&path, flags, action->as.open.mode);
    else if (!fd)
        fd = REAL(open)(action->as.open.path, flags, action->as.open.mode);
    if (fd == LINK_TO_REAL)
        fd = REAL(open)(path.path, flags, action->as.open.mode);
    if (fd < 0)
        return fd == -1 ? -errno : fd;
    if (fd == wanted)
        return 0;
    int result = act_dup2(fd, wanted);
    close_any(fd);
    return result;
}

static int or_errno(int result)
{
    return result < 0 ? -errno : 0;
}

static int act(const struct __spawn_action *action)
{
    int fd = action->as.dup2.fd;
    switch (action->kind) {
    case ACTION_CLOSE: close_any(fd); return 0; /* one that is not open is no mistake */
    case ACTION_DUP2: return act_dup2(fd, action->as.dup2.new_fd);
    case ACTION_OPEN: return act_open(action);
    case ACTION_CHDIR: return or_errno(chdir(action->as.chdir.path));
    case ACTION_FCHDIR: return or_errno(fchdir(fd));
    case ACTION_CLOSEFROM: closefrom(fd); return 0;
    case ACTION_TERMINAL: return or_errno(tcsetpgrp(fd, getpgrp()));
    default: return -ENOSYS;
    }
}

static bool is_virtual_action(const struct __spawn_action *action)
{
    return (action->kind == ACTION_OPEN && path_maybe(action->as.open.path)) ||
           (action->kind == ACTION_CHDIR && path_maybe(action->as.chdir.path));
}

static bool any_virtual_action(const posix_spawn_file_actions_t *actions)
{
    for (int i = 0; actions && i < actions->__used; i++)
        if (is_virtual_action(&actions->__actions[i]))
            return true;
    return false;
}

/* ---- attributes, in the child ---- */

static int set_scheduling(const posix_spawnattr_t *attributes, short flags)
{
    struct sched_param parameters;
    int policy;
    posix_spawnattr_getschedparam(attributes, &parameters);
    posix_spawnattr_getschedpolicy(attributes, &policy);
    if (flags & POSIX_SPAWN_SETSCHEDULER)
        return or_errno(sched_setscheduler(0, policy, &parameters));
    if (flags & POSIX_SPAWN_SETSCHEDPARAM)
        return or_errno(sched_setparam(0, &parameters));
    return 0;
}

static void set_default_signals(const posix_spawnattr_t *attributes)
{
    sigset_t set;
    struct sigaction action = {.sa_handler = SIG_DFL};
    posix_spawnattr_getsigdefault(attributes, &set);
    for (int signal = 1; signal < NSIG; signal++)
        if (sigismember(&set, signal) == 1)
            REAL(sigaction)(signal, &action, NULL);
}

static int set_attributes(const posix_spawnattr_t *attributes)
{
    short flags = 0;
    pid_t group = 0;
    int result = 0;
    if (!attributes)
        return 0;
    posix_spawnattr_getflags(attributes, &flags);
    posix_spawnattr_getpgroup(attributes, &group);
    if (flags & POSIX_SPAWN_SETSIGDEF)
        set_default_signals(attributes);
    result = set_scheduling(attributes, flags);
    if (!result && flags & POSIX_SPAWN_SETSID)
        result = or_errno(setsid());
    if (!result && flags & POSIX_SPAWN_SETPGROUP)
        result = or_errno(setpgid(0, group));
    if (!result && flags & POSIX_SPAWN_RESETIDS)
        result = setgid(getgid()) < 0 || setuid(getuid()) < 0 ? -errno : 0;
    return result;
}

static void set_mask(const posix_spawnattr_t *attributes)
{
    short flags = 0;
    sigset_t mask;
    if (attributes)
        posix_spawnattr_getflags(attributes, &flags);
    if (!(flags & POSIX_SPAWN_SETSIGMASK))
        return;
    posix_spawnattr_getsigmask(attributes, &mask);
    REAL(sigprocmask)(SIG_SETMASK, &mask, NULL);
}

/* ---- the child ---- */

static int child_run(const struct process_program *program)
{
    const posix_spawn_file_actions_t *actions = program->actions;
    int result = set_attributes(program->attributes);
    for (int i = 0; !result && actions && i < actions->__used; i++)
        result = act(&actions->__actions[i]);
    set_mask(program->attributes);
    return result ? result
                  : process_exec(program->name, program->searches, program->argv, program->envp);
}

static pid_t child_make(const struct process_program *program, int ends[2])
{
    pid_t pid = process_fork(REAL(fork), -1);
    if (pid)
        return pid;
    REAL(close)(ends[0]);
    int result = child_run(program);
    while (REAL(write)(ends[1], &result, sizeof result) < 0 && errno == EINTR)
        ;
    REAL(_exit)(127);
    __builtin_unreachable();
}

/* What the child says before it ends, or 0 when it is another program. */
static int child_result(int fd)
{
    int result = 0;
    while (REAL(read)(fd, &result, sizeof result) < 0 && errno == EINTR)
        ;
    return result;
}

static int pipe_make(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    for (int i = 0; i < 2; i++)
        ends[i] = private_fd_raise(ends[i], PIPE_MINIMUM);
    return 0;
}

static int spawn_by_fork(const struct process_program *program, pid_t *ret_pid)
{
    int ends[2], status;
    int result = pipe_make(ends);
    if (result < 0)
        return result;
    pid_t pid = child_make(program, ends);
    result = pid < 0 ? -errno : 0;
    REAL(close)(ends[1]);
    if (pid > 0)
        result = child_result(ends[0]);
    REAL(close)(ends[0]);
    if (pid > 0 && result)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            ;
    else if (pid > 0 && ret_pid)
        *ret_pid = pid;
    return result;
}

int process_spawn(const struct process_program *program, pid_t *ret_pid)
{
    return process_spawn_planned(program, ret_pid) < 0 ? spawn_by_fork(program, ret_pid) : 0;
}

/* ---- posix_spawn: returns an error number and leaves errno alone ---- */

static int spawn(const struct process_program *program, pid_t *pid)
{
    int saved = errno;
    int result = -process_spawn(program, pid);
    errno = saved;
    return result;
}

/* Is it glibc's to do? Along PATH a directory may be virtual. */
static bool is_plain(const struct process_program *program)
{
    return process_exec_is_plain(program->name, program->envp) &&
           !any_virtual_action(program->actions) &&
           (!program->searches || process_search_is_plain(program->name, program->envp));
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct process_program program = {path, false, argv, envp, actions, attributes};
    if (likely(is_plain(&program)))
        return REAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
    return spawn(&program, pid);
}

int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct process_program program = {name, true, argv, envp, actions, attributes};
    if (likely(is_plain(&program)))
        return REAL(posix_spawnp)(pid, name, actions, attributes, argv, envp);
    return spawn(&program, pid);
}
