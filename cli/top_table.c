/* Rates of processes as a table, and as JSON. See top_table.h. */
#include "cli/top_table.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512

/* What a line shows, of a process or of all. */
struct figures {
    double requests_per_s, received_mb_per_s, sent_mb_per_s;
    uint64_t in_flight, retries, hits, misses, memory_bytes, budget_bytes;
    uint64_t requests, bytes_received, bytes_sent;
    uint64_t first_byte[S3DLIO_TIME_BUCKETS];
};

static const struct s3dlio_process *find(const struct top_look *look, pid_t pid)
{
    for (size_t i = 0; look && i < look->count; i++)
        if (look->processes[i].pid == pid)
            return &look->processes[i];
    return NULL;
}

/* How much more; of a process whose counters began anew meanwhile, all. */
static double per_second(uint64_t before, uint64_t now, double seconds)
{
    return seconds > 0 ? (double)(now >= before ? now - before : now) / seconds : 0;
}

/* The times between the looks; those of the whole run when there were none. */
static void set_times(const struct s3dlio_process *before, const struct s3dlio_process *now,
                      struct figures *figures)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < S3DLIO_TIME_BUCKETS; i++) {
        uint64_t had = before ? before->first_byte[i] : 0;

        figures->first_byte[i] = now->first_byte[i] >= had ? now->first_byte[i] - had : 0;
        sum += figures->first_byte[i];
    }
    if (sum == 0)
        memcpy(figures->first_byte, now->first_byte, sizeof figures->first_byte);
}

static struct figures figures_of(const struct top_look *before, const struct top_look *now,
                                 const struct s3dlio_process *process)
{
    static const struct s3dlio_process none;
    const struct s3dlio_process *past = find(before, process->pid);
    const struct s3dlio_stats *was = past ? &past->stats : &none.stats, *is = &process->stats;
    double lived_s = (double)process->elapsed_ns / 1e9;
    double seconds = past ? now->at_s - before->at_s : lived_s;
    struct figures figures = {
        .requests_per_s = per_second(was->requests, is->requests, seconds),
        .received_mb_per_s = per_second(was->bytes_received, is->bytes_received, seconds) / 1e6,
        .sent_mb_per_s = per_second(was->bytes_sent, is->bytes_sent, seconds) / 1e6,
        .in_flight = process->in_flight,
        .retries = is->retries,
        .hits = process->cache_hits,
        .misses = process->cache_misses,
        .memory_bytes = is->memory_bytes,
        .budget_bytes = is->memory_budget_bytes,
        .requests = is->requests,
        .bytes_received = is->bytes_received,
        .bytes_sent = is->bytes_sent,
    };

    set_times(past, process, &figures);
    return figures;
}

static void add(struct figures *total, const struct figures *one)
{
    total->requests_per_s += one->requests_per_s;
    total->received_mb_per_s += one->received_mb_per_s;
    total->sent_mb_per_s += one->sent_mb_per_s;
    total->in_flight += one->in_flight;
    total->retries += one->retries;
    total->hits += one->hits;
    total->misses += one->misses;
    total->memory_bytes += one->memory_bytes;
    total->budget_bytes += one->budget_bytes;
    total->requests += one->requests;
    total->bytes_received += one->bytes_received;
    total->bytes_sent += one->bytes_sent;
    for (unsigned i = 0; i < S3DLIO_TIME_BUCKETS; i++)
        total->first_byte[i] += one->first_byte[i];
}

static double percentile_ms(const struct figures *figures, unsigned permille)
{
    return (double)s3dlio_percentile_ns(figures->first_byte, permille) / 1e6;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* On a screen the line is cut at its edge and ends the rest of what stood there. */
static void put_line(const char *line, unsigned columns)
{
    int width = columns ? (int)columns : (int)strlen(line);

    printf("%.*s%s\n", width, line, columns ? "\033[K" : "");
}

static void put_figures(const char *who, const char *command, const struct figures *figures,
                        unsigned columns)
{
    uint64_t asked = figures->hits + figures->misses;
    char line[LINE_BYTES], hits[16] = "-";

    if (asked)
        snprintf(hits, sizeof hits, "%.0f%%", 100.0 * (double)figures->hits / (double)asked);
    snprintf(line, sizeof line,
             "%8s %-16.16s %9.1f %9.2f %9.2f %7llu %9.2f %9.2f %9.1f %9.1f %8llu %6s", who, command,
             figures->requests_per_s, figures->received_mb_per_s, figures->sent_mb_per_s,
             (unsigned long long)figures->in_flight, percentile_ms(figures, 500),
             percentile_ms(figures, 990), (double)figures->memory_bytes / 1e6,
             (double)figures->budget_bytes / 1e6, (unsigned long long)figures->retries, hits);
    put_line(line, columns);
}

void top_print_table(const struct top_look *before, const struct top_look *now, unsigned columns,
                     unsigned rows)
{
    struct figures total = {0};
    size_t shown = rows > 3 && now->count > rows - 3 ? rows - 3 : now->count;
    char line[LINE_BYTES];

    snprintf(line, sizeof line, "%8s %-16s %9s %9s %9s %7s %9s %9s %9s %9s %8s %6s", "PID",
             "COMMAND", "REQ/S", "MB/S IN", "MB/S OUT", "FLIGHT", "P50 MS", "P99 MS", "MEM MB",
             "OF MB", "RETRIES", "CACHED");
    put_line(line, columns);
    for (size_t i = 0; i < now->count; i++) {
        struct figures one = figures_of(before, now, &now->processes[i]);
        char pid[16];

        snprintf(pid, sizeof pid, "%d", (int)now->processes[i].pid);
        add(&total, &one);
        if (i < shown)
            put_figures(pid, now->processes[i].command, &one, columns);
    }
    snprintf(line, sizeof line, "%zu", now->count);
    put_figures("all", line, &total, columns);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A program's locale is not this command's: numbers have a point. */
static void put_json(const struct figures *figures)
{
    printf("\"requests\": %llu, \"bytes_received\": %llu, \"bytes_sent\": %llu, "
           "\"requests_per_s\": %.3f, \"received_mb_per_s\": %.6f, \"sent_mb_per_s\": %.6f, ",
           (unsigned long long)figures->requests, (unsigned long long)figures->bytes_received,
           (unsigned long long)figures->bytes_sent, figures->requests_per_s,
           figures->received_mb_per_s, figures->sent_mb_per_s);
    printf("\"in_flight\": %llu, \"first_byte_p50_ms\": %.3f, \"first_byte_p99_ms\": %.3f, "
           "\"memory_bytes\": %llu, \"memory_budget_bytes\": %llu, \"retries\": %llu, "
           "\"cache_hits\": %llu, \"cache_misses\": %llu}",
           (unsigned long long)figures->in_flight, percentile_ms(figures, 500),
           percentile_ms(figures, 990), (unsigned long long)figures->memory_bytes,
           (unsigned long long)figures->budget_bytes, (unsigned long long)figures->retries,
           (unsigned long long)figures->hits, (unsigned long long)figures->misses);
}

void top_print_json(const struct top_look *before, const struct top_look *now)
{
    struct figures total = {0};

    printf("{\"processes\": [");
    for (size_t i = 0; i < now->count; i++) {
        const struct s3dlio_process *process = &now->processes[i];
        struct figures one = figures_of(before, now, process);

        add(&total, &one);
        printf("%s{\"pid\": %d, \"command\": \"", i ? ", " : "", (int)process->pid);
        for (const char *at = process->command; *at; at++) {
            if (*at == '"' || *at == '\\')
                putchar('\\');
            putchar(*at);
        }
        printf("\", ");
        put_json(&one);
    }
    printf("], \"total\": {");
    put_json(&total);
    printf("}\n");
}
