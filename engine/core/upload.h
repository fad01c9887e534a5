/* One object on its way up: a single put, or parts sent in the background and completed.
 *
 * The owner hands over parts of memory in order; each stays its until the part's `release` is
 * called (by whichever thread sees the end of its request, under that part's shard's lock). Parts
 * go over all shards; nothing is created at the store before the first part. Every write carries a
 * random id in its metadata, so that a lost answer can be settled by a HEAD.
 *
 * One thread at a time uses an upload; its signal handlers may, too, while it sleeps in here: so
 * nothing that was handed over is outside the list of parts during a sleep. A part in flight is
 * shared with the shards: they write into its own struct only, and publish by storing `state` last.
 * An upload belongs to the process that made it; in a fork child only upload_forget may be called.
 */
#ifndef S3DLIO_CORE_UPLOAD_H
#define S3DLIO_CORE_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/attr.h"
#include "core/limits.h"

struct call;
struct engine;
struct upload;

struct upload_options {
    bool exclusive;                        /* must not exist */
    const char *content_type;              /* NULL: application/octet-stream */
    const struct attr *attr;               /* what `has` says is stored; NULL: nothing */
    const struct store_metadata *metadata; /* kept from an earlier version, may be NULL; where attr
                                            * says otherwise, that counts */
    bool appends;               /* ERROR_CHANGED where the store turns out to take no conditions:
                                 * whoever appends has to have the turn then (core/append_turn.h) */
    const char *base_etag;      /* the version whose place it takes, else ERROR_CHANGED; NULL */
    bool has_copies;            /* parts will be copied */
    const struct uri *copy_uri; /* from this object and version; NULL: from that of base_etag */
    const char *copy_etag;
    const void *owner; /* whose readers of that version are not kept: see reader_open_version */
};

struct upload_memory {
    const void *data;
    uint64_t size_bytes;
    uint32_t crc32c;
    void (*release)(void *arg); /* may be NULL; leaf locks only */
    void *arg;
};

int upload_new(struct engine *engine, const struct uri *uri, const struct upload_options *options,
               struct upload **ret_upload, struct error *err);
/* The whole object in one request; waits. */
int upload_put(struct upload *upload, const struct upload_memory *memory,
               const struct limits *limits, struct error *err);
/* The same for whoever sends that request himself (core/deferred.h): what comes before it, and what it
 * is, its body in memory that lives as long; then, when it has failed, whether it may have worked all
 * the same, and whether what HEAD finds there is of it. */
int upload_put_prepare(struct upload *upload, const struct limits *limits, struct error *err);
void upload_put_describe(struct upload *upload, const struct upload_memory *memory,
                         struct iovec *body, struct store_request *request);
bool upload_put_may_have_worked(const struct upload *upload, const struct call *call);
bool upload_is_of(const struct upload *upload, const struct store_object *object);
/* Nothing of it was sent: it is to make an object of another name, in the place of what is there
 * unless `exclusive`. Returns whether it was that before. */
bool upload_rename(struct upload *upload, const struct uri *uri, bool exclusive);
/* It was put, and is to be once more: as another write. -ENOMEM, -E2BIG. */
int upload_renew(struct upload *upload);
/* Waits until one more part may go up: fewer than PUT_INFLIGHT are under way, the upload exists. */
int upload_wait_place(struct upload *upload, const struct limits *limits, struct error *err);
/* Sends one more part, without waiting. On failure the memory was released. */
int upload_part(struct upload *upload, const struct upload_memory *memory, struct error *err);
/* A part that was sent before, once more: same length, other bytes. Not while it is on its way. */
int upload_part_again(struct upload *upload, unsigned number, const struct upload_memory *memory,
                      struct error *err);
/* As upload_part, with bytes that the store copies itself, from the version that the options name;
 * has_copies is set. */
int upload_part_copy(struct upload *upload, uint64_t offset, uint64_t length_bytes,
                     struct error *err);
/* What `attr->has` says is stored with the object as well. 0; 1 when the upload has begun already,
 * and it is to be set after (core/metadata_change.h); -ENOMEM, -E2BIG. */
int upload_set_attr(struct upload *upload, const struct attr *attr);
/* The metadata of that name is as `from` has it, or gone: the same answers. */
int upload_set_metadata(struct upload *upload, const char *name, const struct store_metadata *from);
/* The time that was set is overtaken by a write. */
void upload_drop_mtime(struct upload *upload);
/* Are parts under way, so that waiting for one frees memory? */
bool upload_busy(struct upload *upload);
/* How many parts have ended, well or not. */
unsigned upload_ended_count(const struct upload *upload);
/* Waits, where any is under way, until more than those have, whichever is first. 0, or the error of the
 * upload. */
int upload_wait_since(struct upload *upload, unsigned ended_count, const struct limits *limits,
                      struct error *err);
/* The same from now on: one more. */
int upload_wait_part(struct upload *upload, const struct limits *limits, struct error *err);
/* The error of a part that has failed for good, or 0. */
int upload_check(struct upload *upload, struct error *err);
/* From now on the upload has failed with this error, if it has not already. */
void upload_fail(struct upload *upload, const struct error *error);
/* Waits for all parts, completes, checks. */
int upload_complete(struct upload *upload, const struct limits *limits, struct error *err);
/* Was an answer lost, and is something else there than what was sent, so that it cannot be known
 * whether that has been there in between? */
bool upload_is_doubtful(const struct upload *upload);
/* What is there after a put or a complete. The time is ours where the store told none. */
void upload_tell_attr(const struct upload *upload, struct attr *ret_attr);
/* What the version was whose place it takes is elsewhere now: there may be nothing at the key. */
void upload_expect_nothing(struct upload *upload);
/* Does it begin with all the bytes of the version whose place it takes? Then who reads that goes on
 * with what comes, and need not be given a copy. Before the last request; false if never said. */
void upload_set_begins_as_base(struct upload *upload, bool begins);
/* Does the store know of it, or may it? */
bool upload_has_begun(const struct upload *upload);
unsigned upload_part_count(const struct upload *upload);
/* Identifies this write among all, "" where the store keeps no metadata; as long as the upload. */
const char *upload_write_id(const struct upload *upload);
/* Of an upload that another process has begun: its ids, and the parts that the store has of it,
 * in order. Before anything is sent; the options were the same. 0 or -ENOMEM. */
struct upload_begun {
    const char *upload_id, *write_id;
    const struct store_part *parts;
    unsigned part_count;
};
int upload_resume(struct upload *upload, const struct upload_begun *begun);
/* The same of this one, as long as nothing is done to it; upload_id is NULL before it has begun. */
struct upload_begun upload_tell_begun(struct upload *upload);
/* May one more part go up without waiting? */
bool upload_has_place(struct upload *upload);
/* Is what is there of the write with this id? 1, with *ret_attr, or 0; -errno. */
int upload_find(struct engine *engine, const struct uri *uri, const char *write_id,
                const struct limits *limits, struct attr *ret_attr, struct error *err);
/* Gives up parts in flight, then removes what the store has of them; at most half a minute. */
void upload_abort(struct upload *upload);
void upload_free(struct upload *upload);   /* nothing in flight; NULL is fine */
void upload_leave(struct upload *upload);  /* gives up parts in flight; the store keeps the rest */
void upload_forget(struct upload *upload); /* in a fork child */

#endif
