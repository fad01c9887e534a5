/* Setting modes, owners and times. This version does not store them: what changes nothing succeeds,
 * what would change something follows S3DLIO_METADATA: `ignore` drops it, otherwise it is refused.
 */
#include "config/options.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/start.h"

enum { METADATA_STORE, METADATA_IGNORE, METADATA_REFUSE };

/* What is asked for; (uid_t)-1 and has_mode false leave as it is. */
struct change {
    const char *operation;
    bool has_mode, has_times;
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

static int change_decide(const struct stat *st, const char *path, const struct change *change)
{
    bool is_same = !change->has_times && (!change->has_mode || change->mode == (st->st_mode & 07777)) &&
                   (change->uid == (uid_t)-1 || change->uid == st->st_uid) &&
                   (change->gid == (gid_t)-1 || change->gid == st->st_gid);
    if (is_same || option_int(start_options(), METADATA) == METADATA_IGNORE)
        return 0;
    return report_refusal(change->operation, path);
}

static int change_path(const struct vpath *path, const struct change *change)
{
    struct stat st;
    int result = stat_path(path, &st);
    return result < 0 ? result : change_decide(&st, path->path, change);
}

static int change_file(struct file *file, const struct change *change)
{
    struct stat st;
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    int result = stat_file(file, &st);
    return result < 0 ? result : change_decide(&st, file->path, change);
}

/* A path or, with AT_EMPTY_PATH or no path at all, a descriptor. 0 with *ret_result set, or 1: the
 * real call has to. */
static int change_any(int dirfd, const char *path, int flags, const struct change *change,
                      int *ret_result)
{
    struct vpath resolved;
    bool by_fd = !path || (flags & AT_EMPTY_PATH && (uintptr_t)path >= PATH_UNREAD && !*path);
    struct file *file = by_fd && dirfd != AT_FDCWD ? file_get(dirfd) : NULL;
    if (file) {
        *ret_result = change_file(file, change);
        file_put(file);
        return 0;
    }
    int result = by_fd ? 0 : path_classify(dirfd, path, &resolved);
    if (likely(!result))
        return 1;
    *ret_result = result < 0 ? result : change_path(&resolved, change);
    return 0;
}

#define NOBODY .uid = (uid_t)-1, .gid = (gid_t)-1

#define CHANGE_ENTRY(dirfd, path, flags, real_call, ...)                                           \
    int saved = errno, result;                                                                     \
    struct change change = {__VA_ARGS__};                                                          \
    if (likely(change_any(dirfd, path, flags, &change, &result)))                                  \
        return real_call;                                                                          \
    return (int)entry_return(saved, result)

/* ---- mode ---- */

int chmod(const char *path, mode_t mode)
{
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(chmod)(path, mode), "chmod", .has_mode = true,
                 .mode = mode & 07777, NOBODY);
}

int lchmod(const char *path, mode_t mode)
{
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(lchmod)(path, mode), "chmod", .has_mode = true,
                 .mode = mode & 07777, NOBODY);
}

int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    CHANGE_ENTRY(dirfd, path, flags, REAL(fchmodat)(dirfd, path, mode, flags), "chmod",
                 .has_mode = true, .mode = mode & 07777, NOBODY);
}

int fchmod(int fd, mode_t mode)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fchmod)(fd, mode);
    CHANGE_ENTRY(fd, NULL, 0, REAL(fchmod)(fd, mode), "chmod", .has_mode = true,
                 .mode = mode & 07777, NOBODY);
}

/* ---- owner ---- */

int chown(const char *path, uid_t uid, gid_t gid)
{
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(chown)(path, uid, gid), "chown", .uid = uid, .gid = gid);
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(lchown)(path, uid, gid), "chown", .uid = uid, .gid = gid);
}

int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    CHANGE_ENTRY(dirfd, path, flags, REAL(fchownat)(dirfd, path, uid, gid, flags), "chown",
                 .uid = uid, .gid = gid);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fchown)(fd, uid, gid);
    CHANGE_ENTRY(fd, NULL, 0, REAL(fchown)(fd, uid, gid), "chown", .uid = uid, .gid = gid);
}

/* ---- times ---- */

#define TIMES_ENTRY(dirfd, path, flags, real_call)                                                 \
    CHANGE_ENTRY(dirfd, path, flags, real_call, "set the times of", .has_times = true, NOBODY)

int utime(const char *path, const struct utimbuf *times)
{
    TIMES_ENTRY(AT_FDCWD, path, 0, REAL(utime)(path, times));
}

int utimes(const char *path, const struct timeval times[2])
{
    TIMES_ENTRY(AT_FDCWD, path, 0, REAL(utimes)(path, times));
}

int lutimes(const char *path, const struct timeval times[2])
{
    TIMES_ENTRY(AT_FDCWD, path, 0, REAL(lutimes)(path, times));
}

int futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    TIMES_ENTRY(dirfd, path, 0, REAL(futimesat)(dirfd, path, times));
}

int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    TIMES_ENTRY(dirfd, path, flags, REAL(utimensat)(dirfd, path, times, flags));
}

int futimens(int fd, const struct timespec times[2])
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(futimens)(fd, times);
    TIMES_ENTRY(fd, NULL, 0, REAL(futimens)(fd, times));
}

int futimes(int fd, const struct timeval times[2])
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(futimes)(fd, times);
    TIMES_ENTRY(fd, NULL, 0, REAL(futimes)(fd, times));
}
