/* Calls on descriptors as such: dup and its kin, fcntl, and closing ranges.
 *
 * The kernel moves placeholders, the table follows: for dup2 the kernel's descriptor is replaced
 * first, so a failure changes nothing, and a call of another thread in between meets the old file.
 * Onto a number that was real the table goes first, and a call in between meets the new one.
 * Descriptors of the engine are not the program's: a range of closes passes around them, and dup2
 * onto one is EBUSY.
 */
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "shim/calls/fd.h"
#include "shim/calls/lock.h"
#include "shim/calls/open.h"
#include "shim/calls/stdio.h"
#include "shim/calls/syscall.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/handover.h"
#include "shim/real.h"
#include "shim/report.h"

/* Also what exec needs. */
static bool is_engines(int fd)
{
    if (fdtab_is_aside)
        return false;
    return arena_owns_fd(fd) || handover_keeps(fd) ||
           (engine_is_loaded() && engine_call(owns_fd)(fd));
}

static void changed(int fd)
{
    if (fd <= 2)
        stdio_fd_changed(fd);
}

/* ---- dup ---- */

/* The lowest free descriptor at or above `minimum` for the same file. */
static int fd_dup(struct file *file, int minimum, bool cloexec)
{
    int fd = file_install(file, minimum, cloexec);
    if (fd >= 0)
        changed(fd);
    return fd;
}

static int dup_real(int from, int to, int flags)
{
    return REAL(dup3)(from, to, flags) < 0 ? -errno : to;
}

/* A number that was real: the table first, for whoever uses it meanwhile must not meet a
 * placeholder. */
static int dup_onto_real(struct file *file, int from, int to, int flags)
{
    int result = file_install_at(file, to);
    if (!result)
        result = dup_real(from, to, flags);
    if (result < 0)
        file_put(file_detach(to));
    return result;
}

/* Onto a virtual one, or nothing. */
static int dup_onto_any(struct file *file, int from, int to, int flags)
{
    int result = dup_real(from, to, flags);
    if (result < 0 || !file_install_at(file, to))
        return result;
    REAL(close)(to);
    return -EMFILE;
}

int fd_dup_to(int from, int to, int flags)
{
    struct file *file = file_get(from);
    int result;
    if (is_engines(to))
        result = -EBUSY;
    else if (!file)
        result = dup_real(from, to, flags);
    else if (fdtab_is_virtual(to) || REAL(fcntl)(to, F_GETFD) < 0)
        result = dup_onto_any(file, from, to, flags);
    else
        result = dup_onto_real(file, from, to, flags);
    if (file && result >= 0) {
        changed(to);
    } else if (result >= 0) {
        /* As the kernel, dup2 does not tell how closing the target went; the report does. */
        struct file *closed = file_detach(to);
        if (closed) {
            changed(to);
            lock_descriptor_closed(closed);
            file_close(closed);
        }
    }
    file_put(file);
    return result;
}

static bool touches_ours(int from, int to)
{
    return fdtab_is_virtual(from) || fdtab_is_virtual(to) || is_engines(to);
}

int dup(int fd)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(dup)(fd);
    ENTRY_HOLD();
    int saved = errno;
    int result = (int)entry_return(saved, fd_dup(file, 0, false));
    file_put(file);
    return result;
}

int dup2(int from, int to)
{
    if (likely(!touches_ours(from, to)) || from == to)
        return REAL(dup2)(from, to);
    ENTRY_HOLD();
    int saved = errno;
    return (int)entry_return(saved, fd_dup_to(from, to, 0));
}

int dup3(int from, int to, int flags)
{
    if (likely(!touches_ours(from, to)) || from == to)
        return REAL(dup3)(from, to, flags);
    ENTRY_HOLD();
    int saved = errno;
    return (int)entry_return(saved, fd_dup_to(from, to, flags));
}

/* ---- pidfd_getfd ---- */

/* The process, or a thread of it (PIDFD_THREAD), as /proc says. */
static bool pidfd_is_own(int pidfd)
{
    char name[40], text[512];
    snprintf(name, sizeof name, "/proc/self/fdinfo/%d", pidfd);
    int fd = REAL(open)(name, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : REAL(read)(fd, text, sizeof text - 1);
    if (fd >= 0)
        REAL(close)(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strstr(text, "\nPid:");
    int pid = at ? atoi(at + 5) : 0;
    return pid > 0 && !syscall_kernel(SYS_tgkill, getpid(), pid, 0, 0, 0, 0);
}

/* What a placeholder stands for only its own process knows; SCM_RIGHTS tells. */
static int pidfd_file(int pidfd, int target, int fd)
{
    if (!pidfd_is_own(pidfd)) {
        report_line("pidfd_getfd of a virtual descriptor of another process says nothing of its "
                    "file: let that process send it in a message (SCM_RIGHTS)");
        return -EPERM;
    }
    struct file *file = file_get(target);
    int result = file ? file_install_at(file, fd) : 0;
    file_put(file);
    if (result >= 0)
        changed(fd);
    return result < 0 ? result : fd;
}

int pidfd_getfd(int pidfd, int target, unsigned flags)
{
    int fd = REAL(pidfd_getfd)(pidfd, target, flags);
    if (likely(fd < 0 || !placeholder_is(fd)))
        return fd;
    ENTRY_HOLD();
    int saved = errno, result = pidfd_file(pidfd, target, fd);
    if (result < 0)
        REAL(close)(fd);
    return (int)entry_return(saved, result);
}

/* ---- fcntl ---- */

/* What fcntl(2) lets F_SETFL change. */
#define SETTABLE (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

static int set_flags(struct file *file, int flags)
{
    uint32_t old = file->slot->flags;
    file->slot->flags = (old & ~(uint32_t)SETTABLE) | ((uint32_t)flags & SETTABLE);
    return 0;
}

static long fcntl_file(struct file *file, int fd, int command, long argument, int cancel_state)
{
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: return fd_dup(file, (int)argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
    case F_SETFD: { /* the placeholder's own */
        int result = REAL(fcntl)(fd, command, argument);
        return result < 0 ? -errno : result;
    }
    case F_GETFL: return file->slot->flags;
    }
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    switch (command) {
    case F_SETFL: return set_flags(file, (int)argument);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return lock_fcntl(file, command, (struct flock *)argument, cancel_state);
    case F_GETOWN:
    case F_GETSIG:
    case F_SETOWN:
    case F_SETSIG:
    case F_NOTIFY: return command == F_NOTIFY ? -EINVAL : 0;
    case F_GETLEASE: return F_UNLCK;
    case F_SETLEASE: /* nobody could break it */ return argument == F_UNLCK ? -EAGAIN : -EINVAL;
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ: return -EBADF;
    case F_GET_RW_HINT:
    case F_SET_RW_HINT: return -EOPNOTSUPP;
    default: /* seals and what comes after them: for a file that has none */ return -EINVAL;
    }
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fcntl)(fd, command, argument);
    if (command == F_SETLKW || command == F_OFD_SETLKW)
        pthread_testcancel();
    ENTRY_HOLD();
    struct file *file = file_get(fd);
    if (unlikely(!file))
        return REAL(fcntl)(fd, command, argument);
    int saved = errno;
    int result = (int)entry_return(saved, fcntl_file(file, fd, command, argument, entry_state));
    file_put(file);
    return result;
}

/* ---- closing ranges ---- */

#define ENGINE_FDS_MAX 1024

/* What a range of closes must leave alone, lowest first. */
struct kept {
    unsigned fds[ENGINE_FDS_MAX];
    unsigned count;
};

static void kept_add(struct kept *kept, const char *name, unsigned first, unsigned last)
{
    unsigned fd = 0;
    for (; *name >= '0' && *name <= '9'; name++)
        fd = fd * 10 + (unsigned)(*name - '0');
    if (*name || fd < first || fd > last || !is_engines((int)fd) || kept->count == ENGINE_FDS_MAX)
        return;
    unsigned place = kept->count++;
    for (; place > 0 && kept->fds[place - 1] > fd; place--)
        kept->fds[place] = kept->fds[place - 1];
    kept->fds[place] = fd;
}

/* The engine's descriptors in [first, last] from /proc: async-signal-safe, for it is done between
 * fork and exec. False when they cannot be known this way. */
static bool kept_collect(unsigned first, unsigned last, struct kept *kept)
{
    int directory = REAL(open)("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kept->count = 0;
    if (directory < 0)
        return false;
    _Alignas(struct dirent64) char buffer[2048];
    ssize_t filled;
    while ((filled = REAL(getdents64)(directory, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < filled;) {
            const struct dirent64 *record = (const struct dirent64 *)(void *)(buffer + at);
            at += record->d_reclen;
            kept_add(kept, record->d_name, first, last);
        }
    REAL(close)(directory);
    return filled == 0 && kept->count < ENGINE_FDS_MAX;
}

static int close_one_by_one(unsigned first, unsigned last)
{
    for (; first <= last && first < FDTAB_LEAVES * FDTAB_LEAF_SIZE; first++)
        if (!is_engines((int)first))
            REAL(close)((int)first);
    return 0;
}

static int close_real(unsigned first, unsigned last, int flags)
{
    struct kept kept;
    kept.count = 0;
    if ((engine_is_loaded() || file_any()) && !kept_collect(first, last, &kept))
        return close_one_by_one(first, last);
    for (unsigned i = 0; i < kept.count; i++) {
        if (kept.fds[i] > first && REAL(close_range)(first, kept.fds[i] - 1, flags) < 0)
            return -errno;
        first = kept.fds[i] + 1;
    }
    return first <= last && REAL(close_range)(first, last, flags) < 0 ? -errno : 0;
}

static int close_between(unsigned first, unsigned last, int flags)
{
    if (first > last || flags & ~(int)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))
        return -EINVAL;
    int start = first > INT32_MAX ? INT32_MAX : (int)first;
    for (int fd = fdtab_next(start); fd >= 0 && (unsigned)fd <= last; fd = fdtab_next(fd + 1))
        close_fd(fd);
    return close_real(first, last, flags);
}

/* A thread that takes a table of its own leaves ours to the others (the engine has such threads).
 * The main thread does it on the way to exec: then it is the program's table that changes. */
static void went_aside(int result)
{
    if (!result && gettid() != getpid())
        fdtab_is_aside = true;
}

int close_range(unsigned first, unsigned last, int flags)
{
    bool unshares = flags & (int)CLOSE_RANGE_UNSHARE && gettid() != getpid();
    /* CLOEXEC only marks: on placeholders it means the same, on the engine's it is set already. */
    if (likely(!file_any() && !engine_is_loaded()) || flags & (int)CLOSE_RANGE_CLOEXEC ||
        unshares || fdtab_is_aside) {
        int result = REAL(close_range)(first, last, flags);
        if (unshares)
            went_aside(result);
        return result;
    }
    int saved = errno;
    return (int)entry_return(saved, close_between(first, last, flags));
}

int unshare(int flags)
{
    int result = REAL(unshare)(flags);
    if (flags & CLONE_FILES)
        went_aside(result);
    return result;
}

void closefrom(int lowest)
{
    if (likely(!file_any() && !engine_is_loaded()) || fdtab_is_aside) {
        REAL(closefrom)(lowest);
        return;
    }
    int saved = errno;
    close_between(lowest < 0 ? 0 : (unsigned)lowest, UINT32_MAX, 0);
    errno = saved;
}

#include "alias_fd.h"
