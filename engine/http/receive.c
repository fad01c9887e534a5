/* The answer's bytes: from the connection through the parser to the memory its request names.
 *
 * The head, chunked bodies and the first bytes of others come by way of the connection's own
 * buffer; the rest of a body is received straight into body_space. Plain sockets are left alone
 * after a short read: there is nothing more, and epoll reports level-triggered. TLS is read until
 * it has no more, because what it has decrypted wakes nobody. A paused request's bytes stay where
 * they are.
 *
 * After every callback of the owner `exchange` is compared. Everything under the shard's lock.
 */
#include <errno.h>
#include <string.h>

#include "http/client_private.h"

/* What one connection may receive before others get their turn: some 2 ms, plain or TLS. */
#define RECEIVE_MAX     ((size_t)8 << 20)
#define RECEIVE_TLS_MAX ((size_t)2 << 20)

enum receive_step {
    RECEIVE_MORE, /* something moved, go on */
    RECEIVE_LAST, /* something moved, and that was all there is */
    RECEIVE_NONE, /* nothing there, or no room */
    RECEIVE_OVER, /* this exchange is over, or another's already */
};

/* ---- how much at a time ---------------------------------------------------------------------- */

/* The rest of a long body does not wake anybody for each packet: its bytes lie in the kernel until
 * there are as many as come in RECEIVE_LATE_NS, by the rate so far, but never more than are still to
 * come. */
#define RECEIVE_LATE_NS       (2 * NS_PER_MS)
#define RECEIVE_LOW_WATER_MIN ((uint64_t)64 << 10) /* slower ones are not worth it */
#define RECEIVE_LOW_WATER_MAX ((uint64_t)512 << 10)

static uint64_t receive_soon(const struct http_connection *connection, uint64_t got)
{
    int64_t took_ns = connection->activity_ns - connection->body_ns;
    double soon = took_ns > 0 ? (double)got * RECEIVE_LATE_NS / (double)took_ns : 0;

    if (soon < RECEIVE_LOW_WATER_MIN)
        return 1;
    return soon < RECEIVE_LOW_WATER_MAX ? (uint64_t)soon : RECEIVE_LOW_WATER_MAX;
}

/* Before epoll is asked again. Set rarely: when it no longer fits by far, or the rest is less. What
 * came with the head does not lie in the kernel any more. */
static void receive_set_low_water(struct http_connection *connection)
{
    const struct http_head *head = http_parser_get_head(connection->parser);
    uint64_t left = http_parser_body_left(connection->parser);
    uint64_t now = (uint64_t)connection->link->low_water, wanted;

    if (head->content_length < (int64_t)RECEIVE_LOW_WATER_MAX ||
        connection->in_start < connection->in_end)
        return;
    wanted = receive_soon(connection, (uint64_t)head->content_length - left);
    if (wanted > left)
        wanted = left;
    if (now > left || wanted >= now * 2 || wanted <= now / 4)
        link_set_low_water(connection->link, (int)wanted);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static enum receive_step receive_complete(struct http_connection *connection)
{
    const struct http_head *head = http_parser_get_head(connection->parser);
    bool keep = head->keep_alive && !connection->early &&
                connection->state == HTTP_CONNECTION_RECEIVING &&
                connection->in_start == connection->in_end;

    link_set_low_water(connection->link, 1);
    http_connection_end(connection, NULL, keep);
    return RECEIVE_OVER;
}

static enum receive_step receive_refuse(struct http_connection *connection, const struct error *err)
{
    http_connection_end(connection, err, false);
    return RECEIVE_OVER;
}

/* result: what link_recv said, 0 or negative. */
static enum receive_step receive_ended(struct http_connection *connection, long result)
{
    const struct http_client *client = connection->pool->client;
    const char *text = connection->link->error;
    struct error err = {0};

    if (result == -EAGAIN && !connection->send_errno)
        return RECEIVE_NONE;
    if (result == 0 && http_parser_eof(connection->parser, &err) == 0) {
        http_connection_end(connection, NULL, false);
        return RECEIVE_OVER;
    }
    if (connection->send_errno && !connection->answered)
        error_set_errno(&err, connection->send_errno, "sending to %s:%u failed: %s",
                        client->target.host, client->target.port, strerror(connection->send_errno));
    else if (result < 0 && connection->link->tls && text[0])
        error_set(&err, ERROR_NETWORK, "receiving from %s:%u failed: %s", client->target.host,
                  client->target.port, text);
    else if (result < 0)
        error_set_errno(&err, (int)-result, "receiving from %s:%u failed: %s", client->target.host,
                        client->target.port, strerror((int)-result));
    http_connection_broken(connection, &err);
    return RECEIVE_OVER;
}

/* ---- into the connection's buffer ------------------------------------------------------------ */

static enum receive_step receive_fill(struct http_connection *connection)
{
    long n;

    if (connection->in_start < connection->in_end)
        return RECEIVE_MORE;
    n = link_recv(connection->link, connection->in, HTTP_CONNECTION_IN_BYTES);
    if (n <= 0)
        return receive_ended(connection, n);
    connection->in_start = 0;
    connection->in_end = (size_t)n;
    connection->answered = true;
    http_connection_touch(connection);
    return RECEIVE_MORE;
}

static enum receive_step receive_head(struct http_connection *connection)
{
    struct http_request *request = connection->request;
    uint64_t exchange = connection->exchange;
    enum receive_step step = receive_fill(connection);
    struct error err = {0};
    size_t used;
    int rc;

    if (step != RECEIVE_MORE)
        return step;
    rc = http_parser_head(connection->parser, connection->in + connection->in_start,
                          connection->in_end - connection->in_start, &used, &err);
    if (rc < 0)
        return receive_refuse(connection, &err);
    connection->in_start += used;
    if (http_parser_state(connection->parser) == HTTP_PARSER_HEAD)
        return RECEIVE_MORE;
    if (connection->state == HTTP_CONNECTION_SENDING) {
        connection->early = true;
        http_connection_stop_sending(connection);
    }
    rc = request->ops->on_head(request, http_parser_get_head(connection->parser), &err);
    if (connection->exchange != exchange)
        return RECEIVE_OVER;
    if (rc < 0)
        return receive_refuse(connection, &err);
    if (http_parser_state(connection->parser) == HTTP_PARSER_DONE)
        return receive_complete(connection);
    connection->body_ns = connection->activity_ns;
    return RECEIVE_MORE;
}

/* ---- the body -------------------------------------------------------------------------------- */

/* Hands `length` bytes that lie in body_space over. RECEIVE_MORE when it was taken. */
static enum receive_step receive_commit(struct http_connection *connection, size_t length)
{
    struct http_request *request = connection->request;
    uint64_t exchange = connection->exchange;
    struct error err = {0};
    int rc = request->ops->body_commit(request, length, &err);

    if (connection->exchange != exchange)
        return RECEIVE_OVER;
    return rc < 0 ? receive_refuse(connection, &err) : RECEIVE_MORE;
}

/* Room for body bytes; 0: paused from now on. */
static size_t receive_space(struct http_connection *connection, void **ret_where)
{
    struct http_request *request = connection->request;
    size_t room = request->ops->body_space(request, ret_where);

    if (room == 0)
        request->paused = true;
    return room;
}

/* Copies from *run as far as there is room. */
static enum receive_step receive_copy(struct http_connection *connection, struct http_run *run)
{
    enum receive_step step = RECEIVE_MORE;

    while (run->length > 0 && step == RECEIVE_MORE) {
        void *where;
        size_t n = receive_space(connection, &where);

        if (n == 0)
            return RECEIVE_NONE;
        if (n > run->length)
            n = run->length;
        memcpy(where, run->data, n);
        run->data += n;
        run->length -= n;
        step = receive_commit(connection, n);
    }
    return step;
}

static enum receive_step receive_chunked(struct http_connection *connection)
{
    struct error err = {0};
    enum receive_step step;
    size_t used;
    int rc;

    if (connection->run.length == 0) {
        step = receive_fill(connection);
        if (step != RECEIVE_MORE)
            return step;
        rc = http_parser_chunk(connection->parser, connection->in + connection->in_start,
                               connection->in_end - connection->in_start, &used, &connection->run,
                               &err);
        if (rc < 0)
            return receive_refuse(connection, &err);
        connection->in_start += used;
    }
    step = receive_copy(connection, &connection->run);
    if (step == RECEIVE_MORE && http_parser_state(connection->parser) == HTTP_PARSER_DONE)
        return receive_complete(connection);
    return step;
}

/* What of the body came together with the head. */
static enum receive_step receive_rest(struct http_connection *connection)
{
    uint64_t left = http_parser_body_left(connection->parser);
    struct http_run run = {.data = connection->in + connection->in_start,
                           .length = connection->in_end - connection->in_start};
    uint64_t exchange = connection->exchange;
    enum receive_step step;
    size_t length;

    if (run.length > left)
        run.length = (size_t)left;
    length = run.length;
    step = receive_copy(connection, &run);
    if (connection->exchange != exchange)
        return RECEIVE_OVER;
    connection->in_start += length - run.length;
    http_parser_took(connection->parser, length - run.length);
    if (http_parser_state(connection->parser) == HTTP_PARSER_DONE)
        return receive_complete(connection);
    return step;
}

static enum receive_step receive_direct(struct http_connection *connection, size_t *total)
{
    uint64_t left = http_parser_body_left(connection->parser);
    enum receive_step step;
    void *where;
    size_t room = receive_space(connection, &where);
    long n;

    if (room == 0)
        return RECEIVE_NONE;
    if (room > left)
        room = (size_t)left;
    n = link_recv(connection->link, where, room);
    if (n <= 0)
        return receive_ended(connection, n);
    http_connection_touch(connection);
    http_parser_took(connection->parser, (size_t)n);
    *total += (size_t)n;
    step = receive_commit(connection, (size_t)n);
    if (step != RECEIVE_MORE)
        return step;
    if (http_parser_state(connection->parser) == HTTP_PARSER_DONE)
        return receive_complete(connection);
    return (size_t)n < room && !connection->link->tls ? RECEIVE_LAST : RECEIVE_MORE;
}

static enum receive_step receive_once(struct http_connection *connection, size_t *total)
{
    if (http_parser_state(connection->parser) == HTTP_PARSER_HEAD)
        return receive_head(connection);
    if (http_parser_get_head(connection->parser)->chunked)
        return receive_chunked(connection);
    if (connection->in_start < connection->in_end)
        return receive_rest(connection);
    return receive_direct(connection, total);
}

bool http_connection_receive(struct http_connection *connection)
{
    size_t most = connection->link->tls ? RECEIVE_TLS_MAX : RECEIVE_MAX, total = 0;
    uint64_t exchange = connection->exchange;
    enum receive_step step = RECEIVE_MORE;
    bool moved = false;

    while (step == RECEIVE_MORE && !connection->request->paused && total < most) {
        step = receive_once(connection, &total);
        if (step != RECEIVE_NONE)
            moved = true;
        if (connection->exchange != exchange)
            return moved;
    }
    if (step == RECEIVE_MORE && connection->link->tls && !connection->request->paused)
        http_connection_kick(connection);
    if (http_parser_state(connection->parser) == HTTP_PARSER_BODY)
        receive_set_low_water(connection);
    return moved;
}
