/* GET bodies of stores that have the bytes at hand (mem, file).
 *
 * A loop that asks the sink for room and fills it, on the stack of submit or resume. The sink may
 * call resume or abandon from its own callbacks: then the running loop sees the flags and acts, so
 * that nothing is freed under its feet. All of it happens under the shard's lock.
 */
#include <errno.h>
#include <stdlib.h>

#include "store/internal.h"

struct inline_body {
    struct store_request *request;
    struct inline_source source;
    uint64_t offset, end;
    bool running, again, abandoned;
};

static void body_free(struct inline_body *body)
{
    body->source.release(&body->source);
    free(body);
}

static void body_end(struct inline_body *body)
{
    struct store_request *request = body->request;

    request->private = NULL;
    body_free(body);
    store_request_done(request);
}

/* Fills the sink once. 1: go on; 0: paused; -errno with *err. */
static int body_step(struct inline_body *body, struct error *err)
{
    struct store_sink *sink = body->request->sink;
    void *where = NULL;
    size_t room = sink->space(sink, &where);
    ssize_t count;

    if (room == 0 || body->abandoned)
        return 0;
    if (room > body->end - body->offset)
        room = (size_t)(body->end - body->offset);
    count = body->source.read_at(&body->source, body->offset, where, room, err);
    if (count < 0)
        return (int)count;
    if (count == 0)
        return error_set(err, ERROR_CHANGED, "the object became shorter while it was read");
    body->offset += (uint64_t)count;
    body->request->bytes_received += (uint64_t)count;
    sink->commit(sink, (size_t)count);
    return 1;
}

static void body_run(struct inline_body *body)
{
    struct error *err = &body->request->error;
    int r = 1;

    while (r > 0 && body->offset < body->end && !body->abandoned) {
        body->again = false;
        r = body_step(body, err);
        if (r == 0 && body->again)
            r = 1;
    }
    body->running = false;
    if (body->abandoned) {
        body_free(body);
        return;
    }
    if (r == 0)
        return;
    if (r > 0 && body->source.check)
        body->source.check(&body->source, body->request, err);
    body_end(body);
}

/* A body of the range that the request asks for, or NULL with the request's error. */
static struct inline_body *body_new(struct store_request *request,
                                    const struct inline_source *source)
{
    uint64_t offset = 0, length = 0;
    struct inline_body *body;

    if (store_range_clip(request, request->object.size_bytes, &offset, &length, &request->error) <
        0)
        return NULL;
    body = malloc(sizeof *body);
    if (!body) {
        error_set(&request->error, ERROR_NO_MEMORY, "no memory for a request");
        return NULL;
    }
    *body = (struct inline_body){
        .request = request, .source = *source, .offset = offset, .end = offset + length};
    request->object_is_range = length != request->object.size_bytes;
    return body;
}

void inline_body_start(struct store_request *request, const struct inline_source *source)
{
    struct inline_body *body = body_new(request, source);

    if (!body) {
        source->release(source);
        store_request_done(request);
        return;
    }
    request->private = body;
    body->running = true;
    if (request->on_object)
        request->on_object(request);
    body_run(body);
}

void inline_body_resume(struct store_request *request)
{
    struct inline_body *body = request->private;

    if (!body)
        return;
    if (body->running) {
        body->again = true;
        return;
    }
    body->running = true;
    body_run(body);
}

void inline_body_abandon(struct store_request *request)
{
    struct inline_body *body = request->private;

    if (!body)
        return;
    body->abandoned = true;
    request->private = NULL;
    if (!body->running)
        body_free(body);
}
