/* Life of a draft and its calls: each takes the turn, does its work, passes the turn. See draft.h.
 *
 * There are two turns, the thread's among its process and the process's among those that have the
 * draft. What a call that was left by longjmp has counted, or one that the parent was in when it
 * forked, is no longer there when the first turn is taken anew. */
#include "core/draft.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/names.h"
#include "core/spool.h"
#include "core/writable.h"
#include "io/fd.h"
#include "io/gate.h"

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static int enter_shared(struct draft *draft, const struct limits *limits, struct error *err)
{
    int r = shared_turn_take(&draft->shared->turn, limits, err);

    if (r < 0)
        return r;
    r = draft_shared_look(draft, err);
    if (r == 0)
        r = draft_mend(draft, err);
    if (r < 0)
        shared_turn_give(&draft->shared->turn);
    else
        draft_count_room(draft);
    return r;
}

/* The thread is cancelled in the middle of its call: for whoever comes next it is as if it had
 * died. */
static void shared_left(struct limits_held *held)
{
    struct draft *draft = CONTAINER(held, struct draft, held);

    draft->inside = 0;
    atomic_store(&draft->shared->turn.owner_died, true);
    shared_turn_give(&draft->shared->turn);
}

int draft_enter(struct draft *draft, bool nested, const struct limits *limits, struct error *err)
{
    int r = turn_take(&draft->turn, nested, limits, err);

    if (r < 0)
        return r;
    if (draft->turn.depth == 1) {
        draft->inside = 0;
        draft->is_publishing = false;
    }
    if (draft->inside == 0) {
        r = enter_shared(draft, limits, err);
        draft->held.left = shared_left;
        if (r == 0)
            limits_hold(&draft->held);
    }
    if (r < 0) {
        turn_give(&draft->turn);
        return r;
    }
    draft->generation = gate_generation();
    draft->inside++;
    return 0;
}

void draft_leave(struct draft *draft)
{
    if (draft->inside > 0 && --draft->inside == 0) {
        limits_let_go(&draft->held);
        shared_turn_give(&draft->shared->turn);
    }
    turn_give(&draft->turn);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* What there is to start from; -EEXIST where nothing may be. */
static int find_base(struct engine *engine, const struct uri *uri,
                     const struct draft_options *options, const struct limits *limits,
                     struct base_version *base, struct error *err)
{
    int r = 0;

    if (options->unnamed)
        return options->keep ? error_set(err, ERROR_INVALID, "a version without a name") : 0;
    if (options->exclusive && options->sought && !options->keep)
        return 0;
    if (options->exclusive) {
        r = names_require_absent(engine, uri, limits, err);
        return r == 0 && options->keep ? error_set(err, ERROR_NOT_FOUND, "nothing to keep") : r;
    }
    if (options->keep)
        r = base_version_look(engine, uri, limits, base, err);
    else if (options->empties)
        r = base_version_look_to_empty(engine, uri, limits, base, err);
    return r;
}

static int take_options(struct draft *draft, const struct draft_options *options,
                        const struct base_version *base, struct error *err)
{
    struct draft_facts *facts = draft_facts_begin(draft);
    const char *type = options->content_type ? options->content_type : base->content_type;
    struct draft_change change = {.length_bytes = base->attr.size_bytes, .filling = EXTENT_BASE};
    int r = draft_facts_set_type(facts, type);

    if (r < 0)
        return error_set(err, ERROR_TOO_LONG, "the content type is too long");
    facts->was_missing = options->sought && !options->keep;
    facts->exclusive = options->exclusive;
    facts->is_unnamed = options->unnamed;
    facts->appends = options->append && !options->exclusive && !options->unnamed;
    facts->tail_start = base->attr.size_bytes;
    if (facts->appends)
        facts->exclusive = !base->exists;
    draft_facts_set_base(facts, base);
    facts->attr = base->attr;
    if (!base->exists)
        facts->attr.type = ATTR_FILE;
    if (options->attr)
        attr_merge(&facts->attr, options->attr);
    draft->shared->changed = !base->exists || (options->attr && options->attr->has);
    draft_facts_commit(draft);
    r = draft_reserve_marks(draft, err);
    if (r == 0)
        draft_change_extents(draft, &change);
    return r;
}

static int make_files(struct draft *draft, const struct uri *uri, struct error *err)
{
    int r = draft_shared_new(draft, err);

    if (r == 0)
        r = spool_open(&draft->engine->options, &draft->spool_fd, err);
    if (r == 0) {
        struct draft_facts *facts = draft_facts_begin(draft);

        facts->uri = *uri;
        draft_facts_commit(draft);
    }
    return r;
}

int draft_new(struct engine *engine, const struct uri *uri, struct draft **ret_draft,
              struct error *err)
{
    struct draft *draft;
    struct store *store;
    int r = engine_store(engine, uri->scheme, &store, err);

    if (r < 0)
        return r;
    draft = calloc(1, sizeof *draft);
    if (!draft)
        return error_set(err, ERROR_NO_MEMORY, "opening a draft");
    draft->engine = engine;
    draft->store = store;
    draft->shared_fd = draft->spool_fd = -1;
    turn_init(&draft->turn, engine_shard(engine, store, uri, 0));
    r = make_files(draft, uri, err);
    if (r < 0) {
        draft_free(draft);
        return r;
    }
    *ret_draft = draft;
    return 0;
}

int draft_open(struct engine *engine, const struct uri *uri, const struct draft_options *options,
               const struct limits *limits, struct draft **ret_draft, struct error *err)
{
    size_t key_length = strlen(uri->key);
    struct base_version base = {0};
    struct draft *draft = NULL;
    int r;

    if (key_length == 0 || uri->key[key_length - 1] == '/')
        return error_set(err, ERROR_IS_DIRECTORY, "the name of a directory");
    r = find_base(engine, uri, options, limits, &base, err);
    if (r == 0)
        uploads_sweep(engine, uri, limits);
    if (r == 0)
        r = draft_new(engine, uri, &draft, err);
    if (r == 0)
        r = take_options(draft, options, &base, err);
    base_version_fini(&base);
    if (r < 0) {
        draft_free(draft);
        return r;
    }
    *ret_draft = draft;
    return 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

void draft_free(struct draft *draft)
{
    if (!draft)
        return;
    reader_close(draft->reader);
    draft_ahead_free(draft);
    draft_maps_free(draft);
    fd_close(draft->spool_fd);
    spool_release(draft->counted_bytes);
    draft_shared_free(draft);
    free(draft);
}

void draft_forget(struct draft *draft, const struct limits *limits)
{
    struct error ignored;

    if (draft->ahead && draft_enter(draft, false, limits, &ignored) == 0) {
        draft_ahead_settle(draft, limits);
        draft_leave(draft);
    }
    draft_free(draft);
}

void draft_abort(struct draft *draft, const struct limits *limits)
{
    struct error ignored;

    if (draft->shared->ahead.upload_id[0] && draft_enter(draft, false, limits, &ignored) == 0) {
        draft_ahead_discard(draft);
        draft_leave(draft);
    }
    draft_free(draft);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static ssize_t get(struct draft *draft, void *buffer, size_t length_bytes, uint64_t offset,
                   struct limits *limits, struct error *err)
{
    uint64_t length = draft->extents.length_bytes;

    if (offset >= length)
        return 0;
    if (length_bytes > length - offset)
        length_bytes = (size_t)(length - offset);
    if (writable_check(buffer, length_bytes) < 0)
        return error_set_errno(err, EFAULT, "the buffer cannot be written to");
    return draft_data_read(draft, buffer, offset, offset + length_bytes, limits, err);
}

ssize_t draft_pread(struct draft *draft, void *buffer, size_t length_bytes, uint64_t offset,
                    struct limits *limits, struct error *err)
{
    ssize_t r = draft_enter(draft, true, limits, err);
    struct error ignored;

    if (r < 0)
        return r;
    r = get(draft, buffer, length_bytes, offset, limits, err);
    if (r == -ESTALE && !draft->shared->was_read && draft_look(draft, limits, &ignored) > 0)
        r = get(draft, buffer, length_bytes, offset, limits, err);
    if (r > 0)
        draft->shared->was_read = true;
    draft_leave(draft);
    return r;
}

static int check_range(uint64_t offset, uint64_t length_bytes, struct error *err)
{
    if (offset <= DRAFT_LENGTH_MAX && length_bytes <= DRAFT_LENGTH_MAX - offset)
        return 0;
    return error_set(err, ERROR_TOO_LARGE, "no object can be that long");
}

/* At the end, or what was not given up. */
static ssize_t put(struct draft *draft, const void *buffer, size_t length_bytes, uint64_t offset,
                   const struct limits *limits, struct error *err)
{
    ssize_t n = draft_data_write(draft, buffer, length_bytes, offset, err);

    while (n == -ENOSPC) {
        int r = draft_ahead_make_room(draft, limits, err);

        if (r <= 0)
            return r < 0 ? r : n;
        n = draft_data_write(draft, buffer, length_bytes, offset, err);
    }
    if (n > 0)
        draft_ahead_go_on(draft, limits);
    return n;
}

ssize_t draft_pwrite(struct draft *draft, const void *buffer, size_t length_bytes, uint64_t offset,
                     const struct limits *limits, struct error *err)
{
    ssize_t r = check_range(offset, length_bytes, err);

    if (r == 0)
        r = draft_enter(draft, true, limits, err);
    if (r < 0)
        return r;
    if (length_bytes > 0) {
        draft_stop_appending(draft);
        r = draft_ahead_change(draft, offset, offset + length_bytes, err);
        if (r == 0)
            r = put(draft, buffer, length_bytes, offset, limits, err);
    }
    draft_leave(draft);
    return r;
}

ssize_t draft_append(struct draft *draft, const void *buffer, size_t length_bytes,
                     const struct limits *limits, uint64_t *ret_offset, struct error *err)
{
    ssize_t r = draft_enter(draft, true, limits, err);
    uint64_t offset;

    if (r < 0)
        return r;
    offset = draft->extents.length_bytes;
    r = check_range(offset, length_bytes, err);
    if (r == 0 && length_bytes > 0)
        r = put(draft, buffer, length_bytes, offset, limits, err);
    draft_leave(draft);
    if (r >= 0)
        *ret_offset = offset;
    return r;
}

int draft_truncate(struct draft *draft, uint64_t length_bytes, const struct limits *limits,
                   struct error *err)
{
    int r = check_range(length_bytes, 0, err);

    if (r == 0)
        r = draft_enter(draft, true, limits, err);
    if (r < 0)
        return r;
    if (length_bytes != draft->extents.length_bytes)
        draft_stop_appending(draft);
    if (length_bytes < draft->extents.length_bytes)
        r = draft_ahead_cut(draft, length_bytes, limits, err);
    else if (length_bytes > draft->extents.length_bytes)
        draft_ahead_stop(draft);
    if (r == 0)
        r = draft_data_resize(draft, length_bytes, err);
    draft_leave(draft);
    return r;
}

int draft_zero(struct draft *draft, uint64_t offset, uint64_t length_bytes,
               const struct limits *limits, struct error *err)
{
    uint64_t end = offset + length_bytes;
    int r = end < offset ? error_set(err, ERROR_INVALID, "beyond the largest offset")
                         : draft_enter(draft, true, limits, err);

    if (r < 0)
        return r;
    draft_stop_appending(draft);
    r = draft_ahead_change(draft, offset, end, err);
    if (r == 0)
        r = draft_data_zero(draft, offset, end, err);
    draft_leave(draft);
    return r;
}

int draft_allocate(struct draft *draft, uint64_t offset, uint64_t length_bytes,
                   const struct limits *limits, struct error *err)
{
    int r = check_range(offset, length_bytes, err);

    if (r == 0)
        r = draft_enter(draft, true, limits, err);
    if (r < 0)
        return r;
    r = draft_spool_allocate(draft, offset, offset + length_bytes, err);
    draft_leave(draft);
    return r;
}

uint64_t draft_length(const struct draft *draft)
{
    return draft_shared_length(draft->shared);
}

int draft_seek(struct draft *draft, uint64_t offset, bool hole, const struct limits *limits,
               uint64_t *ret_offset, struct error *err)
{
    uint64_t length;
    int r = draft_enter(draft, true, limits, err);

    if (r < 0)
        return r;
    length = draft->extents.length_bytes;
    if (offset >= length)
        r = error_set_errno(err, ENXIO, "behind the end");
    while (r == 0 && offset < length) {
        struct extent extent = extents_at(&draft->extents, offset);

        if ((extent.kind == EXTENT_ZERO) == hole)
            break;
        offset = extent.end;
    }
    if (r == 0 && offset >= length && !hole)
        r = error_set_errno(err, ENXIO, "only a hole up to the end");
    draft_leave(draft);
    if (r == 0)
        *ret_offset = offset;
    return r;
}

/* ---- attributes ------------------------------------------------------------------------------ */

void draft_commit_attributes(struct draft *draft, struct draft_facts *facts)
{
    if (!draft->shared->changed && !(facts->attr.has & ATTR_HAS_MTIME)) {
        facts->attr.mtime = facts->base.mtime;
        facts->attr.has |= ATTR_HAS_MTIME;
    }
    draft->shared->changed = true;
    draft->shared->serial++;
    draft_facts_commit(draft);
}

int draft_set_attr(struct draft *draft, const struct attr *attr, const struct limits *limits,
                   struct error *err)
{
    struct draft_facts *facts;
    int r = draft_enter(draft, true, limits, err);

    if (r < 0)
        return r;
    facts = draft_facts_begin(draft);
    attr_merge(&facts->attr, attr);
    draft_commit_attributes(draft, facts);
    draft_leave(draft);
    return 0;
}
