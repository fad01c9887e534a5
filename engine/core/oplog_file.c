/* The op-log's file: which one, and frames at its end. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "core/oplog_private.h"
#include "io/fd.h"

#define LEVEL 3

/* "log.tsv.zst" becomes "log.4711.tsv.zst". */
static int own_path(const char *name, char *path, size_t size)
{
    static const char *const endings[] = {".tsv.zst", ".csv.zst", ".zst", ""};
    size_t length = strlen(name);

    for (size_t i = 0;; i++) {
        size_t ending = strlen(endings[i]);
        int written;

        if (ending > length || strcmp(name + length - ending, endings[i]) != 0)
            continue;
        written = snprintf(path, size, "%.*s.%d%s", (int)(length - ending), name, (int)getpid(),
                           endings[i]);
        return written < 0 || (size_t)written >= size ? -ENAMETOOLONG : 0;
    }
}

/* A descriptor, -EWOULDBLOCK: another process has the lock; -errno. */
static int open_locked(const char *path)
{
    int fd;

    fd_room_begin(FD_FOR_FILES);
    fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    fd_room_end();
    fd = fd < 0 ? -errno : fd_adopt(fd);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        fd_close(fd);
        return -EWOULDBLOCK;
    }
    return fd;
}

int oplog_file_open(struct oplog_file *file)
{
    struct stat st;
    int r = -EWOULDBLOCK;

    if (strlen(file->name) >= sizeof file->path)
        return -ENAMETOOLONG;
    strcpy(file->path, file->name);
    if (!file->own_name)
        r = open_locked(file->path);
    if (r == -EWOULDBLOCK) {
        r = own_path(file->name, file->path, sizeof file->path);
        if (r == 0)
            r = open_locked(file->path);
    }
    if (r < 0)
        return r;
    file->fd = r;
    file->is_empty = fstat(r, &st) == 0 && st.st_size == 0;
    return 0;
}

void oplog_file_close(struct oplog_file *file)
{
    fd_close(file->fd);
    file->fd = -1;
}

/* A frame by one write; what of it came to the disk before that was full is taken back. */
static int append_frame(struct oplog_file *file, const void *frame, size_t length)
{
    struct stat before;
    bool known = fstat(file->fd, &before) == 0 && S_ISREG(before.st_mode);
    ssize_t written = write(file->fd, frame, length);
    int r = written < 0 ? -errno : (size_t)written < length ? -ENOSPC : 0;

    if (written > 0 && r < 0 && known)
        (void)!ftruncate(file->fd, before.st_size);
    return r;
}

int oplog_file_append(struct oplog_file *file, const char *text, size_t length)
{
    size_t header = file->is_empty ? strlen(oplog_header) : 0;
    size_t bound = ZSTD_compressBound(header + length), size;
    char *whole = malloc(header + length), *frame = malloc(bound);
    int r = -ENOMEM;

    if (whole && frame) {
        memcpy(whole, oplog_header, header);
        memcpy(whole + header, text, length);
        size = ZSTD_compress(frame, bound, whole, header + length, LEVEL);
        r = ZSTD_isError(size) ? -EIO : append_frame(file, frame, size);
    }
    if (r == 0)
        file->is_empty = false;
    free(whole);
    free(frame);
    return r;
}
