/*
 * CopyObject and UploadPartCopy. Nothing is copied: the new object shares the blocks of the old.
 *
 * As on real servers, conditions on the destination of a copy are ignored unless the server was
 * started with --copy-conditions.
 */
#include "attributes.h"
#include "encode.h"
#include "handlers.h"
#include "request.h"
#include "server.h"
#include "upload.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COPY_BYTES (5ull << 30)

struct source {
    char *path; /* BUCKET NUL KEY */
    const char *bucket, *key;
    struct object *object;
};

static void source_fini(struct source *source)
{
    object_unref(source->object);
    free(source->path);
}

/* [/]BUCKET/KEY[?versionId=...], percent-encoded. */
static enum s3_error parse_source(struct request *request, struct source *source)
{
    const char *value = request_header(request, "x-amz-copy-source");
    source->path = encode_uri_decode(value, strcspn(value, "?"), false);
    if (!source->path)
        return S3_InvalidArgument;
    char *bucket = source->path + (source->path[0] == '/');
    char *slash = strchr(bucket, '/');
    if (!slash || slash == bucket || !slash[1])
        return S3_InvalidArgument;
    *slash = '\0';
    source->bucket = bucket;
    source->key = slash + 1;
    return S3_OK;
}

static enum s3_error open_source(struct request *request, struct source *source)
{
    enum s3_error error = parse_source(request, source);
    if (!error)
        error = store_get(&request->server->store, source->bucket, source->key, &source->object);
    if (error)
        return error;
    const struct attributes_conditions conditions = {
        .if_match = request_header(request, "x-amz-copy-source-if-match"),
        .if_none_match = request_header(request, "x-amz-copy-source-if-none-match"),
        .if_modified_since = request_header(request, "x-amz-copy-source-if-modified-since"),
        .if_unmodified_since = request_header(request, "x-amz-copy-source-if-unmodified-since"),
    };
    error = attributes_check(&conditions, source->object);
    return error == S3_NotModified ? S3_PreconditionFailed : error;
}

static bool is_replace(struct request *request, const char *name)
{
    const char *directive = request_header(request, name);
    return directive && !strcmp(directive, "REPLACE");
}

/* The source's, or those of the request. */
static enum s3_error take_tags(struct request *request, const struct object *from,
                               struct headers *headers)
{
    struct headers own = {0};
    const struct headers *tagged = &from->headers;
    enum s3_error error = S3_OK;
    if (is_replace(request, "x-amz-tagging-directive")) {
        error = attributes_read(request, &own);
        tagged = &own;
    }
    if (!error && attributes_take_tags(tagged, headers))
        error = S3_InternalError;
    headers_fini(&own);
    return error;
}

/* MD5 or another checksum over a body, wherever it lies. */
static enum s3_error sum_body(const struct body *body, enum checksum_kind kind,
                              uint8_t out[CHECKSUM_MAX_BYTES])
{
    struct checksum sum;
    if (!checksum_init(&sum, kind))
        return S3_InternalError;
    uint64_t position = 0;
    while (position < body->size) {
        const uint8_t *data;
        size_t length = body_piece(body, position, body->size - position, &data);
        checksum_update(&sum, data, length);
        position += length;
    }
    checksum_final(&sum, out);
    checksum_fini(&sum);
    return S3_OK;
}

static enum s3_error fill_copy(struct request *request, const struct object *from,
                               struct object *object)
{
    struct server *server = request->server;
    uint8_t md5[CHECKSUM_MAX_BYTES];
    enum s3_error error = S3_OK;
    if (is_replace(request, "x-amz-metadata-directive"))
        error = attributes_read(request, &object->headers);
    else if (headers_copy(&from->headers, &object->headers))
        error = S3_InternalError;
    if (!error)
        error = take_tags(request, from, &object->headers);
    bool is_empty = request->fault.action == FAULT_EMPTY_COPY;
    if (!error && !is_empty && body_append(&object->body, &from->body))
        error = S3_InternalError;
    if (!error && server->config.etag_md5)
        error = sum_body(&object->body, CHECKSUM_MD5, md5);
    if (error)
        return error;
    object->modified = server_now(server);
    object->generation = from->generation;
    attributes_etag(server, server->config.etag_md5 ? md5 : NULL, 0, object->etag);
    if (!from->checksum_parts && !is_empty) {
        object->checksum_kind = from->checksum_kind;
        memcpy(object->checksum, from->checksum, sizeof(object->checksum));
    }
    return S3_OK;
}

static void answer_result(struct request *request, const char *element, const char *etag,
                          time_t modified)
{
    struct buf *out = &request->answer.text;
    if (request->fault.action == FAULT_ERROR200) {
        answer_error_xml(request, "InternalError", "We encountered an internal error.", out);
    } else {
        buf_printf(out, XML_HEADER "<%s" XML_NAMESPACE ">", element);
        xml_element_date(out, "LastModified", modified);
        xml_element_etag(out, etag);
        buf_printf(out, "</%s>", element);
    }
    answer_xml(request, 200);
}

static enum s3_error put_copy(struct request *request, const struct source *source)
{
    struct object *object = object_new(request->key);
    if (!object)
        return S3_InternalError;
    enum s3_error error = fill_copy(request, source->object, object);
    if (error) {
        object_unref(object);
        return error;
    }
    struct store_condition condition = {0};
    if (request->server->config.copy_conditions) {
        condition.if_match = request_header(request, "If-Match");
        condition.if_none_match = request_header(request, "If-None-Match");
    }
    char etag[STORE_ETAG_BYTES];
    memcpy(etag, object->etag, sizeof(etag));
    time_t modified = object->modified;
    error = store_put(&request->server->store, request->bucket, object, &condition);
    if (!error)
        answer_result(request, "CopyObjectResult", etag, modified);
    return error;
}

enum s3_error copy_run(struct request *request)
{
    struct source source = {0};
    enum s3_error error = open_source(request, &source);
    if (!error && source.object->body.size > MAX_COPY_BYTES)
        error = S3_InvalidRequest;
    if (!error && !is_replace(request, "x-amz-metadata-directive") &&
        !strcmp(source.bucket, request->bucket) && !strcmp(source.key, request->key))
        error = S3_InvalidRequest; /* onto itself, changing nothing */
    if (!error && request->fault.action == FAULT_ERROR200)
        answer_result(request, "", "", 0);
    else if (!error && request->fault.action == FAULT_PRETEND_COPY)
        answer_result(request, "CopyObjectResult", source.object->etag,
                      server_now(request->server));
    else if (!error)
        error = put_copy(request, &source);
    source_fini(&source);
    return error;
}

/* bytes=FIRST-LAST, both given and inside the source. */
static enum s3_error parse_range(const char *text, uint64_t size, uint64_t *ret_start,
                                 uint64_t *ret_length)
{
    unsigned long long first, last;
    int used = 0;
    if (sscanf(text, "bytes=%llu-%llu%n", &first, &last, &used) != 2 || text[used] ||
        last < first || last >= size)
        return S3_InvalidArgument;
    *ret_start = first;
    *ret_length = last - first + 1;
    return S3_OK;
}

static enum s3_error slice_source(struct request *request, const struct object *object,
                                  struct body *ret_body)
{
    uint64_t start = 0, length = object->body.size;
    const char *range = request_header(request, "x-amz-copy-source-range");
    enum s3_error error = range ? parse_range(range, object->body.size, &start, &length) : S3_OK;
    if (!error && length > MAX_COPY_BYTES)
        error = S3_InvalidRequest;
    if (!error && request->fault.action == FAULT_EMPTY_COPY)
        length = 0;
    if (!error && body_slice(&object->body, start, length, ret_body))
        error = S3_InternalError;
    return error;
}

static enum s3_error fill_part(struct request *request, const struct object *from,
                               struct part *part)
{
    enum checksum_kind kind = CHECKSUM_NONE;
    uint64_t number;
    const char *text = request_query(request, "partNumber");
    if (!text || !encode_parse_u64(text, &number) || number < 1 || number > UPLOAD_MAX_PARTS)
        return S3_InvalidArgument;
    enum s3_error error =
        upload_wanted_checksum(&request->server->store, request->bucket,
                               request_query(request, "uploadId"), request->key, &kind);
    if (!error)
        error = slice_source(request, from, &part->body);
    if (error)
        return error;
    part->number = (unsigned)number;
    part->modified = server_now(request->server);
    part->checksum_kind = kind;
    if (kind)
        error = sum_body(&part->body, kind, part->checksum);
    bool want_md5 = request->server->config.etag_md5;
    if (!error && want_md5) {
        uint8_t md5[CHECKSUM_MAX_BYTES];
        error = sum_body(&part->body, CHECKSUM_MD5, md5);
        memcpy(part->md5, md5, sizeof(part->md5));
    }
    attributes_etag(request->server, want_md5 ? part->md5 : NULL, 0, part->etag);
    return error;
}

enum s3_error copy_part_run(struct request *request)
{
    struct source source = {0};
    struct part part = {0};
    struct store *store = &request->server->store;
    enum s3_error error = open_source(request, &source);
    if (!error)
        error = fill_part(request, source.object, &part);
    bool is_done =
        request->fault.action != FAULT_ERROR200 && request->fault.action != FAULT_PRETEND_COPY;
    if (!error && is_done) {
        store_write_lock(store);
        error = upload_put_part(store, request->bucket, request_query(request, "uploadId"),
                                request->key, &part);
        store_unlock(store);
    }
    if (!error)
        answer_result(request, "CopyPartResult", part.etag, part.modified);
    if (error || !is_done)
        body_fini(&part.body);
    source_fini(&source);
    return error;
}
