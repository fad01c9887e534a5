/* Proxies (engine/http/proxy.h by way of the client) and engine/http/transfer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/transfer.h"
#include "http_fetch.h"
#include "sanitizer.h"

/* ---- proxies --------------------------------------------------------------------------------- */

static void serve_echo(struct http_peer *peer)
{
    while (http_peer_read_head(peer) && http_peer_answer(peer, peer->request))
        continue;
}

static void plain_requests_by_proxy(void **state)
{
    struct http_server *proxy = http_server_start(serve_echo, false);
    struct http_client_options options = http_patient;
    struct fetch fetch;
    char url[64];

    (void)state;
    snprintf(url, sizeof url, "http://me:secret@localhost:%u", http_server_port(proxy));
    options.host = "store.invalid"; /* the proxy resolves it */
    options.port = 9000;
    options.proxy = url;
    fetch_from(&options, &fetch);
    assert_fetched(&fetch, 200,
                   "GET http://store.invalid:9000/ HTTP/1.1\r\nHost: localhost\r\n"
                   "Content-Length: 0\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n");

    options.proxy = NULL;
    setenv("http_proxy", url, 1);
    fetch_from(&options, &fetch);
    assert_memory_equal(fetch.text, "GET http://store.invalid:9000/ ", 31);
    setenv("no_proxy", "other, .invalid", 1);
    fetch_from(&options, &fetch);
    assert_int_equal(fetch.error.class, ERROR_DNS);
    unsetenv("http_proxy");
    unsetenv("no_proxy");
    http_server_stop(proxy);
}

static void serve_connect(struct http_peer *peer)
{
    if (http_peer_read_head(peer) && strncmp(peer->request, "CONNECT store.invalid:443 ", 26) == 0)
        http_peer_say(peer, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
}

static void tls_requests_ask_the_proxy_for_a_tunnel(void **state)
{
    struct http_server *proxy = http_server_start(serve_connect, false);
    struct http_client_options options = http_patient;
    struct fetch fetch;
    char url[64];

    (void)state;
    snprintf(url, sizeof url, "localhost:%u", http_server_port(proxy));
    options.scheme = "https";
    options.host = "store.invalid";
    options.port = 443;
    options.proxy = url;
    fetch_from(&options, &fetch);
    assert_int_equal(fetch.error.class, ERROR_NETWORK);
    assert_non_null(strstr(fetch.error.message, "403"));
    http_server_stop(proxy);
}

/* ---- transfers ------------------------------------------------------------------------------- */

static void serve_transfers(struct http_peer *peer)
{
    char *big;

    if (!http_peer_read_head(peer))
        return;
    if (strncmp(peer->request, "PUT /echo", 9) == 0) {
        http_peer_answer(peer, peer->request);
    } else if (strncmp(peer->request, "GET /big", 8) == 0) {
        big = calloc(1, 1 << 20);
        http_peer_say(peer, "HTTP/1.1 200 OK\r\n\r\n");
        while (http_peer_send(peer, big, 1 << 20))
            continue;
        free(big);
    } else {
        http_peer_read_head(peer); /* silence */
    }
}

static int transfer_to(const struct http_server *server, const char *method, const char *path,
                       struct buffer *body, struct error *err)
{
    static const char *const headers[] = {"X-Token: t", NULL};
    struct gate_scope scope;
    struct transfer transfer = {
        .method = method, .headers = headers, .timeout_ns = 300 * NS_PER_MS, .proxy = ""};
    int status = 0, rc;
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", http_server_port(server), path);
    transfer.url = url;
    gate_enter(&scope);
    rc = transfer_perform(&transfer, &status, body, err);
    gate_leave(&scope);
    return rc < 0 ? rc : status;
}

static void transfers(void **state)
{
    struct http_server *server;
    struct error err = {0};
    struct buffer body;

    (void)state;
    NOT_UNDER_TSAN();
    server = http_server_start(serve_transfers, false);
    buffer_init(&body, 4096);
    assert_int_equal(transfer_to(server, "PUT", "/echo", &body, &err), 200);
    assert_memory_equal(body.data, "PUT /echo HTTP/1.1\r\n", 20);
    assert_non_null(strstr(body.data, "X-Token: t\r\n"));
    assert_true(transfer_to(server, "GET", "/big", &body, &err) < 0);
    assert_int_equal(err.class, ERROR_PROTOCOL);
    assert_true(transfer_to(server, "GET", "/silence", &body, &err) < 0);
    assert_int_equal(err.class, ERROR_TIMEOUT);
    buffer_fini(&body);
    http_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_requests_by_proxy),
        cmocka_unit_test(tls_requests_ask_the_proxy_for_a_tunnel),
        cmocka_unit_test(transfers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
