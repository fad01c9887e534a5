/*
 * Buckets, objects and conditional writes over any store; see store.h for the locking.
 */
#include "store.h"

#include "index.h"
#include "upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int store_init(struct store *store, const struct store_ops *ops, const char *path)
{
    *store = (struct store){.ops = ops};
    pthread_rwlock_init(&store->lock, NULL);
    return ops->open(store, path);
}

static void bucket_free(struct bucket *bucket)
{
    upload_free_all(bucket);
    index_free(bucket->objects);
    free(bucket);
}

void store_fini(struct store *store)
{
    store->closing = true;
    while (store->buckets) {
        struct bucket *next = store->buckets->next;
        bucket_free(store->buckets);
        store->buckets = next;
    }
    store->ops->close(store);
    pthread_rwlock_destroy(&store->lock);
}

void store_reset(struct store *store)
{
    store_write_lock(store);
    for (struct bucket *bucket = store->buckets; bucket; bucket = bucket->next) {
        upload_free_all(bucket);
        struct index_node *node;
        while ((node = index_seek(bucket->objects, "", false))) {
            store->ops->object_removed(store, bucket->name, node->object->key);
            struct object *object = object_ref(node->object);
            index_remove(bucket->objects, object->key);
            object_unref(object);
        }
    }
    store_unlock(store);
}

void store_read_lock(struct store *store)
{
    pthread_rwlock_rdlock(&store->lock);
}

void store_write_lock(struct store *store)
{
    pthread_rwlock_wrlock(&store->lock);
}

void store_unlock(struct store *store)
{
    pthread_rwlock_unlock(&store->lock);
}

struct object *object_new(const char *key)
{
    size_t length = strlen(key) + 1;
    struct object *object = calloc(1, sizeof(*object) + length);
    if (!object)
        return NULL;
    atomic_init(&object->references, 1);
    memcpy(object->key, key, length);
    return object;
}

struct object *object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (!object)
        return;
    if (atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1)
        return;
    body_fini(&object->body);
    headers_fini(&object->headers);
    free(object);
}

struct bucket *store_bucket(struct store *store, const char *name)
{
    for (struct bucket *bucket = store->buckets; bucket; bucket = bucket->next)
        if (!strcmp(bucket->name, name))
            return bucket;
    return NULL;
}

static bool bucket_name_ok(const char *name)
{
    size_t length = strlen(name);
    if (length < 3 || length >= STORE_BUCKET_BYTES)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alphanumeric && ((c != '-' && c != '.') || i == 0 || i == length - 1))
            return false;
    }
    return true;
}

enum s3_error store_bucket_create(struct store *store, const char *name, const char *region,
                                  time_t created)
{
    if (!bucket_name_ok(name))
        return S3_InvalidBucketName;
    enum s3_error error = S3_InternalError;
    store_write_lock(store);
    struct bucket *bucket = NULL;
    if (store_bucket(store, name)) {
        error = S3_BucketAlreadyOwnedByYou;
        goto out;
    }
    bucket = calloc(1, sizeof(*bucket));
    if (!bucket || !(bucket->objects = index_new()))
        goto out;
    memcpy(bucket->name, name, strlen(name));
    strncpy(bucket->region, region, sizeof(bucket->region) - 1);
    bucket->created = created;
    if (store->ops->bucket_saved(store, bucket))
        goto out;
    struct bucket **at = &store->buckets;
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    bucket->next = *at;
    *at = bucket;
    bucket = NULL;
    error = S3_OK;
out:
    store_unlock(store);
    if (bucket)
        bucket_free(bucket);
    return error;
}

enum s3_error store_bucket_remove(struct store *store, const char *name)
{
    enum s3_error error = S3_NoSuchBucket;
    store_write_lock(store);
    for (struct bucket **at = &store->buckets; *at; at = &(*at)->next) {
        struct bucket *bucket = *at;
        if (strcmp(bucket->name, name))
            continue;
        error = S3_BucketNotEmpty;
        if (!index_count(bucket->objects)) {
            *at = bucket->next;
            store->ops->bucket_removed(store, name);
            bucket_free(bucket);
            error = S3_OK;
        }
        break;
    }
    store_unlock(store);
    return error;
}

bool store_bucket_region(struct store *store, const char *name, char out[STORE_REGION_BYTES])
{
    store_read_lock(store);
    struct bucket *bucket = store_bucket(store, name);
    if (bucket)
        memcpy(out, bucket->region, STORE_REGION_BYTES);
    store_unlock(store);
    return bucket != NULL;
}

enum s3_error store_get(struct store *store, const char *name, const char *key,
                        struct object **ret_object)
{
    enum s3_error error = S3_NoSuchBucket;
    store_read_lock(store);
    struct bucket *bucket = store_bucket(store, name);
    if (bucket) {
        struct object *object = index_find(bucket->objects, key);
        error = object ? S3_OK : S3_NoSuchKey;
        if (object)
            *ret_object = object_ref(object);
    }
    store_unlock(store);
    return error;
}

bool store_etag_matches(const char *header, const char *etag)
{
    size_t length = strlen(etag);
    while (*header) {
        header += strspn(header, " ,\t");
        if (*header == '*')
            return true;
        if (!strncmp(header, "W/", 2))
            header += 2;
        size_t token = strcspn(header, ",");
        while (token && (header[token - 1] == ' ' || header[token - 1] == '\t'))
            token--;
        const char *tag = header;
        header += token;
        if (token >= 2 && tag[0] == '"' && tag[token - 1] == '"') {
            tag++;
            token -= 2;
        }
        if (token == length && !memcmp(tag, etag, length))
            return true;
    }
    return false;
}

static enum s3_error check_condition(const struct object *old,
                                     const struct store_condition *condition)
{
    if (!condition)
        return S3_OK;
    if (condition->if_match) {
        if (!old)
            return S3_NoSuchKey;
        if (!store_etag_matches(condition->if_match, old->etag))
            return S3_PreconditionFailed;
    }
    if (condition->if_none_match && old && store_etag_matches(condition->if_none_match, old->etag))
        return S3_PreconditionFailed;
    return S3_OK;
}

enum s3_error store_put_locked(struct store *store, struct bucket *bucket, struct object *object,
                               const struct store_condition *condition)
{
    struct object *old = index_find(bucket->objects, object->key);
    enum s3_error error = check_condition(old, condition);
    if (!error && store->ops->object_saved(store, bucket->name, object))
        error = S3_InternalError;
    if (!error && index_insert(bucket->objects, object))
        error = S3_InternalError;
    if (error)
        object_unref(object);
    return error;
}

enum s3_error store_put(struct store *store, const char *name, struct object *object,
                        const struct store_condition *condition)
{
    enum s3_error error = S3_NoSuchBucket;
    store_write_lock(store);
    struct bucket *bucket = store_bucket(store, name);
    if (bucket)
        error = store_put_locked(store, bucket, object, condition);
    else
        object_unref(object);
    store_unlock(store);
    return error;
}

enum s3_error store_delete(struct store *store, const char *name, const char *key,
                           const char *if_match)
{
    enum s3_error error = S3_NoSuchBucket;
    store_write_lock(store);
    struct bucket *bucket = store_bucket(store, name);
    if (bucket) {
        struct object *old = index_find(bucket->objects, key);
        struct store_condition condition = {.if_match = if_match};
        error = check_condition(old, &condition);
        if (!error && old) {
            store->ops->object_removed(store, name, key);
            index_remove(bucket->objects, key);
        }
    }
    store_unlock(store);
    return error;
}
