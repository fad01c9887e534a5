/* Opening, reading, closing: which way a read takes. See reader.h.
 *
 * A read is served piece by piece from whatever holds its position: the window of the stream, a
 * block, or a request of its own. The lock is held but for sleeps, long copies and exact requests;
 * each piece looks at the state anew.
 */
#include "core/reader.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/deferred.h"
#include "core/names.h"
#include "core/prefetch.h"
#include "core/reader_foreign.h"
#include "core/reader_private.h"
#include "io/gate.h"

/* ---- opening --------------------------------------------------------------------------------- */

struct reader *reader_new(struct engine *engine, const struct uri *uri, struct error *err)
{
    struct store_description description = {0};
    struct reader *reader = calloc(1, sizeof *reader);

    if (!reader) {
        error_set(err, ERROR_NO_MEMORY, "opening a reader");
        return NULL;
    }
    if (engine_store(engine, uri->scheme, &reader->store, err) < 0) {
        free(reader);
        return NULL;
    }
    reader->engine = engine;
    reader->endpoint = engine_endpoint(engine, reader->store);
    reader->uri = *uri;
    reader->shard = engine_shard(engine, reader->store, uri, 0);
    reader->is_inline = reader->store->capabilities & STORE_CAP_INLINE;
    if (reader->store->ops->describe)
        reader->store->ops->describe(reader->store, &description);
    reader->entry.references = 1;
    reader->kernel_writes = strncmp(description.endpoint, "http://", 7) == 0;
    reader->decrypts = strncmp(description.endpoint, "https://", 8) == 0;
    reader->generation = gate_generation();
    stream_init(reader);
    return reader;
}

void reader_learn(struct reader *reader, const struct store_object *object)
{
    attr_from_object(object, &reader->uri, &reader->attr);
    memcpy(reader->etag, reader->attr.etag, sizeof reader->etag);
    reader->stored_bytes = reader->attr.size_bytes;
    memcpy(reader->content_type, object->content_type, sizeof reader->content_type);
    reader->is_tagged = store_metadata_get(&object->metadata, STORE_TAG_COUNT);
}

static void on_first_object(struct range *range)
{
    struct reader *reader = (struct reader *)range->owner;

    reader_learn(reader, &range->fetch.call.request.object);
    if (range->fetch.length > 0 &&
        !range_reserve(range, BUDGET_READ_AHEAD, range->end - range->offset))
        range->buffered_only = false;
}

static bool object_is_known(const void *arg, uint64_t value)
{
    const struct range *range = arg;

    return range->fetch.object_known || range_done(range);
}

static bool advance_first(void *arg)
{
    struct range *range = arg;

    return !range->fetch.object_known && fetch_advance(&range->fetch);
}

int reader_get_first(struct reader *reader, uint64_t offset, uint64_t end,
                     const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = object_is_known, .advance = advance_first};
    struct range *range = range_new(reader->engine, &reader->uri, reader->store, reader->shard);
    int r;

    if (!range)
        return error_set(err, ERROR_NO_MEMORY, "opening a reader");
    range->owner = reader;
    range->on_object = on_first_object;
    range->buffered_only = !limits->work; /* headers are read more than once */
    wait.arg = range;
    shard_lock(reader->shard);
    range_start(range, offset, end, 0, NULL);
    fetch_want(&range->fetch, FETCH_NOW);
    r = limits_wait(reader->shard, limits, &wait, err);
    if (r < 0)
        call_name_error(&range->fetch.call, err);
    if (r == 0 && range_failed(range)) {
        r = -error_errno(&range->fetch.call.request.error);
        *err = range->fetch.call.request.error;
    }
    if (r < 0 || range->end == range->offset) {
        range_drop(range);
    } else {
        stats_add(engine_stats(reader->engine), STATS_AHEAD_ASKED, range->end - range->offset);
        DL_APPEND(reader->window, range);
    }
    stream_arm_drain(reader);
    shard_unlock(reader->shard);
    return r;
}

int reader_get_attributes(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct call *call = call_new(reader->engine, STORE_HEAD, &reader->uri, limits, err);
    int r;

    if (!call)
        return -ENOMEM;
    r = call_run(call, limits, err);
    if (r == 0)
        reader_learn(reader, &call->request.object);
    call_delete(call);
    return r;
}

static int begin_once(struct reader *reader, const struct limits *limits, struct error *err)
{
    uint64_t window_bytes = reader->engine->plan.first_window_bytes;
    int r;

    /* The range of an empty object cannot be satisfied, and that answer carries no attributes. An
     * object that is not empty by then has been replaced in between. */
    for (unsigned tries = 0; tries < 3; tries++) {
        r = reader->is_inline ? -EAGAIN : reader_get_first(reader, 0, window_bytes, limits, err);
        if (r < 0 && !reader->is_inline && err->class != ERROR_RANGE)
            return r;
        if (r == 0)
            return 0;
        r = reader_get_attributes(reader, limits, err);
        if (r < 0 || reader->is_inline || reader->attr.size_bytes == 0)
            return r;
    }
    return error_set(err, ERROR_CHANGED, "the object changes all the time");
}

/* Is the version that was asked for ahead the one to open now? By the rule for what listings
 * show. */
static bool is_present(const struct reader *reader)
{
    struct attr_cache *cache = reader->engine->attrs;
    char text[ATTR_URI_BYTES];
    struct attr known;

    attr_uri_text(&reader->uri, text);
    attr_cache_put_listed(cache, text, &reader->attr, reader->asked_ns, reader->asked_ns);
    return attr_cache_get(cache, text, &known) == ATTR_CACHE_FOUND &&
           known.size_bytes == reader->attr.size_bytes && strcmp(known.etag, reader->etag) == 0;
}

int reader_wait_prefetched(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct limits_wait wait = {.done = object_is_known, .advance = advance_first};
    struct range *range;
    int r;

    reader_adopt(reader);
    range = wait.arg = reader->window;
    if (!range)
        return 0;
    range->users++;
    fetch_want(&range->fetch, FETCH_NOW);
    r = limits_wait(reader->shard, limits, &wait, err);
    range->users--;
    return r < 0 ? r : !range_failed(range) && is_present(reader);
}

/* What was sent for ahead, if it is good for it; else as any other. */
static int begin_prefetched(struct reader *reader, const struct limits *limits, struct error *err)
{
    int r;

    shard_lock(reader->shard);
    r = reader_wait_prefetched(reader, limits, err);
    if (r < 1)
        stream_drop(reader);
    stream_arm_drain(reader);
    shard_unlock(reader->shard);
    if (r != 0)
        return r < 0 ? r : 0;
    reader->asked_ns = 0;
    return begin_once(reader, limits, err);
}

/* A version that this process was changing meanwhile is not the one to stay with. */
int reader_begin(struct reader *reader,
                 int (*ask)(struct reader *, const struct limits *, struct error *),
                 const struct limits *limits, struct error *err)
{
    for (;;) {
        int r = reader_registry_add(reader, limits, err);

        if (r == 0)
            r = ask(reader, limits, err);
        if (r < 0 || reader_registry_settle(reader))
            return r;
        shard_lock(reader->shard);
        stream_drop(reader);
        shard_unlock(reader->shard);
    }
}

static int refuse_known(const struct reader *reader, const struct uri *uri, struct error *err)
{
    struct engine *engine = reader->engine;
    char text[ATTR_URI_BYTES];
    enum attr_cache_answer answer;
    struct attr attr;
    int r = 0;

    if (reader->store->capabilities & STORE_CAP_ATTRIBUTES)
        return 0;
    attr_uri_text(uri, text);
    answer = attr_cache_get(engine->attrs, text, &attr);
    if (answer == ATTR_CACHE_ABSENT)
        r = error_set(err, ERROR_NOT_FOUND, "not in the listing of its directory");
    else if (answer == ATTR_CACHE_FOUND && attr.type == ATTR_DIRECTORY)
        r = error_set(err, ERROR_IS_DIRECTORY, "a directory");
    if (r < 0)
        error_set_context(err, store_operation_name(STORE_GET), text);
    return r;
}

void reader_remember(struct reader *reader)
{
    char text[ATTR_URI_BYTES];

    attr_uri_text(&reader->uri, text);
    attr_cache_put(reader->engine->attrs, text, &reader->attr);
}

static int open_object(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct uri uri = reader->uri;
    int r = refuse_known(reader, &uri, err);

    if (r == 0)
        r = reader_begin(reader, reader->asked_ns ? begin_prefetched : begin_once, limits, err);
    if (r < 0 && err->class == ERROR_NOT_FOUND)
        r = names_explain_missing(reader->engine, &uri, limits, err);
    return r;
}

int reader_open(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct reader **ret_reader, struct error *err)
{
    size_t key_length = strlen(uri->key);
    char text[ATTR_URI_BYTES];
    struct reader *reader;
    int r;

    if (key_length == 0 || uri->key[key_length - 1] == '/')
        return names_explain_missing(engine, uri, limits, err);
    attr_uri_text(uri, text);
    reader = prefetch_take(engine, text);
    if (!reader)
        reader = reader_new(engine, uri, err);
    if (!reader)
        return err->class == ERROR_NO_MEMORY ? -ENOMEM : -error_errno(err);
    r = open_object(reader, limits, err);
    if (r < 0) {
        reader_close(reader);
        return r;
    }
    if (!reader->asked_ns)
        reader_remember(reader);
    if (!reader->is_inline)
        prefetch_go_on(engine, text, reader->attr.size_bytes);
    *ret_reader = reader;
    return 0;
}

const struct attr *reader_attr(const struct reader *reader)
{
    return &reader->attr;
}

/* ---- fork and failure ------------------------------------------------------------------------ */

/* What another process of the same memory had in flight is gone; what had arrived is here. */
void reader_adopt(struct reader *reader)
{
    struct range *range, *next;

    if (reader->generation == gate_generation())
        return;
    reader->generation = gate_generation();
    reader->has_joined = false;
    stream_init(reader);
    for (range = reader->window; range; range = next) {
        next = range->next;
        range->users = 0;
        if (!range_done(range))
            stream_remove(reader, range);
    }
    advised_adopt(reader);
    block_adopt(reader);
}

static bool is_gone(const struct error *err)
{
    return err->class == ERROR_CHANGED || err->class == ERROR_NOT_FOUND ||
           err->class == ERROR_RANGE;
}

int reader_outlive(struct reader *reader, uint64_t epoch, const struct limits *limits,
                   struct error *err)
{
    struct error reason;
    int r = 0;

    if (reader->epoch == epoch) {
        shard_unlock(reader->shard);
        r = reader_registry_wait(reader, limits, &reason);
        if (r == 0)
            r = foreign_ask(reader, limits, &reason);
        shard_lock(reader->shard);
    }
    if (r < 0)
        *err = reason;
    return r < 0 ? r : reader->epoch != epoch;
}

/* Makes another version a lasting error. Returns what the caller gets. */
static int note_gone(struct reader *reader, struct error *err)
{
    char text[ATTR_URI_BYTES];

    if (err->class != ERROR_CHANGED) {
        err->class = ERROR_CHANGED;
        err->errnum = 0;
    }
    reader->stale = *err;
    reader_registry_remove(reader);
    attr_uri_text(&reader->uri, text);
    attr_cache_doubt(reader->engine->attrs, text, true);
    return -error_errno(err);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* One piece from the window. 1: moved on; 0: the window does not have it; -errno. */
static int take_from_window(struct reader *reader, struct range_read *read, struct range *range,
                            const struct limits *limits, struct error *err)
{
    uint64_t before = read->position;
    int r = range_take(range, read, limits, err);

    if (range->users == 0 && (range->is_forced || (r < 0 && range_failed(range))))
        stream_remove(reader, range);
    if (r < 0)
        return r;
    return read->position > before;
}

/* Stream or not, a large read is worth concurrent ranges. */
static bool is_large(const struct reader *reader, const struct range_read *read)
{
    return read->end - read->position >=
           2 * range_plan_get_bytes(&reader->engine->plan, reader->attr.size_bytes, false);
}

static int take_piece(struct reader *reader, struct range_read *read, bool stream, bool window,
                      const struct limits *limits, struct error *err)
{
    struct range *range = stream_find(reader, read->position);
    int r = 0;

    if (range && range_settle(range, read))
        return 0;
    if (window)
        range = stream_extend(reader, read, stream);
    else if (range && !range_offers(range, read->position))
        range = NULL;
    if (range)
        r = take_from_window(reader, read, range, limits, err);
    if (r == 0)
        r = advised_take(reader, read, limits, err);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!reader->is_inline && (read->end - read->position < reader->engine->plan.block_bytes ||
                               block_held_end(reader, read->position) > read->position))
        return block_take(reader, read, limits, err);
    return exact_take(reader, read, limits, err);
}

/* From the copy, without the lock: the disk may be slow. */
static int take_copied(struct reader *reader, struct range_read *read, struct error *err)
{
    struct reader_copy *copy = reader_copy_ref(reader->copy);
    int r;

    shard_unlock(reader->shard);
    r = reader_copy_take(copy, read, err);
    reader_copy_unref(copy);
    shard_lock(reader->shard);
    return r;
}

/* One piece, from wherever the version is. */
static int take_somehow(struct reader *reader, struct range_read *read, bool stream, bool window,
                        const struct limits *limits, struct error *err)
{
    uint64_t before = read->position, epoch = reader->epoch;
    int r;

    if (reader->copy)
        return take_copied(reader, read, err);
    r = take_piece(reader, read, stream, window, limits, err);
    /* A range that was asked for before the version moved says nothing about where it is now. */
    if (r < 0 && is_gone(err) && epoch > 0 && reader->epoch == epoch)
        r = exact_take(reader, read, limits, err);
    if (reader->generation != gate_generation())
        return error_set(err, ERROR_IO, "the process was forked in the middle of a read");
    if (r == 0 && read->position == before)
        r = error_set(err, ERROR_PROTOCOL, "the store sent less than it announced");
    if (r < 0 && is_gone(err)) {
        r = reader_outlive(reader, epoch, limits, err);
        return r == 0 ? note_gone(reader, err) : r < 0 ? r : 0;
    }
    return r;
}

int reader_fill(struct reader *reader, struct range_read *read, const struct limits *limits,
                struct error *err)
{
    bool apart, stream, window;
    int r = 0;

    reader_adopt(reader);
    if (reader->stale.class != ERROR_NONE) {
        *err = reader->stale;
        return -error_errno(err);
    }
    reader->reads++;
    apart = reader->is_inline || advised_is_apart(reader, read->start, read->end);
    stream = !apart && stream_note_read(reader, read->start, read->end);
    window = stream || (is_large(reader, read) && !apart);
    while (r == 0 && read->position < read->end) {
        r = take_somehow(reader, read, stream, window, limits, err);
        if (window)
            stream_retire(reader, read->position);
    }
    stream_arm_drain(reader);
    return r;
}

/* What was opened while its put was on its way. */
static int wait_for_put(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct uri uri;
    int r = deferred_wait_serial(reader->engine, atomic_load(&reader->put_serial), limits, err);

    if (r < 0)
        return r;
    atomic_store(&reader->put_serial, 0);
    reader_locate(reader, &uri, &(struct attr){0});
    return deferred_tell(reader->engine, &uri, err);
}

ssize_t reader_pread(struct reader *reader, const struct reader_target *target,
                     struct limits *limits, struct error *err)
{
    uint64_t size_bytes = reader->attr.size_bytes;
    struct range_read read = {
        .owner = reader,
        .buffer = target->buffer,
        .start = target->offset_bytes,
        .end = target->offset_bytes,
        .position = target->offset_bytes,
        .id = range_read_id(),
    };
    int r = atomic_load(&reader->put_serial) ? wait_for_put(reader, limits, err) : 0;

    if (r < 0)
        return r;
    if (target->offset_bytes < size_bytes) {
        uint64_t left = size_bytes - target->offset_bytes;

        read.end += target->length_bytes < left ? target->length_bytes : left;
    }
    if (read.start == read.end)
        return 0;
    if (!reader->kernel_writes)
        r = range_check_buffer(&read, err);
    if (r < 0)
        return r;
    shard_lock(reader->shard);
    limits->work = &read;
    r = reader_fill(reader, &read, limits, err);
    limits->work = NULL;
    shard_unlock(reader->shard);
    return r < 0 ? r : (ssize_t)(read.end - read.start);
}

/* ---- advice and the end ---------------------------------------------------------------------- */

static void advise_need(struct reader *reader, uint64_t start, uint64_t end)
{
    if (end - start <= 16 * reader->engine->plan.block_bytes)
        block_prefetch(reader, start, end);
    else
        advised_add(reader, start, end);
}

void reader_advise(struct reader *reader, uint64_t offset_bytes, uint64_t length_bytes,
                   enum reader_advice advice)
{
    uint64_t size_bytes = reader->attr.size_bytes;
    uint64_t left = offset_bytes < size_bytes ? size_bytes - offset_bytes : 0;
    uint64_t end = offset_bytes + (length_bytes && length_bytes < left ? length_bytes : left);

    if (reader->is_inline || left == 0)
        return;
    shard_lock(reader->shard);
    reader_adopt(reader);
    if (reader->copy)
        advice = READER_NORMAL; /* there is nothing to fetch or to give back */
    switch (advice) {
    case READER_NORMAL: reader->advised_random = reader->advised_sequential = false; break;
    case READER_SEQUENTIAL:
        reader->advised_random = false;
        reader->advised_sequential = true;
        break;
    case READER_RANDOM:
        reader->advised_random = true;
        reader->advised_sequential = false;
        break;
    case READER_WILLNEED: advise_need(reader, offset_bytes, end); break;
    case READER_DONTNEED:
        stream_retire(reader, end);
        advised_give_up(reader, offset_bytes, end);
        block_drop_idle(reader);
        break;
    }
    stream_arm_drain(reader);
    shard_unlock(reader->shard);
}

void reader_free(struct reader *reader)
{
    struct range *range, *next;

    shard_lock(reader->shard);
    reader_adopt(reader);
    shard_timer_clear(reader->shard, &reader->drain_timer);
    for (range = reader->window; range; range = next) {
        next = range->next;
        stream_remove(reader, range);
    }
    advised_drop(reader, true);
    block_drop_all(reader);
    shard_unlock(reader->shard);
    reader_copy_unref(reader->copy);
    free(reader);
}

void reader_close(struct reader *reader)
{
    uint64_t read_bytes;

    if (!reader)
        return;
    reader_registry_remove(reader);
    shard_lock(reader->shard);
    reader->closed = true;
    read_bytes = reader->next_offset;
    shard_unlock(reader->shard);
    if (read_bytes > 0)
        prefetch_note_read(reader->engine, read_bytes, reader->attr.size_bytes);
    reader_registry_release(reader);
}
