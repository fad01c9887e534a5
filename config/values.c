/* Values of options: text to number and back, by one row a type. Pure functions.
 *
 * Arithmetic is on integers and checked: a value that does not fit is a bad value, never another
 * one. A fraction is accepted where it comes out whole: 1.5K is 1536, 2.5 threads are none. */
#include "config/internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct value_unit {
    const char *suffix; /* any case */
    int64_t factor;
};

/* Sizes count in powers of 1024; K, KB and KiB are the same. */
static const struct value_unit units_size[] = {
    {"", 1},
    {"B", 1},
    {"K", INT64_C(1) << 10},
    {"KB", INT64_C(1) << 10},
    {"KiB", INT64_C(1) << 10},
    {"M", INT64_C(1) << 20},
    {"MB", INT64_C(1) << 20},
    {"MiB", INT64_C(1) << 20},
    {"G", INT64_C(1) << 30},
    {"GB", INT64_C(1) << 30},
    {"GiB", INT64_C(1) << 30},
    {"T", INT64_C(1) << 40},
    {"TB", INT64_C(1) << 40},
    {"TiB", INT64_C(1) << 40},
    {NULL, 0},
};
static const struct value_unit units_ms[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0},
};
/* Seconds are read in milliseconds too, so that 500ms is refused and 2000ms is 2. */
static const struct value_unit units_s[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0},
};
static const struct value_unit units_plain[] = {{"", 1}, {NULL, 0}};
static const struct value_unit units_thousandths[] = {{"", 1000}, {NULL, 0}};
static const struct value_unit units_millionths[] = {{"", 1000000}, {NULL, 0}};

/* One row a type. */
static const struct value_type {
    const char *expected;           /* for "expected a size from 1 to 2" */
    const struct value_unit *units; /* NULL: not a number */
    int64_t divisor;                /* units per unit in which the value is kept */
    const char *print_suffixes[6];  /* tried in order; the first that divides is used */
} value_types[] = {
    [OPTION_INT] = {"a whole number", units_plain, 1, {""}},
    [OPTION_SIZE] = {"a size", units_size, 1, {"T", "G", "M", "K", ""}},
    [OPTION_MS] = {"a time (ms without a suffix, or s, m, h)", units_ms, 1, {"s", "ms"}},
    [OPTION_S] = {"a time (s without a suffix, or m, h)", units_s, 1000, {"s"}},
    [OPTION_BOOL] = {"1, true, yes, on or 0, false, no, off", NULL, 1, {NULL}},
    [OPTION_ENUM] = {"one of ", NULL, 1, {NULL}},
    [OPTION_STRING] = {"text", NULL, 1, {NULL}},
    [OPTION_SECRET] = {"text", NULL, 1, {NULL}},
    [OPTION_DECIMAL] = {"a number", units_thousandths, 1, {""}},
    [OPTION_PRICE] = {"a number", units_millionths, 1, {""}},
};

static const struct value_word {
    const char *word;
    int number;
} bool_words[] = {
    {"1", 1}, {"true", 1}, {"yes", 1}, {"on", 1}, {"0", 0}, {"false", 0}, {"no", 0}, {"off", 0},
};

static int64_t unit_factor(const struct value_unit *units, const char *suffix)
{
    for (; units->suffix; units++)
        if (strcasecmp(units->suffix, suffix) == 0)
            return units->factor;
    return 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "digits[.digits][ suffix]" in the smallest of the units; false when it is none, does not fit or
 * does not come out whole. */
static bool parse_scaled(const char *text, const struct value_unit *units, int64_t *ret_number)
{
    int64_t whole = 0, fraction = 0, scale = 1, factor;

    if (!is_digit(*text))
        return false;
    for (; is_digit(*text); text++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, *text - '0', &whole))
            return false;
    if (*text == '.') {
        for (text++; is_digit(*text); text++) {
            if (scale >= 1000000)
                return false; /* six digits say enough and cannot overflow */
            fraction = fraction * 10 + (*text - '0');
            scale *= 10;
        }
        if (scale == 1)
            return false;
    }
    while (*text == ' ')
        text++;
    factor = unit_factor(units, text);
    if (factor == 0 || __builtin_mul_overflow(whole, factor, &whole) ||
        __builtin_mul_overflow(fraction, factor, &fraction) || fraction % scale != 0 ||
        __builtin_add_overflow(whole, fraction / scale, &whole))
        return false;
    *ret_number = whole;
    return true;
}

int options_truth(const char *word)
{
    for (size_t i = 0; i < sizeof bool_words / sizeof bool_words[0]; i++)
        if (strcasecmp(bool_words[i].word, word) == 0)
            return bool_words[i].number;
    return -EINVAL;
}

/* The start of word number `index` in "a|b|c", or NULL. */
static const char *enum_word(const char *words, int64_t index)
{
    for (; index > 0; index--) {
        words = strchr(words, '|');
        if (!words)
            return NULL;
        words++;
    }
    return words;
}

static bool parse_enum(const char *words, const char *text, int64_t *ret_number)
{
    const char *word;

    for (int64_t i = 0; (word = enum_word(words, i)); i++) {
        size_t length = strcspn(word, "|");

        if (strlen(text) == length && strncasecmp(word, text, length) == 0) {
            *ret_number = i;
            return true;
        }
    }
    return false;
}

int values_parse(const struct option_info *info, const char *text, int64_t *ret_number)
{
    const struct value_type *type = &value_types[info->type];
    int64_t number = 0;
    bool ok = true;

    if (type->units && *info->words && strcasecmp(text, info->words) == 0) {
        number = 0;
    } else if (type->units) {
        ok = parse_scaled(text, type->units, &number) && number % type->divisor == 0;
        number /= type->divisor;
        ok = ok && number >= info->min && number <= info->max;
    } else if (info->type == OPTION_BOOL) {
        number = options_truth(text);
        ok = number >= 0;
    } else if (info->type == OPTION_ENUM) {
        ok = parse_enum(info->words, text, &number);
    }
    if (!ok)
        return -EINVAL;
    *ret_number = number;
    return 0;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* 2500 thousandths → "2.5"; or else millionths. */
static void format_fraction(int64_t number, bool thousandths, char *buffer, size_t size)
{
    const int64_t factor = thousandths ? 1000 : 1000000;
    char text[32];
    size_t length = (size_t)snprintf(text, sizeof text, "%lld.%0*lld", (long long)(number / factor),
                                     thousandths ? 3 : 6, (long long)(number % factor));

    while (text[length - 1] == '0')
        text[--length] = '\0';
    snprintf(buffer, size, "%s", text);
}

static void format_scaled(const struct value_type *type, int64_t number, char *buffer, size_t size)
{
    number *= type->divisor;
    for (const char *const *suffix = type->print_suffixes; *suffix; suffix++) {
        int64_t factor = unit_factor(type->units, *suffix);

        if (factor && (number == 0 || number % factor == 0)) {
            snprintf(buffer, size, "%lld%s", (long long)(number / factor), number ? *suffix : "");
            return;
        }
    }
    format_fraction(number, type->units == units_thousandths, buffer, size);
}

void values_format_number(const struct option_info *info, int64_t number, char *buffer, size_t size)
{
    const struct value_type *type = &value_types[info->type];
    const char *word;

    if (type->units && *info->words && number == 0) {
        snprintf(buffer, size, "%s", info->words);
    } else if (type->units) {
        format_scaled(type, number, buffer, size);
    } else if (info->type == OPTION_BOOL) {
        snprintf(buffer, size, "%s", number ? "yes" : "no");
    } else {
        word = enum_word(info->words, number);
        snprintf(buffer, size, "%.*s", word ? (int)strcspn(word, "|") : 0, word ? word : "");
    }
}

void values_describe(const struct option_info *info, char *buffer, size_t size)
{
    const struct value_type *type = &value_types[info->type];
    char min[32], max[32];

    if (info->type == OPTION_ENUM) {
        snprintf(buffer, size, "%s%s", type->expected, info->words);
        for (char *p = buffer; (p = strchr(p, '|')); p++)
            *p = ' ';
    } else if (type->units && *info->words) {
        values_format_number(info, info->max, max, sizeof max);
        snprintf(buffer, size, "%s, or %s from 1 to %s", info->words, type->expected, max);
    } else if (type->units) {
        values_format_number(info, info->min, min, sizeof min);
        values_format_number(info, info->max, max, sizeof max);
        snprintf(buffer, size, "%s from %s to %s", type->expected, min, max);
    } else {
        snprintf(buffer, size, "%s", type->expected);
    }
}
