/* Copies and deletions by the hundred: a ring of calls, ended in the order they were begun. See
 * rename_work.h. */
#include "core/rename_work.h"

#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/copy.h"
#include "core/engine.h"

#define IN_FLIGHT_MAX 32u

/* One request under way; the strings that it uses lie beside it. */
struct slot {
    struct call *call;
    size_t item;
    const char **keys; /* of a batch */
    char *text;        /* what they point to */
    char source[URI_KEY_MAX + 1];
};

struct ring {
    struct rename_work *work;
    struct endpoint *endpoint; /* NULL: nothing has begun */
    unsigned begun, ended;
    struct slot slots[IN_FLIGHT_MAX];
};

static struct ring *ring_new(struct rename_work *work, struct error *err)
{
    struct ring *ring = calloc(1, sizeof *ring);

    if (!ring) {
        error_set(err, ERROR_NO_MEMORY, "renaming a directory");
        return NULL;
    }
    ring->work = work;
    return ring;
}

static void slot_fini(struct slot *slot)
{
    call_delete(slot->call);
    free(slot->keys);
    free(slot->text);
    slot->call = NULL;
    slot->keys = NULL;
    slot->text = NULL;
}

static void ring_free(struct ring *ring)
{
    if (!ring)
        return;
    for (unsigned i = 0; i < IN_FLIGHT_MAX; i++)
        slot_fini(&ring->slots[i]);
    free(ring);
}

static struct slot *next_slot(struct ring *ring)
{
    return &ring->slots[ring->begun % IN_FLIGHT_MAX];
}

static bool has_room(const struct ring *ring)
{
    unsigned own = ring->begun - ring->ended;

    return own < IN_FLIGHT_MAX &&
           (!ring->endpoint ||
            endpoint_has_room(ring->endpoint, ENDPOINT_PUTS, LIMITER_SHORT, own));
}

static void start(struct ring *ring, struct slot *slot)
{
    if (!ring->endpoint)
        endpoint_expect(slot->call->endpoint, ENDPOINT_PUTS, 0, ring->work->tree->count);
    ring->endpoint = slot->call->endpoint;
    ring->begun++;
    call_begin(slot->call);
}

/* Waits for the oldest; its answer is in *ret_slot until slot_fini. */
static int end_oldest(struct ring *ring, struct slot **ret_slot, struct error *err)
{
    struct slot *slot = &ring->slots[ring->ended++ % IN_FLIGHT_MAX];

    *ret_slot = slot;
    if (!slot->call) /* never: what has begun has one */
        return error_set(err, ERROR_INVALID, "nothing is under way");
    return call_end(slot->call, ring->work->limits, err);
}

static void make_key(const struct uri *directory, const char *name, struct uri *ret_uri)
{
    *ret_uri = *directory;
    strncat(ret_uri->key, name, URI_KEY_MAX - strlen(ret_uri->key));
}

/* ---- copies ---------------------------------------------------------------------------------- */

static bool is_to_be_copied(const struct rename_work *work, size_t index)
{
    return work->tree->items[index].copy_hash == RENAME_WORK_TODO;
}

static bool has_passed(const struct error *err)
{
    return err->class == ERROR_NOT_FOUND || err->class == ERROR_CHANGED;
}

static int copy_large(struct rename_work *work, size_t index, struct error *err)
{
    struct tree_item *item = &work->tree->items[index];
    struct uri from, to;
    struct copy copy = {.from = &from, .to = &to};
    int r;

    make_key(work->from, tree_name(work->tree, index), &from);
    make_key(work->to, tree_name(work->tree, index), &to);
    r = copy_version(work->engine, &copy, work->limits, err);
    item->copy_hash = r == 0 ? tree_etag_hash(copy.target.etag) : 0;
    return r < 0 && has_passed(err) ? 0 : r;
}

/* The version copied is the one that is there when the request arrives: the ETag of the copy and
 * the next listing tell whether it is the one that was listed. */
static int begin_copy(struct ring *ring, size_t index, struct error *err)
{
    struct rename_work *work = ring->work;
    struct slot *slot = next_slot(ring);
    struct uri uri;

    make_key(work->from, tree_name(work->tree, index), &uri);
    strcpy(slot->source, uri.key);
    make_key(work->to, tree_name(work->tree, index), &uri);
    slot->item = index;
    slot->call = call_new(work->engine, STORE_COPY, &uri, work->limits, err);
    if (!slot->call)
        return -error_errno(err);
    slot->call->request.source_bucket = work->from->bucket;
    slot->call->request.source_key = slot->source;
    slot->call->request.storage_class = work->tree->text + work->tree->items[index].storage_class;
    start(ring, slot);
    return 0;
}

static bool is_marker(const struct rename_work *work, size_t index)
{
    const char *name = tree_name(work->tree, index);

    return work->tree->items[index].size_bytes == 0 && name[0] && name[strlen(name) - 1] == '/';
}

/* The marker of a directory inside, where the store does not copy such (versitygw): made anew. */
static int make_marker(struct rename_work *work, size_t index, struct error *err)
{
    struct tree_item *item = &work->tree->items[index];
    struct uri from, to;
    struct call *head, *put;
    int r;

    make_key(work->from, tree_name(work->tree, index), &from);
    make_key(work->to, tree_name(work->tree, index), &to);
    head = call_new(work->engine, STORE_HEAD, &from, work->limits, err);
    put = head ? call_new(work->engine, STORE_PUT, &to, work->limits, err) : NULL;
    if (head && put) {
        r = call_run(head, work->limits, err);
        put->request.metadata = &head->request.object.metadata;
        put->request.content_type = head->request.object.content_type;
        if (r == 0)
            r = call_run(put, work->limits, err);
        item->copy_hash = r == 0 ? tree_etag_hash(put->request.object.etag) : 0;
    } else {
        r = -error_errno(err);
    }
    call_delete(put);
    call_delete(head);
    return r;
}

static int end_copy(struct ring *ring, struct error *err)
{
    struct slot *slot;
    int r = end_oldest(ring, &slot, err);
    struct tree_item *item = &ring->work->tree->items[slot->item];

    item->copy_hash = r == 0 && slot->call ? tree_etag_hash(slot->call->request.object.etag) : 0;
    if (r < 0 && err->class == ERROR_INVALID && is_marker(ring->work, slot->item))
        r = make_marker(ring->work, slot->item, err);
    slot_fini(slot);
    return r < 0 && has_passed(err) ? 0 : r;
}

static int copy_one(struct ring *ring, size_t index, struct error *err)
{
    struct store *store;
    int r = engine_store(ring->work->engine, ring->work->from->scheme, &store, err);

    if (r < 0)
        return r;
    if (ring->work->tree->items[index].size_bytes > store_copy_max(store))
        return copy_large(ring->work, index, err);
    if (!has_room(ring))
        r = end_copy(ring, err);
    return r < 0 ? r : begin_copy(ring, index, err);
}

int rename_work_copy(struct rename_work *work, struct error *err)
{
    struct ring *ring = ring_new(work, err);
    int r = ring ? 0 : -error_errno(err);

    for (size_t i = 0; r == 0 && i < work->tree->count; i++)
        if (is_to_be_copied(work, i))
            r = copy_one(ring, i, err);
    while (r == 0 && ring->ended < ring->begun)
        r = end_copy(ring, err);
    ring_free(ring);
    return r;
}

/* ---- deletions ------------------------------------------------------------------------------- */

static int begin_delete(struct ring *ring, size_t index, struct error *err)
{
    struct slot *slot = next_slot(ring);
    struct uri uri;

    make_key(ring->work->from, tree_name(ring->work->tree, index), &uri);
    slot->call = call_new(ring->work->engine, STORE_DELETE, &uri, ring->work->limits, err);
    if (!slot->call)
        return -error_errno(err);
    start(ring, slot);
    return 0;
}

static int fill_batch(struct rename_work *work, struct slot *slot, size_t first, size_t count)
{
    size_t prefix = strlen(work->from->key), bytes = 0;
    char *at;

    for (size_t i = first; i < first + count; i++)
        bytes += prefix + strlen(tree_name(work->tree, i)) + 1;
    slot->keys = calloc(count, sizeof *slot->keys);
    slot->text = at = malloc(bytes + 1);
    if (!slot->keys || !at)
        return -1;
    for (size_t i = 0; i < count; i++) {
        slot->keys[i] = at;
        at = stpcpy(stpcpy(at, work->from->key), tree_name(work->tree, first + i)) + 1;
    }
    return 0;
}

static int begin_batch(struct ring *ring, size_t first, size_t count, struct error *err)
{
    struct slot *slot = next_slot(ring);

    slot->call =
        call_new(ring->work->engine, STORE_DELETE_MANY, ring->work->from, ring->work->limits, err);
    if (!slot->call)
        return -error_errno(err);
    if (fill_batch(ring->work, slot, first, count) < 0) {
        slot_fini(slot);
        return error_set(err, ERROR_NO_MEMORY, "deleting a directory");
    }
    slot->call->request.keys = slot->keys;
    slot->call->request.key_count = (unsigned)count;
    start(ring, slot);
    return 0;
}

static int end_delete(struct ring *ring, struct error *err)
{
    struct slot *slot;
    int r = end_oldest(ring, &slot, err);

    slot_fini(slot);
    return r < 0 && err->class == ERROR_NOT_FOUND ? 0 : r;
}

/* How many items from `first` on go into one batch; 0: that one must go by itself. */
static size_t batch_length(const struct rename_work *work, size_t first, bool can_batch)
{
    size_t count = 0;

    while (can_batch && count < STORE_DELETE_MANY_MAX && first + count < work->tree->count &&
           store_key_batches(tree_name(work->tree, first + count)))
        count++;
    return count > 1 ? count : 0;
}

static int delete_all(struct ring *ring, size_t first, bool can_batch, struct error *err)
{
    struct rename_work *work = ring->work;
    int r = 0;

    for (size_t i = first; r == 0 && i < work->tree->count;) {
        size_t count = batch_length(work, i, can_batch);

        if (!has_room(ring))
            r = end_delete(ring, err);
        if (r == 0)
            r = count ? begin_batch(ring, i, count, err) : begin_delete(ring, i, err);
        i += count ? count : 1;
    }
    while (r == 0 && ring->ended < ring->begun)
        r = end_delete(ring, err);
    return r;
}

int rename_work_delete(struct rename_work *work, struct error *err)
{
    struct ring *ring;
    struct store *store;
    bool marker = work->tree->count > 0 && !tree_name(work->tree, 0)[0];
    int r = engine_store(work->engine, work->from->scheme, &store, err);

    if (r < 0)
        return r;
    ring = ring_new(work, err);
    if (!ring)
        return -error_errno(err);
    r = delete_all(ring, marker ? 1 : 0,
                   (store->capabilities & STORE_CAP_DELETE_MANY) &&
                       store_key_batches(work->from->key),
                   err);
    if (r == 0 && marker)
        r = begin_delete(ring, 0, err);
    if (r == 0 && marker)
        r = end_delete(ring, err);
    ring_free(ring);
    return r;
}
