/*
 * CompleteMultipartUpload: the list of parts is checked against what was uploaded, the object is
 * put together from the parts' blocks, its checksum combined from theirs, and it takes its place
 * under the conditions given, all under the store's lock.
 *
 * A failed complete leaves the upload as it was. A repeated one, whose answer may have been lost,
 * succeeds as long as the object is still the one it made.
 */
#include "attributes.h"
#include "encode.h"
#include "handlers.h"
#include "index.h"
#include "pattern.h"
#include "request.h"
#include "server.h"
#include "upload.h"
#include "xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct listed_part {
    uint64_t number;
    char etag[STORE_ETAG_BYTES + 4];
    char checksum[CHECKSUM_TEXT_BYTES];
};

struct part_list {
    size_t count;
    struct listed_part current;
    struct listed_part parts[UPLOAD_MAX_PARTS];
};

static bool visit(void *context, const char *path, const char *text)
{
    struct part_list *list = context;
    static const char PART[] = "CompleteMultipartUpload/Part";
    if (strncmp(path, PART, sizeof(PART) - 1))
        return true;
    path += sizeof(PART) - 1;
    if (!strcmp(path, "/PartNumber"))
        return encode_parse_u64(text, &list->current.number);
    if (!strcmp(path, "/ETag"))
        snprintf(list->current.etag, sizeof(list->current.etag), "%s", text);
    else if (!strncmp(path, "/Checksum", 9))
        snprintf(list->current.checksum, sizeof(list->current.checksum), "%s", text);
    if (*path)
        return true;
    if (list->count == UPLOAD_MAX_PARTS)
        return false;
    list->parts[list->count++] = list->current;
    list->current = (struct listed_part){0};
    return true;
}

static enum s3_error check_part(const struct upload *upload, const struct listed_part *listed,
                                const struct part *part)
{
    char text[CHECKSUM_TEXT_BYTES];
    if (!part || !store_etag_matches(listed->etag, part->etag))
        return S3_InvalidPart;
    if (!*listed->checksum)
        return upload->checksum_kind && !upload->full_object ? S3_InvalidRequest : S3_OK;
    if (!part->checksum_kind)
        return S3_InvalidPart;
    checksum_text(part->checksum_kind, part->checksum, text);
    return strcmp(text, listed->checksum) ? S3_InvalidPart : S3_OK;
}

static enum s3_error check_parts(struct request *request, const struct upload *upload,
                                 const struct part_list *list)
{
    enum s3_error size_error = S3_OK;
    uint64_t before = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct listed_part *listed = &list->parts[i];
        if (listed->number <= before)
            return S3_InvalidPartOrder;
        before = listed->number;
        const struct part *part = upload_part(upload, (unsigned)listed->number);
        enum s3_error error = check_part(upload, listed, part);
        if (error)
            return error;
        if (i + 1 < list->count && part->body.size < request->server->config.min_part_bytes)
            size_error = S3_EntityTooSmall;
    }
    return size_error;
}

/* The checksum of the whole from those of the parts: combined, or a checksum of checksums. */
static enum s3_error join_checksums(const struct upload *upload, const struct part_list *list,
                                    struct object *object)
{
    enum checksum_kind kind = upload->checksum_kind;
    struct checksum sum;
    if (!kind)
        return S3_OK;
    if (!checksum_init(&sum, kind))
        return S3_InternalError;
    for (size_t i = 0; i < list->count; i++) {
        const struct part *part = upload_part(upload, (unsigned)list->parts[i].number);
        if (!upload->full_object)
            checksum_update(&sum, part->checksum, CHECKSUM_ROWS[kind].bytes);
        else if (i == 0)
            memcpy(object->checksum, part->checksum, sizeof(object->checksum));
        else
            checksum_combine(kind, object->checksum, part->checksum, part->body.size);
    }
    if (!upload->full_object) {
        checksum_final(&sum, object->checksum);
        object->checksum_parts = (unsigned)list->count;
    }
    checksum_fini(&sum);
    object->checksum_kind = kind;
    return S3_OK;
}

/* What the client says the whole object's checksum and size are. */
static enum s3_error check_declared(struct request *request, const struct object *object)
{
    uint64_t size;
    const char *declared_size = request_header(request, "x-amz-mp-object-size");
    if (declared_size && (!encode_parse_u64(declared_size, &size) || size != object->body.size))
        return S3_InvalidRequest;
    for (int kind = CHECKSUM_CRC32; kind <= CHECKSUM_SHA256; kind++) {
        const char *declared = request_header(request, CHECKSUM_ROWS[kind].header);
        if (!declared)
            continue;
        if (object->checksum_kind != (enum checksum_kind)kind)
            return S3_InvalidRequest;
        char text[CHECKSUM_TEXT_BYTES + 12];
        checksum_text(object->checksum_kind, object->checksum, text);
        if (object->checksum_parts && strchr(declared, '-'))
            sprintf(text + strlen(text), "-%u", object->checksum_parts);
        if (strcmp(declared, text))
            return S3_BadDigest;
    }
    return S3_OK;
}

static enum s3_error join_bodies(struct request *request, const struct upload *upload,
                                 const struct part_list *list, struct object *object)
{
    struct checksum md5;
    uint8_t value[CHECKSUM_MAX_BYTES];
    enum s3_error error = checksum_init(&md5, CHECKSUM_MD5) ? S3_OK : S3_InternalError;
    for (size_t i = 0; i < list->count && !error; i++) {
        const struct part *part = upload_part(upload, (unsigned)list->parts[i].number);
        if (body_append(&object->body, &part->body))
            error = S3_InternalError;
        checksum_update(&md5, part->md5, sizeof(part->md5));
    }
    if (!error && request->server->config.discard) {
        /* One stretch of the pattern, not one per part. */
        uint64_t size = object->body.size;
        body_fini(&object->body);
        if (body_from_pattern(pattern_start(object->key), size, &object->body))
            error = S3_InternalError;
    }
    checksum_final(&md5, value);
    checksum_fini(&md5);
    attributes_etag(request->server, value, (unsigned)list->count, object->etag);
    return error;
}

static enum s3_error build(struct request *request, const struct upload *upload,
                           const struct part_list *list, struct object *object)
{
    enum s3_error error = check_parts(request, upload, list);
    if (!error)
        error = join_bodies(request, upload, list, object);
    if (!error)
        error = join_checksums(upload, list, object);
    if (!error)
        error = check_declared(request, object);
    if (!error && headers_copy(&upload->headers, &object->headers))
        error = S3_InternalError;
    object->modified = server_now(request->server);
    return error;
}

static void write_result(struct request *request, const struct object *object)
{
    struct buf *out = &request->answer.text;
    const char *host = request_header(request, "Host");
    buf_add(out, XML_HEADER "<CompleteMultipartUploadResult" XML_NAMESPACE "><Location>http://");
    xml_escape(out, host ? host : "");
    xml_escape(out, request->path);
    buf_add(out, "</Location>");
    xml_element(out, "Bucket", request->bucket);
    xml_element(out, "Key", request->key);
    xml_element_etag(out, object->etag);
    if (object->checksum_kind) {
        char text[CHECKSUM_TEXT_BYTES + 12];
        checksum_text(object->checksum_kind, object->checksum, text);
        if (object->checksum_parts)
            sprintf(text + strlen(text), "-%u", object->checksum_parts);
        xml_element(out, CHECKSUM_ROWS[object->checksum_kind].element, text);
        xml_element(out, "ChecksumType", object->checksum_parts ? "COMPOSITE" : "FULL_OBJECT");
    }
    buf_add(out, "</CompleteMultipartUploadResult>");
    answer_xml(request, 200);
}

/* The store's lock is held. */
static enum s3_error complete_again(struct request *request, struct bucket *bucket,
                                    const struct upload *upload)
{
    struct object *object = index_find(bucket->objects, request->key);
    if (!object || strcmp(object->etag, upload->etag))
        return S3_NoSuchUpload;
    if (request_header(request, "If-None-Match"))
        return S3_PreconditionFailed;
    write_result(request, object);
    return S3_OK;
}

/* The store's lock is held for writing. */
static enum s3_error complete_locked(struct request *request, struct bucket *bucket,
                                     struct upload *upload, const struct part_list *list)
{
    const struct store_condition condition = {
        .if_match = request_header(request, "If-Match"),
        .if_none_match = request_header(request, "If-None-Match"),
    };
    struct object *object = object_new(request->key);
    if (!object)
        return S3_InternalError;
    enum s3_error error = build(request, upload, list, object);
    if (error) {
        object_unref(object);
        return error;
    }
    object_ref(object);
    error = store_put_locked(&request->server->store, bucket, object, &condition);
    if (!error) {
        upload_mark_completed(bucket, upload, object->etag);
        write_result(request, object);
    }
    object_unref(object);
    return error;
}

static enum s3_error complete(struct request *request, const struct part_list *list)
{
    struct store *store = &request->server->store;
    enum s3_error error = S3_NoSuchBucket;
    store_write_lock(store);
    struct bucket *bucket = store_bucket(store, request->bucket);
    if (bucket) {
        struct upload *upload =
            upload_find(bucket, request_query(request, "uploadId"), request->key);
        if (!upload)
            error = S3_NoSuchUpload;
        else if (upload->completed)
            error = complete_again(request, bucket, upload);
        else
            error = complete_locked(request, bucket, upload, list);
    }
    store_unlock(store);
    return error;
}

enum s3_error complete_run(struct request *request)
{
    const struct buf *text = &request->intake.text;
    if (request->fault.action == FAULT_ERROR200) {
        answer_error_xml(request, "InternalError", "We encountered an internal error.",
                         &request->answer.text);
        answer_xml(request, 200);
        return S3_OK;
    }
    struct part_list *list = calloc(1, sizeof(*list));
    if (!list)
        return S3_InternalError;
    enum s3_error error = S3_MalformedXML;
    if (xml_walk(text->data, text->length, visit, list) && list->count)
        error = complete(request, list);
    free(list);
    return error;
}
