/* engine/base/clock.h: dates of servers, and deadlines that never wrap. */
#include <errno.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

struct date_row {
    const char *text;
    int64_t seconds;
    long ns;
};

static void http_dates_of_all_three_forms(void **state)
{
    static const struct date_row rows[] = {
        {"Sun, 22 Nov 2026 07:52:48 GMT", 1795333968, 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777, 0},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777, 0},
        {"Sun Nov  6 08:49:37 1994", 784111777, 0},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0, 0},
        {"Thu, 29 Feb 2024 23:59:60 GMT", 1709251200, 0},
        {"Wed, 31 Dec 1969 23:59:59 GMT", -1, 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799, 0},
    };
    struct timespec time;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(clock_parse_http_date(rows[i].text, &time), 0);
        assert_int_equal(time.tv_sec, rows[i].seconds);
        assert_int_equal(time.tv_nsec, 0);
    }
}

static void what_is_no_http_date(void **state)
{
    static const char *const rows[] = {
        "",
        "yesterday",
        "Sun, 22 Nov 2026 07:52:48",
        "Sun, 22 Nov 2026 07:52:48 GMT+1",
        "Sun, 22 Nov 2026 07:52:48 CET",
        "Sun, 22 Nov 2026 24:00:00 GMT",
        "Sun, 22 Nov 2026 07:60:00 GMT",
        "Sun, 31 Apr 2026 07:52:48 GMT",
        "Sun, 29 Feb 2100 07:52:48 GMT",
        "Sun, 00 Nov 2026 07:52:48 GMT",
        "Sun, 22 Foo 2026 07:52:48 GMT",
        "Sun, -2 Nov 2026 07:52:48 GMT",
        "Sun, 22 Nov 20266 07:52:48 GMT",
        "22 Nov 2026",
    };
    struct timespec time = {.tv_sec = 42};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(clock_parse_http_date(rows[i], &time), -EINVAL);
    assert_int_equal(time.tv_sec, 42);
}

static void iso_dates_with_fractions_and_zones(void **state)
{
    static const struct date_row rows[] = {
        {"2026-11-22T07:52:48.000Z", 1795333968, 0},
        {"2026-11-22T07:52:48Z", 1795333968, 0},
        {"2026-11-22T07:52:48.5Z", 1795333968, 500000000},
        {"2026-11-22T07:52:48.123456789Z", 1795333968, 123456789},
        {"2026-11-22T07:52:48.1234567899999Z", 1795333968, 123456789},
        {"2026-11-22T08:52:48+01:00", 1795333968, 0},
        {"2026-11-22T02:22:48-0530", 1795333968, 0},
        {"2000-02-29T00:00:00Z", 951782400, 0},
    };
    struct timespec time;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(clock_parse_iso8601(rows[i].text, &time), 0);
        assert_int_equal(time.tv_sec, rows[i].seconds);
        assert_int_equal(time.tv_nsec, rows[i].ns);
    }
}

static void what_is_no_iso_date(void **state)
{
    static const char *const rows[] = {
        "",
        "2026-11-22",
        "2026-11-22T07:52:48",
        "2026-11-22T07:52:48.Z",
        "2026-11-22T07:52:48Zx",
        "2026-11-22T07:52:48+1",
        "2026-11-22T07:52:48+24:00",
        "2026-13-22T07:52:48Z",
        "2026-11- 2T07:52:48Z",
        "0000-11-22T07:52:48Z",
        "1900-02-29T00:00:00Z",
    };
    struct timespec time;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(clock_parse_iso8601(rows[i], &time), -EINVAL);
}

/* Every day of four centuries against the C library. */
static void every_day_agrees_with_the_library(void **state)
{
    (void)state;
    for (int64_t day = -100 * 365; day < 300 * 365; day++) {
        time_t expected = (time_t)day * 86400 + 3723;
        struct timespec time;
        struct tm tm;
        char text[64];

        gmtime_r(&expected, &tm);
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        assert_int_equal(clock_parse_iso8601(text, &time), 0);
        assert_int_equal(time.tv_sec, expected);
    }
}

static void neither_locale_nor_time_zone_matter(void **state)
{
    struct timespec time;

    (void)state;
    setenv("TZ", "America/New_York", 1);
    tzset();
    setlocale(LC_ALL, "de_DE.UTF-8");
    assert_int_equal(clock_parse_http_date("Sun, 06 Dec 2026 08:49:37 GMT", &time), 0);
    assert_int_equal(time.tv_sec, 1796546977);
    setlocale(LC_ALL, "C");
    unsetenv("TZ");
    tzset();
}

static void deadlines_do_not_wrap(void **state)
{
    int64_t now = clock_now_ns();

    (void)state;
    assert_int_equal(clock_deadline_ns(0), CLOCK_NEVER);
    assert_int_equal(clock_deadline_ns(-5), CLOCK_NEVER);
    assert_int_equal(clock_deadline_ns(CLOCK_NEVER), CLOCK_NEVER);
    assert_true(clock_deadline_ns(NS_PER_S) >= now + NS_PER_S);
    assert_true(clock_deadline_ns(NS_PER_S) < now + 60 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_dates_of_all_three_forms),
        cmocka_unit_test(what_is_no_http_date),
        cmocka_unit_test(iso_dates_with_fractions_and_zones),
        cmocka_unit_test(what_is_no_iso_date),
        cmocka_unit_test(every_day_agrees_with_the_library),
        cmocka_unit_test(neither_locale_nor_time_zone_matter),
        cmocka_unit_test(deadlines_do_not_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
