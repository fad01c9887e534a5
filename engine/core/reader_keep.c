/* Making a copy of what readers have open. See reader_keep.h.
 *
 * From the beginning of the object to its end: what lies in the reader's window and blocks, or is
 * on its way there, is taken from them, and the gaps are fetched by ranges of their own. The reader
 * may be read, moved to another name or closed meanwhile; each step looks at it anew.
 */
#include "core/reader_keep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/reader_private.h"

#define FETCHES_MAX 16u

struct keeping {
    struct reader *reader;
    struct reader_copy *copy;
    const struct limits *limits;
    struct uri uri; /* the version, as it was at the beginning */
    char etag[STORE_ETAG_MAX];
    uint64_t epoch, size_bytes, stored_bytes;
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- gaps: ranges of our own ----------------------------------------------------------------- */

struct fetching {
    struct keeping *keeping;
    uint64_t at, end, range_bytes;
    unsigned begun, ended;
    struct range *ranges[FETCHES_MAX];
};

/* Only the one that is waited for may do without memory from the budget. 1: begun, 0: not now. */
static int begin_range(struct fetching *fetching, struct error *err)
{
    struct keeping *keeping = fetching->keeping;
    struct reader *reader = keeping->reader;
    struct engine *engine = reader->engine;
    struct shard *shard = engine_shard(engine, reader->store, &keeping->uri, fetching->at);
    struct range *range = range_new(engine, &keeping->uri, reader->store, shard);
    uint64_t end = smaller(fetching->end, fetching->at + fetching->range_bytes);

    if (!range)
        return error_set(err, ERROR_NO_MEMORY, "keeping what is open");
    range->owner = keeping->copy;
    range->buffered_only = true;
    if (!range_reserve(range, BUDGET_READ_AHEAD, end - fetching->at) &&
        fetching->begun > fetching->ended) {
        range_drop(range);
        return 0;
    }
    shard_lock(shard);
    range_start(range, fetching->at, end, keeping->stored_bytes, keeping->etag);
    shard_unlock(shard);
    fetching->ranges[fetching->begun++ % FETCHES_MAX] = range;
    fetching->at = end;
    return 1;
}

static void drop_oldest(struct fetching *fetching)
{
    struct range *range = fetching->ranges[fetching->ended++ % FETCHES_MAX];
    struct shard *shard = range->fetch.call.request.shard;

    shard_lock(shard);
    range_drop(range);
    shard_unlock(shard);
}

static int end_range(struct fetching *fetching, struct error *err)
{
    struct range *range = fetching->ranges[fetching->ended % FETCHES_MAX];
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): called while some are under way */
    struct shard *shard = range->fetch.call.request.shard;
    int r;

    shard_lock(shard);
    r = range_wait_whole(range, fetching->keeping->limits, err);
    shard_unlock(shard);
    if (r == 0)
        r = reader_copy_put(fetching->keeping->copy, range->buffer, range->end - range->offset,
                            range->offset, err);
    drop_oldest(fetching);
    return r;
}

static bool has_room(const struct fetching *fetching)
{
    unsigned own = fetching->begun - fetching->ended;

    return own < FETCHES_MAX && endpoint_has_room(fetching->keeping->reader->endpoint,
                                                  ENDPOINT_GETS, LIMITER_LONG, own);
}

static int fetch(struct keeping *keeping, uint64_t start, uint64_t end, struct error *err)
{
    struct engine *engine = keeping->reader->engine;
    struct fetching fetching = {
        .keeping = keeping,
        .at = start,
        .end = end,
        .range_bytes = range_plan_get_bytes(&engine->plan, keeping->size_bytes,
                                            endpoint_is_near(keeping->reader->endpoint)),
    };
    int r = 0;

    while (r >= 0 && (fetching.at < end || fetching.begun > fetching.ended)) {
        r = 0;
        if (fetching.at < end && has_room(&fetching))
            r = begin_range(&fetching, err);
        if (r == 0)
            r = end_range(&fetching, err);
    }
    while (fetching.begun > fetching.ended)
        drop_oldest(&fetching);
    return r < 0 ? r : 0;
}

/* ---- what the reader has --------------------------------------------------------------------- */

/* From where on a range has its bytes, or will have them. */
static uint64_t held_from(const struct range *range)
{
    return larger(range->valid, range->offset);
}

/* Does the range have `position`? If not, and it begins after it, *next is at most there. */
static bool holds(const struct range *range, uint64_t position, uint64_t *next)
{
    uint64_t from = held_from(range);

    if (range_failed(range) || from >= range->end || position >= range->end)
        return false;
    if (position >= from)
        return true;
    *next = smaller(*next, from);
    return false;
}

/* What has the position; if nothing, *next is where something begins that is held. */
static struct range *find_held(const struct reader *reader, uint64_t position, uint64_t *next)
{
    struct range *range;

    for (range = reader->window; range; range = range->next)
        if (holds(range, position, next))
            return range;
    for (range = advised_next(reader, NULL); range; range = advised_next(reader, range))
        if (holds(range, position, next))
            return range;
    for (range = reader->blocks; range; range = range->hh.next)
        if (holds(range, position, next))
            return range;
    return NULL;
}

/* Copies from a range of the reader what it has from *at on. *at stays when that is nothing after
 * all: it has failed, or a read has taken its bytes. The reader's shard is locked. */
static int take_held(struct keeping *keeping, struct range *range, uint64_t *at, struct error *err)
{
    struct shard *shard = keeping->reader->shard;
    uint64_t end;
    int r = range_wait_whole(range, keeping->limits, err);

    if (r < 0)
        return range_failed(range) ? 0 : r;
    end = smaller(range->arrived, keeping->size_bytes);
    if (*at < range->valid || *at >= end || !range->buffer)
        return 0;
    range->users++;
    shard_unlock(shard);
    r = reader_copy_put(keeping->copy, range->buffer + (*at - range->offset), end - *at, *at, err);
    shard_lock(shard);
    range->users--;
    *at = end;
    return r;
}

/* The reader needs nothing any more. */
static bool is_served(const struct reader *reader)
{
    return reader->copy || reader->closed || reader->stale.class != ERROR_NONE;
}

/* 1: all is there; 0: it is not needed any more. */
static int collect(struct keeping *keeping, struct error *err)
{
    struct reader *reader = keeping->reader;
    uint64_t at = 0;
    int r = 0;

    shard_lock(reader->shard);
    while (r == 0 && at < keeping->size_bytes && !is_served(reader)) {
        uint64_t next = keeping->size_bytes;
        struct range *held = find_held(reader, at, &next);

        if (held) {
            r = take_held(keeping, held, &at, err);
        } else {
            shard_unlock(reader->shard);
            r = fetch(keeping, at, next, err);
            shard_lock(reader->shard);
            at = next;
        }
    }
    shard_unlock(reader->shard);
    return r < 0 ? r : at == keeping->size_bytes;
}

/* ---- from one version, whichever name it has ------------------------------------------------- */

/* Where the version is. False: there is nothing to be kept. */
static bool look(struct keeping *keeping)
{
    struct reader *reader = keeping->reader;
    bool needs;

    shard_lock(reader->shard);
    reader_adopt(reader);
    needs = !is_served(reader) && reader->attr.size_bytes > 0;
    keeping->uri = reader->uri;
    memcpy(keeping->etag, reader->etag, sizeof keeping->etag);
    keeping->epoch = reader->epoch;
    keeping->size_bytes = reader->attr.size_bytes;
    keeping->stored_bytes = reader->stored_bytes;
    shard_unlock(reader->shard);
    return needs;
}

/* One line that says what stands in the way of the change. */
static int explain(const struct keeping *keeping, int r, struct error *err)
{
    char text[ATTR_URI_BYTES], reason[sizeof err->message];
    enum error_class class = err->class;

    if (class == ERROR_CANCELLED)
        return r;
    memcpy(reason, err->message, sizeof reason);
    r = error_set_errno(
        err, -r,
        "open for reading in this program, and the rest of it cannot be kept (%.110s): "
        "close it%s",
        reason, r == -ENOSPC ? ", or let S3DLIO_SPOOL_DIR have more room" : "");
    err->class = class;
    attr_uri_text(&keeping->uri, text);
    error_set_context(err, "keep", text);
    return r;
}

static bool is_gone(const struct error *err)
{
    return err->class == ERROR_NOT_FOUND || err->class == ERROR_CHANGED ||
           err->class == ERROR_RANGE;
}

/* 1: the version has moved, once more; 0: collected, or nothing is to be kept. */
static int keep_once(struct keeping *keeping, struct error *err)
{
    struct reader *reader = keeping->reader;
    int r = reader_copy_new(reader->engine, keeping->size_bytes, &keeping->copy, err);

    if (r == 0)
        r = collect(keeping, err);
    if (r > 0)
        return 0;
    reader_copy_unref(keeping->copy);
    keeping->copy = NULL;
    if (r < 0 && !is_gone(err))
        return explain(keeping, r, err);
    shard_lock(reader->shard);
    if (r < 0)
        r = is_served(reader) ? 0 : reader_outlive(reader, keeping->epoch, keeping->limits, err);
    shard_unlock(reader->shard);
    return r;
}

int reader_keep(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct keeping *keeping = calloc(1, sizeof *keeping);
    int r = 1;

    if (!keeping)
        return error_set(err, ERROR_NO_MEMORY, "keeping what is open");
    keeping->reader = reader;
    keeping->limits = limits;
    while (r > 0)
        r = look(keeping) ? keep_once(keeping, err) : 0;
    if (r == 0) {
        if (keeping->copy)
            reader_registry_serve(reader, keeping->copy);
        reader_registry_remove(reader);
    }
    reader_copy_unref(keeping->copy);
    free(keeping);
    return r;
}
