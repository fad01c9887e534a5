/* Unlinked files, mapped or open: nothing is left behind, whatever happens. See spool.h. */
#include "core/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/options.h"
#include "io/fd.h"

static atomic_uint_fast64_t used_bytes;

static const char *spool_directory(const struct options *options)
{
    const char *directory = option_text(options, SPOOL_DIR);

    if (!directory || !directory[0])
        directory = secure_getenv("TMPDIR");
    return directory && directory[0] ? directory : "/tmp";
}

/* ---- the limit ---------------------------------------------------------------------------------- */

int spool_reserve(const struct options *options, uint64_t bytes, struct error *err)
{
    uint64_t limit_bytes = (uint64_t)option_int(options, SPOOL_LIMIT);
    uint64_t used = atomic_fetch_add(&used_bytes, bytes) + bytes;

    if (!limit_bytes || used <= limit_bytes)
        return 0;
    atomic_fetch_sub(&used_bytes, bytes);
    return error_set(err, ERROR_NO_SPACE, "staged files may take %llu bytes: S3DLIO_SPOOL_LIMIT",
                     (unsigned long long)limit_bytes);
}

void spool_release(uint64_t bytes)
{
    atomic_fetch_sub(&used_bytes, bytes);
}

void spool_recount(uint64_t before_bytes, uint64_t after_bytes)
{
    atomic_fetch_add(&used_bytes, after_bytes - before_bytes);
}

uint64_t spool_used(void)
{
    return atomic_load(&used_bytes);
}

/* ---- files -------------------------------------------------------------------------------------- */

/* Where files without a name cannot be made, one is made and its name removed. */
static int open_named(const char *directory)
{
    char path[4096];
    int fd;

    if (snprintf(path, sizeof path, "%s/s3dlio-spool-XXXXXX", directory) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int open_unnamed(const struct options *options, int *ret_fd, struct error *err)
{
    const char *directory = spool_directory(options);
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        fd = open_named(directory);
    if (fd < 0)
        return error_set_errno(err, errno, "making a spool file in %s", directory);
    *ret_fd = fd;
    return 0;
}

int spool_open(const struct options *options, int *ret_fd, struct error *err)
{
    int fd;
    int r = open_unnamed(options, &fd, err);

    if (r < 0)
        return r;
    fd = fd_adopt(fd);
    if (fd < 0)
        return error_set_errno(err, -fd, "keeping a spool file");
    *ret_fd = fd;
    return 0;
}

/* ---- memory ------------------------------------------------------------------------------------- */

static int map(const struct options *options, size_t size_bytes, void **ret_memory,
               struct error *err)
{
    void *memory;
    int fd, r = open_unnamed(options, &fd, err);

    if (r < 0)
        return r;
    r = posix_fallocate(fd, 0, (off_t)size_bytes);
    if (r) {
        close(fd);
        return error_set_errno(err, r, "reserving space for a spool file in %s",
                               spool_directory(options));
    }
    memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    r = errno;
    close(fd);
    if (memory == MAP_FAILED)
        return error_set_errno(err, r, "mapping a spool file in %s", spool_directory(options));
    *ret_memory = memory;
    return 0;
}

int spool_map(const struct options *options, size_t size_bytes, void **ret_memory,
              struct error *err)
{
    int r = spool_reserve(options, size_bytes, err);

    if (r == 0) {
        r = map(options, size_bytes, ret_memory, err);
        if (r < 0)
            spool_release(size_bytes);
    }
    return r;
}

void spool_unmap(void *memory, size_t size_bytes)
{
    munmap(memory, size_bytes);
    spool_release(size_bytes);
}
