/* The life of a connection: made around a link, watched, closed, freed when nobody uses it any
 * more.
 *
 * Callbacks of a request's owner may close the connection that calls them. So whoever goes on using
 * it after a callback has entered it before, and memory goes with the last who leaves. Everything
 * under the shard's lock.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "http/client_private.h"

/* A connection this young needs no look whether it is still there: if not, the request says so. */
#define CONNECTION_YOUNG_NS (100 * NS_PER_MS)

static void connection_destroy(struct http_connection *connection)
{
    http_parser_free(connection->parser);
    buffer_fini(&connection->head);
    free(connection->in);
    free(connection);
}

int http_connection_new(struct http_pool *pool, struct link *link,
                        struct http_connection **ret_connection)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    int rc = -ENOMEM;

    if (connection) {
        connection->pool = pool;
        connection->link = link;
        connection->parser = http_parser_new();
        connection->in = malloc(HTTP_CONNECTION_IN_BYTES);
        connection->activity_ns = clock_now_ns();
        connection->watch = (struct shard_watch){
            .fd = link->fd, .events = EPOLLIN, .on_event = http_connection_on_event};
        buffer_init(&connection->head, HTTP_HEAD_SENT_MAX);
        shard_timer_init(&connection->timer, http_connection_on_timer);
        if (connection->parser && connection->in)
            rc = shard_watch_add(pool->shard, &connection->watch);
    }
    if (rc < 0) {
        link_free(link);
        if (connection)
            connection_destroy(connection);
        return rc;
    }
    connection->watching = true;
    *ret_connection = connection;
    return 0;
}

void http_connection_unwatch(struct http_connection *connection)
{
    if (connection->watching)
        shard_watch_remove(connection->pool->shard, &connection->watch);
    connection->watching = false;
}

void http_connection_close(struct http_connection *connection)
{
    http_pool_forget(connection);
    shard_timer_clear(connection->pool->shard, &connection->timer);
    http_connection_unwatch(connection);
    link_free(connection->link);
    connection->link = NULL;
    connection->closed = true;
    if (connection->inside == 0)
        connection_destroy(connection);
}

void http_connection_abandon(struct http_connection *connection)
{
    link_abandon(connection->link);
    connection_destroy(connection);
}

void http_connection_enter(struct http_connection *connection)
{
    connection->inside++;
    assert(connection->inside > 0);
}

void http_connection_leave(struct http_connection *connection)
{
    if (--connection->inside == 0 && connection->closed)
        connection_destroy(connection);
}

bool http_connection_is_usable(struct http_connection *connection, int64_t now_ns)
{
    int64_t age_ns = now_ns - connection->activity_ns;
    int64_t most_ns = connection->pool->client->idle_timeout_ns;

    if (connection->served == 0 && age_ns < CONNECTION_YOUNG_NS)
        return true;
    return age_ns < most_ns && link_is_quiet(connection->link);
}
