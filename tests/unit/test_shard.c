/* engine/io/shard.h: who drives, who is woken, timers, waits that end in unusual ways. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/gate.h"
#include "io/shard.h"
#include "sanitizer.h"

/* A pipe on the shard: counts the bytes that were read from it, and remembers who drove. */
struct channel {
    struct shard_watch watch;
    int write_fd;
    unsigned received, wanted;
    unsigned advances;
    pthread_t drove;
    struct shard_timer timer;
    unsigned fired;
    struct channel *other; /* remove_other's */
};

static struct shard *shard;
static struct gate_scope test_scope;

static void channel_read(struct channel *channel)
{
    char bytes[64];
    ssize_t n = read(channel->watch.fd, bytes, sizeof bytes);

    if (n > 0) {
        channel->received += (unsigned)n;
        channel->drove = pthread_self();
    }
}

static void channel_on_event(struct shard_watch *watch, uint32_t events)
{
    (void)events;
    channel_read((struct channel *)watch);
}

static bool channel_ready(const struct shard_waiter *waiter)
{
    const struct channel *channel = waiter->arg;

    return channel->received >= channel->wanted;
}

static bool channel_advance(struct shard_waiter *waiter)
{
    struct channel *channel = waiter->arg;
    unsigned before = channel->received;

    channel->advances++;
    channel_read(channel);
    return channel->received != before;
}

static void channel_on_timer(struct shard_timer *timer)
{
    struct channel *channel =
        (struct channel *)(void *)((char *)timer - offsetof(struct channel, timer));

    channel->fired++;
    channel->received++;
}

static void channel_open(struct channel *channel, unsigned wanted)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    *channel = (struct channel){
        .watch = {.fd = fds[0], .events = EPOLLIN, .on_event = channel_on_event},
        .write_fd = fds[1],
        .wanted = wanted,
    };
    shard_timer_init(&channel->timer, channel_on_timer);
    assert_int_equal(shard_watch_add(shard, &channel->watch), 0);
}

static void channel_close(struct channel *channel)
{
    shard_timer_clear(shard, &channel->timer);
    shard_watch_remove(shard, &channel->watch);
    close(channel->watch.fd);
    close(channel->write_fd);
}

static void channel_send(struct channel *channel)
{
    assert_int_equal(write(channel->write_fd, "x", 1), 1);
}

static int channel_wait(struct channel *channel, int64_t timeout_ns)
{
    struct shard_waiter waiter = {.ready = channel_ready, .arg = channel};

    return shard_wait(shard, &waiter, clock_deadline_ns(timeout_ns));
}

static void *send_later(void *arg)
{
    usleep(20000);
    channel_send(arg);
    return NULL;
}

static int setup(void **state)
{
    (void)state;
    gate_enter(&test_scope);
    assert_int_equal(shard_new(3, &shard), 0);
    shard_lock(shard);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shard_unlock(shard);
    shard_free(shard);
    gate_leave(&test_scope);
    return 0;
}

static void waiting_thread_drives(void **state)
{
    struct channel channel;
    pthread_t sender;

    (void)state;
    channel_open(&channel, 1);
    pthread_create(&sender, NULL, send_later, &channel);
    assert_int_equal(channel_wait(&channel, NS_PER_S), 0);
    pthread_join(sender, NULL);
    assert_true(pthread_equal(channel.drove, pthread_self()));
    channel_close(&channel);
}

static void advances_before_it_sleeps(void **state)
{
    struct channel channel;
    struct shard_waiter waiter = {
        .ready = channel_ready, .advance = channel_advance, .arg = &channel};

    (void)state;
    channel_open(&channel, 1);
    shard_poll(shard); /* just asked: goes to the bytes first */
    channel_send(&channel);
    assert_int_equal(shard_wait(shard, &waiter, CLOCK_NEVER), 0);
    assert_int_equal(channel.advances, 1);
    assert_true(pthread_equal(channel.drove, pthread_self()));
    channel_close(&channel);
}

static void times_out(void **state)
{
    struct channel channel;
    int64_t start_ns = clock_now_ns();

    (void)state;
    channel_open(&channel, 1);
    assert_int_equal(channel_wait(&channel, 20 * NS_PER_MS), -ETIMEDOUT);
    assert_true(clock_now_ns() - start_ns >= 20 * NS_PER_MS);
    assert_true(clock_now_ns() - start_ns < 2 * NS_PER_S);
    channel_close(&channel);
}

static void timers_fire_in_order(void **state)
{
    struct channel first, second, never;
    int64_t now_ns = clock_now_ns();

    (void)state;
    channel_open(&first, 1);
    channel_open(&second, 1);
    channel_open(&never, 1);
    shard_timer_set(shard, &second.timer, now_ns + 30 * NS_PER_MS);
    shard_timer_set(shard, &first.timer, now_ns + 10 * NS_PER_MS);
    shard_timer_set(shard, &never.timer, now_ns + 5 * NS_PER_MS);
    shard_timer_clear(shard, &never.timer);
    assert_int_equal(channel_wait(&first, NS_PER_S), 0);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
    assert_int_equal(channel_wait(&second, NS_PER_S), 0);
    assert_int_equal(second.fired, 1);
    assert_int_equal(never.fired, 0);
    assert_true(clock_now_ns() - now_ns >= 30 * NS_PER_MS);
    channel_close(&first);
    channel_close(&second);
    channel_close(&never);
}

static void *set_timer_later(void *arg)
{
    struct channel *channel = arg;
    struct gate_scope scope;

    usleep(20000);
    gate_enter(&scope);
    shard_lock(shard);
    shard_timer_set(shard, &channel->timer, clock_now_ns() + NS_PER_MS);
    shard_unlock(shard);
    gate_leave(&scope);
    return NULL;
}

static void earlier_timer_ends_the_leaders_sleep(void **state)
{
    struct channel channel;
    int64_t start_ns = clock_now_ns();
    pthread_t setter;

    (void)state;
    channel_open(&channel, 1);
    pthread_create(&setter, NULL, set_timer_later, &channel);
    assert_int_equal(channel_wait(&channel, 5 * NS_PER_S), 0);
    assert_true(clock_now_ns() - start_ns < 90 * NS_PER_MS); /* a leader sleeps up to 100 ms */
    pthread_join(setter, NULL);
    channel_close(&channel);
}

static void background_takes_over(void **state)
{
    struct channel channel;

    (void)state;
    channel_open(&channel, 1);
    shard_hold(shard);
    channel_send(&channel);
    shard_unlock(shard);
    usleep(100000); /* the program computes */
    shard_lock(shard);
    assert_int_equal(channel.received, 1);
    assert_false(pthread_equal(channel.drove, pthread_self()));

    /* It sleeps in epoll now: a wait takes the lead from it. */
    channel.wanted = 2;
    channel_send(&channel);
    assert_int_equal(channel_wait(&channel, NS_PER_S), 0);
    assert_int_equal(channel.received, 2);

    /* And gets it back. */
    channel_send(&channel);
    shard_unlock(shard);
    usleep(100000);
    shard_lock(shard);
    assert_int_equal(channel.received, 3);
    shard_release(shard);
    channel_close(&channel);
}

static void background_wakes_from_deep_rest(void **state)
{
    struct channel channel;

    (void)state;
    channel_open(&channel, 1);
    shard_hold(shard);
    shard_unlock(shard);
    usleep(5000);
    shard_lock(shard);
    shard_release(shard);
    shard_unlock(shard);
    usleep(150000); /* nothing in flight: no more ticks */
    shard_lock(shard);
    shard_hold(shard);
    channel_send(&channel);
    shard_unlock(shard);
    usleep(100000);
    shard_lock(shard);
    assert_int_equal(channel.received, 1);
    shard_release(shard);
    channel_close(&channel);
}

struct follower {
    struct channel *channel;
    int64_t done_ns;
    int result;
};

static void *follow(void *arg)
{
    struct follower *self = arg;
    struct gate_scope scope;

    gate_enter(&scope);
    shard_lock(shard);
    self->result = channel_wait(self->channel, 10 * NS_PER_S);
    self->done_ns = clock_now_ns();
    shard_unlock(shard);
    gate_leave(&scope);
    return NULL;
}

#define FOLLOWERS 4

/* Each gets its byte, in an order that makes leaders leave before followers and the other way. */
static void followers_are_woken_each_by_its_own(void **state)
{
    static const int order[FOLLOWERS] = {2, 0, 3, 1};
    struct channel channels[FOLLOWERS];
    struct follower followers[FOLLOWERS] = {0};
    pthread_t threads[FOLLOWERS];

    (void)state;
    for (int i = 0; i < FOLLOWERS; i++)
        channel_open(&channels[i], 1);
    shard_unlock(shard);
    for (int i = 0; i < FOLLOWERS; i++) {
        followers[i].channel = &channels[i];
        pthread_create(&threads[i], NULL, follow, &followers[i]);
        usleep(5000);
    }
    for (int i = 0; i < FOLLOWERS; i++) {
        int64_t sent_ns = clock_now_ns();

        channel_send(&channels[order[i]]);
        pthread_join(threads[order[i]], NULL);
        assert_int_equal(followers[order[i]].result, 0);
        assert_true(followers[order[i]].done_ns - sent_ns < 90 * NS_PER_MS);
    }
    shard_lock(shard);
    for (int i = 0; i < FOLLOWERS; i++)
        channel_close(&channels[i]);
}

static sigjmp_buf jump;

static void jump_away(int number)
{
    (void)number;
    siglongjmp(jump, 1);
}

static void *kick_main(void *arg)
{
    usleep(20000);
    pthread_kill(*(pthread_t *)arg, SIGUSR1);
    return NULL;
}

/* As a program's handler might leave a read() for ever. */
static void leader_left_by_longjmp(void **state)
{
    struct sigaction action = {.sa_handler = jump_away}, before;
    struct channel channel;
    struct follower follower = {.channel = &channel};
    pthread_t self = pthread_self(), kicker, thread;
    int64_t sent_ns;

    (void)state;
    channel_open(&channel, 1);
    sigaction(SIGUSR1, &action, &before);
    pthread_create(&kicker, NULL, kick_main, &self);
    if (sigsetjmp(jump, 1) == 0) {
        channel_wait(&channel, 10 * NS_PER_S);
        fail();
    }
    pthread_join(kicker, NULL);
    sigaction(SIGUSR1, &before, NULL);
    /* Another thread waits behind the leader that is no more. */
    pthread_create(&thread, NULL, follow, &follower);
    usleep(10000);
    sent_ns = clock_now_ns();
    channel_send(&channel);
    pthread_join(thread, NULL);
    assert_int_equal(follower.result, 0);
    assert_true(follower.done_ns - sent_ns < 2 * NS_PER_S);

    pthread_sigmask(SIG_SETMASK, &test_scope.caller_mask, NULL); /* sigsetjmp was made inside */
    gate_enter(&test_scope);                                     /* the next call of this thread */
    shard_lock(shard);
    channel.wanted++;
    channel_send(&channel);
    assert_int_equal(channel_wait(&channel, NS_PER_S), 0);
    channel_close(&channel);
}

static struct channel nested_channel;
static int nested_result;

static void wait_in_handler(int number)
{
    struct gate_scope scope;

    (void)number;
    gate_enter(&scope);
    shard_lock(shard);
    channel_send(&nested_channel);
    nested_result = channel_wait(&nested_channel, NS_PER_S);
    shard_unlock(shard);
    gate_leave(&scope);
}

static void handler_waits_inside_a_wait(void **state)
{
    struct sigaction action = {.sa_handler = wait_in_handler, .sa_flags = SA_RESTART}, before;
    struct channel channel;
    pthread_t self = pthread_self(), kicker, sender;

    (void)state;
    NOT_UNDER_TSAN();
    channel_open(&channel, 1);
    channel_open(&nested_channel, 1);
    nested_result = -1;
    sigaction(SIGUSR1, &action, &before);
    pthread_create(&kicker, NULL, kick_main, &self);
    pthread_create(&sender, NULL, send_later, &channel);
    assert_int_equal(channel_wait(&channel, 5 * NS_PER_S), 0);
    pthread_join(kicker, NULL);
    if (nested_result == -1) { /* the byte came first */
        shard_unlock(shard);
        gate_sleep_begin(0);
        gate_sleep_end(0);
        shard_lock(shard);
    }
    pthread_join(sender, NULL);
    assert_int_equal(nested_result, 0);
    sigaction(SIGUSR1, &before, NULL);
    channel_close(&channel);
    channel_close(&nested_channel);
}

static void cancelled_threads_leave_nothing_behind(void **state)
{
    struct channel channels[3];
    struct follower followers[3] = {0};
    pthread_t threads[3];
    void *result;

    (void)state;
    NOT_UNDER_TSAN();
    for (int i = 0; i < 3; i++) {
        channel_open(&channels[i], 1);
        followers[i].channel = &channels[i];
    }
    shard_unlock(shard);
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, follow, &followers[i]);
        usleep(5000);
    }
    for (int i = 0; i < 2; i++) { /* the leader, then a follower that has become leader */
        pthread_cancel(threads[i]);
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, PTHREAD_CANCELED);
    }
    channel_send(&channels[2]);
    pthread_join(threads[2], NULL);
    assert_int_equal(followers[2].result, 0);
    shard_lock(shard);
    for (int i = 0; i < 3; i++)
        channel_close(&channels[i]);
}

/* A callback removes a watch whose event was fetched with its own. */
static void remove_other(struct shard_watch *watch, uint32_t events)
{
    struct channel *channel = (struct channel *)watch;
    struct channel *other = channel->other;

    (void)events;
    channel->received++;
    channel_read(channel);
    if (other->write_fd >= 0) {
        channel_close(other);
        other->write_fd = -1;
    }
}

static void removed_watch_gets_no_event(void **state)
{
    struct channel *a = malloc(sizeof *a), *b = malloc(sizeof *b);

    (void)state;
    channel_open(a, 1);
    channel_open(b, 1);
    a->watch.on_event = b->watch.on_event = remove_other;
    a->other = b;
    b->other = a;
    channel_send(a);
    channel_send(b);
    shard_poll(shard);
    assert_int_not_equal(a->write_fd >= 0, b->write_fd >= 0);
    channel_close(a->write_fd >= 0 ? a : b);
    free(a);
    free(b);
}

static void child_starts_afresh(void **state)
{
    struct channel channel;
    int status;
    pid_t pid;

    (void)state;
    NOT_UNDER_TSAN();
    channel_open(&channel, 1);
    shard_hold(shard);
    shard_unlock(shard);
    usleep(5000); /* the background thread leads */
    gate_leave(&test_scope);
    gate_fork_prepare();
    pid = fork();
    if (pid == 0) {
        struct channel mine;

        gate_fork_child();
        alarm(20);
        gate_enter(&test_scope);
        shard_reset_child(shard);
        shard_lock(shard);
        channel_open(&mine, 2);
        channel_send(&mine);
        shard_hold(shard);
        shard_unlock(shard);
        usleep(50000); /* a background thread of its own */
        shard_lock(shard);
        status = mine.received == 1 && !pthread_equal(mine.drove, pthread_self()) ? 0 : 1;
        channel_send(&mine);
        if (channel_wait(&mine, NS_PER_S) != 0)
            status |= 2;
        _exit(status);
    }
    gate_fork_parent();
    gate_enter(&test_scope);
    shard_lock(shard);
    channel_send(&channel); /* ours still works */
    assert_int_equal(channel_wait(&channel, NS_PER_S), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    shard_release(shard);
    channel_close(&channel);
}

int main(void)
{
#define WITH_SHARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SHARD(waiting_thread_drives),
        WITH_SHARD(advances_before_it_sleeps),
        WITH_SHARD(times_out),
        WITH_SHARD(timers_fire_in_order),
        WITH_SHARD(earlier_timer_ends_the_leaders_sleep),
        WITH_SHARD(background_takes_over),
        WITH_SHARD(background_wakes_from_deep_rest),
        WITH_SHARD(followers_are_woken_each_by_its_own),
        WITH_SHARD(leader_left_by_longjmp),
        WITH_SHARD(handler_waits_inside_a_wait),
        WITH_SHARD(cancelled_threads_leave_nothing_behind),
        WITH_SHARD(removed_watch_gets_no_event),
        WITH_SHARD(child_starts_afresh),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
