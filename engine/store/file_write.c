/* Changes in the file store: put, copy, delete, and how a draft becomes a file.
 *
 * A new file is written under a hidden name in the directory it belongs to and then renamed:
 * readers see the old file or the new one. If-None-Match is renameat2(RENAME_NOREPLACE), or
 * link(2) where that is missing; If-Match is a comparison under flock(2) of the directory.
 * Permission bits and attributes of a file that is replaced stay, where metadata does not say
 * otherwise; metadata alone is changed in place. Nothing is synced to the disk, as close(2)
 * does not either. A process that dies in between leaves a hidden draft, which no listing shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/file.h"
#include "store/internal.h"

int file_draft_open(int dir_fd, struct file_draft *ret_draft)
{
    struct file_draft *draft = ret_draft;

    draft->metadata = NULL;
    draft->dir_fd = dir_fd;
    file_random_name(FILE_DRAFT, draft->name);
    draft->fd =
        openat(dir_fd, draft->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    return draft->fd < 0 ? -errno : 0;
}

void file_draft_close(struct file_draft *draft)
{
    if (draft->fd < 0)
        return;
    if (draft->name[0])
        unlinkat(draft->dir_fd, draft->name, 0);
    close(draft->fd);
    draft->fd = -1;
}

/* Locks the directory and compares the file with If-Match of the request. The lock's descriptor
 * (close it to unlock), or -errno with *err. */
static int lock_matching(int dir_fd, const char *name, const char *if_match, struct error *err)
{
    int lock = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char etag[STORE_ETAG_MAX];
    struct stat st;
    int r = 0;

    if (lock < 0)
        return file_error(err, errno, "open the directory");
    if (flock(lock, LOCK_EX | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? error_set(err, ERROR_BUSY, "another process is changing it")
                                 : file_error(err, errno, "lock the directory");
    else if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        r = file_error(err, errno, "look at the file");
    if (r == 0) {
        file_etag(&st, etag);
        if (!store_etag_matches(if_match, etag))
            r = error_set(err, ERROR_CHANGED, "another version is there now");
    }
    if (r == 0)
        return lock;
    close(lock);
    return r;
}

static int rename_no_replace(int from_fd, const char *from, int to_fd, const char *to)
{
    if (renameat2(from_fd, from, to_fd, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(from_fd, from, to_fd, to, 0) < 0)
        return -errno;
    unlinkat(from_fd, from, 0);
    return 0;
}

/* A file that takes the place of another keeps its permission bits and attributes, unless metadata
 * says others. 0 or -errno. */
static int draft_prepare(const struct file_draft *draft, int dir_fd, const char *name,
                         bool no_replace)
{
    static const struct store_metadata none;
    const struct store_metadata *metadata = draft->metadata ? draft->metadata : &none;
    int old = no_replace ? -1 : openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st, replaced;
    bool replaces = old >= 0 && fstat(old, &replaced) == 0 && S_ISREG(replaced.st_mode);
    int r = fstat(draft->fd, &st) < 0 ? -errno : 0;

    if (r == 0)
        r = file_write_attributes(draft->fd, metadata, &st, replaces ? &replaced : NULL);
    if (r == 0 && replaces && !file_says_xattrs(metadata))
        r = file_copy_xattrs(old, draft->fd);
    if (old >= 0)
        close(old);
    return r;
}

/* The rename itself. 0, or -errno with *err. */
static int draft_rename(const struct file_draft *draft, int dir_fd, const char *name,
                        bool no_replace, struct error *err)
{
    int r = draft_prepare(draft, dir_fd, name, no_replace);

    if (r < 0)
        return file_error(err, -r, "set the file's attributes");
    if (no_replace)
        r = rename_no_replace(draft->dir_fd, draft->name, dir_fd, name);
    else
        r = renameat(draft->dir_fd, draft->name, dir_fd, name) < 0 ? -errno : 0;
    if (r == -EEXIST && no_replace)
        return error_set(err, ERROR_EXISTS, "the file exists already");
    return r < 0 ? file_error(err, -r, "name the file") : 0;
}

int file_draft_publish(struct file_draft *draft, int dir_fd, const char *name,
                       struct store_request *request, struct error *err)
{
    int lock = -1, r = 0;
    struct stat st;

    if (request->if_match && request->operation != STORE_COPY) {
        lock = lock_matching(dir_fd, name, request->if_match, err);
        r = lock < 0 ? lock : 0;
    }
    if (r == 0)
        r = draft_rename(draft, dir_fd, name, request->if_none_match, err);
    if (r == 0) {
        draft->name[0] = '\0';
        if (fstat(draft->fd, &st) < 0)
            r = file_error(err, errno, "look at the file");
        else
            file_describe(&st, &request->object);
    }
    if (lock >= 0)
        close(lock);
    return r;
}

/* The directory of the request's key, made where missing; its path beside it. */
static int open_target(struct file_store *store, const struct store_request *request,
                       struct file_path *ret_path, struct error *err)
{
    int fd = file_path_make(request->bucket, request->key, ret_path, err);

    if (fd < 0)
        return fd;
    if (file_check_bucket(store, request->key[0] ? request->bucket : "", err) < 0)
        return -error_errno(err);
    fd = file_open_parent(store, ret_path, true);
    return fd < 0 ? file_error(err, -fd, "open the directory") : fd;
}

static int put_directory(int dir_fd, const char *name, struct store_request *request,
                         struct error *err)
{
    struct stat st;
    int fd, r = 0;

    if (store_body_length(request) > 0)
        return error_set(err, ERROR_INVALID, "a directory holds no data");
    if (mkdirat(dir_fd, name, 0777) < 0 && (errno != EEXIST || request->if_none_match))
        return file_error(err, errno, "make the directory");
    fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        r = file_error(err, errno, "look at the directory");
    else if (!S_ISDIR(st.st_mode))
        r = error_set(err, ERROR_NOT_DIRECTORY, "a file of that name is there");
    else if (request->metadata &&
             (r = file_write_attributes(fd, request->metadata, &st, NULL)) < 0)
        file_error(err, -r, "set the directory's attributes");
    if (r == 0 && fstat(fd, &st) == 0)
        file_describe(&st, &request->object);
    if (fd >= 0)
        close(fd);
    return r;
}

static int put_file(int dir_fd, const char *name, struct store_request *request, struct error *err)
{
    struct file_draft draft;
    int r = file_draft_open(dir_fd, &draft);

    draft.metadata = request->metadata;
    if (r == 0)
        r = file_write_all(draft.fd, request->body, request->body_count);
    if (r < 0)
        file_error(err, -r, "write the file");
    else
        r = file_draft_publish(&draft, dir_fd, name, request, err);
    file_draft_close(&draft);
    return r;
}

int file_put(struct file_store *store, struct store_request *request, struct error *err)
{
    struct file_path path;
    int dir_fd = open_target(store, request, &path, err);
    int r;

    if (dir_fd < 0)
        return dir_fd;
    r = path.is_directory ? put_directory(dir_fd, path.name, request, err)
                          : put_file(dir_fd, path.name, request, err);
    close(dir_fd);
    return r;
}

static int copy_file(int from, const struct stat *st, int dir_fd, const char *name,
                     struct store_request *request)
{
    struct error *err = &request->error;
    struct file_draft draft;
    int r = file_draft_open(dir_fd, &draft);

    draft.metadata = request->metadata;
    if (r == 0) {
        (void)!fchmod(draft.fd, st->st_mode & 0777);
        r = file_copy_range(from, 0, draft.fd, 0, (uint64_t)st->st_size);
    }
    if (r < 0)
        file_error(err, -r, "copy the file");
    else
        r = file_draft_publish(&draft, dir_fd, name, request, err);
    file_draft_close(&draft);
    return r;
}

/* Bytes and name stay: a file, or a directory. */
static int change_in_place(struct file_store *store, struct store_request *request,
                           struct error *err)
{
    struct file_wanted wanted = {request->bucket, request->key, request->if_match, O_PATH};
    struct stat st;
    int fd = file_open_found(store, &wanted, &st, err), r;

    if (fd < 0)
        return fd;
    r = file_write_attributes(fd, request->metadata, &st, NULL);
    if (r == 0 && fstat(fd, &st) < 0)
        r = -errno;
    close(fd);
    if (r < 0)
        return file_error(err, -r, "set attributes");
    file_describe(&st, &request->object);
    return 0;
}

int file_copy(struct file_store *store, struct store_request *request, struct error *err)
{
    struct file_path path;
    struct stat st;
    int from, dir_fd, r;

    if (request->metadata && strcmp(request->bucket, request->source_bucket) == 0 &&
        strcmp(request->key, request->source_key) == 0)
        return change_in_place(store, request, err);
    from = file_open_source(store, request->source_bucket, request->source_key, request->if_match,
                            &st, err);
    if (from < 0)
        return from == -EISDIR && err->class == ERROR_NONE
                   ? error_set(err, ERROR_UNSUPPORTED, "a directory cannot be copied as a file")
                   : from;
    r = dir_fd = open_target(store, request, &path, err);
    if (r >= 0 && path.is_directory)
        r = error_set(err, ERROR_INVALID, "a file cannot become a directory");
    if (r >= 0)
        r = copy_file(from, &st, dir_fd, path.name, request);
    if (dir_fd >= 0)
        close(dir_fd);
    close(from);
    return r;
}

/* ---- deleting ------------------------------------------------------------------------------- */

static bool means_absent(int errnum)
{
    return errnum == ENOENT || errnum == ENOTDIR || errnum == EISDIR;
}

static int delete_key(struct file_store *store, const struct store_request *request,
                      const char *key, struct error *err)
{
    struct file_path path;
    int dir_fd, lock = -1, r = 0;

    if (file_path_make(request->bucket, key, &path, err) < 0)
        return -error_errno(err);
    dir_fd = file_open_parent(store, &path, false);
    if (dir_fd < 0 && means_absent(-dir_fd))
        return file_check_bucket(store, request->bucket, err);
    if (dir_fd < 0)
        return file_error(err, -dir_fd, "open the directory");
    if (request->if_match) {
        lock = lock_matching(dir_fd, path.name, request->if_match, err);
        r = lock < 0 ? lock : 0;
    }
    if (r == 0 && unlinkat(dir_fd, path.name, path.is_directory ? AT_REMOVEDIR : 0) < 0 &&
        !means_absent(errno))
        r = file_error(err, errno, "remove the file");
    if (lock >= 0)
        close(lock);
    close(dir_fd);
    return r;
}

int file_delete(struct file_store *store, struct store_request *request, struct error *err)
{
    return delete_key(store, request, request->key, err);
}

int file_delete_many(struct file_store *store, struct store_request *request, struct error *err)
{
    unsigned failed = 0;
    char message[sizeof err->message];

    for (unsigned i = 0; i < request->key_count; i++) {
        struct error one = {0};

        if (delete_key(store, request, request->keys[i], &one) == 0)
            continue;
        if (failed++ == 0)
            *err = one;
    }
    if (!failed)
        return 0;
    snprintf(message, sizeof message, "%u of %u not deleted, the first: %.200s", failed,
             request->key_count, err->message);
    memcpy(err->message, message, sizeof message);
    return -error_errno(err);
}
