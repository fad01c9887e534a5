/* The head of a request: line, headers, signature. Written anew for every attempt, because a
 * signature is as old as its time. Works on heap memory, for the caller's stack may be small.
 *
 * Everything that comes from names is percent-encoded by one function, in the path, in queries
 * and in the source of a copy; header values with control characters are refused.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/percent.h"
#include "http/sign_v4.h"
#include "store/s3.h"

#define HEADERS_MAX 192
#define TEXT_MAX    ((size_t)64 << 10)
#define QUERY_MAX   ((size_t)32 << 10)

#ifndef S3DLIO_VERSION
#    define S3DLIO_VERSION "0"
#endif

struct s3_headers {
    struct buffer text;                             /* "name\0value\0…" */
    size_t names[HEADERS_MAX], values[HEADERS_MAX]; /* offsets in text */
    unsigned count;
    int errnum; /* the first thing that went wrong */
    const char *why;
};

/* All that one head is made of. */
struct head_builder {
    struct s3_headers headers;
    struct buffer path, query, authorization;
    struct sign_header signed_headers[HEADERS_MAX];
    char payload_hash[65];
};

void s3_header_error(struct s3_headers *headers, int errnum, const char *why)
{
    if (headers->errnum)
        return;
    headers->errnum = errnum;
    headers->why = why;
}

static bool value_is_valid(const char *value)
{
    for (; *value; value++)
        if (((unsigned char)*value < ' ' && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

void s3_header(struct s3_headers *headers, const char *name, const char *value)
{
    size_t name_at = headers->text.length, value_at = name_at + strlen(name) + 1;

    if (!value_is_valid(value)) {
        s3_header_error(headers, EINVAL, "a header's value has control characters");
        return;
    }
    if (headers->count == HEADERS_MAX) {
        s3_header_error(headers, EMSGSIZE, "there are too many headers");
        return;
    }
    if (buffer_append(&headers->text, name, strlen(name) + 1) < 0 ||
        buffer_append(&headers->text, value, strlen(value) + 1) < 0) {
        s3_header_error(headers, EMSGSIZE, "the headers are too long");
        return;
    }
    headers->names[headers->count] = name_at;
    headers->values[headers->count++] = value_at;
}

void s3_header_format(struct s3_headers *headers, const char *name, const char *format, ...)
{
    char value[512];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(value, sizeof value, format, args);
    va_end(args);
    if (length < (int)sizeof value)
        s3_header(headers, name, value);
    else
        s3_header_error(headers, EMSGSIZE, "a header is too long");
}

void s3_header_source(struct s3_headers *headers, const struct store_request *request)
{
    struct buffer source;
    int r;

    buffer_init(&source, TEXT_MAX);
    r = buffer_append_str(&source, "/");
    if (r == 0)
        r = percent_encode(&source, request->source_bucket, strlen(request->source_bucket), false);
    if (r == 0)
        r = buffer_append_str(&source, "/");
    if (r == 0)
        r = percent_encode(&source, request->source_key, strlen(request->source_key), true);
    if (r == 0)
        s3_header(headers, "x-amz-copy-source", buffer_str(&source));
    else
        s3_header_error(headers, -r, "the source's name is too long");
    buffer_fini(&source);
}

int s3_query_add(struct buffer *query, const char *name, const char *value)
{
    int r = query->length ? buffer_append_str(query, "&") : 0;

    if (r == 0)
        r = buffer_append_str(query, name);
    if (r == 0)
        r = buffer_append_str(query, "=");
    if (r == 0 && value)
        r = percent_encode(query, value, strlen(value), false);
    return r;
}

/* ---- the head ------------------------------------------------------------------------------- */

static int build_path(const struct s3_call *call, struct buffer *path)
{
    const struct s3_operation *operation = call->operation;
    const struct store_request *request = call->request;
    int r = buffer_append_str(path, call->store->settings.base_path);

    if (r == 0 && !operation->service && call->target.path_style) {
        r = buffer_append_str(path, "/");
        if (r == 0)
            r = percent_encode(path, request->bucket, strlen(request->bucket), false);
    }
    if (r == 0 && (!operation->bucket || !call->target.path_style))
        r = buffer_append_str(path, "/");
    if (r == 0 && !operation->service && !operation->bucket)
        r = percent_encode(path, request->key, strlen(request->key), true);
    return r;
}

static const char *method_of(const struct s3_call *call)
{
    return call->as_get ? "GET" : call->operation->method;
}

static bool has_body(const struct s3_call *call)
{
    const char *method = call->operation->method;

    return strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0;
}

static uint64_t body_length(const struct s3_call *call)
{
    return call->operation->sends_body ? store_body_length(call->request) : call->payload.length;
}

/* A body carries its CRC32C, or is protected by TLS; where neither, parts of uploads with copies,
 * the signature covers it: all servers check that. */
static void hash_body(const struct s3_call *call, char ret_hash[65])
{
    const struct store_request *request = call->request;

    if (request->has_body_crc32c || call->store->settings.tls)
        strcpy(ret_hash, SIGN_UNSIGNED_PAYLOAD);
    else
        sign_sha256_hex_of(request->body, request->body_count, ret_hash);
}

static void add_common_headers(struct s3_call *call, struct head_builder *builder, time_t now)
{
    struct s3_headers *headers = &builder->headers;
    char stamp[17];

    s3_header(headers, "host", call->target.endpoint->host_header);
    s3_header(headers, "user-agent", "s3dlio/" S3DLIO_VERSION);
    if (call->as_get)
        s3_header(headers, "range", "bytes=0-0");
    if (call->operation->headers)
        call->operation->headers(call, headers);
    if (call->store->requester_pays)
        s3_header(headers, "x-amz-request-payer", "requester");
    if (credentials_are_anonymous(call->credentials))
        return;
    if (call->operation->sends_body && store_body_length(call->request) > 0)
        hash_body(call, builder->payload_hash);
    else if (call->payload.length)
        sign_sha256_hex(call->payload.data, call->payload.length, builder->payload_hash);
    else
        strcpy(builder->payload_hash, SIGN_EMPTY_SHA256);
    sign_v4_timestamp(now, stamp);
    s3_header(headers, "x-amz-content-sha256", builder->payload_hash);
    s3_header(headers, "x-amz-date", stamp);
    if (call->credentials->token)
        s3_header(headers, "x-amz-security-token", call->credentials->token);
}

static int add_signature(const struct s3_call *call, struct head_builder *builder, time_t now)
{
    struct s3_headers *headers = &builder->headers;
    unsigned count = 0;

    for (unsigned i = 0; i < headers->count; i++) {
        struct sign_header header = {headers->text.data + headers->names[i],
                                     headers->text.data + headers->values[i]};

        if (strcmp(header.name, "user-agent") != 0) /* proxies change it */
            builder->signed_headers[count++] = header;
    }
    return sign_v4_authorization(
        &(struct sign_v4){
            .method = method_of(call),
            .path = buffer_str(&builder->path),
            .query = buffer_str(&builder->query),
            .headers = builder->signed_headers,
            .header_count = count,
            .payload_hash = builder->payload_hash,
            .access_key = call->credentials->access_key,
            .secret_key = call->credentials->secret_key,
            .region = call->target.region,
            .service = "s3",
            .when = now,
        },
        &builder->authorization);
}

static int put_together(const struct s3_call *call, const struct head_builder *builder,
                        struct buffer *head)
{
    const struct s3_headers *headers = &builder->headers;
    int r = buffer_append_format(head, "%s %s%s%s HTTP/1.1\r\n", method_of(call),
                                 buffer_str(&builder->path), builder->query.length ? "?" : "",
                                 buffer_str(&builder->query));

    for (unsigned i = 0; i < headers->count && r == 0; i++)
        r = buffer_append_format(head, "%s: %s\r\n", headers->text.data + headers->names[i],
                                 headers->text.data + headers->values[i]);
    if (r == 0 && builder->authorization.length)
        r = buffer_append_format(head, "authorization: %s\r\n",
                                 buffer_str(&builder->authorization));
    if (r == 0 && has_body(call))
        r = buffer_append_format(head, "content-length: %llu\r\n",
                                 (unsigned long long)body_length(call));
    return r;
}

static int build_head(struct s3_call *call, struct head_builder *builder, struct buffer *head,
                      struct error *err)
{
    time_t now = time(NULL) + (time_t)atomic_load(&call->store->clock_correction_s);
    int r = build_path(call, &builder->path);

    if (r == 0 && call->operation->query)
        r = call->operation->query(call, &builder->query);
    if (r < 0)
        return error_set(err, ERROR_TOO_LONG, "the request's names are too long");
    add_common_headers(call, builder, now);
    if (builder->headers.errnum)
        return error_set_errno(err, builder->headers.errnum, "%s", builder->headers.why);
    if (!credentials_are_anonymous(call->credentials) && add_signature(call, builder, now) < 0)
        return error_set(err, ERROR_NO_MEMORY, "the request could not be signed");
    if (put_together(call, builder, head) < 0)
        return error_set(err, ERROR_TOO_LONG, "the request's head is too long");
    return 0;
}

int s3_write_head(struct s3_call *call, struct buffer *head, struct error *err)
{
    struct credentials *credentials;
    struct head_builder *builder;
    int r = credential_chain_get(call->store->chain, &credentials, err);

    if (r < 0)
        return r == -EAGAIN ? error_set(err, ERROR_BUSY, "the credentials are being fetched") : r;
    credentials_unref(call->credentials);
    call->credentials = credentials;
    builder = calloc(1, sizeof *builder);
    if (!builder)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a request");
    buffer_init(&builder->headers.text, TEXT_MAX);
    buffer_init(&builder->path, QUERY_MAX);
    buffer_init(&builder->query, QUERY_MAX);
    buffer_init(&builder->authorization, TEXT_MAX);
    r = build_head(call, builder, head, err);
    buffer_fini(&builder->headers.text);
    buffer_fini(&builder->path);
    buffer_fini(&builder->query);
    buffer_fini(&builder->authorization);
    free(builder);
    return r;
}
