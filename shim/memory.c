/* Probing memory with the kernel's own eyes; see memory.h.
 *
 * MADV_POPULATE_READ (madvise(2), Linux 5.14) walks the pages of the range and fails where a read
 * would fault; older kernels get one byte read through process_vm_readv for each page.
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

#define PAGE 4096u /* the smallest page: probing more often than needed is harmless */

static bool byte_is_readable(uintptr_t address)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {(void *)address, 1};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1 || errno != EFAULT;
}

bool memory_is_readable(const void *address, size_t length)
{
    uintptr_t first = (uintptr_t)address, last = first + length - 1;
    int saved = errno;
    bool is_readable = true;
    if (!length)
        return true;
    if (last < first)
        return false;
    long page = sysconf(_SC_PAGESIZE);
    uintptr_t start = first & ~((uintptr_t)page - 1);
    if (!madvise((void *)start, last - start + 1, MADV_POPULATE_READ)) {
        errno = saved;
        return true;
    }
    if (errno == ENOMEM || errno == EFAULT)
        is_readable = false;
    /* Special mappings (EINVAL) and old kernels: page by page. */
    else
        for (uintptr_t at = first; is_readable && at <= last; at = (at | (PAGE - 1)) + 1) {
            is_readable = byte_is_readable(at);
            if ((at | (PAGE - 1)) == UINTPTR_MAX)
                break;
        }
    errno = saved;
    return is_readable;
}
