/* core/order_ascent.c: of which directories a page is wished for, and what it is good for. */
#include "core/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define DEPTH_MAX  16u
#define KEEP_NS    NS_PER_S
#define PAGE_NAMES 500u
#define NAMES      5000u /* that a directory has, unless a test says another number */

static struct orders *orders;
static int64_t now_ns;
static uint32_t chance;
static unsigned opens, pages, guesses, names;

static int set_up(void **state)
{
    orders = orders_new(DEPTH_MAX, KEEP_NS);
    now_ns = NS_PER_S;
    chance = 1;
    opens = pages = guesses = 0;
    names = NAMES;
    return orders ? 0 : -1;
}

static int tear_down(void **state)
{
    orders_free(orders);
    return 0;
}

static unsigned choose(unsigned count)
{
    chance = chance * 1664525 + 1013904223;
    return (chance >> 8) % count;
}

static const char *directory_of(unsigned number)
{
    static char directory[64];

    snprintf(directory, sizeof directory, "s3://bucket/%u", number);
    return directory;
}

static const char *name_of(unsigned number)
{
    static char name[32];

    snprintf(name, sizeof name, "%06u", number);
    return name;
}

static void note_open(unsigned directory, unsigned number)
{
    char uri[128];

    now_ns += NS_PER_MS;
    opens++;
    snprintf(uri, sizeof uri, "%s/%s", directory_of(directory), name_of(number));
    orders_note_open(orders, uri, 1, now_ns);
}

static unsigned guess_all(void)
{
    struct order_guess guess;
    unsigned count = 0;

    while (orders_guess(orders, &guess))
        count++;
    guesses += count;
    return count;
}

/* The names behind wish->after. */
static void answer(const struct order_wish *wish)
{
    unsigned from = (unsigned)atoi(wish->after) + 1;
    unsigned to = from + PAGE_NAMES < names ? from + PAGE_NAMES : names;

    if (!orders_begin_page(orders, wish))
        return;
    for (unsigned i = from; i < to; i++)
        orders_add_listed(orders, wish->directory, name_of(i), &(struct order_file){1, 0});
    orders_end_page(orders, wish, to == names);
}

/* The page is there when the next file is opened. */
static void open_one(unsigned directory, unsigned number)
{
    struct order_wish wish;

    note_open(directory, number);
    guess_all();
    if (!orders_wish(orders, &wish))
        return;
    pages++;
    orders_note_asked(orders, &wish);
    assert_false(orders_wish(orders, &wish));
    answer(&wish);
}

static void three_in_a_row_are_enough(void **state)
{
    struct order_guess guess;
    struct order_wish wish;

    note_open(1, 40);
    note_open(1, 41);
    assert_false(orders_wish(orders, &wish));
    note_open(1, 42);
    assert_true(orders_wish(orders, &wish));
    assert_string_equal(wish.directory, directory_of(1));
    assert_string_equal(wish.after, name_of(40));
    orders_note_asked(orders, &wish);
    note_open(1, 43); /* meanwhile */
    answer(&wish);
    for (unsigned i = 44; i < 60; i++) {
        note_open(1, i);
        assert_false(orders_guess(orders, &guess)); /* a few in a row end soon */
    }
    for (unsigned i = 60; i < 65; i++)
        note_open(1, i);
    assert_true(orders_guess(orders, &guess));
    assert_string_equal(guess.uri, "s3://bucket/1/000065");
}

/* Twenty cost nothing; then guesses are a quarter of what was followed. */
static void few_opens_cost_few_guesses(void **state)
{
    for (unsigned i = 0; i < 20; i++)
        open_one(1, i);
    assert_int_equal(guesses, 0);
    for (unsigned i = 20; i < 80; i++)
        open_one(1, i);
    assert_in_range(guesses, 80 - 24, 80 - 24 + DEPTH_MAX + 1);
}

static void one_page_for_hundreds_of_opens(void **state)
{
    for (unsigned i = 0; i < names; i++)
        open_one(1, i);
    assert_in_range(pages, names / PAGE_NAMES, names / 300);
    assert_in_range(guesses, names * 9 / 10, names * 11 / 10);
}

static void the_last_page_is_the_last(void **state)
{
    names = 300;
    for (unsigned i = 0; i < names; i++)
        open_one(1, i);
    assert_int_equal(pages, 1);
    assert_in_range(guesses, names * 9 / 10, names);
}

static void each_tenth_is_followed(void **state)
{
    for (unsigned i = 0; i < names; i += 10)
        open_one(1, i);
    assert_in_range(pages, 2, opens / 200 + 1);
    assert_in_range(guesses, 50, opens);
}

/* Between two of them up to a hundred are left out, each time another number. */
static void gaps_end_it(void **state)
{
    unsigned number = 0;

    names = 1000000;
    for (unsigned i = 0; i < 2000; i++)
        open_one(1, number += 5 + choose(100));
    assert_int_equal(pages, 1);
    assert_in_range(guesses, 0, 9);
}

static void by_chance_there_are_few(void **state)
{
    for (unsigned i = 0; i < 20000; i++)
        open_one(1, choose(names));
    assert_in_range(pages, 1, 2);
}

/* Three files in each of many directories: it is soon known that a page is of no use. */
static void small_directories_are_left_alone(void **state)
{
    for (unsigned i = 0; i < 1000; i++)
        for (unsigned j = 0; j < 3; j++)
            open_one(i, j);
    assert_int_equal(pages, 1);
}

static void two_directories_in_turn(void **state)
{
    for (unsigned i = 0; i < names; i++) {
        open_one(1, i);
        open_one(2, i);
    }
    assert_in_range(pages, 2, opens / 300);
    assert_in_range(guesses, opens * 9 / 10, opens * 11 / 10);
}

static void what_the_program_has_listed_is_known(void **state)
{
    orders_begin_listing(orders, directory_of(1));
    for (unsigned i = 0; i < 100; i++)
        orders_add_listed(orders, directory_of(1), name_of(i), &(struct order_file){1, 0});
    for (unsigned i = 0; i < names; i++)
        open_one(1, i);
    assert_int_equal(pages, 0);
}

static void a_listing_by_the_program_goes_before(void **state)
{
    struct order_wish wish;

    for (unsigned i = 0; i < 3; i++)
        note_open(1, i);
    assert_true(orders_wish(orders, &wish));
    orders_note_asked(orders, &wish);
    orders_begin_listing(orders, directory_of(1));
    assert_false(orders_begin_page(orders, &wish));
}

/* Whose names follow each other on the command line. */
static void who_is_followed_otherwise_needs_none(void **state)
{
    char uri[128];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(uri, sizeof uri, "%s/%s", directory_of(1), name_of(i));
        orders_add_told(orders, uri);
    }
    for (unsigned i = 0; i < 100; i++)
        open_one(1, i);
    assert_int_equal(pages, 0);
}

/* Three times it is left with guesses unused. */
static void wrong_guesses_end_it(void **state)
{
    unsigned before;

    for (unsigned i = 0; i < 1000; i++)
        open_one(1, i + i / 50 * 20);
    before = pages;
    guesses = 0;
    for (unsigned i = 2000; i < names; i++)
        open_one(1, i);
    assert_in_range(before, 1, 3);
    assert_int_equal(pages, before);
    assert_int_equal(guesses, 0);
}

/* Two in each page. */
static void wrong_guesses_of_several_pages_add_up(void **state)
{
    for (unsigned i = 0; i < 4000; i++)
        open_one(1, i + i / 200 * 20);
    assert_in_range(pages, 1, 3);
}

/* A letter more with each name, and after twenty names another directory, longer or shorter by many. */
static void names_and_directories_of_any_length(void **state)
{
    struct order_wish wish;
    char uri[1024];

    for (unsigned i = 0; i < 40 * 20; i++) {
        unsigned length = 1 + i / 20 * 37 % 400, letters = 1 + 11 * (i % 20);
        int at = snprintf(uri, sizeof uri, "s3://bucket/%0*u/", (int)length, i / 20);

        memset(uri + at, 'a', letters);
        uri[(unsigned)at + letters] = '\0';
        orders_note_open(orders, uri, 1, now_ns += NS_PER_MS);
        if (i % 20 < 2) {
            assert_false(orders_wish(orders, &wish));
            continue;
        }
        assert_true(orders_wish(orders, &wish));
        assert_int_equal(strlen(wish.directory), at - 1);
        assert_memory_equal(wish.directory, uri, at - 1);
        assert_int_equal(strlen(wish.after), i % 20 < 8 ? 1 : letters - 7 * 11);
        assert_memory_equal(wish.after, uri + at, strlen(wish.after));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(three_in_a_row_are_enough),
        TEST(few_opens_cost_few_guesses),
        TEST(one_page_for_hundreds_of_opens),
        TEST(the_last_page_is_the_last),
        TEST(each_tenth_is_followed),
        TEST(gaps_end_it),
        TEST(by_chance_there_are_few),
        TEST(small_directories_are_left_alone),
        TEST(two_directories_in_turn),
        TEST(what_the_program_has_listed_is_known),
        TEST(a_listing_by_the_program_goes_before),
        TEST(who_is_followed_otherwise_needs_none),
        TEST(wrong_guesses_end_it),
        TEST(wrong_guesses_of_several_pages_add_up),
        TEST(names_and_directories_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
