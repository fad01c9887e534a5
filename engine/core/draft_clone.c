/* Bytes of another object become a draft's, by reference: the store copies them when it is
 * published. See draft.h.
 *
 * They are EXTENT_BASE then, of another version than the one whose place the draft takes. There is
 * one such version at a time: bytes of an earlier one that were fetched are the draft's own from
 * then on, and when some were not, nothing can be cloned.
 *
 * A whole object, unchanged, is one copy request. It cannot be made conditional on what is at the
 * target, so where a version is to be replaced and no other, parts are copied like anything else;
 * where nothing may be there, that is looked at right before.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/copy.h"
#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/marked.h"
#include "core/names.h"

/* The version that bytes come from, and what else is known of it. */
struct source {
    struct uri uri;
    struct attr attr;
    const char *content_type;
    bool is_tagged;
};

/* ---- taking ---------------------------------------------------------------------------------- */

static int refuse(struct error *err, const char *why)
{
    return error_set_errno(err, EXDEV, "%s", why);
}

/* Is it the version that BASE bytes are of? */
static bool is_source(const struct draft_facts *facts, const struct uri *uri,
                      const struct attr *attr)
{
    const struct attr *mine = facts->is_cloned ? &facts->source.attr : &facts->base;

    return draft_facts_have_source(facts) && strcmp(mine->etag, attr->etag) == 0 &&
           uri_is_same(facts->is_cloned ? &facts->source.uri : &facts->uri, uri);
}

static bool has_base_outside(const struct draft *draft, uint64_t start, uint64_t end)
{
    uint64_t length = draft->extents.length_bytes;

    if (start > length)
        start = length;
    return extents_sum(&draft->extents, 0, start, 1u << EXTENT_BASE) ||
           (end < length && extents_sum(&draft->extents, end, length, 1u << EXTENT_BASE));
}

static int refuse_copies(struct error *err)
{
    store_tell_lack(STORE_CAP_COPY);
    return refuse(err, "the store cannot copy");
}

static int check_stores(const struct store *store, const struct uri *to, const struct uri *from,
                        const struct attr *attr, struct error *err)
{
    if (strcmp(from->scheme, to->scheme) != 0)
        return refuse(err, "the objects are in different stores");
    if (!(store->capabilities & STORE_CAP_COPY))
        return refuse_copies(err);
    return attr->etag[0] ? 0 : refuse(err, "the version has no ETag");
}

static int check(const struct draft *draft, const struct source *from, uint64_t start, uint64_t end,
                 struct error *err)
{
    const struct uri *uri = &from->uri;
    const struct attr *attr = &from->attr;
    const struct draft_facts *facts = draft_facts(draft);
    int r = check_stores(draft->store, &facts->uri, uri, attr, err);

    if (r < 0)
        return r;
    if (draft_is_mapped(draft, start, end))
        return refuse(err, "a part that is mapped");
    if (!is_source(facts, uri, attr) && has_base_outside(draft, start, end))
        return refuse(err, "bytes of another object are here already");
    return 0;
}

/* What was fetched of the source before is the draft's own. Neighbours are joined: needs no
 * room. */
static void own_fetched(struct draft *draft)
{
    uint64_t at = 0;

    while (at < draft->extents.length_bytes) {
        struct extent extent = extents_at(&draft->extents, at);

        if (extent.kind == EXTENT_CLEAN)
            draft_set_kind(draft, at, extent.end, EXTENT_DIRTY);
        at = extent.end;
    }
}

static int take_source(struct draft *draft, const struct source *from, struct error *err)
{
    struct draft_facts *facts = draft_facts_begin(draft);
    const char *type = facts->content_type[0] ? facts->content_type : from->content_type;

    if (draft_facts_set_type(facts, type) < 0)
        return error_set(err, ERROR_TOO_LONG, "the content type is too long");
    facts->is_cloned = true;
    facts->source.uri = from->uri;
    facts->source.attr = from->attr;
    facts->source.is_tagged = from->is_tagged;
    facts->source_serial++;
    draft_facts_commit(draft);
    return 0;
}

static int take_range(struct draft *draft, uint64_t start, uint64_t end, struct error *err)
{
    uint64_t length = draft->extents.length_bytes;
    struct draft_change longer = {.length_bytes = end, .filling = EXTENT_ZERO};
    struct error ignored;
    int r = draft_reserve_marks(draft, err);

    if (r < 0)
        return r;
    draft_note_change(draft);
    if (end > length)
        draft_change_extents(draft, &longer);
    draft_set_kind(draft, start, end, EXTENT_BASE);
    draft_punch(draft, start, end < length ? end : length, &ignored); /* only for the space */
    return 0;
}

static int take(struct draft *draft, const struct source *from, uint64_t start, uint64_t end,
                struct error *err)
{
    bool is_other = !is_source(draft_facts(draft), &from->uri, &from->attr);
    int r = check(draft, from, start, end, err);

    if (r == 0 && start > draft->extents.length_bytes)
        r = draft_data_resize(draft, start, err);
    if (r == 0)
        r = draft_reserve_marks(draft, err);
    if (r == 0 && is_other) {
        own_fetched(draft);
        r = draft_data_zero(draft, start, end,
                            err); /* BASE bytes were here at most: none for now */
    }
    if (r == 0 && is_other)
        r = take_source(draft, from, err);
    return r < 0 ? r : take_range(draft, start, end, err);
}

int draft_can_clone(struct engine *engine, const struct uri *to, const struct reader *from,
                    struct error *err)
{
    struct store *store;
    struct uri uri;
    struct attr attr;
    int r = engine_store(engine, to->scheme, &store, err);

    if (r < 0)
        return r;
    if (!reader_locate(from, &uri, &attr))
        return refuse(err, "the store does not have these bytes any more");
    return check_stores(store, to, &uri, &attr, err);
}

ssize_t draft_clone(struct draft *draft, const struct reader *from, uint64_t offset,
                    uint64_t length_bytes, const struct limits *limits, struct error *err)
{
    struct source source = {.content_type = reader_content_type(from),
                            .is_tagged = reader_is_tagged(from)};
    uint64_t size_bytes = reader_attr(from)->size_bytes, end = size_bytes;
    struct reader *reader;
    int r;

    if (!reader_locate(from, &source.uri, &source.attr))
        return refuse(err, "the store does not have these bytes any more");
    r = draft_enter(draft, false, limits, err);
    if (r < 0)
        return r;
    if (offset < size_bytes && length_bytes < size_bytes - offset)
        end = offset + length_bytes;
    if (offset < end) {
        draft_stop_appending(draft);
        if (draft_ahead_cast_off(draft, err) < 0)
            r = refuse(err, "bytes of it are on their way already");
    }
    if (offset < end && r == 0)
        r = take(draft, &source, offset, end, err);
    if (offset < end && r == 0)
        r = draft_reader(draft, &reader, err); /* this process leaves it what it needs */
    draft_leave(draft);
    if (r < 0)
        return r;
    return offset < end ? (ssize_t)(end - offset) : 0;
}

/* ---- a source that this process changes ------------------------------------------------------ */

/* Its bytes, which the reader has now, become the draft's own. */
static int own_source(struct draft *draft, struct limits *limits, struct error *err)
{
    uint64_t length = draft->extents.length_bytes;
    int r = draft_reserve(draft, 0, length, err);

    if (r < 0)
        return r;
    r = draft_fetch(draft, 0, length, limits, err);
    if (r < 0)
        draft_give_room_back(draft, 0, length);
    else
        own_fetched(draft);
    return r;
}

static bool knows_source(const struct draft *draft, const struct draft_facts *facts)
{
    return facts->is_cloned && draft->reader && draft->reader_serial == facts->source_serial;
}

int draft_follow_source(struct draft *draft, struct limits *limits, struct error *err)
{
    struct draft_facts *facts;
    struct uri uri;
    struct attr attr;

    if (!knows_source(draft, draft_facts(draft)))
        return 0;
    if (!reader_locate(draft->reader, &uri, &attr))
        return own_source(draft, limits, err);
    if (is_source(draft_facts(draft), &uri, &attr))
        return 0;
    facts = draft_facts_begin(draft);
    facts->source.uri = uri;
    facts->source.attr = attr;
    draft->reader_serial = ++facts->source_serial;
    draft_facts_commit(draft);
    return 0;
}

bool draft_source_moved(const struct draft *draft)
{
    const struct draft_facts *facts = draft_facts(draft);
    struct uri uri;
    struct attr attr;

    return knows_source(draft, facts) &&
           (!reader_locate(draft->reader, &uri, &attr) || !is_source(facts, &uri, &attr));
}

/* ---- publishing ------------------------------------------------------------------------------ */

bool draft_is_whole_clone(const struct draft *draft, const struct draft_facts *facts)
{
    const unsigned kinds = 1u << EXTENT_BASE | 1u << EXTENT_CLEAN;
    uint64_t length = draft->extents.length_bytes;

    return facts->is_cloned && !facts->base_exists && length > 0 &&
           length == facts->source.attr.size_bytes &&
           extents_sum(&draft->extents, 0, length, kinds) == length;
}

static int store_attr(const struct draft *draft, const struct draft_facts *facts,
                      struct store_metadata *metadata, const struct limits *limits,
                      struct error *err)
{
    const struct store_metadata kept = draft_facts_metadata(facts);
    const struct attr attr = attr_of_new(draft->store, &facts->attr);
    int r = 0;

    if (!attr_is_kept(draft->store))
        return 0;
    if (kept.length)
        r = store_metadata_copy(&kept, metadata);
    if (r == 0 && !attr.has)
        return 0;
    if (r == 0)
        r = attr_to_metadata(&attr, metadata);
    if (r < 0)
        return error_set_errno(err, -r, "storing attributes");
    return marked_require(draft->engine, &facts->uri, limits, err);
}

/* No store is known to heed a condition on the target of a plain copy, and parts under one would be
 * three requests for each file of `cp -r`. So this looks once more, which costs nothing where the
 * open has just looked. */
int draft_copy_whole(struct draft *draft, const struct draft_facts *facts,
                     const struct limits *limits, struct attr *ret_attr, struct error *err)
{
    struct store_metadata metadata = {0};
    struct store_object known = {.size_bytes = facts->source.attr.size_bytes};
    struct copy copy = {
        .from = &facts->source.uri,
        .to = &facts->uri,
        .known = &known,
        .metadata = &metadata,
        .drops_tags = facts->source.is_tagged,
    };
    int r = facts->exclusive ? names_require_absent(draft->engine, &facts->uri, limits, err) : 0;

    if (r == 0)
        r = store_attr(draft, facts, &metadata, limits, err);
    memcpy(known.etag, facts->source.attr.etag, sizeof known.etag);
    snprintf(known.content_type, sizeof known.content_type, "%.*s",
             (int)sizeof known.content_type - 1,
             facts->content_type[0] ? facts->content_type : "application/octet-stream");
    if (r == 0)
        r = copy_version(draft->engine, &copy, limits, err);
    store_metadata_fini(&metadata);
    if (r < 0)
        return r;
    attr_from_object(&copy.target, &facts->uri, ret_attr);
    attr_take_stored(ret_attr, &facts->attr);
    return 0;
}
