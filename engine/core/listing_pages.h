/* The pages of one pass over a directory, in the order of their keys, asked for ahead.
 *
 * The page behind the one that is read is always on its way. Once a directory has shown that it is
 * large, more are: each page says where the next one begins only when it has come, so places are
 * guessed at which to begin (where they began the last time: listed.h; else key_space.h), as far
 * ahead as the reader has come already, at most LISTING_PAGES_MAX and what the limiter allows. What lies between two places is read page by page;
 * entries behind the next place are left out. So a wrong guess costs requests and not entries, and
 * after too many wrong ones there are no more.
 *
 * One thread at a time; each request lives on its shard, under that shard's lock. A fork child asks
 * again for what was under way.
 */
#ifndef S3DLIO_CORE_LISTING_PAGES_H
#define S3DLIO_CORE_LISTING_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/uri.h"
#include "core/limits.h"
#include "core/listed.h"
#include "store/store.h"

#define LISTING_PAGES_MAX 16u
#define LISTING_SPANS_MAX 32u

struct engine;
struct listing_pages;

/* Of the keys that begin with uri->key, or of the buckets. NULL without memory. */
struct listing_pages *listing_pages_new(struct engine *engine, const struct uri *uri,
                                        bool recursive);
/* Forgets all that was asked for: the next page is the first. */
int listing_pages_begin(struct listing_pages *pages, struct error *err);
/* The same behind a page that is known from elsewhere: what its token names comes next, or what lies
 * behind the key `after`; with neither it was the last one. */
int listing_pages_begin_behind(struct listing_pages *pages, const struct store_page *page,
                               const char *after, struct error *err);
/* Only those pages, as many of them at once as the limiter allows, at most LISTING_SPANS_MAX. */
int listing_pages_begin_spans(struct listing_pages *pages, const struct listed_plan *plan,
                              struct error *err);
/* Asks for the next ones without waiting. Whatever fails is asked for by listing_pages_next. */
void listing_pages_ask(struct listing_pages *pages, const struct limits *limits);
/* Waits for the next page, which is the caller's: 0, or -errno, after which the call may be repeated.
 * Not after the last one. */
int listing_pages_next(struct listing_pages *pages, const struct limits *limits,
                       struct store_page **ret_page, int64_t *ret_asked_ns, struct error *err);
/* What the page that came last shows: what lies behind `from` ("": all) up to `last` (NULL: it was
 * the last one). Valid until the next call. */
void listing_pages_shown(const struct listing_pages *pages, const char **ret_from,
                         const char **ret_last);
/* No page is to come: the last one has, or listing_pages_end was called. */
void listing_pages_end(struct listing_pages *pages);
bool listing_pages_at_end(const struct listing_pages *pages);
void listing_pages_free(struct listing_pages *pages); /* NULL is fine */

#endif
