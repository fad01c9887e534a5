/* Threads that read at the same time from a store that is near: each waits in a shard of its own. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core_run.h"
#include "io/shard.h"
#include "sanitizer.h"

#define OBJECT_BYTES (16 * MIB)
#define READ_BYTES   MIB
#define URI          "fault://lanes/object"
#define LATE_URI     "fault://lanes/late"
#define WAITING      3u /* one more than there are shards otherwise */
#define READERS      8u

static struct s3dlio_reader *reader, *late;

static int set_up(void **state)
{
    (void)state;
    core_run_set_option("S3DLIO_RT_THREADS=2");
    core_run_set_option("S3DLIO_HEDGE_PERCENT=0");
    core_run_make_bucket("lanes");
    core_run_put(URI, OBJECT_BYTES);
    core_run_put(LATE_URI, OBJECT_BYTES);
    return 0;
}

/* Behind the first window, and no stream. */
static void read_one(uint64_t offset)
{
    unsigned char *buffer = malloc(READ_BYTES);
    struct s3dlio_error error;

    core_run_must(s3dlio_reader_pread(reader, buffer, READ_BYTES, offset, NULL, &error), &error);
    core_run_check(buffer, READ_BYTES, offset);
    free(buffer);
}

static unsigned lane_count(void)
{
    unsigned count = 0;

    while (count < ENGINE_LANES_MAX && atomic_load(&core_run_engine()->lanes[count]))
        count++;
    return count;
}

/* Requests whose answers come never, so to speak. */
struct waiting {
    pthread_t threads[WAITING];
    struct s3dlio_call call;
};

static void *wait_in_vain(void *arg)
{
    unsigned char *buffer = malloc(READ_BYTES);
    struct s3dlio_error error;

    assert_int_equal(s3dlio_reader_pread(late, buffer, READ_BYTES, 8 * MIB, arg, &error),
                     -ECANCELED);
    free(buffer);
    return NULL;
}

static void begin_waiting(struct waiting *waiting)
{
    waiting->call = (struct s3dlio_call){.cancel = s3dlio_cancel_new()};
    core_run_faults("op=GetObject key=late delay=60000");
    for (unsigned i = 0; i < WAITING; i++)
        assert_int_equal(pthread_create(&waiting->threads[i], NULL, wait_in_vain, &waiting->call),
                         0);
    while (core_run_reads_under_way() < WAITING)
        usleep(1000);
}

static void end_waiting(struct waiting *waiting)
{
    s3dlio_cancel_trigger(waiting->call.cancel);
    for (unsigned i = 0; i < WAITING; i++)
        pthread_join(waiting->threads[i], NULL);
    s3dlio_cancel_free(waiting->call.cancel);
}

static int open_far(void **state)
{
    core_run_clear(state);
    core_run_faults("op=GetObject key=object delay=4"); /* longer than what counts as near */
    core_run_faults("op=GetObject nth=1 count=1 key=late delay=4");
    reader = core_run_open_reader(URI);
    late = core_run_open_reader(LATE_URI);
    return 0;
}

static int open_near(void **state)
{
    core_run_clear(state);
    reader = core_run_open_reader(URI);
    late = core_run_open_reader(LATE_URI);
    return 0;
}

static int close_reader(void **state)
{
    (void)state;
    s3dlio_reader_close(late);
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    return 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_far_stores_need_none(void **state)
{
    struct waiting waiting;

    (void)state;
    begin_waiting(&waiting);
    assert_int_equal(lane_count(), 0);
    end_waiting(&waiting);
}

static void test_one_thread_needs_none(void **state)
{
    (void)state;
    for (unsigned i = 4; i < 16; i += 2)
        read_one(i * MIB);
    assert_int_equal(lane_count(), 0);
}

static void test_who_waits_gets_one_that_is_idle(void **state)
{
    struct engine *engine = core_run_engine();
    struct shard *usual = engine->shards[0], *first, *second;
    struct core_run_scope scope;

    (void)state;
    core_run_enter(&scope);
    shard_lock(usual);
    first = engine_lock_idle_shard(engine, usual);
    second = engine_lock_idle_shard(engine, usual);
    assert_ptr_equal(first, atomic_load(&engine->lanes[0]));
    assert_ptr_equal(second, atomic_load(&engine->lanes[1]));
    shard_unlock(first);
    assert_ptr_equal(engine_lock_idle_shard(engine, usual), first);
    shard_unlock(usual);
    shard_unlock(second);
    shard_unlock(first);
    assert_ptr_equal(engine_lock_idle_shard(engine, usual), first); /* where it was last */
    shard_unlock(first);
    assert_int_equal(lane_count(), 2);
    core_run_leave(&scope);
}

static bool is_idle(struct shard *shard)
{
    struct core_run_scope scope;
    bool idle;

    core_run_enter(&scope);
    idle = shard_try_lock_idle(shard);
    if (idle)
        shard_unlock(shard);
    core_run_leave(&scope);
    return idle;
}

static unsigned lanes_in_use(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < lane_count(); i++)
        count += !is_idle(atomic_load(&core_run_engine()->lanes[i]));
    return count;
}

static void test_others_go_beside_those_who_wait(void **state)
{
    struct waiting waiting;

    (void)state;
    begin_waiting(&waiting);
    assert_in_range(lanes_in_use(), 1, WAITING);
    for (unsigned i = 4; i < 16; i += 2)
        read_one(i * MIB);
    end_waiting(&waiting);
}

static void *read_some(void *arg)
{
    unsigned seed = *(unsigned *)arg;

    for (unsigned i = 0; i < 40; i++)
        read_one((uint64_t)rand_r(&seed) % (OBJECT_BYTES - READ_BYTES));
    return NULL;
}

static void read_by_many(void)
{
    unsigned seeds[READERS];
    pthread_t threads[READERS];

    for (unsigned i = 0; i < READERS; i++) {
        seeds[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, read_some, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
}

static void test_many_read(void **state)
{
    (void)state;
    core_run_faults("op=GetObject p=50 delay=1; op=GetObject p=10 after=300000 pause=1");
    read_by_many();
}

/* Descriptors for one lane, and many readers. */
static void test_no_more_than_there_is_room_for(void **state)
{
    struct rlimit limit = {64, 64};
    pid_t pid;

    (void)state;
    NOT_UNDER_TSAN();
    pid = core_run_fork();
    if (pid == 0) {
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
            _exit(2);
        core_run_faults("op=GetObject delay=5");
        read_by_many();
        _exit(lane_count() != 1);
    }
    core_run_wait_for(pid);
}

/* Those who wait are the parent's threads. */
static void test_children_find_all_idle(void **state)
{
    struct waiting waiting;
    pid_t pid;

    (void)state;
    NOT_UNDER_TSAN();
    begin_waiting(&waiting);
    pid = core_run_fork();
    if (pid == 0) {
        if (lanes_in_use() > 0)
            _exit(1);
        read_by_many();
        _exit(0);
    }
    core_run_wait_for(pid);
    end_waiting(&waiting);
}

#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, close_reader)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(open_far, test_far_stores_need_none),
        WITH(open_near, test_one_thread_needs_none),
        WITH(open_near, test_no_more_than_there_is_room_for),
        WITH(open_near, test_who_waits_gets_one_that_is_idle),
        WITH(open_near, test_others_go_beside_those_who_wait),
        WITH(open_near, test_many_read),
        WITH(open_near, test_children_find_all_idle),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
