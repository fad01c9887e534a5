/* scandir, glob, ftw, nftw and fts over a small tree: what is visited, in what order, with what
 * told. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>

/* root/ a  b/ b/c  b/d/ b/d/e  empty/  z.txt */
static char *root;
static size_t root_length;
static char trace[4096];

static int setup(void **state)
{
    static const char *const directories[] = {"", "/b", "/b/d", "/empty"};
    static const char *const files[] = {"/a", "/b/c", "/b/d/e", "/z.txt"};
    char path[PATH_MAX];
    root = strdup(preload_path("walk"));
    root_length = strlen(root);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", root, directories[i]);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s%s", root, files[i]);
        preload_make(path, 4);
    }
    return 0;
}

static const char *below(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    return path;
}

static void __attribute__((format(printf, 1, 2))) note(const char *format, ...)
{
    va_list args;
    size_t length = strlen(trace);
    va_start(args, format);
    vsnprintf(trace + length, sizeof trace - length, format, args);
    va_end(args);
}

static int line_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Orders the lines of the trace: directories are read in any order. */
static void trace_sort(void)
{
    char copy[sizeof trace], *lines[128];
    int count = 0;
    strcpy(copy, trace);
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n"))
        lines[count++] = line;
    qsort(lines, (size_t)count, sizeof *lines, line_compare);
    trace[0] = '\0';
    for (int i = 0; i < count; i++)
        note("%s\n", lines[i]);
}

/* ---- scandir ---- */

static int no_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void scanned(void **state)
{
    struct dirent **list = NULL;
    static const char *const expected[] = {"a", "b", "empty", "z.txt"};
    int count = scandir(root, &list, no_dots, alphasort);
    assert_int_equal(count, 4);
    for (int i = 0; i < count; i++) {
        assert_string_equal(list[i]->d_name, expected[i]);
        assert_int_equal(list[i]->d_type, i == 1 || i == 2 ? DT_DIR : DT_REG);
        free(list[i]);
    }
    free(list);
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    count = scandirat(fd, "empty", &list, NULL, NULL);
    assert_int_equal(count, 2);
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);
    assert_int_equal(scandirat(fd, "empty", &list, no_dots, alphasort), 0);
    free(list);
    close(fd);
    assert_errno(scandir(below("/none"), &list, NULL, NULL), ENOENT);
    assert_errno(scandir(below("/a"), &list, NULL, NULL), ENOTDIR);
}

/* ---- glob ---- */

static void glob_trace(const char *pattern, int flags)
{
    glob_t found = {0};
    trace[0] = '\0';
    int result = glob(pattern, flags, NULL, &found);
    if (result)
        note("%d", result);
    for (size_t i = 0; !result && i < found.gl_pathc; i++)
        note("%s ",
             found.gl_pathv[i] + (strncmp(found.gl_pathv[i], root, root_length) ? 0 : root_length));
    globfree(&found);
}

static void globbed(void **state)
{
    char pattern[PATH_MAX], before[PATH_MAX];
    glob_trace(below("/*"), 0);
    assert_string_equal(trace, "/a /b /empty /z.txt ");
    glob_trace(below("/*"), GLOB_MARK);
    assert_string_equal(trace, "/a /b/ /empty/ /z.txt ");
    glob_trace(below("/*/*"), 0);
    assert_string_equal(trace, "/b/c /b/d ");
    glob_trace(below("/?/d/[a-f]"), 0);
    assert_string_equal(trace, "/b/d/e ");
    glob_trace(below("/{z,b/c,none}*"), GLOB_BRACE);
    assert_string_equal(trace, "/z.txt /b/c ");
    snprintf(pattern, sizeof pattern, "{%s/b,%s/empty}/*", root, root);
    glob_trace(pattern, GLOB_BRACE);
    assert_string_equal(trace, "/b/c /b/d ");
    glob_trace(below("/none*"), 0);
    assert_string_equal(trace, "3"); /* GLOB_NOMATCH */
    glob_trace(below("/none*"), GLOB_NOCHECK);
    assert_string_equal(trace, "/none* ");
    glob_trace(below("/a"), 0);
    assert_string_equal(trace, "/a ");
    glob_trace(below("/none"), 0);
    assert_string_equal(trace, "3");

    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(root), 0);
    glob_trace("*/c", 0);
    assert_int_equal(chdir(before), 0);
    assert_string_equal(trace, "b/c ");

#ifdef __SANITIZE_ADDRESS__
    const int offsets = 0; /* its own glob takes the empty places for names */
#else
    const int offsets = GLOB_DOOFFS;
#endif
    glob_t found = {.gl_offs = 1};
    assert_int_equal(glob(below("/a*"), offsets, NULL, &found), 0);
    assert_int_equal(glob(below("/z*"), offsets | GLOB_APPEND, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 2);
    if (offsets)
        assert_null(found.gl_pathv[0]);
    assert_string_equal(found.gl_pathv[offsets ? 2 : 1] + root_length, "/z.txt");
    assert_int_equal(found.gl_flags & GLOB_ALTDIRFUNC, 0);
    globfree(&found);
}

/* ---- ftw, nftw ---- */

static const char *const types[] = {
    [FTW_F] = "F",   [FTW_D] = "D",   [FTW_DNR] = "DNR", [FTW_NS] = "NS",
    [FTW_SL] = "SL", [FTW_DP] = "DP", [FTW_SLN] = "SLN"};

static const char *skip_at;
static int skip_answer;

static int nftw_note(const char *path, const struct stat *st, int type, struct FTW *position)
{
    note("%s %s %d %s %d\n", path + root_length, types[type], position->level,
         path + position->base, S_ISDIR(st->st_mode) ? -1 : (int)st->st_size);
    return skip_at && !strcmp(path + root_length, skip_at) ? skip_answer : 0;
}

static int ftw_note(const char *path, const struct stat *st, int type)
{
    note("%s %s\n", path + root_length, types[type]);
    return !strcmp(path + root_length, skip_at ? skip_at : "-") ? skip_answer : 0;
}

static void nftw_trace(const char *path, int flags, int expected)
{
    trace[0] = '\0';
    assert_int_equal(nftw(path, nftw_note, 5, flags), expected);
}

static const char all_before[] =
    " D 0 walk -1\n/a F 1 a 4\n/b D 1 b -1\n/b/c F 2 c 4\n/b/d D 2 d -1\n"
    "/b/d/e F 3 e 4\n/empty D 1 empty -1\n/z.txt F 1 z.txt 4\n";

static void nftw_visits(void **state)
{
    nftw_trace(root, FTW_PHYS, 0);
    assert_memory_equal(trace, " D 0 walk", 9);
    trace_sort();
    assert_string_equal(trace, all_before);
    nftw_trace(below("/"), 0, 0); /* slashes at the end go */
    trace_sort();
    assert_string_equal(trace, all_before);
    nftw_trace(root, FTW_MOUNT, 0);
    trace_sort();
    assert_string_equal(trace, all_before);
    nftw_trace(root, FTW_PHYS | FTW_DEPTH, 0);
    size_t length = strlen(trace);
    assert_string_equal(trace + length - 15, "\n DP 0 walk -1\n");
    assert_true(strstr(trace, "/b/d/e F") < strstr(trace, "/b/d DP"));
    assert_true(strstr(trace, "/b/d DP") < strstr(trace, "/b DP"));
    nftw_trace(below("/a"), 0, 0);
    assert_string_equal(trace, "/a F 0 a 4\n");
    assert_errno(nftw(below("/none"), nftw_note, 5, 0), ENOENT);
    assert_errno(nftw(root, nftw_note, 5, 1 << 20), EINVAL);
}

static void nftw_told(void **state)
{
    skip_at = "/b";
    skip_answer = FTW_SKIP_SUBTREE;
    nftw_trace(root, FTW_ACTIONRETVAL, 0);
    trace_sort();
    assert_string_equal(trace, " D 0 walk -1\n/a F 1 a 4\n/b D 1 b -1\n/empty D 1 empty -1\n"
                               "/z.txt F 1 z.txt 4\n");
    skip_answer = FTW_STOP;
    nftw_trace(root, FTW_ACTIONRETVAL, FTW_STOP);
    skip_at = "/b/d";
    skip_answer = FTW_SKIP_SIBLINGS;
    nftw_trace(root, FTW_ACTIONRETVAL, 0);
    assert_non_null(strstr(trace, "/z.txt F"));
    assert_null(strstr(trace, "/b/d/e F"));
    skip_answer = 42;
    nftw_trace(root, 0, 42);
    skip_at = NULL;
}

static int where(const char *path, const struct stat *st, int type, struct FTW *position)
{
    char cwd[PATH_MAX];
    assert_non_null(getcwd(cwd, sizeof cwd));
    struct stat here;
    if (position->level && type != FTW_DP) /* the name alone leads there */
        assert_int_equal(lstat(path + position->base, &here), 0);
    note("%s in %s\n", path + root_length, strlen(cwd) >= root_length ? cwd + root_length : "..");
    return 0;
}

static void nftw_changes_directory(void **state)
{
    char before[PATH_MAX], after[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    trace[0] = '\0';
    assert_int_equal(nftw(root, where, 5, FTW_CHDIR | FTW_DEPTH), 0);
    trace_sort();
    assert_string_equal(trace, " in \n/a in \n/b in /b\n/b/c in /b\n/b/d in /b/d\n"
                               "/b/d/e in /b/d\n/empty in /empty\n/z.txt in \n");
    assert_string_equal(getcwd(after, sizeof after), before);
}

static void ftw_visits(void **state)
{
    trace[0] = '\0';
    assert_int_equal(ftw(root, ftw_note, 5), 0);
    trace_sort();
    assert_string_equal(trace, " D\n/a F\n/b D\n/b/c F\n/b/d D\n/b/d/e F\n/empty D\n/z.txt F\n");
    skip_at = "/b";
    skip_answer = 7;
    assert_int_equal(ftw(root, ftw_note, 5), 7);
    skip_at = NULL;
}

/* ---- fts ---- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static const char *info_name(int info)
{
    static const char *const names[] = {
        [FTS_D] = "D",          [FTS_DC] = "DC", [FTS_DEFAULT] = "DEF", [FTS_DNR] = "DNR",
        [FTS_DOT] = "DOT",      [FTS_DP] = "DP", [FTS_ERR] = "ERR",     [FTS_F] = "F",
        [FTS_INIT] = "INIT",    [FTS_NS] = "NS", [FTS_NSOK] = "NSOK",   [FTS_SL] = "SL",
        [FTS_SLNONE] = "SLNONE"};
    return names[info];
}

static void fts_trace(char *const *roots, int options, const char *set_at, int instruction)
{
    trace[0] = '\0';
    FTS *fts = fts_open(roots, options, by_name);
    assert_non_null(fts);
    errno = 0;
    for (FTSENT *entry; (entry = fts_read(fts));) {
        const char *path = entry->fts_path;
        assert_int_equal(entry->fts_pathlen, strlen(path));
        assert_int_equal(entry->fts_namelen, strlen(entry->fts_name));
        path += strncmp(path, root, root_length) ? 0 : root_length;
        note("%s %s %d %s", path, info_name(entry->fts_info), entry->fts_level, entry->fts_name);
        if (entry->fts_info == FTS_F) {
            note(" %d", (int)entry->fts_statp->st_size);
            struct stat st;
            assert_int_equal(stat(entry->fts_accpath, &st), 0);
        }
        note("\n");
        if (set_at && !strcmp(path, set_at) && entry->fts_info != FTS_DP) {
            assert_int_equal(fts_set(fts, entry, instruction), 0);
            set_at = NULL;
        }
    }
    assert_int_equal(errno, 0);
    assert_int_equal(fts_close(fts), 0);
}

static const char fts_all[] =
    " D 0 walk\n/a F 1 a 4\n/b D 1 b\n/b/c F 2 c 4\n/b/d D 2 d\n/b/d/e F 3 e 4\n"
    "/b/d DP 2 d\n/b DP 1 b\n/empty D 1 empty\n/empty DP 1 empty\n/z.txt F 1 z.txt 4\n DP 0 walk\n";

static void fts_visits(void **state)
{
    char *roots[] = {root, NULL};
    fts_trace(roots, FTS_PHYSICAL, NULL, 0);
    assert_string_equal(trace, fts_all);
    fts_trace(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL, 0);
    assert_string_equal(trace, fts_all);
    fts_trace(roots, FTS_PHYSICAL | FTS_XDEV | FTS_COMFOLLOW, NULL, 0);
    assert_string_equal(trace, fts_all);
    fts_trace(roots, FTS_PHYSICAL, "/b", FTS_SKIP);
    assert_string_equal(trace, " D 0 walk\n/a F 1 a 4\n/b D 1 b\n/b DP 1 b\n/empty D 1 empty\n"
                               "/empty DP 1 empty\n/z.txt F 1 z.txt 4\n DP 0 walk\n");
    fts_trace(roots, FTS_PHYSICAL, "/a", FTS_AGAIN);
    assert_memory_equal(trace, " D 0 walk\n/a F 1 a 4\n/a F 1 a 4\n/b D", 35);
}

static void fts_several_roots(void **state)
{
    char first[PATH_MAX], second[PATH_MAX], none[PATH_MAX];
    snprintf(first, sizeof first, "%s/z.txt", root);
    snprintf(second, sizeof second, "%s/b/d", root);
    snprintf(none, sizeof none, "%s/none", root);
    char *roots[] = {first, none, second, "/dev/null", NULL};
    fts_trace(roots, FTS_PHYSICAL, NULL, 0);
    const char *parts[] = {"/dev/null DEF 0 null\n", "/z.txt F 0 z.txt 4\n", "/none NS 0 none\n",
                           "/b/d D 0 d\n/b/d/e F 1 e 4\n/b/d DP 0 d\n"};
    for (int i = 0; i < 4; i++)
        assert_non_null(strstr(trace, parts[i]));
    char *empty[] = {root, "", NULL};
    errno = 0;
    assert_null(fts_open(empty, FTS_PHYSICAL, NULL));
    assert_int_equal(errno, ENOENT);
    char *right[] = {root, NULL};
    assert_null(fts_open(right, 0x10000, NULL));
    assert_int_equal(errno, EINVAL);
}

static void fts_lists_children(void **state)
{
    char *roots[] = {root, NULL};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    assert_non_null(fts);
    FTSENT *children = fts_children(fts, 0);
    assert_non_null(children); /* before the first read: the roots */
    assert_null(children->fts_link);
    assert_int_equal(fts_read(fts)->fts_info, FTS_D);
    children = fts_children(fts, FTS_NAMEONLY);
    trace[0] = '\0';
    for (FTSENT *child = children; child; child = child->fts_link)
        note("%s ", child->fts_name);
    assert_string_equal(trace, "a b empty z.txt ");
    children = fts_children(fts, 0);
    trace[0] = '\0';
    for (FTSENT *child = children; child; child = child->fts_link)
        note("%s %s ", child->fts_name, info_name(child->fts_info));
    assert_string_equal(trace, "a F b D empty D z.txt F ");
    FTSENT *entry = fts_read(fts);
    assert_string_equal(entry->fts_name, "a");
    assert_string_equal(entry->fts_parent->fts_name, "walk");
    errno = 0;
    assert_null(fts_children(fts, 0)); /* of a file: none */
    assert_int_equal(errno, 0);
    assert_null(fts_children(fts, 12345));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_int_equal(fts_set(fts, entry, 12345), 1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(fts_close(fts), 0);
}

static void fts_without_stat(void **state)
{
    char *roots[] = {root, NULL};
    int files = 0, directories = 0, dots = 0;
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOSTAT | FTS_SEEDOT, NULL);
    assert_non_null(fts);
    for (FTSENT *entry; (entry = fts_read(fts));) {
        files += entry->fts_info == FTS_NSOK || entry->fts_info == FTS_F;
        directories += entry->fts_info == FTS_D;
        dots += entry->fts_info == FTS_DOT;
    }
    assert_int_equal(fts_close(fts), 0);
    assert_int_equal(files, 4);
    assert_int_equal(directories, 4);
    assert_int_equal(dots, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanned),
        cmocka_unit_test(globbed),
        cmocka_unit_test(nftw_visits),
        cmocka_unit_test(nftw_told),
        cmocka_unit_test(nftw_changes_directory),
        cmocka_unit_test(ftw_visits),
        cmocka_unit_test(fts_visits),
        cmocka_unit_test(fts_several_roots),
        cmocka_unit_test(fts_lists_children),
        cmocka_unit_test(fts_without_stat),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
