/*
 * Text forms on the wire: percent-encoding, hex, base64, dates. Pure functions, no state.
 */
#ifndef TESTS_SERVER_ENCODE_H
#define TESTS_SERVER_ENCODE_H

#include "buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum {
    ENCODE_DATE_BYTES = 32, /* holds every date below, NUL included */
};

/* Percent-encodes all but A-Z a-z 0-9 - . _ ~, and '/' when keep_slash. */
void encode_uri(struct buf *buf, const char *text, bool keep_slash);
/* As encode_uri with '/' kept and a blank as '+': what encoding-type=url asks for in listings. */
void encode_listing(struct buf *buf, const char *text);
/* Decodes %XX; malloc'd, NULL for a malformed escape, an encoded NUL or no memory. */
char *encode_uri_decode(const char *text, size_t length, bool plus_is_blank);

void encode_hex(char *out, const void *data, size_t length); /* writes 2 * length + 1 bytes */
/* out must hold 4 * ((length + 2) / 3) + 1 bytes. */
void encode_base64(char *out, const void *data, size_t length);
/* Number of bytes decoded, or -1 for anything that is not strict base64 or is longer than max. */
int encode_base64_decode(void *out, size_t max, const char *text);

void encode_http_date(time_t when, char out[ENCODE_DATE_BYTES]);
void encode_iso_date(time_t when, char out[ENCODE_DATE_BYTES]);
/* Both answer false when the text is not such a date. The first is YYYYMMDDTHHMMSSZ. */
bool encode_parse_amz_date(const char *text, time_t *ret_when);
bool encode_parse_http_date(const char *text, time_t *ret_when);

/* A whole decimal number, digits only. */
bool encode_parse_u64(const char *text, uint64_t *ret_value);

#endif
