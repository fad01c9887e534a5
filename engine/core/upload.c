/* Putting an object up: parts in flight, completion, lost answers, abort. See upload.h.
 *
 * Parts in flight form a list in order of their numbers and are reaped from its head, so the
 * results end up in order. A part's struct is written by its shard until `ended` is stored; only
 * then, and under that shard's lock, does the owner take it apart.
 */
#include "core/upload.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "core/upload_private.h"

#define ABORT_TRIES      3
#define ABORT_TIMEOUT_NS (30 * NS_PER_S)

struct part {
    struct call call;
    struct upload_memory memory;
    struct iovec body;
    struct part *prev, *next;
    unsigned waiters; /* calls that sleep on it, one inside the other */
    bool released, reaped;
    atomic_bool ended;
};

/* ---- life ------------------------------------------------------------------------------------ */

static int set_metadata(struct upload *upload, const struct upload_options *options)
{
    const struct store_metadata *kept = options->metadata;
    int r;

    if (!(upload->store->capabilities & STORE_CAP_METADATA))
        return 0;
    random_hex(upload->write_id, UPLOAD_ID_DIGITS);
    r = store_metadata_add(&upload->metadata, UPLOAD_ID_NAME, upload->write_id);
    if (r == 0 && options->attr)
        r = attr_to_metadata(options->attr, &upload->metadata);
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
    free(upload);
}

void upload_tell_attr(const struct upload *upload, struct attr *ret_attr)
{
    attr_from_object(&upload->object, &upload->uri, ret_attr);
    attr_take_stored(ret_attr, &upload->attr);
}

static const char *const attr_names[] = {"mode", "uid", "gid", "mtime"};

void upload_expect_nothing(struct upload *upload)
{
    upload->base_etag[0] = '\0';
    upload->absent = true;
    upload->exclusive = upload->store->capabilities & STORE_CAP_IF_NONE_MATCH;
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
    attr_merge(&upload->attr, attr);
    if (upload_has_begun(upload))
        return 1;
    for (size_t i = 0; i < sizeof attr_names / sizeof attr_names[0]; i++)
        store_metadata_set(&upload->metadata, attr_names[i], NULL);
    if (!(upload->store->capabilities & STORE_CAP_METADATA))
        return 0;
    return attr_to_metadata(&upload->attr, &upload->metadata);
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

static int fail(struct upload *upload, int r, const struct error *error)
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

/* The request that makes the object, and takes away the one that was there: this process's readers
 * of that keep it. */
static int run_last(struct upload *upload, struct call *call, const struct limits *limits,
                    struct error *err)
{
    struct reader_change_options options = {
        .names[0] = {.uri = &upload->uri, .keeps = !upload->exclusive},
        .owner = upload->owner,
    };
    struct reader_change *change;
    int r = upload_check_base(upload, limits, err);

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
    reader_change_end(change);
    return r;
}

/* ---- one request ----------------------------------------------------------------------------- */

int upload_put(struct upload *upload, const struct upload_memory *memory,
               const struct limits *limits, struct error *err)
{
    struct call *call = call_new(upload->engine, STORE_PUT, &upload->uri, limits, err);
    struct iovec *body = malloc(sizeof *body);
    int r;

    if (!call || !body) {
        r = call ? error_set(err, ERROR_NO_MEMORY, "sending an object") : -error_errno(err);
    } else {
        *body = (struct iovec){(void *)memory->data, memory->size_bytes};
        upload->size_bytes = memory->size_bytes;
        call->request.body = body;
        call->request.body_count = memory->size_bytes ? 1 : 0;
        call->request.body_crc32c = memory->crc32c;
        call->request.has_body_crc32c = true;
        call->request.if_none_match = upload->exclusive;
        call->request.if_match = upload_if_match(upload);
        describe_write(upload, &call->request);
        r = run_last(upload, call, limits, err);
    }
    call_delete(call);
    free(body);
    if (memory->release)
        memory->release(memory->arg);
    return r < 0 ? fail(upload, r, err) : 0;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static int create(struct upload *upload, const struct limits *limits, struct error *err)
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

static void release_memory(struct part *part)
{
    if (!part->released && part->memory.release)
        part->memory.release(part->memory.arg);
    part->released = true;
}

static void on_part_done(struct call *call)
{
    struct part *part = (struct part *)((char *)call - offsetof(struct part, call));

    release_memory(part);
    atomic_store_explicit(&part->ended, true, memory_order_release);
}

static bool has_ended(const void *arg, uint64_t value)
{
    const struct part *part = arg;

    return atomic_load_explicit(&part->ended, memory_order_acquire);
}

/* Room for one more result. */
static bool make_place(struct upload *upload)
{
    unsigned capacity = upload->part_capacity ? 2 * upload->part_capacity : 64;
    struct store_part *parts;
    struct error error;

    if (upload->part_count < upload->part_capacity)
        return true;
    parts = reallocarray(upload->parts, capacity, sizeof *parts);
    if (!parts) {
        error_set(&error, ERROR_NO_MEMORY, "keeping the list of parts");
        fail(upload, 0, &error);
        return false;
    }
    upload->parts = parts;
    upload->part_capacity = capacity;
    return true;
}

static void note_part(struct upload *upload, struct part *part)
{
    const struct store_request *request = &part->call.request;
    struct store_part *result;

    if (request->error.class != ERROR_NONE) {
        fail(upload, 0, &request->error);
        return;
    }
    if (request->part_number <= upload->part_count) { /* sent once more */
        result = &upload->parts[request->part_number - 1];
    } else if (!make_place(upload)) {
        return;
    } else {
        result = &upload->parts[upload->part_count++];
    }
    *result = request->part;
    result->number = request->part_number;
    result->size_bytes = part->memory.size_bytes;
    if (request->operation == STORE_UPLOAD_PART) {
        result->crc32c = part->memory.crc32c;
        result->has_crc32c = true;
    }
}

/* Takes a part out: what it brought, or that it is given up. Who sleeps on it, and wakes last,
 * frees it. */
static void reap(struct upload *upload, struct part *part)
{
    struct shard *shard = part->call.request.shard;
    bool waited_for;

    shard_lock(shard);
    DL_DELETE(upload->in_flight, part);
    upload->in_flight_count--;
    if (has_ended(part, 0))
        note_part(upload, part);
    call_fini(&part->call);
    release_memory(part);
    part->reaped = true;
    waited_for = part->waiters > 0;
    shard_unlock(shard);
    if (!waited_for)
        free(part);
}

bool upload_busy(struct upload *upload)
{
    return upload->in_flight != NULL;
}

static bool has_ended_or_gone(const void *arg, uint64_t value)
{
    const struct part *part = arg;

    return part->reaped || has_ended(part, 0);
}

int upload_wait_part(struct upload *upload, const struct limits *limits, struct error *err)
{
    struct part *part = upload->in_flight;
    struct limits_wait wait = {.done = has_ended_or_gone, .arg = part};
    struct shard *shard;
    bool reaped, last;
    int r;

    if (!part)
        return upload_check(upload, err);
    shard = part->call.request.shard; /* NOLINT(*-unix.Malloc): a reaped part left in_flight */
    shard_lock(shard);
    part->waiters++;
    r = limits_wait(shard, limits, &wait, err);
    part->waiters--;
    reaped = part->reaped; /* by a signal handler's call */
    last = part->waiters == 0;
    if (r < 0)
        call_name_error(&part->call, err);
    shard_unlock(shard);
    if (!reaped && r == 0)
        reap(upload, part);
    else if (reaped && last)
        free(part);
    return r < 0 ? r : upload_check(upload, err);
}

/* Takes out what has ended by itself, from the head on. */
static void reap_ended(struct upload *upload)
{
    struct part *part;

    while ((part = upload->in_flight) && has_ended(part, 0))
        reap(upload, part);
}

static struct part *part_new(struct upload *upload, enum store_operation operation,
                             const struct upload_memory *memory)
{
    struct part *part = calloc(1, sizeof *part);
    struct store_request *request;

    if (!part)
        return NULL;
    call_init(&part->call, upload->engine, operation, &upload->uri, upload->store, NULL);
    part->memory = *memory;
    part->call.on_done = on_part_done;
    request = &part->call.request;
    request->shard = engine_shard(upload->engine, upload->store, &upload->uri, upload->offset);
    request->upload_id = upload->upload_id;
    request->part_number = upload->sent_count + 1;
    return part;
}

/* Puts the part behind the others and on its way. */
static void part_start(struct upload *upload, struct part *part)
{
    struct shard *shard = part->call.request.shard;

    DL_APPEND(upload->in_flight, part);
    upload->in_flight_count++;
    if (part->call.request.part_number > upload->sent_count) {
        upload->sent_count++;
        upload->offset += part->memory.size_bytes;
        upload->size_bytes += part->memory.size_bytes;
    }
    shard_lock(shard);
    call_start(&part->call);
    shard_unlock(shard);
}

int upload_wait_place(struct upload *upload, const struct limits *limits, struct error *err)
{
    unsigned inflight_max = limiter_target(&upload->engine->puts);
    int r;

    reap_ended(upload);
    r = upload_check(upload, err);
    if (r == 0 && upload->sent_count == STORE_PARTS_MAX)
        r = error_set(err, ERROR_TOO_LARGE, "more than %d parts", STORE_PARTS_MAX);
    if (r == 0)
        r = create(upload, limits, err);
    while (r == 0 && upload->in_flight_count >= inflight_max)
        r = upload_wait_part(upload, limits, err);
    return r < 0 ? fail(upload, r, err) : 0;
}

bool upload_has_place(struct upload *upload)
{
    reap_ended(upload);
    return upload->in_flight_count < limiter_target(&upload->engine->puts);
}

int upload_part_again(struct upload *upload, unsigned number, const struct upload_memory *memory,
                      struct error *err)
{
    struct part *part = part_new(upload, STORE_UPLOAD_PART, memory);
    struct store_request *request;

    if (!part) {
        if (memory->release)
            memory->release(memory->arg);
        return fail(upload, error_set(err, ERROR_NO_MEMORY, "sending a part"), err);
    }
    part->body = (struct iovec){(void *)memory->data, memory->size_bytes};
    request = &part->call.request;
    request->part_number = number;
    request->body = &part->body;
    request->body_count = 1;
    request->body_crc32c = memory->crc32c;
    request->has_body_crc32c = !upload->plain;
    part_start(upload, part);
    return 0;
}

int upload_part(struct upload *upload, const struct upload_memory *memory, struct error *err)
{
    return upload_part_again(upload, upload->sent_count + 1, memory, err);
}

int upload_part_copy(struct upload *upload, uint64_t offset, uint64_t length_bytes,
                     struct error *err)
{
    struct upload_memory none = {.size_bytes = length_bytes};
    struct part *part = part_new(upload, STORE_UPLOAD_PART_COPY, &none);
    struct store_request *request;

    if (!part)
        return fail(upload, error_set(err, ERROR_NO_MEMORY, "copying a part"), err);
    request = &part->call.request;
    request->source_bucket = upload->copy_uri.bucket;
    request->source_key = upload->copy_uri.key;
    request->if_match = upload->copy_etag[0] ? upload->copy_etag : NULL;
    request->offset = offset;
    request->length = length_bytes;
    upload->has_copies = true;
    part_start(upload, part);
    return 0;
}

/* ---- from one process to another ------------------------------------------------------------- */

int upload_resume(struct upload *upload, const struct upload_begun *begun)
{
    for (unsigned i = 0; i < begun->part_count; i++) {
        if (!make_place(upload))
            return -ENOMEM;
        upload->parts[upload->part_count++] = begun->parts[i];
        upload->size_bytes += begun->parts[i].size_bytes;
    }
    upload->upload_id = strdup(begun->upload_id);
    if (!upload->upload_id)
        return -ENOMEM;
    upload->sent_count = upload->part_count;
    upload->offset = upload->size_bytes;
    if (upload->write_id[0]) {
        snprintf(upload->write_id, sizeof upload->write_id, "%s", begun->write_id);
        store_metadata_set(&upload->metadata, UPLOAD_ID_NAME, upload->write_id);
    }
    return 0;
}

struct upload_begun upload_tell_begun(struct upload *upload)
{
    reap_ended(upload);
    return (struct upload_begun){upload->upload_id, upload->write_id, upload->parts,
                                 upload->part_count};
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
        return fail(upload, r, err);
    call = call_new(upload->engine, STORE_UPLOAD_COMPLETE, &upload->uri, limits, err);
    if (!call)
        return fail(upload, -error_errno(err), err);
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
        return fail(upload, r, err);
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

    while (upload->in_flight)
        reap(upload, upload->in_flight);
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

void upload_forget(struct upload *upload)
{
    struct part *part, *next;

    if (!upload)
        return;
    DL_FOREACH_SAFE(upload->in_flight, part, next)
    {
        call_fini(&part->call);
        release_memory(part);
        free(part);
    }
    upload_free(upload);
}
