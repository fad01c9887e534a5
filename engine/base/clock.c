/* Dates as servers write them: the three forms of HTTP (RFC 9110 section 5.6.7) and ISO 8601.
 *
 * Pure functions without state. The C library's strptime and timegm are not used: the one obeys
 * the program's locale, the other takes the time zone lock, which a fork child may inherit held. */
#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct civil {
    int year, month, day, hour, minute, second;
};

/* Days from 1970-01-01 in the Gregorian calendar; years count from March so that the leap day is
 * the last of its year. */
static int64_t days_from_civil(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool civil_is_valid(const struct civil *c)
{
    return c->year >= 1 && c->year <= 9999 && c->month >= 1 && c->month <= 12 && c->day >= 1 &&
           c->day <= days_in_month(c->year, c->month) && c->hour >= 0 && c->hour <= 23 &&
           c->minute >= 0 && c->minute <= 59 && c->second >= 0 && c->second <= 60;
}

static int64_t civil_to_seconds(const struct civil *c)
{
    return days_from_civil(c->year, c->month, c->day) * 86400 + c->hour * 3600 + c->minute * 60 +
           c->second;
}

/* 1 to 12, or 0. */
static int month_from_name(const char *name)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++)
        if (strncmp(names + i * 3, name, 3) == 0)
            return i + 1;
    return 0;
}

/* Exactly `count` digits; a leading space counts as 0 where asctime pads with one. */
static bool scan_digits(const char **text, int count, bool padded, int *ret_number)
{
    int number = 0;

    for (int i = 0; i < count; i++) {
        char c = (*text)[i];
        if (i == 0 && padded && c == ' ')
            c = '0';
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (c - '0');
    }
    *text += count;
    *ret_number = number;
    return true;
}

/* One field of a pattern, see scan_civil. */
static bool scan_field(char field, const char **text, struct civil *c)
{
    switch (field) {
    case 'w':
        while ((**text >= 'A' && **text <= 'Z') || (**text >= 'a' && **text <= 'z'))
            (*text)++;
        return true;
    case 'N':
        c->month = month_from_name(*text);
        *text += c->month ? 3 : 0;
        return c->month != 0;
    case 'y':
        if (!scan_digits(text, 2, false, &c->year))
            return false;
        c->year += c->year < 70 ? 2000 : 1900;
        return true;
    case 'Y': return scan_digits(text, 4, false, &c->year);
    case 'M': return scan_digits(text, 2, false, &c->month);
    case 'D': return scan_digits(text, 2, false, &c->day);
    case 'd': return scan_digits(text, 2, true, &c->day);
    case 'h': return scan_digits(text, 2, false, &c->hour);
    case 'm': return scan_digits(text, 2, false, &c->minute);
    case 's': return scan_digits(text, 2, false, &c->second);
    default: return false;
    }
}

/* Matches text with a pattern of %w (any word), %N (month name), %Y %y (year of 4 or 2 digits), %M,
 * %D, %d (padded with a space), %h, %m, %s and literal characters. Returns what follows or NULL. */
static const char *scan_civil(const char *pattern, const char *text, struct civil *ret_civil)
{
    struct civil c = {0};

    for (; *pattern; pattern++)
        if (*pattern == '%' ? !scan_field(*++pattern, &text, &c) : *text++ != *pattern)
            return NULL;
    if (!civil_is_valid(&c))
        return NULL;
    *ret_civil = c;
    return text;
}

int clock_parse_http_date(const char *text, struct timespec *ret_time)
{
    static const char *const patterns[] = {
        "%w, %D %N %Y %h:%m:%s GMT", /* IMF-fixdate */
        "%w, %D-%N-%y %h:%m:%s GMT", /* RFC 850 */
        "%w %N %d %h:%m:%s %Y",      /* asctime */
    };
    struct civil c;

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        const char *end = scan_civil(patterns[i], text, &c);
        if (end && *end == '\0') {
            *ret_time = (struct timespec){.tv_sec = civil_to_seconds(&c)};
            return 0;
        }
    }
    return -EINVAL;
}

/* ".123" → nanoseconds; digits after the ninth are dropped. Advances *text. */
static bool scan_fraction(const char **text, long *ret_ns)
{
    long ns = 0, scale = NS_PER_S / 10;
    const char *p = *text;

    if (*p == '.') {
        p++;
        if (*p < '0' || *p > '9')
            return false;
        for (; *p >= '0' && *p <= '9'; p++, scale /= 10)
            ns += (*p - '0') * scale;
    }
    *text = p;
    *ret_ns = ns;
    return true;
}

/* "Z", "+01:00" or "-0500" up to the end of the text, in seconds east of Greenwich. */
static bool scan_zone(const char *text, int *ret_seconds)
{
    int hours, minutes, sign = *text == '-' ? -1 : 1;

    if ((text[0] == 'Z' || text[0] == 'z') && text[1] == '\0') {
        *ret_seconds = 0;
        return true;
    }
    if (*text != '+' && *text != '-')
        return false;
    text++;
    if (!scan_digits(&text, 2, false, &hours))
        return false;
    text += *text == ':';
    if (!scan_digits(&text, 2, false, &minutes) || *text != '\0' || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

int clock_parse_iso8601(const char *text, struct timespec *ret_time)
{
    struct civil c;
    int zone_s;
    long ns;

    text = scan_civil("%Y-%M-%DT%h:%m:%s", text, &c);
    if (!text || !scan_fraction(&text, &ns) || !scan_zone(text, &zone_s))
        return -EINVAL;
    *ret_time = (struct timespec){.tv_sec = civil_to_seconds(&c) - zone_s, .tv_nsec = ns};
    return 0;
}
