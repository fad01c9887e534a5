/* Durations in buckets of about a fifth of their size: four to each power of two, from a microsecond
 * to a quarter of an hour.
 *
 * Adding is three relaxed atomic operations, from any thread. Whoever reads takes a copy, which is
 * not one instant, and may come from the memory of another process: every number in it is only a
 * number.
 */
#ifndef S3DLIO_CORE_HISTOGRAM_H
#define S3DLIO_CORE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_BUCKETS 120u
/* From this bucket on the powers of two begin at multiples of four, in units of 1,024 ns. */
#define HISTOGRAM_UNIT_BITS 10

struct histogram {
    atomic_uint_fast64_t buckets[HISTOGRAM_BUCKETS];
    atomic_uint_fast64_t sum_ns, max_ns;
};

struct histogram_copy {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count, sum_ns, max_ns; /* count: the sum of the buckets */
};

static inline unsigned histogram_bucket(uint64_t ns)
{
    uint64_t units = ns >> HISTOGRAM_UNIT_BITS;
    unsigned octave, bucket;

    if (units < 4)
        return (unsigned)units;
    octave = 63u - (unsigned)__builtin_clzll(units);
    bucket = (octave - 1) * 4 + ((unsigned)(units >> (octave - 2)) & 3);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* Where a bucket begins; the next begins where it ends. */
static inline uint64_t histogram_bucket_ns(unsigned bucket)
{
    unsigned octave = bucket / 4 + 1;

    if (bucket < 4)
        return (uint64_t)bucket << HISTOGRAM_UNIT_BITS;
    return (4 + (uint64_t)(bucket % 4)) << (octave - 2) << HISTOGRAM_UNIT_BITS;
}

void histogram_add(struct histogram *histogram, int64_t ns); /* below 0 counts as 0 */
/* Adds what the histogram holds to *copy. */
void histogram_read(const struct histogram *histogram, struct histogram_copy *copy);
/* The duration that `permille` of a thousand do not exceed, within the width of a bucket; 0: of
 * none. */
uint64_t histogram_percentile(const struct histogram_copy *copy, unsigned permille);

#endif
