/* engine/base/crc32c.h: published vectors, pieces against the whole, and the wire form. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "sanitizer.h"

/* RFC 3720, appendix B.4. */
static void published_vectors(void **state)
{
    unsigned char data[32], ones[32];

    (void)state;
    memset(data, 0, sizeof data);
    assert_int_equal(crc32c_update(0, data, 32), 0x8a9136aa);
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(crc32c_update(0, ones, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)i;
    assert_int_equal(crc32c_update(0, data, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)(31 - i);
    assert_int_equal(crc32c_update(0, data, 32), 0x113fdb5c);
    assert_int_equal(crc32c_update(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_update(0, "", 0), 0);
    assert_int_equal(crc32c_update(0x12345678, NULL, 0), 0x12345678);
}

/* One bit at a time, as the definition says. */
static uint32_t crc32c_reference(uint32_t crc, const unsigned char *data, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void fill(unsigned char *data, size_t length)
{
    uint32_t value = 1;

    for (size_t i = 0; i < length; i++) {
        value = value * 1664525 + 1013904223;
        data[i] = (unsigned char)(value >> 24);
    }
}

static void every_length_and_split_agrees_with_the_definition(void **state)
{
    unsigned char data[600];

    (void)state;
    fill(data, sizeof data);
    for (size_t length = 0; length <= sizeof data; length += 7) {
        uint32_t whole = crc32c_reference(0, data, length);

        assert_int_equal(crc32c_update(0, data, length), whole);
        for (size_t split = 0; split <= length; split += 13) {
            uint32_t a = crc32c_update(0, data, split);
            uint32_t b = crc32c_update(0, data + split, length - split);

            assert_int_equal(crc32c_update(a, data + split, length - split), whole);
            assert_int_equal(crc32c_combine(a, b, length - split), whole);
        }
    }
}

/* Appending n zero bytes can be checked without holding them: do it in steps of a block. */
static void combining_reaches_beyond_32_bits(void **state)
{
    static unsigned char zeros[1 << 20];
    uint32_t start = crc32c_update(0, "start", 5);
    uint32_t block = crc32c_update(0, zeros, sizeof zeros);
    uint32_t stepped = start, zeros_5g = 0, zeros_copy;

    (void)state;
    for (int i = 0; i < 5 * 1024; i++) {
        stepped = crc32c_combine(stepped, block, sizeof zeros);
        zeros_5g = crc32c_combine(zeros_5g, block, sizeof zeros);
    }
    assert_int_equal(crc32c_combine(start, zeros_5g, UINT64_C(5) << 30), stepped);
    zeros_copy = crc32c_combine(zeros_5g, zeros_5g, UINT64_C(5) << 30);
    assert_int_equal(crc32c_combine(start, zeros_copy, UINT64_C(10) << 30),
                     crc32c_combine(stepped, zeros_5g, UINT64_C(5) << 30));
}

static void parts_in_any_grouping_give_the_whole(void **state)
{
    size_t length = (8 << 20) + 12345;
    unsigned char *data = malloc(length);
    uint32_t whole, first, second, third;

    (void)state;
    assert_non_null(data);
    fill(data, length);
    whole = crc32c_update(0, data, length);
    first = crc32c_update(0, data, 5 << 20);
    second = crc32c_update(0, data + (5 << 20), 3 << 20);
    third = crc32c_update(0, data + (8 << 20), 12345);
    assert_int_equal(crc32c_combine(crc32c_combine(first, second, 3 << 20), third, 12345), whole);
    assert_int_equal(crc32c_combine(first, crc32c_combine(second, third, 12345), (3 << 20) + 12345),
                     whole);
    free(data);
}

/* Lengths around what is copied side by side (48 KiB), at every place in a line of the cache. */
static void copying_gives_the_bytes_and_their_sum(void **state)
{
    static const size_t lengths[] = {0, 1, 63, 4096, 48 << 10, (48 << 10) + 1, (96 << 10) + 777};
    size_t room = 128 << 10;
    unsigned char *from = malloc(room), *to = malloc(room);

    (void)state;
    assert_non_null(from);
    assert_non_null(to);
    fill(from, room);
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t at = 0; at < 80; at += 9) {
            size_t length = lengths[i], end = at + length;
            uint32_t sum = crc32c_update(0x12345678, from + 5, length);

            for (int past_cache = 0; past_cache < 2; past_cache++) {
                memset(to, 0xee, room);
                assert_int_equal(crc32c_copy(0x12345678, to + at, from + 5, length, past_cache),
                                 sum);
                assert_memory_equal(to + at, from + 5, length);
                assert_true(at == 0 || to[at - 1] == 0xee);
                assert_int_equal(to[end], 0xee);
            }
        }
    }
    free(from);
    free(to);
}

#define MOVING_BYTES ((size_t)256 << 10)

struct moving {
    _Atomic unsigned char bytes[MOVING_BYTES];
    atomic_bool stop;
};

static void *keep_changing(void *arg)
{
    struct moving *moving = arg;

    for (unsigned char value = 0; !atomic_load(&moving->stop); value++)
        for (size_t i = 0; i < MOVING_BYTES; i += 32)
            atomic_store_explicit(&moving->bytes[i], value, memory_order_relaxed);
    return NULL;
}

/* A race, and meant to be one. */
static void the_sum_is_that_of_the_copy_whatever_happens_to_the_source(void **state)
{
    struct moving *moving;
    unsigned char *to;
    pthread_t thread;

    (void)state;
    NOT_UNDER_TSAN();
    moving = calloc(1, sizeof *moving);
    to = malloc(MOVING_BYTES);
    assert_non_null(moving);
    assert_non_null(to);
    assert_int_equal(pthread_create(&thread, NULL, keep_changing, moving), 0);
    for (int i = 0; i < 500; i++) {
        uint32_t sum = crc32c_copy(0, to, (const void *)moving->bytes, MOVING_BYTES, i % 2);

        assert_int_equal(sum, crc32c_update(0, to, MOVING_BYTES));
    }
    atomic_store(&moving->stop, true);
    pthread_join(thread, NULL);
    free(moving);
    free(to);
}

static void the_wire_form_is_base64_of_the_big_endian_value(void **state)
{
    char text[9];

    (void)state;
    crc32c_to_base64(0xe3069283, text);
    assert_string_equal(text, "4waSgw==");
    crc32c_to_base64(0, text);
    assert_string_equal(text, "AAAAAA==");
    crc32c_to_base64(0xffffffff, text);
    assert_string_equal(text, "/////w==");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors),
        cmocka_unit_test(every_length_and_split_agrees_with_the_definition),
        cmocka_unit_test(combining_reaches_beyond_32_bits),
        cmocka_unit_test(parts_in_any_grouping_give_the_whole),
        cmocka_unit_test(copying_gives_the_bytes_and_their_sum),
        cmocka_unit_test(the_sum_is_that_of_the_copy_whatever_happens_to_the_source),
        cmocka_unit_test(the_wire_form_is_base64_of_the_big_endian_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
