/* A store that spoils chosen requests of another one. See fault.h for the rules.
 *
 * A request that no rule touches goes through as a copy of itself; its answer is copied back.
 * Delays and pauses are timers of the request's shard, which is held meanwhile, so that somebody
 * drives. The inner request is ended or abandoned from a timer, never from inside its own
 * callbacks, because a store need not survive that. Rules and counts are under the mutex;
 * everything of a request under its shard's lock.
 */
#include "store/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/options.h"
#include "store/fault_rules.h"
#include "store/internal.h"

struct fault_store {
    struct store base;
    struct store *inner;
    pthread_mutex_t lock; /* rules and hits */
    struct fault_rules rules;
    uint64_t hits;
};

enum fault_state {
    FAULT_DELAYED, /* the timer starts it */
    FAULT_RUNNING,
    FAULT_PAUSED,    /* the timer resumes it */
    FAULT_TRUNCATED, /* the timer ends it */
};

struct fault_call {
    struct store_request inner;
    struct store_request *request;
    struct store_sink sink; /* between the inner store and the request's own sink */
    struct shard_timer timer;
    struct fault_plan plan;
    enum fault_state state;
    uint64_t delivered;
    bool paused_once;
};

static struct fault_store *fault_store_of(struct store *store)
{
    return (struct fault_store *)store;
}

static struct fault_call *call_of_inner(struct store_request *inner)
{
    return (struct fault_call *)((char *)inner - offsetof(struct fault_call, inner));
}

static void call_free(struct fault_call *call)
{
    shard_timer_clear(call->request->shard, &call->timer);
    shard_release(call->request->shard);
    call->request->private = NULL;
    free(call);
}

static void call_end(struct fault_call *call)
{
    struct store_request *request = call->request;

    call_free(call);
    store_request_done(request);
}

/* Drops what an answer of the inner store brought. */
static void drop_answer(struct store_request *request)
{
    store_request_fini(request);
    request->object = (struct store_object){0};
    request->part = (struct store_part){0};
    request->returned_upload_id[0] = '\0';
}

/* Hands the inner answer over. */
static void copy_answer(struct fault_call *call)
{
    struct store_request *request = call->request;
    const struct store_request *inner = &call->inner;

    request->error = inner->error;
    request->object = inner->object;
    request->object_is_range = inner->object_is_range;
    request->page = inner->page;
    request->part = inner->part;
    memcpy(request->returned_upload_id, inner->returned_upload_id,
           sizeof request->returned_upload_id);
    request->bytes_received = inner->bytes_received;
}

/* "the object was replaced" as seen in an ETag: same form, other value. */
static void change_etag(char *etag)
{
    snprintf(etag, STORE_ETAG_MAX, "\"replaced%08x\"", 0x5eedu);
}

static void inner_done(struct store_request *inner)
{
    struct fault_call *call = call_of_inner(inner);
    struct store_request *request = call->request;

    copy_answer(call);
    if (request->error.class == ERROR_NONE && call->plan.changed && request->object.etag[0])
        change_etag(request->object.etag);
    if (request->error.class == ERROR_NONE && call->plan.lose) {
        drop_answer(request);
        error_set(&request->error, ERROR_NETWORK, "the answer was lost");
    }
    call_end(call);
}

static void inner_object(struct store_request *inner)
{
    struct fault_call *call = call_of_inner(inner);
    struct store_request *request = call->request;

    request->object = inner->object;
    request->object_is_range = inner->object_is_range;
    if (call->plan.changed)
        change_etag(request->object.etag);
    request->on_object(request);
}

/* ---- the sink in between -------------------------------------------------------------------- */

/* Stops the body here until the timer strikes. */
static size_t body_stop(struct fault_call *call, enum fault_state state, int64_t at_ns)
{
    call->state = state;
    shard_timer_set(call->request->shard, &call->timer, at_ns);
    return 0;
}

static size_t body_space(struct store_sink *sink, void **ret_where)
{
    struct fault_call *call =
        (struct fault_call *)((char *)sink - offsetof(struct fault_call, sink));
    struct store_sink *outer = call->request->sink;
    const struct fault_plan *plan = &call->plan;
    bool stops = plan->truncate || (plan->pause_ms && !call->paused_once);
    uint64_t left = plan->after_bytes > call->delivered ? plan->after_bytes - call->delivered : 0;
    size_t room;

    if (call->state != FAULT_RUNNING)
        return 0;
    if (stops && left == 0 && plan->pause_ms && !call->paused_once) {
        call->paused_once = true;
        return body_stop(call, FAULT_PAUSED, clock_deadline_ns(plan->pause_ms * NS_PER_MS));
    }
    if (plan->truncate && left == 0)
        return body_stop(call, FAULT_TRUNCATED, clock_now_ns());
    room = outer->space(outer, ret_where);
    return stops && room > left ? (size_t)left : room;
}

static void body_commit(struct store_sink *sink, size_t length)
{
    struct fault_call *call =
        (struct fault_call *)((char *)sink - offsetof(struct fault_call, sink));
    struct store_sink *outer = call->request->sink;

    call->delivered += length;
    call->request->bytes_received += length;
    outer->commit(outer, length);
}

/* ---- life of a call ------------------------------------------------------------------------- */

/* Fails at once if the plan says so; true when it did. */
static bool call_fail(struct fault_call *call)
{
    struct store_request *request = call->request;
    const struct fault_plan *plan = &call->plan;

    if (plan->error200) {
        error_set(&request->error, ERROR_SERVER, "an error came in the body of a 200");
        request->error.http_status = 200;
        snprintf(request->error.code, sizeof request->error.code, "InternalError");
    } else if (plan->fail != ERROR_NONE) {
        error_set(&request->error, plan->fail, "a fault rule says so");
        request->error.retry_after_ms = plan->retry_after_ms;
    } else if (plan->ignore) {
        snprintf(request->object.etag, STORE_ETAG_MAX, "\"ignored%08x\"", 0x5eedu);
        memcpy(request->part.etag, request->object.etag, STORE_ETAG_MAX);
    } else if (plan->changed && request->if_match) {
        error_set(&request->error, ERROR_CHANGED, "another version is there now");
    } else {
        return false;
    }
    call_end(call);
    return true;
}

static void call_start(struct fault_call *call)
{
    struct store_request *request = call->request;

    if (call_fail(call))
        return;
    call->state = FAULT_RUNNING;
    call->inner = *request;
    call->inner.store = fault_store_of(request->store)->inner;
    call->inner.on_done = inner_done;
    call->inner.on_object = request->on_object ? inner_object : NULL;
    call->inner.sink = request->sink ? &call->sink : NULL;
    call->inner.private = NULL;
    store_submit(&call->inner);
}

static void call_timer(struct shard_timer *timer)
{
    struct fault_call *call =
        (struct fault_call *)((char *)timer - offsetof(struct fault_call, timer));
    enum fault_state state = call->state;

    if (state == FAULT_DELAYED) {
        call_start(call);
    } else if (state == FAULT_PAUSED) {
        call->state = FAULT_RUNNING;
        store_request_resume(&call->inner);
    } else if (state == FAULT_TRUNCATED) {
        store_abandon(&call->inner);
        copy_answer(call);
        error_set(&call->request->error, ERROR_NETWORK, "the connection ended after %llu bytes",
                  (unsigned long long)call->delivered);
        call_end(call);
    }
}

static void fault_submit(struct store_request *request)
{
    struct fault_store *store = fault_store_of(request->store);
    struct fault_call *call = calloc(1, sizeof *call);

    if (!call) {
        error_set(&request->error, ERROR_NO_MEMORY, "no memory for a request");
        store_request_done(request);
        return;
    }
    call->request = request;
    call->sink = (struct store_sink){body_space, body_commit};
    shard_timer_init(&call->timer, call_timer);
    pthread_mutex_lock(&store->lock);
    fault_rules_draw(&store->rules, request, &call->plan);
    store->hits += call->plan.hit ? 1 : 0;
    pthread_mutex_unlock(&store->lock);
    request->private = call;
    request->sent_ns = clock_now_ns();
    shard_hold(request->shard);
    if (!call->plan.delay_ms) {
        call_start(call);
        return;
    }
    call->state = FAULT_DELAYED;
    shard_timer_set(request->shard, &call->timer,
                    clock_deadline_ns(call->plan.delay_ms * NS_PER_MS));
}

static void fault_resume(struct store_request *request)
{
    struct fault_call *call = request->private;

    if (call && call->state == FAULT_RUNNING)
        store_request_resume(&call->inner);
}

static bool fault_advance(struct store_request *request)
{
    struct fault_call *call = request->private;

    return call && call->state == FAULT_RUNNING && store_advance(&call->inner);
}

static void fault_abandon(struct store_request *request)
{
    struct fault_call *call = request->private;

    if (!call)
        return;
    if (call->state != FAULT_DELAYED) {
        store_abandon(&call->inner);
        copy_answer(call);
    }
    call_free(call);
}

/* ---- the store ------------------------------------------------------------------------------ */

/* `inner` belongs to the new store from then on. No rules yet. */
static int wrap(struct store *inner, struct store **ret_store, struct error *err)
{
    struct fault_store *store = calloc(1, sizeof *store);

    if (!store)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a store");
    store->base = (struct store){.ops = &store_fault_ops,
                                 .capabilities = inner->capabilities & ~STORE_CAP_INLINE};
    store->inner = inner;
    pthread_mutex_init(&store->lock, NULL);
    *ret_store = &store->base;
    return 0;
}

int fault_store_add(struct store *store, const char *rules, struct error *err)
{
    struct fault_store *fault = fault_store_of(store);
    int r;

    pthread_mutex_lock(&fault->lock);
    r = fault_rules_parse(&fault->rules, rules, err);
    pthread_mutex_unlock(&fault->lock);
    return r;
}

void fault_store_clear(struct store *store)
{
    struct fault_store *fault = fault_store_of(store);

    pthread_mutex_lock(&fault->lock);
    fault_rules_fini(&fault->rules);
    pthread_mutex_unlock(&fault->lock);
}

uint64_t fault_store_hits(struct store *store)
{
    struct fault_store *fault = fault_store_of(store);
    uint64_t hits;

    pthread_mutex_lock(&fault->lock);
    hits = fault->hits;
    pthread_mutex_unlock(&fault->lock);
    return hits;
}

static void fault_close(struct store *base)
{
    struct fault_store *store = fault_store_of(base);

    store->inner->ops->close(store->inner);
    fault_rules_fini(&store->rules);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

/* Opens the store of that scheme and wraps it. */
static int open_wrapped(const struct options *options, const char *scheme, struct store **ret_store,
                        struct error *err)
{
    const struct store_ops *ops = store_find(scheme);
    struct store *inner = NULL;
    int r;

    if (!ops || ops == &store_fault_ops)
        return error_set(err, ERROR_INVALID, "S3DLIO_FAULT: there is no store %s to wrap", scheme);
    r = ops->open(options, &inner, err);
    if (r < 0 || !inner)
        return r;
    r = wrap(inner, ret_store, err);
    if (r < 0)
        ops->close(inner);
    return r;
}

static int fault_open(const struct options *options, struct store **ret_store, struct error *err)
{
    const char *text = option_text(options, FAULT);
    struct fault_rules rules = {0};
    int r = fault_rules_parse(&rules, text ? text : "", err);

    if (r < 0)
        return r;
    r = open_wrapped(options, rules.scheme[0] ? rules.scheme : "mem", ret_store, err);
    if (r == 0)
        fault_store_of(*ret_store)->rules = rules;
    else
        fault_rules_fini(&rules);
    return r;
}

static void fault_reset_child(struct store *base)
{
    struct store *inner = fault_store_of(base)->inner;

    if (inner->ops->reset_child)
        inner->ops->reset_child(inner);
}

static void fault_describe(struct store *base, struct store_description *ret_description)
{
    struct store *inner = fault_store_of(base)->inner;

    *ret_description = (struct store_description){0};
    if (inner->ops->describe)
        inner->ops->describe(inner, ret_description);
}

static void fault_get_stats(struct store *base, struct store_stats *stats)
{
    struct store *inner = fault_store_of(base)->inner;

    if (inner->ops->get_stats)
        inner->ops->get_stats(inner, stats);
}

const struct store_ops store_fault_ops = {
    .scheme = "fault",
    .capabilities = ~(unsigned)STORE_CAP_INLINE, /* of an instance: those of the wrapped store */
    .open = fault_open,
    .close = fault_close,
    .reset_child = fault_reset_child,
    .submit = fault_submit,
    .resume = fault_resume,
    .advance = fault_advance,
    .abandon = fault_abandon,
    .describe = fault_describe,
    .get_stats = fault_get_stats,
};
