/* Temporary names: made by trying (mkstemp and its kin), or only chosen (mktemp, tempnam). A chosen
 * name is free when it is chosen, and anybody's after that, as everywhere.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "shim/calls/entries.h"
#include "shim/calls/name.h"
#include "shim/calls/open.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/real.h"

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

/* flags of temp_make for what is no open(2) */
enum { TEMP_DIRECTORY = -1, TEMP_NOTHING = -2 };

#define TEMP_FLAGS(flags) (((flags) & ~O_ACCMODE) | O_RDWR | O_CREAT | O_EXCL)

/* Of what was looked at with that result: 0 when nothing is there. */
static int is_free(int result)
{
    return !result ? -EEXIST : result == -ENOENT ? 0 : result;
}

static int temp_try(const struct vpath *path, int flags)
{
    struct stat st;
    if (flags == TEMP_NOTHING)
        return is_free(stat_path(path, false, &st));
    return flags < 0 ? name_mkdir(path, 0700) : open_fd(path, TEMP_FLAGS(flags), 0600);
}

static int temp_try_real(const char *path, int flags)
{
    struct stat st;
    if (flags == TEMP_NOTHING)
        return is_free(link_real(REAL(lstat)(path, &st)));
    return link_real(flags < 0 ? REAL(mkdir)(path, 0700)
                               : REAL(open)(path, TEMP_FLAGS(flags), 0600));
}

/* Tries names until one is new. A descriptor, 0, or -errno. */
static int temp_make(char *template, int suffix_length, int flags)
{
    char *letters = template_letters(template, suffix_length);
    int result = letters ? -EEXIST : -EINVAL;
    for (unsigned i = 0; result == -EEXIST && i < TEMP_TRIES; i++) {
        struct vpath path;
        letters_put(letters);
        result = path_classify(AT_FDCWD, template, &path);
        if (result < 0)
            break;
        if (!result) { /* of tempnam, which had the choice between two directories */
            result = temp_try_real(template, flags);
            continue;
        }
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
    ENTRY_HOLD();
    int saved = errno;
    if (result > 0)
        result = temp_make(template, 0, TEMP_DIRECTORY);
    return entry_return(saved, result) < 0 ? NULL : template;
}

/* ---- names that are only chosen ---- */

char *mktemp(char *template)
{
    struct vpath resolved;
    int result = path_classify(AT_FDCWD, template, &resolved);
    if (likely(!result))
        return REAL(mktemp)(template);
    ENTRY_HOLD();
    int saved = errno;
    if (result > 0)
        result = temp_make(template, 0, TEMP_NOTHING);
    if (entry_return(saved, result) < 0)
        template[0] = '\0';
    return template;
}

static bool is_virtual(const char *path)
{
    struct vpath resolved;
    return path && path_classify(AT_FDCWD, path, &resolved) != 0;
}

static bool is_directory(const char *path)
{
    struct stat st;
    return path && !stat(path, &st) && S_ISDIR(st.st_mode);
}

#define PREFIX_MAX 5 /* of a prefix so much is used (tempnam(3)) */

static char *temp_name(const char *directory, const char *prefix)
{
    char template[PATH_MAX];
    int length = (int)strlen(directory);
    while (length > 1 && directory[length - 1] == '/')
        length--;
    prefix = prefix && *prefix ? prefix : "file";
    int result = snprintf(template, sizeof template, "%.*s/%.*sXXXXXX", length, directory,
                          PREFIX_MAX, prefix);
    result = result < PATH_MAX ? temp_make(template, 0, TEMP_NOTHING) : -EINVAL;
    char *name = result < 0 ? NULL : strdup(template);
    errno = result < 0 ? -result : errno;
    return name;
}

/* The first of these that is a directory: TMPDIR, the program's own, /tmp. */
char *tempnam(const char *directory, const char *prefix)
{
    const char *named = secure_getenv("TMPDIR");
    if (likely(!is_virtual(named) && !is_virtual(directory)))
        return REAL(tempnam)(directory, prefix);
    ENTRY_HOLD();
    int saved = errno;
    if (is_directory(named))
        directory = named;
    else if (!is_directory(directory))
        directory = P_tmpdir;
    char *name = temp_name(directory, prefix);
    if (name)
        errno = saved;
    return name;
}

#include "alias_temp.h"
