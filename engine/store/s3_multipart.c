/* Multipart uploads.
 *
 * With upload_crc32c an upload is declared FULL_OBJECT CRC32C at its beginning, every part
 * carries its value, and complete names all of them and the total, so that the server checks the
 * whole. A 200 to complete or a part copy may hold an error, or nothing: both are failures.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "store/s3.h"

/* ---- create --------------------------------------------------------------------------------- */

static int create_query(struct s3_call *call, struct buffer *query)
{
    (void)call;
    return s3_query_add(query, "uploads", NULL);
}

static void create_headers(struct s3_call *call, struct s3_headers *headers)
{
    const struct store_request *request = call->request;

    if (request->content_type)
        s3_header(headers, "content-type", request->content_type);
    if (request->upload_crc32c) {
        s3_header(headers, "x-amz-checksum-algorithm", "CRC32C");
        s3_header(headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    s3_metadata_write(headers, request->metadata);
}

static int create_element(struct s3_call *call, const char *parent, const char *name, char *text,
                          size_t length)
{
    if (strcmp(parent, "InitiateMultipartUploadResult") != 0 || strcmp(name, "UploadId") != 0)
        return 0;
    if (length >= sizeof call->request->returned_upload_id)
        return -EMSGSIZE;
    memcpy(call->request->returned_upload_id, text, length + 1);
    return 0;
}

static int create_finish(struct s3_call *call, struct error *err)
{
    if (call->request->returned_upload_id[0])
        return 0;
    return error_set(err, ERROR_PROTOCOL, "the server gives the upload no id");
}

const struct s3_operation s3_upload_create = {
    .method = "POST",
    .query = create_query,
    .headers = create_headers,
    .element = create_element,
    .finish = create_finish,
};

/* ---- parts ---------------------------------------------------------------------------------- */

static int part_prepare(struct s3_call *call, struct error *err)
{
    unsigned number = call->request->part_number;

    if (number >= 1 && number <= STORE_PARTS_MAX)
        return 0;
    return error_set(err, ERROR_INVALID, "parts have numbers from 1 to %d", STORE_PARTS_MAX);
}

static int part_query(struct s3_call *call, struct buffer *query)
{
    char number[16];
    int r;

    snprintf(number, sizeof number, "%u", call->request->part_number);
    r = s3_query_add(query, "partNumber", number);
    return r < 0 ? r : s3_query_add(query, "uploadId", call->request->upload_id);
}

static void part_headers(struct s3_call *call, struct s3_headers *headers)
{
    char crc[9];

    if (!call->request->has_body_crc32c)
        return;
    crc32c_to_base64(call->request->body_crc32c, crc);
    s3_header(headers, "x-amz-checksum-crc32c", crc);
}

static int part_head(struct s3_call *call, const struct http_head *head, struct error *err)
{
    struct store_request *request = call->request;
    const char *etag = http_head_get(head, "etag");

    if (!etag)
        return error_set(err, ERROR_PROTOCOL, "the server gives the part no ETag");
    request->part = (struct store_part){
        .number = request->part_number,
        .size_bytes = store_body_length(request),
        .crc32c = request->body_crc32c,
        .has_crc32c = request->has_body_crc32c,
    };
    return s3_copy_etag(request->part.etag, etag, err);
}

const struct s3_operation s3_upload_part = {
    .method = "PUT",
    .sends_body = true,
    .prepare = part_prepare,
    .query = part_query,
    .headers = part_headers,
    .head = part_head,
};

/* ---- copied parts --------------------------------------------------------------------------- */

static void part_copy_headers(struct s3_call *call, struct s3_headers *headers)
{
    const struct store_request *request = call->request;

    s3_header_source(headers, request);
    if (request->length)
        s3_header_format(headers, "x-amz-copy-source-range", "bytes=%llu-%llu",
                         (unsigned long long)request->offset,
                         (unsigned long long)(request->offset + request->length - 1));
    if (request->if_match)
        s3_header(headers, "x-amz-copy-source-if-match", request->if_match);
}

static int part_copy_element(struct s3_call *call, const char *parent, const char *name, char *text,
                             size_t length)
{
    struct store_part *part = &call->request->part;

    (void)length;
    if (strcmp(parent, "CopyPartResult") != 0)
        return 0;
    if (strcmp(name, "ETag") == 0)
        return s3_copy_etag(part->etag, text, NULL) < 0 ? -EINVAL : 0;
    if (strcmp(name, "ChecksumCRC32C") == 0)
        part->has_crc32c = s3_parse_crc32c(text, &part->crc32c);
    return 0;
}

static int part_copy_finish(struct s3_call *call, struct error *err)
{
    struct store_part *part = &call->request->part;

    part->number = call->request->part_number;
    part->size_bytes = call->request->length;
    if (part->etag[0])
        return 0;
    return error_set(err, ERROR_PROTOCOL, "the server gives the part no ETag");
}

const struct s3_operation s3_upload_part_copy = {
    .method = "PUT",
    .prepare = part_prepare,
    .query = part_query,
    .headers = part_copy_headers,
    .element = part_copy_element,
    .finish = part_copy_finish,
};

/* ---- complete and abort --------------------------------------------------------------------- */

static int append_part(struct buffer *xml, const struct store_part *part, bool with_crc)
{
    char crc[9];
    int r = buffer_append_str(xml, "<Part>");

    if (r == 0 && with_crc) {
        crc32c_to_base64(part->crc32c, crc);
        r = buffer_append_format(xml, "<ChecksumCRC32C>%s</ChecksumCRC32C>", crc);
    }
    if (r == 0)
        r = buffer_append_str(xml, "<ETag>");
    if (r == 0 && !s3_xml_escape(xml, part->etag, strlen(part->etag)))
        r = -EINVAL;
    return r < 0 ? r
                 : buffer_append_format(xml, "</ETag><PartNumber>%u</PartNumber></Part>",
                                        part->number);
}

static int complete_prepare(struct s3_call *call, struct error *err)
{
    const struct store_request *request = call->request;
    struct buffer *xml = &call->payload;
    int r = buffer_append_str(
        xml, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");

    for (unsigned i = 0; i < request->part_count && r == 0; i++) {
        r = append_part(xml, &request->parts[i], request->upload_crc32c);
        call->request->object.size_bytes += request->parts[i].size_bytes;
    }
    if (r == 0)
        r = buffer_append_str(xml, "</CompleteMultipartUpload>");
    return r < 0 ? error_set(err, ERROR_NO_MEMORY, "no memory for the list of parts") : 0;
}

static int complete_query(struct s3_call *call, struct buffer *query)
{
    return s3_query_add(query, "uploadId", call->request->upload_id);
}

static void complete_headers(struct s3_call *call, struct s3_headers *headers)
{
    const struct store_request *request = call->request;
    char crc[9];

    s3_header(headers, "content-type", "application/xml");
    if (request->if_match)
        s3_header(headers, "if-match", request->if_match);
    if (request->if_none_match)
        s3_header(headers, "if-none-match", "*");
    if (request->upload_crc32c) {
        crc32c_to_base64(request->total_crc32c, crc);
        s3_header(headers, "x-amz-checksum-crc32c", crc);
        s3_header(headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
}

static int complete_element(struct s3_call *call, const char *parent, const char *name, char *text,
                            size_t length)
{
    (void)length;
    if (strcmp(parent, "CompleteMultipartUploadResult") != 0 || strcmp(name, "ETag") != 0)
        return 0;
    return s3_copy_etag(call->request->object.etag, text, NULL) < 0 ? -EINVAL : 0;
}

const struct s3_operation s3_upload_complete = {
    .method = "POST",
    .prepare = complete_prepare,
    .query = complete_query,
    .headers = complete_headers,
    .element = complete_element,
};

const struct s3_operation s3_upload_abort = {.method = "DELETE", .query = complete_query};
