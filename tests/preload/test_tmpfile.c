/* Files without a name (O_TMPFILE), and the name that linkat(2) gives them. */
#include "tests/preload/text.h"

#include <dirent.h>

static int nameless(const char *directory, int flags)
{
    int fd = open(preload_path(directory), O_TMPFILE | flags, 0640);
    if (fd < 0)
        fail_msg("%s: %s", directory, strerror(errno));
    return fd;
}

static int give_name(int fd, const char *name)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, link, AT_FDCWD, preload_path(name), AT_SYMLINK_FOLLOW);
}

static void never_named(void **state)
{
    text_directory("quiet");
    int fd = nameless("quiet", O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_nlink, 0);
    assert_int_equal(st.st_size, 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    text_add(fd, "scratch");
    char buffer[16] = "";
    assert_int_equal(pread(fd, buffer, 16, 0), 7);
    assert_string_equal(buffer, "scratch");
    assert_int_equal(ftruncate(fd, 3), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), 3);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(text_entries("quiet"), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_entries("quiet"), 0);
    assert_int_equal(rmdir(preload_path("quiet")), 0);
}

static void named(void **state)
{
    int fd = nameless(".", O_RDWR);
    text_add(fd, "content");
    assert_int_equal(give_name(fd, "given"), 0);
    assert_int_equal(text_links(fd), 1);
    text_is("given", "content");
    text_add(fd, " and more");
    assert_int_equal(text_size("given"), 16);
    assert_int_equal(close(fd), 0);
    text_is("given", "content and more");
    struct stat st;
    assert_int_equal(stat(preload_path("given"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void named_by_descriptor(void **state)
{
    int fd = nameless(".", O_WRONLY);
    text_add(fd, "content");
    int result = linkat(fd, "", AT_FDCWD, preload_path("by-fd"), AT_EMPTY_PATH);
    if (result < 0 && errno == ENOENT && !preload_is_virtual()) {
        close(fd); /* the kernel wants CAP_DAC_READ_SEARCH for it */
        return;
    }
    assert_int_equal(result, 0);
    assert_int_equal(close(fd), 0);
    text_is("by-fd", "content");

    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    fd = openat(directory, ".", O_TMPFILE | O_RDWR, 0600);
    assert_true(fd >= 0);
    text_add(fd, "second");
    assert_errno(linkat(fd, "", directory, "by-fd", AT_EMPTY_PATH), EEXIST);
    assert_int_equal(linkat(fd, "", directory, "by-fd-2", AT_EMPTY_PATH), 0);
    assert_int_equal(close(directory), 0);
    assert_int_equal(close(fd), 0);
    text_is("by-fd-2", "second");
}

static void refused(void **state)
{
    text_put("taken", "taken");
    text_directory("folder");
    int fd = nameless(".", O_RDWR), busy = text_begin("busy", O_WRONLY, "x");
    text_add(fd, "content");
    assert_errno(give_name(fd, "taken"), EEXIST);
    assert_errno(give_name(fd, "busy"), EEXIST);
    assert_errno(give_name(fd, "folder"), EEXIST);
    assert_errno(give_name(fd, "absent/x"), ENOENT);
    assert_errno(give_name(fd, "taken/x"), ENOTDIR);
    assert_errno(give_name(fd, "busy/x"), ENOTDIR);
    assert_int_equal(text_links(fd), 0);
    assert_int_equal(give_name(fd, "folder/x"), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(busy), 0);
    text_is("folder/x", "content");
    text_is("taken", "taken");
    text_is("busy", "x");

    assert_errno(open(preload_path("."), O_TMPFILE | O_RDONLY, 0600), EINVAL);
    assert_errno(open(preload_path("absent"), O_TMPFILE | O_RDWR, 0600), ENOENT);
    assert_errno(open(preload_path("taken"), O_TMPFILE | O_RDWR, 0600), ENOTDIR);
}

static void kept_to_itself(void **state)
{
    int fd = nameless(".", O_RDWR | O_EXCL);
    text_add(fd, "private");
    assert_errno(give_name(fd, "never"), ENOENT);
    assert_int_equal(close(fd), 0);
    assert_false(text_exists("never"));
}

/* Named, it is a file as any other. */
static void then_as_any_other(void **state)
{
    int fd = nameless(".", O_RDWR);
    text_add(fd, "one");
    assert_int_equal(give_name(fd, "any"), 0);
    assert_int_equal(text_move("any", "other"), 0);
    text_add(fd, " two");
    assert_int_equal(text_size("other"), 7);
    assert_false(text_exists("any"));
    assert_int_equal(close(fd), 0);
    text_is("other", "one two");

    fd = nameless(".", O_RDWR);
    assert_int_equal(give_name(fd, "any"), 0);
    text_is("any", "");
    assert_int_equal(text_remove("any"), 0);
    assert_int_equal(text_links(fd), 0);
    assert_int_equal(close(fd), 0);
    assert_false(text_exists("any"));
}

static void several_at_once(void **state)
{
    int first = nameless(".", O_RDWR), second = nameless(".", O_RDWR);
    struct stat a, b;
    assert_int_equal(fstat(first, &a), 0);
    assert_int_equal(fstat(second, &b), 0);
    assert_int_not_equal(a.st_ino, b.st_ino);
    text_add(first, "first");
    text_add(second, "second");
    assert_int_equal(give_name(second, "two"), 0);
    assert_int_equal(give_name(first, "one"), 0);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(second), 0);
    text_is("one", "first");
    text_is("two", "second");
}

/* By the link of its descriptor it can be opened once more, and has an offset of its own. */
static void opened_once_more(void **state)
{
    char link[64], buffer[16] = "";
    int fd = nameless(".", O_RDWR);
    text_add(fd, "scratch");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = open(link, O_RDONLY);
    assert_true(again >= 0);
    assert_int_equal(read(again, buffer, 16), 7);
    assert_string_equal(buffer, "scratch");
    assert_errno(write(again, "x", 1), EBADF);
    assert_int_equal(close(again), 0);
    assert_errno(open(link, O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
    text_add(fd, "!");
    assert_int_equal(close(fd), 0);

    fd = text_begin("short", O_WRONLY, "lived");
    assert_int_equal(text_remove("short"), 0);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    again = open(link, O_RDONLY);
    assert_true(again >= 0);
    assert_int_equal(read(again, buffer, 16), 5);
    assert_memory_equal(buffer, "lived", 5);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(again), 0);
    assert_false(text_exists("short"));
}

/* Files that have a name already have no use for another one here. */
static void hard_links(void **state)
{
    if (!preload_is_virtual())
        return;
    text_put("file", "x");
    int fd = text_open("file", O_RDONLY);
    assert_errno(give_name(fd, "file.2"), EPERM);
    assert_errno(linkat(fd, "", AT_FDCWD, preload_path("file.2"), AT_EMPTY_PATH), EPERM);
    assert_errno(link(preload_path("file"), preload_path("file.2")), EPERM);
    close(fd);
    fd = nameless(".", O_RDWR);
    assert_int_equal(give_name(fd, "named"), 0);
    assert_errno(give_name(fd, "named.2"), EPERM);
    assert_errno(linkat(fd, "", AT_FDCWD, "/dev/shm/named", AT_EMPTY_PATH), EXDEV);
    assert_int_equal(close(fd), 0);
    assert_false(text_exists("named.2"));
    assert_false(text_exists("file.2"));
}

static void temporary_kin(void **state)
{
    char template[PATH_MAX];
    snprintf(template, sizeof template, "%s", preload_path("dir.XXXXXX"));
    assert_ptr_equal(mkdtemp(template), template);
    strcat(template, "/file.XXXXXX.suffix");
    int fd = mkostemps(template, 7, O_APPEND);
    assert_true(fd >= 0);
    text_add(fd, "x");
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(unlink(template), 0);
    assert_int_equal(close(fd), 0);
    *strrchr(template, '/') = '\0';
    assert_int_equal(rmdir(template), 0);
    FILE *stream = tmpfile();
    assert_non_null(stream);
    assert_true(fputs("x", stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

int main(void)
{
    umask(022);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_named),         cmocka_unit_test(named),
        cmocka_unit_test(named_by_descriptor), cmocka_unit_test(refused),
        cmocka_unit_test(kept_to_itself),      cmocka_unit_test(then_as_any_other),
        cmocka_unit_test(several_at_once),     cmocka_unit_test(opened_once_more),
        cmocka_unit_test(hard_links),          cmocka_unit_test(temporary_kin),
    };
    return cmocka_run_group_tests_name("tmpfile", tests, NULL, NULL);
}
