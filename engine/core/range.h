/* A range of an object in memory or on its way: a fetch, a buffer, and who took what.
 *
 * Bytes arrive in order. Those that the running thread may put straight into its caller's buffer go
 * there and are never seen here again; the others go into the range's own buffer, taken when the
 * first of them arrives. Absolute offsets in the object:
 *
 *     offset <= valid <= taken <= arrived <= end
 *
 * [valid, arrived) is in the buffer; what lies before `taken` has been handed out. Bytes are
 * received direct only when nothing untaken is in the buffer, and that moves all three.
 * [direct_start, direct_end) is the last run of bytes that went to one read, direct_read.
 *
 * A range that another shard fetches (range_start_away) arrives as a whole: until then nothing of
 * it is here, `buffer` is NULL and its fetch rests.
 *
 * A range hangs on one shard and is touched under its lock; reader and engine behind it are only
 * read. `users` counts threads that wait for it or copy from it: such a range is not freed.
 */
#ifndef S3DLIO_CORE_RANGE_H
#define S3DLIO_CORE_RANGE_H

#include <uthash.h>

#include "core/attr.h"
#include "core/budget.h"
#include "core/fetch.h"
#include "core/stats.h"

struct relay;

struct range {
    struct fetch fetch;
    struct relay *relay;       /* another shard fetches it instead; NULL */
    struct range *prev, *next; /* in the owner's list */
    UT_hash_handle hh;         /* of blocks, by offset */
    const void *owner;         /* the reader; NULL: nobody wants the bytes any more */
    enum stats_counter wasted; /* which counts those that still come then; STATS_COUNTERS: none */
    uint64_t offset, end;
    uint64_t valid, taken, arrived;
    unsigned char *buffer; /* for [offset, end); NULL until needed */
    size_t buffer_bytes;
    enum budget_class budget_class;
    uint64_t reserved_bytes; /* of the budget */
    bool is_forced;          /* beyond it: to be dropped once its bytes were handed out */
    uint64_t direct_read, direct_start, direct_end;
    unsigned users;
    bool awaited, counted;                  /* a thread had to wait for bytes; by its stream */
    bool draining;                          /* bytes are not left in the kernel any more */
    bool aimed;                             /* the room given last is the caller's */
    bool buffered_only;                     /* stays whole: a block, the first window */
    uint64_t only_read;                     /* nobody else's bytes; 0: whoever reads them */
    void (*on_object)(struct range *range); /* may be NULL */
    void (*on_done)(struct range *range);   /* may be NULL; the owner is there still */
};

/* One call that fills a caller's buffer with [start, end); limits->work while it runs. */
struct range_read {
    const void *owner;             /* the reader that it reads from */
    unsigned char *buffer;         /* of [start, …) */
    uint64_t start, end, position; /* position: filled so far */
    uint64_t id;                   /* range_read_id */
    const struct range *waits_for;
    bool checked; /* the buffer is writable, all of it; else ask before each copy */
};

/* A number for a read, never used twice in a process: one call may read the same bytes again, and
 * into another buffer. */
uint64_t range_read_id(void);

/* A range on `shard`, not started; the deadline is the configured one. NULL without memory. */
struct range *range_new(struct engine *engine, const struct uri *uri, struct store *store,
                        struct shard *shard);
/* [offset, end) of the version of that size and ETag (NULL: whatever is there). */
void range_start(struct range *range, uint64_t offset, uint64_t end, uint64_t size_bytes,
                 const char *etag);
/* The same by another shard's thread (core/relay.h), for a range that has memory reserved for all
 * of it: it is done, with all that came, when that ends. False, and not started: start it here. */
bool range_start_away(struct range *range, struct shard *away, uint64_t offset, uint64_t end,
                      uint64_t size_bytes, const char *etag);
/* Takes the memory for the whole range from the budget; false when refused. */
bool range_reserve(struct range *range, enum budget_class class, uint64_t bytes);
/* What it has reserved belongs to that class from now on. */
void range_become(struct range *range, enum budget_class class);

static inline bool range_done(const struct range *range)
{
    return range->fetch.call.done;
}
static inline bool range_failed(const struct range *range)
{
    return range_done(range) && range->fetch.call.request.error.class != ERROR_NONE;
}
/* Is the byte at `position` in the buffer, or still to come? */
static inline bool range_offers(const struct range *range, uint64_t position)
{
    return position >= range->offset && position < range->end && !range_failed(range) &&
           (position >= range->valid || position >= range->arrived);
}

/* Waits for the part of `read` that lies in the range and moves it to its buffer, advancing
 * read->position. 0, also when bytes were lost to another reader of the same range (position then
 * stands before them); -errno. Releases the lock meanwhile. */
int range_take(struct range *range, struct range_read *read, const struct limits *limits,
               struct error *err);
/* Counts what was received direct for this read while it waited for something else. True when that
 * advanced it. */
bool range_settle(const struct range *range, struct range_read *read);
/* Waits until all of it has arrived or failed; 0 or -errno. */
int range_wait_whole(struct range *range, const struct limits *limits, struct error *err);
/* Copies bytes [position, …) that are in the buffer, as many as read wants; 0 or -EFAULT. */
int range_copy(struct range *range, struct range_read *read, struct error *err);

/* No longer needed, out of every list: frees it, or lets a nearly complete one come in so that its
 * connection stays usable. */
void range_drop(struct range *range);
/* The same for one that was asked for ahead of the program: `wasted` counts the bytes that it brought
 * for nobody, `unread_bytes` until now and all that come in later. */
void range_drop_unread(struct range *range, enum stats_counter wasted, uint64_t unread_bytes);

/* Is the memory of the read writable? 0, or -EFAULT with *err. All of it, which is for when nothing is
 * there yet; or as much as is going to be copied to [from, to): see core/writable.h. */
int range_check_buffer(struct range_read *read, struct error *err);
int range_check_run(const struct range_read *read, uint64_t from, uint64_t to, struct error *err);

#endif
