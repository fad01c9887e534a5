/* read, write and their kin: every variant reduces to io_read_at or io_write on a file.
 *
 * The offset lives in the shared slot. Calls that use it hold the slot's lock for their length, as
 * the kernel holds f_pos: two readers of one description get disjoint bytes. Buffers that the
 * kernel would refuse give EFAULT (content.c probes before user-space copies; the engine checks its
 * direct targets).
 */
#include "shim/calls/io.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/calls/content.h"
#include "shim/calls/entries.h"
#include "shim/calls/map_lazy.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

#define RW_MAX     0x7ffff000 /* the kernel's MAX_RW_COUNT (read(2), NOTES) */
#define GATHER_MAX ((size_t)1 << 20)

static bool is_readable(const struct file *file)
{
    return (file->slot->flags & O_ACCMODE) != O_WRONLY && file->kind != FILE_PATH;
}

off_t io_size(struct file *file)
{
    struct s3dlio_attr attr;
    if (file->staged)
        return (off_t)content_length(file);
    file_attr(file, &attr);
    return (off_t)attr.size_bytes;
}

static ssize_t reader_read_at(struct file *file, void *buffer, size_t length, off_t offset)
{
    struct s3dlio_error error = {0};
    ssize_t result = engine_call(reader_pread)(file_reader_begin(file), buffer, length,
                                               (uint64_t)offset, NULL, &error);
    file_reader_end(file);
    if (result < 0)
        report_error(&error);
    return result;
}

ssize_t io_read_at(struct file *file, void *buffer, size_t length, off_t offset)
{
    if (file->kind == FILE_DIRECTORY)
        return -EISDIR;
    if (!is_readable(file))
        return -EBADF;
    if (offset < 0)
        return -EINVAL;
    length = length > RW_MAX ? RW_MAX : length;
    long result;
    bool taken = map_lazy_take(buffer, length, &result);
    if (!result)
        result = file->staged ? content_read_at(file, buffer, length, (uint64_t)offset)
                              : reader_read_at(file, buffer, length, offset);
    map_lazy_give(taken);
    return result;
}

ssize_t io_read(struct file *file, void *buffer, size_t length)
{
    int locked = arena_lock(file->slot);
    off_t offset = file->slot->offset;
    ssize_t result = io_read_at(file, buffer, length, offset);
    if (result > 0)
        file->slot->offset = offset + result;
    if (locked)
        arena_unlock(file->slot);
    return result;
}

/* ---- vectors ---- */

static ssize_t iov_length(const struct iovec *iov, int count)
{
    if (count < 0 || count > IOV_MAX)
        return -EINVAL;
    if (!memory_is_given(iov, (size_t)count * sizeof *iov))
        return -EFAULT;
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > (size_t)SSIZE_MAX - total)
            return -EINVAL;
        total += iov[i].iov_len;
    }
    return (ssize_t)total;
}

/* Neighbours in one request. False: to be read one by one, without memory, or where the kernel will not
 * spread what came (a bad address, seccomp). */
static bool readv_gathered(struct file *file, const struct iovec *iov, int count, size_t total,
                           off_t offset, ssize_t *ret_result)
{
    if (count < 2 || total > GATHER_MAX || file->kind != FILE_READER || file->staged)
        return false;
    char *buffer = malloc(total);
    if (!buffer)
        return false;
    ssize_t got = io_read_at(file, buffer, total, offset);
    struct iovec from = {buffer, got > 0 ? (size_t)got : 0};
    bool is_spread =
        got <= 0 || process_vm_writev(getpid(), &from, 1, iov, (unsigned long)count, 0) == got;
    free(buffer);
    *ret_result = got;
    return is_spread;
}

static ssize_t readv_at(struct file *file, const struct iovec *iov, int count, off_t offset)
{
    ssize_t total = iov_length(iov, count);
    if (total < 0)
        return total;
    ssize_t done = 0;
    if (!total)
        return io_read_at(file, NULL, 0, offset);
    if (readv_gathered(file, iov, count, (size_t)total, offset, &done))
        return done;
    done = 0;
    for (int i = 0; i < count; i++) {
        if (!iov[i].iov_len)
            continue;
        ssize_t got = io_read_at(file, iov[i].iov_base, iov[i].iov_len, offset + done);
        if (got < 0)
            return done ? done : got;
        done += got;
        if ((size_t)got < iov[i].iov_len)
            break;
    }
    return done;
}

static ssize_t readv_now(struct file *file, const struct iovec *iov, int count)
{
    int locked = arena_lock(file->slot);
    off_t offset = file->slot->offset;
    ssize_t result = readv_at(file, iov, count, offset);
    if (result > 0)
        file->slot->offset = offset + result;
    if (locked)
        arena_unlock(file->slot);
    return result;
}

/* ---- writing ---- */

static ssize_t write_at(struct file *file, const void *buffer, size_t length, off_t offset)
{
    if (!file->staged || (file->slot->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    length = length > RW_MAX ? RW_MAX : length;
    if (!length)
        return 0;
    if (offset >= OBJECT_MAX_BYTES)
        return content_refuse_length(file);
    if ((off_t)length > OBJECT_MAX_BYTES - offset) /* as much as there is room for (write(2)) */
        length = (size_t)(OBJECT_MAX_BYTES - offset);
    long result;
    bool taken = map_lazy_take(buffer, length, &result);
    if (!result)
        result = content_write_at(file, buffer, length, (uint64_t)offset);
    map_lazy_give(taken);
    return result;
}

static ssize_t writev_at(struct file *file, const struct iovec *iov, int count, off_t offset)
{
    ssize_t total = iov_length(iov, count), done = 0;
    if (total < 0)
        return total;
    for (int i = 0; i < count; i++) {
        ssize_t put = write_at(file, iov[i].iov_base, iov[i].iov_len, offset + done);
        if (put < 0)
            return done ? done : put;
        done += put;
        if ((size_t)put < iov[i].iov_len) /* what follows belongs behind the rest of this */
            break;
    }
    return done;
}

static ssize_t io_writev(struct file *file, const struct iovec *iov, int count)
{
    int locked = arena_lock(file->slot), ordered = content_order(file);
    off_t offset = file->slot->flags & O_APPEND ? io_size(file) : file->slot->offset;
    ssize_t result = writev_at(file, iov, count, offset);
    if (result > 0)
        file->slot->offset = offset + result;
    content_unorder(file, ordered);
    if (locked)
        arena_unlock(file->slot);
    return result;
}

ssize_t io_write(struct file *file, const void *buffer, size_t length)
{
    struct iovec iov = {(void *)(uintptr_t)buffer, length};
    return io_writev(file, &iov, 1);
}

/* pwrite on an O_APPEND descriptor appends (pwrite(2), BUGS). */
static ssize_t pwritev_at(struct file *file, const struct iovec *iov, int count, off_t offset)
{
    if (offset < 0)
        return -EINVAL;
    int ordered = content_order(file);
    if (file->slot->flags & O_APPEND)
        offset = io_size(file);
    ssize_t result = writev_at(file, iov, count, offset);
    content_unorder(file, ordered);
    return result;
}

ssize_t io_write_at(struct file *file, const void *buffer, size_t length, off_t offset)
{
    struct iovec iov = {(void *)(uintptr_t)buffer, length};
    return pwritev_at(file, &iov, 1, offset);
}

/* ---- seeking ---- */

static off_t seek_target(struct file *file, off_t offset, int whence)
{
    off_t size = io_size(file), base;
    switch (whence) {
    case SEEK_SET:
        base = 0;
        break;
    case SEEK_CUR:
        base = file->slot->offset;
        break;
    case SEEK_END:
        base = size;
        break;
    case SEEK_DATA: /* an object has no holes but the one behind its end (lseek(2)) */
    case SEEK_HOLE:
        if (offset < 0 || offset >= size)
            return -ENXIO;
        if (file->staged)
            return content_seek_kind(file, (uint64_t)offset, whence);
        return whence == SEEK_DATA ? offset : size;
    default:
        return -EINVAL;
    }
    off_t target;
    if (__builtin_add_overflow(base, offset, &target))
        return -EOVERFLOW;
    return target < 0 ? -EINVAL : target;
}

off_t io_seek(struct file *file, off_t offset, int whence)
{
    if (file->kind == FILE_PATH)
        return -EBADF;
    int locked = arena_lock(file->slot);
    off_t target = seek_target(file, offset, whence);
    if (target >= 0)
        file->slot->offset = target;
    if (locked)
        arena_unlock(file->slot);
    return target;
}

/* ---- entries ---- */

ssize_t read(int fd, void *buffer, size_t length)
{
    MAP_LAZY_BUFFER(buffer, length);
    FILE_POINT(ssize_t, fd, REAL(read)(fd, buffer, length), io_read(file, buffer, length));
}

ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    MAP_LAZY_BUFFER(buffer, length);
    FILE_POINT(ssize_t, fd, REAL(pread)(fd, buffer, length, offset),
               io_read_at(file, buffer, length, offset));
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    MAP_LAZY_VECTOR(iov, count);
    FILE_POINT(ssize_t, fd, REAL(readv)(fd, iov, count), readv_now(file, iov, count));
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
    MAP_LAZY_VECTOR(iov, count);
    FILE_POINT(ssize_t, fd, REAL(preadv)(fd, iov, count, offset),
               readv_at(file, iov, count, offset));
}

ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    MAP_LAZY_VECTOR(iov, count);
    FILE_POINT(ssize_t, fd, REAL(preadv2)(fd, iov, count, offset, flags),
               flags & ~(RWF_HIPRI | RWF_NOWAIT) ? -EOPNOTSUPP
               : flags & RWF_NOWAIT              ? -EAGAIN
               : offset == -1                    ? readv_now(file, iov, count)
                                                 : readv_at(file, iov, count, offset));
}

ssize_t __read_chk(int fd, void *buffer, size_t length, size_t size)
{
    if (length > size)
        return REAL(__read_chk)(fd, buffer, length, size); /* aborts, as it has to */
    return read(fd, buffer, length);
}

ssize_t __pread_chk(int fd, void *buffer, size_t length, off_t offset, size_t size)
{
    if (length > size)
        return REAL(__pread_chk)(fd, buffer, length, offset, size);
    return pread(fd, buffer, length, offset);
}

ssize_t write(int fd, const void *buffer, size_t length)
{
    MAP_LAZY_BUFFER(buffer, length);
    FILE_POINT(ssize_t, fd, REAL(write)(fd, buffer, length), io_write(file, buffer, length));
}

ssize_t pwrite(int fd, const void *buffer, size_t length, off_t offset)
{
    MAP_LAZY_BUFFER(buffer, length);
    FILE_POINT(ssize_t, fd, REAL(pwrite)(fd, buffer, length, offset),
               io_write_at(file, buffer, length, offset));
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    MAP_LAZY_VECTOR(iov, count);
    FILE_POINT(ssize_t, fd, REAL(writev)(fd, iov, count), io_writev(file, iov, count));
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    MAP_LAZY_VECTOR(iov, count);
    FILE_POINT(ssize_t, fd, REAL(pwritev)(fd, iov, count, offset),
               pwritev_at(file, iov, count, offset));
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    MAP_LAZY_VECTOR(iov, count);
    FILE_POINT(ssize_t, fd, REAL(pwritev2)(fd, iov, count, offset, flags),
               flags & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC) ? -EOPNOTSUPP
               : offset == -1                              ? io_writev(file, iov, count)
                                                           : pwritev_at(file, iov, count, offset));
}

off_t lseek(int fd, off_t offset, int whence)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(lseek)(fd, offset, whence);
    ENTRY_HOLD();
    struct file *file = file_get(fd);
    int saved = errno;
    off_t result = entry_return(saved, file ? io_seek(file, offset, whence) : -EBADF);
    file_put(file);
    return result;
}

#include "alias_io.h"
