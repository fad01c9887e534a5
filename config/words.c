/* How far two words are apart. Pure; case and locale do not matter to it. */
#include "config/words.h"

#include <stdbool.h>
#include <strings.h>

static unsigned min_unsigned(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return strncasecmp(&a, &b, 1) == 0;
}

unsigned words_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    /* Three rows of the Damerau-Levenshtein matrix: this letter of a, the one before, the one
     * before that. */
    unsigned rows[3][WORDS_MAX + 1];

    if (a_length > WORDS_MAX || b_length > WORDS_MAX)
        return WORDS_MAX;
    for (unsigned j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (unsigned i = 1; i <= a_length; i++) {
        unsigned *row = rows[i % 3], *last = rows[(i + 2) % 3], *second_last = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b_length; j++) {
            row[j] = min_unsigned(last[j], row[j - 1]) + 1;
            row[j] = min_unsigned(row[j], last[j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
                same_letter(a[i - 2], b[j - 1]))
                row[j] = min_unsigned(row[j], second_last[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}
