/* Puts that close did not wait for. See deferred.h.
 *
 * A put goes through at most three requests, each begun where the one before has ended, under the
 * shard's lock: the PUT; when that may have worked although it failed, or its condition was not
 * understood, a HEAD; and, when nothing is there, the PUT without the condition.
 */
#include "core/deferred.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "core/call.h"
#include "core/engine.h"
#include "core/names.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#define PLACES_DEFAULT 128 /* as for other small objects */
#define MEMORY_SHARE 4    /* of the budget, in bodies on their way */
#define FAILURES_MAX 1000 /* kept by their names */
#define LOOK_NS      (60 * NS_PER_S)
#define HALVE_NS     (100 * NS_PER_MS) /* what the store says meanwhile is about the same requests */

struct deferred_put {
    struct call call;
    struct iovec body;
    struct upload *upload;
    struct upload_memory memory;
    struct attr attr;
    void (*release)(void *owner);
    void *owner;
    struct error failure; /* of the PUT, while a HEAD is on its way */
    bool is_refused;      /* its condition was */
    bool is_plain;        /* goes without */
    unsigned seat;
    uint64_t serial;
    struct deferred_put *prev, *next;
};

struct deferred_failure {
    struct uri uri;
    struct error error;
    bool is_printed, is_told;
    struct deferred_failure *prev, *next;
};

/* One for all, as for deletions: objects are small here. */
static struct shard *shard_of(struct engine *engine)
{
    return engine->shards[0];
}

void deferred_init(struct engine *engine)
{
    struct deferred *deferred = &engine->deferred;

    deferred->is_on = option_int(&engine->options, CLOSE) == 1;
    if (deferred->is_on)
        deferred->table = deferred_table_open();
    deferred->places_max =
        option_int(&engine->options, PUT_INFLIGHT) == 0
            ? PLACES_DEFAULT
            : (unsigned)option_int(&engine->options, PUT_INFLIGHT);
    deferred->places = deferred->places_max;
}

void deferred_reset_child(struct deferred *deferred)
{
    *deferred = (struct deferred){
        .is_on = deferred->is_on,
        .table = deferred->table,
        .places_max = deferred->places_max,
        .places = deferred->places_max,
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

/* Nobody comes to grief over one that is not remembered: it is printed at once. */
static void keep_failure(struct deferred *deferred, const struct uri *uri,
                         const struct error *error)
{
    struct deferred_failure *failure = calloc(1, sizeof *failure);

    if (!failure) {
        log_error("%s/%s was not stored, although close had returned 0", uri->bucket, uri->key);
        deferred->first_failure = *error;
    } else {
        failure->uri = *uri;
        failure->error = *error;
        DL_APPEND(deferred->failures, failure);
        atomic_fetch_add(&deferred->unprinted, 1);
    }
    atomic_fetch_add(&deferred->failed, 1);
}

static bool is_same(const struct uri *a, const struct uri *b)
{
    return !strcmp(a->key, b->key) && !strcmp(a->bucket, b->bucket) &&
           !strcmp(a->scheme, b->scheme);
}

/* Something is stored under that name. */
static void forgive(struct deferred *deferred, const struct uri *uri)
{
    struct deferred_failure *failure, *next;

    DL_FOREACH_SAFE(deferred->failures, failure, next) {
        if (!failure->is_printed || !is_same(&failure->uri, uri))
            continue;
        DL_DELETE(deferred->failures, failure);
        free(failure);
        atomic_fetch_sub(&deferred->failed, 1);
    }
}

/* Under the shard's lock; `error` NULL: it is stored. The put is gone on return. */
static void end(struct deferred_put *put, const struct error *error)
{
    struct engine *engine = put->call.engine;
    struct deferred *deferred = &engine->deferred;
    char text[ATTR_URI_BYTES];

    attr_uri_text(&put->call.uri, text);
    attr_cache_doubt(engine->attrs, text, true); /* its directory has changed with the close */
    if (error) {
        keep_failure(deferred, &put->call.uri, error);
        stats_add(engine_stats(engine), STATS_CLOSES_FAILED, 1);
    } else {
        grow(deferred);
        forgive(deferred, &put->call.uri);
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
static void begin_call(struct deferred_put *put, struct engine *engine,
                       enum store_operation operation, const struct uri *uri)
{
    struct store *store;
    struct error ignored;

    if (engine_store(engine, uri->scheme, &store, &ignored) < 0)
        return; /* cannot be: the upload has it */
    call_init(&put->call, engine, operation, uri, store, NULL);
    put->call.request.shard = shard_of(engine);
    put->call.on_answer = on_answer;
}

static void send(struct deferred_put *put, struct engine *engine, const struct uri *uri)
{
    begin_call(put, engine, STORE_PUT, uri);
    upload_put_describe(put->upload, &put->memory, &put->body, &put->call.request);
    if (put->is_plain)
        put->call.request.if_none_match = false;
    put->call.on_done = on_put;
    call_start(&put->call);
}

static void on_look(struct call *call)
{
    struct deferred_put *put = CONTAINER(call, struct deferred_put, call);
    struct engine *engine = call->engine;
    const struct store_request *answer = &call->request;
    struct uri uri = call->uri;

    if (answer->error.class == ERROR_NONE && upload_is_of(put->upload, &answer->object)) {
        end(put, NULL);
    } else if (put->is_refused && answer->error.class == ERROR_NOT_FOUND) {
        call_fini(call);
        put->is_plain = true;
        send(put, engine, &uri);
    } else {
        if (put->is_refused && answer->error.class == ERROR_NONE) {
            error_set(&put->failure, ERROR_EXISTS, "something of that name exists");
            call_name_error(call, &put->failure);
        }
        end(put, &put->failure);
    }
}

static void look(struct deferred_put *put)
{
    struct engine *engine = put->call.engine;
    struct uri uri = put->call.uri;

    put->failure = put->call.request.error;
    call_fini(&put->call);
    begin_call(put, engine, STORE_HEAD, &uri);
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
        if (put->is_plain)
            store_lose(call->request.store, STORE_CAP_IF_NONE_MATCH);
        end(put, NULL);
    } else if (put->is_refused || upload_put_may_have_worked(put->upload, call)) {
        look(put);
    } else {
        put->failure = *error;
        end(put, &put->failure);
    }
}

/* ---- beginning one --------------------------------------------------------------------------- */

static struct deferred_put *put_new(struct engine *engine, const struct deferred_options *options)
{
    struct deferred_put *put = calloc(1, sizeof *put);
    struct deferred_name name;
    struct error ignored;
    struct store *store;

    if (!put || engine_store(engine, options->uri->scheme, &store, &ignored) < 0) {
        free(put);
        return NULL;
    }
    put->upload = options->upload;
    put->memory = options->memory;
    put->attr = *options->attr;
    put->release = options->release;
    put->owner = options->owner;
    put->call.uri = *options->uri;
    deferred_name_of(store, options->uri, &name);
    put->seat = deferred_table_enter(
        engine->deferred.table, &name, options->attr,
        clock_deadline_ns(2 * engine->operation_timeout_ns + LOOK_NS));
    if (put->seat)
        return put;
    free(put);
    return NULL;
}

/* Under the shard's lock. Listed first: a reader that is opened from then on waits for it. */
static bool begin(struct engine *engine, struct deferred_put *put, const struct limits *limits)
{
    struct deferred *deferred = &engine->deferred;
    struct limits_wait wait = {
        .done = has_place, .arg = engine, .value = put->memory.size_bytes};
    struct uri uri = put->call.uri;
    char text[ATTR_URI_BYTES];

    if (limits_wait(shard_of(engine), limits, &wait, NULL) < 0)
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
    send(put, engine, &uri);
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
    shard_lock(shard_of(engine));
    begun = begin(engine, put, limits);
    shard_unlock(shard_of(engine));
    if (begun) {
        stats_add(engine_stats(engine), STATS_CLOSES_DEFERRED, 1);
    } else {
        deferred_table_leave(deferred->table, put->seat);
        free(put);
    }
    return begun;
}

/* ---- looking and waiting --------------------------------------------------------------------- */

/* The newest put to that name. Under the shard's lock. */
static struct deferred_put *find(struct deferred *deferred, const struct uri *uri)
{
    struct deferred_put *put, *found = NULL;

    DL_FOREACH(deferred->puts, put)
        if (is_same(&put->call.uri, uri))
            found = put;
    return found;
}

static bool is_above(const struct uri *directory, const struct uri *uri)
{
    size_t length = strlen(directory->key);

    return !strncmp(directory->key, uri->key, length) && uri->key[length] == '/' &&
           !strcmp(directory->bucket, uri->bucket) && !strcmp(directory->scheme, uri->scheme);
}

/* To that name, or to one that stands for a directory in it. */
static struct deferred_put *find_on_the_way(struct deferred *deferred, const struct uri *uri)
{
    struct deferred_put *put, *found = find(deferred, uri);

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
        shard_lock(shard_of(engine));
        put = find(deferred, uri);
        if (put)
            *ret_attr = put->attr;
        shard_unlock(shard_of(engine));
    }
    if (put)
        return true;
    if (!is_elsewhere(engine, uri, &name) ||
        !deferred_table_look(deferred->table, &name, ret_attr))
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
    shard_lock(shard_of(engine));
    while (r == 0 && (put = find_on_the_way(deferred, uri))) {
        wait.value = put->serial;
        r = limits_wait(shard_of(engine), limits, &wait, err);
    }
    shard_unlock(shard_of(engine));
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
    shard_lock(shard_of(engine));
    wait.value = deferred->serial;
    r = limits_wait(shard_of(engine), limits, &wait, err);
    shard_unlock(shard_of(engine));
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
        shard_lock(shard_of(engine));
        for (put = deferred->puts; put; put = put->next)
            keep_failure(deferred, &put->call.uri, &error);
        shard_unlock(shard_of(engine));
    }
    deferred_print(engine);
}

/* ---- what failed ----------------------------------------------------------------------------- */

int deferred_tell(struct engine *engine, const struct uri *uri, struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    struct deferred_failure *failure;
    int r = 0;

    if (!deferred_any_failed(deferred))
        return 0;
    shard_lock(shard_of(engine));
    DL_FOREACH(deferred->failures, failure) {
        if (failure->is_told || !is_same(&failure->uri, uri))
            continue;
        failure->is_told = true;
        *err = failure->error;
        r = -error_errno(err);
        break;
    }
    shard_unlock(shard_of(engine));
    return r;
}

/* One that is to be printed, as printed; the oldest names are forgotten when there are too many. */
static bool next_to_print(struct deferred *deferred, struct deferred_failure *ret_failure)
{
    struct deferred_failure *failure;

    DL_SEARCH_SCALAR(deferred->failures, failure, is_printed, false);
    if (!failure)
        return false;
    failure->is_printed = true;
    atomic_fetch_sub(&deferred->unprinted, 1);
    *ret_failure = *failure;
    if (atomic_load(&deferred->failed) > FAILURES_MAX && deferred->failures->is_printed) {
        deferred->first_failure = deferred->failures->error;
        failure = deferred->failures;
        DL_DELETE(deferred->failures, failure);
        free(failure);
    }
    return true;
}

void deferred_print(struct engine *engine)
{
    struct deferred *deferred = &engine->deferred;
    struct deferred_failure failure;
    char text[ATTR_URI_BYTES], reason[1024];

    while (deferred_is_to_print(deferred)) {
        bool any;

        shard_lock(shard_of(engine));
        any = next_to_print(deferred, &failure);
        shard_unlock(shard_of(engine));
        if (!any)
            return;
        uri_format(&failure.uri, text, sizeof text);
        error_format(&failure.error, reason, sizeof reason);
        log_error("%s was not stored, although close had returned 0 (S3DLIO_CLOSE=deferred); write "
                  "it again: %s",
                  text, reason);
    }
}

int deferred_failure(struct engine *engine, struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    int r = 0;

    if (!deferred_any_failed(deferred))
        return 0;
    shard_lock(shard_of(engine));
    if (deferred->first_failure.class != ERROR_NONE)
        *err = deferred->first_failure;
    else if (deferred->failures)
        *err = deferred->failures->error;
    r = -error_errno(err);
    shard_unlock(shard_of(engine));
    return r;
}

void deferred_forgive(struct engine *engine, const struct uri *uri)
{
    if (!deferred_any_failed(&engine->deferred))
        return;
    deferred_print(engine);
    shard_lock(shard_of(engine));
    forgive(&engine->deferred, uri);
    shard_unlock(shard_of(engine));
}
