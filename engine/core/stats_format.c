/* Three ways to write counters down. See stats_format.h.
 *
 * Numbers have a point and nothing else in every locale of the program: whoever calls sees to that.
 * What fails first is remembered, and nothing is appended after it. */
#include "core/stats_format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/stats_kind.h"

static const unsigned permilles[] = {500, 900, 990, 999};
static const char *const permille_names[] = {"p50", "p90", "p99", "p99.9"};
#define PERMILLES (sizeof permilles / sizeof permilles[0])

struct writing {
    struct buffer *out;
    int error;
};

__attribute__((format(printf, 2, 3))) static void put(struct writing *to, const char *format, ...)
{
    char text[512];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (to->error == 0)
        to->error = length < 0 || (size_t)length >= sizeof text
                        ? -EMSGSIZE
                        : buffer_append(to->out, text, (size_t)length);
}

/* Between quotes, in JSON and in labels alike. */
static void put_quoted(struct writing *to, const char *text)
{
    put(to, "\"");
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            put(to, "\\%c", c);
        else
            put(to, "%c", c < 0x20 || c >= 0x7f ? '?' : c);
    }
    put(to, "\"");
}

/* ---- what is computed ------------------------------------------------------------------------ */

double stats_price(const struct stats_copy *copy, const struct options *options)
{
    uint64_t requests[STATS_PRICES] = {0};
    double price = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        requests[stats_kind(i)->price] += copy->requests[i];
    price += (double)requests[STATS_PRICE_GET] * (double)option_int(options, PRICE_GET);
    price += (double)requests[STATS_PRICE_PUT] * (double)option_int(options, PRICE_PUT);
    price += (double)requests[STATS_PRICE_LIST] * (double)option_int(options, PRICE_LIST);
    price += (double)requests[STATS_PRICE_DELETE] * (double)option_int(options, PRICE_DELETE);
    price /= 1e3; /* of a thousand requests */
    price += (double)copy->counters[STATS_BYTES_RECEIVED] / 1e9 *
             (double)option_int(options, PRICE_GB);
    return price / 1e6; /* millionths */
}

static double mean_in_flight(const struct stats_copy *copy)
{
    double sum_ns = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        sum_ns += (double)copy->total[i].sum_ns;
    return copy->elapsed_ns > 0 ? sum_ns / (double)copy->elapsed_ns : 0;
}

static bool begins_group(unsigned counter)
{
    return counter == 0 || strcmp(stats_row(counter)->group, stats_row(counter - 1)->group) != 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void put_counters(struct writing *to, const struct stats_copy *copy, unsigned first)
{
    const char *group = stats_row(first)->group;

    for (unsigned i = first; i < STATS_COUNTERS && !strcmp(stats_row(i)->group, group); i++)
        put(to, "%s%llu %s", i == first ? "" : ", ", (unsigned long long)copy->counters[i],
            stats_row(i)->word);
    put(to, "\n");
}

static void put_requests(struct writing *to, const struct stats_copy *copy)
{
    uint64_t kinds[STATS_KINDS] = {0};

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        kinds[stats_kind(i)->kind] += copy->requests[i];
    put(to, "  requests     %llu: ", (unsigned long long)copy->requests_all);
    for (unsigned i = 0; i < STATS_KINDS; i++)
        put(to, "%llu %s%s", (unsigned long long)kinds[i], stats_kind_word(i),
            i + 1 < STATS_KINDS ? ", " : "; ");
}

static void put_percentiles(struct writing *to, const char *label,
                            const struct histogram_copy *copy)
{
    put(to, "%s", label);
    for (unsigned i = 0; i < PERMILLES; i++)
        put(to, "%s %.2f, ", permille_names[i],
            (double)histogram_percentile(copy, permilles[i]) / 1e6);
    put(to, "max %.2f ms\n", (double)copy->max_ns / 1e6);
}

static void put_course(struct writing *to, const struct stats_copy *copy)
{
    const struct samples_copy *samples = &copy->samples;

    put(to, "  in flight    %llu at most, %.2f on average; each %.3g s:",
        (unsigned long long)copy->in_flight_peak, mean_in_flight(copy),
        (double)samples->interval_ns / 1e9);
    for (unsigned i = 0; i < samples->count; i++)
        put(to, " %llu", (unsigned long long)samples->sample[i].in_flight);
    put(to, "\n");
}

/* Those that were of use. */
static void put_levels(struct writing *to, const struct stats_copy *copy)
{
    const char *before = "  at once      ";

    for (unsigned i = 0; i < STATS_LEVELS; i++) {
        if (copy->level_peak[i] == 0)
            continue;
        put(to, "%s%llu %s at most, found worth while %llu", before,
            (unsigned long long)copy->level_peak[i], stats_level_word(i),
            (unsigned long long)copy->level[i]);
        before = "; ";
    }
    if (*before == ';')
        put(to, "\n");
}

int stats_format_text(const struct stats_copy *copy, const struct stats_about *about,
                      struct buffer *out)
{
    struct writing to = {out, 0};

    put(&to, "s3dlio: statistics of %.200s, process %d\n", about->command, (int)about->pid);
    put_requests(&to, copy);
    for (unsigned i = 0; i < STATS_COUNTERS; i++) {
        if (!begins_group(i))
            continue;
        if (i > 0) /* that of the requests goes on */
            put(&to, "  %-12s ", stats_row(i)->group);
        put_counters(&to, copy, i);
    }
    put(&to, "  memory       %llu at most, of %llu bytes; the process %llu\n",
        (unsigned long long)copy->memory_peak_bytes, (unsigned long long)copy->memory_limit_bytes,
        (unsigned long long)about->resident_bytes);
    put_course(&to, copy);
    put_levels(&to, copy);
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++) {
        if (copy->first_byte[i].count) {
            put(&to, "  %-26s ", store_operation_name(i));
            put_percentiles(&to, "first byte ", &copy->first_byte[i]);
        }
        if (copy->total[i].count) {
            put(&to, "  %-26s ", store_operation_name(i));
            put_percentiles(&to, "in all     ", &copy->total[i]);
        }
    }
    put(&to, "  price        %.7f\n", stats_price(copy, about->options));
    return to.error;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void put_json_times(struct writing *to, const char *name, const struct histogram_copy *copy)
{
    put(to, ", \"%s_us\": {\"count\": %llu, \"mean\": %.3f", name, (unsigned long long)copy->count,
        copy->count ? (double)copy->sum_ns / (double)copy->count / 1e3 : 0.0);
    for (unsigned i = 0; i < PERMILLES; i++)
        put(to, ", \"%s\": %.3f", permille_names[i],
            (double)histogram_percentile(copy, permilles[i]) / 1e3);
    put(to, ", \"max\": %.3f}", (double)copy->max_ns / 1e3);
}

static void put_json_kinds(struct writing *to, const struct stats_copy *copy)
{
    bool first = true;

    put(to, ", \"by_kind\": {");
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++) {
        if (!copy->requests[i])
            continue;
        put(to, "%s\"%s\": {\"requests\": %llu", first ? "" : ", ", store_operation_name(i),
            (unsigned long long)copy->requests[i]);
        put_json_times(to, "first_byte", &copy->first_byte[i]);
        put_json_times(to, "total", &copy->total[i]);
        put(to, "}");
        first = false;
    }
    put(to, "}");
}

static void put_json_course(struct writing *to, const struct samples_copy *samples)
{
    put(to, ", \"course\": {\"interval_s\": %.9g, \"intervals\": [",
        (double)samples->interval_ns / 1e9);
    for (unsigned i = 0; i < samples->count; i++)
        put(to, "%s{\"in_flight\": %llu, \"requests\": %llu, \"bytes\": %llu}", i ? ", " : "",
            (unsigned long long)samples->sample[i].in_flight,
            (unsigned long long)samples->sample[i].requests,
            (unsigned long long)samples->sample[i].bytes);
    put(to, "]}");
}

int stats_format_json(const struct stats_copy *copy, const struct stats_about *about,
                      struct buffer *out)
{
    struct writing to = {out, 0};

    put(&to, "{\"command\": ");
    put_quoted(&to, about->command);
    put(&to, ", \"pid\": %d, \"elapsed_s\": %.6f, \"requests\": %llu", (int)about->pid,
        (double)copy->elapsed_ns / 1e9, (unsigned long long)copy->requests_all);
    for (unsigned i = 0; i < STATS_COUNTERS; i++)
        put(&to, ", \"%s_%s\": %llu", stats_row(i)->group, stats_row(i)->word,
            (unsigned long long)copy->counters[i]);
    put(&to, ", \"in_flight\": %llu, \"in_flight_peak\": %llu, \"in_flight_mean\": %.3f",
        (unsigned long long)copy->in_flight, (unsigned long long)copy->in_flight_peak,
        mean_in_flight(copy));
    for (unsigned i = 0; i < STATS_LEVELS; i++)
        put(&to, ", \"%s_target\": %llu, \"%s_peak\": %llu", stats_level_word(i),
            (unsigned long long)copy->level[i], stats_level_word(i),
            (unsigned long long)copy->level_peak[i]);
    put(&to, ", \"memory_bytes\": %llu, \"memory_peak_bytes\": %llu, \"memory_budget_bytes\": %llu",
        (unsigned long long)copy->memory_bytes, (unsigned long long)copy->memory_peak_bytes,
        (unsigned long long)copy->memory_limit_bytes);
    put(&to, ", \"resident_peak_bytes\": %llu, \"price\": %.9f",
        (unsigned long long)about->resident_bytes, stats_price(copy, about->options));
    put_json_kinds(&to, copy);
    put_json_course(&to, &copy->samples);
    put(&to, "}\n");
    return to.error;
}

/* ---- Prometheus ------------------------------------------------------------------------------ */

static void put_head(struct writing *to, const char *name, const char *type, const char *help)
{
    put(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_labels(struct writing *to, const struct stats_about *about)
{
    put(to, "{command=");
    put_quoted(to, about->command);
    put(to, ",pid=\"%d\"", (int)about->pid);
}

static void put_value(struct writing *to, const struct stats_about *about, const char *name,
                      double value)
{
    put(to, "%s", name);
    put_labels(to, about);
    put(to, "} %.17g\n", value);
}

static void put_gauge(struct writing *to, const struct stats_about *about, const char *name,
                      const char *help, double value)
{
    put_head(to, name, "gauge", help);
    put_value(to, about, name, value);
}

/* One bucket to each power of two is enough for a query, and a fourth of the lines. */
static void put_prometheus_times(struct writing *to, const struct stats_about *about,
                                 const char *name, const char *help,
                                 const struct histogram_copy *copies)
{
    put_head(to, name, "histogram", help);
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++) {
        const struct histogram_copy *copy = &copies[i];
        const char *operation = store_operation_name(i);
        uint64_t below = 0;

        if (!copy->count)
            continue;
        for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
            below += copy->buckets[bucket];
            if (bucket % 4 != 3)
                continue;
            put(to, "%s_bucket", name);
            put_labels(to, about);
            put(to, ",operation=\"%s\",le=\"%.9g\"} %llu\n", operation,
                (double)histogram_bucket_ns(bucket + 1) / 1e9, (unsigned long long)below);
        }
        put(to, "%s_bucket", name);
        put_labels(to, about);
        put(to, ",operation=\"%s\",le=\"+Inf\"} %llu\n%s_sum", operation,
            (unsigned long long)copy->count, name);
        put_labels(to, about);
        put(to, ",operation=\"%s\"} %.9f\n%s_count", operation, (double)copy->sum_ns / 1e9, name);
        put_labels(to, about);
        put(to, ",operation=\"%s\"} %llu\n", operation, (unsigned long long)copy->count);
    }
}

static void put_prometheus_requests(struct writing *to, const struct stats_copy *copy,
                                    const struct stats_about *about)
{
    put_head(to, "s3dlio_requests_total", "counter", "Requests submitted, repeats included.");
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++) {
        put(to, "s3dlio_requests_total");
        put_labels(to, about);
        put(to, ",operation=\"%s\"} %llu\n", store_operation_name(i),
            (unsigned long long)copy->requests[i]);
    }
}

static void put_prometheus_levels(struct writing *to, const struct stats_copy *copy,
                                  const struct stats_about *about)
{
    put_head(to, "s3dlio_requests_target", "gauge", "Requests at once that are found worth while.");
    for (unsigned i = 0; i < STATS_LEVELS; i++) {
        put(to, "s3dlio_requests_target");
        put_labels(to, about);
        put(to, ",kind=\"%s\"} %llu\n", stats_level_word(i), (unsigned long long)copy->level[i]);
    }
}

int stats_format_prometheus(const struct stats_copy *copy, const struct stats_about *about,
                            struct buffer *out)
{
    struct writing to = {out, 0};

    put_prometheus_requests(&to, copy, about);
    for (unsigned i = 0; i < STATS_COUNTERS; i++) {
        const struct stats_row *row = stats_row(i);

        put_head(&to, row->prometheus, "counter", row->help);
        put_value(&to, about, row->prometheus, (double)copy->counters[i]);
    }
    put_gauge(&to, about, "s3dlio_requests_in_flight", "Requests under way.",
              (double)copy->in_flight);
    put_gauge(&to, about, "s3dlio_requests_in_flight_peak", "The most requests at once.",
              (double)copy->in_flight_peak);
    put_gauge(&to, about, "s3dlio_requests_in_flight_mean", "Requests under way on average.",
              mean_in_flight(copy));
    put_prometheus_levels(&to, copy, about);
    put_gauge(&to, about, "s3dlio_memory_bytes", "Buffers under the budget.",
              (double)copy->memory_bytes);
    put_gauge(&to, about, "s3dlio_memory_peak_bytes", "The most that buffers took.",
              (double)copy->memory_peak_bytes);
    put_gauge(&to, about, "s3dlio_memory_budget_bytes", "The budget of buffers.",
              (double)copy->memory_limit_bytes);
    put_gauge(&to, about, "s3dlio_resident_peak_bytes", "The most memory the process has had.",
              (double)about->resident_bytes);
    put_gauge(&to, about, "s3dlio_price", "What requests and bytes cost, by S3DLIO_PRICE_ options.",
              stats_price(copy, about->options));
    put_prometheus_times(&to, about, "s3dlio_first_byte_seconds",
                         "From a request sent to the first byte of its answer.", copy->first_byte);
    put_prometheus_times(&to, about, "s3dlio_request_seconds",
                         "From a request submitted to its end.", copy->total);
    return to.error;
}
