/* Requests of tests. Contract: http_fetch.h. */
#include "http_fetch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define FETCH_ROOM ((size_t)1 << 20)

static int fetch_write_head(struct http_request *request, struct buffer *head, struct error *err)
{
    struct fetch *fetch = (struct fetch *)request;
    size_t length = 0;

    fetch->heads_written++;
    if (fetch->write_head_errno)
        return error_set_errno(err, fetch->write_head_errno, "no head today");
    for (unsigned i = 0; i < request->body_count; i++)
        length += request->body[i].iov_len;
    return buffer_append_format(head,
                                "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n",
                                fetch->method, fetch->path, length);
}

static int fetch_on_head(struct http_request *request, const struct http_head *head,
                         struct error *err)
{
    struct fetch *fetch = (struct fetch *)request;

    fetch->status = head->status;
    return fetch->fail_head ? error_set(err, ERROR_PROTOCOL, "not this answer") : 0;
}

static size_t fetch_space(struct http_request *request, void **ret_where)
{
    struct fetch *fetch = (struct fetch *)request;

    if (fetch->pause_after && fetch->received >= fetch->pause_after)
        return 0;
    if (!fetch->space) {
        fetch->space_size = fetch->room ? fetch->room : FETCH_ROOM;
        fetch->space = malloc(fetch->space_size);
    }
    *ret_where = fetch->space;
    return fetch->space_size;
}

static int fetch_commit(struct http_request *request, size_t length, struct error *err)
{
    struct fetch *fetch = (struct fetch *)request;

    for (size_t i = 0; i < length; i++, fetch->received++) {
        fetch->sum += (uint64_t)(unsigned char)fetch->space[i] * (fetch->received + 1);
        if (fetch->received < sizeof fetch->text - 1)
            fetch->text[fetch->received] = fetch->space[i];
    }
    if (fetch->fail_after && fetch->received > fetch->fail_after)
        return error_set(err, ERROR_TOO_LARGE, "more than I wanted");
    return 0;
}

static void fetch_on_done(struct http_request *request, const struct error *err)
{
    struct fetch *fetch = (struct fetch *)request;

    fetch->done = true;
    fetch->times_done++;
    fetch->error = *err;
    fetch->done_on = pthread_self();
}

static const struct http_request_ops fetch_ops = {
    .write_head = fetch_write_head,
    .on_head = fetch_on_head,
    .body_space = fetch_space,
    .body_commit = fetch_commit,
    .on_done = fetch_on_done,
};

void http_fetch_init(struct fetch *fetch, const char *method, const char *path)
{
    *fetch = (struct fetch){.method = method, .path = path};
    fetch->request.ops = &fetch_ops;
    fetch->request.body = fetch->body;
    fetch->request.deadline_ns = CLOCK_NEVER;
}

void http_fetch_fini(struct fetch *fetch)
{
    free(fetch->space);
    fetch->space = NULL;
}

void fetch_submit(struct http_rig *rig, struct fetch *fetch)
{
    http_request_submit(rig->client, rig->shard, &fetch->request);
}

static bool fetch_ready(const struct shard_waiter *waiter)
{
    return ((const struct fetch *)waiter->arg)->done;
}

static bool fetch_advance(struct shard_waiter *waiter)
{
    return http_request_advance(waiter->arg);
}

int fetch_wait(struct http_rig *rig, struct fetch *fetch)
{
    struct shard_waiter waiter = {.ready = fetch_ready, .advance = fetch_advance, .arg = fetch};

    return shard_wait(rig->shard, &waiter, clock_deadline_ns(20 * NS_PER_S));
}

void fetch_run(struct http_rig *rig, struct fetch *fetch)
{
    fetch_submit(rig, fetch);
    assert_int_equal(fetch_wait(rig, fetch), 0);
    assert_int_equal(fetch->times_done, 1);
    http_fetch_fini(fetch);
}

void assert_fetched(const struct fetch *fetch, int status, const char *text)
{
    if (fetch->error.class != ERROR_NONE)
        fail_msg("%s: %s", error_class_name(fetch->error.class), fetch->error.message);
    assert_int_equal(fetch->status, status);
    assert_string_equal(fetch->text, text);
}

const struct http_client_options http_patient = {
    .host = "127.0.0.1",
    .proxy = "",
    .tls_verify = true,
    .connections_max = 16,
    .idle_timeout_ns = 10 * NS_PER_S,
    .connect_timeout_ns = 5 * NS_PER_S,
    .first_byte_timeout_ns = 10 * NS_PER_S,
    .progress_timeout_ns = 10 * NS_PER_S,
};

void http_rig_open(struct http_rig *rig, http_serve_fn *serve, bool tls,
                   const struct http_client_options *options)
{
    struct http_client_options mine = options ? *options : http_patient;

    rig->server = http_server_start(serve, tls);
    mine.port = http_server_port(rig->server);
    if (!mine.scheme)
        mine.scheme = tls ? "https" : "http";
    if (!mine.ca_file)
        mine.ca_file = http_server_ca_file(rig->server);
    gate_enter(&rig->scope);
    assert_int_equal(shard_new(0, &rig->shard), 0);
    assert_int_equal(http_client_new(&mine, &rig->client, NULL), 0);
    shard_lock(rig->shard);
}

void http_rig_close(struct http_rig *rig)
{
    shard_unlock(rig->shard);
    http_client_free(rig->client);
    shard_free(rig->shard);
    gate_leave(&rig->scope);
    http_server_stop(rig->server);
}

void http_serve_hello(struct http_peer *peer)
{
    while (http_peer_read_head(peer) && http_peer_answer(peer, "hello"))
        continue;
}

void http_serve_silence(struct http_peer *peer)
{
    http_peer_read_head(peer);
    http_peer_read_head(peer);
}

void fetch_get(struct http_rig *rig, struct fetch *fetch)
{
    http_fetch_init(fetch, "GET", "/");
    fetch_run(rig, fetch);
}

void fetch_once(http_serve_fn *serve, bool tls, const struct http_client_options *options,
                struct fetch *fetch)
{
    struct http_rig rig;

    http_rig_open(&rig, serve, tls, options);
    fetch_get(&rig, fetch);
    http_rig_close(&rig);
}

void fetch_from(struct http_client_options *options, struct fetch *fetch)
{
    struct http_rig rig = {0};

    if (!options->scheme)
        options->scheme = "http";
    gate_enter(&rig.scope);
    assert_int_equal(shard_new(0, &rig.shard), 0);
    assert_int_equal(http_client_new(options, &rig.client, NULL), 0);
    shard_lock(rig.shard);
    fetch_get(&rig, fetch);
    shard_unlock(rig.shard);
    http_client_free(rig.client);
    shard_free(rig.shard);
    gate_leave(&rig.scope);
}

void assert_fetch_error(const struct fetch *fetch, enum error_class class, const char *part)
{
    if (fetch->error.class != class || !strstr(fetch->error.message, part))
        fail_msg("%s: %s", error_class_name(fetch->error.class), fetch->error.message);
}
