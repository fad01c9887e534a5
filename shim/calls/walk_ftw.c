/* nftw and ftw of a virtual tree; a real root goes to libc, whose trees hold no virtual ones.
 *
 * Order, flags and return values are those of nftw(3) as glibc does it. Directories are read
 * without descriptors, so the limit on open ones is kept by itself. Where links are followed a
 * directory is visited once; one outside the mounts is told (FTW_DNR) and not entered.
 */
#include <search.h>
#include <string.h>

#include "shim/calls/dir.h"
#include "shim/calls/link.h"
#include "shim/calls/name.h"
#include "shim/calls/open.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/real.h"

#define LEVEL_BUFFER 16384u
#define KNOWN_FLAGS  (FTW_PHYS | FTW_MOUNT | FTW_CHDIR | FTW_DEPTH | FTW_ACTIONRETVAL)

typedef int nftw_fn(const char *path, const struct stat *st, int type, struct FTW *position);
typedef int ftw_fn(const char *path, const struct stat *st, int type);

/* On the heap, as all paths here: a program's stack may be small. */
struct ftw_walk {
    nftw_fn *visit; /* one of the two */
    ftw_fn *visit_old;
    int flags;
    dev_t device; /* of the root, for FTW_MOUNT */
    void *seen;   /* directories, a tree of tsearch(3): where links are followed */
    char *path;   /* as the program wrote the root, and on; owned */
    size_t room;
    struct FTW position;
    struct vpath root, parent; /* the directory of the root, where FTW_CHDIR starts */
    struct vpath before;       /* the working directory, when it is virtual */
    struct vpath link;         /* entry_type's */
};

/* One directory being read. On the heap: trees may be deeper than stacks. */
struct level {
    struct vpath path;
    struct stat st;
    struct file *file;
    int64_t position;
    size_t used, at;
    struct vpath entry; /* that the walk is at */
    struct stat entry_st;
    _Alignas(struct dirent) char buffer[LEVEL_BUFFER];
};

static int walk_visit(struct ftw_walk *walk, const struct stat *st, int type)
{
    if (!walk->visit)
        return walk->visit_old(walk->path, st,
                               type == FTW_SL    ? FTW_F
                               : type == FTW_SLN ? FTW_NS
                                                 : type);
    return walk->visit(walk->path, st, type, &walk->position);
}

/* FTW_CHDIR: a program's function runs in the directory that holds what it is told of. */
static int walk_enter(const struct ftw_walk *walk, const struct vpath *directory)
{
    return walk->flags & FTW_CHDIR ? name_chdir(directory) : 0;
}

static int path_append(struct ftw_walk *walk, size_t base, const char *name)
{
    size_t length = strlen(name);
    if (base + length + 2 > walk->room) {
        size_t room = (base + length + 2) * 2;
        char *path = realloc(walk->path, room);
        if (!path)
            return -ENOMEM;
        walk->path = path;
        walk->room = room;
    }
    memcpy(walk->path + base, name, length + 1);
    return 0;
}

/* The next entry but . and ..: 1, 0 at the end, -errno. */
static int level_next(struct level *level, const struct dirent **ret_entry)
{
    for (;;) {
        if (level->at == level->used) {
            ssize_t filled =
                directory_fill(level->file, level->position, level->buffer, sizeof level->buffer);
            if (filled <= 0)
                return (int)filled;
            level->used = (size_t)filled;
            level->at = 0;
        }
        const struct dirent *entry = (const struct dirent *)(void *)(level->buffer + level->at);
        level->at += entry->d_reclen;
        level->position = entry->d_off;
        *ret_entry = entry;
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            return 1;
    }
}

static int walk_directory(struct ftw_walk *walk, const struct vpath *path, const struct stat *st,
                          const struct vpath *parent);

/* ---- what a name is ---- */

/* One of FTW_F, FTW_D, FTW_SL, FTW_SLN, FTW_DNR, FTW_NS, or -errno. Follows links as the flags say;
 * *path is where they lead. */
static int entry_type(struct ftw_walk *walk, struct vpath *path, struct stat *ret_stat)
{
    bool follows = !(walk->flags & FTW_PHYS);
    int result;
    walk->link = *path;
    LINK_FOLLOW(path, follows ? LINK_AT_END : LINK_BY_SLASH, result,
                stat_path(path, follows, ret_stat));
    bool is_real = result == LINK_TO_REAL;
    if (is_real)
        result = link_real(REAL(stat)(path->path, ret_stat));
    if (result == -ENOENT && follows && !stat_path(&walk->link, false, ret_stat) &&
        S_ISLNK(ret_stat->st_mode))
        return FTW_SLN;
    if (result < 0)
        return result;
    if (S_ISDIR(ret_stat->st_mode))
        return is_real ? FTW_DNR : FTW_D;
    return S_ISLNK(ret_stat->st_mode) ? FTW_SL : FTW_F;
}

struct seen {
    dev_t device;
    ino_t inode;
};

static int seen_compare(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    return x->device != y->device ? (x->device > y->device) - (x->device < y->device)
                                  : (x->inode > y->inode) - (x->inode < y->inode);
}

/* Met for the first time? 1, 0 or -ENOMEM. */
static int is_new(struct ftw_walk *walk, const struct stat *st)
{
    struct seen *seen = malloc(sizeof *seen);
    if (!seen)
        return -ENOMEM;
    *seen = (struct seen){st->st_dev, st->st_ino};
    struct seen **found = tsearch(seen, &walk->seen, seen_compare);
    int result = !found ? -ENOMEM : *found == seen;
    if (result <= 0)
        free(seen);
    return result;
}

/* One entry of `level`, whose name is appended already. 0 goes on; anything else is the function's
 * answer or -errno in *ret_error. */
static int walk_entry(struct ftw_walk *walk, struct level *level, const char *name, int *ret_error)
{
    struct vpath *path = &level->entry;
    struct stat *st = &level->entry_st;
    *st = (struct stat){0};
    int result = path_join(&level->path, name, path);
    int type = result < 0 ? result : entry_type(walk, path, st);
    if (type == -EACCES || type == -ENOENT)
        type = FTW_NS;
    if (type >= 0 && type != FTW_NS && walk->flags & FTW_MOUNT && st->st_dev != walk->device)
        return 0;
    int enters = type == FTW_D && !(walk->flags & FTW_PHYS) ? is_new(walk, st) : 1;
    if (type < 0 || enters < 0) {
        *ret_error = type < 0 ? type : enters;
        return -1;
    }
    if (!enters)
        return 0;
    if (type == FTW_D)
        result = walk_directory(walk, path, st, &level->path);
    else
        result = walk_visit(walk, st, type);
    return walk->flags & FTW_ACTIONRETVAL && result == FTW_SKIP_SUBTREE ? 0 : result;
}

static int level_walk(struct ftw_walk *walk, struct level *level)
{
    size_t length = strlen(walk->path);
    int base = walk->position.base, result = 0, error = walk_enter(walk, &level->path);
    if (!error && (!length || walk->path[length - 1] != '/'))
        error = path_append(walk, length++, "/");
    walk->position.level++;
    walk->position.base = (int)length;
    while (!error && !result) {
        const struct dirent *entry = NULL;
        int more = level_next(level, &entry);
        if (more <= 0) {
            error = more;
            break;
        }
        error = path_append(walk, length, entry->d_name);
        if (!error)
            result = walk_entry(walk, level, entry->d_name, &error);
    }
    walk->position.level--;
    walk->position.base = base;
    if (error) {
        errno = -error;
        return -1;
    }
    if (walk->flags & FTW_ACTIONRETVAL && result == FTW_SKIP_SIBLINGS)
        result = 0;
    return result;
}

/* What cannot be opened for want of permission is told to the function, other errors end the
 * walk. */
static int level_open(struct ftw_walk *walk, const struct vpath *path, const struct stat *st,
                      struct level **ret_level)
{
    struct level *level = malloc(sizeof *level);
    if (!level) {
        errno = ENOMEM;
        return -1;
    }
    level->path = *path;
    level->st = *st;
    level->position = 0;
    level->used = level->at = 0;
    int result = open_file(path, O_RDONLY | O_DIRECTORY, 0, &level->file);
    if (result < 0) {
        free(level);
        *ret_level = NULL;
        if (result == -EACCES)
            return walk_visit(walk, st, FTW_DNR);
        errno = -result;
        return -1;
    }
    *ret_level = level;
    return 0;
}

static int walk_directory(struct ftw_walk *walk, const struct vpath *path, const struct stat *st,
                          const struct vpath *parent)
{
    struct level *level = NULL;
    size_t length = strlen(walk->path);
    int result = level_open(walk, path, st, &level);
    if (!level)
        return result;
    if (!(walk->flags & FTW_DEPTH))
        result = walk_visit(walk, &level->st, FTW_D);
    if (!result)
        result = level_walk(walk, level);
    walk->path[length] = '\0';
    if (!result && walk->flags & FTW_DEPTH) /* still in the directory, as glibc's */
        result = walk_visit(walk, &level->st, FTW_DP);
    bool goes_on =
        !result || (walk->flags & FTW_ACTIONRETVAL && result != -1 && result != FTW_STOP);
    if (goes_on && parent && walk_enter(walk, parent) < 0)
        result = -1;
    file_put(level->file);
    free(level);
    return result;
}

/* ---- the root ---- */

/* The directory of the root, where FTW_CHDIR starts. */
static bool parent_of(const struct vpath *path, struct vpath *ret_parent)
{
    *ret_parent = *path;
    ret_parent->wants_directory = false;
    char *slash = strrchr(ret_parent->path, '/');
    if (!slash || slash == ret_parent->path)
        return false;
    *slash = '\0';
    return path_from_virtual(ret_parent->path, ret_parent) > 0;
}

static int walk_root(struct ftw_walk *walk)
{
    struct stat st;
    struct vpath *path = &walk->root;
    int type = entry_type(walk, path, &st), result = type < 0 ? type : 0;
    bool has_parent = parent_of(path, &walk->parent);
    if (!result && has_parent)
        result = walk_enter(walk, &walk->parent);
    if (!result && type == FTW_D && !(walk->flags & FTW_PHYS) && is_new(walk, &st) < 0)
        result = -ENOMEM;
    if (result < 0) {
        errno = -result;
        return -1;
    }
    walk->device = st.st_dev;
    result = type == FTW_D ? walk_directory(walk, path, &st, has_parent ? &walk->parent : NULL)
                           : walk_visit(walk, &st, type);
    if (walk->flags & FTW_ACTIONRETVAL &&
        (result == FTW_SKIP_SUBTREE || result == FTW_SKIP_SIBLINGS))
        result = 0;
    return result;
}

/* The name as the program wrote it, without slashes behind it. 0 or -errno. */
static int walk_begin(struct ftw_walk *walk, const char *root)
{
    int result = path_classify(AT_FDCWD, root, &walk->root);
    if (result >= 0)
        result = path_append(walk, 0, root);
    if (result < 0)
        return result;
    size_t length = strlen(walk->path);
    while (length > 1 && walk->path[length - 1] == '/')
        walk->path[--length] = '\0';
    const char *slash = strrchr(walk->path, '/');
    walk->position.base = slash && slash[1] ? (int)(slash + 1 - walk->path) : 0;
    return 0;
}

/* The walk, and back to where the program was. */
static int walk_from_here(struct ftw_walk *walk)
{
    bool moves = walk->flags & FTW_CHDIR, cwd_is_virtual = path_cwd()[0];
    int home = -1;
    if (moves && cwd_is_virtual)
        strcpy(walk->before.path, path_cwd());
    else if (moves)
        home = REAL(open)(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = walk_root(walk), saved = errno;
    if (moves && cwd_is_virtual)
        path_set_cwd(walk->before.path);
    else if (home >= 0) {
        if (!REAL(fchdir)(home))
            path_set_cwd(NULL);
        REAL(close)(home);
    }
    errno = saved;
    return result;
}

static int walk_start(const char *root, nftw_fn *visit, ftw_fn *visit_old, int flags)
{
    struct ftw_walk *walk = calloc(1, sizeof *walk);
    if (!walk) {
        errno = ENOMEM;
        return -1;
    }
    walk->visit = visit;
    walk->visit_old = visit_old;
    walk->flags = flags;
    int result = walk_begin(walk, root);
    if (result < 0) {
        errno = -result;
        result = -1;
    } else {
        result = walk_from_here(walk);
    }
    int saved = errno;
    tdestroy(walk->seen, free);
    free(walk->path);
    free(walk);
    errno = saved;
    return result;
}

/* ---- entries ---- */

static bool is_ours(const char *path)
{
    struct vpath resolved;
    return unlikely(path_maybe(path)) && path_classify(AT_FDCWD, path, &resolved) != 0;
}

int nftw(const char *path, nftw_fn *visit, int descriptors, int flags)
{
    if (likely(!is_ours(path)))
        return REAL(nftw)(path, visit, descriptors, flags);
    if (flags & ~KNOWN_FLAGS) {
        errno = EINVAL;
        return -1;
    }
    return walk_start(path, visit, NULL, flags);
}

int ftw(const char *path, ftw_fn *visit, int descriptors)
{
    if (likely(!is_ours(path)))
        return REAL(ftw)(path, visit, descriptors);
    return walk_start(path, NULL, visit, 0);
}

#include "alias_ftw.h"
