/* Sockets where they meet names and descriptors of ours: no socket can live in a bucket, a virtual
 * descriptor is none (programs ask, and take ENOTSOCK for the answer). */
#include <string.h>
#include <sys/un.h>

#include "shim/calls/map_lazy.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/path.h"
#include "shim/real.h"

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

/* `taken` where there is something of the name, `free` where it could be made. */
static int no_address(const struct vpath *path, int taken, int free)
{
    struct stat st;
    int result = stat_path(path, true, &st);
    if (result == -ENOENT && !stat_parent(path))
        result = -free;
    return result ? result : -taken;
}

#define ADDRESS_ENTRY(address, length, real_call, taken, free)                                     \
    struct vpath resolved;                                                                         \
    int result = address_classify(address, length, &resolved);                                     \
    if (likely(!result))                                                                           \
        return real_call;                                                                          \
    errno = result < 0 ? -result : -no_address(&resolved, taken, free);                            \
    return -1

int bind(int fd, const struct sockaddr *address, socklen_t length)
{
    NO_SOCKET(fd);
    ADDRESS_ENTRY(address, length, REAL(bind)(fd, address, length), EADDRINUSE, EOPNOTSUPP);
}

/* What connect(2) says of a name that is no socket. */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
    NO_SOCKET(fd);
    ADDRESS_ENTRY(address, length, REAL(connect)(fd, address, length), ECONNREFUSED, ENOENT);
}

/* ---- what is asked of sockets only ---- */

ssize_t recv(int fd, void *buffer, size_t length, int flags)
{
    NO_SOCKET(fd);
    MAP_LAZY_BUFFER(buffer, length);
    return REAL(recv)(fd, buffer, length, flags);
}

ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *address,
                 socklen_t *address_length)
{
    NO_SOCKET(fd);
    MAP_LAZY_BUFFER(buffer, length);
    return REAL(recvfrom)(fd, buffer, length, flags, address, address_length);
}

ssize_t __recv_chk(int fd, void *buffer, size_t length, size_t room, int flags)
{
    if (length > room)
        return REAL(__recv_chk)(fd, buffer, length, room, flags); /* aborts, as it has to */
    return recv(fd, buffer, length, flags);
}

/* NOLINTNEXTLINE(readability-function-size): the C library's own arguments */
ssize_t __recvfrom_chk(int fd, void *buffer, size_t length, size_t room, int flags,
                       struct sockaddr *address, socklen_t *address_length)
{
    if (length > room)
        return REAL(__recvfrom_chk)(fd, buffer, length, room, flags, address, address_length);
    return recvfrom(fd, buffer, length, flags, address, address_length);
}

ssize_t send(int fd, const void *buffer, size_t length, int flags)
{
    NO_SOCKET(fd);
    MAP_LAZY_BUFFER(buffer, length);
    return REAL(send)(fd, buffer, length, flags);
}

ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *address,
               socklen_t address_length)
{
    NO_SOCKET(fd);
    MAP_LAZY_BUFFER(buffer, length);
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
