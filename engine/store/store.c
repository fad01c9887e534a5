/* The table of stores, and what requests, metadata and pages are made of.
 *
 * Everything here is plain memory without locks: a page, a metadata list or a builder belongs to
 * one request at a time. A page keeps all its strings in one arena of large chunks, because
 * 1,000 entries must not be 1,000 allocations. This file knows no store beyond its row.
 */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/uri.h"
#include "store/internal.h"

static const struct store_ops *const store_table[] = {
    &store_s3_ops,
    &store_file_ops,
    &store_mem_ops,
    &store_fault_ops,
};

static struct {
    unsigned capabilities;
    const char *cost;
    atomic_flag told;
} lacks[] = {
    {STORE_CAP_PART_COPY,
     "this store cannot copy parts of objects: where one changes, all of it is sent",
     ATOMIC_FLAG_INIT},
    {STORE_CAP_COPY, "this store cannot copy objects: copies are read and written",
     ATOMIC_FLAG_INIT},
    {STORE_CAP_IF_NONE_MATCH | STORE_CAP_IF_MATCH_PUT,
     "this store has no conditional puts: what another machine writes at the same moment may be lost",
     ATOMIC_FLAG_INIT},
};

static const char *const operation_names[STORE_OPERATION_COUNT] = {
    [STORE_GET] = "GetObject",
    [STORE_HEAD] = "HeadObject",
    [STORE_PUT] = "PutObject",
    [STORE_DELETE] = "DeleteObject",
    [STORE_DELETE_MANY] = "DeleteObjects",
    [STORE_COPY] = "CopyObject",
    [STORE_RENAME] = "RenameObject",
    [STORE_LIST] = "ListObjects",
    [STORE_LIST_BUCKETS] = "ListBuckets",
    [STORE_CREATE_BUCKET] = "CreateBucket",
    [STORE_DELETE_BUCKET] = "DeleteBucket",
    [STORE_UPLOAD_CREATE] = "CreateMultipartUpload",
    [STORE_UPLOAD_PART] = "UploadPart",
    [STORE_UPLOAD_PART_COPY] = "UploadPartCopy",
    [STORE_UPLOAD_COMPLETE] = "CompleteMultipartUpload",
    [STORE_UPLOAD_ABORT] = "AbortMultipartUpload",
    [STORE_GET_TAGS] = "GetObjectTagging",
    [STORE_UPLOAD_LIST] = "ListMultipartUploads",
};

const struct store_ops *store_at(unsigned index)
{
    return index < sizeof store_table / sizeof store_table[0] ? store_table[index] : NULL;
}

const struct store_ops *store_find(const char *scheme)
{
    const struct store_ops *ops;

    for (unsigned i = 0; (ops = store_at(i)); i++)
        if (strcmp(ops->scheme, scheme) == 0)
            return ops;
    return NULL;
}

const char *store_operation_name(enum store_operation operation)
{
    return (unsigned)operation < STORE_OPERATION_COUNT ? operation_names[operation] : "Unknown";
}

bool store_key_batches(const char *key)
{
    for (; *key; key++)
        if ((unsigned char)*key < ' ' || *key == 0x7f)
            return false;
    return true;
}

/* ---- metadata ------------------------------------------------------------------------------- */

const char *store_metadata_get(const struct store_metadata *metadata, const char *name)
{
    for (size_t at = 0; at < metadata->length;) {
        const char *found = metadata->data + at;
        const char *value = found + strlen(found) + 1;

        if (strcmp(found, name) == 0)
            return value;
        at = (size_t)(value - metadata->data) + strlen(value) + 1;
    }
    return NULL;
}

int store_metadata_add(struct store_metadata *metadata, const char *name, const char *value)
{
    size_t name_size = strlen(name) + 1, value_size = strlen(value) + 1;
    size_t length = metadata->length + name_size + value_size;
    char *data;

    if (length > STORE_METADATA_MAX)
        return -E2BIG;
    data = realloc(metadata->data, length);
    if (!data)
        return -ENOMEM;
    for (size_t i = 0; i < name_size; i++)
        data[metadata->length + i] =
            (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
    memcpy(data + metadata->length + name_size, value, value_size);
    metadata->data = data;
    metadata->length = length;
    return 0;
}

int store_metadata_set(struct store_metadata *metadata, const char *name, const char *value)
{
    for (size_t at = 0; at < metadata->length;) {
        char *found = metadata->data + at;
        size_t size = strlen(found) + 1;

        size += strlen(found + size) + 1;
        if (strcmp(found, name) == 0) {
            memmove(found, found + size, metadata->length - at - size);
            metadata->length -= size;
        } else {
            at += size;
        }
    }
    return value ? store_metadata_add(metadata, name, value) : 0;
}

int store_metadata_copy(const struct store_metadata *metadata, struct store_metadata *ret_copy)
{
    if (metadata->length == 0)
        return 0;
    ret_copy->data = malloc(metadata->length);
    if (!ret_copy->data)
        return -ENOMEM;
    memcpy(ret_copy->data, metadata->data, metadata->length);
    ret_copy->length = metadata->length;
    return 0;
}

void store_metadata_fini(struct store_metadata *metadata)
{
    free(metadata->data);
    *metadata = (struct store_metadata){0};
}

/* ---- pages ---------------------------------------------------------------------------------- */

#define CHUNK_BYTES ((size_t)64 << 10)

struct page_chunk {
    struct page_chunk *next;
    size_t used, size;
    char data[];
};

struct store_page_builder {
    struct store_page page;
    size_t capacity;
};

static void chunks_free(struct page_chunk *chunk)
{
    while (chunk) {
        struct page_chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
}

/* Room for `size` bytes in the page's arena, or NULL. */
static char *page_alloc(struct store_page *page, size_t size)
{
    struct page_chunk *chunk = page->arena;

    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

        chunk = malloc(sizeof *chunk + room);
        if (!chunk)
            return NULL;
        *chunk = (struct page_chunk){.next = page->arena, .size = room};
        page->arena = chunk;
    }
    chunk->used += size;
    return chunk->data + chunk->used - size;
}

static char *page_copy(struct store_page *page, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = page_alloc(page, size);

    return copy ? memcpy(copy, text, size) : NULL;
}

void store_page_free(struct store_page *page)
{
    if (!page)
        return;
    chunks_free(page->arena);
    free(page->entries);
    free(page);
}

const char *store_entry_upload_id(const struct store_entry *entry)
{
    return entry->key + strlen(entry->key) + 1;
}

struct store_page_builder *store_page_builder_new(void)
{
    return calloc(1, sizeof(struct store_page_builder));
}

static int builder_append(struct store_page_builder *builder, const struct store_entry *entry,
                          const char *key)
{
    struct store_page *page = &builder->page;

    if (!key)
        return -ENOMEM;
    if (page->count == builder->capacity) {
        size_t capacity = builder->capacity ? 2 * builder->capacity : 128;
        struct store_entry *entries = reallocarray(page->entries, capacity, sizeof *entries);

        if (!entries)
            return -ENOMEM;
        page->entries = entries;
        builder->capacity = capacity;
    }
    page->entries[page->count] = *entry;
    page->entries[page->count++].key = key;
    return 0;
}

int store_page_builder_add(struct store_page_builder *builder, const struct store_entry *entry)
{
    return builder_append(builder, entry, page_copy(&builder->page, entry->key));
}

int store_page_builder_add_upload(struct store_page_builder *builder,
                                  const struct store_entry *entry, const char *upload_id)
{
    size_t key_size = strlen(entry->key) + 1, id_size = strlen(upload_id) + 1;
    char *key = page_alloc(&builder->page, key_size + id_size);

    if (key) {
        memcpy(key, entry->key, key_size);
        memcpy(key + key_size, upload_id, id_size);
    }
    return builder_append(builder, entry, key);
}

size_t store_page_builder_count(const struct store_page_builder *builder)
{
    return builder->page.count;
}

size_t *store_page_builder_entries(struct store_page_builder *builder,
                                   struct store_entry **ret_entries)
{
    *ret_entries = builder->page.entries;
    return &builder->page.count;
}

static int entry_compare(const void *a, const void *b)
{
    const struct store_entry *x = a, *y = b;

    return strcmp(x->key, y->key);
}

struct store_page *store_page_builder_finish(struct store_page_builder *builder,
                                             const char *next_token)
{
    struct store_page *page = malloc(sizeof *page);

    if (page) {
        *page = builder->page;
        if (next_token && !(page->next_token = page_copy(page, next_token))) {
            builder->page.arena = page->arena;
            free(page);
            page = NULL;
        }
    }
    if (!page) {
        store_page_builder_free(builder);
        return NULL;
    }
    if (page->count > 1)
        qsort(page->entries, page->count, sizeof *page->entries, entry_compare);
    free(builder);
    return page;
}

void store_page_builder_free(struct store_page_builder *builder)
{
    if (!builder)
        return;
    chunks_free(builder->page.arena);
    free(builder->page.entries);
    free(builder);
}

/* ---- requests ------------------------------------------------------------------------------- */

void store_request_init(struct store_request *request, enum store_operation operation,
                        struct store *store, struct shard *shard,
                        void (*on_done)(struct store_request *))
{
    *request = (struct store_request){
        .operation = operation,
        .store = store,
        .shard = shard,
        .on_done = on_done,
        .deadline_ns = CLOCK_NEVER,
    };
}

void store_request_fini(struct store_request *request)
{
    store_page_free(request->page);
    request->page = NULL;
    store_metadata_fini(&request->object.metadata);
}

void store_tell_lack(unsigned capabilities)
{
    for (size_t i = 0; i < sizeof lacks / sizeof lacks[0]; i++)
        if (lacks[i].capabilities & capabilities && !atomic_flag_test_and_set(&lacks[i].told))
            log_warn("%s", lacks[i].cost);
}

void store_lose(struct store *store, unsigned capabilities)
{
    atomic_fetch_and(&store->capabilities, ~capabilities);
    store_tell_lack(capabilities);
}

void store_request_done(struct store_request *request)
{
    if (request->error.class != ERROR_NONE) {
        char text[sizeof request->error.uri];
        const char *bucket = request->bucket ? request->bucket : "";
        const char *key = request->key ? request->key : request->prefix ? request->prefix : "";
        struct uri uri = {0};

        strncpy(uri.scheme, request->store->ops->scheme, sizeof uri.scheme - 1);
        strncpy(uri.bucket, bucket, sizeof uri.bucket - 1);
        strncpy(uri.key, key, sizeof uri.key - 1);
        uri_format(&uri, text, sizeof text);
        error_set_context(&request->error, store_operation_name(request->operation), text);
    }
    request->on_done(request);
}

int store_range_clip(const struct store_request *request, uint64_t size_bytes, uint64_t *ret_offset,
                     uint64_t *ret_length, struct error *err)
{
    uint64_t left;
    bool whole = request->offset == 0 && request->length == 0;

    if (request->offset >= size_bytes && !whole)
        return error_set(err, ERROR_RANGE, "the object has %llu bytes",
                         (unsigned long long)size_bytes);
    left = size_bytes - request->offset;
    *ret_offset = request->offset;
    *ret_length = request->length && request->length < left ? request->length : left;
    return 0;
}

bool store_etag_matches(const char *if_match, const char *etag)
{
    return !if_match || strcmp(if_match, "*") == 0 || strcmp(if_match, etag) == 0;
}

uint32_t store_body_crc32c(const struct store_request *request)
{
    uint32_t crc = 0;

    for (unsigned i = 0; i < request->body_count; i++)
        crc = crc32c_update(crc, request->body[i].iov_base, request->body[i].iov_len);
    return crc;
}

uint64_t store_body_length(const struct store_request *request)
{
    uint64_t length = 0;

    for (unsigned i = 0; i < request->body_count; i++)
        length += request->body[i].iov_len;
    return length;
}
