/* Objects from memory, without a copy. See put.h. */
#include "core/put.h"

#include "base/crc32c.h"
#include "core/engine.h"

static int put_parts(struct engine *engine, struct upload *upload, const struct put *put,
                     const struct limits *limits, struct error *err)
{
    size_t offset = 0;
    int r = 0;

    while (r == 0 && offset < put->length_bytes) {
        uint64_t bytes = range_plan_part_bytes(&engine->plan, upload_part_count(upload) + 1,
                                               put->length_bytes, true);
        struct upload_memory memory = {.data = (const char *)put->data + offset};
        size_t left = put->length_bytes - offset;

        memory.size_bytes = bytes < left ? bytes : left;
        memory.crc32c = crc32c_update(0, memory.data, memory.size_bytes);
        r = upload_wait_place(upload, limits, err);
        if (r == 0)
            r = upload_part(upload, &memory, err);
        offset += memory.size_bytes;
    }
    return r < 0 ? r : upload_complete(upload, limits, err);
}

static int put_whole(struct upload *upload, const struct put *put, const struct limits *limits,
                     struct error *err)
{
    struct upload_memory memory = {
        .data = put->data,
        .size_bytes = put->length_bytes,
        .crc32c = crc32c_update(0, put->data, put->length_bytes),
    };

    return upload_put(upload, &memory, limits, err);
}

int put_object(struct engine *engine, struct put *put, const struct limits *limits,
               struct error *err)
{
    char text[ATTR_URI_BYTES];
    struct upload *upload;
    int r = upload_new(engine, &put->uri, &put->options, &upload, err);

    if (r < 0)
        return r;
    if (put->length_bytes <= range_plan_part_bytes(&engine->plan, 1, put->length_bytes, true))
        r = put_whole(upload, put, limits, err);
    else
        r = put_parts(engine, upload, put, limits, err);
    if (r < 0)
        upload_abort(upload);
    else
        upload_tell_attr(upload, &put->attr);
    upload_free(upload);
    attr_uri_text(&put->uri, text);
    attr_cache_forget(engine->attrs, text);
    return r;
}
