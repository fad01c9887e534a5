/* The two futex operations, by raw system call: no cancellation point, no lock, safe in a child of
 * fork and in a signal handler. Words are private to the process, but for the two functions that
 * say otherwise. */
#ifndef S3DLIO_IO_FUTEX_H
#define S3DLIO_IO_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define FUTEX_BITS_ALL UINT32_MAX

static inline void futex_sleep(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns,
                               int operation, uint32_t bits)
{
    struct timespec until;
    int64_t at_ns;

    if (timeout_ns == CLOCK_NEVER) {
        syscall(SYS_futex, word, operation, expected, NULL, NULL, bits);
        return;
    }
    at_ns = clock_now_ns() + timeout_ns; /* FUTEX_WAIT_BITSET takes a moment of CLOCK_MONOTONIC */
    until = (struct timespec){.tv_sec = at_ns / NS_PER_S, .tv_nsec = at_ns % NS_PER_S};
    syscall(SYS_futex, word, operation, expected, &until, NULL, bits);
}

/* Sleeps while *word == expected, at most timeout_ns (CLOCK_NEVER: for ever), until a wake whose
 * bits meet these. Returns for any reason or none: look again. */
static inline void futex_wait(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns,
                              uint32_t bits)
{
    futex_sleep(word, expected, timeout_ns, FUTEX_WAIT_BITSET_PRIVATE, bits);
}

static inline void futex_wake(_Atomic uint32_t *word, int count, uint32_t bits)
{
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, count, NULL, NULL, bits);
}

/* The same on a word in memory that processes share. */
static inline void futex_wait_shared(_Atomic uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    futex_sleep(word, expected, timeout_ns, FUTEX_WAIT_BITSET, FUTEX_BITS_ALL);
}

static inline void futex_wake_shared(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET, count, NULL, NULL, FUTEX_BITS_ALL);
}

#endif
