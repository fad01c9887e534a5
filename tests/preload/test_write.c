/* Writing new objects: visible at close and not before, exact errors, what is refused. */
#include "tests/preload/preload.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
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

/* From here on whoever makes this system call is killed, or told an error. */
static void forbid(unsigned number, unsigned action)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
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
        forbid(SYS_umask, SECCOMP_RET_KILL_PROCESS);
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

/* Writes `length` bytes of which what begins at `good` cannot be read: natively all before that is
 * stored, or nothing; in no case more. */
static bool refuses(const unsigned char *memory, size_t length, size_t good)
{
    const char *path = preload_path("unreadable");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    errno = 0;
    ssize_t written = write(fd, memory, length);
    bool is_exact = written < 0 ? errno == EFAULT : good && written <= (ssize_t)good;
    return is_exact && !close(fd) && size_of(path) == (written < 0 ? 0 : written);
}

static bool stores(const unsigned char *memory, size_t length)
{
    const char *path = preload_path("readable");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    return write(fd, memory, length) == (ssize_t)length && !close(fd) &&
           size_of(path) == (off_t)length;
}

/* Far below where the kernel maps by itself: what is unmapped here stays a hole, also while threads
 * of the engine map their stacks. */
#define QUIET_ADDRESS ((void *)0x200000000000)

static bool looks_at_pages(size_t length, size_t good, bool finds_forbidden)
{
    unsigned char *memory = mmap(QUIET_ADDRESS, length, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (memory != QUIET_ADDRESS)
        return false;
    memset(memory, 'm', good);
    return stores(memory, length) && !mprotect(memory + good, 4096, PROT_NONE) &&
           (!finds_forbidden || refuses(memory, length, good)) && !munmap(memory + good, 4096) &&
           refuses(memory, length, good) && !munmap(memory, length);
}

/* A mapped file that is shorter than the map. */
static bool looks_at_mapped_file(size_t length)
{
    int file = memfd_create("short", MFD_CLOEXEC);
    unsigned char *memory = mmap(NULL, length, PROT_READ, MAP_SHARED, file, 0);
    return !ftruncate(file, (off_t)length / 2) && refuses(memory, length, length / 2) &&
           !ftruncate(file, (off_t)length) && stores(memory, length) && !munmap(memory, length) &&
           !close(file);
}

static bool looks_at_memory(bool finds_forbidden)
{
    static const size_t lengths[] = {8192, 3 << 20};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        size_t length = lengths[i];
        if (!looks_at_pages(length, 0, finds_forbidden) ||
            !looks_at_pages(length, length / 2, finds_forbidden) ||
            !looks_at_pages(length, length - 4096, finds_forbidden) ||
            !looks_at_mapped_file(length))
            return false;
    }
    return true;
}

static void unreadable_memory_is_refused(void **state)
{
    assert_true(looks_at_memory(true));
}

/* Containers may refuse one way to look at memory, old kernels do not know the other; that cannot
 * tell memory without permission to read from special memory. */
static void looking_goes_another_way_where_one_is_refused(void **state)
{
    static const unsigned calls[] = {SYS_madvise, SYS_process_vm_writev};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        int status;
        pid_t pid = fork();
        if (!pid) {
            forbid(calls[i], SECCOMP_RET_ERRNO | EPERM);
            _exit(!looks_at_memory(calls[i] == SYS_madvise));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
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
        cmocka_unit_test(unreadable_memory_is_refused),
        cmocka_unit_test(looking_goes_another_way_where_one_is_refused),
    };
    return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
