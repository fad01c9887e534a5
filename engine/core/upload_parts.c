/* The parts of an upload: in flight, acknowledged, and taken over from another process. See
 * upload.h.
 *
 * Parts in flight form a list in order of their numbers and are reaped from its head, so the
 * results end up in order. A part's struct is written by its shard until `ended` is stored; only
 * then, and under that shard's lock, does the owner take it apart.
 * */
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/upload_private.h"

struct part {
    struct call call;
    struct upload *upload;
    struct upload_memory memory;
    struct iovec body;
    struct part *prev, *next;
    unsigned waiters; /* calls that sleep on it, one inside the other */
    bool released, reaped;
    atomic_bool ended;
};

/* Sent to the shard where somebody waits when a part of another has ended. It belongs to whoever
 * takes it out of the upload, and in the end to the shard. */
struct upload_wake {
    struct shard_post post;
    struct shard *shard;
};

/* ---- results --------------------------------------------------------------------------------- */

static void release_memory(struct part *part)
{
    if (!part->released && part->memory.release)
        part->memory.release(part->memory.arg);
    part->released = true;
}

static void on_wake(struct shard_post *post)
{
    free((char *)post - offsetof(struct upload_wake, post));
}

static void drop_wake(struct upload *upload)
{
    free(atomic_exchange(&upload->wake, NULL));
}

static void set_wake(struct upload *upload, struct shard *shard)
{
    struct upload_wake *wake = malloc(sizeof *wake);

    if (wake)
        *wake = (struct upload_wake){.post = {.on_post = on_wake}, .shard = shard};
    free(atomic_exchange(&upload->wake, wake));
}

/* The upload is there as long as one of its parts is, and that as long as this shard is locked. */
static void on_part_done(struct call *call)
{
    struct part *part = (struct part *)((char *)call - offsetof(struct part, call));
    struct upload_wake *wake;

    release_memory(part);
    atomic_store_explicit(&part->ended, true, memory_order_release);
    atomic_fetch_add(&part->upload->ended_count, 1);
    wake = atomic_exchange(&part->upload->wake, NULL);
    if (wake && wake->shard != call->request.shard)
        shard_post(wake->shard, &wake->post);
    else
        free(wake);
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
        upload_fail_with(upload, 0, &error);
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
        upload_fail_with(upload, 0, &request->error);
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
    if (!upload->in_flight)
        endpoint_leave(upload->endpoint, ENDPOINT_PUTS);
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

/* This one, or another since so many had. */
static bool another_has_ended(const void *arg, uint64_t ended_count)
{
    const struct part *part = arg;

    return part->reaped || has_ended(part, 0) ||
           atomic_load(&part->upload->ended_count) != ended_count;
}

/* Takes out what has ended by itself, from the head on. */
static void reap_ended(struct upload *upload)
{
    struct part *part;

    while ((part = upload->in_flight) && has_ended(part, 0))
        reap(upload, part);
}

/* Sleeps at the part's shard. */
static int wait_at(struct upload *upload, struct part *part, unsigned ended_count,
                   const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = another_has_ended, .arg = part, .value = ended_count};
    struct shard *shard = part->call.request.shard;
    bool reaped, last;
    int r;

    shard_lock(shard);
    part->waiters++;
    r = limits_wait(shard, limits, &wait, err);
    part->waiters--;
    reaped = part->reaped; /* by a signal handler's call */
    last = part->waiters == 0;
    if (r < 0)
        call_name_error(&part->call, err);
    shard_unlock(shard);
    if (reaped && last)
        free(part);
    if (r == 0)
        reap_ended(upload);
    return r < 0 ? r : upload_check(upload, err);
}

unsigned upload_ended_count(const struct upload *upload)
{
    return atomic_load(&upload->ended_count);
}

/* Where to wait for the first that ends. */
static struct part *first_under_way(const struct upload *upload)
{
    struct part *part;

    DL_FOREACH(upload->in_flight, part)
    {
        if (!has_ended(part, 0))
            return part;
    }
    return NULL;
}

int upload_wait_since(struct upload *upload, unsigned ended_count, const struct limits *limits,
                      struct error *err)
{
    struct part *part = first_under_way(upload);
    int r;

    if (!part) {
        reap_ended(upload);
        return upload_check(upload, err);
    }
    set_wake(upload, part->call.request.shard);
    r = wait_at(upload, part, ended_count, limits, err);
    drop_wake(upload);
    return r;
}

int upload_wait_part(struct upload *upload, const struct limits *limits, struct error *err)
{
    return upload_wait_since(upload, upload_ended_count(upload), limits, err);
}

/* ---- how many at once ------------------------------------------------------------------------ */

static unsigned count_under_way(const struct upload *upload)
{
    const struct part *part;
    unsigned count = 0;

    DL_FOREACH(upload->in_flight, part)
    {
        count += !has_ended(part, 0);
    }
    return count;
}

static bool has_room(const struct upload *upload, unsigned under_way)
{
    return endpoint_has_room(upload->endpoint, ENDPOINT_PUTS, LIMITER_LONG, under_way);
}

/* NULL: the upload has failed. */
static struct part *part_new(struct upload *upload, enum store_operation operation, unsigned number,
                             const struct upload_memory *memory)
{
    unsigned most = upload->engine->plan.parts_max;
    struct part *part = number <= most ? calloc(1, sizeof *part) : NULL;
    struct store_request *request;
    struct error error;

    if (!part) {
        if (number > most)
            error_set(&error, ERROR_TOO_LARGE, "more than %u parts", most);
        else
            error_set(&error, ERROR_NO_MEMORY, "sending a part");
        upload_fail(upload, &error);
        return NULL;
    }
    call_init(&part->call, upload->engine, operation, &upload->uri, upload->store, NULL);
    part->upload = upload;
    part->memory = *memory;
    part->call.on_done = on_part_done;
    request = &part->call.request;
    request->shard = engine_shard(upload->engine, upload->store, &upload->uri, upload->offset);
    request->upload_id = upload->upload_id;
    request->part_number = number;
    return part;
}

/* Puts the part behind the others and on its way. */
static void part_start(struct upload *upload, struct part *part)
{
    struct shard *shard = part->call.request.shard;

    if (!upload->in_flight)
        endpoint_join(upload->endpoint, ENDPOINT_PUTS);
    DL_APPEND(upload->in_flight, part);
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
    int r;

    reap_ended(upload);
    r = upload_check(upload, err);
    if (r == 0)
        r = upload_create(upload, limits, err);
    while (r == 0) {
        unsigned ended_count = upload_ended_count(upload);

        if (has_room(upload, count_under_way(upload)))
            break;
        r = upload_wait_since(upload, ended_count, limits, err);
    }
    return r < 0 ? upload_fail_with(upload, r, err) : 0;
}

bool upload_has_place(struct upload *upload)
{
    reap_ended(upload);
    return has_room(upload, count_under_way(upload));
}

int upload_part_again(struct upload *upload, unsigned number, const struct upload_memory *memory,
                      struct error *err)
{
    struct part *part = part_new(upload, STORE_UPLOAD_PART, number, memory);
    struct store_request *request;

    if (!part) {
        if (memory->release)
            memory->release(memory->arg);
        return upload_check(upload, err);
    }
    part->body = (struct iovec){(void *)memory->data, memory->size_bytes};
    request = &part->call.request;
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
    struct part *part = part_new(upload, STORE_UPLOAD_PART_COPY, upload->sent_count + 1, &none);
    struct store_request *request;

    if (!part)
        return upload_check(upload, err);
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

/* ---- giving up ------------------------------------------------------------------------------- */

void upload_drop_parts(struct upload *upload)
{
    while (upload->in_flight)
        reap(upload, upload->in_flight);
}

void upload_forget_parts(struct upload *upload)
{
    struct part *part, *next;

    DL_FOREACH_SAFE(upload->in_flight, part, next)
    {
        call_fini(&part->call);
        release_memory(part);
        free(part);
    }
}
