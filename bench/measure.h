/* What the programs of the benchmarks print: one JSON line, read by harness.py. */
#ifndef S3DLIO_BENCH_MEASURE_H
#define S3DLIO_BENCH_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

/* Seconds of a clock. */
static inline double measure_now(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline int measure_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts them. */
static inline double measure_median(double *values, long count)
{
    qsort(values, (size_t)count, sizeof *values, measure_by_value);
    return values[count / 2];
}

/* Bytes moved, seconds since `start`, CPU seconds of this process with all its threads, and the
 * most that was resident. */
static inline void measure_print(unsigned long long bytes, double start)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"peak_kib\": %ld}\n",
           bytes, measure_now(CLOCK_MONOTONIC) - start, measure_now(CLOCK_PROCESS_CPUTIME_ID),
           usage.ru_maxrss);
}

#endif
