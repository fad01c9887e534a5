/* The registry of engine descriptors and where they live in the table of numbers.
 *
 * The kernel looks at RLIMIT_NOFILE only when it gives out a number, so the soft limit is raised
 * for just that long. Numbers go from fd_base() on: a program which expects the lowest free number,
 * or select()s, never meets ours; low enough that the kernel's table stays small. One bit a number,
 * for 2^20 numbers (the kernel's default ceiling, fs.nr_open); the pages are touched only where
 * numbers are in use. A number beyond cannot be known and is refused.
 *
 * Where the hard limit leaves no room and is small, some numbers are kept by descriptors of
 * nothing.
 * */
#include "io/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define FD_NUMBERS   (1 << 20)
#define FD_WORD_BITS 64
#define FD_BASE_MAX  (1 << 16)

#define SPARES_MAX      12 /* two event loops and the dialer's, two connections while they are made */
#define SPARE_SHARE     8    /* of the limit */
#define SPARE_LIMIT_MAX 4096 /* with more, it is not ours that is missing */

static _Atomic uint64_t fd_words[FD_NUMBERS / FD_WORD_BITS];
/* Of those, what fd_adopt_own took: all lie in words [own_first, own_end). */
static _Atomic uint64_t own_words[FD_NUMBERS / FD_WORD_BITS];
static _Atomic int own_first = FD_NUMBERS / FD_WORD_BITS, own_end;

static struct {
    pthread_mutex_t mutex;
    unsigned users;
    bool is_raised;
    struct rlimit before, raised; /* of the program; while there are users */
    int spares[SPARES_MAX];
    unsigned spare_count;
} room = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void fd_register(int fd)
{
    atomic_fetch_or(&fd_words[fd / FD_WORD_BITS], UINT64_C(1) << (fd % FD_WORD_BITS));
}

static void fd_unregister(int fd)
{
    uint64_t bit = UINT64_C(1) << (fd % FD_WORD_BITS);

    if (fd >= FD_NUMBERS)
        return;
    if (atomic_load(&own_words[fd / FD_WORD_BITS]) & bit)
        atomic_fetch_and(&own_words[fd / FD_WORD_BITS], ~bit);
    atomic_fetch_and(&fd_words[fd / FD_WORD_BITS], ~bit);
}

/* The first number we would like: the first that the program cannot have. Where there is none,
 * or only with a large table, 1024 where the limit is generous, else the upper half. The mutex
 * is held. */
static int base_locked(void)
{
    if (room.is_raised && room.before.rlim_cur <= FD_BASE_MAX)
        return (int)room.before.rlim_cur;
    return room.before.rlim_cur >= 4096 ? 1024 : (int)(room.before.rlim_cur / 2);
}

/* ---- spares ---------------------------------------------------------------------------------- */

static void give_spares_up(void)
{
    while (room.spare_count > 0)
        fd_close(room.spares[--room.spare_count]);
}

static void keep_spares(void)
{
    unsigned wanted = (unsigned)(room.before.rlim_cur / SPARE_SHARE);

    if (room.is_raised || room.before.rlim_cur > SPARE_LIMIT_MAX)
        return;
    while (room.spare_count < wanted && room.spare_count < SPARES_MAX) {
        int fd = eventfd(0, EFD_CLOEXEC), high = fcntl(fd, F_DUPFD_CLOEXEC, base_locked());

        if (fd < 0)
            return;
        if (high >= 0)
            close(fd);
        fd = high >= 0 ? high : fd;
        fd_register(fd);
        room.spares[room.spare_count++] = fd;
    }
}

/* ---- room ------------------------------------------------------------------------------------ */

void fd_room_begin(enum fd_use use)
{
    pthread_mutex_lock(&room.mutex);
    if (room.users++ == 0) {
        if (getrlimit(RLIMIT_NOFILE, &room.before) < 0)
            room.before = (struct rlimit){0};
        room.raised = (struct rlimit){room.before.rlim_max, room.before.rlim_max};
        room.is_raised = room.before.rlim_cur < room.before.rlim_max &&
                         setrlimit(RLIMIT_NOFILE, &room.raised) == 0;
    }
    if (use == FD_FOR_REQUESTS)
        give_spares_up();
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
    if (room.users == 0)
        keep_spares();
    pthread_mutex_unlock(&room.mutex);
    errno = saved;
}

/* There is a user of the room. */
static int fd_base(void)
{
    int base;

    pthread_mutex_lock(&room.mutex);
    base = base_locked();
    pthread_mutex_unlock(&room.mutex);
    return base;
}

/* ---- whose they are -------------------------------------------------------------------------- */

static int enter(int fd)
{
    if (fd >= FD_NUMBERS) {
        close(fd);
        return -EMFILE;
    }
    fd_register(fd);
    return fd;
}

int fd_adopt(int fd)
{
    int high;

    if (fd < 0)
        return fd;
    fd_room_begin(FD_FOR_FILES);
    high = fcntl(fd, F_DUPFD_CLOEXEC, fd_base());
    fd_room_end();
    if (high < 0)
        return fd_adopt_here(fd);
    close(fd);
    return enter(high);
}

int fd_adopt_here(int fd)
{
    int result;

    if (fd < 0)
        return fd;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        return enter(fd);
    result = -errno;
    close(fd);
    return result;
}

int fd_adopt_own(int fd)
{
    int word, seen;

    fd = fd_adopt(fd);
    if (fd < 0)
        return fd;
    word = fd / FD_WORD_BITS;
    seen = atomic_load(&own_first);
    while (word < seen && !atomic_compare_exchange_weak(&own_first, &seen, word))
        ;
    seen = atomic_load(&own_end);
    while (word >= seen && !atomic_compare_exchange_weak(&own_end, &seen, word + 1))
        ;
    atomic_fetch_or(&own_words[word], UINT64_C(1) << (fd % FD_WORD_BITS));
    return fd;
}

void fd_reset_child(void)
{
    for (int word = own_first; word < own_end; word++)
        for (uint64_t bits = own_words[word]; bits; bits &= bits - 1)
            fd_close(word * FD_WORD_BITS + __builtin_ctzll(bits));
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
