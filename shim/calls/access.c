/* access and the file-system calls: may I, and what is this mounted on.
 *
 * Permission bits are advice on an object store: the credentials decide. access answers from the
 * bits that stat shows, as a local file system would for these ids, root included.
 */
#include <limits.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/memory.h"
#include "shim/real.h"
#include "shim/report.h"

#define STATFS_TYPE 0x53334c4f /* "S3LO" */
#define STATFS_BLOCKS (UINT64_C(1) << 38) /* of 4 KiB: a pebibyte */
#define STATFS_VALID  0x20                /* f_flags are known (Linux, statfs.h) */
#define STATFS_FLAGS  (STATFS_VALID | ST_NOSUID | ST_NODEV | ST_NOATIME)

static int access_bits(const struct stat *st, int mode, uid_t uid, gid_t gid)
{
    mode_t bits = st->st_mode;
    if (!uid) /* root reads and writes all, executes what anybody may (access(2)) */
        return mode & X_OK && S_ISREG(bits) && !(bits & 0111) ? -EACCES : 0;
    unsigned shift = st->st_uid == uid ? 6 : st->st_gid == gid ? 3 : 0;
    return (bits >> shift & 7 & (unsigned)mode) == (unsigned)mode ? 0 : -EACCES;
}

static int access_path(const struct vpath *path, int mode, int flags)
{
    struct stat st;
    if (mode & ~(R_OK | W_OK | X_OK) || flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    int result = stat_path(path, !(flags & AT_SYMLINK_NOFOLLOW), &st);
    if (result < 0 || mode == F_OK)
        return result;
    bool effective = flags & AT_EACCESS;
    return access_bits(&st, mode, effective ? geteuid() : getuid(),
                       effective ? getegid() : getgid());
}

static int access_any(int is_virtual, struct vpath *path, int mode, int flags)
{
    int saved = errno, result = is_virtual;
    enum link_last last = flags & AT_SYMLINK_NOFOLLOW ? LINK_BY_SLASH : LINK_AT_END;
    if (is_virtual > 0)
        LINK_FOLLOW(path, last, result, access_path(path, mode, flags));
    if (result == LINK_TO_REAL)
        return REAL(faccessat)(AT_FDCWD, path->path, mode, flags);
    return (int)entry_return(saved, result);
}

int access(const char *path, int mode)
{
    struct vpath resolved;
    int is_virtual = likely(!path_maybe(path)) ? 0 : path_classify_follow(AT_FDCWD, path, &resolved);
    if (likely(!is_virtual))
        return REAL(access)(path, mode);
    return access_any(is_virtual, &resolved, mode, 0);
}

int eaccess(const char *path, int mode)
{
    struct vpath resolved;
    int is_virtual = likely(!path_maybe(path)) ? 0 : path_classify_follow(AT_FDCWD, path, &resolved);
    if (likely(!is_virtual))
        return REAL(eaccess)(path, mode);
    return access_any(is_virtual, &resolved, mode, AT_EACCESS);
}

int faccessat(int dirfd, const char *path, int mode, int flags)
{
    struct vpath resolved;
    int is_virtual = path_classify_follow(dirfd, path, &resolved);
    if (likely(!is_virtual))
        return REAL(faccessat)(dirfd, path, mode, flags);
    return access_any(is_virtual, &resolved, mode, flags);
}

/* ---- the file system ---- */

/* A bucket has no size: it is as large as can be said without overflow, and empty. Reading changes
 * no time, and neither devices nor set-id bits mean anything. */
static void bucket_statfs(const char *path, struct statfs *st)
{
    dev_t device = stat_device(path);
    *st = (struct statfs){
        .f_type = STATFS_TYPE,
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = STATFS_BLOCKS,
        .f_bfree = STATFS_BLOCKS,
        .f_bavail = STATFS_BLOCKS,
        .f_files = STATFS_BLOCKS,
        .f_ffree = STATFS_BLOCKS,
        .f_namelen = 255,
        .f_flags = STATFS_FLAGS,
    };
    memcpy(&st->f_fsid, &device, sizeof st->f_fsid);
}

/* Of a name that is there. 0 or -errno. */
static int statfs_fill(const char *path, const char *uri, struct statfs *ret_statfs)
{
    struct s3dlio_error error = {0};
    int result = engine_call(statfs)(uri, ret_statfs, &error);
    if (result == -EOPNOTSUPP) {
        bucket_statfs(path, ret_statfs);
        return 0;
    }
    if (result < 0)
        report_error(&error);
    return result;
}

static void to_statvfs(const struct statfs *fs, struct statvfs *ret_statvfs)
{
    struct statvfs st = {
        .f_bsize = (unsigned long)fs->f_bsize,
        .f_frsize = (unsigned long)fs->f_frsize,
        .f_blocks = fs->f_blocks,
        .f_bfree = fs->f_bfree,
        .f_bavail = fs->f_bavail,
        .f_files = fs->f_files,
        .f_ffree = fs->f_ffree,
        .f_favail = fs->f_ffree,
        .f_flag = (unsigned long)fs->f_flags & ~(unsigned long)STATFS_VALID,
        .f_namemax = (unsigned long)fs->f_namelen,
    };
    memcpy(&st.f_fsid, &fs->f_fsid, sizeof st.f_fsid);
    *ret_statvfs = st;
}

/* 0: real, *path it is. 1: virtual and there; else -errno. */
static int fs_path(const char **path, struct vpath *resolved)
{
    struct stat st;
    int result = path_classify_follow(AT_FDCWD, *path, resolved);
    if (result <= 0)
        return result;
    LINK_FOLLOW(resolved, LINK_AT_END, result, stat_path(resolved, true, &st));
    if (result == LINK_TO_REAL) {
        *path = resolved->path;
        return 0;
    }
    return result < 0 ? result : 1;
}

static int statfs_path(const struct vpath *path, void *target, size_t size, struct statfs *ret)
{
    return memory_is_readable(target, size) ? statfs_fill(path->path, path->uri, ret) : -EFAULT;
}

static int statfs_fd(int fd, void *target, size_t size, struct statfs *ret)
{
    struct file *file = file_get(fd);
    int result = !file                               ? -EBADF
                 : !memory_is_readable(target, size) ? -EFAULT
                                                     : statfs_fill(file->path, file->uri, ret);
    file_put(file);
    return result;
}

int statfs(const char *path, struct statfs *st)
{
    struct vpath resolved;
    struct statfs fs;
    int saved = errno, result = fs_path(&path, &resolved);
    if (likely(!result))
        return REAL(statfs)(path, st);
    result = result < 0 ? result : statfs_path(&resolved, st, sizeof *st, &fs);
    if (!result)
        *st = fs;
    return (int)entry_return(saved, result);
}

int fstatfs(int fd, struct statfs *st)
{
    struct statfs fs;
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fstatfs)(fd, st);
    int saved = errno, result = statfs_fd(fd, st, sizeof *st, &fs);
    if (!result)
        *st = fs;
    return (int)entry_return(saved, result);
}

int statvfs(const char *path, struct statvfs *st)
{
    struct vpath resolved;
    struct statfs fs;
    int saved = errno, result = fs_path(&path, &resolved);
    if (likely(!result))
        return REAL(statvfs)(path, st);
    result = result < 0 ? result : statfs_path(&resolved, st, sizeof *st, &fs);
    if (!result)
        to_statvfs(&fs, st);
    return (int)entry_return(saved, result);
}

int fstatvfs(int fd, struct statvfs *st)
{
    struct statfs fs;
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fstatvfs)(fd, st);
    int saved = errno, result = statfs_fd(fd, st, sizeof *st, &fs);
    if (!result)
        to_statvfs(&fs, st);
    return (int)entry_return(saved, result);
}

static long conf_value(int name)
{
    switch (name) {
    case _PC_NAME_MAX:
        return 255;
    case _PC_PATH_MAX:
        return PATH_VIRTUAL_MAX;
    case _PC_LINK_MAX:
        return 1;
    case _PC_FILESIZEBITS:
        return 64;
    case _PC_NO_TRUNC:
    case _PC_CHOWN_RESTRICTED:
        return 1;
    case _PC_PIPE_BUF:
        return PIPE_BUF;
    case _PC_REC_XFER_ALIGN:
    case _PC_REC_MIN_XFER_SIZE:
    case _PC_ALLOC_SIZE_MIN:
        return 4096;
    case _PC_2_SYMLINKS:
        return 1;
    default:
        return -EINVAL;
    }
}

long pathconf(const char *path, int name)
{
    struct vpath resolved;
    int saved = errno, result = fs_path(&path, &resolved);
    if (likely(!result))
        return REAL(pathconf)(path, name);
    return entry_return(saved, result < 0 ? result : conf_value(name));
}

long fpathconf(int fd, int name)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fpathconf)(fd, name);
    return entry_return(errno, conf_value(name));
}

#include "alias_access.h"
