/* The client's life and its public functions. Contract: client.h; parts: client_private.h.
 *
 * A request is held on its shard (shard_hold) from submit to on_done. http_client_free waits until
 * the dialer has given up what it does for the client; after that nobody else knows it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/client_private.h"
#include "http/global.h"
#include "io/futex.h"
#include "io/gate.h"

#define HTTP_TLS_TEXTS    16
#define HTTP_TLS_TEXT_MAX 96

/* ---- life ------------------------------------------------------------------------------------ */

static char *http_copy(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void http_client_destroy(struct http_client *client)
{
    for (unsigned i = 0; i < HTTP_SHARDS_MAX; i++)
        free(atomic_load(&client->pools[i]));
    free((char *)client->target.scheme);
    free((char *)client->target.host);
    free((char *)client->target.ca_file);
    proxy_fini(&client->target.proxy);
    free(client);
}

/* Says where it comes from and not what it is: there may be a password in it. */
static int http_refuse_proxy(const struct http_client_options *options, int rc, struct error *err)
{
    if (rc == -ENOMEM)
        return error_set(err, ERROR_NO_MEMORY, "choosing a proxy");
    return error_set(err, ERROR_INVALID,
                     "the proxy is no URL of the form http://host:port: check %s",
                     options->proxy                          ? "S3DLIO_PROXY"
                     : strcmp(options->scheme, "https") == 0 ? "https_proxy and all_proxy"
                                                             : "http_proxy and all_proxy");
}

int http_client_new(const struct http_client_options *options, struct http_client **ret_client,
                    struct error *err)
{
    struct http_client *client;
    int rc = http_global_prepare(err);

    if (rc < 0)
        return rc;
    client = calloc(1, sizeof *client);
    if (!client)
        return error_set(err, ERROR_NO_MEMORY, "connections to %s", options->host);
    client->target = (struct dial_target){
        .scheme = http_copy(options->scheme),
        .host = http_copy(options->host),
        .ca_file = http_copy(options->ca_file),
        .port = options->port,
        .tls = strcmp(options->scheme, "https") == 0,
        .tls_verify = options->tls_verify,
        .connect_timeout_ns = options->connect_timeout_ns,
    };
    client->connections_max = options->connections_max ? options->connections_max : 1;
    client->idle_timeout_ns = options->idle_timeout_ns;
    client->first_byte_timeout_ns = options->first_byte_timeout_ns;
    client->progress_timeout_ns = options->progress_timeout_ns;
    atomic_store(&client->tls, "");
    rc = proxy_choose(options->proxy, options->scheme, options->host, &client->target.proxy);
    if (rc < 0)
        rc = http_refuse_proxy(options, rc, err);
    else if (!client->target.scheme || !client->target.host ||
             (options->ca_file && !client->target.ca_file))
        rc = error_set(err, ERROR_NO_MEMORY, "connections to %s", options->host);
    if (rc < 0)
        http_client_destroy(client);
    else
        *ret_client = client;
    return rc;
}

void http_client_use(struct http_client *client)
{
    atomic_fetch_add(&client->users, 1);
}

void http_client_unuse(struct http_client *client)
{
    /* The wake touches the address only: whoever waits may be done with the memory by then. */
    if (atomic_fetch_sub(&client->users, 1) == 1)
        futex_wake(&client->users, 1, FUTEX_BITS_ALL);
}

void http_client_free(struct http_client *client)
{
    bool inside = gate_current() != NULL;
    struct gate_scope scope;
    uint32_t users;

    if (!client)
        return;
    if (!inside)
        gate_enter(&scope);
    atomic_store(&client->closing, true);
    if (atomic_load(&client->users) > 0)
        dialer_kick();
    gate_sleep_begin(1);
    while ((users = atomic_load(&client->users)) > 0)
        futex_wait(&client->users, users, NS_PER_S, FUTEX_BITS_ALL);
    gate_sleep_end(1);
    for (unsigned i = 0; i < HTTP_SHARDS_MAX; i++) {
        struct http_pool *pool = atomic_load(&client->pools[i]);

        if (!pool)
            continue;
        shard_lock(pool->shard);
        http_pool_close_idle(pool);
        shard_timer_clear(pool->shard, &pool->timer);
        shard_unlock(pool->shard);
    }
    http_client_destroy(client);
    if (!inside)
        gate_leave(&scope);
}

static void http_pool_abandon(struct http_pool *pool)
{
    struct http_connection *lists[] = {pool->idle, pool->busy};

    for (unsigned i = 0; i < 2; i++) {
        while (lists[i]) {
            struct http_connection *connection = lists[i];

            lists[i] = connection->next;
            http_connection_abandon(connection);
        }
    }
    http_pool_init(pool, pool->client, pool->shard);
}

void http_client_reset_child(struct http_client *client)
{
    dialer_reset_child();
    for (unsigned i = 0; i < HTTP_SHARDS_MAX; i++) {
        struct http_pool *pool = atomic_load(&client->pools[i]);

        if (pool)
            http_pool_abandon(pool);
    }
    atomic_store(&client->users, 0);
    atomic_store(&client->feed_posted, false);
    atomic_store(&client->sweep_posted, false);
    atomic_store(&client->open, 0);
    atomic_store(&client->idle, 0);
    atomic_store(&client->starved, 0);
    atomic_store(&client->opened, 0);
    atomic_store(&client->reused, 0);
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct http_pool *http_client_pool(struct http_client *client, struct shard *shard)
{
    unsigned index = shard_index(shard);
    struct http_pool *pool;

    if (index >= HTTP_SHARDS_MAX)
        return NULL;
    pool = atomic_load(&client->pools[index]);
    if (pool)
        return pool;
    pool = malloc(sizeof *pool);
    if (!pool)
        return NULL;
    http_pool_init(pool, client, shard);
    atomic_store(&client->pools[index], pool);
    return pool;
}

void http_request_finish(struct http_request *request, const struct error *err)
{
    struct shard *shard = request->shard;

    request->ops->on_done(request, err);
    shard_release(shard);
}

void http_request_submit(struct http_client *client, struct shard *shard,
                         struct http_request *request)
{
    struct http_pool *pool = http_client_pool(client, shard);
    struct error err = {0};

    request->client = client;
    request->shard = shard;
    request->connection = NULL;
    request->body_sent = 0;
    request->repeated = false;
    request->paused = false;
    shard_hold(shard);
    if (!pool) {
        error_set(&err, ERROR_NO_MEMORY, "no memory for connections to %s", client->target.host);
        http_request_finish(request, &err);
        return;
    }
    http_pool_enqueue(pool, request, false);
    http_pool_serve(pool);
}

void http_request_resume(struct http_request *request)
{
    if (!request->paused)
        return;
    request->paused = false;
    if (request->connection)
        http_connection_resume(request->connection);
}

bool http_request_advance(struct http_request *request)
{
    struct http_connection *connection = request->connection;

    if (!connection || connection->inside > 0 || request->paused)
        return false;
    return http_connection_drive(connection);
}

void http_request_abandon(struct http_request *request)
{
    struct http_connection *connection = request->connection;
    struct http_pool *pool = atomic_load(&request->client->pools[shard_index(request->shard)]);

    if (connection) {
        request->connection = NULL;
        connection->request = NULL;
        connection->exchange++;
        http_connection_close(connection);
    } else {
        http_pool_remove(pool, request);
    }
    shard_release(request->shard);
    http_pool_serve(pool);
}

/* ---- statistics ------------------------------------------------------------------------------ */

void http_client_get_stats(const struct http_client *client, struct http_client_stats *ret_stats)
{
    *ret_stats = (struct http_client_stats){
        .connections_opened = atomic_load(&client->opened),
        .connections_open = atomic_load(&client->open),
        .connections_idle = atomic_load(&client->idle),
        .reused = atomic_load(&client->reused),
    };
}

/* The few different texts live for ever, so that pointers to them stay good on any thread. */
static const char *http_tls_keep(const char *text)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char texts[HTTP_TLS_TEXTS][HTTP_TLS_TEXT_MAX];
    const char *kept = "TLS";

    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < HTTP_TLS_TEXTS; i++) {
        if (!texts[i][0])
            snprintf(texts[i], HTTP_TLS_TEXT_MAX, "%s", text);
        if (strcmp(texts[i], text) == 0) {
            kept = texts[i];
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return kept;
}

void http_client_note_tls(struct http_client *client, struct link *link)
{
    char text[HTTP_TLS_TEXT_MAX], byte;

    if (!link->tls || link_recv(link, &byte, 1) != -EAGAIN) /* takes session tickets in, too */
        return;
    link_describe_tls(link, text, sizeof text);
    if (text[0] && strcmp(text, atomic_load(&client->tls)) != 0)
        atomic_store(&client->tls, http_tls_keep(text));
}

const char *http_client_tls(const struct http_client *client)
{
    return atomic_load(&client->tls);
}
