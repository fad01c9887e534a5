/*
 * PutObject: attributes are read before the body, so that a bad header is answered without waiting
 * for the content; conditions are judged when the object takes its place, under the store's lock.
 */
#include "attributes.h"
#include "handlers.h"
#include "pattern.h"
#include "request.h"
#include "server.h"

#include <string.h>

enum s3_error put_begin(struct request *request)
{
    struct headers headers;
    char region[STORE_REGION_BYTES];
    if (!store_bucket_region(&request->server->store, request->bucket, region))
        return S3_NoSuchBucket;
    enum s3_error error = attributes_read(request, &headers);
    if (error)
        return error;
    headers_fini(&headers);
    return intake_begin(request, INTAKE_DATA, CHECKSUM_NONE, request->server->config.etag_md5);
}

/* How often the key was written while discarding: each time the content differs. */
static uint32_t next_generation(struct request *request)
{
    struct object *old;
    if (!request->server->config.discard ||
        store_get(&request->server->store, request->bucket, request->key, &old))
        return 0;
    uint32_t generation = old->generation + 1;
    object_unref(old);
    return generation;
}

enum s3_error put_run(struct request *request)
{
    struct intake *intake = &request->intake;
    struct object *object = object_new(request->key);
    if (!object)
        return S3_InternalError;
    enum s3_error error = attributes_read(request, &object->headers);
    object->generation = next_generation(request);
    uint64_t position = pattern_start(object->key) + (uint64_t)object->generation * PATTERN_STEP;
    if (!error)
        error = intake_body(request, position, &object->body);
    if (error) {
        object_unref(object);
        return error;
    }
    object->modified = server_now(request->server);
    attributes_etag(request->server, intake->md5_value, 0, object->etag);
    enum checksum_kind kind = intake->check_sum ? intake->sum.kind : CHECKSUM_NONE;
    attributes_answer_checksum(request, kind, intake->sum_value, 0);
    if (!request->server->config.discard) {
        object->checksum_kind = kind;
        memcpy(object->checksum, intake->sum_value, sizeof(object->checksum));
    }
    answer_etag(request, object->etag);
    const struct store_condition condition = {
        .if_match = request_header(request, "If-Match"),
        .if_none_match = request_header(request, "If-None-Match"),
    };
    error = store_put(&request->server->store, request->bucket, object, &condition);
    if (error)
        headers_fini(&request->answer.headers);
    else
        answer_empty(request, 200);
    return error;
}
