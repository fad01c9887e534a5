/* One connection at work: the sending of requests, deadlines, and what ends an exchange.
 *
 * States: IDLE → SENDING → RECEIVING → IDLE or closed. The watch stays registered for EPOLLIN all
 * the time; EPOLLOUT is added only when a send would block. While sending, an answer that comes
 * early is read, and ends the sending. One timer a connection: it is not moved for every byte, but
 * looks at activity_ns when it fires.
 *
 * Callbacks of the owner may submit, resume and abandon, so after each of them `exchange` tells
 * whether the connection still does what it did; enter and leave keep its memory until the last
 * frame that uses it has returned. Everything under the shard's lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "http/client_private.h"

#define CONNECTION_PARTS_MAX 16
/* What one connection may move before others get their turn. */
#define CONNECTION_SEND_MAX ((size_t)4 << 20)

/* ---- deadlines ------------------------------------------------------------------------------- */

static int64_t connection_later(int64_t from_ns, int64_t duration_ns)
{
    return duration_ns <= 0 || duration_ns > CLOCK_NEVER - from_ns ? CLOCK_NEVER
                                                                   : from_ns + duration_ns;
}

static bool connection_waits_for_head(const struct http_connection *connection)
{
    return connection->state == HTTP_CONNECTION_RECEIVING && !connection->answered;
}

/* When the peer has been silent for too long. */
static int64_t connection_silence_ns(const struct http_connection *connection)
{
    const struct http_client *client = connection->pool->client;

    if (connection->request->paused)
        return CLOCK_NEVER;
    return connection_later(connection->activity_ns, connection_waits_for_head(connection)
                                                         ? client->first_byte_timeout_ns
                                                         : client->progress_timeout_ns);
}

/* The timer may fire early, never late: moved only forward in time, by itself. */
static void connection_arm(struct http_connection *connection)
{
    int64_t at_ns = connection_silence_ns(connection);

    if (at_ns > connection->request->deadline_ns)
        at_ns = connection->request->deadline_ns;
    if (at_ns < connection->timer.at_ns)
        shard_timer_set(connection->pool->shard, &connection->timer, at_ns);
}

static void connection_time_out(struct http_connection *connection, bool silent)
{
    const struct http_client *client = connection->pool->client;
    struct error err = {0};
    const char *what = "operation took longer than its deadline at";
    int64_t limit_ns = 0;

    if (silent && connection_waits_for_head(connection)) {
        what = "no answer from";
        limit_ns = client->first_byte_timeout_ns;
    } else if (silent) {
        what = "no progress with";
        limit_ns = client->progress_timeout_ns;
    }
    if (limit_ns)
        error_set(&err, ERROR_TIMEOUT, "%s %s:%u for %lld ms", what, client->target.host,
                  client->target.port, (long long)(limit_ns / NS_PER_MS));
    else
        error_set(&err, ERROR_TIMEOUT, "%s %s:%u", what, client->target.host, client->target.port);
    http_connection_end(connection, &err, false);
}

void http_connection_on_timer(struct shard_timer *timer)
{
    struct http_connection *connection =
        (struct http_connection *)(void *)((char *)timer - offsetof(struct http_connection, timer));
    uint64_t exchange = connection->exchange;
    int64_t now_ns = clock_now_ns();

    if (!connection->request)
        return;
    http_connection_enter(connection);
    /* What is below the low water has not woken anybody, and is progress. */
    if (connection->kicked || now_ns >= connection_silence_ns(connection)) {
        connection->kicked = false;
        http_connection_receive(connection);
    }
    if (connection->exchange == exchange && !connection->closed) {
        if (now_ns >= connection_silence_ns(connection))
            connection_time_out(connection, true);
        else if (now_ns >= connection->request->deadline_ns)
            connection_time_out(connection, false);
        else
            connection_arm(connection);
    }
    http_connection_leave(connection);
}

void http_connection_touch(struct http_connection *connection)
{
    connection->activity_ns = clock_now_ns();
}

/* ---- the end of an exchange ------------------------------------------------------------------ */

static struct http_request *connection_take_off(struct http_connection *connection)
{
    struct http_request *request = connection->request;

    request->connection = NULL;
    connection->request = NULL;
    connection->exchange++;
    return request;
}

static const struct error connection_success;

void http_connection_end(struct http_connection *connection, const struct error *err, bool keep)
{
    struct http_pool *pool = connection->pool;
    struct http_request *request = connection_take_off(connection);

    http_connection_enter(connection);
    if (keep && !connection->closed && pool->client->idle_timeout_ns > 0) {
        http_connection_touch(connection);
        http_pool_put(connection);
    } else {
        http_connection_close(connection);
    }
    http_pool_serve(pool); /* who waits goes before what on_done may submit */
    http_request_finish(request, err ? err : &connection_success);
    http_connection_leave(connection);
}

void http_connection_broken(struct http_connection *connection, const struct error *err)
{
    struct http_pool *pool = connection->pool;
    struct http_request *request = connection->request;

    if (!connection->reused || connection->answered || request->repeated) {
        http_connection_end(connection, err, false);
        return;
    }
    connection_take_off(connection);
    http_connection_close(connection);
    request->repeated = true;
    http_pool_enqueue(pool, request, true);
    http_pool_serve(pool);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* An HTTP proxy wants to know the host from the request line, and the password it asks for. */
static int connection_add_proxy(struct http_connection *connection)
{
    const struct dial_target *target = &connection->pool->client->target;
    struct buffer *head = &connection->head, rest;
    const char *space = strchr(buffer_str(head), ' ');
    size_t method = space ? (size_t)(space - head->data) + 1 : 0;
    int rc;

    if (!target->proxy.absolute_form || !space || space[1] != '/')
        return 0;
    buffer_init(&rest, HTTP_HEAD_SENT_MAX);
    rc = buffer_append(&rest, head->data + method, head->length - method);
    head->length = method;
    if (rc == 0)
        rc = buffer_append_format(head,
                                  strchr(target->host, ':') ? "http://[%s]:%u" : "http://%s:%u",
                                  target->host, target->port);
    if (rc == 0)
        rc = buffer_append(head, rest.data, rest.length);
    if (rc == 0 && target->proxy.authorization)
        rc = buffer_append_format(head, "Proxy-Authorization: %s\r\n", target->proxy.authorization);
    buffer_fini(&rest);
    return rc;
}

static int connection_write_head(struct http_connection *connection, struct http_request *request,
                                 struct error *err)
{
    struct buffer *head = &connection->head;
    int rc;

    buffer_clear(head);
    rc = request->ops->write_head(request, head, err);
    if (rc < 0)
        return rc;
    if (head->length < 2 || memcmp(head->data + head->length - 2, "\r\n", 2) != 0)
        rc = buffer_append_str(head, "\r\n");
    if (rc == 0)
        rc = connection_add_proxy(connection);
    if (rc == 0)
        rc = buffer_append_str(head, "\r\n");
    return rc < 0 ? error_set_errno(err, -rc, "cannot build the head of a request") : 0;
}

/* What is left to send, as far as it fits. */
static unsigned connection_parts(const struct http_connection *connection,
                                 struct iovec parts[CONNECTION_PARTS_MAX])
{
    const struct http_request *request = connection->request;
    size_t skip = request->body_sent;
    unsigned count = 0;

    if (connection->head_sent < connection->head.length)
        parts[count++] = (struct iovec){
            .iov_base = connection->head.data + connection->head_sent,
            .iov_len = connection->head.length - connection->head_sent,
        };
    for (unsigned i = 0; i < request->body_count && count < CONNECTION_PARTS_MAX; i++) {
        const struct iovec *part = &request->body[i];

        if (skip >= part->iov_len) {
            skip -= part->iov_len;
            continue;
        }
        parts[count++] = (struct iovec){.iov_base = (char *)part->iov_base + skip,
                                        .iov_len = part->iov_len - skip};
        skip = 0;
    }
    return count;
}

static void connection_sent(struct http_connection *connection, size_t sent)
{
    size_t head_left = connection->head.length - connection->head_sent;
    size_t of_head = sent < head_left ? sent : head_left;

    connection->head_sent += of_head;
    connection->request->body_sent += sent - of_head;
    http_connection_touch(connection);
}

static void connection_set_events(struct http_connection *connection, uint32_t events)
{
    if (connection->watching && connection->watch.events != events)
        shard_watch_modify(connection->pool->shard, &connection->watch, events);
}

void http_connection_stop_sending(struct http_connection *connection)
{
    connection->state = HTTP_CONNECTION_RECEIVING;
    connection_set_events(connection, EPOLLIN);
    connection_arm(connection);
}

/* Sends as much as goes without blocking. Returns whether anything moved. */
static bool connection_send(struct http_connection *connection)
{
    struct iovec parts[CONNECTION_PARTS_MAX];
    size_t total = 0;

    for (;;) {
        unsigned count = connection_parts(connection, parts);
        long sent;

        if (count == 0) {
            http_connection_stop_sending(connection);
            return true;
        }
        if (total >= CONNECTION_SEND_MAX)
            break;
        sent = link_send(connection->link, parts, count);
        if (sent == -EAGAIN)
            break;
        if (sent < 0) {
            /* Perhaps the peer has said why: an answer may lie there. */
            connection->early = true;
            connection->send_errno = (int)-sent;
            http_connection_stop_sending(connection);
            http_connection_receive(connection);
            return true;
        }
        connection_sent(connection, (size_t)sent);
        total += (size_t)sent;
    }
    connection_set_events(connection, EPOLLIN | EPOLLOUT);
    return total > 0;
}

void http_connection_start(struct http_connection *connection, struct http_request *request)
{
    uint64_t exchange = ++connection->exchange;
    struct error err = {0};

    connection->request = request;
    request->connection = connection;
    request->body_sent = 0;
    request->paused = false;
    connection->head_sent = 0;
    connection->in_start = connection->in_end = 0;
    connection->run = (struct http_run){0};
    connection->answered = connection->early = connection->kicked = false;
    connection->send_errno = 0;
    http_parser_reset(connection->parser, request->head_only);
    http_connection_enter(connection);
    if (connection_write_head(connection, request, &err) < 0) {
        http_connection_end(connection, &err, true);
    } else if (connection->exchange == exchange) {
        connection->reused = connection->served++ > 0;
        if (connection->reused)
            atomic_fetch_add(&connection->pool->client->reused, 1);
        http_connection_touch(connection);
        connection_arm(connection);
        connection_send(connection);
    }
    http_connection_leave(connection);
}

/* ---- events ---------------------------------------------------------------------------------- */

bool http_connection_drive(struct http_connection *connection)
{
    uint64_t exchange = connection->exchange;
    bool moved = false;

    http_connection_enter(connection);
    if (connection->state == HTTP_CONNECTION_SENDING)
        moved = connection_send(connection);
    if (connection->exchange == exchange && connection->state == HTTP_CONNECTION_RECEIVING)
        moved = http_connection_receive(connection) || moved;
    if (connection->exchange != exchange)
        moved = true;
    http_connection_leave(connection);
    return moved;
}

void http_connection_kick(struct http_connection *connection)
{
    connection->kicked = true;
    shard_timer_set(connection->pool->shard, &connection->timer, clock_now_ns());
}

void http_connection_resume(struct http_connection *connection)
{
    struct shard *shard = connection->pool->shard;

    http_connection_touch(connection);
    if (!connection->watching) {
        connection->watch.events = EPOLLIN;
        connection->watching = shard_watch_add(shard, &connection->watch) == 0;
    }
    connection_arm(connection);
    if (connection->link->tls || !connection->watching)
        http_connection_kick(connection);
}

void http_connection_on_event(struct shard_watch *watch, uint32_t events)
{
    struct http_connection *connection = (struct http_connection *)watch;
    uint64_t exchange = connection->exchange;

    if (!connection->request) {
        if (!link_is_quiet(connection->link))
            http_connection_close(connection);
        return;
    }
    if (connection->request->paused) {
        http_connection_unwatch(connection); /* level-triggered: it would not stop */
        return;
    }
    http_connection_enter(connection);
    if (connection->state == HTTP_CONNECTION_SENDING && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
        connection_send(connection);
    if (connection->exchange == exchange && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        http_connection_receive(connection);
    http_connection_leave(connection);
}
