/*
 * Loading a directory store: first every block, then every object; see directory_load.h.
 *
 * Runs once, before any thread. Each block starts with one reference of the loader's; dropping
 * those at the end removes the files of blocks that no object named. A file that does not parse is
 * reported and skipped.
 */
#include "directory_load.h"

#include "encode.h"
#include "index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct loader {
    struct store *store;
    const char *path;
    size_t count;
    struct block **blocks; /* by id */
};

static uint8_t *read_small(int fd, size_t size)
{
    uint8_t *base = malloc(size);
    if (base && read(fd, base, size) != (ssize_t)size) {
        free(base);
        base = NULL;
    }
    return base;
}

static struct block *load_block(struct store *store, const char *path, uint64_t id)
{
    struct stat status;
    struct block *block = calloc(1, sizeof(*block));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (block && fd >= 0 && !fstat(fd, &status) && status.st_size > 0) {
        block->size = (uint64_t)status.st_size;
        block->store = store;
        block->id = id;
        block->saved = true;
        atomic_init(&block->references, 1);
        if (block->size < DIRECTORY_MAPPED_BYTES) {
            block->base = read_small(fd, block->size);
        } else {
            void *base = mmap(NULL, block->size, PROT_READ, MAP_SHARED, fd, 0);
            block->base = base == MAP_FAILED ? NULL : base;
        }
    }
    if (fd >= 0)
        close(fd);
    if (block && !block->base) {
        free(block);
        return NULL;
    }
    return block;
}

static int compare_blocks(const void *a, const void *b)
{
    const struct block *x = *(struct block *const *)a, *y = *(struct block *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static int load_blocks(struct loader *loader)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/blocks", loader->path);
    DIR *dir = opendir(path);
    if (!dir)
        return -errno;
    int error = 0;
    for (struct dirent *entry; !error && (entry = readdir(dir));) {
        char *end;
        uint64_t id = strtoull(entry->d_name, &end, 16);
        if (*end || end == entry->d_name)
            continue;
        snprintf(path, sizeof(path), "%s/blocks/%s", loader->path, entry->d_name);
        struct block **blocks = realloc(loader->blocks, (loader->count + 1) * sizeof(*blocks));
        if (!blocks) {
            error = -ENOMEM;
            break;
        }
        loader->blocks = blocks;
        blocks[loader->count] = load_block(loader->store, path, id);
        if (blocks[loader->count])
            loader->count++;
    }
    closedir(dir);
    if (loader->count)
        qsort(loader->blocks, loader->count, sizeof(*loader->blocks), compare_blocks);
    return error;
}

static struct block *find_block(const struct loader *loader, uint64_t id)
{
    struct block wanted = {.id = id}, *key = &wanted;
    struct block **found = loader->count ? bsearch(&key, loader->blocks, loader->count,
                                                   sizeof(*loader->blocks), compare_blocks)
                                         : NULL;
    return found ? *found : NULL;
}

static bool load_segment(const struct loader *loader, struct object *object, const char *text)
{
    char name[20];
    unsigned long long offset, length;
    struct body more = {0};
    if (sscanf(text, "%19s %llu %llu", name, &offset, &length) != 3)
        return false;
    struct segment segment = {NULL, offset, length};
    if (strcmp(name, "pattern")) {
        segment.block = find_block(loader, strtoull(name, NULL, 16));
        if (!segment.block || offset > segment.block->size || length > segment.block->size - offset)
            return false;
    }
    more = (struct body){length, 1, &segment};
    return !body_append(&object->body, &more);
}

static bool load_checksum(struct object *object, const char *text)
{
    char name[16], hex[2 * CHECKSUM_MAX_BYTES + 1];
    if (sscanf(text, "%15s %u %64s", name, &object->checksum_parts, hex) != 3)
        return false;
    object->checksum_kind = checksum_by_name(name);
    for (size_t i = 0; i < CHECKSUM_MAX_BYTES; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &object->checksum[i]) != 1)
            return false;
    return object->checksum_kind != CHECKSUM_NONE;
}

static bool load_header(struct object *object, char *text)
{
    char *blank = strchr(text, ' ');
    if (!blank)
        return false;
    *blank++ = '\0';
    char *value = encode_uri_decode(blank, strlen(blank), false);
    bool ok = value && !headers_add(&object->headers, text, value);
    free(value);
    return ok;
}

/* One line but the first; *ret_end is set by the last. */
static bool load_line(const struct loader *loader, struct object *object, char *line, bool *ret_end)
{
    char *rest = strchr(line, ' ');
    if (!rest) {
        *ret_end = !strcmp(line, "end");
        return *ret_end;
    }
    *rest++ = '\0';
    if (!strcmp(line, "etag"))
        return snprintf(object->etag, sizeof(object->etag), "%s", rest) > 0;
    if (!strcmp(line, "modified"))
        object->modified = (time_t)strtoll(rest, NULL, 10);
    else if (!strcmp(line, "checksum"))
        return load_checksum(object, rest);
    else if (!strcmp(line, "header"))
        return load_header(object, rest);
    else if (!strcmp(line, "segment"))
        return load_segment(loader, object, rest);
    return true;
}

static struct object *load_object(const struct loader *loader, FILE *file)
{
    char *line = NULL;
    size_t capacity = 0;
    struct object *object = NULL;
    bool ok = true, end = false;
    for (ssize_t length; ok && !end && (length = getline(&line, &capacity, file)) > 0;) {
        line[length - 1] = '\0';
        if (object) {
            ok = load_line(loader, object, line, &end);
            continue;
        }
        char *key =
            strncmp(line, "key ", 4) ? NULL : encode_uri_decode(line + 4, strlen(line + 4), false);
        object = key ? object_new(key) : NULL;
        ok = object != NULL;
        free(key);
    }
    free(line);
    if (ok && end)
        return object;
    object_unref(object);
    return NULL;
}

static void load_bucket_file(const char *path, struct bucket *bucket)
{
    FILE *file = fopen(path, "re");
    long long created;
    if (!file)
        return;
    if (fscanf(file, "region=%31s created=%lld", bucket->region, &created) == 2)
        bucket->created = (time_t)created;
    fclose(file);
}

static int load_objects(const struct loader *loader, const char *path, struct bucket *bucket)
{
    char name[PATH_MAX];
    DIR *dir = opendir(path);
    int error = 0;
    if (!dir)
        return -errno;
    for (struct dirent *entry; !error && (entry = readdir(dir));) {
        if (strlen(entry->d_name) != 64 ||
            snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int)sizeof(name))
            continue;
        FILE *file = fopen(name, "re");
        struct object *object = file ? load_object(loader, file) : NULL;
        if (file)
            fclose(file);
        if (object)
            error = index_insert(bucket->objects, object);
        else
            fprintf(stderr, "s3server: skipping damaged %s\n", name);
    }
    closedir(dir);
    return error;
}

static int load_bucket(struct loader *loader, const char *name)
{
    char path[PATH_MAX];
    struct bucket *bucket = calloc(1, sizeof(*bucket));
    if (!bucket || !(bucket->objects = index_new())) {
        free(bucket);
        return -ENOMEM;
    }
    memcpy(bucket->name, name, strlen(name));
    snprintf(path, sizeof(path), "%s/buckets/%s/bucket", loader->path, name);
    load_bucket_file(path, bucket);
    struct bucket **at = &loader->store->buckets;
    while (*at && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    bucket->next = *at;
    *at = bucket;
    snprintf(path, sizeof(path), "%s/buckets/%s", loader->path, name);
    return load_objects(loader, path, bucket);
}

static int load_buckets(struct loader *loader)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/buckets", loader->path);
    DIR *dir = opendir(path);
    int error = 0;
    if (!dir)
        return -errno;
    for (struct dirent *entry; !error && (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < STORE_BUCKET_BYTES)
            error = load_bucket(loader, entry->d_name);
    closedir(dir);
    return error;
}

int directory_load(struct store *store, const char *path, atomic_ullong *next_block)
{
    struct loader loader = {.store = store, .path = path};
    int error = load_blocks(&loader);
    if (loader.count)
        atomic_store(next_block, loader.blocks[loader.count - 1]->id + 1);
    if (!error)
        error = load_buckets(&loader);
    store->closing = error != 0; /* after a failure, keep every file */
    for (size_t i = 0; i < loader.count; i++)
        block_unref(loader.blocks[i]);
    free(loader.blocks);
    return error;
}
