/* engine/io/shard.h: what other threads hand to a shard is run under its lock, by whoever drives. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/gate.h"
#include "io/shard.h"
#include "io/thread.h"
#include "no_threads.h"
#include "sanitizer.h"

#define SENDERS     4u
#define POSTS       2000u
#define ROUNDS      1000u
#define PATIENCE_NS (20 * NS_PER_S)

/* What one thread sends: numbered, and counted where they arrive. The count is guarded by the
 * shard's lock. */
struct letter {
    struct shard_post post;
    struct sender *sender;
    unsigned number;
};

struct sender {
    struct shard *to;
    struct letter letters[POSTS];
    unsigned arrived;
    bool in_disorder;
    pthread_t drove;
    unsigned pause_us; /* between letters */
};

static struct shard *shard;
static struct gate_scope test_scope;

static void letter_arrives(struct shard_post *post)
{
    struct letter *letter = (struct letter *)post;
    struct sender *sender = letter->sender;

    sender->in_disorder = sender->in_disorder || letter->number != sender->arrived;
    sender->arrived++;
    sender->drove = pthread_self();
}

static struct sender *sender_new(void)
{
    struct sender *sender = calloc(1, sizeof *sender);

    assert_non_null(sender);
    sender->to = shard;
    return sender;
}

static void send(struct sender *sender, unsigned number)
{
    struct letter *letter = &sender->letters[number];

    *letter = (struct letter){{.on_post = letter_arrives}, sender, number};
    shard_post(sender->to, &letter->post);
}

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    struct gate_scope scope;

    gate_enter(&scope);
    for (unsigned i = 0; i < POSTS; i++) {
        if (sender->pause_us) {
            gate_sleep_begin(1);
            usleep(sender->pause_us);
            gate_sleep_end(1);
        }
        send(sender, i);
    }
    gate_leave(&scope);
    return NULL;
}

static void *send_one_later(void *arg)
{
    struct gate_scope scope;

    usleep(20000);
    gate_enter(&scope);
    send(arg, 0);
    gate_leave(&scope);
    return NULL;
}

static bool all_arrived(const struct shard_waiter *waiter)
{
    struct sender *const *senders = waiter->arg;

    for (unsigned i = 0; i < SENDERS; i++)
        if (senders[i]->arrived < POSTS)
            return false;
    return true;
}

static bool one_arrived(const struct shard_waiter *waiter)
{
    const struct sender *sender = waiter->arg;

    return sender->arrived > 0;
}

static int wait_for_one(struct sender *sender)
{
    struct shard_waiter waiter = {.ready = one_arrived, .arg = sender};

    return shard_wait(shard, &waiter, clock_deadline_ns(PATIENCE_NS));
}

static int setup(void **state)
{
    (void)state;
    gate_enter(&test_scope);
    assert_int_equal(shard_new(5, &shard), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shard_free(shard);
    gate_leave(&test_scope);
    return 0;
}

static void the_waiting_thread_runs_them(void **state)
{
    struct sender *sender = sender_new();
    pthread_t thread;

    (void)state;
    shard_lock(shard);
    pthread_create(&thread, NULL, send_one_later, sender);
    assert_int_equal(wait_for_one(sender), 0);
    assert_true(pthread_equal(sender->drove, pthread_self()));
    shard_unlock(shard);
    pthread_join(thread, NULL);
    free(sender);
}

/* Posted while nobody leads yet: the wait begins with it. */
static void one_that_is_there_is_found_before_sleeping(void **state)
{
    struct sender *sender = sender_new();

    (void)state;
    shard_lock(shard);
    send(sender, 0);
    assert_int_equal(wait_for_one(sender), 0);
    assert_true(pthread_equal(sender->drove, pthread_self()));
    shard_unlock(shard);
    free(sender);
}

/* Nobody takes the lock, waits or polls: only the shard's own thread can. */
struct note {
    struct shard_post post;
    atomic_bool arrived;
    pthread_t drove;
};

static void note_arrives(struct shard_post *post)
{
    struct note *note = (struct note *)post;

    note->drove = pthread_self();
    atomic_store(&note->arrived, true);
}

static void await_note(struct note *note)
{
    int64_t until_ns = clock_deadline_ns(PATIENCE_NS);

    while (!atomic_load(&note->arrived) && clock_now_ns() < until_ns)
        usleep(100);
    assert_true(atomic_load(&note->arrived));
}

static void without_a_driver_the_shards_own_thread_runs_them(void **state)
{
    struct note notes[3] = {{.post = {.on_post = note_arrives}},
                            {.post = {.on_post = note_arrives}},
                            {.post = {.on_post = note_arrives}}};

    (void)state;
    shard_post(shard, &notes[0].post);
    await_note(&notes[0]);
    assert_false(pthread_equal(notes[0].drove, pthread_self()));
    usleep(50000); /* it rests deeply */
    shard_post(shard, &notes[1].post);
    await_note(&notes[1]);
    shard_lock(shard);
    shard_hold(shard); /* it leads */
    shard_unlock(shard);
    usleep(10000);
    assert_int_equal(shard_try_post(shard, &notes[2].post), 0);
    await_note(&notes[2]);
    shard_lock(shard);
    shard_release(shard);
    shard_unlock(shard);
}

/* The thread ends while others send: none is left behind. */
static void a_thread_that_ends_leaves_none_behind(void **state)
{
    int64_t idle_ns = thread_idle_ns();

    (void)state;
    thread_set_idle_ns(NS_PER_MS / 10);
    for (unsigned i = 0; i < 300; i++) {
        struct note note = {.post = {.on_post = note_arrives}};

        usleep(8000 + i * 10); /* ticks until it rests deeply, and the idle time */
        shard_post(shard, &note.post);
        await_note(&note);
    }
    thread_set_idle_ns(idle_ns);
}

static void each_senders_arrive_in_order(void **state)
{
    struct sender *senders[SENDERS];
    pthread_t threads[SENDERS];
    struct shard_waiter waiter = {.ready = all_arrived, .arg = senders};

    (void)state;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = sender_new();
        senders[i]->pause_us = i % 2 ? 0 : 10;
        pthread_create(&threads[i], NULL, send_all, senders[i]);
    }
    shard_lock(shard);
    assert_int_equal(shard_wait(shard, &waiter, clock_deadline_ns(PATIENCE_NS)), 0);
    shard_unlock(shard);
    for (unsigned i = 0; i < SENDERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(senders[i]->in_disorder);
        free(senders[i]);
    }
}

/* Two shards that hand each other work from their callbacks, under their locks. */
struct ball {
    struct shard_post post;
    struct shard *sides[2];
    unsigned hits;
    atomic_uint at_rest; /* hits, at the end */
};

static void ball_arrives(struct shard_post *post)
{
    struct ball *ball = (struct ball *)post;

    if (++ball->hits == ROUNDS)
        atomic_store(&ball->at_rest, ball->hits);
    else
        shard_post(ball->sides[ball->hits % 2], post);
}

static void shards_hand_work_to_each_other(void **state)
{
    struct shard *other;
    struct ball balls[3];
    int64_t until_ns = clock_deadline_ns(PATIENCE_NS);

    (void)state;
    assert_int_equal(shard_new(6, &other), 0);
    for (unsigned i = 0; i < 3; i++) {
        balls[i] = (struct ball){.post = {.on_post = ball_arrives}, .sides = {shard, other}};
        shard_post(shard, &balls[i].post);
    }
    for (unsigned i = 0; i < 3; i++) {
        while (atomic_load(&balls[i].at_rest) < ROUNDS && clock_now_ns() < until_ns)
            usleep(1000);
        assert_int_equal(atomic_load(&balls[i].at_rest), ROUNDS);
    }
    shard_free(other);
}

/* What fork finds posted: nobody else is inside the gate then. */
static void a_child_forgets_what_was_posted(void **state)
{
    struct sender *sender = sender_new(), *mine = sender_new();
    int status;
    pid_t pid;

    (void)state;
    NOT_UNDER_TSAN();
    gate_leave(&test_scope);
    gate_fork_prepare();
    send(sender, 0);
    pid = fork();
    if (pid == 0) {
        gate_fork_child();
        alarm(20);
        gate_enter(&test_scope);
        shard_reset_child(shard);
        shard_lock(shard);
        send(mine, 0);
        status = wait_for_one(mine) == 0 && sender->arrived == 0 ? 0 : 1;
        _exit(status);
    }
    gate_fork_parent();
    gate_enter(&test_scope);
    shard_lock(shard);
    assert_int_equal(wait_for_one(sender), 0);
    shard_unlock(shard);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(sender);
    free(mine);
}

/* In a process that gets no more threads: one kind is refused, the other waits for the next use. */
static void without_a_thread_one_may_be_refused(void **state)
{
    struct sender *sender = sender_new();
    struct note note = {.post = {.on_post = note_arrives}};
    int status;
    pid_t pid;

    (void)state;
    NOT_UNDER_TSAN();
    pid = fork();
    if (pid == 0) {
        alarm(20);
        if (!forbid_threads())
            _exit(100);
        status = shard_try_post(shard, &note.post) < 0 ? 0 : 1;
        send(sender, 0);
        shard_lock(shard);
        if (wait_for_one(sender) < 0 || atomic_load(&note.arrived))
            status |= 2;
        _exit(status);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(sender);
}

/* ---- what the shard tells of its sleep ------------------------------------------------------- */

static void sleep_of_waiting_threads_is_counted(void **state)
{
    struct sender *sender = sender_new();
    int64_t slept_ns;
    pthread_t thread;

    (void)state;
    shard_lock(shard);
    assert_int_equal(shard_slept_ns(shard), 0);
    pthread_create(&thread, NULL, send_one_later, sender);
    assert_int_equal(wait_for_one(sender), 0);
    slept_ns = shard_slept_ns(shard);
    assert_true(slept_ns > 0);
    assert_int_equal(wait_for_one(sender), 0); /* there already */
    assert_int_equal(shard_slept_ns(shard), slept_ns);
    shard_unlock(shard);
    pthread_join(thread, NULL);
    free(sender);
}

int main(void)
{
#define WITH_SHARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SHARD(the_waiting_thread_runs_them),
        WITH_SHARD(one_that_is_there_is_found_before_sleeping),
        WITH_SHARD(without_a_driver_the_shards_own_thread_runs_them),
        WITH_SHARD(a_thread_that_ends_leaves_none_behind),
        WITH_SHARD(each_senders_arrive_in_order),
        WITH_SHARD(shards_hand_work_to_each_other),
        WITH_SHARD(a_child_forgets_what_was_posted),
        WITH_SHARD(without_a_thread_one_may_be_refused),
        WITH_SHARD(sleep_of_waiting_threads_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
