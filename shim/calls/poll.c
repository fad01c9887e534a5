/* Waiting for descriptors: a virtual one answers as a regular file does, always ready for what is
 * asked of it (poll(2), select(2)), and epoll does not take it (EPERM).
 *
 * The real ones among them are asked by the kernel, without waiting when a virtual one is ready.
 * The program's arrays are copied, never changed before the answer is known.
 */
#include <string.h>

#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/memory.h"
#include "shim/path.h"
#include "shim/real.h"

/* ---- poll ---- */

#define ALWAYS   (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)
#define ON_STACK 64
#define POLL_MAX (1u << 20) /* more descriptors than a process can have */

static bool polls_ours(const struct pollfd *fds, nfds_t count)
{
    if (count > POLL_MAX || !memory_is_given(fds, count * sizeof *fds))
        return false; /* the kernel says what is wrong */
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].fd >= 0 && fdtab_is_virtual(fds[i].fd))
            return true;
    return false;
}

/* Copies the array with ours taken out (fd -1), their answers in place. Returns how many are
 * ready. */
static int poll_split(const struct pollfd *fds, nfds_t count, struct pollfd *ret_copy)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        bool ours = fds[i].fd >= 0 && fdtab_is_virtual(fds[i].fd);
        short answer = ours ? fds[i].events & ALWAYS : 0;
        ret_copy[i] = (struct pollfd){ours ? -1 : fds[i].fd, fds[i].events, answer};
        ready += answer != 0;
    }
    return ready;
}

/* The kernel clears revents where fd is -1, so ours are answered after it. */
static void poll_merge(struct pollfd *fds, nfds_t count, const struct pollfd *copy)
{
    for (nfds_t i = 0; i < count; i++)
        fds[i].revents =
            copy[i].fd < 0 && fds[i].fd >= 0 ? fds[i].events & ALWAYS : copy[i].revents;
}

/* The wait may be cancelled: then `owned` goes. -errno, as operations give it. */
static int poll_real(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                     const sigset_t *mask, void *owned)
{
    int result;
    pthread_cleanup_push(free, owned);
    result = REAL(ppoll)(fds, count, timeout, mask);
    pthread_cleanup_pop(0);
    return result < 0 ? -errno : result;
}

static int poll_mixed(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                      const sigset_t *mask)
{
    struct pollfd on_stack[ON_STACK];
    struct pollfd *copy = count <= ON_STACK ? on_stack : malloc(count * sizeof *copy);
    if (!copy)
        return -ENOMEM;
    int ready = poll_split(fds, count, copy);
    static const struct timespec now = {0};
    int result = poll_real(copy, count, ready ? &now : timeout, mask,
                           copy != on_stack ? copy : NULL);
    result += result < 0 ? 0 : ready;
    if (result >= 0)
        poll_merge(fds, count, copy);
    if (copy != on_stack)
        free(copy);
    return result;
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (likely(!file_any()) || !polls_ours(fds, count))
        return REAL(poll)(fds, count, timeout_ms);
    int saved = errno;
    struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    return (int)entry_return(saved, poll_mixed(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL));
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    if (likely(!file_any()) || !polls_ours(fds, count))
        return REAL(ppoll)(fds, count, timeout, mask);
    int saved = errno;
    return (int)entry_return(saved, poll_mixed(fds, count, timeout, mask));
}

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t room)
{
    if (likely(!file_any()) || room / sizeof *fds < count)
        return REAL(__poll_chk)(fds, count, timeout_ms, room);
    return poll(fds, count, timeout_ms);
}

int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                const sigset_t *mask, size_t room)
{
    if (likely(!file_any()) || room / sizeof *fds < count)
        return REAL(__ppoll_chk)(fds, count, timeout, mask, room);
    return ppoll(fds, count, timeout, mask);
}

/* ---- select ---- */

#define WORD_BITS      (8 * (int)sizeof(unsigned long))
#define WORDS_ON_STACK (FD_SETSIZE / WORD_BITS)

/* The three sets as words; NULL where the program passed NULL. Programs with more than FD_SETSIZE
 * descriptors pass longer ones than the type says. */
struct sets {
    unsigned long *set[3]; /* read, write, except */
};

static struct sets sets_of(fd_set *reading, fd_set *writing, fd_set *failing)
{
    return (struct sets){
        {(unsigned long *)reading, (unsigned long *)writing, (unsigned long *)failing}};
}

/* The virtual descriptors among those in a word. */
static unsigned long word_ours(unsigned long word, int base)
{
    unsigned long ours = 0;
    for (unsigned long left = word; left; left &= left - 1) {
        int bit = __builtin_ctzl(left);
        if (fdtab_is_virtual(base + bit))
            ours |= 1ul << bit;
    }
    return ours;
}

static int word_count(int count)
{
    return (count + WORD_BITS - 1) / WORD_BITS;
}

/* Bits of a word that lie below `count`. */
static unsigned long word_mask(int index, int count)
{
    int bits = count - index * WORD_BITS;
    return bits >= WORD_BITS ? ~0ul : (1ul << bits) - 1;
}

static bool selects_ours(int count, const struct sets *sets)
{
    for (int s = 0; s < 3; s++) {
        size_t size = (size_t)word_count(count) * sizeof *sets->set[s];
        if (count > 0 && sets->set[s] && !memory_is_given(sets->set[s], size))
            return false;
        for (int i = 0; sets->set[s] && i < word_count(count); i++)
            if (word_ours(sets->set[s][i] & word_mask(i, count), i * WORD_BITS))
                return true;
    }
    return false;
}

/* Copies the sets into `words` without ours; keeps ours apart. Returns how many answers ours give:
 * a regular file is always ready to be read and written and never exceptional. */
static int sets_split(int count, const struct sets *sets, struct sets *ret_real,
                      struct sets *ret_ours, unsigned long *words)
{
    int ready = 0, length = word_count(count);
    for (int s = 0; s < 3; s++) {
        ret_real->set[s] = sets->set[s] ? words + 2 * s * length : NULL;
        ret_ours->set[s] = words + (2 * s + 1) * length;
        for (int i = 0; sets->set[s] && i < length; i++) {
            unsigned long word = sets->set[s][i] & word_mask(i, count);
            unsigned long ours = word_ours(word, i * WORD_BITS);
            ret_real->set[s][i] = word & ~ours;
            ret_ours->set[s][i] = s == 2 ? 0 : ours;
            ready += __builtin_popcountl(ret_ours->set[s][i]);
        }
    }
    return ready;
}

/* As poll_real. */
static int select_real(int count, const struct sets *sets, const struct timespec *timeout,
                       const sigset_t *mask, void *owned)
{
    int result;
    pthread_cleanup_push(free, owned);
    result = REAL(pselect)(count, (fd_set *)sets->set[0], (fd_set *)sets->set[1],
                           (fd_set *)sets->set[2], timeout, mask);
    pthread_cleanup_pop(0);
    return result < 0 ? -errno : result;
}

static int select_mixed(int count, const struct sets *sets, const struct timespec *timeout,
                        const sigset_t *mask)
{
    int length = word_count(count);
    unsigned long on_stack[6 * WORDS_ON_STACK];
    unsigned long *words =
        length <= WORDS_ON_STACK ? on_stack : malloc(6 * (size_t)length * sizeof *words);
    if (!words)
        return -ENOMEM;
    struct sets real, ours;
    int ready = sets_split(count, sets, &real, &ours, words);
    static const struct timespec now = {0};
    int result = select_real(count, &real, ready ? &now : timeout, mask,
                             words != on_stack ? words : NULL);
    result += result < 0 ? 0 : ready;
    for (int s = 0; result >= 0 && s < 3; s++)
        for (int i = 0; sets->set[s] && i < length; i++)
            sets->set[s][i] =
                (sets->set[s][i] & ~word_mask(i, count)) | real.set[s][i] | ours.set[s][i];
    if (words != on_stack)
        free(words);
    return result;
}

int select(int count, fd_set *reading, fd_set *writing, fd_set *failing, struct timeval *timeout)
{
    struct sets sets = sets_of(reading, writing, failing);
    if (likely(!file_any()) || count <= 0 || !selects_ours(count, &sets))
        return REAL(select)(count, reading, writing, failing, timeout);
    int saved = errno;
    struct timespec limit = {0};
    if (timeout)
        limit = (struct timespec){timeout->tv_sec, timeout->tv_usec * 1000};
    return (int)entry_return(saved, select_mixed(count, &sets, timeout ? &limit : NULL, NULL));
}

int pselect(int count, fd_set *reading, fd_set *writing, fd_set *failing,
            const struct timespec *timeout, const sigset_t *mask)
{
    struct sets sets = sets_of(reading, writing, failing);
    if (likely(!file_any()) || count <= 0 || !selects_ours(count, &sets))
        return REAL(pselect)(count, reading, writing, failing, timeout, mask);
    int saved = errno;
    return (int)entry_return(saved, select_mixed(count, &sets, timeout, mask));
}

/* ---- epoll ---- */

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(epoll_ctl)(epoll, operation, fd, event);
    errno = EPERM;
    return -1;
}

#include "alias_poll.h"
