/* Messages with descriptors in them: a virtual one travels as a parcel, and what comes is opened
 * (parcel.h). The kernel does everything else; messages without descriptors reach it as they are.
 */
#include <stdlib.h>
#include <string.h>

#include "shim/calls/map_lazy.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/memory.h"
#include "shim/parcel.h"
#include "shim/path.h"
#include "shim/real.h"

#define NO_SOCKET(fd)                                                                              \
    if (unlikely(fdtab_is_virtual(fd))) {                                                          \
        errno = ENOTSOCK;                                                                          \
        return -1;                                                                                 \
    }

#define RIGHTS_MAX 253 /* SCM_MAX_FD; unix(7) */

/* ---- control data ---- */

/* Calls back for each descriptor until one call returns other than 0, which is returned. `fd` is
 * where it stands, which need not be aligned. */
static int rights_each(const struct msghdr *message, int (*visit)(unsigned char *fd, void *arg),
                       void *arg)
{
    int result = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part && !result;
         part = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS ||
            part->cmsg_len < CMSG_LEN(0))
            continue;
        size_t room = (size_t)((const char *)message->msg_control + message->msg_controllen -
                               (const char *)CMSG_DATA(part));
        size_t length = part->cmsg_len - CMSG_LEN(0);
        length = length < room ? length : room;
        for (size_t at = 0; at + sizeof(int) <= length && !result; at += sizeof(int))
            result = visit(CMSG_DATA(part) + at, arg);
    }
    return result;
}

static int fd_at(const unsigned char *at)
{
    int fd;
    memcpy(&fd, at, sizeof fd);
    return fd;
}

static bool has_control(const struct msghdr *message)
{
    return (uintptr_t)message >= PATH_UNREAD && (uintptr_t)message->msg_control >= PATH_UNREAD &&
           message->msg_controllen >= CMSG_LEN(sizeof(int));
}

/* Bytes that the kernel takes from a map, or puts into one (map_lazy.h). */
static void fill_vector(const struct msghdr *message)
{
    if (unlikely(map_lazy_near(NULL, SIZE_MAX)) && memory_is_given(message, sizeof *message))
        map_lazy_fill_vector(message->msg_iov, message->msg_iovlen);
}

static void fill_vectors(const struct mmsghdr *messages, unsigned count)
{
    if (likely(!map_lazy_near(NULL, SIZE_MAX)) ||
        !memory_is_given(messages, count * sizeof *messages))
        return;
    for (unsigned i = 0; i < count; i++)
        fill_vector(&messages[i].msg_hdr);
}

/* ---- sending ---- */

static int is_ours(unsigned char *fd, void *unused)
{
    return fdtab_is_virtual(fd_at(fd));
}

static bool carries_ours(const struct msghdr *message)
{
    return has_control(message) && rights_each(message, is_ours, NULL);
}

/* A message whose control data is a copy, with parcels in it. */
struct packed {
    struct msghdr message;
    unsigned count;
    struct parcel parcels[RIGHTS_MAX];
};

static int pack_one(unsigned char *at, void *arg)
{
    struct packed *packed = arg;
    int fd = fd_at(at);
    struct file *file = file_look(fd);
    if (!file)
        return 0;
    struct parcel *parcel = &packed->parcels[packed->count];
    int result = packed->count < RIGHTS_MAX ? parcel_pack(fd, file, parcel) : -EINVAL;
    file_put(file);
    if (result < 0)
        return result;
    packed->count++;
    memcpy(at, &parcel->fd, sizeof parcel->fd);
    return 0;
}

/* 0 or -errno. What was packed is closed by packed_end in any case. */
static int packed_begin(const struct msghdr *message, struct packed *ret_packed)
{
    struct packed *packed = ret_packed;
    packed->count = 0;
    packed->message = *message;
    packed->message.msg_control = malloc(message->msg_controllen);
    if (!packed->message.msg_control)
        return -ENOMEM;
    memcpy(packed->message.msg_control, message->msg_control, message->msg_controllen);
    return rights_each(&packed->message, pack_one, packed);
}

static void packed_end(struct packed *packed)
{
    while (packed->count)
        parcel_close(&packed->parcels[--packed->count]);
    free(packed->message.msg_control);
}

static ssize_t send_packed(int fd, const struct msghdr *message, int flags)
{
    struct packed *packed = malloc(sizeof *packed);
    if (!packed)
        return -ENOMEM;
    ssize_t result = packed_begin(message, packed);
    if (!result && (result = REAL(sendmsg)(fd, &packed->message, flags)) < 0)
        result = -errno;
    packed_end(packed);
    free(packed);
    return result;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NO_SOCKET(fd);
    fill_vector(message);
    if (likely(!file_any()) || !carries_ours(message))
        return REAL(sendmsg)(fd, message, flags);
    ENTRY_POINT();
    int saved = errno;
    return entry_return(saved, send_packed(fd, message, flags));
}

/* As the kernel does it: an error counts for the first message only. */
static int send_one_by_one(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    for (unsigned i = 0; i < count; i++) {
        ssize_t sent = sendmsg(fd, &messages[i].msg_hdr, flags);
        if (sent < 0)
            return i ? (int)i : -1;
        messages[i].msg_len = (unsigned)sent;
    }
    return (int)count;
}

int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    NO_SOCKET(fd);
    fill_vectors(messages, count);
    for (unsigned i = 0; unlikely(file_any()) && i < count; i++)
        if (carries_ours(&messages[i].msg_hdr))
            return send_one_by_one(fd, messages, count, flags);
    return REAL(sendmmsg)(fd, messages, count, flags);
}

/* ---- receiving ---- */

static int open_one(unsigned char *at, void *arg)
{
    int fd = fd_at(at);
    if (unlikely(parcel_is(fd)))
        parcel_open(fd, *(const int *)arg & MSG_CMSG_CLOEXEC);
    return 0;
}

static void open_all(const struct msghdr *message, int flags)
{
    if (likely(!has_control(message)))
        return;
    int saved = errno;
    rights_each(message, open_one, &flags);
    errno = saved;
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    NO_SOCKET(fd);
    fill_vector(message);
    ssize_t received = REAL(recvmsg)(fd, message, flags);
    if (received >= 0)
        open_all(message, flags);
    return received;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
    NO_SOCKET(fd);
    fill_vectors(messages, count);
    int received = REAL(recvmmsg)(fd, messages, count, flags, timeout);
    for (int i = 0; i < received; i++)
        open_all(&messages[i].msg_hdr, flags);
    return received;
}

#include "alias_message.h"
