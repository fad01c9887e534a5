/* What comes before the bytes that are written: a version that is there already. See writer.h.
 *
 * The upload that follows a base names its ETag at every copy and at completion. Whether the base
 * is copied is decided when the upload is made, because an upload with copies declares no checksum.
 */
#include <stdlib.h>
#include <string.h>

#include "core/reader.h"
#include "core/writer_private.h"

#define PIECE_BYTES ((size_t)1 << 20)

static bool can_copy(const struct writer *writer)
{
    return (writer->store->capabilities & STORE_CAP_PART_COPY) && !writer->equal_parts &&
           writer->base.attr.etag[0] && writer->base_bytes >= STORE_PART_MIN;
}

int writer_make_upload(struct writer *writer, const struct writer_staged *staged,
                       struct upload **ret_upload, struct error *err)
{
    struct upload_options options = {
        .exclusive = writer->exclusive,
        .content_type = writer->content_type,
        .attr = &writer->attr,
        .metadata = &writer->base.metadata,
        .base_etag = writer->base.exists ? writer->base.attr.etag : NULL,
        .appends = writer->appends,
        .has_copies = writer->copies_base || staged,
        .copy_uri = staged ? &staged->uri : NULL,
        .copy_etag = staged ? staged->attr.etag : NULL,
    };

    return upload_new(writer->engine, &writer->uri, &options, ret_upload, err);
}

int writer_new_upload(struct writer *writer, struct error *err)
{
    struct upload *upload;
    int r;

    writer->copies_base = can_copy(writer);
    r = writer_make_upload(writer, NULL, &upload, err);
    if (r < 0)
        return r;
    upload_set_begins_as_base(upload, writer->copies_base);
    upload_free(writer->upload);
    writer->upload = upload;
    writer->base_sent = false;
    return 0;
}

int writer_begin(struct writer *writer, const struct writer_options *options,
                 const struct limits *limits, struct error *err)
{
    const char *type = options->upload.content_type;
    int r = 0;

    if (options->append && !options->sought)
        r = base_version_look(writer->engine, &writer->uri, limits, &writer->base, err);
    else if (options->empties)
        r = base_version_look_to_empty(writer->engine, &writer->uri, limits, &writer->base, err);
    if (r < 0 && err->class != ERROR_NOT_FOUND)
        return r;
    writer->attr = writer->base.attr;
    writer->attr.type = ATTR_FILE;
    writer->attr.has &= ~(unsigned)ATTR_HAS_MTIME;
    if (options->upload.attr)
        attr_merge(&writer->attr, options->upload.attr);
    writer->base_bytes = writer->base.attr.size_bytes;
    writer->changed = !writer->base.exists;
    if (options->append && !writer->base.exists)
        writer->exclusive = true;
    if (!type && writer->base.content_type[0])
        type = writer->base.content_type;
    writer->content_type = type ? strdup(type) : NULL;
    if (type && !writer->content_type)
        return error_set(err, ERROR_NO_MEMORY, "opening a writer");
    return writer_new_upload(writer, err);
}

/* ---- fetched --------------------------------------------------------------------------------- */

static int fetch_pieces(struct writer *writer, struct reader *reader, unsigned char *piece,
                        struct limits *limits, struct error *err)
{
    uint64_t size_bytes = writer->base.attr.size_bytes;
    int r = 0;

    while (r == 0 && writer->base_bytes > 0) {
        struct reader_target target = {piece, PIECE_BYTES, size_bytes - writer->base_bytes};
        ssize_t n = reader_pread(reader, &target, limits, err);

        if (n == 0)
            n = error_set(err, ERROR_CHANGED, "the object has become shorter");
        if (n < 0)
            return (int)n;
        writer->base_bytes -= (uint64_t)n;
        r = writer_put(writer, piece, (size_t)n, limits, err);
    }
    return r;
}

int writer_fetch_base(struct writer *writer, struct limits *limits, struct error *err)
{
    struct reader *reader = NULL;
    unsigned char *piece;
    int r;

    if (writer->base_bytes == 0 || writer->copies_base)
        return 0;
    if (writer->fetching)
        return error_set(err, ERROR_BUSY, "in use by the call that a signal interrupted");
    piece = malloc(PIECE_BYTES);
    if (!piece)
        return error_set(err, ERROR_NO_MEMORY, "fetching what is appended to");
    writer->fetching = true;
    r = reader_open_version(writer->engine, &writer->uri, &writer->base.attr, NULL, &reader, err);
    if (r == 0)
        r = fetch_pieces(writer, reader, piece, limits, err);
    reader_close(reader);
    writer->fetching = false;
    free(piece);
    return r;
}

/* ---- copied ---------------------------------------------------------------------------------- */

int writer_send_base(struct writer *writer, const struct limits *limits, struct error *err)
{
    uint64_t length = writer->base_bytes, offset = 0, count, part_bytes;
    int r = 0;

    if (!writer->copies_base || writer->base_sent)
        return 0;
    writer->base_sent = true; /* by this call: a signal handler's finds it begun */
    part_bytes = range_plan_copy_part_bytes(length);
    count = (length + part_bytes - 1) / part_bytes;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        uint64_t bytes = length / count + (i < length % count ? 1 : 0);

        r = upload_wait_place(writer->upload, limits, err);
        if (r == 0)
            r = upload_part_copy(writer->upload, offset, bytes, err);
        offset += bytes;
    }
    return r;
}

/* ---- going on -------------------------------------------------------------------------------- */

int writer_continue(struct writer *writer, const struct attr *attr, struct error *err)
{
    bool is_here = writer->block && writer->block->used_bytes == attr->size_bytes;

    writer_forget_parts(writer);
    writer->base.exists = true;
    writer->base.attr = *attr;
    writer->changed = writer->exclusive = false;
    writer->size_hint_bytes = 0;
    writer->length_bytes = is_here ? attr->size_bytes : 0;
    writer->base_bytes = is_here ? 0 : attr->size_bytes;
    return writer_new_upload(writer, err);
}
