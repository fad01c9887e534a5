/* The exec family: every variant reduces to execveat.
 *
 * What is virtual and not close-on-exec goes to the next program (handover.h), if that will load
 * this library; otherwise the exec fails, and one line says why and what to write instead. What is
 * close-on-exec ends with this program: what is due of it is published first. Programs and scripts
 * in a bucket: see process_image.c.
 *
 * May run in a vfork child and between fork and exec of a threaded program: allocates nothing.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shim/calls/process.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/file.h"
#include "shim/handover.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

/* ---- what is handed on ---- */

/* A program to be executed. */
struct target {
    int dirfd;
    const char *path;
    int flags;
    const char *name;   /* for people */
    const char *reason; /* why it takes nothing over; NULL: it does */
};

static int refuse_fd(int fd, struct file *file, void *arg)
{
    const struct target *target = arg;
    const char *slash = strrchr(target->name, '/'), *name = slash ? slash + 1 : target->name;
    char path[PATH_VIRTUAL_MAX];
    file_path(file, path);
    if (fd > 2)
        report_line(
            "cannot start %s with %s open as descriptor %d: it %s: let another program open "
            "the path, or mark the descriptor close-on-exec",
            target->name, path, fd, target->reason);
    else if (file_is_staged(file))
        report_line("cannot start %s with its output in %s: it %s: write `%s | cat >%s`",
                    target->name, path, target->reason, name, path);
    else
        report_line("cannot start %s with its input from %s: it %s: write `cat %s | %s`",
                    target->name, path, target->reason, path, name);
    return -EOPNOTSUPP;
}

static int refuse_cwd(const struct target *target)
{
    report_line(
        "cannot start %s in the directory %s: it %s: start it elsewhere and give it the whole "
        "path",
        target->name, path_cwd(), target->reason);
    return -EOPNOTSUPP;
}

static int refuse_all(struct target *target, const char *reason)
{
    target->reason = reason;
    if (path_cwd()[0])
        return refuse_cwd(target);
    int result = handover_each(refuse_fd, target);
    return result ? result : -EOPNOTSUPP;
}

static int find_any(int fd, struct file *file, void *arg)
{
    return 1;
}

static int share(int fd, struct file *file, void *arg)
{
    int draft_fds[2];
    if (!file->staged)
        return 0;
    staged_share(file->staged);
    if (!staged_handles(file->staged, draft_fds))
        return 0;
    struct target *target = arg;
    target->reason = "would have to go on with an append of which parts were sent and are not kept";
    return refuse_fd(fd, file, arg);
}

static int is_this(int fd, struct file *file, void *arg)
{
    return file->staged == arg;
}

static bool is_handed(const struct staged *staged, void *arg)
{
    return handover_each(is_this, (void *)staged);
}

static int begin(struct target *target, struct handover *ret_handover)
{
    int result = handover_begin(ret_handover);
    if (result == -EPERM)
        return refuse_all(target, "runs as another user than the one who opened it");
    if (result == -EOPNOTSUPP)
        return refuse_all(target,
                          "cannot be given the descriptors that this takes, which were closed");
    return result < 0 ? result : 1;
}

/* 1: *ret_handover is to be given to the program. 0: there is nothing to give. -errno: no exec.
 * What a program without this library would not close is closed here, also when exec fails then. */
static int hand_over(struct target *target, char *const envp[], struct handover *ret_handover)
{
    int access = X_OK, flags = AT_EACCESS | (target->flags & AT_SYMLINK_NOFOLLOW);
    if (*target->path && REAL(faccessat)(target->dirfd, target->path, access, flags) < 0)
        return -errno;
    bool hands_files = handover_each(find_any, NULL), hands = path_cwd()[0] || hands_files;
    const char *reason = process_target_refuses(target->dirfd, target->path);
    if (!reason && !process_preloads(envp))
        reason = "would be started without this library, which its LD_PRELOAD lacks";
    if (process_is_vfork_child() && hands_files)
        reason = "cannot be given what a child of vfork has opened";
    if (reason && hands)
        return refuse_all(target, reason);
    if (process_is_vfork_child())
        return hands ? begin(target, ret_handover) : 0;
    int result = handover_each(share, target);
    if (!result)
        result = staged_settle(is_handed, NULL);
    if (result < 0 || (!hands && !arena_is_shared()))
        return result;
    return reason ? file_close_all() : begin(target, ret_handover);
}

/* ---- execveat ---- */

/* Was something closed that is not stored? The next program's status is not to hide that. */
static bool lacks_files(void)
{
    return !process_is_vfork_child() && engine_sync() < 0;
}

/* `name` is what it is called where something is said of it. */
static int exec_named(int dirfd, const char *path, const char *name, char *const argv[],
                      char *const envp[], int flags)
{
    struct target target = {dirfd, path, flags, name, NULL};
    struct handover handover;
    const char **room = alloca(process_environ_room(envp) * sizeof *room);
    envp = process_environ(envp, NULL, room);
    int handed = process_has_virtual() ? hand_over(&target, envp, &handover) : 0;
    if (!engine_is_settled())
        engine_settle(); /* a failure is printed; the new program's status is its own */
    bool is_lacking = lacks_files();
    if (!process_is_vfork_child())
        engine_flush_log();
    if (is_lacking && handed > 0)
        handover_undo(&handover);
    if (is_lacking || handed < 0)
        return handed < 0 ? handed : -EIO; /* which no search along PATH goes on after */
    if (handed)
        envp = process_environ(envp, handover.variable, room);
    if (dirfd == AT_FDCWD && !flags)
        REAL(execve)(path, argv, envp);
    else
        REAL(execveat)(dirfd, path, argv, envp, flags);
    int error = errno;
    if (handed)
        handover_undo(&handover);
    return -error;
}

static int exec_real(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    const char *name = *path ? path : argv && argv[0] ? argv[0] : "a program";
    return exec_named(dirfd, path, name, argv, envp, flags);
}

/* Scripts whose interpreter is a script: the kernel's bound (execve(2), ELOOP). */
#define INTERPRETERS_MAX 4

/* depth: how many scripts have led here. */
static int exec_image(const struct vpath *path, char *const argv[], char *const envp[],
                      unsigned depth)
{
    struct image image;
    struct vpath interpreter;
    int result = depth > INTERPRETERS_MAX ? -ELOOP : image_init(path, &image);
    if (result < 0)
        return result;
    size_t count = 0;
    while (argv && argv[count])
        count++;
    const char **arguments = alloca((count + IMAGE_EXTRA) * sizeof *arguments);
    image_arguments(&image, argv, arguments);
    result = path_classify(AT_FDCWD, image.path, &interpreter);
    if (result > 0)
        result = exec_image(&interpreter, (char *const *)arguments, envp, depth + 1);
    else if (!result)
        result = exec_named(AT_FDCWD, image.path, image.fd >= 0 ? path->path : image.path,
                            (char *const *)arguments, envp, 0);
    image_fini(&image);
    return result;
}

static int exec_at(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    struct vpath target;
    int result = path_classify(dirfd, path, &target);
    if (result < 0)
        return result;
    return result ? exec_image(&target, argv, envp, 0) : exec_real(dirfd, path, argv, envp, flags);
}

/* The common case, decided without a system call. */
bool process_exec_is_plain(const char *path, char *const envp[])
{
    return likely(!path_maybe(path) && !process_has_virtual() && !lacks_files() &&
                  (!process_follows() || process_preloads(envp)));
}

/* That has EFAULT from the kernel: of the lists NULL is one without anything. */
static bool is_bad(const char *path, char *const argv[], char *const envp[])
{
    return (uintptr_t)path < PATH_UNREAD || (argv && (uintptr_t)argv < PATH_UNREAD) ||
           (envp && (uintptr_t)envp < PATH_UNREAD);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    if (is_bad(path, argv, envp) || process_exec_is_plain(path, envp))
        return REAL(execve)(path, argv, envp);
    int saved = errno;
    return (int)entry_return(saved, exec_at(AT_FDCWD, path, argv, envp, 0));
}

int execv(const char *path, char *const argv[])
{
    return execve(path, argv, environ);
}

static int exec_descriptor(int fd, char *const argv[], char *const envp[])
{
    struct file *file = file_get(fd);
    if (!file)
        return exec_real(fd, "", argv, envp, AT_EMPTY_PATH);
    struct vpath target = {0};
    strcpy(target.path, file->path);
    file_put(file);
    int result = path_from_virtual(target.path, &target);
    return result < 0 ? result : exec_image(&target, argv, envp, 0);
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
    if (process_exec_is_plain("", envp))
        return REAL(fexecve)(fd, argv, envp);
    int saved = errno;
    return (int)entry_return(saved, exec_descriptor(fd, argv, envp));
}

int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    if (is_bad(path, argv, envp) || process_exec_is_plain(path, envp))
        return REAL(execveat)(dirfd, path, argv, envp, flags);
    int saved = errno, result;
    if (!*path && flags & AT_EMPTY_PATH)
        result = exec_descriptor(dirfd, argv, envp);
    else
        result = exec_at(dirfd, path, argv, envp, flags);
    return (int)entry_return(saved, result);
}

/* ---- the search along PATH ---- */

#define SHELL "/bin/sh"

/* execvp(3): what the kernel does not know how to run is a shell script. */
static int exec_or_shell(const char *path, char *const argv[], char *const envp[])
{
    int result = exec_at(AT_FDCWD, path, argv, envp, 0);
    if (result != -ENOEXEC)
        return result;
    size_t count = 0;
    while (argv[count])
        count++;
    char **arguments = alloca((count + 3) * sizeof *arguments);
    arguments[0] = (char *)SHELL;
    arguments[1] = (char *)path;
    for (size_t i = 1; i <= count; i++)
        arguments[i + 1] = argv[i];
    arguments[count ? count + 1 : 2] = NULL;
    return exec_real(AT_FDCWD, SHELL, arguments, envp, 0);
}

static bool goes_on(int result)
{
    return result == -EACCES || result == -ENOENT || result == -ESTALE || result == -ENOTDIR ||
           result == -ENODEV || result == -ETIMEDOUT;
}

const char *process_search_path(void)
{
    const char *path = getenv("PATH");
    return path ? path : "/bin:/usr/bin";
}

bool process_search_is_plain(const char *name, char *const envp[])
{
    if (!process_exec_is_plain(name, envp))
        return false;
    for (const char *at = strchr(name, '/') ? "" : process_search_path(); *at;) {
        if (path_maybe(at))
            return false;
        at += strcspn(at, ":");
        at += *at == ':';
    }
    return true;
}

static int exec_search(const char *name, char *const argv[], char *const envp[])
{
    if (!*name)
        return -ENOENT;
    if (strchr(name, '/'))
        return exec_or_shell(name, argv, envp);
    char candidate[PATH_MAX];
    bool denied = false;
    int result = -ENOENT;
    const char *at = process_search_path();
    for (bool more = true; more;) {
        size_t length = strcspn(at, ":");
        more = at[length] == ':';
        int needed = snprintf(candidate, sizeof candidate, "%.*s%s%s", (int)length, at,
                              length ? "/" : "", name);
        at += length + more;
        if (needed >= (int)sizeof candidate)
            continue;
        result = exec_or_shell(candidate, argv, envp);
        denied |= result == -EACCES;
        if (!goes_on(result))
            return result;
    }
    return denied ? -EACCES : result;
}

int process_exec(const char *name, bool searches, char *const argv[], char *const envp[])
{
    return searches ? exec_search(name, argv, envp) : exec_at(AT_FDCWD, name, argv, envp, 0);
}

int execvpe(const char *name, char *const argv[], char *const envp[])
{
    if ((uintptr_t)name < PATH_UNREAD || process_search_is_plain(name, envp))
        return REAL(execvpe)(name, argv, envp);
    int saved = errno;
    return (int)entry_return(saved, exec_search(name, argv, envp));
}

int execvp(const char *name, char *const argv[])
{
    return execvpe(name, argv, environ);
}

/* ---- arguments as a list ---- */

static size_t list_count(va_list args)
{
    size_t count = 1;
    while (va_arg(args, char *))
        count++;
    return count;
}

/* Fills argv[1…] up to and with the NULL. */
static void list_fill(const char **argv, va_list args)
{
    while (*argv)
        *++argv = va_arg(args, char *);
}

/* Defines `argv` from `argument` and what follows it; leaves `args` behind the NULL. */
#define LIST_TO_ARGV(argument)                                                                     \
    va_list args;                                                                                  \
    va_start(args, argument);                                                                      \
    size_t list_length = (argument) ? list_count(args) : 0;                                        \
    va_end(args);                                                                                  \
    const char **argv = alloca((list_length + 1) * sizeof *argv);                                  \
    argv[0] = (argument);                                                                          \
    va_start(args, argument);                                                                      \
    list_fill(argv, args)

int execl(const char *path, const char *argument, ...)
{
    LIST_TO_ARGV(argument);
    va_end(args);
    return execve(path, (char *const *)argv, environ);
}

int execlp(const char *name, const char *argument, ...)
{
    LIST_TO_ARGV(argument);
    va_end(args);
    return execvpe(name, (char *const *)argv, environ);
}

int execle(const char *path, const char *argument, ...)
{
    LIST_TO_ARGV(argument);
    char *const *envp = va_arg(args, char *const *);
    va_end(args);
    return execve(path, (char *const *)argv, envp);
}
