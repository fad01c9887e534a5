/* /file: the local store shows and sets modes, owners, times and attributes as the file system keeps
 * them. Each change is made through /file, on an open file or by name, and looked at on the disk;
 * natively both names are the same. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

static char folder[64];

/* As the disk knows it, and as the library is to serve it. */
static const char *disk(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s%s%s", folder, *name ? "/" : "", name);
    return path;
}

static const char *served(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s%s%s%s", preload_is_virtual() ? "/file" : "", folder,
             *name ? "/" : "", name);
    return path;
}

static int setup(void **state)
{
    /* In memory, where attributes may be large. */
    strcpy(folder, "/dev/shm/s3dlio-local-XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int teardown(void **state)
{
    char command[sizeof folder + 16];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static struct stat look(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return st;
}

static void check_times(struct timespec a, struct timespec b)
{
    assert_int_equal(a.tv_sec, b.tv_sec);
    assert_int_equal(a.tv_nsec, b.tv_nsec);
}

/* Both names say the same. */
static void check_same(const char *name)
{
    struct stat there = look(disk(name)), shown = look(served(name));
    assert_int_equal(shown.st_mode, there.st_mode);
    assert_int_equal(shown.st_uid, there.st_uid);
    assert_int_equal(shown.st_gid, there.st_gid);
    if (S_ISREG(there.st_mode))
        assert_int_equal(shown.st_size, there.st_size);
    check_times(shown.st_mtim, there.st_mtim);
}

static void make(const char *path, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "text", 4), 4);
    assert_int_equal(close(fd), 0);
}

static void new_files_have_their_mode(void **state)
{
    static const mode_t modes[] = {0644, 0600, 0666, 0755, 0777, 0400};
    static const mode_t masks[] = {022, 0, 077};
    for (size_t m = 0; m < 3; m++) {
        mode_t before = umask(masks[m]);
        for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
            make(served("new"), modes[i]);
            assert_int_equal(look(disk("new")).st_mode, S_IFREG | (modes[i] & ~masks[m]));
            check_same("new");
            assert_int_equal(unlink(served("new")), 0);
            assert_int_equal(mkdir(served("dir"), modes[i]), 0);
            assert_int_equal(look(disk("dir")).st_mode, S_IFDIR | (modes[i] & ~masks[m]));
            check_same("dir");
            assert_int_equal(rmdir(served("dir")), 0);
        }
        umask(before);
    }
}

static void directories_have_their_time(void **state)
{
    assert_int_equal(mkdir(served("d"), 0755), 0);
    check_same("d");
    check_same("");
    struct timespec times[2] = {{100, 0}, {200, 123456789}};
    assert_int_equal(utimensat(AT_FDCWD, served("d"), times, 0), 0);
    check_times(look(disk("d")).st_mtim, times[1]);
    check_same("d");
    make(served("d/file"), 0644);
    assert_true(look(disk("d")).st_mtim.tv_sec > 200);
    check_same("d");
    assert_int_equal(chmod(served("d"), 02711), 0);
    assert_int_equal(look(disk("d")).st_mode, S_IFDIR | 02711);
    check_same("d");
    check_same("d/file");
    assert_int_equal(chmod(disk("d"), 0700), 0); /* by somebody else: seen at once */
    check_same("d");
    assert_int_equal(unlink(served("d/file")), 0);
    check_same("d");
    assert_int_equal(rmdir(served("d")), 0);
}

static void changes_by_name(void **state)
{
    struct timespec times[2] = {{100, 0}, {1000, 5}};
    make(served("file"), 0644);
    check_same("file");
    ino_t inode = look(disk("file")).st_ino;
    assert_int_equal(utimensat(AT_FDCWD, served("file"), times, 0), 0);
    check_times(look(disk("file")).st_mtim, times[1]);
    assert_int_equal(chmod(served("file"), 0640), 0);
    assert_int_equal(look(disk("file")).st_mode, S_IFREG | 0640);
    check_times(look(disk("file")).st_mtim, times[1]);
    if (geteuid() == 0) {
        assert_int_equal(chown(served("file"), 7, 8), 0);
        assert_int_equal(look(disk("file")).st_uid, 7);
        assert_int_equal(look(disk("file")).st_gid, 8);
    }
    assert_int_equal(look(disk("file")).st_ino, inode); /* no new file for that */
    check_same("file");
    assert_int_equal(chmod(served("file"), 0), 0);
    check_same("file");
    assert_int_equal(unlink(served("file")), 0);
}

/* What is set on a file that is being written is so when it has been. */
static void changes_of_an_open_file(void **state)
{
    struct timespec times[2] = {{100, 0}, {2000, 7}};
    for (int flags = 0; flags < 3; flags++) {
        static const int kinds[] = {O_WRONLY | O_CREAT | O_TRUNC, O_RDWR | O_CREAT,
                                    O_WRONLY | O_CREAT | O_APPEND};
        for (int exists = 0; exists < 2; exists++) {
            if (exists)
                make(served("open"), 0604);
            int fd = open(served("open"), kinds[flags], 0644);
            assert_true(fd >= 0);
            assert_int_equal(write(fd, "abc", 3), 3);
            assert_int_equal(fchmod(fd, 0751), 0);
            if (geteuid() == 0)
                assert_int_equal(fchown(fd, 9, 10), 0);
            assert_int_equal(futimens(fd, times), 0);
            struct stat st;
            assert_int_equal(fstat(fd, &st), 0);
            assert_int_equal(st.st_mode, S_IFREG | 0751);
            check_times(st.st_mtim, times[1]);
            assert_int_equal(close(fd), 0);
            st = look(disk("open"));
            assert_int_equal(st.st_mode, S_IFREG | 0751);
            if (geteuid() == 0) {
                assert_int_equal(st.st_uid, 9);
                assert_int_equal(st.st_gid, 10);
            }
            check_times(st.st_mtim, times[1]);
            check_same("open");
            assert_int_equal(unlink(served("open")), 0);
        }
    }
}

/* Large enough to be sent in parts, and changed before and after some are. */
static void changes_of_a_large_file(void **state)
{
    static char block[1 << 20];
    struct timespec times[2] = {{100, 0}, {3000, 9}};
    for (int late = 0; late < 2; late++) {
        int fd = open(served("large"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        for (int i = 0; i < 40; i++) {
            if (i == (late ? 39 : 0))
                assert_int_equal(fchmod(fd, 0705), 0);
            assert_int_equal(write(fd, block, sizeof block), sizeof block);
        }
        assert_int_equal(futimens(fd, times), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(look(disk("large")).st_mode, S_IFREG | 0705);
        check_times(look(disk("large")).st_mtim, times[1]);
        check_same("large");
        assert_int_equal(unlink(served("large")), 0);
    }
}

/* What writes a file anew leaves its mode and owner. */
static void writing_keeps_mode_and_owner(void **state)
{
    make(disk("kept"), 0644);
    assert_int_equal(chmod(disk("kept"), 0640), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(disk("kept"), 11, 12), 0);
    struct stat before = look(disk("kept"));
    make(served("kept"), 0600);
    int fd = open(served("kept"), O_RDWR);
    assert_int_equal(pwrite(fd, "more", 4, 2), 4);
    assert_int_equal(close(fd), 0);
    struct stat after = look(disk("kept"));
    assert_int_equal(after.st_mode, before.st_mode);
    assert_int_equal(after.st_uid, before.st_uid);
    assert_int_equal(after.st_gid, before.st_gid);
    assert_int_equal(after.st_size, 6);
    check_same("kept");
    assert_int_equal(unlink(served("kept")), 0);
}

static void check_attribute(const char *path, const char *name, const char *value)
{
    char there[64];
    ssize_t length = getxattr(path, name, there, sizeof there);
    if (value) {
        assert_int_equal(length, strlen(value));
        assert_memory_equal(there, value, strlen(value));
    } else {
        assert_int_equal(length, -1);
        assert_int_equal(errno, ENODATA);
    }
}

static void check_attribute_both(const char *name, const char *value)
{
    check_attribute(disk("attributes"), name, value);
    check_attribute(served("attributes"), name, value);
}

static void extended_attributes(void **state)
{
    char list[256];
    make(disk("attributes"), 0644);
    if (setxattr(disk("attributes"), "user.disk", "by the disk", 11, 0) < 0) {
        print_message("skip: this file system keeps no attributes of the kind user.*\n");
        skip();
    }
    check_attribute_both("user.disk", "by the disk");
    assert_int_equal(setxattr(served("attributes"), "user.a \"b", "1", 1, 0), 0);
    check_attribute_both("user.a \"b", "1");
    assert_int_equal(listxattr(served("attributes"), list, sizeof list),
                     listxattr(disk("attributes"), list, sizeof list));
    make(served("attributes"), 0644); /* emptied and written anew: as they were */
    check_attribute_both("user.disk", "by the disk");
    check_attribute_both("user.a \"b", "1");
    int fd = open(served("attributes"), O_RDWR);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(fsetxattr(fd, "user.open", "yes", 3, 0), 0);
    assert_int_equal(fremovexattr(fd, "user.disk"), 0);
    assert_int_equal(close(fd), 0);
    check_attribute_both("user.open", "yes");
    check_attribute_both("user.disk", NULL);
    check_attribute_both("user.a \"b", "1");
    fd = open(served("attributes"), O_RDWR);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(fremovexattr(fd, "user.open"), 0);
    assert_int_equal(fremovexattr(fd, "user.a \"b"), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(listxattr(disk("attributes"), NULL, 0), 0);
    assert_int_equal(setxattr(served("attributes"), "user.last", "", 0, 0), 0);
    check_attribute_both("user.last", "");
    assert_int_equal(removexattr(served("attributes"), "user.last"), 0);
    check_attribute_both("user.last", NULL);
    assert_int_equal(unlink(served("attributes")), 0);
}

/* More than metadata of an object could say: stays, when the file is written anew. */
static void large_attributes_stay(void **state)
{
    static char large[3000], there[4000];
    memset(large, 'x', sizeof large);
    make(disk("large"), 0644);
    for (int i = 0; i < 4; i++) {
        snprintf(there, sizeof there, "user.large%d", i);
        if (setxattr(disk("large"), there, large, i ? 900 : sizeof large, 0) < 0 ||
            (i == 0 && setxattr(disk("large"), "user.other", large, 500, 0) < 0)) {
            print_message("skip: this file system has no room for such attributes\n");
            skip();
        }
    }
    make(served("large"), 0644);
    assert_int_equal(chmod(served("large"), 0600), 0);
    int fd = open(served("large"), O_RDWR);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(close(fd), 0);
    assert_int_equal(getxattr(disk("large"), "user.large0", there, sizeof there), sizeof large);
    assert_int_equal(getxattr(disk("large"), "user.large3", there, sizeof there), 900);
    check_same("large");
    assert_int_equal(unlink(served("large")), 0);
}

static void listings_tell_the_same(void **state)
{
    assert_int_equal(mkdir(disk("list"), 0755), 0);
    assert_int_equal(mkdir(disk("list/sub"), 0710), 0);
    make(disk("list/file"), 0602);
    DIR *dir = opendir(served("list"));
    unsigned seen = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[300];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "list/%s", entry->d_name);
        check_same(name);
        seen++;
    }
    closedir(dir);
    assert_int_equal(seen, 2);
    assert_int_equal(unlink(served("list/file")), 0);
    assert_int_equal(rmdir(served("list/sub")), 0);
    check_same("list");
    assert_int_equal(rmdir(served("list")), 0);
    if (preload_is_virtual())
        check_times(look("/file/proc").st_mtim, look("/proc").st_mtim);
}

/* What is free is free on the disk; only what cannot change meanwhile is compared. */
static void check_file_system(const struct statfs *shown, const struct statfs *there)
{
    assert_int_equal(shown->f_type, there->f_type);
    assert_int_equal(shown->f_bsize, there->f_bsize);
    assert_int_equal(shown->f_blocks, there->f_blocks);
    assert_int_equal(shown->f_namelen, there->f_namelen);
    assert_memory_equal(&shown->f_fsid, &there->f_fsid, sizeof there->f_fsid);
    assert_true(shown->f_bavail <= there->f_blocks);
}

static void the_file_system_is_the_disks(void **state)
{
    struct statfs there, shown;
    struct statvfs vfs, vfs_shown;
    assert_int_equal(statfs(disk(""), &there), 0);
    assert_int_equal(statfs(served(""), &shown), 0);
    check_file_system(&shown, &there);
    int fd = open(served("unwritten"), O_RDWR | O_CREAT, 0644);
    assert_int_equal(fstatfs(fd, &shown), 0);
    check_file_system(&shown, &there);
    assert_int_equal(statfs(served("unwritten"), &shown), 0);
    check_file_system(&shown, &there);
    assert_int_equal(close(fd), 0);
    assert_int_equal(statvfs(disk(""), &vfs), 0);
    assert_int_equal(statvfs(served("unwritten"), &vfs_shown), 0);
    assert_int_equal(vfs_shown.f_blocks, vfs.f_blocks);
    assert_int_equal(vfs_shown.f_frsize, vfs.f_frsize);
    assert_int_equal(vfs_shown.f_flag, vfs.f_flag);
    assert_int_equal(vfs_shown.f_fsid, vfs.f_fsid);
    assert_int_equal(unlink(served("unwritten")), 0);
    assert_errno(statfs(served("none"), &shown), ENOENT);
}

/* The local store does not lead back into a bucket: such a name is a relative one that is not there. */
static void no_way_back(void **state)
{
    char name[PATH_MAX];
    struct stat st;
    snprintf(name, sizeof name, "file://%s", preload_root());
    assert_errno(stat(name, &st), ENOENT);
    snprintf(name, sizeof name, "file:%s/x", preload_root());
    assert_errno(open(name, O_WRONLY | O_CREAT, 0644), ENOENT);
    snprintf(name, sizeof name, "/file%s/x", preload_root());
    assert_errno(open(name, O_RDONLY), ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_files_have_their_mode),
        cmocka_unit_test(directories_have_their_time),
        cmocka_unit_test(changes_by_name),
        cmocka_unit_test(changes_of_an_open_file),
        cmocka_unit_test(changes_of_a_large_file),
        cmocka_unit_test(writing_keeps_mode_and_owner),
        cmocka_unit_test(extended_attributes),
        cmocka_unit_test(large_attributes_stay),
        cmocka_unit_test(listings_tell_the_same),
        cmocka_unit_test(the_file_system_is_the_disks),
        cmocka_unit_test(no_way_back),
    };
    return cmocka_run_group_tests_name("local store", tests, setup, teardown);
}
