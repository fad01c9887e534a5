/* Counting requests, and copying what was counted. See stats.h. */
#include "core/stats.h"

#include <string.h>

const struct stats_row *stats_row(enum stats_counter counter)
{
    static const struct stats_row rows[] = {
#define COUNTER(id, group, word, unit, prometheus, help) {group, word, unit, prometheus, help},
#include "core/stats.def"
#undef COUNTER
    };

    return &rows[counter];
}

uint64_t stats_requests(const struct stats *stats)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        total += stats_read(&stats->requests[i]);
    return total;
}

static void raise_to(atomic_uint_fast64_t *value, uint64_t number)
{
    uint_fast64_t now = stats_read(value);

    while (number > now && !atomic_compare_exchange_weak_explicit(
                               value, &now, number, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Since the first request, which this one may be. */
static int64_t since(struct stats *stats, int64_t now_ns)
{
    int64_t begun_ns = atomic_load_explicit(&stats->begun_ns, memory_order_relaxed);

    if (begun_ns == 0 && atomic_compare_exchange_strong(&stats->begun_ns, &begun_ns, now_ns))
        begun_ns = now_ns;
    return now_ns - begun_ns;
}

void stats_begin(struct stats *stats, enum store_operation operation, int64_t now_ns)
{
    uint64_t in_flight =
        atomic_fetch_add_explicit(&stats->in_flight, 1, memory_order_relaxed) + 1;

    atomic_fetch_add_explicit(&stats->requests[operation], 1, memory_order_relaxed);
    raise_to(&stats->in_flight_peak, in_flight);
    samples_begin(&stats->samples, since(stats, now_ns), in_flight);
}

void stats_end(struct stats *stats, const struct stats_end *end)
{
    int64_t sent_ns = end->sent_ns ? end->sent_ns : end->submitted_ns;

    atomic_fetch_sub_explicit(&stats->in_flight, 1, memory_order_relaxed);
    if (end->bytes_received)
        stats_add(stats, STATS_BYTES_RECEIVED, end->bytes_received);
    if (end->bytes_sent)
        stats_add(stats, STATS_BYTES_SENT, end->bytes_sent);
    if (end->failed)
        stats_add(stats, STATS_ERRORS, 1);
    if (end->abandoned)
        stats_add(stats, STATS_ABANDONED, 1);
    if (end->first_byte_ns)
        histogram_add(&stats->first_byte[end->operation], end->first_byte_ns - sent_ns);
    histogram_add(&stats->total[end->operation], end->ended_ns - end->submitted_ns);
    samples_end(&stats->samples, since(stats, end->ended_ns),
                end->bytes_received + end->bytes_sent);
}

void stats_note_level(struct stats *stats, unsigned which, unsigned level, unsigned in_flight)
{
    atomic_store_explicit(&stats->level[which], level, memory_order_relaxed);
    raise_to(&stats->level_peak[which], in_flight);
}

const char *stats_level_word(unsigned which)
{
    static const char *const words[STATS_LEVELS] = {"get_short", "get_long", "put_short",
                                                    "put_long"};

    return words[which];
}

void stats_copy(const struct stats *stats, int64_t now_ns, struct stats_copy *ret_copy)
{
    int64_t begun_ns = atomic_load_explicit(&stats->begun_ns, memory_order_relaxed);

    memset(ret_copy, 0, sizeof *ret_copy);
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++) {
        ret_copy->requests[i] = stats_read(&stats->requests[i]);
        ret_copy->requests_all += ret_copy->requests[i];
        histogram_read(&stats->first_byte[i], &ret_copy->first_byte[i]);
        histogram_read(&stats->total[i], &ret_copy->total[i]);
    }
    for (unsigned i = 0; i < STATS_COUNTERS; i++)
        ret_copy->counters[i] = stats_read(&stats->counters[i]);
    for (unsigned i = 0; i < STATS_LEVELS; i++) {
        ret_copy->level[i] = stats_read(&stats->level[i]);
        ret_copy->level_peak[i] = stats_read(&stats->level_peak[i]);
    }
    ret_copy->in_flight = stats_read(&stats->in_flight);
    ret_copy->in_flight_peak = stats_read(&stats->in_flight_peak);
    ret_copy->memory_bytes = stats_read(&stats->memory_bytes);
    ret_copy->memory_peak_bytes = stats_read(&stats->memory_peak_bytes);
    ret_copy->memory_limit_bytes = stats_read(&stats->memory_limit_bytes);
    ret_copy->elapsed_ns = begun_ns && now_ns > begun_ns ? now_ns - begun_ns : 0;
    samples_read(&stats->samples, &ret_copy->samples);
}
