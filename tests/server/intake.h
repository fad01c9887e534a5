/*
 * The body of a request on its way in: decoded, checked against what the client declared, and kept
 * in a block or as text.
 *
 * Every declared check is made for real: x-amz-content-sha256, Content-MD5, x-amz-checksum-* in a
 * header or trailer, chunk signatures, lengths. Only what was declared, or what the ETag or an
 * upload's checksum needs, is computed.
 */
#ifndef TESTS_SERVER_INTAKE_H
#define TESTS_SERVER_INTAKE_H

#include "body.h"
#include "buf.h"
#include "checksum.h"
#include "chunked.h"
#include "errors.h"

#include <stdbool.h>
#include <stdint.h>

struct request;

enum intake_kind {
    INTAKE_NONE, /* a body, if any, is received and forgotten */
    INTAKE_TEXT, /* kept as text, for XML */
    INTAKE_LIST, /* the same, but checksum headers speak of an object, not of this body */
    INTAKE_DATA, /* the content of an object or part */
};

enum {
    INTAKE_TEXT_MAX_BYTES = 8 << 20,
};

struct intake {
    enum intake_kind kind;
    uint64_t wire_bytes;                     /* received, encoding included */
    uint64_t expected_bytes, received_bytes; /* decoded */
    struct block *block;                     /* DATA, unless empty or discarded */
    struct buf text;
    bool is_chunked;
    struct chunked chunked;
    bool check_payload, check_md5, want_md5;
    uint8_t declared_md5[16];
    struct checksum payload, md5, sum; /* sum: of kind sum.kind, declared or wanted */
    bool check_sum;                    /* declared_sum is there to be compared */
    bool sum_in_trailer;               /* ... once the trailer came */
    uint8_t declared_sum[CHECKSUM_MAX_BYTES];
    uint8_t md5_value[16], sum_value[CHECKSUM_MAX_BYTES]; /* after intake_end */
    enum s3_error error; /* the first thing that went wrong; the rest is only received */
};

/* Looks at the headers; `wanted` is a checksum to compute even if none is declared, or NONE. */
enum s3_error intake_begin(struct request *request, enum intake_kind kind,
                           enum checksum_kind wanted, bool want_md5);
void intake_feed(struct request *request, const char *data, size_t length);
/* Everything arrived: compares. */
enum s3_error intake_end(struct request *request);
void intake_fini(struct intake *intake);
/* The content as a body, a reference of its own; discarded content is the pattern. */
enum s3_error intake_body(struct request *request, uint64_t pattern_position,
                          struct body *ret_body);

#endif
