/* A streaming writer: bytes go into parts, full parts go up while the program writes on.
 *
 * A buffer begins small and grows to the size of a part, so that a thousand small writers take
 * little; when the budget is spent the writer first waits for its own parts on the wire, and
 * without any it takes memory from the spool (an unlinked file, mapped), never waiting for another
 * call. Nothing is visible before close; a failure aborts the upload and is told by the next write
 * and by close.
 *
 * Appending: the store itself copies what is there into the first parts, or, below the size of a
 * part and where it cannot, that is fetched before the first byte. When somebody else has put
 * another version there meanwhile, or the first one, or removed it, what was written comes behind
 * what is there then (writer_behind.c): as O_APPEND does among processes. ERROR_CHANGED when bytes
 * for that are not kept, when an answer was lost so that it cannot be known whether they are there
 * already, and after something else than appending was done; then the object is left as it is.
 *
 * Calls on one writer are serialised inside. A writer belongs to the process that opened it: in a
 * fork child writer_forget is the only call.
 */
#ifndef S3DLIO_CORE_WRITER_H
#define S3DLIO_CORE_WRITER_H

#include <sys/types.h>

#include "core/upload.h"

struct writer;

struct writer_options {
    struct upload_options upload; /* what a base brings is added by the writer */
    bool append;                  /* behind what is there, if something is */
    bool empties;                 /* with the metadata of what it replaces */
    bool sought;                  /* the caller has found nothing: not looked for at open */
    bool once;                    /* appending: ERROR_CHANGED when that is another version by then,
                                   * and writer_was_overtaken says so */
    uint64_t size_hint_bytes;     /* 0: unknown */
};

/* With upload.exclusive: -EEXIST when something of the name exists now, unless it was sought. */
int writer_open(struct engine *engine, const struct uri *uri, const struct writer_options *options,
                const struct limits *limits, struct writer **ret_writer, struct error *err);
ssize_t writer_write(struct writer *writer, const void *data, size_t length_bytes,
                     struct limits *limits, struct error *err);
/* Changes bytes that were written before and are still in memory; the parts that hold them are sent
 * once more. -EOPNOTSUPP when some are not: then a draft may do it (draft_from_writer). */
ssize_t writer_patch(struct writer *writer, const void *data, size_t length_bytes, uint64_t offset,
                     const struct limits *limits, struct error *err);
/* What `attr->has` says (mode, uid, gid, mtime) is stored with the object: for nothing until the
 * first part is on its way, by one copy in place after the upload from then on. A later write takes
 * the time back. */
int writer_set_attr(struct writer *writer, const struct attr *attr, const struct limits *limits,
                    struct error *err);
uint64_t writer_length(const struct writer *writer);
/* Uploads the rest and completes. The writer is to be freed whatever it says. */
int writer_finish(struct writer *writer, struct limits *limits, struct attr *ret_attr,
                  struct error *err);
/* The same, but where puts are deferred (core/deferred.h) and this is one, 1: it is on its way, and the
 * writer no longer the caller's. */
int writer_finish_soon(struct writer *writer, struct limits *limits, struct error *err);
/* fsync: makes what is written so far the object, and goes on behind it. Nothing is sent when
 * nothing was written. After a failure only abort and free are left. */
int writer_publish(struct writer *writer, struct limits *limits, struct attr *ret_attr,
                   struct error *err);
/* Of one that appends once, and has failed so: is another version there by now, and nothing of
 * ours? */
bool writer_was_overtaken(const struct writer *writer, const struct error *err);
/* Of its upload: upload_is_doubtful, upload_write_id. */
bool writer_is_doubtful(const struct writer *writer);
const char *writer_write_id(const struct writer *writer);
/* What is stored with the object besides its bytes: attributes, and metadata that is not in them,
 * of at most STORE_METADATA_MAX bytes. */
void writer_tell_kept(const struct writer *writer, struct attr *ret_attr, char *ret_metadata,
                      uint32_t *ret_metadata_length);
/* As draft_rename (core/draft.h). */
int writer_rename(struct writer *writer, const struct uri *to, unsigned flags,
                  const struct limits *limits, struct error *err);
void writer_abort(struct writer *writer, const struct limits *limits);
void writer_free(struct writer *writer);
void writer_forget(struct writer *writer); /* in a fork child: frees the child's copy */

struct xattr_room;
struct xattr_value;
/* core/xattr.h, on the attributes that travel with the next publish. */
ssize_t writer_read_xattr(struct writer *writer, const struct xattr_room *room,
                          const struct limits *limits, struct error *err);
int writer_set_xattr(struct writer *writer, const struct xattr_value *value,
                     const struct limits *limits, struct error *err);

#endif
