/* Objects and buckets: get, head, put, delete, copy, and what their answers must look like.
 *
 * A partial answer is believed only if its Content-Range is exactly the part of the object that was
 * asked for; a server that ignores Range is tolerated when the whole object fits the request.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "http/sign_v4.h"
#include "store/s3.h"

/* ---- attributes ----------------------------------------------------------------------------- */

int s3_copy_etag(char ret_etag[STORE_ETAG_MAX], const char *value, struct error *err)
{
    bool quoted = value[0] == '"' || value[0] == 'W' || !value[0];
    int length = snprintf(ret_etag, STORE_ETAG_MAX, quoted ? "%s" : "\"%s\"", value);

    if (length < STORE_ETAG_MAX)
        return 0;
    ret_etag[0] = '\0';
    return error_set(err, ERROR_PROTOCOL, "the server's ETag is longer than %d bytes",
                     STORE_ETAG_MAX);
}

/* object's attributes out of a head; size_bytes is left alone. 0 or -errno with *err. */
static int read_object(const struct http_head *head, struct store_object *ret_object,
                       struct error *err)
{
    const char *etag = http_head_get(head, "etag");
    const char *modified = http_head_get(head, "last-modified");
    const char *type = http_head_get(head, "content-type");
    struct store_object *object = ret_object;

    store_metadata_fini(&object->metadata); /* of an earlier attempt */
    if (modified)
        clock_parse_http_date(modified, &object->mtime);
    snprintf(object->content_type, sizeof object->content_type, "%s", type ? type : "");
    if (s3_metadata_read(head, &object->metadata) < 0)
        return error_set(err, ERROR_NO_MEMORY, "no memory for metadata");
    return s3_copy_etag(object->etag, etag ? etag : "", err);
}

static int digit_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

bool s3_parse_crc32c(const char *text, uint32_t *ret_crc)
{
    uint64_t value = 0;

    if (!text || strlen(text) != 8 || strcmp(text + 6, "==") != 0)
        return false;
    for (unsigned i = 0; i < 6; i++) {
        int digit = digit_value(text[i]);

        if (digit < 0)
            return false;
        value = value << 6 | (unsigned)digit;
    }
    *ret_crc = (uint32_t)(value >> 4);
    return true;
}

/* ---- get and head --------------------------------------------------------------------------- */

static void get_headers(struct s3_call *call, struct s3_headers *headers)
{
    const struct store_request *request = call->request;

    if (request->operation == STORE_GET && request->length)
        s3_header_format(headers, "range", "bytes=%llu-%llu", (unsigned long long)request->offset,
                         (unsigned long long)(request->offset + request->length - 1));
    else if (request->operation == STORE_GET && request->offset)
        s3_header_format(headers, "range", "bytes=%llu-", (unsigned long long)request->offset);
    if (request->if_match)
        s3_header(headers, "if-match", request->if_match);
}

/* A 206: is it the range that was asked for? Sets the object's size and the length of the body. */
static int check_partial(struct s3_call *call, const struct http_head *head, struct error *err)
{
    const struct store_request *request = call->request;
    const char *value = http_head_get(head, "content-range");
    uint64_t first, last, wanted_last;
    int64_t total;

    if (!value || http_parse_content_range(value, &first, &last, &total) < 0 || total <= 0 ||
        first > last || last >= (uint64_t)total)
        return error_set(err, ERROR_PROTOCOL, "a partial answer has no sound Content-Range (%.60s)",
                         value ? value : "none");
    wanted_last = (uint64_t)total - 1;
    if (request->length && request->offset + request->length - 1 < wanted_last)
        wanted_last = request->offset + request->length - 1;
    if (first != request->offset || last != wanted_last ||
        (head->content_length >= 0 && (uint64_t)head->content_length != last - first + 1))
        return error_set(err, ERROR_PROTOCOL,
                         "the answer holds another range than was asked for (%.60s)", value);
    call->body_limit = last - first + 1;
    call->request->object.size_bytes = (uint64_t)total;
    return 0;
}

static int get_head(struct s3_call *call, const struct http_head *head, struct error *err)
{
    struct store_request *request = call->request;
    bool ranged = request->offset || request->length;
    uint64_t length = (uint64_t)head->content_length;
    int r;

    if (head->status == 206 && ranged) {
        r = check_partial(call, head, err);
    } else if (head->status != 200 || head->content_length < 0) {
        r = error_set(err, ERROR_PROTOCOL, "GET was answered by %d without a proper length",
                      head->status);
    } else if (ranged && (request->offset || length > request->length)) {
        r = error_set(err, ERROR_PROTOCOL, "the server ignores Range and sends %llu bytes",
                      (unsigned long long)length);
    } else {
        call->body_limit = length;
        request->object.size_bytes = length;
        r = 0;
    }
    if (r < 0)
        return r;
    call->body = S3_BODY_SINK;
    request->object_is_range = call->body_limit != request->object.size_bytes;
    request->bytes_received = 0;
    return read_object(head, &request->object, err);
}

const struct s3_operation s3_get = {.method = "GET", .headers = get_headers, .head = get_head};

static int head_head(struct s3_call *call, const struct http_head *head, struct error *err)
{
    struct store_request *request = call->request;
    const char *range = http_head_get(head, "content-range");
    uint64_t first, last;
    int64_t total = head->content_length;

    if (call->as_get && head->status == 206 &&
        (!range || http_parse_content_range(range, &first, &last, &total) < 0))
        total = -1;
    if (total < 0)
        return error_set(err, ERROR_PROTOCOL, "HEAD was answered without the object's length");
    request->object.size_bytes = (uint64_t)total;
    return read_object(head, &request->object, err);
}

const struct s3_operation s3_head = {.method = "HEAD", .headers = get_headers, .head = head_head};

/* ---- put and delete ------------------------------------------------------------------------- */

static void put_headers(struct s3_call *call, struct s3_headers *headers)
{
    const struct store_request *request = call->request;
    char crc[9];

    if (request->content_type)
        s3_header(headers, "content-type", request->content_type);
    if (request->if_match)
        s3_header(headers, "if-match", request->if_match);
    if (request->if_none_match)
        s3_header(headers, "if-none-match", "*");
    if (request->has_body_crc32c) {
        crc32c_to_base64(request->body_crc32c, crc);
        s3_header(headers, "x-amz-checksum-crc32c", crc);
    }
    s3_metadata_write(headers, request->metadata);
}

static int put_head(struct s3_call *call, const struct http_head *head, struct error *err)
{
    const char *etag = http_head_get(head, "etag");

    call->request->object.size_bytes = store_body_length(call->request);
    return s3_copy_etag(call->request->object.etag, etag ? etag : "", err);
}

const struct s3_operation s3_put = {
    .method = "PUT", .sends_body = true, .headers = put_headers, .head = put_head};

static void delete_headers(struct s3_call *call, struct s3_headers *headers)
{
    if (call->request->if_match)
        s3_header(headers, "if-match", call->request->if_match);
}

const struct s3_operation s3_delete = {
    .method = "DELETE", .absent_is_fine = true, .headers = delete_headers};

/* ---- copy ----------------------------------------------------------------------------------- */

static void copy_headers(struct s3_call *call, struct s3_headers *headers)
{
    const struct store_request *request = call->request;

    s3_header_source(headers, request);
    if (request->if_match)
        s3_header(headers, "x-amz-copy-source-if-match", request->if_match);
    if (request->drop_tags)
        s3_header(headers, "x-amz-tagging-directive", "REPLACE");
    if (!request->metadata) {
        if (request->storage_class && request->storage_class[0] &&
            strcmp(request->storage_class, "STANDARD") != 0)
            s3_header(headers, "x-amz-storage-class", request->storage_class);
        return;
    }
    s3_header(headers, "x-amz-metadata-directive", "REPLACE");
    if (request->content_type)
        s3_header(headers, "content-type", request->content_type);
    s3_metadata_write(headers, request->metadata);
}

static int copy_element(struct s3_call *call, const char *parent, const char *name, char *text,
                        size_t length)
{
    struct store_object *object = &call->request->object;

    (void)length;
    if (strcmp(parent, "CopyObjectResult") != 0)
        return 0;
    if (strcmp(name, "ETag") == 0)
        return s3_copy_etag(object->etag, text, NULL);
    if (strcmp(name, "LastModified") == 0)
        clock_parse_iso8601(text, &object->mtime);
    return 0;
}

/* A 200 may hold an error, or nothing: then nothing was copied. */
static int copy_finish(struct s3_call *call, struct error *err)
{
    if (call->request->object.etag[0])
        return 0;
    return error_set(err, ERROR_PROTOCOL, "the server does not say what it copied");
}

const struct s3_operation s3_copy = {
    .method = "PUT", .headers = copy_headers, .element = copy_element, .finish = copy_finish};

/* ---- delete many ---------------------------------------------------------------------------- */

struct delete_state {
    unsigned failed;
    enum error_class class; /* of the first */
    char key[64], code[64], first_key[64], first_code[64];
};

bool s3_xml_escape(struct buffer *out, const char *text, size_t length)
{
    int r = 0;

    for (size_t i = 0; i < length && r == 0; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\t' || c == '\n' || c == '\r')
            r = buffer_append_format(out, "&#%u;", c);
        else if (c < ' ' || c == 0x7f)
            return false;
        else
            r = buffer_append(out, &text[i], 1);
    }
    return r == 0;
}

static int delete_many_prepare(struct s3_call *call, struct error *err)
{
    const struct store_request *request = call->request;
    struct buffer *xml = &call->payload;
    int r;

    if (request->key_count == 0 || request->key_count > STORE_DELETE_MANY_MAX)
        return error_set(err, ERROR_INVALID, "%u keys are not 1 to %u", request->key_count,
                         STORE_DELETE_MANY_MAX);
    call->state = calloc(1, sizeof(struct delete_state));
    if (!call->state)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a request");
    r = buffer_append_str(xml, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                               "<Quiet>true</Quiet>");
    for (unsigned i = 0; i < request->key_count && r == 0; i++) {
        const char *key = request->keys[i];

        r = buffer_append_str(xml, "<Object><Key>");
        if (r == 0 && !s3_xml_escape(xml, key, strlen(key)))
            return error_set(err, ERROR_UNSUPPORTED,
                             "a key that XML cannot hold must be deleted by itself");
        if (r == 0)
            r = buffer_append_str(xml, "</Key></Object>");
    }
    if (r == 0)
        r = buffer_append_str(xml, "</Delete>");
    return r < 0 ? error_set(err, ERROR_TOO_LARGE, "too many keys for one request") : 0;
}

static int delete_many_query(struct s3_call *call, struct buffer *query)
{
    (void)call;
    return s3_query_add(query, "delete", NULL);
}

static void delete_many_headers(struct s3_call *call, struct s3_headers *headers)
{
    char md5[25];

    sign_md5_base64(call->payload.data, call->payload.length, md5);
    s3_header(headers, "content-md5", md5);
    s3_header(headers, "content-type", "application/xml");
}

static int delete_many_element(struct s3_call *call, const char *parent, const char *name,
                               char *text, size_t length)
{
    struct delete_state *state = call->state;

    (void)length;
    if (strcmp(parent, "Error") == 0 && strcmp(name, "Key") == 0) {
        snprintf(state->key, sizeof state->key, "%s", text);
    } else if (strcmp(parent, "Error") == 0 && strcmp(name, "Code") == 0) {
        snprintf(state->code, sizeof state->code, "%s", text);
    } else if (strcmp(parent, "DeleteResult") == 0 && strcmp(name, "Error") == 0) {
        enum error_class class = s3_code_class(state->code);

        if (class != ERROR_NOT_FOUND && state->failed++ == 0) {
            state->class = class == ERROR_NONE ? ERROR_SERVER : class;
            memcpy(state->first_key, state->key, sizeof state->key);
            memcpy(state->first_code, state->code, sizeof state->code);
        }
    }
    return 0;
}

static int delete_many_finish(struct s3_call *call, struct error *err)
{
    const struct delete_state *state = call->state;

    if (!state->failed)
        return 0;
    error_set(err, state->class, "%u of %u keys were not deleted, the first %s: %s", state->failed,
              call->request->key_count, state->first_key, state->first_code);
    err->http_status = 200;
    memcpy(err->code, state->first_code, sizeof err->code);
    return -error_errno(err);
}

static void free_state(struct s3_call *call)
{
    free(call->state);
}

const struct s3_operation s3_delete_many = {
    .method = "POST",
    .bucket = true,
    .prepare = delete_many_prepare,
    .query = delete_many_query,
    .headers = delete_many_headers,
    .element = delete_many_element,
    .finish = delete_many_finish,
    .release = free_state,
};

/* ---- buckets -------------------------------------------------------------------------------- */

/* Amazon wants the region named, except the first one, which must not be. */
static int create_bucket_prepare(struct s3_call *call, struct error *err)
{
    const char *region = call->store->settings.region;

    if (strcmp(region, "us-east-1") == 0)
        return 0;
    return buffer_append_format(
               &call->payload,
               "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
               "<LocationConstraint>%s</LocationConstraint></CreateBucketConfiguration>",
               region) < 0
               ? error_set(err, ERROR_NO_MEMORY, "no memory for a request")
               : 0;
}

const struct s3_operation s3_create_bucket = {
    .method = "PUT", .bucket = true, .prepare = create_bucket_prepare};

const struct s3_operation s3_delete_bucket = {.method = "DELETE", .bucket = true};
