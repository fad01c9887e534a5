/* What is too long: names, paths, keys, files. The call that asks for it is the one that is
 * refused, and nothing has changed. */
#include "tests/preload/preload.h"

#include <sys/uio.h>

#define OBJECT_MAX (INT64_C(5) << 40)

/* "<root>/<directory/>" and a name of so many bytes. */
static const char *name_of(size_t length)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    int used = snprintf(path, PATH_MAX, "%s/", preload_root());
    memset(path + used, 'n', length);
    path[(size_t)used + length] = '\0';
    return path;
}

static int make(const char *path, int flags)
{
    int fd = open(path, O_CREAT | flags, 0644);
    return fd < 0 ? -1 : close(fd);
}

static void refused(const char *path)
{
    static const int flags[] = {O_WRONLY, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND, O_WRONLY | O_EXCL,
                                O_RDWR};
    struct stat st;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++)
        assert_errno(make(path, flags[i]), ENAMETOOLONG);
    assert_errno(mkdir(path, 0755), ENAMETOOLONG);
    assert_errno(symlink("target", path), ENAMETOOLONG);
    assert_errno(rename(preload_path("file"), path), ENAMETOOLONG);
    assert_errno(rename(preload_path("directory"), path), ENAMETOOLONG);
    assert_errno(renameat2(AT_FDCWD, preload_path("file"), AT_FDCWD, path, RENAME_NOREPLACE),
                 ENAMETOOLONG);
    assert_int_equal(stat(preload_path("file"), &st), 0);
    assert_int_equal(stat(preload_path("directory"), &st), 0);
}

/* MinIO keeps the marker of a directory under a name that is longer by nine bytes. */
static size_t directory_name_max(void)
{
    const char *server = getenv("S3DLIO_TEST_SERVER");
    return server && !strcmp(server, "minio") ? NAME_MAX - 9 : NAME_MAX;
}

static void test_components(void **state)
{
    const char *longest = name_of(NAME_MAX), *longer = name_of(NAME_MAX + 1);
    char template[PATH_MAX];
    preload_make(preload_path("file"), 10);
    assert_int_equal(mkdir(preload_path("directory"), 0755), 0);
    refused(longer);
    snprintf(template, sizeof template, "%sXXXXXX", name_of(NAME_MAX - 5));
    assert_errno(mkstemp(template), ENAMETOOLONG);
    assert_null(mkdtemp(template));

    assert_int_equal(make(longest, O_WRONLY | O_TRUNC), 0);
    assert_int_equal(unlink(longest), 0);
    const char *longest_directory = name_of(directory_name_max());
    assert_int_equal(mkdir(longest_directory, 0755), 0);
    assert_int_equal(rmdir(longest_directory), 0);
    assert_int_equal(symlink("file", longest), 0);
    assert_int_equal(unlink(longest), 0);
    assert_int_equal(rename(preload_path("file"), longest), 0);
    assert_int_equal(unlink(longest), 0);
    assert_int_equal(rmdir(preload_path("directory")), 0);
}

/* A file that is being written takes no such name either, and is stored under its old one. */
static void test_open_file(void **state)
{
    struct stat st;
    int fd = open(preload_path("written"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "text", 4), 4);
    assert_errno(rename(preload_path("written"), name_of(NAME_MAX + 1)), ENAMETOOLONG);
    assert_int_equal(close(fd), 0);
    assert_int_equal(stat(preload_path("written"), &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(unlink(preload_path("written")), 0);
}

/* However short it is when it is resolved. */
static void test_paths(void **state)
{
    static char path[3 * PATH_MAX];
    preload_make(preload_path("file"), 10);
    assert_int_equal(mkdir(preload_path("directory"), 0755), 0);
    size_t length = (size_t)snprintf(path, sizeof path, "%s", preload_root());
    while (length < PATH_MAX)
        length += (size_t)sprintf(path + length, "/.");
    strcpy(path + length, "/new");
    refused(path);
    assert_errno(access(path, F_OK), ENAMETOOLONG);
    assert_errno(truncate(path, 1), ENAMETOOLONG);
    assert_errno(chmod(path, 0600), ENAMETOOLONG);
    assert_int_equal(unlink(preload_path("file")), 0);
    assert_int_equal(rmdir(preload_path("directory")), 0);
}

/* ---- what only object storage limits ------------------------------------------------------------ */

/* A path of a key of so many bytes: components of 200 and what is left. */
static const char *key_of(size_t length)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    size_t used = (size_t)snprintf(path, PATH_MAX, "%s/", preload_root()), bytes = 0;
    while (bytes < length) {
        path[used++] = bytes % 200 == 199 && bytes + 1 < length ? '/' : 'k';
        bytes++;
    }
    path[used] = '\0';
    return path;
}

static void make_parents(const char *path)
{
    char text[PATH_MAX];
    strcpy(text, path);
    for (char *at = text + strlen(preload_root()) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        if (mkdir(text, 0755) < 0 && errno != EEXIST)
            fail_msg("%s: %s", text, strerror(errno));
        *at = '/';
    }
}

static void test_keys(void **state)
{
    if (!preload_is_virtual())
        return;
    const char *longest = key_of(1024), *longer = key_of(1025), *marker = key_of(1023);
    preload_make(preload_path("file"), 10);
    assert_int_equal(mkdir(preload_path("directory"), 0755), 0);
    make_parents(longer);
    refused(longer);
    assert_errno(mkdir(longest, 0755), ENAMETOOLONG); /* a directory's key has a slash more */
    assert_errno(rename(preload_path("directory"), longest), ENAMETOOLONG);

    assert_int_equal(make(longest, O_WRONLY | O_TRUNC), 0);
    assert_int_equal(unlink(longest), 0);
    assert_int_equal(symlink("file", longest), 0);
    assert_int_equal(unlink(longest), 0);
    assert_int_equal(rename(preload_path("file"), longest), 0);
    assert_int_equal(unlink(longest), 0);
    assert_int_equal(mkdir(marker, 0755), 0);
    assert_int_equal(rmdir(marker), 0);
    assert_int_equal(rmdir(preload_path("directory")), 0);
}

/* What is in a directory may be too long for its new name: nothing is moved then. */
static void test_keys_below(void **state)
{
    if (!preload_is_virtual())
        return;
    const char *longest = key_of(1024);
    char from[PATH_MAX];
    struct stat st;
    make_parents(longest);
    preload_make(longest, 10);
    snprintf(from, sizeof from, "%.*s", (int)strlen(preload_root()) + 200, longest);
    assert_errno(rename(from, name_of(200)), ENAMETOOLONG);
    assert_int_equal(stat(longest, &st), 0);
    assert_errno(stat(name_of(200), &st), ENOENT);
    assert_int_equal(unlink(longest), 0);
}

static void too_large(int fd)
{
    struct stat before, after;
    struct iovec iov[2] = {{"abc", 3}, {"def", 3}};
    assert_int_equal(fstat(fd, &before), 0);
    assert_errno(pwrite(fd, "x", 1, OBJECT_MAX), EFBIG);
    assert_errno(pwrite(fd, "x", 1, INT64_MAX), EFBIG);
    assert_errno(pwritev(fd, iov, 2, OBJECT_MAX), EFBIG);
    assert_errno(ftruncate(fd, OBJECT_MAX + 1), EFBIG);
    assert_errno(ftruncate(fd, INT64_MAX), EFBIG);
    assert_errno(fallocate(fd, 0, OBJECT_MAX - 1, 2), EFBIG);
    assert_int_equal(posix_fallocate(fd, OBJECT_MAX, 1), EFBIG);
    assert_int_equal(lseek(fd, OBJECT_MAX, SEEK_SET), OBJECT_MAX);
    assert_errno(write(fd, "x", 1), EFBIG);
    assert_errno(writev(fd, iov, 2), EFBIG);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(fstat(fd, &after), 0);
    assert_int_equal(after.st_size, before.st_size);
}

static void test_five_tebibytes(void **state)
{
    if (!preload_is_virtual())
        return;
    const char *path = preload_path("large");
    struct iovec iov[2] = {{"abc", 3}, {"def", 3}};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    too_large(fd);
    assert_int_equal(write(fd, "text", 4), 4);
    assert_int_equal(close(fd), 0);
    fd = open(path, O_RDWR);
    too_large(fd);
    assert_errno(truncate(path, OBJECT_MAX + 1), EFBIG);
    /* As much as there is room for, and no more. */
    assert_int_equal(pwritev(fd, iov, 2, OBJECT_MAX - 2), 2);
    assert_int_equal(lseek(fd, 0, SEEK_END), OBJECT_MAX);
    assert_int_equal(ftruncate(fd, 4), 0);
    assert_int_equal(close(fd), 0);
    char text[8] = "";
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_memory_equal(text, "text", 4);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_components),     cmocka_unit_test(test_open_file),
        cmocka_unit_test(test_paths),          cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_below),     cmocka_unit_test(test_five_tebibytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
