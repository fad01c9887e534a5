/* What the stores share and nobody above sees. */
#ifndef S3DLIO_STORE_INTERNAL_H
#define S3DLIO_STORE_INTERNAL_H

#include "store/store.h"

/* One row of store.c each. */
extern const struct store_ops store_s3_ops;
extern const struct store_ops store_mem_ops;
extern const struct store_ops store_file_ops;
extern const struct store_ops store_fault_ops;

/* Ends the request: names operation and URI in its error if there is one, then calls on_done. The
 * store has freed what is its own before. */
void store_request_done(struct store_request *request);

/* The range that a request means in a whole of `size_bytes`: 0, or ERROR_RANGE when it begins at or
 * behind the end (a length of 0 from offset 0 is the whole, which may be empty). */
int store_range_clip(const struct store_request *request, uint64_t size_bytes, uint64_t *ret_offset,
                     uint64_t *ret_length, struct error *err);

/* Does the ETag satisfy an If-Match of the request? NULL and "*" accept all. */
bool store_etag_matches(const char *if_match, const char *etag);

/* The checksum and the length of a request's body. */
uint32_t store_body_crc32c(const struct store_request *request);
uint64_t store_body_length(const struct store_request *request);

/* What a builder holds so far: entries in *ret_entries, their keys in its memory; the count may
 * be made less after moving entries, and keys changed where they lie as long as they do not
 * grow. */
size_t *store_page_builder_entries(struct store_page_builder *builder,
                                   struct store_entry **ret_entries);

/* ---- GET bodies of stores that have the bytes at hand --------------------------------------- */

/* Where the bytes are: an object in memory, or a file. */
struct inline_source {
    /* Bytes put there, or -errno with *err; 0 when the source ends early. */
    ssize_t (*read_at)(const struct inline_source *source, uint64_t offset, void *where,
                       size_t length, struct error *err);
    /* The last word when all bytes came, before the end is told: 0, or -errno with *err. May be
     * NULL. */
    int (*check)(const struct inline_source *source, const struct store_request *request,
                 struct error *err);
    void (*release)(const struct inline_source *source);
    void *object;
    int fd;
};

/* The body of a GET whose request->object is filled: tells the object, then moves the range into
 * the request's sink until it is complete or the sink pauses, and ends the request; a range that is
 * not there ends it at once. Releases the source exactly once: at the end, on failure, or when
 * abandoned (which may happen inside a callback of the sink). Under the shard's lock. */
void inline_body_start(struct store_request *request, const struct inline_source *source);
/* store_ops.resume and .abandon. */
void inline_body_resume(struct store_request *request);
void inline_body_abandon(struct store_request *request);

#endif
