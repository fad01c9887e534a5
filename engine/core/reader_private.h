/* What the files of the reader share: reader.c (life, the read call), reader_stream.c (the window
 * of a sequential reader), reader_advised.c (what the program said that it will need), reader_block.c
 * (blocks and exact reads), reader_registry.c,
 * reader_move.c and reader_keep.c (what this process's own changes mean for it), reader_foreign.c
 * (what those of others do). */
#ifndef S3DLIO_CORE_READER_PRIVATE_H
#define S3DLIO_CORE_READER_PRIVATE_H

#include "core/engine.h"
#include "core/range.h"
#include "core/reader.h"
#include "core/reader_copy.h"
#include "core/reader_shared.h"
#include "core/spread.h"

/* Guarded by the registry's mutex. */
struct reader_entry {
    struct reader_place *place; /* NULL: no change concerns it */
    struct reader *prev, *next; /* in its place */
    unsigned references;        /* of the owner, and of threads that change its object */
    bool opening;               /* its version is not known yet */
    bool disturbed;             /* and a change has begun since */
    bool is_stand_in;           /* of another process's reader, while a change goes on */
    struct shared_seat seat;    /* among those of all processes */
};

/* Everything from `generation` on is guarded by the shard's lock; what is before `entry` never
 * changes once the reader is open. */
struct reader {
    struct engine *engine;
    struct store *store;
    struct endpoint *endpoint;
    struct shard *shard;
    struct attr attr; /* as it was opened */
    char content_type[128];
    bool is_tagged;
    const void *owner;  /* see reader_open_version */
    bool is_inline;     /* STORE_CAP_INLINE: every read goes straight */
    bool decrypts;      /* so bytes cost the thread that receives them something */
    bool kernel_writes; /* bytes reach the caller's buffer by a system call: it checks */

    struct reader_entry entry;

    int64_t asked_ns; /* opened ahead: when the request was sent that tells its version; else 0 */
    uint64_t generation;
    struct uri
        uri; /* where the version is now, and what it is called: see core/reader_registry.h */
    char etag[STORE_ETAG_MAX];
    uint64_t stored_bytes; /* of the object there: more than the version's when it was added to */
    uint64_t epoch;        /* counts the changes of these and of `copy` */
    struct reader_copy *copy; /* the whole of it; NULL: at the store */
    _Atomic uint64_t put_serial; /* the put that it is of, which the first read waits for; 0 */
    bool closed;              /* a thread that changes its object still looks at it */
    struct error stale;       /* sticky once the version is gone */
    bool advised_random, advised_sequential;

    /* Where the program reads: see reader_stream.c. */
    uint64_t next_offset; /* behind the last read */
    unsigned jumps;       /* non-adjacent reads since the last stream */
    unsigned streak;      /* adjacent reads in a row */
    uint64_t streak_bytes;
    uint64_t window_bytes; /* how far ahead to read; 0: not yet */
    uint64_t grow_at;      /* position at which the window doubles */
    struct range *window;  /* ascending, without gaps but for what advice holds there; each in
                              flight or arrived */
    uint64_t changes;      /* ranges of it launched and done, so far: see fill_reach */
    bool lost_range;       /* one without memory was given up: the program did not come for it */
    unsigned width;        /* over so many shards its ranges are spread; 0 and 1: only its own */
    unsigned turn;         /* which one is next */
    struct spread_sample spread; /* what that is judged by, so far; slept_ns: at its beginning */
    int64_t spread_ns;           /* which was then */
    bool has_joined;       /* the users of the endpoint: ranges are on their way */

    struct advised *advised; /* beside the window: see reader_advised.c */
    unsigned advised_count;
    uint64_t advised_bytes;
    uint64_t advice; /* how often it was given */

    struct range *blocks; /* of one or two; hash by offset; the order is that of last use */
    unsigned block_count;
    unsigned block_misses, block_neighbours; /* of late, and those next to a block that was there */

    struct shard_timer drain_timer;
    uint64_t reads, drain_reads; /* calls so far, and when the timer was set */
};

/* reader_stream.c */

/* Notes where a read goes. True when it continues (or begins) a sequential stream. */
bool stream_note_read(struct reader *reader, uint64_t start, uint64_t end);
struct range *stream_find(const struct reader *reader, uint64_t position);
/* Launches ranges so that the window covers read->position and reaches ahead. The range at the
 * position, or NULL when there is no memory for one. */
struct range *stream_extend(struct reader *reader, const struct range_read *read, bool ahead);
/* Lets go of what lies behind the position. */
void stream_retire(struct reader *reader, uint64_t position);
void stream_drop(struct reader *reader);
/* The endpoint counts it among its users as long as something is on its way. */
void stream_settle(struct reader *reader);
void stream_remove(struct reader *reader, struct range *range);
/* Sees to it that bytes left in the kernel are not left there for long. */
void stream_arm_drain(struct reader *reader);
void stream_init(struct reader *reader);
unsigned stream_in_flight(const struct reader *reader);

/* reader_advised.c */

/* [start, end) is going to be needed: asks for what is neither there nor on its way, as far as there
 * is room and memory, and waits for nothing. */
void advised_add(struct reader *reader, uint64_t start, uint64_t end);
/* Moves the read on from what was advised. 1: it did; 0: nothing is there; -errno. */
int advised_take(struct reader *reader, struct range_read *read, const struct limits *limits,
                 struct error *err);
/* Asks for what had to wait, if there is room now. */
void advised_go_on(struct reader *reader);
/* Where what is there or on its way from the position on ends; the position: nothing is. */
uint64_t advised_end(const struct reader *reader, uint64_t position);
/* Where the next such begins, behind `from`; `to` when none does before. */
uint64_t advised_begin(const struct reader *reader, uint64_t from, uint64_t to);
/* Was all of [start, end) advised, and runs a stream elsewhere, which a read of it is no part of? */
bool advised_is_apart(const struct reader *reader, uint64_t start, uint64_t end);
/* Somebody else is asking for [from, to): advice that waits there does not. */
void advised_cut(struct reader *reader, uint64_t from, uint64_t to);
/* [start, end) is not needed (any more). */
void advised_give_up(struct reader *reader, uint64_t start, uint64_t end);
/* All that no thread waits for; or all, when no thread waits. */
void advised_drop(struct reader *reader, bool all);
/* In a fork child: forgets what had not arrived. */
void advised_adopt(struct reader *reader);
unsigned advised_in_flight(const struct reader *reader);
/* The ranges that were asked for, one after the other; NULL: before the first, behind the last. */
struct range *advised_next(const struct reader *reader, const struct range *range);

/* reader_block.c */

/* Fills the read from the aligned block at read->position. */
int block_take(struct reader *reader, struct range_read *read, const struct limits *limits,
               struct error *err);
/* One request for exactly what is missing of the read. */
int exact_take(struct reader *reader, struct range_read *read, const struct limits *limits,
               struct error *err);
/* Where what the blocks have from the position on ends, or will; the position: nothing. */
uint64_t block_held_end(const struct reader *reader, uint64_t position);
/* Starts fetching the blocks of [start, end) and waits for none. */
void block_prefetch(struct reader *reader, uint64_t start, uint64_t end);
void block_drop_idle(struct reader *reader);
void block_drop_all(struct reader *reader); /* no thread waits for one */
/* In a fork child: forgets blocks that had not arrived. */
void block_adopt(struct reader *reader);

/* reader.c */

struct reader *reader_new(struct engine *engine, const struct uri *uri, struct error *err);
/* What an answer tells of the version. */
void reader_learn(struct reader *reader, const struct store_object *object);
/* The request that opens a reader: [offset, end) goes into the window, the attributes become
 * known. */
int reader_get_first(struct reader *reader, uint64_t offset, uint64_t end,
                     const struct limits *limits, struct error *err);
int reader_get_attributes(struct reader *reader, const struct limits *limits, struct error *err);
/* Makes `ask` the request by which a new reader, or the same again, learns its version, and puts it
 * into the registry. */
int reader_begin(struct reader *reader,
                 int (*ask)(struct reader *, const struct limits *, struct error *),
                 const struct limits *limits, struct error *err);
/* Of a reader that was opened ahead (asked_ns): waits until its version is known. 1 if that is
 * the one to open now, by the rule for what listings show; 0; -errno. The lock is held. */
int reader_wait_prefetched(struct reader *reader, const struct limits *limits, struct error *err);
/* The version is what look-ups find from now on. */
void reader_remember(struct reader *reader);
/* In a fork child: drops what was in flight. The lock is held. */
void reader_adopt(struct reader *reader);
/* The version was not where it was at `epoch`: has it moved? Waits, with the lock released, for a
 * change of this process that is under way. 1: ask there; 0: it is gone; -errno. */
int reader_outlive(struct reader *reader, uint64_t epoch, const struct limits *limits,
                   struct error *err);
void reader_free(struct reader *reader); /* nobody has a reference */
/* The lock is held, limits->work is the read. */
int reader_fill(struct reader *reader, struct range_read *read, const struct limits *limits,
                struct error *err);

#endif
