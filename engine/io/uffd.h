/* userfaultfd(2): a descriptor that tells of pages of this process which are touched and not there.
 *
 * What the kernel allows differs: everything (with CAP_SYS_PTRACE, with
 * vm.unprivileged_userfaultfd=1, or by /dev/userfaultfd), faults in user mode only (since 5.11:
 * then a system call that meets such a page answers EFAULT), or nothing (older kernels, containers
 * whose filter forbids the call). Addresses and lengths are whole pages. Any thread. */
#ifndef S3DLIO_IO_UFFD_H
#define S3DLIO_IO_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum uffd_mode { UFFD_NONE, UFFD_USER, UFFD_ALL };

/* A non-blocking descriptor, adopted (io/fd.h) as one that no fork child keeps; *ret_mode is the
 * most that is to be had, but no more than `most`. -errno: nothing is. Inside the gate. */
int uffd_open(enum uffd_mode most, enum uffd_mode *ret_mode);
/* From now on pages of this anonymous memory that are touched and not there wait for one of the
 * next three. 0 or -errno. */
int uffd_register(int fd, uintptr_t start, size_t length);
/* Puts the bytes where no page is yet, pages that are there stay, and wakes who waits for these. 0,
 * or -errno when the memory is not as it was registered. */
int uffd_copy(int fd, uintptr_t start, const void *bytes, size_t length);
/* Who waits for pages there looks again. */
void uffd_wake(int fd, uintptr_t start, size_t length);
/* The address of the next touch; false: nothing has been touched. */
bool uffd_next(int fd, uintptr_t *ret_address);

size_t uffd_page_bytes(void);

#endif
