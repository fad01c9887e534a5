/* Maps whose pages the engine fetches when they are touched (s3dlio.h, "maps"); see map_lazy.c. */
#ifndef S3DLIO_SHIM_CALLS_MAP_LAZY_H
#define S3DLIO_SHIM_CALLS_MAP_LAZY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "shim/calls/map.h"
#include "shim/entry.h"

/* All such maps lie between these; 0 as long as there was none. They only grow. */
struct map_lazy_bounds {
    _Atomic uintptr_t low, high;
};
extern struct map_lazy_bounds map_lazy_bounds;

bool map_lazy_reaches(uintptr_t start, size_t length); /* of what begins below `high` */

/* May a byte of the range be in such a map? For programs that have none it is one comparison, in the
 * way of every read and write. */
__attribute__((always_inline)) static inline bool map_lazy_near(const void *address, size_t length)
{
    return unlikely((uintptr_t)address <
                    atomic_load_explicit(&map_lazy_bounds.high, memory_order_relaxed)) &&
           map_lazy_reaches((uintptr_t)address, length);
}

/* mmap(2) of a file that is open for reading: 0 or -errno; -EOPNOTSUPP: not this way. */
int map_lazy(struct file *file, const struct map_request *request, void **ret_memory);
/* Has the version that the file shows such maps? */
bool map_lazy_is_live(const struct file *file);
/* Is one there? False for what the engine does to it. */
bool map_lazy_is_there(const void *address, size_t length);
/* As s3dlio_lazy_begin and _end, for what is near. */
bool map_lazy_begin(const void *address, size_t length);
void map_lazy_end(const void *address, size_t length, bool gone);
/* mremap(2): 0, -errno; -ENOENT: not of such a map. */
int map_lazy_remap(void *old, size_t old_length, size_t new_length, int flags, void *target,
                   void **ret_memory);

/* A buffer that the kernel is about to be given, in a call on what is real: pages of such maps are
 * fetched where it could not wait for them. What cannot be had is left to the call, which says
 * EFAULT. errno is kept. */
void map_lazy_fill(const void *address, size_t length);
void map_lazy_fill_vector(const struct iovec *iov, size_t count);
/* The same for numbers of a raw system call that answered EFAULT: true when it is worth trying
 * again. */
bool map_lazy_fill_arguments(const long arguments[6]);

#define MAP_LAZY_BUFFER(address, length)                                                           \
    do {                                                                                           \
        if (unlikely(map_lazy_near(address, length)))                                              \
            map_lazy_fill(address, length);                                                        \
    } while (0)
#define MAP_LAZY_VECTOR(iov, count)                                                                \
    do {                                                                                           \
        if (unlikely(map_lazy_near(NULL, SIZE_MAX)))                                               \
            map_lazy_fill_vector(iov, (size_t)(count));                                            \
    } while (0)

/* A buffer that the engine is about to be given: every page of it is there until the second. True
 * when there is something to give back. 0 or -EFAULT in *ret_result. */
bool map_lazy_take(const void *address, size_t length, long *ret_result);
void map_lazy_give(bool taken);

/* io_uring was set up: its rings take buffers that nobody sees. */
void map_lazy_note_ring(void);

#endif
