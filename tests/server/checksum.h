/*
 * The checksums S3 knows: CRC32, CRC32C, CRC64NVME, SHA-1, SHA-256, and MD5 for ETags.
 *
 * A running checksum belongs to one request and needs checksum_fini. Values are big-endian bytes,
 * base64 on the wire.
 */
#ifndef TESTS_SERVER_CHECKSUM_H
#define TESTS_SERVER_CHECKSUM_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum checksum_kind {
    CHECKSUM_NONE,
    CHECKSUM_CRC32,
    CHECKSUM_CRC32C,
    CHECKSUM_CRC64NVME,
    CHECKSUM_SHA1,
    CHECKSUM_SHA256,
    CHECKSUM_MD5, /* never named by x-amz-checksum-*; Content-MD5 and ETags */
    CHECKSUM_KINDS,
};

enum {
    CHECKSUM_MAX_BYTES = 32,
    CHECKSUM_TEXT_BYTES = 48, /* base64 of the longest, NUL included */
};

struct checksum_row {
    const char *name;    /* "CRC32C", as in x-amz-checksum-algorithm */
    const char *header;  /* "x-amz-checksum-crc32c" */
    const char *element; /* "ChecksumCRC32C" in XML */
    size_t bytes;
    uint64_t polynomial; /* reflected; 0 for hashes, which cannot be combined */
};

extern const struct checksum_row CHECKSUM_ROWS[CHECKSUM_KINDS];

struct checksum {
    enum checksum_kind kind;
    uint64_t crc;
    EVP_MD_CTX *hash;
};

enum checksum_kind checksum_by_name(const char *name); /* NONE when unknown */
bool checksum_init(struct checksum *sum, enum checksum_kind kind);
void checksum_fini(struct checksum *sum);
void checksum_update(struct checksum *sum, const void *data, size_t length);
/* Writes CHECKSUM_ROWS[kind].bytes bytes; the running checksum may not be updated after it. */
void checksum_final(struct checksum *sum, uint8_t out[CHECKSUM_MAX_BYTES]);

/* Appends a part's CRC to that of what precedes it, without the data. CRC kinds only. */
void checksum_combine(enum checksum_kind kind, uint8_t first[CHECKSUM_MAX_BYTES],
                      const uint8_t second[CHECKSUM_MAX_BYTES], uint64_t second_length);
void checksum_text(enum checksum_kind kind, const uint8_t value[CHECKSUM_MAX_BYTES],
                   char out[CHECKSUM_TEXT_BYTES]);

#endif
