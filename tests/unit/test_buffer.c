/* engine/base/buffer.h: growing, the cap, and staying whole when an append fails. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

/* Sanitizers stop the program at an allocation that cannot be; here it is to fail. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void an_empty_buffer_is_an_empty_string(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 10);
    assert_null(buffer.data);
    assert_string_equal(buffer_str(&buffer), "");
    assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
    assert_string_equal(buffer_str(&buffer), "");
    buffer_fini(&buffer);
    buffer_fini(&buffer);
}

static void appended_bytes_are_kept_and_ended(void **state)
{
    struct buffer buffer;
    char expected[5001];

    (void)state;
    buffer_init(&buffer, 5000);
    for (int i = 0; i < 5000; i++) {
        expected[i] = (char)('a' + i % 26);
        assert_int_equal(buffer_append(&buffer, &expected[i], 1), 0);
        assert_int_equal(buffer.data[buffer.length], '\0');
    }
    expected[5000] = '\0';
    assert_string_equal(buffer_str(&buffer), expected);
    assert_true(buffer.capacity <= 5001);
    buffer_fini(&buffer);
}

static void nothing_grows_past_the_limit(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, 4);
    assert_int_equal(buffer_append_str(&buffer, "abcde"), -EMSGSIZE);
    assert_int_equal(buffer_append_str(&buffer, "abc"), 0);
    assert_int_equal(buffer_append_str(&buffer, "de"), -EMSGSIZE);
    assert_int_equal(buffer_append_format(&buffer, "%d", 10), -EMSGSIZE);
    assert_string_equal(buffer_str(&buffer), "abc");
    assert_int_equal(buffer_append_format(&buffer, "%d", 7), 0);
    assert_string_equal(buffer_str(&buffer), "abc7");
    assert_int_equal(buffer_append(&buffer, "x", SIZE_MAX), -EMSGSIZE);
    assert_int_equal(buffer.length, 4);
    buffer_fini(&buffer);
}

static void a_failed_allocation_leaves_it_as_it_was(void **state)
{
    struct buffer buffer;

    (void)state;
    buffer_init(&buffer, SIZE_MAX);
    assert_int_equal(buffer_append_str(&buffer, "kept"), 0);
    assert_int_equal(buffer_append(&buffer, "", SIZE_MAX / 2), -ENOMEM);
    assert_string_equal(buffer_str(&buffer), "kept");
    buffer_fini(&buffer);
}

static void clearing_keeps_the_memory(void **state)
{
    struct buffer buffer;
    char *data;

    (void)state;
    buffer_init(&buffer, 100);
    buffer_clear(&buffer);
    assert_int_equal(buffer_append_str(&buffer, "abc"), 0);
    data = buffer.data;
    buffer_clear(&buffer);
    assert_string_equal(buffer_str(&buffer), "");
    assert_int_equal(buffer_append_str(&buffer, "x"), 0);
    assert_ptr_equal(buffer.data, data);
    buffer_fini(&buffer);
    assert_int_equal(buffer_append_str(&buffer, "again"), 0);
    assert_string_equal(buffer_str(&buffer), "again");
    buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_is_an_empty_string),
        cmocka_unit_test(appended_bytes_are_kept_and_ended),
        cmocka_unit_test(nothing_grows_past_the_limit),
        cmocka_unit_test(a_failed_allocation_leaves_it_as_it_was),
        cmocka_unit_test(clearing_keeps_the_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
