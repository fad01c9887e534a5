/* syscall(2) with the numbers that programs use: the same answers as the functions of those
 * names. */
#include "tests/preload/preload.h"

#include <aio.h>
#include <dirent.h>
#include <linux/aio_abi.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define SIZE 5000

static char *root, *file;

static int setup(void **state)
{
    root = strdup(preload_path("syscall"));
    assert_int_equal(mkdir(root, 0755), 0);
    file = strdup(preload_path("syscall/file"));
    preload_make(file, SIZE);
    return 0;
}

static void reading(void **state)
{
    char buffer[100];
    long fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(syscall(SYS_read, fd, buffer, 100L), 100);
    assert_true(preload_matches(buffer, 100, 0));
    assert_int_equal(syscall(SYS_pread64, fd, buffer, 100L, 4950L), 50);
    assert_true(preload_matches(buffer, 50, 4950));
    assert_int_equal(syscall(SYS_lseek, fd, 1000L, SEEK_SET), 1000);
    struct iovec parts[2] = {{buffer, 10}, {buffer + 10, 90}};
    assert_int_equal(syscall(SYS_readv, fd, parts, 2L), 100);
    assert_true(preload_matches(buffer, 100, 1000));
    assert_int_equal(syscall(SYS_preadv, fd, parts, 2L, 200L, 0L), 100);
    assert_true(preload_matches(buffer, 100, 200));
    long copy = syscall(SYS_dup, fd);
    assert_true(copy > fd);
    assert_int_equal(syscall(SYS_dup3, fd, 90L, (long)O_CLOEXEC), 90);
    assert_int_equal(syscall(SYS_fcntl, 90L, F_GETFD), FD_CLOEXEC);
    assert_int_equal(syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 95L), 95);
    assert_int_equal(syscall(SYS_close, copy), 0);
    assert_int_equal(syscall(SYS_close_range, 90L, 95L, 0L), 0);
    assert_errno(syscall(SYS_read, 90L, buffer, 1L), EBADF);
    assert_int_equal(syscall(SYS_close, fd), 0);
    assert_errno(syscall(SYS_close, fd), EBADF);
}

static void attributes(void **state)
{
    struct stat st;
    struct statx stx;
    char buffer[PATH_MAX];
    assert_int_equal(syscall(SYS_statx, AT_FDCWD, file, 0, STATX_BASIC_STATS, &stx), 0);
    assert_int_equal(stx.stx_size, SIZE);
    long fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY, 0);
    assert_int_equal(syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stx), 0);
    assert_int_equal(stx.stx_size, SIZE);
    assert_int_equal(syscall(SYS_fstat, fd, &st), 0);
    assert_int_equal(st.st_size, SIZE);
#ifdef SYS_newfstatat
    assert_int_equal(syscall(SYS_newfstatat, AT_FDCWD, file, &st, 0L), 0);
    assert_int_equal(st.st_size, SIZE);
#endif
#ifdef SYS_stat
    assert_int_equal(syscall(SYS_stat, file, &st), 0);
    assert_int_equal(syscall(SYS_lstat, file, &st), 0);
    assert_int_equal(st.st_size, SIZE);
    assert_int_equal(syscall(SYS_access, file, R_OK), 0);
    assert_errno(syscall(SYS_readlink, file, buffer, sizeof buffer), EINVAL);
#endif
    assert_int_equal(syscall(SYS_faccessat, AT_FDCWD, file, R_OK), 0);
    assert_int_equal(syscall(SYS_faccessat2, AT_FDCWD, file, R_OK, 0L), 0);
    assert_errno(syscall(SYS_faccessat2, AT_FDCWD, preload_path("none"), R_OK, 0L), ENOENT);
    assert_errno(syscall(SYS_readlinkat, AT_FDCWD, file, buffer, sizeof buffer), EINVAL);
    syscall(SYS_close, fd);
}

static void openat2_of_it(void **state)
{
    struct open_how how = {.flags = O_RDONLY};
    long fd = syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof how);
    assert_true(fd >= 0);
    syscall(SYS_close, fd);
    assert_errno(syscall(SYS_openat2, AT_FDCWD, file, &how, 4L), EINVAL);
    assert_errno(syscall(SYS_openat2, AT_FDCWD, preload_path("none"), &how, sizeof how), ENOENT);
}

static void names(void **state)
{
    const char *made = preload_path("syscall/made");
    assert_int_equal(syscall(SYS_mkdirat, AT_FDCWD, made, 0755L), 0);
    assert_errno(syscall(SYS_mkdirat, AT_FDCWD, made, 0755L), EEXIST);
    assert_int_equal(syscall(SYS_unlinkat, AT_FDCWD, made, (long)AT_REMOVEDIR), 0);
    long fd = syscall(SYS_openat, AT_FDCWD, made, O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(syscall(SYS_write, fd, "hello", 5L), 5);
    assert_int_equal(syscall(SYS_close, fd), 0);
    struct stat st;
    assert_int_equal(stat(made, &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(syscall(SYS_unlinkat, AT_FDCWD, made, 0L), 0);
    assert_errno(stat(made, &st), ENOENT);
}

static void directories(void **state)
{
    char before[PATH_MAX], buffer[PATH_MAX];
    _Alignas(struct dirent64) char records[4096];
    long fd = syscall(SYS_openat, AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0), got;
    int count = 0;
    while ((got = syscall(SYS_getdents64, fd, records, sizeof records)) > 0)
        for (long at = 0; at < got; count++)
            at += ((struct dirent64 *)(void *)(records + at))->d_reclen;
    assert_int_equal(count, 3);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(syscall(SYS_fchdir, fd), 0);
    assert_int_equal(syscall(SYS_getcwd, buffer, sizeof buffer), strlen(root) + 1);
    assert_string_equal(buffer, root);
    assert_int_equal(syscall(SYS_chdir, before), 0);
    assert_true(syscall(SYS_getcwd, buffer, sizeof buffer) > 0);
    assert_string_equal(buffer, before);
    syscall(SYS_close, fd);
}

static void mapped(void **state)
{
    long fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY, 0);
    long memory = syscall(SYS_mmap, 0L, (long)SIZE, PROT_READ, MAP_PRIVATE, fd, 0L);
    assert_int_not_equal(memory, -1);
    assert_true(preload_matches((void *)memory, SIZE, 0));
    syscall(SYS_munmap, memory, (long)SIZE);
    syscall(SYS_close, fd);
}

/* Everything else reaches the kernel with all six arguments and errno as it was. */
static void others(void **state)
{
    errno = 77;
    assert_int_equal(syscall(SYS_getpid), getpid());
    assert_int_equal(errno, 77);
    assert_errno(syscall(100000L), ENOSYS);
    assert_errno(syscall(-1L), ENOSYS);
    assert_errno(syscall(SYS_openat, AT_FDCWD, "/none", O_RDONLY, 0), ENOENT);
    assert_errno(syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY, 0), EFAULT);
    long memory =
        syscall(SYS_mmap, 0L, 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
    assert_int_not_equal(memory, -1);
    *(char *)memory = 1;
    assert_int_equal(syscall(SYS_munmap, memory, 4096L), 0);
    int local = open("/proc/self/exe", O_RDONLY);
    char magic[4];
    assert_int_equal(syscall(SYS_pread64, local, magic, 4L, 0L), 4);
    assert_memory_equal(magic, "\177ELF", 4);
    close(local);
}

/* A ring would bypass the library: after a virtual path there is none. */
static void no_ring(void **state)
{
    if (preload_is_virtual()) {
        char parameters[256] = {0};
        assert_errno(syscall(SYS_io_uring_setup, 4L, parameters), ENOSYS);
    }
}

/* The kernel's aio is asked for by number, by libaio from lines of its own. What it may not do is
 * told when the request is made, as of a file that takes none: callers read by themselves then. */
static void kernel_aio(void **state)
{
    aio_context_t context = 0;
    char text[8] = "";
    int fd = open(file, O_RDONLY);
    struct iocb request = {.aio_lio_opcode = IOCB_CMD_PREAD,
                           .aio_fildes = (uint32_t)fd,
                           .aio_buf = (uintptr_t)text,
                           .aio_nbytes = sizeof text};
    struct iocb *requests = &request;
    struct io_event event = {0};
    if (syscall(SYS_io_setup, 1L, &context) < 0) {
        print_message("skip: no aio here: %s\n", strerror(errno));
        close(fd);
        skip();
    }
    if (preload_is_virtual()) {
        assert_errno(syscall(SYS_io_submit, context, 1L, &requests), EBADF);
        assert_int_equal(read(fd, text, sizeof text), sizeof text);
    } else {
        assert_int_equal(syscall(SYS_io_submit, context, 1L, &requests), 1);
        assert_int_equal(syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL), 1);
        assert_int_equal(event.res, sizeof text);
    }
    assert_true(preload_matches(text, sizeof text, 0));
    assert_int_equal(syscall(SYS_io_destroy, context), 0);
    close(fd);
}

/* The requests of aio(7) are made by libc's own threads, which end in the same refusal. */
static void posix_aio(void **state)
{
    char text[8] = "";
    struct aiocb request = {.aio_buf = text, .aio_nbytes = sizeof text};
    const struct aiocb *requests[] = {&request};
    request.aio_fildes = open(file, O_RDONLY);
    assert_int_equal(aio_read(&request), 0);
    while (aio_error(&request) == EINPROGRESS)
        aio_suspend(requests, 1, NULL);
    assert_int_equal(aio_error(&request), preload_is_virtual() ? EBADF : 0);
    assert_int_equal(aio_return(&request), preload_is_virtual() ? -1 : (int)sizeof text);
    close(request.aio_fildes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading), cmocka_unit_test(attributes),  cmocka_unit_test(openat2_of_it),
        cmocka_unit_test(names),   cmocka_unit_test(directories), cmocka_unit_test(mapped),
        cmocka_unit_test(others),  cmocka_unit_test(no_ring),
        cmocka_unit_test(kernel_aio), cmocka_unit_test(posix_aio),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
