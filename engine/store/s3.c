/* The S3 store: its vtable, and what becomes of a call when an answer came.
 *
 * A store repeats by itself only what needs S3's knowledge, each once a request: the bucket's
 * region, expired credentials, a wrong clock, and a HEAD whose refusal has no body to explain
 * it. All of these are refusals before any byte of an object; every other failure is the core's
 * to retry.
 *
 * See s3.h for the files and the locking.
 */
#include "store/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "config/options.h"

static const struct s3_operation *const s3_rows[STORE_OPERATION_COUNT] = {
    [STORE_GET] = &s3_get,
    [STORE_HEAD] = &s3_head,
    [STORE_PUT] = &s3_put,
    [STORE_DELETE] = &s3_delete,
    [STORE_DELETE_MANY] = &s3_delete_many,
    [STORE_COPY] = &s3_copy,
    [STORE_LIST] = &s3_list,
    [STORE_LIST_BUCKETS] = &s3_list_buckets,
    [STORE_CREATE_BUCKET] = &s3_create_bucket,
    [STORE_DELETE_BUCKET] = &s3_delete_bucket,
    [STORE_UPLOAD_CREATE] = &s3_upload_create,
    [STORE_UPLOAD_PART] = &s3_upload_part,
    [STORE_UPLOAD_PART_COPY] = &s3_upload_part_copy,
    [STORE_UPLOAD_COMPLETE] = &s3_upload_complete,
    [STORE_UPLOAD_ABORT] = &s3_upload_abort,
    [STORE_GET_TAGS] = &s3_get_tags,
    [STORE_UPLOAD_LIST] = &s3_upload_list,
};

/* ---- once more ------------------------------------------------------------------------------ */

static bool repeat_region(struct s3_call *call, struct error *err)
{
    if (!err->hint[0] || strcmp(err->hint, call->target.region) == 0)
        return false;
    log_debug("bucket %s is in region %s", call->request->bucket, err->hint);
    s3_bucket_set_region(call->store, call->request->bucket, err->hint);
    return true;
}

static bool repeat_token(struct s3_call *call, struct error *err)
{
    struct credentials *fresh = NULL;
    struct error renewal = {0};

    if (!call->credentials)
        return false;
    if (credential_chain_renew(call->store->chain, call->credentials, &fresh, &renewal) < 0) {
        size_t length = strlen(err->message);

        snprintf(err->message + length, sizeof err->message - length, "; %.120s", renewal.message);
        return false;
    }
    credentials_unref(fresh);
    return true;
}

static bool repeat_clock(struct s3_call *call, struct error *err)
{
    int64_t offset_ms = call->answer.date_offset_ms;

    (void)err;
    if (!call->answer.has_date)
        return false;
    atomic_store(&call->store->clock_correction_s, offset_ms / 1000);
    if (!atomic_exchange(&call->store->clock_warned, true))
        log_warn("this machine's clock differs from the server's by %lld s; requests are signed "
                 "with the server's time",
                 (long long)(offset_ms / 1000));
    return true;
}

/* HEAD 400 without a code: the same as a GET of one byte says why. */
static bool repeat_as_get(struct s3_call *call, struct error *err)
{
    if (call->request->operation != STORE_HEAD || err->http_status != 400 || err->code[0])
        return false;
    call->as_get = true;
    return true;
}

/* An empty object has no first byte, but is there: asked for as before. */
static bool repeat_as_head(struct s3_call *call, struct error *err)
{
    (void)err;
    return call->request->operation == STORE_HEAD;
}

static const struct repeat_row {
    enum error_class class;
    enum s3_repeat bit;
    bool (*repeat)(struct s3_call *call, struct error *err);
} repeat_rows[] = {
    {ERROR_REGION, S3_REPEATED_REGION, repeat_region},
    {ERROR_TOKEN, S3_REPEATED_TOKEN, repeat_token},
    {ERROR_CLOCK, S3_REPEATED_CLOCK, repeat_clock},
    {ERROR_INVALID, S3_REPEATED_AS_GET, repeat_as_get},
    {ERROR_RANGE, S3_REPEATED_AS_HEAD, repeat_as_head},
};

/* Is the error one that this store can do something about? Then it has. */
static bool call_repeats(struct s3_call *call, struct error *err)
{
    for (size_t i = 0; i < sizeof repeat_rows / sizeof repeat_rows[0]; i++) {
        const struct repeat_row *row = &repeat_rows[i];

        if (row->class != err->class || (call->repeated & (unsigned)row->bit))
            continue;
        call->repeated |= (unsigned)row->bit;
        if (row->class != ERROR_INVALID)
            call->as_get = false;
        return row->repeat(call, err);
    }
    return false;
}

/* ---- the end -------------------------------------------------------------------------------- */

/* A 2xx answer is complete: is it what it should be? 0, or -errno with *err. */
static int check_answer(struct s3_call *call, struct error *err)
{
    int r = 0;

    if (call->body == S3_BODY_SINK && call->body_received != call->body_limit)
        return error_set(err, ERROR_NETWORK, "the body ended after %llu of %llu bytes",
                         (unsigned long long)call->body_received,
                         (unsigned long long)call->body_limit);
    if (call->xml)
        r = s3_xml_finish(call->xml, err);
    if (r == 0 && call->operation->finish)
        r = call->operation->finish(call, err);
    return r;
}

void s3_call_ended(struct s3_call *call, const struct error *http_error)
{
    struct store_request *request = call->request;
    struct error err = *http_error;

    if (err.class == ERROR_NONE || call->cut) {
        error_clear(&err);
        if (call->answer.status / 100 == 2 && !call->error_in_body)
            check_answer(call, &err);
        else
            s3_answer_error(call, &err);
        if (err.class != ERROR_NONE && call_repeats(call, &err)) {
            s3_call_send(call);
            return;
        }
        if (err.class == ERROR_NOT_FOUND && call->operation->absent_is_fine && !request->if_match)
            error_clear(&err);
    }
    request->error = err;
    request->private = NULL;
    s3_call_free(call);
    store_request_done(request);
}

/* ---- the vtable ----------------------------------------------------------------------------- */

/* No service has buckets whose names begin with a dot. Programs look for .git and its like in every
 * directory above their own, so this is neither asked nor told. */
static bool is_in_no_bucket(const struct store_request *request)
{
    return request->operation != STORE_CREATE_BUCKET && request->bucket &&
           request->bucket[0] == '.';
}

static void s3_submit(struct store_request *request)
{
    struct s3_call *call;
    struct error err = {0};
    int r;

    if (is_in_no_bucket(request)) {
        error_set(&request->error, ERROR_NOT_FOUND, "no bucket's name begins with a dot");
        store_request_done(request);
        return;
    }
    call = calloc(1, sizeof *call);
    if (!call) {
        error_set(&request->error, ERROR_NO_MEMORY, "no memory for a request");
        store_request_done(request);
        return;
    }
    call->request = request;
    call->store = (struct s3_store *)request->store;
    call->operation = s3_rows[request->operation];
    buffer_init(&call->payload, (size_t)16 << 20);
    request->private = call;
    r = call->operation->prepare ? call->operation->prepare(call, &err) : 0;
    if (r < 0)
        s3_call_ended(call, &err);
    else
        s3_call_send(call);
}

static void s3_resume(struct store_request *request)
{
    struct s3_call *call = request->private;

    if (!call)
        return;
    if (call->in_callback)
        call->resumed = true;
    else
        http_request_resume(&call->http);
}

static bool s3_advance(struct store_request *request)
{
    struct s3_call *call = request->private;

    return call && !call->in_callback && http_request_advance(&call->http);
}

static void s3_abandon(struct store_request *request)
{
    struct s3_call *call = request->private;

    if (!call)
        return;
    request->private = NULL;
    if (call->in_callback) {
        call->abandoned = true;
        return;
    }
    http_request_abandon(&call->http);
    s3_call_free(call);
}

static void fill_client_options(struct s3_store *store, const struct options *options)
{
    bool pools = option_int(options, USE_OPTIMIZED_HTTP);

    store->client_options = (struct http_client_options){
        .scheme = store->settings.tls ? "https" : "http",
        .port = store->settings.port,
        .ca_file = option_text(options, CA_BUNDLE),
        .proxy = option_text(options, PROXY),
        .tls_verify = option_int(options, TLS_VERIFY) != 0,
        .connections_max = (unsigned)option_int(options, MAX_HTTP_CONNECTIONS),
        .idle_timeout_ns = pools ? option_int(options, HTTP_IDLE_TIMEOUT_MS) * NS_PER_MS : 0,
        .connect_timeout_ns = option_int(options, CONNECT_TIMEOUT_MS) * NS_PER_MS,
        .first_byte_timeout_ns = option_int(options, FIRST_BYTE_TIMEOUT_MS) * NS_PER_MS,
        .progress_timeout_ns = option_int(options, PROGRESS_TIMEOUT_MS) * NS_PER_MS,
    };
}

static int fill_settings(struct s3_store *store, const struct options *options, struct error *err)
{
    const char *region = credential_chain_region(store->chain);
    size_t length = strlen(region);

    if (length == 0 || length >= S3_REGION_MAX ||
        strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") !=
            length)
        return error_set(err, ERROR_INVALID, "%.70s is no region; check AWS_REGION", region);
    strcpy(store->settings.region, region);
    store->settings.addressing = (int)option_int(options, ADDRESSING);
    store->requester_pays = option_int(options, REQUESTER_PAYS) != 0;
    return s3_settings_parse(credential_chain_endpoint_url(store->chain), &store->settings, err);
}

static void s3_close(struct store *base)
{
    struct s3_store *store = (struct s3_store *)base;

    s3_endpoints_fini(store);
    credential_chain_free(store->chain);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static int s3_open(const struct options *options, struct store **ret_store, struct error *err)
{
    struct s3_store *store = calloc(1, sizeof *store);
    int r;

    if (!store)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a store");
    store->base = (struct store){.ops = &store_s3_ops, .capabilities = store_s3_ops.capabilities};
    pthread_mutex_init(&store->lock, NULL);
    r = credential_chain_new(options, &store->chain, err);
    if (r == 0)
        r = fill_settings(store, options, err);
    if (r < 0) {
        s3_close(&store->base);
        return r;
    }
    fill_client_options(store, options);
    *ret_store = &store->base;
    return 0;
}

static void s3_reset_child(struct store *base)
{
    struct s3_store *store = (struct s3_store *)base;

    for (struct s3_endpoint *endpoint = store->endpoints; endpoint; endpoint = endpoint->next)
        http_client_reset_child(endpoint->client);
}

static void s3_describe(struct store *base, struct store_description *ret_description)
{
    struct s3_store *store = (struct s3_store *)base;
    struct store_description description = {0};
    struct credentials *credentials = NULL;
    struct error err = {0};
    struct s3_target target;

    if (s3_endpoint_find(store, "", &target, &err) == 0) {
        snprintf(description.endpoint, sizeof description.endpoint, "%.5s://%.240s",
                 store->settings.tls ? "https" : "http", target.endpoint->host_header);
    }
    strcpy(description.tls, store->settings.tls ? "not connected yet" : "none");
    pthread_mutex_lock(&store->lock);
    for (const struct s3_endpoint *e = store->endpoints; e && store->settings.tls; e = e->next)
        if (http_client_tls(e->client)[0])
            snprintf(description.tls, sizeof description.tls, "%.63s", http_client_tls(e->client));
    pthread_mutex_unlock(&store->lock);
    strcpy(description.region, store->settings.region);
    if (credential_chain_get(store->chain, &credentials, &err) == 0)
        snprintf(description.credential_source, sizeof description.credential_source, "%.127s",
                 credentials->source);
    else
        strcpy(description.credential_source, "none");
    credentials_unref(credentials);
    description.clock_offset_ms = atomic_load(&store->clock_offset_ms);
    *ret_description = description;
}

static void s3_get_stats(struct store *base, struct store_stats *stats)
{
    struct s3_store *store = (struct s3_store *)base;
    struct http_client_stats client;

    pthread_mutex_lock(&store->lock);
    for (struct s3_endpoint *endpoint = store->endpoints; endpoint; endpoint = endpoint->next) {
        http_client_get_stats(endpoint->client, &client);
        stats->connections_opened += client.connections_opened;
        stats->connections_reused += client.reused;
    }
    pthread_mutex_unlock(&store->lock);
}

const struct store_ops store_s3_ops = {
    .scheme = "s3",
    .capabilities = STORE_CAP_IF_NONE_MATCH | STORE_CAP_IF_MATCH_PUT | STORE_CAP_PART_COPY |
                    STORE_CAP_COPY | STORE_CAP_DELETE_MANY | STORE_CAP_LIST_ORDERED |
                    STORE_CAP_METADATA,
    .open = s3_open,
    .close = s3_close,
    .reset_child = s3_reset_child,
    .submit = s3_submit,
    .resume = s3_resume,
    .advance = s3_advance,
    .abandon = s3_abandon,
    .describe = s3_describe,
    .get_stats = s3_get_stats,
};
