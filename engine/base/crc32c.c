/* CRC32C over ISA-L, which picks the widest instructions of this processor at run time.
 *
 * ISA-L's crc32_iscsi neither inverts its initial value nor its result and takes an int length;
 * both are mended here. Combining is ours: appending n bytes to a message multiplies its
 * polynomial by x^(8n) modulo P, and powers x^(2^k) are precomputed. Pure functions, no state. */
#include "base/crc32c.h"

#include <isa-l/crc.h>

/* The Castagnoli polynomial in reflected form: bit 31 is x^0. */
#define CRC32C_POLYNOMIAL  UINT32_C(0x82f63b78)
#define CRC32C_ONE         (UINT32_C(1) << 31)
#define CRC32C_CHUNK_BYTES ((size_t)1 << 30)

/* x^(2^k) modulo P. x^(2^31) is x again, so the row repeats. */
#define CRC32C_POWERS 31
static const uint32_t crc32c_powers[CRC32C_POWERS] = {
    0x40000000, 0x20000000, 0x08000000, 0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18,
    0x510ac59a, 0xb82be955, 0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62,
    0x28461564, 0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
    0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
};

uint32_t crc32c_update(uint32_t crc, const void *data, size_t length)
{
    /* crc32_iscsi takes a non-const pointer and only reads. */
    unsigned char *p = (unsigned char *)(uintptr_t)data;

    crc = ~crc;
    while (length > 0) {
        size_t n = length < CRC32C_CHUNK_BYTES ? length : CRC32C_CHUNK_BYTES;
        crc = crc32_iscsi(p, (int)n, crc);
        p += n;
        length -= n;
    }
    return ~crc;
}

/* a times b modulo P. */
static uint32_t crc32c_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (; a; a <<= 1) {
        if (a & CRC32C_ONE)
            product ^= b;
        b = (b >> 1) ^ (b & 1 ? CRC32C_POLYNOMIAL : 0);
    }
    return product;
}

uint32_t crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
    uint32_t shift = CRC32C_ONE;

    /* 8 bits a byte: bit k of the length stands for x^(2^(k+3)). */
    for (unsigned k = 3; length_b; k++, length_b >>= 1)
        if (length_b & 1)
            shift = crc32c_multiply(crc32c_powers[k % CRC32C_POWERS], shift);
    return crc32c_multiply(shift, crc_a) ^ crc_b;
}

void crc32c_to_base64(uint32_t crc, char ret_text[9])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = (uint64_t)crc << 4; /* 32 bits and 4 of padding: six digits */

    for (int i = 0; i < 6; i++)
        ret_text[i] = digits[(bits >> (30 - 6 * i)) & 63];
    ret_text[6] = ret_text[7] = '=';
    ret_text[8] = '\0';
}
