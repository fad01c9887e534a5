/* Requests with retries: one attempt in flight, or a timer until the next. See call.h. */
#include "core/call.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/account.h"
#include "core/engine.h"
#include "io/gate.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

struct call_rival {
    struct store_request request;
    struct call *call;
    struct account account;
};

static void call_send(struct call *call);

static void let_go(struct call *call)
{
    if (call->held)
        shard_release(call->request.shard);
    call->held = false;
}

/* HTTP status 501, or one of the codes that are said of a header which is not understood. */
static bool is_not_understood(const struct error *error)
{
    static const char *const codes[] = {"", "InvalidRequest", "InvalidArgument"};

    if (error->class != ERROR_INVALID)
        return error->class == ERROR_UNSUPPORTED;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(error->code, codes[i]) == 0)
            return true;
    return false;
}

static void finish(struct call *call)
{
    struct store_request *request = &call->request;

    if (request->operation == STORE_UPLOAD_PART_COPY && is_not_understood(&request->error))
        store_lose(request->store, STORE_CAP_PART_COPY);
    else if (request->operation == STORE_COPY && request->error.class == ERROR_UNSUPPORTED)
        store_lose(request->store, STORE_CAP_COPY);
    let_go(call);
    call->done = true;
    if (call->on_done)
        call->on_done(call);
}

/* The errors after which nobody knows whether the request was carried out. */
static bool may_have_worked(enum error_class class)
{
    return class == ERROR_NETWORK || class == ERROR_TIMEOUT || class == ERROR_SERVER ||
           class == ERROR_PROTOCOL;
}

/* EFAULT comes from the caller's own buffer; damaged bytes that were handed on cannot be called
 * back. */
static bool is_final(const struct call *call)
{
    const struct error *error = &call->request.error;

    return call->no_retry || error->errnum == EFAULT ||
           (error->class == ERROR_INTEGRITY && call->request.bytes_received > 0);
}

/* What a leading one was answered is the call's. */
static void free_rival(struct call_rival *rival, bool leads)
{
    if (leads) {
        memset(&rival->request.object.metadata, 0, sizeof rival->request.object.metadata);
        rival->request.page = NULL;
    }
    store_request_fini(&rival->request);
    free(rival);
}

static void forget_rival(struct call *call)
{
    if (call->rival)
        free_rival(call->rival, call->rival_leads);
    call->rival = NULL;
    call->rival_leads = false;
}

static void drop_rival(struct call *call)
{
    if (call->rival) {
        store_abandon(&call->rival->request);
        account_abandoned(call->engine, &call->rival->request, &call->rival->account);
    }
    forget_rival(call);
}

/* The request is going to be repeated. */
static void note_overload(struct call *call)
{
    const struct error *error = &call->request.error;
    char text[ATTR_URI_BYTES];

    if (error->class != ERROR_THROTTLED) {
        call->overloaded_ns = 0;
    } else if (!call->overloaded_ns) {
        call->overloaded_ns = clock_now_ns();
    } else {
        uri_format(&call->uri, text, sizeof text);
        retry_tell_overload(&call->engine->retry, text, error, call->overloaded_ns);
    }
}

static bool is_look(const struct call *call)
{
    return call->request.operation == STORE_HEAD || call->request.operation == STORE_LIST;
}

static enum latency_kind look_kind(const struct call *call)
{
    return call->request.operation == STORE_HEAD ? LATENCY_LOOKS : LATENCY_PAGES;
}

static bool is_answer(const struct error *error)
{
    return error->class == ERROR_NONE || error->class == ERROR_NOT_FOUND;
}

static void note_look(struct call *call)
{
    const struct store_request *request = &call->request;

    shard_timer_clear(request->shard, &call->timer);
    if (request->sent_ns && is_answer(&request->error))
        latency_on_look(&call->endpoint->latency, look_kind(call),
                        clock_now_ns() - request->sent_ns);
}

static void on_request_done(struct store_request *request)
{
    struct call *call = CONTAINER(request, struct call, request);
    int64_t at_ns;

    drop_rival(call);
    if (is_look(call))
        note_look(call);
    call->in_flight = false;
    call->ambiguous = call->ambiguous || request->sent_twice;
    if (call->refused) {
        shard_timer_clear(request->shard, &call->timer);
        request->error = call->refusal;
    } else if (call->on_answer) {
        call->on_answer(call);
    }
    account_end(call->engine, request, &call->account);
    if (call->progressed && call->progressed(call))
        call->attempt = 0;
    if (request->error.class == ERROR_NONE || call->refused || is_final(call) ||
        !retry_next(&call->engine->retry, &request->error, call->attempt, call->deadline_ns,
                    &at_ns)) {
        finish(call);
        return;
    }
    call->ambiguous = call->ambiguous || may_have_worked(request->error.class);
    note_overload(call);
    call->attempt++;
    shard_timer_set(request->shard, &call->timer, at_ns);
}

/* ---- a second one of the same ---------------------------------------------------------------- */

static void abandon_first(struct call *call)
{
    store_abandon(&call->request);
    account_abandoned(call->engine, &call->request, &call->account);
}

/* Leaves whatever is in flight. */
static void abandon(struct call *call)
{
    if (call->in_flight && !call->rival_leads)
        abandon_first(call);
    drop_rival(call);
}

/* What came first with the second one is the answer. */
static void on_rival_object(struct store_request *request)
{
    struct call *call = CONTAINER(request, struct call_rival, request)->call;

    abandon_first(call);
    store_request_fini(&call->request);
    stats_add(engine_stats(call->engine), STATS_HEDGES_WON, 1);
    call->rival_leads = true;
    call->request.object = request->object;
    call->request.object_is_range = request->object_is_range;
    call->request.sent_ns = request->sent_ns;
    call->request.on_object(&call->request);
}

/* The second one has an answer, and the first has none: it is left. */
static void take_look(struct call *call, const struct store_request *request)
{
    abandon_first(call);
    store_request_fini(&call->request);
    stats_add(engine_stats(call->engine), STATS_HEDGES_WON, 1);
    call->request.object = request->object;
    call->request.page = request->page;
}

/* One that fails before it has anything to tell leaves the word to the first. */
static void on_rival_done(struct store_request *request)
{
    struct call_rival *rival = CONTAINER(request, struct call_rival, request);
    struct call *call = rival->call;
    bool leads = call->rival_leads;

    account_end(call->engine, request, &rival->account);
    call->rival = NULL;
    call->rival_leads = false;
    if (is_look(call) && is_answer(&request->error)) {
        take_look(call, request);
        leads = true;
    }
    if (leads) {
        call->request.error = request->error;
        call->request.bytes_received = request->bytes_received;
    }
    free_rival(rival, leads);
    if (leads)
        on_request_done(&call->request);
}

void call_hedge(struct call *call)
{
    const struct store_request *first = &call->request;
    struct call_rival *rival;

    if (!call->in_flight || call->rival || call->refused)
        return;
    rival = malloc(sizeof *rival);
    if (!rival)
        return;
    store_request_init(&rival->request, first->operation, first->store, first->shard,
                       on_rival_done);
    rival->request.on_object = on_rival_object;
    rival->request.deadline_ns = first->deadline_ns;
    rival->request.bucket = first->bucket;
    rival->request.key = first->key;
    rival->request.offset = first->offset;
    rival->request.length = first->length;
    rival->request.if_match = first->if_match;
    rival->request.sink = first->sink;
    rival->request.prefix = first->prefix;
    rival->request.delimiter = first->delimiter;
    rival->request.start_after = first->start_after;
    rival->request.token = first->token;
    rival->request.max_keys = first->max_keys;
    rival->account = (struct account){.submitted_ns = 0};
    rival->call = call;
    call->rival = rival;
    stats_add(engine_stats(call->engine), STATS_HEDGES_SENT, 1);
    account_begin(call->engine, &rival->request, &rival->account);
    store_submit(&rival->request);
}

void call_answered(struct call *call)
{
    if (!call->rival_leads)
        drop_rival(call);
}

void call_resume(struct call *call)
{
    store_request_resume(call->rival_leads ? &call->rival->request : &call->request);
}

bool call_advance(struct call *call)
{
    return call->in_flight &&
           store_advance(call->rival_leads ? &call->rival->request : &call->request);
}

/* Makes the request as it was before its first submission. */
static void clean_answer(struct store_request *request)
{
    store_request_fini(request);
    error_clear(&request->error);
    memset(&request->object, 0, sizeof request->object);
    memset(&request->part, 0, sizeof request->part);
    request->object_is_range = false;
    request->returned_upload_id[0] = '\0';
    request->bytes_received = 0;
    request->sent_twice = false;
    request->sent_ns = request->first_byte_ns = 0;
    request->private = NULL;
}

/* A look-up that is not answered in time is sent once more. */
static void watch_look(struct call *call)
{
    int64_t late_ns = latency_look_late_ns(&call->endpoint->latency, look_kind(call));

    if (late_ns > 0)
        shard_timer_set(call->request.shard, &call->timer, clock_now_ns() + late_ns);
}

/* One that has not been sent waits for a connection: so would another. */
static void look_twice(struct call *call)
{
    if (!call->request.sent_ns)
        watch_look(call);
    else if (latency_may_hedge(&call->endpoint->latency, look_kind(call)))
        call_hedge(call);
}

static void on_timer(struct shard_timer *timer)
{
    struct call *call = CONTAINER(timer, struct call, timer);

    if (call->refused) {
        abandon(call);
        on_request_done(&call->request);
        return;
    }
    if (call->in_flight) {
        look_twice(call);
        return;
    }
    clean_answer(&call->request);
    stats_add(engine_stats(call->engine), STATS_RETRIES, 1);
    if (call->on_repeat)
        call->on_repeat(call);
    call_send(call);
}

static void call_send(struct call *call)
{
    account_begin(call->engine, &call->request, &call->account);
    call->in_flight = true;
    if (is_look(call))
        watch_look(call);
    store_submit(&call->request);
}

void call_init(struct call *call, struct engine *engine, enum store_operation operation,
               const struct uri *uri, struct store *store, const struct limits *limits)
{
    memset(call, 0, offsetof(struct call, uri));
    memset((char *)call + offsetof(struct call, deadline_ns), 0,
           sizeof *call - offsetof(struct call, deadline_ns));
    strcpy(call->uri.scheme, uri->scheme);
    strcpy(call->uri.bucket, uri->bucket);
    strcpy(call->uri.key, uri->key);
    store_request_init(&call->request, operation, store, engine_shard(engine, store, uri, 0),
                       on_request_done);
    call->engine = engine;
    call->endpoint = engine_endpoint(engine, store);
    call->request.bucket = call->uri.bucket;
    call->request.key = call->uri.key;
    call->deadline_ns =
        limits ? limits->deadline_ns : clock_deadline_ns(engine->operation_timeout_ns);
    call->request.deadline_ns = call->deadline_ns;
    call->generation = gate_generation();
    shard_timer_init(&call->timer, on_timer);
}

void call_start(struct call *call)
{
    shard_hold(call->request.shard);
    call->held = true;
    call_send(call);
}

void call_refuse(struct call *call, const struct error *reason)
{
    call->refused = true;
    call->refusal = *reason;
    shard_timer_set(call->request.shard, &call->timer, clock_now_ns());
}

void call_give_up(struct call *call)
{
    abandon(call);
    error_set(&call->request.error, ERROR_TIMEOUT, "the answer stood still");
    call_name_error(call, &call->request.error);
    on_request_done(&call->request);
}

static bool is_done(const void *arg, uint64_t value)
{
    const struct call *call = arg;

    return call->done;
}

static bool advance(void *arg)
{
    return call_advance(arg);
}

void call_name_error(const struct call *call, struct error *err)
{
    char text[ATTR_URI_BYTES];

    uri_format(&call->uri, text, sizeof text);
    error_set_context(err, store_operation_name(call->request.operation), text);
}

/* Until done or a limit: 0 or -errno, with *err as the request's error. Under the shard's lock. */
static int wait_for(struct call *call, const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = is_done, .advance = advance, .arg = call};
    int r = limits_wait(call->request.shard, limits, &wait, err);

    if (r == 0 && call->request.error.class != ERROR_NONE) {
        r = -error_errno(&call->request.error);
        if (err)
            *err = call->request.error;
    } else if (r < 0) {
        call_name_error(call, err);
    }
    return r;
}

void call_fini(struct call *call)
{
    if (call->generation == gate_generation()) {
        shard_timer_clear(call->request.shard, &call->timer);
        abandon(call);
        let_go(call);
    }
    forget_rival(call);
    call->in_flight = false;
    store_request_fini(&call->request);
}

/* ---- blocking round trips -------------------------------------------------------------------- */

struct call *call_new(struct engine *engine, enum store_operation operation, const struct uri *uri,
                      const struct limits *limits, struct error *err)
{
    struct store *store;
    struct call *call;

    if (engine_store(engine, uri->scheme, &store, err) < 0)
        return NULL;
    call = malloc(sizeof *call);
    if (!call) {
        error_set(err, ERROR_NO_MEMORY, "making a request");
        return NULL;
    }
    call_init(call, engine, operation, uri, store, limits);
    return call;
}

int call_run(struct call *call, const struct limits *limits, struct error *err)
{
    struct shard *shard = call->request.shard;
    int r;

    shard_lock(shard);
    call_start(call);
    r = wait_for(call, limits, err);
    shard_unlock(shard);
    return r;
}

/* ---- conditions that not every store knows --------------------------------------------------- */

bool call_condition_refused(const struct call *call)
{
    return (call->request.if_match || call->request.if_none_match) &&
           is_not_understood(&call->request.error);
}

int call_run_without_condition(struct call *call, const struct limits *limits, struct error *err)
{
    struct store_request *request = &call->request;
    unsigned lost = (request->if_none_match ? STORE_CAP_IF_NONE_MATCH : 0) |
                    (request->if_match ? STORE_CAP_IF_MATCH_PUT : 0);
    int r;

    clean_answer(request);
    request->if_none_match = false;
    request->if_match = NULL;
    call->done = false;
    call->attempt = 0;
    r = call_run(call, limits, err);
    if (r == 0)
        store_lose(request->store, lost);
    return r;
}

int call_run_exclusive(struct call *call, const struct limits *limits, struct error *err)
{
    int r;

    call->request.if_none_match = call->request.store->capabilities & STORE_CAP_IF_NONE_MATCH;
    r = call_run(call, limits, err);
    return r < 0 && call_condition_refused(call) ? call_run_without_condition(call, limits, err)
                                                 : r;
}

/* ---- round trips in two steps ---------------------------------------------------------------- */

void call_begin(struct call *call)
{
    shard_lock(call->request.shard);
    call_start(call);
    shard_unlock(call->request.shard);
}

int call_end(struct call *call, const struct limits *limits, struct error *err)
{
    struct shard *shard = call->request.shard;
    int r;

    shard_lock(shard);
    call->deadline_ns = limits->deadline_ns;
    r = wait_for(call, limits, err);
    shard_unlock(shard);
    return r;
}

bool call_is_done(struct call *call)
{
    bool done;

    shard_lock(call->request.shard);
    done = call->done;
    shard_unlock(call->request.shard);
    return done;
}

void call_delete(struct call *call)
{
    struct shard *shard;

    if (!call)
        return;
    shard = call->request.shard;
    shard_lock(shard);
    call_fini(call);
    shard_unlock(shard);
    free(call);
}
