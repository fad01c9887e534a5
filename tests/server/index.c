/*
 * The skip list behind a bucket; see index.h.
 *
 * Levels are drawn with probability 1/4 from a generator of the list's own, so that the shape does
 * not depend on anything else that is random in the server.
 */
#include "index.h"

#include "store.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    LEVELS = 16, /* 4^16 keys */
};

struct index {
    uint64_t random;
    size_t count;
    struct index_node *head; /* LEVELS high, no object */
};

static struct index_node *node_new(struct object *object, unsigned levels)
{
    struct index_node *node = calloc(1, sizeof(*node) + levels * sizeof(node->next[0]));
    if (node)
        node->object = object;
    return node;
}

struct index *index_new(void)
{
    struct index *index = calloc(1, sizeof(*index));
    if (!index)
        return NULL;
    index->random = 0x9E3779B97F4A7C15u;
    index->head = node_new(NULL, LEVELS);
    if (!index->head) {
        free(index);
        return NULL;
    }
    return index;
}

void index_free(struct index *index)
{
    if (!index)
        return;
    struct index_node *node = index->head;
    while (node) {
        struct index_node *next = node->next[0];
        object_unref(node->object);
        free(node);
        node = next;
    }
    free(index);
}

size_t index_count(const struct index *index)
{
    return index->count;
}

static unsigned random_levels(struct index *index)
{
    uint64_t x = index->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    index->random = x;
    unsigned levels = 1;
    while (levels < LEVELS && (x & 3) == 0) {
        levels++;
        x >>= 2;
    }
    return levels;
}

/* The last node before key (or not after it, when after) on every level. */
static struct index_node *descend(const struct index *index, const char *key, bool after,
                                  struct index_node *path[LEVELS])
{
    struct index_node *node = index->head;
    for (int level = LEVELS - 1; level >= 0; level--) {
        for (;;) {
            struct index_node *next = node->next[level];
            if (!next)
                break;
            int order = strcmp(next->object->key, key);
            if (order > 0 || (order == 0 && !after))
                break;
            node = next;
        }
        if (path)
            path[level] = node;
    }
    return node;
}

struct index_node *index_seek(const struct index *index, const char *key, bool after)
{
    return descend(index, key, after, NULL)->next[0];
}

struct object *index_find(const struct index *index, const char *key)
{
    struct index_node *node = index_seek(index, key, false);
    return node && !strcmp(node->object->key, key) ? node->object : NULL;
}

int index_insert(struct index *index, struct object *object)
{
    struct index_node *path[LEVELS];
    struct index_node *found = descend(index, object->key, false, path)->next[0];
    if (found && !strcmp(found->object->key, object->key)) {
        object_unref(found->object);
        found->object = object;
        return 0;
    }
    unsigned levels = random_levels(index);
    struct index_node *node = node_new(object, levels);
    if (!node)
        return -ENOMEM;
    node->next[0] = path[0]->next[0];
    path[0]->next[0] = node;
    for (unsigned level = 1; level < levels; level++) {
        node->next[level] = path[level]->next[level];
        path[level]->next[level] = node;
    }
    index->count++;
    return 0;
}

bool index_remove(struct index *index, const char *key)
{
    struct index_node *path[LEVELS];
    struct index_node *node = descend(index, key, false, path)->next[0];
    if (!node || strcmp(node->object->key, key))
        return false;
    for (unsigned level = 0; level < LEVELS && path[level]->next[level] == node; level++)
        path[level]->next[level] = node->next[level];
    object_unref(node->object);
    free(node);
    index->count--;
    return true;
}
