/* Intervals that double. See samples.h. */
#include "core/samples.h"

#include <stddef.h>

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void store(atomic_uint_fast64_t *value, uint64_t number)
{
    atomic_store_explicit(value, number, memory_order_relaxed);
}

static void raise_to(atomic_uint_fast64_t *value, uint64_t number)
{
    uint_fast64_t now = load(value);

    while (number > now && !atomic_compare_exchange_weak_explicit(
                               value, &now, number, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Two intervals become one, all along. */
static void merge(struct samples *samples)
{
    for (unsigned i = 0; i < SAMPLES_COUNT; i++) {
        struct sample *to = &samples->sample[i];
        uint64_t in_flight = 0, requests = 0, bytes = 0;

        for (unsigned j = 2 * i; j < 2 * i + 2 && j < SAMPLES_COUNT; j++) {
            const struct sample *from = &samples->sample[j];

            if (load(&from->in_flight) > in_flight)
                in_flight = load(&from->in_flight);
            requests += load(&from->requests);
            bytes += load(&from->bytes);
        }
        store(&to->in_flight, in_flight);
        store(&to->requests, requests);
        store(&to->bytes, bytes);
    }
}

static uint32_t interval_bits(const struct samples *samples)
{
    uint32_t bits =
        SAMPLES_FIRST_BITS + atomic_load_explicit(&samples->interval_bits, memory_order_relaxed);

    return bits < SAMPLES_INTERVAL_BITS ? bits : SAMPLES_INTERVAL_BITS;
}

/* The interval of that moment; NULL: it cannot be had now. */
static struct sample *at(struct samples *samples, int64_t since_ns)
{
    uint64_t since = since_ns > 0 ? (uint64_t)since_ns : 0;
    uint32_t nobody = 0;

    if (since >> interval_bits(samples) >= SAMPLES_COUNT) {
        if (!atomic_compare_exchange_strong(&samples->busy, &nobody, 1))
            return NULL;
        while (since >> interval_bits(samples) >= SAMPLES_COUNT &&
               interval_bits(samples) < SAMPLES_INTERVAL_BITS) {
            merge(samples);
            atomic_fetch_add_explicit(&samples->interval_bits, 1, memory_order_relaxed);
        }
        atomic_store(&samples->busy, 0);
    }
    since >>= interval_bits(samples);
    return since < SAMPLES_COUNT ? &samples->sample[since] : NULL;
}

void samples_begin(struct samples *samples, int64_t since_ns, uint64_t in_flight)
{
    struct sample *sample = at(samples, since_ns);

    if (sample)
        raise_to(&sample->in_flight, in_flight);
}

void samples_end(struct samples *samples, int64_t since_ns, uint64_t bytes)
{
    struct sample *sample = at(samples, since_ns);

    if (!sample)
        return;
    atomic_fetch_add_explicit(&sample->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sample->bytes, bytes, memory_order_relaxed);
}

void samples_read(const struct samples *samples, struct samples_copy *ret_copy)
{
    *ret_copy = (struct samples_copy){.interval_ns = UINT64_C(1) << interval_bits(samples)};
    for (unsigned i = 0; i < SAMPLES_COUNT; i++) {
        const struct sample *sample = &samples->sample[i];

        ret_copy->sample[i].in_flight = load(&sample->in_flight);
        ret_copy->sample[i].requests = load(&sample->requests);
        ret_copy->sample[i].bytes = load(&sample->bytes);
        if (ret_copy->sample[i].in_flight || ret_copy->sample[i].requests)
            ret_copy->count = i + 1;
    }
}
