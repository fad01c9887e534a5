/* Extended attributes: "user.*", all in one piece of metadata.
 *
 * The form is that of s3fs: metadata "xattr" is a JSON object of names and base64 values, percent-
 * encoded. Names are percent-encoded in it once more where JSON or s3fs would stumble over them.
 * Where attributes are the thing's own (STORE_CAP_ATTRIBUTES) an empty text means more of them than
 * fit. All metadata of an object together may have XATTR_METADATA_MAX bytes, the limit of S3:
 * -ENOSPC.
 *
 * Readable by name, not listed, and not to be changed (-EPERM): user.s3.etag, user.s3.content-type,
 * user.s3.uri, user.s3.storage-class. Names of other kinds than "user." are -EOPNOTSUPP. Each
 * function asks the store once; a change copies the object onto itself (core/metadata_change.h).
 */
#ifndef S3DLIO_CORE_XATTR_H
#define S3DLIO_CORE_XATTR_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/limits.h"

struct attr;
struct engine;
struct store_metadata;
struct uri;

#define XATTR_METADATA      "xattr" /* the name of that metadata */
#define XATTR_METADATA_MAX  2048u
#define XATTR_METADATA_KEPT 200u /* of that, what modes, owners, times and ids of writes may take */

enum { XATTR_SET_CREATE = 1, XATTR_SET_REPLACE = 2 }; /* as in <sys/xattr.h> */

/* As getxattr(2) and listxattr(2): the length, with size 0 without touching the buffer; -ERANGE
 * when it does not fit; -ENODATA. */
struct xattr_room {
    const char *name; /* of the attribute that goes there; NULL: the names of all */
    void *value;
    size_t size;
};
ssize_t xattr_get(struct engine *engine, const struct uri *uri, const struct xattr_room *room,
                  const struct limits *limits, struct error *err);
ssize_t xattr_list(struct engine *engine, const struct uri *uri, char *names, size_t size,
                   const struct limits *limits, struct error *err);

struct xattr_value {
    const char *name;
    const void *data; /* NULL: removes it */
    size_t length;
    unsigned flags; /* XATTR_SET_… */
    bool says_none; /* set_in: metadata without any says so, for STORE_CAP_ATTRIBUTES */
};
/* -ENODATA, -EEXIST, -ENOSPC, -EPERM, -EOPNOTSUPP, -E2BIG: the object has more than can be told. */
int xattr_set(struct engine *engine, const struct uri *uri, const struct xattr_value *value,
              const struct limits *limits, struct error *err);

/* ---- metadata that is to be stored, of an object that is being written ---- */

/* What xattr_get does on that (without a name: xattr_list), without a request; the store's own
 * attributes are -ENODATA there. */
ssize_t xattr_read_in(const struct store_metadata *metadata, const struct xattr_room *room,
                      struct error *err);
/* 1: *metadata has changed; 0: S3DLIO_METADATA drops it. */
int xattr_set_in(struct engine *engine, struct store_metadata *metadata,
                 const struct xattr_value *value, struct error *err);
/* The object gets the attributes that `metadata` has, all of them. */
int xattr_store_all(struct engine *engine, const struct uri *uri,
                    const struct store_metadata *metadata, const struct limits *limits,
                    struct attr *ret_attr, struct error *err);

#endif
