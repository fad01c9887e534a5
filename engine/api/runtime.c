/* The public functions about the engine as a whole: start, fork, cancel, probe. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/clock.h"
#include "base/log.h"
#include "core/call.h"
#include "core/lazy.h"
#include "io/fd.h"
#include "io/keeper.h"
#include "io/thread.h"

const char *s3dlio_version(void)
{
    return S3DLIO_VERSION;
}

int s3dlio_init(char *const *environment, struct s3dlio_error *ret_error)
{
    struct gate_scope scope;
    struct engine *engine;
    struct error error = {0};
    gate_enter(&scope);
    int result = engine_get(environment, &engine, &error);
    if (result < 0 && ret_error)
        api_export_error(&error, ret_error);
    gate_leave(&scope);
    return result;
}

void s3dlio_fork_prepare(void)
{
    struct api api;
    if (!s3dlio_is_settled()) { /* the child is to find what the parent was told */
        if (!api_enter_in_order(&api, NULL, NULL))
            deferred_finish(api.engine, &api.limits);
        api_leave(&api, 0);
    }
    gate_fork_prepare();
    lazy_fork_prepare();
}

void s3dlio_fork_parent(void)
{
    lazy_fork_parent();
    gate_fork_parent();
}

void s3dlio_fork_child(void)
{
    struct gate_scope scope;
    lazy_fork_child_begin();
    gate_fork_child();
    fd_reset_child();
    thread_reset_child();
    keeper_reset_child();
    engine_reset_child();
    gate_enter(&scope);
    lazy_fork_child();
    gate_leave(&scope);
}

void s3dlio_give_readers(int pid)
{
    struct gate_scope scope;
    gate_enter(&scope);
    engine_give_readers(pid);
    gate_leave(&scope);
}

void s3dlio_end(void)
{
    struct gate_scope scope;
    gate_enter(&scope);
    engine_end();
    gate_leave(&scope);
}

void s3dlio_main_thread_left(void)
{
    keeper_main_left();
}

bool s3dlio_owns_fd(int fd)
{
    return fd_owned(fd);
}

/* The message was formatted when the error came out; here it is only told once a kind. */
void s3dlio_report(const struct s3dlio_error *error)
{
    static _Atomic uint64_t seen[128];
    uint64_t hash = UINT64_C(14695981039346656037);
    const char *texts[] = {error->class_name, error->code, error->operation};
    for (unsigned i = 0; i < 3; i++)
        for (const char *at = texts[i]; *at; at++)
            hash = (hash ^ (unsigned char)*at) * UINT64_C(1099511628211);
    hash |= 1;
    for (unsigned i = 0; i < sizeof seen / sizeof *seen; i++) {
        uint64_t known = 0;
        if (atomic_compare_exchange_strong(&seen[i], &known, hash)) {
            log_error("%s", error->message);
            return;
        }
        if (known == hash)
            return;
    }
}

/* ---- cancel ---- */

struct s3dlio_cancel *s3dlio_cancel_new(void)
{
    return calloc(1, sizeof(struct s3dlio_cancel));
}

void s3dlio_cancel_trigger(struct s3dlio_cancel *cancel)
{
    struct api api;
    atomic_store(&cancel->triggered, true);
    if (!api_enter(&api, NULL, NULL))
        engine_kick(api.engine);
    api_leave(&api, 0);
}

void s3dlio_cancel_free(struct s3dlio_cancel *cancel)
{
    free(cancel);
}

/* ---- probe ---- */

static int probe_request(struct api *api, const struct uri *uri, struct s3dlio_probe *probe)
{
    struct call *call = call_new(api->engine, uri->bucket[0] ? STORE_LIST : STORE_LIST_BUCKETS, uri,
                                 &api->limits, &api->error);
    if (!call)
        return -error_errno(&api->error);
    call->no_retry = true;
    call->request.prefix = uri->key;
    call->request.delimiter = "/";
    call->request.max_keys = 1;
    int64_t start_ns = clock_now_ns();
    int result = call_run(call, &api->limits, &api->error);
    probe->round_trip_us = (clock_now_ns() - start_ns) / 1000;
    probe->reachable = result == 0 || api->error.http_status != 0;
    probe->authorized = result == 0 || (probe->reachable && result != -EACCES);
    call_delete(call);
    return result;
}

int s3dlio_probe(const char *uri_text, struct s3dlio_probe *ret_probe,
                 struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct store *store;
    memset(ret_probe, 0, sizeof *ret_probe);
    int result = api_enter_uri(&api, uri_text, NULL, ret_error, &uri);
    if (!result)
        result = engine_store(api.engine, uri.scheme, &store, &api.error);
    if (!result) {
        struct store_description description = {0};
        result = probe_request(&api, &uri, ret_probe);
        if (store->ops->describe)
            store->ops->describe(store, &description);
        ret_probe->clock_offset_ms = description.clock_offset_ms;
        snprintf(ret_probe->endpoint, sizeof ret_probe->endpoint, "%s", description.endpoint);
        snprintf(ret_probe->region, sizeof ret_probe->region, "%s", description.region);
        snprintf(ret_probe->tls, sizeof ret_probe->tls, "%s", description.tls);
        snprintf(ret_probe->credential_source, sizeof ret_probe->credential_source, "%s",
                 description.credential_source);
    }
    return (int)api_leave(&api, result);
}
