/* Giving a name to what another name means, on stores that cannot: copy, check, delete.
 *
 * At every moment the old or the new name holds each file whole. A file: the version seen is
 * copied, both are looked at, and only when the copy has the size and ETag that the store answered,
 * and the source is still that version, is the source deleted. A directory: all is copied, all is
 * checked, then all is deleted; while that goes on, the marker of the new directory names the old
 * one, so that a repeat after a kill goes on where it stopped instead of finding the target not
 * empty.
 *
 * Checks are those of rename(2), before the first change; between machines only the store's
 * conditions decide. A file keeps its time if that is stored with it or older than a minute. Stores
 * that rename by themselves (STORE_CAP_RENAME) do so, with the kernel's errors.
 */
#ifndef S3DLIO_CORE_RENAME_H
#define S3DLIO_CORE_RENAME_H

#include <stdbool.h>

#include "core/attr.h"
#include "core/limits.h"

struct engine;

struct rename {
    const struct uri *from, *to;
    bool no_replace;           /* -EEXIST when anything is at `to`; the store decides where it can */
    struct attr before, after; /* out, where a file was copied: the version that was renamed, and
                                * what it is now. Without an ETag otherwise. */
};

int rename_name(struct engine *engine, struct rename *rename, const struct limits *limits,
                struct error *err);
/* May a file that is not at the store yet take the place of `to`? 0, or what rename_name would
 * say. */
int rename_check_target(struct engine *engine, const struct rename *rename,
                        const struct limits *limits, struct error *err);

/* ---- files that are being written: rename_open.c --------------------------------------------- */

enum {
    RENAME_NO_REPLACE = 1,
    RENAME_FOLLOW = 2, /* with its directory, which was renamed: it has moved already */
};

struct rename_open {
    struct rename rename; /* `from` and `to` differ; before and after are told for every store */
    bool is_absent;       /* nothing of the file is at the store: nobody looks for it */
    const struct attr *base; /* the version that the file starts from, or NULL */
    bool follows;         /* RENAME_FOLLOW */
    bool moved;           /* out: something was there, and was renamed */
};

/* Renames what stands under the old name, if something does; else looks whether the new name may be
 * taken, at the next publish. */
int rename_open_file(struct engine *engine, struct rename_open *open, const struct limits *limits,
                     struct error *err);
/* Deletes this version, or finds that it has gone. */
int rename_delete(struct engine *engine, const struct uri *uri, const char *etag,
                  const struct limits *limits, struct error *err);
/* The attribute cache hears that nothing is at the name any more; its directory stays one. */
void rename_forget(struct engine *engine, const struct uri *uri);

/* ---- directories: rename_tree.c -------------------------------------------------------------- */

/* Both are directories' names without a slash; `to` does not exist, or is a directory that may turn
 * out not to be empty. */
int rename_tree(struct engine *engine, const struct uri *from, const struct uri *to,
                const struct limits *limits, struct error *err);
/* `from` does not exist: was it all moved to the directory `to`, and only the end is missing? 1
 * when that is done now, 0 when it was not so. */
int rename_tree_end(struct engine *engine, const struct uri *from, const struct uri *to,
                    const struct limits *limits, struct error *err);

#endif
