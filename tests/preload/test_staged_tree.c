/* Names of files being written, changed by a child of the process that opened them. */
#include "tests/preload/text.h"

#include <sys/wait.h>

static void in_a_child(void (*act)(int fd), int fd)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        act(fd);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define CHILD_NEEDS(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "child: %s: %s\n", #condition, strerror(errno));                       \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void child_renames(int fd)
{
    CHILD_NEEDS(text_size("family") == 3);
    CHILD_NEEDS(text_move("family", "family.2") == 0);
    CHILD_NEEDS(text_size("family") == -1);
    CHILD_NEEDS(write(fd, "def", 3) == 3);
}

static void renamed_by_a_child(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("family", text_access(i), "abc");
        in_a_child(child_renames, fd);
        assert_false(text_exists("family"));
        assert_int_equal(text_size("family.2"), 6);
        text_add(fd, "ghi");
        assert_int_equal(text_move("family.2", "family.3"), 0);
        assert_int_equal(close(fd), 0);
        text_is("family.3", "abcdefghi");
        assert_false(text_exists("family.2"));
    }
}

static void child_replaces(int fd)
{
    close(fd);
    int own = text_begin("rival", O_RDWR, "child's");
    CHILD_NEEDS(text_move("rival", "family") == 0);
    CHILD_NEEDS(close(own) == 0);
}

static void replaced_by_a_child(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("family", text_access(i), "parent's");
        in_a_child(child_replaces, fd);
        assert_int_equal(text_links(fd), 0);
        text_is("family", "child's");
        text_add(fd, "!");
        assert_int_equal(close(fd), 0);
        text_is("family", "child's");
    }
}

static void child_moves_directory(int fd)
{
    CHILD_NEEDS(rmdir(preload_path("nest")) < 0 && errno == ENOTEMPTY);
    CHILD_NEEDS(text_move("nest", "nest.2") == 0);
    CHILD_NEEDS(write(fd, "def", 3) == 3);
}

static void directory_moved_by_a_child(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_directory("nest");
        int fd = text_begin("nest/file", text_access(i), "abc");
        in_a_child(child_moves_directory, fd);
        assert_int_equal(text_size("nest.2/file"), 6);
        assert_int_equal(close(fd), 0);
        text_is("nest.2/file", "abcdef");
        assert_false(text_exists("nest"));
        assert_int_equal(text_remove("nest.2/file"), 0);
        assert_int_equal(rmdir(preload_path("nest.2")), 0);
    }
}

static void child_names(int fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHILD_NEEDS(linkat(AT_FDCWD, link, AT_FDCWD, preload_path("christened"), AT_SYMLINK_FOLLOW) ==
                0);
}

static void named_by_a_child(void **state)
{
    int fd = open(preload_root(), O_TMPFILE | O_RDWR, 0644);
    assert_true(fd >= 0);
    text_add(fd, "text");
    in_a_child(child_names, fd);
    assert_int_equal(text_links(fd), 1);
    text_add(fd, "!");
    assert_int_equal(text_size("christened"), 5);
    assert_int_equal(close(fd), 0);
    text_is("christened", "text!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renamed_by_a_child),
        cmocka_unit_test(replaced_by_a_child),
        cmocka_unit_test(directory_moved_by_a_child),
        cmocka_unit_test(named_by_a_child),
    };
    return cmocka_run_group_tests_name("staged_tree", tests, NULL, NULL);
}
