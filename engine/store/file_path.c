/* Descriptors below the root, and small helpers over them. See file_path.h. Plain system calls, no
 * state but one flag: whether openat2 is there. */
#include "store/file_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/random.h"
#include "store/internal.h"

#define COPY_BYTES ((size_t)256 << 10)

static atomic_bool openat2_missing;

bool file_name_is_hidden(const char *name)
{
    return strncmp(name, FILE_HIDDEN, strlen(FILE_HIDDEN)) == 0;
}

static bool component_is_valid(const char *name, size_t length)
{
    return length > 0 && length <= NAME_MAX && !(length == 1 && name[0] == '.') &&
           !(length == 2 && name[0] == '.' && name[1] == '.') && !file_name_is_hidden(name);
}

int file_path_make(const char *bucket, const char *key, struct file_path *ret_path,
                   struct error *err)
{
    struct file_path *path = ret_path;
    const char *join = bucket[0] && key[0] ? "/" : "";
    int length;

    if (!bucket[0] && key[0] == '/')
        key++;
    length = snprintf(path->text, sizeof path->text, "%s%s%s", bucket, join, key);
    if (length >= (int)sizeof path->text)
        return error_set(err, ERROR_TOO_LONG, "the path is too long");
    path->is_directory = !key[0] || path->text[length - 1] == '/';
    if (length > 0 && path->text[length - 1] == '/')
        path->text[--length] = '\0';
    path->name = path->text;
    for (const char *at = path->text; length;) {
        size_t part = strcspn(at, "/");

        if (part > NAME_MAX)
            return error_set(err, ERROR_TOO_LONG, "a component of the path is too long");
        if (!component_is_valid(at, part))
            return error_set(err, ERROR_INVALID, "a component of the path cannot be a file's name");
        path->name = path->text + (at - path->text);
        at += part;
        if (!*at)
            break;
        at++;
    }
    return 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* One component, never through a symlink. The descriptor, or -errno. */
static int open_component(int dir_fd, const char *name, int flags)
{
    struct stat st;
    int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0)
        return fd;
    if (errno == ENOTDIR && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(st.st_mode))
        return -ELOOP;
    return -errno;
}

/* Without openat2: one component after the other, no symlinks. */
static int open_walking(int dir_fd, const char *path, int flags)
{
    int at = dir_fd, fd;

    for (;;) {
        size_t length = strcspn(path, "/");
        bool last = path[length] == '\0';
        char name[NAME_MAX + 1];

        if (length > NAME_MAX) {
            fd = -ENAMETOOLONG;
        } else if (length == 2 && path[0] == '.' && path[1] == '.') {
            fd = -EXDEV;
        } else {
            memcpy(name, path, length);
            name[length] = '\0';
            fd = open_component(at, name, last ? flags : O_PATH | O_DIRECTORY);
        }
        if (at != dir_fd)
            close(at);
        if (fd < 0 || last)
            return fd;
        at = fd;
        path += length + 1;
    }
}

int file_open_below(int dir_fd, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    if (!path[0])
        path = ".";
    if (!atomic_load_explicit(&openat2_missing, memory_order_relaxed)) {
        for (int tries = 0; tries < 64; tries++) { /* EAGAIN: a rename elsewhere raced with ".." */
            fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
            if (fd >= 0 || errno != EAGAIN)
                break;
        }
        if (fd >= 0 || errno != ENOSYS)
            return fd >= 0 ? (int)fd : -errno;
        atomic_store_explicit(&openat2_missing, true, memory_order_relaxed);
    }
    return open_walking(dir_fd, path, flags);
}

int file_open_beneath(const struct file_store *store, const char *path, int flags)
{
    int root = open(store->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd;

    if (root < 0)
        return -errno;
    fd = file_open_below(root, path, flags);
    close(root);
    return fd;
}

/* Opens `path`, making its missing directories; its first component has to exist. */
static int open_making(const struct file_store *store, char *path)
{
    int at = file_open_beneath(store, "", O_PATH | O_DIRECTORY);
    bool first = true;

    while (at >= 0 && *path) {
        size_t length = strcspn(path, "/");
        char end = path[length];
        int fd;

        path[length] = '\0';
        if (!first && mkdirat(at, path, 0777) < 0 && errno != EEXIST)
            fd = -errno;
        else
            fd = file_open_below(at, path, O_PATH | O_DIRECTORY);
        path[length] = end;
        close(at);
        at = fd;
        path += length + (end ? 1 : 0);
        first = false;
    }
    return at;
}

int file_open_parent(const struct file_store *store, const struct file_path *path, bool create)
{
    char parent[FILE_PATH_MAX];
    size_t length = (size_t)(path->name - path->text);
    int fd;

    memcpy(parent, path->text, length);
    parent[length ? length - 1 : 0] = '\0';
    fd = file_open_beneath(store, parent, O_PATH | O_DIRECTORY);
    if (fd == -ENOENT && create) /* the walk below follows no symlink that an open would not */
        fd = open_making(store, parent);
    return fd;
}

int file_check_bucket(const struct file_store *store, const char *bucket, struct error *err)
{
    int fd;

    if (!bucket[0])
        return 0;
    fd = file_open_beneath(store, bucket, O_PATH);
    if (fd < 0)
        return fd == -ENOENT ? error_set(err, ERROR_NO_BUCKET, "there is no directory of that name")
                             : file_error(err, -fd, "open");
    close(fd);
    return 0;
}

/* ---- attributes and errors ------------------------------------------------------------------ */

void file_etag(const struct stat *st, char ret_etag[STORE_ETAG_MAX])
{
    snprintf(ret_etag, STORE_ETAG_MAX, "\"%llx-%llx-%llx.%lx-%llx.%lx\"",
             (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
             (unsigned long long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec,
             (unsigned long long)st->st_ctim.tv_sec, (unsigned long)st->st_ctim.tv_nsec);
}

struct store_attributes file_attributes(const struct stat *st)
{
    return (struct store_attributes){
        .known = true,
        .mode = st->st_mode & 07777,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .atime = st->st_atim,
    };
}

void file_describe(const struct stat *st, struct store_object *ret_object)
{
    *ret_object = (struct store_object){
        .size_bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
        .mtime = st->st_mtim,
        .attributes = file_attributes(st),
    };
    file_etag(st, ret_object->etag);
    strcpy(ret_object->content_type,
           S_ISDIR(st->st_mode) ? "application/x-directory" : "application/octet-stream");
}

int file_error(struct error *err, int errnum, const char *what)
{
    switch (errnum) {
    case EXDEV: /* RESOLVE_BENEATH */
    case ELOOP:
        error_set(err, ERROR_ACCESS, "%s: a symlink leads outside the root or to itself", what);
        break;
    default: error_set_errno(err, errnum, "%s: %s", what, strerrordesc_np(errnum)); break;
    }
    return -error_errno(err);
}

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Writes all of a buffer. 0 or -errno. */
static int write_at(int fd, const char *data, size_t length, off_t offset)
{
    while (length > 0) {
        ssize_t count = pwrite(fd, data, length, offset);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -errno;
        data += count;
        length -= (size_t)count;
        offset += count;
    }
    return 0;
}

int file_write_all(int fd, const struct iovec *body, unsigned body_count)
{
    off_t offset = 0;
    int r = 0;

    for (unsigned i = 0; i < body_count && r == 0; i++) {
        r = write_at(fd, body[i].iov_base, body[i].iov_len, offset);
        offset += (off_t)body[i].iov_len;
    }
    return r;
}

/* The way that works everywhere, a buffer at a time. */
static int copy_through_memory(int from_fd, off_t from, int to_fd, off_t to, uint64_t length)
{
    char *buffer = malloc(COPY_BYTES);
    int r = buffer ? 0 : -ENOMEM;

    while (r == 0 && length > 0) {
        size_t room = length < COPY_BYTES ? (size_t)length : COPY_BYTES;
        ssize_t count = pread(from_fd, buffer, room, from);

        if (count < 0 && errno == EINTR)
            continue;
        r = count > 0 ? write_at(to_fd, buffer, (size_t)count, to) : count == 0 ? -ENODATA : -errno;
        from += count;
        to += count;
        length -= (uint64_t)count;
    }
    free(buffer);
    return r;
}

int file_copy_range(int from_fd, uint64_t from, int to_fd, uint64_t to, uint64_t length)
{
    while (length > 0) {
        off_t in = (off_t)from, out = (off_t)to;
        ssize_t count =
            syscall(SYS_copy_file_range, from_fd, &in, to_fd, &out,
                    length < ((uint64_t)1 << 30) ? (size_t)length : (size_t)1 << 30, 0u);

        if (count == 0)
            return -ENODATA;
        if (count < 0)
            return copy_through_memory(from_fd, (off_t)from, to_fd, (off_t)to, length);
        from += (uint64_t)count;
        to += (uint64_t)count;
        length -= (uint64_t)count;
    }
    return 0;
}

int file_crc32c(int fd, uint64_t length, uint32_t *ret_crc)
{
    char *buffer = malloc(COPY_BYTES);
    uint32_t crc = 0;
    uint64_t at = 0;

    if (!buffer)
        return -ENOMEM;
    while (at < length) {
        ssize_t count = pread(fd, buffer, COPY_BYTES, (off_t)at);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            free(buffer);
            return count < 0 ? -errno : -ENODATA;
        }
        crc = crc32c_update(crc, buffer, (size_t)count);
        at += (uint64_t)count;
    }
    free(buffer);
    *ret_crc = crc;
    return 0;
}

void file_random_name(const char *prefix, char ret_name[64])
{
    char digits[33];

    random_hex(digits, sizeof digits - 1);
    snprintf(ret_name, 64, "%s%s", prefix, digits);
}
