/* Bad pointers, call by call: EFAULT as the kernel's, whatever else is right. Paths are bad in the first
 * page only; buffers and structures also where memory was mapped once. */
#include "tests/preload/text.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static const char *file, *folder;
static int fd, directory_fd;
static void *bad; /* of this round */

static int setup(void **state)
{
    if (!text_exists("bp"))
        text_directory("bp");
    text_put("bp/file", "some text");
    file = strdup(preload_path("bp/file"));
    folder = strdup(preload_path("bp"));
    fd = text_open("bp/file", O_RDWR);
    directory_fd = text_open("bp", O_RDONLY | O_DIRECTORY);
    return 0;
}

static void paths(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    print_message("skip: AddressSanitizer itself reads what it is given, before the call\n");
    skip();
#endif
    struct stat st;
    struct statfs fs;
    struct statx stx;
    char text[32];
    const char *path = preload_bad(8);
    assert_errno(open(path, O_RDONLY), EFAULT);
    assert_errno(openat(directory_fd, path, O_RDONLY), EFAULT);
    assert_errno(creat(path, 0644), EFAULT);
    assert_errno(stat(path, &st), EFAULT);
    assert_errno(lstat(path, &st), EFAULT);
    assert_errno(fstatat(directory_fd, path, &st, 0), EFAULT);
    assert_errno(statx(directory_fd, path, 0, STATX_SIZE, &stx), EFAULT);
    assert_errno(statfs(path, &fs), EFAULT);
    assert_errno(access(path, F_OK), EFAULT);
    assert_errno(faccessat(directory_fd, path, F_OK, 0), EFAULT);
    assert_errno(chmod(path, 0644), EFAULT);
    assert_errno(fchmodat(directory_fd, path, 0644, 0), EFAULT);
    assert_errno(chown(path, 0, 0), EFAULT);
    assert_errno(fchownat(directory_fd, path, 0, 0, 0), EFAULT);
    assert_errno(truncate(path, 0), EFAULT);
    assert_errno(mkdir(path, 0755), EFAULT);
    assert_errno(mkdirat(directory_fd, path, 0755), EFAULT);
    assert_errno(rmdir(path), EFAULT);
    assert_errno(unlink(path), EFAULT);
    assert_errno(unlinkat(directory_fd, path, 0), EFAULT);
    assert_errno(rename(path, file), EFAULT);
    assert_errno(rename(file, path), EFAULT);
    assert_errno(renameat(directory_fd, "file", directory_fd, path), EFAULT);
    assert_errno(link(path, file), EFAULT);
    assert_errno(link(file, path), EFAULT);
    assert_errno(symlink("target", path), EFAULT);
    assert_errno(symlink(path, preload_path("bp/link")), EFAULT);
    assert_errno(readlink(path, text, sizeof text), EFAULT);
    assert_errno(readlinkat(directory_fd, path, text, sizeof text), EFAULT);
    assert_errno(chdir(path), EFAULT);
    assert_errno(getxattr(path, "user.a", text, sizeof text), EFAULT);
    assert_errno(setxattr(path, "user.a", "b", 1, 0), EFAULT);
    assert_errno(listxattr(path, text, sizeof text), EFAULT);
    assert_errno(mkfifo(path, 0644), EFAULT);
    assert_errno(execve(path, (char *[]){text, NULL}, environ), EFAULT);
}

static void structures(void)
{
    struct statx *stx = bad;
    assert_errno(stat(file, bad), EFAULT);
    assert_errno(lstat(file, bad), EFAULT);
    assert_errno(fstat(fd, bad), EFAULT);
    assert_errno(fstatat(directory_fd, "file", bad, 0), EFAULT);
    assert_errno(statx(directory_fd, "file", 0, STATX_SIZE, stx), EFAULT);
    assert_errno(statfs(file, bad), EFAULT);
    assert_errno(fstatfs(fd, bad), EFAULT);
    assert_errno(utimensat(AT_FDCWD, file, bad, 0), EFAULT);
    assert_errno(futimens(fd, bad), EFAULT);
    assert_errno(fcntl(fd, F_GETLK, bad), EFAULT);
    assert_errno(fcntl(fd, F_SETLK, bad), EFAULT);
    assert_errno(poll(bad, 1, 0), EFAULT);
    assert_errno(ppoll(bad, 1, NULL, NULL), EFAULT);
    assert_errno(select(fd + 1, bad, NULL, NULL, NULL), EFAULT);
}

static void buffers(void)
{
    struct iovec one = {bad, 4};
    off_t *offset = bad;
    char name[] = "user.a";
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_errno(read(fd, bad, 4), EFAULT);
    assert_errno(pread(fd, bad, 4, 0), EFAULT);
    assert_errno(readv(fd, bad, 1), EFAULT);
    assert_errno(readv(fd, &one, 1), EFAULT);
    assert_errno(preadv(fd, &one, 1, 0), EFAULT);
    assert_errno(write(fd, bad, 4), EFAULT);
    assert_errno(pwrite(fd, bad, 4, 0), EFAULT);
    assert_errno(writev(fd, bad, 1), EFAULT);
    assert_errno(writev(fd, &one, 1), EFAULT);
    assert_errno(pwritev(fd, &one, 1, 0), EFAULT);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    assert_errno(getdents64(directory_fd, bad, 4096), EFAULT);
    assert_errno(readlink(file, bad, 100), EINVAL); /* it is no link, that comes first */
    assert_errno(setxattr(file, name, bad, 4, 0), EFAULT);
    assert_errno(getxattr(file, bad, name, 4), EFAULT);
    int null = open("/dev/null", O_WRONLY);
    assert_errno(sendfile(null, fd, offset, 4), EFAULT);
    close(null);
}

static void both_kinds(void (*check)(void))
{
    void *gone = mmap(NULL, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bad = preload_bad((uintptr_t)gone);
    check();
    bad = preload_bad(8);
    check();
    munmap(gone, 1 << 16);
}

static void structures_anywhere(void **state)
{
    both_kinds(structures);
}

static void buffers_anywhere(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    print_message("skip: AddressSanitizer itself reads what it is given, before the call\n");
    skip();
#endif
    both_kinds(buffers);
    char text[16] = "";
    assert_int_equal(pread(fd, text, sizeof text, 0), 9);
    assert_string_equal(text, "some text"); /* nothing of all that was written */
}

static void programs(void **state)
{
    char *const *list = preload_bad(8);
    pid_t pid = fork();
    if (!pid) {
        bool failed = execve("/bin/true", list, environ) == -1 && errno == EFAULT &&
                      execve("/bin/true", (char *[]){(char *)"true", NULL}, list) == -1 &&
                      errno == EFAULT;
        _exit(failed ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void messages(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_errno(sendmsg(ends[0], preload_bad(8), 0), EFAULT);
    assert_errno(recvmsg(ends[1], preload_bad(8), MSG_DONTWAIT), EFAULT);
    struct iovec one = {preload_bad(8), 4};
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1};
    assert_errno(sendmsg(ends[0], &message, 0), EFAULT);
    message = (struct msghdr){.msg_control = preload_bad(8), .msg_controllen = 32};
    assert_errno(sendmsg(ends[0], &message, 0), EFAULT);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(structures_anywhere),
        cmocka_unit_test(buffers_anywhere),
        cmocka_unit_test(programs),
        cmocka_unit_test(messages),
    };
    return cmocka_run_group_tests_name("bad_pointers", tests, setup, NULL);
}
