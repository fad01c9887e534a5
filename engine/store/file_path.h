/* Names of the file store: from bucket and key to a descriptor below the root, and never beside it.
 *
 * A key is the path below the root, bucket first; components are literal. "." ".." and empty
 * ones do not exist here (they would be other names of the same file), nor do names that begin
 * with FILE_HIDDEN, which are the store's own. A key that ends in '/' means a directory.
 *
 * Every open goes through openat2(2) with RESOLVE_BENEATH: neither ".." nor a symlink leads
 * outside, whoever changes the tree meanwhile. Where the kernel lacks it, components are opened
 * one by one and symlinks are refused. The root is opened anew each time, because a program may
 * close any descriptor it finds.
 */
#ifndef S3DLIO_STORE_FILE_PATH_H
#define S3DLIO_STORE_FILE_PATH_H

#include <limits.h>
#include <sys/stat.h>

#include "base/uri.h"
#include "store/store.h"

#define FILE_HIDDEN   ".s3dlio-"
#define FILE_UPLOAD   FILE_HIDDEN "upload-"
#define FILE_DRAFT    FILE_HIDDEN "draft-"
#define FILE_PATH_MAX (URI_BUCKET_MAX + URI_KEY_MAX + 3) /* on stacks that may be small */

struct file_store {
    struct store base;
    char root[PATH_MAX];
};

/* A key taken apart. Descriptors of the caller's. */
struct file_path {
    char
        text[FILE_PATH_MAX]; /* relative to the root, "" for the root itself; no slash at its end */
    bool is_directory;       /* the key ended in '/', or was empty: the bucket */
    char *name;              /* last component, inside text */
};

/* 0, or -errno with *err for a name that cannot exist. */
int file_path_make(const char *bucket, const char *key, struct file_path *ret_path,
                   struct error *err);
bool file_name_is_hidden(const char *name);

/* Opens a path below the root ("" is the root). The descriptor, or -errno. O_CLOEXEC added. */
int file_open_beneath(const struct file_store *store, const char *path, int flags);
/* The same below an open directory. */
int file_open_below(int dir_fd, const char *path, int flags);
/* Opens the directory that holds the path's name; makes missing ones when `create`. The bucket must
 * exist. The descriptor, or -errno. */
int file_open_parent(const struct file_store *store, const struct file_path *path, bool create);

/* Does the bucket's directory exist? 0, or ERROR_NO_BUCKET. */
int file_check_bucket(const struct file_store *store, const char *bucket, struct error *err);

/* As stat(2) says. */
struct store_attributes file_attributes(const struct stat *st);
/* Size, time, ETag, attributes of what stat says; ETag: inode, size, mtime, ctime. */
void file_describe(const struct stat *st, struct store_object *ret_object);
void file_etag(const struct stat *st, char ret_etag[STORE_ETAG_MAX]);

/* *err for a system call that failed: the classes an object store would use. Returns -errno. */
int file_error(struct error *err, int errnum, const char *what);

/* Writes the iovecs to fd at offset 0. 0 or -errno. */
int file_write_all(int fd, const struct iovec *body, unsigned body_count);
/* Copies bytes between files, in the kernel where it can. 0 or -errno (-ENODATA: short). */
int file_copy_range(int from_fd, uint64_t from, int to_fd, uint64_t to, uint64_t length);
/* The checksum of the first `length` bytes. 0 or -errno (-ENODATA: short). */
int file_crc32c(int fd, uint64_t length, uint32_t *ret_crc);
/* "prefix" and 32 random hex digits. */
void file_random_name(const char *prefix, char ret_name[64]);

#endif
