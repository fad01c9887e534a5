/* core/extents.h: the map against an array with one kind for each byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/extents.h"

#define SPACE 400u

static uint64_t marks[200000 + EXTENTS_ROOM];

static void check_against(const struct extents *extents, const unsigned char *kinds,
                          unsigned length)
{
    unsigned at = 0, count = 0;

    assert_int_equal(extents->length_bytes, length);
    while (at < length) {
        struct extent extent = extents_at(extents, at);
        struct extent again = extents_at(extents, extent.end - 1);

        assert_int_equal(extent.start, at);
        assert_true(extent.end > at && extent.end <= length);
        assert_int_equal(again.start, at);
        for (uint64_t i = at; i < extent.end; i++)
            assert_int_equal(kinds[i], extent.kind);
        if (extent.end < length)
            assert_int_not_equal(kinds[extent.end], extent.kind); /* neighbours are joined */
        at = (unsigned)extent.end;
        count++;
    }
    assert_int_equal(extents->count, count);
}

static void resize(struct extents *extents, unsigned char *kinds, unsigned length,
                   enum extent_kind kind)
{
    unsigned before = (unsigned)extents->length_bytes;

    if (length > before)
        memset(kinds + before, (int)kind, length - before);
    extents_resize(extents, length, kind);
}

static void set(struct extents *extents, unsigned char *kinds, unsigned a, unsigned b,
                enum extent_kind kind)
{
    unsigned start = a < b ? a : b, end = a < b ? b : a;

    if (start < end)
        memset(kinds + start, (int)kind, end - start);
    extents_set(extents, start, end, kind);
}

static void run_seed(unsigned seed)
{
    struct extents extents = {.marks = marks};
    unsigned char kinds[SPACE] = {0};

    srand(seed);
    for (unsigned step = 0; step < 2000; step++) {
        unsigned length = (unsigned)extents.length_bytes;
        enum extent_kind kind = (enum extent_kind)(rand() % 4);

        if (length == 0 || rand() % 20 == 0)
            resize(&extents, kinds, (unsigned)rand() % SPACE, kind);
        else
            set(&extents, kinds, (unsigned)rand() % (length + 1), (unsigned)rand() % (length + 1),
                kind);
        check_against(&extents, kinds, (unsigned)extents.length_bytes);
    }
}

static void test_model(void **state)
{
    for (unsigned seed = 1; seed <= 20; seed++)
        run_seed(seed);
}

static void test_sum(void **state)
{
    struct extents extents = {.marks = marks};

    extents_resize(&extents, 100, EXTENT_BASE);
    extents_set(&extents, 10, 20, EXTENT_DIRTY);
    assert_int_equal(extents_sum(&extents, 0, 100, 1u << EXTENT_DIRTY), 10);
    assert_int_equal(extents_sum(&extents, 15, 100, 1u << EXTENT_DIRTY), 5);
    assert_int_equal(extents_sum(&extents, 0, 100, 1u << EXTENT_BASE), 90);
    assert_int_equal(extents_sum(&extents, 0, 12, 1u << EXTENT_BASE | 1u << EXTENT_DIRTY), 12);
    assert_int_equal(extents_sum(&extents, 50, 50, 15), 0);
}

static void test_rebase(void **state)
{
    struct extents extents = {.marks = marks};

    extents_resize(&extents, 100, EXTENT_BASE);
    extents_set(&extents, 10, 20, EXTENT_ZERO);
    extents_set(&extents, 40, 50, EXTENT_DIRTY);
    extents_set(&extents, 50, 60, EXTENT_CLEAN);
    extents_rebase(&extents);
    assert_int_equal(extents.count, 3);
    assert_int_equal(extents_at(&extents, 15).kind, EXTENT_BASE);
    assert_int_equal(extents_at(&extents, 45).kind, EXTENT_CLEAN);
    assert_int_equal(extents_at(&extents, 45).start, 40);
    assert_int_equal(extents_at(&extents, 45).end, 60);
    assert_int_equal(extents_at(&extents, 60).kind, EXTENT_BASE);
}

/* Small writes all over: the marks follow what is scattered, joined again where it closes. */
static void test_many(void **state)
{
    struct extents extents = {.marks = marks};

    extents_resize(&extents, 4000000, EXTENT_BASE);
    for (unsigned i = 0; i < 100000; i++)
        extents_set(&extents, 40 * i, 40 * i + 20, EXTENT_DIRTY);
    assert_int_equal(extents.count, 200000);
    for (unsigned i = 0; i < 100000; i++)
        extents_set(&extents, 40 * i + 20, 40 * i + 40, EXTENT_DIRTY);
    assert_int_equal(extents.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_rebase),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
