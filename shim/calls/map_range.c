/* The ranges of memory that are maps of virtual files and need to be known: through munmap, mremap,
 * maps over them, and fork.
 *
 * Shared writable maps of files that are being written, because nobody sees what is written through
 * them: the file is held while there is one, however early the program closes it, and what changed
 * becomes the object at msync, at close, when the last of its maps goes, and at the end of the
 * process. And maps behind which the file goes on with bytes that are not here yet: a map may grow
 * (mremap), and then they have to be. Of others nothing is noted.
 *
 * What is followed is taken away by the kernel itself, past allocators that have a munmap of their
 * own: theirs would come back here (syscall.c) while the lock is held.
 *
 * Locking: ranges.lock covers the list, and is held over a call that takes ranges away, so that
 * none appears in their place meanwhile. Allocators call munmap: nothing is allocated under it, nor
 * at all for memory that is not ours.
 */
#include "shim/calls/map_range.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "shim/calls/map_lazy.h"
#include "shim/calls/syscall.h"
#include "shim/entry.h"
#include "shim/in_call.h"
#include "shim/real.h"
#include "shim/shared_lock.h"
#include "shim/staged.h"
#include "shim/start.h"

static struct {
    struct shared_lock lock;
    int forking; /* what the fork wrapper took */
    _Atomic(struct map_range *) first;
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

/* ---- what a range holds ---- */

static void hold(const struct map_range *range)
{
    if (range->publishes)
        staged_map(range->staged);
    else if (range->staged)
        staged_ref(range->staged);
    if (range->file)
        file_ref(range->file);
    if (range->backing)
        map_backing_ref(range->backing);
}

/* The references of a range are the list's while it is there, and a thread's otherwise. */
static void list_has(const struct map_range *range)
{
    if (range->staged)
        in_call_end();
    if (range->file)
        in_call_end();
}

static void list_has_not(const struct map_range *range)
{
    if (range->staged)
        in_call_begin();
    if (range->file)
        in_call_begin();
}

/* 0, or the error of a publish that was due. */
static int release(const struct map_range *range)
{
    int result = range->publishes ? staged_unmap(range->staged) : staged_put(range->staged, true);
    map_backing_free(range->backing);
    file_put(range->file);
    return result;
}

struct map_range *map_range_new(const struct map_range *range)
{
    struct map_range *made = malloc(sizeof *made);
    if (made) {
        *made = *range;
        hold(made);
    }
    return made;
}

void map_range_free(struct map_range *range)
{
    if (range)
        release(range);
    free(range);
}

/* ---- the list; under the lock ---- */

static void list_add(struct map_range *range)
{
    range->next = ranges.first;
    ranges.first = range;
    list_has(range);
}

static struct map_range *list_find(uintptr_t start, uintptr_t end)
{
    struct map_range *range = ranges.first;
    while (range && (range->end <= start || end <= range->start))
        range = range->next;
    return range;
}

/* One range less [start, end). `spare` becomes the second half of one that is cut in two; without
 * it the range stays as it is: held too long rather than lost. */
static void range_cut(struct map_range *range, uintptr_t start, uintptr_t end,
                      struct map_range **spare, struct map_range **kept)
{
    if (range->start < start && end < range->end) {
        struct map_range *second = *spare;
        if (!second)
            return;
        *second = *range;
        second->start = end;
        second->offset = range->offset + (end - range->start);
        hold(second);
        list_has(second);
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
static struct map_range *list_cut(uintptr_t start, uintptr_t end, struct map_range **spare)
{
    struct map_range *gone = NULL, *kept = NULL, *next;
    for (struct map_range *at = ranges.first; at; at = next) {
        next = at->next;
        if (start <= at->start && at->end <= end) {
            at->next = gone;
            gone = at;
            list_has_not(at);
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
static int ranges_end(struct map_range *gone)
{
    int first = 0;
    while (gone) {
        struct map_range *next = gone->next;
        int result = release(gone);
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

bool map_is_known(const void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address;
    return unlikely(ranges_any()) && is_tracked(start, page_end(start, length ? length : 1));
}

void map_fork_prepare(void)
{
    ranges.forking = shared_lock_take(&ranges.lock);
}

void map_fork_done(void)
{
    ranges_unlock(ranges.forking);
}

void map_each(void (*visit_file)(struct file *file), void (*visit_staged)(struct staged *staged))
{
    for (const struct map_range *range = ranges.first; range; range = range->next) {
        visit_file(range->file);
        visit_staged(range->staged);
    }
}

/* ---- mmap ---- */

int map_range_map(const struct map_request *request, int fd, struct map_range *range,
                  void **ret_memory)
{
    int locked = range ? shared_lock_take(&ranges.lock) : 0;
    void *memory = REAL(mmap)(request->address, request->length, request->protection,
                              request->flags, fd, request->offset);
    int result = memory == MAP_FAILED ? -errno : 0;
    if (!result && range) {
        range->start = (uintptr_t)memory;
        range->end = page_end(range->start, request->length);
        list_add(range);
    }
    ranges_unlock(locked);
    if (result)
        map_range_free(range);
    else
        *ret_memory = memory;
    return result;
}

/* Copies the n-th map that publishes this; false: there are not so many. */
static bool nth_of(const struct staged *staged, unsigned n, struct map_range *ret_range)
{
    int locked = shared_lock_take(&ranges.lock);
    const struct map_range *range = ranges.first;
    while (range && (range->staged != staged || !range->publishes || n--))
        range = range->next;
    if (range)
        *ret_range = *range;
    ranges_unlock(locked);
    return range != NULL;
}

int map_range_follow(struct staged *staged)
{
    struct map_range range;
    int result = 0;
    for (unsigned n = 0; !result && nth_of(staged, n, &range); n++)
        if (range.offset < staged_length(staged))
            result = map_staged_fill(&range, range.end - range.start);
    return result;
}

/* ---- what takes ranges away ---- */

int munmap(void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address, end = page_end(start, length);
    bool tracked = ranges_any() && is_tracked(start, end);
    if (likely(!tracked) && likely(!map_lazy_near(address, length)))
        return REAL(munmap)(address, length);
    ENTRY_HOLD();
    int saved = errno;
    struct map_range *spare = tracked ? malloc(sizeof *spare) : NULL, *gone = NULL;
    bool lazy = map_lazy_begin(address, length);
    if (!tracked && !lazy)
        return REAL(munmap)(address, length);
    int locked = shared_lock_take(&ranges.lock);
    int result = (int)syscall_kernel(SYS_munmap, (long)address, (long)length, 0, 0, 0, 0);
    if (!result)
        gone = list_cut(start, end, &spare);
    ranges_unlock(locked);
    if (lazy)
        map_lazy_end(address, length, !result);
    free(spare);
    int published = ranges_end(gone);
    return (int)entry_return(saved, result ? result : published);
}

void map_end(const void *address, size_t length)
{
    uintptr_t start = (uintptr_t)address, end = page_end(start, length);
    if (map_lazy_begin(address, length))
        map_lazy_end(address, length, true);
    if (likely(!ranges_any()) || !is_tracked(start, end))
        return;
    struct map_range *spare = malloc(sizeof *spare);
    int locked = shared_lock_take(&ranges.lock);
    struct map_range *gone = list_cut(start, end, &spare);
    ranges_unlock(locked);
    free(spare);
    ranges_end(gone); /* what could not be published is on stderr */
}

/* What is mapped at an address of this range, held, but not as a map that publishes; NULL: nothing
 * that is known. Its offset is the file's at `start`, or at its own beginning if that comes
 * later. */
static struct map_range *range_get(uintptr_t start, uintptr_t end, bool *ret_publishes)
{
    struct map_range *copy = malloc(sizeof *copy);
    int locked = shared_lock_take(&ranges.lock);
    struct map_range *range = copy ? list_find(start, end) : NULL;
    if (range) {
        *copy = *range;
        copy->offset += start > range->start ? start - range->start : 0;
        copy->publishes = false;
        hold(copy);
        *ret_publishes = range->publishes;
    }
    ranges_unlock(locked);
    if (range)
        return copy;
    free(copy);
    return NULL;
}

struct remap {
    void *old, *target;
    size_t old_length, new_length;
    int flags;
};

/* 0 or -errno. What a map grows by has to be there before. */
static int remap_range(const struct map_range *range, bool publishes, const struct remap *remap,
                       void **ret_memory)
{
    struct map_range wanted = *range;
    int result = range->file ? map_reader_fill(range, remap->new_length)
                             : map_staged_fill(range, remap->new_length);
    if (result < 0)
        return result;
    uintptr_t start = (uintptr_t)remap->old;
    wanted.publishes = publishes;
    struct map_range *made = map_range_new(&wanted), *spare = malloc(sizeof *spare), *gone = NULL;
    int locked = shared_lock_take(&ranges.lock);
    long moved = made
                     ? syscall_kernel(SYS_mremap, (long)remap->old, (long)remap->old_length,
                                      (long)remap->new_length, remap->flags, (long)remap->target, 0)
                     : -ENOMEM;
    void *memory = (void *)moved;
    result = moved < 0 && moved >= -4095 ? (int)moved : 0;
    if (!result) {
        if (remap->old_length && !(remap->flags & MREMAP_DONTUNMAP))
            gone = list_cut(start, page_end(start, remap->old_length), &spare);
        made->start = (uintptr_t)memory;
        made->end = page_end(made->start, remap->new_length);
        list_add(made);
        made = NULL;
        *ret_memory = memory;
    }
    ranges_unlock(locked);
    map_range_free(made);
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
    bool publishes;
    uintptr_t start = (uintptr_t)old;
    if (unlikely(map_lazy_near(old, 1))) {
        ENTRY_HOLD();
        int saved = errno;
        void *memory = MAP_FAILED;
        int result = map_lazy_remap(old, old_length, new_length, flags, remap.target, &memory);
        if (result != -ENOENT) {
            entry_return(saved, result);
            return memory;
        }
    }
    struct map_range *range = unlikely(ranges_any()) && is_tracked(start, start + 1)
                                  ? range_get(start, start + 1, &publishes)
                                  : NULL;
    if (likely(!range))
        return REAL(mremap)(old, old_length, new_length, flags, remap.target);
    ENTRY_HOLD();
    int saved = errno;
    void *memory = MAP_FAILED;
    entry_return(saved, remap_range(range, publishes, &remap, &memory));
    map_range_free(range);
    return memory;
}

/* ---- msync ---- */

int msync(void *address, size_t length, int flags)
{
    if (likely(!ranges_any()))
        return REAL(msync)(address, length, flags);
    ENTRY_POINT();
    int saved = errno;
    if (REAL(msync)(address, length, flags) < 0)
        return -1;
    uintptr_t start = (uintptr_t)address, end = start + length;
    bool publishes = false;
    struct map_range *range = is_tracked(start, end) ? range_get(start, end, &publishes) : NULL;
    publishes = publishes && flags & MS_SYNC && start_publishes_at_sync();
    int result = publishes ? staged_publish(range->staged) : 0;
    map_range_free(range);
    return (int)entry_return(saved, result);
}
