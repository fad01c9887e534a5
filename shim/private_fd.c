/* See private_fd.h. */
#include "shim/private_fd.h"

#include <fcntl.h>

#include "shim/real.h"

int private_fd_raise(int fd, int minimum)
{
    int high = fd < 0 ? -1 : REAL(fcntl)(fd, F_DUPFD_CLOEXEC, minimum);
    if (high < 0)
        return fd;
    REAL(close)(fd);
    return high;
}
