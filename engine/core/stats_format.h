/* Counters as text for people, as JSON and for Prometheus. Pure functions, but for the
 * thread's locale, which has to write numbers as C does (uselocale). */
#ifndef S3DLIO_CORE_STATS_FORMAT_H
#define S3DLIO_CORE_STATS_FORMAT_H

#include <sys/types.h>

#include "base/buffer.h"
#include "config/options.h"
#include "core/stats.h"

#define STATS_TEXT_MAX ((size_t)1 << 20)

/* Whose they are. */
struct stats_about {
    const char *command;
    pid_t pid;
    uint64_t resident_bytes; /* the most that the process had in memory */
    const struct options *options; /* the prices */
};

/* What the requests and bytes cost by the S3DLIO_PRICE_ options, in their currency. */
double stats_price(const struct stats_copy *copy, const struct options *options);

/* 0, -ENOMEM or -EMSGSIZE. Text: lines. JSON: one line. Prometheus: its text format. */
int stats_format_text(const struct stats_copy *copy, const struct stats_about *about,
                      struct buffer *out);
int stats_format_json(const struct stats_copy *copy, const struct stats_about *about,
                      struct buffer *out);
int stats_format_prometheus(const struct stats_copy *copy, const struct stats_about *about,
                            struct buffer *out);

#endif
