/* Placeholders: what a virtual descriptor is to the kernel.
 *
 * An O_PATH descriptor of a socket inode: a call that escapes interposition gets EBADF, ENOTDIR or
 * ENXIO (open(2), O_PATH; open of a socket) instead of wrong data. One is made, the others are
 * duplicates of it, half a microsecond each. If a program closes the original, it is made again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/file.h"
#include "shim/private_fd.h"
#include "shim/real.h"

static _Atomic int original = -1;
static _Atomic uint64_t original_inode;

/* Through /proc/self/fd a socket can be opened O_PATH without ever being bound to a name. */
static int socket_path_fd(void)
{
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return -errno;
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", sock);
    int fd = REAL(open)(name, O_PATH | O_CLOEXEC);
    int saved = errno;
    REAL(close)(sock);
    return fd < 0 ? -saved : fd;
}

/* Without /proc: a socket bound to a name that is unlinked at once. */
static int bound_path_fd(void)
{
    static const char *const places[] = {"/dev/shm", "/tmp", "/var/tmp"};
    int result = -ENOENT;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (sock < 0)
            return -errno;
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        snprintf(address.sun_path, sizeof address.sun_path, "%s/.s3dlio-%d-%d", places[i],
                 (int)getpid(), sock);
        if (!bind(sock, (struct sockaddr *)&address, sizeof address)) {
            result = REAL(open)(address.sun_path, O_PATH | O_CLOEXEC);
            result = result < 0 ? -errno : result;
            REAL(unlink)(address.sun_path);
        }
        REAL(close)(sock);
        if (result >= 0)
            break;
    }
    return result;
}

static bool original_is_whole(int fd)
{
    struct stat st;
    return fd >= 0 && !REAL(fstat)(fd, &st) && st.st_ino == original_inode && S_ISSOCK(st.st_mode);
}

static int original_make(void)
{
    int fd = socket_path_fd();
    if (fd < 0)
        fd = bound_path_fd();
    if (fd < 0)
        return fd;
    fd = private_fd_raise(fd, 256);
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0)
        return -errno;
    original_inode = st.st_ino;
    original = fd;
    return fd;
}

bool placeholder_is(int fd)
{
    struct stat st;
    int flags = REAL(fcntl)(fd, F_GETFL);
    return flags >= 0 && flags & O_PATH && !REAL(fstat)(fd, &st) && S_ISSOCK(st.st_mode);
}

int placeholder_open(int minimum, bool cloexec)
{
    int fd = original_is_whole(original) ? original : original_make();
    if (fd < 0)
        return fd;
    int copy = REAL(fcntl)(fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, minimum);
    return copy < 0 ? -errno : copy;
}
