/* Many whole objects at once, into memory of the engine or out of the caller's.
 *
 * Every byte of a get lands in the buffer that is handed out; every put is sent from the caller's
 * memory. One thread, the caller's, drives all of it on one shard; as many requests are under way
 * as the options allow. Objects larger than a range are fetched in concurrent ranges.
 */
#ifndef S3DLIO_CORE_BULK_H
#define S3DLIO_CORE_BULK_H

#include <stddef.h>

#include "base/uri.h"
#include "core/limits.h"

struct engine;

struct bulk_get {
    const char *uri; /* in */
    void *data;      /* out: malloc'd, NULL when it failed; not NULL for an empty object */
    size_t length_bytes;
    int result;         /* 0 or -errno */
    struct error error; /* of this item */
};

/* Returns the number of failed items, or -errno when nothing could be tried. */
int bulk_get(struct engine *engine, struct bulk_get *items, size_t count,
             const struct limits *limits, struct error *err);

struct bulk_put {
    const char *uri;
    const void *data;
    size_t length_bytes;
    int result;
    struct error error;
};

int bulk_put(struct engine *engine, struct bulk_put *items, size_t count,
             const struct limits *limits, struct error *err);

#endif
