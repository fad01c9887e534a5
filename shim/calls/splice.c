/* Between a file and a pipe: splice, and tee and vmsplice, which take pipes alone.
 *
 * What splice promises is that it waits for the pipe once, moves what fits then, and takes nothing
 * from a pipe that did not arrive. So towards a pipe the bytes go as pages of their own, by a real
 * vmsplice, which takes as many as there is room for; from a pipe they are read from a copy of what
 * is in it, by tee, and taken away when they are written.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "shim/calls/io.h"
#include "shim/calls/map_lazy.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/real.h"

#define PIPE_BYTES ((size_t)1 << 16) /* pipe(7): a pipe's capacity, unless it was given another */
#define FLAGS_ALL  (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

struct transfer {
    struct file *file;
    off64_t *given; /* where in it; NULL: at its offset */
    int pipe;
    size_t length;
    unsigned flags;
};

static bool is_regular(const struct file *file)
{
    return file->kind == FILE_READER || file->kind == FILE_STAGED;
}

/* As splice(2), in the kernel's order; `refused` is the way in which the file may not be open. */
static int check(const struct transfer *transfer, const off64_t *pipe_offset, int refused)
{
    int status = REAL(fcntl)(transfer->pipe, F_GETFL);
    const struct file *file = transfer->file;
    struct stat st;
    if (status < 0 || file->kind == FILE_PATH)
        return -EBADF;
    bool is_pipe = !REAL(fstat)(transfer->pipe, &st) && S_ISFIFO(st.st_mode);
    if (is_pipe && pipe_offset)
        return -ESPIPE;
    if (transfer->given && !memory_is_readable(transfer->given, sizeof *transfer->given))
        return -EFAULT;
    if ((file->slot->flags & O_ACCMODE) == (uint32_t)refused || status & O_PATH ||
        (status & O_ACCMODE) == (refused == O_WRONLY ? O_RDONLY : O_WRONLY))
        return -EBADF;
    if (!is_pipe || !is_regular(file) || (transfer->given && *transfer->given < 0))
        return -EINVAL;
    return 0;
}

static off64_t place(const struct transfer *transfer)
{
    return transfer->given ? *transfer->given : (off64_t)transfer->file->slot->offset;
}

static void advance(const struct transfer *transfer, off64_t at, ssize_t moved)
{
    if (moved > 0 && transfer->given)
        *transfer->given = at + moved;
    else if (moved > 0)
        transfer->file->slot->offset = at + moved;
}

/* ---- to a pipe ---- */

static ssize_t give(const struct transfer *transfer, void *pages, off64_t at)
{
    ssize_t got = io_read_at(transfer->file, pages, transfer->length, at);
    if (got <= 0)
        return got;
    struct iovec iov = {pages, (size_t)got};
    ssize_t moved = REAL(vmsplice)(transfer->pipe, &iov, 1, transfer->flags & SPLICE_F_NONBLOCK);
    return moved < 0 ? -errno : moved;
}

static ssize_t to_pipe(struct transfer *transfer)
{
    off64_t at = place(transfer);
    int capacity = REAL(fcntl)(transfer->pipe, F_GETPIPE_SZ);
    size_t most = capacity > 0 ? (size_t)capacity : PIPE_BYTES;
    if (transfer->length > most)
        transfer->length = most;
    void *pages = REAL(mmap)(NULL, transfer->length, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return -ENOMEM;
    ssize_t moved = give(transfer, pages, at);
    REAL(munmap)(pages, transfer->length); /* the pipe has them as long as it needs them */
    advance(transfer, at, moved);
    return moved;
}

/* ---- from a pipe ---- */

static void drop(int pipe, char *buffer, size_t length)
{
    while (length > 0) {
        ssize_t n = REAL(read)(pipe, buffer, length);
        if (n <= 0 && errno != EINTR)
            return;
        length -= n > 0 ? (size_t)n : 0;
    }
}

/* What lies in the pipe, still there, up to PIPE_BYTES. */
static ssize_t peek(const struct transfer *transfer, char *buffer)
{
    size_t length = transfer->length < PIPE_BYTES ? transfer->length : PIPE_BYTES;
    int copy[2];
    if (pipe2(copy, O_CLOEXEC) < 0)
        return -errno;
    ssize_t got = REAL(tee)(transfer->pipe, copy[1], length, transfer->flags & SPLICE_F_NONBLOCK);
    got = got < 0 ? -errno : got;
    for (ssize_t done = 0; done < got;) {
        ssize_t n = REAL(read)(copy[0], buffer + done, (size_t)(got - done));
        if (n <= 0 && errno != EINTR)
            got = -EIO;
        done += n > 0 ? n : 0;
    }
    REAL(close)(copy[0]);
    REAL(close)(copy[1]);
    return got;
}

static ssize_t from_pipe(const struct transfer *transfer)
{
    off64_t at = place(transfer);
    char *buffer =
        REAL(mmap)(NULL, PIPE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        return -ENOMEM;
    ssize_t moved = peek(transfer, buffer);
    if (moved > 0)
        moved = io_write_at(transfer->file, buffer, (size_t)moved, at);
    if (moved > 0)
        drop(transfer->pipe, buffer, (size_t)moved);
    REAL(munmap)(buffer, PIPE_BYTES);
    advance(transfer, at, moved);
    return moved;
}

/* ---- the calls ---- */

static void take_nonblocking(struct transfer *transfer)
{
    if (REAL(fcntl)(transfer->pipe, F_GETFL) & O_NONBLOCK)
        transfer->flags |= SPLICE_F_NONBLOCK;
}

static ssize_t splice_out(struct transfer *transfer, const off64_t *pipe_offset)
{
    int result = check(transfer, pipe_offset, O_WRONLY);
    if (result)
        return result;
    take_nonblocking(transfer);
    return to_pipe(transfer);
}

static ssize_t splice_in(struct transfer *transfer, const off64_t *pipe_offset)
{
    int result = check(transfer, pipe_offset, O_RDONLY);
    if (!result && transfer->file->slot->flags & O_APPEND)
        result = -EINVAL;
    if (result)
        return result;
    take_nonblocking(transfer);
    return from_pipe(transfer);
}

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t length,
               unsigned flags)
{
    bool in_ours = fdtab_is_virtual(in), out_ours = fdtab_is_virtual(out);
    if (likely(!in_ours && !out_ours))
        return REAL(splice)(in, in_offset, out, out_offset, length, flags);
    int saved = errno;
    if (!length || flags & ~(unsigned)FLAGS_ALL)
        return entry_return(saved, length ? -EINVAL : 0);
    struct file *file = file_get(in_ours ? in : out);
    struct transfer transfer = {.file = file, .length = length, .flags = flags};
    ssize_t result = -EBADF;
    if (file && in_ours && out_ours) {
        result = -EINVAL;
    } else if (file && in_ours) {
        transfer.given = in_offset;
        transfer.pipe = out;
        result = splice_out(&transfer, out_offset);
    } else if (file) {
        transfer.given = out_offset;
        transfer.pipe = in;
        result = splice_in(&transfer, in_offset);
    }
    file_put(file);
    return entry_return(saved, result);
}

ssize_t tee(int in, int out, size_t length, unsigned flags)
{
    if (likely(!fdtab_is_virtual(in) && !fdtab_is_virtual(out)))
        return REAL(tee)(in, out, length, flags);
    errno = EINVAL;
    return -1;
}

ssize_t vmsplice(int fd, const struct iovec *iov, size_t count, unsigned flags)
{
    MAP_LAZY_VECTOR(iov, count);
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(vmsplice)(fd, iov, count, flags);
    errno = EBADF;
    return -1;
}
