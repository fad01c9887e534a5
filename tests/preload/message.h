/* Messages with descriptors in them, for the tests that send and receive some. */
#ifndef S3DLIO_TESTS_PRELOAD_MESSAGE_H
#define S3DLIO_TESTS_PRELOAD_MESSAGE_H

#include "tests/preload/text.h"

#include <sys/socket.h>
#include <sys/wait.h>

#define MANY 253 /* in one message; unix(7) */

struct pair {
    int here, there;
};

static inline struct pair pair_new(int type)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
    return (struct pair){ends[0], ends[1]};
}

static inline void pair_end(struct pair pair)
{
    close(pair.here);
    close(pair.there);
}

struct letter {
    struct msghdr header;
    struct iovec text;
    char byte;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MANY * sizeof(int))];
};

static inline struct msghdr *letter_with(struct letter *letter, const int *fds, unsigned count)
{
    memset(letter, 0, sizeof *letter);
    letter->byte = '!';
    letter->text = (struct iovec){&letter->byte, 1};
    letter->header = (struct msghdr){.msg_iov = &letter->text, .msg_iovlen = 1};
    if (!count)
        return &letter->header;
    letter->header.msg_control = letter->control;
    letter->header.msg_controllen = CMSG_SPACE(count * sizeof *fds);
    struct cmsghdr *part = CMSG_FIRSTHDR(&letter->header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof *fds);
    if (fds)
        memcpy(CMSG_DATA(part), fds, count * sizeof *fds);
    return &letter->header;
}

static inline ssize_t send_fds(int sock, const int *fds, unsigned count)
{
    struct letter letter;
    return sendmsg(sock, letter_with(&letter, fds, count), MSG_NOSIGNAL);
}

/* How many came. */
static inline int fds_of(struct letter *letter, int *ret_fds)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(&letter->header);
    if (!part || part->cmsg_type != SCM_RIGHTS)
        return 0;
    memcpy(ret_fds, CMSG_DATA(part), part->cmsg_len - CMSG_LEN(0));
    return (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof *ret_fds);
}

/* *flags as recvmsg takes and leaves them. */
static inline int receive_fds(int sock, int *ret_fds, unsigned room, int *flags)
{
    struct letter letter;
    letter_with(&letter, NULL, room);
    if (recvmsg(sock, &letter.header, *flags) != 1 || letter.byte != '!')
        return -1;
    *flags = letter.header.msg_flags;
    return fds_of(&letter, ret_fds);
}

static inline void send_one(int sock, int fd)
{
    if (send_fds(sock, &fd, 1) != 1)
        fail_msg("sendmsg: %s", strerror(errno));
}

static inline int receive_one(int sock)
{
    int fd = -1, flags = 0;
    assert_int_equal(receive_fds(sock, &fd, 1, &flags), 1);
    assert_int_equal(flags & MSG_CTRUNC, 0);
    return fd;
}

/* In a child, where nothing is asserted. */
static inline int take_one(int sock)
{
    int fd = -1, flags = 0;
    return receive_fds(sock, &fd, 1, &flags) == 1 ? fd : -1;
}

static inline bool says(int fd, const char *text)
{
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static inline bool reads(int fd, const char *expected)
{
    char text[256] = "";
    size_t length = strlen(expected);
    return read(fd, text, length) == (ssize_t)length && !strcmp(text, expected);
}

static inline void assert_ends(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("status %#x", status);
}

#endif
