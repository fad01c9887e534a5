/* The stat family, access, statfs: the same answer through every door. */
#include "tests/preload/preload.h"

#include <dlfcn.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>

static const char *data;

static int setup(void **state)
{
    umask(022);
    data = strdup(preload_path("stat.dat"));
    preload_make(data, 5000);
    mkdir(preload_path("stat.dir"), 0755);
    return 0;
}

static void the_file(void **state)
{
    struct stat st;
    assert_int_equal(stat(data, &st), 0);
    assert_int_equal(st.st_size, 5000);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_gid, getegid());
    assert_int_equal(st.st_nlink, 1);
    assert_true(llabs((long long)(st.st_mtime - time(NULL))) < 60);
    assert_true(st.st_ino > 1);
    assert_true(st.st_blksize >= 4096);
}

static void same_everywhere(void **state)
{
    struct stat a, b;
    assert_int_equal(stat(data, &a), 0);
    assert_int_equal(lstat(data, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_int_equal(fstatat(AT_FDCWD, data, &b, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    int fd = open(data, O_RDONLY);
    assert_int_equal(fstat(fd, &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_int_equal(a.st_dev, b.st_dev);
    assert_int_equal(a.st_mtim.tv_sec, b.st_mtim.tv_sec);
    assert_int_equal(a.st_size, b.st_size);
    assert_int_equal(fstatat(fd, "", &b, AT_EMPTY_PATH), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    close(fd);
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_int_equal(fstatat(directory, "stat.dat", &b, 0), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    close(directory);
    struct statx x;
    assert_int_equal(statx(AT_FDCWD, data, 0, STATX_BASIC_STATS, &x), 0);
    assert_int_equal(x.stx_ino, a.st_ino);
    assert_int_equal(x.stx_size, 5000);
    assert_int_equal(makedev(x.stx_dev_major, x.stx_dev_minor), a.st_dev);
}

/* What old binaries call; not in today's headers. */
static void versioned(void **state)
{
    int (*xstat)(int, const char *, struct stat *) =
        (int (*)(int, const char *, struct stat *))dlsym(RTLD_DEFAULT, "__xstat");
    assert_non_null(xstat);
    struct stat st;
    assert_int_equal(xstat(1, data, &st), 0);
    assert_int_equal(st.st_size, 5000);
}

static void directories(void **state)
{
    struct stat st;
    assert_int_equal(stat(preload_path("stat.dir"), &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0755);
    assert_int_equal(stat(preload_path("stat.dir/"), &st), 0);
    assert_int_equal(stat(preload_path("stat.dir/."), &st), 0);
    assert_int_equal(stat(preload_path("stat.dir/../stat.dat"), &st), 0);
    assert_int_equal(stat(preload_path("./stat.dir//../stat.dat"), &st), 0);
    assert_int_equal(st.st_size, 5000);
}

static void errors(void **state)
{
    struct stat st;
    assert_errno(stat(preload_path("absent"), &st), ENOENT);
    assert_errno(stat(preload_path("absent/"), &st), ENOENT);
    assert_errno(stat(preload_path("stat.dat/"), &st), ENOTDIR);
    assert_errno(stat(preload_path("stat.dat/x"), &st), ENOTDIR);
    assert_errno(lstat("", &st), ENOENT);
    assert_errno(access(preload_path("absent"), F_OK), ENOENT);
    assert_errno(access(data, 99), EINVAL);
}

static void may_i(void **state)
{
    assert_int_equal(access(data, F_OK), 0);
    assert_int_equal(access(data, R_OK | W_OK), 0);
    assert_errno(access(data, X_OK), EACCES);
    assert_int_equal(access(preload_path("stat.dir"), R_OK | W_OK | X_OK), 0);
    assert_int_equal(faccessat(AT_FDCWD, data, R_OK, AT_EACCESS), 0);
    assert_int_equal(eaccess(data, R_OK), 0);
}

static void file_system(void **state)
{
    struct statfs fs;
    struct statvfs vfs;
    assert_int_equal(statfs(data, &fs), 0);
    assert_true(fs.f_bavail > 0 && fs.f_bsize > 0);
    assert_int_equal(statvfs(preload_root(), &vfs), 0);
    assert_true(vfs.f_bavail > 0 && vfs.f_namemax >= 255);
    assert_errno(statfs(preload_path("absent"), &fs), ENOENT);
    int fd = open(data, O_RDONLY);
    assert_int_equal(fstatfs(fd, &fs), 0);
    assert_int_equal(fstatvfs(fd, &vfs), 0);
    struct statfs other;
    assert_int_equal(statfs(preload_root(), &other), 0);
    assert_int_equal(other.f_type, fs.f_type);
    assert_memory_equal(&other.f_fsid, &fs.f_fsid, sizeof fs.f_fsid);
    assert_int_equal(vfs.f_blocks, fs.f_blocks);
    assert_int_equal(vfs.f_frsize, fs.f_bsize);
    assert_int_equal(vfs.f_namemax, fs.f_namelen);
    assert_errno(statfs(data, preload_bad(0x1000)), EFAULT);
    assert_errno(fstatfs(fd, preload_bad(0x1000)), EFAULT);
    assert_errno(fstatfs(-1, &fs), EBADF);
    if (preload_is_virtual()) {
        assert_true(vfs.f_flag & ST_NOSUID && vfs.f_flag & ST_NODEV);
        assert_int_equal(fs.f_bavail, fs.f_blocks);
    }
    assert_true(pathconf(data, _PC_NAME_MAX) >= 255);
    assert_true(fpathconf(fd, _PC_NAME_MAX) >= 255);
    close(fd);
}

/* A link that the kernel makes for a descriptor leads to the file; the link itself is a link. */
static void through_proc(void **state)
{
    char name[64];
    struct stat st, link;
    int fd = open(data, O_RDONLY);
    static const char *const places[] = {"/proc/self/fd/%d", "/dev/fd/%d"};
    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof name, places[i], fd);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_size, 5000);
        assert_true(S_ISREG(st.st_mode));
        assert_int_equal(lstat(name, &link), 0);
        assert_true(S_ISLNK(link.st_mode));
        assert_int_equal(access(name, R_OK), 0);
    }
    close(fd);
    assert_errno(stat(name, &st), ENOENT);
}

/* What a file without a mode of its own is shown with does not follow later umasks. */
static void umask_of_the_moment(void **state)
{
    struct stat st;
    mode_t before = umask(0);
    assert_int_equal(stat(data, &st), 0);
    umask(before);
    assert_int_equal(st.st_mode & 07777, 0644);
}

/* What a process makes that was started with a stricter umask than ours has that mode for us, too. */
static void umask_of_another_process(void **state)
{
    char command[PATH_MAX + 100];
    struct stat st;
    snprintf(command, sizeof command, "umask 077; exec sh -c 'echo secret >%s'",
             preload_path("strict"));
    assert_int_equal(system(command), 0);
    assert_int_equal(stat(preload_path("strict"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(unlink(preload_path("strict")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file),    cmocka_unit_test(same_everywhere),
        cmocka_unit_test(versioned),   cmocka_unit_test(directories),
        cmocka_unit_test(errors),      cmocka_unit_test(may_i),
        cmocka_unit_test(file_system), cmocka_unit_test(through_proc),
        cmocka_unit_test(umask_of_the_moment),
        cmocka_unit_test(umask_of_another_process),
    };
    return cmocka_run_group_tests_name("stat", tests, setup, NULL);
}
