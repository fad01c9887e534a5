/* A stream that turns out to be none becomes a draft: what it had sent is cast off, what it had
 * written moves over. See draft.h.
 *
 * The spool file of the writer, if it has one, becomes the draft's: both have bytes at their
 * offsets in the object. Up to the last step nothing is taken from the writer, so that a failure
 * leaves it as it was.
 */
#include <errno.h>

#include "core/draft_private.h"
#include "core/spool.h"
#include "core/writer_private.h"
#include "io/fd.h"

/* One part: it is in the spool already, or is written there. */
static int take_part(void *arg, const unsigned char *data, uint64_t offset, uint64_t size_bytes,
                     struct error *err)
{
    struct draft *draft = arg;
    uint64_t end = offset + size_bytes;
    ssize_t n;

    if (!data) {
        uint64_t length = draft->extents.length_bytes;
        struct draft_change change = {end > length ? end : length, EXTENT_ZERO, offset, end,
                                      EXTENT_DIRTY};
        int r = draft_reserve_marks(draft, err);

        if (r == 0)
            draft_change_extents(draft, &change);
        return r;
    }
    n = draft_data_write(draft, data, size_bytes, offset, err);
    if (n >= 0 && (uint64_t)n < size_bytes)
        return spool_error(err, ENOSPC, "writing to one");
    return n < 0 ? (int)n : 0;
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

static int fill(struct draft *draft, struct writer *writer, struct error *err)
{
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
    r = writer_each_part(writer, take_part, draft, err);
    if (r < 0)
        return r;
    draft_facts_begin(draft)->attr = writer->attr; /* the bytes were changed before it was set */
    draft_facts_commit(draft);
    draft->shared->changed = writer->changed;
    return 0;
}

/* The writer's turn is taken. */
static int convert(struct writer *writer, const struct limits *limits, struct draft **ret_draft,
                   struct error *err)
{
    bool mid_fetch = !writer->copies_base && writer->base_bytes > 0 &&
                     writer->base_bytes < writer->base.attr.size_bytes;
    struct draft *draft = NULL;
    int r = writer->finishing || mid_fetch || writer->fetching
                ? error_set(err, ERROR_BUSY, "the writer is in the middle of something")
                : upload_check(writer->upload, err);

    if (r == 0)
        r = writer_parts_are_here(writer, err);
    if (r == 0)
        r = draft_new(writer->engine, &writer->uri, &draft, err);
    if (r != 0)
        return r;
    r = draft_enter(draft, false, limits, err);
    if (r == 0) {
        lend_spool(draft, writer);
        r = fill(draft, writer, err);
        if (r == 0)
            draft_ahead_begin(draft);
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
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = convert(writer, limits, ret_draft, err);
    if (r == 0)
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
