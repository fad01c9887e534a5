/* Files being written across fork: one content, one offset, one end; processes that are killed;
 * opening a path that is being written once more. */
#include "tests/preload/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- processes that wait for each other ---- */

/* Two pipes: what one process tells the other is one byte. */
struct talk {
    int to_child[2], to_parent[2];
};

static struct talk talk_new(void)
{
    struct talk talk;
    assert_int_equal(pipe(talk.to_child), 0);
    assert_int_equal(pipe(talk.to_parent), 0);
    return talk;
}

static void talk_end(struct talk *talk)
{
    for (int i = 0; i < 2; i++) {
        close(talk->to_child[i]);
        close(talk->to_parent[i]);
    }
}

static void assert_ends(pid_t pid, int expected)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
        fail_msg("status %#x instead of %d", status, expected);
}

static void assert_killed(pid_t pid)
{
    int status = -1;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static bool says(int fd, const char *text)
{
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* ---- one description ---- */

static void offset_is_shared(void **state)
{
    int fd = text_begin("fw-offset", O_WRONLY, "one ");
    pid_t pid = fork();
    if (!pid)
        _exit(!says(fd, "two ") || lseek(fd, 0, SEEK_CUR) != 8);
    assert_ends(pid, 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 8);
    text_add(fd, "three");
    assert_int_equal(close(fd), 0);
    text_is("fw-offset", "one two three");
}

static void child_closes(void **state)
{
    int fd = text_begin("fw-closes", O_WRONLY, "before ");
    pid_t pid = fork();
    if (!pid)
        _exit(!says(fd, "inside ") || close(fd));
    assert_ends(pid, 0);
    text_add(fd, "after");
    assert_int_equal(close(fd), 0);
    text_is("fw-closes", "before inside after");
}

static void child_reads_and_truncates(void **state)
{
    int fd = text_begin("fw-truncates", O_RDWR, "0123456789");
    pid_t pid = fork();
    if (!pid) {
        char text[11] = "";
        bool good = pread(fd, text, 10, 0) == 10 && !strcmp(text, "0123456789");
        _exit(!good || ftruncate(fd, 5) || pwrite(fd, "X", 1, 2) != 1);
    }
    assert_ends(pid, 0);
    char text[11] = "";
    assert_int_equal(pread(fd, text, 10, 0), 5);
    assert_string_equal(text, "01X34");
    assert_int_equal(lseek(fd, 0, SEEK_END), 5);
    text_add(fd, "5");
    assert_int_equal(close(fd), 0);
    text_is("fw-truncates", "01X345");
}

static void old_content_is_kept(void **state)
{
    text_put("fw-kept", "old content");
    int fd = text_open("fw-kept", O_RDWR);
    pid_t pid = fork();
    if (!pid)
        _exit(pwrite(fd, "NEW", 3, 0) != 3);
    assert_ends(pid, 0);
    assert_int_equal(close(fd), 0);
    text_is("fw-kept", "NEW content");
}

static void parent_closes_first(void **state)
{
    struct talk talk = talk_new();
    int fd = text_begin("fw-parent", O_WRONLY, "parent ");
    pid_t pid = fork();
    if (!pid) {
        preload_wait_for(talk.to_child[0]);
        _exit(!says(fd, "child") || close(fd));
    }
    assert_int_equal(close(fd), 0);
    text_is("fw-parent", "parent ");
    preload_tell(talk.to_child[1]);
    assert_ends(pid, 0);
    text_is("fw-parent", "parent child");
    talk_end(&talk);
}

static void parent_ends_first(void **state)
{
    struct talk talk = talk_new();
    text_put("fw-ends", "old");
    pid_t parent = fork();
    if (!parent) {
        int fd = open(preload_path("fw-ends"), O_WRONLY | O_TRUNC);
        if (!says(fd, "parent "))
            _exit(1);
        if (!fork()) {
            preload_wait_for(talk.to_child[0]);
            int result = !says(fd, "child");
            if (result || close(fd))
                _exit(1);
            preload_tell(talk.to_parent[1]);
            _exit(0);
        }
        _exit(0);
    }
    assert_ends(parent, 0);
    preload_tell(talk.to_child[1]);
    preload_wait_for(talk.to_parent[0]);
    text_is("fw-ends", "parent child");
    talk_end(&talk);
}

static void many_at_one_description(void **state)
{
    enum { WRITERS = 6, LINES = 200 };
    int fd = text_open("fw-many", O_RDWR | O_CREAT | O_TRUNC);
    pid_t pids[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i])
            continue;
        char line[32];
        for (int n = 0; n < LINES; n++) {
            snprintf(line, sizeof line, "%c%05d\n", 'a' + i, n);
            if (!says(fd, line))
                _exit(1);
        }
        _exit(0);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_ends(pids[i], 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), WRITERS * LINES * 7);
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_size("fw-many"), WRITERS * LINES * 7);
}

/* More than a part has been sent by then, and more follows from either side. */
static void stream_on_its_way(void **state)
{
    enum { MIB = 1 << 20 };
    static char block[MIB];
    char byte;
    int fd = text_open("fw-sent", O_WRONLY | O_CREAT | O_TRUNC);
    for (int i = 0; i < 40; i++)
        assert_int_equal(write(fd, block, MIB), MIB);
    pid_t pid = fork();
    if (!pid) {
        for (int i = 0; i < 20; i++)
            if (write(fd, block, MIB) != MIB)
                _exit(1);
        _exit(!says(fd, "child") || pwrite(fd, "head", 4, 0) != 4 || close(fd));
    }
    assert_ends(pid, 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 60 * MIB + 5);
    pid = fork();
    if (!pid) {
        dup2(fd, 1);
        execlp("echo", "echo", "program", (char *)NULL);
        _exit(1);
    }
    assert_ends(pid, 0);
    text_add(fd, "end");
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_size("fw-sent"), 60 * MIB + 16);
    fd = text_open("fw-sent", O_RDONLY);
    char text[20] = "";
    assert_int_equal(pread(fd, text, 4, 0), 4);
    assert_string_equal(text, "head");
    assert_int_equal(pread(fd, &byte, 1, 33 * MIB), 1);
    assert_int_equal(byte, 0);
    assert_int_equal(pread(fd, text, sizeof text, 60 * MIB), 16);
    assert_string_equal(text, "childprogram\nend");
    close(fd);
    text_remove("fw-sent");
}

/* ---- appending by descriptions of their own ---- */

enum { APPENDERS = 8, LINES = 500, LINE_BYTES = 17 };

static int append_lines(const char *path, int number)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    char line[32];
    for (int n = 0; fd >= 0 && n < LINES; n++) {
        snprintf(line, sizeof line, "%02d %05d -------\n", number, n);
        if (!says(fd, line))
            return 1;
    }
    return fd < 0 || close(fd);
}

static void appenders(void **state)
{
    const char *path = preload_path("fw-append");
    int fd = text_open("fw-append", O_RDWR | O_CREAT | O_TRUNC | O_APPEND);
    pid_t pids[APPENDERS];
    for (int i = 0; i < APPENDERS; i++) {
        pids[i] = fork();
        if (!pids[i])
            _exit(append_lines(path, i));
    }
    for (int i = 0; i < APPENDERS; i++)
        assert_ends(pids[i], 0);
    assert_int_equal(close(fd), 0);
    FILE *file = fopen(path, "r");
    int next[APPENDERS] = {0}, number, n;
    char line[64];
    while (fgets(line, sizeof line, file)) {
        assert_int_equal(sscanf(line, "%d %d -------\n", &number, &n), 2);
        assert_int_equal(strlen(line), LINE_BYTES);
        assert_int_equal(next[number]++, n);
    }
    for (int i = 0; i < APPENDERS; i++)
        assert_int_equal(next[i], LINES);
    fclose(file);
}

/* ---- killed ---- */

static void killed_child(void **state)
{
    struct talk talk = talk_new();
    int fd = text_begin("fw-killed", O_WRONLY, "parent ");
    pid_t pid = fork();
    if (!pid) {
        if (!says(fd, "child"))
            _exit(1);
        preload_tell(talk.to_parent[1]);
        pause();
    }
    preload_wait_for(talk.to_parent[0]);
    assert_killed(pid);
    assert_int_equal(close(fd), 0);
    text_is("fw-killed", "parent child");
    talk_end(&talk);
}

/* The one that opened it is killed; the other's close is the last one. Nobody has asked for the
 * dead one's status yet. */
static void killed_parent(void **state)
{
    struct talk talk = talk_new(), outer = talk_new();
    text_put("fw-opener", "old");
    pid_t parent = fork();
    if (!parent) {
        int fd = open(preload_path("fw-opener"), O_WRONLY | O_TRUNC);
        if (!says(fd, "parent "))
            _exit(1);
        if (!fork()) {
            preload_wait_for(talk.to_child[0]);
            if (!says(fd, "child") || close(fd))
                _exit(1);
            preload_tell(talk.to_parent[1]);
            _exit(0);
        }
        preload_tell(outer.to_parent[1]);
        pause();
    }
    preload_wait_for(outer.to_parent[0]);
    assert_int_equal(kill(parent, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)parent, &info, WEXITED | WNOWAIT), 0);
    preload_tell(talk.to_child[1]);
    preload_wait_for(talk.to_parent[0]);
    text_is("fw-opener", "parent child");
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    talk_end(&talk);
    talk_end(&outer);
}

static void all_killed(void **state)
{
    struct talk talk = talk_new();
    text_put("fw-nobody", "old");
    pid_t parent = fork();
    if (!parent) {
        int fd = open(preload_path("fw-nobody"), O_WRONLY | O_TRUNC);
        setpgid(0, 0);
        if (!says(fd, "parent "))
            _exit(1);
        if (!fork())
            preload_tell(talk.to_parent[says(fd, "child") ? 1 : 0]);
        pause();
    }
    preload_wait_for(talk.to_parent[0]);
    kill(-parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    text_is("fw-nobody", preload_is_virtual() ? "old" : "parent child");
    talk_end(&talk);
}

/* More than there are records for at a time: the dead make room. */
static void thousands_killed(void **state)
{
    int fd = text_begin("fw-thousands", O_WRONLY, "");
    for (int i = 0; i < 2100; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) {
            says(fd, ".");
            kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_size("fw-thousands"), 2100);
}

/* A lock that a killed process held is taken over. */
static void killed_while_writing(void **state)
{
    int fd = text_open("fw-torn", O_RDWR | O_CREAT | O_TRUNC | O_APPEND);
    struct talk talk = talk_new();
    pid_t pid = fork();
    if (!pid) {
        static char block[5000];
        memset(block, 'x', sizeof block);
        preload_tell(talk.to_parent[1]);
        for (int i = 0; i < 2000; i++)
            if (write(fd, block, sizeof block) != sizeof block)
                _exit(1);
        pause();
    }
    preload_wait_for(talk.to_parent[0]);
    text_add(fd, "y");
    assert_killed(pid);
    off_t size = lseek(fd, 0, SEEK_END);
    text_add(fd, "z");
    assert_int_equal(close(fd), 0);
    assert_int_equal(text_size("fw-torn"), size + 1);
    text_remove("fw-torn");
    talk_end(&talk);
}

/* ---- what others see ---- */

static void parent_sees_its_childs_file(void **state)
{
    text_remove("fw-seen");
    assert_int_equal(text_size("fw-seen"), -1);
    struct talk talk = talk_new();
    pid_t pid = fork();
    if (!pid) {
        int fd = open(preload_path("fw-seen"), O_WRONLY | O_CREAT | O_EXCL, 0640);
        if (!says(fd, "12345"))
            _exit(1);
        preload_tell(talk.to_parent[1]);
        preload_wait_for(talk.to_child[0]);
        if (!says(fd, "678"))
            _exit(1);
        preload_tell(talk.to_parent[1]);
        preload_wait_for(talk.to_child[0]);
        _exit(close(fd));
    }
    struct stat st;
    preload_wait_for(talk.to_parent[0]);
    assert_int_equal(stat(preload_path("fw-seen"), &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_errno(open(preload_path("fw-seen"), O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
    if (preload_is_virtual()) /* its content is the child's until it is closed */
        assert_errno(open(preload_path("fw-seen"), O_RDONLY), ENOENT);
    preload_tell(talk.to_child[1]);
    preload_wait_for(talk.to_parent[0]);
    assert_int_equal(text_size("fw-seen"), 8);
    preload_tell(talk.to_child[1]);
    assert_ends(pid, 0);
    text_is("fw-seen", "12345678");
    talk_end(&talk);
}

/* The name of a file whose writer was killed goes with it. */
static void killed_writers_leave_no_name(void **state)
{
    if (!preload_is_virtual())
        return;
    struct talk talk = talk_new();
    text_remove("fw-ghost");
    pid_t pid = fork();
    if (!pid) {
        int fd = open(preload_path("fw-ghost"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        preload_tell(talk.to_parent[says(fd, "boo") ? 1 : 0]);
        pause();
    }
    preload_wait_for(talk.to_parent[0]);
    assert_int_equal(text_size("fw-ghost"), 3);
    assert_killed(pid);
    assert_int_equal(text_size("fw-ghost"), -1);
    talk_end(&talk);
}

/* What a child has open and does not write to does not hide what was put there since. */
static void held_by_an_idle_child(void **state)
{
    struct talk talk = talk_new();
    int fd = text_begin("fw-idle", O_WRONLY, "first");
    pid_t pid = fork();
    if (!pid) {
        preload_wait_for(talk.to_child[0]);
        _exit(0);
    }
    assert_int_equal(close(fd), 0);
    text_put("fw-idle", "something longer");
    assert_int_equal(text_size("fw-idle"), 16);
    text_is("fw-idle", "something longer");
    preload_tell(talk.to_child[1]);
    assert_ends(pid, 0);
    text_is("fw-idle", "something longer");
    talk_end(&talk);
}

static void unlinked_by_a_child(void **state)
{
    int fd = text_begin("fw-unlinked", O_RDWR, "gone");
    pid_t pid = fork();
    if (!pid)
        _exit(unlink(preload_path("fw-unlinked")) != 0);
    assert_ends(pid, 0);
    assert_false(text_exists("fw-unlinked"));
    text_add(fd, ", but open");
    char text[32] = "";
    assert_int_equal(pread(fd, text, sizeof text, 0), 14);
    assert_int_equal(close(fd), 0);
    assert_false(text_exists("fw-unlinked"));
}

/* ---- the same path once more ---- */

static void read_back_a_log(void **state)
{
    int log = text_begin("fw-log", O_WRONLY, "line 1\n");
    FILE *reader = fopen(preload_path("fw-log"), "r");
    char line[32];
    assert_non_null(reader);
    for (int i = 1; i <= 100; i++) {
        snprintf(line, sizeof line, "line %d\n", i + 1);
        text_add(log, line);
        char got[32] = "";
        assert_non_null(fgets(got, sizeof got, reader));
        snprintf(line, sizeof line, "line %d\n", i);
        assert_string_equal(got, line);
    }
    fclose(reader);
    assert_int_equal(close(log), 0);
    assert_int_equal(text_size("fw-log"), 9 * 7 + 90 * 8 + 2 * 9);
}

static void opened_once_more(void **state)
{
    int first = text_begin("fw-again", O_WRONLY, "0123456789");
    int second = text_open("fw-again", O_RDWR);
    assert_int_equal(pwrite(second, "AB", 2, 3), 2);
    text_add(first, "!");
    int third = text_open("fw-again", O_WRONLY | O_APPEND);
    text_add(third, "?");
    char text[32] = "";
    assert_int_equal(pread(second, text, sizeof text, 0), 12);
    assert_string_equal(text, "012AB56789!?");
    assert_int_equal(close(second), 0);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(third), 0);
    text_is("fw-again", "012AB56789!?");
}

static void truncated_by_a_second_open(void **state)
{
    int first = text_begin("fw-trunc", O_WRONLY, "0123456789");
    int second = text_open("fw-trunc", O_WRONLY | O_TRUNC);
    assert_int_equal(text_size("fw-trunc"), 0);
    text_add(second, "ab");
    text_add(first, "X"); /* at its own offset, behind a hole */
    assert_int_equal(text_size("fw-trunc"), 11);
    assert_int_equal(close(first), 0);
    assert_int_equal(close(second), 0);
    char text[16];
    int fd = text_open("fw-trunc", O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 11);
    assert_memory_equal(text, "ab\0\0\0\0\0\0\0\0X", 11);
    close(fd);
}

/* ---- threads ---- */

static atomic_bool stop;

static void *write_on(void *file)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
    uintptr_t count = 0;
    while (!stop && write(fd, "0123456789", 10) == 10)
        count++;
    return (void *)(close(fd) ? UINTPTR_MAX : count);
}

static void forks_beside_writers(void **state)
{
    pthread_t threads[2];
    const char *paths[2] = {strdup(preload_path("fw-thread0")), strdup(preload_path("fw-thread1"))};
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, write_on, (void *)(uintptr_t)paths[i]);
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (!pid) {
            alarm(30);
            _exit(0);
        }
        assert_ends(pid, 0);
    }
    stop = true;
    for (int i = 0; i < 2; i++) {
        void *count;
        struct stat st;
        pthread_join(threads[i], &count);
        assert_int_equal(stat(paths[i], &st), 0);
        assert_int_equal(st.st_size, (uintptr_t)count * 10);
        free((char *)(uintptr_t)paths[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offset_is_shared),
        cmocka_unit_test(child_closes),
        cmocka_unit_test(child_reads_and_truncates),
        cmocka_unit_test(old_content_is_kept),
        cmocka_unit_test(parent_closes_first),
        cmocka_unit_test(parent_ends_first),
        cmocka_unit_test(many_at_one_description),
        cmocka_unit_test(stream_on_its_way),
        cmocka_unit_test(appenders),
        cmocka_unit_test(killed_child),
        cmocka_unit_test(killed_parent),
        cmocka_unit_test(all_killed),
        cmocka_unit_test(killed_while_writing),
        cmocka_unit_test(thousands_killed),
        cmocka_unit_test(parent_sees_its_childs_file),
        cmocka_unit_test(killed_writers_leave_no_name),
        cmocka_unit_test(held_by_an_idle_child),
        cmocka_unit_test(unlinked_by_a_child),
        cmocka_unit_test(read_back_a_log),
        cmocka_unit_test(opened_once_more),
        cmocka_unit_test(truncated_by_a_second_open),
        cmocka_unit_test(forks_beside_writers),
    };
    return cmocka_run_group_tests_name("fork_write", tests, NULL, NULL);
}
