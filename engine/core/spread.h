/* Over how many shards the ranges ahead of a stream are spread: a pure function of what was seen.
 *
 * Bytes that have to be decrypted cost the receiving thread so much that it can be the limit. That
 * shows when the program had to wait for its ranges and the threads that waited hardly slept: they
 * worked. Where they slept much of the time the network or the server was the limit, and more
 * threads bring nothing. In between, or when the bytes were there before the program came for them,
 * all stays as it is.
 */
#ifndef S3DLIO_CORE_SPREAD_H
#define S3DLIO_CORE_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#define SPREAD_RANGES_MIN 4u /* to judge by */
#define SPREAD_BYTES_MIN  (UINT64_C(8) << 20)

/* Of some ranges of a stream, one after the other. */
struct spread_sample {
    unsigned ranges, awaited; /* so many of them were not there when the program came for them */
    uint64_t bytes;
    int64_t elapsed_ns;
    int64_t slept_ns; /* of which those who waited on the shard slept so long */
};

/* Too few to judge by? */
static inline int spread_is_short(const struct spread_sample *sample)
{
    return sample->ranges < SPREAD_RANGES_MIN || sample->bytes < SPREAD_BYTES_MIN;
}

/* Over how many at most: all that there are if their number was set; by itself over half as many as
 * there are processors for the process, for the program and the kernel need some, too. */
unsigned spread_width_max(unsigned shards, bool is_set, unsigned processors);

/* width: so many shards, the reader's own among them, took part; at most width_max. How many shall
 * from now on. */
unsigned spread_decide(unsigned width, unsigned width_max, const struct spread_sample *sample);

#endif
