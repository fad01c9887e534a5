/* Symbolic links: objects whose mode says so and whose body is the target, as s3fs stores them.
 *
 * Nothing here follows a link; whoever resolves paths does. A target that was read is kept by ETag
 * and name: that object never says anything else (symlink_cache.h).
 */
#ifndef S3DLIO_CORE_SYMLINK_H
#define S3DLIO_CORE_SYMLINK_H

#include <sys/types.h>

#include "core/limits.h"

struct engine;
struct uri;

#define SYMLINK_TARGET_MAX 4095u

/* -EEXIST; -ENOENT for an empty target or a missing directory; -ENAMETOOLONG; -EPERM where the
 * store keeps no metadata. */
int symlink_make(struct engine *engine, const char *target, const struct uri *uri,
                 const struct limits *limits, struct error *err);
/* At most `size` bytes of the target, without NUL: their number. -EINVAL for what is no link. */
ssize_t symlink_read(struct engine *engine, const struct uri *uri, char *buffer, size_t size,
                     struct limits *limits, struct error *err);

/* The first link on the way to `uri`; with_last: `uri` itself counts. Returns the length of the
 * link's key, which begins that of `uri`, with its target and a NUL in ret_target; 0 when there is
 * none. Costs no request where the attribute cache and the kept targets know. */
ssize_t symlink_find(struct engine *engine, const struct uri *uri, bool with_last,
                     char ret_target[SYMLINK_TARGET_MAX + 1], struct limits *limits,
                     struct error *err);

#endif
