/* Base64 both ways. See base64.h. */
#include "base/base64.h"

#include <errno.h>
#include <string.h>

#include "base/buffer.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(struct buffer *out, const void *data, size_t length)
{
    const unsigned char *bytes = data;
    int r = 0;

    for (size_t i = 0; i < length && r == 0; i += 3) {
        size_t left = length - i;
        unsigned group = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                         (left > 2 ? bytes[i + 2] : 0u);
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};

        r = buffer_append(out, text, sizeof text);
    }
    return r;
}

long base64_decode(const char *text, size_t length, unsigned char *out)
{
    unsigned group = 0, bits = 0;
    long count = 0;

    while (length > 0 && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;

        if (!digit)
            return -EINVAL;
        group = (group << 6 | (unsigned)(digit - digits)) & 0xffffff;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        if (out)
            out[count] = (unsigned char)(group >> bits & 0xff);
        count++;
    }
    return count;
}
