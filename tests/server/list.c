/*
 * ListObjectsV2 and ListObjects: a walk over the index in key order under the store's read lock.
 *
 * With a delimiter, a common prefix is emitted at its first key and then jumped over by seeking to
 * the first string behind it, so the cost follows the answer's length, not the bucket's.
 * Continuation tokens carry where to go on and a checksum: a token made up by a client is refused.
 */
#include "encode.h"
#include "handlers.h"
#include "index.h"
#include "request.h"
#include "server.h"
#include "xml.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_KEYS = 1000,
    TOKEN_HEAD_BYTES = 5, /* checksum, then 'p' for prefix or 'k' for key */
};

struct listing {
    struct request *request;
    const char *prefix, *delimiter;
    bool url_encoded, fetch_owner, is_v2;
    uint64_t max_keys;
    char *after;          /* go on behind this */
    bool after_is_prefix; /* ... and everything that starts with it */
    /* the outcome */
    struct buf contents, prefixes;
    uint64_t count;
    bool truncated;
    struct buf last;
    bool last_is_prefix;
};

static void token_checksum(const char *text, size_t length, uint8_t out[CHECKSUM_MAX_BYTES])
{
    struct checksum sum;
    checksum_init(&sum, CHECKSUM_CRC32C);
    checksum_update(&sum, "token", 5);
    checksum_update(&sum, text, length);
    checksum_final(&sum, out);
}

static void write_token(struct buf *out, const struct listing *listing)
{
    uint8_t sum[CHECKSUM_MAX_BYTES];
    struct buf token;
    buf_init(&token, STORE_KEY_MAX_BYTES + 16);
    buf_add(&token, listing->last_is_prefix ? "p" : "k");
    buf_append(&token, listing->last.data, listing->last.length);
    token_checksum(token.data, token.length, sum);
    char *hex = malloc(2 * (token.length + 4) + 1);
    if (hex) {
        encode_hex(hex, sum, 4);
        encode_hex(hex + 8, token.data, token.length);
        buf_printf(out, "<NextContinuationToken>%s</NextContinuationToken>", hex);
    }
    free(hex);
    buf_fini(&token);
}

static enum s3_error read_token(struct listing *listing, const char *token)
{
    size_t length = strlen(token);
    uint8_t sum[CHECKSUM_MAX_BYTES];
    if (length % 2 || length < 2 * TOKEN_HEAD_BYTES)
        return S3_InvalidArgument;
    /* Hex is decoded as percent-encoding with the percent signs put in. */
    char *percent = malloc(length / 2 * 3 + 1), *bytes = NULL;
    enum s3_error error = S3_InternalError;
    if (!percent)
        return error;
    for (size_t i = 0; i < length / 2; i++) {
        percent[3 * i] = '%';
        memcpy(percent + 3 * i + 1, token + 2 * i, 2);
    }
    error = S3_InvalidArgument;
    bytes = encode_uri_decode(percent + 12, length / 2 * 3 - 12, false);
    if (!bytes || (*bytes != 'p' && *bytes != 'k'))
        goto out;
    char hex[9];
    token_checksum(bytes, strlen(bytes), sum);
    encode_hex(hex, sum, 4);
    if (strncmp(hex, token, 8))
        goto out;
    listing->after_is_prefix = *bytes == 'p';
    listing->after = strdup(bytes + 1);
    error = listing->after ? S3_OK : S3_InternalError;
out:
    free(percent);
    free(bytes);
    return error;
}

static void emit_object(struct listing *listing, const struct object *object)
{
    struct buf *out = &listing->contents;
    buf_add(out, "<Contents>");
    xml_element_key(out, "Key", object->key, listing->url_encoded);
    xml_element_date(out, "LastModified", object->modified);
    xml_element_etag(out, object->etag);
    if (object->checksum_kind) {
        xml_element(out, "ChecksumAlgorithm", CHECKSUM_ROWS[object->checksum_kind].name);
        xml_element(out, "ChecksumType", object->checksum_parts ? "COMPOSITE" : "FULL_OBJECT");
    }
    xml_element_u64(out, "Size", object->body.size);
    const char *class = headers_get(&object->headers, "x-amz-storage-class");
    xml_element(out, "StorageClass", class ? class : "STANDARD");
    if (listing->fetch_owner)
        buf_add(out, "<Owner><ID>s3server</ID><DisplayName>s3server</DisplayName></Owner>");
    buf_add(out, "</Contents>");
}

/* The first node that does not start with text; cuts text up. */
static struct index_node *seek_behind(const struct index *index, char *text)
{
    size_t length = strlen(text);
    while (length && (unsigned char)text[length - 1] == 0xff)
        length--;
    if (!length)
        return NULL;
    text[length - 1]++;
    text[length] = '\0';
    return index_seek(index, text, false);
}

/* The length of the common prefix a key belongs to; 0: none. */
static size_t common_length(const struct listing *listing, const char *key)
{
    size_t prefix = strlen(listing->prefix);
    if (!*listing->delimiter)
        return 0;
    const char *found = strstr(key + prefix, listing->delimiter);
    return found ? (size_t)(found - key) + strlen(listing->delimiter) : 0;
}

/* Emits what the node stands for and returns the next node. */
static struct index_node *emit(struct listing *listing, const struct index *index,
                               const struct index_node *node)
{
    const char *key = node->object->key;
    size_t common = common_length(listing, key);
    buf_clear(&listing->last);
    listing->count++;
    listing->last_is_prefix = common > 0;
    if (!common) {
        buf_add(&listing->last, key);
        emit_object(listing, node->object);
        return node->next[0];
    }
    buf_append(&listing->last, key, common);
    buf_add(&listing->prefixes, "<CommonPrefixes>");
    xml_element_key(&listing->prefixes, "Prefix", listing->last.data, listing->url_encoded);
    buf_add(&listing->prefixes, "</CommonPrefixes>");
    char behind[STORE_KEY_MAX_BYTES + 1];
    memcpy(behind, listing->last.data, common + 1);
    return seek_behind(index, behind);
}

static struct index_node *first_node(struct listing *listing, const struct index *index)
{
    const char *after = listing->after;
    if (!after || strcmp(after, listing->prefix) < 0)
        return index_seek(index, listing->prefix, false);
    if (!listing->after_is_prefix)
        return index_seek(index, after, true);
    char *copy = strdup(after);
    struct index_node *node = copy ? seek_behind(index, copy) : NULL;
    free(copy);
    return node;
}

static enum s3_error walk(struct listing *listing)
{
    struct store *store = &listing->request->server->store;
    size_t prefix = strlen(listing->prefix);
    store_read_lock(store);
    const struct bucket *bucket = store_bucket(store, listing->request->bucket);
    if (bucket) {
        struct index_node *node = first_node(listing, bucket->objects);
        while (node && !strncmp(node->object->key, listing->prefix, prefix)) {
            if (listing->count == listing->max_keys) {
                listing->truncated = listing->max_keys > 0;
                break;
            }
            node = emit(listing, bucket->objects, node);
        }
    }
    store_unlock(store);
    return bucket ? S3_OK : S3_NoSuchBucket;
}

static enum s3_error read_parameters(struct listing *listing)
{
    struct request *request = listing->request;
    const char *max_keys = request_query(request, "max-keys");
    const char *encoding = request_query(request, "encoding-type");
    const char *owner = request_query(request, "fetch-owner");
    const char *token = request_query(request, "continuation-token");
    const char *after = request_query(request, listing->is_v2 ? "start-after" : "marker");
    listing->prefix = request_query(request, "prefix");
    listing->delimiter = request_query(request, "delimiter");
    if (!listing->prefix)
        listing->prefix = "";
    if (!listing->delimiter)
        listing->delimiter = "";
    listing->max_keys = MAX_KEYS;
    if (max_keys && !encode_parse_u64(max_keys, &listing->max_keys))
        return S3_InvalidArgument;
    if (listing->max_keys > MAX_KEYS)
        listing->max_keys = MAX_KEYS;
    if (encoding && strcmp(encoding, "url"))
        return S3_InvalidArgument;
    listing->url_encoded = encoding != NULL;
    listing->fetch_owner = !listing->is_v2 || (owner && !strcmp(owner, "true"));
    if (listing->is_v2 && token)
        return read_token(listing, token);
    if (!after || !*after)
        return S3_OK;
    listing->after = strdup(after);
    size_t tail = strlen(listing->delimiter), length = strlen(after);
    /* In V1 a page's last prefix is the next page's marker. */
    listing->after_is_prefix = !listing->is_v2 && tail && length >= tail &&
                               !strcmp(after + length - tail, listing->delimiter);
    return listing->after ? S3_OK : S3_InternalError;
}

static void write_next(struct listing *listing, struct buf *out)
{
    struct request *request = listing->request;
    if (listing->is_v2) {
        const char *token = request_query(request, "continuation-token");
        const char *start_after = request_query(request, "start-after");
        xml_element_u64(out, "KeyCount", listing->count);
        if (token)
            xml_element(out, "ContinuationToken", token);
        if (start_after)
            xml_element_key(out, "StartAfter", start_after, listing->url_encoded);
        if (listing->truncated)
            write_token(out, listing);
    } else {
        const char *marker = request_query(request, "marker");
        xml_element_key(out, "Marker", marker ? marker : "", listing->url_encoded);
        if (listing->truncated && *listing->delimiter)
            xml_element_key(out, "NextMarker", listing->last.data, listing->url_encoded);
    }
}

static void write_result(struct listing *listing)
{
    struct buf *out = &listing->request->answer.text;
    buf_add(out, XML_HEADER "<ListBucketResult" XML_NAMESPACE ">");
    xml_element(out, "Name", listing->request->bucket);
    xml_element_key(out, "Prefix", listing->prefix, listing->url_encoded);
    if (*listing->delimiter)
        xml_element_key(out, "Delimiter", listing->delimiter, listing->url_encoded);
    if (listing->url_encoded)
        xml_element(out, "EncodingType", "url");
    xml_element_u64(out, "MaxKeys", listing->max_keys);
    xml_element_bool(out, "IsTruncated", listing->truncated);
    write_next(listing, out);
    if (listing->contents.length)
        buf_append(out, listing->contents.data, listing->contents.length);
    if (listing->prefixes.length)
        buf_append(out, listing->prefixes.data, listing->prefixes.length);
    buf_add(out, "</ListBucketResult>");
    answer_xml(listing->request, 200);
}

static enum s3_error run(struct request *request, bool is_v2)
{
    struct listing listing = {.request = request, .is_v2 = is_v2};
    buf_init(&listing.contents, ANSWER_TEXT_MAX_BYTES);
    buf_init(&listing.prefixes, ANSWER_TEXT_MAX_BYTES);
    buf_init(&listing.last, STORE_KEY_MAX_BYTES + 16);
    enum s3_error error = read_parameters(&listing);
    if (!error)
        error = walk(&listing);
    if (!error)
        write_result(&listing);
    buf_fini(&listing.contents);
    buf_fini(&listing.prefixes);
    buf_fini(&listing.last);
    free(listing.after);
    return error;
}

enum s3_error list_v1_run(struct request *request)
{
    return run(request, false);
}

enum s3_error list_v2_run(struct request *request)
{
    const char *type = request_query(request, "list-type");
    return strcmp(type, "2") ? S3_InvalidArgument : run(request, true);
}
