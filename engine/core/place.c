/* The directory where a user's processes meet. See place.h. */
#include "core/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/fd.h"

/* A directory that is this user's alone; made when it is missing. A descriptor or -errno. */
static int open_place(const char *path)
{
    struct stat st;
    int fd;

    (void)!mkdir(path, 0700); /* where it fails, opening tells why */
    fd_room_begin(FD_FOR_FILES);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    fd_room_end();
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_mode & 077) {
        close(fd);
        return -EPERM;
    }
    return fd;
}

int place_open(void)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    char path[256];
    int fd = -ENOENT, length;

    if (runtime && runtime[0] == '/') {
        length = snprintf(path, sizeof path, "%s/s3dlio", runtime);
        if (length > 0 && (size_t)length < sizeof path)
            fd = open_place(path);
    }
    if (fd < 0) {
        snprintf(path, sizeof path, "/dev/shm/s3dlio-%u", (unsigned)geteuid());
        fd = open_place(path);
    }
    return fd;
}
