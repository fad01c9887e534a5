/*
 * The store that keeps objects in a directory, so that they survive the server.
 *
 *   DIR/blocks/ID              the bytes of a block, mapped while in use
 *   DIR/buckets/NAME/bucket    "region=..." and "created=..."
 *   DIR/buckets/NAME/HASH      an object: its key, attributes and segments, one line each
 *
 * HASH is the SHA-256 of the key, so that any key, "a" beside "a/b" too, has a file. Object files
 * are replaced by rename, after the blocks they name exist: a server that is killed leaves the old
 * or the new object. Blocks no object names are removed when the directory is opened. Nothing is
 * fsynced, and uploads in progress are forgotten. Reading it all back is directory_load.c.
 *
 * block_new and block_free may come from any thread; the rest runs under the store's lock.
 */
#include "directory_load.h"
#include "encode.h"
#include "sign.h"
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64u << 20)

struct directory {
    char *path;
    atomic_ullong next_block;
};

static int format_path(char out[PATH_MAX], const struct store *store, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int format_path(char out[PATH_MAX], const struct store *store, const char *format, ...)
{
    const struct directory *directory = store->private;
    int used = snprintf(out, PATH_MAX, "%s/", directory->path);
    va_list args;
    va_start(args, format);
    if (used < PATH_MAX)
        used += vsnprintf(out + used, (size_t)(PATH_MAX - used), format, args);
    va_end(args);
    return used < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int block_path(char out[PATH_MAX], const struct store *store, uint64_t id)
{
    return format_path(out, store, "blocks/%016llx", (unsigned long long)id);
}

static int object_path(char out[PATH_MAX], const struct store *store, const char *bucket,
                       const char *key)
{
    char hash[SIGN_HEX_BYTES];
    sign_sha256_hex(key, strlen(key), hash);
    return format_path(out, store, "buckets/%s/%s", bucket, hash);
}

static uint8_t *map_file(const char *path, int flags, uint64_t size)
{
    int fd = open(path, flags | O_CLOEXEC, 0666);
    if (fd < 0)
        return NULL;
    void *base = MAP_FAILED;
    bool writable = (flags & O_ACCMODE) == O_RDWR;
    if (!writable || !ftruncate(fd, (off_t)size))
        base = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return base == MAP_FAILED ? NULL : base;
}

static int directory_block_new(struct store *store, uint64_t size, struct block **ret_block)
{
    struct directory *directory = store->private;
    char path[PATH_MAX];
    struct block *block = calloc(1, sizeof(*block));
    if (!block)
        return -ENOMEM;
    atomic_init(&block->references, 1);
    block->store = store;
    block->size = size;
    block->id = atomic_fetch_add(&directory->next_block, 1);
    if (size < DIRECTORY_MAPPED_BYTES) {
        block->base = malloc(size);
    } else if (!block_path(path, store, block->id)) {
        block->base = map_file(path, O_RDWR | O_CREAT | O_EXCL, size);
        block->saved = true;
    }
    if (!block->base) {
        free(block);
        return -ENOMEM;
    }
    *ret_block = block;
    return 0;
}

static void directory_block_free(struct store *store, struct block *block)
{
    char path[PATH_MAX];
    if (block->size < DIRECTORY_MAPPED_BYTES)
        free(block->base);
    else
        munmap(block->base, block->size);
    if (!store->closing && block->saved && !block_path(path, store, block->id))
        unlink(path);
    free(block);
}

/* Writes a file whole, or leaves what was there. */
static int write_file(const char *path, const void *data, size_t length)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    FILE *file = fopen(temporary, "we");
    if (!file)
        return -errno;
    bool ok = fwrite(data, 1, length, file) == length;
    ok = !fclose(file) && ok;
    if (ok && !rename(temporary, path))
        return 0;
    int error = errno ? -errno : -EIO;
    unlink(temporary);
    return error;
}

static int save_block(struct store *store, struct block *block)
{
    char path[PATH_MAX];
    if (block->saved)
        return 0;
    int error = block_path(path, store, block->id);
    if (!error)
        error = write_file(path, block->base, block->size);
    block->saved = !error;
    return error;
}

static int save_segments(struct store *store, const struct body *body, struct buf *text)
{
    for (size_t i = 0; i < body->count; i++) {
        const struct segment *segment = &body->segments[i];
        int error = segment->block ? save_block(store, segment->block) : 0;
        if (error)
            return error;
        if (segment->block)
            buf_printf(text, "segment %016llx", (unsigned long long)segment->block->id);
        else
            buf_add(text, "segment pattern");
        buf_printf(text, " %llu %llu\n", (unsigned long long)segment->offset,
                   (unsigned long long)segment->length);
    }
    return 0;
}

static void write_attributes(const struct object *object, struct buf *text)
{
    buf_add(text, "key ");
    encode_uri(text, object->key, true);
    buf_printf(text, "\netag %s\nmodified %lld\n", object->etag,
               (long long)object->modified);
    if (object->checksum_kind) {
        char hex[2 * CHECKSUM_MAX_BYTES + 1];
        encode_hex(hex, object->checksum, CHECKSUM_MAX_BYTES);
        buf_printf(text, "checksum %s %u %s\n", CHECKSUM_ROWS[object->checksum_kind].name,
                   object->checksum_parts, hex);
    }
    const char *value;
    for (const char *name = headers_first(&object->headers, &value); name;
         name = headers_next(&object->headers, &value)) {
        buf_printf(text, "header %s ", name);
        encode_uri(text, value, true);
        buf_add(text, "\n");
    }
}

static int directory_object_saved(struct store *store, const char *bucket,
                                  const struct object *object)
{
    char path[PATH_MAX];
    struct buf text;
    buf_init(&text, FILE_MAX_BYTES);
    write_attributes(object, &text);
    int error = save_segments(store, &object->body, &text);
    buf_add(&text, "end\n");
    if (!error && text.failed)
        error = -ENOMEM;
    if (!error)
        error = object_path(path, store, bucket, object->key);
    if (!error)
        error = write_file(path, text.data, text.length);
    buf_fini(&text);
    return error;
}

static void directory_object_removed(struct store *store, const char *bucket, const char *key)
{
    char path[PATH_MAX];
    if (!object_path(path, store, bucket, key))
        unlink(path);
}

static int directory_bucket_saved(struct store *store, const struct bucket *bucket)
{
    char path[PATH_MAX], text[128];
    int error = format_path(path, store, "buckets/%s", bucket->name);
    if (error)
        return error;
    if (mkdir(path, 0777) && errno != EEXIST)
        return -errno;
    error = format_path(path, store, "buckets/%s/bucket", bucket->name);
    int length = snprintf(text, sizeof(text), "region=%s\ncreated=%lld\n", bucket->region,
                          (long long)bucket->created);
    return error ? error : write_file(path, text, (size_t)length);
}

static void directory_bucket_removed(struct store *store, const char *name)
{
    char path[PATH_MAX];
    if (!format_path(path, store, "buckets/%s/bucket", name))
        unlink(path);
    if (!format_path(path, store, "buckets/%s", name))
        rmdir(path);
}

static int directory_open(struct store *store, const char *path)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    char name[PATH_MAX];
    if (!directory)
        return -ENOMEM;
    directory->path = strdup(path);
    atomic_init(&directory->next_block, 1);
    store->private = directory;
    if (!directory->path)
        return -ENOMEM;
    if (mkdir(path, 0777) && errno != EEXIST)
        return -errno;
    static const char *const FOLDERS[] = {"blocks", "buckets"};
    for (size_t i = 0; i < 2; i++) {
        int error = format_path(name, store, "%s", FOLDERS[i]);
        if (error)
            return error;
        if (mkdir(name, 0777) && errno != EEXIST)
            return -errno;
    }
    return directory_load(store, path, &directory->next_block);
}

static void directory_close(struct store *store)
{
    struct directory *directory = store->private;
    free(directory->path);
    free(directory);
}

const struct store_ops STORE_DIRECTORY = {
    .name = "directory",
    .open = directory_open,
    .close = directory_close,
    .block_new = directory_block_new,
    .block_free = directory_block_free,
    .bucket_saved = directory_bucket_saved,
    .bucket_removed = directory_bucket_removed,
    .object_saved = directory_object_saved,
    .object_removed = directory_object_removed,
};
