/* The exec family: every variant reduces to execveat.
 *
 * This version hands no virtual descriptor and no virtual working directory to another program: an
 * exec that would is refused with one line that says what to write instead. Close-on-exec ones are
 * fine; uploads that exec would close are completed first, when the target is there and executable,
 * because nothing of ours is left to do it afterwards. Programs and scripts in a bucket: see
 * process_image.c.
 *
 * May run in a vfork child and between fork and exec of a threaded program: allocates nothing.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "shim/calls/process.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

/* ---- what may be handed on ---- */

int process_refuse_fd(const char *program, int fd, const char *path, bool writes)
{
    const char *slash = strrchr(program, '/'), *name = slash ? slash + 1 : program;
    if (fd > 2)
        report_line("cannot start %s with %s open as descriptor %d: another program does not take "
                    "over an object in this version: let it open the path itself, or mark the "
                    "descriptor close-on-exec",
                    program, path, fd);
    else if (writes)
        report_line("cannot start %s with its output in %s: another program does not take over an "
                    "object in this version: write `%s | tee %s >/dev/null`",
                    program, path, name, path);
    else
        report_line("cannot start %s with its input from %s: another program does not take over an "
                    "object in this version: write `cat %s | %s`",
                    program, path, path, name);
    return -EOPNOTSUPP;
}

int process_refuse_cwd(const char *program)
{
    report_line("cannot start %s in the directory %s: another program does not take over a working "
                "directory on object storage in this version: start it elsewhere and give it the "
                "whole path",
                program, path_cwd());
    return -EOPNOTSUPP;
}

static int inherit_check(const char *program)
{
    if (path_cwd()[0])
        return process_refuse_cwd(program);
    int result = 0;
    for (int fd = fdtab_next(0); fd >= 0 && !result; fd = fdtab_next(fd + 1)) {
        int flags = REAL(fcntl)(fd, F_GETFD);
        struct file *file = flags < 0 || flags & FD_CLOEXEC ? NULL : file_get(fd);
        if (file)
            result = process_refuse_fd(program, fd, file->path, file_is_staged(file));
        file_put(file);
    }
    return result;
}

static bool is_upload(int fd)
{
    struct file *file = file_get(fd);
    bool is_staged = file && file_is_staged(file);
    file_put(file);
    return is_staged;
}

int process_uploads_complete(void)
{
    int count = 0, first = 0;
    for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
        struct file *file = is_upload(fd) ? file_detach(fd) : NULL;
        if (!file)
            continue;
        int result = file_close(file);
        first = first ? first : result;
        count++;
    }
    int mapped = staged_publish_rest();
    first = first ? first : mapped;
    return first ? first : count;
}

/* 0 or more: go on; that many uploads were completed. */
static int exec_prepare(int dirfd, const char *path, int flags, const char *program)
{
    if (!process_has_virtual())
        return 0;
    if (*path && REAL(faccessat)(dirfd, path, X_OK, AT_EACCESS | (flags & AT_SYMLINK_NOFOLLOW)) < 0)
        return -errno;
    int result = inherit_check(program);
    return result < 0 || process_is_vfork_child() ? result : process_uploads_complete();
}

/* ---- execveat ---- */

static int exec_real(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    const char *program = *path ? path : argv && argv[0] ? argv[0] : "a program";
    int completed = exec_prepare(dirfd, path, flags, program);
    if (completed < 0)
        return completed;
    if (dirfd == AT_FDCWD && !flags)
        REAL(execve)(path, argv, envp);
    else
        REAL(execveat)(dirfd, path, argv, envp, flags);
    int error = errno;
    if (completed)
        report_line("%s did not start (%s); what was being written has been stored as it was, "
                    "and its descriptors are closed",
                    program, strerrordesc_np(error));
    return -error;
}

static int exec_image(const struct vpath *path, char *const argv[], char *const envp[])
{
    struct image image;
    int result = image_init(path, &image);
    if (result < 0)
        return result;
    size_t count = 0;
    while (argv && argv[count])
        count++;
    const char **arguments = alloca((count + IMAGE_EXTRA) * sizeof *arguments);
    image_arguments(&image, argv, arguments);
    result = exec_real(AT_FDCWD, image.path, (char *const *)arguments, envp, 0);
    image_fini(&image);
    return result;
}

static int exec_at(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    struct vpath target;
    int result = path_classify(dirfd, path, &target);
    if (result < 0)
        return result;
    return result ? exec_image(&target, argv, envp) : exec_real(dirfd, path, argv, envp, flags);
}

/* Nothing virtual anywhere near: the common case, decided without a system call. */
static bool is_plain(const char *path)
{
    return likely(!path_maybe(path) && !process_has_virtual());
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    if (is_plain(path) || (uintptr_t)path < PATH_UNREAD)
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
    return result < 0 ? result : exec_image(&target, argv, envp);
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
    if (likely(!process_has_virtual()))
        return REAL(fexecve)(fd, argv, envp);
    int saved = errno;
    return (int)entry_return(saved, exec_descriptor(fd, argv, envp));
}

int execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
    if (is_plain(path) || (uintptr_t)path < PATH_UNREAD)
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

static const char *search_path(void)
{
    const char *path = getenv("PATH");
    return path ? path : "/bin:/usr/bin";
}

static bool search_is_plain(const char *name)
{
    if (process_has_virtual() || path_maybe(name))
        return false;
    for (const char *at = strchr(name, '/') ? "" : search_path(); *at;) {
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
    const char *at = search_path();
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

int execvpe(const char *name, char *const argv[], char *const envp[])
{
    if ((uintptr_t)name < PATH_UNREAD || search_is_plain(name))
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
