/* freopen, where the stream or the new path is ours.
 *
 *   stream \ path    virtual                                    real
 *   ours             the FILE stays, its descriptor changes     the same: it serves both
 *   standard         the variable points to our stream          and back to glibc's
 *   another FILE     reading: over a copy in memory;            (glibc)
 *                    writing: refused
 *
 * As natively, what is pending is flushed to the old file and errors of that are ignored; the new
 * file takes over the old descriptor number; when it cannot be opened the old one is closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/fd.h"
#include "shim/calls/io.h"
#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/calls/stdio.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/report.h"

#define COPY_BYTES (1u << 20)

static void close_number(int fd)
{
    if (close_fd(fd) == -EBADF)
        REAL(close)(fd);
}

/* What freopen shall open: a virtual path, or (is_virtual unset) a real one. */
struct target {
    bool is_virtual;
    struct vpath path;
    const char *real;
};

static int target_open(struct target *target, int flags)
{
    if (flags < 0)
        return flags;
    int fd = target->is_virtual ? open_followed(&target->path, flags, 0666) : LINK_TO_REAL;
    if (fd != LINK_TO_REAL)
        return fd;
    const char *real = target->is_virtual ? target->path.path : target->real;
    return link_real(REAL(open)(real, flags, 0666));
}

/* Opens on the number `fd`, whatever that is now; on failure closes it. */
static int open_on(struct target *target, int flags, int fd)
{
    int opened = target_open(target, flags);
    if (opened < 0) {
        close_number(fd);
        return opened;
    }
    int result = opened == fd ? fd : fd_dup_to(opened, fd, flags & O_CLOEXEC);
    if (opened != fd)
        close_number(opened);
    return result;
}

static FILE *failed(int result)
{
    errno = -result;
    return NULL;
}

static FILE *reopen_ours(struct target *target, const char *mode, FILE *file)
{
    int flags = stream_mode_flags(mode);
    fflush(file);
    int result = open_on(target, flags, file->_fileno);
    if (result < 0)
        return failed(result);
    stream_set_mode(file, flags);
    return file;
}

static FILE *standard_to_virtual(struct target *target, const char *mode, int index)
{
    int flags = stream_mode_flags(mode);
    FILE *cookie = standard_cookie(index), *original = standard_original(index);
    fflush(standard_is_switched(index) ? cookie : original);
    __fpurge(original);
    int result = open_on(target, flags, index); /* switches the variable */
    if (result < 0)
        return failed(result);
    standard_switch(index, true);
    stream_set_mode(cookie, flags);
    return cookie;
}

static FILE *standard_to_real(const char *path, const char *mode, int index)
{
    FILE *cookie = standard_cookie(index);
    fflush(cookie);
    stream_set_mode(cookie, index ? O_WRONLY : O_RDONLY);
    standard_switch(index, false);
    struct file *old = file_detach(index);
    FILE *result = REAL(freopen)(path, mode, standard_original(index));
    file_put(old);
    return result;
}

/* ---- a FILE that glibc made, on a virtual path ---- */

static int copy_all(struct file *from, int to)
{
    char *buffer = malloc(COPY_BYTES);
    ssize_t count = buffer ? 1 : -ENOMEM;
    while (count > 0) {
        count = io_read(from, buffer, COPY_BYTES);
        for (ssize_t done = 0, part; done < count; done += part) {
            part = REAL(write)(to, buffer + done, (size_t)(count - done));
            if (part < 0) {
                count = -errno;
                break;
            }
        }
    }
    free(buffer);
    return (int)count;
}

/* A descriptor of a copy of the object in memory, or -errno. */
static int copy_open(struct vpath *path)
{
    struct file *file;
    int result;
    LINK_FOLLOW(path, LINK_AT_END, result, open_file(path, O_RDONLY, 0, &file));
    if (result == LINK_TO_REAL)
        return link_real(REAL(open)(path->path, O_RDONLY | O_CLOEXEC));
    if (result < 0)
        return result;
    int copy = memfd_create("s3dlio-stream", MFD_CLOEXEC);
    result = copy < 0 ? -errno : copy_all(file, copy);
    file_put(file);
    if (result < 0 && copy >= 0)
        REAL(close)(copy);
    return result < 0 ? result : copy;
}

static FILE *reopen_copy(struct vpath *path, const char *mode, FILE *file)
{
    int flags = stream_mode_flags(mode);
    int copy = flags;
    if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY)
        copy = copy_open(path);
    else if (flags >= 0)
        copy = report_refusal("freopen of a stream that was opened elsewhere on", path->path);
    char name[64] = ""; /* opening "" fails, and closes the stream as a failure has to */
    if (copy >= 0)
        snprintf(name, sizeof name, "/proc/self/fd/%d", copy);
    FILE *result = REAL(freopen)(name, mode, file);
    if (copy >= 0)
        REAL(close)(copy);
    return result || copy >= 0 ? result : failed(copy);
}

/* ---- the call ---- */

/* freopen(NULL, …): the same file in another mode. 1 when that is a virtual one. */
static int same_target(FILE *file, struct vpath *ret_path)
{
    struct file *opened = file_get(file->_fileno);
    if (!opened)
        return 0;
    memset(ret_path, 0, sizeof *ret_path);
    strcpy(ret_path->path, opened->path);
    file_put(opened);
    return path_from_virtual(ret_path->path, ret_path);
}

static FILE *reopen_virtual(struct target *target, const char *mode, FILE *file)
{
    int index = standard_index(file);
    if (index >= 0)
        return standard_to_virtual(target, mode, index);
    if (stream_find(file))
        return reopen_ours(target, mode, file);
    return reopen_copy(&target->path, mode, file);
}

static FILE *reopen_real(struct target *target, const char *path, const char *mode, FILE *file)
{
    int index = standard_index(file);
    if (!stream_find(file))
        return REAL(freopen)(path, mode, file);
    if (index >= 0)
        return standard_to_real(path, mode, index);
    char same[64];
    snprintf(same, sizeof same, "/proc/self/fd/%d", file->_fileno);
    target->real = path ? path : same;
    FILE *result = reopen_ours(target, mode, file);
    target->real = NULL;
    return result;
}

FILE *freopen(const char *path, const char *mode, FILE *file)
{
    if (likely(!file_any() && !stream_find(file) && (!path || !path_maybe(path))))
        return REAL(freopen)(path, mode, file);
    stdio_prepare();
    int saved = errno, index = standard_index(file);
    if (index >= 0 && standard_is_switched(index))
        file = standard_cookie(index); /* also for a copy of the variable from before */
    struct target target;
    int found = path ? stream_target(path, &target.path) : same_target(file, &target.path);
    if (found < 0)
        return failed(found);
    target.is_virtual = found;
    FILE *result =
        found ? reopen_virtual(&target, mode, file) : reopen_real(&target, path, mode, file);
    if (result)
        errno = saved;
    return result;
}

#include "alias_stdio_reopen.h"
