/*
 * The store that keeps everything in memory and nothing afterwards.
 *
 * Large blocks are mapped and, when freed, kept in a small pool and given out again: a page fault
 * costs more than receiving the bytes that go into the page, and uploads of equal parts are the
 * usual load. The pool has a lock of its own, taken by any thread with or without the store's.
 */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#define MAPPED_BYTES    (1u << 20)   /* blocks from here on are mapped, below malloc'd */
#define POOL_BYTES      (512u << 20) /* kept for reuse at most */
#define HUGE_PAGE_BYTES (2u << 20)

enum {
    POOL_BLOCKS = 128,
};

struct memory {
    pthread_mutex_t lock;
    unsigned count;
    uint64_t bytes;
    struct block *pool[POOL_BLOCKS];
};

static int memory_open(struct store *store, const char *path)
{
    (void)path;
    struct memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        return -ENOMEM;
    pthread_mutex_init(&memory->lock, NULL);
    store->private = memory;
    return 0;
}

static void block_release(struct block *block)
{
    if (block->size >= MAPPED_BYTES)
        munmap(block->base, block->size);
    else
        free(block->base);
    free(block);
}

static void memory_close(struct store *store)
{
    struct memory *memory = store->private;
    for (unsigned i = 0; i < memory->count; i++)
        block_release(memory->pool[i]);
    pthread_mutex_destroy(&memory->lock);
    free(memory);
}

static struct block *pool_take(struct memory *memory, uint64_t size)
{
    struct block *block = NULL;
    pthread_mutex_lock(&memory->lock);
    for (unsigned i = memory->count; i-- > 0;) {
        if (memory->pool[i]->size != size)
            continue;
        block = memory->pool[i];
        memory->pool[i] = memory->pool[--memory->count];
        memory->bytes -= size;
        break;
    }
    pthread_mutex_unlock(&memory->lock);
    return block;
}

static bool pool_keep(struct memory *memory, struct block *block)
{
    bool kept = false;
    pthread_mutex_lock(&memory->lock);
    if (memory->count < POOL_BLOCKS && memory->bytes + block->size <= POOL_BYTES) {
        memory->pool[memory->count++] = block;
        memory->bytes += block->size;
        kept = true;
    }
    pthread_mutex_unlock(&memory->lock);
    return kept;
}

static uint8_t *map_bytes(uint64_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (size >= HUGE_PAGE_BYTES)
        madvise(base, size, MADV_HUGEPAGE);
    return base;
}

static int memory_block_new(struct store *store, uint64_t size, struct block **ret_block)
{
    struct block *block = size >= MAPPED_BYTES ? pool_take(store->private, size) : NULL;
    if (!block) {
        block = calloc(1, sizeof(*block));
        if (!block)
            return -ENOMEM;
        block->base = size >= MAPPED_BYTES ? map_bytes(size) : malloc(size);
        if (!block->base) {
            free(block);
            return -ENOMEM;
        }
        block->store = store;
        block->size = size;
    }
    atomic_init(&block->references, 1);
    *ret_block = block;
    return 0;
}

static void memory_block_free(struct store *store, struct block *block)
{
    if (block->size < MAPPED_BYTES || !pool_keep(store->private, block))
        block_release(block);
}

static int memory_bucket_saved(struct store *store, const struct bucket *bucket)
{
    (void)store;
    (void)bucket;
    return 0;
}

static void memory_bucket_removed(struct store *store, const char *name)
{
    (void)store;
    (void)name;
}

static int memory_object_saved(struct store *store, const char *bucket, const struct object *object)
{
    (void)store;
    (void)bucket;
    (void)object;
    return 0;
}

static void memory_object_removed(struct store *store, const char *bucket, const char *key)
{
    (void)store;
    (void)bucket;
    (void)key;
}

const struct store_ops STORE_MEMORY = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .block_new = memory_block_new,
    .block_free = memory_block_free,
    .bucket_saved = memory_bucket_saved,
    .bucket_removed = memory_bucket_removed,
    .object_saved = memory_object_saved,
    .object_removed = memory_object_removed,
};
