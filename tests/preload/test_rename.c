/* rename: files and directories, what stands in the way, what is replaced. */
#include "tests/preload/text.h"

#include <linux/fs.h>
#include <sys/syscall.h>

static void a_file(void **state)
{
    text_put("one", "first");
    assert_int_equal(text_move("one", "two"), 0);
    assert_false(text_exists("one"));
    text_is("two", "first");
    text_put("three", "third");
    assert_int_equal(text_move("three", "two"), 0);
    text_is("two", "third");
    assert_int_equal(text_move("two", "two"), 0);
    text_is("two", "third");
    unlink(preload_path("two"));
}

/* Written, closed, renamed at once, forty times. */
static void right_after_close(void **state)
{
    char from[32], to[32];
    for (int i = 0; i < 40; i++) {
        snprintf(from, sizeof from, "tmp.%d", i);
        snprintf(to, sizeof to, "final.%d", i);
        text_put(from, to);
        assert_int_equal(text_move(from, to), 0);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(to, sizeof to, "final.%d", i);
        text_is(to, to);
        assert_int_equal(unlink(preload_path(to)), 0);
    }
}

static void a_directory(void **state)
{
    assert_int_equal(mkdir(preload_path("tree"), 0755), 0);
    assert_int_equal(mkdir(preload_path("tree/sub"), 0755), 0);
    text_put("tree/a", "a");
    text_put("tree/sub/b", "b");
    assert_int_equal(text_move("tree", "moved"), 0);
    assert_false(text_exists("tree"));
    text_is("moved/a", "a");
    text_is("moved/sub/b", "b");
    mkdir(preload_path("empty"), 0755);
    assert_int_equal(text_move("moved", "empty"), 0);
    text_is("empty/sub/b", "b");
    text_put("full", "x");
    assert_errno(text_move("empty", "full"), ENOTDIR);
    assert_errno(text_move("full", "empty"), EISDIR);
    assert_errno(text_move("empty", "empty/sub/inside"), EINVAL);
    mkdir(preload_path("other"), 0755);
    text_put("other/c", "c");
    assert_errno(text_move("other", "empty"), ENOTEMPTY);
    text_is("other/c", "c");
}

static void refusals(void **state)
{
    text_put("here", "here");
    text_put("there", "there");
    assert_errno(text_move("absent", "x"), ENOENT);
    assert_errno(text_move("here", "absent-directory/x"), ENOENT);
    assert_errno(text_move("here", "there/x"), ENOTDIR);
    assert_errno(text_move("here", "there/"), ENOTDIR);
    assert_errno(syscall(SYS_renameat2, AT_FDCWD, preload_path("here"), AT_FDCWD,
                         preload_path("there"), RENAME_NOREPLACE),
                 EEXIST);
    assert_int_equal(renameat2(AT_FDCWD, preload_path("here"), AT_FDCWD, preload_path("new"),
                               RENAME_NOREPLACE),
                     0);
    text_is("new", "here");
    text_is("there", "there");
}

static void by_directory_descriptor(void **state)
{
    text_put("left", "l");
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_int_equal(renameat(directory, "left", directory, "right"), 0);
    close(directory);
    text_is("right", "l");
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
