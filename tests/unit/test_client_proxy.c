/* Proxies, engine/http/proxy.h, by way of the client. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http_fetch.h"

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

/* Says where the text comes from, not what it is. */
static void refused(const char *scheme, const char *setting, const char *named)
{
    struct http_client_options options = {
        .scheme = scheme, .host = "store.invalid", .port = 80, .proxy = setting};
    struct http_client *client;
    struct error err = {0};

    assert_int_equal(http_client_new(&options, &client, &err), -EINVAL);
    assert_int_equal(err.class, ERROR_INVALID);
    assert_non_null(strstr(err.message, named));
    assert_null(strstr(err.message, "secret"));
}

static void what_is_no_proxy_is_named(void **state)
{
    (void)state;
    refused("http", "http://me:secret@[::1", "S3DLIO_PROXY");
    refused("http", "http://me:secret@host:port", "S3DLIO_PROXY");
    setenv("http_proxy", "http://me:secret@[::1", 1);
    setenv("https_proxy", "http://me:secret@[::1", 1);
    refused("http", NULL, "http_proxy");
    refused("https", NULL, "https_proxy");
    unsetenv("http_proxy");
    unsetenv("https_proxy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_requests_by_proxy),
        cmocka_unit_test(tls_requests_ask_the_proxy_for_a_tunnel),
        cmocka_unit_test(what_is_no_proxy_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
