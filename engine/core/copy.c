/* Server-side copies: one request, or parts of equal size several at a time. See copy.h.
 *
 * Every request names the source's version, so that a copy is of one version or fails. An upload
 * made of copied parts declares no checksum: not every store can give one for them.
 *
 * Servers ignore conditions on the target of a plain copy. So a copy that must not replace anything
 * is an upload of copied parts, whose completion takes the condition, or for an empty object a put.
 * So does a copy by parts of an object onto itself, which must replace no other version.
 */
#include "core/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "core/call.h"
#include "core/copy_bytes.h"
#include "core/engine.h"
#include "core/tags.h"

#define PARTS_IN_FLIGHT 8u
#define WRITE_ID_NAME   "s3dlio-write-id"
#define WRITE_ID_DIGITS 32

struct copying {
    struct engine *engine;
    struct store *store;
    struct copy *copy;
    struct call *head; /* of the source; NULL: the caller had it */
    const struct store_object *source;
    struct store_metadata metadata;     /* with an id of its own, with tags */
    bool has_metadata;                  /* that is what is stored */
    char write_id[WRITE_ID_DIGITS + 1]; /* "" without */
    const struct limits *limits;
};

/* What is stored with the copy when the request has to say it. */
static const struct store_metadata *metadata_of(const struct copying *copying)
{
    if (copying->has_metadata)
        return &copying->metadata;
    return copying->copy->metadata ? copying->copy->metadata : &copying->source->metadata;
}

static bool has(const struct copying *copying, unsigned capabilities)
{
    return (copying->store->capabilities & capabilities) == capabilities;
}

static struct call *new_call(const struct copying *copying, enum store_operation operation,
                             struct error *err)
{
    return call_new(copying->engine, operation, copying->copy->to, copying->limits, err);
}

static struct call *new_copy(const struct copying *copying, enum store_operation operation,
                             struct error *err)
{
    struct call *call = new_call(copying, operation, err);

    if (call) {
        call->request.source_bucket = copying->copy->from->bucket;
        call->request.source_key = copying->copy->from->key;
        call->request.if_match = copying->source->etag[0] ? copying->source->etag : NULL;
    }
    return call;
}

static void keep_target(const struct copying *copying, const struct call *call)
{
    struct store_object *target = &copying->copy->target;

    *target = call->request.object;
    target->metadata = (struct store_metadata){0};
    target->size_bytes = copying->source->size_bytes;
}

static bool is_in_place(const struct copy *copy)
{
    return uri_is_same(copy->from, copy->to);
}

/* With its condition, if it has one and the store takes it. */
static int run_conditional(const struct copying *copying, struct call *call, struct error *err)
{
    int r = call_run(call, copying->limits, err);

    return r < 0 && call_condition_refused(call)
               ? call_run_without_condition(call, copying->limits, err)
               : r;
}

/* The request that makes the copy, and takes away what was there. A copy of an object onto itself
 * is the same bytes under another ETag. */
static int run_last(const struct copying *copying, struct call *call, struct error *err)
{
    const struct copy *copy = copying->copy;
    bool in_place = is_in_place(copy);
    struct reader_change_options options = {
        .names[0] = {.uri = copy->to, .keeps = !in_place},
    };
    struct reader_change *change;
    int r = reader_change_begin(copying->engine, &options, copying->limits, &change, err);

    if (r < 0)
        return r;
    r = call->request.operation == STORE_COPY ? call_run(call, copying->limits, err)
                                              : run_conditional(copying, call, err);
    if (r == 0 && in_place)
        reader_change_moved(change, copy->from, copying->source->etag, copy->to,
                            call->request.object.etag);
    reader_change_end(change);
    return r;
}

static int copy_whole(const struct copying *copying, struct error *err)
{
    struct call *call = new_copy(copying, STORE_COPY, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.metadata = copying->copy->metadata;
    call->request.content_type = copying->source->content_type;
    call->request.drop_tags = copying->copy->drops_tags;
    call->request.storage_class =
        store_metadata_get(&copying->source->metadata, ":x-amz-storage-class");
    r = run_last(copying, call, err);
    if (r == 0)
        keep_target(copying, call);
    call_delete(call);
    return r;
}

/* ---- copies that replace nothing ------------------------------------------------------------- */

static int make_id(struct copying *copying)
{
    random_hex(copying->write_id, WRITE_ID_DIGITS);
    return store_metadata_set(&copying->metadata, WRITE_ID_NAME, copying->write_id);
}

/* What only a plain copy takes along by itself, and the id of one that has to be found again. */
static int prepare_metadata(struct copying *copying, struct error *err)
{
    const struct copy *copy = copying->copy;
    bool has_tags = tags_exist(&copying->source->metadata) && !copy->drops_tags;
    bool has_id = copy->exclusive && copying->store->capabilities & STORE_CAP_METADATA;
    int r;

    if (!has_tags && !has_id)
        return 0;
    r = store_metadata_copy(metadata_of(copying), &copying->metadata);
    copying->has_metadata = true;
    if (r == 0 && has_id)
        r = make_id(copying);
    if (r < 0)
        return error_set_errno(err, -r, "copying an object");
    return has_tags
               ? tags_fetch(copying->engine, copy->from, copying->limits, &copying->metadata, err)
               : 0;
}

/* The last request has failed with r. If it may have worked all the same, the id in the metadata of
 * what is there tells: then 0. */
static int settle(const struct copying *copying, const struct call *call, int r)
{
    const char *found = NULL;
    struct error ignored;
    struct call *head;

    if (r >= 0 || !call->ambiguous || !copying->write_id[0])
        return r;
    head = new_call(copying, STORE_HEAD, &ignored);
    if (head && call_run(head, copying->limits, &ignored) == 0)
        found = store_metadata_get(&head->request.object.metadata, WRITE_ID_NAME);
    if (found && strcmp(found, copying->write_id) == 0) {
        keep_target(copying, head);
        r = 0;
    }
    call_delete(head);
    return r;
}

static int put_empty(const struct copying *copying, struct error *err)
{
    struct call *call = new_call(copying, STORE_PUT, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.metadata = metadata_of(copying);
    call->request.content_type = copying->source->content_type;
    r = copying->copy->exclusive ? call_run_exclusive(call, copying->limits, err)
                                 : call_run(call, copying->limits, err);
    if (r == 0)
        keep_target(copying, call);
    r = settle(copying, call, r);
    call_delete(call);
    return r;
}

/* ---- by parts -------------------------------------------------------------------------------- */

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
    struct call *call = new_copy(parts->copying, STORE_UPLOAD_PART_COPY, err);
    uint64_t size_bytes = parts->copying->source->size_bytes;

    if (!call)
        return -error_errno(err);
    call->request.upload_id = parts->upload_id;
    call->request.part_number = parts->started + 1;
    call->request.offset = parts->started * parts->part_bytes;
    call->request.length = size_bytes - call->request.offset;
    if (call->request.length > parts->part_bytes)
        call->request.length = parts->part_bytes;
    parts->calls[parts->started++] = call;
    call_begin(call);
    return 0;
}

static int end_part(struct parts *parts, struct error *err)
{
    struct call *call = parts->calls[parts->ended];
    struct store_part *result = &parts->results[parts->ended];
    int r = call_end(call, parts->copying->limits, err);

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
    const struct copying *copying = parts->copying;
    struct call *call = new_call(copying, STORE_UPLOAD_COMPLETE, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.upload_id = parts->upload_id;
    call->request.parts = parts->results;
    call->request.part_count = parts->count;
    call->request.if_none_match = copying->copy->exclusive && has(copying, STORE_CAP_IF_NONE_MATCH);
    if (is_in_place(copying->copy) && has(copying, STORE_CAP_IF_MATCH_PUT))
        call->request.if_match = copying->source->etag[0] ? copying->source->etag : NULL;
    r = run_last(copying, call, err);
    if (r == 0)
        keep_target(copying, call);
    r = settle(copying, call, r);
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
    struct call *call =
        call_new(copying->engine, STORE_UPLOAD_ABORT, copying->copy->to, NULL, &ignored);
    struct limits limits;

    limits_begin_within(&limits, copying->engine->operation_timeout_ns);
    if (call) {
        call->request.upload_id = upload_id;
        call_run(call, &limits, &ignored);
    }
    call_delete(call);
    limits_end(&limits);
}

static uint64_t part_bytes(const struct copying *copying)
{
    uint64_t bytes = range_plan_copy_part_bytes(copying->source->size_bytes);
    uint64_t most = store_copy_max(copying->store);

    if (most < STORE_PART_MIN)
        most = STORE_PART_MIN;
    return bytes < most ? bytes : most;
}

static int copy_parts(const struct copying *copying, struct error *err)
{
    uint64_t size_bytes = copying->source->size_bytes;
    struct call *create = new_call(copying, STORE_UPLOAD_CREATE, err);
    struct parts parts = {
        .copying = copying,
        .part_bytes = part_bytes(copying),
    };
    int r;

    if (!create)
        return -error_errno(err);
    create->request.metadata = metadata_of(copying);
    create->request.content_type = copying->source->content_type;
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

/* ---- which way ------------------------------------------------------------------------------- */

static int look_at_source(struct copying *copying, struct error *err)
{
    int r;

    copying->source = copying->copy->known;
    if (copying->source)
        return 0;
    copying->head =
        call_new(copying->engine, STORE_HEAD, copying->copy->from, copying->limits, err);
    if (!copying->head)
        return -error_errno(err);
    copying->source = &copying->head->request.object;
    r = call_run(copying->head, copying->limits, err);
    if (r == 0) {
        copying->copy->source = *copying->source;
        copying->copy->source.metadata = (struct store_metadata){0};
    }
    return r;
}

/* Read and sent: what is too large for one request, where parts cannot be copied. */
static int copy_through(const struct copying *copying, struct error *err)
{
    struct copy *copy = copying->copy;
    struct copy_bytes bytes = {
        .from = copy->from,
        .to = copy->to,
        .source = copying->source,
        .metadata = metadata_of(copying),
        .in_place = is_in_place(copy),
        .exclusive = copy->exclusive,
    };

    store_tell_lack(STORE_CAP_PART_COPY);
    return copy_bytes(copying->engine, &bytes, copying->limits, &copy->target, err);
}

static int copy_run(struct copying *copying, struct error *err)
{
    bool exclusive =
        copying->copy->exclusive && has(copying, STORE_CAP_IF_NONE_MATCH | STORE_CAP_PART_COPY);
    bool fits = copying->source->size_bytes <= store_copy_max(copying->store);
    int r;

    if (!exclusive && fits && has(copying, STORE_CAP_COPY)) {
        r = copy_whole(copying, err);
        if (r == 0 || has(copying, STORE_CAP_COPY)) /* which may have been lost just now */
            return r;
    }
    r = prepare_metadata(copying, err);
    if (r < 0)
        return r;
    if (copying->source->size_bytes == 0)
        return put_empty(copying, err);
    if (has(copying, STORE_CAP_PART_COPY)) {
        r = copy_parts(copying, err);
        if (r == 0 || has(copying, STORE_CAP_PART_COPY))
            return r;
    }
    return fits && has(copying, STORE_CAP_COPY) ? copy_whole(copying, err)
                                                : copy_through(copying, err);
}

int copy_version(struct engine *engine, struct copy *copy, const struct limits *limits,
                 struct error *err)
{
    struct copying copying = {.engine = engine, .copy = copy, .limits = limits};
    char text[ATTR_URI_BYTES];
    int r = engine_store(engine, copy->from->scheme, &copying.store, err);

    if (r < 0)
        return r;
    if (strcmp(copy->from->scheme, copy->to->scheme) != 0 ||
        !(copying.store->capabilities & (STORE_CAP_COPY | STORE_CAP_PART_COPY)))
        return error_set_errno(err, EXDEV, "the copy would not stay within one store");
    r = look_at_source(&copying, err);
    if (r == 0)
        r = copy_run(&copying, err);
    call_delete(copying.head);
    store_metadata_fini(&copying.metadata);
    attr_uri_text(copy->to, text);
    if (uri_is_same(copy->from, copy->to)) /* its directory is as it was */
        attr_cache_doubt(engine->attrs, text, true);
    else
        attr_cache_forget(engine->attrs, text);
    return r;
}

int copy_object(struct engine *engine, const struct uri *from, const struct uri *to,
                const struct limits *limits, struct error *err)
{
    struct copy copy = {.from = from, .to = to};

    return copy_version(engine, &copy, limits, err);
}
