/* Symbolic links: made, read, followed at the end and in the middle of paths, by every call; and
 * the calls that act on the link itself. */
#include "tests/preload/text.h"

#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <spawn.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

static char real_file[64]; /* outside of every mount, natively as well */
static char real_dir[64];

static void link_to(const char *target, const char *name)
{
    if (symlink(target, preload_path(name)) < 0)
        fail_msg("%s: %s", name, strerror(errno));
}

static mode_t type_of(const char *name)
{
    struct stat st;
    if (lstat(preload_path(name), &st) < 0)
        fail_msg("%s: %s", name, strerror(errno));
    return st.st_mode & S_IFMT;
}

static int setup(void **state)
{
    umask(022);
    strcpy(real_dir, "/dev/shm/links-XXXXXX");
    assert_non_null(mkdtemp(real_dir));
    snprintf(real_file, sizeof real_file, "%s/real", real_dir);
    int fd = open(real_file, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(write(fd, "outside", 7), 7);
    close(fd);

    assert_int_equal(mkdir(preload_path("dir"), 0755), 0);
    assert_int_equal(mkdir(preload_path("dir/sub"), 0755), 0);
    text_put("file", "the file");
    text_put("dir/in", "inside");
    text_put("dir/sub/deep", "deep down");
    link_to("file", "to-file");
    link_to("dir", "to-dir");
    link_to("../file", "dir/up");
    link_to("to-dir/sub", "to-sub"); /* through another link */
    link_to("nothing", "dangling");
    link_to("loop-b", "loop-a");
    link_to("loop-a", "loop-b");
    link_to(preload_path("dir"), "absolute");
    link_to(real_file, "real-file");
    link_to(real_dir, "real-dir");
    return 0;
}

static int teardown(void **state)
{
    unlink(real_file);
    rmdir(real_dir);
    return 0;
}

static void made_and_read(void **state)
{
    char text[64];
    struct stat st;
    assert_int_equal(readlink(preload_path("to-file"), text, sizeof text), 4);
    assert_memory_equal(text, "file", 4);
    assert_int_equal(readlink(preload_path("to-file"), text, 2), 2);
    assert_int_equal(lstat(preload_path("to-file"), &st), 0);
    assert_int_equal(st.st_mode, S_IFLNK | 0777);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(fstatat(AT_FDCWD, preload_path("to-file"), &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISLNK(st.st_mode));
    int root = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_int_equal(symlinkat("some where", root, "at"), 0);
    assert_int_equal(readlinkat(root, "at", text, sizeof text), 10);
    assert_memory_equal(text, "some where", 10);
    assert_int_equal(unlinkat(root, "at", 0), 0);
    close(root);
    assert_int_equal(readlink(preload_path("to-dir/up"), text, sizeof text), 7);
}

static void mistakes(void **state)
{
    char text[16], longest[PATH_MAX + 2];
    assert_errno(symlink("x", preload_path("file")), EEXIST);
    assert_errno(symlink("x", preload_path("to-file")), EEXIST);
    assert_errno(symlink("x", preload_path("dangling")), EEXIST);
    assert_errno(symlink("x", preload_path("absent/x")), ENOENT);
    assert_errno(symlink("x", preload_path("file/x")), ENOTDIR);
    assert_errno(symlink("x", preload_path("new/")), ENOENT);
    assert_errno(symlink("", preload_path("new")), ENOENT);
    assert_errno(symlink(preload_bad(8), preload_path("new")), EFAULT);
    memset(longest, 'x', sizeof longest);
    longest[PATH_MAX + 1] = '\0';
    assert_errno(symlink(longest, preload_path("new")), ENAMETOOLONG);
    assert_errno(readlink(preload_path("file"), text, sizeof text), EINVAL);
    assert_errno(readlink(preload_path("dir"), text, sizeof text), EINVAL);
    assert_errno(readlink(preload_path("to-dir/"), text, sizeof text), EINVAL);
    assert_errno(readlink(preload_path("to-file/"), text, sizeof text), ENOTDIR);
    assert_errno(readlink(preload_path("absent"), text, sizeof text), ENOENT);
    assert_errno(readlink(preload_path("to-file"), text, 0), EINVAL);
    assert_errno(link(preload_path("absent"), preload_path("new")), ENOENT);
}

static void followed_at_the_end(void **state)
{
    struct stat st, file;
    struct statvfs fs;
    text_is("to-file", "the file");
    text_is("dir/up", "the file");
    assert_int_equal(stat(preload_path("file"), &file), 0);
    assert_int_equal(stat(preload_path("to-file"), &st), 0);
    assert_int_equal(st.st_ino, file.st_ino);
    assert_true(S_ISREG(st.st_mode));
    struct statx x;
    assert_int_equal(statx(AT_FDCWD, preload_path("to-file"), 0, STATX_INO, &x), 0);
    assert_int_equal(x.stx_ino, file.st_ino);
    assert_int_equal(statx(AT_FDCWD, preload_path("to-file"), AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x),
                     0);
    assert_true(S_ISLNK(x.stx_mode));
    assert_int_equal(access(preload_path("to-file"), R_OK), 0);
    assert_int_equal(faccessat(AT_FDCWD, preload_path("dangling"), F_OK, AT_SYMLINK_NOFOLLOW), 0);
    assert_errno(access(preload_path("dangling"), F_OK), ENOENT);
    assert_int_equal(statvfs(preload_path("to-file"), &fs), 0);
    assert_int_equal(stat(preload_path("to-dir"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    FILE *stream = fopen(preload_path("to-file"), "r");
    assert_non_null(stream);
    assert_int_equal(fgetc(stream), 't');
    stream = freopen(preload_path("dir/up"), "r", stream);
    assert_non_null(stream);
    assert_int_equal(fgetc(stream), 't');
    fclose(stream);
}

static void followed_in_the_middle(void **state)
{
    struct stat st;
    text_is("to-dir/in", "inside");
    text_is("to-dir/sub/deep", "deep down");
    text_is("to-sub/deep", "deep down");
    text_is("to-dir/up", "the file");
    text_is("absolute/sub/deep", "deep down");
    assert_int_equal(lstat(preload_path("to-dir/sub/deep"), &st), 0);
    assert_int_equal(st.st_size, 9);
    assert_errno(stat(preload_path("to-dir/absent"), &st), ENOENT);
    assert_errno(stat(preload_path("to-dir/absent/x"), &st), ENOENT);
    assert_errno(stat(preload_path("to-dir/in/x"), &st), ENOTDIR);
    assert_errno(stat(preload_path("to-file/x"), &st), ENOTDIR);
    assert_errno(open(preload_path("dangling/x"), O_RDONLY), ENOENT);
    assert_errno(open(preload_path("dangling/x"), O_WRONLY | O_CREAT, 0644), ENOENT);
}

static void slashes(void **state)
{
    struct stat st;
    assert_int_equal(lstat(preload_path("to-dir/"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_errno(lstat(preload_path("to-file/"), &st), ENOTDIR);
    assert_errno(stat(preload_path("to-file/"), &st), ENOTDIR);
    assert_errno(stat(preload_path("dangling/"), &st), ENOENT);
    assert_errno(open(preload_path("to-file/"), O_RDONLY), ENOTDIR);
    assert_errno(rmdir(preload_path("to-dir/")), ENOTDIR);
    assert_errno(unlink(preload_path("to-dir/")), ENOTDIR);
    assert_errno(mkdir(preload_path("to-dir/"), 0755), EEXIST);
}

static void endless(void **state)
{
    struct stat st;
    char text[8];
    assert_errno(stat(preload_path("loop-a"), &st), ELOOP);
    assert_errno(open(preload_path("loop-a"), O_RDONLY), ELOOP);
    assert_errno(open(preload_path("loop-a"), O_WRONLY | O_CREAT, 0644), ELOOP);
    assert_errno(stat(preload_path("loop-b/x"), &st), ELOOP);
    assert_errno(chdir(preload_path("loop-b")), ELOOP);
    assert_null(realpath(preload_path("loop-b"), NULL));
    assert_int_equal(errno, ELOOP);
    assert_int_equal(readlink(preload_path("loop-a"), text, 8), 6);
}

static void opened_as_asked(void **state)
{
    struct stat st;
    char text[8];
    assert_errno(open(preload_path("to-file"), O_RDONLY | O_NOFOLLOW), ELOOP);
    assert_errno(open(preload_path("to-file"), O_WRONLY | O_NOFOLLOW), ELOOP);
    assert_errno(open(preload_path("to-dir"), O_RDONLY | O_NOFOLLOW), ELOOP);
    assert_errno(open(preload_path("to-dir"), O_RDONLY | O_DIRECTORY | O_NOFOLLOW), ENOTDIR);
    assert_errno(open(preload_path("to-file"), O_RDONLY | O_DIRECTORY), ENOTDIR);
    assert_errno(open(preload_path("to-file"), O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    assert_errno(open(preload_path("dangling"), O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    int fd = open(preload_path("to-dir/in"), O_RDONLY | O_NOFOLLOW);
    assert_true(fd >= 0);
    close(fd);
    fd = open(preload_path("to-file"), O_PATH | O_NOFOLLOW);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(readlinkat(fd, "", text, sizeof text), 4);
    assert_memory_equal(text, "file", 4);
    close(fd);
    fd = open(preload_path("to-file"), O_PATH);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_errno(readlinkat(fd, "", text, sizeof text), ENOENT);
    close(fd);
    fd = open(preload_path("to-dir"), O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    int inner = openat(fd, "in", O_RDONLY);
    assert_true(inner >= 0);
    close(inner);
    close(fd);
}

static void written_through(void **state)
{
    link_to("later", "early");
    text_put("early", "made by the link");
    assert_int_equal(type_of("early"), S_IFLNK);
    text_is("later", "made by the link");
    text_put("early", "again");
    text_is("later", "again");
    int fd = open(preload_path("early"), O_RDWR);
    assert_int_equal(pwrite(fd, "A", 1, 0), 1);
    close(fd);
    text_is("later", "Again");
    assert_int_equal(truncate(preload_path("early"), 2), 0);
    text_is("later", "Ag");
    text_put("to-dir/fresh", "fresh");
    text_is("dir/fresh", "fresh");
    assert_int_equal(unlink(preload_path("to-dir/fresh")), 0);
    assert_false(text_exists("dir/fresh"));
    assert_int_equal(mkdir(preload_path("to-dir/made"), 0755), 0);
    assert_int_equal(type_of("dir/made"), S_IFDIR);
    assert_int_equal(rmdir(preload_path("absolute/made")), 0);
    assert_false(text_exists("dir/made"));
    assert_errno(mkdir(preload_path("dangling"), 0755), EEXIST);
    assert_errno(mkdir(preload_path("to-dir"), 0755), EEXIST);
    char template[PATH_MAX];
    snprintf(template, sizeof template, "%s/to-dir/tmpXXXXXX", preload_root());
    fd = mkstemp(template);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unlink(template), 0);
    unlink(preload_path("early"));
    unlink(preload_path("later"));
}

static void the_link_itself(void **state)
{
    link_to("file", "one");
    assert_int_equal(rename(preload_path("one"), preload_path("two")), 0);
    assert_int_equal(type_of("two"), S_IFLNK);
    text_is("two", "the file");
    assert_errno(rmdir(preload_path("two")), ENOTDIR);
    text_put("plain", "plain");
    assert_int_equal(rename(preload_path("plain"), preload_path("two")), 0);
    assert_int_equal(type_of("two"), S_IFREG);
    text_is("file", "the file");
    link_to("dir", "one");
    assert_int_equal(rename(preload_path("one"), preload_path("two")), 0);
    assert_int_equal(type_of("two"), S_IFLNK);
    assert_int_equal(rename(preload_path("two"), preload_path("to-dir/three")), 0);
    assert_int_equal(type_of("dir/three"), S_IFLNK);
    assert_int_equal(rename(preload_path("absolute/three"), preload_path("two")), 0);
    assert_int_equal(unlink(preload_path("two")), 0);
    assert_false(text_exists("two"));
    assert_int_equal(type_of("dir"), S_IFDIR);
    link_to("absent", "two");
    assert_int_equal(remove(preload_path("two")), 0);
}

static void attributes(void **state)
{
    struct stat st;
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    assert_int_equal(chmod(preload_path("to-file"), 0600), 0);
    assert_int_equal(stat(preload_path("file"), &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(type_of("to-file"), S_IFLNK);
    assert_errno(fchmodat(AT_FDCWD, preload_path("to-file"), 0644, AT_SYMLINK_NOFOLLOW),
                 EOPNOTSUPP);
    assert_int_equal(fchmodat(AT_FDCWD, preload_path("file"), 0644, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(utimensat(AT_FDCWD, preload_path("to-file"), times, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(lstat(preload_path("to-file"), &st), 0);
    assert_int_equal(st.st_mtime, 2000);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(preload_path("to-file"), &st), 0);
    assert_int_not_equal(st.st_mtime, 2000);
    times[1].tv_sec = 3000;
    assert_int_equal(utimensat(AT_FDCWD, preload_path("to-file"), times, 0), 0);
    assert_int_equal(stat(preload_path("file"), &st), 0);
    assert_int_equal(st.st_mtime, 3000);
    assert_int_equal(lchown(preload_path("to-file"), geteuid(), getegid()), 0);
    assert_int_equal(chown(preload_path("to-file"), geteuid(), getegid()), 0);
    assert_int_equal(utimensat(AT_FDCWD, preload_path("to-dir/in"), times, 0), 0);
    assert_errno(chmod(preload_path("dangling"), 0600), ENOENT);
    text_is("to-file", "the file");
}

static void standing_there(void **state)
{
    char cwd[PATH_MAX], before[PATH_MAX], *resolved;
    assert_non_null(getcwd(before, sizeof before));
    char *expected = realpath(preload_path("dir/sub"), NULL);
    assert_non_null(expected);
    assert_int_equal(chdir(preload_path("to-sub")), 0);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_string_equal(cwd, expected);
    resolved = realpath("../in", NULL);
    assert_non_null(resolved);
    free(resolved);
    assert_int_equal(access("deep", R_OK), 0);
    assert_int_equal(chdir(before), 0);
    resolved = realpath(preload_path("to-sub/deep"), NULL);
    assert_non_null(resolved);
    assert_memory_equal(resolved, expected, strlen(expected));
    assert_string_equal(resolved + strlen(expected), "/deep");
    free(resolved);
    assert_null(realpath(preload_path("dangling"), NULL));
    assert_int_equal(errno, ENOENT);
    assert_errno(chdir(preload_path("to-file")), ENOTDIR);
    free(expected);
}

static void out_of_the_mount(void **state)
{
    char text[64] = "", cwd[PATH_MAX], before[PATH_MAX];
    struct stat st, real;
    text_is("real-file", "outside");
    text_is("real-dir/real", "outside");
    assert_int_equal(stat(real_file, &real), 0);
    assert_int_equal(stat(preload_path("real-file"), &st), 0);
    assert_true(st.st_dev == real.st_dev && st.st_ino == real.st_ino);
    assert_int_equal(stat(preload_path("real-dir/real"), &st), 0);
    assert_true(st.st_ino == real.st_ino);
    assert_int_equal(access(preload_path("real-file"), R_OK), 0);
    assert_errno(access(preload_path("real-dir/none"), R_OK), ENOENT);
    FILE *stream = fopen(preload_path("real-file"), "r");
    assert_non_null(stream);
    assert_non_null(fgets(text, sizeof text, stream));
    assert_string_equal(text, "outside");
    fclose(stream);
    DIR *directory = opendir(preload_path("real-dir"));
    assert_non_null(directory);
    closedir(directory);
    char *resolved = realpath(preload_path("real-file"), NULL);
    assert_non_null(resolved);
    assert_string_equal(resolved, real_file);
    free(resolved);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(preload_path("real-dir")), 0);
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_string_equal(cwd, real_dir);
    assert_int_equal(access("real", F_OK), 0);
    assert_int_equal(chdir(before), 0);
    text_put("real-dir/new", "new");
    text_is("real-dir/new", "new");
    assert_int_equal(chmod(preload_path("real-dir/new"), 0600), 0);
    assert_int_equal(stat(preload_path("real-dir/new"), &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(truncate(preload_path("real-dir/new"), 1), 0);
    assert_int_equal(symlink("new", preload_path("real-dir/link")), 0);
    assert_int_equal(readlink(preload_path("real-dir/link"), text, sizeof text), 3);
    assert_int_equal(unlink(preload_path("real-dir/link")), 0);
    assert_int_equal(unlink(preload_path("real-dir/new")), 0);
    assert_int_equal(mkdir(preload_path("real-dir/d"), 0755), 0);
    assert_int_equal(rmdir(preload_path("real-dir/d")), 0);
    assert_int_equal(type_of("real-file"), S_IFLNK);
}

static void listed(void **state)
{
    DIR *directory = opendir(preload_path("to-dir"));
    unsigned links = 0, all = 0;
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)); all++)
        if (!strcmp(entry->d_name, "up"))
            links += entry->d_type == DT_LNK;
    closedir(directory);
    assert_int_equal(all, 5); /* . .. in sub up */
    assert_int_equal(links, 1);
    struct dirent **names;
    int count = scandir(preload_path("to-sub"), &names, NULL, alphasort);
    assert_int_equal(count, 3);
    while (count > 0)
        free(names[--count]);
    free(names);
    glob_t found;
    assert_int_equal(glob(preload_path("to-dir/s*/d*"), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    globfree(&found);
    assert_int_equal(glob(preload_path("dang*"), 0, NULL, &found), 0);
    globfree(&found);
}

static unsigned seen[8];

static int count_types(const char *path, const struct stat *st, int type, struct FTW *position)
{
    const char *name = path + position->base;
    if (type == FTW_SL)
        assert_true(S_ISLNK(st->st_mode));
    seen[type]++;
    if (!strcmp(name, "dangling"))
        assert_true(type == FTW_SL || type == FTW_SLN);
    return 0;
}

static void walked_by_nftw(void **state)
{
    mkdir(preload_path("walk"), 0755);
    mkdir(preload_path("walk/d"), 0755);
    text_put("walk/d/f", "f");
    link_to("d", "walk/to-d");
    link_to("d/f", "walk/to-f");
    link_to("none", "walk/dangling");
    link_to(".", "walk/self");
    memset(seen, 0, sizeof seen);
    assert_int_equal(nftw(preload_path("walk"), count_types, 8, FTW_PHYS), 0);
    assert_int_equal(seen[FTW_SL], 4);
    assert_int_equal(seen[FTW_D], 2);
    assert_int_equal(seen[FTW_F], 1);
    memset(seen, 0, sizeof seen);
    if (nftw(preload_path("walk"), count_types, 8, 0)) fail_msg("%s", strerror(errno));
    assert_int_equal(seen[FTW_SLN], 1);
    assert_int_equal(seen[FTW_D], 2);
    assert_int_equal(seen[FTW_F], 2);
    memset(seen, 0, sizeof seen);
    assert_int_equal(nftw(preload_path("walk/to-d"), count_types, 8, FTW_PHYS), 0);
    assert_int_equal(seen[FTW_SL], 1);
    memset(seen, 0, sizeof seen);
    assert_int_equal(nftw(preload_path("walk/to-d"), count_types, 8, 0), 0);
    assert_int_equal(seen[FTW_F], 1);
}

static void walked_by_fts(void **state)
{
    char *roots[] = {(char *)preload_path("walk"), NULL};
    unsigned infos[32] = {0};
    FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; (entry = fts_read(fts));)
        infos[entry->fts_info]++;
    fts_close(fts);
    assert_int_equal(infos[FTS_SL], 4);
    assert_int_equal(infos[FTS_D], 2);
    memset(infos, 0, sizeof infos);
    fts = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    for (FTSENT *entry; (entry = fts_read(fts));)
        infos[entry->fts_info]++;
    fts_close(fts);
    assert_int_equal(infos[FTS_SLNONE], 1);
    assert_int_equal(infos[FTS_DC], 1);
    assert_int_equal(infos[FTS_D], 3);
    assert_int_equal(infos[FTS_F], 3);
}

/* A program that a link in the bucket leads to, as in a virtual environment of Python. */
static void programs(void **state)
{
    link_to("/bin/true", "program");
    const char *path = preload_path("program");
    char *argv[] = {"true", NULL};
    int status = -1;
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, path, NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    pid = fork();
    if (!pid) {
        execv(path, argv);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_read),       cmocka_unit_test(mistakes),
        cmocka_unit_test(followed_at_the_end), cmocka_unit_test(followed_in_the_middle),
        cmocka_unit_test(slashes),             cmocka_unit_test(endless),
        cmocka_unit_test(opened_as_asked),     cmocka_unit_test(written_through),
        cmocka_unit_test(the_link_itself),     cmocka_unit_test(attributes),
        cmocka_unit_test(standing_there),      cmocka_unit_test(out_of_the_mount),
        cmocka_unit_test(listed),              cmocka_unit_test(walked_by_nftw),
        cmocka_unit_test(walked_by_fts),       cmocka_unit_test(programs),
    };
    return cmocka_run_group_tests_name("symlink", tests, setup, teardown);
}
