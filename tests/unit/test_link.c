/* engine/http/link.h: how much may lie in a socket. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/link.h"

static int send_room(int fd)
{
    int bytes = 0;
    socklen_t size = sizeof bytes;

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);
    return bytes;
}

static socklen_t any_port(int family, struct sockaddr_storage *address)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    struct sockaddr_in *four = (struct sockaddr_in *)address;

    memset(address, 0, sizeof *address);
    address->ss_family = (sa_family_t)family;
    six->sin6_addr = in6addr_loopback;
    if (family == AF_INET)
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return family == AF_INET ? sizeof *four : sizeof *six;
}

/* A connected socket in ret_ends[0]; without that family here -1. */
static int connect_loopback(int family, int ret_ends[2])
{
    struct sockaddr_storage address;
    socklen_t size = any_port(family, &address);
    int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0) {
        close(listener);
        return -1;
    }
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    ret_ends[0] = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(ret_ends[0], (struct sockaddr *)&address, size), 0);
    ret_ends[1] = accept(listener, NULL, NULL);
    assert_true(ret_ends[1] >= 0);
    close(listener);
    return 0;
}

/* SO_SNDBUF ends the kernel's own tuning, so what it says now is what it stays. */
static void check_bounded(int fd)
{
    int large = 4 * LINK_LOCAL_BYTES, most;
    struct link link = {.fd = -1};

    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &large, sizeof large);
    most = send_room(fd); /* as much as this machine allows */
    link_connected(&link, fd);
    assert_int_equal(link.fd, fd);
    assert_int_equal(send_room(fd), most < LINK_LOCAL_BYTES ? most : LINK_LOCAL_BYTES);
}

static void little_lies_between_ends_on_one_machine(void **state)
{
    static const int families[] = {AF_INET, AF_INET6};
    int ends[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        if (connect_loopback(families[i], ends) < 0)
            continue;
        check_bounded(ends[0]);
        close(ends[0]);
        close(ends[1]);
    }
}

/* Two addresses of one machine stand for two machines here. */
static void others_are_left_to_the_kernel(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct link link = {.fd = -1};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), before;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(bind(fd,
                          (struct sockaddr *)&(struct sockaddr_in){
                              .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                          sizeof address),
                     0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    before = send_room(fd);
    link_connected(&link, fd);
    assert_int_equal(link.fd, fd);
    assert_int_equal(send_room(fd), before);
    close(fd);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_lies_between_ends_on_one_machine),
        cmocka_unit_test(others_are_left_to_the_kernel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
