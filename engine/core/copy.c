/* Server-side copies: one request, or parts of equal size several at a time. See copy.h.
 *
 * Every request names the source's version, so that a copy is of one version or fails. An upload made
 * of copied parts declares no checksum: not every store can give one for them.
 */
#include "core/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/engine.h"

#define PARTS_IN_FLIGHT 8u

struct copying {
    struct engine *engine;
    const struct uri *from, *to;
    struct call *source; /* HEAD of it: size, ETag, metadata, type */
    const struct limits *limits;
};

static const struct store_object *source_of(const struct copying *copying)
{
    return &copying->source->request.object;
}

static struct call *new_call(const struct copying *copying, enum store_operation operation,
                             struct error *err)
{
    struct call *call = call_new(copying->engine, operation, copying->to, copying->limits, err);

    if (call) {
        call->request.source_bucket = copying->from->bucket;
        call->request.source_key = copying->from->key;
        call->request.if_match = source_of(copying)->etag[0] ? source_of(copying)->etag : NULL;
    }
    return call;
}

static int copy_whole(const struct copying *copying, struct error *err)
{
    struct call *call = new_call(copying, STORE_COPY, err);
    int r = call ? call_run(call, copying->limits, err) : -error_errno(err);

    call_delete(call);
    return r;
}

/* ---- by parts ----------------------------------------------------------------------------------- */

struct parts {
    const struct copying *copying;
    const char *upload_id;
    uint64_t part_bytes;
    unsigned count, started, ended;
    struct call **calls; /* started and not ended; NULL otherwise */
    struct store_part *results;
};

static int start_part(struct parts *parts, struct error *err)
{
    struct call *call = new_call(parts->copying, STORE_UPLOAD_PART_COPY, err);
    uint64_t size_bytes = source_of(parts->copying)->size_bytes;

    if (!call)
        return -error_errno(err);
    call->request.upload_id = parts->upload_id;
    call->request.part_number = parts->started + 1;
    call->request.offset = parts->started * parts->part_bytes;
    call->request.length = size_bytes - call->request.offset;
    if (call->request.length > parts->part_bytes)
        call->request.length = parts->part_bytes;
    parts->calls[parts->started++] = call;
    shard_lock(call->request.shard);
    call_start(call);
    shard_unlock(call->request.shard);
    return 0;
}

static int end_part(struct parts *parts, struct error *err)
{
    struct call *call = parts->calls[parts->ended];
    struct store_part *result = &parts->results[parts->ended];
    int r;

    shard_lock(call->request.shard);
    r = call_wait(call, parts->copying->limits, err);
    shard_unlock(call->request.shard);
    if (r < 0)
        return r;
    *result = call->request.part;
    result->number = parts->ended + 1;
    result->size_bytes = call->request.length;
    call_delete(call);
    parts->calls[parts->ended++] = NULL;
    return 0;
}

static int complete(struct parts *parts, struct error *err)
{
    struct call *call = call_new(parts->copying->engine, STORE_UPLOAD_COMPLETE, parts->copying->to,
                                 parts->copying->limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.upload_id = parts->upload_id;
    call->request.parts = parts->results;
    call->request.part_count = parts->count;
    r = call_run(call, parts->copying->limits, err);
    call_delete(call);
    return r;
}

static int run_parts(struct parts *parts, struct error *err)
{
    int r = 0;

    while (r == 0 && parts->ended < parts->count) {
        if (parts->started < parts->count && parts->started - parts->ended < PARTS_IN_FLIGHT)
            r = start_part(parts, err);
        else
            r = end_part(parts, err);
    }
    for (unsigned i = parts->ended; i < parts->started; i++)
        call_delete(parts->calls[i]);
    return r < 0 ? r : complete(parts, err);
}

static int run_parts_in_memory(struct parts *parts, struct error *err)
{
    int r;

    parts->calls = calloc(parts->count, sizeof *parts->calls);
    parts->results = calloc(parts->count, sizeof *parts->results);
    if (parts->calls && parts->results)
        r = run_parts(parts, err);
    else
        r = error_set(err, ERROR_NO_MEMORY, "copying by parts");
    free(parts->calls);
    free(parts->results);
    return r;
}

static void abort_upload(const struct copying *copying, const char *upload_id)
{
    struct error ignored;
    struct call *call = call_new(copying->engine, STORE_UPLOAD_ABORT, copying->to, NULL, &ignored);
    struct limits limits;

    limits_begin(&limits, copying->engine->operation_timeout_ns, NULL);
    if (call) {
        call->request.upload_id = upload_id;
        call_run(call, &limits, &ignored);
    }
    call_delete(call);
    limits_end(&limits);
}

static int copy_parts(const struct copying *copying, struct error *err)
{
    uint64_t size_bytes = source_of(copying)->size_bytes;
    struct call *create = new_call(copying, STORE_UPLOAD_CREATE, err);
    struct parts parts = {
        .copying = copying,
        .part_bytes = range_plan_copy_part_bytes(size_bytes),
    };
    int r;

    if (!create)
        return -error_errno(err);
    create->request.if_match = NULL;
    create->request.source_bucket = create->request.source_key = NULL;
    create->request.metadata = &source_of(copying)->metadata;
    create->request.content_type = source_of(copying)->content_type;
    r = call_run(create, copying->limits, err);
    if (r == 0) {
        parts.upload_id = create->request.returned_upload_id;
        parts.count = (unsigned)((size_bytes + parts.part_bytes - 1) / parts.part_bytes);
        r = run_parts_in_memory(&parts, err);
        if (r < 0)
            abort_upload(copying, parts.upload_id);
    }
    call_delete(create);
    return r;
}

int copy_object(struct engine *engine, const struct uri *from, const struct uri *to,
                const struct limits *limits, struct error *err)
{
    struct copying copying = {.engine = engine, .from = from, .to = to, .limits = limits};
    char text[ATTR_URI_BYTES];
    struct store *store;
    int r = engine_store(engine, from->scheme, &store, err);

    if (r < 0)
        return r;
    if (strcmp(from->scheme, to->scheme) != 0 || !(store->capabilities & STORE_CAP_COPY)) {
        error_set_errno(err, EXDEV, "the copy would not stay within one store");
        return -EXDEV;
    }
    copying.source = call_new(engine, STORE_HEAD, from, limits, err);
    if (!copying.source)
        return -error_errno(err);
    r = call_run(copying.source, limits, err);
    if (r == 0)
        r = source_of(&copying)->size_bytes <= STORE_PART_MAX ? copy_whole(&copying, err)
                                                              : copy_parts(&copying, err);
    call_delete(copying.source);
    attr_uri_text(to, text);
    attr_cache_forget(engine->attrs, text);
    return r;
}
