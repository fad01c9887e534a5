/* Calls about ranges of a file rather than bytes: sync, size, allocation, advice. */
#include "shim/calls/content.h"
#include "shim/calls/entries.h"
#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/start.h"

/* Who stood at the end stands there afterwards, wherever what was appended has come to. */
static int publish(struct file *file)
{
    int locked = arena_lock(file->slot);
    bool was_at_end =
        (file->slot->flags & O_APPEND) && file->slot->offset == (off_t)staged_length(file->staged);
    int result = staged_publish(file->staged);
    if (!result && was_at_end)
        file->slot->offset = (off_t)staged_length(file->staged);
    if (locked)
        arena_unlock(file->slot);
    return result;
}

/* Directories have to sync what was closed before, and so have files that are read where close does
 * not wait; without, those have nothing. What is written so far becomes the object, for others to
 * see; S3DLIO_FSYNC=flush and ignore leave that to close, and tell of errors met so far. */
static int sync_file(struct file *file)
{
    if (file->kind == FILE_PATH)
        return -EBADF;
    if (!file->staged || !file->publishes)
        return file->kind == FILE_DIRECTORY || start_defers_close() ? engine_sync() : 0;
    if (!staged_is_ours(file->staged))
        return report_refusal("fsync in a forked child of", file->path);
    return start_publishes_at_sync() ? publish(file) : file->staged->node->error;
}

int fsync(int fd)
{
    FILE_POINT(int, fd, REAL(fsync)(fd), sync_file(file));
}

int fdatasync(int fd)
{
    FILE_POINT(int, fd, REAL(fdatasync)(fd), sync_file(file));
}

int syncfs(int fd)
{
    FILE_POINT(int, fd, REAL(syncfs)(fd), engine_sync_everywhere());
}

/* sync(2) knows no failure: what is not stored is said on stderr, and by the exit status. */
void sync(void)
{
    int saved = errno;
    if (start_defers_close()) {
        ENTRY_HOLD();
        engine_sync_everywhere();
    }
    errno = saved;
    REAL(sync)();
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned flags)
{
    FILE_POINT(int, fd, REAL(sync_file_range)(fd, offset, length, flags),
               offset < 0 || length < 0 ? -EINVAL : 0);
}

static int truncate_file(struct file *file, off_t length)
{
    if (file->kind == FILE_PATH)
        return -EBADF;
    if (length < 0 || !file->staged || (file->slot->flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    if (length > OBJECT_MAX_BYTES)
        return content_refuse_length(file);
    return content_truncate(file, (uint64_t)length);
}

int ftruncate(int fd, off_t length)
{
    FILE_ENTRY(int, fd, REAL(ftruncate)(fd, length), truncate_file(file, length));
}

/* The file keeps its old content until the new one is whole. */
static int truncate_path(const struct vpath *path, off_t length)
{
    struct file *file;
    if (length < 0)
        return -EINVAL;
    int result = open_file(path, O_RDWR, 0, &file);
    if (result < 0)
        return result;
    result = truncate_file(file, length);
    if (result < 0)
        file_discard(file);
    int closed = file_close(file);
    return result < 0 ? result : closed;
}

int truncate(const char *path, off_t length)
{
    struct vpath resolved;
    int saved = errno;
    int is_virtual = path_classify_follow(AT_FDCWD, path, &resolved);
    if (likely(!is_virtual))
        return REAL(truncate)(path, length);
    int result = is_virtual;
    if (is_virtual > 0)
        LINK_FOLLOW(&resolved, LINK_AT_END, result, truncate_path(&resolved, length));
    if (result == LINK_TO_REAL)
        return REAL(truncate)(resolved.path, length);
    return (int)entry_return(saved, result);
}

static int allocate_file(struct file *file, int mode, off_t offset, off_t length)
{
    if (offset < 0 || length <= 0)
        return -EINVAL;
    if (!file->staged || (file->slot->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (offset > INT64_MAX - length || offset + length > OBJECT_MAX_BYTES)
        return content_refuse_length(file);
    return content_allocate(file, mode, (uint64_t)offset, (uint64_t)length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    FILE_POINT(int, fd, REAL(fallocate)(fd, mode, offset, length),
               allocate_file(file, mode, offset, length));
}

/* These two return the error instead of setting errno (posix_fallocate(3), posix_fadvise(2)). */
int posix_fallocate(int fd, off_t offset, off_t length)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(posix_fallocate)(fd, offset, length);
    ENTRY_POINT();
    struct file *file = file_get(fd);
    if (unlikely(!file))
        return REAL(posix_fallocate)(fd, offset, length);
    int result = -allocate_file(file, 0, offset, length);
    file_put(file);
    return result;
}

static int advise_file(struct file *file, off_t offset, off_t length, int advice)
{
    static const enum s3dlio_advice meaning[] = {
        [POSIX_FADV_NORMAL] = S3DLIO_ADVICE_NORMAL,
        [POSIX_FADV_RANDOM] = S3DLIO_ADVICE_RANDOM,
        [POSIX_FADV_SEQUENTIAL] = S3DLIO_ADVICE_SEQUENTIAL,
        [POSIX_FADV_WILLNEED] = S3DLIO_ADVICE_WILLNEED,
        [POSIX_FADV_DONTNEED] = S3DLIO_ADVICE_DONTNEED,
        [POSIX_FADV_NOREUSE] = S3DLIO_ADVICE_NORMAL,
    };
    if (advice < 0 || (size_t)advice >= sizeof meaning / sizeof *meaning || length < 0)
        return -EINVAL;
    if (file->kind == FILE_PATH)
        return -EBADF;
    struct s3dlio_reader *reader = file_reader_begin(file);
    if (reader && offset >= 0)
        engine_call(reader_advise)(reader, (uint64_t)offset, (uint64_t)length, meaning[advice]);
    file_reader_end(file);
    return 0;
}

int posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(posix_fadvise)(fd, offset, length, advice);
    int result = -advise_file(file, offset, length, advice);
    file_put(file);
    return result;
}

ssize_t readahead(int fd, off64_t offset, size_t length)
{
    FILE_ENTRY(ssize_t, fd, REAL(readahead)(fd, offset, length),
               file->kind != FILE_READER && !file->staged
                   ? -EINVAL
                   : advise_file(file, offset, (off_t)length, POSIX_FADV_WILLNEED));
}

#include "alias_extent.h"
