/* Storing many objects at once, from the caller's memory. See bulk.h.
 *
 * Objects of one request each are kept under way together, driven by the calling thread; those that
 * need parts follow one after the other, as each is concurrent by itself, and so do those that this
 * process has open for reading, whose readers keep what they have. Under the shard's lock, on
 * the heap, as bulk_get.c.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/crc32c.h"
#include "core/bulk.h"
#include "core/call.h"
#include "core/engine.h"
#include "core/put.h"

struct putting {
    struct call call;
    struct iovec body;
    struct bulk *bulk;
    size_t index;
    struct putting *prev, *next;
};

struct outcome {
    struct error error;
    bool failed, later; /* later: needs more than one request */
};

struct bulk {
    struct engine *engine;
    struct shard *shard;
    const struct bulk_put *items;
    struct outcome *outcomes;
    size_t count, started;
    struct endpoint *endpoint; /* of the first item: few calls are about several */
    unsigned in_flight;
    bool pumping;
    struct putting *puttings;
};

static void pump(struct bulk *bulk);

static void fail_item(struct bulk *bulk, size_t index, const struct error *error)
{
    bulk->outcomes[index].failed = true;
    bulk->outcomes[index].error = *error;
}

static void on_done(struct call *call)
{
    struct putting *putting = (struct putting *)((char *)call - offsetof(struct putting, call));
    struct bulk *bulk = putting->bulk;
    char text[ATTR_URI_BYTES];

    if (call->request.error.class != ERROR_NONE)
        fail_item(bulk, putting->index, &call->request.error);
    attr_uri_text(&call->uri, text);
    attr_cache_forget(bulk->engine->attrs, text);
    DL_DELETE(bulk->puttings, putting);
    if (--bulk->in_flight == 0)
        endpoint_leave(bulk->endpoint, ENDPOINT_PUTS);
    call_fini(call);
    free(putting);
    pump(bulk);
}

static int prepare(struct bulk *bulk, size_t index, struct uri *ret_uri, struct store **ret_store,
                   struct error *err)
{
    int r = uri_parse(bulk->items[index].uri, ret_uri);

    if (r < 0 || !ret_uri->key[0])
        r = error_set(err, r == -ENAMETOOLONG ? ERROR_TOO_LONG : ERROR_INVALID,
                      "not a URI of an object");
    else
        r = engine_store(bulk->engine, ret_uri->scheme, ret_store, err);
    if (r < 0)
        error_set_context(err, NULL, bulk->items[index].uri);
    return r;
}

static void start(struct bulk *bulk, size_t index)
{
    const struct bulk_put *item = &bulk->items[index];
    struct putting *putting;
    struct store *store = NULL;
    struct error error = {0};
    struct uri uri;

    if (item->length_bytes >
        range_plan_part_bytes(&bulk->engine->plan, 1, item->length_bytes, true)) {
        bulk->outcomes[index].later = true;
        return;
    }
    putting = calloc(1, sizeof *putting);
    if (putting)
        prepare(bulk, index, &uri, &store, &error);
    else
        error_set(&error, ERROR_NO_MEMORY, "storing an object");
    if (store && reader_registry_has(bulk->engine, &uri)) {
        bulk->outcomes[index].later = true;
        free(putting);
        return;
    }
    if (!store) {
        free(putting);
        fail_item(bulk, index, &error);
        return;
    }
    call_init(&putting->call, bulk->engine, STORE_PUT, &uri, store, NULL);
    putting->bulk = bulk;
    putting->index = index;
    putting->body = (struct iovec){(void *)item->data, item->length_bytes};
    putting->call.on_done = on_done;
    putting->call.request.shard = bulk->shard;
    putting->call.request.body = &putting->body;
    putting->call.request.body_count = item->length_bytes ? 1 : 0;
    putting->call.request.body_crc32c = crc32c_update(0, item->data, item->length_bytes);
    putting->call.request.has_body_crc32c = true;
    putting->call.request.content_type = "application/octet-stream";
    DL_APPEND(bulk->puttings, putting);
    if (!bulk->endpoint) {
        bulk->endpoint = engine_endpoint(bulk->engine, store);
        endpoint_expect(bulk->endpoint, ENDPOINT_PUTS, item->length_bytes, bulk->count);
    }
    if (bulk->in_flight++ == 0)
        endpoint_join(bulk->endpoint, ENDPOINT_PUTS);
    call_start(&putting->call);
}

static bool has_room(const struct bulk *bulk)
{
    return !bulk->endpoint ||
           endpoint_has_room(bulk->endpoint, ENDPOINT_PUTS,
                             limiter_flow(bulk->items[bulk->started].length_bytes),
                             bulk->in_flight);
}

static void pump(struct bulk *bulk)
{
    if (bulk->pumping)
        return;
    bulk->pumping = true;
    while (bulk->started < bulk->count && has_room(bulk))
        start(bulk, bulk->started++);
    bulk->pumping = false;
}

static bool is_finished(const void *arg, uint64_t value)
{
    const struct bulk *bulk = arg;

    return bulk->started == bulk->count && bulk->in_flight == 0;
}

static void give_up(struct bulk *bulk, const struct error *error)
{
    struct putting *putting, *next;

    for (putting = bulk->puttings; putting; putting = next) {
        next = putting->next;
        fail_item(bulk, putting->index, error);
        call_fini(&putting->call);
        free(putting);
    }
    if (bulk->in_flight > 0)
        endpoint_leave(bulk->endpoint, ENDPOINT_PUTS);
    for (size_t i = bulk->started; i < bulk->count; i++)
        fail_item(bulk, i, error);
}

static int put_one(struct bulk *bulk, size_t index, const struct limits *limits, struct error *err)
{
    struct put *put = calloc(1, sizeof *put);
    struct store *store;
    int r;

    if (!put)
        return error_set(err, ERROR_NO_MEMORY, "storing an object");
    r = prepare(bulk, index, &put->uri, &store, err);
    if (r == 0) {
        put->data = bulk->items[index].data;
        put->length_bytes = bulk->items[index].length_bytes;
        r = put_object(bulk->engine, put, limits, err);
    }
    free(put);
    return r;
}

static void put_large(struct bulk *bulk, const struct limits *limits)
{
    struct error error;

    for (size_t i = 0; i < bulk->count; i++)
        if (bulk->outcomes[i].later && put_one(bulk, i, limits, &error) < 0)
            fail_item(bulk, i, &error);
}

static struct bulk *bulk_new(struct engine *engine, const struct bulk_put *items, size_t count)
{
    struct bulk *bulk = calloc(1, sizeof *bulk);

    if (!bulk)
        return NULL;
    bulk->outcomes = calloc(count, sizeof *bulk->outcomes);
    if (!bulk->outcomes) {
        free(bulk);
        return NULL;
    }
    bulk->engine = engine;
    bulk->shard = engine->shards[shard_thread_id() % engine->shard_count];
    bulk->items = items;
    bulk->count = count;
    return bulk;
}

int bulk_put(struct engine *engine, struct bulk_put *items, size_t count,
             const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = is_finished};
    struct error reason = {0};
    struct bulk *bulk;
    int failed = 0;

    if (count == 0)
        return 0;
    bulk = bulk_new(engine, items, count);
    if (!bulk)
        return error_set(err, ERROR_NO_MEMORY, "storing %zu objects", count);
    wait.arg = bulk;
    shard_lock(bulk->shard);
    pump(bulk);
    if (limits_wait(bulk->shard, limits, &wait, &reason) < 0)
        give_up(bulk, &reason);
    shard_unlock(bulk->shard);
    put_large(bulk, limits);
    for (size_t i = 0; i < count; i++) {
        const struct outcome *outcome = &bulk->outcomes[i];

        items[i].error = outcome->error;
        items[i].result = outcome->failed ? -error_errno(&outcome->error) : 0;
        failed += outcome->failed;
    }
    free(bulk->outcomes);
    free(bulk);
    return failed;
}
