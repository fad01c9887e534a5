/* Listings of the in-memory store. See mem_index.h for the locking.
 *
 * A token is the last name shown, with a letter before it: "k" for a key, "p" for a common prefix,
 * behind which all its keys are passed over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"
#include "store/mem_index.h"

#define PAGE_KEYS 1000u

static bool starts_with(const char *text, const char *prefix, size_t length)
{
    return strncmp(text, prefix, length) == 0;
}

/* The first object behind everything that prefix, start_after and token exclude. */
static size_t list_start(const struct mem_bucket *bucket, const struct store_request *request)
{
    const char *token = request->token;
    size_t index, after;

    mem_bucket_seek(bucket, request->prefix ? request->prefix : "", &index);
    if (request->start_after && !token) {
        bool found = mem_bucket_seek(bucket, request->start_after, &after);

        after += found ? 1 : 0;
        return after > index ? after : index;
    }
    if (!token || !token[0])
        return index;
    after = index;
    if (mem_bucket_seek(bucket, token + 1, &after))
        after++;
    while (token[0] == 'p' && after < bucket->count &&
           starts_with(bucket->objects[after]->key, token + 1, strlen(token + 1)))
        after++;
    return after > index ? after : index;
}

/* Shows the object at *index, or the common prefix it falls into, and moves past it. */
static int list_one(const struct mem_bucket *bucket, const struct store_request *request,
                    struct store_page_builder *builder, size_t *index, char *token)
{
    const struct mem_object *object = bucket->objects[*index];
    size_t prefix_length = request->prefix ? strlen(request->prefix) : 0;
    const char *cut =
        request->delimiter ? strstr(object->key + prefix_length, request->delimiter) : NULL;
    struct store_entry entry = {
        .key = token + 1,
        .size_bytes = object->attributes.size_bytes,
        .mtime = object->attributes.mtime,
    };
    size_t length;

    token[0] = cut ? 'p' : 'k';
    length = cut ? (size_t)(cut - object->key) + strlen(request->delimiter) : strlen(object->key);
    memcpy(token + 1, object->key, length);
    token[1 + length] = '\0';
    ++*index;
    if (!cut) {
        memcpy(entry.etag, object->attributes.etag, sizeof entry.etag);
        return store_page_builder_add(builder, &entry);
    }
    while (*index < bucket->count && starts_with(bucket->objects[*index]->key, token + 1, length))
        ++*index;
    return store_page_builder_add(builder,
                                  &(struct store_entry){.key = token + 1, .is_prefix = true});
}

static bool is_listed(const struct mem_bucket *bucket, const struct store_request *request,
                      size_t index)
{
    const char *prefix = request->prefix ? request->prefix : "";

    return index < bucket->count &&
           starts_with(bucket->objects[index]->key, prefix, strlen(prefix));
}

static size_t longest_key(const struct mem_bucket *bucket)
{
    size_t longest = 0;

    for (size_t i = 0; i < bucket->count; i++) {
        size_t length = strlen(bucket->objects[i]->key);

        longest = length > longest ? length : longest;
    }
    return longest;
}

int mem_list(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    unsigned max =
        request->max_keys && request->max_keys < PAGE_KEYS ? request->max_keys : PAGE_KEYS;
    struct store_page_builder *builder;
    char *token;
    size_t index;
    int r = 0;

    if (!bucket)
        return -error_errno(err);
    builder = store_page_builder_new();
    token = malloc(longest_key(bucket) + 2);
    if (!builder || !token)
        r = -ENOMEM;
    for (index = list_start(bucket, request);
         r == 0 && store_page_builder_count(builder) < max && is_listed(bucket, request, index);)
        r = list_one(bucket, request, builder, &index, token);
    if (r == 0) {
        request->page =
            store_page_builder_finish(builder, is_listed(bucket, request, index) ? token : NULL);
        builder = NULL;
    }
    store_page_builder_free(builder);
    free(token);
    return request->page ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
}

int mem_list_buckets(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct store_page_builder *builder = store_page_builder_new();
    int r = builder ? 0 : -ENOMEM;

    for (const struct mem_bucket *b = store->buckets; b && r == 0; b = b->next) {
        char name[sizeof b->name + 1];

        strcpy(stpcpy(name, b->name), "/");
        r = store_page_builder_add(builder, &(struct store_entry){.key = name, .is_prefix = true});
    }
    if (r == 0)
        request->page = store_page_builder_finish(builder, NULL);
    else
        store_page_builder_free(builder);
    return request->page ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
}
