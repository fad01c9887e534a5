/* core/lazy through the public functions: what is fetched for which touch, and what becomes of maps that
 * many threads touch while others change them. Where userfaultfd is not to be had there is nothing
 * to test. */
#include "core_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SIZE    ((size_t)12 * MIB)
#define BLOCK   ((size_t)64 << 10)
#define THREADS 8
#define URI     "fault://lazy/object"

static bool available;

static int set_up(void **state)
{
    core_run_make_bucket("lazy");
    core_run_put(URI, SIZE);
    return 0;
}

/* NULL: there is no userfaultfd here. */
static unsigned char *map(int flags)
{
    struct s3dlio_reader *reader;
    void *memory = NULL;
    int r;

    assert_int_equal(s3dlio_reader_open(URI, NULL, &reader, NULL), 0);
    r = s3dlio_lazy_map(reader, NULL, SIZE, PROT_READ, flags, 0, &memory);
    s3dlio_reader_close(reader);
    if (r == -EOPNOTSUPP && !available)
        return NULL;
    assert_int_equal(r, 0);
    available = true;
    return memory;
}

static void unmap(void *memory, size_t length)
{
    assert_true(s3dlio_lazy_begin(memory, length));
    assert_int_equal(munmap(memory, length), 0);
    s3dlio_lazy_end(memory, length, true);
}

static bool matches(const unsigned char *memory, size_t at)
{
    return memory[at] == core_run_byte(at);
}

#define MAP_OR_SKIP(memory)                                                                        \
    do {                                                                                           \
        if (!(memory)) {                                                                           \
            printf("skip: no userfaultfd here\n");                                                 \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static void test_a_touch_is_one_request(void **state)
{
    unsigned char *memory = map(MAP_SHARED);
    unsigned before;

    MAP_OR_SKIP(memory);
    before = core_run_count(STORE_GET);
    assert_true(matches(memory, 5 * MIB + 100));
    assert_int_equal(core_run_count(STORE_GET), before + 1);
    assert_true(matches(memory, 5 * MIB + BLOCK - 1)); /* came with it */
    assert_int_equal(core_run_count(STORE_GET), before + 1);
    assert_true(matches(memory, 7 * MIB));
    assert_int_equal(core_run_count(STORE_GET), before + 2);
    assert_true(s3dlio_lazy_is_read_only(memory, SIZE));
    unmap(memory, SIZE);
    assert_false(s3dlio_lazy_has(memory, SIZE));
}

static void test_filled_beforehand(void **state)
{
    unsigned char *memory = map(MAP_PRIVATE);
    unsigned before;

    MAP_OR_SKIP(memory);
    assert_int_equal(s3dlio_lazy_fill(memory + MIB, 4 * MIB), 0);
    before = core_run_count(STORE_GET);
    for (size_t at = MIB; at < 5 * MIB; at += 1000)
        assert_true(matches(memory, at));
    assert_int_equal(core_run_count(STORE_GET), before);
    assert_int_equal(s3dlio_lazy_fill(memory + MIB, 4 * MIB), 0);
    assert_int_equal(core_run_count(STORE_GET), before);
    assert_false(s3dlio_lazy_is_read_only(memory, SIZE));
    unmap(memory, SIZE);
}

static void test_given_back(void **state)
{
    unsigned char *memory = map(MAP_PRIVATE);
    unsigned before;

    MAP_OR_SKIP(memory);
    assert_true(matches(memory, 100));
    s3dlio_lazy_hold(true);
    assert_int_equal(s3dlio_lazy_advise(memory, SIZE, MADV_DONTNEED), 0);
    before = core_run_count(STORE_GET);
    assert_true(matches(memory, 101)); /* somebody uses it */
    assert_int_equal(core_run_count(STORE_GET), before);
    s3dlio_lazy_hold(false);
    assert_int_equal(s3dlio_lazy_advise(memory, SIZE, MADV_DONTNEED), 0);
    assert_true(matches(memory, 100));
    assert_int_equal(core_run_count(STORE_GET), before + 1);
    unmap(memory, SIZE);
}

struct toucher {
    pthread_t thread;
    unsigned char *memory;
    unsigned seed;
    unsigned wrong;
};

static void *touch(void *arg)
{
    struct toucher *self = arg;

    for (unsigned i = 0; i < 200; i++)
        self->wrong += !matches(self->memory, (size_t)rand_r(&self->seed) % SIZE);
    return NULL;
}

/* While threads touch one map, its pages are given back and others are made, moved and taken away. */
static void test_threads(void **state)
{
    struct toucher touchers[THREADS];
    unsigned char *memory = map(MAP_PRIVATE), *other;
    void *moved;

    MAP_OR_SKIP(memory);
    for (unsigned i = 0; i < THREADS; i++) {
        touchers[i] = (struct toucher){.memory = memory, .seed = i};
        assert_int_equal(pthread_create(&touchers[i].thread, NULL, touch, &touchers[i]), 0);
    }
    for (unsigned i = 0; i < 20; i++) {
        other = map(MAP_SHARED);
        assert_true(matches(other, MIB * (i % 12)));
        assert_int_equal(s3dlio_lazy_remap(other, SIZE, SIZE / 2, MREMAP_MAYMOVE, NULL, &moved), 0);
        assert_int_equal(s3dlio_lazy_advise(memory, SIZE, MADV_DONTNEED), 0);
        assert_true(matches(moved, SIZE / 2 - 1));
        unmap(moved, SIZE / 2);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(touchers[i].thread, NULL);
        assert_int_equal(touchers[i].wrong, 0);
    }
    unmap(memory, SIZE);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_touch_is_one_request),
        cmocka_unit_test(test_filled_beforehand),
        cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_threads),
    };

    setenv("S3DLIO_BLOCK_SIZE", "64K", 1);
    return cmocka_run_group_tests(tests, set_up, NULL);
}
