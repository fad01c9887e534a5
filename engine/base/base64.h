/* Base64 (RFC 4648 section 4), the plain alphabet with padding. */
#ifndef S3DLIO_BASE_BASE64_H
#define S3DLIO_BASE_BASE64_H

#include <stddef.h>

struct buffer;

/* Appends the text of `length` bytes. 0 or a buffer error. */
int base64_encode(struct buffer *out, const void *data, size_t length);
/* Decodes `length` characters, padding optional, into `out`, which has room for 3/4 of them (may be
 * NULL to count). The number of bytes, or -EINVAL. */
long base64_decode(const char *text, size_t length, unsigned char *out);

#endif
