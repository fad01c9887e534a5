/*
 * Counting, and what the admin path shows of it; see stats.h.
 */
#include "stats.h"

#include "encode.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void stats_init(struct stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    pthread_mutex_init(&stats->lock, NULL);
}

void stats_clear_log(struct stats *stats)
{
    pthread_mutex_lock(&stats->lock);
    for (size_t i = 0; i < STATS_LOG_LINES; i++) {
        free(stats->lines[i]);
        stats->lines[i] = NULL;
    }
    stats->line_count = 0;
    pthread_mutex_unlock(&stats->lock);
}

void stats_fini(struct stats *stats)
{
    stats_clear_log(stats);
    pthread_mutex_destroy(&stats->lock);
}

void stats_request_begin(struct stats *stats)
{
    uint64_t now = atomic_fetch_add(&stats->in_flight, 1) + 1;
    pthread_mutex_lock(&stats->lock);
    if (now > stats->max_in_flight)
        stats->max_in_flight = now;
    pthread_mutex_unlock(&stats->lock);
}

void stats_request_end(struct stats *stats)
{
    atomic_fetch_sub(&stats->in_flight, 1);
}

static char *log_line(const struct stats_record *record)
{
    struct buf line;
    buf_init(&line, 16384);
    buf_printf(&line, "%s %s ", record->op_name, *record->bucket ? record->bucket : "-");
    if (*record->key)
        encode_uri(&line, record->key, true);
    else
        buf_add(&line, "-");
    buf_printf(&line, " %s %u %llu %llu %llu\n", record->range ? record->range : "-",
               record->status, (unsigned long long)record->bytes_in,
               (unsigned long long)record->bytes_out, (unsigned long long)record->connection);
    return buf_take(&line);
}

void stats_count(struct stats *stats, const struct stats_record *record)
{
    char *line = log_line(record);
    pthread_mutex_lock(&stats->lock);
    struct stats_row *row = &stats->rows[record->op];
    stats->names[record->op] = record->op_name;
    row->requests++;
    row->errors += record->status >= 400 || record->status == 0;
    row->bytes_in += record->bytes_in;
    row->bytes_out += record->bytes_out;
    char **slot = &stats->lines[stats->line_count++ % STATS_LOG_LINES];
    char *old = *slot;
    *slot = line;
    pthread_mutex_unlock(&stats->lock);
    free(old);
}

void stats_reset(struct stats *stats)
{
    pthread_mutex_lock(&stats->lock);
    memset(stats->rows, 0, sizeof(stats->rows));
    stats->max_in_flight = 0;
    stats->cpu_at_reset_s = cpu_seconds();
    atomic_store(&stats->connections_accepted, 0);
    pthread_mutex_unlock(&stats->lock);
}

void stats_json(struct stats *stats, struct buf *out)
{
    struct stats_row sum = {0};
    pthread_mutex_lock(&stats->lock);
    buf_add(out, "{\"operations\":{");
    const char *comma = "";
    for (size_t i = 0; i < STATS_MAX_OPS; i++) {
        const struct stats_row *row = &stats->rows[i];
        if (!row->requests)
            continue;
        buf_printf(out,
                   "%s\n  \"%s\":{\"requests\":%llu,\"errors\":%llu,\"bytes_in\":%llu,"
                   "\"bytes_out\":%llu}",
                   comma, stats->names[i], (unsigned long long)row->requests,
                   (unsigned long long)row->errors, (unsigned long long)row->bytes_in,
                   (unsigned long long)row->bytes_out);
        comma = ",";
        sum.requests += row->requests;
        sum.errors += row->errors;
        sum.bytes_in += row->bytes_in;
        sum.bytes_out += row->bytes_out;
    }
    buf_printf(out,
               "},\n \"requests\":%llu,\"errors\":%llu,\"bytes_in\":%llu,\"bytes_out\":%llu,\n"
               " \"connections_accepted\":%llu,\"connections_open\":%llu,\n"
               " \"in_flight\":%llu,\"max_in_flight\":%llu,\"cpu_seconds\":%.6f}\n",
               (unsigned long long)sum.requests, (unsigned long long)sum.errors,
               (unsigned long long)sum.bytes_in, (unsigned long long)sum.bytes_out,
               (unsigned long long)stats->connections_accepted,
               (unsigned long long)stats->connections_open, (unsigned long long)stats->in_flight,
               (unsigned long long)stats->max_in_flight, cpu_seconds() - stats->cpu_at_reset_s);
    pthread_mutex_unlock(&stats->lock);
}

void stats_log(struct stats *stats, struct buf *out)
{
    pthread_mutex_lock(&stats->lock);
    uint64_t first = stats->line_count > STATS_LOG_LINES ? stats->line_count - STATS_LOG_LINES : 0;
    for (uint64_t i = first; i < stats->line_count; i++)
        if (stats->lines[i % STATS_LOG_LINES])
            buf_add(out, stats->lines[i % STATS_LOG_LINES]);
    pthread_mutex_unlock(&stats->lock);
}
