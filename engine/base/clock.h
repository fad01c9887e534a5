/* Time. Durations and deadlines are int64_t nanoseconds of CLOCK_MONOTONIC. */
#ifndef S3DLIO_BASE_CLOCK_H
#define S3DLIO_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define CLOCK_NEVER INT64_MAX

static inline int64_t clock_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* now + duration, saturating at CLOCK_NEVER; a duration of 0 or less means no deadline. */
static inline int64_t clock_deadline_ns(int64_t duration_ns)
{
    int64_t now = clock_now_ns();
    return duration_ns <= 0 || duration_ns > CLOCK_NEVER - now ? CLOCK_NEVER : now + duration_ns;
}

/* "Sun, 22 Nov 2026 07:52:48 GMT" or ISO 8601 "2026-11-22T07:52:48.000Z" → seconds and
 * nanoseconds of the epoch; 0 or -EINVAL. Locale-independent. */
int clock_parse_http_date(const char *text, struct timespec *ret_time);
int clock_parse_iso8601(const char *text, struct timespec *ret_time);

#endif
