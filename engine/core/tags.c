/* One request for an object's tags; see tags.h. */
#include "core/tags.h"

#include "core/call.h"
#include "core/engine.h"

bool tags_exist(const struct store_metadata *told)
{
    return store_metadata_get(told, STORE_TAG_COUNT);
}

int tags_fetch(struct engine *engine, const struct uri *uri, const struct limits *limits,
               struct store_metadata *metadata, struct error *err)
{
    struct call *call = call_new(engine, STORE_GET_TAGS, uri, limits, err);
    int r = call ? call_run(call, limits, err) : -error_errno(err);
    const char *tags = r == 0 ? store_metadata_get(&call->request.object.metadata, STORE_TAGS) : 0;

    if (tags) {
        r = store_metadata_set(metadata, STORE_TAGS, tags);
        if (r < 0)
            error_set_errno(err, -r, "keeping an object's tags");
    }
    call_delete(call);
    return r;
}
