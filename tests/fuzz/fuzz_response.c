/* engine/http/response.h: the first byte says how the rest is cut
 * into pieces and whether HEAD was asked; whole and in pieces the outcome must be the same. */
#include <string.h>

#include "http/response.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
    int rc;
    enum http_parser_state state;
    size_t used;
    uint64_t body_sum, body_length;
};

static void outcome_take(struct outcome *outcome, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++)
        outcome->body_sum = outcome->body_sum * 31 + (unsigned char)data[i];
    outcome->body_length += length;
}

/* One call of the parser, as a connection makes it. Returns what was used, or -errno. */
static int step(struct http_parser *parser, const char *data, size_t length, size_t *ret_used,
                struct outcome *outcome)
{
    struct error err = {0};
    struct http_run run;
    uint64_t left;
    int rc;

    if (http_parser_state(parser) == HTTP_PARSER_HEAD)
        return http_parser_head(parser, data, length, ret_used, &err);
    if (http_parser_get_head(parser)->chunked) {
        rc = http_parser_chunk(parser, data, length, ret_used, &run, &err);
        if (rc == 0)
            outcome_take(outcome, run.data, run.length);
        return rc;
    }
    left = http_parser_body_left(parser);
    *ret_used = left < length ? (size_t)left : length;
    outcome_take(outcome, data, *ret_used);
    http_parser_took(parser, *ret_used);
    return 0;
}

static struct outcome run(struct http_parser *parser, const char *data, size_t size, size_t piece,
                          bool head_only)
{
    struct outcome outcome = {0};

    http_parser_reset(parser, head_only);
    while (outcome.used < size && http_parser_state(parser) != HTTP_PARSER_DONE) {
        size_t length = size - outcome.used < piece ? size - outcome.used : piece, used = 0;
        char *copy = malloc(length); /* so that reading past a piece is found */

        memcpy(copy, data + outcome.used, length);
        outcome.rc = step(parser, copy, length, &used, &outcome);
        free(copy);
        if (outcome.rc < 0)
            break;
        FUZZ_REQUIRE(used > 0 && used <= length);
        outcome.used += used;
    }
    outcome.state = http_parser_state(parser);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_parser *parser;
    struct outcome whole, pieces;
    size_t piece;

    if (size < 1)
        return 0;
    parser = http_parser_new();
    if (!parser)
        return 0;
    piece = 1 + (data[0] >> 1);
    whole = run(parser, (const char *)data + 1, size - 1, SIZE_MAX, data[0] & 1);
    pieces = run(parser, (const char *)data + 1, size - 1, piece, data[0] & 1);
    FUZZ_REQUIRE(whole.rc == pieces.rc && whole.state == pieces.state);
    FUZZ_REQUIRE(whole.rc < 0 ||
                 (whole.used == pieces.used && whole.body_sum == pieces.body_sum &&
                  whole.body_length == pieces.body_length));
    http_parser_free(parser);
    return 0;
}
