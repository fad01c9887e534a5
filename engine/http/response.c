/* Parser for the head of an HTTP/1.1 answer and for the framing of its body. Contract: response.h.
 *
 * The head is collected in one growing block until its empty line, then taken apart in place:
 * header names and values point into that block, which lives until the next reset. Every rule that
 * RFC 9112 leaves to taste is decided strictly, because a lenient reader of framing is how answers
 * get mixed up: lines end in CRLF, no folding, "chunked" is the only transfer coding, one length
 * only.
 *
 * No locking: one connection owns it. It does no I/O and knows no requests.
 */
#include "http/response.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HTTP_INTERIM_MAX    8
#define HTTP_CHUNK_LINE_MAX 1024
#define HTTP_BODY_TO_CLOSE  UINT64_MAX

enum chunk_state {
    CHUNK_SIZE,      /* hex digits */
    CHUNK_EXTENSION, /* to the end of the line */
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* first character of a trailer line */
    CHUNK_TRAILER_LINE,
    CHUNK_TRAILER_LF,
    CHUNK_LAST_LF,
};

struct http_parser {
    enum http_parser_state state;
    bool head_only;
    unsigned interim;
    char *text;
    size_t length, capacity;
    struct http_head head;
    uint64_t body_left;
    enum chunk_state chunk;
    uint64_t chunk_left;
    unsigned chunk_digits;
    size_t chunk_line; /* bytes of the present line, or of all trailers */
};

struct http_parser *http_parser_new(void)
{
    return calloc(1, sizeof(struct http_parser));
}

void http_parser_free(struct http_parser *parser)
{
    if (!parser)
        return;
    free(parser->text);
    free(parser);
}

void http_parser_reset(struct http_parser *parser, bool head_only)
{
    parser->state = HTTP_PARSER_HEAD;
    parser->head_only = head_only;
    parser->interim = 0;
    parser->length = 0;
    parser->body_left = 0;
    parser->chunk = CHUNK_SIZE;
    parser->chunk_left = 0;
    parser->chunk_digits = 0;
    parser->chunk_line = 0;
}

enum http_parser_state http_parser_state(const struct http_parser *parser)
{
    return parser->state;
}

const struct http_head *http_parser_get_head(const struct http_parser *parser)
{
    return &parser->head;
}

const char *http_head_get(const struct http_head *head, const char *name)
{
    for (unsigned i = 0; i < head->header_count; i++)
        if (strcmp(head->headers[i].name, name) == 0)
            return head->headers[i].value;
    return NULL;
}

static int http_bad(struct error *err, const char *what)
{
    return error_set(err, ERROR_PROTOCOL, "broken HTTP answer: %s", what);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* Decimal digits up to the first other character. */
static int http_parse_decimal(const char **text, uint64_t *ret_value)
{
    const char *p = *text;
    uint64_t value = 0;

    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (value > (INT64_MAX - 9) / 10)
            return -EINVAL;
        value = value * 10 + (uint64_t)(*p - '0');
    }
    *text = p;
    *ret_value = value;
    return 0;
}

int http_parse_content_range(const char *value, uint64_t *ret_first, uint64_t *ret_last,
                             int64_t *ret_total)
{
    uint64_t first, last, total = 0;
    bool known;

    if (strncasecmp(value, "bytes ", 6) != 0)
        return -EINVAL;
    value += 6;
    if (http_parse_decimal(&value, &first) < 0 || *value++ != '-' ||
        http_parse_decimal(&value, &last) < 0 || *value++ != '/')
        return -EINVAL;
    known = *value != '*';
    if (!known)
        value++;
    else if (http_parse_decimal(&value, &total) < 0)
        return -EINVAL;
    if (*value || last < first || (known && last >= total))
        return -EINVAL;
    *ret_first = first;
    *ret_last = last;
    *ret_total = known ? (int64_t)total : -1;
    return 0;
}

/* ---- the head -------------------------------------------------------------------------------- */

static bool http_is_token(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c > ' ' && c < 0x7f && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool http_is_text(unsigned char c)
{
    return c == '\t' || (c >= ' ' && c != 0x7f);
}

/* Cuts the line at *text off at its CRLF and moves on behind it. NULL: a control character. */
static char *http_cut_line(char **text)
{
    char *line = *text, *p = line;

    while (http_is_text((unsigned char)*p))
        p++;
    if (p[0] != '\r' || p[1] != '\n')
        return NULL;
    *p = '\0';
    *text = p + 2;
    return line;
}

static int http_parse_status(struct http_parser *parser, const char *line, struct error *err)
{
    struct http_head *head = &parser->head;
    uint64_t status;
    const char *p;

    if (strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ')
        return http_bad(err, "not HTTP/1.1");
    p = line + 9;
    if (http_parse_decimal(&p, &status) < 0 || p != line + 12 || status < 100 || status > 599 ||
        (*p && *p != ' '))
        return http_bad(err, "no status");
    head->status = (int)status;
    head->keep_alive = line[7] == '1';
    return 0;
}

static int http_parse_header(struct http_parser *parser, char *line, struct error *err)
{
    struct http_head *head = &parser->head;
    char *p = line, *value, *end;

    if (head->header_count == HTTP_HEADERS_MAX)
        return http_bad(err, "too many headers");
    for (; http_is_token((unsigned char)*p); p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p + ('a' - 'A'));
    if (p == line || *p != ':')
        return http_bad(err, "a header has no name");
    *p = '\0';
    value = p + 1;
    value += strspn(value, " \t");
    end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    head->headers[head->header_count++] = (struct http_header){.name = line, .value = value};
    return 0;
}

/* Does the comma-separated list hold the word, in any case? */
static bool http_list_has(const char *list, const char *word)
{
    size_t length = strlen(word);

    while (*list) {
        size_t item;

        list += strspn(list, " \t,");
        item = strcspn(list, " \t,");
        if (item == length && strncasecmp(list, word, length) == 0)
            return true;
        list += item;
    }
    return false;
}

static int http_take_header(struct http_parser *parser, const struct http_header *header,
                            struct error *err)
{
    struct http_head *head = &parser->head;
    const char *value = header->value;
    uint64_t length;

    if (strcmp(header->name, "content-length") == 0) {
        if (http_parse_decimal(&value, &length) < 0 || *value)
            return http_bad(err, "Content-Length is no number");
        if (head->content_length >= 0 && (uint64_t)head->content_length != length)
            return http_bad(err, "two Content-Lengths");
        head->content_length = (int64_t)length;
    } else if (strcmp(header->name, "transfer-encoding") == 0) {
        if (strcasecmp(value, "chunked") != 0 || head->chunked)
            return http_bad(err, "Transfer-Encoding is not chunked");
        head->chunked = true;
    } else if (strcmp(header->name, "connection") == 0) {
        if (http_list_has(value, "close"))
            head->keep_alive = false;
        else if (http_list_has(value, "keep-alive"))
            head->keep_alive = true;
    }
    return 0;
}

/* How the body ends (RFC 9112 section 6.3). */
static int http_frame_body(struct http_parser *parser, struct error *err)
{
    struct http_head *head = &parser->head;

    if (head->chunked && head->content_length >= 0)
        return http_bad(err, "Content-Length beside chunked");
    if (parser->head_only || head->status == 204 || head->status == 304)
        parser->body_left = 0;
    else if (head->chunked)
        parser->body_left = 1; /* until the last chunk */
    else if (head->content_length >= 0)
        parser->body_left = (uint64_t)head->content_length;
    else
        parser->body_left = HTTP_BODY_TO_CLOSE;
    if (parser->body_left == HTTP_BODY_TO_CLOSE)
        head->keep_alive = false;
    parser->state = parser->body_left ? HTTP_PARSER_BODY : HTTP_PARSER_DONE;
    return 0;
}

static int http_parse_text(struct http_parser *parser, struct error *err)
{
    struct http_head *head = &parser->head;
    char *text = parser->text, *line = http_cut_line(&text);
    int rc;

    head->header_count = 0;
    head->chunked = false;
    head->content_length = -1;
    if (!line)
        return http_bad(err, "control character in the status line");
    rc = http_parse_status(parser, line, err);
    while (rc == 0) {
        line = http_cut_line(&text);
        if (!line)
            return http_bad(err, "control character in a header");
        if (!*line)
            break;
        rc = http_parse_header(parser, line, err);
        if (rc == 0)
            rc = http_take_header(parser, &head->headers[head->header_count - 1], err);
    }
    if (rc < 0)
        return rc;
    if (text != parser->text + parser->length)
        return http_bad(err, "empty line inside the head");
    if (head->status >= 200)
        return http_frame_body(parser, err);
    if (head->status == 101 || ++parser->interim > HTTP_INTERIM_MAX)
        return http_bad(err, "an interim answer that was not asked for");
    parser->length = 0;
    return 0;
}

static int http_keep(struct http_parser *parser, const char *data, size_t length, struct error *err)
{
    size_t need = parser->length + length + 1;

    if (need > HTTP_HEAD_MAX + 1)
        return http_bad(err, "head above 64 KiB");
    if (need > parser->capacity) {
        size_t capacity = parser->capacity ? parser->capacity : 1024;
        char *text;

        while (capacity < need)
            capacity *= 2;
        text = realloc(parser->text, capacity);
        if (!text)
            return error_set(err, ERROR_NO_MEMORY, "no memory for the head of an answer");
        parser->text = text;
        parser->capacity = capacity;
    }
    memcpy(parser->text + parser->length, data, length);
    parser->length += length;
    parser->text[parser->length] = '\0';
    return 0;
}

int http_parser_head(struct http_parser *parser, const char *data, size_t length, size_t *ret_used,
                     struct error *err)
{
    size_t used = 0;

    while (used < length && parser->state == HTTP_PARSER_HEAD) {
        const char *end = memchr(data + used, '\n', length - used);
        size_t take = end ? (size_t)(end + 1 - (data + used)) : length - used;
        int rc = http_keep(parser, data + used, take, err);

        used += take;
        if (rc == 0 && end && parser->length >= 4 &&
            memcmp(parser->text + parser->length - 4, "\r\n\r\n", 4) == 0)
            rc = http_parse_text(parser, err);
        else if (rc == 0 && end && (parser->length < 9 || strncmp(parser->text, "HTTP/", 5) != 0))
            rc = http_bad(err, "not HTTP");
        if (rc < 0)
            return rc;
    }
    *ret_used = used;
    return 0;
}

/* ---- the body -------------------------------------------------------------------------------- */

uint64_t http_parser_body_left(const struct http_parser *parser)
{
    return parser->state == HTTP_PARSER_BODY ? parser->body_left : 0;
}

void http_parser_took(struct http_parser *parser, size_t length)
{
    if (parser->body_left != HTTP_BODY_TO_CLOSE)
        parser->body_left -= length;
    if (parser->body_left == 0)
        parser->state = HTTP_PARSER_DONE;
}

static int http_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A character of the line with a chunk's size. */
static int http_chunk_size(struct http_parser *parser, char c, struct error *err)
{
    int digit = http_hex_digit(c);

    if (parser->chunk == CHUNK_SIZE && digit >= 0) {
        if (++parser->chunk_digits > 15)
            return http_bad(err, "chunk size");
        parser->chunk_left = parser->chunk_left << 4 | (unsigned)digit;
        return 0;
    }
    if (parser->chunk_digits == 0)
        return http_bad(err, "chunk without size");
    if (c == '\r')
        parser->chunk = CHUNK_SIZE_LF;
    else if (parser->chunk == CHUNK_SIZE && c != ';' && c != ' ' && c != '\t')
        return http_bad(err, "chunk size");
    else if (!http_is_text((unsigned char)c) || ++parser->chunk_line > HTTP_CHUNK_LINE_MAX)
        return http_bad(err, "chunk extension");
    else
        parser->chunk = CHUNK_EXTENSION;
    return 0;
}

static int http_chunk_trailer(struct http_parser *parser, char c, struct error *err)
{
    if (++parser->chunk_line > HTTP_HEAD_MAX)
        return http_bad(err, "trailers above 64 KiB");
    if (c == '\r')
        parser->chunk = parser->chunk == CHUNK_TRAILER ? CHUNK_LAST_LF : CHUNK_TRAILER_LF;
    else if (!http_is_text((unsigned char)c))
        return http_bad(err, "control character in a trailer");
    else
        parser->chunk = CHUNK_TRAILER_LINE;
    return 0;
}

/* One character of framing. */
static int http_chunk_step(struct http_parser *parser, char c, struct error *err)
{
    switch (parser->chunk) {
    case CHUNK_SIZE:
    case CHUNK_EXTENSION: return http_chunk_size(parser, c, err);
    case CHUNK_TRAILER:
    case CHUNK_TRAILER_LINE: return http_chunk_trailer(parser, c, err);
    case CHUNK_DATA_CR:
        parser->chunk = CHUNK_DATA_LF;
        return c == '\r' ? 0 : http_bad(err, "chunk is not followed by CRLF");
    case CHUNK_SIZE_LF:
        parser->chunk_line = 0;
        parser->chunk_digits = 0;
        parser->chunk = parser->chunk_left ? CHUNK_DATA : CHUNK_TRAILER;
        break;
    case CHUNK_DATA_LF: parser->chunk = CHUNK_SIZE; break;
    case CHUNK_TRAILER_LF: parser->chunk = CHUNK_TRAILER; break;
    case CHUNK_LAST_LF:
        parser->body_left = 0;
        parser->state = HTTP_PARSER_DONE;
        break;
    case CHUNK_DATA: break; /* the caller's */
    }
    return c == '\n' ? 0 : http_bad(err, "CR without LF");
}

int http_parser_chunk(struct http_parser *parser, const char *data, size_t length, size_t *ret_used,
                      struct http_run *ret_run, struct error *err)
{
    size_t used = 0;

    *ret_run = (struct http_run){0};
    while (used < length && parser->state == HTTP_PARSER_BODY) {
        if (parser->chunk == CHUNK_DATA) {
            size_t run = length - used;

            if (run > parser->chunk_left)
                run = (size_t)parser->chunk_left;
            *ret_run = (struct http_run){.data = data + used, .length = run};
            parser->chunk_left -= run;
            if (parser->chunk_left == 0)
                parser->chunk = CHUNK_DATA_CR;
            used += run;
            break;
        }
        int rc = http_chunk_step(parser, data[used++], err);

        if (rc < 0)
            return rc;
    }
    *ret_used = used;
    return 0;
}

int http_parser_eof(struct http_parser *parser, struct error *err)
{
    if (parser->state == HTTP_PARSER_DONE)
        return 0;
    if (parser->state == HTTP_PARSER_BODY && !parser->head.chunked &&
        parser->body_left == HTTP_BODY_TO_CLOSE) {
        parser->body_left = 0;
        parser->state = HTTP_PARSER_DONE;
        return 0;
    }
    if (parser->state == HTTP_PARSER_HEAD)
        return error_set(err, ERROR_NETWORK, "connection closed %s",
                         parser->length ? "inside the head of the answer" : "before the answer");
    if (parser->head.chunked)
        return error_set(err, ERROR_NETWORK, "connection closed before the last chunk");
    return error_set(err, ERROR_NETWORK, "connection closed with %llu bytes of the body missing",
                     (unsigned long long)parser->body_left);
}
