/* Closing without waiting: what is one request, of an object that begins here. See writer.h. */
#include "core/writer_private.h"

#include "core/deferred.h"

static bool is_deferrable(const struct writer *writer)
{
    return writer->engine->deferred.table && writer->changed && !writer->appends &&
           !writer->base.exists && !upload_has_begun(writer->upload) && !writer->late.has &&
           !writer->late_xattr;
}

static void release(void *writer)
{
    writer_free(writer);
}

static bool hand_over(struct writer *writer, const struct limits *limits)
{
    static const unsigned char nothing[1];
    const struct buffer_block *block = writer->block;
    struct attr attr = writer->attr;
    struct deferred_options options = {
        .uri = &writer->uri,
        .upload = writer->upload,
        .memory = {.data = nothing},
        .attr = &attr,
        .is_new = writer->is_new,
        .release = release,
        .owner = writer,
    };
    char text[ATTR_URI_BYTES];

    if (block)
        options.memory = (struct upload_memory){
            .data = block->data, .size_bytes = block->used_bytes, .crc32c = block->crc32c};
    attr_uri_text(&writer->uri, text);
    attr.type = ATTR_FILE;
    attr.inode = attr_inode(text);
    attr.size_bytes = options.memory.size_bytes;
    if (!(attr.has & ATTR_HAS_MTIME))
        clock_gettime(CLOCK_REALTIME, &attr.mtime);
    return deferred_begin(writer->engine, &options, limits);
}

int writer_finish_soon(struct writer *writer, struct limits *limits, struct error *err)
{
    bool is_deferred = false;
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = writer_check_open(writer, err);
    if (r == 0 && is_deferrable(writer)) {
        is_deferred = true;
        r = upload_check(writer->upload, err);
        if (r == 0)
            r = upload_put_prepare(writer->upload, limits, err);
    }
    writer_leave(writer);
    if (r < 0)
        return r;
    return is_deferred && hand_over(writer, limits) ? 1
                                                    : writer_finish(writer, limits, NULL, err);
}
