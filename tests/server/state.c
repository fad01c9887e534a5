/*
 * Everything a store holds, one line each, for tests that ask what became of it; see README.md.
 */
#include "admin.h"

#include "encode.h"
#include "index.h"
#include "request.h"
#include "server.h"
#include "upload.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADERS = 64 };

struct header {
    const char *name, *value;
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct header *)a)->name, ((const struct header *)b)->name);
}

/* Sorted, so that equal objects have equal lines, however they came to be. */
static void write_headers(struct buf *out, const struct headers *headers)
{
    struct header sorted[MAX_HEADERS];
    size_t count = 0;
    const char *value;
    for (const char *name = headers_first(headers, &value); name && count < MAX_HEADERS;
         name = headers_next(headers, &value))
        sorted[count++] = (struct header){name, value};
    qsort(sorted, count, sizeof(*sorted), compare);
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, " %s=", sorted[i].name);
        encode_uri(out, sorted[i].value, true);
    }
}

static void write_checksum(struct buf *out, const struct body *body)
{
    uint8_t value[CHECKSUM_MAX_BYTES];
    char text[2 * CHECKSUM_MAX_BYTES + 1];
    struct checksum sum;
    checksum_init(&sum, CHECKSUM_CRC32C);
    for (uint64_t at = 0; at < body->size;) {
        const uint8_t *data;
        size_t length = body_piece(body, at, body->size - at, &data);
        checksum_update(&sum, data, length);
        at += length;
    }
    checksum_final(&sum, value);
    checksum_fini(&sum);
    encode_hex(text, value, CHECKSUM_ROWS[CHECKSUM_CRC32C].bytes);
    buf_printf(out, " %s", text);
}

static void write_object(struct buf *out, const char *bucket, const struct object *object)
{
    buf_printf(out, "object %s ", bucket);
    encode_uri(out, object->key, true);
    buf_printf(out, " %llu", (unsigned long long)object->body.size);
    write_checksum(out, &object->body);
    write_headers(out, &object->headers);
    buf_add(out, "\n");
}

static void write_bucket(struct buf *out, const struct bucket *bucket)
{
    for (const struct index_node *node = index_seek(bucket->objects, "", false); node;
         node = node->next[0])
        write_object(out, bucket->name, node->object);
    for (const struct upload *upload = bucket->uploads; upload; upload = upload->next) {
        if (upload->completed)
            continue;
        buf_printf(out, "upload %s ", bucket->name);
        encode_uri(out, upload->key, true);
        buf_printf(out, " %zu\n", upload->count);
    }
}

unsigned admin_state(struct request *request)
{
    struct store *store = &request->server->store;
    store_read_lock(store);
    for (const struct bucket *bucket = store->buckets; bucket; bucket = bucket->next)
        write_bucket(&request->answer.text, bucket);
    store_unlock(store);
    return 200;
}
