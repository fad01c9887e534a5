/* Ranges that resume: a call of STORE_GET whose offset moves with what has arrived. See fetch.h. */
#include "core/fetch.h"

#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "core/engine.h"
#include "io/gate.h"

#define GIVEN_UP_MAX 6u /* each waits twice as long as the one before */

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static struct fetch *of_request(struct store_request *request)
{
    return CONTAINER(request, struct fetch, call.request);
}

static struct fetch *of_call(struct call *call)
{
    return CONTAINER(call, struct fetch, call);
}

/* Another version answers than the one that is wanted. */
static bool is_other_version(const struct fetch *fetch, const struct store_request *request)
{
    const char *etag = request->object.etag;

    if (fetch->etag[0] && etag[0] && strcmp(fetch->etag, etag) != 0)
        return true;
    return fetch->size_known && fetch->object_size_bytes != request->object.size_bytes;
}

/* ---- answers that are late, or stand still --------------------------------------------------- */

/* When it is late: what will be waited for soon, before it is in the way. */
static int64_t late_after_ns(const struct fetch *fetch)
{
    int64_t late_ns = latency_late_ns(&fetch->call.endpoint->latency);

    return fetch->need == FETCH_SOON ? 2 * late_ns : late_ns;
}

/* Looks again when it is late, or stands still. */
static void watch(struct fetch *fetch)
{
    const struct store_request *request = &fetch->call.request;
    const struct latency *latency = &fetch->call.endpoint->latency;
    int64_t late_ns = late_after_ns(fetch), stalled_ns = latency_stalled_ns(latency), at_ns;
    int64_t now_ns = clock_now_ns();

    if (fetch->need == FETCH_GUESS || stalled_ns == 0)
        return;
    at_ns = fetch->moved_ns + (stalled_ns << fetch->given_up);
    if (at_ns < now_ns + LATENCY_LATE_MIN_NS)
        at_ns = now_ns + LATENCY_LATE_MIN_NS; /* what has come meanwhile is received first */
    if (!fetch->answered && !fetch->was_late && late_ns > 0)
        at_ns = (request->sent_ns ? request->sent_ns : now_ns) + late_ns;
    shard_timer_set(request->shard, &fetch->late_timer, at_ns);
}

/* What it took of the request that was answered, and of the one that was sent first. */
static void note_first_byte(struct fetch *fetch, const struct store_request *request)
{
    int64_t now_ns = clock_now_ns();
    int64_t sent_ns = request->sent_ns ? request->sent_ns : fetch->sent_ns;

    fetch->answered = true;
    fetch->moved_ns = now_ns;
    watch(fetch);
    latency_on_first_byte(&fetch->call.endpoint->latency, now_ns - sent_ns,
                          now_ns - (fetch->first_sent_ns ? fetch->first_sent_ns : sent_ns));
}

/* One that has not been sent yet waits for a connection: so would another. */
static void ask_twice(struct fetch *fetch)
{
    const struct store_request *request = &fetch->call.request;

    if (!request->sent_ns)
        return;
    fetch->was_late = true;
    if (!latency_may_hedge(&fetch->call.endpoint->latency, LATENCY_BYTES))
        return;
    fetch->first_sent_ns = request->sent_ns;
    call_hedge(&fetch->call);
}

/* Could it have had a byte, and has had none for so long? */
static bool stands_still(const struct fetch *fetch)
{
    int64_t limit_ns = latency_stalled_ns(&fetch->call.endpoint->latency) << fetch->given_up;

    return fetch->call.request.sent_ns && !fetch->paused &&
           clock_now_ns() - fetch->moved_ns >= limit_ns;
}

/* What is paused, or has no connection, is not to be looked at again before that time has passed. */
static void note_excused(struct fetch *fetch)
{
    if (fetch->paused || !fetch->call.request.sent_ns)
        fetch->moved_ns = clock_now_ns();
}

static void on_late(struct shard_timer *timer)
{
    struct fetch *fetch = CONTAINER(timer, struct fetch, late_timer);

    if (!fetch->call.in_flight)
        return;
    if (!fetch->answered && !fetch->was_late) {
        ask_twice(fetch);
    } else if (stands_still(fetch)) {
        fetch->given_up += fetch->given_up < GIVEN_UP_MAX;
        if (latency_may_hedge(&fetch->call.endpoint->latency, LATENCY_BYTES)) {
            call_give_up(&fetch->call);
            return;
        }
        fetch->moved_ns = clock_now_ns(); /* not now: twice as long from here */
    } else {
        note_excused(fetch);
    }
    watch(fetch);
}

void fetch_want(struct fetch *fetch, enum fetch_need need)
{
    if (fetch->need >= need && fetch->late_timer.at_ns != CLOCK_NEVER)
        return;
    if (fetch->need < need)
        fetch->need = need;
    if (fetch->call.in_flight)
        watch(fetch);
}

/* ---- what the request tells ------------------------------------------------------------------ */

static void on_object(struct store_request *request)
{
    struct fetch *fetch = of_request(request);
    uint64_t size_bytes = request->object.size_bytes;
    struct error reason;

    call_answered(&fetch->call);
    note_first_byte(fetch, request);
    if (is_other_version(fetch, request)) {
        error_set(&reason, ERROR_CHANGED, "another version of the object is there now");
        call_name_error(&fetch->call, &reason);
        call_refuse(&fetch->call, &reason);
        return;
    }
    fetch->object_size_bytes = size_bytes;
    fetch->size_known = true;
    if (fetch->object_known)
        return;
    fetch->object_known = true;
    if (!fetch->etag[0])
        memcpy(fetch->etag, request->object.etag, sizeof fetch->etag);
    if (fetch->offset >= size_bytes)
        fetch->length = 0;
    else if (fetch->length == 0 || fetch->length > size_bytes - fetch->offset)
        fetch->length = size_bytes - fetch->offset;
    if (fetch->ops->on_object)
        fetch->ops->on_object(fetch);
}

static size_t sink_space(struct store_sink *sink, void **ret_where)
{
    struct fetch *fetch = CONTAINER(sink, struct fetch, sink);
    size_t room = 0;

    if (!fetch->call.refused && fetch->received < fetch->length)
        room = fetch->ops->space(fetch, ret_where);
    fetch->paused = room == 0;
    return room;
}

static void sink_commit(struct store_sink *sink, size_t length)
{
    struct fetch *fetch = CONTAINER(sink, struct fetch, sink);

    fetch->received += length;
    fetch->progressed = true;
    fetch->moved_ns = clock_now_ns();
    fetch->given_up = 0;
    fetch->ops->commit(fetch, length);
}

static void on_answer(struct call *call)
{
    struct fetch *fetch = of_call(call);
    struct error *error = &call->request.error;
    bool complete = fetch->object_known && fetch->received == fetch->length;

    if (error->class == ERROR_NONE && !complete) {
        error_set(error, ERROR_NETWORK, "the body ended %llu bytes early",
                  (unsigned long long)(fetch->length - fetch->received));
        call_name_error(call, error);
    } else if (complete && error->class != ERROR_INTEGRITY) {
        error_clear(error); /* what went wrong after the last byte does not matter */
    }
}

static bool progressed(struct call *call)
{
    struct fetch *fetch = of_call(call);
    bool moved = fetch->progressed;

    fetch->progressed = false;
    return moved;
}

static void aim(struct fetch *fetch)
{
    struct store_request *request = &fetch->call.request;

    request->offset = fetch->offset + fetch->received;
    request->length = fetch->length ? fetch->length - fetch->received : 0;
    request->if_match = fetch->etag[0] ? fetch->etag : NULL;
    fetch->paused = fetch->answered = fetch->was_late = false;
    fetch->first_sent_ns = 0;
    fetch->sent_ns = fetch->moved_ns = clock_now_ns();
}

static void on_repeat(struct call *call)
{
    aim(of_call(call));
    watch(of_call(call));
}

static void on_done(struct call *call)
{
    struct fetch *fetch = of_call(call);

    shard_timer_clear(call->request.shard, &fetch->late_timer);
    if (fetch->ops->on_done)
        fetch->ops->on_done(fetch);
}

void fetch_init(struct fetch *fetch, struct engine *engine, const struct uri *uri,
                struct store *store, const struct limits *limits)
{
    call_init(&fetch->call, engine, STORE_GET, uri, store, limits);
    memset((char *)fetch + sizeof fetch->call, 0, sizeof *fetch - sizeof fetch->call);
    fetch->sink = (struct store_sink){.space = sink_space, .commit = sink_commit};
    shard_timer_init(&fetch->late_timer, on_late);
    fetch->call.on_done = on_done;
    fetch->call.on_answer = on_answer;
    fetch->call.on_repeat = on_repeat;
    fetch->call.progressed = progressed;
    fetch->call.request.sink = &fetch->sink;
    fetch->call.request.on_object = on_object;
}

void fetch_start(struct fetch *fetch, uint64_t offset, uint64_t length, const char *etag)
{
    fetch->offset = offset;
    fetch->length = length;
    strncpy(fetch->etag, etag, sizeof fetch->etag - 1);
    aim(fetch);
    call_start(&fetch->call);
}

void fetch_resume(struct fetch *fetch)
{
    if (!fetch->paused || !fetch->call.in_flight)
        return;
    fetch->paused = false;
    fetch->moved_ns = clock_now_ns();
    call_resume(&fetch->call);
}

bool fetch_advance(struct fetch *fetch)
{
    return call_advance(&fetch->call);
}

void fetch_fini(struct fetch *fetch)
{
    if (fetch->call.generation == gate_generation())
        shard_timer_clear(fetch->call.request.shard, &fetch->late_timer);
    call_fini(&fetch->call);
}
