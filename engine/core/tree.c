/* Listing all that is below a prefix into two arrays. See tree.h. */
#include "core/tree.h"

#include <stdlib.h>
#include <string.h>

#include "core/attr.h"
#include "core/call.h"
#include "core/engine.h"

uint64_t tree_etag_hash(const char *etag)
{
    return etag[0] ? attr_inode(etag) : 0;
}

static int add_text(struct tree *tree, const char *text, size_t *ret_at)
{
    size_t size = strlen(text) + 1;

    if (!tree->text || tree->text_length + size > tree->text_capacity) {
        size_t capacity = 2 * tree->text_capacity + size + 4096;
        char *grown = realloc(tree->text, capacity);

        if (!grown)
            return -1;
        tree->text = grown;
        tree->text_capacity = capacity;
    }
    *ret_at = tree->text_length;
    memcpy(tree->text + tree->text_length, text, size);
    tree->text_length += size;
    return 0;
}

static int add_item(struct tree *tree, const char *name, const struct store_entry *entry)
{
    struct tree_item *item;

    if (tree->count == tree->capacity) {
        size_t capacity = 2 * tree->capacity + 64;
        struct tree_item *grown = reallocarray(tree->items, capacity, sizeof *grown);

        if (!grown)
            return -1;
        tree->items = grown;
        tree->capacity = capacity;
    }
    item = &tree->items[tree->count];
    *item = (struct tree_item){
        .size_bytes = entry->size_bytes,
        .etag_hash = tree_etag_hash(entry->etag),
    };
    if (add_text(tree, name, &item->name) < 0 ||
        (entry->storage_class[0] && add_text(tree, entry->storage_class, &item->storage_class) < 0))
        return -1;
    tree->count++;
    return 0;
}

static int add_page(struct tree *tree, const struct store_page *page, const char *prefix,
                    struct error *err)
{
    size_t length = strlen(prefix);

    for (size_t i = 0; i < page->count; i++) {
        const struct store_entry *entry = &page->entries[i];

        if (strncmp(entry->key, prefix, length) != 0 || entry->is_prefix)
            return error_set(err, ERROR_PROTOCOL, "the listing holds what was not asked for");
        if (add_item(tree, entry->key + length, entry) < 0)
            return error_set(err, ERROR_NO_MEMORY, "listing a directory");
    }
    return 0;
}

static int next_page(struct engine *engine, const struct uri *prefix, char **token,
                     const struct limits *limits, struct tree *tree, struct error *err)
{
    struct call *call = call_new(engine, STORE_LIST, prefix, limits, err);
    char *next = NULL;
    int r;

    if (!call)
        return -error_errno(err);
    call->request.prefix = call->uri.key;
    call->request.token = *token;
    r = call_run(call, limits, err);
    if (r == 0 && !call->request.page)
        r = error_set(err, ERROR_PROTOCOL, "a listing without a page");
    else if (r == 0)
        r = add_page(tree, call->request.page, call->uri.key, err);
    if (r == 0 && call->request.page && call->request.page->next_token) {
        next = strdup(call->request.page->next_token);
        if (!next)
            r = error_set(err, ERROR_NO_MEMORY, "listing a directory");
    }
    call_delete(call);
    free(*token);
    *token = next;
    return r;
}

static int by_name(const void *a, const void *b, void *text)
{
    const struct tree_item *one = a, *other = b;

    return strcmp((char *)text + one->name, (char *)text + other->name);
}

static void sort(struct tree *tree)
{
    for (size_t i = 1; i < tree->count; i++)
        if (strcmp(tree_name(tree, i - 1), tree_name(tree, i)) > 0) {
            qsort_r(tree->items, tree->count, sizeof *tree->items, by_name, tree->text);
            return;
        }
}

int tree_list(struct engine *engine, const struct uri *prefix, const struct limits *limits,
              struct tree *ret_tree, struct error *err)
{
    struct tree tree = {0};
    char *token = NULL;
    size_t empty;
    int r = add_text(&tree, "", &empty) < 0 ? error_set(err, ERROR_NO_MEMORY, "listing a directory")
                                            : 0;

    while (r == 0) {
        r = next_page(engine, prefix, &token, limits, &tree, err);
        if (!token)
            break;
    }
    free(token);
    if (r < 0) {
        tree_fini(&tree);
        return r;
    }
    sort(&tree);
    *ret_tree = tree;
    return 0;
}

void tree_fini(struct tree *tree)
{
    free(tree->text);
    free(tree->items);
    *tree = (struct tree){0};
}
