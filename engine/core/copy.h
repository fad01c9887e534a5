/* Copies within one store, made by the store itself. */
#ifndef S3DLIO_CORE_COPY_H
#define S3DLIO_CORE_COPY_H

#include "base/uri.h"
#include "core/limits.h"

struct engine;

/* The version of `from` that is there at the beginning, with its metadata; by parts above
 * STORE_PART_MAX. -EXDEV between stores, or when the store cannot copy. */
int copy_object(struct engine *engine, const struct uri *from, const struct uri *to,
                const struct limits *limits, struct error *err);

#endif
