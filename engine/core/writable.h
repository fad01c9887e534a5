/* May these bytes of the program be written? Asked before the engine itself writes to memory that a
 * caller named: the kernel would answer EFAULT where we would die. */
#ifndef S3DLIO_CORE_WRITABLE_H
#define S3DLIO_CORE_WRITABLE_H

#include <stddef.h>

/* 0 or -EFAULT, with errno as it was. For bytes that are about to be written in any case: one of
 * each page may be changed. Any thread, in the gate. */
int writable_check(void *buffer, size_t length_bytes);

#endif
