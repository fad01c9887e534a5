/*
 * The content of synthetic and discarded objects: one repeating pattern, so that a 16 GiB object
 * costs nothing, and any test program that includes this header can check every byte it receives.
 *
 *   byte of KEY at OFFSET = pattern_byte((pattern_start(KEY) + OFFSET) % PATTERN_PERIOD)
 *   pattern_byte(i)       = byte i % 8 (lowest first) of pattern_word(i / 8)
 *
 * KEY is the object key without the bucket. The period is a prime, so that data read from the wrong
 * offset, or two ranges swapped, are noticed. A *replaced* object (fault `replace`, or a second PUT
 * under --discard) starts generation * PATTERN_STEP further, generation counting from 0.
 *
 * Self-contained: needs libc only, and may be included by any test or benchmark.
 */
#ifndef TESTS_SERVER_PATTERN_H
#define TESTS_SERVER_PATTERN_H

#include <stddef.h>
#include <stdint.h>

#define PATTERN_PERIOD 1048573u /* the largest prime below 2^20 */
#define PATTERN_STEP   7919u

/* splitmix64 of the word's index */
static inline uint64_t pattern_word(uint64_t index)
{
    uint64_t z = (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static inline uint8_t pattern_byte(uint64_t i)
{
    return (uint8_t)(pattern_word(i / 8) >> i % 8 * 8);
}

/* FNV-1a of the key, reduced to a position in the pattern. */
static inline uint64_t pattern_start(const char *key)
{
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *key; key++)
        hash = (hash ^ (uint8_t)*key) * 0x100000001B3u;
    return hash % PATTERN_PERIOD;
}

/* Fills out with the pattern from the given position; a program keeps one period and compares. */
static inline void pattern_fill(uint8_t *out, uint64_t position, size_t length)
{
    for (size_t i = 0; i < length; i++)
        out[i] = pattern_byte((position + i) % PATTERN_PERIOD);
}

#endif
