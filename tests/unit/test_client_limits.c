/* engine/http/client.h where things are scarce, slow or wrong: deadlines, queues, several shards and
 * threads, fork, names, certificates, proxies. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/transfer.h"
#include "http_fetch.h"
#include "sanitizer.h"

static const struct http_client_options patient = {
    .host = "127.0.0.1",
    .proxy = "",
    .tls_verify = true,
    .connections_max = 16,
    .idle_timeout_ns = 10 * NS_PER_S,
    .connect_timeout_ns = 5 * NS_PER_S,
    .first_byte_timeout_ns = 10 * NS_PER_S,
    .progress_timeout_ns = 10 * NS_PER_S,
};

static void get(struct http_rig *rig, struct fetch *fetch)
{
    http_fetch_init(fetch, "GET", "/");
    fetch_run(rig, fetch);
}

static void assert_error(const struct fetch *fetch, enum error_class class, const char *part)
{
    if (fetch->error.class != class || !strstr(fetch->error.message, part))
        fail_msg("%s: %s", error_class_name(fetch->error.class), fetch->error.message);
}

static void serve_hello(struct http_peer *peer)
{
    while (http_peer_read_head(peer) && http_peer_answer(peer, "hello"))
        continue;
}

/* ---- deadlines -------------------------------------------------------------------------------- */

static void serve_silence(struct http_peer *peer)
{
    http_peer_read_head(peer);
    http_peer_read_head(peer); /* until the client hangs up */
}

static void no_first_byte(void **state)
{
    struct http_client_options options = patient;
    int64_t start_ns = clock_now_ns();
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.first_byte_timeout_ns = 50 * NS_PER_MS;
    http_rig_open(&rig, serve_silence, false, &options);
    get(&rig, &fetch);
    assert_error(&fetch, ERROR_TIMEOUT, "no answer from 127.0.0.1");
    assert_true(clock_now_ns() - start_ns >= 50 * NS_PER_MS);
    assert_int_equal(fetch.heads_written, 1);
    http_rig_close(&rig);
}

static void serve_stall(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.");
    http_peer_read_head(peer);
}

static void no_progress(void **state)
{
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.progress_timeout_ns = 50 * NS_PER_MS;
    http_rig_open(&rig, serve_stall, false, &options);
    get(&rig, &fetch);
    assert_error(&fetch, ERROR_TIMEOUT, "no progress with");
    assert_string_equal(fetch.text, "ten bytes.");
    http_rig_close(&rig);
}

static void serve_deaf(struct http_peer *peer)
{
    (void)peer;
    usleep(1000000); /* reads nothing: the upload stops when the buffers are full */
}

static void no_progress_sending(void **state)
{
    struct http_client_options options = patient;
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
        assert_error(&fetch, ERROR_TIMEOUT, "no progress with");
        http_rig_close(&rig);
    }
    free(body);
}

static void a_paused_request_does_not_time_out(void **state)
{
    struct http_client_options options = patient;
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
    assert_error(&fetch, ERROR_TIMEOUT, "no progress with");
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
    http_rig_open(&rig, serve_drip, false, &patient);
    http_fetch_init(&fetch, "GET", "/");
    fetch.request.deadline_ns = clock_deadline_ns(100 * NS_PER_MS);
    fetch_run(&rig, &fetch);
    assert_error(&fetch, ERROR_TIMEOUT, "deadline");
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
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.first_byte_timeout_ns = options.progress_timeout_ns = NS_PER_S;
    http_rig_open(&rig, serve_slow_head, false, &options);
    get(&rig, &fetch);
    assert_fetched(&fetch, 200, "slow");
    http_rig_close(&rig);
}

/* ---- no connection ---------------------------------------------------------------------------- */

static void fetch_from(struct http_client_options *options, struct fetch *fetch)
{
    struct http_rig rig = {0};

    if (!options->scheme)
        options->scheme = "http";
    gate_enter(&rig.scope);
    assert_int_equal(shard_new(0, &rig.shard), 0);
    assert_int_equal(http_client_new(options, &rig.client), 0);
    shard_lock(rig.shard);
    get(&rig, fetch);
    shard_unlock(rig.shard);
    http_client_free(rig.client);
    shard_free(rig.shard);
    gate_leave(&rig.scope);
}

static void connection_refused(void **state)
{
    struct http_client_options options = patient;
    struct fetch fetch;

    (void)state;
    options.port = 1;
    fetch_from(&options, &fetch);
    assert_error(&fetch, ERROR_NETWORK, "cannot connect to 127.0.0.1:1");
}

static void unknown_host(void **state)
{
    struct http_client_options options = patient;
    struct fetch fetch;

    (void)state;
    options.host = "does-not-exist.invalid";
    options.connect_timeout_ns = 15 * NS_PER_S;
    options.port = 80;
    fetch_from(&options, &fetch);
    assert_error(&fetch, ERROR_DNS, "cannot resolve does-not-exist.invalid: ");
}

static void name_with_several_addresses(void **state)
{
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.host = "localhost"; /* perhaps ::1 as well, where nobody listens */
    for (int tls = 0; tls < 2; tls++) {
        http_rig_open(&rig, serve_hello, tls, &options);
        get(&rig, &fetch);
        assert_fetched(&fetch, 200, "hello");
        http_rig_close(&rig);
    }
}

static void handshake_that_never_ends(void **state)
{
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.scheme = "https";
    options.connect_timeout_ns = 100 * NS_PER_MS;
    options.tls_verify = false;
    http_rig_open(&rig, serve_silence, false, &options);
    get(&rig, &fetch);
    assert_int_equal(fetch.error.class, ERROR_TIMEOUT);
    http_rig_close(&rig);
}

static void client_freed_while_it_connects(void **state)
{
    struct http_client_options options = patient;
    int64_t start_ns = clock_now_ns();
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.scheme = "https";
    options.tls_verify = false;
    http_rig_open(&rig, serve_silence, false, &options);
    http_fetch_init(&fetch, "GET", "/");
    fetch_submit(&rig, &fetch);
    shard_unlock(rig.shard);
    usleep(20000);
    shard_lock(rig.shard);
    http_request_abandon(&fetch.request);
    http_rig_close(&rig);
    assert_true(clock_now_ns() - start_ns < 4 * NS_PER_S);
}

/* ---- TLS -------------------------------------------------------------------------------------- */

static void certificate_is_verified(void **state)
{
    struct http_client_options options = patient;
    struct http_server *other = http_server_start(serve_hello, true);
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.ca_file = http_server_ca_file(other);
    http_rig_open(&rig, serve_hello, true, &options);
    get(&rig, &fetch);
    assert_error(&fetch, ERROR_TLS, "certificate");
    http_rig_close(&rig);

    options.tls_verify = false;
    http_rig_open(&rig, serve_hello, true, &options);
    get(&rig, &fetch);
    assert_fetched(&fetch, 200, "hello");
    http_rig_close(&rig);
    http_server_stop(other);
}

static void name_in_the_certificate_is_verified(void **state)
{
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.host = "127.0.0.2"; /* the certificate says 127.0.0.1 */
    http_rig_open(&rig, serve_hello, true, &options);
    get(&rig, &fetch);
    if (fetch.error.class != ERROR_NETWORK) /* the server listens on 127.0.0.1 only */
        assert_int_equal(fetch.error.class, ERROR_TLS);
    http_rig_close(&rig);
}

static void authorities_that_cannot_be_read(void **state)
{
    static const char *const files[] = {"/nonexistent/ca.pem", "/dev/null"};
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    for (int i = 0; i < 2; i++) {
        options.ca_file = files[i];
        http_rig_open(&rig, serve_hello, true, &options);
        get(&rig, &fetch);
        assert_error(&fetch, ERROR_TLS, files[i]);
        http_rig_close(&rig);
    }
}

static void plain_server_for_tls(void **state)
{
    struct http_client_options options = patient;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.scheme = "https";
    http_rig_open(&rig, serve_hello, false, &options);
    get(&rig, &fetch);
    assert_true(fetch.error.class == ERROR_TLS || fetch.error.class == ERROR_TIMEOUT);
    http_rig_close(&rig);
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
    struct http_client_options options = patient;
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

/* ---- many ------------------------------------------------------------------------------------- */

static void one_connection_for_all(void **state)
{
    struct http_client_options options = patient;
    struct fetch fetches[8];
    struct http_rig rig;

    (void)state;
    options.connections_max = 1;
    http_rig_open(&rig, serve_hello, false, &options);
    for (int i = 0; i < 8; i++) {
        http_fetch_init(&fetches[i], "GET", "/");
        fetch_submit(&rig, &fetches[i]);
    }
    for (int i = 7; i >= 0; i--) {
        assert_int_equal(fetch_wait(&rig, &fetches[i]), 0);
        assert_fetched(&fetches[i], 200, "hello");
        http_fetch_fini(&fetches[i]);
    }
    assert_int_equal(http_server_connections(rig.server), 1);
    http_rig_close(&rig);
}

static void deadline_in_the_queue(void **state)
{
    struct http_client_options options = patient;
    struct fetch first, second, third;
    struct http_rig rig;

    (void)state;
    options.connections_max = 1;
    http_rig_open(&rig, serve_silence, false, &options);
    http_fetch_init(&first, "GET", "/");
    fetch_submit(&rig, &first);
    http_fetch_init(&third, "GET", "/");
    third.request.deadline_ns = clock_deadline_ns(150 * NS_PER_MS);
    fetch_submit(&rig, &third);
    http_fetch_init(&second, "GET", "/");
    second.request.deadline_ns = clock_deadline_ns(50 * NS_PER_MS);
    fetch_run(&rig, &second);
    assert_error(&second, ERROR_TIMEOUT, "no connection to");
    assert_false(third.done);
    assert_int_equal(fetch_wait(&rig, &third), 0);
    assert_error(&third, ERROR_TIMEOUT, "no connection to");
    assert_false(first.done);
    http_request_abandon(&first.request);
    http_rig_close(&rig);
}

/* The connection is idle on one shard when another needs it. */
static void shards_share_connections_max(void **state)
{
    struct http_client_options options = patient;
    struct http_client_stats stats;
    struct http_rig rig, second;
    struct fetch fetch;

    (void)state;
    options.connections_max = 1;
    http_rig_open(&rig, serve_hello, false, &options);
    second = rig;
    assert_int_equal(shard_new(1, &second.shard), 0);
    for (int i = 0; i < 6; i++) {
        struct http_rig *at = i % 2 ? &second : &rig;

        if (at == &second) {
            shard_unlock(rig.shard);
            shard_lock(second.shard);
        }
        get(at, &fetch);
        assert_fetched(&fetch, 200, "hello");
        if (at == &second) {
            shard_unlock(second.shard);
            shard_lock(rig.shard);
        }
    }
    http_client_get_stats(rig.client, &stats);
    assert_int_equal(stats.connections_open, 1);
    assert_int_equal(stats.connections_opened, 6);
    shard_unlock(rig.shard);
    http_client_free(rig.client);
    rig.client = NULL;
    shard_free(second.shard);
    shard_lock(rig.shard);
    http_rig_close(&rig);
}

struct worker {
    struct http_rig *rig;
    unsigned wrong;
};

#define WORKER_ROUNDS 200

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct http_rig rig = *self->rig;

    for (int i = 0; i < WORKER_ROUNDS; i++) {
        struct gate_scope scope;
        struct fetch fetch;

        http_fetch_init(&fetch, "GET", "/");
        gate_enter(&scope);
        shard_lock(rig.shard);
        fetch_submit(&rig, &fetch);
        if (fetch_wait(&rig, &fetch) != 0 || fetch.error.class != ERROR_NONE ||
            strcmp(fetch.text, "hello") != 0)
            self->wrong++;
        shard_unlock(rig.shard);
        gate_leave(&scope);
        http_fetch_fini(&fetch);
    }
    return NULL;
}

static void four_threads_on_one_shard(void **state)
{
    struct http_client_options options = patient;
    struct worker workers[4];
    pthread_t threads[4];
    struct http_rig rig;

    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        options.connections_max = tls ? 3 : 16; /* fewer than threads, too */
        http_rig_open(&rig, serve_hello, tls, &options);
        shard_unlock(rig.shard);
        for (int i = 0; i < 4; i++) {
            workers[i] = (struct worker){.rig = &rig};
            pthread_create(&threads[i], NULL, worker_main, &workers[i]);
        }
        gate_sleep_begin(0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        gate_sleep_end(0);
        for (int i = 0; i < 4; i++)
            assert_int_equal(workers[i].wrong, 0);
        shard_lock(rig.shard);
        http_rig_close(&rig);
    }
}

/* ---- fork ------------------------------------------------------------------------------------- */

static int child_main(struct http_rig *rig)
{
    struct gate_scope scope;
    struct fetch fetch;
    int status = 0;

    alarm(30);
    gate_enter(&scope);
    shard_reset_child(rig->shard);
    http_client_reset_child(rig->client);
    shard_lock(rig->shard);
    for (int i = 0; i < 3; i++) {
        http_fetch_init(&fetch, "GET", "/");
        fetch_submit(rig, &fetch);
        if (fetch_wait(rig, &fetch) != 0 || fetch.error.class != ERROR_NONE)
            status |= 1;
        if (strcmp(fetch.text, "hello") != 0)
            status |= 2;
        http_fetch_fini(&fetch);
    }
    shard_unlock(rig->shard);
    gate_leave(&scope);
    return status;
}

/* The child's last words would be closes of what it shares with the parent, if it did not know. */
static void children_make_their_own(void **state)
{
    struct worker workers[2];
    pthread_t threads[2];
    struct http_rig rig;

    (void)state;
    NOT_UNDER_TSAN();
    for (int tls = 0; tls < 2; tls++) {
        http_rig_open(&rig, serve_hello, tls, &patient);
        shard_unlock(rig.shard);
        gate_leave(&rig.scope);
        for (int i = 0; i < 2; i++) {
            workers[i] = (struct worker){.rig = &rig};
            pthread_create(&threads[i], NULL, worker_main, &workers[i]);
        }
        for (int i = 0; i < 20; i++) {
            int status = -1;
            pid_t pid;

            gate_fork_prepare();
            pid = fork();
            if (pid == 0) {
                gate_fork_child();
                _exit(child_main(&rig));
            }
            gate_fork_parent();
            assert_int_equal(waitpid(pid, &status, 0), pid);
            assert_int_equal(status, 0);
        }
        for (int i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(workers[i].wrong, 0);
        }
        gate_enter(&rig.scope);
        shard_lock(rig.shard);
        http_rig_close(&rig);
    }
}

/* ---- descriptors ------------------------------------------------------------------------------ */

static void owns_its_descriptors(void **state)
{
    int lowest = open("/dev/null", O_RDONLY), owned = 0, again;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, serve_hello, true, &patient);
    get(&rig, &fetch);
    for (int fd = 3; fd < 4096; fd++) {
        if (!http_owns_fd(fd))
            continue;
        owned++;
        assert_true(fd >= 128);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    }
    assert_true(owned >= 5); /* two loops of two each, and the connection */
    http_rig_close(&rig);
    close(lowest);
    again = open("/dev/null", O_RDONLY);
    assert_int_equal(again, lowest);
    close(again);
}

/* ---- proxies ---------------------------------------------------------------------------------- */

static void serve_echo(struct http_peer *peer)
{
    while (http_peer_read_head(peer) && http_peer_answer(peer, peer->request))
        continue;
}

static void plain_requests_by_proxy(void **state)
{
    struct http_server *proxy = http_server_start(serve_echo, false);
    struct http_client_options options = patient;
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
    struct http_client_options options = patient;
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

/* ---- transfers -------------------------------------------------------------------------------- */

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
        cmocka_unit_test(one_connection_for_all),
        cmocka_unit_test(deadline_in_the_queue),
        cmocka_unit_test(shards_share_connections_max),
        cmocka_unit_test(four_threads_on_one_shard),
        cmocka_unit_test(children_make_their_own),
        cmocka_unit_test(owns_its_descriptors),
        cmocka_unit_test(plain_requests_by_proxy),
        cmocka_unit_test(tls_requests_ask_the_proxy_for_a_tunnel),
        cmocka_unit_test(transfers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
