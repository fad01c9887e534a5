/*
 * Object attributes on the wire; see attributes.h.
 */
#include "attributes.h"

#include "encode.h"
#include "handlers.h"
#include "request.h"
#include "server.h"
#include "xml.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define META_PREFIX       "x-amz-meta-"
#define META_PREFIX_BYTES (sizeof(META_PREFIX) - 1)
#define META_MAX_BYTES    2048
#define TAGGING           "x-amz-tagging" /* kept as the request says it: k=v&... */

static const char *const STORED[] = {
    "cache-control",
    "content-disposition",
    "content-language",
    "content-type",
    "expires",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    TAGGING,
    "x-amz-website-redirect-location",
};

struct collect {
    struct headers headers;
    size_t meta_bytes;
    bool failed;
};

static enum MHD_Result collect_meta(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct collect *collect = context;
    char lower[256];
    size_t length = strlen(name);
    (void)kind;
    if (strncasecmp(name, META_PREFIX, META_PREFIX_BYTES))
        return MHD_YES;
    if (!value)
        value = "";
    collect->meta_bytes += length - META_PREFIX_BYTES + strlen(value);
    if (length >= sizeof(lower)) {
        collect->meta_bytes = META_MAX_BYTES + 1;
        return MHD_NO;
    }
    for (size_t i = 0; i <= length; i++)
        lower[i] = (char)tolower((unsigned char)name[i]);
    collect->failed |= headers_add(&collect->headers, lower, value) != 0;
    return MHD_YES;
}

/* aws-chunked describes the transfer, not the object: S3 does not keep it. */
static bool add_content_encoding(struct collect *collect, const char *value)
{
    char kept[256] = "";
    while (value && *value) {
        size_t length = strcspn(value, ",");
        size_t word = length;
        while (word && value[word - 1] == ' ')
            word--;
        bool is_transfer = word == 11 && !strncasecmp(value, "aws-chunked", 11);
        if (word && !is_transfer && strlen(kept) + word + 2 < sizeof(kept)) {
            if (*kept)
                strcat(kept, ",");
            strncat(kept, value, word);
        }
        value += length + (value[length] == ',');
        value += strspn(value, " ");
    }
    return !*kept || !headers_add(&collect->headers, "content-encoding", kept);
}

static unsigned count_tags(const char *tagging)
{
    unsigned count = 0;
    while (tagging && *tagging) {
        size_t length = strcspn(tagging, "&");
        count += length > 0;
        tagging += length + (tagging[length] == '&');
    }
    return count;
}

enum s3_error attributes_read(struct request *request, struct headers *ret_headers)
{
    struct collect collect = {0};
    for (size_t i = 0; i < sizeof(STORED) / sizeof(STORED[0]); i++) {
        const char *value = request_header(request, STORED[i]);
        if (value)
            collect.failed |= headers_add(&collect.headers, STORED[i], value) != 0;
    }
    const char *encoding = request_header(request, "Content-Encoding");
    collect.failed |= !add_content_encoding(&collect, encoding);
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, collect_meta, &collect);
    if (collect.failed || collect.meta_bytes > META_MAX_BYTES) {
        headers_fini(&collect.headers);
        return collect.failed ? S3_InternalError : S3_MetadataTooLarge;
    }
    *ret_headers = collect.headers;
    return S3_OK;
}

int attributes_take_tags(const struct headers *from, struct headers *headers)
{
    const char *tags = from ? headers_get(from, TAGGING) : NULL;
    headers_remove(headers, TAGGING);
    return tags ? headers_add(headers, TAGGING, tags) : 0;
}

/* One Tag of "key=value", percent-encoded. */
static bool answer_tag(struct buf *out, const char *pair, size_t length)
{
    size_t name_length = strcspn(pair, "=&");
    size_t value_at = name_length + (name_length < length);
    char *name = encode_uri_decode(pair, name_length, true);
    char *value = encode_uri_decode(pair + value_at, length - value_at, true);
    bool ok = name && value;
    if (ok) {
        buf_add(out, "<Tag>");
        xml_element(out, "Key", name);
        xml_element(out, "Value", value);
        buf_add(out, "</Tag>");
    }
    free(name);
    free(value);
    return ok;
}

enum s3_error attributes_tags_run(struct request *request)
{
    struct object *object;
    struct buf *out = &request->answer.text;
    bool ok = true;
    enum s3_error error =
        store_get(&request->server->store, request->bucket, request->key, &object);
    if (error)
        return error;
    buf_add(out, XML_HEADER "<Tagging" XML_NAMESPACE "><TagSet>");
    const char *tags = headers_get(&object->headers, TAGGING);
    for (size_t length; ok && tags && *tags; tags += length + (tags[length] == '&')) {
        length = strcspn(tags, "&");
        ok = length == 0 || answer_tag(out, tags, length);
    }
    buf_add(out, "</TagSet></Tagging>");
    object_unref(object);
    if (!ok)
        return S3_InvalidArgument;
    answer_xml(request, 200);
    return S3_OK;
}

void attributes_answer_checksum(struct request *request, enum checksum_kind kind,
                                const uint8_t *value, unsigned parts)
{
    char text[CHECKSUM_TEXT_BYTES + 12];
    if (kind == CHECKSUM_NONE)
        return;
    checksum_text(kind, value, text);
    if (parts)
        sprintf(text + strlen(text), "-%u", parts);
    answer_header(request, CHECKSUM_ROWS[kind].header, text);
    answer_header(request, "x-amz-checksum-type", parts ? "COMPOSITE" : "FULL_OBJECT");
}

void attributes_answer(struct request *request, const struct object *object, bool with_checksum)
{
    char date[ENCODE_DATE_BYTES];
    encode_http_date(object->modified, date);
    answer_header(request, "Last-Modified", date);
    answer_etag(request, object->etag);
    answer_header(request, "Accept-Ranges", "bytes");
    bool has_type = false;
    const char *value;
    for (const char *name = headers_first(&object->headers, &value); name;
         name = headers_next(&object->headers, &value)) {
        has_type |= !strcmp(name, "content-type");
        if (!strcmp(name, TAGGING))
            answer_header_u64(request, TAGGING "-count", count_tags(value));
        else if (strcmp(name, "x-amz-storage-class") || strcmp(value, "STANDARD"))
            answer_header(request, name, value);
    }
    if (!has_type)
        answer_header(request, "content-type", "binary/octet-stream");
    if (with_checksum)
        attributes_answer_checksum(request, object->checksum_kind, object->checksum,
                                   object->checksum_parts);
}

void attributes_new_id(struct server *server, char out[33])
{
    uint64_t number = atomic_fetch_add(&server->next_id, 1);
    uint64_t mixed = (number ^ server->instance) * 0x9E3779B97F4A7C15u;
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)(mixed ^ mixed >> 29),
             (unsigned long long)(server->instance + number));
}

void attributes_etag(struct server *server, const uint8_t md5[16], unsigned parts,
                     char out[STORE_ETAG_BYTES])
{
    char text[33];
    if (server->config.etag_md5 && md5) {
        encode_hex(text, md5, 16);
    } else {
        attributes_new_id(server, text);
        text[0] = 'o'; /* opaque: nobody shall take it for an MD5 */
    }
    if (parts)
        snprintf(out, STORE_ETAG_BYTES, "%s-%u", text, parts);
    else
        snprintf(out, STORE_ETAG_BYTES, "%s", text);
}

enum s3_error attributes_check(const struct attributes_conditions *conditions,
                               const struct object *object)
{
    time_t when;
    const char *match = conditions->if_match, *none = conditions->if_none_match;
    if (match) {
        if (!store_etag_matches(match, object->etag))
            return S3_PreconditionFailed;
    } else if (conditions->if_unmodified_since &&
               encode_parse_http_date(conditions->if_unmodified_since, &when) &&
               object->modified > when) {
        return S3_PreconditionFailed;
    }
    if (none) {
        if (store_etag_matches(none, object->etag))
            return S3_NotModified;
    } else if (conditions->if_modified_since &&
               encode_parse_http_date(conditions->if_modified_since, &when) &&
               object->modified <= when) {
        return S3_NotModified;
    }
    return S3_OK;
}
