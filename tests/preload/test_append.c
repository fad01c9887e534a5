/* Appending from processes that each open the file by themselves: nothing is lost, no line is
 * torn. */
#include "tests/preload/text.h"

#include <sys/wait.h>

#define WRITERS 8
#define LINES   50

static void write_line(int fd, int writer, int line)
{
    char text[64];
    int length = snprintf(text, sizeof text, "writer %d line %03d of %d\n", writer, line, LINES);
    if (write(fd, text, (size_t)length) != length)
        _exit(90);
}

/* Each opens, writes all its lines, publishes in the middle if `syncs`, closes. */
static void append_lines(const char *path, int writer, int flags, bool syncs)
{
    int fd = open(path, flags | O_APPEND | O_CREAT, 0644);
    if (fd < 0)
        _exit(91);
    for (int line = 0; line < LINES; line++) {
        write_line(fd, writer, line);
        if (syncs && line % 20 == 10 && fsync(fd) < 0)
            _exit(92);
    }
    _exit(close(fd) < 0 ? 93 : 0);
}

static void run_writers(const char *name, int flags, bool syncs)
{
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (!pids[i])
            append_lines(preload_path(name), i, flags, syncs);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

/* Behind `header` is every line of every writer, whole, and those of one writer in their order. */
static void check_lines(const char *name, const char *header)
{
    static char text[1 << 16];
    int next[WRITERS] = {0}, fd = open(preload_path(name), O_RDONLY), total = 0;
    assert_true(fd >= 0);
    ssize_t length = read(fd, text, sizeof text - 1);
    assert_true(length > 0);
    text[length] = '\0';
    assert_int_equal(close(fd), 0);
    assert_memory_equal(text, header, strlen(header));
    for (char *at = text + strlen(header); *at; total++) {
        int writer, line, all, end = 0;
        assert_int_equal(sscanf(at, "writer %d line %d of %d%n", &writer, &line, &all, &end), 3);
        assert_in_range(writer, 0, WRITERS - 1);
        assert_int_equal(line, next[writer]++);
        assert_int_equal(all, LINES);
        assert_int_equal(at[end], '\n');
        at += end + 1;
    }
    assert_int_equal(total, WRITERS * LINES);
}

static void test_to_a_new_file(void **state)
{
    const char *name = "append-new";
    run_writers(name, O_WRONLY, false);
    check_lines(name, "");
}

static void test_to_what_is_there(void **state)
{
    const char *name = "append-old";
    text_put(name, "the first line\n");
    run_writers(name, O_WRONLY, false);
    check_lines(name, "the first line\n");
}

static void test_to_an_empty_file(void **state)
{
    const char *name = "append-empty";
    text_put(name, "");
    run_writers(name, O_WRONLY, false);
    check_lines(name, "");
}

static void test_for_reading_and_writing(void **state)
{
    const char *name = "append-both";
    run_writers(name, O_RDWR, false);
    check_lines(name, "");
}

/* The second one sees the first one's file before the store does. */
static void test_to_a_file_on_its_way(void **state)
{
    const char *path = preload_path("append-on-its-way");
    int ready[2], go[2], status;
    char byte = 'x', text[16] = "";
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (!pid) {
        alarm(60); /* not for ever, should the test fail */
        int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0644);
        bool good = write(fd, "first ", 6) == 6 && write(ready[1], &byte, 1) == 1 &&
                    read(go[0], &byte, 1) == 1;
        _exit(close(fd) < 0 || !good);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(go[1], &byte, 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(write(fd, "second", 6), 6);
    assert_int_equal(close(fd), 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 12);
    assert_string_equal(text, "first second");
    close(fd);
    close(ready[0]);
    close(ready[1]);
    close(go[0]);
    close(go[1]);
}

static void test_with_fsync(void **state)
{
    const char *name = "append-sync";
    run_writers(name, O_WRONLY, true);
    check_lines(name, "");
}

/* In a process of its own that opens the path by itself. */
static void append_elsewhere(const char *name, const char *text)
{
    pid_t pid = fork();
    if (!pid) {
        int fd = open(preload_path(name), O_WRONLY | O_APPEND | O_CREAT, 0644);
        bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
        _exit(done && close(fd) == 0 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Where the file is, and how long, after another process has appended and fsync has told. */
static void test_size_and_offset(void **state)
{
    const char *name = "append-size";
    struct stat st;
    text_put(name, "old ");
    append_elsewhere(name, "two ");
    int fd = open(preload_path(name), O_RDWR | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "own ", 4), 4);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 12);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 12);
    assert_int_equal(write(fd, "end", 3), 3);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 15);
    char text[32] = "";
    assert_int_equal(pread(fd, text, sizeof text, 0), 15);
    assert_string_equal(text, "old two own end");
    assert_int_equal(close(fd), 0);
    text_is(name, "old two own end");
}

/* What others have appended meanwhile comes before what is published later: its order is the
 * store's. */
static void test_published_behind_another(void **state)
{
    const char *name = "append-behind";
    struct stat st;
    int go[2], ready[2];
    char byte = 'x';
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(ready), 0);
    text_put(name, "old ");
    pid_t pid = fork();
    if (!pid) {
        int fd = open(preload_path(name), O_RDWR | O_APPEND);
        if (fd < 0 || write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
            _exit(90);
        if (write(fd, "late ", 5) != 5 || fsync(fd) < 0)
            _exit(91);
        if (fstat(fd, &st) < 0 || st.st_size != 15 || lseek(fd, 0, SEEK_CUR) != 15)
            _exit(92);
        char text[32] = "";
        if (pread(fd, text, sizeof text, 0) != 15 || strcmp(text, "old early late ") != 0)
            _exit(93);
        if (write(fd, "end", 3) != 3)
            _exit(94);
        _exit(close(fd) < 0 ? 95 : 0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    append_elsewhere(name, "early ");
    assert_int_equal(write(go[1], &byte, 1), 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    text_is(name, "old early late end");
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(ready[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_a_new_file),
        cmocka_unit_test(test_to_what_is_there),
        cmocka_unit_test(test_to_an_empty_file),
        cmocka_unit_test(test_for_reading_and_writing),
        cmocka_unit_test(test_to_a_file_on_its_way),
        cmocka_unit_test(test_with_fsync),
        cmocka_unit_test(test_size_and_offset),
        cmocka_unit_test(test_published_behind_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
