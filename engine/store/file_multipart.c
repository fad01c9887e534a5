/* Multipart uploads of the file store: a hidden directory beside the file that is to be.
 *
 *   .s3dlio-upload-ID/name        the file's name
 *   .s3dlio-upload-ID/metadata    what it is to have, as store_metadata lays it out
 *   .s3dlio-upload-ID/part-00001  each written as a draft and renamed
 *
 * Complete copies the chosen parts, in the kernel where it can, into a draft and publishes that
 * as a put does; the upload stays whole until then, and a complete that failed can be repeated.
 * No state in memory: any process can add a part.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file.h"
#include "store/internal.h"

#define ID_LENGTH 32u
#define NAME_FILE "name"
#define META_FILE "metadata"

struct upload {
    struct file_path path; /* of the file that is to be */
    int parent_fd, fd;     /* its directory, the upload's */
    char directory[64];    /* the upload's name in there */
};

static int no_upload(struct error *err)
{
    error_set(err, ERROR_NOT_FOUND, "there is no such upload");
    snprintf(err->code, sizeof err->code, "NoSuchUpload");
    return -error_errno(err);
}

static bool id_is_valid(const char *id)
{
    return strlen(id) == ID_LENGTH && strspn(id, "0123456789abcdef") == ID_LENGTH;
}

/* Reads the name for which an upload was begun. 0 or -errno. */
static int read_name(int upload_fd, char ret_name[NAME_MAX + 1])
{
    int fd = openat(upload_fd, NAME_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return -errno;
    length = read(fd, ret_name, NAME_MAX);
    close(fd);
    if (length < 0)
        return -errno;
    ret_name[length] = '\0';
    return 0;
}

static void upload_close(struct upload *upload)
{
    if (upload->fd >= 0)
        close(upload->fd);
    if (upload->parent_fd >= 0)
        close(upload->parent_fd);
}

static int upload_open(const struct file_store *store, const struct store_request *request,
                       struct upload *ret_upload, struct error *err)
{
    struct upload *upload = ret_upload;
    char name[NAME_MAX + 1];

    upload->fd = upload->parent_fd = -1;
    if (file_path_make(request->bucket, request->key, &upload->path, err) < 0)
        return -error_errno(err);
    if (!request->upload_id || !id_is_valid(request->upload_id))
        return no_upload(err);
    snprintf(upload->directory, sizeof upload->directory, "%s%s", FILE_UPLOAD, request->upload_id);
    upload->parent_fd = file_open_parent(store, &upload->path, false);
    if (upload->parent_fd >= 0)
        upload->fd = file_open_below(upload->parent_fd, upload->directory,
                                     O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (upload->fd >= 0 && read_name(upload->fd, name) == 0 && strcmp(name, upload->path.name) == 0)
        return 0;
    upload_close(upload);
    return file_check_bucket(store, request->bucket, err) < 0 ? -error_errno(err) : no_upload(err);
}

/* Removes the upload's directory with all parts. */
static void upload_remove(struct upload *upload)
{
    struct file_names names;

    for (int hidden = 0; hidden < 2; hidden++) {
        lseek(upload->fd, 0, SEEK_SET);
        if (file_names_read(upload->fd, "", hidden, &names) < 0)
            continue;
        for (size_t i = 0; i < names.count; i++)
            unlinkat(upload->fd, names.text + names.names[i].at, 0);
        file_names_fini(&names);
    }
    unlinkat(upload->parent_fd, upload->directory, AT_REMOVEDIR);
}

static void part_name(unsigned number, char ret_name[16])
{
    snprintf(ret_name, 16, "part-%05u", number % 100000);
}

/* ---- the operations ------------------------------------------------------------------------- */

static int write_file(int upload_fd, const char *file, const char *text, size_t length)
{
    struct iovec body = {(char *)text, length};
    int fd = openat(upload_fd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int r;

    if (fd < 0)
        return -errno;
    r = file_write_all(fd, &body, 1);
    close(fd);
    return r;
}

int file_upload_create(struct file_store *store, struct store_request *request, struct error *err)
{
    struct upload upload = {.parent_fd = -1, .fd = -1};
    int r;

    if (file_path_make(request->bucket, request->key, &upload.path, err) < 0 ||
        file_check_bucket(store, request->bucket, err) < 0)
        return -error_errno(err);
    if (upload.path.is_directory)
        return error_set(err, ERROR_INVALID, "a directory holds no data");
    upload.parent_fd = file_open_parent(store, &upload.path, true);
    if (upload.parent_fd < 0)
        return file_error(err, -upload.parent_fd, "open the directory");
    file_random_name(FILE_UPLOAD, upload.directory);
    r = mkdirat(upload.parent_fd, upload.directory, 0777) < 0 ? -errno : 0;
    if (r == 0) {
        upload.fd = file_open_below(upload.parent_fd, upload.directory, O_RDONLY | O_DIRECTORY);
        r = upload.fd < 0 ? upload.fd
                          : write_file(upload.fd, NAME_FILE, upload.path.name,
                                       strlen(upload.path.name));
    }
    if (r == 0 && request->metadata && request->metadata->length)
        r = write_file(upload.fd, META_FILE, request->metadata->data, request->metadata->length);
    if (r < 0) {
        unlinkat(upload.fd, META_FILE, 0);
        unlinkat(upload.fd, NAME_FILE, 0);
        unlinkat(upload.parent_fd, upload.directory, AT_REMOVEDIR);
        file_error(err, -r, "begin the upload");
    } else {
        strcpy(request->returned_upload_id, upload.directory + strlen(FILE_UPLOAD));
    }
    upload_close(&upload);
    return r;
}

/* The draft becomes the part, and the answer is filled in. */
static int part_publish(struct upload *upload, struct file_draft *draft,
                        struct store_request *request, struct error *err)
{
    struct store_part part = {.number = request->part_number};
    struct stat st;
    char name[16];

    part_name(request->part_number, name);
    if (renameat(upload->fd, draft->name, upload->fd, name) < 0)
        return file_error(err, errno, "name the part");
    draft->name[0] = '\0';
    if (fstat(draft->fd, &st) < 0)
        return file_error(err, errno, "look at the part");
    part.size_bytes = (uint64_t)st.st_size;
    file_etag(&st, part.etag);
    request->part = part;
    return 0;
}

static int check_part_number(const struct store_request *request, struct error *err)
{
    if (request->part_number >= 1 && request->part_number <= STORE_PARTS_MAX)
        return 0;
    return error_set(err, ERROR_INVALID, "parts have numbers from 1 to %d", STORE_PARTS_MAX);
}

int file_upload_part(struct file_store *store, struct store_request *request, struct error *err)
{
    struct file_draft draft;
    struct upload upload;
    int r;

    if (check_part_number(request, err) < 0 || upload_open(store, request, &upload, err) < 0)
        return -error_errno(err);
    r = file_draft_open(upload.fd, &draft);
    if (r == 0)
        r = file_write_all(draft.fd, request->body, request->body_count);
    if (r < 0)
        file_error(err, -r, "write the part");
    else
        r = part_publish(&upload, &draft, request, err);
    request->part.crc32c = request->body_crc32c;
    request->part.has_crc32c = request->has_body_crc32c;
    file_draft_close(&draft);
    upload_close(&upload);
    return r;
}

/* Opens the source of a part copy and finds the range; the descriptor, or -errno with *err. */
static int open_part_source(struct file_store *store, const struct store_request *request,
                            uint64_t *ret_offset, uint64_t *ret_length, struct error *err)
{
    struct stat st = {0};
    int fd = file_open_source(store, request->source_bucket, request->source_key, request->if_match,
                              &st, err);

    if (fd == -EISDIR && err->class == ERROR_NONE)
        return error_set(err, ERROR_UNSUPPORTED, "a directory cannot be copied as a file");
    if (fd < 0)
        return fd;
    if (store_range_clip(request, (uint64_t)st.st_size, ret_offset, ret_length, err) == 0 &&
        (!request->length || *ret_length == request->length))
        return fd;
    close(fd);
    return error_set(err, ERROR_RANGE, "the range ends behind the object");
}

int file_upload_part_copy(struct file_store *store, struct store_request *request,
                          struct error *err)
{
    uint64_t offset = 0, length = 0;
    struct file_draft draft;
    struct upload upload;
    uint32_t crc = 0;
    int from, r;

    if (check_part_number(request, err) < 0 || upload_open(store, request, &upload, err) < 0)
        return -error_errno(err);
    r = from = open_part_source(store, request, &offset, &length, err);
    if (from < 0)
        goto out;
    r = file_draft_open(upload.fd, &draft);
    if (r == 0)
        r = file_copy_range(from, offset, draft.fd, 0, length);
    if (r == 0)
        r = file_crc32c(draft.fd, length, &crc);
    if (r < 0)
        file_error(err, -r, "copy the part");
    else
        r = part_publish(&upload, &draft, request, err);
    request->part.crc32c = crc;
    request->part.has_crc32c = r == 0;
    file_draft_close(&draft);
    close(from);
out:
    upload_close(&upload);
    return r;
}

/* Appends the part to the draft if it is the one that was uploaded. */
static int append_part(const struct upload *upload, const struct store_part *part, int to_fd,
                       uint64_t *offset, struct error *err)
{
    char name[16], etag[STORE_ETAG_MAX] = "";
    struct stat st;
    int fd, r;

    part_name(part->number, name);
    fd = openat(upload->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0)
        file_etag(&st, etag);
    if (fd < 0 || strcmp(etag, part->etag) != 0) {
        r = error_set(err, ERROR_INVALID, "part %u was not uploaded", part->number);
    } else {
        r = file_copy_range(fd, 0, to_fd, *offset, (uint64_t)st.st_size);
        if (r < 0)
            file_error(err, -r, "join the parts");
        *offset += (uint64_t)st.st_size;
    }
    if (fd >= 0)
        close(fd);
    return r;
}

static int join_parts(const struct upload *upload, const struct store_request *request, int to_fd,
                      struct error *err)
{
    uint64_t offset = 0;
    unsigned last = 0;
    int r = 0;

    if (request->part_count == 0)
        return error_set(err, ERROR_INVALID, "an upload needs at least one part");
    for (unsigned i = 0; i < request->part_count && r == 0; i++) {
        if (request->parts[i].number <= last)
            return error_set(err, ERROR_INVALID, "the parts are not in ascending order");
        last = request->parts[i].number;
        r = append_part(upload, &request->parts[i], to_fd, &offset, err);
    }
    return r;
}

/* What the upload was begun with. 0 or -errno. */
static int read_metadata(int upload_fd, struct store_metadata *ret_metadata)
{
    int fd = openat(upload_fd, META_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char *data = fd < 0 ? NULL : malloc(STORE_METADATA_MAX);
    ssize_t length = data ? read(fd, data, STORE_METADATA_MAX) : -1;
    int r = length >= 0 ? 0 : fd < 0 && errno == ENOENT ? 0 : fd < 0 || data ? -errno : -ENOMEM;

    if (fd >= 0)
        close(fd);
    if (length > 0 && !data[length - 1])
        *ret_metadata = (struct store_metadata){data, (size_t)length};
    else
        free(data);
    return r;
}

int file_upload_complete(struct file_store *store, struct store_request *request, struct error *err)
{
    struct store_metadata metadata = {0};
    struct file_draft draft;
    struct upload upload;
    int r;

    if (upload_open(store, request, &upload, err) < 0)
        return -error_errno(err);
    r = file_draft_open(upload.fd, &draft);
    if (r == 0)
        r = read_metadata(upload.fd, &metadata);
    draft.metadata = &metadata;
    if (r < 0)
        file_error(err, -r, "open the file");
    else
        r = join_parts(&upload, request, draft.fd, err);
    if (r == 0)
        r = file_draft_publish(&draft, upload.parent_fd, upload.path.name, request, err);
    file_draft_close(&draft);
    store_metadata_fini(&metadata);
    if (r == 0)
        upload_remove(&upload);
    upload_close(&upload);
    return r;
}

int file_upload_abort(struct file_store *store, struct store_request *request, struct error *err)
{
    struct upload upload;

    if (upload_open(store, request, &upload, err) < 0)
        return -error_errno(err);
    upload_remove(&upload);
    upload_close(&upload);
    return 0;
}

/* ---- uploads in flight ---------------------------------------------------------------------- */

struct upload_walk {
    struct store_page_builder *builder;
    const char *prefix;
    size_t length; /* of the key at hand */
    char key[FILE_PATH_MAX + 1];
};

static int walk_tree(struct upload_walk *walk, int dir_fd);

static int walk_upload(struct upload_walk *walk, int dir_fd, const char *directory)
{
    int fd = file_open_below(dir_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    char name[NAME_MAX + 1];
    struct store_entry entry = {.key = walk->key};
    struct stat st;
    int r = 0;

    if (fd < 0)
        return 0;
    if (read_name(fd, name) == 0 && fstat(fd, &st) == 0 &&
        walk->length + strlen(name) < sizeof walk->key) {
        strcpy(walk->key + walk->length, name);
        entry.mtime = st.st_mtim;
        if (strncmp(walk->key, walk->prefix, strlen(walk->prefix)) == 0)
            r = store_page_builder_add_upload(walk->builder, &entry,
                                              directory + strlen(FILE_UPLOAD));
        walk->key[walk->length] = '\0';
    }
    close(fd);
    return r;
}

static int walk_subdirectory(struct upload_walk *walk, int dir_fd, char *name)
{
    size_t length = walk->length, name_length = strlen(name);
    int fd, r;

    if (length + name_length >= sizeof walk->key)
        return 0;
    memcpy(walk->key + length, name, name_length + 1);
    if (strncmp(walk->key, walk->prefix, strlen(walk->prefix)) != 0 &&
        strncmp(walk->prefix, walk->key, strlen(walk->key)) != 0)
        return 0;
    name[name_length - 1] = '\0';
    fd = file_open_below(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    walk->length = length + name_length;
    r = walk_tree(walk, fd);
    walk->length = length;
    close(fd);
    return r;
}

/* As deep as a key can be: some 600 levels of a small frame. */
static int walk_tree(struct upload_walk *walk, int dir_fd)
{
    struct file_names names;
    int r = file_names_read(dir_fd, FILE_UPLOAD, true, &names);

    if (r < 0)
        return r;
    for (size_t i = 0; i < names.count && r == 0; i++) {
        char *name = names.text + names.names[i].at;

        if (!names.names[i].is_directory || names.names[i].is_symlink)
            continue;
        name[strlen(name) - 1] = '\0';
        r = walk_upload(walk, dir_fd, name);
    }
    file_names_fini(&names);
    lseek(dir_fd, 0, SEEK_SET);
    if (r == 0)
        r = file_names_read(dir_fd, "", false, &names);
    if (r < 0)
        return r;
    for (size_t i = 0; i < names.count && r == 0; i++)
        if (names.names[i].is_directory && !names.names[i].is_symlink)
            r = walk_subdirectory(walk, dir_fd, names.text + names.names[i].at);
    file_names_fini(&names);
    return r;
}

int file_upload_list(struct file_store *store, struct store_request *request, struct error *err)
{
    struct upload_walk walk = {.prefix = request->prefix ? request->prefix : ""};
    int fd, r;

    if (file_check_bucket(store, request->bucket, err) < 0)
        return -error_errno(err);
    walk.builder = store_page_builder_new();
    if (!walk.builder)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
    r = fd = file_open_beneath(store, request->bucket, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) {
        r = walk_tree(&walk, fd);
        close(fd);
    }
    if (r == 0 && !(request->page = store_page_builder_finish(walk.builder, NULL)))
        return error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
    if (r < 0) {
        store_page_builder_free(walk.builder);
        file_error(err, -r, "read the directory");
    }
    return r;
}
