/* Putting an object up: one request, or the beginning and the end of many. See upload.h; the
 * parts are in upload_parts.c. */
#include "core/upload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "core/upload_private.h"

#define ABORT_TRIES      3
#define ABORT_TIMEOUT_NS (30 * NS_PER_S)

/* ---- life ------------------------------------------------------------------------------------ */

static int set_metadata(struct upload *upload, const struct upload_options *options)
{
    const struct store_metadata *kept = options->metadata;
    struct attr attr;
    int r = 0;

    if (!attr_is_kept(upload->store))
        return 0;
    if (upload->store->capabilities & STORE_CAP_METADATA) {
        random_hex(upload->write_id, UPLOAD_ID_DIGITS);
        r = store_metadata_add(&upload->metadata, UPLOAD_ID_NAME, upload->write_id);
    }
    if (r == 0 && options->attr) {
        attr = attr_of_new(upload->store, options->attr);
        r = attr_to_metadata(&attr, &upload->metadata);
    }
    for (size_t at = 0; r == 0 && kept && at < kept->length;) {
        const char *name = kept->data + at, *value = name + strlen(name) + 1;

        if (!store_metadata_get(&upload->metadata, name))
            r = store_metadata_add(&upload->metadata, name, value);
        at = (size_t)(value + strlen(value) + 1 - kept->data);
    }
    return r;
}

int upload_new(struct engine *engine, const struct uri *uri, const struct upload_options *options,
               struct upload **ret_upload, struct error *err)
{
    struct upload *upload = calloc(1, sizeof *upload);
    int r;

    if (!upload)
        return error_set(err, ERROR_NO_MEMORY, "beginning an upload");
    upload->engine = engine;
    upload->uri = *uri;
    if (options->attr)
        upload->attr = *options->attr;
    upload->plain = options->has_copies;
    upload->appends = options->appends;
    upload->owner = options->owner;
    if (options->base_etag)
        snprintf(upload->base_etag, sizeof upload->base_etag, "%s", options->base_etag);
    upload->copy_uri = options->copy_uri ? *options->copy_uri : *uri;
    snprintf(upload->copy_etag, sizeof upload->copy_etag, "%s",
             options->copy_uri ? options->copy_etag : upload->base_etag);
    r = engine_store(engine, uri->scheme, &upload->store, err);
    if (r == 0) {
        upload->endpoint = engine_endpoint(engine, upload->store);
        upload->absent = options->exclusive;
        upload->exclusive =
            options->exclusive && (upload->store->capabilities & STORE_CAP_IF_NONE_MATCH);
        if (options->content_type)
            upload->content_type = strdup(options->content_type);
        r = options->content_type && !upload->content_type ? -ENOMEM
                                                           : set_metadata(upload, options);
        if (r < 0)
            error_set_errno(err, -r, "beginning an upload");
    }
    if (r < 0) {
        upload_free(upload);
        return r;
    }
    *ret_upload = upload;
    return 0;
}

void upload_free(struct upload *upload)
{
    if (!upload)
        return;
    free(upload->content_type);
    store_metadata_fini(&upload->metadata);
    free(upload->upload_id);
    free(upload->parts);
    free(atomic_load(&upload->wake)); /* of a wait that was left by longjmp */
    free(upload);
}

void upload_tell_attr(const struct upload *upload, struct attr *ret_attr)
{
    attr_from_object(&upload->object, &upload->uri, ret_attr);
    attr_take_stored(ret_attr, &upload->attr);
}

static const char *const attr_names[] = {"mode", "uid", "gid", "mtime", "atime"};

void upload_expect_nothing(struct upload *upload)
{
    upload->base_etag[0] = '\0';
    upload->begins_as_base = false;
    upload->absent = true;
    upload->exclusive = upload->store->capabilities & STORE_CAP_IF_NONE_MATCH;
}

bool upload_rename(struct upload *upload, const struct uri *uri, bool exclusive)
{
    bool was = upload->absent;

    upload->uri = upload->copy_uri = *uri;
    upload->absent = exclusive;
    upload->exclusive = exclusive && upload->store->capabilities & STORE_CAP_IF_NONE_MATCH;
    return was;
}

int upload_renew(struct upload *upload)
{
    if (!upload->write_id[0])
        return 0;
    random_hex(upload->write_id, UPLOAD_ID_DIGITS);
    return store_metadata_set(&upload->metadata, UPLOAD_ID_NAME, upload->write_id);
}

void upload_set_begins_as_base(struct upload *upload, bool begins)
{
    upload->begins_as_base = begins && upload->base_etag[0];
}

bool upload_is_doubtful(const struct upload *upload)
{
    return upload->doubtful;
}

bool upload_has_begun(const struct upload *upload)
{
    return upload->upload_id || upload->sent_count;
}

int upload_set_attr(struct upload *upload, const struct attr *attr)
{
    struct attr made;

    attr_merge(&upload->attr, attr);
    if (upload_has_begun(upload))
        return 1;
    for (size_t i = 0; i < sizeof attr_names / sizeof attr_names[0]; i++)
        store_metadata_set(&upload->metadata, attr_names[i], NULL);
    if (!attr_is_kept(upload->store))
        return 0;
    made = attr_of_new(upload->store, &upload->attr);
    return attr_to_metadata(&made, &upload->metadata);
}

int upload_set_metadata(struct upload *upload, const char *name, const struct store_metadata *from)
{
    if (upload_has_begun(upload))
        return 1;
    return store_metadata_set(&upload->metadata, name, store_metadata_get(from, name));
}

void upload_drop_mtime(struct upload *upload)
{
    upload->attr.has &= ~(unsigned)ATTR_HAS_MTIME;
    store_metadata_set(&upload->metadata, "mtime", NULL);
}

unsigned upload_part_count(const struct upload *upload)
{
    return upload->sent_count;
}

void upload_fail(struct upload *upload, const struct error *error)
{
    if (upload->failure.class == ERROR_NONE)
        upload->failure = *error;
}

int upload_fail_with(struct upload *upload, int r, const struct error *error)
{
    upload_fail(upload, error);
    return r;
}

int upload_check(struct upload *upload, struct error *err)
{
    if (upload->failure.class == ERROR_NONE)
        return 0;
    *err = upload->failure;
    return -error_errno(err);
}

static void describe_write(const struct upload *upload, struct store_request *request)
{
    request->metadata = upload->metadata.length ? &upload->metadata : NULL;
    request->content_type =
        upload->content_type ? upload->content_type : "application/octet-stream";
}

/* Readers of the base read on from what it has become. */
static void tell_added(const struct upload *upload, struct reader_change *change)
{
    struct attr attr;

    upload_tell_attr(upload, &attr);
    reader_change_added(change, &upload->uri, upload->base_etag, attr.etag, attr.size_bytes);
}

/* The request that makes the object, and takes away the one that was there: this process's readers
 * of that keep it. */
static int run_last(struct upload *upload, struct call *call, const struct limits *limits,
                    struct error *err)
{
    struct reader_change_options options = {
        .names[0] = {.uri = &upload->uri, .keeps = !upload->exclusive && !upload->begins_as_base},
        .owner = upload->owner,
    };
    struct reader_change *change;
    int r = deferred_wait(upload->engine, &upload->uri, limits, err);

    if (r == 0)
        r = upload_check_base(upload, limits, err);
    if (r == 0)
        r = reader_change_begin(upload->engine, &options, limits, &change, err);
    if (r != 0)
        return r;
    r = call_run(call, limits, err);
    if (r < 0 && call_condition_refused(call))
        r = upload_run_without_condition(upload, call, limits, err);
    if (r == 0)
        upload_keep_object(upload, &call->request.object);
    else
        r = upload_settle(upload, call, r, limits);
    if (r == 0 && upload->begins_as_base)
        tell_added(upload, change);
    reader_change_end(change);
    if (r == 0)
        deferred_forgive(upload->engine, &upload->uri);
    return r;
}

/* ---- one request ----------------------------------------------------------------------------- */

int upload_put_prepare(struct upload *upload, const struct limits *limits, struct error *err)
{
    return upload_check_base(upload, limits, err);
}

void upload_put_describe(struct upload *upload, const struct upload_memory *memory,
                         struct iovec *body, struct store_request *request)
{
    *body = (struct iovec){(void *)memory->data, memory->size_bytes};
    upload->size_bytes = memory->size_bytes;
    request->body = body;
    request->body_count = memory->size_bytes ? 1 : 0;
    request->body_crc32c = memory->crc32c;
    request->has_body_crc32c = true;
    request->if_none_match = upload->exclusive;
    request->if_match = upload_if_match(upload);
    describe_write(upload, request);
}

int upload_put(struct upload *upload, const struct upload_memory *memory,
               const struct limits *limits, struct error *err)
{
    struct call *call = call_new(upload->engine, STORE_PUT, &upload->uri, limits, err);
    struct iovec *body = malloc(sizeof *body);
    int r;

    if (!call || !body) {
        r = call ? error_set(err, ERROR_NO_MEMORY, "sending an object") : -error_errno(err);
    } else {
        upload_put_describe(upload, memory, body, &call->request);
        r = run_last(upload, call, limits, err);
    }
    call_delete(call);
    free(body);
    if (memory->release)
        memory->release(memory->arg);
    return r < 0 ? upload_fail_with(upload, r, err) : 0;
}

/* ---- a multipart upload ---------------------------------------------------------------------- */

int upload_create(struct upload *upload, const struct limits *limits, struct error *err)
{
    struct call *call;
    int r;

    if (upload->upload_id)
        return 0;
    call = call_new(upload->engine, STORE_UPLOAD_CREATE, &upload->uri, limits, err);
    if (!call)
        return -error_errno(err);
    call->request.upload_crc32c = !upload->plain;
    describe_write(upload, &call->request);
    r = call_run(call, limits, err);
    if (r == 0 && !upload->upload_id) { /* a signal handler's call may have been first */
        upload->upload_id = strdup(call->request.returned_upload_id);
        if (!upload->upload_id)
            r = error_set(err, ERROR_NO_MEMORY, "beginning an upload");
    }
    call_delete(call);
    return r;
}

/* ---- the end --------------------------------------------------------------------------------- */

static uint32_t total_crc32c(const struct upload *upload)
{
    uint32_t crc = 0;

    for (unsigned i = 0; i < upload->part_count && !upload->plain; i++)
        crc = crc32c_combine(crc, upload->parts[i].crc32c, upload->parts[i].size_bytes);
    return crc;
}

int upload_complete(struct upload *upload, const struct limits *limits, struct error *err)
{
    struct call *call;
    int r = upload_check(upload, err);

    while (r == 0 && upload->in_flight)
        r = upload_wait_part(upload, limits, err);
    if (r < 0)
        return upload_fail_with(upload, r, err);
    call = call_new(upload->engine, STORE_UPLOAD_COMPLETE, &upload->uri, limits, err);
    if (!call)
        return upload_fail_with(upload, -error_errno(err), err);
    call->request.upload_id = upload->upload_id;
    call->request.parts = upload->parts;
    call->request.part_count = upload->part_count;
    call->request.upload_crc32c = !upload->plain;
    call->request.total_crc32c = total_crc32c(upload);
    call->request.if_none_match = upload->exclusive;
    call->request.if_match = upload_if_match(upload);
    r = run_last(upload, call, limits, err);
    call_delete(call);
    if (r < 0)
        return upload_fail_with(upload, r, err);
    free(upload->upload_id);
    upload->upload_id = NULL;
    return upload_check_copies(upload, limits, err);
}

/* A part on its way may still arrive after an abort: it is repeated until the store knows
 * nothing. */
void upload_abort(struct upload *upload)
{
    struct error error = {0};
    struct limits limits;
    int r = 0;

    upload_drop_parts(upload);
    limits_begin_within(&limits, ABORT_TIMEOUT_NS);
    for (unsigned tries = 0; r == 0 && upload->upload_id && tries < ABORT_TRIES; tries++) {
        struct call *call =
            call_new(upload->engine, STORE_UPLOAD_ABORT, &upload->uri, &limits, &error);

        if (!call)
            break;
        call->request.upload_id = upload->upload_id;
        r = call_run(call, &limits, &error);
        call_delete(call);
    }
    limits_end(&limits);
    free(upload->upload_id);
    upload->upload_id = NULL;
}

void upload_leave(struct upload *upload)
{
    if (!upload)
        return;
    upload_drop_parts(upload);
    upload_free(upload);
}

void upload_forget(struct upload *upload)
{
    if (!upload)
        return;
    upload_forget_parts(upload);
    upload_free(upload);
}
