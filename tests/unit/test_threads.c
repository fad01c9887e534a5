/* engine/io/thread.h: threads that have nothing to do end, and come back when there is work. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/crypto.h>

#include "base/clock.h"
#include "http/dialer.h"
#include "http_fetch.h"
#include "io/gate.h"
#include "io/shard.h"
#include "io/thread.h"
#include "sanitizer.h"

#define PATIENCE_NS (20 * NS_PER_S)
#define WORKERS     3
#define CYCLES      80 /* the test server takes 256 connections */

/* Threads of the engine, by their names: those of the test's server have others. */
static int engine_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    int count = 0;

    assert_non_null(tasks);
    while ((entry = readdir(tasks))) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(name, sizeof name, file) && !strncmp(name, "s3dlio-", 7))
            count++;
        fclose(file);
    }
    closedir(tasks);
    return count;
}

static void assert_threads_end(void)
{
    int64_t deadline_ns = clock_deadline_ns(PATIENCE_NS);

    while (engine_threads() > 0 && clock_now_ns() < deadline_ns)
        usleep(5000);
    assert_int_equal(engine_threads(), 0);
    assert_int_equal(thread_count(), 0);
}

/* Nobody waits in the shard: its own thread has to do it. */
static bool get_in_background(struct http_rig *rig)
{
    int64_t deadline_ns = clock_deadline_ns(PATIENCE_NS);
    struct fetch fetch;

    http_fetch_init(&fetch, "GET", "/");
    fetch_submit(rig, &fetch);
    while (!fetch.done && clock_now_ns() < deadline_ns) {
        shard_unlock(rig->shard);
        usleep(200);
        shard_lock(rig->shard);
    }
    if (!fetch.done)
        http_request_abandon(&fetch.request);
    http_fetch_fini(&fetch);
    return !strcmp(fetch.text, "hello");
}

/* Connections go soon: a thread stays until it has closed the last idle one. */
static struct http_client_options impatient(void)
{
    struct http_client_options options = http_patient;

    options.idle_timeout_ns = 50 * NS_PER_MS;
    return options;
}

static int set_idle(void **state)
{
    (void)state;
    thread_set_idle_ns(20 * NS_PER_MS);
    return 0;
}

static void idle_threads_end(void **state)
{
    struct http_client_options options = impatient();
    struct http_client_stats stats;
    struct http_rig rig;

    (void)state;
    http_rig_open(&rig, http_serve_hello, false, &options);
    for (int i = 0; i < 3; i++) {
        assert_true(get_in_background(&rig));
        shard_unlock(rig.shard);
        assert_threads_end();
        shard_lock(rig.shard);
        http_client_get_stats(rig.client, &stats);
        assert_int_equal(stats.connections_open, 0);
        assert_int_equal(stats.connections_opened, i + 1);
    }
    http_rig_close(&rig);
}

static void busy_threads_stay(void **state)
{
    struct fetch fetch;
    struct http_rig rig;

    (void)state;
    http_rig_open(&rig, http_serve_silence, false, NULL);
    http_fetch_init(&fetch, "GET", "/");
    fetch_submit(&rig, &fetch);
    shard_unlock(rig.shard);
    usleep(100000); /* five times what an idle one lives */
    assert_true(engine_threads() > 0);
    shard_lock(rig.shard);
    http_request_abandon(&fetch.request);
    http_fetch_fini(&fetch);
    http_rig_close(&rig);
    assert_threads_end();
}

static void hello_once(struct http_peer *peer)
{
    if (http_peer_read_head(peer))
        http_peer_say(peer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
}

struct worker {
    pthread_t thread;
    struct http_rig rig; /* the client of all, a shard of its own */
    int served;
};

static void *cycle(void *arg)
{
    struct worker *worker = arg;
    struct http_rig *rig = &worker->rig;

    gate_enter(&rig->scope);
    shard_lock(rig->shard);
    for (int i = 0; i < CYCLES; i++) {
        struct fetch fetch;

        if (i % 2) {
            worker->served += get_in_background(rig);
        } else {
            fetch_get(rig, &fetch);
            worker->served += !strcmp(fetch.text, "hello");
        }
    }
    shard_unlock(rig->shard);
    gate_leave(&rig->scope);
    return NULL;
}

/* Threads that end at once meet new work at every moment of their end: each request dials, on
 * several shards. */
static void threads_end_while_work_comes(void **state)
{
    struct http_client_options options = impatient();
    struct worker workers[WORKERS] = {0};
    struct http_rig rig;

    (void)state;
    thread_set_idle_ns(0);
    http_rig_open(&rig, hello_once, false, &options);
    shard_unlock(rig.shard);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].rig.client = rig.client;
        assert_int_equal(shard_new(i + 1, &workers[i].rig.shard), 0);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, cycle, &workers[i]), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].served, CYCLES);
    }
    assert_threads_end();
    shard_lock(rig.shard);
    http_rig_close(&rig);
    for (unsigned i = 0; i < WORKERS; i++)
        shard_free(workers[i].rig.shard);
}

static int child_gets(struct http_rig *rig)
{
    gate_fork_child();
    thread_reset_child();
    alarm(20);
    gate_enter(&rig->scope);
    shard_reset_child(rig->shard);
    http_client_reset_child(rig->client);
    shard_lock(rig->shard);
    if (!get_in_background(rig))
        return 2;
    shard_unlock(rig->shard);
    return thread_count() == 2 ? 0 : 1;
}

/* In a fork child threads come back, whether the parent's were there at that moment or had
 * ended. */
static void children_have_threads_of_their_own(void **state)
{
    struct http_client_options options = impatient();
    struct http_rig rig;

    (void)state;
    NOT_UNDER_TSAN();
    for (int ended = 0; ended < 2; ended++) {
        int status;
        pid_t pid;

        thread_set_idle_ns(ended ? 0 : 60 * NS_PER_S);
        http_rig_open(&rig, hello_once, false, &options);
        assert_true(get_in_background(&rig));
        shard_unlock(rig.shard);
        if (ended)
            assert_threads_end();
        thread_set_idle_ns(60 * NS_PER_S);
        gate_leave(&rig.scope);
        gate_fork_prepare();
        pid = fork();
        if (pid == 0)
            _exit(child_gets(&rig));
        gate_fork_parent();
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        gate_enter(&rig.scope);
        shard_lock(rig.shard);
        assert_true(get_in_background(&rig));
        http_rig_close(&rig);
    }
    thread_set_idle_ns(0);
    dialer_kick();
    assert_threads_end();
}

/* Thread-local storage lies in the mapping of the stack, and a program may have much of it. */
static _Thread_local volatile char large[4 << 20];

static void *use_the_stack(void *arg)
{
    volatile char room[THREAD_STACK_LARGE_BYTES / 2];

    room[0] = large[sizeof large - 1] = 7;
    return room[0] == 7 ? arg : NULL;
}

static void threads_of_a_program_with_much_local_storage(void **state)
{
    pthread_t thread;
    void *result = NULL;

    assert_int_equal(
        thread_start("s3dlio-test", THREAD_STACK_LARGE_BYTES, use_the_stack, state, &thread), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, state);
}

/* OpenSSL takes down what it keeps for a thread when that ends, by a lock that a fork child may find
 * held. */
static _Atomic int ended_inside, ended_outside;
static _Thread_local bool is_programs;

static void note_end(void)
{
    if (!is_programs)
        return;
    if (gate_current())
        ended_inside++;
    else
        ended_outside++;
}

static void *use_a_shard(void *arg)
{
    struct shard *shard = arg;
    struct gate_scope scope;

    is_programs = true;
    for (int i = 0; i < 2; i++) {
        gate_enter(&scope);
        shard_lock(shard);
        shard_unlock(shard);
        gate_leave(&scope);
    }
    return NULL;
}

static void threads_of_the_program_end_inside_the_gate(void **state)
{
    struct http_client_options options = http_patient;
    struct http_rig rig;
    pthread_t thread;

    (void)state;
    http_rig_open(&rig, http_serve_hello, false, &options);
    shard_unlock(rig.shard);
    gate_leave(&rig.scope);
    thread_set_on_end(note_end);
    assert_int_equal(pthread_create(&thread, NULL, use_a_shard, rig.shard), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ended_inside, 1);
    assert_int_equal(ended_outside, 0);
    thread_set_on_end(OPENSSL_thread_stop);
    gate_enter(&rig.scope);
    shard_lock(rig.shard);
    http_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_of_a_program_with_much_local_storage),
        cmocka_unit_test(threads_of_the_program_end_inside_the_gate),
        cmocka_unit_test_setup(idle_threads_end, set_idle),
        cmocka_unit_test_setup(busy_threads_stay, set_idle),
        cmocka_unit_test_setup(threads_end_while_work_comes, set_idle),
        cmocka_unit_test_setup(children_have_threads_of_their_own, set_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
