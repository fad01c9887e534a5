/* The versions that the processes of a user on this machine have open, in a table that they share
 * (core/place.h): so whoever takes one away, or moves it, sees whose it is, and can tell.
 *
 * A seat stands for one open reader. Its process enters it, and looks at it when the store does not
 * have the version any more; other processes hold it while they change that object, and write into
 * it where the version is now: at another name, under another ETag, or in a file that was left for
 * it. A file goes with the last seat that speaks of it. The seat of a process that died is free.
 *
 * Nothing here is trusted further: names and ETags only choose what is asked of the store, which
 * checks them, and a file must be this user's and of the right size. Without the table, or without
 * a free seat, a reader is one that other processes do not know.
 *
 * Any thread, inside the gate; each seat has a lock, never held over a sleep. In a fork child a
 * reader has no seat until it enters again.
 */
#ifndef S3DLIO_CORE_READER_SHARED_H
#define S3DLIO_CORE_READER_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uri.h"
#include "store/store.h"

#define SHARED_PATH_MAX 256

struct shared_table;

/* ticket 0: none. */
struct shared_seat {
    unsigned index;
    uint64_t ticket;
};

/* A version, and where it is. */
struct shared_version {
    uint64_t store; /* shared_store_id */
    struct uri uri;
    char etag[STORE_ETAG_MAX];
    uint64_t size_bytes, stored_bytes; /* of the object there: it may have been added to */
    char file[SHARED_PATH_MAX];        /* "": at the store */
};

/* NULL without a place for it, or without memory. */
struct shared_table *shared_table_open(void);
/* Two stores at different endpoints are two. */
uint64_t shared_store_id(struct store *store);

/* ---- one's own ------------------------------------------------------------------------------- */

/* handed_over: another process has opened the version, or another program in this one. When it has
 * a seat that tells where that is now, *version becomes it. */
void shared_enter(struct shared_table *table, struct shared_version *version, bool handed_over,
                  struct shared_seat *ret_seat);
/* In a fork child: *seat is the parent's, and becomes one of its own that says the same. False: the
 * parent's is no more. */
bool shared_inherit(struct shared_table *table, struct shared_seat *seat);
/* It was moved by this process itself. */
void shared_move(struct shared_table *table, const struct shared_seat *seat, const struct uri *uri,
                 const char *etag, uint64_t stored_bytes);
void shared_leave(struct shared_table *table, struct shared_seat *seat);
/* All of this process's. */
void shared_leave_all(struct shared_table *table);
/* Each of this process's is that process's, too: it executes a program that was told of the
 * versions, and may enter with handed_over. */
void shared_give_all(struct shared_table *table, int pid);

/* Where it is now. False: the seat is no longer its own. *ret_word is not NULL while a process that
 * lives changes the object: look again when the word is no longer *ret_value. */
bool shared_look(struct shared_table *table, const struct shared_seat *seat,
                 struct shared_version *ret_version, _Atomic uint32_t **ret_word,
                 uint32_t *ret_value);

/* ---- those of others ------------------------------------------------------------------------- */

/* Calls `found` for each version at the store that another process has open at the name, or below
 * it, until it answers false. The seat is held from before that call, for the caller to let go. */
void shared_find(struct shared_table *table, uint64_t store, const char *name, bool below,
                 bool (*found)(void *arg, const struct shared_seat *seat,
                               const struct shared_version *version),
                 void *arg);
/* Has another process that name open? */
bool shared_has(struct shared_table *table, uint64_t store, const char *name);
/* The version is there from now on: at the store, or in a file that goes with the last seat. */
void shared_tell(struct shared_table *table, const struct shared_seat *seat,
                 const struct shared_version *version);
void shared_let_go(struct shared_table *table, const struct shared_seat *seat);

#endif
