/* Probing memory with the kernel's own eyes; see memory.h.
 *
 * MADV_POPULATE_READ (madvise(2), Linux 5.14) looks every page up and fails where a read would
 * fault, but says EINVAL for special mappings and forbidden memory alike. For many pages it is
 * quicker to have one byte of each copied: process_vm_writev(2) reads its local side as write(2)
 * reads its buffer, and stops where that would. Where one has no answer (old kernels, containers)
 * the other is asked; where both have none, nothing can be said.
 */
#include "shim/memory.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define PAGE_BITS   12 /* of the smallest page: probing more often than needed is harmless */
#define COPY_PAGES  129 /* at a time: half a MiB wherever it begins */
#define LARGE_BYTES ((size_t)64 << 10) /* from where on copying is quicker (measured) */

enum verdict { UNREADABLE, READABLE, UNKNOWN };

static enum verdict ask_lookup(uintptr_t first, uintptr_t last)
{
    uintptr_t start = first & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
    if (!madvise((void *)start, last - start + 1, MADV_POPULATE_READ))
        return READABLE;
    return errno == ENOMEM || errno == EFAULT ? UNREADABLE : UNKNOWN;
}

static enum verdict ask_copy(uintptr_t first, uintptr_t last)
{
    char bytes[COPY_PAGES];
    struct iovec pages[COPY_PAGES];
    for (uintptr_t page = first >> PAGE_BITS; page <= last >> PAGE_BITS;) {
        struct iovec copied = {bytes, 0};
        for (; copied.iov_len < COPY_PAGES && page <= last >> PAGE_BITS; page++) {
            uintptr_t start = page << PAGE_BITS;
            pages[copied.iov_len++] = (struct iovec){(void *)(start > first ? start : first), 1};
        }
        ssize_t n = process_vm_writev(getpid(), pages, copied.iov_len, &copied, 1, 0);
        if (n < 0 && errno != EFAULT)
            return UNKNOWN;
        if (n < (ssize_t)copied.iov_len)
            return UNREADABLE;
    }
    return READABLE;
}

bool memory_is_readable(const void *address, size_t length)
{
    uintptr_t first = (uintptr_t)address, last = first + length - 1;
    if (!length)
        return true;
    if (last < first)
        return false;
    int saved = errno;
    bool is_large = length >= LARGE_BYTES;
    enum verdict verdict = is_large ? ask_copy(first, last) : ask_lookup(first, last);
    if (verdict == UNKNOWN)
        verdict = is_large ? ask_lookup(first, last) : ask_copy(first, last);
    errno = saved;
    return verdict != UNREADABLE;
}

#define STACK_NEAR ((uintptr_t)16 << 10)

bool memory_is_given(const void *address, size_t length)
{
    uintptr_t above = (uintptr_t)address - (uintptr_t)__builtin_frame_address(0);
    bool is_near = above < STACK_NEAR && length < STACK_NEAR - above;
    return is_near || memory_is_readable(address, length);
}
