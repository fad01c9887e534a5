/* The registry of engine descriptors and where they live in the table of numbers.
 *
 * The kernel looks at RLIMIT_NOFILE only when it gives out a number, so the soft limit is raised
 * for just that long. Numbers go from fd_base() on: a program which expects the lowest free number,
 * or select()s, never meets ours; low enough that the kernel's table stays small. One bit a number,
 * for 2^20 numbers (the kernel's default ceiling, fs.nr_open); the pages are touched only where
 * numbers are in use. A number beyond cannot be known and is refused.
 */
#include "io/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#define FD_NUMBERS   (1 << 20)
#define FD_WORD_BITS 64
#define FD_BASE_MAX  (1 << 16)

static _Atomic uint64_t fd_words[FD_NUMBERS / FD_WORD_BITS];

static struct {
    pthread_mutex_t mutex;
    unsigned users;
    bool is_raised;
    struct rlimit before, raised; /* of the program; while there are users */
} room = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void fd_room_begin(void)
{
    pthread_mutex_lock(&room.mutex);
    if (room.users++ == 0) {
        if (getrlimit(RLIMIT_NOFILE, &room.before) < 0)
            room.before = (struct rlimit){0};
        room.raised = (struct rlimit){room.before.rlim_max, room.before.rlim_max};
        room.is_raised = room.before.rlim_cur < room.before.rlim_max &&
                         setrlimit(RLIMIT_NOFILE, &room.raised) == 0;
    }
    pthread_mutex_unlock(&room.mutex);
}

void fd_room_end(void)
{
    struct rlimit found;
    int saved = errno;

    pthread_mutex_lock(&room.mutex);
    /* What the program has set meanwhile is what it wants. */
    if (--room.users == 0 && room.is_raised &&
        prlimit(0, RLIMIT_NOFILE, &room.before, &found) == 0 &&
        (found.rlim_cur != room.raised.rlim_cur || found.rlim_max != room.raised.rlim_max))
        setrlimit(RLIMIT_NOFILE, &found);
    pthread_mutex_unlock(&room.mutex);
    errno = saved;
}

/* The first number we would like: the first that the program cannot have. Where there is none, or
 * only with a large table, 1024 where the limit is generous, else the upper half. There is a
 * user. */
static int fd_base(void)
{
    int base;

    pthread_mutex_lock(&room.mutex);
    if (room.is_raised && room.before.rlim_cur <= FD_BASE_MAX)
        base = (int)room.before.rlim_cur;
    else
        base = room.before.rlim_cur >= 4096 ? 1024 : (int)(room.before.rlim_cur / 2);
    pthread_mutex_unlock(&room.mutex);
    return base;
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
    fd_room_begin();
    high = fcntl(fd, F_DUPFD_CLOEXEC, fd_base());
    fd_room_end();
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
