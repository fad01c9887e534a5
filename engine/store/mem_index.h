/* Buckets, objects and uploads of the in-memory store; the operations on requests are in mem.c,
 * mem_list.c and mem_multipart.c.
 *
 * Objects are immutable once they are in a bucket and counted by references, so that a reader goes
 * on with the version it has. Everything else is under the store's mutex, which the caller holds.
 */
#ifndef S3DLIO_STORE_MEM_INDEX_H
#define S3DLIO_STORE_MEM_INDEX_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/store.h"

struct mem_object {
    atomic_uint references;
    struct store_object attributes; /* its metadata is the object's own */
    unsigned char *data;
    uint32_t crc32c;
    char key[];
};

struct mem_part {
    struct mem_part *next; /* by number */
    unsigned number;
    struct mem_object *object;
};

struct mem_upload {
    struct mem_upload *next;  /* by key, then age */
    struct mem_object *draft; /* key, content type, metadata; no data */
    struct mem_part *parts;
    bool crc32c;
    char id[33];
};

struct mem_bucket {
    struct mem_bucket *next;     /* by name */
    struct mem_object **objects; /* by key, bytewise */
    size_t count, capacity;
    struct mem_upload *uploads;
    char name[64];
};

/* One reference, uninitialised data, a new ETag, the time of now; NULL: no memory. */
struct mem_object *mem_object_new(const char *key, uint64_t size_bytes);
struct mem_object *mem_object_ref(struct mem_object *object);
void mem_object_unref(struct mem_object *object); /* NULL is fine */

/* Where the key is, or would be. True when it is there. */
bool mem_bucket_seek(const struct mem_bucket *bucket, const char *key, size_t *ret_index);
struct mem_object *mem_bucket_get(const struct mem_bucket *bucket, const char *key); /* or NULL */
/* Takes over the caller's reference on success: 0 or -ENOMEM. */
int mem_bucket_put(struct mem_bucket *bucket, struct mem_object *object);
void mem_bucket_remove(struct mem_bucket *bucket, const char *key);

struct mem_upload *mem_bucket_upload(const struct mem_bucket *bucket, const char *key,
                                     const char *id); /* or NULL */
void mem_bucket_add_upload(struct mem_bucket *bucket, struct mem_upload *upload);
void mem_bucket_remove_upload(struct mem_bucket *bucket, struct mem_upload *upload);
struct mem_object *mem_upload_part(const struct mem_upload *upload, unsigned number); /* or NULL */
/* Replaces a part of the same number; takes over the reference on success. 0 or -ENOMEM. */
int mem_upload_put_part(struct mem_upload *upload, unsigned number, struct mem_object *object);

/* Frees the bucket and all in it. */
void mem_bucket_free(struct mem_bucket *bucket);

/* ---- the store and its operations ----------------------------------------------------------- */

struct mem_store {
    struct store base;
    pid_t pid;            /* whose memory it is: part of its name, forked children keep it */
    pthread_mutex_t lock; /* everything below; never held during a callback */
    struct mem_bucket *buckets;
    uint64_t counts[STORE_OPERATION_COUNT];
};

/* The bucket of the request, or NULL with *err. */
struct mem_bucket *mem_find_bucket(const struct mem_store *store, const char *name,
                                   struct error *err);
/* May the request put this key? 0, or -errno with *err. */
int mem_check_conditions(const struct mem_bucket *bucket, const struct store_request *request,
                         struct error *err);
/* Content type and metadata of the request become the object's. 0 or -errno with *err. */
int mem_describe_object(struct mem_object *object, const struct store_request *request,
                        struct error *err);
/* An object with the body of the request, its checksum verified; or NULL with *err. */
struct mem_object *mem_object_from_body(const struct store_request *request, struct error *err);

/* Operations: under the lock, 0 or -errno with *err, the answer in the request. */
int mem_list(struct mem_store *store, struct store_request *request, struct error *err);
int mem_list_buckets(struct mem_store *store, struct store_request *request, struct error *err);
int mem_upload_create(struct mem_store *store, struct store_request *request, struct error *err);
int mem_upload_add(struct mem_store *store, struct store_request *request, struct error *err);
int mem_upload_copy(struct mem_store *store, struct store_request *request, struct error *err);
int mem_upload_complete(struct mem_store *store, struct store_request *request, struct error *err);
int mem_upload_abort(struct mem_store *store, struct store_request *request, struct error *err);
int mem_upload_list(struct mem_store *store, struct store_request *request, struct error *err);

#endif
