/* A library with functions of its own for giving memory back, as allocators have (tcmalloc): they
 * end in syscall(). */
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int munmap(void *address, size_t length)
{
    return (int)syscall(SYS_munmap, address, length);
}

void *mremap(void *old, size_t old_length, size_t new_length, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    void *target = flags & MREMAP_FIXED ? va_arg(arguments, void *) : NULL;
    va_end(arguments);
    return (void *)syscall(SYS_mremap, old, old_length, new_length, flags, target);
}
