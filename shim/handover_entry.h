/* An open file, as one program tells another of it: the next one at exec (handover.h), another
 * process in a message (parcel.h). It holds numbers and names, nothing secret. What it says of
 * descriptors is for the transport to make true; the receiver believes nothing that it has not
 * looked at.
 */
#ifndef S3DLIO_SHIM_HANDOVER_ENTRY_H
#define S3DLIO_SHIM_HANDOVER_ENTRY_H

#include "shim/file.h"

struct handover_entry {
    int32_t fd;             /* the program's descriptor */
    uint32_t file;          /* several of the same one have this in common */
    uint64_t device, inode; /* of its placeholder */
    uint32_t kind, slot, node;
    int32_t draft_fds[2]; /* -1: none */
    int32_t lock_fd;      /* -1: none */
    int32_t opener;
    bool publishes;
    struct s3dlio_attr attr;
    char path[PATH_VIRTUAL_MAX];
    char uri[PATH_URI_MAX];
};

/* 0, -EBADF …, or of staged_handles. */
int handover_entry_fill(int fd, struct file *file, struct handover_entry *ret_entry);
/* Its texts end, its kind is one. */
bool handover_entry_is_whole(const struct handover_entry *entry);
/* A file that sleeps, with one reference, on a slot that this process holds; `node` is that of a
 * staged one. NULL when it cannot be made: the hold on the slot is given up. The descriptors that
 * it takes over are -1 in the entry then; what is left of them the file knows from before. */
struct file *handover_entry_adopt(struct handover_entry *entry, struct arena_slot *slot,
                                  struct arena_node *node);

#endif
