/* A libc whose file calls do nothing, to be preloaded behind the shim: what is left of a call's
 * time is the shim's own, to a fraction of a nanosecond, where a system call's noise would hide
 * it. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#pragma GCC visibility push(default)

int stat(const char *path, struct stat *st)
{
    return 0;
}

int open(const char *path, int flags, ...)
{
    return 1000;
}

int close(int fd)
{
    return 0;
}

ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    return 1;
}
