/* Names that come and go: mkdir, rmdir, unlink and the temporary ones.
 *
 * Directories are marker objects, made and removed by the engine. What the textual resolution takes
 * away and POSIX still tells apart (a last component of `.` or `..`, a slash behind a file's name)
 * is looked at here.
 */
#include <string.h>
#include <sys/random.h>

#include "config/options.h"
#include "shim/calls/entries.h"
#include "shim/calls/open.h"
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

static int name_mkdir(const struct vpath *path, mode_t mode)
{
    int result = engine_require();
    if (!result)
        result = path_check_new(path);
    if (!result)
        result = unless_staged(path, EEXIST);
    if (result < 0)
        return result;
    struct s3dlio_write_options options = {.mode = mode & ~creation_mask() & 01777};
    /* 0777 less the first umask is what is assumed anyway. */
    if (options.mode != (0777 & ~start_umask()))
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

/* ---- temporary names ---- */

#define TEMP_LETTERS 6
#define TEMP_TRIES   64

static void letters_put(char *at)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        random = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)&now;
    }
    for (unsigned i = 0; i < TEMP_LETTERS; i++, random /= sizeof letters - 1)
        at[i] = letters[random % (sizeof letters - 1)];
}

/* Where the six X are, or NULL. */
static char *template_letters(char *template, int suffix_length)
{
    size_t length = strlen(template);
    if (suffix_length < 0 || length < (size_t)suffix_length + TEMP_LETTERS)
        return NULL;
    char *at = template + length - (size_t)suffix_length - TEMP_LETTERS;
    return memcmp(at, "XXXXXX", TEMP_LETTERS) ? NULL : at;
}

#define TEMP_FLAGS(flags) (((flags) & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL)

static int temp_try(const struct vpath *path, int flags)
{
    return flags < 0 ? name_mkdir(path, 0700) : open_fd(path, TEMP_FLAGS(flags), 0600);
}

static int temp_try_real(const char *path, int flags)
{
    return link_real(flags < 0 ? REAL(mkdir)(path, 0700)
                               : REAL(open)(path, TEMP_FLAGS(flags), 0600));
}

/* Tries names until one is new; flags < 0 makes directories. A descriptor, 0, or -errno. */
static int temp_make(char *template, int suffix_length, int flags)
{
    char *letters = template_letters(template, suffix_length);
    int result = letters ? -EEXIST : -EINVAL;
    for (unsigned i = 0; result == -EEXIST && i < TEMP_TRIES; i++) {
        struct vpath path;
        letters_put(letters);
        result = path_resolve(AT_FDCWD, template, &path);
        if (result <= 0)
            break;
        LINK_FOLLOW(&path, LINK_IS_MEANT, result, temp_try(&path, flags));
        if (result == LINK_TO_REAL)
            result = temp_try_real(path.path, flags);
    }
    if (result < 0 && letters)
        memcpy(letters, "XXXXXX", TEMP_LETTERS);
    return result;
}

#define TEMP_ENTRY(template, real_call, suffix_length, flags)                                      \
    struct vpath resolved;                                                                         \
    int result = path_classify(AT_FDCWD, template, &resolved);                                     \
    if (likely(!result))                                                                           \
        return real_call;                                                                          \
    int saved = errno;                                                                             \
    return (int)entry_return(saved, result < 0 ? result : temp_make(template, suffix_length, flags))

int mkstemp(char *template)
{
    TEMP_ENTRY(template, REAL(mkstemp)(template), 0, 0);
}

int mkostemp(char *template, int flags)
{
    TEMP_ENTRY(template, REAL(mkostemp)(template, flags), 0, flags & INT32_MAX);
}

int mkstemps(char *template, int suffix_length)
{
    TEMP_ENTRY(template, REAL(mkstemps)(template, suffix_length), suffix_length, 0);
}

int mkostemps(char *template, int suffix_length, int flags)
{
    TEMP_ENTRY(template, REAL(mkostemps)(template, suffix_length, flags), suffix_length,
               flags & INT32_MAX);
}

char *mkdtemp(char *template)
{
    struct vpath resolved;
    int result = path_classify(AT_FDCWD, template, &resolved);
    if (likely(!result))
        return REAL(mkdtemp)(template);
    int saved = errno;
    if (result > 0)
        result = temp_make(template, 0, -1);
    return entry_return(saved, result) < 0 ? NULL : template;
}

#include "alias_name.h"
