/* Multipart uploads of the in-memory store. See mem_index.h for the locking.
 *
 * A part is an object of its own until complete joins the chosen ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/random.h"
#include "store/internal.h"
#include "store/mem_index.h"

/* The upload that the request names, its bucket beside it; or NULL with *err. */
static struct mem_upload *find_upload(const struct mem_store *store,
                                      const struct store_request *request,
                                      struct mem_bucket **ret_bucket, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    struct mem_upload *upload =
        bucket ? mem_bucket_upload(bucket, request->key, request->upload_id) : NULL;

    if (bucket && !upload) {
        error_set(err, ERROR_NOT_FOUND, "there is no such upload");
        snprintf(err->code, sizeof err->code, "NoSuchUpload");
    }
    if (upload)
        *ret_bucket = bucket;
    return upload;
}

int mem_upload_create(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    struct mem_upload *upload;

    if (!bucket)
        return -error_errno(err);
    upload = calloc(1, sizeof *upload);
    if (upload)
        upload->draft = mem_object_new(request->key, 0);
    if (!upload || !upload->draft) {
        free(upload);
        return error_set(err, ERROR_NO_MEMORY, "no memory for an upload");
    }
    upload->crc32c = request->upload_crc32c;
    random_hex(upload->id, sizeof upload->id - 1);
    mem_bucket_add_upload(bucket, upload);
    if (mem_describe_object(upload->draft, request, err) < 0) {
        mem_bucket_remove_upload(bucket, upload);
        return -error_errno(err);
    }
    strcpy(request->returned_upload_id, upload->id);
    return 0;
}

/* Puts a finished part into its upload and answers with it. */
static int add_part(struct mem_upload *upload, struct store_request *request,
                    struct mem_object *object, struct error *err)
{
    int r = 0;

    if (request->part_number < 1 || request->part_number > STORE_PARTS_MAX)
        r = error_set(err, ERROR_INVALID, "parts have numbers from 1 to %d", STORE_PARTS_MAX);
    else if (mem_upload_put_part(upload, request->part_number, object) < 0)
        r = error_set(err, ERROR_NO_MEMORY, "no memory for a part");
    if (r < 0) {
        mem_object_unref(object);
        return r;
    }
    request->part = (struct store_part){
        .number = request->part_number,
        .size_bytes = object->attributes.size_bytes,
        .crc32c = object->crc32c,
        .has_crc32c = upload->crc32c,
    };
    memcpy(request->part.etag, object->attributes.etag, sizeof request->part.etag);
    return 0;
}

int mem_upload_add(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket;
    struct mem_upload *upload = find_upload(store, request, &bucket, err);
    struct mem_object *object;

    if (!upload)
        return -error_errno(err);
    object = mem_object_from_body(request, err);
    return object ? add_part(upload, request, object, err) : -error_errno(err);
}

int mem_upload_copy(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket, *source_bucket;
    struct mem_upload *upload = find_upload(store, request, &bucket, err);
    struct mem_object *source, *object;
    uint64_t offset, length;

    if (!upload || !(source_bucket = mem_find_bucket(store, request->source_bucket, err)))
        return -error_errno(err);
    source = mem_bucket_get(source_bucket, request->source_key);
    if (!source)
        return error_set(err, ERROR_NOT_FOUND, "there is no object to copy from");
    if (!store_etag_matches(request->if_match, source->attributes.etag))
        return error_set(err, ERROR_CHANGED, "another version is there now");
    if (store_range_clip(request, source->attributes.size_bytes, &offset, &length, err) < 0)
        return -error_errno(err);
    if (request->length && length < request->length)
        return error_set(err, ERROR_RANGE, "the range ends behind the object");
    object = mem_object_new(request->key, length);
    if (!object)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a part");
    memcpy(object->data, source->data + offset, length);
    object->crc32c = crc32c_update(0, object->data, length);
    return add_part(upload, request, object, err);
}

/* Are the chosen parts there, ascending, with these ETags and checksums? Their sum in *ret_size. */
static int check_parts(const struct mem_upload *upload, const struct store_request *request,
                       uint64_t *ret_size, struct error *err)
{
    uint64_t size = 0;
    unsigned last = 0;

    if (request->part_count == 0)
        return error_set(err, ERROR_INVALID, "an upload needs at least one part");
    for (unsigned i = 0; i < request->part_count; i++) {
        const struct store_part *part = &request->parts[i];
        const struct mem_object *object = mem_upload_part(upload, part->number);

        if (part->number <= last)
            return error_set(err, ERROR_INVALID, "the parts are not in ascending order");
        if (!object || strcmp(object->attributes.etag, part->etag) != 0)
            return error_set(err, ERROR_INVALID, "part %u was not uploaded", part->number);
        if (request->upload_crc32c && (!part->has_crc32c || part->crc32c != object->crc32c))
            return error_set(err, ERROR_INTEGRITY, "part %u has another checksum", part->number);
        last = part->number;
        size += object->attributes.size_bytes;
    }
    *ret_size = size;
    return 0;
}

/* One object of all chosen parts, attributes from the draft; or NULL with *err. */
static struct mem_object *join_parts(const struct mem_upload *upload,
                                     const struct store_request *request, uint64_t size,
                                     struct error *err)
{
    struct mem_object *object = mem_object_new(request->key, size);
    unsigned char *at;

    if (!object) {
        error_set(err, ERROR_NO_MEMORY, "no memory for the object");
        return NULL;
    }
    at = object->data;
    for (unsigned i = 0; i < request->part_count; i++) {
        const struct mem_object *part = mem_upload_part(upload, request->parts[i].number);

        memcpy(at, part->data, part->attributes.size_bytes);
        at += part->attributes.size_bytes;
    }
    object->crc32c = crc32c_update(0, object->data, size);
    if (request->upload_crc32c && object->crc32c != request->total_crc32c) {
        mem_object_unref(object);
        error_set(err, ERROR_INTEGRITY, "the parts together have another checksum");
        return NULL;
    }
    memcpy(object->attributes.content_type, upload->draft->attributes.content_type,
           sizeof object->attributes.content_type);
    object->attributes.metadata = upload->draft->attributes.metadata;
    return object;
}

int mem_upload_complete(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket;
    struct mem_upload *upload = find_upload(store, request, &bucket, err);
    struct mem_object *object;
    uint64_t size = 0;

    if (!upload || mem_check_conditions(bucket, request, err) < 0 ||
        check_parts(upload, request, &size, err) < 0)
        return -error_errno(err);
    object = join_parts(upload, request, size, err);
    if (!object)
        return -error_errno(err);
    if (mem_bucket_put(bucket, object) < 0) {
        object->attributes.metadata = (struct store_metadata){0};
        mem_object_unref(object);
        return error_set(err, ERROR_NO_MEMORY, "no memory for the index");
    }
    upload->draft->attributes.metadata = (struct store_metadata){0};
    mem_bucket_remove_upload(bucket, upload);
    request->object = object->attributes;
    request->object.metadata = (struct store_metadata){0};
    return 0;
}

int mem_upload_abort(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket;
    struct mem_upload *upload = find_upload(store, request, &bucket, err);

    if (!upload)
        return -error_errno(err);
    mem_bucket_remove_upload(bucket, upload);
    return 0;
}

int mem_upload_list(struct mem_store *store, struct store_request *request, struct error *err)
{
    struct mem_bucket *bucket = mem_find_bucket(store, request->bucket, err);
    const char *prefix = request->prefix ? request->prefix : "";
    struct store_page_builder *builder;
    int r = 0;

    if (!bucket)
        return -error_errno(err);
    builder = store_page_builder_new();
    if (!builder)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
    for (const struct mem_upload *u = bucket->uploads; u && r == 0; u = u->next) {
        struct store_entry entry = {.key = u->draft->key, .mtime = u->draft->attributes.mtime};

        if (strncmp(entry.key, prefix, strlen(prefix)) == 0)
            r = store_page_builder_add_upload(builder, &entry, u->id);
    }
    if (r == 0)
        request->page = store_page_builder_finish(builder, NULL);
    else
        store_page_builder_free(builder);
    return request->page ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
}
