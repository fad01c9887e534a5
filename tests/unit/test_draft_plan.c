/* core/draft_plan.h: parts within the limits of stores, whatever has changed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/draft_plan.h"
#include "store/store.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define MARKS_MAX (1u << 17)

static const struct draft_plan_limits real = {
    .part_min_bytes = STORE_PART_MIN,
    .part_max_bytes = STORE_PART_MAX,
    .parts_max = STORE_PARTS_MAX,
    .upload_bytes = 16 * MIB,
    .copy_bytes = 512 * MIB,
    .single_max_bytes = 8 * MIB,
    .can_copy = true,
};

static struct extents base_of(uint64_t length)
{
    struct extents extents = {.marks = calloc(MARKS_MAX, sizeof *extents.marks)};

    assert_non_null(extents.marks);
    extents_resize(&extents, length, EXTENT_BASE);
    return extents;
}

static void change(struct extents *extents, uint64_t start, uint64_t length)
{
    assert_true(extents->count + EXTENTS_ROOM <= MARKS_MAX);
    if (start + length > extents->length_bytes)
        extents_resize(extents, start + length, EXTENT_ZERO);
    extents_set(extents, start, start + length, EXTENT_DIRTY);
}

/* What a plan costs: bytes sent, and of those bytes fetched. */
struct cost {
    uint64_t sent, fetched, copied;
    size_t parts;
    bool is_single;
};

static void check_part(const struct draft_plan *plan, size_t i, const struct extents *extents,
                       const struct draft_plan_limits *limits)
{
    const struct draft_part *part = &plan->parts[i];
    bool is_last = i + 1 == plan->count;

    assert_int_equal(part->offset, i ? plan->parts[i - 1].offset + plan->parts[i - 1].length : 0);
    assert_true(part->length > 0);
    if (!plan->is_single) {
        assert_true(part->length <= limits->part_max_bytes);
        assert_true(is_last || part->length >= limits->part_min_bytes);
    }
    if (part->is_copy)
        assert_int_equal(extents_sum(extents, part->offset, part->offset + part->length,
                                     1u << EXTENT_DIRTY | 1u << EXTENT_ZERO),
                         0);
    if (is_last)
        assert_int_equal(part->offset + part->length, extents->length_bytes);
}

static struct cost cost_of(const struct extents *extents, const struct draft_plan_limits *limits)
{
    struct draft_plan plan;
    struct cost cost = {0};

    assert_int_equal(draft_plan_make(&plan, extents, limits), 0);
    assert_true(plan.count <= limits->parts_max);
    assert_true(plan.count > 0 || extents->length_bytes == 0);
    cost.parts = plan.count;
    cost.is_single = plan.is_single;
    for (size_t i = 0; i < plan.count; i++) {
        const struct draft_part *part = &plan.parts[i];
        uint64_t end = part->offset + part->length;

        check_part(&plan, i, extents, limits);
        if (part->is_copy) {
            cost.copied += part->length;
        } else {
            cost.sent += part->length;
            cost.fetched += extents_sum(extents, part->offset, end, 1u << EXTENT_BASE);
        }
    }
    draft_plan_fini(&plan);
    return cost;
}

static void test_append(void **state)
{
    struct extents extents = base_of(GIB);
    struct cost cost;

    change(&extents, GIB, KIB);
    cost = cost_of(&extents, &real);
    assert_int_equal(cost.sent, KIB);
    assert_int_equal(cost.fetched, 0);
    assert_int_equal(cost.parts, 3); /* two copied */
    free(extents.marks);
}

static void test_one_byte(void **state)
{
    static const uint64_t places[] = {
        0, 1, 5 * MIB, 3 * GIB + 12345, 10 * GIB - 6 * MIB, 10 * GIB - 100, 10 * GIB - 1};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct extents extents = base_of(10 * GIB);
        struct cost cost;

        change(&extents, places[i], 1);
        cost = cost_of(&extents, &real);
        assert_true(cost.sent + cost.fetched <= 22 * MIB);
        assert_true(cost.parts <= 24);
        free(extents.marks);
    }
}

static void test_small_is_single(void **state)
{
    struct extents extents = base_of(8 * MIB);

    change(&extents, 100, 1);
    assert_true(cost_of(&extents, &real).is_single);
    free(extents.marks);
    extents = base_of(0);
    assert_true(cost_of(&extents, &real).is_single);
    change(&extents, 0, 16 * MIB); /* as the first part of a writer */
    assert_true(cost_of(&extents, &real).is_single);
    change(&extents, 16 * MIB, 1);
    assert_false(cost_of(&extents, &real).is_single);
    free(extents.marks);
}

/* Attributes only, or a cut: the store has every byte, whatever the size. */
static void test_unchanged_is_copied(void **state)
{
    static const uint64_t lengths[] = {1, 100, 8 * MIB, GIB, 10 * GIB, 5 * TIB};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct extents extents = base_of(lengths[i]);
        struct cost cost = cost_of(&extents, &real);

        assert_false(cost.is_single);
        assert_int_equal(cost.copied, lengths[i]);
        free(extents.marks);
    }
}

static void test_local_small_is_sent(void **state)
{
    struct extents extents = base_of(MIB);
    struct cost cost;

    extents_set(&extents, 0, MIB, EXTENT_CLEAN);
    cost = cost_of(&extents, &real);
    assert_true(cost.is_single);
    assert_int_equal(cost.fetched, 0);
    free(extents.marks);
}

static void test_no_copies(void **state)
{
    struct draft_plan_limits limits = real;
    struct extents extents = base_of(100 * MIB);
    struct cost cost;

    limits.can_copy = false;
    change(&extents, 0, 1);
    cost = cost_of(&extents, &limits);
    assert_int_equal(cost.copied, 0);
    assert_int_equal(cost.sent, 100 * MIB);
    assert_int_equal(cost.parts, 6);
    free(extents.marks);
}

static void test_limits_of_parts(void **state)
{
    struct draft_plan_limits limits = real;
    struct extents extents = base_of(0);
    struct draft_plan plan;

    change(&extents, 0, 40 * TIB);
    assert_true(cost_of(&extents, &real).parts > 1000);
    change(&extents, 0, 49 * TIB); /* more than 10,000 parts of 5 GiB */
    assert_int_equal(draft_plan_make(&plan, &extents, &real), -EFBIG);
    free(extents.marks);

    extents = base_of(11 * GIB); /* copied parts are at most 5 GiB */
    limits.copy_bytes = 100 * GIB;
    assert_int_equal(cost_of(&extents, &limits).parts, 3);
    free(extents.marks);
}

/* A byte in every 12 MiB of 400 GiB would make far more than 10,000 parts. */
static void test_scattered(void **state)
{
    struct extents extents = base_of(400 * GIB);
    struct cost cost;

    for (uint64_t at = 0; at < 400 * GIB; at += 12 * MIB)
        change(&extents, at, 1);
    cost = cost_of(&extents, &real);
    assert_true(cost.parts > 100);
    free(extents.marks);
}

static void test_equal_parts(void **state)
{
    struct draft_plan_limits limits = real;
    struct extents extents = base_of(100 * MIB);
    struct draft_plan plan;

    limits.equal_parts = true;
    change(&extents, 20 * MIB, 1);
    assert_int_equal(draft_plan_make(&plan, &extents, &limits), 0);
    assert_int_equal(plan.count, 7);
    for (size_t i = 0; i < plan.count; i++) {
        assert_int_equal(plan.parts[i].length, i < 6 ? 16 * MIB : 4 * MIB);
        assert_int_equal(plan.parts[i].is_copy, i != 1);
    }
    draft_plan_fini(&plan);
    free(extents.marks);
}

static uint64_t below(uint64_t n)
{
    return (((uint64_t)rand() << 31) ^ (uint64_t)rand()) % n;
}

static void test_random(void **state)
{
    for (unsigned seed = 1; seed <= 3000; seed++) {
        struct draft_plan_limits limits = real;
        struct extents extents;

        srand(seed);
        limits.part_min_bytes = 50;
        limits.part_max_bytes = 110 + below(1000);
        limits.parts_max = 40 + (unsigned)below(200);
        limits.upload_bytes = 50 + below(limits.part_max_bytes - 50);
        limits.copy_bytes = 50 + below(limits.part_max_bytes);
        limits.single_max_bytes = below(300);
        limits.can_copy = seed % 4 != 0;
        limits.equal_parts = seed % 7 == 0;
        extents = base_of(below(limits.parts_max * limits.part_max_bytes / 2));
        for (uint64_t i = below(20); i > 0 && extents.length_bytes; i--)
            change(&extents, below(extents.length_bytes), 1 + below(seed % 3 ? 20 : 400));
        cost_of(&extents, &limits);
        free(extents.marks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append),
        cmocka_unit_test(test_one_byte),
        cmocka_unit_test(test_small_is_single),
        cmocka_unit_test(test_unchanged_is_copied),
        cmocka_unit_test(test_local_small_is_sent),
        cmocka_unit_test(test_no_copies),
        cmocka_unit_test(test_limits_of_parts),
        cmocka_unit_test(test_scattered),
        cmocka_unit_test(test_equal_parts),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
