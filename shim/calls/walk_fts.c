/* fts(3) over trees of which at least one root is virtual; others stay libc's.
 *
 * Never changes directory: fts_accpath is always the whole path, which FTS_NOCHDIR promises and
 * programs without it must cope with. Every entry owns its path, so entries of fts_children and
 * parents have theirs too. A handle is told from a real FTS by looking it up among ours.
 */
#include <stdatomic.h>
#include <string.h>

#include "shim/calls/walk.h"
#include "shim/entry.h"
#include "shim/path.h"
#include "shim/real.h"

typedef int compare_fn(const FTSENT **a, const FTSENT **b);

/* ---- handles ---- */

#define HANDLES 256u

static _Atomic(FTS *) handles[HANDLES];
static _Atomic unsigned handles_made; /* how far the table was ever used */

static bool is_ours(const FTS *fts)
{
    unsigned made = atomic_load_explicit(&handles_made, memory_order_acquire);
    for (unsigned i = 0; fts && i < made; i++)
        if (atomic_load_explicit(&handles[i], memory_order_relaxed) == fts)
            return true;
    return false;
}

static int handle_add(FTS *fts)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        FTS *none = NULL;
        if (!atomic_compare_exchange_strong(&handles[i], &none, fts))
            continue;
        unsigned made = handles_made;
        while (made <= i && !atomic_compare_exchange_weak(&handles_made, &made, i + 1))
            ;
        return 0;
    }
    return -EMFILE;
}

static void handle_remove(FTS *fts)
{
    for (unsigned i = 0; i < HANDLES; i++) {
        FTS *expected = fts;
        if (atomic_compare_exchange_strong(&handles[i], &expected, NULL))
            return;
    }
}

/* ---- entries of the tree ---- */

/* One allocation: the entry with its name, the path, the attributes. */
static FTSENT *entry_new(const FTSENT *parent, const char *name)
{
    size_t name_length = strlen(name), base = 0;
    bool is_below = parent && parent->fts_level >= FTS_ROOTLEVEL;
    if (is_below) {
        base = parent->fts_pathlen;
        base -= base && parent->fts_path[base - 1] == '/';
    }
    size_t path_length = (is_below ? base + 1 : 0) + name_length;
    if (path_length > UINT16_MAX) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    size_t head = (sizeof(FTSENT) + name_length + 1 + 15) & ~(size_t)15;
    FTSENT *entry = calloc(1, head + sizeof(struct stat) + path_length + 1);
    if (!entry)
        return NULL;
    entry->fts_statp = (struct stat *)(void *)((char *)entry + head);
    entry->fts_path = (char *)(entry->fts_statp + 1);
    entry->fts_accpath = entry->fts_path;
    memcpy(entry->fts_name, name, name_length + 1);
    entry->fts_namelen = (unsigned short)name_length;
    entry->fts_pathlen = (unsigned short)path_length;
    entry->fts_instr = FTS_NOINSTR;
    if (is_below) {
        memcpy(entry->fts_path, parent->fts_path, base);
        entry->fts_path[base] = '/';
    }
    memcpy(entry->fts_path + path_length - name_length, name, name_length + 1);
    entry->fts_parent = (FTSENT *)(uintptr_t)parent;
    entry->fts_level = parent ? (short)(parent->fts_level + 1) : FTS_ROOTPARENTLEVEL;
    return entry;
}

static void list_free(FTSENT *entry)
{
    while (entry) {
        FTSENT *next = entry->fts_link;
        free(entry);
        entry = next;
    }
}

static bool is_dot(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Fills the attributes; returns what fts_info becomes. */
static unsigned short entry_stat(const FTS *fts, FTSENT *entry, bool follow)
{
    struct stat *st = entry->fts_statp;
    if (fts->fts_options & FTS_LOGICAL || follow) {
        if (stat(entry->fts_accpath, st) < 0) {
            int error = errno;
            if (!lstat(entry->fts_accpath, st)) {
                errno = 0;
                return FTS_SLNONE;
            }
            entry->fts_errno = error;
        }
    } else if (lstat(entry->fts_accpath, st) < 0) {
        entry->fts_errno = errno;
    }
    if (entry->fts_errno) {
        memset(st, 0, sizeof *st);
        return FTS_NS;
    }
    if (!S_ISDIR(st->st_mode))
        return S_ISLNK(st->st_mode) ? FTS_SL : S_ISREG(st->st_mode) ? FTS_F : FTS_DEFAULT;
    entry->fts_dev = st->st_dev;
    entry->fts_ino = st->st_ino;
    entry->fts_nlink = st->st_nlink;
    if (entry->fts_level > FTS_ROOTLEVEL && is_dot(entry->fts_name))
        return FTS_DOT;
    for (FTSENT *above = entry->fts_parent; above && above->fts_level >= FTS_ROOTLEVEL;
         above = above->fts_parent)
        if (above->fts_ino == entry->fts_ino && above->fts_dev == entry->fts_dev) {
            entry->fts_cycle = above;
            return FTS_DC;
        }
    return FTS_D;
}

static FTSENT *list_sort(FTS *fts, FTSENT *head, size_t count)
{
    FTSENT **array = fts->fts_compar && count > 1 ? malloc(count * sizeof *array) : NULL;
    if (!array)
        return head;
    size_t i = 0;
    for (FTSENT *entry = head; entry; entry = entry->fts_link)
        array[i++] = entry;
    qsort(array, count, sizeof *array, fts->fts_compar);
    for (i = 0; i < count; i++)
        array[i]->fts_link = i + 1 < count ? array[i + 1] : NULL;
    head = array[0];
    free(array);
    return head;
}

/* ---- reading a directory ---- */

enum build { BUILD_READ, BUILD_CHILDREN, BUILD_NAMES };

static unsigned short child_info(const FTS *fts, FTSENT *child, const struct dirent *found,
                                 enum build build)
{
    bool may_skip = fts->fts_options & FTS_NOSTAT && fts->fts_options & FTS_PHYSICAL &&
                    found->d_type != DT_DIR && found->d_type != DT_UNKNOWN;
    if (build == BUILD_NAMES || may_skip)
        return FTS_NSOK;
    return entry_stat(fts, child, false);
}

/* The children of a directory as a list, or NULL: none, or an error that is in the directory's
 * entry (or, when that may not be told, in errno with the walk stopped). */
static FTSENT *children_build(FTS *fts, FTSENT *directory, enum build build)
{
    DIR *stream = walk_opendir(directory->fts_accpath);
    if (!stream) {
        if (build == BUILD_READ) {
            directory->fts_info = FTS_DNR;
            directory->fts_errno = errno;
        }
        return NULL;
    }
    FTSENT *head = NULL, **tail = &head;
    size_t count = 0;
    const struct dirent *found;
    while ((errno = 0, found = walk_readdir(stream))) {
        if (!(fts->fts_options & FTS_SEEDOT) && is_dot(found->d_name))
            continue;
        FTSENT *child = entry_new(directory, found->d_name);
        if (!child) {
            list_free(head);
            walk_closedir(stream);
            directory->fts_info = FTS_ERR;
            fts->fts_options |= FTS_STOP;
            return NULL;
        }
        child->fts_info = child_info(fts, child, found, build);
        *tail = child;
        tail = &child->fts_link;
        count++;
    }
    if (errno) { /* the listing broke off: told when the directory is left */
        directory->fts_errno = errno;
        if (!count && build == BUILD_READ)
            directory->fts_info = FTS_DNR;
    } else if (!count && build == BUILD_READ) {
        directory->fts_info = FTS_DP;
    }
    walk_closedir(stream);
    return list_sort(fts, head, count);
}

/* ---- fts_open ---- */

/* A root becomes current: its name is only the last component now. */
static FTSENT *root_load(FTS *fts, FTSENT *root)
{
    char *slash = strrchr(root->fts_name, '/');
    if (slash && (slash != root->fts_name || slash[1])) {
        size_t length = strlen(slash + 1);
        memmove(root->fts_name, slash + 1, length + 1);
        root->fts_namelen = (unsigned short)length;
    }
    fts->fts_dev = root->fts_dev;
    return fts->fts_cur = root;
}

/* Hangs the roots below `above` and behind `start`, which is current until the first read. */
static int roots_build(FTS *fts, char *const *paths, FTSENT *above, FTSENT *start)
{
    FTSENT *head = NULL, **tail = &head;
    size_t count = 0;
    for (; *paths; paths++, count++) {
        FTSENT *root = **paths ? entry_new(above, *paths) : NULL;
        if (!root) {
            int error = **paths ? errno : ENOENT;
            list_free(head);
            return -error;
        }
        root->fts_info = entry_stat(fts, root, fts->fts_options & FTS_COMFOLLOW);
        if (root->fts_info == FTS_DOT)
            root->fts_info = FTS_D;
        *tail = root;
        tail = &root->fts_link;
    }
    start->fts_link = list_sort(fts, head, count);
    return 0;
}

static FTS *open_mixed(char *const *paths, int options, compare_fn *compare)
{
    FTS *fts = calloc(1, sizeof *fts);
    FTSENT *above = entry_new(NULL, ""), *start = above ? entry_new(above, "") : NULL;
    if (!fts || !start) {
        free(fts);
        free(above);
        free(start);
        errno = ENOMEM;
        return NULL;
    }
    fts->fts_compar = (int (*)(const void *, const void *))compare;
    fts->fts_options = options | FTS_NOCHDIR;
    start->fts_info = FTS_INIT;
    fts->fts_cur = start;
    int result = roots_build(fts, paths, above, start);
    if (!result)
        result = handle_add(fts);
    if (result < 0) {
        list_free(start);
        free(above);
        free(fts);
        errno = -result;
        return NULL;
    }
    return fts;
}

FTS *fts_open(char *const *paths, int options, compare_fn *compare)
{
    bool ours = false;
    for (char *const *path = paths; !ours && *path; path++)
        ours = unlikely(path_maybe(*path)) && walk_is_virtual(*path);
    if (likely(!ours))
        return REAL(fts_open)(paths, options, compare);
    if (options & ~FTS_OPTIONMASK) {
        errno = EINVAL;
        return NULL;
    }
    int saved = errno;
    FTS *fts = open_mixed(paths, options, compare);
    if (fts)
        errno = saved;
    return fts;
}

/* ---- fts_read ---- */

static FTSENT *step_up(FTS *fts, FTSENT *done)
{
    FTSENT *parent = done->fts_parent;
    free(done);
    if (parent->fts_level == FTS_ROOTPARENTLEVEL) {
        free(parent);
        errno = 0; /* the end, not an error */
        return fts->fts_cur = NULL;
    }
    parent->fts_info = parent->fts_errno ? FTS_ERR : FTS_DP;
    return fts->fts_cur = parent;
}

/* To the sibling, or up. */
static FTSENT *step_on(FTS *fts, FTSENT *entry)
{
    for (;;) {
        FTSENT *next = entry->fts_link;
        if (!next)
            return step_up(fts, entry);
        free(entry);
        entry = next;
        if (entry->fts_level == FTS_ROOTLEVEL)
            return root_load(fts, entry);
        if (entry->fts_instr == FTS_SKIP)
            continue;
        if (entry->fts_instr == FTS_FOLLOW) {
            entry->fts_info = entry_stat(fts, entry, true);
            entry->fts_instr = FTS_NOINSTR;
        }
        return fts->fts_cur = entry;
    }
}

/* A directory met for the first time: into it, unless told not to. */
static FTSENT *step_down(FTS *fts, FTSENT *entry, int instruction)
{
    if (instruction == FTS_SKIP ||
        (fts->fts_options & FTS_XDEV && entry->fts_dev != fts->fts_dev)) {
        list_free(fts->fts_child);
        fts->fts_child = NULL;
        entry->fts_info = FTS_DP;
        return entry;
    }
    if (fts->fts_child && fts->fts_options & FTS_NAMEONLY) {
        fts->fts_options &= ~FTS_NAMEONLY;
        list_free(fts->fts_child);
        fts->fts_child = NULL;
    }
    FTSENT *child = fts->fts_child ? fts->fts_child : children_build(fts, entry, BUILD_READ);
    fts->fts_child = NULL;
    if (!child)
        return fts->fts_options & FTS_STOP ? NULL : entry;
    return fts->fts_cur = child;
}

static FTSENT *read_mixed(FTS *fts)
{
    FTSENT *entry = fts->fts_cur;
    if (!entry || fts->fts_options & FTS_STOP)
        return NULL;
    int instruction = entry->fts_instr;
    entry->fts_instr = FTS_NOINSTR;
    if (instruction == FTS_AGAIN) {
        entry->fts_errno = 0;
        entry->fts_info = entry_stat(fts, entry, false);
        return entry;
    }
    if (instruction == FTS_FOLLOW && (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE)) {
        entry->fts_info = entry_stat(fts, entry, true);
        return entry;
    }
    if (entry->fts_info == FTS_D)
        return step_down(fts, entry, instruction);
    return step_on(fts, entry);
}

FTSENT *fts_read(FTS *fts)
{
    if (likely(!is_ours(fts)))
        return REAL(fts_read)(fts);
    int saved = errno;
    FTSENT *entry = read_mixed(fts);
    if (entry)
        errno = saved;
    return entry;
}

/* ---- the rest ---- */

static FTSENT *children_mixed(FTS *fts, int instruction)
{
    FTSENT *entry = fts->fts_cur;
    if (instruction && instruction != FTS_NAMEONLY) {
        errno = EINVAL;
        return NULL;
    }
    errno = 0; /* NULL without an error: no children (fts(3)) */
    if (!entry || fts->fts_options & FTS_STOP)
        return NULL;
    if (entry->fts_info == FTS_INIT)
        return entry->fts_link;
    if (entry->fts_info != FTS_D)
        return NULL;
    list_free(fts->fts_child);
    if (instruction == FTS_NAMEONLY)
        fts->fts_options |= FTS_NAMEONLY;
    return fts->fts_child = children_build(fts, entry, instruction ? BUILD_NAMES : BUILD_CHILDREN);
}

FTSENT *fts_children(FTS *fts, int instruction)
{
    return likely(!is_ours(fts)) ? REAL(fts_children)(fts, instruction)
                                 : children_mixed(fts, instruction);
}

int fts_set(FTS *fts, FTSENT *entry, int instruction)
{
    if (likely(!is_ours(fts)))
        return REAL(fts_set)(fts, entry, instruction);
    if (instruction && instruction != FTS_AGAIN && instruction != FTS_FOLLOW &&
        instruction != FTS_NOINSTR && instruction != FTS_SKIP) {
        errno = EINVAL;
        return 1;
    }
    entry->fts_instr = (unsigned short)instruction;
    return 0;
}

int fts_close(FTS *fts)
{
    if (likely(!is_ours(fts)))
        return REAL(fts_close)(fts);
    handle_remove(fts);
    FTSENT *entry = fts->fts_cur;
    while (entry) {
        FTSENT *next = entry->fts_link ? entry->fts_link : entry->fts_parent;
        free(entry);
        entry = next;
    }
    list_free(fts->fts_child);
    free(fts);
    return 0;
}

#include "alias_fts.h"
