/* The copy of an object for stores that cannot copy parts of one: its bytes come here and go back.
 * For what is too large for one request of the store's; core/copy.h decides.
 *
 * Memory: parts of an upload, from the budget, S3DLIO_PUT_INFLIGHT of them at most. Thread: the
 * caller's. */
#ifndef S3DLIO_CORE_COPY_BYTES_H
#define S3DLIO_CORE_COPY_BYTES_H

#include "base/uri.h"
#include "core/limits.h"
#include "store/store.h"

struct engine;

struct copy_bytes {
    const struct uri *from, *to;
    const struct store_object *source;     /* the version that is copied */
    const struct store_metadata *metadata; /* stored with the copy */
    bool in_place;                         /* the copy takes the place of that version, no other */
    bool exclusive;                        /* ERROR_EXISTS when something is at `to` */
};

/* ERROR_CHANGED when another version has taken the source's place. *ret_target has no metadata. */
int copy_bytes(struct engine *engine, const struct copy_bytes *copy, const struct limits *limits,
               struct store_object *ret_target, struct error *err);

#endif
