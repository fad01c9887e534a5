/* engine/http/client.h with many requests: queues, several shards and threads, fork,
 * descriptors. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http_fetch.h"
#include "io/fd.h"
#include "sanitizer.h"

/* ---- many ------------------------------------------------------------------------------------ */

static void one_connection_for_all(void **state)
{
    struct http_client_options options = http_patient;
    struct fetch fetches[8];
    struct http_rig rig;

    (void)state;
    options.connections_max = 1;
    http_rig_open(&rig, http_serve_hello, false, &options);
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
    struct http_client_options options = http_patient;
    struct fetch first, second, third;
    struct http_rig rig;

    (void)state;
    options.connections_max = 1;
    http_rig_open(&rig, http_serve_silence, false, &options);
    http_fetch_init(&first, "GET", "/");
    fetch_submit(&rig, &first);
    http_fetch_init(&third, "GET", "/");
    third.request.deadline_ns = clock_deadline_ns(150 * NS_PER_MS);
    fetch_submit(&rig, &third);
    http_fetch_init(&second, "GET", "/");
    second.request.deadline_ns = clock_deadline_ns(50 * NS_PER_MS);
    fetch_run(&rig, &second);
    assert_fetch_error(&second, ERROR_TIMEOUT, "no connection to");
    assert_false(third.done);
    assert_int_equal(fetch_wait(&rig, &third), 0);
    assert_fetch_error(&third, ERROR_TIMEOUT, "no connection to");
    assert_false(first.done);
    http_request_abandon(&first.request);
    http_rig_close(&rig);
}

/* Nobody drives and nothing is under way: they are closed all the same. */
static void idle_connections_are_closed_in_time(void **state)
{
    struct http_client_options options = http_patient;
    int64_t until_ns = clock_now_ns() + 20 * NS_PER_S;
    struct http_client_stats stats;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.idle_timeout_ns = 300 * NS_PER_MS;
    http_rig_open(&rig, http_serve_hello, false, &options);
    for (unsigned round = 1; round <= 2; round++) {
        fetch_get(&rig, &fetch);
        shard_unlock(rig.shard);
        gate_leave(&rig.scope);
        do {
            usleep(1000);
            http_client_get_stats(rig.client, &stats);
        } while (stats.connections_open > 0 && clock_now_ns() < until_ns);
        gate_enter(&rig.scope);
        shard_lock(rig.shard);
        assert_int_equal(stats.connections_open, 0);
        assert_int_equal(stats.connections_opened, round);
    }
    http_rig_close(&rig);
}

static void no_idle_timeout_is_a_connection_each(void **state)
{
    struct http_client_options options = http_patient;
    struct http_client_stats stats;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    options.idle_timeout_ns = 0;
    http_rig_open(&rig, http_serve_hello, false, &options);
    for (int i = 0; i < 4; i++) {
        fetch_get(&rig, &fetch);
        assert_fetched(&fetch, 200, "hello");
    }
    http_client_get_stats(rig.client, &stats);
    assert_int_equal(stats.connections_open, 0);
    assert_int_equal(http_server_connections(rig.server), 4);
    http_rig_close(&rig);
}

/* The connection is idle on one shard when another needs it. */
static void shards_share_connections_max(void **state)
{
    struct http_client_options options = http_patient;
    struct http_client_stats stats;
    struct http_rig rig, second;
    struct fetch fetch;

    (void)state;
    options.connections_max = 1;
    http_rig_open(&rig, http_serve_hello, false, &options);
    second = rig;
    assert_int_equal(shard_new(1, &second.shard), 0);
    for (int i = 0; i < 6; i++) {
        struct http_rig *at = i % 2 ? &second : &rig;

        if (at == &second) {
            shard_unlock(rig.shard);
            shard_lock(second.shard);
        }
        fetch_get(at, &fetch);
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
    struct http_client_options options = http_patient;
    struct worker workers[4];
    pthread_t threads[4];
    struct http_rig rig;

    (void)state;
    for (int tls = 0; tls < 2; tls++) {
        options.connections_max = tls ? 3 : 16; /* fewer than threads, too */
        http_rig_open(&rig, http_serve_hello, tls, &options);
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

/* ---- fork ------------------------------------------------------------------------------------ */

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
        http_rig_open(&rig, http_serve_hello, tls, &http_patient);
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

/* ---- descriptors ----------------------------------------------------------------------------- */

static void owns_its_descriptors(void **state)
{
    int lowest = open("/dev/null", O_RDONLY), owned = 0, again;
    struct http_rig rig;
    struct fetch fetch;

    (void)state;
    http_rig_open(&rig, http_serve_hello, true, &http_patient);
    fetch_get(&rig, &fetch);
    for (int fd = 3; fd < 4096; fd++) {
        if (!fd_owned(fd))
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_for_all),       cmocka_unit_test(deadline_in_the_queue),
        cmocka_unit_test(idle_connections_are_closed_in_time),
        cmocka_unit_test(no_idle_timeout_is_a_connection_each),
        cmocka_unit_test(shards_share_connections_max), cmocka_unit_test(four_threads_on_one_shard),
        cmocka_unit_test(children_make_their_own),      cmocka_unit_test(owns_its_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
