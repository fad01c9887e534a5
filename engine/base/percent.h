/* Percent-encoding (RFC 3986 section 2.1) as SigV4 and XML listings use it. */
#ifndef S3DLIO_BASE_PERCENT_H
#define S3DLIO_BASE_PERCENT_H

#include <stdbool.h>
#include <stddef.h>

struct buffer;

/* Appends `text` with every byte outside A-Z a-z 0-9 - . _ ~ encoded as %XX (upper-case hex);
 * '/' is kept when keep_slash. 0 or a buffer error. */
int percent_encode(struct buffer *out, const char *text, size_t length, bool keep_slash);

/* Decodes in place, '+' becomes a space when plus_is_space; returns the new length or -EINVAL for
 * a broken escape. The result is NUL-terminated and may hold NULs. */
long percent_decode(char *text, size_t length, bool plus_is_space);

#endif
