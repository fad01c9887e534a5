/* CRC32C over ISA-L, which picks the widest instructions of this processor at run time.
 *
 * ISA-L's crc32_iscsi neither inverts its initial value nor its result and takes an int length;
 * both are mended here. Combining is ours: appending n bytes to a message multiplies its
 * polynomial by x^(8n) modulo P, and powers x^(2^k) are precomputed. Pure functions, no state.
 *
 * Copying is ours, too, because ISA-L would have to look at everything a second time. The
 * processor's own instruction takes eight bytes in each cycle but has the sum three cycles later:
 * so three stretches are copied and summed side by side, and their sums combined. */
#include "base/crc32c.h"

#include <isa-l/crc.h>
#include <string.h>

#if defined __x86_64__
#    include <nmmintrin.h>
#endif

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

/* Of copies. A lane is 2^LANE_BITS bytes long; appending one multiplies by x^(2^LANE_POWER). */
#define LANE_BITS   14
#define LANE_POWER  (LANE_BITS + 3)
#define LANE_BYTES  ((size_t)1 << LANE_BITS)
#define LANES_BYTES (3 * LANE_BYTES)
#define LINE_BYTES  ((size_t)64)
#define PIECE_BYTES ((size_t)16 << 10)

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

/* ---- copying --------------------------------------------------------------------------------- */

/* Piece by piece, so that the sum finds in the cache what was copied. */
static uint32_t copy_pieces(uint32_t crc, unsigned char *to, const unsigned char *from,
                            size_t length)
{
    while (length > 0) {
        size_t n = length < PIECE_BYTES ? length : PIECE_BYTES;

        memcpy(to, from, n);
        crc = crc32c_update(crc, to, n);
        to += n;
        from += n;
        length -= n;
    }
    return crc;
}

#if defined __x86_64__
#    define WITH_CRC   __attribute__((target("sse4.2")))
#    define INLINE_CRC __attribute__((target("sse4.2"), always_inline)) static inline

INLINE_CRC uint64_t copy_16(uint64_t crc, unsigned char *to, const unsigned char *from,
                            bool past_cache)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);

    if (past_cache)
        _mm_stream_si128((__m128i *)(void *)to, bytes);
    else
        _mm_store_si128((__m128i *)(void *)to, bytes);
    crc = _mm_crc32_u64(crc, (uint64_t)_mm_cvtsi128_si64(bytes));
    return _mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(bytes, 1));
}

/* Three lanes; crc is neither inverted before nor after. */
INLINE_CRC uint32_t copy_lanes(uint32_t crc, unsigned char *to, const unsigned char *from,
                               bool past_cache)
{
    uint64_t first = crc, second = 0, third = 0;

    for (size_t i = 0; i < LANE_BYTES; i += 16) {
        first = copy_16(first, to + i, from + i, past_cache);
        second = copy_16(second, to + LANE_BYTES + i, from + LANE_BYTES + i, past_cache);
        third = copy_16(third, to + 2 * LANE_BYTES + i, from + 2 * LANE_BYTES + i, past_cache);
    }
    return crc32c_multiply(crc32c_powers[LANE_POWER + 1], (uint32_t)first) ^
           crc32c_multiply(crc32c_powers[LANE_POWER], (uint32_t)second) ^ (uint32_t)third;
}

WITH_CRC static uint32_t copy_cached(uint32_t crc, unsigned char *to, const unsigned char *from)
{
    return copy_lanes(crc, to, from, false);
}

WITH_CRC static uint32_t copy_past_cache(uint32_t crc, unsigned char *to, const unsigned char *from)
{
    return copy_lanes(crc, to, from, true);
}

static bool has_crc(void)
{
    return __builtin_cpu_supports("sse4.2");
}

/* Whole lanes, as many as there are; `to` aligned. Returns how many bytes those were. */
static size_t copy_by_lanes(uint32_t *crc, unsigned char *to, const unsigned char *from,
                            size_t length, bool past_cache)
{
    size_t done = 0;

    *crc = ~*crc;
    for (; length - done >= LANES_BYTES; done += LANES_BYTES)
        *crc = past_cache ? copy_past_cache(*crc, to + done, from + done)
                          : copy_cached(*crc, to + done, from + done);
    *crc = ~*crc;
    _mm_sfence(); /* before another thread hears of it */
    return done;
}
#else
static bool has_crc(void)
{
    return false;
}

static size_t copy_by_lanes(uint32_t *crc, unsigned char *to, const unsigned char *from,
                            size_t length, bool past_cache)
{
    return 0;
}
#endif

uint32_t crc32c_copy(uint32_t crc, void *to, const void *from, size_t length, bool past_cache)
{
    unsigned char *out = to;
    const unsigned char *in = from;
    size_t done = -(uintptr_t)out % LINE_BYTES; /* up to where it is aligned */

    if (length < done + LANES_BYTES || !has_crc())
        return copy_pieces(crc, out, in, length);
    crc = copy_pieces(crc, out, in, done);
    done += copy_by_lanes(&crc, out + done, in + done, length - done, past_cache);
    return copy_pieces(crc, out + done, in + done, length - done);
}

/* ---- text ------------------------------------------------------------------------------------ */

void crc32c_to_base64(uint32_t crc, char ret_text[9])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = (uint64_t)crc << 4; /* 32 bits and 4 of padding: six digits */

    for (int i = 0; i < 6; i++)
        ret_text[i] = digits[(bits >> (30 - 6 * i)) & 63];
    ret_text[6] = ret_text[7] = '=';
    ret_text[8] = '\0';
}
