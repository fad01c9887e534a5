/*
 * GetObject and HeadObject: conditions, ranges, and the `replace` fault, which puts another object
 * in place just before this one is looked up.
 */
#include "attributes.h"
#include "encode.h"
#include "handlers.h"
#include "pattern.h"
#include "request.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    bool given;
    uint64_t start, length;
};

/* One bytes= range; anything else, several ranges included, means the whole object. */
static enum s3_error parse_range(const char *text, uint64_t size, struct range *ret_range)
{
    struct range range = {.length = size};
    *ret_range = range;
    if (!text || strncmp(text, "bytes=", 6) || strchr(text, ','))
        return S3_OK;
    text += 6;
    char *dash;
    if (*text == '-') {
        uint64_t suffix;
        if (!encode_parse_u64(text + 1, &suffix))
            return S3_OK;
        if (!suffix || !size)
            return S3_InvalidRange;
        range.length = suffix < size ? suffix : size;
        range.start = size - range.length;
    } else {
        uint64_t last = UINT64_MAX;
        if (*text < '0' || *text > '9')
            return S3_OK;
        range.start = strtoull(text, &dash, 10);
        if (*dash != '-' || (dash[1] && !encode_parse_u64(dash + 1, &last)) || last < range.start)
            return S3_OK;
        if (range.start >= size)
            return S3_InvalidRange;
        range.length = last < size ? last - range.start + 1 : size - range.start;
    }
    range.given = true;
    *ret_range = range;
    return S3_OK;
}

/* A new object of the same name, size and headers, with other content and ETag. */
static void replace(struct request *request)
{
    struct store *store = &request->server->store;
    struct object *old;
    if (store_get(store, request->bucket, request->key, &old))
        return;
    struct object *object = object_new(old->key);
    if (object) {
        object->generation = old->generation + 1;
        uint64_t position = pattern_start(old->key) + (uint64_t)object->generation * PATTERN_STEP;
        attributes_etag(request->server, NULL, 0, object->etag);
        object->modified = server_now(request->server);
        if (body_from_pattern(position, old->body.size, &object->body) ||
            headers_copy(&old->headers, &object->headers))
            object_unref(object);
        else
            store_put(store, request->bucket, object, NULL);
    }
    object_unref(old);
}

static void override_headers(struct request *request)
{
    static const char *const NAMES[] = {"content-type",  "content-language",    "expires",
                                        "cache-control", "content-disposition", "content-encoding"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        char parameter[48];
        snprintf(parameter, sizeof(parameter), "response-%s", NAMES[i]);
        const char *value = request_query(request, parameter);
        if (!value)
            continue;
        headers_remove(&request->answer.headers, NAMES[i]);
        answer_header(request, NAMES[i], value);
    }
}

static enum s3_error invalid_range(struct request *request, uint64_t size)
{
    char text[48];
    snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)size);
    answer_header(request, "Content-Range", text);
    buf_printf(&request->answer.details, "<ActualObjectSize>%llu</ActualObjectSize>",
               (unsigned long long)size);
    return S3_InvalidRange;
}

static enum s3_error answer_with(struct request *request, struct object *object)
{
    const struct attributes_conditions conditions = {
        .if_match = request_header(request, "If-Match"),
        .if_none_match = request_header(request, "If-None-Match"),
        .if_modified_since = request_header(request, "If-Modified-Since"),
        .if_unmodified_since = request_header(request, "If-Unmodified-Since"),
    };
    enum s3_error error = attributes_check(&conditions, object);
    if (error) {
        answer_etag(request, object->etag);
        return error;
    }
    const char *if_range = request_header(request, "If-Range");
    const char *wanted = request_header(request, "Range");
    if (if_range && !store_etag_matches(if_range, object->etag))
        wanted = NULL;
    struct range range;
    uint64_t size = object->body.size;
    error = parse_range(wanted, size, &range);
    if (error)
        return invalid_range(request, size);
    const char *mode = request_header(request, "x-amz-checksum-mode");
    attributes_answer(request, object, mode && !strcmp(mode, "ENABLED") && !range.given);
    override_headers(request);
    if (range.given) {
        char text[80];
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)range.start,
                 (unsigned long long)(range.start + range.length - 1), (unsigned long long)size);
        answer_header(request, "Content-Range", text);
    }
    answer_object(request, range.given ? 206 : 200, object, range.start, range.length);
    return S3_OK;
}

enum s3_error get_run(struct request *request)
{
    struct object *object;
    if (request->fault.action == FAULT_REPLACE)
        replace(request);
    enum s3_error error =
        store_get(&request->server->store, request->bucket, request->key, &object);
    if (error)
        return error;
    error = answer_with(request, object);
    object_unref(object);
    return error;
}
