/* scandir, glob and wordexp on virtual names.
 *
 * glob stays libc's, patterns and flags and all: it is given our functions to look at directories
 * (GLOB_ALTDIRFUNC), which serve virtual and real names alike. wordexp is libc's, too; what it leaves
 * as patterns is given to that glob.
 */
#include "shim/calls/walk.h"

#include <string.h>

#include "shim/calls/dir.h"
#include "shim/calls/link.h"
#include "shim/entry.h"
#include "shim/real.h"

/* ---- either kind of name ---- */

DIR *walk_opendir(const char *path)
{
    struct vpath resolved;
    int result = path_classify(AT_FDCWD, path, &resolved);
    if (!result)
        return REAL(opendir)(path);
    DIR *stream = NULL;
    if (result > 0)
        LINK_FOLLOW(&resolved, LINK_AT_END, result, dir_open(&resolved, &stream));
    if (result == LINK_TO_REAL)
        return REAL(opendir)(resolved.path);
    entry_return(errno, result);
    return stream;
}

struct dirent *walk_readdir(DIR *stream)
{
    if (!dir_is_ours(stream))
        return REAL(readdir)(stream);
    struct dirent *entry = NULL;
    entry_return(errno, dir_next(stream, &entry));
    return entry;
}

void walk_closedir(DIR *stream)
{
    int saved = errno;
    if (dir_is_ours(stream))
        dir_close(stream);
    else
        REAL(closedir)(stream);
    errno = saved;
}

bool walk_is_virtual(const char *path)
{
    struct vpath resolved;
    return path_classify(AT_FDCWD, path, &resolved) != 0;
}

/* ---- scandir ---- */

struct entries {
    struct dirent **list;
    int count, room;
};

static void entries_free(struct entries *entries)
{
    while (entries->count > 0)
        free(entries->list[--entries->count]);
    free(entries->list);
}

static int entries_add(struct entries *entries, const struct dirent *entry)
{
    if (entries->count == entries->room) {
        int room = entries->room ? entries->room * 2 : 64;
        struct dirent **list = realloc(entries->list, (size_t)room * sizeof(struct dirent *));
        if (!list)
            return -ENOMEM;
        entries->list = list;
        entries->room = room;
    }
    struct dirent *copy = malloc(entry->d_reclen);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, entry, entry->d_reclen);
    entries->list[entries->count++] = copy;
    return 0;
}

typedef int choose_fn(const struct dirent *entry);
typedef int compare_fn(const struct dirent **a, const struct dirent **b);

static int scan(DIR *stream, choose_fn *choose, struct entries *ret_entries)
{
    struct entries entries = {0};
    struct dirent *entry;
    int result;
    while (!(result = dir_next(stream, &entry)) && entry) {
        if (choose && !choose(entry))
            continue;
        result = entries_add(&entries, entry);
        if (result < 0)
            break;
    }
    if (result < 0)
        entries_free(&entries);
    else
        *ret_entries = entries;
    return result;
}

static int scan_path(const struct vpath *path, struct dirent ***ret_list, choose_fn *choose,
                     compare_fn *compare)
{
    DIR *stream;
    struct entries entries = {0};
    int result = dir_open(path, &stream);
    if (result < 0)
        return result;
    result = scan(stream, choose, &entries);
    dir_close(stream);
    if (result < 0)
        return result;
    if (compare && entries.count)
        qsort(entries.list, (size_t)entries.count, sizeof(struct dirent *),
              (int (*)(const void *, const void *))compare);
    *ret_list = entries.list ? entries.list : malloc(1); /* the program frees it */
    return entries.count;
}

int scandirat(int dirfd, const char *path, struct dirent ***ret_list, choose_fn *choose,
              compare_fn *compare)
{
    struct vpath resolved;
    int result = path_classify(dirfd, path, &resolved);
    if (likely(!result))
        return REAL(scandirat)(dirfd, path, ret_list, choose, compare);
    int saved = errno;
    if (result > 0)
        LINK_FOLLOW(&resolved, LINK_AT_END, result,
                    scan_path(&resolved, ret_list, choose, compare));
    if (result == LINK_TO_REAL)
        return REAL(scandir)(resolved.path, ret_list, choose, compare);
    return (int)entry_return(saved, result);
}

int scandir(const char *path, struct dirent ***ret_list, choose_fn *choose, compare_fn *compare)
{
    return likely(!path_maybe(path)) ? REAL(scandir)(path, ret_list, choose, compare)
                                     : scandirat(AT_FDCWD, path, ret_list, choose, compare);
}

/* ---- glob ---- */

static void *glob_opendir(const char *path)
{
    return walk_opendir(path);
}

static struct dirent *glob_readdir(void *stream)
{
    return walk_readdir(stream);
}

static void glob_closedir(void *stream)
{
    walk_closedir(stream);
}

/* What braces and tildes turn into is known only inside. */
static bool glob_may_be_ours(const char *pattern, int flags)
{
    if (flags & GLOB_ALTDIRFUNC || (uintptr_t)pattern < PATH_UNREAD)
        return false;
    return path_maybe(pattern) || (flags & GLOB_BRACE && strchr(pattern, '{')) ||
           (flags & (GLOB_TILDE | GLOB_TILDE_CHECK) && pattern[0] == '~');
}

int glob(const char *pattern, int flags, int (*on_error)(const char *path, int error),
         glob_t *found)
{
    if (likely(!glob_may_be_ours(pattern, flags)))
        return REAL(glob)(pattern, flags, on_error, found);
    glob_t before = *found;
    found->gl_opendir = glob_opendir;
    found->gl_readdir = glob_readdir;
    found->gl_closedir = glob_closedir;
    found->gl_stat = stat;
    found->gl_lstat = lstat;
    int result = REAL(glob)(pattern, flags | GLOB_ALTDIRFUNC, on_error, found);
    found->gl_flags &= ~GLOB_ALTDIRFUNC;
    found->gl_opendir = before.gl_opendir;
    found->gl_readdir = before.gl_readdir;
    found->gl_closedir = before.gl_closedir;
    found->gl_stat = before.gl_stat;
    found->gl_lstat = before.gl_lstat;
    return result;
}

/* ---- wordexp ---- */

/* Makes `count` words of the one at `index` of the vector. */
static int words_replace(wordexp_t *words, size_t offset, size_t index, const glob_t *found)
{
    size_t count = found->gl_pathc, rest = words->we_wordc - index; /* with the NULL behind */
    char **vector = realloc(words->we_wordv,
                            (offset + words->we_wordc + count) * sizeof *vector);
    if (!vector)
        return WRDE_NOSPACE;
    words->we_wordv = vector;
    char **at = vector + offset + index, *pattern = *at;
    memmove(at + count, at + 1, rest * sizeof *at);
    bool is_short = false;
    for (size_t i = 0; i < count; i++) {
        at[i] = strdup(found->gl_pathv[i]);
        is_short |= !at[i];
    }
    words->we_wordc += count - 1;
    free(pattern);
    return is_short ? WRDE_NOSPACE : 0;
}

/* glibc's expands patterns by a glob of its own, to which nothing virtual is there, so such patterns
 * are left. What was quoted looks the same then: where anything is, they stay. */
int wordexp(const char *text, wordexp_t *words, int flags)
{
    size_t first = flags & WRDE_APPEND ? words->we_wordc : 0;
    int result = REAL(wordexp)(text, words, flags);
    if (result || strpbrk(text, "'\"\\"))
        return result;
    size_t offset = flags & WRDE_DOOFFS ? words->we_offs : 0;
    for (size_t i = first; !result && i < words->we_wordc;) {
        const char *word = words->we_wordv[offset + i];
        glob_t found = {0};
        size_t count = 1;
        if (strpbrk(word, "*?[") && glob_may_be_ours(word, 0) && !glob(word, 0, NULL, &found)) {
            count = found.gl_pathc;
            result = words_replace(words, offset, i, &found);
        }
        globfree(&found);
        i += count;
    }
    return result;
}

#include "alias_walk.h"
