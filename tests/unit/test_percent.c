/* engine/base/percent.h and random.h: encodings of keys, and numbers that do not repeat. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/percent.h"
#include "base/random.h"

static void assert_encoded(const char *text, size_t length, bool keep_slash, const char *expected)
{
    struct buffer out;

    buffer_init(&out, 4096);
    assert_int_equal(percent_encode(&out, text, length, keep_slash), 0);
    assert_string_equal(buffer_str(&out), expected);
    buffer_fini(&out);
}

static void encoding_keeps_the_unreserved(void **state)
{
    (void)state;
    assert_encoded("AZaz09-._~", 10, false, "AZaz09-._~");
    assert_encoded("a/b c", 5, true, "a/b%20c");
    assert_encoded("a/b", 3, false, "a%2Fb");
    assert_encoded("=&?#+%*'()!@:,;$[]", 18, true,
                   "%3D%26%3F%23%2B%25%2A%27%28%29%21%40%3A%2C%3B%24%5B%5D");
    assert_encoded("\xc3\xa9\xff", 3, true, "%C3%A9%FF");
    assert_encoded("a\0b\n", 4, true, "a%00b%0A");
    assert_encoded("", 0, true, "");
}

static void encoding_stops_at_the_limit(void **state)
{
    struct buffer out;

    (void)state;
    buffer_init(&out, 4);
    assert_int_equal(percent_encode(&out, "  ", 2, true), -EMSGSIZE);
    buffer_fini(&out);
}

static void assert_decoded(const char *text, bool plus, const char *expected, long length)
{
    char copy[64];

    strcpy(copy, text);
    assert_int_equal(percent_decode(copy, strlen(copy), plus), length);
    assert_memory_equal(copy, expected, (size_t)length + 1);
}

static void decoding(void **state)
{
    (void)state;
    assert_decoded("a%2Fb%2f+", false, "a/b/+", 5);
    assert_decoded("a+b%2B", true, "a b+", 4);
    assert_decoded("%00x", false, "\0x", 2);
    assert_decoded("%C3%A9", false, "\xc3\xa9", 2);
    assert_decoded("", false, "", 0);
    assert_decoded("%41", false, "A", 1);
}

static void broken_escapes_are_refused(void **state)
{
    static const char *const rows[] = {"%", "%4", "a%", "%zz", "%4g", "%%41", "%-1", "% 1"};
    char copy[16];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        strcpy(copy, rows[i]);
        assert_int_equal(percent_decode(copy, strlen(copy), false), -EINVAL);
    }
}

static void every_byte_comes_back(void **state)
{
    char all[256];
    struct buffer out;

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    buffer_init(&out, 4096);
    assert_int_equal(percent_encode(&out, all, sizeof all, false), 0);
    assert_int_equal(percent_decode(out.data, out.length, true), sizeof all);
    assert_memory_equal(out.data, all, sizeof all);
    buffer_fini(&out);
}

/* ---- randomness ------------------------------------------------------------------------------ */

static void numbers_stay_below_their_bound_and_reach_it(void **state)
{
    unsigned seen = 0;

    (void)state;
    assert_int_equal(random_below(0), 0);
    assert_int_equal(random_below(1), 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t n = random_below(5);
        assert_true(n < 5);
        seen |= 1u << n;
    }
    assert_int_equal(seen, 31);
}

static void hex_has_its_length_and_differs(void **state)
{
    char a[41], b[41];

    (void)state;
    memset(a, 'x', sizeof a);
    random_hex(a, 40);
    random_hex(b, 40);
    assert_int_equal(strlen(a), 40);
    assert_int_equal(strspn(a, "0123456789abcdef"), 40);
    assert_string_not_equal(a, b);
    random_hex(a, 3);
    assert_int_equal(strlen(a), 3);
}

static void a_fork_child_goes_its_own_way(void **state)
{
    uint64_t mine, childs;
    int fds[2], status;
    pid_t child;

    (void)state;
    random_u64();
    assert_int_equal(pipe(fds), 0);
    child = fork();
    if (child == 0) {
        childs = random_u64();
        _exit(write(fds[1], &childs, sizeof childs) != (ssize_t)sizeof childs);
    }
    mine = random_u64();
    assert_int_equal(read(fds[0], &childs, sizeof childs), (ssize_t)sizeof childs);
    waitpid(child, &status, 0);
    close(fds[0]);
    close(fds[1]);
    assert_true(mine != childs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_keeps_the_unreserved),
        cmocka_unit_test(encoding_stops_at_the_limit),
        cmocka_unit_test(decoding),
        cmocka_unit_test(broken_escapes_are_refused),
        cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(numbers_stay_below_their_bound_and_reach_it),
        cmocka_unit_test(hex_has_its_length_and_differs),
        cmocka_unit_test(a_fork_child_goes_its_own_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
