/* mremap(2) of lazy maps: the memory moves with the pages that are there, the rest is registered
 * anew. What lies behind the object's end is put there again. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "core/lazy_private.h"

/* How much of a map of so many bytes the object reaches into. */
static size_t object_bytes(const struct lazy_range *range, size_t length)
{
    uint64_t left = range->source->size_bytes - range->offset;

    return lazy_page_up(length < left ? length : (size_t)left);
}

/* A second map of what is there: old_bytes 0, which is for shared ones. */
static int again(struct lazy_range *made, const struct lazy_remap *remap, void **ret_memory)
{
    int fixed = remap->flags & MREMAP_FIXED ? MAP_FIXED : 0;
    size_t length = object_bytes(made, remap->new_bytes);
    void *memory;

    if (!made->is_shared || !(remap->flags & MREMAP_MAYMOVE))
        return -EINVAL;
    memory = mmap(remap->target, remap->new_bytes, PROT_READ,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    made->start = (uintptr_t)memory;
    made->end = made->start + length;
    *ret_memory = memory;
    return 0;
}

/* The kernel's part: what is behind the object's end goes before, for it is other memory.
 *
 * Memory that has moved is not registered any more, and the kernel forgets that of the whole area
 * which it has become a part of: next to another map that would be that one's, too, whose missing
 * pages would be zeros from then on. Areas that differ in what fork does are not joined. */
static int move(struct lazy_range *made, const struct lazy_remap *remap, void **ret_memory)
{
    uintptr_t old = (uintptr_t)remap->old;
    size_t old_bytes = lazy_page_up(remap->old_bytes), front = object_bytes(made, old_bytes);
    void *memory;
    int r;

    if (front < old_bytes)
        munmap((void *)(old + front), old_bytes - front);
    madvise(remap->old, front, MADV_DOFORK);
    memory = mremap(remap->old, front, remap->new_bytes, remap->flags, remap->target);
    r = memory == MAP_FAILED ? -errno : 0;
    if (r < 0 || remap->flags & MREMAP_DONTUNMAP)
        madvise(remap->old, front, MADV_DONTFORK);
    if (r < 0 && front < old_bytes)
        lazy_map_nothing(old + front, old + old_bytes);
    if (r < 0)
        return r;
    made->start = (uintptr_t)memory;
    made->end = made->start + object_bytes(made, remap->new_bytes);
    *ret_memory = memory;
    return 0;
}

/* Under the lock; the result's failure is that of the kernel, and nothing has changed. */
static int change(struct lazy_range *made, const struct lazy_remap *remap, struct lazy_range **ret_gone,
                  void **ret_memory)
{
    uintptr_t old = (uintptr_t)remap->old, new_end;
    int r = remap->old_bytes ? move(made, remap, ret_memory) : again(made, remap, ret_memory);

    if (r < 0)
        return r;
    if (remap->old_bytes && !(remap->flags & MREMAP_DONTUNMAP))
        *ret_gone = lazy_cut(old, old + lazy_page_up(remap->old_bytes));
    new_end = lazy_page_up(made->start + remap->new_bytes);
    r = lazy_register(made);
    if (r == 0)
        r = lazy_map_nothing(made->end, new_end);
    if (r < 0) /* not to be followed: SIGBUS rather than zeros */
        lazy_map_nothing(made->start, new_end);
    lazy_add(made);
    return 0;
}

int lazy_remap(const struct lazy_remap *remap, void **ret_memory)
{
    uintptr_t old = (uintptr_t)remap->old;
    struct lazy_range *made = malloc(sizeof *made), *gone = NULL;
    const struct lazy_range *range;
    int r = -ENOENT;

    if (!made)
        return -ENOMEM;
    if (!lazy_begin(remap->old, 1)) {
        free(made);
        return r;
    }
    range = lazy_find(old, old + 1);
    if (range && range->start <= old) {
        *made = *range;
        made->offset += old - range->start;
        atomic_fetch_add(&made->source->references, 1);
        r = change(made, remap, &gone, ret_memory);
        made = r == 0 ? NULL : made;
    } else {
        free(made);
        made = NULL;
    }
    lazy_unlock();
    if (made)
        lazy_source_unref(made->source);
    free(made);
    lazy_ranges_free(gone);
    return r;
}
