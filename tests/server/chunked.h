/*
 * The aws-chunked encoding of uploads: chunks with optional signatures, then an optional trailer.
 *
 *   HEX-SIZE[;chunk-signature=HEX]CRLF data CRLF ... 0[;chunk-signature=...]CRLF
 *   [name:value CRLF ... [x-amz-trailer-signature:HEX CRLF]] CRLF
 *
 * A decoder belongs to one request.
 */
#ifndef TESTS_SERVER_CHUNKED_H
#define TESTS_SERVER_CHUNKED_H

#include "errors.h"
#include "headers.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chunked_stage {
    CHUNKED_HEADER,
    CHUNKED_DATA,
    CHUNKED_DATA_END,
    CHUNKED_TRAILER,
    CHUNKED_DONE,
};

enum {
    CHUNKED_LINE_BYTES = 1024,
};

/* What signs chunks: kept from the request's own signature. */
struct chunked_signer {
    uint8_t key[32];
    char date[20];     /* YYYYMMDDTHHMMSSZ */
    char scope[96];    /* DATE/REGION/s3/aws4_request */
    char previous[65]; /* signature of the request, then of each chunk */
};

struct chunked {
    bool is_signed, has_trailer;
    enum chunked_stage stage;
    char line[CHUNKED_LINE_BYTES];
    size_t line_length;
    uint64_t left;      /* of the chunk */
    char signature[65]; /* the chunk's, as sent */
    EVP_MD_CTX *hash;   /* of the chunk, when signed */
    struct headers trailer;
    struct chunked_signer signer;
};

typedef void chunked_sink(void *context, const uint8_t *data, size_t length);

bool chunked_init(struct chunked *chunked, bool is_signed, bool has_trailer,
                  const struct chunked_signer *signer);
void chunked_fini(struct chunked *chunked);
/* Decodes; content goes to sink. IncompleteBody for a broken encoding, SignatureDoesNotMatch. */
enum s3_error chunked_feed(struct chunked *chunked, const char *data, size_t length,
                           chunked_sink *sink, void *context);
bool chunked_done(const struct chunked *chunked);

#endif
