/* A table of targets, one slot for each hash. See symlink_cache.h. */
#include "core/symlink_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t inode; /* 0: empty */
    char *target;   /* owned */
    size_t length;
    char etag[STORE_ETAG_MAX];
};

struct symlink_cache {
    pthread_mutex_t mutex;
    struct slot slots[SYMLINK_CACHE_SLOTS];
};

struct symlink_cache *symlink_cache_new(void)
{
    struct symlink_cache *cache = calloc(1, sizeof *cache);

    if (cache)
        pthread_mutex_init(&cache->mutex, NULL);
    return cache;
}

void symlink_cache_free(struct symlink_cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < SYMLINK_CACHE_SLOTS; i++)
        free(cache->slots[i].target);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

static struct slot *slot_of(struct symlink_cache *cache, const struct attr *attr)
{
    return &cache->slots[attr->inode % SYMLINK_CACHE_SLOTS];
}

ssize_t symlink_cache_get(struct symlink_cache *cache, const struct attr *attr, char *target)
{
    struct slot *slot = slot_of(cache, attr);
    ssize_t length = -1;

    pthread_mutex_lock(&cache->mutex);
    if (slot->target && slot->inode == attr->inode && slot->length == attr->size_bytes &&
        strcmp(slot->etag, attr->etag) == 0) {
        memcpy(target, slot->target, slot->length + 1);
        length = (ssize_t)slot->length;
    }
    pthread_mutex_unlock(&cache->mutex);
    return length;
}

void symlink_cache_put(struct symlink_cache *cache, const struct attr *attr, const char *target)
{
    struct slot *slot = slot_of(cache, attr);
    char *copy = attr->etag[0] ? strdup(target) : NULL;

    if (!copy)
        return;
    pthread_mutex_lock(&cache->mutex);
    free(slot->target);
    slot->target = copy;
    slot->length = strlen(copy);
    slot->inode = attr->inode;
    strcpy(slot->etag, attr->etag);
    pthread_mutex_unlock(&cache->mutex);
}
