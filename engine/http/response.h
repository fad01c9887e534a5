/* The head of an HTTP/1.1 answer and the framing of its body, with hard limits.
 *
 * Incremental: bytes go in as they come. Limits: 64 KiB of head, 256 headers, 1xx answers skipped
 * (at most 8). Obsolete line folding, a second Content-Length that differs, Content-Length beside
 * chunked, and control characters are protocol errors (RFC 9112 sections 2.2, 5, 6.3).
 */
#ifndef S3DLIO_HTTP_RESPONSE_H
#define S3DLIO_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define HTTP_HEAD_MAX    65536
#define HTTP_HEADERS_MAX 256

struct http_header {
    const char *name;  /* lower case, NUL-terminated */
    const char *value; /* trimmed, NUL-terminated */
};

struct http_head {
    int status;
    bool keep_alive;
    bool chunked;
    int64_t content_length; /* -1: not given */
    unsigned header_count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* First value of the header (name in lower case), or NULL. */
const char *http_head_get(const struct http_head *head, const char *name);

/* "bytes 0-99/200" → 0, 99, 200 (total -1 for "*"); 0 or -EINVAL. */
int http_parse_content_range(const char *value, uint64_t *ret_first, uint64_t *ret_last,
                             int64_t *ret_total);

struct http_parser;

enum http_parser_state {
    HTTP_PARSER_HEAD, /* needs more bytes of the head */
    HTTP_PARSER_BODY, /* head complete; body bytes follow */
    HTTP_PARSER_DONE, /* the whole answer was seen */
};

struct http_parser *http_parser_new(void);
void http_parser_free(struct http_parser *parser);
/* For the next answer. head_only: as for HEAD. */
void http_parser_reset(struct http_parser *parser, bool head_only);

/* Eats up to `length` bytes of head. *ret_used tells how many; the rest belongs to the body. */
int http_parser_head(struct http_parser *parser, const char *data, size_t length, size_t *ret_used,
                     struct error *err);
enum http_parser_state http_parser_state(const struct http_parser *parser);
const struct http_head *http_parser_get_head(const struct http_parser *parser);

/* Identity bodies: how many bytes are still to come (UINT64_MAX: until close). The connection may
 * receive that many straight into their destination and report them with http_parser_took. */
uint64_t http_parser_body_left(const struct http_parser *parser);
void http_parser_took(struct http_parser *parser, size_t length);
/* Chunked bodies: decodes in place of the caller: eats framing from `data`, reports one run of body
 * bytes at a time, which lies inside `data` and counts as used (its length may be 0). */
struct http_run {
    const char *data;
    size_t length;
};
int http_parser_chunk(struct http_parser *parser, const char *data, size_t length, size_t *ret_used,
                      struct http_run *ret_run, struct error *err);
/* The peer closed. 0 when that ends the body as it should, else a network error. */
int http_parser_eof(struct http_parser *parser, struct error *err);

#endif
