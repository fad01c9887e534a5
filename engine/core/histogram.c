/* Adding to histograms, and reading percentiles from copies. See histogram.h. */
#include "core/histogram.h"

void histogram_add(struct histogram *histogram, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    uint_fast64_t max = atomic_load_explicit(&histogram->max_ns, memory_order_relaxed);

    atomic_fetch_add_explicit(&histogram->buckets[histogram_bucket(value)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, value, memory_order_relaxed);
    while (value > max &&
           !atomic_compare_exchange_weak_explicit(&histogram->max_ns, &max, value,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

void histogram_read(const struct histogram *histogram, struct histogram_copy *copy)
{
    uint64_t max_ns = atomic_load_explicit(&histogram->max_ns, memory_order_relaxed);

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);

        copy->buckets[i] += count;
        copy->count += count;
    }
    copy->sum_ns += atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed);
    if (max_ns > copy->max_ns)
        copy->max_ns = max_ns;
}

uint64_t histogram_percentile(const struct histogram_copy *copy, unsigned permille)
{
    /* How many are not above it, at least one. */
    uint64_t rank = copy->count / 1000 * permille + (copy->count % 1000 * permille + 999) / 1000;
    uint64_t below = 0;

    if (copy->count == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t here = copy->buckets[i], from = histogram_bucket_ns(i), value;

        if (here == 0 || below + here < rank) {
            below += here;
            continue;
        }
        value = from + (uint64_t)((double)(histogram_bucket_ns(i + 1) - from) *
                                  (double)(rank - below) / (double)here);
        return copy->max_ns && value > copy->max_ns ? copy->max_ns : value;
    }
    return copy->max_ns;
}
