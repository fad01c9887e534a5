/*
 * ListParts and ListMultipartUploads, with paging.
 */
#include "encode.h"
#include "handlers.h"
#include "request.h"
#include "server.h"
#include "upload.h"
#include "xml.h"

#include <string.h>

enum { MAX_ENTRIES = 1000 };

static bool read_number(const struct request *request, const char *name, uint64_t fallback,
                        uint64_t *ret_value)
{
    const char *text = request_query(request, name);
    *ret_value = fallback;
    return !text || encode_parse_u64(text, ret_value);
}

static void write_part(struct buf *out, const struct part *part)
{
    buf_add(out, "<Part>");
    xml_element_u64(out, "PartNumber", part->number);
    xml_element_date(out, "LastModified", part->modified);
    xml_element_etag(out, part->etag);
    xml_element_u64(out, "Size", part->body.size);
    if (part->checksum_kind) {
        char text[CHECKSUM_TEXT_BYTES];
        checksum_text(part->checksum_kind, part->checksum, text);
        xml_element(out, CHECKSUM_ROWS[part->checksum_kind].element, text);
    }
    buf_add(out, "</Part>");
}

/* The store's lock is held. */
static void write_parts(struct request *request, const struct upload *upload, uint64_t marker,
                        uint64_t max)
{
    struct buf *out = &request->answer.text;
    uint64_t count = 0, last = marker;
    bool truncated = false;
    buf_add(out, XML_HEADER "<ListPartsResult" XML_NAMESPACE ">");
    xml_element(out, "Bucket", request->bucket);
    xml_element(out, "Key", request->key);
    xml_element(out, "UploadId", upload->id);
    xml_element(out, "StorageClass", "STANDARD");
    xml_element_u64(out, "PartNumberMarker", marker);
    xml_element_u64(out, "MaxParts", max);
    if (upload->checksum_kind) {
        xml_element(out, "ChecksumAlgorithm", CHECKSUM_ROWS[upload->checksum_kind].name);
        xml_element(out, "ChecksumType", upload->full_object ? "FULL_OBJECT" : "COMPOSITE");
    }
    for (size_t i = 0; i < upload->count; i++) {
        if (upload->parts[i].number <= marker)
            continue;
        if (count == max) {
            truncated = true;
            break;
        }
        write_part(out, &upload->parts[i]);
        last = upload->parts[i].number;
        count++;
    }
    xml_element_u64(out, "NextPartNumberMarker", last);
    xml_element_bool(out, "IsTruncated", truncated);
    buf_add(out, "</ListPartsResult>");
}

enum s3_error uploads_parts_run(struct request *request)
{
    struct store *store = &request->server->store;
    uint64_t marker, max;
    if (!read_number(request, "part-number-marker", 0, &marker) ||
        !read_number(request, "max-parts", MAX_ENTRIES, &max))
        return S3_InvalidArgument;
    if (max > MAX_ENTRIES)
        max = MAX_ENTRIES;
    struct upload *upload;
    store_read_lock(store);
    struct bucket *bucket = store_bucket(store, request->bucket);
    enum s3_error error =
        upload_find_open(bucket, request_query(request, "uploadId"), request->key, &upload);
    if (!error)
        write_parts(request, upload, marker, max);
    store_unlock(store);
    if (!error)
        answer_xml(request, 200);
    return error;
}

struct upload_listing {
    const char *prefix, *delimiter, *key_marker, *id_marker;
    bool url_encoded;
    uint64_t max;
};

static void write_upload(const struct upload_listing *listing, struct buf *out,
                         const struct upload *upload)
{
    buf_add(out, "<Upload>");
    xml_element_key(out, "Key", upload->key, listing->url_encoded);
    xml_element(out, "UploadId", upload->id);
    xml_element(out, "StorageClass", "STANDARD");
    xml_element_date(out, "Initiated", upload->started);
    if (upload->checksum_kind)
        xml_element(out, "ChecksumAlgorithm", CHECKSUM_ROWS[upload->checksum_kind].name);
    buf_add(out, "</Upload>");
}

/* With a delimiter, a page may end with a common prefix, which is then the next page's marker. */
static bool is_behind_prefix(const struct upload_listing *listing, const char *key)
{
    size_t tail = strlen(listing->delimiter), length = strlen(listing->key_marker);
    return tail && length >= tail &&
           !strcmp(listing->key_marker + length - tail, listing->delimiter) &&
           !strncmp(key, listing->key_marker, length);
}

/* The first upload behind the markers. */
static const struct upload *first_upload(const struct bucket *bucket,
                                         const struct upload_listing *listing)
{
    const struct upload *upload = bucket->uploads;
    if (!*listing->key_marker)
        return upload;
    while (upload && strcmp(upload->key, listing->key_marker) < 0)
        upload = upload->next;
    bool found = false;
    const struct upload *same = upload;
    for (; *listing->id_marker && same && !strcmp(same->key, listing->key_marker);
         same = same->next) {
        found = !strcmp(same->id, listing->id_marker);
        if (found)
            return same->next;
    }
    while (upload && !strcmp(upload->key, listing->key_marker))
        upload = upload->next;
    return upload;
}

/* The store's lock is held. */
static void write_uploads(struct request *request, const struct bucket *bucket,
                          const struct upload_listing *listing)
{
    struct buf *out = &request->answer.text, common;
    size_t prefix = strlen(listing->prefix);
    const struct upload *last = NULL;
    uint64_t count = 0;
    bool truncated = false;
    buf_init(&common, STORE_KEY_MAX_BYTES + 16);
    for (const struct upload *upload = first_upload(bucket, listing); upload;
         upload = upload->next) {
        if (upload->completed || strncmp(upload->key, listing->prefix, prefix))
            continue;
        if (is_behind_prefix(listing, upload->key) ||
            (common.length && !strncmp(upload->key, common.data, common.length)))
            continue;
        truncated = count == listing->max;
        if (truncated)
            break;
        const char *found =
            *listing->delimiter ? strstr(upload->key + prefix, listing->delimiter) : NULL;
        buf_clear(&common);
        if (found) {
            buf_append(&common, upload->key,
                       (size_t)(found - upload->key) + strlen(listing->delimiter));
            buf_add(out, "<CommonPrefixes>");
            xml_element_key(out, "Prefix", common.data, listing->url_encoded);
            buf_add(out, "</CommonPrefixes>");
        } else {
            write_upload(listing, out, upload);
        }
        last = upload;
        count++;
    }
    if (truncated && last) {
        xml_element_key(out, "NextKeyMarker", common.length ? common.data : last->key,
                        listing->url_encoded);
        xml_element(out, "NextUploadIdMarker", common.length ? "" : last->id);
    }
    xml_element_bool(out, "IsTruncated", truncated && last);
    buf_fini(&common);
}

static const char *query_or_empty(const struct request *request, const char *name)
{
    const char *value = request_query(request, name);
    return value ? value : "";
}

enum s3_error uploads_list_run(struct request *request)
{
    struct store *store = &request->server->store;
    struct buf *out = &request->answer.text;
    struct upload_listing listing = {
        .prefix = query_or_empty(request, "prefix"),
        .delimiter = query_or_empty(request, "delimiter"),
        .key_marker = query_or_empty(request, "key-marker"),
        .id_marker = query_or_empty(request, "upload-id-marker"),
        .url_encoded = request_has_query(request, "encoding-type"),
    };
    if (!read_number(request, "max-uploads", MAX_ENTRIES, &listing.max))
        return S3_InvalidArgument;
    if (listing.max > MAX_ENTRIES)
        listing.max = MAX_ENTRIES;
    buf_add(out, XML_HEADER "<ListMultipartUploadsResult" XML_NAMESPACE ">");
    xml_element(out, "Bucket", request->bucket);
    xml_element_key(out, "KeyMarker", listing.key_marker, listing.url_encoded);
    xml_element(out, "UploadIdMarker", listing.id_marker);
    xml_element_key(out, "Prefix", listing.prefix, listing.url_encoded);
    if (*listing.delimiter)
        xml_element_key(out, "Delimiter", listing.delimiter, listing.url_encoded);
    if (listing.url_encoded)
        xml_element(out, "EncodingType", "url");
    xml_element_u64(out, "MaxUploads", listing.max);
    store_read_lock(store);
    const struct bucket *bucket = store_bucket(store, request->bucket);
    if (bucket)
        write_uploads(request, bucket, &listing);
    store_unlock(store);
    if (!bucket)
        return S3_NoSuchBucket;
    buf_add(out, "</ListMultipartUploadsResult>");
    answer_xml(request, 200);
    return S3_OK;
}
