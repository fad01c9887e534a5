/* syscall(2): the numbers that programs use on files go to the function of that name when a path or
 * descriptor among their arguments is ours; every other call goes to the kernel from a few lines of
 * assembly, on the caller's frame, so that even SYS_vfork keeps working.
 *
 * The functions called are the exported ones: what they do for a program they do here. Calls made
 * by inline assembly come from inline_call.c where that sees them, else meet placeholders.
 */
#include "shim/calls/syscall.h"

#include <linux/openat2.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "config/options.h"
#include "shim/calls/map.h"
#include "shim/calls/map_lazy.h"
#include "shim/calls/process.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/inline_call.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/start.h"

/* The kernel's answer, from the assembly below. */
__attribute__((visibility("hidden"))) long syscall_raw(long number, long a0, long a1, long a2,
                                                       long a3, long a4, long a5);

/* From the assembly, for a number with a row. */
__attribute__((used, visibility("hidden"))) long syscall_decide(long number, long a0, long a1,
                                                                long a2, long a3, long a4, long a5);

/* ---- what needs more than a cast ---- */

/* The kernel's answers a length, the function a pointer. */
static long getcwd_length(char *buffer, size_t size)
{
    if (!path_cwd()[0] || !buffer) {
        errno = buffer ? EAGAIN : EFAULT;
        return -1;
    }
    if (!getcwd(buffer, size))
        return -1;
    long length = 1;
    while (buffer[length - 1])
        length++;
    return length;
}

static long openat2_call(int dirfd, const char *path, const struct open_how *how, size_t size)
{
    if ((uintptr_t)how < PATH_UNREAD)
        errno = EFAULT;
    else if (size < sizeof *how || how->flags > UINT32_MAX || how->mode & ~(uint64_t)07777)
        errno = EINVAL;
    else if (how->resolve & RESOLVE_CACHED)
        errno = EAGAIN;
    else if (how->resolve & RESOLVE_BENEATH && path[0] == '/')
        errno = EXDEV;
    else
        return openat(dirfd, path, (int)how->flags, (mode_t)how->mode);
    return -1;
}

static long map_call(long address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return (long)mmap((void *)address, length, protection, flags, fd, offset);
}

/* Ring users do not fall back from a completion that failed, so they get no ring at all. */
static long ring_call(unsigned entries, void *parameters)
{
    enum { AUTO, REFUSE };
    const struct options *options = start_options();
    if (engine_is_loaded() || (start_is_active() && option_int(options, IO_URING) == REFUSE)) {
        errno = ENOSYS;
        return -1;
    }
    map_lazy_note_ring();
    return syscall_answer(
        syscall_kernel(SYS_io_uring_setup, (long)entries, (long)parameters, 0, 0, 0, 0));
}

/* ---- the rows ---- */

/* Where a call names a file: indices of its arguments, -1 for none, packed. A path with fd -1 is
 * relative to the working directory. `used`: as soon as anything virtual has been used. */
#define WHERE(fd, path, fd2, path2, used)                                                          \
    ((uint32_t)((fd) + 1) | (uint32_t)((path) + 1) << 4 | (uint32_t)((fd2) + 1) << 8 |             \
     (uint32_t)((path2) + 1) << 12 | (uint32_t)(used) << 16)
#define WHERE_FD(where)     ((int)((where)&15) - 1)
#define WHERE_PATH(where)   ((int)((where) >> 4 & 15) - 1)
#define WHERE_SECOND(where) ((where) >> 8 & 255)
#define WHERE_USED(where)   ((where) >> 16 & 1)
#define WHERE_ALWAYS(where) ((where) >> 17 & 1)
#define WHERE_MEMORY(where) ((where) >> 18 & 1)

#define FD(i)           WHERE(i, -1, -1, -1, 0)
#define FDS(i, j)       WHERE(i, -1, j, -1, 0)
#define PATH(i)         WHERE(-1, i, -1, -1, 0)
#define PATHS(i, j)     WHERE(-1, i, -1, j, 0)
#define AT(i, j)        WHERE(i, j, -1, -1, 0)
#define ATS(i, j, k, l) WHERE(i, j, k, l, 0)
#define USED            WHERE(-1, -1, -1, -1, 1)
#define ALWAYS          WHERE(-1, -1, -1, -1, 2) /* its function decides */
#define MEMORY          WHERE(-1, -1, -1, -1, 4) /* an address and a length */
#define ANY_PATH(i)     WHERE(-1, i, -1, -1, 1) /* chdir: also out of a virtual directory */

#define I(n) (int)a[n]
#define U(n) (unsigned long)a[n]
#define P(n) (void *)a[n]

/* ROW(number, where, call) */
/* clang-format off */
#define ROWS(ROW)                                                                                  \
    ROW(read, FD(0), read(I(0), P(1), U(2)))                                                       \
    ROW(write, FD(0), write(I(0), P(1), U(2)))                                                     \
    ROW(pread64, FD(0), pread(I(0), P(1), U(2), a[3]))                                             \
    ROW(pwrite64, FD(0), pwrite(I(0), P(1), U(2), a[3]))                                           \
    ROW(readv, FD(0), readv(I(0), P(1), I(2)))                                                     \
    ROW(writev, FD(0), writev(I(0), P(1), I(2)))                                                   \
    ROW(preadv, FD(0), preadv(I(0), P(1), I(2), a[3]))                                             \
    ROW(pwritev, FD(0), pwritev(I(0), P(1), I(2), a[3]))                                           \
    ROW(preadv2, FD(0), preadv2(I(0), P(1), I(2), a[3], I(5)))                                     \
    ROW(pwritev2, FD(0), pwritev2(I(0), P(1), I(2), a[3], I(5)))                                   \
    ROW(lseek, FD(0), lseek(I(0), a[1], I(2)))                                                     \
    ROW(close, FD(0), close(I(0)))                                                                 \
    ROW(close_range, USED, close_range((unsigned)a[0], (unsigned)a[1], I(2)))                      \
    ROW(unshare, USED, unshare(I(0)))                                                              \
    ROW(dup, FD(0), dup(I(0)))                                                                     \
    ROW(dup3, FDS(0, 1), dup3(I(0), I(1), I(2)))                                                   \
    ROW(fcntl, FD(0), fcntl(I(0), I(1), a[2]))                                                     \
    ROW(ioctl, FD(0), ioctl(I(0), U(1), P(2)))                                                     \
    ROW(flock, FD(0), flock(I(0), I(1)))                                                           \
    ROW(fstat, FD(0), fstat(I(0), P(1)))                                                           \
    ROW(statx, AT(0, 1), statx(I(0), P(1), I(2), (unsigned)a[3], P(4)))                            \
    ROW(statfs, PATH(0), statfs(P(0), P(1)))                                                       \
    ROW(fstatfs, FD(0), fstatfs(I(0), P(1)))                                                       \
    ROW(faccessat, AT(0, 1), faccessat(I(0), P(1), I(2), 0))                                       \
    ROW(faccessat2, AT(0, 1), faccessat(I(0), P(1), I(2), I(3)))                                   \
    ROW(openat, AT(0, 1), openat(I(0), P(1), I(2), (mode_t)a[3]))                                  \
    ROW(openat2, AT(0, 1), openat2_call(I(0), P(1), P(2), U(3)))                                   \
    ROW(getdents64, FD(0), getdents64(I(0), P(1), U(2)))                                           \
    ROW(readlinkat, AT(0, 1), readlinkat(I(0), P(1), P(2), U(3)))                                  \
    ROW(mkdirat, AT(0, 1), mkdirat(I(0), P(1), (mode_t)a[2]))                                      \
    ROW(mknodat, AT(0, 1), mknodat(I(0), P(1), (mode_t)a[2], (dev_t)a[3]))                         \
    ROW(unlinkat, AT(0, 1), unlinkat(I(0), P(1), I(2)))                                            \
    ROW(renameat2, ATS(0, 1, 2, 3), renameat2(I(0), P(1), I(2), P(3), (unsigned)a[4]))             \
    ROW(linkat, ATS(0, 1, 2, 3), linkat(I(0), P(1), I(2), P(3), I(4)))                             \
    ROW(symlinkat, AT(1, 2), symlinkat(P(0), I(1), P(2)))                                          \
    ROW(chdir, ANY_PATH(0), chdir(P(0)))                                                           \
    ROW(fchdir, USED, fchdir(I(0)))                                                                \
    ROW(fchmod, FD(0), fchmod(I(0), (mode_t)a[1]))                                                 \
    ROW(fchmodat, AT(0, 1), fchmodat(I(0), P(1), (mode_t)a[2], 0))                                 \
    ROW(fchown, FD(0), fchown(I(0), (uid_t)a[1], (gid_t)a[2]))                                     \
    ROW(fchownat, AT(0, 1), fchownat(I(0), P(1), (uid_t)a[2], (gid_t)a[3], I(4)))                  \
    ROW(utimensat, AT(0, 1), utimensat(I(0), P(1), P(2), I(3)))                                    \
    ROW(truncate, PATH(0), truncate(P(0), a[1]))                                                   \
    ROW(ftruncate, FD(0), ftruncate(I(0), a[1]))                                                   \
    ROW(fallocate, FD(0), fallocate(I(0), I(1), a[2], a[3]))                                       \
    ROW(fsync, FD(0), fsync(I(0)))                                                                 \
    ROW(fdatasync, FD(0), fdatasync(I(0)))                                                         \
    ROW(syncfs, FD(0), syncfs(I(0)))                                                               \
    ROW(readahead, FD(0), readahead(I(0), a[1], U(2)))                                             \
    ROW(copy_file_range, FDS(0, 2), copy_file_range(I(0), P(1), I(2), P(3), U(4), (unsigned)a[5])) \
    ROW(sendfile, FDS(0, 1), sendfile(I(0), I(1), P(2), U(3)))                                     \
    ROW(splice, FDS(0, 2), splice(I(0), P(1), I(2), P(3), U(4), (unsigned)a[5]))                   \
    ROW(mmap, FD(4), map_call(a[0], U(1), I(2), I(3), I(4), a[5]))                                 \
    ROW(munmap, MEMORY, munmap(P(0), U(1)))                                                        \
    ROW(madvise, MEMORY, madvise(P(0), U(1), I(2)))                                                \
    ROW(mprotect, MEMORY, mprotect(P(0), U(1), I(2)))                                              \
    ROW(mlock, MEMORY, mlock(P(0), U(1)))                                                          \
    ROW(mremap, MEMORY, (long)mremap(P(0), U(1), U(2), I(3), P(4)))                                \
    ROW(getxattr, PATH(0), getxattr(P(0), P(1), P(2), U(3)))                                       \
    ROW(lgetxattr, PATH(0), lgetxattr(P(0), P(1), P(2), U(3)))                                     \
    ROW(fgetxattr, FD(0), fgetxattr(I(0), P(1), P(2), U(3)))                                       \
    ROW(listxattr, PATH(0), listxattr(P(0), P(1), U(2)))                                           \
    ROW(llistxattr, PATH(0), llistxattr(P(0), P(1), U(2)))                                         \
    ROW(flistxattr, FD(0), flistxattr(I(0), P(1), U(2)))                                           \
    ROW(setxattr, PATH(0), setxattr(P(0), P(1), P(2), U(3), I(4)))                                 \
    ROW(fsetxattr, FD(0), fsetxattr(I(0), P(1), P(2), U(3), I(4)))                                 \
    ROW(lsetxattr, PATH(0), lsetxattr(P(0), P(1), P(2), U(3), I(4)))                               \
    ROW(removexattr, PATH(0), removexattr(P(0), P(1)))                                             \
    ROW(lremovexattr, PATH(0), lremovexattr(P(0), P(1)))                                           \
    ROW(fremovexattr, FD(0), fremovexattr(I(0), P(1)))                                             \
    ROW(epoll_ctl, FD(2), epoll_ctl(I(0), I(1), I(2), P(3)))                                       \
    ROW(ppoll, USED, ppoll(P(0), U(1), P(2), P(3)))                                                \
    ROW(sendmsg, ALWAYS, sendmsg(I(0), P(1), I(2)))                                                \
    ROW(sendmmsg, ALWAYS, sendmmsg(I(0), P(1), (unsigned)a[2], I(3)))                              \
    ROW(recvmsg, ALWAYS, recvmsg(I(0), P(1), I(2)))                                                \
    ROW(recvmmsg, ALWAYS, recvmmsg(I(0), P(1), (unsigned)a[2], I(3), P(4)))                        \
    ROW(pidfd_getfd, ALWAYS, pidfd_getfd(I(0), I(1), (unsigned)a[2]))                              \
    ROW(name_to_handle_at, AT(0, 1), name_to_handle_at(I(0), P(1), P(2), P(3), I(4)))              \
    ROW(inotify_add_watch, PATH(1), inotify_add_watch(I(0), P(1), (uint32_t)a[2]))                 \
    ROW(io_uring_setup, ALWAYS, ring_call((unsigned)a[0], P(1)))                                   \
    ROW(clone, USED, process_clone(a))                                                             \
    ROW(execve, ANY_PATH(0), execve(P(0), P(1), P(2)))                                             \
    ROW(execveat, WHERE(0, 1, -1, -1, 1), execveat(I(0), P(1), P(2), P(3), I(4)))

/* Numbers that only older architectures have. */
#ifdef SYS_open
#define ROWS_OLD(ROW)                                                                              \
    ROW(fork, USED, fork())                                                                        \
    ROW(open, PATH(0), open(P(0), I(1), (mode_t)a[2]))                                             \
    ROW(creat, PATH(0), creat(P(0), (mode_t)a[1]))                                                 \
    ROW(stat, PATH(0), stat(P(0), P(1)))                                                           \
    ROW(lstat, PATH(0), lstat(P(0), P(1)))                                                         \
    ROW(access, PATH(0), access(P(0), I(1)))                                                       \
    ROW(dup2, FDS(0, 1), dup2(I(0), I(1)))                                                         \
    ROW(mkdir, PATH(0), mkdir(P(0), (mode_t)a[1]))                                                 \
    ROW(mknod, PATH(0), mknod(P(0), (mode_t)a[1], (dev_t)a[2]))                                    \
    ROW(rmdir, PATH(0), rmdir(P(0)))                                                               \
    ROW(unlink, PATH(0), unlink(P(0)))                                                             \
    ROW(rename, PATHS(0, 1), rename(P(0), P(1)))                                                   \
    ROW(renameat, ATS(0, 1, 2, 3), renameat(I(0), P(1), I(2), P(3)))                               \
    ROW(link, PATHS(0, 1), link(P(0), P(1)))                                                       \
    ROW(symlink, PATH(1), symlink(P(0), P(1)))                                                     \
    ROW(readlink, PATH(0), readlink(P(0), P(1), U(2)))                                             \
    ROW(chmod, PATH(0), chmod(P(0), (mode_t)a[1]))                                                 \
    ROW(chown, PATH(0), chown(P(0), (uid_t)a[1], (gid_t)a[2]))                                     \
    ROW(lchown, PATH(0), lchown(P(0), (uid_t)a[1], (gid_t)a[2]))                                   \
    ROW(utime, PATH(0), utime(P(0), P(1)))                                                         \
    ROW(utimes, PATH(0), utimes(P(0), P(1)))                                                       \
    ROW(poll, USED, poll(P(0), U(1), I(2)))                                                        \
    ROW(select, USED, select(I(0), P(1), P(2), P(3), P(4)))
#else
#define ROWS_OLD(ROW)
#endif

/* clang-format on */

/* fstatat and posix_fadvise have different names on different architectures; getcwd's row only
 * counts while the working directory is virtual. */
static long on_fstatat(const long *a)
{
    return fstatat(I(0), P(1), P(2), I(3));
}

static long on_fadvise64(const long *a)
{
    errno = posix_fadvise(I(0), a[1], a[2], I(3));
    return errno ? -1 : 0;
}

static long on_getcwd(const long *a)
{
    return getcwd_length(P(0), U(1));
}

#define ROW(name, where, call)                                                                     \
    static long on_##name(const long *a)                                                           \
    {                                                                                              \
        return (long)(call);                                                                       \
    }
ROWS(ROW)
ROWS_OLD(ROW)
#undef ROW

#define NUMBERS 512

#ifdef SYS_newfstatat
#    define SYS_FSTATAT SYS_newfstatat
#else
#    define SYS_FSTATAT SYS_fstatat
#endif

enum {
    ROW_NONE,
#define ROW(name, where, call) ROW_##name,
    ROWS(ROW) ROWS_OLD(ROW)
#undef ROW
        ROW_fstatat,
    ROW_fadvise64,
    ROW_getcwd,
    ROW_COUNT
};
_Static_assert(ROW_COUNT <= 256, "rows are told in a byte");

static const struct row {
    uint32_t where;
    long (*call)(const long *arguments);
} rows[ROW_COUNT] = {
#define ROW(name, where, call) [ROW_##name] = {where, on_##name},
    ROWS(ROW) ROWS_OLD(ROW)
#undef ROW
        [ROW_fstatat] = {AT(0, 1), on_fstatat},
    [ROW_fadvise64] = {FD(0), on_fadvise64},
    [ROW_getcwd] = {USED, on_getcwd},
};

/* Which row a number has, 0 for none; read by the assembly below. */
__attribute__((used, visibility("hidden"))) const unsigned char syscall_rows[NUMBERS] = {
#define ROW(name, where, call) [SYS_##name] = ROW_##name,
    ROWS(ROW) ROWS_OLD(ROW)
#undef ROW
        [SYS_FSTATAT] = ROW_fstatat,
    [SYS_fadvise64] = ROW_fadvise64,
    [SYS_getcwd] = ROW_getcwd,
};

/* ---- deciding ---- */

static bool names_ours(const long *a, uint32_t where)
{
    int fd = WHERE_FD(where), path = WHERE_PATH(where);
    if (path < 0)
        return fd >= 0 && fdtab_is_virtual((int)a[fd]);
    const char *text = (const char *)a[path];
    if (fd >= 0 && fdtab_is_virtual((int)a[fd]))
        return true;
    return path_maybe(text) || (file_any() && (uintptr_t)text >= PATH_UNREAD && text[0] == '/' &&
                                (text[1] == 'p' || text[1] == 'd'));
}

/* Only then: an allocator that has a munmap of its own, which ends here, is what REAL means for
 * ours, and each would call the other for ever. */
static bool takes_map(const struct row *row, const long *a)
{
    return map_is_known(P(0), U(1)) || map_lazy_is_there(P(0), U(1)) ||
           (row == &rows[ROW_mremap] && a[3] & MREMAP_FIXED && map_is_known(P(4), U(2)));
}

static bool is_ours(const struct row *row, const long *a)
{
    uint32_t where = row->where;
    if (row == &rows[ROW_getcwd])
        return path_cwd()[0];
    if (row == &rows[ROW_clone])
        return process_clone_is_ours(a);
    if (WHERE_ALWAYS(where) || (WHERE_USED(where) && engine_is_loaded()))
        return true;
    if (WHERE_MEMORY(where))
        return takes_map(row, a);
    return names_ours(a, where) || names_ours(a, WHERE_SECOND(where));
}

__attribute__((used)) long syscall_answer(long result)
{
    if ((unsigned long)result < (unsigned long)-4095L)
        return result;
    errno = (int)-result;
    return -1;
}

/* NOLINTNEXTLINE(readability-function-size): as many as the kernel takes */
long syscall_decide(long number, long a0, long a1, long a2, long a3, long a4, long a5)
{
    const long arguments[6] = {a0, a1, a2, a3, a4, a5};
    const struct row *row = &rows[syscall_rows[number]];
    if (unlikely(is_ours(row, arguments)))
        return row->call(arguments);
    long result = syscall_kernel(number, a0, a1, a2, a3, a4, a5);
    if (unlikely(result == -EFAULT) && map_lazy_fill_arguments(arguments))
        result = syscall_kernel(number, a0, a1, a2, a3, a4, a5);
    return syscall_answer(result);
}

long syscall_inline(long number, const long *a)
{
    if ((unsigned long)number >= NUMBERS || !syscall_rows[number])
        return syscall_kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    long result = syscall_decide(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    return result == -1 ? -errno : result;
}

/* NOLINTNEXTLINE(readability-function-size): as many as the kernel takes */
long syscall_kernel(long number, long a0, long a1, long a2, long a3, long a4, long a5)
{
    if (likely(!inline_call_is_watched()))
        return syscall_raw(number, a0, a1, a2, a3, a4, a5);
    int saved = errno;
    long result = REAL(syscall)(number, a0, a1, a2, a3, a4, a5);
    if (result == -1)
        result = -errno;
    errno = saved;
    return result;
}

/* Where calls without a row go on, on the caller's frame: libc's function, or NULL for the
 * instruction below. Read by the assembly. */
__attribute__((used, visibility("hidden"))) long (*syscall_next)(long number, ...);

void syscall_leave_to(long (*next)(long number, ...))
{
    syscall_next = next;
}

/* ---- the entry ---- */

#if defined __x86_64__
__asm__(".text\n"
        ".globl syscall\n"
        ".type syscall, @function\n"
        "syscall:\n"
        "    endbr64\n"
        "    cmpq $512, %rdi\n"
        "    jae 1f\n"
        "    leaq syscall_rows(%rip), %rax\n"
        "    cmpb $0, (%rax,%rdi)\n"
        "    jne 2f\n"
        "1:  movq syscall_next(%rip), %rax\n"
        "    testq %rax, %rax\n"
        "    jne 4f\n"
        "    movq %rdi, %rax\n"
        "    movq %rsi, %rdi\n"
        "    movq %rdx, %rsi\n"
        "    movq %rcx, %rdx\n"
        "    movq %r8, %r10\n"
        "    movq %r9, %r8\n"
        "    movq 8(%rsp), %r9\n"
        "    syscall\n"
        "    cmpq $-4095, %rax\n"
        "    jae 3f\n"
        "    ret\n"
        "2:  jmp syscall_decide\n" /* the arguments are where a function of seven finds them */
        "3:  movq %rax, %rdi\n"
        "    jmp syscall_answer\n"
        "4:  jmp *%rax\n"
        ".size syscall, .-syscall\n"
        ".globl syscall_raw\n"
        ".hidden syscall_raw\n"
        ".type syscall_raw, @function\n"
        "syscall_raw:\n"
        "    endbr64\n"
        "    movq %rdi, %rax\n"
        "    movq %rsi, %rdi\n"
        "    movq %rdx, %rsi\n"
        "    movq %rcx, %rdx\n"
        "    movq %r8, %r10\n"
        "    movq %r9, %r8\n"
        "    movq 8(%rsp), %r9\n"
        "    syscall\n"
        "    ret\n"
        ".size syscall_raw, .-syscall_raw\n");
#elif defined __aarch64__
__asm__(".text\n"
        ".globl syscall\n"
        ".type syscall, %function\n"
        "syscall:\n"
        "    hint #34\n"
        "    cmp x0, #512\n"
        "    b.hs 1f\n"
        "    adrp x9, syscall_rows\n"
        "    add x9, x9, :lo12:syscall_rows\n"
        "    ldrb w9, [x9, x0]\n"
        "    cbnz w9, 2f\n"
        "1:  mov x8, x0\n"
        "    mov x0, x1\n"
        "    mov x1, x2\n"
        "    mov x2, x3\n"
        "    mov x3, x4\n"
        "    mov x4, x5\n"
        "    mov x5, x6\n"
        "    svc #0\n"
        "    cmn x0, #4095\n"
        "    b.hs 3f\n"
        "    ret\n"
        "2:  b syscall_decide\n"
        "3:  b syscall_answer\n"
        ".size syscall, .-syscall\n"
        ".globl syscall_raw\n"
        ".hidden syscall_raw\n"
        ".type syscall_raw, %function\n"
        "syscall_raw:\n"
        "    hint #34\n"
        "    mov x8, x0\n"
        "    mov x0, x1\n"
        "    mov x1, x2\n"
        "    mov x2, x3\n"
        "    mov x3, x4\n"
        "    mov x4, x5\n"
        "    mov x5, x6\n"
        "    svc #0\n"
        "    ret\n"
        ".size syscall_raw, .-syscall_raw\n");
#else
#    error "syscall(2) needs its few lines of assembly for this architecture"
#endif
