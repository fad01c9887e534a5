/* Operations of the file store, one function each; the table is in file.c.
 *
 * Each ends within the call: 0, or -errno with *err, the answer in the request. No locks of their
 * own: the kernel's directory operations are the atomic steps, and a change under If-Match holds
 * flock(2) on the directory, which keeps out other processes that do the same.
 */
#ifndef S3DLIO_STORE_FILE_H
#define S3DLIO_STORE_FILE_H

#include "store/file_path.h"

typedef int file_operation_fn(struct file_store *store, struct store_request *request,
                              struct error *err);

/* file_write.c */
file_operation_fn file_put, file_copy, file_delete, file_delete_many;
/* file_rename.c */
file_operation_fn file_rename;
/* file_list.c */
file_operation_fn file_list, file_list_buckets;
/* file_multipart.c */
file_operation_fn file_upload_create, file_upload_part, file_upload_part_copy, file_upload_complete,
    file_upload_abort, file_upload_list;

/* Opens a regular file, or the directory that a key with a slash names, with these flags, its stat
 * beside it, If-Match checked. The descriptor or -errno. */
struct file_wanted {
    const char *bucket, *key, *if_match;
    int flags;
};
int file_open_found(const struct file_store *store, const struct file_wanted *wanted,
                    struct stat *ret_stat, struct error *err);
/* The same for what is read: a directory counts as an empty object: then -EISDIR without *err. */
int file_open_source(struct file_store *store, const char *bucket, const char *key,
                     const char *if_match, struct stat *ret_stat, struct error *err);

/* ---- file_attributes.c ---- */

/* Adds the user.* attributes; "" when they are more than metadata holds. 0 or -ENOMEM, -E2BIG. */
int file_read_xattrs(int fd, struct store_metadata *metadata);
/* What the metadata says becomes so of a file or directory (O_PATH will do), of which `st` tells
 * what is. `replaced` (may be NULL) is the file whose place it takes: it keeps that one's mode,
 * when the metadata says none, and its owner as far as this process can give it. 0 or -errno. */
int file_write_attributes(int fd, const struct store_metadata *metadata, const struct stat *st,
                          const struct stat *replaced);
/* Does the metadata (may be NULL) say which user.* attributes there are to be? Else they stay as
 * they are; for what takes the place of another file, file_copy_xattrs. 0 or -errno. */
bool file_says_xattrs(const struct store_metadata *metadata);
int file_copy_xattrs(int from_fd, int to_fd);

/* A new file under a hidden name, until it gets its own. */
struct file_draft {
    const struct store_metadata *metadata; /* NULL: none */
    int dir_fd; /* where it lies; the caller's */
    int fd;     /* -1: none */
    char name[64];
};
/* 0 or -errno; fd is -1 then. */
int file_draft_open(int dir_fd, struct file_draft *ret_draft);
/* Gives the draft a name in `dir_fd` under the request's conditions, and answers with what is there
 * then. 0, or -errno with *err. */
int file_draft_publish(struct file_draft *draft, int dir_fd, const char *name,
                       struct store_request *request, struct error *err);
/* Closes it, and removes it if it was not published. */
void file_draft_close(struct file_draft *draft);

/* Names in a directory, "." and ".." left out, directories with a slash behind; sorted bytewise. */
struct file_names {
    char *text;
    size_t text_length, text_capacity;
    struct file_name {
        size_t at; /* in text */
        bool is_directory, is_symlink;
    } * names;
    size_t count, capacity;
};
/* Reads those that begin with `prefix`; symlinks are followed, what they lead outside to is left
 * out, as are sockets and devices. hidden: only names of the store itself, else only others. */
int file_names_read(int dir_fd, const char *prefix, bool hidden, struct file_names *ret_names);
void file_names_fini(struct file_names *names);

#endif
