/* What went on over the time of a run of any length: a fixed number of intervals, which become
 * twice as long when they are used up.
 *
 * Any thread may add. Nobody waits: whoever comes while another makes room, or writes into an
 * interval that is merged at that moment, is not in the samples. They show a course; the counters
 * count.
 */
#ifndef S3DLIO_CORE_SAMPLES_H
#define S3DLIO_CORE_SAMPLES_H

#include <stdatomic.h>
#include <stdint.h>

#define SAMPLES_COUNT          32u
#define SAMPLES_FIRST_BITS     25u /* the first interval: 2^25 ns, 34 ms */
#define SAMPLES_INTERVAL_BITS  56u /* the longest: two years */

struct sample {
    atomic_uint_fast64_t in_flight; /* the most requests at once */
    atomic_uint_fast64_t requests;  /* that ended */
    atomic_uint_fast64_t bytes;     /* of bodies, of those */
};

struct samples {
    _Atomic uint32_t interval_bits; /* of the logarithm beyond SAMPLES_FIRST_BITS */
    _Atomic uint32_t busy;          /* somebody makes room */
    struct sample sample[SAMPLES_COUNT];
};

struct samples_copy {
    uint64_t interval_ns;
    unsigned count; /* up to the last that is not empty */
    struct {
        uint64_t in_flight, requests, bytes;
    } sample[SAMPLES_COUNT];
};

/* since_ns: from the beginning of the run. */
void samples_begin(struct samples *samples, int64_t since_ns, uint64_t in_flight);
void samples_end(struct samples *samples, int64_t since_ns, uint64_t bytes);
void samples_read(const struct samples *samples, struct samples_copy *ret_copy);

#endif
