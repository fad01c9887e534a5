/* The bytes of files that are being written: the calls of the engine's streams and drafts, and what
 * POSIX says around them.
 *
 * A write that failed for a reason of the store's is remembered, for all that have the file open,
 * and the object stays what it was; one that failed for the program's own reason (a bad buffer, too
 * long, no room, bytes that are not kept) has told all there is to tell.
 */
#include "shim/calls/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "shim/calls/map_range.h"
#include "shim/engine.h"
#include "shim/memory.h"
#include "shim/report.h"
#include "shim/staged.h"

/* A stream of which the program may read is in memory as a whole, so that it can become a draft. */
#define READABLE_STREAM_BYTES ((uint64_t)4 << 20)

static int fail(struct file *file, const struct s3dlio_error *error, int result)
{
    report_error(error);
    if (result != -EFAULT && result != -EINVAL && result != -EFBIG && result != -ENOSPC &&
        result != -EOPNOTSUPP)
        file->staged->node->error = result;
    return result;
}

int content_refuse_length(const struct file *file)
{
    static _Atomic bool told;
    if (!atomic_exchange(&told, true))
        report_line("%s: an object holds at most 5 TiB: write the rest to another one", file->path);
    return -EFBIG;
}

int content_order(struct file *file)
{
    return file->staged ? staged_order(file->staged) : 0;
}

void content_unorder(struct file *file, int locked)
{
    if (file->staged)
        staged_unorder(file->staged, locked);
}

int content_need_draft(struct file *file, const char *operation)
{
    if (!staged_is_ours(file->staged))
        return report_refusal("use, in a forked child,", file->path);
    int result = staged_make_draft(file->staged);
    return result == -EOPNOTSUPP ? report_refusal(operation, file->path) : result;
}

/* ---- bytes ---- */

uint64_t content_length(const struct file *file)
{
    return staged_length(file->staged);
}

ssize_t content_read_at(struct file *file, void *buffer, size_t length, uint64_t offset)
{
    struct s3dlio_error error = {0};
    int result = content_need_draft(file, "read");
    if (result < 0)
        return result;
    ssize_t got = engine_call(draft_pread)(file->staged->draft, buffer, length, offset, &error);
    if (got < 0)
        report_error(&error);
    return got;
}

static bool outgrows(const struct file *file, uint64_t end, size_t length)
{
    return (file->slot->flags & O_ACCMODE) == O_RDWR && end + length > READABLE_STREAM_BYTES;
}

/* Copies in user space, so it asks for the buffer first. -EOPNOTSUPP: this takes a draft, whose
 * bytes the kernel copies. */
static ssize_t stream_write(struct file *file, const void *buffer, size_t length, uint64_t offset)
{
    struct staged *staged = file->staged;
    struct s3dlio_writer *writer = staged->writer;
    struct s3dlio_error error = {0};
    uint64_t end = content_length(file);
    ssize_t done;
    if (offset > end || (offset < end && length > end - offset) || outgrows(file, end, length))
        return -EOPNOTSUPP;
    if (!memory_is_readable(buffer, length))
        return -EFAULT;
    if (offset < end) {
        done = engine_call(writer_patch)(writer, buffer, length, offset, &error);
        if (done < 0 && done != -EOPNOTSUPP)
            report_error(&error);
    } else {
        done = engine_call(writer_write)(writer, buffer, length, &error);
        if (done < 0) {
            staged->node->error = (int)done;
            report_error(&error);
        }
    }
    if (done > 0)
        staged_changed(staged, engine_call(writer_length)(writer));
    return done;
}

/* A draft was, and is this long now. */
static int changed(struct staged *staged, uint64_t length)
{
    bool grows = length > staged->node->length_bytes;
    staged_changed(staged, length);
    return grows && staged->maps ? map_range_follow(staged) : 0;
}

static ssize_t draft_write(struct file *file, const void *buffer, size_t length, uint64_t offset)
{
    struct s3dlio_draft *draft = file->staged->draft;
    struct s3dlio_error error = {0};
    ssize_t result = file->slot->flags & O_APPEND /* io.c has asked where the end is, in order */
                         ? engine_call(draft_append)(draft, buffer, length, NULL, &error)
                         : engine_call(draft_pwrite)(draft, buffer, length, offset, &error);
    if (result < 0)
        return fail(file, &error, (int)result);
    int followed = changed(file->staged, engine_call(draft_length)(draft));
    return followed < 0 ? followed : result;
}

ssize_t content_write_at(struct file *file, const void *buffer, size_t length, uint64_t offset)
{
    struct staged *staged = file->staged;
    if (!staged_is_ours(staged))
        return report_refusal("write in a forked child to", file->path);
    if (staged->node->error)
        return staged->node->error;
    if (staged->draft)
        return draft_write(file, buffer, length, offset);
    ssize_t written = stream_write(file, buffer, length, offset);
    if (written != -EOPNOTSUPP)
        return written;
    int result = content_need_draft(file, "write that is not at the end of");
    return result < 0 ? result : draft_write(file, buffer, length, offset);
}

/* ---- size and holes ---- */

static int truncate_ordered(struct file *file, uint64_t length)
{
    struct staged *staged = file->staged;
    struct s3dlio_error error = {0};
    if (staged->node->error)
        return staged->node->error;
    if (!staged->draft && staged_is_ours(staged) && length == content_length(file))
        return 0;
    if (!length && staged_is_ours(staged))
        return staged_empty(staged);
    int result = content_need_draft(file, "truncate");
    if (result < 0)
        return result;
    result = engine_call(draft_truncate)(staged->draft, length, &error);
    if (result < 0)
        return fail(file, &error, result);
    return changed(staged, length);
}

int content_truncate(struct file *file, uint64_t length)
{
    int locked = content_order(file);
    int result = truncate_ordered(file, length);
    content_unorder(file, locked);
    return result;
}

static int zero_ordered(struct file *file, uint64_t offset, uint64_t length)
{
    uint64_t size = content_length(file);
    struct s3dlio_error error = {0};
    if (offset >= size)
        return 0;
    if (length > size - offset)
        length = size - offset;
    int result = engine_call(draft_zero)(file->staged->draft, offset, length, &error);
    if (result < 0)
        return fail(file, &error, result);
    staged_changed(file->staged, size);
    return 0;
}

static int reserve_ordered(struct file *file, uint64_t offset, uint64_t length)
{
    struct s3dlio_error error = {0};
    int result = engine_call(draft_allocate)(file->staged->draft, offset, length, &error);
    return result < 0 ? fail(file, &error, result) : 0;
}

static int allocate_ordered(struct file *file, int mode, uint64_t offset, uint64_t length)
{
    bool keeps_size = mode & FALLOC_FL_KEEP_SIZE;
    int kind = mode & ~FALLOC_FL_KEEP_SIZE;
    bool zeroes = kind == FALLOC_FL_ZERO_RANGE || (kind == FALLOC_FL_PUNCH_HOLE && keeps_size);
    bool extends = !keeps_size && offset + length > content_length(file);
    int result = file->staged->node->error;
    if (kind && !zeroes)
        return -EOPNOTSUPP;
    if (!result && (zeroes || extends))
        result = content_need_draft(file, "allocate room in");
    if (!result && zeroes)
        result = zero_ordered(file, offset, length);
    if (!result && !kind && file->staged->draft)
        result = reserve_ordered(file, offset, length);
    return !result && extends ? truncate_ordered(file, offset + length) : result;
}

int content_allocate(struct file *file, int mode, uint64_t offset, uint64_t length)
{
    int locked = content_order(file);
    int result = allocate_ordered(file, mode, offset, length);
    content_unorder(file, locked);
    return result;
}

off_t content_seek_kind(struct file *file, uint64_t offset, int whence)
{
    struct s3dlio_error error = {0};
    uint64_t found = 0;
    if (!file->staged->draft) /* a stream has no holes but the one behind its end */
        return whence == SEEK_DATA ? (off_t)offset : (off_t)content_length(file);
    int result = content_need_draft(file, "seek in");
    if (!result)
        result = engine_call(draft_seek)(file->staged->draft, offset, whence == SEEK_HOLE, &found,
                                         &error);
    if (result < 0 && result != -ENXIO)
        report_error(&error);
    return result < 0 ? result : (off_t)found;
}
