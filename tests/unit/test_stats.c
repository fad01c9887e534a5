/* core/histogram.h, samples.h, stats.h, stats_format.h: counting, percentiles, courses, text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "core/stats_format.h"
#include "core/stats_kind.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

/* ---- histograms ------------------------------------------------------------------------------ */

static void test_buckets_follow_each_other(void **state)
{
    assert_int_equal(histogram_bucket_ns(0), 0);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_bucket(histogram_bucket_ns(i)), i);
        assert_int_equal(histogram_bucket(histogram_bucket_ns(i + 1) - 1), i);
        if (i >= 4) /* none is wider than a quarter of where it begins */
            assert_true(histogram_bucket_ns(i + 1) * 4 <= histogram_bucket_ns(i) * 5);
    }
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_true(histogram_bucket_ns(HISTOGRAM_BUCKETS - 1) > 900 * S);
}

static void check_near(uint64_t value, uint64_t expected)
{
    assert_in_range(value, expected * 4 / 5, expected * 5 / 4);
}

static void test_percentiles(void **state)
{
    static struct histogram histogram;
    static struct histogram_copy copy;

    assert_int_equal(histogram_percentile(&copy, 500), 0);
    for (unsigned i = 1; i <= 1000; i++)
        histogram_add(&histogram, (int64_t)(i * MS));
    histogram_add(&histogram, -5); /* a clock of another kind */
    histogram_read(&histogram, &copy);
    assert_int_equal(copy.count, 1001);
    assert_int_equal(copy.max_ns, 1000 * MS);
    assert_int_equal(copy.sum_ns, 500500 * MS);
    check_near(histogram_percentile(&copy, 500), 500 * MS);
    check_near(histogram_percentile(&copy, 900), 900 * MS);
    check_near(histogram_percentile(&copy, 990), 990 * MS);
    assert_true(histogram_percentile(&copy, 999) <= copy.max_ns);
    assert_true(histogram_percentile(&copy, 1000) <= copy.max_ns);
}

static void test_one_value(void **state)
{
    static struct histogram histogram;
    static struct histogram_copy copy;

    histogram_add(&histogram, 30 * (int64_t)MS);
    histogram_read(&histogram, &copy);
    check_near(histogram_percentile(&copy, 500), 30 * MS);
    assert_true(histogram_percentile(&copy, 1) > 0);
    assert_true(histogram_percentile(&copy, 999) <= 30 * MS);
}

/* ---- courses --------------------------------------------------------------------------------- */

static uint64_t requests_in(const struct samples_copy *copy)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < copy->count; i++)
        sum += copy->sample[i].requests;
    return sum;
}

static void test_intervals_double(void **state)
{
    static struct samples samples;
    struct samples_copy copy;
    const int64_t first_ns = INT64_C(1) << SAMPLES_FIRST_BITS;

    samples_read(&samples, &copy);
    assert_int_equal(copy.count, 0);
    for (unsigned i = 0; i < SAMPLES_COUNT; i++) {
        samples_begin(&samples, i * first_ns, i + 1);
        samples_end(&samples, i * first_ns, 10);
    }
    samples_read(&samples, &copy);
    assert_int_equal(copy.interval_ns, first_ns);
    assert_int_equal(copy.count, SAMPLES_COUNT);
    assert_int_equal(copy.sample[5].in_flight, 6);

    samples_begin(&samples, SAMPLES_COUNT * first_ns, 99); /* the first that has no room */
    samples_read(&samples, &copy);
    assert_int_equal(copy.interval_ns, 2 * first_ns);
    assert_int_equal(copy.count, SAMPLES_COUNT / 2 + 1);
    assert_int_equal(copy.sample[2].in_flight, 6);
    assert_int_equal(copy.sample[2].requests, 2);
    assert_int_equal(copy.sample[2].bytes, 20);
    assert_int_equal(copy.sample[SAMPLES_COUNT / 2].in_flight, 99);
    assert_int_equal(requests_in(&copy), SAMPLES_COUNT);
}

static void test_any_length(void **state)
{
    static struct samples samples;
    struct samples_copy copy;
    const int64_t year_ns = INT64_C(365) * 86400 * NS_PER_S;

    samples_end(&samples, 0, 1);
    samples_end(&samples, year_ns, 1);
    samples_end(&samples, INT64_MAX, 1); /* of no use, and no harm */
    samples_end(&samples, -1, 1);
    samples_read(&samples, &copy);
    assert_true(copy.interval_ns * SAMPLES_COUNT > (uint64_t)year_ns);
    assert_true(requests_in(&copy) >= 3);
}

/* ---- counters -------------------------------------------------------------------------------- */

static void count(struct stats *stats, enum store_operation operation, int64_t at_ns)
{
    struct stats_end end = {
        .operation = operation,
        .submitted_ns = at_ns,
        .sent_ns = at_ns + (int64_t)MS,
        .first_byte_ns = at_ns + 5 * (int64_t)MS,
        .ended_ns = at_ns + 10 * (int64_t)MS,
        .bytes_received = 100,
    };

    stats_begin(stats, operation, at_ns);
    stats_end(stats, &end);
}

static void *count_many(void *arg)
{
    for (int i = 0; i < 10000; i++)
        count(arg, STORE_GET, 1000 + i * (int64_t)US);
    return NULL;
}

static void test_threads_lose_nothing(void **state)
{
    struct stats *stats = calloc(1, sizeof *stats);
    struct stats_copy *copy = malloc(sizeof *copy);
    pthread_t threads[4];

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, stats), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    stats_copy(stats, 2 * (int64_t)S, copy);
    assert_int_equal(copy->requests_all, 40000);
    assert_int_equal(copy->requests[STORE_GET], 40000);
    assert_int_equal(copy->counters[STATS_BYTES_RECEIVED], 4000000);
    assert_int_equal(copy->total[STORE_GET].count, 40000);
    assert_int_equal(copy->first_byte[STORE_GET].count, 40000);
    assert_int_equal(copy->in_flight, 0);
    assert_in_range(copy->in_flight_peak, 1, 4);
    check_near(histogram_percentile(&copy->first_byte[STORE_GET], 500), 4 * MS);
    check_near(histogram_percentile(&copy->total[STORE_GET], 500), 10 * MS);
    free(copy);
    free(stats);
}

static void test_ends_of_other_kinds(void **state)
{
    struct stats *stats = calloc(1, sizeof *stats);
    struct stats_copy *copy = malloc(sizeof *copy);
    struct stats_end failed = {
        .operation = STORE_PUT, .submitted_ns = 10, .ended_ns = 20, .failed = true};
    struct stats_end abandoned = {
        .operation = STORE_GET, .submitted_ns = 10, .ended_ns = 20, .abandoned = true};

    stats_begin(stats, STORE_PUT, 10);
    stats_begin(stats, STORE_GET, 10);
    stats_copy(stats, 15, copy);
    assert_int_equal(copy->in_flight, 2);
    stats_end(stats, &failed);
    stats_end(stats, &abandoned);
    stats_copy(stats, 30, copy);
    assert_int_equal(copy->counters[STATS_ERRORS], 1);
    assert_int_equal(copy->counters[STATS_ABANDONED], 1);
    assert_int_equal(copy->first_byte[STORE_GET].count, 0);
    assert_int_equal(copy->in_flight, 0);
    assert_int_equal(copy->in_flight_peak, 2);
    free(copy);
    free(stats);
}

/* ---- the tables ------------------------------------------------------------------------------ */

static void test_rows_are_in_order(void **state)
{
    for (unsigned i = 0; i < STATS_COUNTERS; i++) {
        const struct stats_row *row = stats_row(i);

        assert_int_equal(strncmp(row->prometheus, "s3dlio_", 7), 0);
        assert_string_equal(row->prometheus + strlen(row->prometheus) - 6, "_total");
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(stats_row(j)->prometheus, row->prometheus);
            if (!strcmp(stats_row(j)->group, row->group)) /* a group stands together */
                assert_string_equal(stats_row(i - 1)->group, row->group);
        }
    }
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        assert_non_null(strstr("GET PUT DELETE LIST STAT", stats_kind(i)->op));
}

static void test_price(void **state)
{
    char *environment[] = {"S3DLIO_PRICE_GB=0.09", "S3DLIO_PRICE_DELETE=1", "S3DLIO_PROFILE=", NULL};
    struct stats_copy *copy = calloc(1, sizeof *copy);
    struct options options;

    assert_int_equal(options_load(environment, NULL, NULL, &options), 0);
    copy->requests[STORE_GET] = 10000;        /* 0.0004 for each thousand */
    copy->requests[STORE_HEAD] = 10000;
    copy->requests[STORE_UPLOAD_PART] = 1000; /* 0.005 */
    copy->requests[STORE_LIST] = 1000;        /* 0.005 */
    copy->requests[STORE_DELETE_MANY] = 1;    /* 1 */
    copy->counters[STATS_BYTES_RECEIVED] = 100 * S;
    assert_float_equal(stats_price(copy, &options), 0.008 + 0.005 + 0.005 + 0.001 + 9, 1e-9);
    options_fini(&options);
    free(copy);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void test_a_name_with_quotes(void **state)
{
    struct stats_copy *copy = calloc(1, sizeof *copy);
    struct stats_about about = {.command = "a\"b\\c\nd", .pid = 7};
    struct options options;
    struct buffer out;

    assert_int_equal(options_load(NULL, NULL, NULL, &options), 0);
    about.options = &options;
    buffer_init(&out, STATS_TEXT_MAX);
    assert_int_equal(stats_format_json(copy, &about, &out), 0);
    assert_non_null(strstr(out.data, "{\"command\": \"a\\\"b\\\\c?d\", \"pid\": 7,"));
    assert_ptr_equal(strchr(out.data, '\n'), out.data + out.length - 1);
    buffer_clear(&out);
    assert_int_equal(stats_format_prometheus(copy, &about, &out), 0);
    assert_non_null(strstr(out.data, "{command=\"a\\\"b\\\\c?d\",pid=\"7\"}"));
    buffer_fini(&out);
    buffer_init(&out, 100); /* what does not fit is an error, not half a text */
    assert_int_equal(stats_format_text(copy, &about, &out), -EMSGSIZE);
    buffer_fini(&out);
    options_fini(&options);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_follow_each_other),
        cmocka_unit_test(test_percentiles),
        cmocka_unit_test(test_one_value),
        cmocka_unit_test(test_intervals_double),
        cmocka_unit_test(test_any_length),
        cmocka_unit_test(test_threads_lose_nothing),
        cmocka_unit_test(test_ends_of_other_kinds),
        cmocka_unit_test(test_rows_are_in_order),
        cmocka_unit_test(test_price),
        cmocka_unit_test(test_a_name_with_quotes),
    };

    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
