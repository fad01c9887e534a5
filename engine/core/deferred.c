/* Puts that close did not wait for. See deferred.h.
 *
 * A put goes through at most three requests, each begun where the one before has ended, under the
 * shard's lock: the PUT; when that may have worked although it failed, or its condition was not
 * understood, a HEAD; and, when nothing is there, the PUT without the condition. What was changed
 * meanwhile goes the same way once more.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "core/deferred_private.h"
#include "core/names.h"

#define PLACES_DEFAULT 128 /* as for other small objects */
#define MEMORY_SHARE   4   /* of the budget, in bodies on their way */
#define LOOK_NS        (60 * NS_PER_S)
#define HALVE_NS       (100 * NS_PER_MS) /* what the store says within is about the same requests */

void deferred_init(struct engine *engine)
{
    struct deferred *deferred = &engine->deferred;

    deferred->is_on = option_int(&engine->options, CLOSE) == 1;
    if (deferred->is_on)
        deferred->table = deferred_table_open();
    deferred->places_max = option_int(&engine->options, PUT_INFLIGHT) == 0
                               ? PLACES_DEFAULT
                               : (unsigned)option_int(&engine->options, PUT_INFLIGHT);
    deferred->places = deferred->places_max;
    deferred->hold_ns = option_int(&engine->options, CLOSE_HOLD_MS) * NS_PER_MS;
}

void deferred_reset_child(struct deferred *deferred)
{
    *deferred = (struct deferred){
        .is_on = deferred->is_on,
        .table = deferred->table,
        .places_max = deferred->places_max,
        .places = deferred->places_max,
        .hold_ns = deferred->hold_ns,
    };
}

/* ---- how many -------------------------------------------------------------------------------- */

static bool has_place(const void *arg, uint64_t bytes)
{
    const struct engine *engine = arg;
    const struct deferred *deferred = &engine->deferred;
    unsigned count = atomic_load(&deferred->count);

    return count == 0 || (count < deferred->places &&
                          deferred->bytes + bytes <= engine->budget.limit_bytes / MEMORY_SHARE);
}

static void halve(struct deferred *deferred)
{
    int64_t now_ns = clock_now_ns();

    if (now_ns - deferred->halved_ns < HALVE_NS || deferred->places < 2)
        return;
    deferred->halved_ns = now_ns;
    deferred->places /= 2;
    deferred->stored = 0;
}

static void grow(struct deferred *deferred)
{
    if (deferred->places >= deferred->places_max || ++deferred->stored < deferred->places)
        return;
    deferred->places++;
    deferred->stored = 0;
}

static void on_answer(struct call *call)
{
    if (call->request.error.class == ERROR_THROTTLED)
        halve(&call->engine->deferred);
}

/* ---- the end of a put ------------------------------------------------------------------------ */

/* Under the shard's lock; `error` NULL: it is stored. The put is gone on return. */
static void end(struct deferred_put *put, const struct error *error)
{
    struct engine *engine = put->engine;
    struct deferred *deferred = &engine->deferred;
    char text[ATTR_URI_BYTES];

    attr_uri_text(&put->call.uri, text);
    attr_cache_doubt(engine->attrs, text, true); /* its directory has changed with the close */
    if (error) {
        deferred_keep_failure(deferred, &put->call.uri, error);
        stats_add(engine_stats(engine), STATS_CLOSES_FAILED, 1);
    } else {
        grow(deferred);
        deferred_forgive_one(deferred, &put->call.uri);
    }
    DL_DELETE(deferred->puts, put);
    deferred->bytes -= put->memory.size_bytes;
    deferred_table_leave(deferred->table, put->seat);
    call_fini(&put->call);
    put->release(put->owner);
    free(put);
    atomic_fetch_sub(&deferred->count, 1);
}

/* ---- on its way ------------------------------------------------------------------------------ */

static void on_put(struct call *call);

/* The call begins anew, with another request. */
static void begin_call(struct deferred_put *put, enum store_operation operation)
{
    struct uri uri = put->call.uri;
    struct store *store;
    struct error ignored;

    if (engine_store(put->engine, uri.scheme, &store, &ignored) < 0)
        return; /* cannot be: the upload has it */
    call_init(&put->call, put->engine, operation, &uri, store, NULL);
    put->call.request.shard = deferred_shard(put->engine);
    put->call.on_answer = on_answer;
}

void deferred_send(struct deferred_put *put)
{
    begin_call(put, STORE_PUT);
    upload_put_describe(put->upload, &put->memory, &put->body, &put->call.request);
    if (put->is_plain || put->is_again)
        put->call.request.if_none_match = false;
    if (put->is_again && put->etag[0] &&
        put->call.request.store->capabilities & STORE_CAP_IF_MATCH_PUT)
        put->call.request.if_match = put->etag;
    put->call.on_done = on_put;
    call_start(&put->call);
}

/* It is stored, as it was sent. */
static void stored(struct deferred_put *put)
{
    int r = deferred_goes_again(put, put->call.request.object.etag);

    if (r > 0) {
        call_fini(&put->call);
        deferred_send(put);
        return;
    }
    if (r < 0)
        error_set_errno(&put->failure, -r, "storing attributes");
    end(put, r < 0 ? &put->failure : NULL);
}

static void on_look(struct call *call)
{
    struct deferred_put *put = CONTAINER(call, struct deferred_put, call);
    const struct store_request *answer = &call->request;

    if (answer->error.class == ERROR_NONE && upload_is_of(put->upload, &answer->object)) {
        stored(put);
    } else if (put->is_refused && !put->is_again && answer->error.class == ERROR_NOT_FOUND) {
        call_fini(call);
        put->is_plain = true;
        deferred_send(put);
    } else {
        if (put->is_refused && answer->error.class == ERROR_NONE) {
            error_set(&put->failure, put->is_again ? ERROR_CHANGED : ERROR_EXISTS,
                      "something of that name exists");
            call_name_error(call, &put->failure);
        }
        end(put, &put->failure);
    }
}

static void look(struct deferred_put *put)
{
    put->failure = put->call.request.error;
    call_fini(&put->call);
    begin_call(put, STORE_HEAD);
    put->call.deadline_ns = put->call.request.deadline_ns = clock_deadline_ns(LOOK_NS);
    put->call.on_done = on_look;
    call_start(&put->call);
}

static void on_put(struct call *call)
{
    struct deferred_put *put = CONTAINER(call, struct deferred_put, call);
    const struct error *error = &call->request.error;

    put->is_refused = error->class != ERROR_NONE && call_condition_refused(call);
    if (error->class == ERROR_NONE) {
        if (put->is_plain && !put->is_again)
            store_lose(call->request.store, STORE_CAP_IF_NONE_MATCH);
        stored(put);
    } else if (put->is_refused || upload_put_may_have_worked(put->upload, call)) {
        look(put);
    } else {
        put->failure = *error;
        end(put, &put->failure);
    }
}

/* ---- beginning one --------------------------------------------------------------------------- */

unsigned deferred_seat(struct deferred_put *put, const struct uri *uri)
{
    struct engine *engine = put->engine;
    struct deferred_name name;
    struct error ignored;
    struct store *store;

    if (engine_store(engine, uri->scheme, &store, &ignored) < 0)
        return 0;
    deferred_name_of(store, uri, &name);
    return deferred_table_enter(
        engine->deferred.table, &name, &put->attr,
        clock_deadline_ns(engine->deferred.hold_ns + 4 * engine->operation_timeout_ns + LOOK_NS));
}

static struct deferred_put *put_new(struct engine *engine, const struct deferred_options *options)
{
    struct deferred_put *put = calloc(1, sizeof *put);

    if (!put)
        return NULL;
    put->engine = engine;
    put->upload = options->upload;
    put->memory = options->memory;
    put->attr = *options->attr;
    put->is_new = options->is_new;
    put->release = options->release;
    put->owner = options->owner;
    put->call.uri = *options->uri;
    put->seat = deferred_seat(put, options->uri);
    if (put->seat)
        return put;
    free(put);
    return NULL;
}

/* Under the shard's lock. Listed first: a reader that is opened from then on waits for it. */
static bool begin(struct engine *engine, struct deferred_put *put, const struct limits *limits)
{
    struct deferred *deferred = &engine->deferred;
    struct limits_wait wait = {.done = has_place, .arg = engine, .value = put->memory.size_bytes};
    struct uri uri = put->call.uri;
    char text[ATTR_URI_BYTES];

    if (!has_place(engine, put->memory.size_bytes))
        deferred_let_all_go(engine);
    if (limits_wait(deferred_shard(engine), limits, &wait, NULL) < 0)
        return false;
    put->serial = ++deferred->serial;
    DL_APPEND(deferred->puts, put);
    atomic_fetch_add(&deferred->count, 1);
    if (reader_registry_has(engine, &uri)) {
        DL_DELETE(deferred->puts, put);
        atomic_fetch_sub(&deferred->count, 1);
        return false;
    }
    deferred->bytes += put->memory.size_bytes;
    attr_uri_text(&uri, text);
    attr_cache_forget(engine->attrs, text);
    deferred_hold(put);
    return true;
}

bool deferred_begin(struct engine *engine, const struct deferred_options *options,
                    const struct limits *limits)
{
    struct deferred *deferred = &engine->deferred;
    struct deferred_put *put;
    bool begun;

    if (!deferred->table || deferred_wait(engine, options->uri, limits, NULL) < 0)
        return false;
    put = put_new(engine, options);
    if (!put)
        return false;
    shard_lock(deferred_shard(engine));
    begun = begin(engine, put, limits);
    shard_unlock(deferred_shard(engine));
    if (begun) {
        stats_add(engine_stats(engine), STATS_CLOSES_DEFERRED, 1);
    } else {
        deferred_table_leave(deferred->table, put->seat);
        free(put);
    }
    return begun;
}

/* ---- looking and waiting --------------------------------------------------------------------- */

struct deferred_put *deferred_find(struct deferred *deferred, const struct uri *uri)
{
    struct deferred_put *put, *found = NULL;

    DL_FOREACH(deferred->puts, put)
    if (uri_is_same(&put->call.uri, uri))
        found = put;
    return found;
}

static bool is_above(const struct uri *directory, const struct uri *uri)
{
    size_t length = strlen(directory->key);

    return !strncmp(directory->key, uri->key, length) && uri->key[length] == '/' &&
           !strcmp(directory->bucket, uri->bucket) && !strcmp(directory->scheme, uri->scheme);
}

struct deferred_put *deferred_find_on_the_way(struct deferred *deferred, const struct uri *uri)
{
    struct deferred_put *put, *found = deferred_find(deferred, uri);

    DL_FOREACH(deferred->puts, put)
    if (is_above(&put->call.uri, uri))
        found = put;
    return found;
}

/* Of the others, if there is anything. */
static bool is_elsewhere(struct engine *engine, const struct uri *uri,
                         struct deferred_name *ret_name)
{
    struct error ignored;
    struct store *store;

    if (!deferred_table_any(engine->deferred.table) ||
        engine_store(engine, uri->scheme, &store, &ignored) < 0)
        return false;
    deferred_name_of(store, uri, ret_name);
    return true;
}

bool deferred_look(struct engine *engine, const struct uri *uri, struct attr *ret_attr)
{
    struct deferred *deferred = &engine->deferred;
    struct deferred_put *put = NULL;
    struct deferred_name name;
    char text[ATTR_URI_BYTES];

    if (deferred_any(deferred)) {
        shard_lock(deferred_shard(engine));
        put = deferred_find(deferred, uri);
        if (put)
            *ret_attr = put->attr;
        shard_unlock(deferred_shard(engine));
    }
    if (put)
        return true;
    if (!is_elsewhere(engine, uri, &name) || !deferred_table_look(deferred->table, &name, ret_attr))
        return false;
    attr_uri_text(uri, text);
    ret_attr->inode = attr_inode(text);
    return true;
}

static bool has_ended(const void *arg, uint64_t serial)
{
    const struct deferred_put *put;

    DL_FOREACH(((const struct deferred *)arg)->puts, put)
    if (put->serial == serial)
        return false;
    return true;
}

static bool have_all_ended(const void *arg, uint64_t serial)
{
    const struct deferred *deferred = arg;

    return !deferred->puts || deferred->puts->serial > serial;
}

int deferred_wait_serial(struct engine *engine, uint64_t serial, const struct limits *limits,
                         struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    struct limits_wait wait = {.done = has_ended, .arg = deferred, .value = serial};
    struct deferred_put *put;
    int r;

    shard_lock(deferred_shard(engine));
    DL_SEARCH_SCALAR(deferred->puts, put, serial, serial);
    if (put)
        deferred_let_go(put);
    r = limits_wait(deferred_shard(engine), limits, &wait, err);
    shard_unlock(deferred_shard(engine));
    return r;
}

/* This process's to that name. */
static int wait_own(struct engine *engine, const struct uri *uri, const struct limits *limits,
                    struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    struct limits_wait wait = {.done = has_ended, .arg = deferred};
    struct deferred_put *put;
    int r = 0;

    if (!deferred_any(deferred))
        return 0;
    shard_lock(deferred_shard(engine));
    while (r == 0 && (put = deferred_find_on_the_way(deferred, uri))) {
        wait.value = put->serial;
        deferred_let_go(put);
        r = limits_wait(deferred_shard(engine), limits, &wait, err);
    }
    shard_unlock(deferred_shard(engine));
    return r;
}

/* Of the others. */
static int wait_elsewhere(struct engine *engine, const struct uri *uri, const struct limits *limits,
                          struct error *err)
{
    struct uri at = *uri, parent;
    struct deferred_name name;
    int r = 0;

    while (r == 0 && at.key[0] && is_elsewhere(engine, &at, &name)) {
        r = deferred_table_wait(engine->deferred.table, &name, limits, err);
        if (!names_parent(&at, &parent))
            break;
        at = parent;
    }
    return r;
}

int deferred_wait(struct engine *engine, const struct uri *uri, const struct limits *limits,
                  struct error *err)
{
    int r = wait_own(engine, uri, limits, err);

    return r == 0 ? wait_elsewhere(engine, uri, limits, err) : r;
}

static int wait_all_own(struct engine *engine, const struct limits *limits, struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    struct limits_wait wait = {.done = have_all_ended, .arg = deferred};
    int r;

    if (!deferred_any(deferred))
        return 0;
    shard_lock(deferred_shard(engine));
    wait.value = deferred->serial;
    deferred_let_all_go(engine);
    r = limits_wait(deferred_shard(engine), limits, &wait, err);
    shard_unlock(deferred_shard(engine));
    return r;
}

int deferred_wait_everywhere(struct engine *engine, const struct limits *limits, struct error *err)
{
    int r = wait_all_own(engine, limits, err);

    if (r == 0 && deferred_table_any(engine->deferred.table))
        r = deferred_table_wait(engine->deferred.table, NULL, limits, err);
    return r;
}

void deferred_finish(struct engine *engine, const struct limits *limits)
{
    struct deferred *deferred = &engine->deferred;
    struct error error = {0};
    struct deferred_put *put;

    if (wait_all_own(engine, limits, &error) < 0) {
        shard_lock(deferred_shard(engine));
        for (put = deferred->puts; put; put = put->next)
            deferred_keep_failure(deferred, &put->call.uri, &error);
        shard_unlock(deferred_shard(engine));
    }
    deferred_print(engine);
}
