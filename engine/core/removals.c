/* Batches of accepted deletions; see removals.h. */
#include "core/removals.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/attr_cache.h"
#include "core/call.h"
#include "core/engine.h"
#include "core/names.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

struct removal_batch {
    struct call call;
    struct uri bucket; /* scheme and bucket; the key is empty */
    struct removal_batch *next;
    const char *keys[STORE_DELETE_MANY_MAX]; /* each owned */
    unsigned count;
};

/* One for all: what is rare needs no spreading. */
static struct shard *shard_of(struct engine *engine)
{
    return engine->shards[0];
}

static uint64_t directory_of(const struct uri *uri)
{
    char text[ATTR_URI_BYTES];
    struct uri parent;

    names_parent(uri, &parent);
    attr_uri_text(&parent, text);
    return attr_inode(text);
}

static void batch_free(struct removal_batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        free((char *)batch->keys[i]);
    free(batch);
}

static void update_pending(struct removals *removals)
{
    atomic_store(&removals->pending, removals->filling || removals->flying || removals->again);
}

/* ---- on their way ---------------------------------------------------------------------------- */

static void launch(struct engine *engine, struct removal_batch *batch);

/* What was accepted is gone for others from now on; what was not may be there. */
static void tell_caches(struct engine *engine, const struct removal_batch *batch, bool is_gone)
{
    struct uri uri = batch->bucket;
    char text[ATTR_URI_BYTES];

    for (unsigned i = 0; i < batch->count; i++) {
        strcpy(uri.key, batch->keys[i]);
        attr_uri_text(&uri, text);
        if (is_gone)
            attr_cache_remove(engine->attrs, text);
        else
            attr_cache_forget(engine->attrs, text);
    }
}

static void on_done(struct call *call)
{
    struct removal_batch *batch = CONTAINER(call, struct removal_batch, call), *next;
    struct engine *engine = call->engine;
    struct removals *removals = &engine->removals;
    bool is_gone = call->request.error.class == ERROR_NONE;

    call_fini(call);
    tell_caches(engine, batch, is_gone);
    if (is_gone) {
        batch_free(batch);
    } else {
        batch->next = removals->again;
        removals->again = batch;
    }
    next = removals->filling;
    removals->filling = removals->flying = NULL;
    if (next)
        launch(engine, next);
    update_pending(removals);
}

/* Under the shard's lock. A store that answers on the spot has ended it on return. */
static void launch(struct engine *engine, struct removal_batch *batch)
{
    struct store *store;
    struct error err;

    engine->removals.flying = batch;
    if (engine_store(engine, batch->bucket.scheme, &store, &err) < 0)
        return; /* cannot be: removals_add had it */
    call_init(&batch->call, engine, STORE_DELETE_MANY, &batch->bucket, store, NULL);
    batch->call.request.shard = shard_of(engine);
    batch->call.request.keys = batch->keys;
    batch->call.request.key_count = batch->count;
    batch->call.on_done = on_done;
    call_start(&batch->call);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static bool has_room(const void *arg, uint64_t value)
{
    const struct removals *removals = arg;

    return !removals->filling || removals->filling->count < STORE_DELETE_MANY_MAX;
}

static bool is_idle(const void *arg, uint64_t value)
{
    const struct removals *removals = arg;

    return !removals->flying && !removals->filling;
}

/* The batch that has room for one more of this bucket; NULL: there is none. */
static struct removal_batch *open_batch(struct engine *engine, const struct uri *uri,
                                        const struct limits *limits)
{
    struct removals *removals = &engine->removals;
    struct limits_wait wait = {.done = has_room, .arg = removals};
    struct removal_batch *batch;

    if (limits_wait(shard_of(engine), limits, &wait, NULL) < 0)
        return NULL;
    batch = removals->filling;
    if (batch)
        return !strcmp(batch->bucket.bucket, uri->bucket) &&
                       !strcmp(batch->bucket.scheme, uri->scheme)
                   ? batch
                   : NULL;
    batch = calloc(1, sizeof *batch);
    if (batch) {
        strcpy(batch->bucket.scheme, uri->scheme);
        strcpy(batch->bucket.bucket, uri->bucket);
    }
    return batch;
}

/* Under the shard's lock. */
static bool add_locked(struct engine *engine, const struct uri *uri, const struct limits *limits)
{
    struct removals *removals = &engine->removals;
    char *key = strdup(uri->key);
    struct removal_batch *batch = key ? open_batch(engine, uri, limits) : NULL;

    if (!batch) {
        free(key);
        return false;
    }
    batch->keys[batch->count++] = key;
    removals->filling = batch;
    if (!removals->flying) {
        removals->filling = NULL;
        launch(engine, batch);
    }
    update_pending(removals);
    return true;
}

bool removals_add(struct engine *engine, const struct uri *uri, const struct limits *limits)
{
    struct removals *removals = &engine->removals;
    struct shard *shard = shard_of(engine);
    struct store *store;
    struct error err;
    bool added;

    if (engine_store(engine, uri->scheme, &store, &err) < 0 ||
        !(store->capabilities & STORE_CAP_DELETE_MANY) || !store_key_batches(uri->key) ||
        reader_registry_has(engine, uri))
        return false;
    shard_lock(shard);
    added = removals->directory == directory_of(uri) && !removals->again &&
            add_locked(engine, uri, limits);
    shard_unlock(shard);
    return added;
}

void removals_begin(struct engine *engine, const struct uri *uri)
{
    struct shard *shard = shard_of(engine);

    shard_lock(shard);
    engine->removals.directory = directory_of(uri);
    shard_unlock(shard);
}

/* ---- waiting, and what failed ---------------------------------------------------------------- */

static void note_failure(struct engine *engine, const struct uri *uri, const struct error *error)
{
    struct removals *removals = &engine->removals;
    char text[ATTR_URI_BYTES], reason[1024];

    error_format(error, reason, sizeof reason);
    uri_format(uri, text, sizeof text);
    log_error("%s was not removed, although its removal was accepted: %s", text, reason);
    shard_lock(shard_of(engine));
    if (!removals->has_failed) {
        removals->has_failed = true;
        removals->failed = *uri;
        removals->failure = *error;
    }
    shard_unlock(shard_of(engine));
}

static void delete_each(struct engine *engine, const struct removal_batch *batch,
                        const struct limits *limits)
{
    struct uri uri = batch->bucket;

    for (unsigned i = 0; i < batch->count; i++) {
        struct error err = {0};

        strcpy(uri.key, batch->keys[i]);
        if (names_delete(engine, &uri, limits, &err) < 0)
            note_failure(engine, &uri, &err);
    }
}

/* The first of those that were not deleted in a batch; `done` is one that is through with. */
static struct removal_batch *next_again(struct engine *engine, struct removal_batch *done)
{
    struct removals *removals = &engine->removals;
    struct removal_batch **at = &removals->again, *first;

    shard_lock(shard_of(engine));
    while (done && *at != done)
        at = &(*at)->next;
    if (done)
        *at = done->next;
    first = removals->again;
    update_pending(removals);
    shard_unlock(shard_of(engine));
    if (done)
        batch_free(done);
    return first;
}

/* One thread's work; others wait for it. Not from a signal handler's call in the middle of it. */
static void mend(struct engine *engine, const struct limits *limits)
{
    struct removals *removals = &engine->removals;
    struct removal_batch *batch;
    struct error ignored;

    if (turn_take(&removals->mending, false, limits, &ignored) < 0)
        return;
    for (batch = next_again(engine, NULL); batch; batch = next_again(engine, batch))
        delete_each(engine, batch, limits);
    turn_give(&removals->mending);
}

void removals_wait(struct engine *engine, const struct limits *limits)
{
    struct removals *removals = &engine->removals;
    struct limits_wait wait = {.done = is_idle, .arg = removals};
    struct shard *shard = shard_of(engine);
    bool are_left;
    int r;

    if (!removals_pending(removals))
        return;
    shard_lock(shard);
    r = limits_wait(shard, limits, &wait, NULL);
    are_left = r == 0 && removals->again;
    shard_unlock(shard);
    if (are_left)
        mend(engine, limits);
}

static bool is_below(const struct uri *uri, const struct uri *directory)
{
    size_t length = strlen(directory->key);

    while (length > 0 && directory->key[length - 1] == '/')
        length--;
    return !strcmp(uri->scheme, directory->scheme) && !strcmp(uri->bucket, directory->bucket) &&
           !strncmp(uri->key, directory->key, length) && (!length || uri->key[length] == '/');
}

int removals_failure(struct engine *engine, const struct uri *directory, struct error *err)
{
    struct removals *removals = &engine->removals;
    int r = 0;

    shard_lock(shard_of(engine));
    if (removals->has_failed && (!directory || is_below(&removals->failed, directory))) {
        removals->has_failed = false;
        *err = removals->failure;
        r = -error_errno(err);
    }
    shard_unlock(shard_of(engine));
    return r;
}

void removals_init(struct removals *removals, struct shard *shard)
{
    *removals = (struct removals){0};
    turn_init(&removals->mending, shard);
}

void removals_reset_child(struct removals *removals, struct shard *shard)
{
    removals_init(removals, shard);
}
