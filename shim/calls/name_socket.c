/* Sockets where they meet names and descriptors of ours: no socket can live in a bucket, a virtual
 * descriptor is none (programs ask, and take ENOTSOCK for the answer), and it does not travel to
 * another process yet. */
#include <string.h>
#include <sys/un.h>

#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"

#define UNIX_PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

/* The path of a Unix address, when it may be ours: 1, 0 or -errno as path_classify. Abstract names
 * begin with a NUL; the path need not end in one (unix(7)). */
static int address_classify(const struct sockaddr *address, socklen_t length,
                            struct vpath *ret_path)
{
    const socklen_t offset = (socklen_t) __builtin_offsetof(struct sockaddr_un, sun_path);
    if ((uintptr_t)address < PATH_UNREAD || length <= offset || address->sa_family != AF_UNIX)
        return 0;
    char path[UNIX_PATH_SIZE + 1] = {0};
    size_t size = length - offset;
    size = size < UNIX_PATH_SIZE ? size : UNIX_PATH_SIZE;
    memcpy(path, (const char *)address + offset, size);
    return path[0] ? path_classify(AT_FDCWD, path, ret_path) : 0;
}

#define NO_SOCKET(fd)                                                                              \
    if (unlikely(fdtab_is_virtual(fd))) {                                                          \
        errno = ENOTSOCK;                                                                          \
        return -1;                                                                                 \
    }

#define ADDRESS_ENTRY(address, length, real_call, error)                                           \
    struct vpath resolved;                                                                         \
    int result = address_classify(address, length, &resolved);                                     \
    if (likely(!result))                                                                           \
        return real_call;                                                                          \
    errno = result < 0 ? -result : (error);                                                        \
    return -1

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    NO_SOCKET(fd);
    ADDRESS_ENTRY(address, length, REAL(bind)(fd, address, length), EOPNOTSUPP);
}

/* What connect(2) says of a name that is no socket. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    NO_SOCKET(fd);
    ADDRESS_ENTRY(address, length, REAL(connect)(fd, address, length), ECONNREFUSED);
}

/* ---- descriptors in messages ---- */

static bool carries_ours(const struct msghdr *message)
{
    if ((uintptr_t)message < PATH_UNREAD || (uintptr_t)message->msg_control < PATH_UNREAD)
        return false;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
         part = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS ||
            part->cmsg_len < CMSG_LEN(0))
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (fdtab_is_virtual(fd))
                return true;
        }
    }
    return false;
}

static int refused(void)
{
    errno = -report_refusal("sending a descriptor to another process", NULL);
    return -1;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NO_SOCKET(fd);
    if (likely(!file_any()) || !carries_ours(message))
        return REAL(sendmsg)(fd, message, flags);
    return refused();
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    NO_SOCKET(fd);
    for (unsigned i = 0; unlikely(file_any()) && i < count; i++)
        if (carries_ours(&messages[i].msg_hdr))
            return i ? REAL(sendmmsg)(fd, messages, i, flags) : refused();
    return REAL(sendmmsg)(fd, messages, count, flags);
}

/* ---- what is asked of sockets only ---- */

ssize_t recv(int fd, void *buffer, size_t length, int flags)
{
    NO_SOCKET(fd);
    return REAL(recv)(fd, buffer, length, flags);
}

ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *address,
                 socklen_t *address_length)
{
    NO_SOCKET(fd);
    return REAL(recvfrom)(fd, buffer, length, flags, address, address_length);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    NO_SOCKET(fd);
    return REAL(recvmsg)(fd, message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    NO_SOCKET(fd);
    return REAL(recvmmsg)(fd, messages, count, flags, timeout);
}

ssize_t send(int fd, const void *buffer, size_t length, int flags)
{
    NO_SOCKET(fd);
    return REAL(send)(fd, buffer, length, flags);
}

ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address,
               socklen_t address_length)
{
    NO_SOCKET(fd);
    return REAL(sendto)(fd, buffer, length, flags, address, address_length);
}

int listen(int fd, int backlog)
{
    NO_SOCKET(fd);
    return REAL(listen)(fd, backlog);
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
    NO_SOCKET(fd);
    return REAL(accept)(fd, address, length);
}

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    NO_SOCKET(fd);
    return REAL(accept4)(fd, address, length, flags);
}

int shutdown(int fd, int how)
{
    NO_SOCKET(fd);
    return REAL(shutdown)(fd, how);
}

int getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
    NO_SOCKET(fd);
    return REAL(getsockname)(fd, address, length);
}

int getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
    NO_SOCKET(fd);
    return REAL(getpeername)(fd, address, length);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
    NO_SOCKET(fd);
    return REAL(getsockopt)(fd, level, option, value, length);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
    NO_SOCKET(fd);
    return REAL(setsockopt)(fd, level, option, value, length);
}

#include "alias_socket.h"
