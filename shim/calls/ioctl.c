/* Clones, and what asks whether a descriptor is a terminal or a socket: a virtual one answers as a
 * regular file. */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "shim/calls/copy.h"
#include "shim/calls/io.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/path.h"
#include "shim/real.h"

static int bytes_left(struct file *file, int *ret_count)
{
    if ((uintptr_t)ret_count < PATH_UNREAD)
        return -EFAULT;
    off_t left = io_size(file) - file->slot->offset;
    *ret_count = left < INT32_MIN ? INT32_MIN : left > INT32_MAX ? INT32_MAX : (int)left;
    return 0;
}

static int clone_file(struct file *file, int from)
{
    struct file_clone_range all = {.src_fd = from};
    return copy_clone(file, &all);
}

static int ioctl_file(struct file *file, int fd, unsigned long request, void *argument)
{
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        return REAL(fcntl)(fd, F_SETFD, request == FIOCLEX ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
    case FIONREAD: return file->kind == FILE_DIRECTORY ? -ENOTTY : bytes_left(file, argument);
    case FIONBIO:
    case FIOASYNC: {
        if ((uintptr_t)argument < PATH_UNREAD)
            return -EFAULT;
        uint32_t flag = request == FIONBIO ? O_NONBLOCK : O_ASYNC;
        if (*(int *)argument)
            atomic_fetch_or(&file->slot->flags, flag);
        else
            atomic_fetch_and(&file->slot->flags, ~flag);
        return 0;
    }
    case FICLONE: return clone_file(file, (int)(long)argument);
    case FICLONERANGE:
        return (uintptr_t)argument < PATH_UNREAD ? -EFAULT : copy_clone(file, argument);
    case FIDEDUPERANGE: return -EOPNOTSUPP; /* objects share nothing */
    default: return -ENOTTY;
    }
}

/* A clone between a real and a virtual file: the argument is the source's descriptor. */
static bool clones_ours(unsigned long request, void *argument)
{
    if (request == FICLONE)
        return fdtab_is_virtual((int)(long)argument);
    return request == FICLONERANGE && (uintptr_t)argument >= PATH_UNREAD &&
           fdtab_is_virtual((int)((struct file_clone_range *)argument)->src_fd);
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    int saved = errno;
    if (likely(!file))
        return likely(!clones_ours(request, argument)) ? REAL(ioctl)(fd, request, argument)
                                                       : (int)entry_return(saved, -EXDEV);
    int result = (int)entry_return(saved, ioctl_file(file, fd, request, argument));
    file_put(file);
    return result;
}

/* ---- terminals ---- */

#define NO_TERMINAL(fd, real_call)                                                                 \
    if (likely(!fdtab_is_virtual(fd)))                                                             \
        return real_call;                                                                          \
    errno = ENOTTY

int isatty(int fd)
{
    NO_TERMINAL(fd, REAL(isatty)(fd));
    return 0;
}

/* The placeholder is a socket to the kernel. */
int isfdtype(int fd, int type)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(isfdtype)(fd, type);
    bool is_directory = file->kind == FILE_DIRECTORY;
    file_put(file);
    return (type & S_IFMT) == (is_directory ? S_IFDIR : S_IFREG);
}

char *ttyname(int fd)
{
    NO_TERMINAL(fd, REAL(ttyname)(fd));
    return NULL;
}

int ttyname_r(int fd, char *name, size_t size)
{
    NO_TERMINAL(fd, REAL(ttyname_r)(fd, name, size));
    return ENOTTY;
}

int tcgetattr(int fd, struct termios *state)
{
    NO_TERMINAL(fd, REAL(tcgetattr)(fd, state));
    return -1;
}

int tcsetattr(int fd, int actions, const struct termios *state)
{
    NO_TERMINAL(fd, REAL(tcsetattr)(fd, actions, state));
    return -1;
}

pid_t tcgetpgrp(int fd)
{
    NO_TERMINAL(fd, REAL(tcgetpgrp)(fd));
    return -1;
}

int tcsetpgrp(int fd, pid_t group)
{
    NO_TERMINAL(fd, REAL(tcsetpgrp)(fd, group));
    return -1;
}

pid_t tcgetsid(int fd)
{
    NO_TERMINAL(fd, REAL(tcgetsid)(fd));
    return -1;
}

int tcdrain(int fd)
{
    NO_TERMINAL(fd, REAL(tcdrain)(fd));
    return -1;
}

int tcflush(int fd, int queue)
{
    NO_TERMINAL(fd, REAL(tcflush)(fd, queue));
    return -1;
}

int tcflow(int fd, int action)
{
    NO_TERMINAL(fd, REAL(tcflow)(fd, action));
    return -1;
}

int tcsendbreak(int fd, int duration)
{
    NO_TERMINAL(fd, REAL(tcsendbreak)(fd, duration));
    return -1;
}
