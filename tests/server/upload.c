/*
 * The bookkeeping of multipart uploads; see upload.h. What requests do with them is multipart.c.
 */
#include "upload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMPLETED_KEPT = 256, /* per bucket */
};

struct upload *upload_new(const char *key)
{
    struct upload *upload = calloc(1, sizeof(*upload));
    if (!upload)
        return NULL;
    upload->key = strdup(key);
    if (!upload->key) {
        free(upload);
        return NULL;
    }
    return upload;
}

static void free_parts(struct upload *upload)
{
    for (size_t i = 0; i < upload->count; i++)
        body_fini(&upload->parts[i].body);
    free(upload->parts);
    upload->parts = NULL;
    upload->count = 0;
}

void upload_free(struct upload *upload)
{
    if (!upload)
        return;
    free_parts(upload);
    headers_fini(&upload->headers);
    free(upload->key);
    free(upload);
}

void upload_free_all(struct bucket *bucket)
{
    while (bucket->uploads)
        upload_remove(bucket, bucket->uploads);
}

void upload_insert(struct bucket *bucket, struct upload *upload)
{
    struct upload **at = &bucket->uploads;
    while (*at && strcmp((*at)->key, upload->key) <= 0)
        at = &(*at)->next;
    upload->next = *at;
    *at = upload;
}

struct upload *upload_find(struct bucket *bucket, const char *id, const char *key)
{
    for (struct upload *upload = bucket->uploads; upload; upload = upload->next)
        if (!strcmp(upload->id, id) && !strcmp(upload->key, key))
            return upload;
    return NULL;
}

enum s3_error upload_find_open(struct bucket *bucket, const char *id, const char *key,
                               struct upload **ret_upload)
{
    struct upload *upload = bucket ? upload_find(bucket, id, key) : NULL;
    if (!bucket)
        return S3_NoSuchBucket;
    if (!upload || upload->completed)
        return S3_NoSuchUpload;
    *ret_upload = upload;
    return S3_OK;
}

void upload_remove(struct bucket *bucket, struct upload *upload)
{
    struct upload **at = &bucket->uploads;
    while (*at != upload)
        at = &(*at)->next;
    *at = upload->next;
    upload_free(upload);
}

void upload_mark_completed(struct bucket *bucket, struct upload *upload, const char *etag)
{
    free_parts(upload);
    upload->completed = true;
    memcpy(upload->etag, etag, sizeof(upload->etag));
    size_t completed = 0;
    struct upload *oldest = NULL;
    for (struct upload *each = bucket->uploads; each; each = each->next) {
        if (!each->completed || each == upload)
            continue;
        completed++;
        if (!oldest || each->started < oldest->started)
            oldest = each;
    }
    if (completed >= COMPLETED_KEPT)
        upload_remove(bucket, oldest);
}

/* Index of the first part whose number is not below the given one. */
static size_t lower_bound(const struct upload *upload, unsigned number)
{
    size_t low = 0, high = upload->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (upload->parts[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct part *upload_part(const struct upload *upload, unsigned number)
{
    size_t at = lower_bound(upload, number);
    return at < upload->count && upload->parts[at].number == number ? &upload->parts[at] : NULL;
}

static int upload_set_part(struct upload *upload, const struct part *part)
{
    size_t at = lower_bound(upload, part->number);
    if (at < upload->count && upload->parts[at].number == part->number) {
        body_fini(&upload->parts[at].body);
        upload->parts[at] = *part;
        return 0;
    }
    if ((upload->count & (upload->count + 1)) == 0) {
        size_t capacity = upload->count * 2 + 1; /* counts 0, 1, 3, 7 … are full */
        struct part *parts = realloc(upload->parts, capacity * sizeof(*parts));
        if (!parts)
            return -ENOMEM;
        upload->parts = parts;
    }
    memmove(&upload->parts[at + 1], &upload->parts[at],
            (upload->count - at) * sizeof(upload->parts[0]));
    upload->parts[at] = *part;
    upload->count++;
    return 0;
}

enum s3_error upload_put_part(struct store *store, const char *bucket_name, const char *id,
                              const char *key, const struct part *part)
{
    struct upload *upload;
    enum s3_error error = upload_find_open(store_bucket(store, bucket_name), id, key, &upload);
    if (error)
        return error;
    return upload_set_part(upload, part) ? S3_InternalError : S3_OK;
}

enum s3_error upload_wanted_checksum(struct store *store, const char *bucket_name, const char *id,
                                     const char *key, enum checksum_kind *ret_kind)
{
    struct upload *upload;
    store_read_lock(store);
    enum s3_error error = upload_find_open(store_bucket(store, bucket_name), id, key, &upload);
    if (!error)
        *ret_kind = upload->checksum_kind;
    store_unlock(store);
    return error;
}
