/* Buffers that are used again while their pages are warm.
 *
 * Sizes are rounded up to powers of two from 4 KiB (but see POOL_GROWING_MIN); from 64 KiB on a
 * buffer is a mapping of its own, page-aligned, below it comes from malloc. Returned buffers are
 * kept as long as they fit into what the budget has left, and POOL_IDLE_BYTES beyond; new memory
 * gives idle memory back first where both do not fit. Contents are not cleared: they belong to the
 * process anyway. Reserving is the caller's business. Any thread, inside the gate: a leaf mutex
 * guards the lists.
 */
#ifndef S3DLIO_CORE_POOL_H
#define S3DLIO_CORE_POOL_H

#include <pthread.h>
#include <stddef.h>

#define POOL_IDLE_BYTES  ((size_t)16 << 20)
#define POOL_SIZE_MIN    ((size_t)4 << 10)
#define POOL_MAPPED_MIN  ((size_t)64 << 10)
#define POOL_CLASS_COUNT 22 /* 4 KiB to 8 GiB */
/* The ranges of a stream grow, within these: all of one class, so that pages which a small one has
 * touched serve larger ones too. What is never touched takes no memory. */
#define POOL_GROWING_MIN ((size_t)1 << 20)
#define POOL_GROWING_MAX ((size_t)8 << 20)

struct budget;

struct pool {
    pthread_mutex_t mutex;
    void *idle[POOL_CLASS_COUNT]; /* linked through their first bytes */
    size_t idle_bytes;
    const struct budget *budget;
};

void pool_init(struct pool *pool, const struct budget *budget);
/* NULL without memory. At least size_bytes; pass the same size to pool_put. */
void *pool_get(struct pool *pool, size_t size_bytes);
void pool_put(struct pool *pool, void *buffer, size_t size_bytes); /* NULL is fine */
void pool_trim(struct pool *pool);                                 /* gives all idle buffers back */

#endif
