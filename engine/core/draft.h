/* Drafts: new versions of an object, made with random access.
 *
 * A draft starts from the version that is there (nothing is downloaded) or from nothing, is read,
 * written, cut and mapped as a file, and published: then it is the object, whole, or the error is
 * told and the object is what it was. Writing may go on after that, on the new version. Bytes that
 * were changed are in a private unlinked file; the others are fetched when they are read.
 *
 * Calls on one draft are serialised inside. After fork() parent and child have it both, as two
 * processes have a local file: what one writes the other sees, and what one publishes is what the
 * other's next version starts from. A version that somebody else put in the base's place meanwhile
 * gives ERROR_CHANGED and is not overwritten. With the option `append`, and as long as nothing is
 * done to the draft but draft_append and reading, what was appended goes behind that version
 * instead, or is the object if there is none any more; then the draft has that version, and its
 * length. Without a base the option says that there was none, as far as the caller knows.
 */
#ifndef S3DLIO_CORE_DRAFT_H
#define S3DLIO_CORE_DRAFT_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/attr.h"
#include "core/limits.h"

struct engine;
struct reader;
struct draft;
struct writer;

struct draft_options {
    bool keep;                /* from the version that is there; false: from nothing */
    bool empties;             /* from nothing, with the metadata of what it replaces */
    bool exclusive;           /* must not exist; the store decides at the first publish */
    bool sought;              /* the caller has looked: not looked for at open */
    bool append;              /* see above */
    bool unnamed;             /* from nothing; nothing is published before draft_rename */
    const char *content_type; /* NULL: the base's, else application/octet-stream */
    const struct attr *attr;  /* what `has` says is stored; NULL: nothing */
};

int draft_open(struct engine *engine, const struct uri *uri, const struct draft_options *options,
               const struct limits *limits, struct draft **ret_draft, struct error *err);
/* Takes everything over from a writer, which is gone then; its upload goes on where it makes a new
 * object, and is given up elsewhere. On failure the writer is as it was: -EOPNOTSUPP when bytes of
 * an upload that cannot go on are not kept. */
int draft_from_writer(struct writer *writer, const struct limits *limits, struct draft **ret_draft,
                      struct error *err);
/* What another process, or an earlier program of this one, has as draft_handles told there. The
 * descriptors become the draft's; on failure they are the caller's still. */
int draft_adopt(struct engine *engine, const int fds[2], const struct limits *limits,
                struct draft **ret_draft, struct error *err);
/* -EOPNOTSUPP where its memory has no file. Waits for what this process has on its way. */
int draft_handles(struct draft *draft, const struct limits *limits, int ret_fds[2]);
/* A draft of nothing, in which nothing was written, that no other process has: the writer that
 * does the same, and the draft is gone. -EOPNOTSUPP, and the draft is as it was, where it is not
 * like that. */
int draft_to_writer(struct draft *draft, const struct limits *limits, struct writer **ret_writer,
                    struct error *err);
/* As long as nothing was read nor changed, another version that has come in the base's place is
 * taken instead of it. */
ssize_t draft_pread(struct draft *draft, void *buffer, size_t length_bytes, uint64_t offset,
                    struct limits *limits, struct error *err);
/* May write less when the spool has no room for all of it, as write(2). */
ssize_t draft_pwrite(struct draft *draft, const void *buffer, size_t length_bytes, uint64_t offset,
                     const struct limits *limits, struct error *err);
/* The same behind the end, wherever that is by then: *ret_offset is where it went. */
ssize_t draft_append(struct draft *draft, const void *buffer, size_t length_bytes,
                     const struct limits *limits, uint64_t *ret_offset, struct error *err);
int draft_truncate(struct draft *draft, uint64_t length_bytes, const struct limits *limits,
                   struct error *err);
/* Zeros in the place of what is in the range; the length stays. */
int draft_zero(struct draft *draft, uint64_t offset, uint64_t length_bytes,
               const struct limits *limits, struct error *err);
/* Room in the spool for holes of the range and for what lies behind the end; nothing else
 * changes. */
int draft_allocate(struct draft *draft, uint64_t offset, uint64_t length_bytes,
                   const struct limits *limits, struct error *err);
uint64_t draft_length(const struct draft *draft);
/* From `offset` on, the next byte that is data, or is in a hole: lseek(2). -ENXIO. */
int draft_seek(struct draft *draft, uint64_t offset, bool hole, const struct limits *limits,
               uint64_t *ret_offset, struct error *err);
/* Makes the range present and gives a descriptor of the spool to map it from, at the same offsets;
 * the caller closes it. What is written through a mapping counts at the next publish. */
int draft_map_fd(struct draft *draft, uint64_t offset, uint64_t length_bytes, struct limits *limits,
                 int *ret_fd, struct error *err);
/* What `has` says travels with the next publish. Data written later takes the time away again. */
int draft_set_attr(struct draft *draft, const struct attr *attr, const struct limits *limits,
                   struct error *err);
/* Unless something was changed in it: becomes the version that is there now. 1 when that is another
 * one, 0, or -errno. */
int draft_refresh(struct draft *draft, struct limits *limits, struct error *err);
/* Makes what is written so far the object. On failure nothing has changed; it may be tried
 * again. */
int draft_publish(struct draft *draft, struct limits *limits, struct attr *ret_attr,
                  struct error *err);
/* Could draft_clone put bytes of it into a new draft of `to`? 0 or -EXDEV. */
int draft_can_clone(struct engine *engine, const struct uri *to, const struct reader *from,
                    struct error *err);
/* Bytes of the version that the reader has become bytes of the draft at the same offsets, copied by
 * the store when it is published: how many, less at the end of the object. -EXDEV when this cannot
 * be done, and they have to be read and written. */
ssize_t draft_clone(struct draft *draft, const struct reader *from, uint64_t offset,
                    uint64_t length_bytes, const struct limits *limits, struct error *err);
/* As rename(2) of a file that is open: what stands under the old name is renamed at once, and the
 * draft goes on from that; otherwise nothing is sent, the next publish replaces what is at `to`, or
 * with RENAME_NO_REPLACE says ERROR_EXISTS. On failure the draft has its old name. */
int draft_rename(struct draft *draft, const struct uri *to, unsigned flags, struct limits *limits,
                 struct error *err);
/* This process lets go of it: others have it still, or (abort) nobody has, and what was not
 * published is gone. */
typedef void draft_end_fn(struct draft *draft, const struct limits *limits);
void draft_forget(struct draft *draft, const struct limits *limits);
void draft_abort(struct draft *draft, const struct limits *limits);
/* The same after draft_publish, or of one that nobody has used; NULL is fine. */
void draft_free(struct draft *draft);

struct xattr_room;
struct xattr_value;
/* core/xattr.h, on the attributes that travel with the next publish. */
ssize_t draft_read_xattr(struct draft *draft, const struct xattr_room *room,
                         const struct limits *limits, struct error *err);
int draft_set_xattr(struct draft *draft, const struct xattr_value *value,
                    const struct limits *limits, struct error *err);

#endif
