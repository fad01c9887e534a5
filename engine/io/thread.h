/* Threads of the engine: all signals blocked, a small stack, a name. They never run program code.
 *
 * None stays without work: each ends when it had nothing to do for thread_idle_ns(), or when its
 * one piece of work is done, and is started again when there is more. To close idle connections in
 * time (http/sweep.c) is work. So the program decides when
 * the process ends, by pthread_exit of its last thread too (io/keeper.h). */
#ifndef S3DLIO_IO_THREAD_H
#define S3DLIO_IO_THREAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define THREAD_STACK_BYTES       ((size_t)256 << 10) /* enough for the event loop and TLS records */
#define THREAD_STACK_LARGE_BYTES ((size_t)1 << 20)   /* handshakes, certificates, getaddrinfo */

/* name: at most 15 characters. ret_thread NULL: detached. One that is joined was started inside the
 * gate, and is joined there. 0 or -errno. */
int thread_start(const char *name, size_t stack_bytes, void *(*main)(void *), void *arg,
                 pthread_t *ret_thread);

/* What thread_start returned, as an error: `purpose` says what the thread was for, as in
 * "connecting". -errno; of what would be EAGAIN, which programs take for an invitation to try again, ENOMEM. */
int thread_error(struct error *err, int rc, const char *purpose);

/* How many live: never more than the kernel has. */
int thread_count(void);

/* How many were ever started, and whoever is in thread_count() is in here already. While this stays
 * the same, thread_count() only falls. */
unsigned thread_started(void);

/* How long a thread without work waits for some before it ends. A second: a program that makes a
 * request now and then does not start a thread for each one (that takes some 50 us), and a process
 * that has turned to something else soon has none. For tests: another time. */
int64_t thread_idle_ns(void);
void thread_set_idle_ns(int64_t idle_ns);

/* From now on each thread that runs engine code calls this before it ends, with fork kept out: for
 * state that a library keeps for each thread and would take down later, when a fork may happen. */
void thread_set_on_end(void (*on_end)(void));

/* The calling thread, one of the program's, counts among those from now on; the engine's own do so
 * without. Costs nothing the second time. */
void thread_adopt(void);

/* In a fork child: there are none. */
void thread_reset_child(void);

#endif
