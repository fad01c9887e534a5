/* Changes of names and sizes that the store refuses: nothing is lost, and the call says so. */
#include "tests/preload/faults.h"
#include "tests/preload/text.h"

#define DENIED " action=status:403:AccessDenied\n"

static int clear(void **state)
{
    faults_end();
    return 0;
}

/* Whatever it takes to make a new version. */
static void deny_writing(void)
{
    faults_add("op=PutObject" DENIED "op=CreateMultipartUpload" DENIED "op=CopyObject" DENIED);
}

/* The old object is there until the new one is whole. */
static void truncating(void **state)
{
    static const off_t lengths[] = {0, 4, 10000};
    text_put("file", "0123456789");
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        deny_writing();
        assert_errno(truncate(preload_path("file"), lengths[i]), EACCES);
        text_is("file", "0123456789");
        faults_end();
        faults_add("op=PutObject action=reset\nop=UploadPart* action=reset\n");
        assert_errno(truncate(preload_path("file"), lengths[i] + 1), ECONNRESET);
        faults_end();
        text_is("file", "0123456789");
    }
    assert_int_equal(truncate(preload_path("file"), 4), 0);
    text_is("file", "0123");
}

static void opening_to_truncate(void **state)
{
    text_put("file", "0123456789");
    FOR_EACH_ACCESS (i) {
        int fd = text_open("file", text_access(i) | O_TRUNC);
        text_add(fd, "new");
        deny_writing();
        assert_errno(close(fd), EACCES);
        faults_end();
        text_is("file", "0123456789");
    }
}

static void unlinking(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("file", "old");
        int fd = text_begin("file", text_access(i), "new");
        faults_add("op=DeleteObject" DENIED "op=DeleteObjects" DENIED);
        assert_errno(text_remove("file"), EACCES);
        faults_end();
        assert_int_equal(text_links(fd), 1);
        assert_int_equal(close(fd), 0);
        text_is("file", "new");
    }
}

/* It goes on under its old name. */
static void renaming(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("file", "old");
        text_put("target", "target");
        int fd = text_begin("file", text_access(i), "new");
        deny_writing();
        assert_errno(text_move("file", "target"), EACCES);
        faults_end();
        assert_int_equal(text_size("file"), 3);
        text_add(fd, "er");
        assert_int_equal(close(fd), 0);
        text_is("file", "newer");
        text_is("target", "target");
    }
}

static void closing_after_a_rename(void **state)
{
    FOR_EACH_ACCESS (i) {
        text_put("target", "target");
        int fd = text_begin("fresh", text_access(i), "new");
        assert_int_equal(text_move("fresh", "target"), 0);
        deny_writing();
        assert_errno(close(fd), EACCES);
        faults_end();
        text_is("target", "target");
        assert_false(text_exists("fresh"));
    }
}

static void renaming_a_directory(void **state)
{
    text_directory("tree");
    text_put("tree/old", "old");
    int fresh = text_begin("tree/fresh", O_WRONLY, "fresh"), old = text_open("tree/old", O_RDWR);
    assert_int_equal(pwrite(old, "O", 1, 0), 1);
    faults_add("op=CopyObject" DENIED "op=CreateMultipartUpload" DENIED);
    assert_errno(text_move("tree", "moved"), EACCES);
    faults_end();
    assert_int_equal(text_size("tree/fresh"), 5);
    assert_int_equal(text_move("tree", "moved"), 0);
    assert_int_equal(close(fresh), 0);
    assert_int_equal(close(old), 0);
    text_is("moved/fresh", "fresh");
    text_is("moved/old", "Old");
    assert_false(text_exists("tree"));
}

/* linkat publishes: when that fails, there is no name, and another attempt may be made. */
static void naming(void **state)
{
    int fd = open(preload_root(), O_TMPFILE | O_RDWR, 0644);
    text_add(fd, "content");
    deny_writing();
    assert_errno(linkat(fd, "", AT_FDCWD, preload_path("first"), AT_EMPTY_PATH), EACCES);
    faults_end();
    assert_int_equal(text_links(fd), 0);
    assert_false(text_exists("first"));
    assert_int_equal(linkat(fd, "", AT_FDCWD, preload_path("second"), AT_EMPTY_PATH), 0);
    text_is("second", "content");
    assert_int_equal(close(fd), 0);
    assert_false(text_exists("first"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(truncating, clear),
        cmocka_unit_test_teardown(opening_to_truncate, clear),
        cmocka_unit_test_teardown(unlinking, clear),
        cmocka_unit_test_teardown(renaming, clear),
        cmocka_unit_test_teardown(closing_after_a_rename, clear),
        cmocka_unit_test_teardown(renaming_a_directory, clear),
        cmocka_unit_test_teardown(naming, clear),
    };
    return cmocka_run_group_tests_name("name_faults", tests, NULL, NULL);
}
