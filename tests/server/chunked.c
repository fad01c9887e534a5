/*
 * The aws-chunked decoder, a small state machine over lines and data; see chunked.h.
 */
#include "chunked.h"

#include "encode.h"
#include "sign.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool chunked_init(struct chunked *chunked, bool is_signed, bool has_trailer,
                  const struct chunked_signer *signer)
{
    *chunked = (struct chunked){.is_signed = is_signed, .has_trailer = has_trailer};
    chunked->signer = *signer;
    if (!is_signed)
        return true;
    chunked->hash = EVP_MD_CTX_new();
    return chunked->hash != NULL;
}

void chunked_fini(struct chunked *chunked)
{
    EVP_MD_CTX_free(chunked->hash);
    chunked->hash = NULL;
    headers_fini(&chunked->trailer);
}

bool chunked_done(const struct chunked *chunked)
{
    return chunked->stage == CHUNKED_DONE;
}

/* Signs kind, date, scope, previous signature and the given hashes, and compares. */
static enum s3_error check_signature(struct chunked *chunked, const char *kind, const char *hashes)
{
    struct chunked_signer *signer = &chunked->signer;
    char text[512], signature[SIGN_HEX_BYTES];
    int length = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s", kind, signer->date,
                          signer->scope, signer->previous, hashes);
    sign_text(signer->key, text, (size_t)length, signature);
    if (!sign_equal(signature, chunked->signature))
        return S3_SignatureDoesNotMatch;
    memcpy(signer->previous, signature, sizeof(signature));
    return S3_OK;
}

static enum s3_error check_chunk(struct chunked *chunked)
{
    if (!chunked->is_signed)
        return S3_OK;
    uint8_t hash[32];
    char hashes[2 * SIGN_HEX_BYTES];
    EVP_DigestFinal_ex(chunked->hash, hash, NULL);
    memcpy(hashes, SIGN_EMPTY_SHA256 "\n", SIGN_HEX_BYTES);
    encode_hex(hashes + SIGN_HEX_BYTES, hash, sizeof(hash));
    return check_signature(chunked, "AWS4-HMAC-SHA256-PAYLOAD", hashes);
}

static enum s3_error check_trailer(struct chunked *chunked)
{
    if (!chunked->is_signed)
        return S3_OK;
    struct buf text;
    buf_init(&text, 65536);
    const char *value;
    for (const char *name = headers_first(&chunked->trailer, &value); name;
         name = headers_next(&chunked->trailer, &value))
        if (strcmp(name, "x-amz-trailer-signature"))
            buf_printf(&text, "%s:%s\n", name, value);
    const char *sent = headers_get(&chunked->trailer, "x-amz-trailer-signature");
    snprintf(chunked->signature, sizeof(chunked->signature), "%s", sent ? sent : "");
    char hash[SIGN_HEX_BYTES];
    sign_sha256_hex(text.data ? text.data : "", text.length, hash);
    buf_fini(&text);
    return check_signature(chunked, "AWS4-HMAC-SHA256-TRAILER", hash);
}

static enum s3_error chunk_header(struct chunked *chunked)
{
    char *end;
    if (!isxdigit((unsigned char)chunked->line[0]))
        return S3_IncompleteBody;
    chunked->left = strtoull(chunked->line, &end, 16);
    if (chunked->is_signed) {
        if (strncmp(end, ";chunk-signature=", 17) || strlen(end + 17) != 64)
            return S3_SignatureDoesNotMatch;
        memcpy(chunked->signature, end + 17, sizeof(chunked->signature));
        EVP_DigestInit_ex(chunked->hash, EVP_sha256(), NULL);
    } else if (*end && *end != ';') {
        return S3_IncompleteBody;
    }
    if (chunked->left) {
        chunked->stage = CHUNKED_DATA;
        return S3_OK;
    }
    chunked->stage = CHUNKED_TRAILER;
    return check_chunk(chunked);
}

static enum s3_error trailer_line(struct chunked *chunked)
{
    if (!chunked->line_length) {
        chunked->stage = CHUNKED_DONE;
        return chunked->has_trailer ? check_trailer(chunked) : S3_OK;
    }
    char *colon = strchr(chunked->line, ':');
    if (!colon || !chunked->has_trailer)
        return S3_IncompleteBody;
    *colon++ = '\0';
    colon += strspn(colon, " ");
    for (char *at = chunked->line; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return headers_add(&chunked->trailer, chunked->line, colon) ? S3_InternalError : S3_OK;
}

static enum s3_error whole_line(struct chunked *chunked)
{
    enum s3_error error = S3_OK;
    if (chunked->line_length && chunked->line[chunked->line_length - 1] == '\r')
        chunked->line_length--;
    chunked->line[chunked->line_length] = '\0';
    if (chunked->stage == CHUNKED_HEADER) {
        error = chunk_header(chunked);
    } else if (chunked->stage == CHUNKED_TRAILER) {
        error = trailer_line(chunked);
    } else {
        error = chunked->line_length ? S3_IncompleteBody : S3_OK;
        chunked->stage = CHUNKED_HEADER;
    }
    chunked->line_length = 0;
    return error;
}

static enum s3_error take_data(struct chunked *chunked, const char **data, size_t *length,
                               chunked_sink *sink, void *context)
{
    size_t take = chunked->left < *length ? (size_t)chunked->left : *length;
    if (chunked->is_signed)
        EVP_DigestUpdate(chunked->hash, *data, take);
    sink(context, (const uint8_t *)*data, take);
    *data += take;
    *length -= take;
    chunked->left -= take;
    if (chunked->left)
        return S3_OK;
    chunked->stage = CHUNKED_DATA_END;
    return check_chunk(chunked);
}

enum s3_error chunked_feed(struct chunked *chunked, const char *data, size_t length,
                           chunked_sink *sink, void *context)
{
    enum s3_error error = S3_OK;
    while (length && !error) {
        if (chunked->stage == CHUNKED_DONE)
            return S3_IncompleteBody;
        if (chunked->stage == CHUNKED_DATA) {
            error = take_data(chunked, &data, &length, sink, context);
            continue;
        }
        char c = *data++;
        length--;
        if (c == '\n')
            error = whole_line(chunked);
        else if (chunked->line_length < CHUNKED_LINE_BYTES - 1)
            chunked->line[chunked->line_length++] = c;
        else
            error = S3_IncompleteBody;
    }
    return error;
}
