/* Copies within one store, made by the store itself. */
#ifndef S3DLIO_CORE_COPY_H
#define S3DLIO_CORE_COPY_H

#include "base/uri.h"
#include "core/limits.h"
#include "store/store.h"

struct engine;

struct copy {
    const struct uri *from, *to;      /* may be the same, with `metadata` */
    const struct store_object *known; /* the source as HEAD told of it; NULL: it is asked for */
    const struct store_metadata *metadata; /* stored instead of the source's; NULL: that */
    bool drops_tags;                       /* the source has tags, and the copy gets none */
    bool exclusive;                        /* ERROR_EXISTS when something is at `to` already; not
                                            * certain where the store has no conditions */
    struct store_object source, target;    /* out; without metadata. source: unless known */
};

/* One version of `from`: the known one, else the one that is there at the beginning; by parts above
 * store_copy_max. ERROR_CHANGED when another one takes its place meanwhile. */
int copy_version(struct engine *engine, struct copy *copy, const struct limits *limits,
                 struct error *err);

/* The version of `from` that is there at the beginning, with its metadata; by parts above
 * store_copy_max. -EXDEV between stores, or when the store cannot copy. */
int copy_object(struct engine *engine, const struct uri *from, const struct uri *to,
                const struct limits *limits, struct error *err);

#endif
