/* Cookie streams and the list of them; see stdio.h.
 *
 * The cookie functions never cache what the number stands for: a program may dup2 over it, and a
 * FILE of glibc would follow. Flags that glibc keeps in the FILE (readable, writable, appending)
 * have no setter; they are set here, and nowhere else, by their values, which have been part of the
 * ABI since glibc 2.1 (gnulib relies on them too).
 */
#include "shim/calls/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/options.h"
#include "shim/calls/io.h"
#include "shim/calls/open.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/start.h"

#define STREAM_NO_READS   0x0004
#define STREAM_NO_WRITES  0x0008
#define STREAM_EOF_SEEN   0x0010
#define STREAM_ERROR_SEEN 0x0020
#define STREAM_APPENDING  0x1000

#define BUFFER_MIN 4096u
#define LOCK_TRIES 100

static struct {
    pthread_mutex_t lock;
    struct stream *first;
    _Atomic unsigned count;
} streams = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the four functions ---- */

static size_t carry_take(struct stream *stream, char *buffer, size_t length)
{
    size_t count = length < stream->carry_length ? length : stream->carry_length;
    memcpy(buffer, stream->carry, count);
    stream->carry += count;
    stream->carry_length -= count;
    return count;
}

static ssize_t cookie_read(void *cookie, char *buffer, size_t length)
{
    struct stream *stream = cookie;
    if (stream->carry_length)
        return (ssize_t)carry_take(stream, buffer, length);
    int saved = errno, fd = stream->file->_fileno;
    struct file *file = file_get(fd);
    if (!file)
        return REAL(read)(fd, buffer, length);
    ssize_t result = io_read(file, buffer, length);
    file_put(file);
    return entry_return(saved, result);
}

static ssize_t write_once(int fd, const char *buffer, size_t length)
{
    struct file *file = file_get(fd);
    if (!file)
        return REAL(write)(fd, buffer, length);
    int saved = errno;
    ssize_t result = io_write(file, buffer, length);
    file_put(file);
    return entry_return(saved, result);
}

/* Less than `length` is an error to stdio, so a short write goes on. */
static ssize_t cookie_write(void *cookie, const char *buffer, size_t length)
{
    struct stream *stream = cookie;
    size_t done = 0;
    while (done < length) {
        ssize_t count = write_once(stream->file->_fileno, buffer + done, length - done);
        if (count <= 0)
            break;
        done += (size_t)count;
    }
    return (ssize_t)done;
}

static int cookie_seek(void *cookie, off64_t *offset, int whence)
{
    struct stream *stream = cookie;
    int saved = errno, fd = stream->file->_fileno;
    struct file *file = file_get(fd);
    off_t result;
    if (file) {
        result = entry_return(saved, io_seek(file, *offset, whence));
        file_put(file);
    } else {
        result = REAL(lseek)(fd, *offset, whence);
    }
    if (result < 0)
        return -1;
    stream->carry_length = 0;
    memset(&stream->input, 0, sizeof stream->input);
    *offset = result;
    return 0;
}

static int cookie_close(void *cookie)
{
    struct stream *stream = cookie;
    int saved = errno, fd = stream->file->_fileno;
    if (!fdtab_is_virtual(fd))
        return REAL(close)(fd);
    return (int)entry_return(saved, close_fd(fd));
}

FILE *stream_cookie(struct stream *stream, const char *mode)
{
    static const cookie_io_functions_t functions = {cookie_read, cookie_write, cookie_seek,
                                                    cookie_close};
    return fopencookie(stream, mode, functions);
}

/* ---- the list ---- */

void stream_link(struct stream *stream)
{
    pthread_mutex_lock(&streams.lock);
    stream->next = streams.first;
    streams.first = stream;
    pthread_mutex_unlock(&streams.lock);
    atomic_fetch_add(&streams.count, 1);
}

static struct stream *list_find(FILE *file, bool take)
{
    if (likely(!atomic_load_explicit(&streams.count, memory_order_relaxed)))
        return NULL;
    pthread_mutex_lock(&streams.lock);
    struct stream **at = &streams.first;
    while (*at && (*at)->file != file)
        at = &(*at)->next;
    struct stream *found = *at;
    if (found && take) {
        *at = found->next;
        atomic_fetch_sub(&streams.count, 1);
    }
    pthread_mutex_unlock(&streams.lock);
    return found;
}

struct stream *stream_find(FILE *file)
{
    return list_find(file, false);
}

struct stream *stream_take(FILE *file)
{
    return list_find(file, true);
}

void stream_free(struct stream *stream)
{
    free(stream->buffer);
    free(stream);
}

void stdio_fork_prepare(void)
{
    pthread_mutex_lock(&streams.lock);
}

void stdio_fork_done(void)
{
    pthread_mutex_unlock(&streams.lock);
}

/* ---- making one ---- */

/* Large, so that calls are few; but a small object needs no more than its size and one byte, which
 * is where the end shows. */
static size_t buffer_size(int fd, int flags)
{
    size_t size = (size_t)option_int(start_options(), BLKSIZE);
    struct file *file = file_get(fd);
    struct stat st;
    if (file && (flags & O_ACCMODE) == O_RDONLY && !stat_file(file, &st) &&
        (size_t)st.st_size < size) {
        size_t needed = ((size_t)st.st_size + BUFFER_MIN) & ~(size_t)(BUFFER_MIN - 1);
        size = needed < size ? needed : size;
    }
    file_put(file);
    return size;
}

static const char *cookie_mode(int flags)
{
    if ((flags & O_ACCMODE) == O_RDWR)
        return flags & O_APPEND ? "a+" : "r+";
    if ((flags & O_ACCMODE) == O_RDONLY)
        return "r";
    return flags & O_APPEND ? "a" : "w";
}

FILE *stream_new(int fd, int flags)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->buffer_size = buffer_size(fd, flags);
    stream->buffer = malloc(stream->buffer_size);
    stream->file = stream->buffer ? stream_cookie(stream, cookie_mode(flags)) : NULL;
    if (!stream->file) {
        stream_free(stream);
        errno = ENOMEM;
        return NULL;
    }
    stream->file->_fileno = fd;
    setvbuf(stream->file, stream->buffer, _IOFBF, stream->buffer_size);
    stream_link(stream);
    return stream->file;
}

void stream_set_mode(FILE *file, int flags)
{
    __fpurge(file);
    int access = flags & O_ACCMODE;
    file->_flags &= ~(STREAM_NO_READS | STREAM_NO_WRITES | STREAM_APPENDING | STREAM_EOF_SEEN |
                      STREAM_ERROR_SEEN);
    file->_flags |= (access == O_WRONLY ? STREAM_NO_READS : 0) |
                    (access == O_RDONLY ? STREAM_NO_WRITES : 0) |
                    (flags & O_APPEND ? STREAM_APPENDING : 0);
}

/* ---- the end of a process ---- */

/* As glibc's own last flush: another thread's lock is waited for a little, then ignored. */
static void flush_one(FILE *file)
{
    bool locked = false;
    for (int i = 0; i < LOCK_TRIES && !locked; i++) {
        locked = ftrylockfile(file) == 0;
        if (!locked)
            sched_yield();
    }
    if (__fpending(file) || file->_IO_read_ptr != file->_IO_read_end)
        fflush_unlocked(file);
    if (locked)
        funlockfile(file);
}

void stdio_flush_all(void)
{
    bool locked = false;
    for (int i = 0; i < LOCK_TRIES && !locked; i++) {
        locked = pthread_mutex_trylock(&streams.lock) == 0;
        if (!locked)
            sched_yield();
    }
    for (struct stream *stream = streams.first; stream; stream = stream->next)
        flush_one(stream->file);
    if (locked)
        pthread_mutex_unlock(&streams.lock);
}
