/* Guessing which word was meant: for names of options, profiles and subcommands. */
#ifndef S3DLIO_CONFIG_WORDS_H
#define S3DLIO_CONFIG_WORDS_H

#include <stddef.h>

#define WORDS_MAX  63u /* bytes; longer words count as far from everything */
#define WORDS_NEAR 3u  /* edits; what is further apart is another word */

/* Edits (insert, delete, replace, swap of neighbours) between two words, in any case. */
unsigned words_distance(const char *a, size_t a_length, const char *b, size_t b_length);

#endif
