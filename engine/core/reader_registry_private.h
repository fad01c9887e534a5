/* What the files of the registry share: reader_registry.c (names, readers, changes and who waits
 * for them), reader_move.c (readers that go on elsewhere), reader_foreign.c (those of other
 * processes). */
#ifndef S3DLIO_CORE_READER_REGISTRY_PRIVATE_H
#define S3DLIO_CORE_READER_REGISTRY_PRIVATE_H

#include <stdatomic.h>

#include "core/reader_private.h"

struct reader_place {
    UT_hash_handle hh;
    struct reader *readers; /* by entry.prev, entry.next */
    char text[];
};

struct registry_name {
    bool keeps, below;
    size_t length;
    char text[ATTR_URI_BYTES]; /* "": none */
};

struct reader_change {
    struct reader_change *prev, *next;
    struct limits_held held; /* until its end */
    struct engine *engine;
    struct shard *shard; /* who waits for the end sleeps there */
    atomic_bool ended;
    struct registry_name names[2];
    const void *owner;
    struct foreign *foreign; /* reader_foreign.h */

    /* under the mutex */
    unsigned references;
    bool linked;

    pthread_t thread;
    uint64_t generation;
    const char *frame; /* where on its thread's stack it was begun */
};

/* Readers, each with a reference. */
struct registry_readers {
    struct reader **list;
    size_t count, capacity;
};

void registry_set_name(struct registry_name *name, const struct reader_change_name *wanted);
/* Readers at names that `name` covers whose versions are known. Without memory: fewer. */
struct registry_readers registry_readers_of(struct reader_registry *registry,
                                            const struct registry_name *name);
/* All whose versions are known. */
struct registry_readers registry_readers_all(struct reader_registry *registry);
void registry_readers_fini(struct registry_readers *readers);
/* The reader's version is there from now on. */
void reader_registry_move(struct reader *reader, const struct uri *uri, const char *etag,
                          uint64_t stored_bytes);
/* With the mutex held: puts a reader there, if it is anywhere, in place of where it was. */
void registry_replace(struct reader *reader, const char *text);

#endif
