/* Listing and aborting multipart uploads. See uploads.h. */
#include "core/uploads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/log.h"
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

/* ---- sweeping -------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct uri *uri)
{
    return hash_text(hash_text(HASH_BASIS, uri->bucket), uri->scheme);
}

/* Notes it; was it noted before? */
static bool is_swept(struct uploads_swept *swept, uint64_t bucket)
{
    bool found = false;

    pthread_mutex_lock(&swept->mutex);
    for (unsigned i = 0; !found && i < swept->count; i++)
        found = swept->buckets[i] == bucket;
    if (!found && swept->count < UPLOADS_SWEPT_MAX)
        swept->buckets[swept->count++] = bucket;
    else if (!found)
        swept->buckets[UPLOADS_SWEPT_MAX - 1] = bucket;
    pthread_mutex_unlock(&swept->mutex);
    return found;
}

struct sweep {
    struct engine *engine;
    const struct uri *uri;
    const struct limits *limits;
    time_t before;
    unsigned aborted;
};

static bool sweep_one(void *arg, const struct store_entry *entry)
{
    struct sweep *sweep = arg;
    struct uri uri = *sweep->uri;
    struct error err = {0};

    if (entry->mtime.tv_sec > sweep->before)
        return true;
    snprintf(uri.key, sizeof uri.key, "%s", entry->key);
    if (uploads_abort(sweep->engine, &uri, store_entry_upload_id(entry), sweep->limits, &err) == 0)
        sweep->aborted++;
    else if (err.class != ERROR_NOT_FOUND) /* somebody was faster */
        log_warn("an old upload to %s was not aborted: %s", uri.key, err.message);
    return true;
}

void uploads_sweep(struct engine *engine, const struct uri *uri, const struct limits *limits)
{
    int64_t age_s = option_int(&engine->options, ABORT_UPLOADS_AFTER);
    struct sweep sweep = {.engine = engine, .uri = uri, .limits = limits};
    struct uri bucket = *uri;
    struct error err = {0};

    if (age_s == 0 || is_swept(&engine->swept, hash_of(uri)))
        return;
    bucket.key[0] = '\0';
    sweep.before = time(NULL) - (time_t)age_s;
    if (uploads_list(engine, &bucket, sweep_one, &sweep, limits, &err) < 0)
        log_warn("old uploads in %s were not looked for: %s", uri->bucket, err.message);
    else if (sweep.aborted)
        log_info("%u old uploads in %s were aborted", sweep.aborted, uri->bucket);
}
