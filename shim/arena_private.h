/* What arena.c (slots, nodes) and arena_process.c (records, holds) share. */
#ifndef S3DLIO_SHIM_ARENA_PRIVATE_H
#define S3DLIO_SHIM_ARENA_PRIVATE_H

#include <fcntl.h>

#include "shim/arena.h"

#define ARENA_WORDS ((ARENA_SLOTS + ARENA_NODES) / 64)

/* pid 0: free. A record whose child is not there yet has PROCESS_COMING. This one and a flight's live as
 * long as a descriptor, the token, which has a byte of the arena's file locked. */
#define PROCESS_COMING (-1)
/* A flight's: no process. */
#define PROCESS_FLIGHT (-2)

struct arena_process {
    _Atomic int32_t pid;
    _Atomic int64_t since_ns;             /* CLOCK_BOOTTIME: its process had begun by then */
    _Atomic int64_t token;                /* the byte */
    _Atomic uint64_t holds[ARENA_WORDS]; /* bits: slots, then nodes */
};

/* Any process of the user may have written anything into an arena: indexes are bounded wherever they
 * are used (arena_end), names copied with their length, and what is nonsense otherwise is answered
 * wrongly, or is a file that is not there. */

/* Arenas of other layouts have another size, or another number. */
#define ARENA_MAGIC UINT64_C(0x73336461726502)

struct arena {
    uint64_t magic;
    struct shared_lock table;
    uint32_t slot_next;              /* where the search for a free one starts */
    uint32_t slot_end, process_end;  /* none was ever used from here on */
    _Atomic uint32_t node_end;
    _Atomic uint32_t nodes_used;
    _Atomic uint32_t node_hashes[ARENA_NODES]; /* of the path; 0: not to be found */
    struct arena_process processes[ARENA_PROCESSES];
    struct arena_slot slots[ARENA_SLOTS];
    struct arena_node nodes[ARENA_NODES];
};

/* One of the ends above as far as it may be believed. */
static inline uint32_t arena_end(uint32_t said, uint32_t limit)
{
    return said < limit ? said : limit;
}

/* NULL before arena_need. */
struct arena *arena_mapped(void);
/* A descriptor of its file, or -1. */
int arena_file(void);

/* All of these under the table's lock; `index` is a bit's. */

/* This process has a record. 0, -EAGAIN. */
int arena_join(void);
/* It has this one, from the program that it executed before, or its parent: 0, -EINVAL. The lock is
 * not held. */
int arena_join_again(const struct arena_key *key);
uint32_t arena_record(void);
/* No longer alive. The second may go by what was said before (arena_ask_once). */
bool arena_is_dead(const struct arena_process *process);
bool arena_is_known_dead(const struct arena_process *process);
/* The byte of the arena's file that the record's token has locked, and no other of its time. */
struct flock arena_token_lock(const struct arena_process *process);
/* Whose child this process is, by its record; ARENA_PROCESSES or more: nobody's in the arena. It
 * has no children yet. */
void arena_parent_is(uint32_t record);
/* This process has made the one of that record. */
void arena_child_is(uint32_t record);
uint32_t arena_parent(void);
void arena_hold_take(uint32_t index);
/* True: it was ours, and nobody else's. */
bool arena_hold_drop(uint32_t index, bool sweeps);
/* Takes everything from processes that are dead. */
void arena_sweep_all(void);
/* Nobody holds it any more. */
void arena_forget(uint32_t index);

#endif
