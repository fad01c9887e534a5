/*
 * Multipart uploads in progress, and a memory of those completed.
 *
 * Uploads hang off their bucket and are covered by the store's lock: every function here wants it
 * held (for writing where it changes anything) unless it says otherwise. They live in memory only:
 * a directory store forgets them when the server ends.
 */
#ifndef TESTS_SERVER_UPLOAD_H
#define TESTS_SERVER_UPLOAD_H

#include "store.h"

enum {
    UPLOAD_ID_BYTES = 40,
    UPLOAD_MAX_PARTS = 10000,
};

struct part {
    unsigned number;
    time_t modified;
    struct body body;
    enum checksum_kind checksum_kind; /* of the value below; NONE: none was made */
    uint8_t checksum[CHECKSUM_MAX_BYTES];
    uint8_t md5[16]; /* with --etag md5 */
    char etag[STORE_ETAG_BYTES];
};

struct upload {
    struct upload *next; /* ordered by key, then by start */
    char id[UPLOAD_ID_BYTES];
    char *key;
    time_t started;
    struct headers headers;
    enum checksum_kind checksum_kind;
    bool full_object;            /* x-amz-checksum-type FULL_OBJECT */
    bool completed;              /* kept only so that a repeated complete gets the same answer */
    char etag[STORE_ETAG_BYTES]; /* once completed */
    size_t count;
    struct part *parts; /* by number */
};

struct upload *upload_new(const char *key); /* NULL without memory; no lock needed */
void upload_free(struct upload *upload);
void upload_free_all(struct bucket *bucket);
void upload_insert(struct bucket *bucket, struct upload *upload);
/* The upload of that id and key, completed ones included; or NULL. */
struct upload *upload_find(struct bucket *bucket, const char *id, const char *key);
/* The same for one that is not completed; bucket may be NULL. */
enum s3_error upload_find_open(struct bucket *bucket, const char *id, const char *key,
                               struct upload **ret_upload);
void upload_remove(struct bucket *bucket, struct upload *upload); /* and frees it */
/* Frees the parts, keeps the id; the oldest completed ones are dropped beyond some number. */
void upload_mark_completed(struct bucket *bucket, struct upload *upload, const char *etag);

struct part *upload_part(const struct upload *upload, unsigned number); /* or NULL */
/* Takes over the part's body; a part of the same number is replaced. NoSuchBucket, NoSuchUpload; on
 * failure the body stays the caller's. */
enum s3_error upload_put_part(struct store *store, const char *bucket, const char *id,
                              const char *key, const struct part *part);
/* The kind of checksum its parts must carry; takes the lock itself. NoSuchBucket, NoSuchUpload. */
enum s3_error upload_wanted_checksum(struct store *store, const char *bucket, const char *id,
                                     const char *key, enum checksum_kind *ret_kind);

#endif
