/*
 * Checksums over ISA-L (CRC32, CRC32C), a table (CRC64NVME) and OpenSSL (hashes); see checksum.h.
 *
 * ISA-L's two functions differ: crc32_gzip_refl complements before and after as zlib does,
 * crc32_iscsi does neither. CRC64NVME is one byte a step: correct, not fast.
 */
#include "checksum.h"

#include "encode.h"

#include <isa-l/crc.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>

const struct checksum_row CHECKSUM_ROWS[CHECKSUM_KINDS] = {
    [CHECKSUM_NONE] = {"", "", "", 0, 0},
    [CHECKSUM_CRC32] = {"CRC32", "x-amz-checksum-crc32", "ChecksumCRC32", 4, 0xEDB88320u},
    [CHECKSUM_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c", "ChecksumCRC32C", 4, 0x82F63B78u},
    [CHECKSUM_CRC64NVME] = {"CRC64NVME", "x-amz-checksum-crc64nvme", "ChecksumCRC64NVME", 8,
                            0x9A6C9329AC4BC9B5u},
    [CHECKSUM_SHA1] = {"SHA1", "x-amz-checksum-sha1", "ChecksumSHA1", 20, 0},
    [CHECKSUM_SHA256] = {"SHA256", "x-amz-checksum-sha256", "ChecksumSHA256", 32, 0},
    [CHECKSUM_MD5] = {"MD5", "content-md5", "", 16, 0},
};

static uint64_t crc64_table[256];
static pthread_once_t crc64_once = PTHREAD_ONCE_INIT;

static void crc64_fill(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ CHECKSUM_ROWS[CHECKSUM_CRC64NVME].polynomial : crc >> 1;
        crc64_table[i] = crc;
    }
}

static uint64_t crc64_update(uint64_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++)
        crc = crc64_table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

static uint32_t crc32c_update(uint32_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    while (length) {
        int step = length > 1 << 30 ? 1 << 30 : (int)length;
        crc = crc32_iscsi((unsigned char *)data, step, crc);
        data += step;
        length -= (size_t)step;
    }
    return ~crc;
}

enum checksum_kind checksum_by_name(const char *name)
{
    for (int kind = CHECKSUM_CRC32; kind <= CHECKSUM_SHA256; kind++)
        if (!strcasecmp(CHECKSUM_ROWS[kind].name, name))
            return (enum checksum_kind)kind;
    return CHECKSUM_NONE;
}

bool checksum_init(struct checksum *sum, enum checksum_kind kind)
{
    *sum = (struct checksum){.kind = kind};
    const EVP_MD *hash = kind == CHECKSUM_SHA1     ? EVP_sha1()
                         : kind == CHECKSUM_SHA256 ? EVP_sha256()
                         : kind == CHECKSUM_MD5    ? EVP_md5()
                                                   : NULL;
    if (kind == CHECKSUM_CRC64NVME)
        pthread_once(&crc64_once, crc64_fill);
    if (!hash)
        return true;
    sum->hash = EVP_MD_CTX_new();
    return sum->hash && EVP_DigestInit_ex(sum->hash, hash, NULL) == 1;
}

void checksum_fini(struct checksum *sum)
{
    EVP_MD_CTX_free(sum->hash);
    sum->hash = NULL;
}

void checksum_update(struct checksum *sum, const void *data, size_t length)
{
    switch (sum->kind) {
    case CHECKSUM_CRC32: sum->crc = crc32_gzip_refl((uint32_t)sum->crc, data, length); break;
    case CHECKSUM_CRC32C: sum->crc = crc32c_update((uint32_t)sum->crc, data, length); break;
    case CHECKSUM_CRC64NVME: sum->crc = crc64_update(sum->crc, data, length); break;
    default:
        if (sum->hash)
            EVP_DigestUpdate(sum->hash, data, length);
    }
}

static void store_big_endian(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

static uint64_t load_big_endian(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

void checksum_final(struct checksum *sum, uint8_t out[CHECKSUM_MAX_BYTES])
{
    if (sum->hash)
        EVP_DigestFinal_ex(sum->hash, out, NULL);
    else
        store_big_endian(out, sum->crc, CHECKSUM_ROWS[sum->kind].bytes);
}

/* Product of two polynomials modulo the CRC's, reflected: the top bit of the width is x^0. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t polynomial, unsigned width)
{
    uint64_t product = 0;
    for (uint64_t bit = 1ull << (width - 1); bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ polynomial : b >> 1;
    }
    return product;
}

void checksum_combine(enum checksum_kind kind, uint8_t first[CHECKSUM_MAX_BYTES],
                      const uint8_t second[CHECKSUM_MAX_BYTES], uint64_t second_length)
{
    const struct checksum_row *row = &CHECKSUM_ROWS[kind];
    if (row->bytes != 4 && row->bytes != 8)
        return;
    unsigned width = (unsigned)row->bytes * 8;
    uint64_t power = 1ull << (width - 1 - 8); /* x^8: one byte further */
    uint64_t shift = 1ull << (width - 1);     /* x^0 */
    for (uint64_t n = second_length; n; n >>= 1) {
        if (n & 1)
            shift = multiply(shift, power, row->polynomial, width);
        power = multiply(power, power, row->polynomial, width);
    }
    uint64_t crc = multiply(shift, load_big_endian(first, row->bytes), row->polynomial, width);
    store_big_endian(first, crc ^ load_big_endian(second, row->bytes), row->bytes);
}

void checksum_text(enum checksum_kind kind, const uint8_t value[CHECKSUM_MAX_BYTES],
                   char out[CHECKSUM_TEXT_BYTES])
{
    encode_base64(out, value, CHECKSUM_ROWS[kind].bytes);
}
