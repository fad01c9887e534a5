/* engine/io/fd.h, engine/io/aside.h: descriptors kept apart from the program's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/aside.h"
#include "io/fd.h"
#include "io/gate.h"

static void adopts_high_and_known(void **state)
{
    int low = open("/dev/null", O_RDONLY), fd = fd_adopt(low), other;

    (void)state;
    assert_true(fd >= 128 && fd != low);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true(fd_owned(fd));
    assert_false(fd_owned(low));
    assert_int_equal(fcntl(low, F_GETFD), -1);
    other = fd_adopt(open("/dev/null", O_RDONLY));
    assert_int_equal(other, fd + 1);
    fd_close(fd);
    assert_false(fd_owned(fd));
    assert_true(fd_owned(other));
    fd_close(other);
    assert_int_equal(fcntl(other, F_GETFD), -1);
}

static void a_child_keeps_what_is_not_the_parents_own(void **state)
{
    int kept = fd_adopt(open("/dev/null", O_RDONLY)), status;
    int own = fd_adopt_own(open("/dev/null", O_RDONLY));
    int closed = fd_adopt_own(open("/dev/null", O_RDONLY));
    pid_t pid;

    (void)state;
    fd_close(closed);
    closed = fd_adopt(open("/dev/null", O_RDONLY)); /* the number means something else now */
    assert_true(fd_owned(own) && fd_owned(closed));
    pid = fork();
    if (pid == 0) {
        fd_reset_child();
        _exit(fd_owned(own) || fcntl(own, F_GETFD) >= 0 || !fd_owned(kept) ||
              fcntl(kept, F_GETFD) < 0 || !fd_owned(closed) || fcntl(closed, F_GETFD) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(fcntl(own, F_GETFD), FD_CLOEXEC);
    fd_close(own);
    fd_close(kept);
    fd_close(closed);
}

static void passes_errors_on(void **state)
{
    (void)state;
    assert_int_equal(fd_adopt(-ENOENT), -ENOENT);
    fd_close(-1);
    assert_false(fd_owned(-1));
    assert_false(fd_owned(1 << 30));
}

static void goes_above_the_limit_of_the_program(void **state)
{
    struct rlimit before, small, after;
    int low = open("/dev/null", O_RDONLY), fd, made;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    small = (struct rlimit){.rlim_cur = (rlim_t)low + 1, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &small);
    assert_int_equal(dup(low), -1); /* the program has all of its own */
    fd_room_begin(FD_FOR_FILES);
    made = dup(low);
    fd = fd_adopt(low);
    fd_room_end();
    getrlimit(RLIMIT_NOFILE, &after);
    assert_int_equal(dup(made), low);
    assert_int_equal(dup(made), -1);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(after.rlim_cur, small.rlim_cur);
    assert_int_equal(after.rlim_max, small.rlim_max);
    assert_int_equal(made, low + 1);
    assert_true(fd > made);
    assert_true(fd_owned(fd));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    fd_close(fd);
    close(made);
    close(low);
}

static void what_the_program_sets_meanwhile_stays(void **state)
{
    struct rlimit before, set, after;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    set = (struct rlimit){.rlim_cur = before.rlim_max / 2, .rlim_max = before.rlim_max};
    fd_room_begin(FD_FOR_FILES);
    fd_room_begin(FD_FOR_FILES);
    fd_room_end();
    setrlimit(RLIMIT_NOFILE, &set);
    fd_room_end();
    getrlimit(RLIMIT_NOFILE, &after);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(after.rlim_cur, set.rlim_cur);
}

/* In a child, for a hard limit is for good. */
static int adopt_without_room(void)
{
    int low = open("/dev/null", O_RDONLY);
    struct rlimit small = {(rlim_t)low + 1, (rlim_t)low + 1};

    if (setrlimit(RLIMIT_NOFILE, &small) < 0 || fd_adopt(low) != low || !fd_owned(low))
        return 1;
    return fcntl(low, F_GETFD) != FD_CLOEXEC;
}

/* Also in a child, when the program has taken all numbers that it can. */
static int make_one(enum fd_use use)
{
    int fd;

    fd_room_begin(use);
    fd = fd_adopt(dup(0));
    fd_room_end();
    return fd;
}

static int keep_some_for_requests(void)
{
    struct rlimit small = {64, 64};

    if (setrlimit(RLIMIT_NOFILE, &small) < 0)
        return 1;
    fd_close(make_one(FD_FOR_FILES));
    while (dup(0) >= 0)
        ;
    if (make_one(FD_FOR_FILES) >= 0)
        return 2;
    for (unsigned i = 0; i < 5; i++)
        if (make_one(FD_FOR_REQUESTS) < 0)
            return 3;
    return make_one(FD_FOR_FILES) >= 0 ? 4 : 0;
}

static void assert_child_returns_0(int (*function)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(function());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void without_room(void **state)
{
    (void)state;
    assert_child_returns_0(adopt_without_room);
    assert_child_returns_0(keep_some_for_requests);
}

struct aside_look {
    int fd, seen, opened;
};

static void look(void *arg)
{
    struct aside_look *at = arg;

    at->seen = fcntl(at->fd, F_GETFD);
    at->opened = open("/dev/null", O_RDONLY);
}

static void aside_has_its_own_table(void **state)
{
    struct gate_scope scope;
    struct aside_look at = {.fd = open("/dev/null", O_RDONLY)};
    int probe = dup(at.fd);

    (void)state;
    close(probe);
    gate_enter(&scope);
    assert_int_equal(aside_run("test", look, &at), 0);
    gate_leave(&scope);
    assert_int_equal(at.seen, -1);
    assert_true(at.opened >= 0);
    assert_int_not_equal(fcntl(at.fd, F_GETFD), -1);
    assert_int_equal(dup(at.fd), probe); /* nothing was opened here */
    close(probe);
    close(at.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adopts_high_and_known),
        cmocka_unit_test(a_child_keeps_what_is_not_the_parents_own),
        cmocka_unit_test(passes_errors_on),
        cmocka_unit_test(goes_above_the_limit_of_the_program),
        cmocka_unit_test(what_the_program_sets_meanwhile_stays),
        cmocka_unit_test(without_room),
        cmocka_unit_test(aside_has_its_own_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
