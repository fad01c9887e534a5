/* engine/http/client.h where peers are slow or wrong: deadlines, names, certificates, answers. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http_fetch.h"

/* ---- deadlines ------------------------------------------------------------------------------- */

static void no_first_byte(void **state)
{
    struct http_client_options options = http_patient;
    int64_t start_ns = clock_now_ns();
    struct fetch fetch;

    (void)state;
    options.first_byte_timeout_ns = 50 * NS_PER_MS;
    fetch_once(http_serve_silence, false, &options, &fetch);
    assert_fetch_error(&fetch, ERROR_TIMEOUT, "no answer from 127.0.0.1");
    assert_true(clock_now_ns() - start_ns >= 50 * NS_PER_MS);
    assert_int_equal(fetch.heads_written, 1);
}

static void serve_stall(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
    http_peer_read_head(peer);
}

static void no_progress(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.progress_timeout_ns = 50 * NS_PER_MS;
    fetch_once(serve_stall, false, &options, &fetch);
    assert_fetch_error(&fetch, ERROR_TIMEOUT, "no progress with");
    assert_string_equal(fetch.text, "ten bytes.");
}

static void serve_deaf(struct http_peer *peer)
{
    (void)peer;
    usleep(1000000); /* reads nothing: the upload stops when the buffers are full */
}

static void no_progress_sending(void **state)
{
    struct http_client_options options = http_patient;
    size_t length = (size_t)64 << 20;
    char *body = calloc(1, length);
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.progress_timeout_ns = 100 * NS_PER_MS;
    for (int tls = 0; tls < 2; tls++) {
        http_rig_open(&rig, serve_deaf, tls, &options);
        http_fetch_init(&fetch, "PUT", "/");
        fetch.body[0] = (struct iovec){body, length};
        fetch.request.body_count = 1;
        fetch_run(&rig, &fetch);
        assert_fetch_error(&fetch, ERROR_TIMEOUT, "no progress with");
        http_rig_close(&rig);
    }
    free(body);
}

static void a_paused_request_does_not_time_out(void **state)
{
    struct http_client_options options = http_patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.progress_timeout_ns = 50 * NS_PER_MS;
    http_rig_open(&rig, serve_stall, false, &options);
    http_fetch_init(&fetch, "GET", "/");
    fetch.pause_after = 10;
    fetch_submit(&rig, &fetch);
    for (int i = 0; i < 15; i++) {
        shard_unlock(rig.shard);
        usleep(10000);
        shard_lock(rig.shard);
    }
    assert_false(fetch.done);
    fetch.pause_after = 0;
    http_request_resume(&fetch.request);
    assert_int_equal(fetch_wait(&rig, &fetch), 0);
    assert_fetch_error(&fetch, ERROR_TIMEOUT, "no progress with");
    http_fetch_fini(&fetch);
    http_rig_close(&rig);
}

static void serve_drip(struct http_peer *peer)
{
    if (!http_peer_read_head(peer) || !http_peer_say(peer, "HTTP/1.1 200 OK\r\n\r\n"))
        return;
    while (http_peer_say(peer, "x"))
        usleep(5000);
}

static void deadline_of_the_request(void **state)
{
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, serve_drip, false, &http_patient);
    http_fetch_init(&fetch, "GET", "/");
    fetch.request.deadline_ns = clock_deadline_ns(100 * NS_PER_MS);
    fetch_run(&rig, &fetch);
    assert_fetch_error(&fetch, ERROR_TIMEOUT, "deadline");
    assert_true(fetch.received > 0);
    http_rig_close(&rig);
}

static void serve_slow_head(struct http_peer *peer)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow";

    while (http_peer_read_head(peer))
        for (const char *p = answer; *p; p++) {
            http_peer_send(peer, p, 1);
            usleep(1000);
        }
}

static void slow_head_is_no_silence(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.first_byte_timeout_ns = options.progress_timeout_ns = NS_PER_S;
    fetch_once(serve_slow_head, false, &options, &fetch);
    assert_fetched(&fetch, 200, "slow");
}

/* ---- no connection --------------------------------------------------------------------------- */

static void connection_refused(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.port = 1;
    fetch_from(&options, &fetch);
    assert_fetch_error(&fetch, ERROR_NETWORK, "cannot connect to 127.0.0.1:1");
}

static void unknown_host(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.host = "does-not-exist.invalid";
    options.connect_timeout_ns = 15 * NS_PER_S;
    options.port = 80;
    fetch_from(&options, &fetch);
    assert_fetch_error(&fetch, ERROR_DNS, "cannot resolve does-not-exist.invalid: ");
}

static void name_with_several_addresses(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.host = "localhost"; /* perhaps ::1 as well, where nobody listens */
    for (int tls = 0; tls < 2; tls++) {
        fetch_once(http_serve_hello, tls, &options, &fetch);
        assert_fetched(&fetch, 200, "hello");
    }
}

static void handshake_that_never_ends(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.scheme = "https";
    options.connect_timeout_ns = 100 * NS_PER_MS;
    options.tls_verify = false;
    fetch_once(http_serve_silence, false, &options, &fetch);
    assert_int_equal(fetch.error.class, ERROR_TIMEOUT);
}

static void client_freed_while_it_connects(void **state)
{
    struct http_client_options options = http_patient;
    int64_t start_ns = clock_now_ns();
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.scheme = "https";
    options.tls_verify = false;
    http_rig_open(&rig, http_serve_silence, false, &options);
    http_fetch_init(&fetch, "GET", "/");
    fetch_submit(&rig, &fetch);
    shard_unlock(rig.shard);
    usleep(20000);
    shard_lock(rig.shard);
    http_request_abandon(&fetch.request);
    http_rig_close(&rig);
    assert_true(clock_now_ns() - start_ns < 4 * NS_PER_S);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void certificate_is_verified(void **state)
{
    struct http_client_options options = http_patient;
    struct http_server *other = http_server_start(http_serve_hello, true);
    struct fetch fetch;

    (void)state;
    options.ca_file = http_server_ca_file(other);
    fetch_once(http_serve_hello, true, &options, &fetch);
    assert_fetch_error(&fetch, ERROR_TLS, "certificate");

    options.tls_verify = false;
    fetch_once(http_serve_hello, true, &options, &fetch);
    assert_fetched(&fetch, 200, "hello");
    http_server_stop(other);
}

static void name_in_the_certificate_is_verified(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.host = "127.0.0.2"; /* the certificate says 127.0.0.1 */
    fetch_once(http_serve_hello, true, &options, &fetch);
    if (fetch.error.class != ERROR_NETWORK) /* the server listens on 127.0.0.1 only */
        assert_int_equal(fetch.error.class, ERROR_TLS);
}

static void authorities_that_cannot_be_read(void **state)
{
    static const char *const files[] = {"/nonexistent/ca.pem", "/dev/null"};
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    for (int i = 0; i < 2; i++) {
        options.ca_file = files[i];
        fetch_once(http_serve_hello, true, &options, &fetch);
        assert_fetch_error(&fetch, ERROR_TLS, files[i]);
    }
}

static void plain_server_for_tls(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.scheme = "https";
    fetch_once(http_serve_hello, false, &options, &fetch);
    assert_true(fetch.error.class == ERROR_TLS || fetch.error.class == ERROR_TIMEOUT);
}

/* A TLS peer that is gone must not kill the program by SIGPIPE. */
static void serve_hello_and_vanish(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_answer(peer, "hello");
    http_peer_reset(peer);
}

static void no_sigpipe(void **state)
{
    struct http_client_options options = http_patient;
    struct http_rig rig;
    struct fetch fetch;
    char *body = calloc(1, (size_t)4 << 20);
    sigset_t pending;

    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        http_rig_open(&rig, serve_hello_and_vanish, tls, &options);
        for (int i = 0; i < 10; i++) {
            http_fetch_init(&fetch, "PUT", "/");
            fetch.body[0] = (struct iovec){body, (size_t)4 << 20};
            fetch.request.body_count = 1;
            fetch_run(&rig, &fetch);
        }
        sigpending(&pending);
        assert_int_equal(sigismember(&pending, SIGPIPE), 0);
        http_rig_close(&rig);
    }
    free(body);
}

/* ---- answers that are refused ---------------------------------------------------------------- */

static void serve_garbage(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "SSH-2.0-OpenSSH_9.2\r\n");
    http_peer_read_head(peer);
}

static void not_http(void **state)
{
    struct fetch fetch;

    (void)state;
    fetch_once(serve_garbage, false, NULL, &fetch);
    assert_int_equal(fetch.error.class, ERROR_PROTOCOL);
}

static void serve_endless_head(struct http_peer *peer)
{
    if (!http_peer_read_head(peer))
        return;
    http_peer_say(peer, "HTTP/1.1 200 OK\r\n");
    while (
        http_peer_say(peer, "X-Name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"))
        continue;
}

static void oversized_head(void **state)
{
    struct fetch fetch;

    (void)state;
    fetch_once(serve_endless_head, false, NULL, &fetch);
    assert_int_equal(fetch.error.class, ERROR_PROTOCOL);
}

static void owner_refuses_the_head(void **state)
{
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, http_serve_hello, false, NULL);
    http_fetch_init(&fetch, "GET", "/");
    fetch.fail_head = true;
    fetch_run(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_PROTOCOL);
    assert_string_equal(fetch.error.message, "not this answer");
    fetch_get(&rig, &fetch);
    assert_fetched(&fetch, 200, "hello");
    assert_int_equal(http_server_connections(rig.server), 2);
    http_rig_close(&rig);
}

static void no_head_to_send(void **state)
{
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, http_serve_hello, false, NULL);
    http_fetch_init(&fetch, "GET", "/");
    fetch.write_head_errno = EACCES;
    fetch_run(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_ACCESS);
    fetch_get(&rig, &fetch); /* the connection was not touched */
    assert_fetched(&fetch, 200, "hello");
    assert_int_equal(http_server_connections(rig.server), 1);
    http_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_first_byte),
        cmocka_unit_test(no_progress),
        cmocka_unit_test(no_progress_sending),
        cmocka_unit_test(a_paused_request_does_not_time_out),
        cmocka_unit_test(deadline_of_the_request),
        cmocka_unit_test(slow_head_is_no_silence),
        cmocka_unit_test(connection_refused),
        cmocka_unit_test(unknown_host),
        cmocka_unit_test(name_with_several_addresses),
        cmocka_unit_test(handshake_that_never_ends),
        cmocka_unit_test(client_freed_while_it_connects),
        cmocka_unit_test(certificate_is_verified),
        cmocka_unit_test(name_in_the_certificate_is_verified),
        cmocka_unit_test(authorities_that_cannot_be_read),
        cmocka_unit_test(plain_server_for_tls),
        cmocka_unit_test(no_sigpipe),
        cmocka_unit_test(not_http),
        cmocka_unit_test(oversized_head),
        cmocka_unit_test(owner_refuses_the_head),
        cmocka_unit_test(no_head_to_send),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
