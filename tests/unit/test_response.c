/* engine/http/response.h: answers whole and in pieces, and everything that must be refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/response.h"

static struct http_parser *parser;
static char body[4096];
static size_t body_length;

static int setup(void **state)
{
    (void)state;
    parser = http_parser_new();
    body_length = 0;
    return parser ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    http_parser_free(parser);
    return 0;
}

static void take(const char *run, size_t length)
{
    assert_true(body_length + length <= sizeof body);
    if (length)
        memcpy(body + body_length, run, length);
    body_length += length;
}

/* What a connection does with bytes that have come. Returns how many were used, or -errno. */
static long feed(const char *data, size_t length, struct error *err)
{
    size_t at = 0;

    while (at < length && http_parser_state(parser) != HTTP_PARSER_DONE) {
        struct http_run run;
        size_t used;
        int rc;

        if (http_parser_state(parser) == HTTP_PARSER_HEAD) {
            rc = http_parser_head(parser, data + at, length - at, &used, err);
        } else if (http_parser_get_head(parser)->chunked) {
            rc = http_parser_chunk(parser, data + at, length - at, &used, &run, err);
            if (rc == 0)
                take(run.data, run.length);
        } else {
            uint64_t left = http_parser_body_left(parser);

            used = left < length - at ? (size_t)left : length - at;
            take(data + at, used);
            http_parser_took(parser, used);
            rc = 0;
        }
        if (rc < 0)
            return rc;
        at += used;
    }
    return (long)at;
}

static void feed_all(const char *answer, bool head_only)
{
    struct error err = {0};
    size_t length = strlen(answer);

    http_parser_reset(parser, head_only);
    body_length = 0;
    assert_int_equal(feed(answer, length, &err), length);
    assert_int_equal(http_parser_state(parser), HTTP_PARSER_DONE);
}

/* The same by single bytes. */
static void feed_bytes(const char *answer, bool head_only)
{
    struct error err = {0};

    http_parser_reset(parser, head_only);
    body_length = 0;
    for (const char *p = answer; *p; p++)
        assert_int_equal(feed(p, 1, &err), 1);
    assert_int_equal(http_parser_state(parser), HTTP_PARSER_DONE);
}

static void assert_body(const char *expected)
{
    assert_int_equal(body_length, strlen(expected));
    assert_memory_equal(body, expected, body_length);
}

static void plain_answer(void **state)
{
    static const char answer[] = "HTTP/1.1 206 Partial Content\r\n"
                                 "Content-Length: 5\r\n"
                                 "ETag:\t\"abc\" \r\n"
                                 "X-Amz-Meta-Name: caf\xc3\xa9\r\n"
                                 "Empty:\r\n"
                                 "\r\nhello";
    const struct http_head *head = http_parser_get_head(parser);

    (void)state;
    for (int bytes = 0; bytes < 2; bytes++) {
        (bytes ? feed_bytes : feed_all)(answer, false);
        assert_int_equal(head->status, 206);
        assert_true(head->keep_alive);
        assert_int_equal(head->content_length, 5);
        assert_int_equal(head->header_count, 4);
        assert_string_equal(http_head_get(head, "etag"), "\"abc\"");
        assert_string_equal(http_head_get(head, "x-amz-meta-name"), "caf\xc3\xa9");
        assert_string_equal(http_head_get(head, "empty"), "");
        assert_null(http_head_get(head, "ETag"));
        assert_body("hello");
    }
}

static void chunked_answer(void **state)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
                                 "5\r\nhello\r\n"
                                 "000b;name=\"value\"\r\n, world and\r\n"
                                 "1 \r\n!\r\n"
                                 "0\r\nX-Trailer: a\r\nX-Other: b\r\n\r\n";

    (void)state;
    for (int bytes = 0; bytes < 2; bytes++) {
        (bytes ? feed_bytes : feed_all)(answer, false);
        assert_body("hello, world and!");
        assert_true(http_parser_get_head(parser)->keep_alive);
    }
}

static void answers_without_body(void **state)
{
    (void)state;
    feed_all("HTTP/1.1 204 No Content\r\n\r\n", false);
    feed_all("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false);
    feed_all("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true);
    assert_int_equal(http_parser_get_head(parser)->content_length, 9);
    feed_all("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true);
    feed_all("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false);
    assert_int_equal(http_parser_body_left(parser), 0);
}

static void interim_answers_are_skipped(void **state)
{
    struct error err = {0};

    (void)state;
    feed_bytes("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
               "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
               false);
    assert_body("ok");
    assert_int_equal(http_parser_get_head(parser)->header_count, 1);
    http_parser_reset(parser, false);
    for (int i = 0; i < 8; i++)
        assert_true(feed("HTTP/1.1 100 C\r\n\r\n", 18, &err) > 0);
    assert_true(feed("HTTP/1.1 100 C\r\n\r\n", 18, &err) < 0);
    assert_int_equal(err.class, ERROR_PROTOCOL);
}

static void keep_alive_or_not(void **state)
{
    const struct http_head *head = http_parser_get_head(parser);

    (void)state;
    feed_all("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    assert_false(head->keep_alive);
    feed_all("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n", false);
    assert_true(head->keep_alive);
    feed_all("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: foo, CLOSE\r\n\r\n", false);
    assert_false(head->keep_alive);
    feed_all("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", false);
    assert_true(head->keep_alive);
}

static void body_until_close(void **state)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\n\r\nto the end";
    struct error err = {0};

    (void)state;
    http_parser_reset(parser, false);
    assert_int_equal(feed(answer, sizeof answer - 1, &err), sizeof answer - 1);
    assert_int_equal(http_parser_state(parser), HTTP_PARSER_BODY);
    assert_false(http_parser_get_head(parser)->keep_alive);
    assert_int_equal(http_parser_eof(parser, &err), 0);
    assert_int_equal(http_parser_state(parser), HTTP_PARSER_DONE);
    assert_body("to the end");
}

static void closed_too_early(void **state)
{
    static const char *const answers[] = {
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct error err = {0};

        http_parser_reset(parser, false);
        body_length = 0;
        assert_true(feed(answers[i], strlen(answers[i]), &err) >= 0);
        assert_int_equal(http_parser_eof(parser, &err), -EIO);
        assert_int_equal(err.class, ERROR_NETWORK);
    }
}

static void what_follows_is_left(void **state)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200";
    struct error err = {0};

    (void)state;
    http_parser_reset(parser, false);
    assert_int_equal(feed(answer, sizeof answer - 1, &err), sizeof answer - 1 - 12);
}

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static void refused(void **state)
{
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 600 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 O\x01K\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\n",
        OK "Name: a\r\n b\r\n\r\n", /* folding */
        OK "Name : a\r\n\r\n",
        OK ": a\r\n\r\n",
        OK "Name\r\n\r\n",
        OK "Na me: a\r\n\r\n",
        OK "Name: a\x7f\r\n\r\n",
        OK "Name: a\rb\r\n\r\n",
        OK "Name: a\nOther: b\r\n\r\n",
        OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK "Content-Length: 1, 1\r\n\r\n",
        OK "Content-Length: +1\r\n\r\n",
        OK "Content-Length: -1\r\n\r\n",
        OK "Content-Length: 0x1\r\n\r\n",
        OK "Content-Length:\r\n\r\n",
        OK "Content-Length: 99999999999999999999\r\n\r\n",
        OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
        OK "Transfer-Encoding: identity\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        CHUNKED "\r\n",
        CHUNKED "g\r\n",
        CHUNKED "-1\r\n",
        CHUNKED " 1\r\n",
        CHUNKED ";x\r\n",
        CHUNKED "1\n",
        CHUNKED "1\rx",
        CHUNKED "1x\r\n",
        CHUNKED "10000000000000000\r\n",
        CHUNKED "0000000000000001\r\n",
        CHUNKED "1\r\nab",
        CHUNKED "1\r\na\rb",
        CHUNKED "1;\x01\r\n",
        CHUNKED "0\r\n\x01",
        CHUNKED "0\r\nX: a\rb",
        CHUNKED "0\r\n\rx",
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct error err = {0};
        long rc;

        http_parser_reset(parser, false);
        body_length = 0;
        rc = feed(answers[i], strlen(answers[i]), &err);
        if (rc >= 0 || err.class != ERROR_PROTOCOL)
            fail_msg("taken: %s", answers[i]);
    }
}

static void nul_in_the_head(void **state)
{
    struct error err = {0};

    (void)state;
    http_parser_reset(parser, false);
    assert_true(feed("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", 27, &err) < 0);
    assert_int_equal(err.class, ERROR_PROTOCOL);
}

static void limits(void **state)
{
    char *long_head = malloc(HTTP_HEAD_MAX + 100);
    struct error err = {0};
    size_t at = 0;
    long rc = 0;

    (void)state;
    /* Just below: one long value. */
    at = (size_t)sprintf(long_head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLong: ");
    memset(long_head + at, 'x', HTTP_HEAD_MAX - at - 4);
    memcpy(long_head + HTTP_HEAD_MAX - 4, "\r\n\r\n", 5);
    http_parser_reset(parser, false);
    assert_int_equal(feed(long_head, HTTP_HEAD_MAX, &err), HTTP_HEAD_MAX);
    assert_int_equal(http_parser_state(parser), HTTP_PARSER_DONE);
    /* One byte more, and an endless one in pieces. */
    memset(long_head + HTTP_HEAD_MAX - 4, 'x', 4);
    http_parser_reset(parser, false);
    rc = feed(long_head, HTTP_HEAD_MAX, &err);
    assert_true(rc < 0 || feed("x", 1, &err) < 0);
    assert_int_equal(err.class, ERROR_PROTOCOL);

    http_parser_reset(parser, false);
    assert_true(feed("HTTP/1.1 200 OK\r\n", 17, &err) > 0);
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        assert_true(feed("A: b\r\n", 6, &err) > 0);
    assert_int_equal(feed("\r\n", 2, &err), 2);
    http_parser_reset(parser, false);
    assert_true(feed("HTTP/1.1 200 OK\r\n", 17, &err) > 0);
    for (int i = 0; i <= HTTP_HEADERS_MAX; i++)
        assert_true(feed("A: b\r\n", 6, &err) > 0);
    assert_true(feed("\r\n", 2, &err) < 0);

    http_parser_reset(parser, false);
    assert_true(feed(CHUNKED "0\r\n", strlen(CHUNKED) + 3, &err) > 0);
    for (int i = 0; i < HTTP_HEAD_MAX && rc >= 0; i++)
        rc = feed("A: b\r\n", 6, &err);
    assert_true(rc < 0);
    free(long_head);
}

static void content_range(void **state)
{
    static const char *const bad[] = {
        "",
        "bytes",
        "bytes */200",
        "bytes 0-99",
        "bytes 0-99/",
        "bytes 5-4/10",
        "bytes 0-10/10",
        "bytes 0-1/2x",
        "bytes -1-2/3",
        "octets 0-1/2",
        "bytes 0-99999999999999999999/*",
    };
    uint64_t first = 7, last = 7;
    int64_t total = 7;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(http_parse_content_range(bad[i], &first, &last, &total), -EINVAL);
    assert_int_equal(first + last + (uint64_t)total, 21);
    assert_int_equal(http_parse_content_range("bytes 0-99/200", &first, &last, &total), 0);
    assert_true(first == 0 && last == 99 && total == 200);
    assert_int_equal(http_parse_content_range("Bytes 5-5/*", &first, &last, &total), 0);
    assert_true(first == 5 && last == 5 && total == -1);
}

int main(void)
{
#define WITH_PARSER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_PARSER(plain_answer),
        WITH_PARSER(chunked_answer),
        WITH_PARSER(answers_without_body),
        WITH_PARSER(interim_answers_are_skipped),
        WITH_PARSER(keep_alive_or_not),
        WITH_PARSER(body_until_close),
        WITH_PARSER(closed_too_early),
        WITH_PARSER(what_follows_is_left),
        WITH_PARSER(refused),
        WITH_PARSER(nul_in_the_head),
        WITH_PARSER(limits),
        cmocka_unit_test(content_range),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
