/* The version of an object that a change starts from: its ETag, size and all that is stored with
 * it.
 *
 * What the change makes carries on what the base had, but for what is set anew and what belonged to
 * the old bytes (their time, the id of their write). */
#ifndef S3DLIO_CORE_BASE_VERSION_H
#define S3DLIO_CORE_BASE_VERSION_H

#include "core/attr.h"
#include "core/limits.h"

struct engine;

struct base_version {
    bool exists;      /* false: there is none, and the rest is empty */
    struct attr attr; /* etag, size, and mode, uid, gid where `has` says so */
    char content_type[128];
    struct store_metadata metadata; /* what is not in attr */
};

/* What is there now. -ENOENT, -EISDIR, -ENOTDIR and the others of a look-up. */
int base_version_look(struct engine *engine, const struct uri *uri, const struct limits *limits,
                      struct base_version *ret_base, struct error *err);
/* The same for what is to replace it: without a base, with what is stored with it, if something is
 * there. */
int base_version_look_to_empty(struct engine *engine, const struct uri *uri,
                               const struct limits *limits, struct base_version *ret_base,
                               struct error *err);
/* What of `attr`, which began as the base's (NULL: there was none), was set since. */
void base_version_changes(const struct attr *base, const struct attr *attr,
                          struct attr *ret_changes);
void base_version_fini(struct base_version *base);

#endif
