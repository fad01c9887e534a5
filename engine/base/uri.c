/* "scheme://bucket/key" taken apart and put together. Pure functions.
 *
 * Knows no store: whether a bucket name or a key is valid is for the store to say. */
#include "base/uri.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* RFC 3986 section 3.1, lower-cased; returns its length or 0. */
static size_t parse_scheme(const char *text, char *ret_scheme, size_t size)
{
    size_t i;

    for (i = 0; text[i] != ':'; i++) {
        char c = text[i];
        bool letter;

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        letter = c >= 'a' && c <= 'z';
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
            return 0;
        if (i + 1 >= size)
            return 0;
        ret_scheme[i] = c;
    }
    ret_scheme[i] = '\0';
    return i;
}

int uri_parse(const char *text, struct uri *ret_uri)
{
    char scheme[sizeof ret_uri->scheme];
    size_t scheme_length = parse_scheme(text, scheme, sizeof scheme);
    size_t bucket_length, key_length;
    const char *bucket, *key;

    if (scheme_length == 0 || text[scheme_length + 1] != '/')
        return -EINVAL;
    bucket = text + scheme_length + 1;
    bucket += strspn(bucket, "/");
    bucket_length = strcspn(bucket, "/");
    key = bucket + bucket_length;
    if (*key == '/')
        key++;
    key_length = strlen(key);
    if (bucket_length > URI_BUCKET_MAX || key_length > URI_KEY_MAX)
        return -ENAMETOOLONG;
    memcpy(ret_uri->scheme, scheme, scheme_length + 1);
    memcpy(ret_uri->bucket, bucket, bucket_length);
    ret_uri->bucket[bucket_length] = '\0';
    memcpy(ret_uri->key, key, key_length + 1);
    return 0;
}

bool uri_is_same(const struct uri *a, const struct uri *b)
{
    return strcmp(a->scheme, b->scheme) == 0 && strcmp(a->bucket, b->bucket) == 0 &&
           strcmp(a->key, b->key) == 0;
}

int uri_format(const struct uri *uri, char *buffer, size_t size)
{
    return snprintf(buffer, size, "%s://%s%s%s", uri->scheme, uri->bucket, uri->key[0] ? "/" : "",
                    uri->key);
}
