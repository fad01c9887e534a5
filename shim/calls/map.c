/* mmap of a virtual file. Pages of large objects come when they are touched, where the kernel lets
 * us (map_lazy.c). The bytes of others are placed in a memfd, or beyond the memory budget in an
 * unlinked spool file, and the kernel maps that. So fork, mremap, madvise and close in any order
 * work as ever.
 *
 * The backing has the object's size: an access behind the end is SIGBUS, the tail of the last page
 * zero. Only blocks that some map asked for are fetched, each once for an open file. Shared maps
 * get a read-only descriptor of the backing, so that mprotect cannot make them writable. Files that
 * are being written are mapped otherwise: map_staged.c.
 *
 * Locking: the slot's lock covers file->backing. A fork child makes a backing of its own.
 */
#include "shim/calls/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "config/options.h"
#include "shim/calls/io.h"
#include "shim/calls/map_lazy.h"
#include "shim/calls/map_range.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/path.h"
#include "shim/private_fd.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/start.h"

#define BLOCK          ((uint64_t)64 << 10)
#define WINDOW_BLOCKS  1024u /* filled at a time: 64 MiB */
#define FD_MINIMUM     256
#define BUDGET_UNKNOWN ((uint64_t)1 << 30)

struct backing {
    _Atomic unsigned refs; /* of the file, and of maps that may grow */
    pid_t pid;
    int fd;        /* read-write */
    int read_only; /* the same inode, or `fd` where it could not be opened again */
    ino_t inode;   /* to notice that the program closed our descriptors */
    bool is_spool;
    uint64_t size;
    uint8_t *filled; /* owned: a bit for each block */
};

static _Atomic uint64_t memory_used, spool_used;

static bool fd_is_whole(int fd, ino_t inode)
{
    struct stat st;
    return fd >= 0 && !REAL(fstat)(fd, &st) && st.st_ino == inode;
}

void map_backing_ref(struct backing *backing)
{
    atomic_fetch_add(&backing->refs, 1);
}

void map_backing_free(struct backing *backing)
{
    if (!backing || atomic_fetch_sub(&backing->refs, 1) > 1)
        return;
    if (backing->read_only != backing->fd && fd_is_whole(backing->read_only, backing->inode))
        REAL(close)(backing->read_only);
    if (fd_is_whole(backing->fd, backing->inode))
        REAL(close)(backing->fd);
    if (backing->pid == getpid())
        atomic_fetch_sub(backing->is_spool ? &spool_used : &memory_used, backing->size);
    free(backing->filled);
    free(backing);
}

/* Is a line of /proc/self/maps (proc(5)) of that inode? */
static bool line_is_of(const char *line, const struct stat *st)
{
    unsigned major_number, minor_number;
    unsigned long inode;
    return sscanf(line, "%*s %*s %*s %x:%x %lu", &major_number, &minor_number, &inode) == 3 &&
           makedev(major_number, minor_number) == st->st_dev && inode == st->st_ino;
}

bool map_is_live(const struct file *file)
{
    struct stat st;
    char buffer[1024], line[128];
    size_t length = 0;
    if (map_lazy_is_live(file))
        return true;
    if (!file->backing)
        return false;
    int fd = REAL(openat)(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    bool found = fd < 0 || REAL(fstat)(file->backing->fd, &st) < 0;
    ssize_t count = 0;
    while (!found && (count = REAL(read)(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < count && !found; i++) {
            if (buffer[i] != '\n') {
                line[length] = buffer[i];
                length += length < sizeof line - 1;
                continue;
            }
            line[length] = '\0';
            length = 0;
            found = line_is_of(line, &st);
        }
    }
    if (fd >= 0)
        REAL(close)(fd);
    return found || count < 0;
}

/* ---- where the bytes go ---- */

static const char *spool_place(unsigned index)
{
    const char *option = option_text(start_options(), SPOOL_DIR);
    if (option && *option)
        return index ? NULL : option;
    static const char *const places[] = {NULL, "/var/tmp", "/tmp"};
    if (index >= sizeof places / sizeof *places)
        return NULL;
    const char *value = places[index];
    for (char *const *entry = start_environment(); !index && entry && *entry; entry++)
        if (!strncmp(*entry, "TMPDIR=", 7))
            value = *entry + 7;
    return value ? value : "";
}

static int spool_open(void)
{
    int result = -ENOENT;
    const char *place;
    for (unsigned i = 0; (place = spool_place(i)); i++) {
        if (place[0] != '/' || path_maybe(place))
            continue;
        int fd = REAL(openat)(AT_FDCWD, place, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
        if (fd >= 0)
            return fd;
        result = -errno;
        char name[512];
        if (snprintf(name, sizeof name, "%s/.s3dlio-XXXXXX", place) >= (int)sizeof name)
            continue;
        fd = REAL(mkostemp)(name, O_CLOEXEC);
        if (fd >= 0) {
            REAL(unlink)(name);
            return fd;
        }
    }
    return result;
}

static uint64_t memory_budget(void)
{
    struct s3dlio_stats stats = {0};
    engine_call(get_stats)(&stats);
    return stats.memory_budget_bytes ? stats.memory_budget_bytes : BUDGET_UNKNOWN;
}

/* An empty file of the object's size. */
static int backing_open(struct backing *backing)
{
    backing->is_spool = memory_used + backing->size > memory_budget();
    int fd = backing->is_spool ? -ENOSYS : memfd_create("s3dlio-map", MFD_CLOEXEC);
    if (fd < 0) {
        uint64_t limit = (uint64_t)option_int(start_options(), SPOOL_LIMIT);
        backing->is_spool = true;
        fd = limit && spool_used + backing->size > limit ? -ENOSPC : spool_open();
    }
    if (fd < 0)
        return fd;
    backing->fd = private_fd_raise(fd, FD_MINIMUM);
    struct stat st;
    if (REAL(ftruncate)(backing->fd, (off_t)backing->size) < 0 ||
        REAL(fstat)(backing->fd, &st) < 0) {
        int result = -errno;
        REAL(close)(backing->fd);
        return result;
    }
    backing->inode = st.st_ino;
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", backing->fd);
    int read_only =
        private_fd_raise(REAL(openat)(AT_FDCWD, name, O_RDONLY | O_CLOEXEC), FD_MINIMUM);
    backing->read_only = read_only < 0 ? backing->fd : read_only;
    return 0;
}

static int backing_new(struct file *file, struct backing **ret_backing)
{
    struct backing *backing = calloc(1, sizeof *backing);
    uint64_t size = (uint64_t)io_size(file);
    uint8_t *filled = backing ? calloc(1, size / BLOCK / 8 + 1) : NULL;
    if (!filled) {
        free(backing);
        return -ENOMEM;
    }
    *backing = (struct backing){.refs = 1, .pid = getpid(), .size = size, .filled = filled};
    int result = backing_open(backing);
    if (result < 0) {
        report_line("mmap of %s: no room for %llu bytes: %s: set S3DLIO_SPOOL_DIR to a directory "
                    "that has it",
                    file->path, (unsigned long long)size, strerror(-result));
        free(filled);
        free(backing);
        return result == -ENOSPC ? result : -ENOMEM;
    }
    atomic_fetch_add(backing->is_spool ? &spool_used : &memory_used, size);
    *ret_backing = backing;
    return 0;
}

/* ---- filling ---- */

static bool is_filled(const struct backing *backing, uint64_t block)
{
    return backing->filled[block / 8] >> block % 8 & 1;
}

/* Blocks [first, end), none of them filled, at most a window. */
static int window_fill(struct file *file, struct backing *backing, uint64_t first, uint64_t end)
{
    uint64_t offset = first * BLOCK;
    uint64_t length = (end * BLOCK < backing->size ? end * BLOCK : backing->size) - offset;
    /* Room first: writing into a map of a full file system is SIGBUS. */
    if (REAL(fallocate)(backing->fd, 0, (off_t)offset, (off_t)length) < 0 && errno != EOPNOTSUPP)
        return -errno;
    char *window =
        REAL(mmap)(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, backing->fd, (off_t)offset);
    if (window == MAP_FAILED)
        return -errno;
    int result = 0;
    for (uint64_t done = 0; !result && done < length;) {
        ssize_t got = io_read_at(file, window + done, length - done, (off_t)(offset + done));
        if (got <= 0)
            result = got < 0 ? (int)got : -EIO;
        else
            done += (uint64_t)got;
    }
    REAL(munmap)(window, length);
    for (uint64_t block = first; !result && block < end; block++)
        backing->filled[block / 8] |= (uint8_t)(1u << block % 8);
    return result;
}

static int range_fill(struct file *file, struct backing *backing, uint64_t offset, uint64_t length)
{
    if (offset >= backing->size)
        return 0;
    uint64_t left = backing->size - offset;
    uint64_t last = (offset + (length < left ? length : left) - 1) / BLOCK;
    for (uint64_t first = offset / BLOCK; first <= last;) {
        if (is_filled(backing, first)) {
            first++;
            continue;
        }
        uint64_t end = first + 1;
        while (end <= last && end - first < WINDOW_BLOCKS && !is_filled(backing, end))
            end++;
        int result = window_fill(file, backing, first, end);
        if (result < 0)
            return result;
        first = end;
    }
    return 0;
}

/* ---- mmap ---- */

/* What mmap(2) refuses before it looks at the bytes. */
static int map_check(const struct file *file, size_t length, int protection, int flags,
                     off_t offset)
{
    int type = flags & MAP_TYPE;
    bool is_shared = type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    if (!length || offset & (sysconf(_SC_PAGESIZE) - 1) || (!is_shared && type != MAP_PRIVATE))
        return -EINVAL;
    if (offset < 0 || length > (uint64_t)INT64_MAX - (uint64_t)offset)
        return -EOVERFLOW;
    uint32_t access = file->slot->flags & O_ACCMODE;
    if (access == O_WRONLY || (is_shared && protection & PROT_WRITE && access != O_RDWR))
        return -EACCES;
    return file->kind == FILE_READER || file->staged ? 0 : -ENODEV;
}

/* Under the slot's lock. */
static int backing_ready(struct file *file, uint64_t offset, uint64_t length,
                         struct backing **ret_backing)
{
    struct backing *backing = file->backing;
    if (backing && (backing->pid != getpid() || !fd_is_whole(backing->fd, backing->inode) ||
                    !fd_is_whole(backing->read_only, backing->inode))) {
        map_backing_free(backing);
        backing = file->backing = NULL;
    }
    int result = backing ? 0 : backing_new(file, &backing);
    if (result < 0)
        return result;
    file->backing = backing;
    *ret_backing = backing;
    return range_fill(file, backing, offset, length);
}

static int report_full(const struct file *file, int result)
{
    if (result == -ENOSPC)
        report_line("mmap of %s: the spool directory is full: set S3DLIO_SPOOL_DIR to one with "
                    "more room",
                    file->path);
    return result;
}

/* Are bytes behind `end` not here yet? */
static bool may_grow(const struct backing *backing, uint64_t end)
{
    for (uint64_t block = end / BLOCK; block * BLOCK < backing->size; block++)
        if (!is_filled(backing, block))
            return true;
    return false;
}

/* Under the slot's lock. */
static int map_backed(struct file *file, const struct map_request *request, void **ret_memory)
{
    uint64_t offset = (uint64_t)request->offset;
    struct backing *backing;
    struct map_range *range = NULL;
    int result = backing_ready(file, offset, request->length, &backing);
    if (result < 0)
        return result;
    if (may_grow(backing, offset + request->length)) {
        range =
            map_range_new(&(struct map_range){.offset = offset, .file = file, .backing = backing});
        if (!range)
            return -ENOMEM;
    }
    bool is_private = (request->flags & MAP_TYPE) == MAP_PRIVATE;
    return map_range_map(request, is_private ? backing->fd : backing->read_only, range, ret_memory);
}

int map_reader_fill(const struct map_range *range, uint64_t length)
{
    struct backing *backing = range->backing;
    int locked = arena_lock(range->file->slot), result = -EBADF;
    if (fd_is_whole(backing->fd, backing->inode))
        result = range_fill(range->file, backing, range->offset, length);
    else
        report_line("mremap of %s: the program has closed descriptors that are not its own: what "
                    "the map would grow by cannot be placed",
                    range->file->path);
    if (locked)
        arena_unlock(range->file->slot);
    return report_full(range->file, result);
}

static void *map_file(struct file *file, const struct map_request *request)
{
    int result =
        map_check(file, request->length, request->protection, request->flags, request->offset);
    void *memory = MAP_FAILED;
    int saved = errno;
    ENTRY_HOLD();
    if (!result && file->staged)
        result = map_staged(file, request, &memory);
    else if (!result)
        result = map_lazy(file, request, &memory);
    if (result == -EOPNOTSUPP && !file->staged) {
        int locked = arena_lock(file->slot);
        result = report_full(file, map_backed(file, request, &memory));
        if (locked)
            arena_unlock(file->slot);
    }
    entry_return(saved, result);
    return memory;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    struct file *file =
        likely(flags & MAP_ANONYMOUS || !fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (unlikely(flags & MAP_FIXED))
        map_end(address, length);
    if (likely(!file))
        return REAL(mmap)(address, length, protection, flags, fd, offset);
    const struct map_request request = {address, length, protection, flags, offset};
    void *memory = map_file(file, &request);
    file_put(file);
    return memory;
}

#include "alias_map.h"
