/* core/key_space.h: where the pages of names of all kinds would begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/key_space.h"

#define KEYS   20000u
#define PAGE   1000u
#define LENGTH 64u

static char keys[KEYS][LENGTH]; /* ascending */

static int compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static uint32_t scatter(uint32_t number)
{
    number = (number ^ number >> 16) * 0x45d9f3bu;
    number = (number ^ number >> 16) * 0x45d9f3bu;
    return number ^ number >> 16;
}

/* What a name is made of: its number, and one that has nothing to do with it. */
typedef void name_fn(char *key, unsigned number, uint32_t scattered);

static void learn(struct key_space *space, unsigned from, unsigned count, size_t prefix_length)
{
    struct store_entry *entries = calloc(count, sizeof *entries);
    struct store_page page = {.entries = entries, .count = count};

    assert_non_null(entries);
    for (unsigned i = 0; i < count; i++)
        entries[i].key = keys[from + i];
    key_space_learn(space, &page, prefix_length);
    free(entries);
}

static void make(name_fn *name)
{
    for (unsigned i = 0; i < KEYS; i++)
        name(keys[i], i, scatter(i));
    qsort(keys, KEYS, sizeof *keys, compare);
}

/* How many keys lie between the one that a page begins behind and the next such place. */
static unsigned step_from(const struct key_space *space, unsigned index)
{
    char next[URI_KEY_MAX + 1];
    unsigned end = index;

    if (!key_space_next(space, keys[index], next))
        return 0;
    assert_true(strcmp(next, keys[index]) > 0);
    while (end < KEYS && strcmp(keys[end], next) <= 0)
        end++;
    return end - index;
}

/* A page has room for what lies between two places, and is well filled by it. */
static void check_even(name_fn *name)
{
    struct key_space space;

    make(name);
    learn(&space, 0, PAGE, 2);
    for (unsigned page = 1; page <= 15; page++)
        assert_in_range(step_from(&space, page * PAGE), PAGE * 75 / 100, PAGE);
}

static void counter(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/img_%06u.jpg", number);
}

static void counter_behind_letters(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/train%08u", number);
}

static void hash(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/%08x%08x", scattered, scatter(scattered));
}

static void uuid(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/%08X-0000-4000-8000-%012X", scattered, number);
}

static void letters(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/%c%c%c%c-%u", 'a' + scattered % 26, 'a' + scattered / 26 % 26,
             'a' + scattered / 676 % 26, 'a' + scattered / 17576 % 26, number);
}

static void test_even_names(void **state)
{
    check_even(counter);
    check_even(counter_behind_letters);
    check_even(hash);
    check_even(uuid);
    check_even(letters);
}

static void test_the_last_digits(void **state)
{
    struct key_space space;
    char next[URI_KEY_MAX + 1];

    make(hash);
    learn(&space, 0, PAGE, 2);
    assert_int_equal(step_from(&space, KEYS - 10), 0);
    make(counter);
    learn(&space, 0, PAGE, 2);
    assert_false(key_space_next(&space, "d/img_999990.jpg", next));
}

/* ---- names that are less even ---------------------------------------------------------------- */

static void unpadded(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/part.%u.csv", number);
}

static void groups(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/%c/%05u", 'a' + number / 3000, number);
}

static void words(char *key, unsigned number, uint32_t scattered)
{
    static const char *const syllables[] = {"ba", "k", "to", "Ri", "mu", "-", "9", "_", "é", "zz"};

    key[0] = '\0';
    strcat(key, "d/");
    for (unsigned i = 0; i < 8; i++, scattered /= 10)
        strcat(key, syllables[scattered % 10]);
}

static void short_ones(char *key, unsigned number, uint32_t scattered)
{
    snprintf(key, LENGTH, "d/%.*s", (int)(number % 20), "aaaaaaaaaaaaaaaaaaaa");
}

/* Whatever is guessed lies behind, is a name of the same directory, and text. */
static void test_uneven_names(void **state)
{
    name_fn *const names[] = {unpadded, groups, words, short_ones, counter, uuid};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        make(names[i]);
        for (unsigned from = 0; from + PAGE < KEYS; from += 700) {
            struct key_space space;
            char next[URI_KEY_MAX + 1];

            learn(&space, from, PAGE, 2);
            for (unsigned index = from; index < KEYS; index += 97) {
                if (!key_space_next(&space, keys[index], next))
                    continue;
                assert_true(strcmp(next, keys[index]) > 0);
                assert_memory_equal(next, "d/", 2);
                assert_true(strlen(next) <= LENGTH);
                for (const char *at = next + space.first; *at; at++)
                    assert_true(*at != '/' && *at >= ' ' && *at < 0x7f);
            }
        }
    }
}

static void test_nothing_to_guess_by(void **state)
{
    struct key_space space;

    make(counter);
    learn(&space, 0, 50, 2); /* too few */
    assert_int_equal(step_from(&space, 49), 0);
    learn(&space, 0, PAGE, 2);
    assert_true(step_from(&space, PAGE) > 0);
    learn(&space, 0, 0, 2);
    assert_int_equal(step_from(&space, PAGE), 0);
}

static void test_keys_too_long_for_a_name(void **state)
{
    struct store_entry entries[200];
    struct store_page page = {.entries = entries, .count = 200};
    static char texts[200][URI_KEY_MAX + 20];
    struct key_space space;
    char next[URI_KEY_MAX + 1];

    for (unsigned i = 0; i < 200; i++) {
        memset(texts[i], 'x', URI_KEY_MAX - 2);
        snprintf(texts[i] + URI_KEY_MAX - 2, 22, "%09u", i);
        entries[i].key = texts[i];
    }
    key_space_learn(&space, &page, 0);
    assert_false(key_space_next(&space, texts[199], next));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even_names),
        cmocka_unit_test(test_the_last_digits),
        cmocka_unit_test(test_uneven_names),
        cmocka_unit_test(test_nothing_to_guess_by),
        cmocka_unit_test(test_keys_too_long_for_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
