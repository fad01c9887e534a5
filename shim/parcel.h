/* Virtual descriptors in messages (SCM_RIGHTS, unix(7)): what travels in their place.
 *
 * A placeholder says nothing of the file, so a parcel goes instead: one socket, in whose queue lies
 * one message with everything that another process needs: a sealed letter (handover_entry.h), the
 * arena, the descriptors of a draft and of the lock file, and the token of a flight (arena.h). The
 * kernel counts who has the parcel, wherever it lies: in a queue, with a receiver that only peeks,
 * with one that passes it on without looking. While there is any, the flight holds the description;
 * when a queue is thrown away unread, it holds it no more. Nobody opens a parcel but by MSG_PEEK,
 * so it can be opened as often as it is received. One parcel is one descriptor, so what a receiver
 * has room for, and MSG_CTRUNC, are the kernel's business.
 *
 * The receiver puts a placeholder in the parcel's place: another descriptor of the same open file
 * description, as after fork (file.h), of the file that this process has of it already or else of
 * one that sleeps. It has to be in the same arena: one process of the two forked from the other or
 * both from a third when the arena was there, or it has none yet and takes this one. Otherwise, and
 * when the parcel is another user's, its descriptor is a placeholder of nothing, which is EBADF to
 * every call, and one line says why.
 *
 * To a program without this library a parcel is a socket whose other end is gone: reading it is
 * ECONNRESET and then end of file, writing it EPIPE; the letter is not among what can be read.
 */
#ifndef S3DLIO_SHIM_PARCEL_H
#define S3DLIO_SHIM_PARCEL_H

#include <stdbool.h>

#include "shim/file.h"

struct parcel {
    int fd; /* a descriptor of this library's own, to be sent */
    struct arena_flight flight;
};
/* A parcel for the file of the virtual descriptor `fd`, which the caller closes when it was sent, or
 * was not. A child by fork has none of them. -errno; of what cannot be shared -EOPNOTSUPP, with one
 * line. */
int parcel_pack(int fd, struct file *file, struct parcel *ret_parcel);
void parcel_close(const struct parcel *parcel);

/* Is this descriptor, which has just come with a message, a parcel? One system call. */
bool parcel_is(int fd);
/* It becomes a virtual descriptor, or one of nothing. */
void parcel_open(int fd, bool cloexec);

/* Around fork: a child that had what belongs to a flight would keep it up. */
void parcel_fork_prepare(void);
void parcel_fork_parent(void);
void parcel_fork_child(void);

#endif
