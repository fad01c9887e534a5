/* engine/http/client.h, long bodies: how often their bytes wake, and that none is left lying. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http_fetch.h"

#define KIB        ((size_t)1 << 10)
#define MIB        ((size_t)1 << 20)
#define PIECE      (16 * KIB)
#define PIECES     512 /* of a steady body */
#define REST       (20 * KIB)
#define SILENCE_NS (300 * NS_PER_MS)

static const char piece[PIECE];
static unsigned commits; /* pieces of the body that the client has handed on */

static bool say_length(struct http_peer *peer, size_t length)
{
    char head[100];

    snprintf(head, sizeof head, "HTTP/1.1 206 Partial Content\r\nContent-Length: %zu\r\n\r\n",
             length);
    return http_peer_say(peer, head);
}

static bool send_bytes(struct http_peer *peer, size_t length)
{
    size_t n;

    for (; length > 0; length -= n) {
        n = length < PIECE ? length : PIECE;
        if (!http_peer_send(peer, piece, n))
            return false;
    }
    return true;
}

/* Waits for events alone: who reads a range tries to receive it as well. */
static bool is_done(const struct shard_waiter *waiter)
{
    return ((const struct fetch *)waiter->arg)->done;
}

static void run_by_events(struct http_rig *rig, struct fetch *fetch)
{
    struct shard_waiter waiter = {.ready = is_done, .arg = fetch};

    fetch_submit(rig, fetch);
    assert_int_equal(shard_wait(rig->shard, &waiter, clock_deadline_ns(20 * NS_PER_S)), 0);
    http_fetch_fini(fetch);
}

static void get_by_events(struct http_rig *rig, struct fetch *fetch)
{
    http_fetch_init(fetch, "GET", "/");
    run_by_events(rig, fetch);
}

static void get_once_by_events(http_serve_fn *serve, const struct http_client_options *options,
                               struct fetch *fetch)
{
    struct http_rig rig;

    http_rig_open(&rig, serve, false, options);
    get_by_events(&rig, fetch);
    http_rig_close(&rig);
}

/* ---- how often ------------------------------------------------------------------------------- */

static void serve_steadily(struct http_peer *peer)
{
    if (!http_peer_read_head(peer) || !say_length(peer, PIECES * PIECE))
        return;
    for (unsigned i = 0; i < PIECES && send_bytes(peer, PIECE); i++)
        usleep(100);
    http_peer_read_head(peer);
}

static int count_commit(struct http_request *request, size_t length, struct error *err)
{
    (void)err;
    commits++;
    ((struct fetch *)request)->received += length;
    return 0;
}

static void a_steady_body_wakes_rarely(void **state)
{
    struct http_request_ops ops;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, serve_steadily, false, NULL);
    http_fetch_init(&fetch, "GET", "/");
    ops = *fetch.request.ops;
    ops.body_commit = count_commit;
    fetch.request.ops = &ops;
    commits = 0;
    run_by_events(&rig, &fetch);
    assert_int_equal(fetch.received, PIECES * PIECE);
    assert_true(commits < PIECES / 4);
    http_rig_close(&rig);
}

/* ---- what is less than what wakes ------------------------------------------------------------ */

/* Fast at first; then little by little, each time before the client would call it silence. */
static void serve_ever_slower(struct http_peer *peer)
{
    if (!http_peer_read_head(peer) || !say_length(peer, 9 * MIB) || !send_bytes(peer, 8 * MIB))
        return;
    for (unsigned i = 0; i < 5; i++) {
        usleep(SILENCE_NS / 2 / 1000);
        if (!send_bytes(peer, KIB))
            return;
    }
    send_bytes(peer, MIB - 5 * KIB);
    http_peer_read_head(peer);
}

static void a_trickle_is_no_silence(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.progress_timeout_ns = SILENCE_NS;
    get_once_by_events(serve_ever_slower, &options, &fetch);
    assert_int_equal(fetch.error.class, ERROR_NONE);
    assert_int_equal(fetch.received, 9 * MIB);
}

static void serve_and_stop(struct http_peer *peer)
{
    if (http_peer_read_head(peer) && say_length(peer, 9 * MIB))
        send_bytes(peer, 8 * MIB + REST);
    http_peer_read_head(peer);
}

static void silence_behind_the_rest_is_silence(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetch;

    (void)state;
    options.progress_timeout_ns = SILENCE_NS;
    get_once_by_events(serve_and_stop, &options, &fetch);
    assert_fetch_error(&fetch, ERROR_TIMEOUT, "no progress with");
    assert_int_equal(fetch.received, 8 * MIB + REST);
}

static void serve_and_hang_up(struct http_peer *peer)
{
    if (!http_peer_read_head(peer) || !say_length(peer, 9 * MIB) || !send_bytes(peer, 8 * MIB))
        return;
    usleep(20000);
    send_bytes(peer, REST);
}

static void the_end_is_noticed_at_once(void **state)
{
    int64_t start_ns = clock_now_ns();
    struct fetch fetch;

    (void)state;
    get_once_by_events(serve_and_hang_up, NULL, &fetch);
    assert_int_not_equal(fetch.error.class, ERROR_NONE);
    assert_int_equal(fetch.received, 8 * MIB + REST);
    assert_true(clock_now_ns() - start_ns < http_patient.progress_timeout_ns);
}

/* The rest comes in two pieces, long after the others. */
static void serve_a_late_rest(struct http_peer *peer)
{
    while (http_peer_read_head(peer) && say_length(peer, 2 * MIB + REST) &&
           send_bytes(peer, 2 * MIB)) {
        usleep(20000);
        send_bytes(peer, REST / 2);
        usleep(20000);
        send_bytes(peer, REST / 2);
        if (!http_peer_read_head(peer) || !http_peer_answer(peer, "short"))
            return;
    }
}

static void a_rest_and_short_answers_come_through(void **state)
{
    int64_t start_ns = clock_now_ns();
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, serve_a_late_rest, false, NULL);
    for (int i = 0; i < 3; i++) {
        get_by_events(&rig, &fetch);
        assert_int_equal(fetch.error.class, ERROR_NONE);
        assert_int_equal(fetch.received, 2 * MIB + REST);
        get_by_events(&rig, &fetch);
        assert_fetched(&fetch, 200, "short");
    }
    assert_true(clock_now_ns() - start_ns < http_patient.progress_timeout_ns);
    assert_int_equal(http_server_connections(rig.server), 1);
    http_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_body_wakes_rarely),
        cmocka_unit_test(a_trickle_is_no_silence),
        cmocka_unit_test(silence_behind_the_rest_is_silence),
        cmocka_unit_test(the_end_is_noticed_at_once),
        cmocka_unit_test(a_rest_and_short_answers_come_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
