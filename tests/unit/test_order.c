/* core/order.h: who comes next, in every order that a program may follow, and when nobody does. */
#include "core/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define DIRECTORY "s3://bucket/d"
#define DEPTH_MAX 16u
#define KEEP_NS   NS_PER_S

static struct orders *orders;
static int64_t now_ns;

static int set_up(void **state)
{
    orders = orders_new(DEPTH_MAX, KEEP_NS);
    now_ns = NS_PER_S;
    return orders ? 0 : -1;
}

static int tear_down(void **state)
{
    orders_free(orders);
    return 0;
}

static const char *name_of(unsigned number)
{
    static char name[32];

    snprintf(name, sizeof name, "%06u", number);
    return name;
}

static const char *uri_of(unsigned number)
{
    static char uri[64];

    snprintf(uri, sizeof uri, DIRECTORY "/%s", name_of(number));
    return uri;
}

/* Whose inodes go up and down. */
static uint64_t inode_of(unsigned number)
{
    return (uint64_t)number * 7919 % 10007 + 1;
}

static void list(unsigned from, unsigned to)
{
    orders_begin_listing(orders, DIRECTORY);
    for (unsigned i = from; i < to; i++) {
        struct order_file file = {.size_bytes = i, .inode = inode_of(i)};

        orders_add_listed(orders, DIRECTORY, name_of(i), &file);
    }
}

static void open_one(unsigned number)
{
    now_ns += NS_PER_MS;
    orders_note_open(orders, uri_of(number), number, now_ns);
}

static unsigned guessed_number(const struct order_guess *guess)
{
    unsigned number;

    assert_int_equal(sscanf(guess->uri, DIRECTORY "/%u", &number), 1);
    return number;
}

/* The guesses that there are now: so many, and each `stride` behind the one before; from is the
 * first. */
static void expect(unsigned count, unsigned from, unsigned stride)
{
    struct order_guess guess;
    unsigned found = 0;

    for (; orders_guess(orders, &guess); found++)
        assert_int_equal(guessed_number(&guess), from + found * stride);
    assert_int_equal(found, count);
}

static void a_listing_is_followed(void **state)
{
    list(0, 100);
    open_one(0);
    expect(2, 1, 1);
    open_one(1);
    expect(3, 3, 1); /* up to four ahead: 2 is guessed already */
    open_one(2);
    expect(5, 6, 1);
    open_one(3);
    expect(9, 11, 1);
    open_one(4);
    expect(1, 20, 1); /* the most there may be */
}

static void sizes_are_those_of_the_listing(void **state)
{
    struct order_guess guess;

    list(0, 10);
    open_one(0);
    assert_true(orders_guess(orders, &guess));
    assert_int_equal(guess.size_bytes, 1);
    assert_string_equal(guess.uri, DIRECTORY "/000001");
}

static void nothing_is_guessed_beyond_the_end(void **state)
{
    list(0, 3);
    open_one(0);
    expect(2, 1, 1);
    open_one(1);
    open_one(2);
    expect(0, 0, 0);
}

static void it_goes_on_with_the_next_page(void **state)
{
    struct order_file file = {.size_bytes = 1};

    list(0, 2);
    open_one(0);
    expect(1, 1, 1);
    orders_add_listed(orders, DIRECTORY, name_of(2), &file);
    expect(1, 2, 1);
}

static void in_the_middle_two_in_a_row_begin_it(void **state)
{
    list(0, 100);
    open_one(50);
    expect(0, 0, 0);
    open_one(51);
    expect(2, 52, 1);
}

static void a_few_may_be_left_out(void **state)
{
    list(0, 100);
    open_one(0);
    expect(2, 1, 1);
    open_one(3);
    expect(4, 4, 1);
    open_one(5);
    assert_true(orders_guess(orders, &(struct order_guess){0}));
}

static void each_eighth_is_an_order(void **state)
{
    list(0, 1000);
    open_one(3);
    open_one(11);
    expect(0, 0, 0);
    open_one(19);
    expect(2, 27, 8);
    open_one(27);
    expect(3, 43, 8);
}

static void random_opens_are_none(void **state)
{
    uint32_t random = 1;
    unsigned guesses = 0;

    list(0, 1000);
    for (unsigned i = 0; i < 5000; i++) {
        random = random * 1664525 + 1013904223;
        open_one((random >> 16) % 1000);
        while (orders_guess(orders, &(struct order_guess){0}))
            guesses++;
    }
    assert_in_range(guesses, 0, 50); /* now and then two are neighbours by chance */
}

static void by_inode(void **state)
{
    unsigned sorted[100], count = 0;

    for (uint64_t inode = 1; inode <= 10007; inode++)
        for (unsigned i = 0; i < 100; i++)
            if (inode_of(i) == inode)
                sorted[count++] = i;
    list(0, 100);
    for (unsigned i = 0; i < 10; i++) {
        struct order_guess guess;

        open_one(sorted[i]);
        if (i == 1 || i == 2) {
            assert_true(orders_guess(orders, &guess));
            assert_int_equal(guessed_number(&guess), sorted[i == 1 ? 2 : 4]);
        }
        while (orders_guess(orders, &guess))
            ;
    }
}

/* 19, 18 … 0. */
static void tell(unsigned count)
{
    orders_add_told(orders, NULL);
    for (unsigned i = 0; i < count; i++)
        orders_add_told(orders, uri_of(19 - i));
}

static void what_was_told_begins_with_the_second(void **state)
{
    tell(20);
    open_one(19);
    expect(0, 0, 0);
    open_one(18);
    for (unsigned i = 0; i < 8; i++) {
        struct order_guess guess;

        assert_true(orders_guess(orders, &guess));
        assert_int_equal(guessed_number(&guess), 17 - i);
        assert_true(guess.size_bytes == ORDER_SIZE_UNKNOWN);
    }
    expect(0, 0, 0);
}

/* cp a b c directory */
static void the_last_that_was_told_may_be_a_destination(void **state)
{
    tell(4);
    open_one(19);
    open_one(18);
    expect(1, 17, 1);
    open_one(17);
    expect(0, 0, 0);
}

static void the_second_time_it_is_known(void **state)
{
    static const unsigned manifest[] = {17, 3, 99, 42, 5, 61, 8, 77};

    for (unsigned i = 0; i < 8; i++) {
        open_one(manifest[i]);
        expect(0, 0, 0);
    }
    open_one(17);
    expect(0, 0, 0);
    open_one(3);
    for (unsigned i = 2; i < 4; i++) {
        struct order_guess guess;

        assert_true(orders_guess(orders, &guess));
        assert_int_equal(guessed_number(&guess), manifest[i]);
        assert_int_equal(guess.size_bytes, manifest[i]);
    }
    assert_false(orders_guess(orders, &(struct order_guess){0}));
}

static void an_order_that_is_left_is_given_up(void **state)
{
    list(0, 1000);
    for (unsigned i = 0; i < 3; i++) {
        open_one(i * 300 + 1);
        open_one(i * 300 + 2);
        expect(2, i * 300 + 3, 1);
    }
    open_one(5);
    open_one(6);
    open_one(7);
    expect(0, 0, 0);
    list(0, 1000); /* but not for ever */
    open_one(0);
    expect(2, 1, 1);
}

static void who_takes_his_time_gets_few(void **state)
{
    list(0, 1000);
    for (unsigned i = 0; i < 20; i++) {
        now_ns += 100 * NS_PER_MS;
        open_one(i);
        if (i < 19)
            while (orders_guess(orders, &(struct order_guess){0}))
                ;
    }
    expect(1, 23, 1); /* four that take a tenth of a second each are opened in half of the time */
}

static void unused_guesses_make_it_careful(void **state)
{
    list(0, 1000);
    for (unsigned i = 0; i < 8; i++)
        open_one(i);
    orders_note_unused(orders);
    orders_note_unused(orders);
    expect(4, 8, 1);
}

static void a_guess_that_was_not_taken_up_comes_again(void **state)
{
    struct order_guess guess;

    list(0, 100);
    open_one(0);
    assert_true(orders_guess(orders, &guess));
    assert_true(orders_guess(orders, &guess));
    assert_int_equal(guessed_number(&guess), 2);
    orders_take_back(orders);
    open_one(1);
    expect(4, 2, 1);
}

static void directories_do_not_mix(void **state)
{
    struct order_file file = {.size_bytes = 1};

    list(0, 100);
    orders_begin_listing(orders, DIRECTORY "2");
    for (unsigned i = 0; i < 100; i++)
        orders_add_listed(orders, DIRECTORY "2", name_of(i), &file);
    open_one(0);
    expect(2, 1, 1);
    orders_note_open(orders, DIRECTORY "2/000000", 1, now_ns);
    open_one(1);
    expect(3, 3, 1);
}

static void more_names_than_are_kept(void **state)
{
    unsigned last = ORDER_NAMES_MAX + 1000;

    list(0, last);
    open_one(0); /* forgotten */
    expect(0, 0, 0);
    open_one(last - 10);
    open_one(last - 9);
    expect(2, last - 8, 1);
    for (unsigned i = 0; i < 2 * ORDERS_MAX;
         i++) { /* other directories take the place of old ones */
        char directory[64];

        snprintf(directory, sizeof directory, "s3://bucket/other-%u", i);
        orders_begin_listing(orders, directory);
    }
    open_one(last - 8);
    expect(0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_listing_is_followed),
        TEST(sizes_are_those_of_the_listing),
        TEST(nothing_is_guessed_beyond_the_end),
        TEST(it_goes_on_with_the_next_page),
        TEST(in_the_middle_two_in_a_row_begin_it),
        TEST(a_few_may_be_left_out),
        TEST(each_eighth_is_an_order),
        TEST(random_opens_are_none),
        TEST(by_inode),
        TEST(what_was_told_begins_with_the_second),
        TEST(the_last_that_was_told_may_be_a_destination),
        TEST(the_second_time_it_is_known),
        TEST(an_order_that_is_left_is_given_up),
        TEST(who_takes_his_time_gets_few),
        TEST(unused_guesses_make_it_careful),
        TEST(a_guess_that_was_not_taken_up_comes_again),
        TEST(directories_do_not_mix),
        TEST(more_names_than_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
