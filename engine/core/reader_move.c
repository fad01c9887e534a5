/* Readers that go on elsewhere: at another name, under another ETag, or in a copy. See
 * reader_registry.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/reader_registry_private.h"

/* The version that a request was about. */
struct version {
    const struct uri *uri;
    const char *etag;
    uint64_t stored_bytes; /* of the object; 0: as before */
};

/* Does the reader still ask the store for that version? Its shard is locked. */
static bool is_at(const struct reader *reader, const struct version *version)
{
    return !reader->copy && !reader->closed && uri_is_same(&reader->uri, version->uri) &&
           strcmp(reader->etag, version->etag) == 0;
}

/* version NULL: whichever it has. */
static void serve(struct reader *reader, const struct version *version, struct reader_copy *copy)
{
    bool served;

    shard_lock(reader->shard);
    reader_adopt(reader);
    served = version ? is_at(reader, version) : !reader->copy;
    if (served) {
        reader->copy = reader_copy_ref(copy);
        reader->epoch++;
        stream_drop(reader);
        advised_drop(reader, false);
        block_drop_idle(reader);
    }
    shard_unlock(reader->shard);
    if (served)
        reader_registry_remove(reader);
}

/* The reader itself may have been moved since the copy was begun; the bytes are the same. */
void reader_registry_serve(struct reader *reader, struct reader_copy *copy)
{
    char etag[STORE_ETAG_MAX];
    struct registry_readers readers;
    struct registry_name name;
    struct uri uri;

    shard_lock(reader->shard);
    uri = reader->uri;
    memcpy(etag, reader->etag, sizeof etag);
    shard_unlock(reader->shard);
    registry_set_name(&name, &(struct reader_change_name){.uri = &uri});
    readers = registry_readers_of(&reader->engine->readers, &name);
    serve(reader, NULL, copy);
    for (size_t i = 0; i < readers.count && etag[0]; i++)
        serve(readers.list[i], &(struct version){&uri, etag, 0}, copy);
    registry_readers_fini(&readers);
}

/* `from` NULL: from wherever it is. Without memory for the new place it is a reader that nobody knows:
 * it reads on all the same. */
static void move(struct reader *reader, const struct version *from, const struct version *to)
{
    struct reader_registry *registry = &reader->engine->readers;
    char text[ATTR_URI_BYTES];

    shard_lock(reader->shard);
    reader_adopt(reader);
    if (from ? is_at(reader, from) : !reader->copy && !is_at(reader, to)) {
        reader->uri = *to->uri;
        snprintf(reader->etag, sizeof reader->etag, "%s", to->etag);
        if (to->stored_bytes)
            reader->stored_bytes = to->stored_bytes;
        reader->epoch++;
        attr_uri_text(to->uri, text);
        pthread_mutex_lock(&registry->mutex);
        registry_replace(reader, text);
        shared_move(registry->shared, &reader->entry.seat, to->uri, to->etag, reader->stored_bytes);
        pthread_mutex_unlock(&registry->mutex);
    }
    shard_unlock(reader->shard);
}

void reader_registry_move(struct reader *reader, const struct uri *uri, const char *etag,
                          uint64_t stored_bytes)
{
    move(reader, NULL, &(struct version){uri, etag, stored_bytes});
}

static void all_moved(struct reader_change *change, const struct version *from,
                      const struct version *to)
{
    struct registry_readers readers;
    struct registry_name name;

    if (!from->etag[0] || !to->etag[0])
        return;
    registry_set_name(&name, &(struct reader_change_name){.uri = from->uri});
    readers = registry_readers_of(&change->engine->readers, &name);
    for (size_t i = 0; i < readers.count; i++)
        move(readers.list[i], from, to);
    registry_readers_fini(&readers);
}

void reader_change_moved(struct reader_change *change, const struct uri *from,
                         const char *from_etag, const struct uri *to, const char *to_etag)
{
    all_moved(change, &(struct version){from, from_etag, 0}, &(struct version){to, to_etag, 0});
}

void reader_change_added(struct reader_change *change, const struct uri *uri, const char *etag,
                         const char *new_etag, uint64_t new_bytes)
{
    all_moved(change, &(struct version){uri, etag, 0}, &(struct version){uri, new_etag, new_bytes});
}

/* Where the reader's object is now, if it was at the first name or below it. */
static bool map_name(const struct reader_move *move, const struct uri *uri, struct uri *ret_uri,
                     const char **ret_name)
{
    size_t length = strlen(move->from->key), to_length = strlen(move->to->key);
    const char *rest = uri->key + length;

    if (strcmp(uri->bucket, move->from->bucket) != 0 ||
        strncmp(uri->key, move->from->key, length) != 0 ||
        (length > 0 && *rest && *rest != '/' && move->from->key[length - 1] != '/') ||
        to_length + strlen(rest) > URI_KEY_MAX)
        return false;
    *ret_uri = *move->to;
    strcpy(ret_uri->key + to_length, rest);
    *ret_name = *rest == '/' ? rest + 1 : rest;
    return true;
}

static int move_one(const struct reader_move *move, struct reader *reader,
                    const struct limits *limits, struct error *err)
{
    char etag[STORE_ETAG_MAX];
    struct uri from, to;
    struct call *head;
    const char *name;
    int r;

    shard_lock(reader->shard);
    from = reader->uri;
    memcpy(etag, reader->etag, sizeof etag);
    shard_unlock(reader->shard);
    if (!map_name(move, &from, &to, &name))
        return 0;
    head = call_new(reader->engine, STORE_HEAD, &to, limits, err);
    if (!head)
        return -error_errno(err);
    r = call_run(head, limits, err);
    if (r == 0 && head->request.object.size_bytes == reader->attr.size_bytes &&
        (!move->fits || move->fits(move->arg, name, etag, head->request.object.etag)))
        reader_change_moved(move->change, &from, etag, &to, head->request.object.etag);
    call_delete(head);
    return r < 0 && err->class == ERROR_NOT_FOUND ? 0 : r;
}

int reader_change_move_all(const struct reader_move *move, const struct limits *limits,
                           struct error *err)
{
    struct reader_change *change = move->change;
    struct registry_readers readers =
        registry_readers_of(&change->engine->readers, &change->names[0]);
    int r = 0;

    for (size_t i = 0; r == 0 && i < readers.count; i++)
        r = move_one(move, readers.list[i], limits, err);
    registry_readers_fini(&readers);
    return r;
}
