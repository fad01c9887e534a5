/* Randomness for jitter, hedging and write ids: not for secrets. Thread-safe. */
#ifndef S3DLIO_BASE_RANDOM_H
#define S3DLIO_BASE_RANDOM_H

#include <stdint.h>

uint64_t random_u64(void); /* reseeds itself in a fork child */
/* Uniform in [0, bound); 0 when bound is 0. */
uint64_t random_below(uint64_t bound);
void random_hex(char *ret_text, unsigned length); /* length characters and NUL */

#endif
