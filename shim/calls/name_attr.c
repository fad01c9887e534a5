/* Setting modes, owners and times. They are stored with the object: of a file that is being written
 * they travel with the upload, of others they cost one copy in place. What changes nothing sends
 * nothing. S3DLIO_METADATA=ignore drops them, refuse says so.
 */
#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/start.h"

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

/* The times asked for, of access and of modification, now told from kept: 0, or -errno. */
static int change_times(const struct change *change, struct timespec ret_times[2])
{
    ret_times[0].tv_nsec = ret_times[1].tv_nsec =
        change->form == TIMES_KEPT ? UTIME_OMIT : UTIME_NOW;
    if (change->form == TIMES_KEPT || !change->times)
        return 0;
    size_t size = change->form == TIMES_SPECS  ? 2 * sizeof(struct timespec)
                  : change->form == TIMES_VALS ? 2 * sizeof(struct timeval)
                                               : sizeof(struct utimbuf);
    if (!memory_is_given(change->times, size))
        return -EFAULT;
    for (int i = 0; i < 2; i++) {
        const struct timeval *value = (const struct timeval *)change->times + i;
        const struct utimbuf *times = change->times;
        if (change->form == TIMES_SPECS)
            ret_times[i] = ((const struct timespec *)change->times)[i];
        else if (change->form == TIMES_VALS)
            ret_times[i] = (struct timespec){value->tv_sec, value->tv_usec * 1000};
        else
            ret_times[i] = (struct timespec){.tv_sec = i ? times->modtime : times->actime};
        if ((ret_times[i].tv_nsec < 0 || ret_times[i].tv_nsec > 999999999) &&
            (change->form != TIMES_SPECS ||
             (ret_times[i].tv_nsec != UTIME_NOW && ret_times[i].tv_nsec != UTIME_OMIT)))
            return -EINVAL;
    }
    return 0;
}

/* Has it content that is not stored yet, and will have the time at which it is? What a forked child
 * has from its parent counts as such, since it can set nothing. */
static bool is_changed(const struct staged *staged)
{
    return staged && (!staged->node->is_stored || !staged_is_ours(staged));
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* A time of access that is that of modification is shown without being stored. `is_new`: the
 * file will be new anyway. */
static int change_wanted_times(const struct change *change, const struct stat *st, bool is_new,
                               struct s3dlio_attr *attr)
{
    struct timespec times[2], now;
    int result = change_times(change, times);
    bool is_touch = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;
    bool has_own = !is_same_time(&st->st_atim, &st->st_mtim);
    if (result < 0 || (is_touch && is_new && !has_own))
        return result;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < 2; i++)
        if (times[i].tv_nsec == UTIME_NOW)
            times[i] = now;
    if (times[1].tv_nsec != UTIME_OMIT) {
        attr->has |= S3DLIO_HAS_MTIME;
        attr->mtime = times[1];
    }
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec != UTIME_OMIT)
        times[0] = st->st_atim; /* it stays */
    if (times[0].tv_nsec != UTIME_OMIT &&
        (has_own ||
         !is_same_time(&times[0], attr->has & S3DLIO_HAS_MTIME ? &times[1] : &st->st_mtim))) {
        attr->has |= S3DLIO_HAS_ATIME;
        attr->atime = times[0];
    }
    return 0;
}

/* What differs from what is there, as the engine takes it. 0 or -errno. */
static int change_wanted(const struct change *change, const struct stat *st, bool is_new,
                         struct s3dlio_attr *ret_attr)
{
    struct s3dlio_attr attr = {.mode = change->mode, .uid = change->uid, .gid = change->gid};
    int result = change_wanted_times(change, st, is_new, &attr);
    if (result < 0)
        return result;
    if (change->has_mode && change->mode != (st->st_mode & 07777))
        attr.has |= S3DLIO_HAS_MODE;
    if (change->uid != (uid_t)-1 && change->uid != st->st_uid)
        attr.has |= S3DLIO_HAS_UID;
    if (change->gid != (gid_t)-1 && change->gid != st->st_gid)
        attr.has |= S3DLIO_HAS_GID;
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

static int change_path(const struct vpath *path, bool follows, const struct change *change)
{
    struct stat st;
    struct s3dlio_attr attr;
    int result = stat_path(path, follows, &st);
    if (!result && S_ISLNK(st.st_mode) && change->has_mode) /* as chmod(2) has it */
        result = -EOPNOTSUPP;
    if (result < 0 || start_ignores_metadata())
        return result;
    struct staged *staged = staged_any() ? staged_find(path->path) : NULL;
    result = change_wanted(change, &st, is_changed(staged), &attr);
    if (!result && attr.has)
        result = staged ? change_staged(staged, &attr) : change_object(path->uri, &attr);
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
    if (result < 0 || start_ignores_metadata())
        return result;
    result = change_wanted(change, &st, file_is_staged(file) && is_changed(file->staged), &attr);
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
    CHANGE_ENTRY(AT_FDCWD, path, 0, REAL(chmod)(path, mode), .has_mode = true, .mode = mode & 07777,
                 NOBODY);
}

int lchmod(const char *path, mode_t mode)
{
    CHANGE_ENTRY(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, REAL(lchmod)(path, mode), .has_mode = true,
                 .mode = mode & 07777, NOBODY);
}

int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
    CHANGE_ENTRY(dirfd, path, flags, REAL(fchmodat)(dirfd, path, mode, flags), .has_mode = true,
                 .mode = mode & 07777, NOBODY);
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
    CHANGE_ENTRY(dirfd, path, flags, REAL(fchownat)(dirfd, path, uid, gid, flags), .uid = uid,
                 .gid = gid);
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
