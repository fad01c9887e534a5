/* engine/io/fd.h, engine/io/aside.h: descriptors kept apart from the program's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
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

static void passes_errors_on(void **state)
{
    (void)state;
    assert_int_equal(fd_adopt(-ENOENT), -ENOENT);
    fd_close(-1);
    assert_false(fd_owned(-1));
    assert_false(fd_owned(1 << 30));
}

static void stays_where_it_is_without_room(void **state)
{
    struct rlimit before, small;
    int low = open("/dev/null", O_RDONLY), fd;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    small = (struct rlimit){.rlim_cur = (rlim_t)low + 1, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &small);
    fd = fd_adopt(low);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(fd, low);
    assert_true(fd_owned(fd));
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    fd_close(fd);
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
        cmocka_unit_test(passes_errors_on),
        cmocka_unit_test(stays_where_it_is_without_room),
        cmocka_unit_test(aside_has_its_own_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
