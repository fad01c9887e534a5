/*
 * CreateMultipartUpload, UploadPart and AbortMultipartUpload. Completing is complete.c, copying a
 * part copy.c, listing uploads.c.
 *
 * An upload created with a checksum algorithm wants that checksum with every part, as S3 does.
 */
#include "attributes.h"
#include "encode.h"
#include "handlers.h"
#include "pattern.h"
#include "request.h"
#include "server.h"
#include "upload.h"
#include "xml.h"

#include <string.h>

/* x-amz-checksum-algorithm and x-amz-checksum-type. */
static enum s3_error read_checksum(struct request *request, struct upload *upload)
{
    const char *algorithm = request_header(request, "x-amz-checksum-algorithm");
    const char *type = request_header(request, "x-amz-checksum-type");
    if (!algorithm)
        return type ? S3_InvalidRequest : S3_OK;
    upload->checksum_kind = checksum_by_name(algorithm);
    if (upload->checksum_kind == CHECKSUM_NONE)
        return S3_InvalidRequest;
    upload->full_object = upload->checksum_kind == CHECKSUM_CRC64NVME;
    if (type && !strcmp(type, "FULL_OBJECT"))
        upload->full_object = true;
    else if (type && strcmp(type, "COMPOSITE"))
        return S3_InvalidRequest;
    bool combines = CHECKSUM_ROWS[upload->checksum_kind].polynomial != 0;
    return upload->full_object && !combines ? S3_InvalidRequest : S3_OK;
}

static enum s3_error insert(struct request *request, struct upload *upload)
{
    struct store *store = &request->server->store;
    store_write_lock(store);
    struct bucket *bucket = store_bucket(store, request->bucket);
    if (bucket)
        upload_insert(bucket, upload);
    store_unlock(store);
    return bucket ? S3_OK : S3_NoSuchBucket;
}

enum s3_error multipart_create_run(struct request *request)
{
    struct upload *upload = upload_new(request->key);
    if (!upload)
        return S3_InternalError;
    enum s3_error error = read_checksum(request, upload);
    if (!error)
        error = attributes_read(request, &upload->headers);
    char id[UPLOAD_ID_BYTES];
    attributes_new_id(request->server, id);
    memcpy(upload->id, id, sizeof(id));
    upload->started = server_now(request->server);
    enum checksum_kind kind = upload->checksum_kind;
    bool full_object = upload->full_object;
    if (!error)
        error = insert(request, upload);
    if (error) {
        upload_free(upload);
        return error;
    }
    if (kind) {
        answer_header(request, "x-amz-checksum-algorithm", CHECKSUM_ROWS[kind].name);
        answer_header(request, "x-amz-checksum-type", full_object ? "FULL_OBJECT" : "COMPOSITE");
    }
    struct buf *out = &request->answer.text;
    buf_add(out, XML_HEADER "<InitiateMultipartUploadResult" XML_NAMESPACE ">");
    xml_element(out, "Bucket", request->bucket);
    xml_element(out, "Key", request->key);
    xml_element(out, "UploadId", id);
    buf_add(out, "</InitiateMultipartUploadResult>");
    answer_xml(request, 200);
    return S3_OK;
}

static bool part_number(struct request *request, unsigned *ret_number)
{
    uint64_t number;
    const char *text = request_query(request, "partNumber");
    if (!text || !encode_parse_u64(text, &number) || number < 1 || number > UPLOAD_MAX_PARTS)
        return false;
    *ret_number = (unsigned)number;
    return true;
}

enum s3_error multipart_part_begin(struct request *request)
{
    unsigned number;
    enum checksum_kind wanted = CHECKSUM_NONE;
    if (!part_number(request, &number))
        return S3_InvalidArgument;
    enum s3_error error =
        upload_wanted_checksum(&request->server->store, request->bucket,
                               request_query(request, "uploadId"), request->key, &wanted);
    if (!error)
        error = intake_begin(request, INTAKE_DATA, wanted, request->server->config.etag_md5);
    const struct intake *intake = &request->intake;
    bool declared = intake->check_sum || intake->sum_in_trailer;
    if (!error && wanted && (!declared || intake->sum.kind != wanted))
        error = S3_InvalidRequest; /* the part's checksum is not of the upload's kind */
    return error;
}

enum s3_error multipart_part_run(struct request *request)
{
    struct intake *intake = &request->intake;
    struct store *store = &request->server->store;
    struct part part = {.modified = server_now(request->server)};
    part_number(request, &part.number);
    /* A discarded part's content is of no consequence: each starts the pattern anew. */
    enum s3_error error = intake_body(request, pattern_start(request->key), &part.body);
    if (error)
        return error;
    part.checksum_kind = intake->check_sum ? intake->sum.kind : CHECKSUM_NONE;
    memcpy(part.checksum, intake->sum_value, sizeof(part.checksum));
    memcpy(part.md5, intake->md5_value, sizeof(part.md5));
    attributes_etag(request->server, part.md5, 0, part.etag);
    store_write_lock(store);
    error = upload_put_part(store, request->bucket, request_query(request, "uploadId"),
                            request->key, &part);
    store_unlock(store);
    if (error) {
        body_fini(&part.body);
        return error;
    }
    answer_etag(request, part.etag);
    if (part.checksum_kind) {
        char text[CHECKSUM_TEXT_BYTES];
        checksum_text(part.checksum_kind, part.checksum, text);
        answer_header(request, CHECKSUM_ROWS[part.checksum_kind].header, text);
    }
    answer_empty(request, 200);
    return S3_OK;
}

enum s3_error multipart_abort_run(struct request *request)
{
    struct store *store = &request->server->store;
    struct upload *upload;
    store_write_lock(store);
    struct bucket *bucket = store_bucket(store, request->bucket);
    enum s3_error error =
        upload_find_open(bucket, request_query(request, "uploadId"), request->key, &upload);
    if (!error)
        upload_remove(bucket, upload);
    store_unlock(store);
    if (!error)
        answer_empty(request, 204);
    return error;
}
