/*
 * What is stored with an object beside its bytes: headers, tags, ETag, checksum; taken from
 * requests and given back in answers.
 */
#ifndef TESTS_SERVER_ATTRIBUTES_H
#define TESTS_SERVER_ATTRIBUTES_H

#include "errors.h"
#include "headers.h"
#include "store.h"

#include <stdbool.h>

struct request;
struct server;

/* The storable headers of a request. MetadataTooLarge, InternalError. */
enum s3_error attributes_read(struct request *request, struct headers *ret_headers);
/* The tags become those among the other headers (NULL: none). 0 or -ENOMEM. */
int attributes_take_tags(const struct headers *from, struct headers *headers);
/* Last-Modified, ETag, the stored headers, and the checksum when asked for. */
void attributes_answer(struct request *request, const struct object *object, bool with_checksum);
void attributes_answer_checksum(struct request *request, enum checksum_kind kind,
                                const uint8_t *value, unsigned parts);

/* A new opaque ETag; with --etag md5, the MD5 given, in hex. parts > 0 appends -PARTS. */
void attributes_etag(struct server *server, const uint8_t md5[16], unsigned parts,
                     char out[STORE_ETAG_BYTES]);
/* An id no other run of the server gives: two words in hex. */
void attributes_new_id(struct server *server, char out[33]);

/* The conditions of a read, by whatever headers they came. */
struct attributes_conditions {
    const char *if_match, *if_none_match, *if_modified_since, *if_unmodified_since;
};
/* 0, PreconditionFailed or NotModified. */
enum s3_error attributes_check(const struct attributes_conditions *conditions,
                               const struct object *object);

#endif
