/* posix_spawn, system, popen: glibc makes the child itself, from the kernel's descriptors, so all
 * there is to do is to find out beforehand whether it would inherit something virtual.
 *
 * system and popen start a shell, which by convention knows descriptors 0 to 2 only; virtual ones
 * above are marked close-on-exec for the time of the call instead of refused.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/process.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"

/* ---- file actions, simulated ---- */

/* glibc's own layout (spawn_int.h); new kinds have only ever been added at the end. */
enum action_kind {
    ACTION_CLOSE,
    ACTION_DUP2,
    ACTION_OPEN,
    ACTION_CHDIR,
    ACTION_FCHDIR,
    ACTION_CLOSEFROM,
};

struct __spawn_action {
    int kind;
    union {
        struct {
            int fd, new_fd;
        } dup2;
        struct {
            int fd;
            char *path;
            int flags;
            mode_t mode;
        } open;
        struct {
            char *path;
        } chdir;
    } as; /* fd comes first wherever there is one */
};

/* A virtual descriptor that the child has at some point. */
struct child_fd {
    int fd;       /* -1: closed again */
    int original; /* in this process */
    bool cloexec;
};

struct child {
    struct child_fd *fds;
    size_t count, room;
    bool in_virtual_cwd;
};

static struct child_fd *child_find(struct child *child, int fd)
{
    for (size_t i = 0; i < child->count; i++)
        if (child->fds[i].fd == fd)
            return &child->fds[i];
    return NULL;
}

static void child_close(struct child *child, int from, int to)
{
    for (size_t i = 0; i < child->count; i++)
        if (child->fds[i].fd >= from && child->fds[i].fd <= to)
            child->fds[i].fd = -1;
}

static void child_dup2(struct child *child, int fd, int new_fd)
{
    struct child_fd *from = child_find(child, fd);
    if (fd == new_fd) { /* glibc clears close-on-exec */
        if (from)
            from->cloexec = false;
        return;
    }
    int original = from ? from->original : -1;
    child_close(child, new_fd, new_fd);
    if (from && child->count < child->room)
        child->fds[child->count++] = (struct child_fd){new_fd, original, false};
}

static void child_inherit(struct child *child)
{
    for (int fd = fdtab_next(0); fd >= 0 && child->count < child->room; fd = fdtab_next(fd + 1)) {
        int flags = REAL(fcntl)(fd, F_GETFD);
        if (flags >= 0)
            child->fds[child->count++] = (struct child_fd){fd, fd, flags & FD_CLOEXEC};
    }
    child->in_virtual_cwd = path_cwd()[0] != '\0';
}

static void child_act(struct child *child, const struct __spawn_action *action)
{
    switch (action->kind) {
    case ACTION_CLOSE:
    case ACTION_OPEN: /* of a real path: virtual ones were refused when added */
        child_close(child, action->as.dup2.fd, action->as.dup2.fd);
        break;
    case ACTION_DUP2: child_dup2(child, action->as.dup2.fd, action->as.dup2.new_fd); break;
    case ACTION_CLOSEFROM: child_close(child, action->as.dup2.fd, INT_MAX); break;
    case ACTION_CHDIR: child->in_virtual_cwd &= action->as.chdir.path[0] != '/'; break;
    case ACTION_FCHDIR: child->in_virtual_cwd = false; break;
    default: /* nothing to do with descriptors */ break;
    }
}

static int child_check(const struct child *child, const char *program)
{
    if (child->in_virtual_cwd)
        return process_refuse_cwd(program);
    int result = 0;
    for (size_t i = 0; i < child->count && !result; i++) {
        const struct child_fd *entry = &child->fds[i];
        struct file *file = entry->fd < 0 || entry->cloexec ? NULL : file_get(entry->original);
        if (file)
            result = process_refuse_fd(program, entry->fd, file->path, file_is_staged(file));
        file_put(file);
    }
    return result;
}

static int spawn_check(const char *program, const posix_spawn_file_actions_t *actions)
{
    if (likely(!process_has_virtual()))
        return 0;
    int used = actions ? actions->__used : 0;
    size_t open = 0;
    for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1))
        open++;
    struct child child = {.room = open + (size_t)used};
    child.fds = calloc(child.room + 1, sizeof *child.fds);
    if (!child.fds)
        return -ENOMEM;
    child_inherit(&child);
    for (int i = 0; i < used; i++)
        child_act(&child, &actions->__actions[i]);
    int result = child_check(&child, program);
    free(child.fds);
    return result;
}

/* ---- posix_spawn ---- */

/* These return an error number and leave errno alone. */

static int spawn_image(const struct vpath *path, pid_t *ret_pid,
                       const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct image image;
    int result = image_init(path, &image);
    if (result < 0)
        return -result;
    size_t count = 0;
    while (argv && argv[count])
        count++;
    const char **arguments = alloca((count + IMAGE_EXTRA) * sizeof *arguments);
    image_arguments(&image, argv, arguments);
    result =
        REAL(posix_spawn)(ret_pid, image.path, actions, attributes, (char *const *)arguments, envp);
    image_fini(&image);
    return result;
}

static int spawn(pid_t *ret_pid, const char *path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    struct vpath target;
    int is_virtual = path_classify(AT_FDCWD, path, &target);
    if (is_virtual < 0)
        return -is_virtual;
    bool missing =
        !is_virtual && path[0] == '/' && REAL(faccessat)(AT_FDCWD, path, X_OK, AT_EACCESS) < 0;
    int result = missing ? 0 : spawn_check(path, actions);
    if (result < 0)
        return -result;
    if (is_virtual)
        return spawn_image(&target, ret_pid, actions, attributes, argv, envp);
    return REAL(posix_spawn)(ret_pid, path, actions, attributes, argv, envp);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    if (likely(!path_maybe(path) && !process_has_virtual()))
        return REAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
    int saved = errno;
    int result = spawn(pid, path, actions, attributes, argv, envp);
    errno = saved;
    return result;
}

int posix_spawnp(pid_t *pid, const char *name, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    if (likely(!path_maybe(name) && !process_has_virtual()))
        return REAL(posix_spawnp)(pid, name, actions, attributes, argv, envp);
    int saved = errno, result;
    if (strchr(name, '/')) {
        result = spawn(pid, name, actions, attributes, argv, envp);
    } else {
        result = -spawn_check(name, actions);
        if (!result)
            result = REAL(posix_spawnp)(pid, name, actions, attributes, argv, envp);
    }
    errno = saved;
    return result;
}

int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int fd, const char *path,
                                     int flags, mode_t mode)
{
    struct vpath target;
    int result = path_classify(AT_FDCWD, path, &target);
    if (likely(!result))
        return REAL(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode);
    if (result > 0)
        result = process_refuse_fd("a program", fd, target.path, (flags & O_ACCMODE) != O_RDONLY);
    return -result;
}

int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path)
{
    struct vpath target;
    int result = path_classify(AT_FDCWD, path, &target);
    if (likely(!result))
        return REAL(posix_spawn_file_actions_addchdir_np)(actions, path);
    return result < 0 ? -result : -report_refusal("starting a program in", target.path);
}

int posix_spawn_file_actions_addfchdir_np(posix_spawn_file_actions_t *actions, int fd)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(posix_spawn_file_actions_addfchdir_np)(actions, fd);
    int result = report_refusal("starting a program in", file->path);
    file_put(file);
    return -result;
}

/* ---- system, popen ---- */

/* `replaced`: the number that the shell gets a pipe for, or -1. */
static int shell_check(int replaced)
{
    if (path_cwd()[0])
        return process_refuse_cwd("/bin/sh");
    int result = 0;
    for (int fd = 0; fd <= 2 && !result; fd++) {
        struct file *file = fd == replaced ? NULL : file_get(fd);
        if (file)
            result = process_refuse_fd("/bin/sh", fd, file->path, file_is_staged(file));
        file_put(file);
    }
    return result;
}

/* Marks virtual descriptors above 2 close-on-exec, or takes that back for those marked. */
static void shell_hide(unsigned char *marked, int last)
{
    for (int fd = fdtab_next(3); fd >= 0 && fd <= last; fd = fdtab_next(fd + 1))
        if (REAL(fcntl)(fd, F_GETFD) == 0 && REAL(fcntl)(fd, F_SETFD, FD_CLOEXEC) == 0)
            marked[fd] = 1;
}

static void shell_show(unsigned char *marked, int last)
{
    for (int fd = 3; fd <= last; fd++)
        if (marked[fd] && fdtab_is_virtual(fd))
            REAL(fcntl)(fd, F_SETFD, 0);
    free(marked);
}

static int last_virtual(void)
{
    int last = 2;
    for (int fd = fdtab_next(3); fd >= 0; fd = fdtab_next(fd + 1))
        last = fd;
    return last;
}

int system(const char *command)
{
    if (likely(!process_has_virtual()) || !command)
        return REAL(system)(command);
    int saved = errno, last = last_virtual();
    if (shell_check(-1) < 0) {
        errno = EOPNOTSUPP;
        return W_EXITCODE(127, 0); /* as if the shell could not be started */
    }
    unsigned char *marked = calloc((size_t)last + 1, 1);
    if (!marked)
        return -1;
    shell_hide(marked, last);
    errno = saved;
    int status = REAL(system)(command), error = errno;
    shell_show(marked, last);
    errno = error;
    return status;
}

FILE *popen(const char *command, const char *mode)
{
    if (likely(!process_has_virtual()))
        return REAL(popen)(command, mode);
    int saved = errno, last = last_virtual();
    int result = shell_check(mode[0] == 'r' ? 1 : 0);
    unsigned char *marked = result < 0 ? NULL : calloc((size_t)last + 1, 1);
    if (!marked) {
        errno = result < 0 ? -result : ENOMEM;
        return NULL;
    }
    shell_hide(marked, last);
    errno = saved;
    FILE *file = REAL(popen)(command, mode);
    int error = errno;
    shell_show(marked, last);
    errno = error;
    return file;
}
