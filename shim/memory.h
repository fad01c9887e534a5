/* Is a program's memory what it claims? The kernel answers EFAULT for bad buffers; user-space
 * copies have to ask first. */
#ifndef S3DLIO_SHIM_MEMORY_H
#define S3DLIO_SHIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

bool memory_is_readable(const void *address, size_t length);
/* The same for small things that callers have on their stack, as a rule: what lies just above this
 * frame is there, and asked for is only the rest. */
bool memory_is_given(const void *address, size_t length);

#endif
