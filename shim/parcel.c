/* Descriptors in messages; see parcel.h.
 *
 * Locking: `hands` first, which is held over whatever takes moments while tokens or parcels of
 * others are open here, and by fork; what is open for longer is in `sending`. Then the arena's table lock covers who holds a slot. A thread that closes the last reference
 * to a file gives the hold up under it, so whoever finds a hold without a file waits for that.
 */
#include "shim/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/calls/lock.h"
#include "shim/calls/stdio.h"
#include "shim/handover_entry.h"
#include "shim/private_fd.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

/* What only a parcel's SO_RCVLOWAT is, which says nothing to a socket of this type. */
#define MARK       0x53334450
#define FD_MINIMUM 512
#define TRIES      1000
#define SEALS      (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
/* Other layouts have other sizes, or another number. */
#define MAGIC (UINT64_C(0x73330000000002) ^ sizeof(struct letter) << 16)

/* The descriptors, in this order; the last three where the letter names them. */
enum { LETTER, TOKEN, ARENA, DRAFT, LOCK = DRAFT + 2, FDS };

struct letter {
    uint64_t magic;
    struct arena_key arena;
    struct arena_flight flight;
    struct handover_entry file;
};

/* Parcels that somebody is about to send, plus one; 0: free. */
#define SENDING_MAX 1024
static _Atomic int sending[SENDING_MAX];
static struct shared_lock hands;

static void hands_give(int locked)
{
    if (locked)
        shared_lock_give(&hands);
}

static int sending_add(int fd)
{
    for (unsigned i = 0; i < SENDING_MAX; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&sending[i], &none, fd + 1))
            return 0;
    }
    return -ETOOMANYREFS;
}

static void sending_remove(int fd)
{
    for (unsigned i = 0; i < SENDING_MAX; i++) {
        int it = fd + 1;
        if (atomic_compare_exchange_strong(&sending[i], &it, 0))
            return;
    }
}

void parcel_fork_prepare(void)
{
    shared_lock_take(&hands);
}

void parcel_fork_parent(void)
{
    shared_lock_give(&hands);
}

void parcel_fork_child(void)
{
    hands.word = 0;
    for (unsigned i = 0; i < SENDING_MAX; i++) {
        int fd = atomic_exchange(&sending[i], 0) - 1;
        if (fd >= 0)
            REAL(close)(fd);
    }
}

static void all_close(int fds[FDS])
{
    for (unsigned i = 0; i < FDS; i++)
        if (fds[i] >= 0)
            REAL(close)(fds[i]);
}

/* ---- packing ---- */

static int letter_write(const struct letter *letter, int *ret_fd)
{
    int fd = memfd_create("s3dlio-parcel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    ssize_t done = REAL(write)(fd, letter, sizeof *letter);
    int result = done < 0 ? -errno : done != sizeof *letter ? -ENOSPC : 0;
    if (!result && REAL(fcntl)(fd, F_ADD_SEALS, SEALS) < 0)
        result = -errno;
    if (result < 0)
        REAL(close)(fd);
    else
        *ret_fd = fd;
    return result;
}

/* Empty, but for the descriptors. */
static int fds_send(int sock, const int fds[FDS])
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS * sizeof(int))] = {0};
    struct iovec nothing = {"", 0};
    struct msghdr message = {.msg_iov = &nothing,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    unsigned count = 0;
    for (unsigned i = 0; i < FDS; i++)
        if (fds[i] >= 0)
            memcpy(CMSG_DATA(part) + count++ * sizeof(int), &fds[i], sizeof(int));
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof(int));
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    return REAL(sendmsg)(sock, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* An end that is closed with something unread resets the other one. */
static int socket_fill(const int fds[FDS], int *ret_fd)
{
    int ends[2], mark = MARK;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    int result = fds_send(ends[0], fds);
    if (!result && (REAL(setsockopt)(ends[1], SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark) < 0 ||
                    REAL(send)(ends[1], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0))
        result = -errno;
    REAL(close)(ends[0]);
    if (result < 0)
        REAL(close)(ends[1]);
    else
        *ret_fd = private_fd_raise(ends[1], FD_MINIMUM);
    return result;
}

static int refuse(struct file *file, const char *reason)
{
    char path[PATH_VIRTUAL_MAX];
    file_path(file, path);
    report_line("cannot send %s to another process: %s", path, reason);
    return -EOPNOTSUPP;
}

static int share(int fd, struct file *file, struct handover_entry *ret_entry)
{
    if (file->staged)
        staged_share(file->staged);
    lock_share(file);
    int result = handover_entry_fill(fd, file, ret_entry);
    return result != -EOPNOTSUPP
               ? result
               : refuse(file, "it is an append of which parts were sent and are not kept");
}

/* Descriptors of the letter's are not its to close. */
static int letter_pack(struct letter *letter, struct file *file, struct parcel *ret_parcel)
{
    int fds[FDS] = {-1, -1, letter->arena.fd, -1, -1, -1};
    const struct arena_node *node = file->staged ? file->staged->node : NULL;
    int result = arena_flight_begin(file->slot, node, &letter->flight, &fds[TOKEN]);
    if (result == -EOPNOTSUPP)
        return refuse(file, "without /proc, that takes what cannot be had");
    if (result < 0)
        return result;
    result = letter_write(letter, &fds[LETTER]);
    memcpy(&fds[DRAFT], letter->file.draft_fds, sizeof letter->file.draft_fds);
    fds[LOCK] = letter->file.lock_fd;
    if (!result)
        result = socket_fill(fds, &ret_parcel->fd);
    if (!result && (result = sending_add(ret_parcel->fd)) < 0)
        REAL(close)(ret_parcel->fd);
    REAL(close)(fds[TOKEN]);
    if (fds[LETTER] >= 0)
        REAL(close)(fds[LETTER]);
    ret_parcel->flight = letter->flight;
    if (result < 0)
        arena_flight_look(&letter->flight);
    return result;
}

int parcel_pack(int fd, struct file *file, struct parcel *ret_parcel)
{
    struct letter *letter = calloc(1, sizeof *letter);
    if (!letter)
        return -ENOMEM;
    letter->magic = MAGIC;
    int result = arena_key(&letter->arena);
    if (result < 0)
        result = refuse(file, result == -EPERM ? "this process runs as another user than the one "
                                                 "who opened it"
                                               : "the descriptors that this takes were closed");
    if (!result)
        result = share(fd, file, &letter->file);
    int locked = shared_lock_take(&hands);
    if (!result)
        result = letter_pack(letter, file, ret_parcel);
    hands_give(locked);
    free(letter);
    return result;
}

void parcel_close(const struct parcel *parcel)
{
    int locked = shared_lock_take(&hands);
    sending_remove(parcel->fd);
    REAL(close)(parcel->fd);
    hands_give(locked);
    arena_flight_look(&parcel->flight);
}

/* ---- opening ---- */

bool parcel_is(int fd)
{
    int mark = 0;
    socklen_t size = sizeof mark;
    return !REAL(getsockopt)(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &size) && mark == MARK;
}

static bool is_of_this_user(int sock)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return !REAL(getsockopt)(sock, SOL_SOCKET, SO_PEERCRED, &peer, &size) && peer.uid == geteuid();
}

/* How many there are, out of the way of low numbers; the rest of them is -1. */
static int fds_look(int sock, int ret_fds[FDS])
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(FDS * sizeof(int))];
    char byte;
    int reset;
    struct iovec nothing = {&byte, 1};
    struct msghdr message = {.msg_iov = &nothing,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    socklen_t size = sizeof reset;
    REAL(getsockopt)(sock, SOL_SOCKET, SO_ERROR, &reset, &size); /* which it gives back only once */
    memset(ret_fds, -1, FDS * sizeof *ret_fds);
    if (REAL(recvmsg)(sock, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 0)
        return -EINVAL;
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    if (!part || part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
        return -EINVAL;
    unsigned count = (unsigned)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (unsigned i = 0; i < count && i < FDS; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
        ret_fds[i] = private_fd_raise(fd, FD_MINIMUM);
    }
    return message.msg_flags & MSG_CTRUNC ? -EMFILE : (int)count;
}

static const struct letter *letter_map(int fd)
{
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        st.st_size != (off_t)sizeof(struct letter) || REAL(fcntl)(fd, F_GET_SEALS) != SEALS)
        return NULL;
    void *memory = REAL(mmap)(NULL, sizeof(struct letter), PROT_READ, MAP_PRIVATE, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* A copy whose numbers are those that came; -1 stays -1. False: it is not as it should be. */
static bool letter_read(int fds[FDS], int count, struct letter *ret_letter)
{
    const struct letter *mapped = count > ARENA ? letter_map(fds[LETTER]) : NULL;
    if (!mapped)
        return false;
    struct letter *letter = ret_letter;
    memcpy(letter, mapped, sizeof *letter);
    REAL(munmap)((void *)mapped, sizeof *mapped);
    int drafts = letter->file.kind == FILE_STAGED ? 2 : 0, locks = letter->file.lock_fd >= 0;
    letter->arena.fd = fds[ARENA];
    letter->file.draft_fds[0] = drafts ? fds[DRAFT] : -1;
    letter->file.draft_fds[1] = drafts ? fds[DRAFT + 1] : -1;
    letter->file.lock_fd = locks ? fds[DRAFT + drafts] : -1;
    return letter->magic == MAGIC && count == DRAFT + drafts + locks &&
           handover_entry_is_whole(&letter->file);
}

/* What this process has of the slot: its file with a reference, or NULL and the hold that a new one
 * needs. -EINVAL: the flight has no such slot. */
static int slot_take(const struct letter *letter, struct arena_slot **ret_slot,
                     struct arena_node **ret_node, struct file **ret_file)
{
    bool is_ours = false;
    *ret_file = NULL;
    for (unsigned tries = 0; !is_ours && !*ret_file; tries++) {
        int locked = arena_table_lock();
        *ret_slot = arena_flight_slot(&letter->flight, letter->file.slot);
        *ret_node = letter->file.kind == FILE_STAGED
                        ? arena_flight_node(&letter->flight, letter->file.node)
                        : NULL;
        bool is_whole = *ret_slot && (*ret_node || letter->file.kind != FILE_STAGED);
        if (is_whole)
            *ret_file = file_of_slot(*ret_slot);
        if (is_whole && !*ret_file)
            is_ours = arena_slot_hold(*ret_slot) || tries == TRIES; /* a fork may have left one */
        arena_table_unlock(locked);
        if (!is_whole)
            return -EINVAL;
        if (!is_ours && !*ret_file)
            sched_yield();
    }
    return 0;
}

/* The file with a reference. What is taken of the descriptors is -1 then. */
static int file_take(int fds[FDS], int count, struct letter *letter, struct file **ret_file)
{
    struct arena_slot *slot = NULL;
    struct arena_node *node = NULL;
    if (!letter_read(fds, count, letter))
        return -EINVAL;
    int result = arena_meet(&letter->arena);
    if (!result)
        result = slot_take(letter, &slot, &node, ret_file);
    if (result < 0 || *ret_file)
        return result;
    *ret_file = handover_entry_adopt(&letter->file, slot, node);
    int drafts = node ? 2 : 0;
    for (int i = 0; i < drafts; i++)
        fds[DRAFT + i] = letter->file.draft_fds[i];
    if (count > DRAFT + drafts)
        fds[DRAFT + drafts] = letter->file.lock_fd;
    return *ret_file ? 0 : -ENOMEM;
}

/* *ret_flight is known when the letter could be read. */
static int unpack(int sock, struct file **ret_file, struct arena_flight *ret_flight)
{
    int fds[FDS];
    if (!is_of_this_user(sock))
        return -EPERM;
    struct letter *letter = calloc(1, sizeof *letter);
    int count = fds_look(sock, fds);
    int result = !letter ? -ENOMEM : count < 0 ? count : file_take(fds, count, letter, ret_file);
    if (!result)
        *ret_flight = letter->flight;
    all_close(fds);
    free(letter);
    return result;
}

static const char *reason_of(int result)
{
    switch (result) {
    case -EPERM: return "another user has sent it";
    case -EXDEV:
        return "the two processes used their first virtual path apart from each other: "
               "let a common parent have one open when it starts them";
    case -EINVAL: return "it was packed by another version of this library";
    case -EMFILE: return "there are too many descriptors open";
    default: return strerror(-result);
    }
}

void parcel_open(int fd, bool cloexec)
{
    struct file *file = NULL;
    struct arena_flight flight;
    int saved = errno, locked = shared_lock_take(&hands), result = unpack(fd, &file, &flight);
    int placeholder = placeholder_open(0, true);
    /* In place, so that no other thread gets the number; and the parcel is closed by it. */
    int put = placeholder < 0 ? -1 : REAL(dup3)(placeholder, fd, cloexec ? O_CLOEXEC : 0);
    if (placeholder >= 0)
        REAL(close)(placeholder);
    if (put < 0 && !result)
        result = -EMFILE;
    if (!result)
        arena_flight_look(&flight);
    if (!result)
        result = file_install_at(file, fd);
    if (!result && fd <= 2)
        stdio_fd_changed(fd);
    if (result < 0)
        report_line("descriptor %d, which came in a message, cannot be used here: %s", fd,
                    reason_of(result));
    hands_give(locked);
    file_put(file);
    errno = saved;
}
