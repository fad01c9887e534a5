/* Where in the order of keys the pages of a large directory may begin, guessed from one of them.
 *
 * Keys of a directory are mostly numbers in disguise: counters, hashes, dates. The positions in which
 * the first and the last key of a page differ, and those around them, are read as digits, each of the
 * classes of characters seen there; the page's two ends then say how far apart keys lie, and so where
 * the next page should begin. A wrong guess costs a request, never an entry: listing_pages.h.
 *
 * Pure computation; no locks.
 */
#ifndef S3DLIO_CORE_KEY_SPACE_H
#define S3DLIO_CORE_KEY_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uri.h"
#include "store/store.h"

#define KEY_SPACE_DIGITS_MAX 10u /* of at most 62 values and a few signs: they fit 64 bits */
#define KEY_SPACE_VALUES_MAX 70u
/* Guesses are this much of a page apart, in percent: pages that overlap a little cost less than ones
 * that leave a gap, which takes a request of its own. */
#define KEY_SPACE_STEP_PERCENT 90u

struct key_space_digit {
    unsigned count;
    unsigned char values[KEY_SPACE_VALUES_MAX]; /* ascending */
};

struct key_space {
    size_t first; /* position in the key of the first digit */
    unsigned count;
    struct key_space_digit digits[KEY_SPACE_DIGITS_MAX];
    uint64_t step; /* from a page's beginning to the next one's; 0: nothing is known */
};

/* From a page of keys that all begin with the `prefix_length` bytes of the listing's prefix. */
void key_space_learn(struct key_space *space, const struct store_page *page, size_t prefix_length);
/* The key that a page begins behind if the one before began behind `key`. False where nothing is known
 * or no such key can be: the digits of `key` are the last ones. */
bool key_space_next(const struct key_space *space, const char *key, char ret_key[URI_KEY_MAX + 1]);

#endif
