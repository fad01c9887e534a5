/* Renaming in the file store: one renameat2(2) below the root, with the kernel's own answers.
 *
 * A key that ends in '/' demands a directory, as it does in a path. The conditions of POSIX (what
 * may take whose place) are the kernel's; nothing is looked at before.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store/file.h"
#include "store/internal.h"

/* The directory that holds the name, and the name in it; -errno with *err. */
static int open_place(struct file_store *store, const char *bucket, const char *key,
                      struct file_path *ret_path, struct error *err)
{
    int fd = file_path_make(bucket, key, ret_path, err);

    if (fd < 0)
        return fd;
    fd = file_open_parent(store, ret_path, false);
    return fd < 0 ? error_set_errno(err, -fd, "the directory cannot be opened") : fd;
}

static int rename_between(int from_dir, const struct file_path *from, int to_dir,
                          const struct file_path *to, const struct store_request *request)
{
    unsigned flags = request->if_none_match ? RENAME_NOREPLACE : 0;
    struct stat st;

    if (from->is_directory || to->is_directory) {
        if (fstatat(from_dir, from->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return -errno;
        if (!S_ISDIR(st.st_mode))
            return -ENOTDIR;
    }
    return renameat2(from_dir, from->name, to_dir, to->name, flags) < 0 ? -errno : 0;
}

int file_rename(struct file_store *store, struct store_request *request, struct error *err)
{
    struct file_path from, to;
    int from_dir = open_place(store, request->source_bucket, request->source_key, &from, err);
    int to_dir, r;

    if (from_dir < 0)
        return from_dir;
    r = to_dir = open_place(store, request->bucket, request->key, &to, err);
    if (to_dir >= 0) {
        r = rename_between(from_dir, &from, to_dir, &to, request);
        if (r < 0)
            error_set_errno(err, -r, "the file was not renamed");
        close(to_dir);
    }
    close(from_dir);
    return r;
}
