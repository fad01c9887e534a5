/* From one descriptor to another: clones, copy_file_range, sendfile; splice.c has pipes.
 *
 * Between two files of one store nothing moves: the engine notes which bytes of which version are
 * meant, and the store copies them when the target is published. Where that cannot be (another
 * offset, a source that is being written itself, another store) the bytes are read and written
 * here.
 *
 * As in the kernel, no lock is held over the two offsets together: threads that share a descriptor
 * without its offset given get what they get.
 *
 * Refused so that callers fall back to read and write: copy_file_range between a bucket and a disk
 * with EXDEV, as between two file systems.
 */
#include "shim/calls/copy.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/content.h"
#include "shim/calls/io.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define MOVE_MAX    ((size_t)0x7ffff000) /* the kernel's MAX_RW_COUNT (sendfile(2)) */
/* A shorter piece from the middle of a file is worth no promise that its source will stay. */
#define CLONE_MIN_BYTES ((size_t)1 << 20)

/* A file, and where in it. */
struct end {
    int fd;            /* of a real one */
    struct file *file; /* NULL: it is real */
    off_t *given;      /* NULL: the offset of the descriptor */
    off_t at;
};

static int end_begin(struct end *end)
{
    if (end->given && !memory_is_readable(end->given, sizeof *end->given))
        return -EFAULT;
    if (end->given)
        end->at = *end->given;
    else
        end->at = end->file ? end->file->slot->offset : REAL(lseek)(end->fd, 0, SEEK_CUR);
    return 0;
}

static void end_advance(const struct end *end, ssize_t moved)
{
    if (moved <= 0)
        return;
    if (end->given)
        *end->given = end->at + moved;
    else if (end->file)
        end->file->slot->offset = end->at + moved;
    else
        REAL(lseek)(end->fd, end->at + moved, SEEK_SET);
}

static ssize_t end_read(const struct end *end, void *buffer, size_t length, off_t offset)
{
    if (end->file)
        return io_read_at(end->file, buffer, length, offset);
    ssize_t got = REAL(pread)(end->fd, buffer, length, offset);
    return got < 0 ? -errno : got;
}

static bool is_regular(const struct file *file)
{
    return file->kind == FILE_READER || file->kind == FILE_STAGED;
}

static bool is_for(const struct file *file, int refused)
{
    return (file->slot->flags & O_ACCMODE) != (uint32_t)refused;
}

/* What copy_file_range(2) and ioctl_ficlonerange(2) ask of two files, in the kernel's order. */
static int check_files(const struct file *in, const struct file *out)
{
    if (in->kind == FILE_PATH || out->kind == FILE_PATH ||
        (in->slot->flags | out->slot->flags) & O_PATH)
        return -EBADF;
    if (!is_regular(in) || !is_regular(out))
        return -EISDIR;
    return is_for(in, O_WRONLY) && is_for(out, O_RDONLY) && !(out->slot->flags & O_APPEND) ? 0
                                                                                           : -EBADF;
}

/* The same file, by whichever descriptor. */
static bool is_same(struct file *a, struct file *b)
{
    char path_a[PATH_VIRTUAL_MAX], path_b[PATH_VIRTUAL_MAX];
    if (a == b || (a->staged && a->staged == b->staged))
        return true;
    file_path(a, path_a);
    file_path(b, path_b);
    return !strcmp(path_a, path_b);
}

static bool overlap(const struct end *in, const struct end *out, size_t length)
{
    return (size_t)llabs(in->at - out->at) < length && is_same(in->file, out->file);
}

/* ---- by the store ---- */

struct source {
    struct s3dlio_reader *reader;
    off_t at;
};

static ssize_t clone_ordered(const struct source *in, struct file *out, size_t length)
{
    struct staged *staged = out->staged;
    struct s3dlio_error error = {0};
    if (staged->node->error)
        return staged->node->error;
    if (!staged_is_ours(staged))
        return -EXDEV;
    /* A stream that has begun goes on as one. */
    if (!staged->draft &&
        (in->at || content_length(out) || engine_call(reader_can_clone)(in->reader, out->uri) < 0))
        return -EXDEV;
    int result = content_need_draft(out, "copy to");
    if (result < 0)
        return result;
    ssize_t cloned = engine_call(draft_clone)(staged->draft, in->reader, (uint64_t)in->at, length,
                                              (uint64_t)in->at, NULL, &error);
    if (cloned > 0)
        staged_changed(staged, engine_call(draft_length)(staged->draft));
    else if (cloned < 0 && cloned != -EXDEV)
        report_error(&error);
    return cloned;
}

/* `length` bytes that are there: that many, or -EXDEV when they have to be read and written. */
static ssize_t clone_range(const struct end *in, const struct end *out, size_t length)
{
    if (!in->file->reader || !out->file->staged || in->at != out->at)
        return -EXDEV;
    int locked = content_order(out->file);
    struct source source = {file_reader_begin(in->file), in->at};
    ssize_t cloned = clone_ordered(&source, out->file, length);
    file_reader_end(in->file);
    content_unorder(out->file, locked);
    return cloned;
}

static struct file *clone_source(const struct file_clone_range *range, int *ret_result)
{
    struct file *from = NULL;
    int fd = (int)range->src_fd;
    if (fdtab_is_virtual(fd))
        from = file_get(fd);
    *ret_result = !from && REAL(fcntl)(fd, F_GETFD) < 0 ? -EBADF : -EXDEV;
    return from;
}

/* The whole range or nothing, as ioctl_ficlonerange(2) wants it. */
static int clone_checked(const struct end *in, const struct end *out, size_t length)
{
    off_t size = io_size(in->file);
    if (in->at < 0 || out->at < 0 || in->at > size || length > (size_t)(size - in->at))
        return -EINVAL;
    if (!length)
        length = (size_t)(size - in->at);
    if (out->at > OBJECT_MAX_BYTES - (off_t)length)
        return content_refuse_length(out->file);
    if (!length)
        return 0;
    if (overlap(in, out, length))
        return -EINVAL;
    ssize_t cloned = clone_range(in, out, length);
    if (cloned == -EXDEV)
        return -EOPNOTSUPP;
    return cloned < 0 ? (int)cloned : 0;
}

int copy_clone(struct file *to, const struct file_clone_range *range)
{
    int result;
    struct file *from = clone_source(range, &result);
    if (!from)
        return result;
    struct end in = {.file = from, .at = (off_t)range->src_offset};
    struct end out = {.file = to, .at = (off_t)range->dest_offset};
    result = check_files(from, to);
    if (!result)
        result = clone_checked(&in, &out, range->src_length);
    file_put(from);
    return result;
}

/* ---- by reading and writing ---- */

/* To the descriptor `to`, wherever that stands, or into a file at its place. */
static ssize_t put(const struct end *out, int to, const void *chunk, size_t length, ssize_t done)
{
    if (out)
        return io_write_at(out->file, chunk, length, out->at + done);
    ssize_t written = write(to, chunk, length);
    return written < 0 ? -errno : written;
}

/* Ends early at the end of the source, and where less than all could be written. */
static ssize_t copy_bytes(const struct end *in, const struct end *out, int to, size_t length)
{
    char *chunk = malloc(CHUNK_BYTES);
    ssize_t done = 0, got = chunk ? 1 : -ENOMEM, moved = got;
    while (moved > 0 && moved == got && (size_t)done < length) {
        size_t want = length - (size_t)done < CHUNK_BYTES ? length - (size_t)done : CHUNK_BYTES;
        moved = got = end_read(in, chunk, want, in->at + done);
        if (got > 0)
            moved = put(out, to, chunk, (size_t)got, done);
        if (moved > 0)
            done += moved;
    }
    free(chunk);
    return done ? done : moved;
}

/* By the store, if that is worth it. */
static ssize_t try_clone(const struct end *in, const struct end *out, size_t length)
{
    off_t left = io_size(in->file) - in->at;
    if (left <= 0)
        return -EXDEV;
    if (length > (size_t)left)
        length = (size_t)left;
    if (length < CLONE_MIN_BYTES && length < (size_t)left)
        return -EXDEV;
    if (out->at > OBJECT_MAX_BYTES - (off_t)length || is_same(in->file, out->file))
        return -EXDEV;
    return clone_range(in, out, length);
}

/* ---- copy_file_range ---- */

static ssize_t copy_range(const struct end *in, const struct end *out, size_t length)
{
    off_t size = io_size(in->file);
    if (in->at >= size)
        return 0;
    if (length > (size_t)(size - in->at))
        length = (size_t)(size - in->at);
    if (out->at > OBJECT_MAX_BYTES - (off_t)length)
        return content_refuse_length(out->file);
    if (overlap(in, out, length))
        return -EINVAL;
    ssize_t cloned = try_clone(in, out, length);
    return cloned != -EXDEV ? cloned
                            : copy_bytes(in, out, -1, length < MOVE_MAX ? length : MOVE_MAX);
}

/* In the kernel's order. */
static int check_range(const struct end *in, const struct end *out, size_t length, unsigned flags)
{
    int result = flags ? -EINVAL : check_files(in->file, out->file);
    if (result)
        return result;
    if ((size_t)in->at + length < length || (size_t)out->at + length < length)
        return -EOVERFLOW;
    return in->at < 0 || out->at < 0 ? -EINVAL : 0;
}

static ssize_t copy_files(struct end *in, struct end *out, size_t length, unsigned flags)
{
    int result = end_begin(in);
    if (!result)
        result = end_begin(out);
    if (!result)
        result = check_range(in, out, length, flags);
    if (result || !length)
        return result;
    ssize_t moved = copy_range(in, out, length);
    end_advance(in, moved);
    end_advance(out, moved);
    return moved;
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length,
                        unsigned flags)
{
    bool in_ours = fdtab_is_virtual(in), out_ours = fdtab_is_virtual(out);
    if (likely(!in_ours && !out_ours))
        return REAL(copy_file_range)(in, in_offset, out, out_offset, length, flags);
    ENTRY_POINT();
    int saved = errno;
    struct end from = {.fd = in, .file = file_get(in), .given = in_offset};
    struct end to = {.fd = out, .file = file_get(out), .given = out_offset};
    ssize_t result;
    if (from.file && to.file)
        result = copy_files(&from, &to, length, flags);
    else
        result = REAL(fcntl)(from.file ? out : in, F_GETFD) < 0 ? -EBADF : -EXDEV;
    file_put(from.file);
    file_put(to.file);
    return entry_return(saved, result);
}

/* ---- sendfile ---- */

/* sendfile(2), in the kernel's order. */
static int check_send(const struct end *in, const struct file *out)
{
    if (in->file && (in->file->kind == FILE_PATH || !is_for(in->file, O_WRONLY)))
        return -EBADF;
    if (out && (!is_regular(out) || !is_for(out, O_RDONLY)))
        return -EBADF;
    if (in->at < 0 || (in->file && !is_regular(in->file)) || (out && out->slot->flags & O_APPEND))
        return -EINVAL;
    return 0;
}

static ssize_t send_file(struct end *in, int out, struct file *out_file, size_t length)
{
    int result = end_begin(in);
    if (!result)
        result = check_send(in, out_file);
    if (result || !length)
        return result;
    struct end to = {.fd = out, .file = out_file};
    if (length > MOVE_MAX)
        length = MOVE_MAX;
    ssize_t moved = -EXDEV;
    if (in->file && out_file && !end_begin(&to))
        moved = try_clone(in, &to, length);
    if (moved == -EXDEV)
        moved = copy_bytes(in, NULL, out, length);
    else
        end_advance(&to, moved);
    end_advance(in, moved);
    return moved;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t length)
{
    bool in_ours = fdtab_is_virtual(in), out_ours = fdtab_is_virtual(out);
    if (likely(!in_ours && !out_ours))
        return REAL(sendfile)(out, in, offset, length);
    ENTRY_HOLD();
    int saved = errno;
    struct end from = {.fd = in, .file = file_get(in), .given = offset};
    struct file *to = file_get(out);
    ssize_t result =
        (in_ours && !from.file) || (out_ours && !to) ? -EBADF : send_file(&from, out, to, length);
    file_put(from.file);
    file_put(to);
    return entry_return(saved, result);
}

#include "alias_copy.h"
