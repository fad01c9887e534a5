/* The open readers of this process by name, and the changes to those names that it is making.
 *
 * What this process changes does not disturb its own readers, nor those of the user's other
 * processes on this machine (core/reader_foreign.h). A request that takes an object's
 * bytes away (deletion, replacement) is preceded by fetching what its readers lack
 * (core/reader_keep.h); a request after which the same bytes have another name or ETag (rename,
 * metadata) is followed by telling the readers. Around either lies a *change*: from its begin to
 * its end one thread has the name, other changes of it and opens of it wait, and a reader that
 * finds its version gone waits to be told. A change is as short as the deciding request; what takes
 * long comes before its begin.
 *
 * A call that a signal handler makes inside a change of its own thread is not kept out, and is to
 * it as another process's; a change that was left by longjmp ends when its thread begins the next,
 * one whose thread ends in it by pthread_exit ends there. In a fork child the parent's changes count
 * as ended.
 *
 * Locking: `mutex` is a leaf, taken with or without a shard's lock, never held over a sleep. All
 * functions but reader_registry_has, _remove and _ref want that no shard is locked.
 */
#ifndef S3DLIO_CORE_READER_REGISTRY_H
#define S3DLIO_CORE_READER_REGISTRY_H

#include <pthread.h>
#include <stdbool.h>

#include "base/uri.h"
#include "core/limits.h"

struct engine;
struct reader;
struct reader_change;
struct reader_copy;
struct reader_place;
struct shared_table;

struct reader_registry {
    pthread_mutex_t mutex;
    struct reader_place *places;   /* hash of names that have readers */
    struct reader_change *changes; /* begun and not ended; few */
    struct shared_table *shared;   /* those of all processes; NULL: nobody else knows of ours */
};

void reader_registry_init(struct reader_registry *registry);
void reader_registry_reset_child(struct reader_registry *registry);
/* Has that name readers that a change of it would disturb? */
bool reader_registry_has(struct engine *engine, const struct uri *uri);

/* ---- for readers ----------------------------------------------------------------------------- */

/* Waits until nobody changes the name, then puts the reader there, as one that is being opened: its
 * version is not known yet. 0 or -errno. */
int reader_registry_add(struct reader *reader, const struct limits *limits, struct error *err);
/* The version is known. False: a change has begun since reader_registry_add, so it may be a version
 * that is no more; the reader is out of the registry again. */
bool reader_registry_settle(struct reader *reader);
/* The version was known before; does not wait. handed_over: by another process, so that it may be
 * elsewhere by now. */
int reader_registry_add_settled(struct reader *reader, bool handed_over, struct error *err);
void reader_registry_remove(struct reader *reader); /* also when it is not there */
/* Waits until nobody changes the reader's name. -EBUSY: its own thread does. */
int reader_registry_wait(struct reader *reader, const struct limits *limits, struct error *err);
/* It, and all other readers of its version at its name, read from there from now on. */
void reader_registry_serve(struct reader *reader, struct reader_copy *copy);
/* Whoever works on a reader that is not its own holds a reference. The last one frees it. */
void reader_registry_release(struct reader *reader);

/* ---- for changes ----------------------------------------------------------------------------- */

struct reader_change_name {
    const struct uri *uri; /* NULL: none */
    bool keeps;            /* its bytes go: readers get what they lack before */
    bool below;            /* and all names below it; a slash at its end means nothing */
};

struct reader_change_options {
    struct reader_change_name names[2];
    const void *owner; /* whose readers (reader_open_version) need nothing; NULL: nobody's */
};

/* Sleeps until nobody else changes the names and no reader lacks anything. On failure (no room, the
 * store does not answer) nothing has begun, and the request must not be sent. */
int reader_change_begin(struct engine *engine, const struct reader_change_options *options,
                        const struct limits *limits, struct reader_change **ret_change,
                        struct error *err);
/* That version of `from` is, byte for byte, that version of `to` from now on. */
void reader_change_moved(struct reader_change *change, const struct uri *from,
                         const char *from_etag, const struct uri *to, const char *to_etag);
/* That version is the beginning of the new one, which is so long, and now in its place. */
void reader_change_added(struct reader_change *change, const struct uri *uri, const char *etag,
                         const char *new_etag, uint64_t new_bytes);

/* Readers of the first name and below are now at the second, or below it, with the ETag that HEAD
 * tells there; `fits` (may be NULL) says whether that is a copy of the version that they have.
 * Those that do not fit stay where they are. */
struct reader_move {
    struct reader_change *change;
    const struct uri *from, *to;
    bool (*fits)(void *arg, const char *name, const char *from_etag, const char *to_etag);
    void *arg; /* name: what follows the first name's key, without a slash before it */
};
int reader_change_move_all(const struct reader_move *move, const struct limits *limits,
                           struct error *err);
void reader_change_end(struct reader_change *change); /* NULL is fine */

#endif
