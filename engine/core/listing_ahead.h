/* The attributes of a page's entries, asked for ahead of whoever reads the page, in its order.
 *
 * As many HEADs are under way as are worth while (core/limiter.h), at most AHEAD_MAX. An entry that
 * went away since is told as the listing showed it. One thread at a time; each request lives on its shard, under that shard's lock. A fork child asks anew.
 */
#ifndef S3DLIO_CORE_LISTING_AHEAD_H
#define S3DLIO_CORE_LISTING_AHEAD_H

#include "core/attr.h"
#include "core/limits.h"

struct engine;
struct listing_ahead;

#define AHEAD_MAX 64u

/* NULL without memory. */
struct listing_ahead *listing_ahead_new(struct engine *engine, const struct uri *directory);
/* Entry `index` of the page, and those behind it are asked for. *attr is what the listing says of
 * it and becomes what the object says. 0 or -errno. */
int listing_ahead_take(struct listing_ahead *ahead, const struct store_page *page, size_t index,
                       const struct limits *limits, struct attr *attr, struct error *err);
/* Has the answer about entry `index` come? */
bool listing_ahead_has(const struct listing_ahead *ahead, size_t index);
/* The page is another one from now on: forgets what is under way. NULL is fine. */
void listing_ahead_reset(struct listing_ahead *ahead);
void listing_ahead_free(struct listing_ahead *ahead);

#endif
