/* Warm buffers by size class; idle ones are linked through their own first bytes. See pool.h. */
#include "core/pool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/budget.h"

static unsigned class_of(size_t size_bytes)
{
    unsigned class = 0;

    if (size_bytes >= POOL_GROWING_MIN && size_bytes < POOL_GROWING_MAX)
        size_bytes = POOL_GROWING_MAX;
    while (class + 1 < POOL_CLASS_COUNT && (POOL_SIZE_MIN << class) < size_bytes)
        class ++;
    return class;
}

static size_t class_bytes(unsigned class)
{
    return POOL_SIZE_MIN << class;
}

void pool_init(struct pool *pool, const struct budget *budget)
{
    memset(pool, 0, sizeof *pool);
    pool->budget = budget;
    pthread_mutex_init(&pool->mutex, NULL);
}

/* How much may lie idle. */
static size_t idle_max(const struct pool *pool)
{
    uint64_t used = budget_used(pool->budget), limit = budget_share(pool->budget);

    return POOL_IDLE_BYTES + (used < limit ? limit - used : 0);
}

static void *system_get(size_t size_bytes)
{
    void *buffer;

    if (size_bytes < POOL_MAPPED_MIN)
        return aligned_alloc(64, size_bytes);
    buffer = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return buffer == MAP_FAILED ? NULL : buffer;
}

static void system_put(void *buffer, size_t size_bytes)
{
    if (size_bytes < POOL_MAPPED_MIN)
        free(buffer);
    else
        munmap(buffer, size_bytes);
}

void *pool_get(struct pool *pool, size_t size_bytes)
{
    unsigned class = class_of(size_bytes);
    bool crowded;
    void *buffer;

    if (size_bytes > class_bytes(class))
        return NULL;
    pthread_mutex_lock(&pool->mutex);
    buffer = pool->idle[class];
    if (buffer) {
        memcpy(&pool->idle[class], buffer, sizeof(void *));
        pool->idle_bytes -= class_bytes(class);
    }
    crowded = !buffer && pool->idle_bytes > idle_max(pool);
    pthread_mutex_unlock(&pool->mutex);
    if (crowded)
        pool_trim(pool);
    return buffer ? buffer : system_get(class_bytes(class));
}

void pool_put(struct pool *pool, void *buffer, size_t size_bytes)
{
    unsigned class = class_of(size_bytes);
    bool kept = false;

    if (!buffer)
        return;
    pthread_mutex_lock(&pool->mutex);
    if (pool->idle_bytes + class_bytes(class) <= idle_max(pool)) {
        memcpy(buffer, &pool->idle[class], sizeof(void *));
        pool->idle[class] = buffer;
        pool->idle_bytes += class_bytes(class);
        kept = true;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (!kept)
        system_put(buffer, class_bytes(class));
}

void pool_trim(struct pool *pool)
{
    void *lists[POOL_CLASS_COUNT];

    pthread_mutex_lock(&pool->mutex);
    memcpy(lists, pool->idle, sizeof lists);
    memset(pool->idle, 0, sizeof pool->idle);
    pool->idle_bytes = 0;
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned class = 0; class < POOL_CLASS_COUNT; class ++) {
        while (lists[class]) {
            void *buffer = lists[class];

            memcpy(&lists[class], buffer, sizeof(void *));
            system_put(buffer, class_bytes(class));
        }
    }
}
