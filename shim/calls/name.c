/* Names that come and go: mkdir, rmdir, unlink.
 *
 * Directories are marker objects, made and removed by the engine. What the textual resolution takes
 * away and POSIX still tells apart (a last component of `.` or `..`, a slash behind a file's name)
 * is looked at here.
 */
#include <string.h>

#include "config/options.h"
#include "shim/calls/entries.h"
#include "shim/calls/name.h"
#include "shim/calls/stat.h"
#include "shim/creation_mask.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/staged_names.h"
#include "shim/start.h"

/* ---- canonical operations ---- */

static int told(const struct vpath *path, int result, const struct s3dlio_error *error)
{
    result = staged_explain(path->path, result);
    if (result < 0)
        report_error(error);
    return result;
}

/* 0, or -error when the process is writing a file of that name. */
static int unless_staged(const struct vpath *path, int error)
{
    struct s3dlio_attr attr;
    return staged_stat(path->path, &attr) ? -error : 0;
}

int name_mkdir(const struct vpath *path, mode_t mode)
{
    int result = engine_require();
    if (!result)
        result = path_check_new(path);
    if (!result)
        result = unless_staged(path, EEXIST);
    if (result < 0)
        return result;
    struct s3dlio_write_options options = {0};
    if (creation_mode(mode & 01777, 0777, &options.mode))
        options.has = S3DLIO_HAS_MODE;
    struct s3dlio_error error = {0};
    return told(path, engine_call(mkdir)(path->uri, &options, NULL, &error), &error);
}

static int name_rmdir(const struct vpath *path)
{
    int result = engine_require();
    struct s3dlio_error error = {0};
    if (!result)
        result = unless_staged(path, ENOTDIR);
    if (!result && staged_is_below(path->path))
        result = -ENOTEMPTY;
    return result < 0 ? result : told(path, engine_call(rmdir)(path->uri, NULL, &error), &error);
}

enum { UNLINK_BATCH, UNLINK_EACH }; /* the order of the words in options.def */

/* What removes a tree names the files by the directory's descriptor (rm -r, find -delete, Python's
 * rmtree), and the directory itself at the end. */
static bool is_one_of_many(int dirfd, const char *path)
{
    return dirfd != AT_FDCWD && *path != '/' && option_int(start_options(), UNLINK) == UNLINK_BATCH;
}

static int name_unlink(const struct vpath *path, bool is_one_of_many)
{
    int result = engine_require();
    if (!result && path->wants_directory) { /* "name/" is a directory's name or nobody's */
        struct s3dlio_attr attr;
        result = stat_attr(path, &attr);
        result = result < 0 ? result : -EISDIR;
    }
    return result < 0 ? result : staged_unlink_all(path, is_one_of_many);
}

/* rmdir(2): EINVAL for a last component of ".", ENOTEMPTY for "..". */
static int rmdir_named(const struct vpath *resolved, const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    if (end - start == 1 && path[start] == '.')
        return -EINVAL;
    if (end - start == 2 && !memcmp(path + start, "..", 2))
        return -ENOTEMPTY;
    return name_rmdir(resolved);
}

static int unlink_flagged(const struct vpath *resolved, int dirfd, const char *path, int flags)
{
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return flags ? rmdir_named(resolved, path) : name_unlink(resolved, is_one_of_many(dirfd, path));
}

static int remove_either(const struct vpath *resolved, const char *path)
{
    int result = name_unlink(resolved, false);
    return result == -EISDIR ? rmdir_named(resolved, path) : result;
}

/* ---- entries ---- */

int mkdir(const char *path, mode_t mode)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(mkdir)(path, mode),
               name_mkdir(&resolved, mode));
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT, REAL(mkdirat)(dirfd, path, mode),
               name_mkdir(&resolved, mode));
}

int rmdir(const char *path)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(rmdir)(path), rmdir_named(&resolved, path));
}

int unlink(const char *path)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(unlink)(path), name_unlink(&resolved, false));
}

int unlinkat(int dirfd, const char *path, int flags)
{
    PATH_ENTRY(int, dirfd, path, LINK_IS_MEANT, REAL(unlinkat)(dirfd, path, flags),
               unlink_flagged(&resolved, dirfd, path, flags));
}

int remove(const char *path)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_IS_MEANT, REAL(remove)(path),
               remove_either(&resolved, path));
}
