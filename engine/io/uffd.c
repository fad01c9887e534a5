/* The few calls of userfaultfd(2) that are needed; see uffd.h. No state but the page size. */
#include "io/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io/fd.h"

#ifndef UFFD_USER_MODE_ONLY
#    define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#    define USERFAULTFD_IOC_NEW _IO(0xAA, 0)
#endif

#define UFFD_FLAGS (O_CLOEXEC | O_NONBLOCK)

/* Linux 6.1: who may open it may have everything. */
static int open_device(void)
{
    int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fd;

    if (device < 0)
        return -errno;
    fd = ioctl(device, USERFAULTFD_IOC_NEW, UFFD_FLAGS);
    if (fd < 0)
        fd = -errno;
    close(device);
    return fd;
}

static int open_any(enum uffd_mode most, enum uffd_mode *ret_mode)
{
    int fd = -EPERM;

    *ret_mode = UFFD_ALL;
    if (most == UFFD_ALL) {
        fd = (int)syscall(SYS_userfaultfd, UFFD_FLAGS);
        if (fd < 0 && errno != ENOSYS)
            fd = open_device();
    }
    if (fd < 0) {
        *ret_mode = UFFD_USER;
        fd = (int)syscall(SYS_userfaultfd, UFFD_FLAGS | UFFD_USER_MODE_ONLY);
        fd = fd < 0 ? -errno : fd;
    }
    return fd;
}

int uffd_open(enum uffd_mode most, enum uffd_mode *ret_mode)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd;

    if (most == UFFD_NONE)
        return -EPERM;
    fd_room_begin(FD_FOR_FILES);
    fd = fd_adopt_own(open_any(most, ret_mode));
    fd_room_end();
    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api) < 0) {
        int result = -errno;

        fd_close(fd);
        return result;
    }
    return fd;
}

int uffd_register(int fd, uintptr_t start, size_t length)
{
    struct uffdio_register wanted = {
        .range = {.start = start, .len = length},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };

    return ioctl(fd, UFFDIO_REGISTER, &wanted) < 0 ? -errno : 0;
}

int uffd_copy(int fd, uintptr_t start, const void *bytes, size_t length)
{
    size_t done = 0;

    while (done < length) {
        struct uffdio_copy copy = {
            .dst = start + done,
            .src = (uintptr_t)bytes + done,
            .len = length - done,
        };
        int result = ioctl(fd, UFFDIO_COPY, &copy) < 0 ? -errno : 0;

        if (copy.copy > 0)
            done += (size_t)copy.copy;
        else if (result == -EEXIST)
            done += uffd_page_bytes();
        else if (result != -EAGAIN)
            return result;
    }
    return 0;
}

void uffd_wake(int fd, uintptr_t start, size_t length)
{
    struct uffdio_range range = {.start = start, .len = length};

    ioctl(fd, UFFDIO_WAKE, &range);
}

bool uffd_next(int fd, uintptr_t *ret_address)
{
    struct uffd_msg message;

    while (read(fd, &message, sizeof message) == (ssize_t)sizeof message)
        if (message.event == UFFD_EVENT_PAGEFAULT) {
            *ret_address = (uintptr_t)message.arg.pagefault.address & ~(uffd_page_bytes() - 1);
            return true;
        }
    return false;
}

size_t uffd_page_bytes(void)
{
    static _Atomic size_t bytes;
    size_t known = atomic_load_explicit(&bytes, memory_order_relaxed);

    if (!known) {
        known = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&bytes, known, memory_order_relaxed);
    }
    return known;
}
