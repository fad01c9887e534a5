/* Random reads with locality, on a store that is far: how many requests for the blocks of 64 KiB
 * that a program touches, by the patterns of databases and of files of chunks. */
#include "core/reader.h"
#include "core_run.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK        (64 * KIB)
#define BLOCKS       256u
#define OBJECT_BYTES (BLOCKS * BLOCK)
#define URI          "fault://blocks/object"

static bool touched[BLOCKS];

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_make_bucket("blocks");
    core_run_put(URI, OBJECT_BYTES);
    return 0;
}

/* Longer than what counts as near. */
static int begin_far(void **state)
{
    core_run_clear(state);
    core_run_faults("op=GetObject delay=4");
    memset(touched, 0, sizeof touched);
    return 0;
}

static void touch(struct s3dlio_reader *reader, uint64_t offset, size_t length)
{
    unsigned char *buffer = malloc(length);
    struct s3dlio_error error;

    core_run_must(s3dlio_reader_pread(reader, buffer, length, offset, NULL, &error), &error);
    core_run_check(buffer, length, offset);
    free(buffer);
    for (uint64_t block = offset / BLOCK; block <= (offset + length - 1) / BLOCK; block++)
        touched[block] = true;
}

static unsigned touched_count(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < BLOCKS; i++)
        count += touched[i];
    return count;
}

static uint64_t received_bytes(void)
{
    return stats_read(&engine_stats(core_run_engine())->counters[STATS_BYTES_RECEIVED]);
}

/* Pages of 4 KiB of a tree: its root, and leaves anywhere, nearly half of all blocks in the end. */
static void test_pages_of_a_tree(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader(URI);
    unsigned seed = 1;

    for (unsigned i = 0; i < 160; i++) {
        touch(reader, 0, 4096);
        touch(reader, (uint64_t)rand_r(&seed) % (OBJECT_BYTES / 4096) * 4096, 4096);
    }
    assert_in_range(touched_count(), 100, 160);
    assert_in_range(core_run_count(STORE_GET), 1, touched_count() * 95 / 100);
    s3dlio_reader_close(reader);
}

/* Nothing is next to anything: no byte is fetched that is not of a block touched. */
static void test_scattered_pages(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader(URI);
    uint64_t before;

    touch(reader, 0, 100);
    before = received_bytes();
    for (unsigned i = 2; i < BLOCKS / 4; i++)
        touch(reader, (i * 29 % 64) * 4 * BLOCK + 5000, 4096);
    assert_true(received_bytes() - before <= touched_count() * BLOCK);
    assert_in_range(core_run_count(STORE_GET), 1, touched_count());
    s3dlio_reader_close(reader);
}

static void test_a_read_across_two_blocks(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader(URI);

    touch(reader, 41 * BLOCK - 50, 100);
    assert_int_equal(core_run_count(STORE_GET), 1 + 1);
    touch(reader, 40 * BLOCK, 4096);
    touch(reader, 42 * BLOCK - 4096, 4096);
    assert_int_equal(core_run_count(STORE_GET), 1 + 1);
    touch(reader, 42 * BLOCK - 50, 100); /* the first of these is there */
    assert_int_equal(core_run_count(STORE_GET), 1 + 2);
    touch(reader, 44 * BLOCK - 50, 100); /* and of these the second is not */
    assert_int_equal(core_run_count(STORE_GET), 1 + 3);
    touch(reader, OBJECT_BYTES - BLOCK - 50, BLOCK - 1);
    assert_int_equal(core_run_count(STORE_GET), 1 + 4);
    s3dlio_reader_close(reader);
}

/* Seven chunks of 32 KiB one behind the other, anywhere: a stream begins, behind what is there. */
static void read_chunks(struct s3dlio_reader *reader, uint64_t at)
{
    for (unsigned i = 0; i < 7; i++)
        touch(reader, at + i * 32 * KIB, 32 * KIB);
}

static void test_runs_of_chunks(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader(URI);

    touch(reader, 0, 512);
    for (uint64_t i = 1; i < 5; i++) {
        touch(reader, i * 50 * BLOCK - 10 * BLOCK + 38000, 2096);
        read_chunks(reader, i * 50 * BLOCK + 3496);
    }
    assert_in_range(core_run_count(STORE_GET), 1, touched_count());
    s3dlio_reader_close(reader);
}

/* A stream that begins in the middle reaches further and further all the same. */
static void test_a_stream_from_the_middle(void **state)
{
    struct s3dlio_reader *reader = core_run_open_reader(URI);

    touch(reader, 200 * BLOCK, 4096);
    touch(reader, 100 * BLOCK, 4096);
    for (uint64_t at = 20 * BLOCK + 777; at < 180 * BLOCK; at += 16 * KIB)
        touch(reader, at, 16 * KIB);
    assert_in_range(core_run_count(STORE_GET), 5, 24);
    s3dlio_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pages_of_a_tree, begin_far),
        cmocka_unit_test_setup(test_scattered_pages, begin_far),
        cmocka_unit_test_setup(test_a_read_across_two_blocks, begin_far),
        cmocka_unit_test_setup(test_runs_of_chunks, begin_far),
        cmocka_unit_test_setup(test_a_stream_from_the_middle, begin_far),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
