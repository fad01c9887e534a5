/* Streams whose ranges other shards fetch: the right bytes whatever happens, and nothing left
 * behind. */
#include "core_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/range.h"
#include "sanitizer.h"

#define URI     "fault://spread/object"
#define BYTES   (12 * MIB)
#define PART    (512 * KIB)
#define STEP    (100 * KIB)
#define FAR     "op=GetObject delay=2; " /* ms */
#define NEVER   "120000"
#define THREADS 3u

static struct s3dlio_reader *reader;
static unsigned char buffer[STEP];

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_RT_THREADS=3");
    core_run_set_option("S3DLIO_PREFETCH=0");
    core_run_set_option("S3DLIO_GET_PART_SIZE=512K");
    core_run_set_option("S3DLIO_GET_INFLIGHT=6");
    core_run_faults("op=* delay=4"); /* no answer says that the store is near */
    core_run_make_bucket("spread");
    core_run_put(URI, BYTES);
    return 0;
}

static uint64_t count_of(enum stats_counter which)
{
    return stats_read(&engine_stats(core_run_engine())->counters[which]);
}

static uint64_t spread_bytes(void)
{
    return count_of(STATS_AHEAD_SPREAD);
}

static uint64_t spread_before;

static int begin(void **state)
{
    core_run_clear(state);
    core_run_engine()->spread_always = true;
    spread_before = spread_bytes();
    core_run_faults(FAR);
    reader = core_run_open_reader(URI);
    return 0;
}

static bool relays_are_left(void)
{
    struct relays *relays = &core_run_engine()->relays;
    bool are_left;

    pthread_mutex_lock(&relays->mutex);
    are_left = relays->first != NULL;
    pthread_mutex_unlock(&relays->mutex);
    return are_left;
}

/* What was left is given back soon, on other threads. */
static void assert_released(void)
{
    const struct budget *budget = &core_run_engine()->budget;
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;

    while ((budget_used(budget) > 0 || relays_are_left()) && clock_now_ns() < until_ns)
        usleep(500);
    assert_int_equal(budget_used(budget), 0);
    assert_false(relays_are_left());
}

static int end(void **state)
{
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    core_run_engine()->spread_always = false;
    assert_released();
    return 0;
}

static ssize_t read_into(unsigned char *where, uint64_t at, struct s3dlio_error *error)
{
    ssize_t n = s3dlio_reader_pread(reader, where, STEP, at, NULL, error);

    if (n > 0)
        core_run_check(where, (size_t)n, at);
    return n;
}

static void read_on(uint64_t at, uint64_t end_at)
{
    struct s3dlio_error error;

    while (at < end_at) {
        ssize_t n = read_into(buffer, at, &error);

        core_run_must(n, &error);
        assert_true(n > 0);
        at += (uint64_t)n;
    }
}

/* Reads until it fails: how. */
static int read_until_failure(void)
{
    struct s3dlio_error error;

    for (uint64_t at = 0; at < BYTES;) {
        ssize_t n = read_into(buffer, at, &error);

        if (n <= 0)
            return (int)n;
        at += (uint64_t)n;
    }
    return 0;
}

static void most_ranges_ahead_come_by_other_shards(void **state)
{
    read_on(0, BYTES);
    assert_in_range(spread_bytes() - spread_before, BYTES / 2, BYTES);
}

static void one_read_of_all_is_spread_too(void **state)
{
    unsigned char *all = malloc(BYTES);
    struct s3dlio_error error;

    assert_non_null(all);
    for (size_t at = 0; at < BYTES;) {
        ssize_t n = s3dlio_reader_pread(reader, all + at, BYTES - at, at, NULL, &error);

        core_run_must(n, &error);
        at += (size_t)n;
    }
    core_run_check(all, BYTES, 0);
    assert_in_range(spread_bytes() - spread_before, BYTES / 4, BYTES);
    free(all);
}

static void nothing_is_spread_where_nothing_is_decrypted(void **state)
{
    core_run_engine()->spread_always = false;
    read_on(0, BYTES);
    assert_int_equal(spread_bytes(), spread_before);
}

static void one_shard_spreads_nothing(void **state)
{
    struct engine *engine = core_run_engine();
    unsigned count = engine->shard_count;

    s3dlio_reader_close(reader);
    engine->shard_count = 1;
    reader = core_run_open_reader(URI);
    read_on(0, BYTES);
    engine->shard_count = count;
    assert_int_equal(spread_bytes(), spread_before);
}

static void failures_are_repeated_where_they_happen(void **state)
{
    core_run_faults("op=GetObject p=30 after=100000 truncate; op=GetObject p=10 fail=throttled; "
                    "op=GetObject p=20 after=70000 pause=3; op=GetObject p=30 delay=9");
    read_on(0, BYTES);
    assert_true(spread_bytes() > spread_before);
}

static void what_fails_for_good_fails_the_read_that_comes_to_it(void **state)
{
    core_run_faults("op=GetObject nth=8 fail=access");
    assert_int_equal(read_until_failure(), -EACCES);
    core_run_faults(NULL);
    core_run_faults(FAR);
    read_on(0, BYTES);
}

static void another_version_is_told(void **state)
{
    core_run_faults("op=GetObject nth=8 changed");
    assert_int_equal(read_until_failure(), -ESTALE);
}

static void a_seek_leaves_what_is_on_its_way(void **state)
{
    read_on(0, 2 * MIB);
    for (uint64_t at = BYTES - MIB; at > 3 * MIB; at -= MIB + STEP)
        read_on(at, at + STEP);
    read_on(3 * MIB, BYTES);
    read_on(0, 4 * MIB);
}

/* None of them ever ends by itself. */
static void closing_ends_what_is_on_its_way(void **state)
{
    read_on(0, MIB);
    core_run_faults("op=GetObject delay=" NEVER);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t asked = core_run_count(STORE_GET);

        for (uint64_t at = MIB; core_run_count(STORE_GET) < asked + 3 && at < BYTES; at += STEP) {
            struct s3dlio_call call = {.timeout_ms = 100};

            if (s3dlio_reader_pread(reader, buffer, STEP, at, &call, NULL) < 0)
                break;
        }
        s3dlio_reader_close(reader);
        reader = NULL;
        assert_released();
        core_run_faults(NULL);
        core_run_faults(FAR);
        reader = core_run_open_reader(URI);
        read_on(0, MIB);
        core_run_faults("op=GetObject delay=" NEVER);
    }
}

/* In both, with ranges on their way by other shards: the child's own are asked for anew, and what
 * was left just before holds no memory there. */
static void a_child_reads_on(void **state)
{
    pid_t pid;

    for (unsigned i = 0; i < 4; i++) {
        read_on(0, MIB + i * STEP);
        if (i % 2) {
            s3dlio_reader_close(reader);
            reader = core_run_open_reader(URI);
        }
        pid = core_run_fork();
        if (pid == 0) {
            alarm(20);
            read_on(MIB + i * STEP, BYTES);
            s3dlio_reader_close(reader);
            assert_released();
            _exit(0);
        }
        core_run_wait_for(pid);
        read_on(MIB + i * STEP, BYTES);
    }
}

/* One range of [PART, 2 * PART) by itself, on its way by another shard; home is locked. */
static struct range *start_range(struct store *store, const struct s3dlio_attr *attr)
{
    struct engine *engine = core_run_engine();
    struct range *range;
    struct uri uri;

    assert_int_equal(uri_parse(URI, &uri), 0);
    shard_lock(engine->shards[0]);
    range = range_new(engine, &uri, store, engine->shards[0]);
    range->owner = engine;
    assert_true(range_reserve(range, BUDGET_READ_AHEAD, PART));
    assert_true(range_start_away(range, engine->shards[1], PART, 2 * PART, BYTES, attr->etag));
    return range;
}

/* What becomes of it is known at home as it was away. */
static int run_range(uint64_t *ret_arrived)
{
    struct store *store = core_run_store();
    struct core_run_scope scope;
    struct s3dlio_attr attr;
    struct range *range;
    struct error error;
    int r;

    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
    core_run_enter(&scope);
    range = start_range(store, &attr);
    r = range_wait_whole(range, &scope.limits, &error);
    *ret_arrived = range->arrived - range->offset;
    core_run_check(range->buffer, *ret_arrived, PART);
    range_drop(range);
    shard_unlock(core_run_engine()->shards[0]);
    core_run_leave(&scope);
    return r;
}

static void a_range_ends_at_home_as_it_did_away(void **state)
{
    uint64_t arrived;

    assert_int_equal(run_range(&arrived), 0);
    assert_int_equal(arrived, PART);
    core_run_faults("op=GetObject changed");
    assert_int_equal(run_range(&arrived), -ESTALE);
    core_run_faults(NULL);
    core_run_faults("op=GetObject delay=1 after=1000 truncate");
    core_run_faults("op=GetObject nth=2 fail=access");
    assert_int_equal(run_range(&arrived), -EACCES);
    assert_int_equal(arrived, 1000);
}

static void close_reader(void)
{
    s3dlio_reader_close(reader);
    reader = NULL;
    assert_released();
}

/* All of it but the end, which is let come in when the pause is over. */
static void leave_one_that_is_nearly_there(const char *pause)
{
    struct engine *engine = core_run_engine();
    struct store *store = core_run_store();
    struct core_run_scope scope;
    struct s3dlio_attr attr;
    struct range *range;
    uint64_t received = 0;

    core_run_faults(pause);
    assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
    core_run_enter(&scope);
    range = start_range(store, &attr);
    shard_unlock(engine->shards[0]);
    while (received < PART - 1000) {
        gate_sleep_begin(1);
        usleep(500);
        gate_sleep_end(1);
        shard_lock(engine->shards[1]);
        received = engine->relays.first->fetch.received;
        shard_unlock(engine->shards[1]);
    }
    shard_lock(engine->shards[0]);
    range_drop(range);
    shard_unlock(engine->shards[0]);
    core_run_leave(&scope);
}

static void what_was_left_is_wasted(void **state)
{
    uint64_t received, wasted;

    close_reader();
    received = count_of(STATS_BYTES_RECEIVED);
    wasted = count_of(STATS_AHEAD_WASTED);
    leave_one_that_is_nearly_there("op=GetObject after=523288 pause=50");
    assert_released();
    assert_int_equal(count_of(STATS_BYTES_RECEIVED) - received, PART);
    assert_int_equal(count_of(STATS_AHEAD_WASTED) - wasted, PART);
}

static void what_was_left_is_not_the_childs(void **state)
{
    uint64_t abandoned = count_of(STATS_ABANDONED);
    pid_t pid;

    NOT_UNDER_TSAN(); /* there fork waits until all threads have ended */
    close_reader();
    leave_one_that_is_nearly_there("op=GetObject after=523288 pause=1500");
    pid = core_run_fork();
    if (pid == 0)
        _exit(budget_used(&core_run_engine()->budget) > 0 || relays_are_left());
    core_run_wait_for(pid);
    assert_int_equal(budget_used(&core_run_engine()->budget), PART);
    assert_released();
    assert_int_equal(count_of(STATS_ABANDONED), abandoned);
}

static _Atomic uint64_t next_step;

/* Step by step of the same stream, so that threads meet in its ranges. */
static void *read_in_turns(void *arg)
{
    unsigned char *mine = malloc(STEP);
    struct s3dlio_error error;
    uint64_t at;

    while ((at = STEP * atomic_fetch_add(&next_step, 1)) < BYTES) {
        ssize_t n = s3dlio_reader_pread(reader, mine, STEP, at, NULL, &error);

        core_run_must(n, &error);
        core_run_check(mine, (size_t)n, at);
    }
    free(mine);
    return NULL;
}

static void threads_share_a_stream(void **state)
{
    pthread_t threads[THREADS];

    s3dlio_reader_advise(reader, 0, 0, S3DLIO_ADVICE_SEQUENTIAL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, read_in_turns, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(spread_bytes() > spread_before);
}

static void *read_all(void *arg)
{
    struct s3dlio_reader *alone = core_run_open_reader(URI);
    unsigned char *mine = malloc(STEP);
    struct s3dlio_error error;

    for (uint64_t at = 0; at < BYTES; at += STEP) {
        ssize_t n = s3dlio_reader_pread(alone, mine, STEP, at, NULL, &error);

        core_run_must(n, &error);
        core_run_check(mine, (size_t)n, at);
    }
    free(mine);
    s3dlio_reader_close(alone);
    return NULL;
}

/* Homes of one are away for another. */
static void streams_cross(void **state)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, read_all, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(spread_bytes() > spread_before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
        TEST(most_ranges_ahead_come_by_other_shards),
        TEST(one_read_of_all_is_spread_too),
        TEST(nothing_is_spread_where_nothing_is_decrypted),
        TEST(one_shard_spreads_nothing),
        TEST(failures_are_repeated_where_they_happen),
        TEST(what_fails_for_good_fails_the_read_that_comes_to_it),
        TEST(another_version_is_told),
        TEST(a_seek_leaves_what_is_on_its_way),
        TEST(closing_ends_what_is_on_its_way),
        TEST(a_child_reads_on),
        TEST(a_range_ends_at_home_as_it_did_away),
        TEST(what_was_left_is_wasted),
        TEST(what_was_left_is_not_the_childs),
        TEST(threads_share_a_stream),
        TEST(streams_cross),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
