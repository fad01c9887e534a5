/* access and the file-system calls: may I, and what is this mounted on.
 *
 * Permission bits are advice on an object store: the credentials decide. access answers from the
 * bits that stat shows, as a local file system would for these ids, root included.
 */
#include <limits.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"

#define STATFS_TYPE 0x53334c4f /* "S3LO" */
#define STATFS_BLOCKS (UINT64_C(1) << 38) /* of 4 KiB: an exbibyte, none of it used */

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

static void statfs_fill(struct statfs *st)
{
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
    };
}

static void statvfs_fill(struct statvfs *st)
{
    *st = (struct statvfs){
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = STATFS_BLOCKS,
        .f_bfree = STATFS_BLOCKS,
        .f_bavail = STATFS_BLOCKS,
        .f_files = STATFS_BLOCKS,
        .f_ffree = STATFS_BLOCKS,
        .f_favail = STATFS_BLOCKS,
        .f_namemax = 255,
    };
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

int statfs(const char *path, struct statfs *st)
{
    struct vpath resolved;
    int saved = errno, result = fs_path(&path, &resolved);
    if (likely(!result))
        return REAL(statfs)(path, st);
    if (result > 0)
        statfs_fill(st);
    return (int)entry_return(saved, result < 0 ? result : 0);
}

int fstatfs(int fd, struct statfs *st)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fstatfs)(fd, st);
    statfs_fill(st);
    return 0;
}

int statvfs(const char *path, struct statvfs *st)
{
    struct vpath resolved;
    int saved = errno, result = fs_path(&path, &resolved);
    if (likely(!result))
        return REAL(statvfs)(path, st);
    if (result > 0)
        statvfs_fill(st);
    return (int)entry_return(saved, result < 0 ? result : 0);
}

int fstatvfs(int fd, struct statvfs *st)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fstatvfs)(fd, st);
    statvfs_fill(st);
    return 0;
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
