/* What is told of an open file; see handover_entry.h. */
#include "shim/handover_entry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "shim/calls/lock.h"
#include "shim/handover.h"
#include "shim/in_call.h"
#include "shim/real.h"
#include "shim/staged.h"

int handover_entry_fill(int fd, struct file *file, struct handover_entry *ret_entry)
{
    struct handover_entry *entry = ret_entry;
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0)
        return -errno;
    memset(entry, 0, sizeof *entry);
    entry->fd = fd;
    entry->file = file->index;
    entry->device = st.st_dev;
    entry->inode = st.st_ino;
    entry->kind = file->kind;
    entry->slot = arena_slot_index(file->slot);
    entry->draft_fds[0] = entry->draft_fds[1] = -1;
    entry->lock_fd = atomic_load(&file->lock_fd) - 1;
    entry->opener = file->opener;
    entry->publishes = file->publishes;
    file_attr(file, &entry->attr);
    snprintf(entry->path, sizeof entry->path, "%s", file->path);
    snprintf(entry->uri, sizeof entry->uri, "%s", file->uri);
    if (!file->staged)
        return 0;
    entry->node = arena_node_index(file->staged->node);
    return staged_handles(file->staged, entry->draft_fds);
}

bool handover_entry_is_whole(const struct handover_entry *entry)
{
    return entry->kind >= FILE_READER && entry->kind <= FILE_PATH &&
           memchr(entry->path, '\0', sizeof entry->path) &&
           memchr(entry->uri, '\0', sizeof entry->uri) &&
           memchr(entry->attr.etag, '\0', sizeof entry->attr.etag);
}

static int take_draft(struct handover_entry *entry, struct arena_node *node, struct file *file)
{
    int result = staged_adopt(node, entry->draft_fds, &file->staged);
    for (unsigned i = 0; result > 0 && i < 2; i++) {
        handover_keep(entry->draft_fds[i]);
        entry->draft_fds[i] = -1;
    }
    if (result >= 0)
        in_call_end(); /* the file's */
    return result;
}

struct file *handover_entry_adopt(struct handover_entry *entry, struct arena_slot *slot,
                                  struct arena_node *node)
{
    struct file *file;
    if (file_new_again(entry->kind, slot, entry->path, entry->uri, &file) < 0) {
        if (arena_drop(slot, false))
            arena_free(slot);
        return NULL;
    }
    file->attr = entry->attr;
    file->opener = entry->opener;
    file->publishes = entry->publishes;
    if (node && take_draft(entry, node, file) < 0) {
        file_put(file);
        return NULL;
    }
    if (entry->lock_fd >= 0 && lock_adopt(file, entry->lock_fd)) {
        handover_keep(entry->lock_fd);
        entry->lock_fd = -1;
    }
    atomic_store(&file->sleeps, true);
    return file;
}
