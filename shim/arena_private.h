/* What arena.c (slots, nodes) and arena_process.c (records, holds) share. */
#ifndef S3DLIO_SHIM_ARENA_PRIVATE_H
#define S3DLIO_SHIM_ARENA_PRIVATE_H

#include "shim/arena.h"

#define ARENA_WORDS ((ARENA_SLOTS + ARENA_NODES) / 64)

/* pid 0: free. A record whose child is not there yet has PROCESS_COMING. */
#define PROCESS_COMING (-1)

struct arena_process {
    _Atomic int32_t pid;
    _Atomic int64_t since_ns;             /* CLOCK_BOOTTIME: its process had begun by then */
    _Atomic uint64_t holds[ARENA_WORDS]; /* bits: slots, then nodes */
};

/* Arenas of other layouts have another size, or another number. */
#define ARENA_MAGIC UINT64_C(0x73336461726501)

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

/* NULL before arena_need. */
struct arena *arena_mapped(void);

/* All of these under the table's lock; `index` is a bit's. */

/* This process has a record. 0, -EAGAIN. */
int arena_join(void);
/* It has this one, from the program that it executed before: 0, -EINVAL. */
int arena_join_again(uint32_t record);
uint32_t arena_record(void);
void arena_hold_take(uint32_t index);
/* True: it was ours, and nobody else's. */
bool arena_hold_drop(uint32_t index, bool sweeps);
/* Takes everything from processes that are dead. */
void arena_sweep_all(void);
/* Nobody holds it any more. */
void arena_forget(uint32_t index);

#endif
