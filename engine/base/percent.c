/* Percent-encoding. Pure functions; the contract is in percent.h. */
#include "base/percent.h"

#include <errno.h>

#include "base/buffer.h"

/* RFC 3986 section 2.3; independent of the locale, which isalnum is not. */
static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

int percent_encode(struct buffer *out, const char *text, size_t length, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t plain = 0; /* start of the run that needs no encoding */
    int rc;

    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[3] = {'%', hex[c >> 4], hex[c & 15]};

        if (is_unreserved(c) || (c == '/' && keep_slash))
            continue;
        rc = buffer_append(out, text + plain, i - plain);
        if (rc == 0)
            rc = buffer_append(out, escape, sizeof escape);
        if (rc < 0)
            return rc;
        plain = i + 1;
    }
    return buffer_append(out, text + plain, length - plain);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

long percent_decode(char *text, size_t length, bool plus_is_space)
{
    size_t out = 0;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = length - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = length - i > 2 ? hex_digit(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        text[out++] = c;
    }
    text[out] = '\0';
    return (long)out;
}
