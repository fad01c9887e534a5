/* Puts that close did not wait for, and that failed: who is told of them, and when they count no
 * more. See deferred.h. */
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "core/deferred_private.h"

#define FAILURES_MAX 1000 /* kept by their names */

struct deferred_failure {
    struct uri uri;
    struct error error;
    bool is_printed, is_told;
    struct deferred_failure *prev, *next;
};

/* Nobody comes to grief over one that is not remembered: it is printed at once. */
void deferred_keep_failure(struct deferred *deferred, const struct uri *uri,
                           const struct error *error)
{
    struct deferred_failure *failure = calloc(1, sizeof *failure);

    if (!failure) {
        log_error("%s/%s was not stored, although close had returned 0", uri->bucket, uri->key);
        deferred->first_failure = *error;
    } else {
        failure->uri = *uri;
        failure->error = *error;
        DL_APPEND(deferred->failures, failure);
        atomic_fetch_add(&deferred->unprinted, 1);
    }
    atomic_fetch_add(&deferred->failed, 1);
}

/* Something is stored under that name. */
void deferred_forgive_one(struct deferred *deferred, const struct uri *uri)
{
    struct deferred_failure *failure, *next;

    DL_FOREACH_SAFE(deferred->failures, failure, next)
    {
        if (!failure->is_printed || !uri_is_same(&failure->uri, uri))
            continue;
        DL_DELETE(deferred->failures, failure);
        free(failure);
        atomic_fetch_sub(&deferred->failed, 1);
    }
}

int deferred_tell(struct engine *engine, const struct uri *uri, struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    struct deferred_failure *failure;
    int r = 0;

    if (!deferred_any_failed(deferred))
        return 0;
    shard_lock(deferred_shard(engine));
    DL_FOREACH(deferred->failures, failure)
    {
        if (failure->is_told || !uri_is_same(&failure->uri, uri))
            continue;
        failure->is_told = true;
        *err = failure->error;
        r = -error_errno(err);
        break;
    }
    shard_unlock(deferred_shard(engine));
    return r;
}

/* One that is to be printed, as printed; the oldest names are forgotten when there are too many. */
static bool next_to_print(struct deferred *deferred, struct deferred_failure *ret_failure)
{
    struct deferred_failure *failure;

    DL_SEARCH_SCALAR(deferred->failures, failure, is_printed, false);
    if (!failure)
        return false;
    failure->is_printed = true;
    atomic_fetch_sub(&deferred->unprinted, 1);
    *ret_failure = *failure;
    if (atomic_load(&deferred->failed) > FAILURES_MAX && deferred->failures->is_printed) {
        deferred->first_failure = deferred->failures->error;
        failure = deferred->failures;
        DL_DELETE(deferred->failures, failure);
        free(failure);
    }
    return true;
}

void deferred_print(struct engine *engine)
{
    struct deferred *deferred = &engine->deferred;
    struct deferred_failure failure;
    char text[ATTR_URI_BYTES], reason[1024];

    while (deferred_is_to_print(deferred)) {
        bool any;

        shard_lock(deferred_shard(engine));
        any = next_to_print(deferred, &failure);
        shard_unlock(deferred_shard(engine));
        if (!any)
            return;
        uri_format(&failure.uri, text, sizeof text);
        error_format(&failure.error, reason, sizeof reason);
        log_error("%s was not stored, although close had returned 0 (S3DLIO_CLOSE=deferred); write "
                  "it again: %s",
                  text, reason);
    }
}

int deferred_failure(struct engine *engine, struct error *err)
{
    struct deferred *deferred = &engine->deferred;
    int r = 0;

    if (!deferred_any_failed(deferred))
        return 0;
    shard_lock(deferred_shard(engine));
    if (deferred->first_failure.class != ERROR_NONE)
        *err = deferred->first_failure;
    else if (deferred->failures)
        *err = deferred->failures->error;
    r = -error_errno(err);
    shard_unlock(deferred_shard(engine));
    return r;
}

void deferred_forgive(struct engine *engine, const struct uri *uri)
{
    if (!deferred_any_failed(&engine->deferred))
        return;
    deferred_print(engine);
    shard_lock(deferred_shard(engine));
    deferred_forgive_one(&engine->deferred, uri);
    shard_unlock(deferred_shard(engine));
}
