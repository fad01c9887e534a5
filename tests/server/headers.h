/*
 * A packed list of header names and values: what a client stored with an object, and what an answer
 * carries. One allocation, none when empty, since a bucket may hold a million objects.
 */
#ifndef TESTS_SERVER_HEADERS_H
#define TESTS_SERVER_HEADERS_H

#include <stddef.h>

struct headers {
    char *packed; /* name NUL value NUL ... ; NULL when empty */
    size_t length;
};

/* 0 or -ENOMEM; a name may occur more than once. */
int headers_add(struct headers *headers, const char *name, const char *value);
int headers_copy(const struct headers *from, struct headers *ret_headers);
void headers_fini(struct headers *headers);
const char *headers_get(const struct headers *headers, const char *name); /* any case; or NULL */
/* Drops every pair of that name. */
void headers_remove(struct headers *headers, const char *name);

/* for (const char *at = headers_first(h, &value); at; at = headers_next(h, &value)) */
const char *headers_first(const struct headers *headers, const char **ret_value);
const char *headers_next(const struct headers *headers, const char **value);

#endif
