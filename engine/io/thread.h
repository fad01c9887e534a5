/* Threads of the engine: all signals blocked, a small stack, a name. They never run program
 * code. */
#ifndef S3DLIO_IO_THREAD_H
#define S3DLIO_IO_THREAD_H

#include <pthread.h>
#include <stddef.h>

#define THREAD_STACK_BYTES       ((size_t)256 << 10) /* enough for the event loop and TLS records */
#define THREAD_STACK_LARGE_BYTES ((size_t)1 << 20)   /* handshakes, certificates, getaddrinfo */

/* name: at most 15 characters. ret_thread NULL: detached. 0 or -errno. */
int thread_start(const char *name, size_t stack_bytes, void *(*main)(void *), void *arg,
                 pthread_t *ret_thread);

#endif
