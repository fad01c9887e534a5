/* x-amz-meta-* headers, and the other headers that belong to an object and not to an answer.
 *
 * A header can hold visible ASCII; servers differ in what they make of the rest (versitygw hands
 * bytes through, MinIO answers in RFC 2047 form, blanks at the ends are lost). So a value that
 * is more than plain text is written as one RFC 2047 word, "=?UTF-8?B?…?=", which every server
 * keeps as it is, and both forms of such words are undone in reading. A plain value that looks
 * like such a word is wrapped as well, so that what was written is what is read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "store/s3.h"

#define META_PREFIX "x-amz-meta-"
#define WORD_BEGIN  "=?UTF-8?B?"
#define WORD_END    "?="

/* ---- writing -------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t length = strlen(name);

    return length > 0 && length <= 128 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == length;
}

static bool is_plain(const char *value)
{
    size_t length = strlen(value);

    if (strncmp(value, "=?", 2) == 0 || (length && (value[0] == ' ' || value[length - 1] == ' ')))
        return false;
    for (; *value; value++)
        if (*value < ' ' || *value > '~')
            return false;
    return true;
}

/* Told by HEAD, and to be sent again when the object is written anew. */
static const char *const own_headers[] = {
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-storage-class",
    &STORE_TAGS[1],
    "x-amz-website-redirect-location",
};

static bool is_own_header(const char *name)
{
    for (size_t i = 0; i < sizeof own_headers / sizeof own_headers[0]; i++)
        if (strcmp(name, own_headers[i]) == 0)
            return true;
    return false;
}

static void write_pair(struct s3_headers *headers, const char *name, const char *value)
{
    struct buffer text;
    char header[sizeof META_PREFIX + 128];
    int r;

    if (name[0] == ':') {
        if (is_own_header(name + 1))
            s3_header(headers, name + 1, value);
        return;
    }
    if (!name_is_valid(name)) {
        s3_header_error(headers, EINVAL, "a metadata name has characters other than a-z 0-9 - _ .");
        return;
    }
    strcpy(stpcpy(header, META_PREFIX), name);
    if (is_plain(value)) {
        s3_header(headers, header, value);
        return;
    }
    buffer_init(&text, (size_t)2 * STORE_METADATA_MAX);
    r = buffer_append_str(&text, WORD_BEGIN);
    if (r == 0)
        r = base64_encode(&text, value, strlen(value));
    if (r == 0)
        r = buffer_append_str(&text, WORD_END);
    if (r == 0)
        s3_header(headers, header, buffer_str(&text));
    else
        s3_header_error(headers, -r, "a metadata value is too long");
    buffer_fini(&text);
}

void s3_metadata_write(struct s3_headers *headers, const struct store_metadata *metadata)
{
    for (size_t at = 0; metadata && at < metadata->length;) {
        const char *name = metadata->data + at;
        const char *value = name + strlen(name) + 1;

        write_pair(headers, name, value);
        at = (size_t)(value - metadata->data) + strlen(value) + 1;
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

static int digit_of(const char *digits, char c)
{
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

static int hex_digit(char c)
{
    static const char upper[] = "0123456789ABCDEF", lower[] = "0123456789abcdef";
    int digit = digit_of(upper, c);

    return digit >= 0 ? digit : digit_of(lower, c);
}

/* Decodes to `out`, never more bytes than `length`; -1 for text that is not of that form. */
static long decode_quoted(const char *text, size_t length, char *out)
{
    long count = 0;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (c == '_') {
            c = ' ';
        } else if (c == '=') {
            int high = i + 2 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[count++] = c;
    }
    return count;
}

/* Decodes the word at `text` to `out`: the end behind its "?=", or NULL when it is none. */
static const char *decode_word(const char *text, char *out, long *ret_length)
{
    static const char charset[] = "=?utf-8?";
    const char *payload, *end;
    size_t length;

    if (strncasecmp(text, charset, strlen(charset)) != 0)
        return NULL;
    payload = text + strlen(charset);
    if (!payload[0] || payload[1] != '?' || !(end = strstr(payload + 2, WORD_END)))
        return NULL;
    length = (size_t)(end - payload) - 2;
    if (*payload == 'b' || *payload == 'B')
        *ret_length = base64_decode(payload + 2, length, (unsigned char *)out);
    else if (*payload == 'q' || *payload == 'Q')
        *ret_length = decode_quoted(payload + 2, length, out);
    else
        return NULL;
    if (*ret_length < 0 || memchr(out, '\0', (size_t)*ret_length))
        return NULL;
    return end + strlen(WORD_END);
}

/* Undoes RFC 2047 words; blanks between two words are not part of the value. `out` has room for as
 * much as `in`. */
static void decode_value(const char *in, char *out)
{
    bool after_word = false;

    while (*in) {
        size_t blanks = after_word ? strspn(in, " \t") : 0;
        long length = 0;
        const char *end = in[blanks] == '=' ? decode_word(in + blanks, out, &length) : NULL;

        after_word = end != NULL;
        if (end) {
            out += length;
            in = end;
        } else {
            *out++ = *in++;
        }
    }
    *out = '\0';
}

/* "aws-chunked" was the form of somebody's request, which some servers take for the object's. */
static int read_own_header(const struct http_header *header, struct store_metadata *ret_metadata)
{
    static const char chunked[] = "aws-chunked";
    const char *value = header->value;
    char name[64];

    if (strcmp(header->name, "content-encoding") == 0 &&
        strncasecmp(value, chunked, strlen(chunked)) == 0) {
        value += strlen(chunked);
        value += strspn(value, ", ");
    }
    if (!value[0])
        return 0;
    snprintf(name, sizeof name, ":%s", header->name);
    return store_metadata_add(ret_metadata, name, value);
}

int s3_metadata_read(const struct http_head *head, struct store_metadata *ret_metadata)
{
    for (unsigned i = 0; i < head->header_count; i++) {
        const struct http_header *header = &head->headers[i];
        char *value;
        int r;

        if (is_own_header(header->name) || strcmp(header->name, &STORE_TAG_COUNT[1]) == 0) {
            if (read_own_header(header, ret_metadata) == -ENOMEM)
                return -ENOMEM;
            continue;
        }
        if (strncmp(header->name, META_PREFIX, strlen(META_PREFIX)) != 0)
            continue;
        value = malloc(strlen(header->value) + 1);
        if (!value)
            return -ENOMEM;
        decode_value(header->value, value);
        r = store_metadata_add(ret_metadata, header->name + strlen(META_PREFIX), value);
        free(value);
        if (r == -ENOMEM)
            return r;
    }
    return 0;
}
