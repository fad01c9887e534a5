/* What is known of a name: type, size, times, and what metadata says beyond.
 *
 * Metadata keys are those of s3fs (mode with its type bits, uid, gid, mtime and atime in decimal seconds) and
 * rclone (times as seconds with a fraction, or RFC 3339). Values that make no sense are ignored.
 */
#ifndef S3DLIO_CORE_ATTR_H
#define S3DLIO_CORE_ATTR_H

#include <stdint.h>
#include <time.h>

#include "base/uri.h"
#include "store/store.h"

enum attr_type { ATTR_FILE = 1, ATTR_DIRECTORY, ATTR_SYMLINK };
enum { ATTR_HAS_MODE = 1, ATTR_HAS_UID = 2, ATTR_HAS_GID = 4, ATTR_HAS_MTIME = 8,
       ATTR_HAS_ATIME = 16 };

struct attr {
    enum attr_type type;
    unsigned has;
    uint32_t mode, uid, gid; /* a mode without ATTR_HAS_MODE is what readers assume anyway */
    bool marked; /* a directory: in it is stored what listings do not show */
    bool mark_unknown; /* a directory in a listing, which does not show its mark */
    bool has_xattr;    /* extended attributes are stored with it (core/xattr.h) */
    bool is_own;       /* mode, owner and time are the thing's own: STORE_CAP_ATTRIBUTES */
    uint64_t size_bytes;
    struct timespec mtime;
    struct timespec atime; /* as it was set, with ATTR_HAS_ATIME; reading changes none */
    uint64_t inode;
    char etag[STORE_ETAG_MAX];
};

/* The metadata of a directory's marker that says so: "1", or "0" where we made it otherwise. A
 * marker without it that has a mode was made by s3fs, which shows all of its metadata. */
#define ATTR_MARKED "s3dlio-marked"

/* 2000-01-01T00:00:00Z, what directories show for whose time nothing is stored and nothing is known
 * of changes (core/attr_cache_shared.h), with or without a marker: a listing shows none, so that any
 * other would depend on who asks. As rclone shows it; old enough for make, and not so old that
 * archives (zip: 1980) refuse it. */
#define ATTR_DIRECTORY_TIME_S INT64_C(946684800)

/* Room for any URI with its NUL. */
#define ATTR_URI_BYTES (16 + 3 + URI_BUCKET_MAX + 1 + URI_KEY_MAX + 1)

/* The name that caches and inodes go by: as uri_format, without a slash at the end. */
void attr_uri_text(const struct uri *uri, char ret_text[ATTR_URI_BYTES]);
/* 64-bit hash of that name; never 0 or 1. */
uint64_t attr_inode(const char *uri_text);

void attr_from_object(const struct store_object *object, const struct uri *uri,
                      struct attr *ret_attr);
void attr_directory(const struct uri *uri, struct attr *ret_attr);

/* Takes over what `from` has. */
void attr_merge(struct attr *to, const struct attr *from);

/* `attr` is of an object that was just stored with what `stored` has. */
void attr_take_stored(struct attr *attr, const struct attr *stored);

/* What a writer stores. 0 or -ENOMEM, -E2BIG. */
int attr_to_metadata(const struct attr *attr, struct store_metadata *metadata);
/* Does the store keep what attr_to_metadata makes? */
static inline bool attr_is_kept(const struct store *store)
{
    return store->capabilities & (STORE_CAP_METADATA | STORE_CAP_ATTRIBUTES);
}
/* What is new in such a store: the same, with its mode in any case, where one is known. */
struct attr attr_of_new(const struct store *store, const struct attr *attr);
/* The thing's own attributes, if the store tells them. */
void attr_take_own(struct attr *attr, const struct store_attributes *own,
                   const struct timespec *mtime);

#endif
