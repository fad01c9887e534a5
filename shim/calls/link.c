/* Following symbolic links, and the calls that make and read them; see link.h. */
#include <errno.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/memory.h"
#include "shim/proc.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/stack.h"
#include "shim/staged.h"

static int follow(struct vpath *path, enum link_last last, int result)
{
    char target[S3DLIO_TARGET_BYTES];
    struct s3dlio_error error = {0};
    bool at_end = result == -ELOOP || (path->wants_directory && last != LINK_IS_MEANT);
    if (result == -ELOOP && last != LINK_AT_END)
        return result;
    ssize_t length =
        engine_call(find_link)(path->uri, at_end ? S3DLIO_LINK_LAST : 0, NULL, target, &error);
    if (length < 0) {
        report_error(&error);
        return length == -ENOENT || length == -ENOTDIR ? result : (int)length;
    }
    if (!length && result != -ELOOP)
        return result;
    if (path->links >= LINK_DEPTH)
        return -ELOOP;
    if (!length) { /* it was there a moment ago */
        path->links++;
        return LINK_AGAIN;
    }
    int found = path_through_link(path, (size_t)length, target);
    return found > 0 ? LINK_AGAIN : found < 0 ? found : LINK_TO_REAL;
}

/* Targets and what they make of a path are long: the frames of this do not fit into a small
 * stack. */
static int (*follow_roomy)(struct vpath *path, enum link_last last, int result);

void link_prepare(void)
{
    follow_roomy =
        (int (*)(struct vpath *, enum link_last, int))stack_wrap(STACK_LINK, (void *)follow);
}

int link_follow(struct vpath *path, enum link_last last, int result)
{
    return engine_is_loaded() ? follow_roomy(path, last, result) : result;
}

/* ---- symlink ---- */

static int symlink_at(const char *target, const struct vpath *path)
{
    struct s3dlio_attr attr;
    struct s3dlio_error error = {0};
    int result = engine_require();
    if (!result && (uintptr_t)target < PATH_UNREAD)
        result = -EFAULT;
    if (!result)
        result = path_check_new(path);
    if (!result && staged_any() && staged_stat(path->path, &attr))
        result = -EEXIST;
    if (result < 0)
        return result;
    result = engine_call(symlink)(target, path->uri, NULL, &error);
    if (result < 0 && (result != -ENAMETOOLONG || strlen(target) < PATH_MAX))
        report_error(&error);
    return result;
}

/* The target is text; only the new name is resolved. */
int symlinkat(const char *target, int dirfd, const char *path)
{
    struct vpath resolved;
    int result = path_classify(dirfd, path, &resolved);
    if (likely(!result))
        return REAL(symlinkat)(target, dirfd, path);
    ENTRY_HOLD();
    int saved = errno;
    if (result > 0)
        LINK_FOLLOW(&resolved, LINK_IS_MEANT, result, symlink_at(target, &resolved));
    if (result == LINK_TO_REAL)
        return REAL(symlink)(target, resolved.path);
    return (int)entry_return(saved, result);
}

int symlink(const char *target, const char *path)
{
    return likely(!path_maybe(path)) ? REAL(symlink)(target, path)
                                     : symlinkat(target, AT_FDCWD, path);
}

/* ---- readlink ---- */

static ssize_t link_text(const char *text, size_t length, char *buffer, size_t size)
{
    length = length < size ? length : size;
    if (!memory_is_readable(buffer, length))
        return -EFAULT;
    memcpy(buffer, text, length);
    return (ssize_t)length;
}

/* Of an engine's name, which is known not to be one that is being written. */
static ssize_t readlink_uri(const char *uri, char *buffer, size_t size)
{
    char target[S3DLIO_TARGET_BYTES];
    struct s3dlio_error error = {0};
    ssize_t length = engine_call(readlink)(uri, target, sizeof target, NULL, &error);
    if (length < 0)
        report_error(&error);
    return length < 0 ? length : link_text(target, (size_t)length, buffer, size);
}

static ssize_t readlink_virtual(const struct vpath *path, char *buffer, size_t size)
{
    struct s3dlio_attr attr;
    int result = stat_attr(path, &attr);
    if (result < 0)
        return result;
    return attr.type == S3DLIO_SYMLINK ? readlink_uri(path->uri, buffer, size) : -EINVAL;
}

/* readlinkat(2) with an empty path: of a link that was opened with O_PATH and O_NOFOLLOW. */
static ssize_t readlink_fd(struct file *file, char *buffer, size_t size)
{
    bool is_link = file->kind == FILE_PATH && file->attr.type == S3DLIO_SYMLINK;
    return is_link ? readlink_uri(file->uri, buffer, size) : -ENOENT;
}

/* 1 with *ret_result set (a length or -errno), 0: the real call decides. */
static int readlink_any(int dirfd, const char *path, char *buffer, size_t size, ssize_t *ret_result)
{
    struct vpath resolved;
    struct file *file = (uintptr_t)path >= PATH_UNREAD && !*path ? file_get(dirfd) : NULL;
    if (file) {
        *ret_result = readlink_fd(file, buffer, size);
        file_put(file);
        return 1;
    }
    int result = path_classify(dirfd, path, &resolved);
    if (result > 0) {
        ssize_t length;
        LINK_FOLLOW(&resolved, LINK_BY_SLASH, length, readlink_virtual(&resolved, buffer, size));
        if (length == LINK_TO_REAL) {
            length = REAL(readlink)(resolved.path, buffer, size);
            length = length < 0 ? -errno : length;
        }
        *ret_result = length;
        return 1;
    }
    if (result < 0) {
        *ret_result = result;
        return 1;
    }
    /* /dev/stdin is itself a link to /proc/self/fd/0. */
    if (!size || !path_maybe(path) || !path_filter.proc || !strncmp(path, "/dev/std", 8) ||
        !proc_target(path, resolved.path))
        return 0;
    *ret_result = link_text(resolved.path, strlen(resolved.path), buffer, size);
    return 1;
}

ssize_t readlink(const char *path, char *buffer, size_t size)
{
    ssize_t result;
    int saved = errno;
    if (likely(!path_maybe(path)) ||
        !readlink_any(AT_FDCWD, path, buffer, size, &result))
        return REAL(readlink)(path, buffer, size);
    return entry_return(saved, size ? result : -EINVAL);
}

ssize_t readlinkat(int dirfd, const char *path, char *buffer, size_t size)
{
    ssize_t result;
    int saved = errno;
    if (!readlink_any(dirfd, path, buffer, size, &result))
        return REAL(readlinkat)(dirfd, path, buffer, size);
    return entry_return(saved, size ? result : -EINVAL);
}

ssize_t __readlink_chk(const char *path, char *buffer, size_t size, size_t room)
{
    return size > room ? REAL(__readlink_chk)(path, buffer, size, room)
                       : readlink(path, buffer, size);
}

ssize_t __readlinkat_chk(int dirfd, const char *path, char *buffer, size_t size, size_t room)
{
    return size > room ? REAL(__readlinkat_chk)(dirfd, path, buffer, size, room)
                       : readlinkat(dirfd, path, buffer, size);
}
