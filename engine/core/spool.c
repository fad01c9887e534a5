/* Unlinked files, mapped or open: nothing is left behind, whatever happens. See spool.h. */
#include "core/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/options.h"
#include "io/fd.h"

static atomic_uint_fast64_t used_bytes;

/* A directory that is itself in a bucket leads back to here, on the same thread. */
static _Thread_local enum { OPEN_NONE, OPEN_BEGUN, OPEN_LED_BACK } opening;
static atomic_bool tmpdir_leads_back; /* a program's temporary files may well be in a bucket */

static bool is_set(const struct options *options)
{
    const char *directory = option_text(options, SPOOL_DIR);

    return directory && directory[0];
}

static const char *spool_directory(const struct options *options)
{
    const char *directory = secure_getenv("TMPDIR");

    if (is_set(options))
        return option_text(options, SPOOL_DIR);
    return directory && directory[0] == '/' && !atomic_load(&tmpdir_leads_back) ? directory : "/tmp";
}

/* ---- errors ---------------------------------------------------------------------------------- */

static bool is_about_directory(int errnum)
{
    static const int errnums[] = {ENOENT, ENOTDIR, EISDIR, EACCES,       EPERM,
                                  EROFS,  ELOOP,   EINVAL, ENAMETOOLONG, EOPNOTSUPP};

    for (size_t i = 0; i < sizeof errnums / sizeof errnums[0]; i++)
        if (errnums[i] == errnum)
            return true;
    return false;
}

int spool_error(struct error *err, int errnum, const char *what)
{
    if (errnum == EMFILE || errnum == ENFILE)
        return error_set_errno(err, errnum, "a staged file, %s", what);
    error_set(err, ERROR_SPOOL, "%s: %s", what, strerrordesc_np(errnum));
    errnum = is_about_directory(errnum) ? EIO : errnum;
    if (err)
        err->errnum = errnum;
    return -errnum;
}

static int directory_error(struct error *err, int errnum, const char *what, const char *directory)
{
    char text[160];

    snprintf(text, sizeof text, "%s %s", what, directory);
    return spool_error(err, errnum, text);
}

/* ---- the limit ------------------------------------------------------------------------------- */

int spool_reserve(const struct options *options, uint64_t bytes, struct error *err)
{
    uint64_t limit_bytes = (uint64_t)option_int(options, SPOOL_LIMIT);
    uint64_t used = atomic_fetch_add(&used_bytes, bytes) + bytes;

    if (!limit_bytes || used <= limit_bytes)
        return 0;
    atomic_fetch_sub(&used_bytes, bytes);
    return error_set(err, ERROR_SPOOL, "they may take %llu bytes: S3DLIO_SPOOL_LIMIT",
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

/* ---- files ----------------------------------------------------------------------------------- */

/* Leaves the path in `path`; too small: ENAMETOOLONG. */
static int open_named(const char *directory, char *path, size_t size)
{
    int length = snprintf(path, size, "%s/s3dlio-spool-XXXXXX", directory);

    if (length < 0 || (size_t)length >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkostemp(path, O_CLOEXEC);
}

/* Without a name, where the file system can; else one is made and removed. */
static int open_unnamed_in(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[4096];

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        fd = open_named(directory, path, sizeof path);
        if (fd >= 0)
            unlink(path);
    }
    return fd;
}

/* The path is wanted, or NULL. */
static int open_file(const struct options *options, char *ret_path, size_t size, int *ret_fd,
                     struct error *err)
{
    const char *directory = spool_directory(options);
    bool led_back;
    int fd;

    if (directory[0] != '/') /* the working directory is the program's to change */
        return directory_error(err, EINVAL, "not an absolute path:", directory);
    if (opening != OPEN_NONE) {
        opening = OPEN_LED_BACK;
        return error_set(err, ERROR_CANCELLED, "a spool file in a bucket");
    }
    opening = OPEN_BEGUN;
    fd_room_begin(FD_FOR_FILES);
    fd = ret_path ? open_named(directory, ret_path, size) : open_unnamed_in(directory);
    fd_room_end();
    led_back = opening == OPEN_LED_BACK;
    opening = OPEN_NONE;
    if (led_back && !is_set(options) && strcmp(directory, "/tmp") != 0) {
        atomic_store(&tmpdir_leads_back, true);
        return open_file(options, ret_path, size, ret_fd, err);
    }
    if (led_back)
        return directory_error(err, EINVAL, "they cannot be in a bucket:", directory);
    if (fd < 0)
        return directory_error(err, errno, "making one in", directory);
    *ret_fd = fd;
    return 0;
}

int spool_open_named(const struct options *options, char *ret_path, size_t size, int *ret_fd,
                     struct error *err)
{
    return open_file(options, ret_path, size, ret_fd, err);
}

int spool_open(const struct options *options, int *ret_fd, struct error *err)
{
    int fd = -1;
    int r = open_file(options, NULL, 0, &fd, err);

    if (r < 0)
        return r;
    fd = fd_adopt(fd);
    if (fd < 0)
        return spool_error(err, -fd, "keeping one open");
    *ret_fd = fd;
    return 0;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int map(const struct options *options, size_t size_bytes, void **ret_memory,
               struct error *err)
{
    void *memory;
    int fd = -1, r = open_file(options, NULL, 0, &fd, err);

    if (r < 0)
        return r;
    r = posix_fallocate(fd, 0, (off_t)size_bytes);
    if (r) {
        close(fd);
        return directory_error(err, r, "reserving room in", spool_directory(options));
    }
    memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    r = errno;
    close(fd);
    if (memory == MAP_FAILED)
        return directory_error(err, r, "mapping one in", spool_directory(options));
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

void spool_rest(void *memory, size_t size_bytes)
{
    madvise(memory, size_bytes, MADV_DONTNEED); /* of a shared file mapping: the file has it */
}
