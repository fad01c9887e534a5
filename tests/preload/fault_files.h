/* Operations on one file, written in calls of which the first that fails is remembered. */
#ifndef S3DLIO_TESTS_PRELOAD_FAULT_FILES_H
#define S3DLIO_TESTS_PRELOAD_FAULT_FILES_H

#include "tests/preload/fault_table.h"

#define SMALL 1000
#define LARGE ((5 << 20) + 77) /* two parts */

static int first_error; /* of the operation, from begin to end */

static inline void note(bool is_right)
{
    if (!is_right && !first_error)
        first_error = errno ? errno : EPROTO;
}

static inline int begin(int flags)
{
    first_error = 0;
    int fd = open(case_path("file"), flags, 0644);
    note(fd >= 0);
    return fd;
}

static inline void add(int fd, size_t length, uint64_t seed)
{
    static unsigned char chunk[1 << 20];
    while (fd >= 0 && length > 0 && !first_error) {
        size_t part = length < sizeof chunk ? length : sizeof chunk;
        preload_fill(chunk, part, seed);
        note(write(fd, chunk, part) == (ssize_t)part);
        length -= part;
        seed += part;
    }
}

static inline int end(int fd)
{
    if (fd >= 0)
        note(close(fd) == 0);
    return -first_error;
}

static inline int make(size_t length, uint64_t seed)
{
    int fd = begin(O_WRONLY | O_CREAT | O_TRUNC);
    add(fd, length, seed);
    return end(fd);
}

static inline void prepared(int r)
{
    if (r == 0 || r == -ENOENT)
        return;
    fprintf(stderr, "%s: preparing: %s\n", operation->name, strerror(-r));
    _exit(1);
}

static inline void nothing(void)
{
    prepared(unlink(case_path("file")) < 0 ? -errno : 0);
}

static inline void small_file(void)
{
    prepared(make(SMALL, 0));
}

static inline void large_file(void)
{
    prepared(make(LARGE, 0));
}

#endif
