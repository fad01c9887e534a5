/* engine/http/client.h against a scripted server: exchanges, and every way they can go wrong.
 * Each test runs plain; the group "over TLS" runs those again where TLS makes a difference. */
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http_fetch.h"

static bool with_tls;

/* Of the present test: it opens it, close_rig is its teardown. */
static struct http_rig rig;

static void open_rig(http_serve_fn *serve)
{
    http_rig_open(&rig, serve, with_tls, NULL);
}

static int close_rig(void **state)
{
    http_rig_close(&rig);
    return 0;
}

static uint64_t sum_of(const char *data, size_t length)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < length; i++)
        sum += (uint64_t)(unsigned char)data[i] * (i + 1);
    return sum;
}

/* ---- the normal course ----------------------------------------------------------------------- */

static void keeps_connections(void **state)
{
    struct http_client_stats stats;
    struct fetch fetch;

    open_rig(http_serve_hello);
    for (int i = 0; i < 5; i++) {
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "hello");
    }
    assert_int_equal(http_server_connections(rig.server), 1);
    http_client_get_stats(rig.client, &stats);
    assert_int_equal(stats.connections_opened, 1);
    assert_int_equal(stats.connections_open, 1);
    assert_int_equal(stats.connections_idle, 1);
    assert_int_equal(stats.reused, 4);
    if (with_tls)
        assert_memory_equal(http_client_tls(rig.client), "TLSv1.3 TLS_", 12);
    else
        assert_string_equal(http_client_tls(rig.client), "");
}

static void serve_echo_head(struct http_peer *peer)
{
    while (http_peer_read_head(peer) && http_peer_answer(peer, peer->request))
        continue;
}

static void sends_what_write_head_wrote(void **state)
{
    struct fetch fetch;

    open_rig(serve_echo_head);
    http_fetch_init(&fetch, "GET", "/a%20b?c=d");
    fetch_run(&rig, &fetch);
    assert_fetched(&fetch, 200,
                   "GET /a%20b?c=d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
}

static void serve_chunked(struct http_peer *peer)
{
    while (http_peer_read_head(peer)) {
        http_peer_say(peer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n5\r\nhel");
        usleep(2000);
        http_peer_say(peer, "lo\r\n7\r\n, world\r");
        usleep(2000);
        http_peer_say(peer, "\n0\r\n\r\n");
    }
}

static void chunked_bodies(void **state)
{
    struct fetch fetch;

    open_rig(serve_chunked);
    for (size_t room = 0; room < 4; room++) {
        http_fetch_init(&fetch, "GET", "/");
        fetch.room = room; /* also less than a chunk */
        fetch_run(&rig, &fetch);
        assert_fetched(&fetch, 200, "hello, world");
    }
    assert_int_equal(http_server_connections(rig.server), 1);
}

static void serve_heads(struct http_peer *peer)
{
    while (http_peer_read_head(peer)) {
        if (strncmp(peer->request, "HEAD", 4) == 0)
            http_peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        else
            http_peer_say(peer, "HTTP/1.1 204 No Content\r\n\r\n");
    }
}

static void answers_without_body(void **state)
{
    struct fetch fetch;

    open_rig(serve_heads);
    http_fetch_init(&fetch, "HEAD", "/");
    fetch.request.head_only = true;
    fetch_run(&rig, &fetch);
    assert_fetched(&fetch, 200, "");
    http_fetch_init(&fetch, "DELETE", "/");
    fetch_run(&rig, &fetch);
    assert_fetched(&fetch, 204, "");
    assert_int_equal(http_server_connections(rig.server), 1);
}

static void serve_until_close(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "HTTP/1.1 200 OK\r\n\r\nthat is all");
}

static void body_until_close(void **state)
{
    struct fetch fetch;

    open_rig(serve_until_close);
    for (int i = 0; i < 2; i++) {
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "that is all");
    }
    assert_int_equal(http_server_connections(rig.server), 2);
}

#define BIG_BYTES ((size_t)100 << 20)
static char *big;

static int make_big(void **state)
{
    big = malloc(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES / 8; i++)
        ((uint64_t *)(void *)big)[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    return 0;
}

static int free_big(void **state)
{
    free(big);
    return 0;
}

static void serve_big(struct http_peer *peer)
{
    char head[100];

    while (http_peer_read_head(peer)) {
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", BIG_BYTES);
        if (!http_peer_say(peer, head) || !http_peer_send(peer, big, BIG_BYTES))
            return;
    }
}

static void big_body(void **state)
{
    struct fetch fetch;

    open_rig(serve_big);
    fetch_get(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_NONE);
    assert_int_equal(fetch.received, BIG_BYTES);
    assert_true(fetch.sum == sum_of(big, BIG_BYTES));
    assert_true(pthread_equal(fetch.done_on, pthread_self()));
}

static void serve_upload(struct http_peer *peer)
{
    while (http_peer_read_head(peer)) {
        const char *length = strstr(peer->request, "Content-Length: ");

        if (!length || !http_peer_read_body(peer, strtoul(length + 16, NULL, 10)) ||
            !http_peer_answer(peer, "stored"))
            return;
    }
}

static void big_upload_in_parts(void **state)
{
    struct fetch fetch;

    open_rig(serve_upload);
    for (int i = 0; i < 2; i++) {
        http_fetch_init(&fetch, "PUT", "/");
        fetch.body[0] = (struct iovec){big, 1};
        fetch.body[1] = (struct iovec){big + 1, 0};
        fetch.body[2] = (struct iovec){big + 1, (size_t)20 << 20};
        fetch.body[3] = (struct iovec){big + 5, 12345};
        fetch.request.body_count = 4;
        fetch_run(&rig, &fetch);
        assert_fetched(&fetch, 200, "stored");
        assert_int_equal(fetch.request.body_sent, 1 + ((size_t)20 << 20) + 12345);
    }
    assert_int_equal(http_server_connections(rig.server), 1);
}

static void pauses_and_resumes(void **state)
{
    struct fetch fetch;

    open_rig(serve_big);
    http_fetch_init(&fetch, "GET", "/");
    fetch.room = 300000;
    fetch.pause_after = 1;
    fetch_submit(&rig, &fetch);
    while (!fetch.done) {
        int64_t deadline_ns = clock_deadline_ns(20 * NS_PER_S);
        size_t before = fetch.received;

        while (!fetch.request.paused && !fetch.done && clock_now_ns() < deadline_ns) {
            shard_unlock(rig.shard); /* for the dialer */
            shard_lock(rig.shard);
            shard_poll(rig.shard);
        }
        if (fetch.done)
            break;
        assert_true(fetch.request.paused);
        assert_false(http_request_advance(&fetch.request));
        for (int i = 0; i < 3; i++)
            shard_poll(rig.shard); /* events while paused */
        assert_true(fetch.received > before);
        fetch.pause_after = fetch.received + ((size_t)9 << 20);
        http_request_resume(&fetch.request);
    }
    assert_int_equal(fetch.error.class, ERROR_NONE);
    assert_int_equal(fetch.received, BIG_BYTES);
    assert_true(fetch.sum == sum_of(big, BIG_BYTES));
    http_fetch_fini(&fetch);
}

static void background_receives_while_nobody_waits(void **state)
{
    struct fetch fetch;

    open_rig(http_serve_hello);
    http_fetch_init(&fetch, "GET", "/");
    fetch_submit(&rig, &fetch);
    for (int i = 0; i < 1000 && !fetch.done; i++) {
        shard_unlock(rig.shard);
        usleep(5000);
        shard_lock(rig.shard);
    }
    assert_true(fetch.done);
    assert_fetched(&fetch, 200, "hello");
    assert_false(pthread_equal(fetch.done_on, pthread_self()));
    http_fetch_fini(&fetch);
}

/* ---- connections that go away ---------------------------------------------------------------- */

static void serve_one_then_close(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_answer(peer, "once"); /* says nothing of closing */
}

static void closed_idle_connection_is_not_used(void **state)
{
    struct fetch fetch;

    open_rig(serve_one_then_close);
    for (int i = 0; i < 3; i++) {
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "once");
        assert_int_equal(fetch.heads_written, 1);
        usleep(20000); /* its end arrives */
    }
    assert_int_equal(http_server_connections(rig.server), 3);
}

/* The second request on a connection is read, then the connection dies without an answer. */
static void serve_drop_second(struct http_peer *peer)
{
    if (!http_peer_read_head(peer) || !http_peer_answer(peer, "first"))
        return;
    if (http_peer_read_head(peer) && peer->number % 2)
        http_peer_reset(peer);
}

static void failure_on_a_reused_connection_is_repeated(void **state)
{
    struct fetch fetch;

    open_rig(serve_drop_second);
    fetch_get(&rig, &fetch);
    for (int i = 0; i < 4; i++) { /* closed and reset in turn */
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "first");
        assert_int_equal(fetch.heads_written, 2);
        assert_true(fetch.request.repeated);
    }
    assert_int_equal(http_server_connections(rig.server), 5);
}

static void serve_reset_at_once(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_reset(peer);
}

static void failure_on_a_new_connection_is_reported(void **state)
{
    struct fetch fetch;

    open_rig(serve_reset_at_once);
    fetch_get(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_NETWORK);
    assert_int_equal(fetch.heads_written, 1);
}

static void serve_truncated(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
}

static void truncated_body(void **state)
{
    struct fetch fetch;

    open_rig(serve_truncated);
    fetch_get(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_NETWORK);
    assert_string_equal(fetch.text, "half");
}

static void serve_refuse_early(struct http_peer *peer)
{
    if (!http_peer_read_head(peer))
        return;
    http_peer_say(peer, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    http_peer_read_body(peer, (size_t)64 << 20); /* the client stops before that */
}

static void answer_before_the_body_was_sent(void **state)
{
    struct fetch fetch;

    open_rig(serve_refuse_early);
    http_fetch_init(&fetch, "PUT", "/");
    fetch.body[0] = (struct iovec){big, (size_t)64 << 20};
    fetch.request.body_count = 1;
    fetch_run(&rig, &fetch);
    assert_fetched(&fetch, 403, "no");
}

static void serve_refuse_and_close(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    usleep(50000); /* sends RST for what it did not read */
}

static void answer_and_close_before_the_body_was_sent(void **state)
{
    struct fetch fetch;

    open_rig(serve_refuse_and_close);
    http_fetch_init(&fetch, "PUT", "/");
    fetch.body[0] = (struct iovec){big, (size_t)64 << 20};
    fetch.request.body_count = 1;
    fetch_run(&rig, &fetch);
    assert_fetched(&fetch, 403, "no");
}

/* ---- answers that are refused ---------------------------------------------------------------- */

static void serve_endless_body(struct http_peer *peer)
{
    if (http_peer_read_head(peer) && http_peer_say(peer, "HTTP/1.1 200 OK\r\n\r\n"))
        while (http_peer_send(peer, big, 1 << 16))
            continue;
}

static void endless_body_ends_with_the_owners_patience(void **state)
{
    struct fetch fetch;

    open_rig(serve_endless_body);
    http_fetch_init(&fetch, "GET", "/");
    fetch.fail_after = (size_t)10 << 20;
    fetch_run(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_TOO_LARGE);
}

/* What follows an answer must not become the next one. */
static void serve_too_much(struct http_peer *peer)
{
    while (http_peer_read_head(peer) &&
           http_peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"
                               "Content-Length: 4\r\n\r\nevil"))
        continue;
}

static void bytes_behind_an_answer(void **state)
{
    struct fetch fetch;

    open_rig(serve_too_much);
    for (int i = 0; i < 3; i++) {
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "ok");
    }
    assert_int_equal(http_server_connections(rig.server), 3);
}

/* ---- abandoning ------------------------------------------------------------------------------ */

static void abandoned_requests_are_forgotten(void **state)
{
    struct http_client_stats stats;
    struct fetch queued, running;

    open_rig(serve_big);
    http_fetch_init(&queued, "GET", "/");
    fetch_submit(&rig, &queued); /* waits for its connection */
    http_request_abandon(&queued.request);
    http_fetch_init(&running, "GET", "/");
    fetch_submit(&rig, &running);
    while (running.received < 1000000 && !running.done) {
        shard_unlock(rig.shard);
        usleep(1000);
        shard_lock(rig.shard);
    }
    if (running.done)
        fail_msg("%s after %zu bytes", running.error.message, running.received);
    http_request_abandon(&running.request);
    assert_false(queued.done);
    http_fetch_fini(&running);
    fetch_get(&rig, &running);
    assert_int_equal(running.received, BIG_BYTES);
    http_client_get_stats(rig.client, &stats);
    assert_true(stats.connections_open <= 2);
}

static atomic_uint resumed;

static void serve_one(struct http_peer *peer)
{
    resumed += SSL_session_reused(peer->ssl) == 1;
    if (http_peer_read_head(peer))
        http_peer_answer(peer, "hello");
}

static void tls_sessions_are_resumed(void **state)
{
    struct fetch fetch;

    resumed = 0;
    open_rig(serve_one);
    for (unsigned i = 0; i < 5; i++) {
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "hello");
    }
    assert_int_equal(http_server_connections(rig.server), 5);
    assert_int_equal(resumed, 4);
}

/* The server leaves the choice to the client. */
static void the_fastest_cipher_comes_first(void **state)
{
#if defined __x86_64__
    bool has_aes = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
    const char *expected =
        has_aes ? "TLSv1.3 TLS_AES_128_GCM_SHA256" : "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256";
    struct fetch fetch;

    open_rig(http_serve_hello);
    fetch_get(&rig, &fetch);
    assert_fetched(&fetch, 200, "hello");
    assert_string_equal(http_client_tls(rig.client), expected);
#else
    skip();
#endif
}

int main(void)
{
#define TEST(function) cmocka_unit_test_teardown(function, close_rig)
#define EITHER_WAY                                                                                 \
    TEST(keeps_connections), TEST(sends_what_write_head_wrote), TEST(chunked_bodies),              \
        TEST(answers_without_body), TEST(body_until_close), TEST(big_body),                        \
        TEST(big_upload_in_parts), TEST(pauses_and_resumes),                                       \
        TEST(background_receives_while_nobody_waits), TEST(closed_idle_connection_is_not_used),    \
        TEST(failure_on_a_reused_connection_is_repeated),                                          \
        TEST(failure_on_a_new_connection_is_reported), TEST(truncated_body),                       \
        TEST(answer_before_the_body_was_sent), TEST(endless_body_ends_with_the_owners_patience),   \
        TEST(bytes_behind_an_answer), TEST(abandoned_requests_are_forgotten)
    const struct CMUnitTest plain[] = {
        EITHER_WAY,
        TEST(answer_and_close_before_the_body_was_sent),
    };
    const struct CMUnitTest tls[] = {
        EITHER_WAY,
        TEST(tls_sessions_are_resumed),
        TEST(the_fastest_cipher_comes_first),
    };
    int failed = cmocka_run_group_tests_name("client", plain, make_big, free_big);

    with_tls = true;
    return failed + cmocka_run_group_tests_name("client over TLS", tls, make_big, free_big);
}
