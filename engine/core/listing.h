/* A directory being listed: pages streamed, the next one fetched while this one is read.
 *
 * Primes the attribute cache: each entry as it passes, and the directory as known completely when
 * the end was reached from the beginning within the TTL. Left out, and counted: names that cannot
 * be paths (an empty component, "." and "..", objects whose key ends in a slash). The marker object
 * of the directory itself is not an entry. A prefix of the same name as an object is hidden by it.
 *
 * Calls on one listing take turns; the page in flight lives on a shard and is touched under its
 * lock. A fork child asks again for the page that was under way.
 */
#ifndef S3DLIO_CORE_LISTING_H
#define S3DLIO_CORE_LISTING_H

#include "core/attr.h"
#include "core/limits.h"

struct engine;
struct listing;

struct listing_entry {
    const char *name; /* relative; valid until the next call on the listing */
    struct attr attr;
    bool next_is_ready; /* the one after it, or the end, is at hand */
};

/* Fetches the first page, or takes the one that a look-up of the directory has read within the TTL:
 * -ENOENT, -ENOTDIR … */
int listing_open(struct engine *engine, const struct uri *uri, bool recursive,
                 const struct limits *limits, struct listing **ret_listing, struct error *err);
/* 1 with an entry, 0 at the end, -errno. */
int listing_next(struct listing *listing, const struct limits *limits,
                 struct listing_entry *ret_entry, struct error *err);
/* Asks the store anew. */
int listing_rewind(struct listing *listing, const struct limits *limits, struct error *err);
void listing_close(struct listing *listing);

#endif
