/* Sorted arrays and short lists behind the in-memory store. See mem_index.h for the locking.
 *
 * Deliberately plain: a test has thousands of objects, not millions.
 */
#include "store/mem_index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

struct mem_object *mem_object_new(const char *key, uint64_t size_bytes)
{
    size_t key_size = strlen(key) + 1;
    struct mem_object *object = calloc(1, sizeof *object + key_size);

    if (!object)
        return NULL;
    object->data = malloc(size_bytes ? size_bytes : 1);
    if (!object->data) {
        free(object);
        return NULL;
    }
    atomic_init(&object->references, 1);
    memcpy(object->key, key, key_size);
    object->attributes.size_bytes = size_bytes;
    clock_gettime(CLOCK_REALTIME, &object->attributes.mtime);
    snprintf(object->attributes.etag, sizeof object->attributes.etag, "\"%016llx%016llx\"",
             (unsigned long long)random_u64(), (unsigned long long)random_u64());
    return object;
}

struct mem_object *mem_object_ref(struct mem_object *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void mem_object_unref(struct mem_object *object)
{
    if (!object || atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1)
        return;
    store_metadata_fini(&object->attributes.metadata);
    free(object->data);
    free(object);
}

bool mem_bucket_seek(const struct mem_bucket *bucket, const char *key, size_t *ret_index)
{
    size_t low = 0, high = bucket->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(bucket->objects[middle]->key, key);

        if (order == 0) {
            *ret_index = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_index = low;
    return false;
}

struct mem_object *mem_bucket_get(const struct mem_bucket *bucket, const char *key)
{
    size_t index;

    return mem_bucket_seek(bucket, key, &index) ? bucket->objects[index] : NULL;
}

int mem_bucket_put(struct mem_bucket *bucket, struct mem_object *object)
{
    size_t index;

    if (mem_bucket_seek(bucket, object->key, &index)) {
        mem_object_unref(bucket->objects[index]);
        bucket->objects[index] = object;
        return 0;
    }
    if (bucket->count == bucket->capacity) {
        size_t capacity = bucket->capacity ? 2 * bucket->capacity : 64;
        struct mem_object **objects =
            reallocarray(bucket->objects, capacity, sizeof(struct mem_object *));

        if (!objects)
            return -ENOMEM;
        bucket->objects = objects;
        bucket->capacity = capacity;
    }
    memmove(bucket->objects + index + 1, bucket->objects + index,
            (bucket->count - index) * sizeof(struct mem_object *));
    bucket->objects[index] = object;
    bucket->count++;
    return 0;
}

void mem_bucket_remove(struct mem_bucket *bucket, const char *key)
{
    size_t index;

    if (!mem_bucket_seek(bucket, key, &index))
        return;
    mem_object_unref(bucket->objects[index]);
    bucket->count--;
    memmove(bucket->objects + index, bucket->objects + index + 1,
            (bucket->count - index) * sizeof(struct mem_object *));
}

/* ---- uploads -------------------------------------------------------------------------------- */

static void upload_free(struct mem_upload *upload)
{
    while (upload->parts) {
        struct mem_part *part = upload->parts;

        upload->parts = part->next;
        mem_object_unref(part->object);
        free(part);
    }
    mem_object_unref(upload->draft);
    free(upload);
}

struct mem_upload *mem_bucket_upload(const struct mem_bucket *bucket, const char *key,
                                     const char *id)
{
    struct mem_upload *upload = bucket->uploads;

    while (upload && (strcmp(upload->id, id) != 0 || strcmp(upload->draft->key, key) != 0))
        upload = upload->next;
    return upload;
}

void mem_bucket_add_upload(struct mem_bucket *bucket, struct mem_upload *upload)
{
    struct mem_upload **at = &bucket->uploads;

    while (*at && strcmp((*at)->draft->key, upload->draft->key) <= 0)
        at = &(*at)->next;
    upload->next = *at;
    *at = upload;
}

void mem_bucket_remove_upload(struct mem_bucket *bucket, struct mem_upload *upload)
{
    struct mem_upload **at = &bucket->uploads;

    while (*at != upload)
        at = &(*at)->next;
    *at = upload->next;
    upload_free(upload);
}

struct mem_object *mem_upload_part(const struct mem_upload *upload, unsigned number)
{
    for (const struct mem_part *part = upload->parts; part; part = part->next)
        if (part->number == number)
            return part->object;
    return NULL;
}

int mem_upload_put_part(struct mem_upload *upload, unsigned number, struct mem_object *object)
{
    struct mem_part **at = &upload->parts;
    struct mem_part *part;

    while (*at && (*at)->number < number)
        at = &(*at)->next;
    if (*at && (*at)->number == number) {
        mem_object_unref((*at)->object);
        (*at)->object = object;
        return 0;
    }
    part = malloc(sizeof *part);
    if (!part)
        return -ENOMEM;
    *part = (struct mem_part){.next = *at, .number = number, .object = object};
    *at = part;
    return 0;
}

void mem_bucket_free(struct mem_bucket *bucket)
{
    for (size_t i = 0; i < bucket->count; i++)
        mem_object_unref(bucket->objects[i]);
    while (bucket->uploads)
        mem_bucket_remove_upload(bucket, bucket->uploads);
    free(bucket->objects);
    free(bucket);
}
