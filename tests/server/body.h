/*
 * What an object contains: a list of segments, each a slice of a reference-counted block of memory
 * or a stretch of the pattern (pattern.h).
 *
 * Bodies are immutable once made, so any number of requests read one without a lock while an
 * overwritten object lives until its last reader is done. Copies and completed multipart uploads
 * share blocks with what they were made from; nothing is copied.
 */
#ifndef TESTS_SERVER_BODY_H
#define TESTS_SERVER_BODY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct store;

struct block {
    atomic_uint references;
    struct store *store; /* whose block_free ends it */
    uint8_t *base;
    uint64_t size;
    uint64_t id; /* the file's number in a directory store; 0 in memory */
    bool saved;  /* the file has the bytes */
};

struct segment {
    struct block *block; /* NULL: the pattern */
    uint64_t offset;     /* in the block, or position in the pattern */
    uint64_t length;
};

struct body {
    uint64_t size;
    size_t count;
    struct segment *segments; /* malloc'd; NULL when empty */
};

void body_startup(void); /* fills the pattern; once, before any thread */

void block_unref(struct block *block);

/* The four constructors take their own references and return 0 or -ENOMEM. */
int body_from_block(struct block *block, uint64_t length, struct body *ret_body);
int body_from_pattern(uint64_t position, uint64_t length, struct body *ret_body);
int body_slice(const struct body *body, uint64_t start, uint64_t length, struct body *ret_body);
int body_append(struct body *body, const struct body *more);
void body_fini(struct body *body);

/* The longest contiguous piece at offset; answers its length, at most max (0 at the end). */
size_t body_piece(const struct body *body, uint64_t offset, uint64_t max, const uint8_t **ret_data);
/* How many pieces the range has, and the pieces themselves. */
size_t body_pieces(const struct body *body, uint64_t start, uint64_t length, struct iovec *iov,
                   size_t iov_count);

#endif
