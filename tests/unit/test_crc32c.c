/* engine/base/crc32c.h: published vectors, pieces against the whole, and the wire form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"

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
        cmocka_unit_test(the_wire_form_is_base64_of_the_big_endian_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
