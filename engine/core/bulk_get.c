/* Fetching many objects at once. See bulk.h.
 *
 * One pump starts requests until enough are under way; every end of a request pumps again. The
 * first request of an object asks for one range and tells the size; the memory is made then, and
 * what is missing is asked for in further ranges, before new objects are begun. Bytes land in the
 * memory that is handed out, whoever drives, because it is the engine's until then.
 *
 * Everything hangs on one shard and is touched under its lock. The state is on the heap: a caller
 * who jumped away leaves it behind, whole.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <utlist.h>

#include "core/bulk.h"
#include "core/engine.h"
#include "core/fetch.h"

#define HUGE_PAGE_BYTES ((uint64_t)2 << 20)

struct item {
    const char *uri;
    unsigned char *data;
    uint64_t size_bytes, asked_bytes; /* asked for so far */
    unsigned pending;                 /* requests under way */
    bool sized, failed;
    char etag[STORE_ETAG_MAX]; /* of the first answer: all ranges are of one version */
    struct error error;
};

struct getting {
    struct fetch fetch;
    struct bulk *bulk;
    struct item *item;
    struct getting *prev, *next;
};

struct bulk {
    struct engine *engine;
    struct shard *shard;
    struct item *items;
    size_t count, started, unfinished;
    size_t growing; /* the first item that may lack ranges */
    struct endpoint *endpoint; /* of the first item: few calls are about several */
    unsigned in_flight;
    bool pumping;
    struct getting *gettings;
};

static void pump(struct bulk *bulk);

static struct getting *of_fetch(struct fetch *fetch)
{
    return (struct getting *)((char *)fetch - offsetof(struct getting, fetch));
}

static bool lacks_ranges(const struct item *item)
{
    return item->sized && !item->failed && item->asked_bytes < item->size_bytes;
}

static void end_if_complete(struct bulk *bulk, struct item *item)
{
    if (item->pending == 0 && !lacks_ranges(item))
        bulk->unfinished--;
}

static void fail_item(struct item *item, const struct error *error)
{
    if (!item->failed)
        item->error = *error;
    item->failed = true;
}

/* ---- one request ----------------------------------------------------------------------------- */

static size_t on_space(struct fetch *fetch, void **ret_where)
{
    struct item *item = of_fetch(fetch)->item;

    *ret_where = item->data + fetch->offset + fetch->received;
    return fetch->length - fetch->received;
}

static void on_commit(struct fetch *fetch, size_t length)
{
}

/* Large memory comes in large pages where the system has them: a fault for each small page costs
 * more than the bytes. */
static void *new_data(uint64_t size_bytes)
{
    void *data;

    if (size_bytes < 2 * HUGE_PAGE_BYTES)
        return malloc(size_bytes ? size_bytes : 1);
    if (posix_memalign(&data, HUGE_PAGE_BYTES, size_bytes) != 0)
        return NULL;
    madvise(data, size_bytes - size_bytes % HUGE_PAGE_BYTES, MADV_HUGEPAGE);
    return data;
}

static void on_object(struct fetch *fetch)
{
    struct item *item = of_fetch(fetch)->item;
    struct error reason;

    if (item->sized)
        return;
    item->size_bytes = fetch->object_size_bytes;
    item->asked_bytes = fetch->length;
    memcpy(item->etag, fetch->etag, sizeof item->etag);
    item->data = new_data(item->size_bytes);
    item->sized = item->data != NULL;
    if (!item->sized) {
        error_set(&reason, ERROR_NO_MEMORY, "an object of %llu bytes",
                  (unsigned long long)item->size_bytes);
        call_name_error(&fetch->call, &reason);
        call_refuse(&fetch->call, &reason);
    }
}

/* Nothing can be asked for of an empty object: that is its whole contents. */
static void note_end(struct item *item, const struct error *error)
{
    if (error->class == ERROR_RANGE && !item->sized) {
        item->data = malloc(1);
        item->sized = item->data != NULL;
        item->failed = !item->sized;
    } else if (error->class != ERROR_NONE) {
        fail_item(item, error);
    }
}

static void on_done(struct fetch *fetch)
{
    struct getting *getting = of_fetch(fetch);
    struct bulk *bulk = getting->bulk;
    struct item *item = getting->item;

    note_end(item, &fetch->call.request.error);
    DL_DELETE(bulk->gettings, getting);
    if (--bulk->in_flight == 0)
        endpoint_leave(bulk->endpoint, ENDPOINT_GETS);
    item->pending--;
    fetch_fini(fetch);
    free(getting);
    end_if_complete(bulk, item);
    pump(bulk);
}

static const struct fetch_ops getting_ops = {
    .space = on_space,
    .commit = on_commit,
    .on_object = on_object,
    .on_done = on_done,
};

/* ---- the pump -------------------------------------------------------------------------------- */

static int parse(const struct item *item, struct bulk *bulk, struct uri *ret_uri,
                 struct store **ret_store, struct error *err)
{
    int r = uri_parse(item->uri, ret_uri);

    if (r < 0)
        r = error_set(err, r == -ENAMETOOLONG ? ERROR_TOO_LONG : ERROR_INVALID,
                      "not a URI of an object");
    else
        r = engine_store(bulk->engine, ret_uri->scheme, ret_store, err);
    if (r < 0)
        error_set_context(err, NULL, item->uri);
    return r;
}

static void expect(struct bulk *bulk, const struct store *store)
{
    bulk->endpoint = engine_endpoint(bulk->engine, store);
    endpoint_expect(bulk->endpoint, ENDPOINT_GETS,
                    endpoint_unsized(bulk->endpoint) == LIMITER_LONG ? LIMITER_LONG_BYTES : 0,
                    bulk->count);
}

/* [offset, offset + length) of the item; its error when that cannot even begin. */
static void start(struct bulk *bulk, struct item *item, uint64_t offset, uint64_t length)
{
    struct getting *getting = malloc(sizeof *getting);
    struct store *store = NULL;
    struct error error = {0};
    struct uri uri;

    if (getting)
        parse(item, bulk, &uri, &store, &error);
    else
        error_set(&error, ERROR_NO_MEMORY, "fetching an object");
    if (!store) {
        free(getting);
        fail_item(item, &error);
        end_if_complete(bulk, item);
        return;
    }
    fetch_init(&getting->fetch, bulk->engine, &uri, store, NULL);
    getting->fetch.call.request.shard = bulk->shard;
    getting->fetch.ops = &getting_ops;
    getting->bulk = bulk;
    getting->item = item;
    DL_APPEND(bulk->gettings, getting);
    if (!bulk->endpoint)
        expect(bulk, store);
    if (bulk->in_flight++ == 0)
        endpoint_join(bulk->endpoint, ENDPOINT_GETS);
    item->pending++;
    if (item->sized) {
        getting->fetch.object_size_bytes = item->size_bytes;
        getting->fetch.size_known = true;
    }
    fetch_start(&getting->fetch, offset, length, item->etag);
}

static struct item *next_growing(struct bulk *bulk)
{
    for (size_t i = bulk->growing; i < bulk->started; i++) {
        if (lacks_ranges(&bulk->items[i]))
            return &bulk->items[i];
        if (i == bulk->growing && (bulk->items[i].sized || bulk->items[i].failed))
            bulk->growing++;
    }
    return NULL;
}

static bool has_room(const struct bulk *bulk, enum limiter_flow flow)
{
    return !bulk->endpoint ||
           endpoint_has_room(bulk->endpoint, ENDPOINT_GETS, flow, bulk->in_flight);
}

static void pump(struct bulk *bulk)
{
    const struct range_plan *plan = &bulk->engine->plan;

    if (bulk->pumping)
        return;
    bulk->pumping = true;
    for (;;) {
        struct item *item = next_growing(bulk);
        enum limiter_flow flow =
            item || !bulk->endpoint ? LIMITER_LONG : endpoint_unsized(bulk->endpoint);

        if (!has_room(bulk, flow)) {
            break;
        } else if (item) {
            uint64_t offset = item->asked_bytes, left = item->size_bytes - offset;
            uint64_t length = range_plan_get_bytes(plan, item->size_bytes, false);

            length = length < left ? length : left;
            item->asked_bytes += length;
            start(bulk, item, offset, length);
        } else if (bulk->started < bulk->count) {
            start(bulk, &bulk->items[bulk->started++], 0, plan->get_part_bytes);
        } else {
            break;
        }
    }
    bulk->pumping = false;
}

/* ---- the call -------------------------------------------------------------------------------- */

static bool is_finished(const void *arg, uint64_t value)
{
    const struct bulk *bulk = arg;

    return bulk->unfinished == 0;
}

static struct bulk *bulk_new(struct engine *engine, const struct bulk_get *items, size_t count)
{
    struct bulk *bulk = calloc(1, sizeof *bulk);

    if (!bulk)
        return NULL;
    bulk->items = calloc(count, sizeof *bulk->items);
    if (!bulk->items) {
        free(bulk);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        bulk->items[i].uri = items[i].uri;
    bulk->engine = engine;
    bulk->shard = engine->shards[shard_thread_id() % engine->shard_count];
    bulk->count = bulk->unfinished = count;
    return bulk;
}

static void give_up(struct bulk *bulk, const struct error *error)
{
    struct getting *getting, *next;

    for (getting = bulk->gettings; getting; getting = next) {
        next = getting->next;
        fail_item(getting->item, error);
        fetch_fini(&getting->fetch);
        free(getting);
    }
    if (bulk->in_flight > 0)
        endpoint_leave(bulk->endpoint, ENDPOINT_GETS);
    for (size_t i = 0; i < bulk->count; i++)
        if (i >= bulk->started || lacks_ranges(&bulk->items[i]))
            fail_item(&bulk->items[i], error);
}

static int hand_out(struct bulk *bulk, struct bulk_get *items)
{
    int failed = 0;

    for (size_t i = 0; i < bulk->count; i++) {
        struct item *item = &bulk->items[i];

        if (item->failed) {
            free(item->data);
            failed++;
        }
        items[i].error = item->error;
        items[i].result = item->failed ? -error_errno(&item->error) : 0;
        items[i].data = item->failed ? NULL : item->data;
        items[i].length_bytes = item->failed ? 0 : item->size_bytes;
    }
    return failed;
}

int bulk_get(struct engine *engine, struct bulk_get *items, size_t count,
             const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = is_finished};
    struct error reason = {0};
    struct bulk *bulk;
    int failed;

    if (count == 0)
        return 0;
    bulk = bulk_new(engine, items, count);
    if (!bulk)
        return error_set(err, ERROR_NO_MEMORY, "fetching %zu objects", count);
    wait.arg = bulk;
    shard_lock(bulk->shard);
    pump(bulk);
    if (limits_wait(bulk->shard, limits, &wait, &reason) < 0)
        give_up(bulk, &reason);
    shard_unlock(bulk->shard);
    failed = hand_out(bulk, items);
    free(bulk->items);
    free(bulk);
    return failed;
}
