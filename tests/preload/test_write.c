/* Writing new objects: visible at close and not before, exact errors, what is refused. */
#include "tests/preload/preload.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void small_file(void **state)
{
    const char *path = preload_path("small");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello ", 6), 6);
    struct iovec iov[] = {{"wor", 3}, {"ld", 2}};
    assert_int_equal(writev(fd, iov, 2), 5);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 11);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 11);
    assert_int_equal(lseek(fd, 0, SEEK_END), 11);
    assert_int_equal(pwrite(fd, "!", 1, 11), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 12);
    char buffer[16] = "";
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, buffer, 16), 12);
    assert_string_equal(buffer, "hello world!");
    close(fd);
}

static void large_file(void **state)
{
    const char *path = preload_path("large");
    preload_make(path, 37 << 20);
    assert_int_equal(size_of(path), 37 << 20);
    int fd = open(path, O_RDONLY);
    unsigned char *buffer = malloc(1 << 20);
    for (uint64_t at = 0; at < 37 << 20; at += 1 << 20) {
        assert_int_equal(read(fd, buffer, 1 << 20), 1 << 20);
        assert_true(preload_matches(buffer, 1 << 20, at));
    }
    free(buffer);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

static void empty_file(void **state)
{
    const char *path = preload_path("void");
    int fd = creat(path, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 0);
}

static void exclusive(void **state)
{
    const char *path = preload_path("exclusive");
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_errno(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    assert_errno(open(preload_root(), O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
}

static void truncating_replaces(void **state)
{
    const char *path = preload_path("replaced");
    preload_make(path, 1000);
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 3);
    assert_errno(open(preload_path("never"), O_WRONLY | O_TRUNC), ENOENT);
}

static void mode_travels(void **state)
{
    const char *path = preload_path("mode");
    unlink(path);
    umask(022);
    int fd = open(path, O_WRONLY | O_CREAT, 0700);
    assert_int_equal(close(fd), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0700);
}

/* From here on whoever sets the umask is killed. */
static void forbid_umask(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_umask, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(2);
}

/* The umask counts without being set for a moment, which other threads would see. */
static void umask_is_only_read(void **state)
{
    struct stat st;
    int status;
    const char *file = preload_path("masked"), *directory = preload_path("masked-directory");
    pid_t pid = fork();
    if (!pid) {
        umask(027);
        forbid_umask();
        int fd = open(file, O_WRONLY | O_CREAT, 0666);
        _exit(fd < 0 || close(fd) < 0 || mkdir(directory, 0777) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0640);
    assert_int_equal(stat(directory, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0750);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void append_to_new(void **state)
{
    const char *path = preload_path("appended");
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "one", 3), 3);
    assert_int_equal(write(fd, "two", 3), 3);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 6);
}

static void duplicated_descriptors(void **state)
{
    const char *path = preload_path("duplicated");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), copy = dup(fd);
    assert_int_equal(write(fd, "ab", 2), 2);
    assert_int_equal(write(copy, "cd", 2), 2);
    assert_int_equal(close(fd), 0);
    assert_int_equal(write(copy, "ef", 2), 2);
    assert_int_equal(close(copy), 0);
    assert_int_equal(size_of(path), 6);
}

static void reading_is_refused(void **state)
{
    char byte;
    int fd = open(preload_path("no-reading"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_errno(read(fd, &byte, 1), EBADF);
    assert_errno(pread(fd, &byte, 1, 0), EBADF);
    assert_errno(write(fd, preload_bad(1), 10), EFAULT);
    assert_int_equal(write(fd, preload_bad(0), 0), 0);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_file),          cmocka_unit_test(large_file),
        cmocka_unit_test(empty_file),          cmocka_unit_test(exclusive),
        cmocka_unit_test(truncating_replaces), cmocka_unit_test(mode_travels),
        cmocka_unit_test(append_to_new),       cmocka_unit_test(duplicated_descriptors),
        cmocka_unit_test(reading_is_refused),  cmocka_unit_test(umask_is_only_read),
    };
    return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
