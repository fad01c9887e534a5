/* Calls with two names: rename and its kin, and what is left of hard links.
 *
 * Closed files and directories are renamed by the store. A file that the process is writing keeps
 * its content and its descriptors, and what it becomes at close has the new name (staged_names.h).
 *
 * Hard links do not exist: EPERM, as from file systems without them (link(2)). But a file that was
 * opened without a name (O_TMPFILE) gets its first one from linkat(2), and is published then, for a
 * file that linkat has named is one that others see.
 */
#include <linux/fs.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/proc.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/staged_names.h"

struct two {
    struct vpath from, to;
    struct s3dlio_attr attr;            /* of the source, when it is ours */
    int from_is_virtual, to_is_virtual; /* as path_classify answers */
};

/* The kernel walks to both directories before it looks for the source: a file in the middle of the
 * target's path comes first. */
static int source_missing(const struct two *two)
{
    struct s3dlio_attr attr;
    return two->to_is_virtual > 0 && stat_attr(&two->to, &attr) == -ENOTDIR ? -ENOTDIR : -ENOENT;
}

/* 0: neither is ours. 1: both are, the source exists. -errno otherwise, -EXDEV for one of each. */
static int two_classify(int from_dirfd, const char *from, int to_dirfd, const char *to,
                        struct two *ret_two)
{
    ret_two->from_is_virtual = path_classify(from_dirfd, from, &ret_two->from);
    ret_two->to_is_virtual = path_classify(to_dirfd, to, &ret_two->to);
    bool is_bad = (uintptr_t)from < PATH_UNREAD || (uintptr_t)to < PATH_UNREAD;
    if (likely(!ret_two->from_is_virtual && !ret_two->to_is_virtual))
        return 0;
    if (is_bad)
        return -EFAULT;
    if (ret_two->from_is_virtual < 0)
        return ret_two->from_is_virtual;
    struct stat st;
    int result = 0;
    if (ret_two->from_is_virtual)
        LINK_FOLLOW(&ret_two->from, LINK_IS_MEANT, result,
                    stat_attr(&ret_two->from, &ret_two->attr));
    else
        result = link_real(REAL(fstatat)(from_dirfd, from, &st, AT_SYMLINK_NOFOLLOW));
    if (result == -ENOENT)
        return source_missing(ret_two);
    if (result < 0)
        return result == LINK_TO_REAL ? -EXDEV : result;
    if (ret_two->to_is_virtual < 0)
        return ret_two->to_is_virtual;
    return ret_two->from_is_virtual && ret_two->to_is_virtual ? 1 : -EXDEV;
}

#define TWO_ENTRY(real_call, virtual_call)                                                         \
    int saved = errno;                                                                             \
    int result = virtual_call;                                                                     \
    if (likely(!result)) {                                                                         \
        errno = saved;                                                                             \
        return real_call;                                                                          \
    }                                                                                              \
    return (int)entry_return(saved, result > 0 ? 0 : result)

/* ---- rename ---- */

static bool is_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return !strncmp(path, directory, length) && path[length] == '/';
}

static int rename_at_store(const struct two *two, unsigned flags)
{
    struct s3dlio_error error = {0};
    int result = engine_call(rename)(two->from.uri, two->to.uri, flags, NULL, &error);
    result = staged_explain(two->to.path, result);
    if (result < 0 && result != -EINVAL) /* into itself: the program's mistake, not the store's */
        report_error(&error);
    return result;
}

static int rename_directory(const struct two *two, unsigned flags)
{
    struct s3dlio_attr attr;
    if (staged_stat(two->to.path, &attr))
        return is_below(two->to.path, two->from.path) ? -EINVAL
               : flags & S3DLIO_RENAME_NOREPLACE      ? -EEXIST
                                                      : -ENOTDIR;
    if (!is_below(two->to.path, two->from.path) && staged_is_below(two->to.path))
        return flags & S3DLIO_RENAME_NOREPLACE ? -EEXIST : -ENOTEMPTY;
    int result = staged_can_follow(two->from.path);
    if (!result)
        result = rename_at_store(two, flags);
    return result < 0 ? result : staged_rename_below(two->from.path, two->to.path);
}

struct closed {
    const struct two *two;
    unsigned flags;
};

static int rename_closed(const void *arg)
{
    const struct closed *closed = arg;
    return rename_at_store(closed->two, closed->flags);
}

/* Of a file that is being written at the new name its last name goes: nothing of it is
 * published. */
static int rename_file(const struct two *two, unsigned flags)
{
    struct s3dlio_attr attr;
    if (flags & S3DLIO_RENAME_NOREPLACE && staged_stat(two->to.path, &attr))
        return -EEXIST;
    const struct closed closed = {two, flags};
    return staged_rename(&two->from, &two->to, flags, rename_closed, &closed);
}

/* RENAME_EXCHANGE and _WHITEOUT: EINVAL, as from file systems that do not have them (rename(2)). */
static int rename_unsupported(const struct two *two, unsigned flags)
{
    static _Atomic bool told;
    if (flags == RENAME_EXCHANGE && !atomic_exchange(&told, true))
        report_line("%s: two names cannot be exchanged on object storage (RENAME_EXCHANGE): rename "
                    "by way of a third one",
                    two->from.path);
    return -EINVAL;
}

/* 1 or -errno. */
static int rename_checked(const struct two *two, unsigned flags)
{
    if (!strcmp(two->from.path, two->to.path))
        return flags ? -EEXIST : 1;
    int result = path_check_new(&two->to);
    if (!result)
        result = two->attr.type == S3DLIO_DIRECTORY ? rename_directory(two, flags)
                                                    : rename_file(two, flags);
    return result < 0 ? result : 1;
}

/* URIs without a slash at the end. */
static void without_slash(struct two *two)
{
    two->from.wants_directory = two->to.wants_directory = false;
    path_from_virtual(two->from.path, &two->from);
    path_from_virtual(two->to.path, &two->to);
}

/* There is no such name. It may be a directory whose renaming stopped at its very last step, the
 * old one being gone: the same call ends it. 1 or -errno. */
static int rename_ended(struct two *two)
{
    without_slash(two);
    int result = rename_at_store(two, 0);
    return result < 0 ? result : 1;
}

/* 0: the real call decides; 1: done; -errno. */
static int rename_any(int from_dirfd, const char *from, int to_dirfd, const char *to,
                      unsigned flags)
{
    struct two two;
    int result = two_classify(from_dirfd, from, to_dirfd, to, &two);
    if (result == -ENOENT && !flags && two.from_is_virtual > 0 && two.to_is_virtual > 0)
        return rename_ended(&two);
    if (result <= 0)
        return result;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return rename_unsupported(&two, flags);
    if (two.to.wants_directory && two.attr.type != S3DLIO_DIRECTORY)
        return -ENOTDIR;
    without_slash(&two);
    flags = flags ? S3DLIO_RENAME_NOREPLACE : 0;
    LINK_FOLLOW(&two.to, LINK_IS_MEANT, result, rename_checked(&two, flags));
    return result == LINK_TO_REAL ? -EXDEV : result;
}

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

/* ---- link ---- */

/* What stands in the way of a new name: 0, -EEXIST, or what its directory says. */
static int link_target(const struct vpath *to)
{
    struct s3dlio_attr attr;
    int result = stat_attr(to, &attr);
    if (!result)
        return -EEXIST;
    if (result == -ENOENT)
        result = stat_parent(to);
    return !result && to->wants_directory ? -ENOENT : result;
}

/* A descriptor's file gets a name: 1, or -errno. */
static int link_file(struct file *file, int to_dirfd, const char *to)
{
    struct vpath target;
    int result = path_classify(to_dirfd, to, &target);
    if (result <= 0)
        return result < 0 ? result : -EXDEV;
    LINK_FOLLOW(&target, LINK_IS_MEANT, result, link_target(&target));
    if (result < 0)
        return result == LINK_TO_REAL ? -EXDEV : result;
    if (file->kind == FILE_DIRECTORY || !file->staged)
        return -EPERM;
    result = staged_name_first(file->staged, &target);
    return result < 0 ? result : 1;
}

/* The open file that the call names by its descriptor, with a reference; NULL: it gives a path. */
static struct file *link_source(int from_dirfd, const char *from, int flags)
{
    if ((uintptr_t)from < PATH_UNREAD)
        return NULL;
    if (!*from)
        return flags & AT_EMPTY_PATH ? file_get(from_dirfd) : NULL;
    return flags & AT_SYMLINK_FOLLOW ? proc_file(from) : NULL;
}

static int link_any(int from_dirfd, const char *from, int to_dirfd, const char *to)
{
    struct two two;
    int result = two_classify(from_dirfd, from, to_dirfd, to, &two);
    if (result <= 0)
        return result;
    LINK_FOLLOW(&two.to, LINK_IS_MEANT, result, link_target(&two.to));
    return result == LINK_TO_REAL ? -EXDEV : result < 0 ? result : -EPERM;
}

static int link_flagged(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    struct file *file = link_source(from_dirfd, from, flags);
    if (likely(!file))
        return link_any(from_dirfd, from, to_dirfd, to);
    int result = link_file(file, to_dirfd, to);
    file_put(file);
    return result;
}

int link(const char *from, const char *to)
{
    TWO_ENTRY(REAL(link)(from, to), link_any(AT_FDCWD, from, AT_FDCWD, to));
}

int linkat(int from_dirfd, const char *from, int to_dirfd, const char *to, int flags)
{
    TWO_ENTRY(REAL(linkat)(from_dirfd, from, to_dirfd, to, flags),
              link_flagged(from_dirfd, from, to_dirfd, to, flags));
}
