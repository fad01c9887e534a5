/* System calls by an instruction of the program's own, which no library sees. */
#ifndef S3DLIO_TESTS_INLINE_H
#define S3DLIO_TESTS_INLINE_H

#include <fcntl.h>
#include <sys/syscall.h>

#if defined __x86_64__ && !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
#    define INLINE_CALLS 1
#endif

#ifdef __x86_64__
/* The kernel's answer: -errno for an error. */
static inline long inline_syscall(long number, long a0, long a1, long a2, long a3, long a4)
{
    register long r10 __asm__("r10") = a3, r8 __asm__("r8") = a4;
    long result = number;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(a0), "S"(a1), "d"(a2), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

static inline long inline_openat(const char *path, int flags, int mode)
{
    return inline_syscall(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0);
}

static inline long inline_renameat(const char *from, const char *to)
{
    return inline_syscall(SYS_renameat, AT_FDCWD, (long)from, AT_FDCWD, (long)to, 0);
}
#endif

#endif
