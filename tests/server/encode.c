/*
 * Percent-encoding, hex, base64 and dates; see encode.h. Everything is strict: a test server that
 * forgives malformed input hides the client's mistakes.
 */
#include "encode.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static const char HEX_LOWER[] = "0123456789abcdef";
static const char HEX_UPPER[] = "0123456789ABCDEF";

static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void encode_byte(struct buf *buf, unsigned char c)
{
    char escape[3] = {'%', HEX_UPPER[c >> 4], HEX_UPPER[c & 15]};
    buf_append(buf, escape, 3);
}

void encode_uri(struct buf *buf, const char *text, bool keep_slash)
{
    const char *run = text;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (is_unreserved(c) || (keep_slash && c == '/'))
            continue;
        buf_append(buf, run, (size_t)(text - run));
        encode_byte(buf, c);
        run = text + 1;
    }
    buf_append(buf, run, (size_t)(text - run));
}

void encode_listing(struct buf *buf, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (is_unreserved(c) || c == '/')
            buf_append(buf, text, 1);
        else if (c == ' ')
            buf_append(buf, "+", 1);
        else
            encode_byte(buf, c);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *encode_uri_decode(const char *text, size_t length, bool plus_is_blank)
{
    char *out = malloc(length + 1);
    if (!out)
        return NULL;
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '%') {
            int high = i + 1 < length ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0 || (high | low) == 0) {
                free(out);
                return NULL;
            }
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = plus_is_blank && text[i] == '+' ? ' ' : text[i];
        }
    }
    out[n] = '\0';
    return out;
}

void encode_hex(char *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = HEX_LOWER[bytes[i] >> 4];
        out[2 * i + 1] = HEX_LOWER[bytes[i] & 15];
    }
    out[2 * length] = '\0';
}

void encode_base64(char *out, const void *data, size_t length)
{
    EVP_EncodeBlock((unsigned char *)out, data, (int)length);
}

int encode_base64_decode(void *out, size_t max, const char *text)
{
    size_t length = strlen(text);
    unsigned char decoded[192];
    if (length == 0 || length % 4 || length / 4 * 3 > sizeof(decoded))
        return -1;
    int n = EVP_DecodeBlock(decoded, (const unsigned char *)text, (int)length);
    for (size_t i = length; n > 0 && i > 0 && text[i - 1] == '='; i--)
        n--;
    if (n < 0 || (size_t)n > max)
        return -1;
    memcpy(out, decoded, (size_t)n);
    return n;
}

void encode_http_date(time_t when, char out[ENCODE_DATE_BYTES])
{
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(out, ENCODE_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

void encode_iso_date(time_t when, char out[ENCODE_DATE_BYTES])
{
    struct tm tm;
    gmtime_r(&when, &tm);
    strftime(out, ENCODE_DATE_BYTES, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}

static bool parse_date(const char *text, const char *format, time_t *ret_when)
{
    struct tm tm = {0};
    const char *end = strptime(text, format, &tm);
    if (!end || *end)
        return false;
    *ret_when = timegm(&tm);
    return true;
}

bool encode_parse_amz_date(const char *text, time_t *ret_when)
{
    return strlen(text) == 16 && parse_date(text, "%Y%m%dT%H%M%SZ", ret_when);
}

bool encode_parse_http_date(const char *text, time_t *ret_when)
{
    return parse_date(text, "%a, %d %b %Y %H:%M:%S GMT", ret_when);
}

bool encode_parse_u64(const char *text, uint64_t *ret_value)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || *end)
        return false;
    *ret_value = value;
    return true;
}
