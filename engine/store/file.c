/* A store over local directories, by plain pread and pwrite; every request ends within submit.
 *
 * The key is the path below S3DLIO_FILE_ROOT, its first component the bucket; see file_path.h for
 * what cannot be a key and why nothing outside the root can be reached. Directories are real: a put
 * makes those that are missing, the key "dir/" means the directory itself, deleting it is rmdir.
 * ETags are inode, size, mtime and ctime, so a file changed in place is a new version; a body read
 * under If-Match is compared once more at its end. Modes, owners, times and user.* attributes are
 * those of the file system (file_attributes.c).
 *
 * No locks and no state beside the root's name; any number of processes may work on one tree. Kept
 * out: other user metadata (the capability is absent, what is given is not stored), O_DIRECT,
 * io_uring.
 */
#include "store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "config/options.h"
#include "store/internal.h"

static int check_found(const struct stat *st, bool wants_directory, const char *if_match,
                       struct error *err)
{
    char etag[STORE_ETAG_MAX];

    if (S_ISDIR(st->st_mode) != wants_directory)
        return error_set(err, ERROR_NOT_FOUND,
                         wants_directory ? "it is no directory" : "it is a directory");
    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return error_set(err, ERROR_UNSUPPORTED, "it is neither a file nor a directory");
    file_etag(st, etag);
    return store_etag_matches(if_match, etag)
               ? 0
               : error_set(err, ERROR_CHANGED, "another version is there now");
}

int file_open_found(const struct file_store *store, const struct file_wanted *wanted,
                    struct stat *ret_stat, struct error *err)
{
    struct file_path path;
    struct stat st;
    int fd, r;

    *ret_stat = (struct stat){0};
    if (file_path_make(wanted->bucket, wanted->key, &path, err) < 0)
        return -error_errno(err);
    fd = file_open_beneath(store, path.text, wanted->flags);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return file_check_bucket(store, wanted->bucket, err) < 0
                   ? -error_errno(err)
                   : error_set(err, ERROR_NOT_FOUND, "there is no file of that name");
    if (fd < 0)
        return file_error(err, -fd, "open the file");
    r = fstat(fd, &st) < 0 ? file_error(err, errno, "look at the file")
                           : check_found(&st, path.is_directory, wanted->if_match, err);
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_stat = st;
    return fd;
}

int file_open_source(struct file_store *store, const char *bucket, const char *key,
                     const char *if_match, struct stat *ret_stat, struct error *err)
{
    struct file_wanted wanted = {bucket, key, if_match, O_RDONLY | O_NONBLOCK | O_NOCTTY};
    int fd = file_open_found(store, &wanted, ret_stat, err);

    if (fd < 0 || !S_ISDIR(ret_stat->st_mode))
        return fd;
    close(fd);
    return -EISDIR;
}

/* ---- GET ------------------------------------------------------------------------------------ */

/* A directory has no bytes: fd -1. */
static ssize_t get_read_at(const struct inline_source *source, uint64_t offset, void *where,
                           size_t length, struct error *err)
{
    ssize_t count;

    do
        count = pread(source->fd, where, length, (off_t)offset);
    while (count < 0 && errno == EINTR);
    return count < 0 ? file_error(err, errno, "read the file") : count;
}

/* Was the file changed in place while its bytes were read? */
static int get_check(const struct inline_source *source, const struct store_request *request,
                     struct error *err)
{
    char etag[STORE_ETAG_MAX];
    struct stat st;

    if (!request->if_match || source->fd < 0)
        return 0;
    if (fstat(source->fd, &st) < 0)
        return file_error(err, errno, "look at the file");
    file_etag(&st, etag);
    return strcmp(etag, request->object.etag) == 0
               ? 0
               : error_set(err, ERROR_CHANGED, "the file was changed while it was read");
}

static void get_release(const struct inline_source *source)
{
    if (source->fd >= 0)
        close(source->fd);
}

static void file_get(struct file_store *store, struct store_request *request)
{
    struct inline_source source = {
        .read_at = get_read_at, .check = get_check, .release = get_release};
    struct stat st;

    source.fd = file_open_source(store, request->bucket, request->key, request->if_match, &st,
                                 &request->error);
    if (source.fd < 0 && request->error.class != ERROR_NONE) {
        store_request_done(request);
        return;
    }
    file_describe(&st, &request->object);
    inline_body_start(request, &source);
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* Needs no right to read: nor does stat(2). */
static int file_head(struct file_store *store, struct store_request *request, struct error *err)
{
    struct file_wanted wanted = {request->bucket, request->key, request->if_match, O_PATH};
    struct stat st;
    int fd = file_open_found(store, &wanted, &st, err), r;

    if (fd < 0)
        return fd;
    file_describe(&st, &request->object);
    r = file_read_xattrs(fd, &request->object.metadata);
    close(fd);
    return r < 0 ? error_set(err, ERROR_NO_MEMORY, "looking at attributes") : 0;
}

static int bucket_parent(struct file_store *store, struct store_request *request,
                         struct file_path *ret_path, struct error *err)
{
    int fd;

    if (strchr(request->bucket, '/') || !request->bucket[0])
        return error_set(err, ERROR_INVALID, "a bucket is one directory below the root");
    if (file_path_make(request->bucket, "", ret_path, err) < 0)
        return -error_errno(err);
    fd = file_open_beneath(store, "", O_PATH | O_DIRECTORY);
    return fd < 0 ? file_error(err, -fd, "open the root") : fd;
}

static int file_create_bucket(struct file_store *store, struct store_request *request,
                              struct error *err)
{
    struct file_path path;
    int root = bucket_parent(store, request, &path, err);
    int r;

    if (root < 0)
        return root;
    r = mkdirat(root, path.text, 0777) < 0 ? file_error(err, errno, "make the directory") : 0;
    close(root);
    return r;
}

static int file_delete_bucket(struct file_store *store, struct store_request *request,
                              struct error *err)
{
    struct file_path path;
    int root = bucket_parent(store, request, &path, err);
    int r = 0;

    if (root < 0)
        return root;
    if (unlinkat(root, path.text, AT_REMOVEDIR) < 0)
        r = errno == ENOENT ? error_set(err, ERROR_NO_BUCKET, "there is no directory of that name")
                            : file_error(err, errno, "remove the directory");
    close(root);
    return r;
}

static int file_get_tags(struct file_store *store, struct store_request *request, struct error *err)
{
    (void)store;
    (void)request;
    return error_set(err, ERROR_UNSUPPORTED, "files have no tags");
}

static file_operation_fn *const file_operations[STORE_OPERATION_COUNT] = {
    [STORE_HEAD] = file_head,
    [STORE_PUT] = file_put,
    [STORE_DELETE] = file_delete,
    [STORE_DELETE_MANY] = file_delete_many,
    [STORE_COPY] = file_copy,
    [STORE_RENAME] = file_rename,
    [STORE_LIST] = file_list,
    [STORE_LIST_BUCKETS] = file_list_buckets,
    [STORE_CREATE_BUCKET] = file_create_bucket,
    [STORE_DELETE_BUCKET] = file_delete_bucket,
    [STORE_UPLOAD_CREATE] = file_upload_create,
    [STORE_UPLOAD_PART] = file_upload_part,
    [STORE_UPLOAD_PART_COPY] = file_upload_part_copy,
    [STORE_UPLOAD_COMPLETE] = file_upload_complete,
    [STORE_UPLOAD_ABORT] = file_upload_abort,
    [STORE_GET_TAGS] = file_get_tags,
    [STORE_UPLOAD_LIST] = file_upload_list,
};

static void file_submit(struct store_request *request)
{
    struct file_store *store = (struct file_store *)request->store;

    if (request->operation == STORE_GET) {
        file_get(store, request);
        return;
    }
    file_operations[request->operation](store, request, &request->error);
    store_request_done(request);
}

static int file_open(const struct options *options, struct store **ret_store, struct error *err)
{
    const char *root = option_text(options, FILE_ROOT);
    struct file_store *store = calloc(1, sizeof *store);
    int length;

    if (!store)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a store");
    store->base =
        (struct store){.ops = &store_file_ops, .capabilities = store_file_ops.capabilities};
    length = snprintf(store->root, sizeof store->root, "%s", root && root[0] ? root : "/");
    if (length >= (int)sizeof store->root || store->root[0] != '/') {
        free(store);
        return error_set(err, ERROR_INVALID, "S3DLIO_FILE_ROOT is not an absolute path");
    }
    *ret_store = &store->base;
    return 0;
}

static void file_close(struct store *store)
{
    free(store);
}

/* What is not there yet is in the file system of the nearest directory above it. */
static int file_statfs(struct store *base, const char *bucket, const char *key,
                       struct statfs *ret_statfs, struct error *err)
{
    struct file_store *store = (struct file_store *)base;
    struct file_path path;
    int fd, r = 0;

    if (file_path_make(bucket, key, &path, err) < 0)
        return -error_errno(err);
    for (;;) {
        char *slash = strrchr(path.text, '/');

        fd = file_open_beneath(store, path.text, O_PATH);
        if (fd != -ENOENT || !path.text[0])
            break;
        *(slash ? slash : path.text) = '\0';
    }
    if (fd < 0)
        return file_error(err, -fd, "open");
    if (fstatfs(fd, ret_statfs) < 0)
        r = file_error(err, errno, "look at the file system");
    close(fd);
    return r;
}

static void file_describe_store(struct store *store, struct store_description *ret_description)
{
    *ret_description =
        (struct store_description){.credential_source = "the process's own", .tls = "none"};
    snprintf(ret_description->endpoint, sizeof ret_description->endpoint, "%.250s",
             ((struct file_store *)store)->root);
}

const struct store_ops store_file_ops = {
    .scheme = "file",
    .capabilities = STORE_CAP_IF_NONE_MATCH | STORE_CAP_IF_MATCH_PUT | STORE_CAP_PART_COPY |
                    STORE_CAP_COPY | STORE_CAP_DELETE_MANY | STORE_CAP_LIST_ORDERED |
                    STORE_CAP_INLINE | STORE_CAP_REAL_DIRECTORIES | STORE_CAP_RENAME |
                    STORE_CAP_ATTRIBUTES,
    .open = file_open,
    .close = file_close,
    .submit = file_submit,
    .resume = inline_body_resume,
    .abandon = inline_body_abandon,
    .describe = file_describe_store,
    .statfs = file_statfs,
};
