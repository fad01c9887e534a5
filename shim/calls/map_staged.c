/* mmap of a file that is being written: the draft's own spool file is mapped, so reads, writes,
 * other maps and fork see one content, as on a disk. What has to be known of the maps themselves:
 * map_range.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "shim/calls/content.h"
#include "shim/calls/lock.h"
#include "shim/calls/map_range.h"
#include "shim/engine.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

/* A descriptor of the spool with the part of [offset, offset + length) that the file has; a page at
 * least, for the kernel wants one. */
static int spool_fd(struct staged *staged, uint64_t offset, uint64_t length)
{
    uint64_t size = staged_length(staged);
    uint64_t there = offset < size ? size - offset : 1;
    struct s3dlio_error error = {0};
    int fd = -1;
    int result = engine_call(draft_map_fd)(staged->draft, offset, length < there ? length : there,
                                           &fd, &error);
    if (result < 0)
        report_error(&error);
    return result < 0 ? result : fd;
}

int map_staged_fill(const struct map_range *range, uint64_t length)
{
    int fd = spool_fd(range->staged, range->offset, length);
    if (fd < 0)
        return fd;
    REAL(close)(fd);
    return 0;
}

/* ---- memory that programs mean to share ---- */

#define REFUSED_MAX 8u

static struct {
    _Atomic uint64_t inodes[REFUSED_MAX]; /* 0: none */
    _Atomic unsigned count;
} refused;

/* Has a program that is no relative of this one a lock on it (the index of an SQLite log)? Each
 * would have a map of its own, and take it for the other's. Once that was so it stays so for
 * this process: what it knows of the files around this one is too old to be written by. */
static bool is_shared_apart(struct file *file)
{
    uint64_t inode = file->staged->node->inode;
    for (unsigned i = 0; i < REFUSED_MAX; i++)
        if (atomic_load(&refused.inodes[i]) == inode)
            return true;
    if (!lock_is_anothers(file) || !arena_node_is_alone(file->staged->node))
        return false;
    atomic_store(&refused.inodes[atomic_fetch_add(&refused.count, 1) % REFUSED_MAX], inode);
    return true;
}

/* What is to be known of the map: 0 with *ret_range, NULL when it is nothing, or -ENOMEM. */
static int note(struct file *file, const struct map_request *request, struct map_range **ret_range)
{
    uint64_t offset = (uint64_t)request->offset;
    bool publishes =
        (request->flags & MAP_TYPE) != MAP_PRIVATE && (file->slot->flags & O_ACCMODE) == O_RDWR;
    struct map_range range = {.offset = offset, .staged = file->staged, .publishes = publishes};
    *ret_range = NULL;
    if (publishes && is_shared_apart(file))
        return report_refusal("a shared map of a file that another program works on", file->path);
    if (!publishes && offset + request->length >= staged_length(file->staged))
        return 0;
    *ret_range = map_range_new(&range);
    return *ret_range ? 0 : -ENOMEM;
}

int map_staged(struct file *file, const struct map_request *request, void **ret_memory)
{
    struct map_range *range = NULL;
    int result = content_need_draft(file, "mmap");
    if (!result)
        result = note(file, request, &range);
    if (result < 0)
        return result;
    int fd = spool_fd(file->staged, (uint64_t)request->offset, request->length);
    if (fd < 0) {
        map_range_free(range);
        return fd;
    }
    result = map_range_map(request, fd, range, ret_memory);
    REAL(close)(fd);
    return result;
}
