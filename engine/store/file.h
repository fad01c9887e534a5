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

/* Opens a regular file to read, its stat beside it, If-Match checked. The descriptor or -errno. A
 * directory that the key names with its slash counts as an empty object: then -EISDIR without *err
 * and *ret_stat is the directory's. */
int file_open_source(struct file_store *store, const char *bucket, const char *key,
                     const char *if_match, struct stat *ret_stat, struct error *err);

/* A new file under a hidden name, until it gets its own. */
struct file_draft {
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
