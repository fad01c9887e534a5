/*
 * Buckets and objects: the index in memory, the bytes wherever the store keeps them.
 *
 * A store is a small table of functions (memory.c, directory.c) that makes and ends blocks and
 * writes down what must survive; everything else is the same for all.
 *
 * Locking: one read-write lock per store covers the bucket list, every index, every upload and its
 * parts. Objects are immutable once inserted and reference-counted: whoever holds a reference reads
 * without the lock. The functions named store_* take the lock themselves, except where they say so.
 * Errors of the S3 kind are returned as enum s3_error; out-parameters are untouched on failure.
 */
#ifndef TESTS_SERVER_STORE_H
#define TESTS_SERVER_STORE_H

#include "body.h"
#include "checksum.h"
#include "errors.h"
#include "headers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct index;
struct upload;

enum {
    STORE_ETAG_BYTES = 48,
    STORE_KEY_MAX_BYTES = 1024,
    STORE_BUCKET_BYTES = 64,
    STORE_REGION_BYTES = 32,
};

struct object {
    atomic_uint references;
    uint32_t generation; /* of the key's content, for the pattern */
    struct body body;
    struct headers headers; /* content-type, x-amz-meta-* …, lower case */
    time_t modified;
    enum checksum_kind checksum_kind;
    unsigned checksum_parts; /* > 0: a checksum of checksums of that many parts */
    uint8_t checksum[CHECKSUM_MAX_BYTES];
    char etag[STORE_ETAG_BYTES]; /* without quotes */
    char key[];
};

struct bucket {
    struct bucket *next; /* by name */
    struct index *objects;
    struct upload *uploads; /* upload.h */
    time_t created;
    char name[STORE_BUCKET_BYTES];
    char region[STORE_REGION_BYTES];
};

struct store_ops {
    const char *name;
    /* Loads what is there; called once, before any thread. 0 or -errno. */
    int (*open)(struct store *store, const char *path);
    void (*close)(struct store *store);
    /* A block of exactly that many writable bytes (> 0). Any thread, no lock held. */
    int (*block_new)(struct store *store, uint64_t size, struct block **ret_block);
    void (*block_free)(struct store *store, struct block *block);
    /* These write down a change; called with the store's lock held for writing. 0 or -errno. */
    int (*bucket_saved)(struct store *store, const struct bucket *bucket);
    void (*bucket_removed)(struct store *store, const char *name);
    int (*object_saved)(struct store *store, const char *bucket, const struct object *object);
    void (*object_removed)(struct store *store, const char *bucket, const char *key);
};

extern const struct store_ops STORE_MEMORY;
extern const struct store_ops STORE_DIRECTORY;

struct store {
    const struct store_ops *ops;
    void *private; /* the implementation's */
    pthread_rwlock_t lock;
    struct bucket *buckets;
    bool closing; /* blocks freed from now on keep their files */
};

/* What a writer may demand of the object it replaces; NULL members ask nothing. */
struct store_condition {
    const char *if_match;
    const char *if_none_match;
};

int store_init(struct store *store, const struct store_ops *ops, const char *path);
void store_fini(struct store *store);
void store_reset(struct store *store); /* forgets every object and upload, keeps the buckets */

void store_read_lock(struct store *store);
void store_write_lock(struct store *store);
void store_unlock(struct store *store);

/* A new object with one reference, key and nothing else; NULL without memory. */
struct object *object_new(const char *key);
struct object *object_ref(struct object *object);
void object_unref(struct object *object);

struct bucket *store_bucket(struct store *store, const char *name); /* lock held; or NULL */
enum s3_error store_bucket_create(struct store *store, const char *name, const char *region,
                                  time_t created);
enum s3_error store_bucket_remove(struct store *store, const char *name);
/* False when there is no such bucket. */
bool store_bucket_region(struct store *store, const char *name, char out[STORE_REGION_BYTES]);

/* The caller owns the returned reference. */
enum s3_error store_get(struct store *store, const char *bucket, const char *key,
                        struct object **ret_object);
/* Takes over the caller's reference, also on failure. */
enum s3_error store_put(struct store *store, const char *bucket, struct object *object,
                        const struct store_condition *condition);
/* The same with the write lock held by the caller, who passes the bucket. */
enum s3_error store_put_locked(struct store *store, struct bucket *bucket, struct object *object,
                               const struct store_condition *condition);
enum s3_error store_delete(struct store *store, const char *bucket, const char *key,
                           const char *if_match);

/* Whether a header such as If-Match, a list of quoted tags or *, names this ETag. */
bool store_etag_matches(const char *header, const char *etag);

#endif
