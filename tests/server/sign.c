/*
 * SHA-256 and HMAC over OpenSSL's digest contexts; see sign.h.
 */
#include "sign.h"

#include "encode.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = 64 };

static EVP_MD *sha256;            /* fetched once; frozen after sign_startup */
static pthread_key_t context_key; /* each thread's digest context */

static void free_context(void *context)
{
    EVP_MD_CTX_free(context);
}

bool sign_startup(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    return sha256 && !pthread_key_create(&context_key, free_context);
}

static EVP_MD_CTX *thread_context(void)
{
    EVP_MD_CTX *context = pthread_getspecific(context_key);
    if (!context) {
        context = EVP_MD_CTX_new();
        pthread_setspecific(context_key, context);
    }
    return context;
}

static void digest(const void *a, size_t a_length, const void *b, size_t b_length, uint8_t out[32])
{
    EVP_MD_CTX *context = thread_context();
    EVP_DigestInit_ex(context, sha256, NULL);
    EVP_DigestUpdate(context, a, a_length);
    EVP_DigestUpdate(context, b, b_length);
    EVP_DigestFinal_ex(context, out, NULL);
}

void sign_sha256_hex(const void *data, size_t length, char out[SIGN_HEX_BYTES])
{
    uint8_t hash[32];
    digest(data, length, "", 0, hash);
    encode_hex(out, hash, sizeof(hash));
}

static void sign_hmac(const void *key, size_t key_length, const void *data, size_t length,
                      uint8_t out[32])
{
    uint8_t padded[BLOCK_BYTES] = {0}, inner[BLOCK_BYTES], outer[BLOCK_BYTES];
    if (key_length > BLOCK_BYTES)
        digest(key, key_length, "", 0, padded);
    else
        memcpy(padded, key, key_length);
    for (int i = 0; i < BLOCK_BYTES; i++) {
        inner[i] = padded[i] ^ 0x36;
        outer[i] = padded[i] ^ 0x5c;
    }
    uint8_t hash[32];
    digest(inner, sizeof(inner), data, length, hash);
    digest(outer, sizeof(outer), hash, sizeof(hash), out);
}

void sign_text(const uint8_t key[32], const char *text, size_t length, char out[SIGN_HEX_BYTES])
{
    uint8_t mac[32];
    sign_hmac(key, 32, text, length, mac);
    encode_hex(out, mac, sizeof(mac));
}

void sign_key(const char *secret, const char *day, const char *region, uint8_t out[32])
{
    char first[256];
    snprintf(first, sizeof(first), "AWS4%s", secret);
    sign_hmac(first, strlen(first), day, strlen(day), out);
    sign_hmac(out, 32, region, strlen(region), out);
    sign_hmac(out, 32, "s3", 2, out);
    sign_hmac(out, 32, "aws4_request", 12, out);
}

bool sign_equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    return length == strlen(b) && !CRYPTO_memcmp(a, b, length);
}
