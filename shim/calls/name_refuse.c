/* Renames, and what an object store has no place for: hard links, special files, watches, handles. Each says so with the errno that callers know how to take; where a program could
 * be surprised, one line says it to people.
 *
 * The errors that a local file system would give first (a source that is not there, a target that
 * is) come first here too.
 */
#include <linux/fs.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>

#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

/* ---- two names ---- */

struct two {
    struct vpath from, to;
    int from_is_virtual, to_is_virtual; /* as path_classify answers */
};

/* 0: neither is ours. 1: both are, the source exists. -errno otherwise, -EXDEV for one of each. */
static int two_classify(int from_dirfd, const char *from, int to_dirfd, const char *to,
                        struct two *ret_two)
{
    ret_two->from_is_virtual = path_classify(from_dirfd, from, &ret_two->from);
    ret_two->to_is_virtual = path_classify(to_dirfd, to, &ret_two->to);
    if (likely(!ret_two->from_is_virtual && !ret_two->to_is_virtual))
        return 0;
    if (ret_two->from_is_virtual < 0)
        return ret_two->from_is_virtual;
    struct s3dlio_attr attr;
    struct stat st;
    int result = 0;
    if (ret_two->from_is_virtual)
        LINK_FOLLOW(&ret_two->from, LINK_IS_MEANT, result, stat_attr(&ret_two->from, &attr));
    else
        result = link_real(REAL(fstatat)(from_dirfd, from, &st, AT_SYMLINK_NOFOLLOW));
    if (result < 0)
        return result == LINK_TO_REAL ? -EXDEV : result;
    if (ret_two->to_is_virtual < 0)
        return ret_two->to_is_virtual;
    return ret_two->from_is_virtual && ret_two->to_is_virtual ? 1 : -EXDEV;
}

/* A name of this process's own unfinished work: what is written under it becomes visible at close, under
 * the name it was opened with. Moving that is refused; moving something over it drops it, as the
 * kernel drops a file whose last name goes. */
static int rename_checked(const struct two *two, unsigned flags)
{
    struct staged *staged = staged_any() ? staged_find(two->from.path) : NULL;
    if (staged) {
        staged_put(staged, true);
        return report_refusal("rename before it is closed", two->from.path);
    }
    struct s3dlio_error error = {0};
    int result = engine_call(rename)(two->from.uri, two->to.uri,
                                     flags & RENAME_NOREPLACE ? S3DLIO_RENAME_NOREPLACE : 0, NULL,
                                     &error);
    if (result < 0)
        report_error(&error);
    else if (staged_any())
        staged_unlink(two->to.path);
    return result < 0 ? result : 1;
}

/* 0: the real call decides; 1: done; -errno. RENAME_EXCHANGE and _WHITEOUT: EINVAL, as from file systems
 * that do not have them (rename(2)). */
static int rename_any(int from_dirfd, const char *from, int to_dirfd, const char *to,
                      unsigned flags)
{
    struct two two;
    struct s3dlio_attr attr;
    int result = two_classify(from_dirfd, from, to_dirfd, to, &two);
    if (result <= 0)
        return result;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    result = stat_attr(&two.from, &attr);
    if (result < 0)
        return result;
    if (two.to.wants_directory && attr.type != S3DLIO_DIRECTORY)
        return -ENOTDIR;
    two.from.wants_directory = two.to.wants_directory = false; /* URIs without a slash at the end */
    path_from_virtual(two.from.path, &two.from);
    path_from_virtual(two.to.path, &two.to);
    LINK_FOLLOW(&two.to, LINK_IS_MEANT, result, rename_checked(&two, flags));
    return result == LINK_TO_REAL ? -EXDEV : result;
}

#define TWO_ENTRY(real_call, virtual_call)                                                         \
    int saved = errno;                                                                             \
    int result = virtual_call;                                                                     \
    if (likely(!result)) {                                                                         \
        errno = saved;                                                                             \
        return real_call;                                                                          \
    }                                                                                              \
    return (int)entry_return(saved, result > 0 ? 0 : result)

int rename(const char *from, const char *to)
{
    TWO_ENTRY(REAL(rename)(from, to), rename_any(AT_FDCWD, from, AT_FDCWD, to, 0));
}

int renameat(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    TWO_ENTRY(REAL(renameat)(from_dirfd, from, to_dirfd, to),
              rename_any(from_dirfd, from, to_dirfd, to, 0));
}

int renameat2(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    TWO_ENTRY(REAL(renameat2)(from_dirfd, from, to_dirfd, to, flags),
              rename_any(from_dirfd, from, to_dirfd, to, flags));
}

/* Hard links do not exist: EPERM, as from file systems without them (link(2)). */
static int link_any(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    struct two two;
    int result = two_classify(from_dirfd, from, to_dirfd, to, &two);
    return result == 1 ? -EPERM : result;
}

int link(const char *from, const char *to)
{
    TWO_ENTRY(REAL(link)(from, to), link_any(AT_FDCWD, from, AT_FDCWD, to));
}

int linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    TWO_ENTRY(REAL(linkat)(from_dirfd, from, to_dirfd, to, flags),
              link_any(from_dirfd, from, to_dirfd, to));
}

/* ---- one name ---- */

#define ONE_ENTRY(dirfd, path, real_call, virtual_call)                                            \
    struct vpath resolved;                                                                         \
    int result = path_classify(dirfd, path, &resolved);                                            \
    if (likely(!result))                                                                           \
        return real_call;                                                                          \
    int saved = errno;                                                                             \
    if (result > 0)                                                                                \
        LINK_FOLLOW(&resolved, LINK_IS_MEANT, result, virtual_call);                               \
    if (result == LINK_TO_REAL) {                                                                  \
        path = resolved.path;                                                                      \
        return real_call;                                                                          \
    }                                                                                              \
    return (int)entry_return(saved, result)

/* -EEXIST when something has that name, otherwise `error`. */
static int unless_taken(const struct vpath *path, int error)
{
    struct s3dlio_attr attr;
    int result = stat_attr(path, &attr);
    return !result ? -EEXIST : result == -ENOENT ? error : result;
}

int mknod(const char *path, mode_t mode, dev_t device)
{
    ONE_ENTRY(AT_FDCWD, path, REAL(mknod)(path, mode, device), unless_taken(&resolved, -EPERM));
}

int mknodat(int dirfd, const char *path, mode_t mode, dev_t device)
{
    ONE_ENTRY(dirfd, path, REAL(mknodat)(dirfd, path, mode, device),
              unless_taken(&resolved, -EPERM));
}

int __xmknod(int version, const char *path, mode_t mode, dev_t *device)
{
    ONE_ENTRY(AT_FDCWD, path, REAL(__xmknod)(version, path, mode, device),
              unless_taken(&resolved, -EPERM));
}

int __xmknodat(int version, int dirfd, const char *path, mode_t mode, dev_t *device)
{
    ONE_ENTRY(dirfd, path, REAL(__xmknodat)(version, dirfd, path, mode, device),
              unless_taken(&resolved, -EPERM));
}

int mkfifo(const char *path, mode_t mode)
{
    ONE_ENTRY(AT_FDCWD, path, REAL(mkfifo)(path, mode), unless_taken(&resolved, -EPERM));
}

int mkfifoat(int dirfd, const char *path, mode_t mode)
{
    ONE_ENTRY(dirfd, path, REAL(mkfifoat)(dirfd, path, mode), unless_taken(&resolved, -EPERM));
}

/* `error` when it exists. */
static int if_there(const struct vpath *path, int error)
{
    struct s3dlio_attr attr;
    int result = stat_attr(path, &attr);
    return result < 0 ? result : error;
}

int chroot(const char *path)
{
    ONE_ENTRY(AT_FDCWD, path, REAL(chroot)(path), if_there(&resolved, -EPERM));
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    ONE_ENTRY(AT_FDCWD, path, REAL(inotify_add_watch)(fd, path, mask),
              if_there(&resolved, -EOPNOTSUPP));
}

int fanotify_mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char *path)
{
    ONE_ENTRY(dirfd, path, REAL(fanotify_mark)(fd, flags, mask, dirfd, path),
              if_there(&resolved, -EOPNOTSUPP));
}

int name_to_handle_at(int dirfd, const char *path, struct file_handle *handle, int *mount,
                      int flags)
{
    if (unlikely(flags & AT_EMPTY_PATH && fdtab_is_virtual(dirfd) &&
                 (uintptr_t)path >= PATH_UNREAD && !*path)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    ONE_ENTRY(dirfd, path, REAL(name_to_handle_at)(dirfd, path, handle, mount, flags),
              if_there(&resolved, -EOPNOTSUPP));
}
