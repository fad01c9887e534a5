/* Extended attributes, by every door: of closed files, of directories, and of files that are being
 * written, with which they travel. */
#include "tests/preload/preload.h"

#include <sys/syscall.h>
#include <sys/xattr.h>

static char file[PATH_MAX];

static int setup(void **state)
{
    umask(022);
    snprintf(file, sizeof file, "%s/file", preload_root());
    preload_make(file, 100);
    return 0;
}

/* This file system keeps none: nothing to compare with. */
static void need_support(void)
{
    if (!preload_is_virtual() && setxattr(file, "user.probe", "", 0, 0) < 0 && errno == EOPNOTSUPP) {
        print_message("skip: this file system has no attributes of the kind user.*\n");
        skip();
    }
    removexattr(file, "user.probe");
}

static void is_value(const char *path, const char *name, const char *value)
{
    char buffer[256] = "";
    ssize_t length = getxattr(path, name, buffer, sizeof buffer - 1);
    if (length < 0)
        fail_msg("%s of %s: %s", name, path, strerror(errno));
    assert_int_equal(length, strlen(value));
    assert_string_equal(buffer, value);
}

static bool is_listed(const char *names, ssize_t length, const char *name)
{
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1)
        if (!strcmp(names + at, name))
            return true;
    return false;
}

static void of_a_file(void **state)
{
    char names[256];
    need_support();
    assert_int_equal(setxattr(file, "user.one", "first", 5, 0), 0);
    assert_int_equal(setxattr(file, "user.two", "", 0, XATTR_CREATE), 0);
    is_value(file, "user.one", "first");
    is_value(file, "user.two", "");
    assert_int_equal(setxattr(file, "user.one", "again\n\"{", 8, XATTR_REPLACE), 0);
    is_value(file, "user.one", "again\n\"{");
    assert_int_equal(syscall(SYS_lsetxattr, file, "user.raw", "r", 1, 0), 0);
    assert_int_equal(syscall(SYS_removexattr, file, "user.raw"), 0);
    assert_int_equal(getxattr(file, "user.one", NULL, 0), 8);
    ssize_t length = listxattr(file, names, sizeof names);
    assert_int_equal(length, 18);
    assert_true(is_listed(names, length, "user.one") && is_listed(names, length, "user.two"));
    assert_int_equal(listxattr(file, NULL, 0), 18);
    int fd = open(file, O_RDONLY);
    assert_int_equal(fgetxattr(fd, "user.one", names, sizeof names), 8);
    assert_int_equal(fsetxattr(fd, "user.three", "3", 1, 0), 0);
    assert_int_equal(flistxattr(fd, NULL, 0), 29);
    assert_int_equal(fremovexattr(fd, "user.three"), 0);
    close(fd);
    assert_int_equal(removexattr(file, "user.one"), 0);
    assert_int_equal(lremovexattr(file, "user.two"), 0);
    assert_int_equal(listxattr(file, names, sizeof names), 0);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 100);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
}

static void of_a_directory(void **state)
{
    need_support();
    const char *directory = preload_path("directory");
    assert_int_equal(mkdir(directory, 0755), 0);
    assert_int_equal(setxattr(directory, "user.kind", "box", 3, 0), 0);
    is_value(directory, "user.kind", "box");
    int fd = open(directory, O_RDONLY | O_DIRECTORY);
    char value[8];
    assert_int_equal(fgetxattr(fd, "user.kind", value, sizeof value), 3);
    close(fd);
    assert_int_equal(rmdir(directory), 0);
}

static void mistakes(void **state)
{
    char value[8], name[300];
    need_support();
    assert_int_equal(setxattr(file, "user.here", "value", 5, 0), 0);
    assert_errno(getxattr(file, "user.none", value, sizeof value), ENODATA);
    assert_errno(removexattr(file, "user.none"), ENODATA);
    assert_errno(setxattr(file, "user.none", "x", 1, XATTR_REPLACE), ENODATA);
    assert_errno(setxattr(file, "user.here", "x", 1, XATTR_CREATE), EEXIST);
    assert_errno(setxattr(file, "user.here", "x", 1, 64), EINVAL);
    assert_errno(getxattr(file, "user.here", value, 4), ERANGE);
    assert_errno(listxattr(file, value, 4), ERANGE);
    assert_errno(getxattr(file, "", value, sizeof value), ERANGE);
    assert_errno(setxattr(file, "nothing", "x", 1, 0), EOPNOTSUPP);
    assert_errno(getxattr(preload_path("absent"), "user.here", value, sizeof value), ENOENT);
    assert_errno(listxattr(preload_path("file/below"), value, sizeof value), ENOTDIR);
    assert_errno(setxattr(file, preload_bad(8), "x", 1, 0), EFAULT);
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[299] = '\0';
    assert_errno(setxattr(file, name, "x", 1, 0), ERANGE);
    static char large[65537];
    assert_errno(setxattr(file, "user.large", large, sizeof large, 0), E2BIG);
    int fd = open(file, O_PATH);
    assert_errno(fgetxattr(fd, "user.here", value, sizeof value), EBADF);
    close(fd);
    assert_int_equal(removexattr(file, "user.here"), 0);
}

/* What the store has no room for. */
static void too_much(void **state)
{
    static char large[4000];
    if (!preload_is_virtual())
        return;
    assert_errno(setxattr(file, "user.large", large, sizeof large, 0), ENOSPC);
    int fd = open(preload_path("large"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_errno(fsetxattr(fd, "user.large", large, sizeof large, 0), ENOSPC);
    assert_int_equal(fsetxattr(fd, "user.small", "s", 1, 0), 0);
    assert_int_equal(close(fd), 0);
    is_value(preload_path("large"), "user.small", "s");
    assert_errno(setxattr(file, "user.s3.etag", "x", 1, 0), EPERM);
    assert_true(getxattr(file, "user.s3.etag", large, sizeof large) > 2);
    assert_errno(setxattr(file, "security.selinux", "x", 1, 0), EOPNOTSUPP);
    assert_errno(getxattr(file, "system.posix_acl_access", large, sizeof large), EOPNOTSUPP);
    assert_errno(getxattr(file, "security.capability", large, sizeof large), EOPNOTSUPP);
}

static void through_links(void **state)
{
    char value[8];
    need_support();
    const char *link = preload_path("link");
    assert_int_equal(symlink("file", link), 0);
    assert_int_equal(setxattr(link, "user.x", "y", 1, 0), 0);
    is_value(file, "user.x", "y");
    assert_errno(lsetxattr(link, "user.x", "y", 1, 0), EPERM);
    assert_int_equal(lgetxattr(link, "user.x", value, sizeof value), -1);
    assert_int_equal(llistxattr(link, value, sizeof value), 0);
    assert_int_equal(removexattr(link, "user.x"), 0);
    assert_int_equal(unlink(link), 0);
}

/* A stream, a draft of nothing, and one of what is there; by descriptor and by path. */
static void of_what_is_written(void **state)
{
    static const int flags[] = {O_WRONLY | O_CREAT | O_TRUNC, O_RDWR | O_CREAT | O_TRUNC, O_RDWR};
    char value[16], name[32];
    need_support();
    const char *path = preload_path("written");
    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "user.n%u", i);
        int fd = open(path, flags[i], 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "some text", 9), 9);
        assert_int_equal(fsetxattr(fd, name, "wet", 3, XATTR_CREATE), 0);
        assert_int_equal(fgetxattr(fd, name, value, sizeof value), 3);
        assert_int_equal(setxattr(path, name, "paint", 5, XATTR_REPLACE), 0);
        is_value(path, name, "paint");
        assert_errno(fgetxattr(fd, "user.none", value, sizeof value), ENODATA);
        assert_int_equal(fsetxattr(fd, "user.gone", "x", 1, 0), 0);
        assert_int_equal(fremovexattr(fd, "user.gone"), 0);
        assert_errno(fremovexattr(fd, "user.gone"), ENODATA);
        assert_int_equal(close(fd), 0);
        is_value(path, name, "paint");
    }
    is_value(path, "user.n1", "paint"); /* what is changed in place keeps what it had */
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 9);
    int fd = open(path, O_RDWR); /* the attributes alone */
    assert_int_equal(fsetxattr(fd, "user.alone", "1", 1, 0), 0);
    assert_int_equal(close(fd), 0);
    is_value(path, "user.alone", "1");
    fd = open(path, O_WRONLY | O_APPEND);
    assert_int_equal(fsetxattr(fd, "user.more", "2", 1, 0), 0);
    assert_int_equal(write(fd, "!", 1), 1);
    assert_int_equal(fsync(fd), 0);
    is_value(path, "user.more", "2");
    assert_int_equal(fsetxattr(fd, "user.later", "3", 1, 0), 0);
    assert_int_equal(close(fd), 0);
    is_value(path, "user.alone", "1");
    is_value(path, "user.later", "3");
    assert_int_equal(unlink(path), 0);
}

/* More than one part: the upload has begun when the attribute comes. */
static void of_a_long_stream(void **state)
{
    need_support();
    const char *path = preload_path("long");
    size_t size = 20 << 20;
    char *data = calloc(1, size);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, data, size), size);
    assert_int_equal(fsetxattr(fd, "user.late", "yes", 3, 0), 0);
    assert_int_equal(close(fd), 0);
    free(data);
    is_value(path, "user.late", "yes");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, size);
    assert_int_equal(unlink(path), 0);
}

/* A file that is emptied is the same file. */
static void of_what_is_emptied(void **state)
{
    char names[64];
    static const int modes[] = {O_WRONLY | O_TRUNC, O_RDWR | O_TRUNC, O_WRONLY | O_CREAT | O_TRUNC};
    need_support();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        const char *path = preload_path("emptied");
        preload_make(path, 100);
        assert_int_equal(setxattr(path, "user.kept", "yes", 3, 0), 0);
        int fd = open(path, modes[i], 0600);
        assert_true(fd >= 0);
        assert_int_equal(fgetxattr(fd, "user.kept", names, sizeof names), 3);
        assert_int_equal(write(fd, "new", 3), 3);
        assert_int_equal(fsetxattr(fd, "user.more", "so", 2, 0), 0);
        assert_int_equal(close(fd), 0);
        is_value(path, "user.kept", "yes");
        is_value(path, "user.more", "so");
        assert_int_equal(truncate(path, 0), 0);
        is_value(path, "user.kept", "yes");
        assert_int_equal(unlink(path), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_file),          cmocka_unit_test(of_a_directory),
        cmocka_unit_test(mistakes),           cmocka_unit_test(too_much),
        cmocka_unit_test(through_links),      cmocka_unit_test(of_what_is_written),
        cmocka_unit_test(of_a_long_stream),   cmocka_unit_test(of_what_is_emptied),
    };
    return cmocka_run_group_tests_name("xattr", tests, setup, NULL);
}
