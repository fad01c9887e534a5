/* core/listed.h: where pages begin, and how much of a directory is worth asking for again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/listed.h"

#define TTL  1000
#define D    "s3://b/d"
#define LAST UINT32_MAX

static struct listed *listed;
static int64_t now_ns;
static uint64_t found;

static int set_up(void **state)
{
    listed = listed_new(TTL, 120);
    assert_non_null(listed);
    now_ns = 10 * TTL;
    found = 0;
    return 0;
}

static int tear_down(void **state)
{
    listed_free(listed);
    return 0;
}

/* Page i holds "d/iiii5" and begins behind "d/iiii", the first one at the beginning. */
static void note(const char *directory, unsigned page, unsigned count)
{
    char from[32], last[32];
    struct listed_page noted = {.from = page ? from : "", .last = last, .asked_ns = now_ns};

    snprintf(from, sizeof from, "d/%04u", page);
    snprintf(last, sizeof last, "d/%04u", page + 1);
    if (page + 1 == count)
        noted.last = NULL;
    listed_note(listed, directory, &noted);
}

static void note_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        note(D, i, count);
    now_ns += 10 * TTL;
}

static void check_span(const struct listed_span *span, unsigned from, unsigned until)
{
    char text[32];

    snprintf(text, sizeof text, "d/%04u", from);
    assert_string_equal(span->from, from ? text : "");
    snprintf(text, sizeof text, "d/%04u", until);
    if (until == LAST)
        assert_null(span->until);
    else
        assert_string_equal(span->until, text);
}

static struct listed_plan plan;

/* How many pages; `plan` has them. */
static unsigned miss_in(const char *directory, unsigned page, bool is_pressing)
{
    char key[32];
    struct listed_miss miss = {.directory = directory,
                               .key = key,
                               .now_ns = now_ns + 1,
                               .found = found,
                               .is_pressing = is_pressing};

    now_ns++;
    listed_plan_fini(&plan);
    snprintf(key, sizeof key, "d/%04u5", page);
    return listed_plan(listed, &miss, &plan) ? plan.count : 0;
}

static unsigned miss(unsigned page, bool is_pressing)
{
    unsigned count = miss_in(D, page, is_pressing);

    listed_plan_fini(&plan);
    return count;
}

/* ---- where pages begin ----------------------------------------------------------------------- */

#define UNKNOWN ""

/* NULL: it is known that there is none. */
static void check_next(const char *from, const char *expected)
{
    char *next = NULL;

    if (!listed_next(listed, D, from, &next))
        assert_string_equal(expected, UNKNOWN);
    else if (expected)
        assert_string_equal(next, expected);
    else
        assert_null(next);
    free(next);
}

static void test_pages(void **state)
{
    check_next("", UNKNOWN);
    note_all(3);
    check_next("", "d/0001");
    check_next("d/00005", "d/0001");
    check_next("d/0001", "d/0002");
    check_next("d/0002", NULL);
}

static void test_pages_that_have_moved(void **state)
{
    struct listed_page page = {.from = "d/0001", .last = "d/00035", .asked_ns = 1};

    note_all(5);
    listed_note(listed, D, &page);
    check_next("d/0001", "d/00035");
    check_next("d/00035", "d/0004");
    page = (struct listed_page){.from = "d/00035", .asked_ns = 1};
    listed_note(listed, D, &page);
    check_next("d/00035", NULL);
    page = (struct listed_page){.from = "d/00035", .last = "d/00037", .asked_ns = 1};
    listed_note(listed, D, &page);
    check_next("d/00035", "d/00037");
    check_next("d/00037", UNKNOWN);
}

/* Who begins behind "d/sub/" would be shown it again. */
static void test_behind_a_group(void **state)
{
    struct listed_page page = {.from = "", .last = "d/sub/", .asked_ns = 1};
    char *next = NULL;

    listed_note(listed, D, &page);
    assert_true(listed_next(listed, D, "", &next));
    assert_true(strncmp(next, "d/sub/", 6) == 0 && strlen(next) > 6);
    assert_true(strcmp(next, "d/sub/zzz") > 0 && strcmp(next, "d/sub0") < 0);
    free(next);
}

static void test_many_pages(void **state)
{
    for (unsigned i = 0; i < 3 * LISTED_PAGES_MAX; i++)
        note(D, i, 0);
    now_ns += 10 * TTL;
    assert_int_equal(miss(5, true), 0); /* long forgotten */
    check_next("d/3071", "d/3072");
}

static void test_few_directories(void **state)
{
    char name[32];

    for (unsigned i = 0; i <= LISTED_DIRECTORIES; i++) {
        snprintf(name, sizeof name, "s3://b/%u", i);
        note(name, 0, 1);
        listed_kind(listed, "s3://b/1"); /* is used all the time */
    }
    assert_int_equal(listed_kind(listed, "s3://b/0"), LISTED_NOT);
    assert_int_equal(listed_kind(listed, "s3://b/1"), LISTED_PLAIN);
    assert_int_equal(listed_kind(listed, "s3://b/2"), LISTED_PLAIN);
    listed_note_marked(listed, "s3://b/2");
    assert_int_equal(listed_kind(listed, "s3://b/2"), LISTED_MARKED);
    note("s3://b/2", 0, 1);
    assert_int_equal(listed_kind(listed, "s3://b/2"), LISTED_PLAIN);
}

/* ---- look-ups that a program waits for ------------------------------------------------------- */

static void test_twice_as_many_each_time(void **state)
{
    note_all(100);
    assert_int_equal(miss(50, true), 0);
    assert_int_equal(miss(51, true), 0);
    assert_int_equal(miss_in(D, 52, true), 1);
    check_span(&plan.spans[0], 52, 53);
    assert_int_equal(miss_in(D, 97, true), 2);
    check_span(&plan.spans[0], 97, 98);
    check_span(&plan.spans[1], 98, 99);
    assert_int_equal(miss_in(D, 95, true), 4); /* up to the last one asked about, then around */
    check_span(&plan.spans[0], 50, 51);
    check_span(&plan.spans[1], 51, 52);
    check_span(&plan.spans[2], 95, 96);
    check_span(&plan.spans[3], 96, 97);
    assert_int_equal(miss(60, true), 8);
    assert_int_equal(miss(90, true), 16);
    assert_int_equal(miss(20, true), 32);
    assert_int_equal(miss(0, true), 100 - 63); /* that is all */
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(miss(i, true), 0);
    listed_plan_fini(&plan);
}

static void test_in_the_order_of_keys(void **state)
{
    note_all(30);
    assert_int_equal(miss(0, true), 0);
    assert_int_equal(miss(0, true), 0);
    assert_int_equal(miss(0, true), 1);
    assert_int_equal(miss_in(D, 1, true), 2);
    check_span(&plan.spans[0], 1, 2);
    check_span(&plan.spans[1], 2, 3);
    assert_int_equal(miss(3, true), 4);
    assert_int_equal(miss(7, true), 8);
    assert_int_equal(miss_in(D, 15, true), 15);
    check_span(&plan.spans[14], 29, LAST);
    listed_plan_fini(&plan);
}

static void test_rounds(void **state)
{
    note_all(8);
    for (unsigned i = 0; i < 2; i++)
        miss(i, true);
    assert_int_equal(miss(2, true) + miss(0, true) + miss(5, true) + miss(4, true), 8);
    found += 1000;
    now_ns += TTL; /* it was worth it: half of them at once */
    assert_int_equal(miss(4, true), 4);
    assert_int_equal(miss(2, true), 4);
    found += 7;
    now_ns += TTL; /* it was not: as in the beginning, and later */
    assert_int_equal(miss(0, true), 0);
    assert_int_equal(miss(1, true), 0);
    assert_int_equal(miss(2, true), 0);
    assert_int_equal(miss(3, true), 0);
    assert_int_equal(miss(4, true), 1);
}

static void test_long_afterwards(void **state)
{
    note_all(8);
    for (unsigned i = 0; i < 3; i++)
        miss(i, true);
    found += 1000;
    now_ns += 10 * TTL;
    assert_int_equal(miss(0, true), 0);
    assert_int_equal(miss(1, true), 0);
    assert_int_equal(miss(2, true), 1);
}

static void test_pages_that_take_long(void **state)
{
    note_all(100);
    for (unsigned i = 0; i < 5; i++)
        miss(10 * i, true);
    assert_int_equal(miss(5, true), 8);
    listed_note_took(listed, D, 8, TTL / 2 + 1);
    assert_int_equal(miss(75, true), 4);
    assert_int_equal(miss(85, true), 4);
    listed_note_took(listed, D, 4, 1);
    assert_int_equal(miss(95, true), 8);
}

/* More than the cache has room for: then each page takes another one's. */
static void test_room(void **state)
{
    unsigned sum = 0, count;

    note_all(300);
    for (unsigned i = 0; i < 300; i++) {
        count = miss(i * 7 % 300, true);
        assert_true(sum + count <= 120 || count <= 1);
        sum += count;
    }
    assert_in_range(sum, 120, 300);
}

/* ---- others ---------------------------------------------------------------------------------- */

static void test_a_page_of_which_much_is_wanted(void **state)
{
    note_all(100);
    for (unsigned i = 0; i < 60; i++)
        assert_int_equal(miss(i, false), 0); /* each a page of its own */
    assert_int_equal(miss(7, false), 0);
    assert_int_equal(miss_in(D, 7, false), 1);
    check_span(&plan.spans[0], 7, 8);
    assert_int_equal(miss(7, false), 0); /* it is there; this name has changed since */
    now_ns += TTL;
    assert_int_equal(miss(7, false), 0);
    assert_int_equal(miss(7, false), 0);
    assert_int_equal(miss(7, false), 1);
    listed_plan_fini(&plan);
}

static void test_what_is_not_known(void **state)
{
    note(D, 0, 0); /* what lies behind the first page was not listed */
    now_ns += 10 * TTL;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(miss(0, true), 0);
    assert_int_equal(miss(0, true), 1);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(miss_in("s3://b/other", 0, true), 0);
    listed_note_marked(listed, D);
    now_ns += 10 * TTL;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(miss(0, true), 0);
}

/* ---- marked directories ---------------------------------------------------------------------- */

static unsigned entry(unsigned number, uint64_t inode, bool *ret_by_inode)
{
    char name[32];

    snprintf(name, sizeof name, D "/%u", number);
    return listed_entries(listed, D, name, inode, ret_by_inode);
}

static void expect(unsigned number)
{
    char name[32];

    snprintf(name, sizeof name, D "/%u", number);
    listed_expect(listed, D, name);
}

static void test_entries_in_order(void **state)
{
    unsigned expected[] = {1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256}, number = 0, count;
    bool by_inode = false;

    listed_note_marked(listed, D);
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
        count = entry(number, 1000 - i, &by_inode);
        assert_int_equal(count, expected[i]);
        assert_false(by_inode);
        expect(number += count);
    }
    assert_int_equal(entry(5, 1, &by_inode), 1);
    expect(6);
    assert_int_equal(entry(8, 1, &by_inode), 1);
}

static void test_entries_by_inode(void **state)
{
    bool by_inode = false;

    listed_note_marked(listed, D);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(entry(5 * i, 10 + i, &by_inode), 1);
        assert_int_equal(by_inode, i == 3);
        expect(5 * i + 1);
    }
    assert_int_equal(entry(16, 15, &by_inode), 1);
    expect(20);
    assert_int_equal(entry(20, 16, &by_inode), 2);
    assert_true(by_inode);
    assert_int_equal(entry(30, 17, &by_inode), 1); /* no, that was an accident */
    assert_false(by_inode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pages_that_have_moved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_behind_a_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_directories, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_twice_as_many_each_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_the_order_of_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_afterwards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pages_that_take_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_page_of_which_much_is_wanted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entries_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entries_by_inode, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
