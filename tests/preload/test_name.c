/* Names: made, removed, resolved, stood in; and what this version refuses, with what errno. */
#include "tests/preload/preload.h"

#include <dlfcn.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <utime.h>

static char *root, *file;

static const char *below(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", root, name);
    return path;
}

static int setup(void **state)
{
    umask(022);
    root = strdup(preload_path("name"));
    assert_int_equal(mkdir(root, 0777), 0);
    file = strdup(below("file"));
    preload_make(file, 10);
    assert_int_equal(mkdir(below("dir"), 0777), 0);
    preload_make(below("dir/inside"), 5);
    return 0;
}

static void making_directories(void **state)
{
    struct stat st;
    assert_int_equal(mkdir(below("new"), 0777), 0);
    assert_int_equal(stat(below("new"), &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0755);
    assert_errno(mkdir(below("new"), 0777), EEXIST);
    assert_errno(mkdir(below("new/"), 0777), EEXIST);
    assert_errno(mkdir(file, 0777), EEXIST);
    assert_errno(mkdir(below("none/new"), 0777), ENOENT);
    assert_errno(mkdir(below("file/new"), 0777), ENOTDIR);
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkdirat(fd, "new/deep/", 0777), 0);
    assert_errno(rmdir(below("new")), ENOTEMPTY);
    assert_errno(unlinkat(fd, "new/deep", 0), EISDIR);
    assert_int_equal(unlinkat(fd, "new/deep", AT_REMOVEDIR), 0);
    assert_errno(unlinkat(fd, "new", 12345), EINVAL);
    close(fd);
    assert_errno(rmdir(below("new/.")), EINVAL);
    assert_errno(rmdir(below("dir/..")), ENOTEMPTY);
    assert_int_equal(rmdir(below("new/")), 0);
    assert_errno(rmdir(below("new")), ENOENT);
    assert_errno(rmdir(file), ENOTDIR);
    assert_errno(mkdir("", 0777), ENOENT);
    assert_errno(mkdir(preload_bad(4096), 0777), EFAULT);
}

static void removing(void **state)
{
    preload_make(below("gone"), 3);
    assert_int_equal(unlink(below("gone")), 0);
    assert_errno(unlink(below("gone")), ENOENT);
    assert_errno(unlink(below("dir")), EISDIR);
    assert_errno(unlink(below("file/")), ENOTDIR);
    assert_errno(unlink(below("none/gone")), ENOENT);
    preload_make(below("gone"), 3);
    assert_int_equal(remove(below("gone")), 0);
    assert_int_equal(mkdir(below("gone"), 0777), 0);
    assert_int_equal(remove(below("gone")), 0);
    assert_errno(remove(below("gone")), ENOENT);
    assert_errno(remove(below("dir")), ENOTEMPTY);
}

static void resolving(void **state)
{
    char buffer[PATH_MAX];
    assert_string_equal(realpath(below("dir/../file"), buffer), file);
    assert_string_equal(realpath(below("./dir//inside"), buffer), below("dir/inside"));
    char *owned = realpath(file, NULL);
    assert_string_equal(owned, file);
    free(owned);
    owned = canonicalize_file_name(below("dir/"));
    assert_string_equal(owned, below("dir"));
    free(owned);
    errno = 0;
    assert_null(realpath(below("none"), buffer));
    assert_int_equal(errno, ENOENT);
    assert_null(realpath(below("file/"), buffer));
    assert_int_equal(errno, ENOTDIR);
    assert_errno(readlink(file, buffer, sizeof buffer), EINVAL);
    assert_errno(readlink(below("none"), buffer, sizeof buffer), ENOENT);
    assert_errno(readlinkat(AT_FDCWD, below("dir"), buffer, sizeof buffer), EINVAL);
}

static void of_descriptors(void **state)
{
    char name[64], buffer[PATH_MAX];
    int fd = open(file, O_RDONLY);
    static const char *const forms[] = {"/proc/self/fd/%d", "/dev/fd/%d",
                                        "/proc/thread-self/fd/%d"};
    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof name, forms[i], fd);
        ssize_t length = readlink(name, buffer, sizeof buffer);
        assert_int_equal(length, strlen(file));
        assert_memory_equal(buffer, file, (size_t)length);
        assert_string_equal(realpath(name, buffer), file);
        int again = open(name, O_RDONLY);
        assert_true(again >= 0);
        char bytes[10];
        assert_int_equal(read(again, bytes, sizeof bytes), 10);
        assert_true(preload_matches(bytes, 10, 0));
        close(again);
    }
    assert_int_equal(readlink(name, buffer, 4), 4);
    close(fd);
    assert_errno(readlink(name, buffer, sizeof buffer), ENOENT);
    assert_int_equal(readlink("/dev/stdin", buffer, sizeof buffer), strlen("/proc/self/fd/0"));
}

static void standing(void **state)
{
    char before[PATH_MAX], buffer[PATH_MAX];
    struct stat st;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(below("dir")), 0);
    assert_string_equal(getcwd(buffer, sizeof buffer), below("dir"));
    char *owned = getcwd(NULL, 0);
    assert_string_equal(owned, below("dir"));
    free(owned);
    errno = 0;
    assert_null(getcwd(buffer, 3));
    assert_int_equal(errno, ERANGE);
    assert_int_equal(stat("inside", &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(stat("../file", &st), 0);
    assert_errno(stat("none", &st), ENOENT);
    int fd = open("inside", O_RDONLY);
    assert_true(fd >= 0);
    assert_errno(fchdir(fd), ENOTDIR);
    close(fd);
    assert_int_equal(mkdir("made", 0777), 0);
    assert_int_equal(rmdir(below("dir/made")), 0);
    assert_string_equal(realpath("inside", buffer), below("dir/inside"));
    assert_int_equal(chdir(".."), 0);
    assert_string_equal(getcwd(buffer, sizeof buffer), root);
    assert_errno(chdir("file"), ENOTDIR);
    assert_errno(chdir("none"), ENOENT);
    assert_int_equal(readlink("/proc/self/cwd", buffer, sizeof buffer), strlen(root));
    fd = open("dir", O_RDONLY | O_DIRECTORY);
    assert_int_equal(chdir("/"), 0);
    assert_string_equal(getcwd(buffer, sizeof buffer), "/");
    assert_errno(stat("inside", &st), ENOENT);
    assert_int_equal(fchdir(fd), 0);
    assert_int_equal(stat("inside", &st), 0);
    close(fd);
    assert_int_equal(chdir(before), 0);
    assert_string_equal(getcwd(buffer, sizeof buffer), before);
}

static void temporary(void **state)
{
    struct stat st;
    char template[PATH_MAX];
    snprintf(template, sizeof template, "%s", below("tmp-XXXXXX"));
    assert_ptr_equal(mkdtemp(template), template);
    assert_string_not_equal(template, below("tmp-XXXXXX"));
    assert_int_equal(stat(template, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(rmdir(template), 0);
    snprintf(template, sizeof template, "%s", below("tmp-XXXX"));
    errno = 0;
    assert_null(mkdtemp(template));
    assert_int_equal(errno, EINVAL);
    assert_errno(mkstemp(template), EINVAL);
    snprintf(template, sizeof template, "%s", below("none/tmp-XXXXXX"));
    assert_null(mkdtemp(template));
    assert_int_equal(errno, ENOENT);
}

/* Locally these succeed. */
static void refused(void **state)
{
    if (!preload_is_virtual())
        return;
    assert_errno(link(file, below("link")), EPERM);
    assert_errno(mkfifo(below("fifo"), 0600), EPERM);
    assert_errno(mknod(below("node"), S_IFREG | 0600, 0), EPERM);
    int watch = inotify_init1(0);
    assert_errno(inotify_add_watch(watch, file, IN_MODIFY), EOPNOTSUPP);
    assert_errno(fanotify_mark(watch, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, file), EOPNOTSUPP);
    close(watch);
}

/* Modes, owners and times are stored, of closed files and of files that are being written. */
static void attributes(void **state)
{
    struct timespec times[2] = {{1, 0}, {1000000000, 0}};
    struct timeval old_times[2] = {{1, 0}, {900000000, 0}};
    struct utimbuf older = {1, 800000000};
    struct stat st;
    const char *path = below("attributes");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_int_equal(futimens(fd, times), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(close(fd), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_mtim.tv_sec, 1000000000);
    assert_int_equal(chmod(path, 0750), 0);
    assert_int_equal(utimes(path, old_times), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(st.st_mtim.tv_sec, 900000000);
    assert_int_equal(st.st_size, 3);
    assert_int_equal(utime(path, &older), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 800000000);
    if (!geteuid()) {
        assert_int_equal(chown(path, 12345, 54321), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_uid, 12345);
        assert_int_equal(st.st_gid, 54321);
    }
    times[1].tv_nsec = 1000000000;
    assert_errno(utimensat(AT_FDCWD, path, times, 0), EINVAL);
    assert_errno(chmod(below("absent"), 0600), ENOENT);
    assert_int_equal(mkdir(below("private"), 0755), 0);
    assert_int_equal(chmod(below("private"), 0700), 0);
    assert_int_equal(stat(below("private"), &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
}

/* touch of a file that is there: the time of now, though nothing is written. */
static void touched_anew(void **state)
{
    struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}},
                    now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct stat st;
    const char *path = below("anew");
    for (int i = 0; i < 2; i++) {
        preload_make(path, 10);
        assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
        int fd = open(path, O_WRONLY | O_CREAT, 0644);
        assert_true(fd >= 0);
        assert_int_equal(futimens(fd, i ? now : NULL), 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_true(st.st_mtim.tv_sec > 1000000000);
        assert_int_equal(close(fd), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_mtim.tv_sec > 1000000000);
        assert_int_equal(st.st_size, 10);
    }
}

static void assert_times(int fd, time_t access, time_t modification)
{
    struct stat st;
    assert_int_equal(fd < 0 ? stat(below("times"), &st) : fstat(fd, &st), 0);
    assert_int_equal(st.st_atim.tv_sec, access);
    assert_int_equal(st.st_mtim.tv_sec, modification);
}

static int set_times(int fd, struct timespec access, struct timespec modification)
{
    struct timespec times[2] = {access, modification};
    return fd < 0 ? utimensat(AT_FDCWD, below("times"), times, 0) : futimens(fd, times);
}

/* Times of access and of modification, each by itself, of a file that is being written and of a closed one. */
static void both_times(void **state)
{
    const struct timespec kept = {0, UTIME_OMIT}, now = {0, UTIME_NOW};
    struct timeval values[2] = {{11, 0}, {12, 0}};
    struct utimbuf older = {13, 14};
    struct stat st;
    int fd = open(below("times"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "abc", 3), 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(set_times(fd, (struct timespec){100, 0}, (struct timespec){200, 0}), 0);
        assert_times(fd, 100, 200);
        assert_int_equal(set_times(fd, kept, (struct timespec){300, 0}), 0);
        assert_times(fd, 100, 300);
        assert_int_equal(set_times(fd, (struct timespec){400, 0}, kept), 0);
        assert_times(fd, 400, 300);
        assert_int_equal(set_times(fd, (struct timespec){300, 0}, kept), 0);
        assert_times(fd, 300, 300);
        assert_int_equal(set_times(fd, kept, (struct timespec){500, 0}), 0);
        assert_times(fd, 300, 500);
        assert_int_equal(set_times(fd, now, now), 0);
        assert_int_equal(fd < 0 ? stat(below("times"), &st) : fstat(fd, &st), 0);
        assert_true(st.st_atim.tv_sec > 1000000000 && st.st_mtim.tv_sec > 1000000000);
        assert_int_equal(set_times(fd, kept, (struct timespec){600, 0}), 0);
        assert_int_equal(set_times(fd, (struct timespec){700, 0}, kept), 0);
        assert_times(fd, 700, 600);
        if (fd >= 0)
            assert_int_equal(close(fd), 0);
        fd = -1;
        assert_times(fd, 700, 600);
    }
    assert_int_equal(utimes(below("times"), values), 0);
    assert_times(fd, 11, 12);
    assert_int_equal(utime(below("times"), &older), 0);
    assert_times(fd, 13, 14);
    assert_int_equal(chmod(below("times"), 0600), 0);
    assert_times(fd, 13, 14);
    assert_int_equal(rename(below("times"), below("times2")), 0);
    assert_int_equal(rename(below("times2"), below("times")), 0);
    assert_times(fd, 13, 14);
    assert_errno(set_times(fd, (struct timespec){1, 1000000000}, kept), EINVAL);
}

/* touch: a file that is being written has the time of now anyway. */
static void touched(void **state)
{
    struct timespec kept[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}},
                    now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    int fd = open(below("touched"), O_WRONLY | O_CREAT, 0644);
    assert_true(fd >= 0);
    assert_int_equal(futimens(fd, NULL), 0);
    assert_int_equal(futimens(fd, now), 0);
    assert_int_equal(futimens(fd, kept), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(utimensat(AT_FDCWD, below("touched"), kept, 0), 0);
    assert_errno(utimensat(AT_FDCWD, "/tmp", preload_bad(70000), 0), EFAULT);
}

static void refused_as_locally(void **state)
{
    char template[PATH_MAX], value[200];
    assert_errno(rename(below("none"), below("other")), ENOENT);
    assert_errno(renameat2(AT_FDCWD, file, AT_FDCWD, below("dir"), RENAME_NOREPLACE), EEXIST);
    assert_errno(link(below("none"), below("link")), ENOENT);
    assert_errno(symlink("x", file), EEXIST);
    assert_errno(mkfifo(file, 0600), EEXIST);
    assert_errno(chmod(below("none"), 0644), ENOENT);
    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(chown(file, (uid_t)-1, (gid_t)-1), 0);
    assert_int_equal(chown(file, geteuid(), getegid()), 0);
    assert_errno(utime(below("none"), NULL), ENOENT);
    if (preload_is_virtual()) /* not every local file system has them */
        assert_errno(getxattr(file, "user.none", value, sizeof value), ENODATA);
    assert_errno(getxattr(below("none"), "user.none", value, sizeof value), ENOENT);
    snprintf(template, sizeof template, "/tmp/s3dlio-test-XXXXXX");
    int local = mkstemp(template);
    assert_true(local >= 0);
    close(local);
    if (preload_is_virtual()) { /* a local root may be on the same file system */
        assert_errno(rename(template, below("across")), EXDEV);
        assert_errno(rename(file, template), EXDEV);
        assert_errno(link(template, below("across")), EXDEV);
    }
    assert_int_equal(unlink(template), 0);
}

static void inherited(void **state)
{
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(root), 0);
    pid_t child = fork();
    if (!child) {
        char buffer[PATH_MAX];
        bool right = getcwd(buffer, sizeof buffer) && !strcmp(buffer, root) &&
                     !access("file", R_OK) && !chdir("dir") && !access("inside", R_OK);
        _exit(right ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    char buffer[PATH_MAX];
    assert_string_equal(getcwd(buffer, sizeof buffer), root);
    assert_int_equal(chdir(before), 0);
}

static void file_copy(const char *from, const char *to)
{
    static char buffer[1 << 16];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    assert_true(in >= 0 && out >= 0);
    ssize_t got;
    while ((got = read(in, buffer, sizeof buffer)) > 0)
        assert_int_equal(write(out, buffer, (size_t)got), got);
    close(in);
    assert_int_equal(close(out), 0);
}

/* A library's copy of its own: same symbols, other addresses, one copy however often it is
 * loaded. */
static void loading(void **state)
{
    Dl_info info;
    assert_int_not_equal(dladdr((void *)_cmocka_run_group_tests, &info), 0);
    file_copy(info.dli_fname, below("lib.so"));
    file_copy(info.dli_fname, below("lib2.so"));
    void *first = dlopen(below("lib.so"), RTLD_NOW | RTLD_LOCAL);
    void *second = dlopen(below("lib2.so"), RTLD_NOW | RTLD_LOCAL);
    void *again = dlopen(below("lib.so"), RTLD_NOW | RTLD_LOCAL);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, second);
    void *here = dlsym(first, "_cmocka_run_group_tests");
    assert_non_null(here);
    assert_ptr_not_equal(here, dlsym(second, "_cmocka_run_group_tests"));
    dlclose(again);
    dlclose(second);
    dlclose(first);
    assert_null(dlopen(below("none.so"), RTLD_NOW));
    assert_non_null(strstr(dlerror(), "none.so"));
    assert_null(dlopen(file, RTLD_NOW));
    assert_non_null(dlerror());
    void *self = dlopen(NULL, RTLD_NOW);
    assert_non_null(self);
    dlclose(self);
}

static void no_socket(void **state)
{
    int fd = open(file, O_RDONLY), value;
    socklen_t length = sizeof value;
    char byte;
    assert_errno(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length), ENOTSOCK);
    assert_errno(recv(fd, &byte, 1, 0), ENOTSOCK);
    assert_errno(send(fd, &byte, 1, 0), ENOTSOCK);
    assert_errno(getpeername(fd, NULL, NULL), ENOTSOCK);
    assert_int_equal(isfdtype(fd, S_IFSOCK), 0);
    assert_int_equal(isfdtype(fd, S_IFREG), 1);
    close(fd);
}

/* From "/" downwards, a name at a time. */
static void from_the_root(void **state)
{
    char path[PATH_MAX], *rest = NULL;
    struct stat st, direct;
    snprintf(path, sizeof path, "%s", preload_root() + 1);
    int directory = open("/", O_PATH | O_DIRECTORY);
    assert_int_equal(fstatat(directory, path, &st, 0), 0);
    for (char *name = strtok_r(path, "/", &rest); name; name = strtok_r(NULL, "/", &rest)) {
        int next = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        assert_true(next >= 0);
        close(directory);
        directory = next;
    }
    assert_int_equal(fstat(directory, &st), 0);
    assert_int_equal(stat(preload_root(), &direct), 0);
    assert_true(st.st_ino == direct.st_ino && st.st_dev == direct.st_dev);
    close(directory);
}

/* Names that lead from a real directory above the tested one into it. */
static void from_above(void **state)
{
    const char *below = preload_root() + 1;
    char path[PATH_MAX + 32], old[PATH_MAX];
    int top = open("/", O_PATH | O_DIRECTORY), usr = open("/usr/bin", O_RDONLY | O_DIRECTORY);
    struct stat above, direct;
    assert_non_null(getcwd(old, sizeof old));
    assert_int_equal(stat(preload_root(), &direct), 0);

    snprintf(path, sizeof path, "%s/above", below);
    int fd = openat(top, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(close(fd), 0);
    snprintf(path, sizeof path, "../.././%s/above", below);
    assert_int_equal(fstatat(usr, path, &above, 0), 0);
    assert_int_equal(above.st_size, 1);
    assert_int_equal(fstatat(top, below, &above, 0), 0);
    assert_int_equal(above.st_ino, direct.st_ino);

    assert_int_equal(chdir("/"), 0);
    assert_int_equal(stat(below, &above), 0);
    assert_int_equal(above.st_ino, direct.st_ino);
    assert_int_equal(chdir("/usr/bin"), 0);
    assert_int_equal(access(path, F_OK), 0);
    assert_errno(access("../above", F_OK), ENOENT);
    assert_errno(access("s3/nothing", F_OK), ENOENT);
    assert_int_equal(chdir(old), 0);
    assert_int_equal(unlink(preload_path("above")), 0);
    close(top);
    close(usr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(making_directories),
        cmocka_unit_test(removing),
        cmocka_unit_test(resolving),
        cmocka_unit_test(of_descriptors),
        cmocka_unit_test(standing),
        cmocka_unit_test(temporary),
        cmocka_unit_test(refused),
        cmocka_unit_test(from_the_root),
        cmocka_unit_test(attributes),
        cmocka_unit_test(both_times),
        cmocka_unit_test(refused_as_locally),
        cmocka_unit_test(touched),
        cmocka_unit_test(touched_anew),
        cmocka_unit_test(inherited),
        cmocka_unit_test(loading),
        cmocka_unit_test(from_above),
        cmocka_unit_test(no_socket),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
