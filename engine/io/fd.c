/* The registry of engine descriptors and where they live in the table of numbers.
 *
 * Numbers from fd_base() on: high enough that a program which expects the lowest free number, or
 * select()s, never meets ours; low enough that the kernel's table stays small. One bit a number,
 * for 2^20 numbers (the kernel's default ceiling, fs.nr_open); the pages are touched only where
 * numbers are in use. A number beyond cannot be known and is refused.
 */
#include "io/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#define FD_NUMBERS   (1 << 20)
#define FD_WORD_BITS 64

static _Atomic uint64_t fd_words[FD_NUMBERS / FD_WORD_BITS];

/* The first number we would like: 1024 where the limit is generous, else the upper half. */
static int fd_base(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    return limit.rlim_cur >= 4096 ? 1024 : (int)(limit.rlim_cur / 2);
}

static void fd_register(int fd)
{
    atomic_fetch_or(&fd_words[fd / FD_WORD_BITS], UINT64_C(1) << (fd % FD_WORD_BITS));
}

int fd_adopt(int fd)
{
    int high;

    if (fd < 0)
        return fd;
    high = fcntl(fd, F_DUPFD_CLOEXEC, fd_base());
    if (high < 0)
        return fd_adopt_here(fd);
    close(fd);
    return fd_adopt_here(high);
}

int fd_adopt_here(int fd)
{
    int result = fd;

    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        result = -errno;
    else if (fd >= FD_NUMBERS)
        result = -EMFILE;
    if (result < 0)
        close(fd);
    else
        fd_register(fd);
    return result;
}

static void fd_unregister(int fd)
{
    if (fd < FD_NUMBERS)
        atomic_fetch_and(&fd_words[fd / FD_WORD_BITS], ~(UINT64_C(1) << (fd % FD_WORD_BITS)));
}

void fd_close(int fd)
{
    if (fd < 0)
        return;
    fd_unregister(fd);
    close(fd);
}

bool fd_owned(int fd)
{
    if (fd < 0 || fd >= FD_NUMBERS)
        return false;
    return atomic_load_explicit(&fd_words[fd / FD_WORD_BITS], memory_order_relaxed) >>
               (fd % FD_WORD_BITS) &
           1;
}
