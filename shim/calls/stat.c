/* The stat family: every variant reduces to stat_path or stat_file.
 *
 * What an object does not carry gets defaults: 0644 and 0755 less the umask, the caller's ids. The
 * device number stands for the mount, so that tools which compare st_dev stay inside it.
 */
#include "shim/calls/stat.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "config/options.h"
#include "shim/calls/link.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/staged_names.h"
#include "shim/start.h"

dev_t stat_device(const char *path)
{
    unsigned index = 0;
    for (const char *prefix; (prefix = path_mount(index)); index++)
        if (!strncmp(path, prefix, strlen(prefix)))
            break;
    return makedev(0xe5, index + 1);
}

/* What POSIX programs see of an object's attributes: defaults 0644/0755 & ~umask, the caller's ids,
 * st_blksize, a device number of its own for each mount. */
static void from_attr(const struct s3dlio_attr *attr, const char *path, struct stat *ret_stat)
{
    bool is_directory = attr->type == S3DLIO_DIRECTORY, is_link = attr->type == S3DLIO_SYMLINK;
    mode_t bits = attr->has & S3DLIO_HAS_MODE ? attr->mode & 07777
                                              : (is_directory ? 0777u : 0666u) & ~start_umask();
    if (is_link) /* nobody's permission (symlink(7)) */
        bits = 0777;
    *ret_stat = (struct stat){
        .st_dev = stat_device(path),
        .st_ino = attr->inode,
        .st_nlink = 1,
        .st_mode = bits | (is_directory ? S_IFDIR : is_link ? S_IFLNK : S_IFREG),
        .st_uid = attr->has & S3DLIO_HAS_UID ? attr->uid : geteuid(),
        .st_gid = attr->has & S3DLIO_HAS_GID ? attr->gid : getegid(),
        .st_size = is_directory ? 0 : (off_t)attr->size_bytes,
        .st_blksize = (blksize_t)option_int(start_options(), BLKSIZE),
        .st_blocks = is_directory ? 0 : (blkcnt_t)((attr->size_bytes + 511) / 512),
        .st_atim = attr->atime,
        .st_mtim = attr->mtime,
        .st_ctim = attr->mtime,
    };
}

int stat_attr(const struct vpath *path, struct s3dlio_attr *ret_attr)
{
    int result = engine_require();
    if (result < 0)
        return result;
    if (staged_stat(path->path, ret_attr))
        return path->wants_directory ? -ENOTDIR : 0;
    struct s3dlio_error error = {0};
    result = staged_explain(path->path, engine_call(stat)(path->uri, NULL, ret_attr, &error));
    if (result < 0)
        report_name_error(&error, path->uri);
    else if (!result && path->wants_directory && ret_attr->type != S3DLIO_DIRECTORY)
        result = -ENOTDIR;
    return result;
}

int stat_parent(const struct vpath *path)
{
    struct vpath parent = {0};
    struct s3dlio_attr attr;
    if (path_check_new(path) < 0)
        return -ENAMETOOLONG;
    size_t length = (size_t)(strrchr(path->path, '/') - path->path);
    memcpy(parent.path, path->path, length);
    int is_virtual = path_from_virtual(parent.path, &parent);
    if (is_virtual <= 0) /* the mount's root itself */
        return is_virtual;
    int result = stat_attr(&parent, &attr);
    return result < 0 || attr.type == S3DLIO_DIRECTORY ? result : -ENOTDIR;
}

int stat_followed(const struct vpath *path, struct s3dlio_attr *ret_attr)
{
    int result = stat_attr(path, ret_attr);
    return !result && ret_attr->type == S3DLIO_SYMLINK ? -ELOOP : result;
}

static int give(const struct stat *st, struct stat *ret_stat)
{
    if (unlikely(!memory_is_given(ret_stat, sizeof *ret_stat)))
        return -EFAULT;
    *ret_stat = *st;
    return 0;
}

int stat_path(const struct vpath *path, bool follows, struct stat *ret_stat)
{
    struct s3dlio_attr attr;
    int result = follows ? stat_followed(path, &attr) : stat_attr(path, &attr);
    if (result < 0)
        return result;
    struct stat st;
    from_attr(&attr, path->path, &st);
    return give(&st, ret_stat);
}

int stat_file(struct file *file, struct stat *ret_stat)
{
    struct s3dlio_attr attr;
    file_attr(file, &attr);
    if (file->staged)
        staged_attr(file->staged, &attr);
    struct stat st;
    from_attr(&attr, file->path, &st);
    if (file->staged && file->staged->node->is_discarded)
        st.st_nlink = 0;
    return give(&st, ret_stat);
}

/* ---- paths and descriptors together ---- */

/* Answers a virtual name or descriptor: 1 with *ret_result set, or 0: the real call has to. Bad
 * pointers to the result are the program's EFAULT, found by asking the kernel. */
static int stat_any(int dirfd, const char *path, struct stat *st, int flags, int *ret_result)
{
    struct vpath resolved;
    bool by_fd = flags & AT_EMPTY_PATH && (!path || ((uintptr_t)path >= PATH_UNREAD && !*path));
    struct file *file = by_fd ? file_get(dirfd) : NULL;
    if (by_fd) {
        if (file)
            *ret_result = stat_file(file, st);
        file_put(file);
        return file != NULL;
    }
    bool follows = !(flags & AT_SYMLINK_NOFOLLOW);
    int is_virtual = follows ? path_classify_follow(dirfd, path, &resolved)
                             : path_classify(dirfd, path, &resolved);
    int result = is_virtual;
    if (is_virtual > 0)
        LINK_FOLLOW(&resolved, follows ? LINK_AT_END : LINK_BY_SLASH, result,
                    stat_path(&resolved, follows, st));
    if (result == LINK_TO_REAL)
        result = link_real(REAL(fstatat)(AT_FDCWD, resolved.path, st, flags & AT_SYMLINK_NOFOLLOW));
    *ret_result = result;
    return is_virtual != 0;
}

static bool is_candidate(const char *path)
{
    return path_maybe(path);
}

int stat(const char *path, struct stat *st)
{
    int saved = errno, result;
    if (likely(!is_candidate(path)) || !stat_any(AT_FDCWD, path, st, 0, &result))
        return REAL(stat)(path, st);
    return (int)entry_return(saved, result);
}

int lstat(const char *path, struct stat *st)
{
    int saved = errno, result;
    if (likely(!is_candidate(path)) ||
        !stat_any(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW, &result))
        return REAL(lstat)(path, st);
    return (int)entry_return(saved, result);
}

int fstat(int fd, struct stat *st)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fstat)(fd, st);
    struct file *file = file_get(fd);
    int saved = errno;
    int result = file ? stat_file(file, st) : -EBADF;
    file_put(file);
    return (int)entry_return(saved, result);
}

int fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
    int saved = errno, result;
    if (!stat_any(dirfd, path, st, flags, &result))
        return REAL(fstatat)(dirfd, path, st, flags);
    return (int)entry_return(saved, result);
}

/* glibc before 2.33 let programs call these with a version; only the current layout is served. */
int __xstat(int version, const char *path, struct stat *st)
{
    int saved = errno, result;
    if (likely(!is_candidate(path)) || !stat_any(AT_FDCWD, path, st, 0, &result))
        return REAL(__xstat)(version, path, st);
    return (int)entry_return(saved, result);
}

int __lxstat(int version, const char *path, struct stat *st)
{
    int saved = errno, result;
    if (likely(!is_candidate(path)) ||
        !stat_any(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW, &result))
        return REAL(__lxstat)(version, path, st);
    return (int)entry_return(saved, result);
}

int __fxstat(int version, int fd, struct stat *st)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(__fxstat)(version, fd, st);
    return fstat(fd, st);
}

int __fxstatat(int version, int dirfd, const char *path, struct stat *st, int flags)
{
    int saved = errno, result;
    if (!stat_any(dirfd, path, st, flags, &result))
        return REAL(__fxstatat)(version, dirfd, path, st, flags);
    return (int)entry_return(saved, result);
}

static struct statx_timestamp statx_time(struct timespec time)
{
    return (struct statx_timestamp){.tv_sec = time.tv_sec, .tv_nsec = (uint32_t)time.tv_nsec};
}

static void statx_fill(const struct stat *st, struct statx *stx)
{
    *stx = (struct statx){
        .stx_mask = STATX_BASIC_STATS,
        .stx_blksize = (uint32_t)st->st_blksize,
        .stx_nlink = (uint32_t)st->st_nlink,
        .stx_uid = st->st_uid,
        .stx_gid = st->st_gid,
        .stx_mode = (uint16_t)st->st_mode,
        .stx_ino = st->st_ino,
        .stx_size = (uint64_t)st->st_size,
        .stx_blocks = (uint64_t)st->st_blocks,
        .stx_atime = statx_time(st->st_atim),
        .stx_ctime = statx_time(st->st_ctim),
        .stx_mtime = statx_time(st->st_mtim),
        .stx_dev_major = major(st->st_dev),
        .stx_dev_minor = minor(st->st_dev),
    };
}

int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *stx)
{
    int saved = errno, result;
    struct stat st = {0};
    if (!stat_any(dirfd, path, &st, flags, &result))
        return REAL(statx)(dirfd, path, flags, mask, stx);
    if (!result && mask & STATX__RESERVED)
        result = -EINVAL;
    if (!result && !memory_is_given(stx, sizeof *stx))
        result = -EFAULT;
    if (!result)
        statx_fill(&st, stx);
    return (int)entry_return(saved, result);
}

#include "alias_stat.h"
