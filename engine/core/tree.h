/* All keys below a prefix, kept compactly: for work that must see a directory as a whole.
 *
 * Items are in bytewise order of their names, which are relative to the prefix; the marker of the
 * directory itself has the name "". ETags are kept as hashes. Nothing is left out: names that no
 * path can reach are listed, too. Owned by one thread.
 */
#ifndef S3DLIO_CORE_TREE_H
#define S3DLIO_CORE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uri.h"
#include "core/limits.h"

struct engine;

struct tree_item {
    size_t name; /* both are offsets in the tree's text */
    size_t storage_class;
    uint64_t size_bytes;
    uint64_t etag_hash; /* 0: the store tells none */
    uint64_t copy_hash; /* the owner's */
};

struct tree {
    char *text;
    size_t text_length, text_capacity;
    struct tree_item *items;
    size_t count, capacity;
};

/* Lists everything below `prefix` (its key ends in '/'), page by page. On failure nothing is
 * held. */
int tree_list(struct engine *engine, const struct uri *prefix, const struct limits *limits,
              struct tree *ret_tree, struct error *err);
void tree_fini(struct tree *tree);

static inline const char *tree_name(const struct tree *tree, size_t index)
{
    return tree->text + tree->items[index].name;
}

/* 0 for an empty one. */
uint64_t tree_etag_hash(const char *etag);

#endif
