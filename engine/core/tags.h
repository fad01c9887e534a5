/* The tags of an object, for what the store does not copy them to by itself: uploads made of copied
 * parts, and new versions of what is there. */
#ifndef S3DLIO_CORE_TAGS_H
#define S3DLIO_CORE_TAGS_H

#include "base/uri.h"
#include "core/limits.h"
#include "store/store.h"

struct engine;

/* Does what HEAD or GET told of an object say that it has tags? */
bool tags_exist(const struct store_metadata *told);
/* Asks for them and adds them to what is to be stored. 0 or -errno. */
int tags_fetch(struct engine *engine, const struct uri *uri, const struct limits *limits,
               struct store_metadata *metadata, struct error *err);

#endif
