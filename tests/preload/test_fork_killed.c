/* Processes that are killed in the middle of a fork, with files being written open: what they would have
 * handed on keeps nothing back, and a child that is there already has its part. The program's own atfork
 * handlers are where the middle is. */
#include "tests/preload/text.h"

#include <pthread.h>
#include <sys/wait.h>

static int told[2]; /* a child waits for it */

static void kill_self(void)
{
    kill(getpid(), SIGKILL);
}

static void wait_until_told(void)
{
    char byte;
    if (read(told[0], &byte, 1) != 1)
        _exit(91);
}

static void tell(void)
{
    assert_int_equal(write(told[1], "", 1), 1);
}

static void write_and_end(int fd, const char *text)
{
    ssize_t length = (ssize_t)strlen(text);
    _exit(write(fd, text, (size_t)length) == length && !close(fd) ? 0 : 93);
}

/* A child that forks under these handlers, one of which kills it. Its own child writes. */
static void fork_killed(int fd, void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        pthread_atfork(prepare, parent, child);
        if (!fork())
            write_and_end(fd, "grandchild");
        _exit(92);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

/* The one that opened it closes it first; that the writer's close is the last one makes the object. */
static void before_there_is_a_child(void **state)
{
    int fd = text_begin("fk-before", O_WRONLY, "first "), status = -1;
    assert_int_equal(pipe(told), 0);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (!writer) {
        wait_until_told();
        write_and_end(fd, "last");
    }
    fork_killed(fd, kill_self, NULL, NULL);
    assert_int_equal(close(fd), 0);
    tell();
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    text_is("fk-before", "first last");
}

static void when_there_is_one(void **state)
{
    int fd = text_begin("fk-after", O_WRONLY, "first "), alive[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    assert_int_equal(pipe(alive), 0);
    fork_killed(fd, NULL, kill_self, wait_until_told);
    assert_int_equal(close(alive[1]), 0);
    assert_int_equal(close(fd), 0);
    text_is("fk-after", "first ");
    tell();
    assert_int_equal(read(alive[0], &byte, 1), 0);
    text_is("fk-after", "first grandchild");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(before_there_is_a_child),
        cmocka_unit_test(when_there_is_one),
    };
    return cmocka_run_group_tests_name("killed while forking", tests, NULL, NULL);
}
