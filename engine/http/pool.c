/* Which request gets which connection, and when another one is dialled.
 *
 * Requests wait in the order they came; idle connections are taken last used first, and checked
 * when taken. A request that lost a reused connection before any answer gets only one that nobody
 * has used. As many dials are under way as requests wait, within connections_max over all shards; a
 * pool that may not dial any more is starved, and then connections that become idle on other shards
 * are closed for it, and one already idle there is looked for by the dialer's thread, which may
 * lock other shards.
 *
 * Everything under the shard's lock, but for http_pool_feed and http_pool_dialled, which begin on
 * the dialer's thread without one.
 */
#include <errno.h>
#include <stdlib.h>

#include "http/client_private.h"
#include "io/thread.h"

/* ---- the queue ------------------------------------------------------------------------------- */

void http_pool_enqueue(struct http_pool *pool, struct http_request *request, bool first)
{
    request->prev = first ? NULL : pool->last;
    request->next = first ? pool->first : NULL;
    *(request->prev ? &request->prev->next : &pool->first) = request;
    *(request->next ? &request->next->prev : &pool->last) = request;
    pool->queued++;
    if (request->deadline_ns < pool->timer.at_ns)
        shard_timer_set(pool->shard, &pool->timer, request->deadline_ns);
}

void http_pool_remove(struct http_pool *pool, struct http_request *request)
{
    *(request->prev ? &request->prev->next : &pool->first) = request->next;
    *(request->next ? &request->next->prev : &pool->last) = request->prev;
    request->prev = request->next = NULL;
    pool->queued--;
}

static void http_pool_fail_first(struct http_pool *pool, const struct error *err)
{
    struct http_request *request = pool->first;

    http_pool_remove(pool, request);
    http_request_finish(request, err);
}

static void http_pool_on_timer(struct shard_timer *timer)
{
    struct http_pool *pool =
        (struct http_pool *)(void *)((char *)timer - offsetof(struct http_pool, timer));
    int64_t now_ns = clock_now_ns(), at_ns = CLOCK_NEVER;
    struct http_request *request = pool->first;
    struct error err = {0};

    error_set(&err, ERROR_TIMEOUT, "no connection to %s:%u became free in time",
              pool->client->target.host, pool->client->target.port);
    while (request) {
        if (request->deadline_ns <= now_ns) {
            http_pool_remove(pool, request);
            http_request_finish(request, &err);
            request = pool->first; /* whatever on_done did to the queue */
            at_ns = CLOCK_NEVER;
            continue;
        }
        if (request->deadline_ns < at_ns)
            at_ns = request->deadline_ns;
        request = request->next;
    }
    shard_timer_set(pool->shard, &pool->timer, at_ns);
}

void http_pool_init(struct http_pool *pool, struct http_client *client, struct shard *shard)
{
    *pool = (struct http_pool){.client = client, .shard = shard};
    shard_timer_init(&pool->timer, http_pool_on_timer);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void http_pool_link_connection(struct http_connection **list,
                                      struct http_connection *connection)
{
    connection->prev = NULL;
    connection->next = *list;
    if (*list)
        (*list)->prev = connection;
    *list = connection;
}

static void http_pool_unlink_connection(struct http_connection **list,
                                        struct http_connection *connection)
{
    if (connection->prev)
        connection->prev->next = connection->next;
    else
        *list = connection->next;
    if (connection->next)
        connection->next->prev = connection->prev;
}

static void http_pool_unlist(struct http_connection *connection)
{
    struct http_pool *pool = connection->pool;

    if (connection->state == HTTP_CONNECTION_IDLE) {
        http_pool_unlink_connection(&pool->idle, connection);
        atomic_fetch_sub(&pool->client->idle, 1);
    } else {
        http_pool_unlink_connection(&pool->busy, connection);
    }
}

void http_pool_forget(struct http_connection *connection)
{
    http_pool_unlist(connection);
    atomic_fetch_sub(&connection->pool->client->open, 1);
}

static void http_pool_list_idle(struct http_connection *connection)
{
    struct http_pool *pool = connection->pool;

    connection->state = HTTP_CONNECTION_IDLE;
    http_pool_link_connection(&pool->idle, connection);
    atomic_fetch_add(&pool->client->idle, 1);
    http_pool_plan_sweep(pool->client);
}

void http_pool_put(struct http_connection *connection)
{
    http_pool_unlink_connection(&connection->pool->busy, connection);
    http_pool_list_idle(connection);
}

void http_pool_close_idle(struct http_pool *pool)
{
    while (pool->idle)
        http_connection_close(pool->idle);
}

/* The next pair, both taken off their lists. NULL: none. */
static struct http_request *http_pool_next(struct http_pool *pool,
                                           struct http_connection **ret_connection)
{
    while (pool->first && pool->idle) {
        struct http_connection *connection = pool->idle;
        struct http_request *request = pool->first;

        while (request && request->repeated && connection->served > 0)
            request = request->next;
        if (!request)
            return NULL;
        if (!http_connection_is_usable(connection, clock_now_ns())) {
            http_connection_close(connection);
            continue;
        }
        http_pool_remove(pool, request);
        http_pool_unlist(connection);
        connection->state = HTTP_CONNECTION_SENDING;
        http_pool_link_connection(&pool->busy, connection);
        *ret_connection = connection;
        return request;
    }
    return NULL;
}

/* ---- dialling -------------------------------------------------------------------------------- */

static bool http_pool_reserve(struct http_client *client)
{
    unsigned open = atomic_load(&client->open);

    while (open < client->connections_max)
        if (atomic_compare_exchange_weak(&client->open, &open, open + 1))
            return true;
    return false;
}

/* The client's, on the dialer's thread. */
static void http_pool_feed(struct dialer_job *job);

static void http_pool_post_feed(struct http_client *client)
{
    if (atomic_exchange(&client->feed_posted, true))
        return;
    http_client_use(client);
    client->feed = (struct dialer_job){.run = http_pool_feed};
    if (dialer_post(&client->feed) < 0) {
        atomic_store(&client->feed_posted, false);
        http_client_unuse(client);
    }
}

static void http_pool_set_starved(struct http_pool *pool, bool starved)
{
    struct http_client *client = pool->client;

    if (atomic_load(&pool->starved) == starved)
        return;
    atomic_store(&pool->starved, starved);
    if (!starved) {
        atomic_fetch_sub(&client->starved, 1);
        return;
    }
    atomic_fetch_add(&client->starved, 1);
    if (atomic_load(&client->idle) > 0)
        http_pool_post_feed(client);
}

/* The dial is over; on the dialer's thread. */
static void http_pool_dialled(struct dial *dial, struct link *link, const struct error *err)
{
    struct http_pool *pool = dial->owner;
    struct http_client *client = pool->client;
    struct http_connection *connection;
    struct error failure = *err;

    free(dial);
    if (atomic_load(&client->closing)) {
        link_free(link);
        http_client_unuse(client);
        return;
    }
    shard_lock(pool->shard);
    pool->dials--;
    if (link) {
        int rc = http_connection_new(pool, link, &connection);

        if (rc == 0) {
            http_client_note_tls(client, connection->link);
            http_pool_list_idle(connection);
            atomic_fetch_add(&client->opened, 1);
        } else {
            error_set_errno(&failure, -rc, "cannot use the connection to %s", client->target.host);
        }
    }
    if (failure.class != ERROR_NONE) {
        atomic_fetch_sub(&client->open, 1);
        /* Others of this pool may still serve it; without any, nothing else would. */
        if (pool->queued > pool->dials && !pool->busy)
            http_pool_fail_first(pool, &failure);
    }
    http_pool_serve(pool);
    if (client->idle_timeout_ns == 0)
        http_pool_close_idle(pool); /* whom it was for has gone */
    shard_unlock(pool->shard);
    http_client_unuse(client);
}

/* A connection is reserved: dials for it. */
static int http_pool_dial(struct http_pool *pool)
{
    struct dial *dial = calloc(1, sizeof *dial);
    int rc = -ENOMEM;

    if (dial) {
        dial->target = &pool->client->target;
        dial->cancelled = &pool->client->closing;
        dial->on_done = http_pool_dialled;
        dial->owner = pool;
        http_client_use(pool->client);
        rc = dial_start(dial);
        if (rc < 0) {
            http_client_unuse(pool->client);
            free(dial);
        }
    }
    if (rc < 0)
        atomic_fetch_sub(&pool->client->open, 1);
    else
        pool->dials++;
    return rc;
}

static void http_pool_want(struct http_pool *pool)
{
    bool starved = false;

    while (pool->queued > pool->dials && !starved) {
        struct error err = {0};
        int rc;

        if (!http_pool_reserve(pool->client)) {
            /* Idle ones that are left are of no use to those who wait. */
            if (pool->idle)
                http_connection_close(pool->idle);
            else
                starved = true;
            continue;
        }
        rc = http_pool_dial(pool);
        if (rc == 0)
            continue;
        if (rc == -EAGAIN)
            thread_error(&err, rc, "connecting");
        else
            error_set_errno(&err, -rc, "cannot start to connect to %s", pool->client->target.host);
        http_pool_fail_first(pool, &err);
    }
    http_pool_set_starved(pool, starved);
}

void http_pool_serve(struct http_pool *pool)
{
    struct http_client *client = pool->client;
    struct http_connection *connection;
    struct http_request *request;

    if (pool->serving)
        return;
    pool->serving = true;
    while ((request = http_pool_next(pool, &connection)))
        http_connection_start(connection, request);
    http_pool_want(pool);
    pool->serving = false;
    if (atomic_load(&client->starved) == 0 || atomic_load(&pool->starved))
        return;
    if (pool->idle)
        http_connection_close(pool->idle);
    if (atomic_load(&client->open) < client->connections_max)
        http_pool_post_feed(client);
}

/* ---- between shards, on the dialer's thread -------------------------------------------------- */

static void http_pool_reclaim(struct http_client *client, const struct http_pool *for_pool)
{
    for (unsigned i = 0; i < HTTP_SHARDS_MAX; i++) {
        struct http_pool *pool = atomic_load(&client->pools[i]);
        bool closed = false;

        if (!pool || pool == for_pool)
            continue;
        shard_lock(pool->shard);
        if (pool->idle) {
            http_connection_close(pool->idle);
            closed = true;
        }
        shard_unlock(pool->shard);
        if (closed)
            return;
    }
}

static void http_pool_feed(struct dialer_job *job)
{
    struct http_client *client = (struct http_client *)job;

    atomic_store(&client->feed_posted, false);
    for (unsigned i = 0; i < HTTP_SHARDS_MAX && !atomic_load(&client->closing); i++) {
        struct http_pool *pool = atomic_load(&client->pools[i]);

        if (!pool || !atomic_load(&pool->starved))
            continue;
        if (atomic_load(&client->open) >= client->connections_max)
            http_pool_reclaim(client, pool);
        shard_lock(pool->shard);
        http_pool_serve(pool);
        shard_unlock(pool->shard);
    }
    http_client_unuse(client);
}
