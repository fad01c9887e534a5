/* core/order_epoch.c: names that are opened again in another sequence each time. What is guessed is
 * kept for a while, as prefetch.c would keep it, and then was in vain. */
#include "core/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define DEPTH_MAX 64u
#define KEEP_NS   NS_PER_S
#define NAMES_MAX 4096u
/* Now and then two that are neighbours elsewhere follow each other by chance. */
#define SOME_GUESSES 9u

/* A program with its own orders, and what became of the guesses made for it. */
struct program {
    struct orders *orders;
    int64_t now_ns, step_ns;
    int64_t asked_ns[NAMES_MAX]; /* when it was guessed; 0: it is not here */
    unsigned opens, guesses, used, wasted;
};

static uint32_t chance;

static unsigned choose(unsigned count)
{
    chance = chance * 1664525 + 1013904223;
    return (chance >> 8) % count;
}

static void shuffle(unsigned *numbers, unsigned count)
{
    for (unsigned i = count; i > 1; i--) {
        unsigned j = choose(i), number = numbers[i - 1];

        numbers[i - 1] = numbers[j];
        numbers[j] = number;
    }
}

static void begin(struct program *program)
{
    *program = (struct program){.now_ns = NS_PER_S, .step_ns = NS_PER_MS};
    program->orders = orders_new(DEPTH_MAX, KEEP_NS);
    assert_non_null(program->orders);
}

static void end(struct program *program)
{
    orders_free(program->orders);
}

static void forget_counts(struct program *program)
{
    program->opens = program->guesses = program->used = program->wasted = 0;
}

static const char *uri_of(unsigned number)
{
    static char uri[64];

    snprintf(uri, sizeof uri, "s3://bucket/set/%06u", number);
    return uri;
}

static void expire(struct program *program)
{
    bool has_other = false;

    for (unsigned i = 0; i < NAMES_MAX; i++) {
        if (!program->asked_ns[i] || program->now_ns - program->asked_ns[i] < KEEP_NS)
            continue;
        program->asked_ns[i] = 0;
        program->wasted++;
        has_other |= !orders_note_unused_name(program->orders, uri_of(i));
    }
    if (has_other)
        orders_note_unused(program->orders);
}

static void take_guesses(struct program *program)
{
    struct order_guess guess;
    unsigned number;

    while (orders_guess(program->orders, &guess)) {
        assert_int_equal(sscanf(guess.uri, "s3://bucket/set/%u", &number), 1);
        assert_int_equal(guess.size_bytes, number);
        if (program->asked_ns[number])
            continue;
        program->asked_ns[number] = program->now_ns;
        program->guesses++;
    }
}

static void open_one(struct program *program, unsigned number)
{
    program->now_ns += program->step_ns;
    program->opens++;
    expire(program);
    program->used += program->asked_ns[number] > 0;
    program->asked_ns[number] = 0;
    orders_note_open(program->orders, uri_of(number), number, program->now_ns);
    take_guesses(program);
}

/* Each name once, in a new sequence. */
static void run_epoch(struct program *program, unsigned count)
{
    unsigned numbers[NAMES_MAX];

    for (unsigned i = 0; i < count; i++)
        numbers[i] = i;
    shuffle(numbers, count);
    for (unsigned i = 0; i < count; i++)
        open_one(program, numbers[i]);
}

static void check_waste(struct program *program)
{
    program->now_ns += KEEP_NS;
    expire(program);
    assert_in_range(program->wasted, 0, program->opens / 20);
}

static int set_up(void **state)
{
    chance = 1;
    return 0;
}

static void the_second_epoch_is_guessed(void **state)
{
    struct program program;
    unsigned used;

    begin(&program);
    run_epoch(&program, 200);
    assert_int_equal(program.guesses, 0);
    run_epoch(&program, 200);
    used = program.used;
    assert_in_range(used, 60, 200);
    forget_counts(&program);
    run_epoch(&program, 200);
    assert_in_range(program.used, used, 200); /* there is less to prove */
    assert_in_range(program.guesses - program.used, 0, 2);
    end(&program);
}

/* Guesses are those that are still to come, each once. */
static void nobody_is_guessed_twice(void **state)
{
    struct program program;

    begin(&program);
    for (unsigned i = 0; i < 5; i++)
        run_epoch(&program, 100);
    assert_true(program.used > 150);
    assert_in_range(program.guesses, program.used, program.used + 4);
    end(&program);
}

/* What is left must be opened within half the time that a guess keeps: the last four here. */
static void who_takes_his_time_is_guessed_at_the_end(void **state)
{
    struct program program;

    begin(&program);
    program.step_ns = 100 * NS_PER_MS;
    run_epoch(&program, 100);
    run_epoch(&program, 96);
    assert_in_range(program.guesses, 1, 4);
    assert_int_equal(program.wasted, 0);
    end(&program);
}

/* Batches at a time, with pauses between them: the pace is that of both. */
static void pauses_count(void **state)
{
    struct program program;
    unsigned numbers[400];

    begin(&program);
    for (unsigned i = 0; i < 400; i++)
        numbers[i] = i;
    for (unsigned i = 0; i < 4 * 400; i++) {
        if (i % 400 == 0)
            shuffle(numbers, 400);
        if (i % 50 == 0)
            program.now_ns += 9 * NS_PER_S / 10;
        open_one(&program, numbers[i % 400]);
    }
    assert_true(program.used > 0);
    check_waste(&program);
    end(&program);
}

static void a_name_opened_twice_at_once_is_opened_once(void **state)
{
    struct program program;
    unsigned numbers[100];

    begin(&program);
    for (unsigned i = 0; i < 100; i++)
        numbers[i] = i;
    for (unsigned round = 0; round < 4; round++) {
        shuffle(numbers, 100);
        for (unsigned i = 0; i < 100; i++) {
            open_one(&program, numbers[i]);
            open_one(&program, numbers[i]);
        }
    }
    assert_true(program.used > 100);
    check_waste(&program);
    end(&program);
}

/* An index, before each tenth of the others, while they become known. */
static void one_that_is_opened_now_and_then_is_no_epoch(void **state)
{
    struct program program;
    unsigned numbers[500];

    begin(&program);
    for (unsigned i = 0; i < 500; i++)
        numbers[i] = i + 1;
    for (unsigned i = 0; i < 1500; i++) {
        if (i % 500 == 0)
            shuffle(numbers, 500);
        if (i % 50 == 0)
            open_one(&program, 0);
        open_one(&program, numbers[i % 500]);
        assert_true(i >= 500 || program.guesses == 0);
    }
    assert_true(program.used > 100);
    check_waste(&program);
    end(&program);
}

static void new_names_stop_it(void **state)
{
    struct program program;
    unsigned numbers[200];

    begin(&program);
    for (unsigned i = 0; i < 200; i++)
        numbers[i] = i;
    run_epoch(&program, 200);
    run_epoch(&program, 200);
    forget_counts(&program);
    shuffle(numbers, 200);
    for (unsigned i = 0; i < 60; i++)
        open_one(&program, numbers[i]);
    assert_true(program.guesses > 40);
    for (unsigned i = 200; i < 210; i++)
        open_one(&program, i);
    forget_counts(&program);
    for (unsigned i = 60; i < 120; i++)
        open_one(&program, numbers[i]);
    assert_in_range(program.guesses, 0, SOME_GUESSES);
    end(&program);
}

/* A third of the names each time: they are all known soon, and none is certain to come. */
static void partial_epochs_are_none(void **state)
{
    struct program program;
    unsigned numbers[600];

    begin(&program);
    for (unsigned i = 0; i < 600; i++)
        numbers[i] = i;
    run_epoch(&program, 600);
    forget_counts(&program);
    for (unsigned round = 0; round < 20; round++) {
        if (round == 2)
            forget_counts(&program); /* two show it */
        shuffle(numbers, 600);
        for (unsigned i = 0; i < 200; i++)
            open_one(&program, numbers[i]);
    }
    assert_in_range(program.guesses, 0, SOME_GUESSES);
    end(&program);
}

static void by_chance_is_none(void **state)
{
    for (unsigned count = 20; count <= 2000; count *= 10) {
        struct program program;

        begin(&program);
        run_epoch(&program, count);
        forget_counts(&program);
        for (unsigned i = 0; i < 10000; i++)
            open_one(&program, choose(count));
        check_waste(&program);
        end(&program);
    }
}

static void after_wrong_guesses_there_are_none(void **state)
{
    struct program program;
    unsigned numbers[100];

    begin(&program);
    for (unsigned i = 0; i < 100; i++)
        numbers[i] = i;
    run_epoch(&program, 100);
    for (unsigned round = 0; round < 3; round++) {
        run_epoch(&program, 100);
        shuffle(numbers, 100);
        for (unsigned i = 0; i < 30; i++)
            open_one(&program, numbers[i]);
        program.now_ns += 2 * KEEP_NS; /* nothing is opened for too long */
        open_one(&program, numbers[30]);
        assert_true(program.wasted > 0);
        forget_counts(&program);
        for (unsigned i = 31; i < 100; i++)
            open_one(&program, numbers[i]);
        assert_in_range(program.guesses, 0, SOME_GUESSES);
    }
    run_epoch(&program, 100);
    forget_counts(&program);
    run_epoch(&program, 100);
    assert_in_range(program.guesses, 0, SOME_GUESSES);
    end(&program);
}

static void one_that_was_not_taken_up_comes_again(void **state)
{
    struct program program;
    struct order_guess first, second;

    begin(&program);
    for (unsigned i = 0; i < 3; i++)
        run_epoch(&program, 100);
    program.now_ns += program.step_ns;
    orders_note_open(program.orders, uri_of(7), 7, program.now_ns);
    assert_true(orders_guess(program.orders, &first));
    orders_take_back(program.orders);
    assert_true(orders_guess(program.orders, &second));
    assert_string_equal(first.uri, second.uri);
    end(&program);
}

/* Each epoch is divided among workers anew, and they have processes of their own. */
static void workers_do_not_waste(void **state)
{
    for (unsigned workers = 2; workers <= 8; workers *= 2) {
        struct program *programs = calloc(workers, sizeof *programs);
        unsigned numbers[2048], opens = 0, wasted = 0, guesses = 0;

        assert_non_null(programs);
        for (unsigned i = 0; i < workers; i++)
            begin(&programs[i]);
        for (unsigned i = 0; i < 2048; i++)
            numbers[i] = i;
        for (unsigned epoch = 0; epoch < 24; epoch++) {
            shuffle(numbers, 2048);
            for (unsigned i = 0; i < 2048; i++)
                open_one(&programs[i % workers], numbers[i]);
        }
        for (unsigned i = 0; i < workers; i++) {
            programs[i].now_ns += KEEP_NS;
            expire(&programs[i]);
            opens += programs[i].opens;
            wasted += programs[i].wasted;
            guesses += programs[i].guesses;
            end(&programs[i]);
        }
        assert_in_range(wasted, 0, opens / 20);
        assert_in_range(guesses, 0, workers * SOME_GUESSES);
        free(programs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(the_second_epoch_is_guessed),
        TEST(nobody_is_guessed_twice),
        TEST(who_takes_his_time_is_guessed_at_the_end),
        TEST(pauses_count),
        TEST(a_name_opened_twice_at_once_is_opened_once),
        TEST(one_that_is_opened_now_and_then_is_no_epoch),
        TEST(new_names_stop_it),
        TEST(partial_epochs_are_none),
        TEST(by_chance_is_none),
        TEST(after_wrong_guesses_there_are_none),
        TEST(one_that_was_not_taken_up_comes_again),
        TEST(workers_do_not_waste),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
