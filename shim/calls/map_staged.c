/* mmap of a file that is being written: the draft's own spool file is mapped, so reads, writes,
 * other maps and fork see one content, as on a disk.
 *
 * Nobody sees what is written through a shared writable map. So the file is held while there is
 * one, however early the program closes it; what changed becomes the object at msync, at close,
 * when the last of its maps goes, and at the end of the process. Ranges are followed through
 * munmap, mremap, maps over them, and fork.
 *
 * Locking: ranges.lock covers the list, and is held over a call that takes ranges away, so that
 * none appears in their place meanwhile. Allocators call munmap: nothing is allocated under it, nor
 * at all for memory that is not ours.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "config/options.h"
#include "shim/calls/content.h"
#include "shim/calls/lock.h"
#include "shim/calls/map.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/shared_lock.h"
#include "shim/staged.h"
#include "shim/start.h"

struct range {
    struct range *next;
    uintptr_t start, end;
    uint64_t offset;       /* of `start` in the file */
    struct staged *staged; /* one reference, as of staged_map */
};

static struct {
    struct shared_lock lock;
    int forking; /* what the fork wrapper took */
    _Atomic(struct range *) first;
} ranges;

static bool ranges_any(void)
{
    return unlikely(atomic_load_explicit(&ranges.first, memory_order_relaxed) != NULL);
}

static void ranges_unlock(int locked)
{
    if (locked)
        shared_lock_give(&ranges.lock);
}

/* ---- the list; under the lock ---- */

static void list_add(struct range *range)
{
    range->next = ranges.first;
    ranges.first = range;
}

static struct range *list_find(uintptr_t start, uintptr_t end)
{
    struct range *range = ranges.first;
    while (range && (range->end <= start || end <= range->start))
        range = range->next;
    return range;
}

/* One range less [start, end). `spare` becomes the second half of one that is cut in two; without
 * it the range stays as it is: held too long rather than lost. */
static void range_cut(struct range *range, uintptr_t start, uintptr_t end, struct range **spare,
                      struct range **kept)
{
    if (range->start < start && end < range->end) {
        struct range *second = *spare;
        if (!second)
            return;
        *second = (struct range){NULL, end, range->end, range->offset + (end - range->start),
                                 range->staged};
        staged_map(second->staged);
        second->next = *kept;
        *kept = second;
        *spare = NULL;
        range->end = start;
    } else if (range->start < start) {
        range->end = range->end < start ? range->end : start;
    } else if (range->start < end) {
        range->offset += end - range->start;
        range->start = end;
    }
}

/* Takes [start, end) out of all ranges; returns those of which nothing is left. */
static struct range *list_cut(uintptr_t start, uintptr_t end, struct range **spare)
{
    struct range *gone = NULL, *kept = NULL, *next;
    for (struct range *at = ranges.first; at; at = next) {
        next = at->next;
        if (start <= at->start && at->end <= end) {
            at->next = gone;
            gone = at;
        } else {
            range_cut(at, start, end, spare, &kept);
            at->next = kept;
            kept = at;
        }
    }
    ranges.first = kept;
    return gone;
}

/* Without the lock: 0, or the error of a publish that was due. */
static int ranges_end(struct range *gone)
{
    int first = 0;
    while (gone) {
        struct range *next = gone->next;
        int result = staged_unmap(gone->staged);
        first = first ? first : result;
        free(gone);
        gone = next;
    }
    return first;
}

static uintptr_t page_end(uintptr_t start, size_t length)
{
    uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    uintptr_t end = (start + length + mask) & ~mask;
    return end < start ? UINTPTR_MAX : end;
}

static bool is_tracked(uintptr_t start, uintptr_t end)
{
    int locked = shared_lock_take(&ranges.lock);
    bool found = list_find(start, end) != NULL;
    ranges_unlock(locked);
    return found;
}

void map_fork_prepare(void)
{
    ranges.forking = shared_lock_take(&ranges.lock);
}

void map_fork_done(void)
{
    ranges_unlock(ranges.forking);
}

/* ---- mmap ---- */

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

int map_staged(struct file *file, const struct map_request *request, void **ret_memory)
{
    uint64_t offset = (uint64_t)request->offset;
    int result = content_need_draft(file, "mmap");
    if (result < 0)
        return result;
    bool writes =
        (request->flags & MAP_TYPE) != MAP_PRIVATE && (file->slot->flags & O_ACCMODE) == O_RDWR;
    if (writes && is_shared_apart(file))
        return report_refusal("a shared map of a file that another program works on", file->path);
    struct range *range = writes ? malloc(sizeof *range) : NULL;
    int fd = writes && !range ? -ENOMEM : spool_fd(file->staged, offset, request->length);
    if (fd < 0) {
        free(range);
        return fd;
    }
    int locked = shared_lock_take(&ranges.lock);
    void *memory = REAL(mmap)(request->address, request->length, request->protection,
                              request->flags, fd, request->offset);
    result = memory == MAP_FAILED ? -errno : 0;
    if (!result && writes) {
        uintptr_t start = (uintptr_t)memory;
        *range =
            (struct range){NULL, start, page_end(start, request->length), offset, file->staged};
        staged_map(file->staged);
        list_add(range);
        range = NULL;
    }
    ranges_unlock(locked);
    REAL(close)(fd);
    free(range);
    if (!result)
        *ret_memory = memory;
    return result;
}

/* ---- what takes ranges away ---- */

int munmap(void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address, end = page_end(start, length);
    if (likely(!ranges_any()) || !is_tracked(start, end))
        return REAL(munmap)(address, length);
    int saved = errno;
    struct range *spare = malloc(sizeof *spare), *gone = NULL;
    int locked = shared_lock_take(&ranges.lock);
    int result = REAL(munmap)(address, length) < 0 ? -errno : 0;
    if (!result)
        gone = list_cut(start, end, &spare);
    ranges_unlock(locked);
    free(spare);
    int published = ranges_end(gone);
    return (int)entry_return(saved, result ? result : published);
}

void map_end(const void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address, end = page_end(start, length);
    if (likely(!ranges_any()) || !is_tracked(start, end))
        return;
    struct range *spare = malloc(sizeof *spare);
    int locked = shared_lock_take(&ranges.lock);
    struct range *gone = list_cut(start, end, &spare);
    ranges_unlock(locked);
    free(spare);
    ranges_end(gone); /* what could not be published is on stderr */
}

/* What is mapped at an address of this range, with a reference; the offset is the file's at
 * `start`. */
static struct staged *range_get(uintptr_t start, uintptr_t end, uint64_t *ret_offset)
{
    int locked = shared_lock_take(&ranges.lock);
    struct range *range = list_find(start, end);
    struct staged *staged = range ? range->staged : NULL;
    if (staged) {
        staged_ref(staged);
        *ret_offset = range->offset + (start > range->start ? start - range->start : 0);
    }
    ranges_unlock(locked);
    return staged;
}

struct remap {
    void *old, *target;
    size_t old_length, new_length;
    int flags;
};

/* 0 or -errno. What a map grows by has to be in the spool before. */
static int remap_staged(struct staged *staged, uint64_t offset, const struct remap *remap,
                        void **ret_memory)
{
    int fd = spool_fd(staged, offset, remap->new_length);
    if (fd < 0)
        return fd;
    REAL(close)(fd);
    uintptr_t start = (uintptr_t)remap->old;
    struct range *range = malloc(sizeof *range), *spare = malloc(sizeof *spare), *gone = NULL;
    int locked = shared_lock_take(&ranges.lock);
    void *memory = range ? REAL(mremap)(remap->old, remap->old_length, remap->new_length,
                                        remap->flags, remap->target)
                         : MAP_FAILED;
    int result = memory != MAP_FAILED ? 0 : range ? -errno : -ENOMEM;
    if (!result) {
        if (remap->old_length && !(remap->flags & MREMAP_DONTUNMAP))
            gone = list_cut(start, page_end(start, remap->old_length), &spare);
        start = (uintptr_t)memory;
        *range = (struct range){NULL, start, page_end(start, remap->new_length), offset, staged};
        staged_map(staged);
        list_add(range);
        range = NULL;
        *ret_memory = memory;
    }
    ranges_unlock(locked);
    free(range);
    free(spare);
    int published = ranges_end(gone);
    return result ? result : published;
}

void *mremap(void *old, size_t old_length, size_t new_length, int flags, ...)
{
    struct remap remap = {old, NULL, old_length, new_length, flags};
    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
        va_list arguments;
        va_start(arguments, flags);
        remap.target = va_arg(arguments, void *);
        va_end(arguments);
    }
    if (flags & MREMAP_FIXED)
        map_end(remap.target, new_length);
    uint64_t offset;
    uintptr_t start = (uintptr_t)old;
    struct staged *staged = unlikely(ranges_any()) ? range_get(start, start + 1, &offset) : NULL;
    if (likely(!staged))
        return REAL(mremap)(old, old_length, new_length, flags, remap.target);
    int saved = errno;
    void *memory = MAP_FAILED;
    entry_return(saved, remap_staged(staged, offset, &remap, &memory));
    staged_put(staged, true);
    return memory;
}

/* ---- msync ---- */

#define FSYNC_PUBLISH 0 /* the index of the word in options.def */

int msync(void *address, size_t length, int flags)
{
    if (likely(!ranges_any()))
        return REAL(msync)(address, length, flags);
    int saved = errno;
    if (REAL(msync)(address, length, flags) < 0)
        return -1;
    uint64_t offset;
    uintptr_t start = (uintptr_t)address;
    struct staged *staged = range_get(start, start + length, &offset);
    bool publishes = flags & MS_SYNC && option_int(start_options(), FSYNC) == FSYNC_PUBLISH;
    int result = staged && publishes ? staged_publish(staged) : 0;
    staged_put(staged, true);
    return (int)entry_return(saved, result);
}
