/* config/internal.h: the rows, their names, and text as numbers and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "config/internal.h"
#include "config/words.h"

static void every_row_is_sound(void **state)
{
    (void)state;
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        const struct option_info *info = options_info((enum option_id)id);
        const char *help = options_help((enum option_id)id);
        int64_t number;

        assert_true(strlen(info->name) <= OPTION_NAME_MAX);
        assert_true(info->min <= info->max);
        assert_true(strlen(help) > 10);
        assert_int_equal(help[strlen(help) - 1], '.');
        if (*info->default_text)
            assert_int_equal(values_parse(info, info->default_text, &number), 0);
    }
}

static bool name_is_found(void *arg, enum option_id id, unsigned rank, const char *name,
                          size_t length)
{
    unsigned found_rank = 99;

    (void)arg;
    assert_int_equal(names_find_exact(name, length, &found_rank), id);
    assert_int_equal(found_rank, rank);
    return true;
}

static void every_name_and_alias_is_found_and_unique(void **state)
{
    (void)state;
    names_each(name_is_found, NULL);
}

static void the_names_people_were_given_exist(void **state)
{
    static const char *const names[] = {
        "S3DLIO_RT_THREADS",
        "S3DLIO_MAX_HTTP_CONNECTIONS",
        "S3DLIO_HTTP_MAX_CONNS",
        "S3DLIO_HTTP_IDLE_TIMEOUT_MS",
        "S3DLIO_OPERATION_TIMEOUT_SECS",
        "S3DLIO_USE_OPTIMIZED_HTTP",
        "S3DLIO_NETWORK_SPEED_GBPS",
        "S3DLIO_MIN_PART_SIZE",
        "S3DLIO_LOADER_NUM_WORKERS",
        "S3DLIO_LOADER_PREFETCH",
        "S3DLIO_PUT_PART_SIZE",
        "S3DLIO_PUT_INFLIGHT",
        "S3DLIO_GET_PART_SIZE",
        "S3DLIO_GET_INFLIGHT",
        "S3DLIO_GET_THRESHOLD",
        "S3DLIO_PROFILE",
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_not_equal(options_find(names[i]), OPTION_COUNT);
    assert_int_equal(options_find("S3DLIO_HTTP_MAX_CONNS"), OPTION_ID_MAX_HTTP_CONNECTIONS);
    assert_int_equal(options_find("get-part-size"), OPTION_ID_GET_PART_SIZE);
    assert_int_equal(options_find("aws_region"), OPTION_ID_REGION);
    assert_int_equal(options_find("nothing"), OPTION_COUNT);
}

static void edits_are_counted(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } rows[] = {
        {"", "", 0},       {"abc", "abc", 0},  {"abc", "ABC", 0},
        {"abc", "ab", 1},  {"abc", "abxc", 1}, {"abc", "axc", 1},
        {"abc", "acb", 1}, {"", "abc", 3},     {"kitten", "sitting", 3},
    };
    char long_word[200];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t a = strlen(rows[i].a), b = strlen(rows[i].b);
        assert_int_equal(words_distance(rows[i].a, a, rows[i].b, b), rows[i].distance);
        assert_int_equal(words_distance(rows[i].b, b, rows[i].a, a), rows[i].distance);
    }
    memset(long_word, 'x', sizeof long_word);
    assert_true(words_distance(long_word, sizeof long_word, "x", 1) > 10);
}

static void assert_value(enum option_id id, const char *text, int64_t expected)
{
    int64_t number = -7;

    assert_int_equal(values_parse(options_info(id), text, &number), 0);
    assert_int_equal(number, expected);
}

static void assert_no_value(enum option_id id, const char *text)
{
    int64_t number = -7;

    assert_true(values_parse(options_info(id), text, &number) < 0);
    assert_int_equal(number, -7);
}

static void sizes(void **state)
{
    const enum option_id id = OPTION_ID_GET_THRESHOLD;

    (void)state;
    assert_value(id, "0", 0);
    assert_value(id, "1000", 1000);
    assert_value(id, "64k", 64 << 10);
    assert_value(id, "64 KiB", 64 << 10);
    assert_value(id, "8M", 8 << 20);
    assert_value(id, "8MB", 8 << 20);
    assert_value(id, "8mib", 8 << 20);
    assert_value(id, "1.5G", INT64_C(3) << 29);
    assert_value(id, "1T", INT64_C(1) << 40);
    assert_value(id, "12B", 12);
    assert_no_value(id, "2T");
    assert_no_value(id, "-1");
    assert_no_value(id, "+1");
    assert_no_value(id, "8X");
    assert_no_value(id, "8MM");
    assert_no_value(id, "M");
    assert_no_value(id, "0.3");
    assert_no_value(id, "1.");
    assert_no_value(id, "0x10");
    assert_no_value(id, "1e3");
}

static void values_that_would_overflow(void **state)
{
    (void)state;
    assert_no_value(OPTION_ID_GET_THRESHOLD, "18446744073709551616");
    assert_no_value(OPTION_ID_GET_THRESHOLD, "9223372036854775808");
    assert_no_value(OPTION_ID_GET_THRESHOLD, "16777216T");
    assert_no_value(OPTION_ID_MEMORY_BUDGET, "9000000T");
    assert_no_value(OPTION_ID_META_TTL_MS, "9223372036854775807h");
    assert_no_value(OPTION_ID_NETWORK_SPEED_GBPS, "9223372036854775807");
    assert_no_value(OPTION_ID_GET_THRESHOLD, "1.9999999999999999999G");
}

static void times_numbers_words(void **state)
{
    (void)state;
    assert_value(OPTION_ID_CONNECT_TIMEOUT_MS, "250", 250);
    assert_value(OPTION_ID_CONNECT_TIMEOUT_MS, "2s", 2000);
    assert_value(OPTION_ID_CONNECT_TIMEOUT_MS, "1.5 s", 1500);
    assert_value(OPTION_ID_CONNECT_TIMEOUT_MS, "1m", 60000);
    assert_no_value(OPTION_ID_CONNECT_TIMEOUT_MS, "0");
    assert_no_value(OPTION_ID_CONNECT_TIMEOUT_MS, "1d");
    assert_value(OPTION_ID_OPERATION_TIMEOUT_SECS, "300", 300);
    assert_value(OPTION_ID_OPERATION_TIMEOUT_SECS, "2000ms", 2);
    assert_value(OPTION_ID_OPERATION_TIMEOUT_SECS, "1h", 3600);
    assert_no_value(OPTION_ID_OPERATION_TIMEOUT_SECS, "1500ms");
    assert_value(OPTION_ID_NETWORK_SPEED_GBPS, "2.5", 2500);
    assert_value(OPTION_ID_NETWORK_SPEED_GBPS, "100", 100000);
    assert_no_value(OPTION_ID_NETWORK_SPEED_GBPS, "2.5555");
    assert_value(OPTION_ID_PRICE_GET, "0.000125", 125);
    assert_no_value(OPTION_ID_PRICE_GET, "0.0000001");
    assert_no_value(OPTION_ID_RT_THREADS, "2.5");
    assert_no_value(OPTION_ID_RT_THREADS, "auto");
    assert_value(OPTION_ID_GET_INFLIGHT, "Auto", 0);
    assert_value(OPTION_ID_PUT_INFLIGHT, "0", 0);
    assert_value(OPTION_ID_PUT_INFLIGHT, "256", 256);
    assert_no_value(OPTION_ID_PUT_INFLIGHT, "automatic");
    assert_no_value(OPTION_ID_RT_THREADS, "65");
    assert_value(OPTION_ID_TLS_VERIFY, "No", 0);
    assert_value(OPTION_ID_TLS_VERIFY, "ON", 1);
    assert_no_value(OPTION_ID_TLS_VERIFY, "2");
    assert_value(OPTION_ID_FSYNC, "Flush", 1);
    assert_value(OPTION_ID_FSYNC, "ignore", 2);
    assert_no_value(OPTION_ID_FSYNC, "flus");
    assert_no_value(OPTION_ID_FSYNC, "flush|ignore");
}

static void what_is_printed_parses_to_the_same(void **state)
{
    (void)state;
    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        const struct option_info *info = options_info((enum option_id)id);
        int64_t numbers[] = {info->min, info->max, 0}, back;
        char text[64];

        if (info->type == OPTION_STRING || info->type == OPTION_SECRET)
            continue;
        values_parse(info, info->default_text, &numbers[2]);
        for (int i = 0; i < 3; i++) {
            values_format_number(info, numbers[i], text, sizeof text);
            assert_int_equal(values_parse(info, text, &back), 0);
            assert_int_equal(back, numbers[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_sound),
        cmocka_unit_test(every_name_and_alias_is_found_and_unique),
        cmocka_unit_test(the_names_people_were_given_exist),
        cmocka_unit_test(edits_are_counted),
        cmocka_unit_test(sizes),
        cmocka_unit_test(values_that_would_overflow),
        cmocka_unit_test(times_numbers_words),
        cmocka_unit_test(what_is_printed_parses_to_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
