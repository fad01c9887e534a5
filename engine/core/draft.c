/* Life of a draft and its calls: each takes the turn, does its work, passes the turn. See draft.h. */
#include "core/draft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/draft_private.h"
#include "core/names.h"
#include "core/spool.h"
#include "core/writable.h"
#include "io/fd.h"
#include "io/gate.h"

int draft_enter(struct draft *draft, bool nested, const struct limits *limits, struct error *err)
{
    if (draft->generation != gate_generation())
        return error_set(err, ERROR_INVALID, "a draft belongs to the process that opened it");
    return turn_take(&draft->turn, nested, limits, err);
}

void draft_leave(struct draft *draft)
{
    turn_give(&draft->turn);
}

/* ---- opening ------------------------------------------------------------------------------------ */

static int refuse_existing(const struct uri *uri, struct error *err)
{
    char text[ATTR_URI_BYTES];
    int r = error_set(err, ERROR_EXISTS, "something of that name exists");

    attr_uri_text(uri, text);
    error_set_context(err, NULL, text);
    return r;
}

/* What there is to start from; -EEXIST where nothing may be. */
static int find_base(struct draft *draft, const struct draft_options *options,
                     const struct limits *limits, struct error *err)
{
    struct attr attr;
    int r = 0;

    if (options->unnamed)
        return options->keep ? error_set(err, ERROR_INVALID, "a version without a name") : 0;
    if (options->exclusive) {
        r = names_lookup(draft->engine, &draft->uri, limits, &attr, err);
        if (r == 0)
            return refuse_existing(&draft->uri, err);
        return r == -ENOENT && !options->keep ? 0 : r;
    }
    if (options->keep)
        r = base_version_look(draft->engine, &draft->uri, limits, &draft->base, err);
    return r;
}

static int take_options(struct draft *draft, const struct draft_options *options, struct error *err)
{
    const char *type = options->content_type;

    draft->exclusive = options->exclusive;
    draft->is_unnamed = options->unnamed;
    draft->changed = !draft->base.exists;
    draft->attr = draft->base.attr;
    if (!draft->base.exists)
        draft->attr.type = ATTR_FILE;
    if (options->attr)
        attr_merge(&draft->attr, options->attr);
    if (options->attr && options->attr->has && draft->base.exists)
        draft->changed = true;
    if (!type && draft->base.content_type[0])
        type = draft->base.content_type;
    draft->content_type = type ? strdup(type) : NULL;
    if (type && !draft->content_type)
        return error_set(err, ERROR_NO_MEMORY, "opening a draft");
    if (extents_reserve(&draft->extents) < 0)
        return error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
    extents_resize(&draft->extents, draft->base.attr.size_bytes, EXTENT_BASE);
    return 0;
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
    draft->uri = *uri;
    draft->spool_fd = -1;
    draft->generation = gate_generation();
    turn_init(&draft->turn, engine_shard(engine, store, uri, 0));
    *ret_draft = draft;
    return 0;
}

int draft_open(struct engine *engine, const struct uri *uri, const struct draft_options *options,
               const struct limits *limits, struct draft **ret_draft, struct error *err)
{
    size_t key_length = strlen(uri->key);
    struct draft *draft;
    int r;

    if (key_length == 0 || uri->key[key_length - 1] == '/')
        return error_set(err, ERROR_IS_DIRECTORY, "the name of a directory");
    r = draft_new(engine, uri, &draft, err);
    if (r < 0)
        return r;
    r = find_base(draft, options, limits, err);
    if (r == 0)
        r = take_options(draft, options, err);
    if (r < 0) {
        draft_free(draft);
        return r;
    }
    *ret_draft = draft;
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------------ */

static void free_all(struct draft *draft)
{
    reader_close(draft->reader);
    draft_maps_free(draft);
    fd_close(draft->spool_fd);
    spool_release(draft->reserved_bytes);
    extents_fini(&draft->extents);
    base_version_fini(&draft->base);
    free(draft->content_type);
    free(draft);
}

void draft_free(struct draft *draft)
{
    if (draft)
        free_all(draft);
}

void draft_forget(struct draft *draft)
{
    if (draft)
        free_all(draft);
}

/* ---- bytes -------------------------------------------------------------------------------------- */

ssize_t draft_pread(struct draft *draft, void *buffer, size_t length_bytes, uint64_t offset,
                    struct limits *limits, struct error *err)
{
    ssize_t r = draft_enter(draft, true, limits, err);
    uint64_t length = draft->extents.length_bytes;

    if (r < 0)
        return r;
    if (offset < length && length_bytes > length - offset)
        length_bytes = (size_t)(length - offset);
    if (offset < length && writable_check(buffer, length_bytes) < 0)
        r = error_set_errno(err, EFAULT, "the buffer cannot be written to");
    else if (offset < length)
        r = draft_data_read(draft, buffer, offset, offset + length_bytes, limits, err);
    draft_leave(draft);
    return r;
}

ssize_t draft_pwrite(struct draft *draft, const void *buffer, size_t length_bytes, uint64_t offset,
                     const struct limits *limits, struct error *err)
{
    ssize_t r;

    if (offset > DRAFT_LENGTH_MAX || length_bytes > DRAFT_LENGTH_MAX - offset)
        return error_set(err, ERROR_TOO_LARGE, "no object can be that long");
    r = draft_enter(draft, true, limits, err);
    if (r < 0)
        return r;
    if (length_bytes > 0)
        r = draft_data_write(draft, buffer, length_bytes, offset, err);
    draft_leave(draft);
    return r;
}

int draft_truncate(struct draft *draft, uint64_t length_bytes, const struct limits *limits,
                   struct error *err)
{
    int r;

    if (length_bytes > DRAFT_LENGTH_MAX)
        return error_set(err, ERROR_TOO_LARGE, "no object can be that long");
    r = draft_enter(draft, true, limits, err);
    if (r < 0)
        return r;
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
    r = draft_data_zero(draft, offset, end, err);
    draft_leave(draft);
    return r;
}

uint64_t draft_length(const struct draft *draft)
{
    return __atomic_load_n(&draft->extents.length_bytes, __ATOMIC_RELAXED);
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

/* ---- attributes --------------------------------------------------------------------------------- */

int draft_set_attr(struct draft *draft, const struct attr *attr, const struct limits *limits,
                   struct error *err)
{
    int r = draft_enter(draft, true, limits, err);

    if (r < 0)
        return r;
    if (!draft->changed &&
        !(draft->attr.has & ATTR_HAS_MTIME)) { /* the data stays as old as it is */
        draft->attr.mtime = draft->base.attr.mtime;
        draft->attr.has |= ATTR_HAS_MTIME;
    }
    attr_merge(&draft->attr, attr);
    draft->changed = true;
    draft->serial++;
    draft_leave(draft);
    return 0;
}
