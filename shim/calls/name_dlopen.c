/* dlopen of a virtual path: the object is fetched into a memfd and loaded from there.
 *
 * The loader looks at its caller ($ORIGIN, RUNPATH, RTLD_NEXT), so the real function is jumped to
 * with the program's return address in place. It also takes two names that are equal for one
 * library: a fetched one keeps its descriptor, and no other is ever loaded by that number.
 *
 * Locking: `lock` covers the table; it is not held while bytes are fetched.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shim/calls/io.h"
#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/entry.h"
#include "shim/file.h"
#include "shim/path.h"
#include "shim/real.h"

#define FD_MINIMUM 512 /* out of the way of a program that counts on low numbers */

static struct {
    pthread_mutex_t lock;
    struct library {
        char *path; /* owned, never freed */
        struct s3dlio_attr attr;
        int fd;
        ino_t inode; /* to notice that the program closed the descriptor */
    } *table; /* grows; programs that load nothing from a bucket pay nothing for it */
    unsigned count;
} libraries = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A fork child must not find the lock held by a thread it does not have. */
static pthread_once_t forks = PTHREAD_ONCE_INIT;

static void libraries_lock(void)
{
    pthread_mutex_lock(&libraries.lock);
}

static void libraries_unlock(void)
{
    pthread_mutex_unlock(&libraries.lock);
}

static void forks_watch(void)
{
    pthread_atfork(libraries_lock, libraries_unlock, libraries_unlock);
}

static int copy_into(struct file *file, int fd)
{
    uint64_t size = (uint64_t)io_size(file);
    if (REAL(ftruncate)(fd, (off_t)size) < 0)
        return -errno;
    char *memory = !size ? NULL : REAL(mmap)(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    int result = 0;
    for (uint64_t done = 0; !result && done < size;) {
        ssize_t got = io_read_at(file, memory + done, size - done, (off_t)done);
        result = got > 0 ? 0 : got < 0 ? (int)got : -EIO;
        done += got > 0 ? (uint64_t)got : 0;
    }
    if (memory)
        REAL(munmap)(memory, size);
    return result;
}

static bool is_whole(const struct library *library)
{
    struct stat st;
    return !REAL(fstat)(library->fd, &st) && st.st_ino == library->inode;
}

static bool is_same(const struct s3dlio_attr *a, const struct s3dlio_attr *b)
{
    return a->size_bytes == b->size_bytes && a->mtime.tv_sec == b->mtime.tv_sec &&
           a->mtime.tv_nsec == b->mtime.tv_nsec && !strcmp(a->etag, b->etag);
}

/* Under the lock: the one that was fetched already. */
static int library_find(const struct file *file)
{
    for (unsigned i = 0; i < libraries.count; i++) {
        const struct library *library = &libraries.table[i];
        if (!strcmp(library->path, file->path) && is_same(&library->attr, &file->attr) &&
            is_whole(library))
            return library->fd;
    }
    return -1;
}

static bool number_was_used(int fd)
{
    for (unsigned i = 0; i < libraries.count; i++)
        if (libraries.table[i].fd == fd)
            return true;
    return false;
}

/* Under the lock. Keeps a memfd under a number that no library had before; -errno. */
static int library_keep(const struct file *file, int fd)
{
    struct stat st;
    int minimum = FD_MINIMUM, number = -1;
    struct library *grown = realloc(libraries.table, (libraries.count + 1) * sizeof *grown);
    if (!grown)
        return -ENOMEM;
    libraries.table = grown;
    do {
        if (number >= 0)
            REAL(close)(number);
        number = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, minimum);
        minimum = number + 1;
    } while (number >= 0 && number_was_used(number));
    char *path = number < 0 ? NULL : strdup(file->path);
    if (!path || REAL(fstat)(number, &st) < 0) {
        int result = number < 0 ? -errno : -ENOMEM;
        if (number >= 0)
            REAL(close)(number);
        free(path);
        return result;
    }
    struct library *library = &libraries.table[libraries.count++];
    *library = (struct library){.path = path, .attr = file->attr, .fd = number, .inode = st.st_ino};
    return number;
}

static int library_fetch(struct file *file)
{
    pthread_once(&forks, forks_watch);
    libraries_lock();
    int found = library_find(file);
    libraries_unlock();
    if (found >= 0)
        return found;
    int fd = memfd_create("s3dlio-library", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = copy_into(file, fd);
    libraries_lock();
    if (!result)
        result = library_keep(file, fd);
    libraries_unlock();
    REAL(close)(fd);
    return result;
}

static int library_open(struct vpath *path)
{
    struct file *file;
    int result;
    LINK_FOLLOW(path, LINK_AT_END, result, open_file(path, O_RDONLY, 0, &file));
    if (result < 0)
        return result;
    result = file->kind == FILE_READER ? library_fetch(file) : -EISDIR;
    file_put(file);
    return result;
}

/* A name that the loader answers with its own message when nothing could be fetched. */
static void *dlopen_virtual(const char *path, int flags)
{
    struct vpath resolved;
    char name[64];
    int saved = errno, fd = path_classify(AT_FDCWD, path, &resolved);
    if (fd > 0)
        fd = library_open(&resolved);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (fd == LINK_TO_REAL)
        path = resolved.path;
    void *library = REAL(dlopen)(fd < 0 ? path : name, flags);
    if (library)
        errno = saved;
    return library;
}

/* From the assembly: which function answers. A name without a slash is searched for, not a path. */
__attribute__((used, visibility("hidden"))) void *dlopen_target(const char *path);
void *dlopen_target(const char *path)
{
    struct vpath resolved;
    bool ours = path && unlikely(path_maybe(path)) && strchr(path, '/') &&
                path_classify(AT_FDCWD, path, &resolved) > 0;
    return ours ? (void *)dlopen_virtual : (void *)REAL(dlopen);
}

#if defined __x86_64__
__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, @function\n"
        "dlopen:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    pushq %rsi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call dlopen_target\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rsi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    jmp *%rax\n"
        "    .cfi_endproc\n"
        ".size dlopen, .-dlopen\n");
#elif defined __aarch64__
__asm__(".text\n"
        ".globl dlopen\n"
        ".type dlopen, %function\n"
        "dlopen:\n"
        "    .cfi_startproc\n"
        "    hint #34\n"
        "    stp x29, x30, [sp, #-32]!\n"
        "    .cfi_def_cfa_offset 32\n"
        "    .cfi_offset x29, -32\n"
        "    .cfi_offset x30, -24\n"
        "    stp x0, x1, [sp, #16]\n"
        "    bl dlopen_target\n"
        "    mov x16, x0\n"
        "    ldp x0, x1, [sp, #16]\n"
        "    ldp x29, x30, [sp], #32\n"
        "    .cfi_restore x29\n"
        "    .cfi_restore x30\n"
        "    .cfi_def_cfa_offset 0\n"
        "    br x16\n"
        "    .cfi_endproc\n"
        ".size dlopen, .-dlopen\n");
#else
#    error "dlopen needs a few lines for this architecture"
#endif
