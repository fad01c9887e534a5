/* posix_spawn by its file actions, of programs that get virtual descriptors: what they see, what
 * they share with this process, and that no copy of this process is made where none is needed. This
 * program executes itself: its first argument then says what to do, and its exit status is 0 if
 * that went well. */
#include "tests/preload/text.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>

static char self[PATH_MAX];

/* ---- the other program ---- */

static bool gets(int fd, const char *expected)
{
    char text[64] = "";
    size_t length = strlen(expected);
    return read(fd, text, length) == (ssize_t)length && !strcmp(text, expected);
}

static bool puts_to(int fd, const char *text)
{
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static int helper(char **argv)
{
    const char *what = argv[1], *text = argv[2] ? argv[2] : "";
    int fd = argv[2] && argv[3] ? atoi(argv[3]) : 0;
    char byte;
    if (!strcmp(what, "copy"))
        return !gets(0, text) || !puts_to(1, text);
    if (!strcmp(what, "gets"))
        return !gets(fd, text);
    if (!strcmp(what, "closed"))
        return fcntl(atoi(text), F_GETFD) >= 0;
    if (!strcmp(what, "locks"))
        return flock(atoi(text), LOCK_EX | LOCK_NB) < 0;
    if (!strcmp(what, "waits and gets")) /* until standard input says so */
        return read(0, &byte, 1) < 0 || !gets(fd, text);
    if (!strcmp(what, "waits and puts"))
        return read(0, &byte, 1) < 0 || !puts_to(fd, text);
    return 2;
}

/* ---- */

static unsigned copies; /* of this process */

static void count_copy(void)
{
    copies++;
}

static pid_t start(const posix_spawn_file_actions_t *actions, const char *what, const char *text,
                   const char *number)
{
    char *argv[] = {self, (char *)what, (char *)text, (char *)number, NULL};
    pid_t pid = -1;
    assert_int_equal(posix_spawn(&pid, self, actions, NULL, argv, environ), 0);
    assert_true(pid > 0);
    return pid;
}

static void ends_well(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int open_input(int flags)
{
    text_put("input", "0123456789");
    int fd = open(preload_path("input"), O_RDONLY | flags);
    assert_true(fd > 2);
    return fd;
}

static void redirections(void **state)
{
    posix_spawn_file_actions_t actions;
    int in = open_input(O_CLOEXEC),
        out = open(preload_path("output"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(out >= 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    copies = 0;
    pid_t pid = start(&actions, "copy", "0123", NULL);
    assert_int_equal(copies, 0);
    ends_well(pid);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 4);
    assert_int_equal(lseek(out, 0, SEEK_CUR), 4);
    assert_true(puts_to(out, "and more"));
    assert_int_equal(fcntl(in, F_GETFD), FD_CLOEXEC);
    close(in);
    assert_int_equal(close(out), 0);
    text_is("output", "0123and more");
    posix_spawn_file_actions_destroy(&actions);
}

static void in_order(void **state)
{
    posix_spawn_file_actions_t actions;
    int in = open_input(O_CLOEXEC);
    assert_int_equal(dup2(in, 40), 40); /* not close-on-exec */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 40, 41);
    posix_spawn_file_actions_addclose(&actions, 40);
    posix_spawn_file_actions_addopen(&actions, 42, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 41, 42); /* over it */
    posix_spawn_file_actions_adddup2(&actions, 42, 43);
    posix_spawn_file_actions_addopen(&actions, 43, "/dev/null", O_RDONLY, 0); /* over this */
    ends_well(start(&actions, "gets", "01", "41"));
    ends_well(start(&actions, "gets", "23", "42"));
    ends_well(start(&actions, "gets", "", "43"));
    ends_well(start(&actions, "closed", "40", NULL));
    ends_well(start(NULL, "gets", "45", "40"));
    posix_spawn_file_actions_adddup2(&actions, in, in); /* no longer close-on-exec */
    char number[16];
    snprintf(number, sizeof number, "%d", in);
    ends_well(start(&actions, "gets", "67", number));
    close(40);
    ends_well(start(NULL, "closed", number, NULL));
    close(in);
    posix_spawn_file_actions_destroy(&actions);
}

static void all_but_standard_input(void **state)
{
    posix_spawn_file_actions_t actions;
    int in = open_input(O_CLOEXEC);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, 0);
    posix_spawn_file_actions_adddup2(&actions, in, 40);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    ends_well(start(&actions, "gets", "0123", NULL));
    ends_well(start(&actions, "closed", "40", NULL));
    close(in);
    posix_spawn_file_actions_destroy(&actions);
}

static void many(void **state)
{
    int in = open_input(O_CLOEXEC), fds[100];
    for (int i = 0; i < 100; i++)
        fds[i] = dup(in);
    char number[16];
    snprintf(number, sizeof number, "%d", fds[99]);
    ends_well(start(NULL, "gets", "0123", number));
    for (int i = 0; i < 100; i++)
        close(fds[i]);
    close(in);
}

static void one_lock(void **state)
{
    int fd = open_input(0), other = open(preload_path("input"), O_RDONLY | O_CLOEXEC), status;
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    ends_well(start(NULL, "locks", number, NULL)); /* the description has it already */
    assert_errno(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_int_equal(flock(other, LOCK_EX), 0);
    pid_t pid = start(NULL, "locks", number, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 1 << 8);
    close(fd);
    close(other);
}

/* ---- which go on by themselves ---- */

struct waiting {
    pid_t pid;
    int told;
};

/* The program has `fd`, and this process no more. */
static struct waiting leave_to(int fd, const char *what, const char *text)
{
    posix_spawn_file_actions_t actions;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
    posix_spawn_file_actions_adddup2(&actions, fd, 9);
    struct waiting waiting = {start(&actions, what, text, "9"), ends[1]};
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    assert_int_equal(close(fd), 0);
    return waiting;
}

static void go_on(const struct waiting *waiting)
{
    assert_int_equal(write(waiting->told, "", 1), 1);
    close(waiting->told);
    ends_well(waiting->pid);
}

static void removes_input(void)
{
    pid_t pid = fork();
    if (!pid)
        _exit(unlink(preload_path("input")) < 0);
    ends_well(pid);
}

/* Nobody but the program has it open, which has not looked at it yet. */
static void what_it_reads_stays(void **state)
{
    struct waiting waiting = leave_to(open_input(O_CLOEXEC), "waits and gets", "0123456789");
    removes_input();
    assert_errno(access(preload_path("input"), F_OK), ENOENT);
    go_on(&waiting);
}

static void what_it_writes_is_stored(void **state)
{
    int fd = open(preload_path("written"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_true(puts_to(fd, "one, "));
    struct waiting waiting = leave_to(fd, "waits and puts", "two");
    go_on(&waiting);
    text_is("written", "one, two");
}

/* Killed before it looks: what it was given is free, and the file is what was written so far. */
static void killed(void **state)
{
    int fd = open(preload_path("cut"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), status;
    assert_true(puts_to(fd, "one"));
    int kept = dup(fd);
    struct waiting waiting = leave_to(fd, "waits and puts", "two");
    kill(waiting.pid, SIGKILL);
    assert_int_equal(waitpid(waiting.pid, &status, 0), waiting.pid);
    close(waiting.told);
    assert_int_equal(close(kept), 0);
    text_is("cut", "one");
}

static void no_program(void **state)
{
    posix_spawn_file_actions_t actions;
    char *argv[] = {(char *)"none", NULL};
    int in = open_input(0);
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, "/nowhere/none", NULL, NULL, argv, environ), ENOENT);
    assert_int_equal(posix_spawnp(&pid, "no-such-program", NULL, NULL, argv, environ), ENOENT);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 999, 0);
    assert_int_equal(posix_spawn(&pid, self, &actions, NULL, argv, environ), EBADF);
    posix_spawn_file_actions_destroy(&actions);
    assert_true(gets(in, "0123"));
    close(in);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return helper(argv);
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 ||
        pthread_atfork(count_copy, NULL, NULL))
        return 2;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redirections),
        cmocka_unit_test(in_order),
        cmocka_unit_test(all_but_standard_input),
        cmocka_unit_test(many),
        cmocka_unit_test(one_lock),
        cmocka_unit_test(what_it_reads_stays),
        cmocka_unit_test(what_it_writes_is_stored),
        cmocka_unit_test(killed),
        cmocka_unit_test(no_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
