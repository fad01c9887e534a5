/* Objects that a program is likely to open next, fetched before it does.
 *
 * Which ones is guessed from the order that it follows (core/order.h). A guess is a reader that has
 * been opened like any other, by one GET of the object's beginning, or of all of it where it is
 * small; nobody waits for that. Opening the name takes the reader over: its request is on its way
 * or its bytes are here, and none is sent. What it brought counts as the present version under the
 * same rule as what a listing shows: within S3DLIO_META_TTL_MS of the moment when it was asked for,
 * and not if this process or another of the user's has changed the name since. Until it is taken
 * over, a guess is in nobody's way: it is not among the open readers of its name, its memory is a
 * class of its own, at most a quarter of the budget and only while another quarter is free; it is
 * not repeated when it fails; it goes when its time is over.
 *
 * Any thread inside the gate that holds no shard's lock. The mutex is a leaf: taken with or
 * without a shard's lock, never held over one that is taken. A fork child begins with no guess
 * but the orders of its parent.
 */
#ifndef S3DLIO_CORE_PREFETCH_H
#define S3DLIO_CORE_PREFETCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uri.h"
#include "core/attr.h"
#include "core/limits.h"

#define PREFETCH_SHARE 4u

struct prefetch_guess;
struct prefetch_page;
struct engine;
struct orders;
struct reader;

struct prefetch {
    pthread_mutex_t mutex;
    struct orders *orders;         /* NULL: nothing is fetched ahead */
    struct prefetch_guess *by_uri; /* hash */
    struct prefetch_guess *oldest; /* list */
    unsigned count, count_max;
    int64_t keep_ns;
    uint64_t generation;
    bool is_asking; /* for a page, see core/prefetch_page.h */
    _Atomic(struct prefetch_page *)
        page;               /* asked for; NULL: nobody has yet, or somebody looks at it */
    atomic_uint read_whole; /* how often, of late, larger objects were read to their end */
};

/* count_max 0: nothing is fetched ahead. */
void prefetch_init(struct prefetch *prefetch, unsigned count_max, int64_t ttl_ns);
void prefetch_fini(struct prefetch *prefetch);

/* A listing of the directory begins; it shows a file there. Names as attr_uri_text has them,
 * without a slash at the end. */
void prefetch_begin_listing(struct engine *engine, const char *directory);
void prefetch_note_listed(struct engine *engine, const char *directory, const char *name,
                          const struct attr *attr);
/* See s3dlio_expect. */
void prefetch_tell(struct engine *engine, const char *const *uris, size_t count);

/* The reader that was opened ahead under that name, which is the caller's from now on; it is not
 * in the registry, and asked_ns says when its request was sent. NULL: there is none of use. */
struct reader *prefetch_take(struct engine *engine, const char *uri);
/* What it brought, or is about to, of that name's attributes; the guess stays. Sleeps. False:
 * there is none of use. */
bool prefetch_look(struct engine *engine, const char *uri, const struct limits *limits,
                   struct attr *ret_attr);
/* The program has opened the name: what comes after it is sent for. */
void prefetch_go_on(struct engine *engine, const char *uri, uint64_t size_bytes);
/* Nobody will come for what is there or on its way: it was in vain. */
void prefetch_drop(struct engine *engine);
/* A reader is closed of which so much was read. */
void prefetch_note_read(struct engine *engine, uint64_t read_bytes, uint64_t size_bytes);

#endif
