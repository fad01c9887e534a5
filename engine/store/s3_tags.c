/* The tags of an object: GetObjectTagging. They come as XML and are kept as S3 wants them back in a
 * header, "key=value&…" percent-encoded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/percent.h"
#include "store/s3.h"

struct tags_state {
    struct buffer key, text;
};

static int tags_prepare(struct s3_call *call, struct error *err)
{
    struct tags_state *state = calloc(1, sizeof *state);

    call->state = state;
    if (!state)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a request");
    buffer_init(&state->key, STORE_METADATA_MAX);
    buffer_init(&state->text, STORE_METADATA_MAX);
    return 0;
}

static int tags_query(struct s3_call *call, struct buffer *query)
{
    (void)call;
    return s3_query_add(query, "tagging", NULL);
}

static int add_tag(struct tags_state *state, const char *value, size_t length)
{
    int r = state->text.length ? buffer_append_str(&state->text, "&") : 0;

    if (r == 0)
        r = buffer_append_str(&state->text, buffer_str(&state->key));
    if (r == 0)
        r = buffer_append_str(&state->text, "=");
    return r < 0 ? r : percent_encode(&state->text, value, length, false);
}

static int tags_element(struct s3_call *call, const char *parent, const char *name, char *text,
                        size_t length)
{
    struct tags_state *state = call->state;

    if (strcmp(parent, "Tag") != 0)
        return 0;
    if (strcmp(name, "Value") == 0)
        return add_tag(state, text, length);
    if (strcmp(name, "Key") != 0)
        return 0;
    buffer_clear(&state->key);
    return percent_encode(&state->key, text, length, false);
}

static int tags_finish(struct s3_call *call, struct error *err)
{
    const struct tags_state *state = call->state;
    int r = 0;

    if (state->text.length)
        r = store_metadata_set(&call->request->object.metadata, STORE_TAGS,
                               buffer_str(&state->text));
    return r < 0 ? error_set_errno(err, -r, "keeping an object's tags") : 0;
}

static void tags_release(struct s3_call *call)
{
    struct tags_state *state = call->state;

    if (!state)
        return;
    buffer_fini(&state->key);
    buffer_fini(&state->text);
    free(state);
}

const struct s3_operation s3_get_tags = {
    .method = "GET",
    .prepare = tags_prepare,
    .query = tags_query,
    .element = tags_element,
    .finish = tags_finish,
    .release = tags_release,
};
