/* engine/io/gate.h: signals and cancellation inside, fork against threads that come and go. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/gate.h"

static bool usr1_blocked(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGUSR1) == 1;
}

static void inside_blocks_signals(void **state)
{
    struct gate_scope scope;
    sigset_t mask;
    int cancel_state;

    (void)state;
    assert_null(gate_current());
    gate_enter(&scope);
    assert_ptr_equal(gate_current(), &scope);
    assert_true(usr1_blocked());
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_int_equal(sigismember(&mask, SIGSEGV), 0);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    assert_int_equal(cancel_state, PTHREAD_CANCEL_DISABLE);

    gate_sleep_begin(1);
    assert_null(gate_current());
    assert_true(usr1_blocked());
    gate_sleep_end(1);
    gate_sleep_begin(0);
    assert_false(usr1_blocked());
    gate_sleep_end(0);
    assert_true(usr1_blocked());
    assert_ptr_equal(gate_current(), &scope);

    gate_leave(&scope);
    assert_false(usr1_blocked());
    assert_null(gate_current());
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel_state);
    assert_int_equal(cancel_state, PTHREAD_CANCEL_ENABLE);
}

static void keeps_what_the_caller_had_blocked(void **state)
{
    struct gate_scope scope;
    sigset_t set;

    (void)state;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    gate_enter(&scope);
    gate_sleep_begin(0);
    assert_true(usr1_blocked());
    gate_sleep_end(0);
    gate_leave(&scope);
    assert_true(usr1_blocked());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static struct gate_scope *nested_outer;

static void nested_handler(int number)
{
    struct gate_scope scope;

    (void)number;
    gate_enter(&scope);
    nested_outer = scope.outer;
    gate_leave(&scope);
}

static void handler_enters_during_a_sleep(void **state)
{
    struct sigaction action = {.sa_handler = nested_handler};
    struct gate_scope scope;

    (void)state;
    sigaction(SIGUSR1, &action, NULL);
    gate_enter(&scope);
    raise(SIGUSR1);
    assert_null(nested_outer);
    gate_sleep_begin(0);
    assert_ptr_equal(nested_outer, &scope);
    gate_sleep_end(0);
    assert_ptr_equal(gate_current(), &scope);
    gate_leave(&scope);
    signal(SIGUSR1, SIG_DFL);
}

/* What every thread inside keeps equal; fork must find it so. */
static _Atomic uint64_t pair_first, pair_second;
static _Atomic bool load_stop;

static void *load_main(void *arg)
{
    uint64_t rounds = 0;

    (void)arg;
    while (!atomic_load(&load_stop)) {
        struct gate_scope scope;

        gate_enter(&scope);
        atomic_fetch_add(&pair_first, 1);
        if (rounds % 64 == 0) {
            gate_sleep_begin(1);
            usleep(100);
            gate_sleep_end(1);
        }
        atomic_fetch_add(&pair_second, 1);
        gate_leave(&scope);
        if (++rounds % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static pid_t gated_fork(void)
{
    pid_t pid;

    gate_fork_prepare();
    pid = fork();
    if (pid == 0)
        gate_fork_child();
    else
        gate_fork_parent();
    return pid;
}

static void *fork_main(void *arg)
{
    uint64_t generation = gate_generation();
    intptr_t failures = 0;

    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct gate_scope scope;
        int status = -1;
        pid_t pid = gated_fork();

        if (pid == 0) {
            gate_enter(&scope); /* nobody is inside */
            gate_leave(&scope);
            _exit(gate_generation() == generation + 1 && !usr1_blocked() ? 0 : 1);
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            failures++;
    }
    return (void *)failures; /* NOLINT(performance-no-int-to-ptr) */
}

static void threads_fork_under_load(void **state)
{
    pthread_t load[2], forks[2];
    void *failures;

    (void)state;
    for (int i = 0; i < 2; i++)
        pthread_create(&load[i], NULL, load_main, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&forks[i], NULL, fork_main, NULL);
    for (int i = 0; i < 2; i++) {
        pthread_join(forks[i], &failures);
        assert_null(failures);
    }
    atomic_store(&load_stop, true);
    for (int i = 0; i < 2; i++)
        pthread_join(load[i], NULL);
    assert_true(atomic_load(&pair_first) > 0);
    assert_int_equal(atomic_load(&pair_first), atomic_load(&pair_second));
}

static _Atomic bool inside_waits, inside_go;

static void *inside_main(void *arg)
{
    struct gate_scope scope;

    gate_enter(&scope);
    atomic_store(&inside_waits, true);
    while (!atomic_load(&inside_go))
        sched_yield();
    *(int64_t *)arg = clock_now_ns();
    gate_leave(&scope);
    return NULL;
}

static void *releases_main(void *arg)
{
    (void)arg;
    usleep(50000);
    atomic_store(&inside_go, true);
    return NULL;
}

static void fork_waits_for_those_inside(void **state)
{
    int64_t left_ns = 0, passed_ns;
    pthread_t inside, releases;

    (void)state;
    pthread_create(&inside, NULL, inside_main, &left_ns);
    while (!atomic_load(&inside_waits))
        sched_yield();
    pthread_create(&releases, NULL, releases_main, NULL);
    gate_fork_prepare();
    passed_ns = clock_now_ns();
    gate_fork_parent();
    pthread_join(inside, NULL);
    pthread_join(releases, NULL);
    assert_true(left_ns > 0 && passed_ns >= left_ns);
}

static void enters_while_it_forks(void **state)
{
    struct gate_scope scope;

    (void)state;
    gate_fork_prepare();
    gate_enter(&scope); /* as an atfork handler that does I/O would */
    gate_leave(&scope);
    gate_fork_parent();
    gate_enter(&scope); /* counted again */
    gate_leave(&scope);
    gate_fork_prepare();
    gate_fork_parent();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_blocks_signals),
        cmocka_unit_test(keeps_what_the_caller_had_blocked),
        cmocka_unit_test(handler_enters_during_a_sleep),
        cmocka_unit_test(fork_waits_for_those_inside),
        cmocka_unit_test(enters_while_it_forks),
        cmocka_unit_test(threads_fork_under_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
