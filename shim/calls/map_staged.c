/* mmap of a file that is being written: the draft's own spool file is mapped, so reads, writes, other
 * maps and fork see one content, as on a disk.
 *
 * Nobody sees what is written through a shared writable map. So the draft is kept until the process
 * ends, however early the program closes or unmaps; what changed becomes the object at msync, at
 * close, and at the end. Ranges are remembered for msync alone; a range that was unmapped in the
 * meantime does no harm there.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "config/options.h"
#include "shim/calls/content.h"
#include "shim/calls/io.h"
#include "shim/calls/map.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/start.h"

struct range {
    struct range *next;
    uintptr_t start, end;
    struct staged *staged; /* held until the end */
};

static struct {
    pthread_mutex_t lock;
    _Atomic(struct range *) first; /* only ever added to */
} ranges = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int range_note(struct staged *staged, void *memory, size_t length)
{
    uintptr_t start = (uintptr_t)memory;
    pthread_mutex_lock(&ranges.lock);
    struct range *range = ranges.first;
    while (range && (range->staged != staged || range->start != start))
        range = range->next;
    if (range) {
        range->end = range->end > start + length ? range->end : start + length;
    } else if ((range = malloc(sizeof *range))) {
        *range = (struct range){ranges.first, start, start + length, staged};
        ranges.first = range;
    }
    pthread_mutex_unlock(&ranges.lock);
    return range ? 0 : -ENOMEM;
}

/* A descriptor of the spool with the part of [offset, offset + length) that the file has; a page at
 * least, for the kernel wants one. */
static int spool_fd(struct file *file, uint64_t offset, uint64_t length)
{
    uint64_t size = (uint64_t)io_size(file);
    uint64_t there = offset < size ? size - offset : 1;
    struct s3dlio_error error = {0};
    int fd = -1;
    int result = engine_call(draft_map_fd)(file->staged->draft, offset,
                                           length < there ? length : there, &fd, &error);
    if (result < 0)
        report_error(&error);
    return result < 0 ? result : fd;
}

int map_staged(struct file *file, void *address, size_t length, int protection, int flags,
              off_t offset, void **ret_memory)
{
    int result = content_need_draft(file, "mmap");
    if (result < 0)
        return result;
    bool writes = (flags & MAP_TYPE) != MAP_PRIVATE && (file->slot->flags & O_ACCMODE) == O_RDWR;
    int fd = spool_fd(file, (uint64_t)offset, length);
    if (fd < 0)
        return fd;
    void *memory = REAL(mmap)(address, length, protection, flags, fd, offset);
    result = memory == MAP_FAILED ? -errno : 0;
    REAL(close)(fd);
    if (!result && writes) {
        staged_map(file->staged);
        result = range_note(file->staged, memory, length);
        if (result < 0)
            munmap(memory, length);
    }
    if (!result)
        *ret_memory = memory;
    return result;
}

/* ---- msync ---- */

/* The draft mapped last at an address of this range, without a reference: it is held. */
static struct staged *range_find(uintptr_t start, size_t length)
{
    pthread_mutex_lock(&ranges.lock);
    struct range *range = ranges.first;
    while (range && (range->end <= start || start + length <= range->start))
        range = range->next;
    pthread_mutex_unlock(&ranges.lock);
    return range ? range->staged : NULL;
}

#define FSYNC_PUBLISH 0 /* the index of the word in options.def */

int msync(void *address, size_t length, int flags)
{
    if (likely(!atomic_load_explicit(&ranges.first, memory_order_relaxed)))
        return REAL(msync)(address, length, flags);
    int saved = errno;
    if (REAL(msync)(address, length, flags) < 0)
        return -1;
    struct staged *staged = range_find((uintptr_t)address, length);
    bool publishes = flags & MS_SYNC && option_int(start_options(), FSYNC) == FSYNC_PUBLISH;
    return (int)entry_return(saved, staged && publishes ? staged_publish(staged) : 0);
}
