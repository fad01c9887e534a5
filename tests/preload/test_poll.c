/* poll, select and epoll on virtual descriptors, alone and among real ones: as regular files. */
#include "tests/preload/preload.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

static char *data;
static int fd, ends[2];

static int setup(void **state)
{
    data = strdup(preload_path("poll.dat"));
    preload_make(data, 100);
    fd = open(data, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pipe(ends), 0);
    return 0;
}

static long elapsed_ms(const struct timespec *since)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

static void always_ready(void **state)
{
    struct pollfd one = {fd, POLLIN | POLLOUT | POLLPRI, -1};
    assert_int_equal(poll(&one, 1, -1), 1);
    assert_int_equal(one.revents, POLLIN | POLLOUT);
    assert_int_equal(one.events, POLLIN | POLLOUT | POLLPRI);
    one.events = POLLIN;
    assert_int_equal(ppoll(&one, 1, NULL, NULL), 1);
    assert_int_equal(one.revents, POLLIN);
}

static void among_real_ones(void **state)
{
    struct pollfd all[] = {{ends[0], POLLIN, -1}, {fd, POLLIN, -1}, {-5, POLLIN, -1}};
    assert_int_equal(poll(all, 3, -1), 1);
    assert_int_equal(all[0].revents, 0);
    assert_int_equal(all[1].revents, POLLIN);
    assert_int_equal(all[2].revents, 0);
    assert_int_equal(all[1].fd, fd);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_int_equal(poll(all, 3, -1), 2);
    assert_int_equal(all[0].revents, POLLIN);
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    struct pollfd closed = {fd + 100, POLLIN, 0};
    assert_int_equal(poll(&closed, 1, 0), 1);
    assert_int_equal(closed.revents, POLLNVAL);
}

static void nothing_asked(void **state)
{
    struct timespec start;
    struct pollfd none = {fd, 0, -1};
    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(poll(&none, 1, 60), 0);
    assert_int_equal(none.revents, 0);
    assert_true(elapsed_ms(&start) >= 55);
}

static void many_descriptors(void **state)
{
    struct pollfd all[200];
    for (int i = 0; i < 200; i++)
        all[i] = (struct pollfd){i % 2 ? fd : ends[0], POLLIN, 0};
    assert_int_equal(poll(all, 200, -1), 100);
    for (int i = 0; i < 200; i++)
        assert_int_equal(all[i].revents, i % 2 ? POLLIN : 0);
}

static void with_select(void **state)
{
    fd_set reading, writing, failing;
    FD_ZERO(&reading);
    FD_ZERO(&writing);
    FD_ZERO(&failing);
    FD_SET(fd, &reading);
    FD_SET(ends[0], &reading);
    FD_SET(fd, &writing);
    FD_SET(fd, &failing);
    int top = (fd > ends[0] ? fd : ends[0]) + 1;
    assert_int_equal(select(top, &reading, &writing, &failing, NULL), 2);
    assert_true(FD_ISSET(fd, &reading));
    assert_false(FD_ISSET(ends[0], &reading));
    assert_true(FD_ISSET(fd, &writing));
    assert_false(FD_ISSET(fd, &failing));

    assert_int_equal(write(ends[1], "x", 1), 1);
    FD_SET(ends[0], &reading);
    struct timespec limit = {5, 0};
    assert_int_equal(pselect(top, &reading, NULL, NULL, &limit, NULL), 2);
    assert_true(FD_ISSET(ends[0], &reading));
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
}

static void select_that_waits(void **state)
{
    struct timespec start;
    fd_set failing;
    FD_ZERO(&failing);
    FD_SET(fd, &failing);
    struct timeval limit = {0, 60000};
    clock_gettime(CLOCK_MONOTONIC, &start);
    assert_int_equal(select(fd + 1, NULL, NULL, &failing, &limit), 0);
    assert_true(elapsed_ms(&start) >= 55);
    assert_false(FD_ISSET(fd, &failing));
}

static void not_for_epoll(void **state)
{
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    assert_errno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), EPERM);
    assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event), 0);
    close(epoll);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(always_ready),  cmocka_unit_test(among_real_ones),
        cmocka_unit_test(nothing_asked), cmocka_unit_test(many_descriptors),
        cmocka_unit_test(with_select),   cmocka_unit_test(select_that_waits),
        cmocka_unit_test(not_for_epoll),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
