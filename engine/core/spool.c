/* Unlinked files, mapped and closed at once: nothing is left behind, whatever happens. See spool.h. */
#include "core/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/options.h"

static const char *spool_directory(const struct options *options)
{
    const char *directory = option_text(options, SPOOL_DIR);

    if (!directory || !directory[0])
        directory = secure_getenv("TMPDIR");
    return directory && directory[0] ? directory : "/tmp";
}

int spool_map(const struct options *options, size_t size_bytes, void **ret_memory,
              struct error *err)
{
    const char *directory = spool_directory(options);
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    void *memory;
    int r;

    if (fd < 0)
        return error_set_errno(err, errno, "making a spool file in %s", directory);
    r = posix_fallocate(fd, 0, (off_t)size_bytes);
    if (r) {
        close(fd);
        return error_set_errno(err, r, "reserving space for a spool file in %s", directory);
    }
    memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    r = errno;
    close(fd);
    if (memory == MAP_FAILED)
        return error_set_errno(err, r, "mapping a spool file in %s", directory);
    *ret_memory = memory;
    return 0;
}

void spool_unmap(void *memory, size_t size_bytes)
{
    munmap(memory, size_bytes);
}
