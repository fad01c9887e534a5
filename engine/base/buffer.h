/* A growable byte buffer with a mandatory cap: nothing read from a server grows without limit.
 * Always NUL-terminated behind `length` (the NUL does not count). Not thread-safe. */
#ifndef S3DLIO_BASE_BUFFER_H
#define S3DLIO_BASE_BUFFER_H

#include <stddef.h>

struct buffer {
    char *data; /* NULL while nothing was added */
    size_t length;
    size_t capacity;
    size_t limit; /* bytes; appending past it fails with -EMSGSIZE */
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_fini(struct buffer *buffer); /* frees; usable again after */
void buffer_clear(struct buffer *buffer); /* keeps the memory */
/* 0, -ENOMEM or -EMSGSIZE; on failure the buffer is as it was. */
int buffer_append(struct buffer *buffer, const void *data, size_t length);
int buffer_append_str(struct buffer *buffer, const char *text);
int buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *buffer_str(const struct buffer *buffer); /* never NULL */

#endif
