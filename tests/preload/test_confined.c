/* Processes that lack something: standard descriptors, descriptors, address space, system calls
 * (seccomp), a /proc, a writable root, their user. Each begins with nothing virtual open, is confined,
 * and then does the same work: it goes well where it does on a disk, and otherwise fails with an
 * error; it never ends the process. */
#include "tests/preload/text.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SECONDS 60
#define SKIPPED 77
#define NOBODY  65534
#define NUMBERS 64

/* The status of a child that is confined and then works; -signal. This process stays as it is. */
static int in_child(void (*confine)(void), int (*work)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (!pid) {
        alarm(SECONDS);
        confine();
        _exit(work());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void assert_works(void (*confine)(void), int (*work)(void))
{
    int status = in_child(confine, work);
    if (status == SKIPPED)
        skip();
    assert_int_equal(status, 0);
}

static bool is_there(const char *path, const char *expected)
{
    char text[64] = "";
    int fd = open(path, O_RDONLY);
    bool is_it = fd >= 0 && read(fd, text, sizeof text - 1) == (ssize_t)strlen(expected);
    return close(fd) == 0 && is_it && !strcmp(text, expected);
}

static bool put(const char *path, int access, const char *text)
{
    ssize_t length = (ssize_t)strlen(text);
    int fd = open(path, access | O_CREAT | O_TRUNC, 0644);
    bool is_put = fd >= 0 && write(fd, text, (size_t)length) == length;
    return close(fd) == 0 && is_put;
}

/* Reads, writes from the beginning and anywhere, lists, forks. 0, or the number of what failed. */
static int everything(void)
{
    struct stat st;
    int status = -1;
    if (!is_there(preload_path("confined/in"), "some text"))
        return 1;
    if (!put(preload_path("confined/out"), O_WRONLY, "stream") ||
        !is_there(preload_path("confined/out"), "stream"))
        return 2;
    int fd = open(preload_path("confined/out"), O_RDWR);
    if (pwrite(fd, "dr", 2, 3) != 2 || close(fd) ||
        !is_there(preload_path("confined/out"), "strdrm"))
        return 3;
    if (stat(preload_path("confined/none"), &st) == 0 || errno != ENOENT)
        return 4;
    if (text_entries("confined") < 2 || text_entries("confined/directory") != 1)
        return 5;
    fd = open(preload_path("confined/in"), O_RDONLY);
    pid_t pid = fork();
    if (!pid)
        _exit(lseek(fd, 5, SEEK_SET) != 5);
    if (waitpid(pid, &status, 0) != pid || status || lseek(fd, 0, SEEK_CUR) != 5 || close(fd))
        return 6;
    return unlink(preload_path("confined/out")) ? 7 : 0;
}

/* The same, where it may fail. */
static int anything(void)
{
    everything();
    return 0;
}

static void unconfined(void)
{
}

/* The programs of this file have nothing of a bucket in themselves: what they need is made apart. */
static int make(void)
{
    mkdir(preload_path("confined"), 0777);
    mkdir(preload_path("confined/directory"), 0755);
    return !put(preload_path("confined/in"), O_WRONLY, "some text") ||
           !put(preload_path("confined/directory/file"), O_WRONLY, "x") ||
           chmod(preload_path("confined"), 0777) || chmod(preload_path("confined/directory"), 0755);
}

/* Any user may get at what is to be got at. */
static int setup(void **state)
{
    const char *spool = getenv("TMPDIR");
    return (!preload_is_virtual() && chmod(preload_root(), 01777)) ||
           (spool && chmod(spool, 01777)) || in_child(unconfined, make);
}

static void nothing_is_lacking(void **state)
{
    assert_works(unconfined, everything);
}

/* ---- descriptors ---- */

static void close_standard(void)
{
    for (int fd = 0; fd <= 2; fd++)
        close(fd);
}

/* The lowest numbers are given to files, and stdio's streams are these. */
static int standard_numbers(void)
{
    char line[32] = "";
    if (open(preload_path("confined/in"), O_RDONLY) != 0 ||
        open(preload_path("confined/standard"), O_WRONLY | O_CREAT | O_TRUNC, 0644) != 1 ||
        open(preload_path("confined/error"), O_WRONLY | O_CREAT | O_TRUNC, 0644) != 2)
        return 11;
    if (!fgets(line, sizeof line, stdin) || strcmp(line, "some text"))
        return 12;
    if (printf("printed") != 7 || fflush(stdout) || fprintf(stderr, "error") != 5)
        return 13;
    close_standard();
    return !is_there(preload_path("confined/standard"), "printed") ||
                   !is_there(preload_path("confined/error"), "error")
               ? 14
               : 0;
}

static void without_standard_descriptors(void **state)
{
    assert_works(close_standard, everything);
    assert_works(close_standard, standard_numbers);
}

static void few_descriptors(void)
{
    struct rlimit limit = {NUMBERS, NUMBERS};
    if (setrlimit(RLIMIT_NOFILE, &limit))
        _exit(90);
}

/* All that may be had; what is open goes on. */
static int use_all_numbers(void)
{
    int fds[NUMBERS + 1], count = 0;
    char byte;
    for (; count <= NUMBERS && (fds[count] = open(preload_path("confined/in"), O_RDONLY)) >= 0;
         count++)
        ;
    if (errno != EMFILE || !count || fds[count - 1] >= NUMBERS)
        return 21;
    if (dup(fds[0]) != -1 || errno != EMFILE || opendir(preload_path("confined")) ||
        errno != EMFILE)
        return 22;
    for (int i = 0; i < count; i++)
        if (read(fds[i], &byte, 1) != 1 || byte != 's' || close(fds[i]))
            return 23;
    return everything();
}

static void without_more_descriptors(void **state)
{
    assert_works(few_descriptors, use_all_numbers);
}

/* ---- address space ---- */

static unsigned long space_bytes;

static void little_space(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu", &pages) != 1 || fclose(file))
        _exit(90);
    rlim_t bytes = pages * (unsigned long)sysconf(_SC_PAGESIZE) + space_bytes;
    struct rlimit limit = {bytes, bytes};
    if (setrlimit(RLIMIT_AS, &limit))
        _exit(91);
}

static void without_address_space(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    print_message("skip: AddressSanitizer ends the program that it gets no memory for\n");
    skip();
#endif
    for (space_bytes = 0; space_bytes <= 1ul << 30; space_bytes = space_bytes * 4 + 4096)
        assert_int_equal(in_child(little_space, anything), 0);
}

/* ---- system calls ---- */

static const int *refused_calls; /* ends with -1 */

static void refuse_calls(void)
{
    struct sock_filter code[32] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)}; /* the call's number */
    unsigned short length = 1;
    for (const int *call = refused_calls; *call >= 0; call++) {
        code[length++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)*call, 0, 1);
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {length, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        _exit(SKIPPED);
}

static void without_some_system_calls(void **state)
{
    static const int none[] = {SYS_memfd_create,
                               SYS_userfaultfd,
                               SYS_pidfd_open,
                               SYS_io_uring_setup,
                               SYS_process_vm_readv,
                               SYS_process_vm_writev,
                               SYS_close_range,
                               SYS_openat2,
                               SYS_statx,

                               -1};
    for (unsigned i = 0; i < sizeof none / sizeof *none - 1; i++) {
        int one[] = {none[i], -1};
        refused_calls = one;
        int status = in_child(refuse_calls, everything);
        if (status)
            fail_msg("without system call %d: %d", none[i], status);
    }
    refused_calls = none;
    assert_works(refuse_calls, everything);
}

/* ---- the file system ---- */

static void mount_namespace(void)
{
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        _exit(SKIPPED);
}

static void hide_proc(void)
{
    mount_namespace();
    if (mount("none", "/proc", "tmpfs", 0, NULL))
        _exit(SKIPPED);
}

static void without_proc(void **state)
{
    assert_works(hide_proc, everything);
}

static void root_read_only(void)
{
    mount_namespace();
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL))
        _exit(SKIPPED);
}

/* As containers have it: one folder is memory. The local run's root is in memory anyway. */
static void root_read_only_but_tmpdir(void)
{
    const char *folder = getenv("TMPDIR");
    root_read_only();
    if (preload_is_virtual() && mount("none", folder ? folder : "/tmp", "tmpfs", 0, NULL))
        _exit(SKIPPED);
}

/* Without a place for staged files: what is changed in the middle is not, and whole. */
static int all_but_changes(void)
{
    if (!put(preload_path("confined/out"), O_WRONLY, "stream"))
        return 41;
    int fd = open(preload_path("confined/out"), O_RDWR), error = 0;
    if (fd >= 0 && pwrite(fd, "dr", 2, 3) != 2)
        error = errno;
    else if (fd < 0)
        error = errno;
    close(fd);
    if (error != (preload_is_virtual() ? EIO : 0))
        return 42;
    if (!is_there(preload_path("confined/out"), error ? "stream" : "strdrm"))
        return 43;
    return unlink(preload_path("confined/out")) ? 44 : 0;
}

static void with_a_root_that_is_read_only(void **state)
{
    assert_works(root_read_only_but_tmpdir, everything);
    assert_works(root_read_only, all_but_changes);
}

/* ---- another user ---- */

static int inherited = -1;

static void become_nobody(void)
{
    if (setgid(NOBODY) || setuid(NOBODY))
        _exit(SKIPPED);
}

static void open_and_become_nobody(void)
{
    inherited = open(preload_path("confined/in"), O_RDONLY);
    if (inherited < 0)
        _exit(90);
    become_nobody();
}

/* What was opened before is open still, and more may be. */
static int as_another(void)
{
    char text[16] = "";
    if (read(inherited, text, 4) != 4 || strcmp(text, "some") || close(inherited))
        return 31;
    return is_there(preload_path("confined/in"), "some text") ? 0 : 32;
}

static void as_another_user(void **state)
{
    assert_works(become_nobody, everything);
    assert_works(open_and_become_nobody, as_another);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lacking),
        cmocka_unit_test(without_standard_descriptors),
        cmocka_unit_test(without_more_descriptors),
        cmocka_unit_test(without_address_space),
        cmocka_unit_test(without_some_system_calls),
        cmocka_unit_test(without_proc),
        cmocka_unit_test(with_a_root_that_is_read_only),
        cmocka_unit_test(as_another_user),
    };
    return cmocka_run_group_tests_name("confined", tests, setup, NULL);
}
