/* A store in memory, for tests: buckets, objects, conditions, copies; everything ends within
 * submit.
 *
 * As strict as a good S3 server: buckets must exist, conditions hold on put, delete, complete
 * and on the source of a copy, checksums are verified. Parts have no least size, so that tests
 * stay small. ETags are random: two puts of the same bytes differ.
 *
 * One mutex guards the index; it is never held during a callback. Objects are immutable and
 * counted, so GET copies from them without the mutex. Deliberately absent: versions, owners, a
 * size limit.
 */
#include "store/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "store/internal.h"
#include "store/mem_index.h"

static struct mem_store *mem_store_of(const struct store_request *request)
{
    return (struct mem_store *)request->store;
}

struct mem_bucket *mem_find_bucket(const struct mem_store *store, const char *name,
                                   struct error *err)
{
    struct mem_bucket *bucket = store->buckets;

    while (bucket && strcmp(bucket->name, name) != 0)
        bucket = bucket->next;
    if (!bucket)
        error_set(err, ERROR_NO_BUCKET, "there is no bucket of that name");
    return bucket;
}

int mem_check_conditions(const struct mem_bucket *bucket, const struct store_request *request,
                         struct error *err)
{
    const struct mem_object *object = mem_bucket_get(bucket, request->key);

    if (request->if_none_match && object)
        return error_set(err, ERROR_EXISTS, "the object exists already");
    if (request->if_match && !object)
        return error_set(err, ERROR_NOT_FOUND, "there is no object to match");
    if (object && !store_etag_matches(request->if_match, object->attributes.etag))
        return error_set(err, ERROR_CHANGED, "another version is there now");
    return 0;
}

int mem_describe_object(struct mem_object *object, const struct store_request *request,
                        struct error *err)
{
    struct store_object *attributes = &object->attributes;
    const char *type = request->content_type ? request->content_type : "binary/octet-stream";

    if (strlen(type) >= sizeof attributes->content_type)
        return error_set(err, ERROR_TOO_LONG, "the content type is too long");
    memcpy(attributes->content_type, type, strlen(type) + 1);
    if (!request->metadata || request->metadata->length == 0)
        return 0;
    attributes->metadata.data = malloc(request->metadata->length);
    if (!attributes->metadata.data)
        return error_set(err, ERROR_NO_MEMORY, "no memory for metadata");
    memcpy(attributes->metadata.data, request->metadata->data, request->metadata->length);
    attributes->metadata.length = request->metadata->length;
    return store_metadata_set(&attributes->metadata, STORE_TAG_COUNT, NULL);
}

struct mem_object *mem_object_from_body(const struct store_request *request, struct error *err)
{
    struct mem_object *object = mem_object_new(request->key, store_body_length(request));
    unsigned char *at;

    if (!object) {
        error_set(err, ERROR_NO_MEMORY, "no memory for the object");
        return NULL;
    }
    at = object->data;
    for (unsigned i = 0; i < request->body_count; i++) {
        if (request->body[i].iov_len)
            memcpy(at, request->body[i].iov_base, request->body[i].iov_len);
        at += request->body[i].iov_len;
    }
    object->crc32c = crc32c_update(0, object->data, object->attributes.size_bytes);
    if (request->has_body_crc32c && request->body_crc32c != object->crc32c) {
        mem_object_unref(object);
        error_set(err, ERROR_INTEGRITY, "the body does not have the checksum that came with it");
        return NULL;
    }
    return object;
}

/* The attributes as an answer: the metadata copied. */
static int answer_object(struct store_request *request, const struct mem_object *object,
                         struct error *err)
{
    struct store_metadata metadata = {0};

    if (object->attributes.metadata.length) {
        metadata.data = malloc(object->attributes.metadata.length);
        if (!metadata.data)
            return error_set(err, ERROR_NO_MEMORY, "no memory for metadata");
        memcpy(metadata.data, object->attributes.metadata.data, object->attributes.metadata.length);
        metadata.length = object->attributes.metadata.length;
    }
    if (store_metadata_get(&metadata, STORE_TAGS)) {
        store_metadata_set(&metadata, STORE_TAGS, NULL);
        store_metadata_set(&metadata, STORE_TAG_COUNT, "1");
    }
    request->object = object->attributes;
    request->object.metadata = metadata;
    return 0;
}

/* The object a reader means, or NULL with *err. */
static struct mem_object *find_object(const struct mem_store *store, const char *bucket_name,
                                      const char *key, const char *if_match, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, bucket_name, err);
    struct mem_object *object = bucket ? mem_bucket_get(bucket, key) : NULL;

    if (bucket && !object)
        error_set(err, ERROR_NOT_FOUND, "there is no object of that key");
    if (object && !store_etag_matches(if_match, object->attributes.etag)) {
        error_set(err, ERROR_CHANGED, "another version is there now");
        return NULL;
    }
    return object;
}

/* ---- GET ------------------------------------------------------------------------------------ */

static ssize_t get_read_at(const struct inline_source *source, uint64_t offset, void *where,
                           size_t length, struct error *err)
{
    memcpy(where, ((const struct mem_object *)source->object)->data + offset, length);
    return (ssize_t)length;
}

static void get_release(const struct inline_source *source)
{
    mem_object_unref(source->object);
}

static void mem_get(struct mem_store *store, struct store_request *request)
{
    struct error *err = &request->error;
    struct mem_object *object;

    pthread_mutex_lock(&store->lock);
    object = find_object(store, request->bucket, request->key, request->if_match, err);
    if (object)
        mem_object_ref(object);
    pthread_mutex_unlock(&store->lock);
    if (object && answer_object(request, object, err) == 0) {
        inline_body_start(request, &(struct inline_source){.read_at = get_read_at,
                                                           .release = get_release,
                                                           .object = object});
        return;
    }
    mem_object_unref(object);
    store_request_done(request);
}

/* ---- the other object operations: under the lock -------------------------------------------- */

static int mem_head(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_object *object =
        find_object(store, request->bucket, request->key, request->if_match, err);

    return object ? answer_object(request, object, err) : -error_errno(err);
}

static int mem_get_tags(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_object *object = find_object(store, request->bucket, request->key, NULL, err);
    const char *tags;

    if (!object)
        return -error_errno(err);
    tags = store_metadata_get(&object->attributes.metadata, STORE_TAGS);
    if (tags && store_metadata_set(&request->object.metadata, STORE_TAGS, tags) < 0)
        return error_set(err, ERROR_NO_MEMORY, "no memory for tags");
    return 0;
}

/* Inserts an object that is complete, and answers with its ETag. */
static int insert_object(struct mem_bucket *bucket, struct store_request *request,
                         struct mem_object *object, struct error *err)
{
    int r = mem_describe_object(object, request, err);

    if (r == 0 && mem_bucket_put(bucket, object) < 0)
        r = error_set(err, ERROR_NO_MEMORY, "no memory for the index");
    if (r < 0) {
        mem_object_unref(object);
        return r;
    }
    request->object = object->attributes;
    request->object.metadata = (struct store_metadata){0};
    return 0;
}

static int mem_put(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    struct mem_object *object;

    if (!bucket || mem_check_conditions(bucket, request, err) < 0)
        return -error_errno(err);
    object = mem_object_from_body(request, err);
    return object ? insert_object(bucket, request, object, err) : -error_errno(err);
}

/* The source's or the request's; tags have a will of their own. */
static int copied_metadata(const struct store_request *request, const struct store_metadata *source,
                           struct store_metadata *ret_metadata)
{
    const char *tags = request->drop_tags ? NULL : store_metadata_get(source, STORE_TAGS);
    int r = store_metadata_copy(request->metadata ? request->metadata : source, ret_metadata);

    return r < 0 ? r : store_metadata_set(ret_metadata, STORE_TAGS, tags);
}

static int mem_copy(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    struct mem_object *source, *object;
    struct store_request as_source = *request;
    struct store_metadata metadata = {0};
    int r;

    if (!bucket)
        return -error_errno(err);
    source =
        find_object(store, request->source_bucket, request->source_key, request->if_match, err);
    if (!source)
        return -error_errno(err);
    object = mem_object_new(request->key, source->attributes.size_bytes);
    if (!object)
        return error_set(err, ERROR_NO_MEMORY, "no memory for the copy");
    memcpy(object->data, source->data, source->attributes.size_bytes);
    object->crc32c = source->crc32c;
    /* As a store whose ETags come from the content. */
    memcpy(object->attributes.etag, source->attributes.etag, sizeof object->attributes.etag);
    if (!request->metadata)
        as_source.content_type = source->attributes.content_type;
    as_source.metadata = &metadata;
    r = copied_metadata(request, &source->attributes.metadata, &metadata);
    if (r < 0) {
        mem_object_unref(object);
        store_metadata_fini(&metadata);
        return error_set_errno(err, -r, "no memory for the copy");
    }
    r = insert_object(bucket, &as_source, object, err);
    store_metadata_fini(&metadata);
    if (r == 0)
        request->object = as_source.object;
    return r;
}

static int mem_delete(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);

    if (!bucket || mem_check_conditions(bucket, request, err) < 0)
        return -error_errno(err);
    mem_bucket_remove(bucket, request->key);
    return 0;
}

static int mem_delete_many(struct mem_store *store, struct store_request *request,
                           struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);

    if (!bucket)
        return -error_errno(err);
    if (request->key_count > STORE_DELETE_MANY_MAX)
        return error_set(err, ERROR_INVALID, "more than %u keys", STORE_DELETE_MANY_MAX);
    for (unsigned i = 0; i < request->key_count; i++)
        mem_bucket_remove(bucket, request->keys[i]);
    return 0;
}

static int mem_create_bucket(struct mem_store *store, struct store_request *request,
                             struct error *err)
{
    struct mem_bucket **at = &store->buckets;
    struct mem_bucket *bucket;

    if (!request->bucket[0] || strlen(request->bucket) >= sizeof bucket->name)
        return error_set(err, ERROR_INVALID, "bucket names have 1 to 63 characters");
    while (*at && strcmp((*at)->name, request->bucket) < 0)
        at = &(*at)->next;
    if (*at && strcmp((*at)->name, request->bucket) == 0)
        return error_set(err, ERROR_EXISTS, "the bucket exists already");
    bucket = calloc(1, sizeof *bucket);
    if (!bucket)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a bucket");
    memcpy(bucket->name, request->bucket, strlen(request->bucket) + 1);
    bucket->next = *at;
    *at = bucket;
    return 0;
}

static int mem_delete_bucket(struct mem_store *store, struct store_request *request,
                             struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    struct mem_bucket **at = &store->buckets;

    if (!bucket)
        return -error_errno(err);
    if (bucket->count || bucket->uploads)
        return error_set(err, ERROR_NOT_EMPTY, "the bucket is not empty");
    while (*at != bucket)
        at = &(*at)->next;
    *at = bucket->next;
    mem_bucket_free(bucket);
    return 0;
}

/* ---- the vtable ----------------------------------------------------------------------------- */

typedef int mem_operation_fn(struct mem_store *store, struct store_request *request,
                             struct error *err);

static mem_operation_fn *const mem_operations[STORE_OPERATION_COUNT] = {
    [STORE_HEAD] = mem_head,
    [STORE_PUT] = mem_put,
    [STORE_DELETE] = mem_delete,
    [STORE_DELETE_MANY] = mem_delete_many,
    [STORE_COPY] = mem_copy,
    [STORE_LIST] = mem_list,
    [STORE_LIST_BUCKETS] = mem_list_buckets,
    [STORE_CREATE_BUCKET] = mem_create_bucket,
    [STORE_DELETE_BUCKET] = mem_delete_bucket,
    [STORE_UPLOAD_CREATE] = mem_upload_create,
    [STORE_UPLOAD_PART] = mem_upload_add,
    [STORE_UPLOAD_PART_COPY] = mem_upload_copy,
    [STORE_UPLOAD_COMPLETE] = mem_upload_complete,
    [STORE_UPLOAD_ABORT] = mem_upload_abort,
    [STORE_GET_TAGS] = mem_get_tags,
    [STORE_UPLOAD_LIST] = mem_upload_list,
};

static void mem_submit(struct store_request *request)
{
    struct mem_store *store = mem_store_of(request);

    pthread_mutex_lock(&store->lock);
    store->counts[request->operation]++;
    if (request->operation != STORE_GET)
        mem_operations[request->operation](store, request, &request->error);
    pthread_mutex_unlock(&store->lock);
    if (request->operation == STORE_GET)
        mem_get(store, request);
    else
        store_request_done(request);
}

static int mem_open(const struct options *options, struct store **ret_store, struct error *err)
{
    struct mem_store *store = calloc(1, sizeof *store);

    (void)options;
    if (!store)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a store");
    store->base = (struct store){.ops = &store_mem_ops, .capabilities = store_mem_ops.capabilities};
    store->pid = getpid();
    pthread_mutex_init(&store->lock, NULL);
    *ret_store = &store->base;
    return 0;
}

static void mem_close(struct store *base)
{
    struct mem_store *store = (struct mem_store *)base;

    while (store->buckets) {
        struct mem_bucket *bucket = store->buckets;

        store->buckets = bucket->next;
        mem_bucket_free(bucket);
    }
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static void mem_describe(struct store *store, struct store_description *ret_description)
{
    const struct mem_store *mem = (const struct mem_store *)store;

    *ret_description = (struct store_description){.credential_source = "none", .tls = "none"};
    snprintf(ret_description->endpoint, sizeof ret_description->endpoint, "memory of process %ld",
             (long)mem->pid);
}

void mem_store_counts(struct store *store, uint64_t ret_counts[STORE_OPERATION_COUNT])
{
    struct mem_store *mem = (struct mem_store *)store;

    pthread_mutex_lock(&mem->lock);
    memcpy(ret_counts, mem->counts, sizeof mem->counts);
    pthread_mutex_unlock(&mem->lock);
}

const struct store_ops store_mem_ops = {
    .scheme = "mem",
    .capabilities = STORE_CAP_IF_NONE_MATCH | STORE_CAP_IF_MATCH_PUT | STORE_CAP_PART_COPY |
                    STORE_CAP_COPY | STORE_CAP_DELETE_MANY | STORE_CAP_LIST_ORDERED |
                    STORE_CAP_METADATA | STORE_CAP_INLINE,
    .open = mem_open,
    .close = mem_close,
    .submit = mem_submit,
    .resume = inline_body_resume,
    .abandon = inline_body_abandon,
    .describe = mem_describe,
};
