/* AWS Signature Version 4, header form.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 * Pure functions over memory; any thread. */
#ifndef S3DLIO_HTTP_SIGN_V4_H
#define S3DLIO_HTTP_SIGN_V4_H

#include <stdbool.h>
#include <sys/uio.h>
#include <time.h>

#include "base/buffer.h"

#define SIGN_UNSIGNED_PAYLOAD "UNSIGNED-PAYLOAD"
#define SIGN_EMPTY_SHA256     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sign_header {
    const char *name; /* lower case */
    const char *value;
};

struct sign_v4 {
    const char *method;
    const char *path;                  /* encoded as it goes on the wire, starting with '/' */
    const char *query;                 /* encoded, any order, without '?'; may be "" */
    const struct sign_header *headers; /* signed all; host and x-amz-* among them; any order */
    unsigned header_count;
    const char *payload_hash; /* hex SHA-256, or SIGN_UNSIGNED_PAYLOAD */
    const char *access_key, *secret_key;
    const char *region, *service;
    time_t when;
    bool normalize_path; /* the general rules; never for S3 */
};

/* Appends the value of the Authorization header. 0 or -ENOMEM / -EINVAL. */
int sign_v4_authorization(const struct sign_v4 *request, struct buffer *out);
/* "20261122T075248Z" */
void sign_v4_timestamp(time_t when, char ret_text[17]);
/* Lower-case hex SHA-256 and base64 MD5 (for multi-delete) of memory. */
void sign_sha256_hex(const void *data, unsigned long length, char ret_text[65]);
/* The same of several pieces one after the other. */
void sign_sha256_hex_of(const struct iovec *pieces, unsigned count, char ret_text[65]);
void sign_md5_base64(const void *data, unsigned long length, char ret_text[25]);

#endif
