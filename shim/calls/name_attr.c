/* Setting modes, owners and times. They are stored with the object: of a file that is being written
 * they travel with the upload, of others they cost one copy in place. What changes nothing sends
 * nothing. S3DLIO_METADATA=ignore drops them, refuse says so.
 */
#include "config/options.h"
#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/start.h"

#define METADATA_IGNORE 1 /* the index of the word in options.def */

/* How the program gives times; NULL means now in each (utimensat(2), utimes(2), utime(2)). */
enum times { TIMES_KEPT, TIMES_SPECS, TIMES_VALS, TIMES_BUF };

/* What is asked for; (uid_t)-1 and has_mode false leave as it is. */
struct change {
    bool has_mode;
    enum times form;
    const void *times; /* the program's, read only when the file is ours */
    mode_t mode;
    uid_t uid;
    gid_t gid;
};

/* The modification time asked for: 1, 0 when it stays as it is, -errno. */
static int change_mtime(const struct change *change, struct timespec *ret_mtime)
{
    struct timespec mtime = {.tv_nsec = UTIME_NOW};
    if (change->form == TIMES_KEPT)
        return 0;
    if (change->times && (uintptr_t)change->times < PATH_UNREAD)
        return -EFAULT;
    if (change->times && change->form == TIMES_SPECS)
        mtime = ((const struct timespec *)change->times)[1];
    if (change->times && change->form == TIMES_VALS) {
        const struct timeval *value = (const struct timeval *)change->times + 1;
        mtime = (struct timespec){value->tv_sec, value->tv_usec * 1000};
    }
    if (change->times && change->form == TIMES_BUF)
        mtime = (struct timespec){.tv_sec = ((const struct utimbuf *)change->times)->modtime};
    if (mtime.tv_nsec == UTIME_OMIT)
        return 0;
    if (mtime.tv_nsec == UTIME_NOW)
        clock_gettime(CLOCK_REALTIME, &mtime);
    if (mtime.tv_nsec < 0 || mtime.tv_nsec > 999999999)
        return -EINVAL;
    *ret_mtime = mtime;
    return 1;
}

/* Is it "now" on a file that is being written, which will be new anyway? */
static bool is_idle_touch(const struct change *change, bool is_written)
{
    const struct timespec *specs = change->times;
    return is_written && (!specs || (change->form == TIMES_SPECS &&
                                     (uintptr_t)specs >= PATH_UNREAD &&
                                     specs[1].tv_nsec == UTIME_NOW));
}

/* What differs from what is there, as the engine takes it. 0 or -errno. */
static int change_wanted(const struct change *change, const struct stat *st, bool is_written,
                         struct s3dlio_attr *ret_attr)
{
    struct s3dlio_attr attr = {.mode = change->mode, .uid = change->uid, .gid = change->gid};
    int sets_time = is_idle_touch(change, is_written) ? 0 : change_mtime(change, &attr.mtime);
    if (sets_time < 0)
        return sets_time;
    if (change->has_mode && change->mode != (st->st_mode & 07777))
        attr.has |= S3DLIO_HAS_MODE;
    if (change->uid != (uid_t)-1 && change->uid != st->st_uid)
        attr.has |= S3DLIO_HAS_UID;
    if (change->gid != (gid_t)-1 && change->gid != st->st_gid)
        attr.has |= S3DLIO_HAS_GID;
    if (sets_time)
        attr.has |= S3DLIO_HAS_MTIME;
    *ret_attr = attr;
    return 0;
}

/* An object nobody of this process is writing. */
static int change_object(const char *uri, const struct s3dlio_attr *attr)
{
    struct s3dlio_error error = {0};
    int result = engine_call(set_attr)(uri, attr, NULL, NULL, &error);
    if (result < 0)
        report_error(&error);
    return result;
}

/* One that this process is writing: the attributes travel, and show at once. */
static int change_staged(struct staged *staged, const struct s3dlio_attr *attr)
{
    struct s3dlio_error error = {0};
    int locked = staged_order(staged), result = -EBADF;
    if (staged->draft)
        result = engine_call(draft_set_attr)(staged->draft, attr, &error);
    else if (staged->writer)
        result = engine_call(writer_set_attr)(staged->writer, attr, &error);
    if (!result)
        staged_set_attr(staged, attr);
    staged_unorder(staged, locked);
    if (result < 0)
        report_error(&error);
    return result;
}

static bool is_ignored(void)
{
    return option_int(start_options(), METADATA) == METADATA_IGNORE;
}

static int change_path(const struct vpath *path, bool follows, const struct change *change)
{
    struct stat st;
    struct s3dlio_attr attr;
    int result = stat_path(path, follows, &st);
    if (!result && S_ISLNK(st.st_mode) && change->has_mode) /* as chmod(2) has it */
        result = -EOPNOTSUPP;
    if (result < 0 || is_ignored())
        return result;
    struct staged *staged = staged_any() ? staged_find(path->path) : NULL;
    result = change_wanted(change, &st, staged != NULL, &attr);
    if (!result && attr.has)
        result = staged ? change_staged(staged, &attr)
                        : change_object(path->uri, &attr);
    staged_put(staged, true);
    return result;
}

static int change_file(struct file *file, const struct change *change)
{
    struct stat st;
    struct s3dlio_attr attr;
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    int result = stat_file(file, &st);
    if (result < 0 || is_ignored())
        return result;
    result = change_wanted(change, &st, file_is_staged(file), &attr);
    if (result < 0 || !attr.has)
        return result;
    if (!file_is_staged(file))
        return change_object(file->uri, &attr);
    if (!staged_is_ours(file->staged))
        return report_refusal("change, in a forked child,", file->path);
    return change_staged(file->staged, &attr);
}

/* A descriptor: 0 with *ret_result set, or 1: the real call has to. */
static int change_fd(int fd, const struct change *change, int *ret_result)
{
    struct file *file = file_get(fd);
    if (file)
        *ret_result = change_file(file, change);
    file_put(file);
    return file == NULL;
}

/* A path or, with AT_EMPTY_PATH or no path at all, a descriptor. 0 with *ret_result set, or 1: the
 * real call has to, where *ret_resolved leads when *ret_result is LINK_TO_REAL. */
static int change_any(int dirfd, const char *path, int flags, const struct change *change,
                      struct vpath *ret_resolved, int *ret_result)
{
    bool by_fd = !path || (flags & AT_EMPTY_PATH && (uintptr_t)path >= PATH_UNREAD && !*path);
    int result = *ret_result = 0;
    if (by_fd)
        return dirfd == AT_FDCWD || change_fd(dirfd, change, ret_result);
    bool follows = !(flags & AT_SYMLINK_NOFOLLOW);
    result = path_classify(dirfd, path, ret_resolved);
    if (likely(!result))
        return 1;
    if (result > 0)
        LINK_FOLLOW(ret_resolved, follows ? LINK_AT_END : LINK_BY_SLASH, result,
                    change_path(ret_resolved, follows, change));
    *ret_result = result;
    return result == LINK_TO_REAL;
}

#define NOBODY .uid = (uid_t)-1, .gid = (gid_t)-1

#define CHANGE_ENTRY(dirfd, path, flags, real_call, ...)                                           \
    int saved = errno, result;                                                                     \
    struct vpath resolved;                                                                         \
    struct change change = {__VA_ARGS__};                                                          \
    if (likely(change_any(dirfd, path, flags, &change, &resolved, &result))) {                     \
        if (result == LINK_TO_REAL)                                                                \
            path = resolved.path;                                                                  \
        return real_call;                                                                          \
    }                                                                                              \
    return (int)entry_return(saved, result)

#define CHANGE_FD_ENTRY(fd, real_call, ...)                                                        \
    int saved = errno, result;                                                                     \
    struct change change = {__VA_ARGS__};                                                          \
    if (likely(!fdtab_is_virtual(fd)) || change_fd(fd, &change, &result))                          \
        return real_call;                                                                          \
    return (int)entry_return(saved, result)

/* ---- mode ---- */

int chmod(const char *path, mode_t mode)
{
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(chmod)(path, mode), .has_mode = true,
                 .mode = mode & 07777, NOBODY);
}

int lchmod(const char *path, mode_t mode)
{
    CHANGE_ENTRY(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, REAL(lchmod)(path, mode), .has_mode = true,
                 .mode = mode & 07777, NOBODY);
}

int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    CHANGE_ENTRY(dirfd, path, flags, REAL(fchmodat)(dirfd, path, mode, flags),
                 .has_mode = true, .mode = mode & 07777, NOBODY);
}

int fchmod(int fd, mode_t mode)
{
    CHANGE_FD_ENTRY(fd, REAL(fchmod)(fd, mode), .has_mode = true, .mode = mode & 07777, NOBODY);
}

/* ---- owner ---- */

int chown(const char *path, uid_t uid, gid_t gid)
{
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(chown)(path, uid, gid), .uid = uid, .gid = gid);
}

int lchown(const char *path, uid_t uid, gid_t gid)
{
    CHANGE_ENTRY(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, REAL(lchown)(path, uid, gid), .uid = uid,
                 .gid = gid);
}

int fchownat(int dirfd, const char *path, uid_t uid, gid_t gid, int flags)
{
    CHANGE_ENTRY(dirfd, path, flags, REAL(fchownat)(dirfd, path, uid, gid, flags),
                 .uid = uid, .gid = gid);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    CHANGE_FD_ENTRY(fd, REAL(fchown)(fd, uid, gid), .uid = uid, .gid = gid);
}

/* ---- times ---- */

#define TIMES_ENTRY(dirfd, path, flags, how, real_call)                                            \
    CHANGE_ENTRY(dirfd, path, flags, real_call, NOBODY, .form = how, .times = times)

int utime(const char *path, const struct utimbuf *times)
{
    TIMES_ENTRY(AT_FDCWD, path, 0, TIMES_BUF, REAL(utime)(path, times));
}

int utimes(const char *path, const struct timeval times[2])
{
    TIMES_ENTRY(AT_FDCWD, path, 0, TIMES_VALS, REAL(utimes)(path, times));
}

int lutimes(const char *path, const struct timeval times[2])
{
    TIMES_ENTRY(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, TIMES_VALS, REAL(lutimes)(path, times));
}

int futimesat(int dirfd, const char *path, const struct timeval times[2])
{
    TIMES_ENTRY(dirfd, path, 0, TIMES_VALS, REAL(futimesat)(dirfd, path, times));
}

int utimensat(int dirfd, const char *path, const struct timespec times[2], int flags)
{
    TIMES_ENTRY(dirfd, path, flags, TIMES_SPECS, REAL(utimensat)(dirfd, path, times, flags));
}

int futimens(int fd, const struct timespec times[2])
{
    CHANGE_FD_ENTRY(fd, REAL(futimens)(fd, times), NOBODY, .form = TIMES_SPECS, .times = times);
}

int futimes(int fd, const struct timeval times[2])
{
    CHANGE_FD_ENTRY(fd, REAL(futimes)(fd, times), NOBODY, .form = TIMES_VALS, .times = times);
}
