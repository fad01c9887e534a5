/* Fills the table of real functions; see real.h. Written once, before any thread of the program,
 * and read-only from then on; resolving twice stores the same values. */
#include "shim/real.h"

#include <dlfcn.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "shim/calls/syscall.h"

/* What early code calls, straight to the kernel. */
static int raw_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static int raw_openat(int dirfd, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = va_arg(args, int);
    va_end(args);
    return (int)syscall(SYS_openat, dirfd, path, flags, mode);
}

static int raw_close(int fd)
{
    return (int)syscall(SYS_close, fd);
}

static ssize_t raw_read(int fd, void *buffer, size_t length)
{
    return syscall(SYS_read, fd, buffer, length);
}

static ssize_t raw_write(int fd, const void *buffer, size_t length)
{
    return syscall(SYS_write, fd, buffer, length);
}

static int raw_fstat(int fd, struct stat *st)
{
    return (int)syscall(SYS_fstat, fd, st);
}

static int raw_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
#ifdef SYS_newfstatat
    return (int)syscall(SYS_newfstatat, dirfd, path, st, flags);
#else
    return (int)syscall(SYS_fstatat, dirfd, path, st, flags);
#endif
}

static int raw_stat(const char *path, struct stat *st)
{
    return raw_fstatat(AT_FDCWD, path, st, 0);
}

static int raw_access(const char *path, int mode)
{
    return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

static off_t raw_lseek(int fd, off_t offset, int whence)
{
    return syscall(SYS_lseek, fd, offset, whence);
}

static void *raw_mmap(void *address, size_t length, int protection, int flags, int fd,
                      off_t offset)
{
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static int raw_munmap(void *address, size_t length)
{
    return (int)syscall(SYS_munmap, address, length);
}

static void *raw_mremap(void *old, size_t old_length, size_t new_length, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    void *target = va_arg(args, void *);
    va_end(args);
    return (void *)syscall(SYS_mremap, old, old_length, new_length, flags, target);
}

static int raw_mprotect(void *address, size_t length, int protection)
{
    return (int)syscall(SYS_mprotect, address, length, protection);
}

static int raw_madvise(void *address, size_t length, int advice)
{
    return (int)syscall(SYS_madvise, address, length, advice);
}

static ssize_t raw_readlink(const char *path, char *buffer, size_t size)
{
    return syscall(SYS_readlinkat, AT_FDCWD, path, buffer, size);
}

/* Not `syscall`, which would come back to us. Libc has had the function since 2.36. */
static int raw_pidfd_getfd(int pidfd, int target, unsigned flags)
{
    return (int)syscall_answer(syscall_kernel(SYS_pidfd_getfd, pidfd, target, flags, 0, 0, 0));
}

struct real_calls real_calls = {
    .open = raw_open,
    .openat = raw_openat,
    .close = raw_close,
    .read = raw_read,
    .write = raw_write,
    .fstat = raw_fstat,
    .fstatat = raw_fstatat,
    .stat = raw_stat,
    .access = raw_access,
    .lseek = raw_lseek,
    .mmap = raw_mmap,
    .munmap = raw_munmap,
    .mremap = raw_mremap,
    .mprotect = raw_mprotect,
    .madvise = raw_madvise,
    .readlink = raw_readlink,
    .pidfd_getfd = raw_pidfd_getfd,
};

void real_resolve(void)
{
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {
#define CALL(family, result, name, parameters, reduces) {#name, offsetof(struct real_calls, name)},
#define ALIAS(family, alias, name)
#include "shim/interpose.def"
#undef CALL
#undef ALIAS
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        void *address = dlsym(RTLD_NEXT, rows[i].name);
        if (address)
            *(void **)((char *)&real_calls + rows[i].offset) = address;
    }
}
