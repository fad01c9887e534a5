/* Directory streams and getdents64: opendir and its kin over directory_fill.
 *
 * A stream of ours is told from a real DIR by its address alone: ours come from regions mapped for
 * nothing else, so a pointer is tested by arithmetic and never read. Regions are never unmapped.
 * Like libc's, a stream reads records ahead into a buffer of its own; the descriptor's position
 * (the slot's offset) stands behind the buffer. A stream belongs to one thread at a time
 * (readdir(3)).
 */
#include "shim/calls/dir.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/entry.h"
#include "shim/in_call.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/real.h"

#define STREAM_BUFFER  32768u /* as libc's; about one page of a listing */
#define REGION_STREAMS 1024u
#define REGIONS        64u

struct dir_stream {
    struct file *file; /* NULL: free */
    int fd;
    char *buffer;     /* owned, STREAM_BUFFER bytes */
    size_t used, at;  /* bytes in the buffer, and handed out of it */
    int64_t position; /* behind the last entry handed out: what telldir says */
    int64_t ahead;    /* behind the last entry in the buffer */
    struct dirent *last;
    struct dir_stream *next_free;
};

static struct {
    pthread_mutex_t lock; /* covers the free list and growing; lookups take none */
    _Atomic(struct dir_stream *) regions[REGIONS];
    _Atomic unsigned count;
    struct dir_stream *free;
} streams = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool dir_is_ours(const void *stream)
{
    unsigned count = atomic_load_explicit(&streams.count, memory_order_acquire);
    for (unsigned i = 0; i < count; i++) {
        uintptr_t base = (uintptr_t)atomic_load_explicit(&streams.regions[i], memory_order_relaxed);
        if ((uintptr_t)stream - base < REGION_STREAMS * sizeof(struct dir_stream))
            return true;
    }
    return false;
}

/* A fork child must not find the lock held by a thread it does not have. */
static pthread_once_t forks = PTHREAD_ONCE_INIT;

static void streams_lock(void)
{
    pthread_mutex_lock(&streams.lock);
}

static void streams_unlock(void)
{
    pthread_mutex_unlock(&streams.lock);
}

static void forks_watch(void)
{
    pthread_atfork(streams_lock, streams_unlock, streams_unlock);
}

/* Under the lock. */
static void streams_grow(void)
{
    unsigned count = streams.count;
    if (count == REGIONS)
        return;
    struct dir_stream *region =
        REAL(mmap)(NULL, REGION_STREAMS * sizeof *region, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return;
    for (unsigned i = REGION_STREAMS; i-- > 0;) {
        region[i].next_free = streams.free;
        streams.free = &region[i];
    }
    streams.regions[count] = region;
    atomic_store_explicit(&streams.count, count + 1, memory_order_release);
}

void dir_each_file(void (*visit)(struct file *file))
{
    for (unsigned i = 0; i < streams.count; i++)
        for (unsigned j = 0; j < REGION_STREAMS; j++)
            visit(streams.regions[i][j].file);
}

/* Takes over the caller's reference to the file. */
static int dir_stream_new(struct file *file, int fd, struct dir_stream **ret_stream)
{
    char *buffer = malloc(STREAM_BUFFER);
    pthread_once(&forks, forks_watch);
    streams_lock();
    if (buffer && !streams.free)
        streams_grow();
    struct dir_stream *stream = buffer ? streams.free : NULL;
    if (stream)
        streams.free = stream->next_free;
    streams_unlock();
    if (!stream) {
        free(buffer);
        return -ENOMEM;
    }
    int64_t position = file->slot->offset;
    *stream = (struct dir_stream){
        .file = file, .fd = fd, .buffer = buffer, .position = position, .ahead = position};
    in_call_end(); /* the reference is the stream's */
    *ret_stream = stream;
    return 0;
}

static void dir_stream_free(struct dir_stream *stream)
{
    free(stream->buffer);
    in_call_begin();
    file_put(stream->file);
    stream->file = NULL;
    streams_lock();
    stream->next_free = streams.free;
    streams.free = stream;
    streams_unlock();
}

/* ---- canonical operations ---- */

/* fdopendir(3) of a virtual descriptor: -ENOTDIR, -EBADF. */
static int dir_from_fd(int fd, DIR **ret_stream)
{
    struct file *file = file_get(fd);
    struct dir_stream *stream = NULL;
    int result = !file ? -EBADF : 0;
    if (!result && file->kind != FILE_DIRECTORY)
        result = -ENOTDIR;
    if (!result && file->slot->flags & O_PATH)
        result = -EBADF;
    if (!result)
        result = dir_stream_new(file, fd, &stream);
    if (result < 0) {
        file_put(file);
        return result;
    }
    *ret_stream = (DIR *)stream;
    return 0;
}

int dir_open(const struct vpath *path, DIR **ret_stream)
{
    int fd = open_fd(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    int result = dir_from_fd(fd, ret_stream);
    if (result < 0)
        close_fd(fd);
    return result;
}

int dir_next(DIR *opaque, struct dirent **ret_entry)
{
    struct dir_stream *stream = (struct dir_stream *)opaque;
    if (stream->at == stream->used) {
        ssize_t filled = directory_fill(stream->file, stream->ahead, stream->buffer, STREAM_BUFFER);
        if (filled < 0)
            return (int)filled;
        stream->used = (size_t)filled;
        stream->at = 0;
        for (size_t at = 0; at < stream->used;) {
            const struct dirent *record = (const struct dirent *)(void *)(stream->buffer + at);
            stream->ahead = record->d_off;
            at += record->d_reclen;
        }
        stream->file->slot->offset = stream->ahead;
    }
    if (stream->at == stream->used) {
        *ret_entry = NULL;
        return 0;
    }
    struct dirent *entry = (struct dirent *)(void *)(stream->buffer + stream->at);
    stream->at += entry->d_reclen;
    stream->position = entry->d_off;
    stream->last = entry;
    *ret_entry = entry;
    return 0;
}

static void dir_stream_seek(struct dir_stream *stream, int64_t position)
{
    stream->used = stream->at = 0;
    stream->last = NULL;
    stream->position = stream->ahead = position;
    stream->file->slot->offset = position;
}

static int dir_fd(DIR *stream)
{
    return ((struct dir_stream *)stream)->fd;
}

int dir_close(DIR *opaque)
{
    struct dir_stream *stream = (struct dir_stream *)opaque;
    int fd = stream->fd;
    dir_stream_free(stream);
    return fdtab_is_virtual(fd) ? close_fd(fd) : REAL(close)(fd) < 0 ? -errno : 0;
}

/* ---- entries ---- */

DIR *opendir(const char *path)
{
    struct vpath resolved;
    int result = likely(!path_maybe(path)) ? 0 : path_classify(AT_FDCWD, path, &resolved);
    if (likely(!result))
        return REAL(opendir)(path);
    ENTRY_HOLD();
    int saved = errno;
    DIR *stream = NULL;
    if (result > 0)
        LINK_FOLLOW(&resolved, LINK_AT_END, result, dir_open(&resolved, &stream));
    if (result == LINK_TO_REAL)
        return REAL(opendir)(resolved.path);
    entry_return(saved, result);
    return stream;
}

DIR *fdopendir(int fd)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(fdopendir)(fd);
    ENTRY_HOLD();
    int saved = errno;
    DIR *stream = NULL;
    entry_return(saved, dir_from_fd(fd, &stream));
    return stream;
}

int dirfd(DIR *stream)
{
    return likely(!dir_is_ours(stream)) ? REAL(dirfd)(stream) : dir_fd(stream);
}

int closedir(DIR *stream)
{
    if (likely(!dir_is_ours(stream)))
        return REAL(closedir)(stream);
    ENTRY_HOLD();
    int saved = errno;
    return (int)entry_return(saved, dir_close(stream));
}

struct dirent *readdir(DIR *stream)
{
    if (likely(!dir_is_ours(stream)))
        return REAL(readdir)(stream);
    ENTRY_HOLD();
    int saved = errno;
    struct dirent *entry = NULL;
    entry_return(saved, dir_next(stream, &entry));
    return entry;
}

/* Entries whose name does not fit struct dirent are left out, and the end says so
 * (readdir_r(3)). */
int readdir_r(DIR *stream, struct dirent *entry, struct dirent **ret_entry)
{
    if (likely(!dir_is_ours(stream)))
        return REAL(readdir_r)(stream, entry, ret_entry);
    ENTRY_HOLD();
    int saved = errno, result;
    bool left_out = false;
    struct dirent *found;
    while (!(result = dir_next(stream, &found)) && found && found->d_reclen > sizeof *entry &&
           strlen(found->d_name) >= sizeof entry->d_name)
        left_out = true;
    errno = saved;
    if (!result && found)
        memcpy(entry, found, found->d_reclen < sizeof *entry ? found->d_reclen : sizeof *entry);
    *ret_entry = !result && found ? entry : NULL;
    return result < 0 ? -result : !found && left_out ? ENAMETOOLONG : 0;
}

void rewinddir(DIR *opaque)
{
    if (likely(!dir_is_ours(opaque))) {
        REAL(rewinddir)(opaque);
        return;
    }
    struct dir_stream *stream = (struct dir_stream *)opaque;
    dir_stream_seek(stream, 0);
    directory_rewind(stream->file);
}

long telldir(DIR *opaque)
{
    if (likely(!dir_is_ours(opaque)))
        return REAL(telldir)(opaque);
    struct dir_stream *stream = (struct dir_stream *)opaque;
    if (stream->last && stream->position > 2)
        directory_mark(stream->file, stream->position, stream->last->d_name,
                       stream->last->d_type == DT_DIR);
    return stream->position;
}

void seekdir(DIR *opaque, long position)
{
    if (likely(!dir_is_ours(opaque))) {
        REAL(seekdir)(opaque, position);
        return;
    }
    struct dir_stream *stream = (struct dir_stream *)opaque;
    if (position != stream->position)
        dir_stream_seek(stream, position);
}

static ssize_t dents_file(struct file *file, void *buffer, size_t length)
{
    if (!memory_is_readable(buffer, length))
        return -EFAULT;
    int64_t position = file->slot->offset;
    ssize_t filled = directory_fill(file, position, buffer, length);
    for (ssize_t at = 0; at < filled;) {
        const struct dirent64 *record = (const struct dirent64 *)(void *)((char *)buffer + at);
        position = record->d_off;
        at += record->d_reclen;
    }
    if (filled > 0)
        file->slot->offset = position;
    return filled;
}

ssize_t getdents64(int fd, void *buffer, size_t length)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(getdents64)(fd, buffer, length);
    ENTRY_HOLD();
    int saved = errno;
    ssize_t result = entry_return(saved, dents_file(file, buffer, length));
    file_put(file);
    return result;
}

ssize_t getdirentries(int fd, char *buffer, size_t length, off_t *ret_position)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(getdirentries)(fd, buffer, length, ret_position);
    ENTRY_HOLD();
    int saved = errno;
    off_t before = file->slot->offset;
    ssize_t result = entry_return(saved, dents_file(file, buffer, length));
    if (result >= 0)
        *ret_position = before;
    file_put(file);
    return result;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations" /* readdir64_r */
#include "alias_dir.h"
