/* A growable byte buffer with a mandatory cap. The contract is in buffer.h.
 *
 * Invariants: data is NULL or holds capacity bytes, length < capacity and data[length] is NUL;
 * length never exceeds limit. A failed append leaves the buffer as it was. No locking: one owner.
 * It does not shrink: callers that keep buffers clear them, others free them. */
#include "base/buffer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_FIRST_BYTES 128

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit < SIZE_MAX ? limit : SIZE_MAX - 1};
}

void buffer_fini(struct buffer *buffer)
{
    free(buffer->data);
    buffer->data = NULL;
    buffer->length = buffer->capacity = 0;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

/* Makes room for `extra` bytes and the NUL behind them. */
static int buffer_reserve(struct buffer *buffer, size_t extra)
{
    size_t need, capacity;
    char *data;

    if (extra > buffer->limit - buffer->length)
        return -EMSGSIZE;
    need = buffer->length + extra + 1;
    if (need <= buffer->capacity)
        return 0;
    capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST_BYTES;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    if (capacity > buffer->limit + 1)
        capacity = buffer->limit + 1;
    data = realloc(buffer->data, capacity);
    if (!data)
        return -ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t length)
{
    int rc = buffer_reserve(buffer, length);

    if (rc < 0)
        return rc;
    if (length)
        memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
    return 0;
}

int buffer_append_str(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_append_format(struct buffer *buffer, const char *format, ...)
{
    va_list args;
    int length, rc;

    va_start(args, format);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return -ENOMEM;
    rc = buffer_reserve(buffer, (size_t)length);
    if (rc < 0)
        return rc;
    va_start(args, format);
    vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, args);
    va_end(args);
    buffer->length += (size_t)length;
    return 0;
}

const char *buffer_str(const struct buffer *buffer)
{
    return buffer->data ? buffer->data : "";
}
