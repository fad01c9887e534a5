/* rename: files and directories, what stands in the way, what is replaced. */
#include "tests/preload/preload.h"

#include <linux/fs.h>
#include <sys/syscall.h>

static void put(const char *name, const char *text)
{
    int fd = open(preload_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void holds(const char *name, const char *text)
{
    char buffer[64] = "";
    int fd = open(preload_path(name), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, buffer, sizeof buffer - 1), strlen(text));
    assert_string_equal(buffer, text);
    close(fd);
}

static bool is_there(const char *name)
{
    struct stat st;
    return !lstat(preload_path(name), &st);
}

static int move(const char *from, const char *to)
{
    return rename(preload_path(from), preload_path(to));
}

static void a_file(void **state)
{
    put("one", "first");
    assert_int_equal(move("one", "two"), 0);
    assert_false(is_there("one"));
    holds("two", "first");
    put("three", "third");
    assert_int_equal(move("three", "two"), 0);
    holds("two", "third");
    assert_int_equal(move("two", "two"), 0);
    holds("two", "third");
    unlink(preload_path("two"));
}

/* Written, closed, renamed at once, forty times. */
static void right_after_close(void **state)
{
    char from[32], to[32];
    for (int i = 0; i < 40; i++) {
        snprintf(from, sizeof from, "tmp.%d", i);
        snprintf(to, sizeof to, "final.%d", i);
        put(from, to);
        assert_int_equal(move(from, to), 0);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(to, sizeof to, "final.%d", i);
        holds(to, to);
        assert_int_equal(unlink(preload_path(to)), 0);
    }
}

static void a_directory(void **state)
{
    assert_int_equal(mkdir(preload_path("tree"), 0755), 0);
    assert_int_equal(mkdir(preload_path("tree/sub"), 0755), 0);
    put("tree/a", "a");
    put("tree/sub/b", "b");
    assert_int_equal(move("tree", "moved"), 0);
    assert_false(is_there("tree"));
    holds("moved/a", "a");
    holds("moved/sub/b", "b");
    mkdir(preload_path("empty"), 0755);
    assert_int_equal(move("moved", "empty"), 0);
    holds("empty/sub/b", "b");
    put("full", "x");
    assert_errno(move("empty", "full"), ENOTDIR);
    assert_errno(move("full", "empty"), EISDIR);
    assert_errno(move("empty", "empty/sub/inside"), EINVAL);
    mkdir(preload_path("other"), 0755);
    put("other/c", "c");
    assert_errno(move("other", "empty"), ENOTEMPTY);
    holds("other/c", "c");
}

static void refusals(void **state)
{
    put("here", "here");
    put("there", "there");
    assert_errno(move("absent", "x"), ENOENT);
    assert_errno(move("here", "absent-directory/x"), ENOENT);
    assert_errno(move("here", "there/x"), ENOTDIR);
    assert_errno(move("here", "there/"), ENOTDIR);
    assert_errno(syscall(SYS_renameat2, AT_FDCWD, preload_path("here"), AT_FDCWD,
                         preload_path("there"), RENAME_NOREPLACE),
                 EEXIST);
    assert_int_equal(renameat2(AT_FDCWD, preload_path("here"), AT_FDCWD, preload_path("new"),
                               RENAME_NOREPLACE),
                     0);
    holds("new", "here");
    holds("there", "there");
}

static void by_directory_descriptor(void **state)
{
    put("left", "l");
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_int_equal(renameat(directory, "left", directory, "right"), 0);
    close(directory);
    holds("right", "l");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file),   cmocka_unit_test(right_after_close),
        cmocka_unit_test(a_directory), cmocka_unit_test(refusals),
        cmocka_unit_test(by_directory_descriptor),
    };
    return cmocka_run_group_tests_name("rename", tests, NULL, NULL);
}
