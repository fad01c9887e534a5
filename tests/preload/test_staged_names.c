/* Names of files that are still being written: rename, unlink and what stands in their way. */
#include "tests/preload/text.h"

#include <linux/fs.h>
#include <pthread.h>

/* ---- rename ---- */

static void moved(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("early", text_access(i), "abc");
        assert_int_equal(text_move("early", "late"), 0);
        assert_false(text_exists("early"));
        assert_int_equal(text_size("late"), 3);
        text_add(fd, "def");
        assert_int_equal(text_size("late"), 6);
        struct stat by_fd, by_path;
        assert_int_equal(fstat(fd, &by_fd), 0);
        assert_int_equal(stat(preload_path("late"), &by_path), 0);
        assert_int_equal(by_fd.st_ino, by_path.st_ino);
        assert_int_equal(by_fd.st_nlink, 1);
        assert_int_equal(close(fd), 0);
        text_is("late", "abcdef");
        assert_false(text_exists("early"));
        assert_int_equal(text_remove("late"), 0);
    }
}

static void moved_on(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("hop.1", text_access(i), "x");
        assert_int_equal(text_move("hop.1", "hop.2"), 0);
        assert_int_equal(text_move("hop.2", "hop.3"), 0);
        text_put("hop.1", "another");
        text_add(fd, "y");
        assert_int_equal(text_move("hop.3", "hop.2"), 0);
        assert_int_equal(close(fd), 0);
        text_is("hop.2", "xy");
        text_is("hop.1", "another");
        assert_false(text_exists("hop.3"));
    }
}

static void moved_unwritten(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_open("blank", text_access(i) | O_CREAT | O_EXCL);
        assert_int_equal(text_move("blank", "filled"), 0);
        text_add(fd, "text");
        assert_int_equal(close(fd), 0);
        text_is("filled", "text");
        assert_false(text_exists("blank"));
        fd = text_open("blank", text_access(i) | O_CREAT | O_EXCL);
        assert_int_equal(text_move("blank", "filled"), 0);
        assert_int_equal(close(fd), 0);
        text_is("filled", "");
    }
}

/* What savers do, except that they close first. */
static void temporary_becomes_final(void **state)
{
    char template[PATH_MAX];
    text_put("document", "old content");
    snprintf(template, sizeof template, "%s", preload_path("document.XXXXXX"));
    int fd = mkstemp(template);
    assert_true(fd >= 0);
    text_add(fd, "new content");
    assert_int_equal(rename(template, preload_path("document")), 0);
    assert_int_equal(text_size("document"), 11);
    assert_errno(access(template, F_OK), ENOENT);
    assert_int_equal(close(fd), 0);
    text_is("document", "new content");
}

static void over_an_object(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("target", "what was there");
        int fd = text_begin("source", text_access(i), "new");
        assert_int_equal(text_move("source", "target"), 0);
        assert_int_equal(text_size("target"), 3);
        assert_false(text_exists("source"));
        assert_int_equal(close(fd), 0);
        text_is("target", "new");
    }
    int fd = text_begin("source", O_WRONLY, "gone");
    assert_int_equal(text_move("source", "target"), 0);
    assert_int_equal(text_remove("target"), 0);
    assert_false(text_exists("target"));
    assert_int_equal(close(fd), 0);
    assert_false(text_exists("target"));
}

/* The old object goes with the name that it had. */
static void of_an_overwritten_object(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("before", "old content");
        int fd = text_begin("before", text_access(i), "new");
        assert_int_equal(text_move("before", "after"), 0);
        assert_false(text_exists("before"));
        assert_int_equal(text_size("after"), 3);
        assert_int_equal(close(fd), 0);
        assert_false(text_exists("before"));
        text_is("after", "new");
    }
}

static void of_a_changed_object(void **state)
{
    text_put("kept", "0123456789");
    int fd = text_open("kept", O_RDWR);
    assert_int_equal(text_move("kept", "moved"), 0);
    assert_false(text_exists("kept"));
    assert_int_equal(close(fd), 0);
    text_is("moved", "0123456789");

    fd = text_open("moved", O_RDWR);
    assert_int_equal(pwrite(fd, "ab", 2, 4), 2);
    assert_int_equal(text_move("moved", "kept"), 0);
    char buffer[16] = "";
    assert_int_equal(pread(fd, buffer, 16, 0), 10);
    assert_string_equal(buffer, "0123ab6789");
    assert_int_equal(pwrite(fd, "yz", 2, 8), 2);
    assert_int_equal(close(fd), 0);
    text_is("kept", "0123ab67yz");
    assert_false(text_exists("moved"));

    fd = text_open("kept", O_WRONLY | O_APPEND);
    text_add(fd, "+");
    assert_int_equal(text_move("kept", "moved"), 0);
    text_add(fd, "+");
    assert_int_equal(close(fd), 0);
    text_is("moved", "0123ab67yz++");
    assert_false(text_exists("kept"));
}

static void after_a_sync(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("synced", text_access(i), "one ");
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(text_move("synced", "resynced"), 0);
        assert_false(text_exists("synced"));
        assert_int_equal(text_size("resynced"), 4);
        text_add(fd, "two");
        assert_int_equal(fsync(fd), 0);
        assert_int_equal(close(fd), 0);
        text_is("resynced", "one two");
        assert_false(text_exists("synced"));
    }
}

static void over_one_being_written(void **state)
{
    FOR_EACH_ACCESS (i) {
        int loser = text_begin("both", text_access(i), "loser");
        int winner = text_begin("other", text_access(1 - i), "winner");
        assert_int_equal(text_move("other", "both"), 0);
        assert_int_equal(text_links(loser), 0);
        assert_int_equal(text_links(winner), 1);
        assert_int_equal(text_size("both"), 6);
        text_add(loser, " goes on");
        text_add(winner, "!");
        assert_int_equal(close(winner), 0);
        assert_int_equal(close(loser), 0);
        text_is("both", "winner!");
        assert_false(text_exists("other"));
    }
    int loser = text_begin("both", O_RDWR, "loser");
    text_put("closed", "closed file");
    assert_int_equal(text_move("closed", "both"), 0);
    assert_int_equal(text_links(loser), 0);
    text_is("both", "closed file");
    assert_int_equal(close(loser), 0);
    text_is("both", "closed file");
}

static int move_if_free(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, preload_path(from), AT_FDCWD, preload_path(to), RENAME_NOREPLACE);
}

static void without_replacing(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("closed", "closed");
        int fd = text_begin("open", text_access(i), "open");
        assert_errno(move_if_free("closed", "open"), EEXIST);
        assert_errno(move_if_free("open", "closed"), EEXIST);
        assert_errno(move_if_free("open", "open"), EEXIST);
        assert_int_equal(move_if_free("open", "free"), 0);
        assert_int_equal(text_size("free"), 4);
        assert_int_equal(close(fd), 0);
        text_is("free", "open");
        text_is("closed", "closed");
        assert_int_equal(text_remove("free"), 0);
    }
}

static void onto_itself(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("same", text_access(i), "same");
        assert_int_equal(text_move("same", "same"), 0);
        assert_int_equal(text_size("same"), 4);
        assert_int_equal(text_links(fd), 1);
        assert_int_equal(close(fd), 0);
        text_is("same", "same");
    }
}

/* Parts of it are at the store already. */
static void large_one(void **state)
{
    enum { CHUNK = 1 << 20, CHUNKS = 40 };
    char *chunk = malloc(CHUNK);
    int fd = text_open("large", O_WRONLY | O_CREAT | O_TRUNC);
    for (int i = 0; i < CHUNKS; i++) {
        preload_fill(chunk, CHUNK, (uint64_t)i * CHUNK);
        assert_int_equal(write(fd, chunk, CHUNK), CHUNK);
        if (i == CHUNKS / 2)
            assert_int_equal(text_move("large", "larger"), 0);
        if (i == CHUNKS - 2)
            assert_int_equal(text_move("larger", "largest"), 0);
    }
    assert_int_equal(text_size("large"), -1);
    assert_int_equal(text_size("larger"), -1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_size("largest"), CHUNK * CHUNKS);
    fd = text_open("largest", O_RDONLY);
    for (int i = 0; i < CHUNKS; i++) {
        assert_int_equal(read(fd, chunk, CHUNK), CHUNK);
        assert_true(preload_matches(chunk, CHUNK, (uint64_t)i * CHUNK));
    }
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_remove("largest"), 0);
    free(chunk);
}

/* Written, renamed, closed, forty times; the last name is one that the next begins with. */
static void many_in_order(void **state)
{
    char from[32], to[32];
    for (int i = 0; i < 40; i++) {
        snprintf(to, sizeof to, "order.%d", i);
        int fd = text_begin("order.tmp", text_access(i % 2), to);
        assert_int_equal(text_move("order.tmp", to), 0);
        assert_int_equal(close(fd), 0);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(from, sizeof from, "order.%d", i);
        text_is(from, from);
        snprintf(to, sizeof to, "order.%d", i / 2);
        int fd = text_begin("order.tmp", text_access(i % 2), from);
        assert_int_equal(close(fd), 0);
        assert_int_equal(text_move("order.tmp", to), 0);
        text_is(to, from);
    }
    assert_false(text_exists("order.tmp"));
}

static void refused(void **state)
{
    text_directory("a-directory");
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("stays", text_access(i), "stays");
        assert_errno(text_move("stays", "absent/x"), ENOENT);
        assert_errno(text_move("stays", "a-directory"), EISDIR);
        assert_errno(text_move("stays", "stays/x"), ENOTDIR);
        assert_errno(text_move("stays", "free/"), ENOTDIR);
        assert_errno(text_move("stays/", "free"), ENOTDIR);
        assert_errno(text_move("absent", "stays"), ENOENT);
        assert_errno(text_move("a-directory", "stays"), ENOTDIR);
        assert_errno(text_move("a-directory", "stays/x"), ENOTDIR);
        assert_int_equal(text_links(fd), 1);
        text_add(fd, "!");
        assert_int_equal(close(fd), 0);
        text_is("stays", "stays!");
        assert_false(text_exists("free"));
    }
    assert_int_equal(rmdir(preload_path("a-directory")), 0);
    if (!preload_is_virtual())
        return;
    int fd = text_begin("stays", O_RDWR, "stays");
    text_put("partner", "partner");
    assert_errno(renameat2(AT_FDCWD, preload_path("stays"), AT_FDCWD, preload_path("partner"),
                           RENAME_EXCHANGE),
                 EINVAL);
    assert_errno(renameat2(AT_FDCWD, preload_path("absent"), AT_FDCWD, preload_path("partner"),
                           RENAME_EXCHANGE),
                 ENOENT);
    assert_errno(link(preload_path("stays"), preload_path("linked")), EPERM);
    assert_errno(link(preload_path("stays"), preload_path("partner")), EEXIST);
    assert_int_equal(close(fd), 0);
    text_is("stays", "stays");
    text_is("partner", "partner");
}

/* ---- names around it ---- */

static void in_the_way(void **state)
{
    text_directory("some-directory");
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("busy", text_access(i), "busy");
        assert_errno(mkdir(preload_path("busy"), 0755), EEXIST);
        assert_errno(mkdir(preload_path("busy/x"), 0755), ENOTDIR);
        assert_errno(mkdir(preload_path("busy/x/y"), 0755), ENOTDIR);
        assert_errno(rmdir(preload_path("busy")), ENOTDIR);
        assert_errno(rmdir(preload_path("busy/x")), ENOTDIR);
        assert_errno(unlink(preload_path("busy/")), ENOTDIR);
        assert_errno(unlink(preload_path("busy/x")), ENOTDIR);
        assert_errno(open(preload_path("busy/x"), O_WRONLY | O_CREAT, 0644), ENOTDIR);
        assert_errno(open(preload_path("busy/x/y"), O_RDWR | O_CREAT, 0644), ENOTDIR);
        assert_errno(open(preload_path("busy/x"), O_RDONLY), ENOTDIR);
        assert_errno(open(preload_path("busy"), O_RDONLY | O_DIRECTORY), ENOTDIR);
        assert_errno(access(preload_path("busy/x/y"), F_OK), ENOTDIR);
        assert_errno(text_move("some-directory", "busy/x"), ENOTDIR);
        assert_errno(text_move("busy/x", "y"), ENOTDIR);
        assert_int_equal(close(fd), 0);
        text_is("busy", "busy");
    }
    assert_int_equal(rmdir(preload_path("some-directory")), 0);
}

/* ---- unlink ---- */

static void unlinked(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("victim", "what was there");
        int fd = text_begin("victim", text_access(i), "abc");
        assert_int_equal(text_links(fd), 1);
        assert_int_equal(text_remove("victim"), 0);
        assert_int_equal(text_links(fd), 0);
        assert_false(text_exists("victim"));
        assert_errno(text_remove("victim"), ENOENT);
        text_add(fd, "def");
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, 6);
        if (text_access(i) == O_RDWR) {
            char buffer[8] = "";
            assert_int_equal(pread(fd, buffer, 8, 0), 6);
            assert_string_equal(buffer, "abcdef");
            assert_int_equal(pwrite(fd, "X", 1, 1), 1);
        }
        assert_int_equal(fsync(fd), 0);
        assert_false(text_exists("victim"));
        assert_int_equal(close(fd), 0);
        assert_false(text_exists("victim"));
    }
}

static void name_used_again(void **state)
{
    FOR_EACH_ACCESS (i) {
        int first = text_begin("again", text_access(i), "first");
        assert_int_equal(text_remove("again"), 0);
        int second = text_open("again", text_access(i) | O_CREAT | O_EXCL);
        text_add(second, "second one");
        assert_int_equal(text_size("again"), 10);
        text_add(first, " goes on");
        assert_int_equal(text_size("again"), 10);
        assert_int_equal(close(second), 0);
        assert_int_equal(close(first), 0);
        text_is("again", "second one");

        first = text_begin("again", text_access(i), "moved");
        assert_int_equal(text_move("again", "elsewhere"), 0);
        second = text_open("again", text_access(i) | O_CREAT | O_EXCL);
        text_add(second, "third");
        assert_int_equal(close(first), 0);
        assert_int_equal(close(second), 0);
        text_is("again", "third");
        text_is("elsewhere", "moved");
    }
}

static void *closes(void *fd)
{
    return (void *)(intptr_t)close((int)(intptr_t)fd);
}

/* While another thread closes the file: whoever comes first, the name is what the call made of
 * it. */
static void beside_a_close(void **state)
{
    char name[32], other[32];
    for (int i = 0; i < 40; i++) {
        pthread_t thread;
        void *closed;
        snprintf(name, sizeof name, "beside.%d", i);
        snprintf(other, sizeof other, "beside.other.%d", i);
        int fd = text_begin(name, text_access(i % 2), name);
        assert_int_equal(pthread_create(&thread, NULL, closes, (void *)(intptr_t)fd), 0);
        int result = i / 2 % 2 ? text_remove(name) : text_move(name, other), error = errno;
        assert_int_equal(pthread_join(thread, &closed), 0);
        if (result < 0)
            fail_msg("%s: %s", name, strerror(error));
        assert_null(closed);
        assert_false(text_exists(name));
        if (!(i / 2 % 2))
            text_is(other, name);
    }
}

/* What another thread closes at the new name does not come back there. */
static void over_a_close(void **state)
{
    for (int i = 0; i < 40; i++) {
        pthread_t thread;
        void *closed;
        int loser = text_begin("contended", text_access(i % 2), "loser");
        int winner = text_begin("winner", text_access(i / 2 % 2), "winner");
        if (i / 4 % 2)
            assert_int_equal(close(winner), 0);
        assert_int_equal(pthread_create(&thread, NULL, closes, (void *)(intptr_t)loser), 0);
        assert_int_equal(text_move("winner", "contended"), 0);
        assert_int_equal(pthread_join(thread, &closed), 0);
        assert_null(closed);
        if (!(i / 4 % 2))
            assert_int_equal(close(winner), 0);
        text_is("contended", "winner");
        assert_int_equal(text_remove("contended"), 0);
    }
}

/* Every descriptor of a file knows what became of its name. */
static void by_another_descriptor(void **state)
{
    int fd = text_begin("shared", O_RDWR, "abc"), copy = dup(fd);
    int second = text_open("shared", O_RDWR);
    assert_int_equal(text_move("shared", "renamed"), 0);
    int third = text_open("renamed", O_RDWR | O_APPEND);
    text_add(third, "def");
    char buffer[16] = "";
    assert_int_equal(pread(second, buffer, 16, 0), 6);
    assert_string_equal(buffer, "abcdef");
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(second), 0);
    assert_int_equal(close(third), 0);
    assert_int_equal(close(copy), 0);
    text_is("renamed", "abcdef");
    assert_false(text_exists("shared"));
}

static void link_is(int fd, const char *name, const char *suffix)
{
    char link[64], target[PATH_MAX] = "", expected[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(expected, sizeof expected, "%s%s", preload_path(name), suffix);
    assert_true(readlink(link, target, sizeof target - 1) > 0);
    assert_string_equal(target, expected);
}

static void shown_by_proc(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("shown", text_access(i), "x");
        link_is(fd, "shown", "");
        assert_int_equal(text_move("shown", "shown.2"), 0);
        link_is(fd, "shown.2", "");
        assert_int_equal(text_remove("shown.2"), 0);
        link_is(fd, "shown.2", " (deleted)");
        assert_int_equal(close(fd), 0);
    }
}

static void attributes_after_it(void **state)
{
    FOR_EACH_ACCESS (i) {
        int fd = text_begin("plain", text_access(i), "x");
        assert_int_equal(text_move("plain", "fancy"), 0);
        assert_int_equal(chmod(preload_path("fancy"), 0600), 0);
        assert_errno(chmod(preload_path("plain"), 0600), ENOENT);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(close(fd), 0);
        assert_int_equal(stat(preload_path("fancy"), &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(text_remove("fancy"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moved),
        cmocka_unit_test(moved_on),
        cmocka_unit_test(moved_unwritten),
        cmocka_unit_test(temporary_becomes_final),
        cmocka_unit_test(over_an_object),
        cmocka_unit_test(of_an_overwritten_object),
        cmocka_unit_test(of_a_changed_object),
        cmocka_unit_test(after_a_sync),
        cmocka_unit_test(over_one_being_written),
        cmocka_unit_test(without_replacing),
        cmocka_unit_test(onto_itself),
        cmocka_unit_test(large_one),
        cmocka_unit_test(many_in_order),
        cmocka_unit_test(refused),
        cmocka_unit_test(in_the_way),
        cmocka_unit_test(unlinked),
        cmocka_unit_test(name_used_again),
        cmocka_unit_test(beside_a_close),
        cmocka_unit_test(over_a_close),
        cmocka_unit_test(by_another_descriptor),
        cmocka_unit_test(shown_by_proc),
        cmocka_unit_test(attributes_after_it),
    };
    return cmocka_run_group_tests_name("staged_names", tests, NULL, NULL);
}
