/*
 * A growable byte buffer with a mandatory cap.
 *
 * Appending past the cap, or running out of memory, sets `failed` and changes nothing else: callers
 * append freely and look at `failed` once, at the end. The content is always NUL-terminated once
 * anything was appended. Not thread-safe; a buffer belongs to one request.
 */
#ifndef TESTS_SERVER_BUF_H
#define TESTS_SERVER_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data;
    size_t length;
    size_t capacity;
    size_t max_bytes;
    bool failed;
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_fini(struct buf *buf);
void buf_clear(struct buf *buf);
void buf_append(struct buf *buf, const void *data, size_t length);
void buf_add(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Hands the content to the caller, who frees it; never NULL unless memory ran out. */
char *buf_take(struct buf *buf);

#endif
