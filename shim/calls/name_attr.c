/* Setting modes, owners and times. This version does not store them: what changes nothing succeeds
 * (that a file being written gets the time it is written at included), what would change something
 * follows S3DLIO_METADATA: `ignore` drops it, otherwise it is refused with a line that says so.
 */
#include <stdatomic.h>

#include "config/options.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/start.h"

enum { METADATA_STORE, METADATA_IGNORE, METADATA_REFUSE };

enum times { TIMES_KEPT, TIMES_NOW, TIMES_GIVEN, TIMES_SPECIFIED };

/* What is asked for; (uid_t)-1 and has_mode false leave as it is. */
struct change {
    const char *operation;
    bool has_mode;
    enum times times;
    const struct timespec *specified; /* read only when the file is ours */
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

static int change_refuse(const char *operation, const char *path)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&said))
        report_line("%s %s: modes, owners and times are not stored in this version: set "
                    "S3DLIO_METADATA=ignore to go on without them",
                    operation, path);
    return -EOPNOTSUPP;
}

/* NULL is now (utimensat(2)). */
static enum times times_of(const struct timespec *times)
{
    if (!times)
        return TIMES_NOW;
    if ((uintptr_t)times < PATH_UNREAD)
        return TIMES_GIVEN;
    bool is_kept = times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT;
    bool is_now = (times[0].tv_nsec == UTIME_NOW || times[0].tv_nsec == UTIME_OMIT) &&
                  (times[1].tv_nsec == UTIME_NOW || times[1].tv_nsec == UTIME_OMIT);
    return is_kept ? TIMES_KEPT : is_now ? TIMES_NOW : TIMES_GIVEN;
}

static int change_decide(const struct stat *st, const char *path, bool is_new,
                         const struct change *change)
{
    enum times times =
        change->times == TIMES_SPECIFIED ? times_of(change->specified) : change->times;
    bool is_same = (times == TIMES_KEPT || (times == TIMES_NOW && is_new)) &&
                   (!change->has_mode || change->mode == (st->st_mode & 07777)) &&
                   (change->uid == (uid_t)-1 || change->uid == st->st_uid) &&
                   (change->gid == (gid_t)-1 || change->gid == st->st_gid);
    if (is_same || option_int(start_options(), METADATA) == METADATA_IGNORE)
        return 0;
    return change_refuse(change->operation, path);
}

static int change_path(const struct vpath *path, const struct change *change)
{
    struct stat st;
    int result = stat_path(path, &st);
    return result < 0 ? result : change_decide(&st, path->path, false, change);
}

static int change_file(struct file *file, const struct change *change)
{
    struct stat st;
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    int result = stat_file(file, &st);
    return result < 0 ? result : change_decide(&st, file->path, file_is_written(file), change);
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

#define SET_TIMES "set the times of"
#define TIMES_ENTRY(dirfd, path, flags, real_call)                                                 \
    CHANGE_ENTRY(dirfd, path, flags, real_call, SET_TIMES, NOBODY,                                 \
                 .times = times ? TIMES_GIVEN : TIMES_NOW)
#define SPECIFIED_ENTRY(dirfd, path, flags, real_call)                                             \
    CHANGE_ENTRY(dirfd, path, flags, real_call, SET_TIMES, NOBODY, .times = TIMES_SPECIFIED,       \
                 .specified = times)

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
    SPECIFIED_ENTRY(dirfd, path, flags, REAL(utimensat)(dirfd, path, times, flags));
}

int futimens(int fd, const struct timespec times[2])
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(futimens)(fd, times);
    SPECIFIED_ENTRY(fd, NULL, 0, REAL(futimens)(fd, times));
}

int futimes(int fd, const struct timeval times[2])
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(futimes)(fd, times);
    TIMES_ENTRY(fd, NULL, 0, REAL(futimes)(fd, times));
}
