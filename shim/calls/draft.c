/* Files with random access: the calls of the engine's drafts, and what POSIX says around them.
 *
 * The draft is the process's own: a fork child is told so. A write that failed for a reason of the
 * store's is remembered, and the object stays what it was; one that failed for the program's own
 * reason (a bad buffer, too long, no room) has told all there is to tell.
 */
#include "shim/calls/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/report.h"
#include "shim/staged.h"

static struct s3dlio_draft *own_draft(struct file *file)
{
    return file->writer_pid == getpid() ? file->staged->draft : NULL;
}

static int fail(struct file *file, const struct s3dlio_error *error, int result)
{
    report_error(error);
    if (result != -EFAULT && result != -EINVAL && result != -EFBIG && result != -ENOSPC)
        file->staged->error = result;
    return result;
}

int draft_need(struct file *file, const char *operation)
{
    if (file->writer_pid != getpid())
        return report_refusal("write in a forked child to", file->path);
    if (file->kind == FILE_DRAFT)
        return file->staged->error;
    if (file->writer_error)
        return file->writer_error;
    int locked = arena_lock(file->slot);
    int result = file->kind == FILE_DRAFT ? 0 : staged_make_draft(file->staged);
    if (!result) {
        file->kind = FILE_DRAFT;
        file->writer = NULL;
    }
    if (locked)
        arena_unlock(file->slot);
    return result == -EOPNOTSUPP ? report_refusal(operation, file->path) : result;
}

/* ---- bytes ---- */

ssize_t draft_read_at(struct file *file, void *buffer, size_t length, uint64_t offset)
{
    struct s3dlio_draft *draft = own_draft(file);
    struct s3dlio_error error = {0};
    if (!draft)
        return report_refusal("read in a forked child from", file->path);
    ssize_t result = engine_call(draft_pread)(draft, buffer, length, offset, &error);
    if (result < 0)
        report_error(&error);
    return result;
}

ssize_t draft_write_at(struct file *file, const void *buffer, size_t length, uint64_t offset)
{
    struct s3dlio_error error = {0};
    ssize_t result =
        engine_call(draft_pwrite)(file->staged->draft, buffer, length, offset, &error);
    if (result < 0)
        return fail(file, &error, (int)result);
    staged_touch(file->staged);
    return result;
}

int draft_order(struct file *file)
{
    return file->kind == FILE_DRAFT ? arena_lock(file->staged->order) : 0;
}

void draft_unorder(struct file *file, int locked)
{
    if (locked)
        arena_unlock(file->staged->order);
}

/* ---- size and holes ---- */

static int truncate_ordered(struct file *file, uint64_t length)
{
    struct s3dlio_error error = {0};
    int result = engine_call(draft_truncate)(file->staged->draft, length, &error);
    if (result < 0)
        return fail(file, &error, result);
    staged_touch(file->staged);
    return 0;
}

int draft_truncate_to(struct file *file, uint64_t length)
{
    int locked = draft_order(file);
    int result = truncate_ordered(file, length);
    draft_unorder(file, locked);
    return result;
}

static int zero_ordered(struct file *file, uint64_t offset, uint64_t length)
{
    struct s3dlio_draft *draft = file->staged->draft;
    uint64_t size = engine_call(draft_length)(draft);
    struct s3dlio_error error = {0};
    if (offset >= size)
        return 0;
    if (length > size - offset)
        length = size - offset;
    int result = engine_call(draft_zero)(draft, offset, length, &error);
    if (result < 0)
        return fail(file, &error, result);
    staged_touch(file->staged);
    return 0;
}

int draft_allocate(struct file *file, int mode, uint64_t offset, uint64_t length)
{
    bool keeps_size = mode & FALLOC_FL_KEEP_SIZE;
    int kind = mode & ~FALLOC_FL_KEEP_SIZE;
    bool zeroes = kind == FALLOC_FL_ZERO_RANGE || (kind == FALLOC_FL_PUNCH_HOLE && keeps_size);
    if (kind && !zeroes)
        return -EOPNOTSUPP;
    int locked = draft_order(file);
    int result = zeroes ? zero_ordered(file, offset, length) : 0;
    if (!result && !keeps_size && offset + length > engine_call(draft_length)(file->staged->draft))
        result = truncate_ordered(file, offset + length);
    draft_unorder(file, locked);
    return result;
}

off_t draft_seek_kind(struct file *file, uint64_t offset, int whence)
{
    struct s3dlio_draft *draft = own_draft(file);
    struct s3dlio_error error = {0};
    uint64_t found = 0;
    if (!draft)
        return report_refusal("read in a forked child from", file->path);
    int result = engine_call(draft_seek)(draft, offset, whence == SEEK_HOLE, &found, &error);
    if (result < 0 && result != -ENXIO)
        report_error(&error);
    return result < 0 ? result : (off_t)found;
}
