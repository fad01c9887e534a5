/*
 * The primitives of Signature Version 4: SHA-256 in hex, HMAC, and the derived key.
 *
 * Any thread; contexts are per thread, since making one costs more than hashing a request.
 */
#ifndef TESTS_SERVER_SIGN_H
#define TESTS_SERVER_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGN_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum {
    SIGN_HEX_BYTES = 65,
};

bool sign_startup(void); /* once, before any thread */
void sign_sha256_hex(const void *data, size_t length, char out[SIGN_HEX_BYTES]);
/* HMAC of text under a derived key, in hex: a signature. */
void sign_text(const uint8_t key[32], const char *text, size_t length, char out[SIGN_HEX_BYTES]);
/* The key for one day (YYYYMMDD), region and service s3. */
void sign_key(const char *secret, const char *day, const char *region, uint8_t out[32]);
bool sign_equal(const char *a, const char *b);

#endif
