/* Stand-ins, and asking one's seat. See reader_foreign.h. */
#include "core/reader_foreign.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/reader_registry_private.h"

struct foreign {
    struct foreign *next;
    struct shared_seat seat;
    struct shared_version version; /* as it was when the change began */
    struct reader *stand_in;       /* NULL: there was no memory for one */
};

static struct shared_table *table_of(const struct reader *reader)
{
    return reader->engine->readers.shared;
}

/* ---- those of others ------------------------------------------------------------------------- */

static struct reader *new_stand_in(struct engine *engine, const struct shared_version *version)
{
    struct store_object object = {.size_bytes = version->size_bytes};
    struct error ignored;
    struct reader *reader = reader_new(engine, &version->uri, &ignored);

    if (!reader)
        return NULL;
    memcpy(object.etag, version->etag, sizeof object.etag);
    reader_learn(reader, &object);
    reader->stored_bytes = version->stored_bytes;
    reader->entry.is_stand_in = true;
    if (reader_registry_add_settled(reader, false, &ignored) == 0)
        return reader;
    reader_close(reader);
    return NULL;
}

static bool found(void *arg, const struct shared_seat *seat, const struct shared_version *version)
{
    struct reader_change *change = arg;
    struct foreign *foreign = calloc(1, sizeof *foreign);

    if (!foreign) {
        shared_let_go(change->engine->readers.shared, seat);
        return false;
    }
    foreign->seat = *seat;
    foreign->version = *version;
    foreign->stand_in = new_stand_in(change->engine, version);
    LL_PREPEND(change->foreign, foreign);
    return true;
}

bool foreign_has(struct engine *engine, const struct uri *uri)
{
    char text[ATTR_URI_BYTES];
    struct store *store;
    struct error ignored;

    if (!engine->readers.shared || engine_store(engine, uri->scheme, &store, &ignored) < 0)
        return false;
    attr_uri_text(uri, text);
    return shared_has(engine->readers.shared, shared_store_id(store), text);
}

void foreign_meet(struct reader_change *change, const struct reader_change_name *name)
{
    struct engine *engine = change->engine;
    char text[ATTR_URI_BYTES];
    struct store *store;
    struct error ignored;

    if (!engine->readers.shared || !name->uri ||
        engine_store(engine, name->uri->scheme, &store, &ignored) < 0)
        return;
    attr_uri_text(name->uri, text);
    shared_find(engine->readers.shared, shared_store_id(store), text, name->below, found, change);
}

void foreign_tell_kept(struct reader_change *change)
{
    struct foreign *foreign;

    LL_FOREACH(change->foreign, foreign)
    {
        struct shared_version version = foreign->version;

        if (foreign->stand_in && foreign->stand_in->copy &&
            reader_copy_leave(foreign->stand_in->copy, version.file, sizeof version.file))
            shared_tell(change->engine->readers.shared, &foreign->seat, &version);
    }
}

static void tell_moved(struct reader_change *change, const struct foreign *foreign)
{
    struct reader *reader = foreign->stand_in;
    struct shared_version version = foreign->version;

    shard_lock(reader->shard);
    version.uri = reader->uri;
    memcpy(version.etag, reader->etag, sizeof version.etag);
    version.stored_bytes = reader->stored_bytes;
    shard_unlock(reader->shard);
    if (!uri_is_same(&version.uri, &foreign->version.uri) ||
        strcmp(version.etag, foreign->version.etag) != 0)
        shared_tell(change->engine->readers.shared, &foreign->seat, &version);
}

void foreign_part(struct reader_change *change, bool begun)
{
    struct foreign *foreign, *next;

    LL_FOREACH_SAFE(change->foreign, foreign, next)
    {
        if (begun && foreign->stand_in && !foreign->stand_in->copy)
            tell_moved(change, foreign);
        shared_let_go(change->engine->readers.shared, &foreign->seat);
        reader_close(foreign->stand_in);
        free(foreign);
    }
    change->foreign = NULL;
}

/* ---- one's own ------------------------------------------------------------------------------- */

void foreign_follow(struct reader *reader, const struct shared_version *version)
{
    struct reader_copy *copy;

    if (!version->file[0]) {
        reader_registry_move(reader, &version->uri, version->etag, version->stored_bytes);
        return;
    }
    copy = reader_copy_take_over(reader->engine, version->file, version->size_bytes);
    if (!copy)
        return;
    reader_registry_serve(reader, copy);
    reader_copy_unref(copy);
}

bool foreign_describe(struct reader *reader, struct shared_version *ret_version)
{
    if (!table_of(reader) || reader->owner || reader->entry.is_stand_in || !reader->etag[0])
        return false;
    memset(ret_version, 0, sizeof *ret_version);
    ret_version->store = shared_store_id(reader->store);
    ret_version->uri = reader->uri;
    memcpy(ret_version->etag, reader->etag, sizeof ret_version->etag);
    ret_version->size_bytes = reader->attr.size_bytes;
    ret_version->stored_bytes = reader->stored_bytes;
    return true;
}

void foreign_enter(struct reader *reader, bool handed_over, struct shared_version *version)
{
    shared_enter(table_of(reader), version, handed_over, &reader->entry.seat);
}

/* A copy of it, for others may take it away. */
static struct shared_seat seat_of(struct reader *reader)
{
    struct shared_seat seat;

    pthread_mutex_lock(&reader->engine->readers.mutex);
    seat = reader->entry.seat;
    pthread_mutex_unlock(&reader->engine->readers.mutex);
    return seat;
}

int foreign_ask(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct shared_seat seat = seat_of(reader);
    struct shared_version version;
    _Atomic uint32_t *word;
    uint32_t value;
    int r = 0;

    while (r == 0 && shared_look(table_of(reader), &seat, &version, &word, &value)) {
        if (!word) {
            foreign_follow(reader, &version);
            return 0;
        }
        r = limits_wait_shared(limits, word, value, err);
    }
    return r;
}

void foreign_reset_child(struct reader_registry *registry)
{
    struct reader_place *place, *next_place;
    struct shared_version version;
    struct reader *reader, *next;

    for (place = registry->places; place; place = next_place) {
        next_place = place->hh.next;
        for (reader = place->readers; reader; reader = next) {
            next = reader->entry.next;
            if (!reader->entry.is_stand_in && shared_inherit(registry->shared, &reader->entry.seat))
                continue;
            reader->entry.seat = (struct shared_seat){0};
            if (reader->entry.is_stand_in)
                reader_registry_remove(reader);
            else if (!reader->entry.opening && foreign_describe(reader, &version))
                foreign_enter(reader, false, &version);
        }
    }
}
