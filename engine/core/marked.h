/* Marked directories: those in which something is stored that a listing cannot show.
 *
 * A listing shows keys, sizes, times and ETags. A mode, an owner, a time or a symbolic link is
 * metadata, seen by HEAD only. So that a name has the same attributes however they were obtained,
 * the first write of such metadata into a directory marks the directory's marker object (metadata
 * ATTR_MARKED, made where there is no marker), before the write; and whoever lists a marked
 * directory asks for each entry (core/listing_ahead.h). In all others the listing is the answer. A
 * bucket itself has no marker: its mark is an object of the name MARKED_BUCKET_KEY, which listings
 * leave out. S3DLIO_LISTING_METADATA=always and never decide without looking; marks are written in
 * any case.
 *
 * No state of its own: what is known of a directory is in the attribute cache. Functions may sleep.
 */
#ifndef S3DLIO_CORE_MARKED_H
#define S3DLIO_CORE_MARKED_H

#include "base/uri.h"
#include "core/limits.h"
#include "store/store.h"

struct engine;

#define MARKED_BUCKET_KEY ".s3dlio-directory"

/* Marks the directory that holds `name` unless it is known to be marked. Before the write. */
int marked_require(struct engine *engine, const struct uri *name, const struct limits *limits,
                   struct error *err);

/* Does a listing of `directory` (its key empty or ending in '/') need its entries asked for? `page`
 * is its first page, which shows whether there is a marker at all: at most one request. */
bool marked_ask(struct engine *engine, const struct uri *directory, const struct store_page *page,
                const struct limits *limits);
/* The same of a directory that was listed before, now: one request at least, unless it is known to be
 * marked. */
bool marked_ask_again(struct engine *engine, const struct uri *directory,
                      const struct limits *limits);

#endif
