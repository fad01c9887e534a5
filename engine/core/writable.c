/* Probing memory through the kernel. See writable.h.
 *
 * MADV_POPULATE_WRITE (Linux 5.14) does it in one call. It says EINVAL for mappings that it does
 * not handle and for read-only ones alike, so then every page is probed: one byte is read and
 * written back through process_vm_readv(2) and process_vm_writev(2), which check what they touch.
 */
#include "core/writable.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#    define MADV_POPULATE_WRITE 23
#endif
#define PAGE_BYTES ((uintptr_t)4096) /* the smallest there is: more probes than needed do no harm */

static int probe_byte(uintptr_t address)
{
    unsigned char byte;
    struct iovec here = {.iov_base = &byte, .iov_len = 1};
    struct iovec there = {.iov_base = (void *)address, .iov_len = 1};

    if (process_vm_readv(getpid(), &here, 1, &there, 1, 0) == 1 &&
        process_vm_writev(getpid(), &here, 1, &there, 1, 0) == 1)
        return 0;
    return errno == EFAULT ? -EFAULT : 0; /* forbidden (seccomp): nothing can be said */
}

int writable_check(void *buffer, size_t length_bytes)
{
    uintptr_t first = (uintptr_t)buffer, last = first + length_bytes - 1;
    uintptr_t page = first & ~(PAGE_BYTES - 1);
    int saved_errno = errno;
    int r;

    if (length_bytes == 0)
        return 0;
    if (last < first)
        return -EFAULT;
    r = madvise((void *)page, last + 1 - page, MADV_POPULATE_WRITE);
    if (r < 0 && errno != EINVAL) {
        r = errno == ENOMEM || errno == EFAULT ? -EFAULT : 0;
    } else if (r < 0) {
        r = probe_byte(first);
        for (page += PAGE_BYTES; r == 0 && page <= last && page != 0; page += PAGE_BYTES)
            r = probe_byte(page);
    }
    errno = saved_errno;
    return r;
}
