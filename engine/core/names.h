/* What a path means, and the changes to it: look-up, mkdir, rmdir, unlink.
 *
 * An object of the key is a file. Otherwise, anything below "key/" or a marker object makes it a
 * directory. When both exist the file wins. A slash at the end demands a directory. The empty key
 * is the bucket, the empty bucket the list of buckets. Stores with real directories (file) tell
 * their type themselves.
 *
 * What a look-up costs: of a file HEAD alone when its name has a dot, else a listing and HEAD; of a
 * directory one listing, and HEAD of its marker where there is one, HEAD alone where a process of
 * this user has lately seen a marker (the listing follows when it is needed, and has a page for the
 * contents, as the marker is known); of a missing name no more than
 * two requests, one without a dot, none where its directory is known completely; and once one more
 * where nothing is known of its directory. Names that a listing has shown, and whose attributes have
 * passed, are asked for together where many of them are looked up (core/listed.h).
 *
 * Every function may sleep, holds no lock on entry or return, and takes its answer from the
 * attribute cache where that is fresh. Names are not followed across symbolic links.
 */
#ifndef S3DLIO_CORE_NAMES_H
#define S3DLIO_CORE_NAMES_H

#include "core/attr.h"
#include "core/limits.h"

struct engine;

int names_lookup(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct attr *ret_attr, struct error *err);
/* 0 when there is nothing of that name; -EEXIST, or why that cannot be known. */
int names_require_absent(struct engine *engine, const struct uri *uri, const struct limits *limits,
                         struct error *err);
/* Before a directory is listed: the page that its look-up left out. */
void names_list_owed(struct engine *engine, const struct uri *uri, const struct limits *limits);
/* After a 404 on the key: -EISDIR, -ENOTDIR or -ENOENT, with *err saying so; another error when the
 * question cannot be answered. Never 0. */
int names_explain_missing(struct engine *engine, const struct uri *uri, const struct limits *limits,
                          struct error *err);
/* `attr` holds what is stored with the marker; at bucket level makes the bucket. */
int names_mkdir(struct engine *engine, const struct uri *uri, const struct attr *attr,
                const struct limits *limits, struct error *err);
int names_rmdir(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct error *err);
int names_unlink(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct error *err);

/* The same, but the store may be told after the return (core/removals.h). */
int names_unlink_soon(struct engine *engine, const struct uri *uri, const struct limits *limits,
                      struct error *err);

/* The object of exactly this key, whether it exists or not. */
int names_delete(struct engine *engine, const struct uri *uri, const struct limits *limits,
                 struct error *err);

/* The directory that a name is in; false at the top. */
bool names_parent(const struct uri *uri, struct uri *ret_parent);

#endif
