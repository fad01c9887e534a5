/* What every preload test needs. The programs run twice: natively in a directory of a local disk
 * (the kernel is the oracle), then under the shim in a virtual one; S3DLIO_TEST_ROOT names it. The
 * same assertions hold in both. */
#ifndef S3DLIO_TESTS_PRELOAD_H
#define S3DLIO_TESTS_PRELOAD_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* The virtual or local directory of this run; the suite fails early without one. */
static inline const char *preload_root(void)
{
    const char *root = getenv("S3DLIO_TEST_ROOT");
    if (!root || !*root) {
        fprintf(stderr, "S3DLIO_TEST_ROOT is not set\n");
        exit(2);
    }
    return root;
}

/* "<root>/<name>" in one of many rotating static buffers: threads do not meet in one. */
static inline const char *preload_path(const char *name)
{
    static char paths[256][PATH_MAX];
    static atomic_uint next;
    char *path = paths[atomic_fetch_add(&next, 1) % 256];
    snprintf(path, PATH_MAX, "%s/%s", preload_root(), name);
    return path;
}

/* Are we on a virtual path (as against the native oracle run)? */
static inline bool preload_is_virtual(void)
{
    return !strncmp(preload_root(), "/s3/", 4) || getenv("S3DLIO_TEST_VIRTUAL");
}

/* The i-th byte of every test file: differs from its neighbours and from page to page. */
static inline unsigned char preload_byte(uint64_t offset)
{
    return (unsigned char)(offset * 31 + (offset >> 8) * 7 + (offset >> 16));
}

static inline void preload_fill(void *buffer, size_t length, uint64_t offset)
{
    for (size_t i = 0; i < length; i++)
        ((unsigned char *)buffer)[i] = preload_byte(offset + i);
}

static inline bool preload_matches(const void *buffer, size_t length, uint64_t offset)
{
    for (size_t i = 0; i < length; i++)
        if (((const unsigned char *)buffer)[i] != preload_byte(offset + i))
            return false;
    return true;
}

/* Writes a file of `length` pattern bytes through the calls under test. */
static inline void preload_make(const char *path, size_t length)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    static unsigned char chunk[1 << 16];
    for (size_t done = 0; done < length;) {
        size_t part = length - done < sizeof chunk ? length - done : sizeof chunk;
        preload_fill(chunk, part, done);
        assert_int_equal(write(fd, chunk, part), part);
        done += part;
    }
    assert_int_equal(close(fd), 0);
}

/* An address that the compiler cannot see through. */
static inline void *preload_bad(uintptr_t address)
{
    static volatile uintptr_t hidden;
    hidden = address;
    return (void *)hidden;
}

/* Processes that wait for each other: a byte through a pipe. */
static inline void preload_tell(int fd)
{
    if (write(fd, "", 1) != 1)
        _exit(90);
}

static inline void preload_wait_for(int fd)
{
    char byte;
    if (read(fd, &byte, 1) != 1)
        _exit(91);
}

#define assert_errno(expression, expected)                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long assert_errno_result = (long)(expression);                                             \
        int assert_errno_errno = errno;                                                            \
        if (assert_errno_result != -1 || assert_errno_errno != (expected))                         \
            fail_msg("%s: %ld, %s; expected %s", #expression, assert_errno_result,                 \
                     strerror(assert_errno_errno), strerror(expected));                            \
    } while (0)

#endif
