/*
 * Receiving, decoding and checking request bodies; see intake.h.
 *
 * After the first error the rest of the body is received and dropped, so that a keep-alive
 * connection stays in step. Faults that cut an upload short are worked in by serve.c, which sees
 * the bytes first.
 */
#include "intake.h"

#include "encode.h"
#include "request.h"
#include "server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_PUT_BYTES (5ull << 30)

/* Content-MD5 and x-amz-checksum-*: what the client says the body is. */
static enum s3_error read_declared(struct request *request, enum checksum_kind wanted)
{
    struct intake *intake = &request->intake;
    enum checksum_kind kind = wanted;
    const char *value = request_header(request, "Content-MD5");
    if (value) {
        if (encode_base64_decode(intake->declared_md5, 16, value) != 16)
            return S3_InvalidDigest;
        intake->check_md5 = true;
    }
    for (int each = CHECKSUM_CRC32; each <= CHECKSUM_SHA256; each++) {
        const struct checksum_row *row = &CHECKSUM_ROWS[each];
        value = request_header(request, row->header);
        if (!value || intake->kind == INTAKE_LIST)
            continue;
        if (encode_base64_decode(intake->declared_sum, row->bytes, value) != (int)row->bytes ||
            intake->check_sum)
            return S3_InvalidRequest;
        intake->check_sum = true;
        kind = (enum checksum_kind)each;
    }
    value = request_header(request, "x-amz-trailer");
    if (value && !strncasecmp(value, "x-amz-checksum-", 15)) {
        kind = checksum_by_name(value + 15);
        if (kind == CHECKSUM_NONE || intake->check_sum)
            return S3_InvalidRequest;
        intake->sum_in_trailer = true;
    }
    return checksum_init(&intake->sum, kind) ? S3_OK : S3_InternalError;
}

/* x-amz-content-sha256: a hash, nothing, or one of the streaming forms. */
static enum s3_error read_payload(struct request *request)
{
    struct intake *intake = &request->intake;
    const char *value = request_header(request, "x-amz-content-sha256");
    if (!value || !strcmp(value, "UNSIGNED-PAYLOAD"))
        return S3_OK;
    if (!strncmp(value, "STREAMING-", 10)) {
        bool is_signed = !strncmp(value + 10, "AWS4-HMAC-SHA256-PAYLOAD", 24);
        bool has_trailer = strstr(value, "-TRAILER") != NULL;
        if (!is_signed && strcmp(value + 10, "UNSIGNED-PAYLOAD-TRAILER"))
            return S3_InvalidRequest;
        intake->is_chunked = true;
        return chunked_init(&intake->chunked, is_signed && request->is_signed, has_trailer,
                            &request->signer)
                   ? S3_OK
                   : S3_InternalError;
    }
    if (strlen(value) != 64)
        return S3_InvalidRequest;
    intake->check_payload = true;
    return checksum_init(&intake->payload, CHECKSUM_SHA256) ? S3_OK : S3_InternalError;
}

static enum s3_error read_length(struct request *request)
{
    struct intake *intake = &request->intake;
    const char *value = request_header(request, intake->is_chunked ? "x-amz-decoded-content-length"
                                                                   : "Content-Length");
    if (!value)
        return intake->kind == INTAKE_DATA ? S3_MissingContentLength : S3_OK;
    if (!encode_parse_u64(value, &intake->expected_bytes))
        return S3_InvalidRequest;
    if (intake->kind == INTAKE_DATA && intake->expected_bytes > MAX_PUT_BYTES)
        return S3_EntityTooLarge;
    return S3_OK;
}

enum s3_error intake_begin(struct request *request, enum intake_kind kind,
                           enum checksum_kind wanted, bool want_md5)
{
    struct intake *intake = &request->intake;
    intake->kind = kind;
    intake->want_md5 = want_md5;
    buf_init(&intake->text, INTAKE_TEXT_MAX_BYTES);
    enum s3_error error = read_declared(request, wanted);
    if (!error)
        error = read_payload(request);
    if (!error)
        error = read_length(request);
    if (!error && (intake->check_md5 || want_md5) && !checksum_init(&intake->md5, CHECKSUM_MD5))
        error = S3_InternalError;
    struct store *store = &request->server->store;
    if (!error && kind == INTAKE_DATA && intake->expected_bytes &&
        !request->server->config.discard &&
        store->ops->block_new(store, intake->expected_bytes, &intake->block))
        error = S3_InternalError;
    intake->error = error;
    return error;
}

/* One decoded stretch of the body. */
static void take(void *context, const uint8_t *data, size_t length)
{
    struct intake *intake = context;
    if (intake->kind == INTAKE_DATA && length > intake->expected_bytes - intake->received_bytes) {
        intake->error = S3_IncompleteBody;
        return;
    }
    if (intake->block)
        memcpy(intake->block->base + intake->received_bytes, data, length);
    if (intake->kind == INTAKE_TEXT || intake->kind == INTAKE_LIST)
        buf_append(&intake->text, data, length);
    if (intake->check_payload && !intake->is_chunked)
        checksum_update(&intake->payload, data, length);
    if (intake->md5.hash)
        checksum_update(&intake->md5, data, length);
    if (intake->sum.kind)
        checksum_update(&intake->sum, data, length);
    intake->received_bytes += length;
}

void intake_feed(struct request *request, const char *data, size_t length)
{
    struct intake *intake = &request->intake;
    intake->wire_bytes += length;
    if (intake->error || request->answer.decided)
        return;
    if (!intake->is_chunked) {
        take(intake, (const uint8_t *)data, length);
        return;
    }
    enum s3_error error = chunked_feed(&intake->chunked, data, length, take, intake);
    if (!intake->error)
        intake->error = error;
}

/* The checksum a trailer was announced to carry. */
static enum s3_error read_trailer(struct intake *intake)
{
    const struct checksum_row *row = &CHECKSUM_ROWS[intake->sum.kind];
    const char *value = headers_get(&intake->chunked.trailer, row->header);
    if (!value)
        return S3_InvalidRequest;
    if (encode_base64_decode(intake->declared_sum, row->bytes, value) != (int)row->bytes)
        return S3_InvalidRequest;
    intake->check_sum = true;
    return S3_OK;
}

static enum s3_error check_payload(struct request *request)
{
    uint8_t hash[CHECKSUM_MAX_BYTES];
    char hex[65];
    checksum_final(&request->intake.payload, hash);
    encode_hex(hex, hash, 32);
    const char *declared = request_header(request, "x-amz-content-sha256");
    return declared && !strcasecmp(hex, declared) ? S3_OK : S3_XAmzContentSHA256Mismatch;
}

enum s3_error intake_end(struct request *request)
{
    struct intake *intake = &request->intake;
    enum s3_error error = intake->error;
    if (error)
        return error;
    if (intake->is_chunked && !chunked_done(&intake->chunked))
        return S3_IncompleteBody;
    if (intake->kind == INTAKE_DATA && intake->received_bytes != intake->expected_bytes)
        return S3_IncompleteBody;
    if (intake->text.failed)
        return S3_EntityTooLarge;
    if (intake->check_payload && (error = check_payload(request)))
        return error;
    if (intake->sum_in_trailer && (error = read_trailer(intake)))
        return error;
    if (intake->md5.hash) {
        uint8_t value[CHECKSUM_MAX_BYTES];
        checksum_final(&intake->md5, value);
        memcpy(intake->md5_value, value, sizeof(intake->md5_value));
        if (intake->check_md5 && memcmp(value, intake->declared_md5, 16))
            return S3_BadDigest;
    }
    if (intake->sum.kind) {
        checksum_final(&intake->sum, intake->sum_value);
        if (intake->check_sum &&
            memcmp(intake->sum_value, intake->declared_sum, CHECKSUM_ROWS[intake->sum.kind].bytes))
            return S3_BadDigest;
    }
    return S3_OK;
}

void intake_fini(struct intake *intake)
{
    block_unref(intake->block);
    intake->block = NULL;
    buf_fini(&intake->text);
    chunked_fini(&intake->chunked);
    checksum_fini(&intake->payload);
    checksum_fini(&intake->md5);
    checksum_fini(&intake->sum);
}

enum s3_error intake_body(struct request *request, uint64_t pattern_position, struct body *ret_body)
{
    struct intake *intake = &request->intake;
    int error = request->server->config.discard
                    ? body_from_pattern(pattern_position, intake->received_bytes, ret_body)
                    : body_from_block(intake->block, intake->received_bytes, ret_body);
    return error ? S3_InternalError : S3_OK;
}
