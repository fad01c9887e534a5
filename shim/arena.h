/* What a process tree has open, in one shared memory arena that fork and exec inherit: open file
 * descriptions (slots), files that are being written (nodes), and the processes that hold them.
 *
 * It holds numbers and names only, no pointers. Which process holds what is a bit in the process's
 * record, and nothing else counts holders: whoever gives something up learns whether others are
 * left, and dead ones are swept then. Processes that mapped an arena before they forked share it;
 * others have arenas of their own. A process keeps its record when it executes another program,
 * which takes the arena over from a descriptor of it (handover.h).
 *
 * Locking: `arena_table_lock` covers records, bits, and the names of nodes. It is held for moments,
 * never over a request. The lock of a slot covers its offset, a node's `order` its length.
 */
#ifndef S3DLIO_SHIM_ARENA_H
#define S3DLIO_SHIM_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/path.h"
#include "shim/shared_lock.h"

#define ARENA_SLOTS     65536u
#define ARENA_NODES     16384u
#define ARENA_PROCESSES 2048u

/* What POSIX says dup and fork share. */
struct arena_slot {
    _Atomic uint32_t used;
    struct shared_lock lock; /* serialises the offset */
    _Atomic int64_t offset;
    _Atomic uint32_t flags; /* O_ACCMODE, O_APPEND, O_NONBLOCK … as fcntl(F_GETFL) shows them */
};

/* A file that is being written, as all processes of the tree see it. */
struct arena_node {
    _Atomic uint32_t used;
    struct shared_lock order; /* writes that move the end, and what changes their target, in turn */
    _Atomic int32_t error;    /* sticky negative errno of a failed write */
    _Atomic bool is_discarded; /* unlinked, or never to be: nothing is published any more */
    _Atomic bool is_nameless;  /* discarded so far, but linkat(2) may give it its first name */
    _Atomic bool is_due;       /* has what was not published yet */
    _Atomic bool is_stored;    /* the content is what the store has, and so is its time */
    _Atomic uint32_t has, mode, uid, gid; /* as of struct s3dlio_attr */
    _Atomic int64_t mtime_ns, atime_ns;   /* since the epoch */
    _Atomic uint64_t length_bytes;
    uint64_t inode;
    _Atomic uint32_t renames;    /* changes of the path so far */
    char path[PATH_VIRTUAL_MAX]; /* canonical; under the table's lock */
};

/* The arena is there, with a record for this process. 0, -ENOMEM, -EAGAIN (too many processes). */
int arena_need(void);

/* A free slot that this process holds, offset 0. 0, -ENFILE, or of arena_need. */
int arena_alloc(uint32_t flags, struct arena_slot **ret_slot);
/* This process's hold ends. True: nobody else has one, and the caller frees the slot. `sweeps`:
 * that matters, so dead holders are looked for. False in a process that did not come by fork(). */
bool arena_drop(struct arena_slot *slot, bool sweeps);
void arena_free(struct arena_slot *slot);

/* A node of that name, which this process holds; all else is the caller's to fill in. */
int arena_node_alloc(const char *path, struct arena_node **ret_node);
bool arena_node_drop(struct arena_node *node);
void arena_node_hold(struct arena_node *node); /* takes back what was just dropped */
/* About to be freed: it is found by its name no more. */
void arena_node_hide(struct arena_node *node);
void arena_node_free(struct arena_node *node);
uint32_t arena_node_index(const struct arena_node *node); /* below ARENA_NODES */

/* The node at or behind `index` that has this path (NULL: any) and is not discarded, or NULL; under
 * the table's lock. Search on from arena_node_index + 1. */
struct arena_node *arena_node_next(uint32_t index, const char *path);
/* Has it a living holder? One whose holders were all killed is free afterwards. Under the table's
 * lock. */
bool arena_node_lives(struct arena_node *node);
/* Does no other living process hold it? */
bool arena_node_is_alone(struct arena_node *node);
/* Gives the node another name; the table's lock is taken. */
void arena_node_rename(struct arena_node *node, const char *path);
/* Under the table's lock: its name. */
void arena_node_path(const struct arena_node *node, char ret_path[PATH_VIRTUAL_MAX]);
/* It is found by its name no more. */
void arena_node_discard(struct arena_node *node);

/* Is any node in use, by whatever process? One load. */
bool arena_any_node(void);

/* Returns what shared_lock_take does. The arena must be there. */
int arena_table_lock(void);
void arena_table_unlock(int locked);

/* ---- exec ---- */

/* What the next program needs to find this arena again: a descriptor, close-on-exec, and this
 * process's record. -EOPNOTSUPP where the arena has no descriptor (any more); -EPERM where it is
 * another user's. */
struct arena_key {
    int fd;
    uint32_t record;
    uint32_t parent; /* the record of the process that made this one; none: ARENA_PROCESSES */
    int64_t coming; /* the record waits for this child (arena_child); 0: it does not */
    uint64_t device, inode; /* of the descriptor */
};
int arena_key(struct arena_key *ret_key);
/* Maps it in the new program: the descriptor is not believed to be one before it was looked at. 0,
 * -EINVAL. */
int arena_adopt(const struct arena_key *key);
/* In a program that runs: this process is in that arena from now on, or was already. -EXDEV: it has
 * another one. -EINVAL, -ENOMEM, -EAGAIN. `key->fd` stays the caller's. */
int arena_meet(const struct arena_key *key);
/* A slot or node that this process holds still, from before; NULL: no. */
struct arena_slot *arena_held_slot(uint32_t index);
struct arena_node *arena_held_node(uint32_t index);
bool arena_holds_slot(const struct arena_slot *slot);
uint32_t arena_slot_index(const struct arena_slot *slot);
/* Of the slots and nodes that this process holds, it keeps those that `keeps` says, called with the
 * table's lock held. The others went with the program before: that was no close, nothing is
 * published. */
void arena_keep(bool (*keeps)(bool is_node, uint32_t index, const void *arg), const void *arg);
/* Is it open on the arena's file? */
bool arena_is_file(int fd);
/* Is it the arena's? Closing ranges go around it. */
bool arena_owns_fd(int fd);
/* Is there an arena, mapped? And this process in it? Is another one? */
bool arena_is_there(void);
bool arena_is_used(void);
bool arena_is_shared(void);

/* ---- in messages (parcel.h) ---- */

/* A slot, and the node where it has one, on their way to another process. A flight holds them like
 * a process, in a record that lives as long as an open file description of the arena's file, whose
 * descriptors travel: the kernel says when the last of them is gone. */
struct arena_flight {
    uint32_t record;
    int64_t since_ns; /* which flight of that record it is */
};
/* `node` may be NULL. *ret_token: a descriptor, the caller's, close-on-exec; the flight ends with
 * its last duplicate. 0, -EAGAIN (too many), -EOPNOTSUPP (no /proc, or no file), -EMFILE … */
int arena_flight_begin(const struct arena_slot *slot, const struct arena_node *node,
                       struct arena_flight *ret_flight, int *ret_token);
/* If it has ended, what only it held is free. Nobody has to call this: so is it when that matters
 * to somebody. */
void arena_flight_look(const struct arena_flight *flight);
/* Does a flight hold it? */
bool arena_is_in_flight(const struct arena_slot *slot);
/* For whoever has a token, under the table's lock: what the flight holds at that index, or NULL. */
struct arena_slot *arena_flight_slot(const struct arena_flight *flight, uint32_t index);
struct arena_node *arena_flight_node(const struct arena_flight *flight, uint32_t index);
/* Under the table's lock: this process holds the slot, too. False: it did before. */
bool arena_slot_hold(struct arena_slot *slot);

/* A child that is about to be: its record, with all holds of this process, from before it is there.
 * Parent or child say its number, whoever is first; the record lives until then as long as the
 * token, a descriptor that both have. */
struct arena_child {
    uint32_t record;
    int64_t coming; /* which child of that record; 0: there was no descriptor for a token */
    int token_fd;   /* -1 */
};
/* The arena must be there. 0, -EAGAIN (too many). */
int arena_child_begin(struct arena_child *ret_child);
/* `pid` as fork returns it: below 0, there is no child. */
void arena_child_end(struct arena_child *child, pid_t pid);

/* Around fork: the child gets a record with all holds of this process, if it has any, or -EAGAIN
 * and no fork is to be. After prepare the table's lock is held. `pid` as fork returns it. */
int arena_fork_prepare(void);
void arena_fork_parent(pid_t pid);
void arena_fork_child(void);
/* Between the two, who was found alive once counts as alive, so that a process which gives up all
 * that it has asks for each of the others once. */
void arena_ask_once(bool begins);
/* At the end of a process that has given everything up: its record is free. */
void arena_leave(void);

/* The offset's lock: see shared_lock_take. Held over the read or write that moves it, as the
 * kernel's f_pos lock is. */
static inline int arena_lock(struct arena_slot *slot)
{
    return shared_lock_take(&slot->lock);
}

static inline void arena_unlock(struct arena_slot *slot)
{
    shared_lock_give(&slot->lock);
}

#endif
