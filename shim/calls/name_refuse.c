/* What an object store has no place for: special files, watches, handles. Each says so with the
 * errno that callers know how to take.
 *
 * The errors that a local file system would give first (a source that is not there, a target that
 * is) come first here too.
 */
#include <sys/fanotify.h>
#include <sys/inotify.h>

#include "shim/calls/entries.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"

/* -EEXIST when something has that name, otherwise `error`. */
static int unless_taken(const struct vpath *path, int error)
{
    struct s3dlio_attr attr;
    int result = stat_attr(path, &attr);
    return !result ? -EEXIST : result == -ENOENT ? error : result;
}

int mknod(const char *path, mode_t mode, dev_t device)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(mknod)(path, mode, device),
               unless_taken(&resolved, -EPERM));
}

int mknodat(int dirfd, const char *path, mode_t mode, dev_t device)
{
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT, REAL(mknodat)(dirfd, path, mode, device),
               unless_taken(&resolved, -EPERM));
}

int __xmknod(int version, const char *path, mode_t mode, dev_t *device)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(__xmknod)(version, path, mode, device),
               unless_taken(&resolved, -EPERM));
}

int __xmknodat(int version, int dirfd, const char *path, mode_t mode, dev_t *device)
{
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT,
               REAL(__xmknodat)(version, dirfd, path, mode, device),
               unless_taken(&resolved, -EPERM));
}

int mkfifo(const char *path, mode_t mode)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(mkfifo)(path, mode),
               unless_taken(&resolved, -EPERM));
}

int mkfifoat(int dirfd, const char *path, mode_t mode)
{
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT, REAL(mkfifoat)(dirfd, path, mode),
               unless_taken(&resolved, -EPERM));
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
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(chroot)(path), if_there(&resolved, -EPERM));
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(inotify_add_watch)(fd, path, mask),
               if_there(&resolved, -EOPNOTSUPP));
}

int fanotify_mark(int fd, unsigned flags, uint64_t mask, int dirfd, const char *path)
{
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT, REAL(fanotify_mark)(fd, flags, mask, dirfd, path),
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
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT,
               REAL(name_to_handle_at)(dirfd, path, handle, mount, flags),
               if_there(&resolved, -EOPNOTSUPP));
}
