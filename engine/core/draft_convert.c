/* A stream that turns out to be none becomes a draft: what it had sent is cast off, what it had written
 * moves over. See draft.h.
 *
 * The spool file of the writer becomes the draft's: both have bytes at their offsets in the object. Up
 * to the last step nothing is taken from the writer, so that a failure leaves it as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/draft_private.h"
#include "core/writer_private.h"

/* One part: it is in the spool already, or is written there. */
static int take_part(void *arg, const unsigned char *data, uint64_t offset, uint64_t size_bytes,
                     struct error *err)
{
    struct draft *draft = arg;
    uint64_t end = offset + size_bytes;
    ssize_t n;

    if (!data) {
        if (extents_reserve(&draft->extents) < 0)
            return error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
        if (end > draft->extents.length_bytes)
            extents_resize(&draft->extents, end, EXTENT_ZERO);
        extents_set(&draft->extents, offset, end, EXTENT_DIRTY);
        return 0;
    }
    n = draft_data_write(draft, data, size_bytes, offset, err);
    if (n >= 0 && (uint64_t)n < size_bytes)
        return error_set(err, ERROR_NO_SPACE, "the spool is full");
    return n < 0 ? (int)n : 0;
}

static void lend_spool(struct draft *draft, const struct writer *writer)
{
    struct stat st;

    draft->spool_fd = writer->spool_fd;
    draft->reserved_bytes += writer->spooled_bytes;
    if (writer->spool_fd >= 0 && fstat(writer->spool_fd, &st) == 0)
        draft->spool_bytes = (uint64_t)st.st_size;
}

static int fill(struct draft *draft, struct writer *writer, struct error *err)
{
    draft->base = writer->base;
    draft->base.metadata = (struct store_metadata){0}; /* the writer's until all is well */
    draft->exclusive = writer->exclusive;
    if (writer->content_type) {
        draft->content_type = strdup(writer->content_type);
        if (!draft->content_type)
            return error_set(err, ERROR_NO_MEMORY, "opening a draft");
    }
    if (extents_reserve(&draft->extents) < 0)
        return error_set(err, ERROR_NO_MEMORY, "the map of a staged file");
    extents_resize(&draft->extents, writer->base_bytes, EXTENT_BASE);
    return writer_each_part(writer, take_part, draft, err);
}

/* The writer's turn is taken. */
static int convert(struct writer *writer, struct draft **ret_draft, struct error *err)
{
    bool mid_fetch = !writer->copies_base && writer->base_bytes > 0 &&
                     writer->base_bytes < writer->base.attr.size_bytes;
    struct draft *draft;
    int r = writer->finishing || mid_fetch || writer->fetching
                ? error_set(err, ERROR_BUSY, "the writer is in the middle of something")
                : upload_check(writer->upload, err);

    if (r == 0)
        r = writer_parts_are_here(writer, err);
    if (r == 0)
        r = draft_new(writer->engine, &writer->uri, &draft, err);
    if (r < 0)
        return r;
    lend_spool(draft, writer);
    r = fill(draft, writer, err);
    if (r < 0) {
        if (writer->spool_fd >= 0)
            draft->spool_fd = -1;
        draft->reserved_bytes -= writer->spooled_bytes;
        draft_free(draft);
        return r;
    }
    draft->attr = writer->attr;
    draft->changed = writer->changed;
    draft->base.metadata = writer->base.metadata;
    writer->base.metadata = (struct store_metadata){0};
    writer->spool_fd = -1;
    writer->spooled_bytes = 0;
    *ret_draft = draft;
    return 0;
}

int draft_from_writer(struct writer *writer, const struct limits *limits, struct draft **ret_draft,
                      struct error *err)
{
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = convert(writer, ret_draft, err);
    if (r == 0)
        upload_abort(writer->upload);
    writer_leave(writer);
    if (r == 0)
        writer_free(writer);
    return r;
}
