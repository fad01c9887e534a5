/* Keys as numbers of mixed base. See key_space.h. */
#include "core/key_space.h"

#include <ctype.h>
#include <string.h>

#define KEYS_MIN      100u /* of a page, for its ends to say anything */
#define DIGITS_BEFORE 4u   /* of those in which a page's keys do not differ */

/* ---- digits ---------------------------------------------------------------------------------- */

/* Characters of which others can be expected where one of them is. */
enum { DECIMAL, UPPER_HEX, UPPER, LOWER_HEX, LOWER };
static const char *const classes[] = {"0123456789", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ", "abcdef",
                                      "ghijklmnopqrstuvwxyz"};

static bool any_seen(const bool *seen, const char *class)
{
    while (*class && !seen[(unsigned char)*class])
        class ++;
    return *class != '\0';
}

static void see_all(bool *seen, const char *class)
{
    while (*class)
        seen[(unsigned char)*class ++] = true;
}

/* Letters are of the whole alphabet, unless there are digits and none behind F. */
static void widen(bool *seen)
{
    bool decimal = any_seen(seen, classes[DECIMAL]);

    if (decimal)
        see_all(seen, classes[DECIMAL]);
    for (unsigned hex = UPPER_HEX; hex <= LOWER_HEX; hex += LOWER_HEX - UPPER_HEX) {
        bool all = any_seen(seen, classes[hex + 1]);

        if (!all && !any_seen(seen, classes[hex]))
            continue;
        see_all(seen, classes[hex]);
        if (all || !decimal)
            see_all(seen, classes[hex + 1]);
    }
}

/* The digit at a position, of all keys of the page; the end of a key is the least one. False where
 * guesses could become names that nobody may ask for: of a directory, or not UTF-8. */
static bool learn_digit(const struct store_page *page, size_t position,
                        struct key_space_digit *ret_digit)
{
    bool seen[128] = {false};

    for (size_t i = 0; i < page->count; i++) {
        const char *key = page->entries[i].key;
        unsigned char at = strnlen(key, position + 1) > position ? (unsigned char)key[position] : 0;

        if (at == '/' || at >= 0x7f || (at && at < ' '))
            return false;
        seen[at] = true;
    }
    widen(seen);
    ret_digit->count = 0;
    for (unsigned char value = 0; value < 128; value++) {
        if (!seen[value])
            continue;
        if (ret_digit->count == KEY_SPACE_VALUES_MAX)
            return false;
        ret_digit->values[ret_digit->count++] = value;
    }
    return true;
}

static bool goes_on(const struct key_space_digit *digit, unsigned char value)
{
    return isalnum(value) && memchr(digit->values, value, digit->count);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Of a key that has other characters there: of one near it. */
static uint64_t number_of(const struct key_space *space, const char *key)
{
    size_t length = strlen(key);
    uint64_t number = 0;
    bool exact = true;

    for (unsigned i = 0; i < space->count; i++) {
        const struct key_space_digit *digit = &space->digits[i];
        unsigned char at = space->first + i < length ? (unsigned char)key[space->first + i] : 0;
        unsigned value = 0;

        if (exact) {
            while (value + 1 < digit->count && digit->values[value + 1] <= at)
                value++;
            exact = digit->values[value] == at;
        }
        number = number * digit->count + value;
    }
    return number;
}

static uint64_t number_of_numbers(const struct key_space *space)
{
    uint64_t count = 1;

    for (unsigned i = 0; i < space->count; i++)
        count *= space->digits[i].count;
    return count;
}

/* ---- the two of them ------------------------------------------------------------------------- */

void key_space_learn(struct key_space *space, const struct store_page *page, size_t prefix_length)
{
    const char *first, *last;
    struct key_space_digit digit;
    size_t differ, position;
    uint64_t distance;

    space->count = 0;
    space->step = 0;
    if (page->count < KEYS_MIN)
        return;
    first = page->entries[0].key;
    last = page->entries[page->count - 1].key;
    for (differ = prefix_length; first[differ] && first[differ] == last[differ];)
        differ++;
    if (!learn_digit(page, differ, &digit))
        return;
    space->first = differ;
    while (space->first > prefix_length && differ - space->first < DIGITS_BEFORE &&
           goes_on(&digit, (unsigned char)first[space->first - 1]))
        space->first--;
    for (position = space->first; position <= differ; position++)
        space->digits[space->count++] = digit;
    while (space->count < KEY_SPACE_DIGITS_MAX && learn_digit(page, position++, &digit))
        space->digits[space->count++] = digit;
    distance = number_of(space, last) - number_of(space, first);
    space->step =
        distance / 100 * KEY_SPACE_STEP_PERCENT + distance % 100 * KEY_SPACE_STEP_PERCENT / 100;
}

bool key_space_next(const struct key_space *space, const char *key, char ret_key[URI_KEY_MAX + 1])
{
    uint64_t number, all = number_of_numbers(space);

    if (space->step == 0 || strlen(key) < space->first || space->first + space->count > URI_KEY_MAX)
        return false;
    number = number_of(space, key);
    if (space->step >= all - number)
        return false;
    number += space->step;
    memcpy(ret_key, key, space->first);
    ret_key[space->first + space->count] = '\0';
    for (unsigned i = space->count; i-- > 0;) {
        const struct key_space_digit *digit = &space->digits[i];

        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a digit has values */
        ret_key[space->first + i] = (char)digit->values[number % digit->count];
        number /= digit->count;
    }
    return strcmp(ret_key, key) > 0;
}
