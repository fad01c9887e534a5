/*
 * The packed header list; see headers.h.
 */
#include "headers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int headers_add(struct headers *headers, const char *name, const char *value)
{
    size_t name_bytes = strlen(name) + 1;
    size_t value_bytes = strlen(value) + 1;
    char *packed = realloc(headers->packed, headers->length + name_bytes + value_bytes);
    if (!packed)
        return -ENOMEM;
    memcpy(packed + headers->length, name, name_bytes);
    memcpy(packed + headers->length + name_bytes, value, value_bytes);
    headers->packed = packed;
    headers->length += name_bytes + value_bytes;
    return 0;
}

int headers_copy(const struct headers *from, struct headers *ret_headers)
{
    struct headers copy = {0};
    if (from->length) {
        copy.packed = malloc(from->length);
        if (!copy.packed)
            return -ENOMEM;
        memcpy(copy.packed, from->packed, from->length);
        copy.length = from->length;
    }
    *ret_headers = copy;
    return 0;
}

void headers_fini(struct headers *headers)
{
    free(headers->packed);
    *headers = (struct headers){0};
}

const char *headers_first(const struct headers *headers, const char **ret_value)
{
    if (!headers->length)
        return NULL;
    *ret_value = headers->packed + strlen(headers->packed) + 1;
    return headers->packed;
}

const char *headers_next(const struct headers *headers, const char **value)
{
    const char *name = *value + strlen(*value) + 1;
    if (name >= headers->packed + headers->length)
        return NULL;
    *value = name + strlen(name) + 1;
    return name;
}

const char *headers_get(const struct headers *headers, const char *name)
{
    const char *value;
    for (const char *at = headers_first(headers, &value); at; at = headers_next(headers, &value))
        if (!strcasecmp(at, name))
            return value;
    return NULL;
}

void headers_remove(struct headers *headers, const char *name)
{
    size_t at = 0;
    while (at < headers->length) {
        char *pair = headers->packed + at;
        size_t bytes = strlen(pair) + 1;
        bytes += strlen(pair + bytes) + 1;
        if (strcasecmp(pair, name)) {
            at += bytes;
            continue;
        }
        memmove(pair, pair + bytes, headers->length - at - bytes);
        headers->length -= bytes;
    }
}
