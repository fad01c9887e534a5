/* Names, their readers, and the changes under way. See reader_registry.h. */
#include "core/reader_registry.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "core/reader_foreign.h"
#include "core/reader_keep.h"
#include "core/reader_registry_private.h"
#include "io/gate.h"

static struct reader_registry *registry_of(const struct reader *reader)
{
    return &reader->engine->readers;
}

void reader_registry_init(struct reader_registry *registry)
{
    *registry = (struct reader_registry){.mutex = PTHREAD_MUTEX_INITIALIZER};
    registry->shared = shared_table_open();
}

void reader_registry_reset_child(struct reader_registry *registry)
{
    foreign_reset_child(registry);
}

/* ---- names ----------------------------------------------------------------------------------- */

void registry_set_name(struct registry_name *name, const struct reader_change_name *wanted)
{
    name->keeps = wanted->keeps;
    name->below = wanted->below;
    name->text[0] = '\0';
    if (wanted->uri)
        attr_uri_text(wanted->uri, name->text);
    name->length = strlen(name->text);
}

static void copy_name(struct registry_name *name, const char *text)
{
    name->keeps = name->below = false;
    name->length = strlen(text);
    memcpy(name->text, text, name->length + 1);
}

static bool covers(const struct registry_name *name, const char *text)
{
    if (!name->length || strncmp(text, name->text, name->length) != 0)
        return false;
    return !text[name->length] || (name->below && text[name->length] == '/');
}

static bool touches(const struct reader_change *change, const struct registry_name *name)
{
    for (unsigned i = 0; i < 2; i++)
        if (name->length && change->names[i].length &&
            (covers(&change->names[i], name->text) || covers(name, change->names[i].text)))
            return true;
    return false;
}

/* ---- changes that others wait for ------------------------------------------------------------ */

static bool on_signal_stack(void)
{
    stack_t stack;

    return sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK);
}

/* The mutex is held. */
static void unref_change(struct reader_change *change)
{
    if (--change->references == 0)
        free(change);
}

static void unlink_change(struct reader_change *change)
{
    struct reader_registry *registry = &change->engine->readers;

    if (!change->linked)
        return;
    DL_DELETE(registry->changes, change);
    change->linked = false;
    atomic_store(&change->ended, true);
}

/* Is it a live one of another thread? One of our own that was left by longjmp, or of another
 * process of which this is a copy, is taken out: a frame that is not below its own proves that its
 * call is over, as stacks grow down. */
static bool keeps_out(struct reader_change *change, const char *frame)
{
    bool own = pthread_equal(change->thread, pthread_self());

    if (change->generation != gate_generation() ||
        (own && frame >= change->frame && !on_signal_stack())) {
        unlink_change(change);
        return false;
    }
    return !own;
}

/* Whose end must be waited for, with a reference; NULL. The mutex is held. */
static struct reader_change *find_obstacle(struct reader_registry *registry,
                                           const struct registry_name *name, const char *frame)
{
    struct reader_change *change, *next;

    DL_FOREACH_SAFE(registry->changes, change, next)
    {
        if (touches(change, name) && keeps_out(change, frame)) {
            change->references++;
            return change;
        }
    }
    return NULL;
}

static bool has_ended(const void *arg, uint64_t value)
{
    const struct reader_change *change = arg;

    return atomic_load(&change->ended);
}

/* Sleeps until the change is over and gives the reference back. */
static int wait_for_end(struct reader_change *change, const struct limits *limits,
                        struct error *err)
{
    struct limits_wait wait = {.done = has_ended, .arg = change};
    struct reader_registry *registry = &change->engine->readers;
    int r;

    shard_lock(change->shard);
    r = limits_wait(change->shard, limits, &wait, err);
    shard_unlock(change->shard);
    if (r < 0)
        error_set_context(err, "wait", change->names[0].text);
    pthread_mutex_lock(&registry->mutex);
    unref_change(change);
    pthread_mutex_unlock(&registry->mutex);
    return r;
}

/* ---- readers and their places ---------------------------------------------------------------- */

/* All of these with the mutex held. */
static int place(struct reader *reader, const char *text)
{
    struct reader_registry *registry = registry_of(reader);
    struct reader_place *place;

    HASH_FIND_STR(registry->places, text, place);
    if (!place) {
        place = malloc(sizeof *place + strlen(text) + 1);
        if (!place)
            return -ENOMEM;
        place->readers = NULL;
        strcpy(place->text, text);
        HASH_ADD_STR(registry->places, text, place);
    }
    reader->entry.place = place;
    DL_APPEND2(place->readers, reader, entry.prev, entry.next);
    return 0;
}

static void unplace(struct reader *reader)
{
    struct reader_registry *registry = registry_of(reader);
    struct reader_place *place = reader->entry.place;

    if (!place)
        return;
    DL_DELETE2(place->readers, reader, entry.prev, entry.next);
    reader->entry.place = NULL;
    if (!place->readers) {
        HASH_DEL(registry->places, place);
        free(place);
    }
}

void registry_replace(struct reader *reader, const char *text)
{
    if (!reader->entry.place || strcmp(reader->entry.place->text, text) == 0)
        return;
    unplace(reader);
    place(reader, text);
}

void reader_registry_remove(struct reader *reader)
{
    struct reader_registry *registry = registry_of(reader);

    pthread_mutex_lock(&registry->mutex);
    unplace(reader);
    shared_leave(registry->shared, &reader->entry.seat);
    pthread_mutex_unlock(&registry->mutex);
}

void reader_registry_release(struct reader *reader)
{
    struct reader_registry *registry = registry_of(reader);
    bool last;

    pthread_mutex_lock(&registry->mutex);
    last = --reader->entry.references == 0;
    pthread_mutex_unlock(&registry->mutex);
    if (last)
        reader_free(reader);
}

bool reader_registry_has(struct engine *engine, const struct uri *uri)
{
    char text[ATTR_URI_BYTES];
    struct reader_place *place;

    attr_uri_text(uri, text);
    pthread_mutex_lock(&engine->readers.mutex);
    HASH_FIND_STR(engine->readers.places, text, place);
    pthread_mutex_unlock(&engine->readers.mutex);
    return place || foreign_has(engine, uri);
}

int reader_registry_add(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct reader_registry *registry = registry_of(reader);
    const char *frame = __builtin_frame_address(0);
    struct reader_change *obstacle;
    struct registry_name name;
    int r = 0;

    registry_set_name(&name, &(struct reader_change_name){.uri = &reader->uri});
    for (;;) {
        pthread_mutex_lock(&registry->mutex);
        obstacle = find_obstacle(registry, &name, frame);
        if (!obstacle) {
            reader->entry.opening = true;
            reader->entry.disturbed = false;
            r = place(reader, name.text);
        }
        pthread_mutex_unlock(&registry->mutex);
        if (!obstacle)
            return r < 0 ? error_set(err, ERROR_NO_MEMORY, "opening a reader") : 0;
        r = wait_for_end(obstacle, limits, err);
        if (r < 0)
            return r;
    }
}

bool reader_registry_settle(struct reader *reader)
{
    struct reader_registry *registry = registry_of(reader);
    struct shared_version version;
    bool described = foreign_describe(reader, &version), disturbed;

    pthread_mutex_lock(&registry->mutex);
    reader->entry.opening = false;
    disturbed = reader->entry.disturbed;
    if (disturbed)
        unplace(reader);
    else if (described)
        foreign_enter(reader, false, &version);
    pthread_mutex_unlock(&registry->mutex);
    return !disturbed;
}

int reader_registry_add_settled(struct reader *reader, bool handed_over, struct error *err)
{
    struct reader_registry *registry = registry_of(reader);
    struct shared_version version;
    bool described = foreign_describe(reader, &version);
    char text[ATTR_URI_BYTES];
    int r;

    attr_uri_text(&reader->uri, text);
    pthread_mutex_lock(&registry->mutex);
    r = place(reader, text);
    if (r == 0 && described)
        foreign_enter(reader, handed_over, &version);
    pthread_mutex_unlock(&registry->mutex);
    if (r < 0)
        return error_set(err, ERROR_NO_MEMORY, "opening a reader");
    if (described && handed_over)
        foreign_follow(reader, &version);
    return 0;
}

int reader_registry_wait(struct reader *reader, const struct limits *limits, struct error *err)
{
    struct reader_registry *registry = registry_of(reader);
    const char *frame = __builtin_frame_address(0);
    struct reader_change *obstacle = NULL, *change;
    struct registry_name name = {0};
    bool own = false;

    pthread_mutex_lock(&registry->mutex);
    if (reader->entry.place) {
        copy_name(&name, reader->entry.place->text);
        obstacle = find_obstacle(registry, &name, frame);
        for (change = registry->changes; change && !obstacle; change = change->next)
            own = own || touches(change, &name);
    }
    pthread_mutex_unlock(&registry->mutex);
    if (obstacle)
        return wait_for_end(obstacle, limits, err);
    return own ? error_set(err, ERROR_BUSY, "being changed by the call that a signal interrupted")
               : 0;
}

/* ---- many readers at a time ------------------------------------------------------------------ */

static bool add(struct registry_readers *readers, struct reader *reader)
{
    if (readers->count == readers->capacity) {
        size_t capacity = 2 * readers->capacity + 16;
        struct reader **list = reallocarray(readers->list, capacity, sizeof *list);

        if (!list)
            return false;
        readers->list = list;
        readers->capacity = capacity;
    }
    reader->entry.references++;
    readers->list[readers->count++] = reader;
    return true;
}

void registry_readers_fini(struct registry_readers *readers)
{
    for (size_t i = 0; i < readers->count; i++)
        reader_registry_release(readers->list[i]);
    free(readers->list);
}

static bool add_settled(struct registry_readers *readers, const struct reader_place *place)
{
    struct reader *reader;

    for (reader = place->readers; reader; reader = reader->entry.next)
        if (!reader->entry.opening && !add(readers, reader))
            return false;
    return true;
}

/* The next place that the name covers behind `place`, or the first; NULL. The mutex is held. */
static struct reader_place *next_place(const struct reader_registry *registry,
                                       const struct registry_name *name,
                                       const struct reader_place *place)
{
    struct reader_place *next;

    if (!name->length)
        return NULL;
    if (!name->below) {
        HASH_FIND_STR(registry->places, name->text, next);
        return place ? NULL : next;
    }
    next = place ? place->hh.next : registry->places;
    while (next && !covers(name, next->text))
        next = next->hh.next;
    return next;
}

/* Those at names that `name` covers whose versions are known. Without memory: fewer. */
struct registry_readers registry_readers_of(struct reader_registry *registry,
                                            const struct registry_name *name)
{
    struct registry_readers readers = {0};
    struct reader_place *place = NULL;

    pthread_mutex_lock(&registry->mutex);
    while ((place = next_place(registry, name, place)) && add_settled(&readers, place))
        continue;
    pthread_mutex_unlock(&registry->mutex);
    return readers;
}

struct registry_readers registry_readers_all(struct reader_registry *registry)
{
    struct registry_readers readers = {0};
    struct reader_place *place;

    pthread_mutex_lock(&registry->mutex);
    for (place = registry->places; place && add_settled(&readers, place); place = place->hh.next)
        continue;
    pthread_mutex_unlock(&registry->mutex);
    return readers;
}

/* ---- beginning and ending a change ----------------------------------------------------------- */

/* A reader that lacks bytes which are about to go, with a reference. The mutex is held. */
static struct reader *find_lacking(struct reader_registry *registry,
                                   const struct reader_change *change)
{
    struct reader_place *place;
    struct reader *reader;

    for (unsigned i = 0; i < 2; i++) {
        const struct registry_name *name = &change->names[i];

        place = name->keeps ? next_place(registry, name, NULL) : NULL;
        for (; place; place = next_place(registry, name, place))
            for (reader = place->readers; reader; reader = reader->entry.next)
                if (!reader->entry.opening && (!change->owner || reader->owner != change->owner)) {
                    reader->entry.references++;
                    return reader;
                }
    }
    return NULL;
}

/* What is being opened may be of a version that goes now. The mutex is held. */
static void begin_now(struct reader_registry *registry, struct reader_change *change)
{
    struct reader_place *place;
    struct reader *reader;

    for (unsigned i = 0; i < 2; i++)
        for (place = next_place(registry, &change->names[i], NULL); place;
             place = next_place(registry, &change->names[i], place))
            for (reader = place->readers; reader; reader = reader->entry.next)
                reader->entry.disturbed = true;
    change->references = 1;
    change->linked = true;
    DL_APPEND(registry->changes, change);
}

/* For another process's reader only what can be had. */
static int keep(struct reader *reader, const struct limits *limits, struct error *err)
{
    int r = reader_keep(reader, limits, err);

    if (r == 0 || !reader->entry.is_stand_in || err->class == ERROR_CANCELLED)
        return r;
    reader_registry_remove(reader);
    return 0;
}

/* 1: it has begun; 0: look again; -errno. */
static int try_to_begin(struct reader_change *change, const struct limits *limits,
                        struct error *err)
{
    struct reader_registry *registry = &change->engine->readers;
    struct reader_change *obstacle;
    struct reader *lacking = NULL;
    int r = 1;

    pthread_mutex_lock(&registry->mutex);
    obstacle = find_obstacle(registry, &change->names[0], change->frame);
    if (!obstacle)
        obstacle = find_obstacle(registry, &change->names[1], change->frame);
    if (!obstacle)
        lacking = find_lacking(registry, change);
    if (!obstacle && !lacking)
        begin_now(registry, change);
    pthread_mutex_unlock(&registry->mutex);
    if (obstacle)
        r = wait_for_end(obstacle, limits, err);
    if (lacking) {
        r = keep(lacking, limits, err);
        reader_registry_release(lacking);
    }
    return r;
}

static void change_left(struct limits_held *held)
{
    reader_change_end((struct reader_change *)((char *)held - offsetof(struct reader_change, held)));
}

int reader_change_begin(struct engine *engine, const struct reader_change_options *options,
                        const struct limits *limits, struct reader_change **ret_change,
                        struct error *err)
{
    struct reader_change *change = calloc(1, sizeof *change);
    int r = 0;

    if (!change)
        return error_set(err, ERROR_NO_MEMORY, "changing an object");
    change->engine = engine;
    registry_set_name(&change->names[0], &options->names[0]);
    registry_set_name(&change->names[1], &options->names[1]);
    change->shard = engine->shards[attr_inode(change->names[0].text) % engine->shard_count];
    change->owner = options->owner;
    change->thread = pthread_self();
    change->generation = gate_generation();
    change->frame = __builtin_frame_address(0);
    for (unsigned i = 0; i < 2; i++)
        foreign_meet(change, &options->names[i]);
    while (r == 0)
        r = try_to_begin(change, limits, err);
    if (r < 0) {
        foreign_part(change, false);
        free(change);
        return r;
    }
    foreign_tell_kept(change);
    change->held.left = change_left;
    limits_hold(&change->held);
    *ret_change = change;
    return 0;
}

void reader_change_end(struct reader_change *change)
{
    struct reader_registry *registry;

    if (!change)
        return;
    limits_let_go(&change->held);
    foreign_part(change, true);
    registry = &change->engine->readers;
    pthread_mutex_lock(&registry->mutex);
    unlink_change(change);
    pthread_mutex_unlock(&registry->mutex);
    shard_lock(change->shard); /* who sleeps there is woken */
    shard_unlock(change->shard);
    pthread_mutex_lock(&registry->mutex);
    unref_change(change);
    pthread_mutex_unlock(&registry->mutex);
}
