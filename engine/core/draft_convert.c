/* A stream that turns out to be none, or is shared with a child, becomes a draft: what it had
 * written moves over, with the upload where that makes a new object. See draft.h.
 *
 * The spool file of the writer, if it has one, becomes the draft's: both have bytes at their
 * offsets in the object. Up to the last step nothing is taken from the writer, so that a failure
 * leaves it as it was.
 */
#include <errno.h>
#include <string.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/spool.h"
#include "core/writer_private.h"
#include "io/fd.h"

struct filling {
    struct draft *draft;
    bool inherits;  /* the upload goes on: bytes that it has need not be kept */
    unsigned done;  /* parts that it has acknowledged */
    bool is_second; /* of two rounds: first what has to be kept, then the rest, if there is room */
};

/* Below or behind the length. */
static int set_kind(struct draft *draft, const struct writer_part *part, enum extent_kind kind,
                    struct error *err)
{
    uint64_t end = part->offset + part->size_bytes, length = draft->extents.length_bytes;
    struct draft_change change = {end > length ? end : length, EXTENT_ZERO, part->offset, end,
                                  kind};
    int r = draft_reserve_marks(draft, err);

    if (r == 0)
        draft_change_extents(draft, &change);
    return r;
}

static int list_part(struct draft *draft, const struct writer_part *part, struct error *err)
{
    struct draft_sent *sent = &draft_sent(draft)[part->number - 1];

    if (draft_reserve_sent(draft, part->number - 1) < 0)
        return error_set(err, ERROR_NO_MEMORY, "keeping the list of parts");
    sent->end_bytes = part->offset + part->size_bytes;
    sent->is_stale = part->is_patched;
    return 0;
}

static int write_part(struct draft *draft, const struct writer_part *part, struct error *err)
{
    ssize_t n = draft_data_write(draft, part->data, part->size_bytes, part->offset, err);

    if (n >= 0 && (uint64_t)n < part->size_bytes)
        return spool_error(err, ENOSPC, "writing to one");
    return n < 0 ? (int)n : 0;
}

/* One part: it is in the spool already, is written there, or is gone. */
static int take_part(void *arg, const struct writer_part *part, struct error *err)
{
    const struct filling *filling = arg;
    struct draft *draft = filling->draft;
    bool is_done = part->number > 0 && part->number <= filling->done && !part->is_patched;
    int r = 0;

    if (is_done != filling->is_second)
        return 0;
    if (filling->inherits && part->number > 0)
        r = list_part(draft, part, err);
    if (r < 0)
        return r;
    if (!part->data)
        return set_kind(draft, part, part->is_spooled ? EXTENT_DIRTY : EXTENT_SENT, err);
    r = write_part(draft, part, err);
    return r == -ENOSPC && is_done ? set_kind(draft, part, EXTENT_SENT, err) : r;
}

/* The writer's file instead of the draft's own. */
static void lend_spool(struct draft *draft, const struct writer *writer)
{
    if (writer->parts.spool_fd < 0)
        return;
    fd_close(draft->spool_fd);
    draft->spool_fd = writer->parts.spool_fd;
    draft->shared->reserved_bytes += writer->parts.spooled_bytes;
    draft->counted_bytes += writer->parts.spooled_bytes;
}

static void take_back_spool(struct draft *draft, const struct writer *writer)
{
    if (draft->spool_fd != writer->parts.spool_fd)
        return;
    draft->spool_fd = -1;
    draft->counted_bytes -= writer->parts.spooled_bytes;
}

/* What the spool has is counted once, whoever has put it there. */
static void count(struct draft *draft)
{
    draft->shared->reserved_bytes = extents_sum(&draft->extents, 0, draft->extents.length_bytes,
                                                1u << EXTENT_CLEAN | 1u << EXTENT_DIRTY);
    draft_count_room(draft);
}

static int fill(struct draft *draft, struct writer *writer, bool inherits, struct error *err)
{
    struct filling filling = {.draft = draft, .inherits = inherits};
    struct draft_facts *facts = draft_facts_begin(draft);
    struct draft_change base = {.length_bytes = writer->base_bytes, .filling = EXTENT_BASE};
    int r = draft_facts_set_type(facts, writer->content_type);

    if (r < 0)
        return error_set(err, ERROR_TOO_LONG, "the content type is too long");
    draft_facts_set_base(facts, &writer->base);
    facts->exclusive = writer->exclusive;
    facts->appends = writer->appends;
    facts->tail_start = draft_base_bytes(facts);
    draft_facts_commit(draft);
    r = draft_reserve_marks(draft, err);
    if (r < 0)
        return r;
    draft_change_extents(draft, &base);
    if (inherits)
        filling.done = upload_tell_begun(writer->upload).part_count;
    r = writer_each_part(writer, take_part, &filling, err);
    filling.is_second = true;
    if (r == 0)
        r = writer_each_part(writer, take_part, &filling, err);
    if (r < 0)
        return r;
    draft_facts_begin(draft)->attr = writer->attr; /* the bytes were changed before it was set */
    draft_facts_commit(draft);
    draft->shared->changed = writer->changed;
    return 0;
}

/* Cannot fail. */
static void finish(struct draft *draft, struct writer *writer, bool inherits)
{
    struct draft_inherited inherited = {
        .late_has = writer->late.has,
        .lacks_metadata = writer->late_xattr,
        .goes_back = writer->parts.goes_back,
    };

    count(draft);
    draft_ahead_begin(draft);
    if (inherits)
        draft_ahead_inherit(draft, writer_give_upload(writer), &inherited);
}

/* Can what the writer has sent become the draft's? It is all that will be in front of the rest. */
static bool can_inherit(struct writer *writer)
{
    struct upload_begun begun = upload_tell_begun(writer->upload);

    return begun.upload_id && upload_part_count(writer->upload) > 0 && !writer->base.exists &&
           strlen(begun.upload_id) < STORE_UPLOAD_ID_MAX;
}

/* The writer's turn is taken. */
static int convert(struct writer *writer, const struct limits *limits, struct draft **ret_draft,
                   struct error *err)
{
    bool inherits = can_inherit(writer);
    bool mid_fetch = !writer->copies_base && writer->base_bytes > 0 &&
                     writer->base_bytes < writer->base.attr.size_bytes;
    struct draft *draft = NULL;
    int r = writer->finishing || mid_fetch || writer->fetching
                ? error_set(err, ERROR_BUSY, "the writer is in the middle of something")
                : upload_check(writer->upload, err);

    if (r == 0 && !inherits)
        r = writer_parts_are_here(writer, err);
    if (r == 0)
        r = draft_new(writer->engine, &writer->uri, &draft, err);
    if (r != 0)
        return r;
    r = draft_enter(draft, false, limits, err);
    if (r == 0) {
        lend_spool(draft, writer);
        r = fill(draft, writer, inherits, err);
        if (r == 0)
            finish(draft, writer, inherits);
        draft_leave(draft);
    }
    if (r < 0) {
        take_back_spool(draft, writer);
        draft_free(draft);
        return r;
    }
    writer->parts.spool_fd = -1;
    writer->parts.spooled_bytes = 0;
    *ret_draft = draft;
    return 0;
}

int draft_from_writer(struct writer *writer, const struct limits *limits, struct draft **ret_draft,
                      struct error *err)
{
    struct error ignored;
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    do {
        r = convert(writer, limits, ret_draft, err);
    } while (r == -ENOSPC && upload_busy(writer->upload) && /* then the spool need not have them */
             upload_wait_part(writer->upload, limits, &ignored) == 0);
    if (r == 0 && writer->upload)
        upload_abort(writer->upload);
    writer_leave(writer);
    if (r == 0)
        writer_free(writer);
    return r;
}

/* ---- the way back ---------------------------------------------------------------------------- */

static bool is_untouched(const struct draft *draft, const struct draft_facts *facts)
{
    return draft->extents.length_bytes == 0 && draft->shared->map_count == 0 &&
           !facts->base_exists && !facts->is_cloned && !facts->is_unnamed && !facts->exclusive &&
           !facts->appends && facts->metadata_length == 0 && facts->write_id[0] == '\0';
}

static int writer_for(const struct draft *draft, const struct limits *limits,
                      struct writer **ret_writer, struct error *err)
{
    const struct draft_facts *facts = draft_facts(draft);
    struct writer_options options = {
        .upload = {.content_type = facts->content_type[0] ? facts->content_type : NULL,
                   .attr = &facts->attr},
    };

    if (!is_untouched(draft, facts))
        return error_set_errno(err, EOPNOTSUPP, "something is in it");
    return writer_open(draft->engine, &facts->uri, &options, limits, ret_writer, err);
}

int draft_to_writer(struct draft *draft, const struct limits *limits, struct writer **ret_writer,
                    struct error *err)
{
    int r = draft_enter(draft, false, limits, err);

    if (r < 0)
        return r;
    r = writer_for(draft, limits, ret_writer, err);
    draft_leave(draft);
    if (r == 0)
        draft_free(draft);
    return r;
}
