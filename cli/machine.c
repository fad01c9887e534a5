/* What `s3dlio doctor` looks at on this machine: C library, memory, descriptors, folders, kernel.
 *
 * Everything is tried, not guessed from versions: a container may forbid what its kernel has. */
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cli/check.h"
#include "config/options.h"
#include "engine/s3dlio.h"

#define GLIBC_MAJOR      2
#define GLIBC_MINOR      34
#define MEMORY_LOW_BYTES (64ull << 20)
#define SHARED_LOW_BYTES (16ull << 20)
#define SPOOL_LOW_BYTES  (1ull << 30)
#define OWN_DESCRIPTORS  64 /* sockets aside: epoll sets, spool files, the arena */

static void check_libc(void)
{
    const char *version = gnu_get_libc_version();
    int major = 0, minor = 0;

    sscanf(version, "%d.%d", &major, &minor);
    if (major > GLIBC_MAJOR || (major == GLIBC_MAJOR && minor >= GLIBC_MINOR))
        check_line(CHECK_OK, "C library", NULL, "glibc %s", version);
    else
        check_line(CHECK_FAIL, "C library", "use a system with glibc 2.34 or newer", "glibc %s",
                   version);
}

static void check_memory(void)
{
    struct s3dlio_stats stats = {0};
    struct sysinfo info;

    s3dlio_get_stats(&stats);
    if (sysinfo(&info) < 0)
        return;
    check_line(stats.memory_budget_bytes < MEMORY_LOW_BYTES ? CHECK_WARN : CHECK_OK, "memory",
               stats.memory_budget_bytes < MEMORY_LOW_BYTES
                   ? "large reads will be slow; set S3DLIO_MEMORY_BUDGET"
                   : NULL,
               "%s for buffers, %s in this machine", check_size(stats.memory_budget_bytes),
               check_size((unsigned long long)info.totalram * info.mem_unit));
}

/* The engine's descriptors take the numbers above what programs count on: from 1024, or the upper
 * half of a small limit (engine/io/fd.c). */
static void check_descriptors(const struct options *options)
{
    long long wanted = option_int(options, MAX_HTTP_CONNECTIONS) + OWN_DESCRIPTORS, room;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    room = (long long)(limit.rlim_cur >= 4096 ? limit.rlim_cur - 1024 : limit.rlim_cur / 2);
    check_line(room < wanted ? CHECK_WARN : CHECK_OK, "descriptors",
               room < wanted ? "raise the limit (ulimit -n), or set S3DLIO_MAX_HTTP_CONNECTIONS lower"
                             : NULL,
               "limit %llu, room for %lld connections", (unsigned long long)limit.rlim_cur,
               room - OWN_DESCRIPTORS < wanted - OWN_DESCRIPTORS ? room - OWN_DESCRIPTORS
                                                                : wanted - OWN_DESCRIPTORS);
}

/* Can a file be made in this folder? 0 or an errno. Leaves nothing behind. */
static int try_folder(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), rc = 0;
    char name[4096];

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        snprintf(name, sizeof name, "%s/.s3dlio-XXXXXX", folder);
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    if (fd < 0)
        return errno;
    if (write(fd, "x", 1) != 1)
        rc = errno;
    close(fd);
    return rc;
}

/* Writable, and with some room? */
static void check_folder(const char *what, const char *folder, const char *advice,
                         unsigned long long low_bytes)
{
    struct statvfs filesystem;
    unsigned long long available;
    int errnum = try_folder(folder);

    if (errnum) {
        check_line(CHECK_FAIL, what, advice, "%s cannot be written: %s", folder, strerror(errnum));
        return;
    }
    if (statvfs(folder, &filesystem) < 0)
        return;
    available = (unsigned long long)filesystem.f_bavail * filesystem.f_frsize;
    check_line(available < low_bytes ? CHECK_WARN : CHECK_OK, what,
               available < low_bytes ? advice : NULL, "%s, %s free", folder, check_size(available));
}

static void check_folders(const struct options *options)
{
    const char *spool = option_text(options, SPOOL_DIR);

    spool = spool ? spool : getenv("TMPDIR");
    spool = spool && *spool ? spool : "/tmp";
    check_folder("spool folder", spool, "set S3DLIO_SPOOL_DIR to a folder with room",
                 SPOOL_LOW_BYTES);
    check_folder("shared memory", "/dev/shm", "mount a tmpfs there (docker: --shm-size)",
                 SHARED_LOW_BYTES);
}

static void check_kernel(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

    check_line(CHECK_OK, "userfaultfd", NULL, "%s%s",
               fd >= 0 ? "available" : "not available, mapped files are filled at once: ",
               fd >= 0 ? "" : strerror(errno));
    if (fd >= 0)
        close(fd);
    /* Without entries it is EINVAL where it exists. */
    if (syscall(SYS_io_uring_setup, 0, NULL) < 0 && errno != EINVAL && errno != EFAULT)
        check_line(CHECK_OK, "io_uring", NULL,
                   "not available, local files are read by plain calls: %s", strerror(errno));
    else
        check_line(CHECK_OK, "io_uring", NULL, "available");
}

void check_machine(const struct options *options)
{
    check_libc();
    check_memory();
    check_descriptors(options);
    check_folders(options);
    check_kernel();
}
