/* CRC32C (Castagnoli) of data and of concatenations. */
#ifndef S3DLIO_BASE_CRC32C_H
#define S3DLIO_BASE_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The checksum of data appended to something whose checksum is `crc` (0 for nothing yet). */
uint32_t crc32c_update(uint32_t crc, const void *data, size_t length);

/* The same of what is copied from one place to another, in one pass: each byte of `from` is read
 * once, so the result is the checksum of `to` even if somebody changes `from` meanwhile. With
 * `past_cache` large pieces go to memory directly: for a place that was not used lately and is not
 * read soon. */
uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t length, bool past_cache);

/* The checksum of A followed by B, from theirs and the length of B in bytes. */
uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

/* Base64 of the big-endian value, as x-amz-checksum-crc32c carries it: 8 characters and NUL. */
void crc32c_to_base64(uint32_t crc, char ret_text[9]);

#endif
