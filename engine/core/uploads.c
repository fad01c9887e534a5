/* Listing and aborting multipart uploads. See uploads.h. */
#include "core/uploads.h"

#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/engine.h"

/* Is the key `wanted` itself or below it? */
static bool is_wanted(const char *key, const char *wanted)
{
    size_t length = strlen(wanted);

    if (strncmp(key, wanted, length) != 0)
        return false;
    return length == 0 || wanted[length - 1] == '/' || key[length] == '\0' || key[length] == '/';
}

/* 1: there is more. */
static int next_page(struct engine *engine, const struct uri *uri, char **token,
                     const struct limits *limits, struct call **ret_call, struct error *err)
{
    struct call *call = call_new(engine, STORE_UPLOAD_LIST, uri, limits, err);
    const char *next;
    int r;

    if (!call)
        return -error_errno(err);
    *ret_call = call;
    call->request.prefix = "";
    call->request.token = *token;
    r = call_run(call, limits, err);
    free(*token);
    *token = NULL;
    if (r < 0)
        return r;
    if (!call->request.page)
        return error_set(err, ERROR_PROTOCOL, "a listing without a page");
    next = call->request.page->next_token;
    *token = next ? strdup(next) : NULL;
    return next && !*token ? error_set(err, ERROR_NO_MEMORY, "listing uploads") : 0;
}

int uploads_list(struct engine *engine, const struct uri *uri, uploads_found_fn *found, void *arg,
                 const struct limits *limits, struct error *err)
{
    struct uri bucket = *uri;
    char *token = NULL;
    int r;

    if (!uri->bucket[0])
        return error_set(err, ERROR_INVALID, "name the bucket whose uploads are to be listed");
    bucket.key[0] = '\0';
    do {
        struct call *call = NULL;

        r = next_page(engine, &bucket, &token, limits, &call, err);
        for (size_t i = 0; r == 0 && call && i < call->request.page->count; i++) {
            const struct store_entry *entry = &call->request.page->entries[i];

            if (is_wanted(entry->key, uri->key) && !found(arg, entry))
                r = 1;
        }
        call_delete(call);
    } while (r == 0 && token);
    free(token);
    return r < 0 ? r : 0;
}

int uploads_abort(struct engine *engine, const struct uri *uri, const char *upload_id,
                  const struct limits *limits, struct error *err)
{
    struct call *call = call_new(engine, STORE_UPLOAD_ABORT, uri, limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.upload_id = upload_id;
    r = call_run(call, limits, err);
    if (r < 0 && err->class == ERROR_NOT_FOUND && call->ambiguous)
        r = 0;
    call_delete(call);
    return r;
}
