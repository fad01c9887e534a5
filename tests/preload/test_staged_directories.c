/* Directories in which files are still being written: removed, renamed. */
#include "tests/preload/text.h"

static void not_empty(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_directory("full");
        text_directory("full/inner");
        text_directory("empty");
        int fd = text_begin("full/inner/file", text_access(i), "x");
        assert_errno(rmdir(preload_path("full/inner")), ENOTEMPTY);
        assert_errno(rmdir(preload_path("full")), ENOTEMPTY);
        assert_errno(remove(preload_path("full/inner")), ENOTEMPTY);
        assert_errno(text_move("empty", "full/inner"), ENOTEMPTY);
        assert_errno(rmdir(preload_path("full/inner/absent")), ENOENT);
        assert_int_equal(text_move("full/inner/file", "outside"), 0);
        assert_int_equal(rmdir(preload_path("full/inner")), 0);
        assert_int_equal(rmdir(preload_path("full")), 0);
        assert_int_equal(rmdir(preload_path("empty")), 0);
        assert_int_equal(close(fd), 0);
        text_is("outside", "x");
    }
}

static void directory_gone(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_directory("short-lived");
        int fd = text_begin("short-lived/file", text_access(i), "x");
        assert_int_equal(text_remove("short-lived/file"), 0);
        assert_int_equal(rmdir(preload_path("short-lived")), 0);
        assert_false(text_exists("short-lived"));
        text_add(fd, "y");
        assert_errno(open(preload_path("short-lived/file"), O_RDWR | O_CREAT, 0644), ENOENT);
        assert_int_equal(close(fd), 0);
        assert_false(text_exists("short-lived/file"));
        assert_false(text_exists("short-lived"));
    }
}

/* By a program that knows nothing of what is written here; to the store the directory is empty. */
static void directory_removed_by_others(void **state)
{
    char command[PATH_MAX];
    if (!preload_is_virtual())
        return;
    FOR_EACH_ACCESS (i) {
        text_directory("contested");
        int fd = text_begin("contested/file", text_access(i) | O_CLOEXEC, "x");
        snprintf(command, sizeof command, "exec rmdir '%s'", preload_path("contested"));
        assert_int_equal(system(command), 0);
        assert_int_equal(text_size("contested/file"), 1);
        assert_int_equal(close(fd), 0);
        text_is("contested/file", "x");
        assert_true(text_exists("contested"));
        assert_int_equal(text_remove("contested/file"), 0);
        rmdir(preload_path("contested"));
    }
}

static void in_a_moved_directory(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_directory("tree");
        text_directory("tree/sub");
        text_put("tree/closed", "closed");
        text_put("tree/overwritten", "old content");
        text_put("tree/sub/changed", "0123456789");
        text_directory("treetop");
        int fresh = text_begin("tree/fresh", text_access(i), "fresh");
        int over = text_begin("tree/overwritten", text_access(i), "over");
        int deep = text_begin("tree/sub/deep", text_access(i), "deep");
        int beside = text_begin("treetop/beside", text_access(i), "beside");
        int changed = text_open("tree/sub/changed", O_RDWR);
        assert_int_equal(pwrite(changed, "x", 1, 5), 1);
        assert_int_equal(text_move("tree", "carried"), 0);
        assert_false(text_exists("tree/fresh"));
        assert_false(text_exists("tree"));
        assert_int_equal(text_size("carried/fresh"), 5);
        assert_int_equal(text_size("carried/overwritten"), 4);
        assert_int_equal(text_size("carried/sub/deep"), 4);
        assert_errno(open(preload_path("tree/fresh"), O_WRONLY | O_CREAT, 0644), ENOENT);
        text_add(fresh, "!");
        text_add(over, "!");
        text_add(deep, "!");
        assert_int_equal(close(fresh), 0);
        assert_int_equal(close(over), 0);
        assert_int_equal(close(deep), 0);
        assert_int_equal(close(beside), 0);
        assert_int_equal(close(changed), 0);
        assert_false(text_exists("tree"));
        text_is("carried/fresh", "fresh!");
        text_is("carried/overwritten", "over!");
        text_is("carried/sub/deep", "deep!");
        text_is("carried/sub/changed", "01234x6789");
        text_is("carried/closed", "closed");
        text_is("treetop/beside", "beside");
        const char *const names[] = {"carried/fresh",    "carried/overwritten",
                                     "carried/sub/deep", "carried/sub/changed",
                                     "carried/closed",   "treetop/beside"};
        for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
            assert_int_equal(text_remove(names[n]), 0);
        assert_int_equal(rmdir(preload_path("carried/sub")), 0);
        assert_int_equal(rmdir(preload_path("carried")), 0);
        assert_int_equal(rmdir(preload_path("treetop")), 0);
    }
}

static void moved_and_back(void **state)
{
    text_directory("left");
    int fd = text_begin("left/file", O_RDWR, "x");
    assert_int_equal(text_move("left", "right"), 0);
    text_directory("left");
    int other = text_begin("left/file", O_RDWR, "other");
    assert_errno(text_move("left", "right"), ENOTEMPTY);
    assert_int_equal(text_move("right/file", "left/second"), 0);
    assert_int_equal(text_move("left", "right"), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(other), 0);
    text_is("right/file", "other");
    text_is("right/second", "x");
    assert_false(text_exists("left"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_empty),
        cmocka_unit_test(directory_gone),
        cmocka_unit_test(directory_removed_by_others),
        cmocka_unit_test(in_a_moved_directory),
        cmocka_unit_test(moved_and_back),
    };
    return cmocka_run_group_tests_name("staged_directories", tests, NULL, NULL);
}
