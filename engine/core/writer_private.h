/* What the files of a writer share: writer.c (buffers, the calls), writer_append.c (what comes
 * before the first byte that is written), writer_behind.c (when that is another version by then),
 * writer_keep.c (parts that can be changed once more), writer_rename.c, writer_deferred.c
 * (closing without waiting). */
#ifndef S3DLIO_CORE_WRITER_PRIVATE_H
#define S3DLIO_CORE_WRITER_PRIVATE_H

#include <stdatomic.h>

#include "core/base_version.h"
#include "core/engine.h"
#include "core/turn.h"
#include "core/upload.h"
#include "core/writer.h"

struct buffer_block {
    struct engine *engine;
    unsigned char *data;
    uint64_t capacity_bytes, used_bytes;
    uint32_t crc32c;
    bool spooled; /* not of the pool, not of the budget */
    _Atomic enum {
        BLOCK_LENT,
        BLOCK_BACK,
        BLOCK_CAST_OFF
    } state; /* of a kept part: the upload has
                                                                    * it; is through with it; has
                                                                    * it, and frees it then */
};

#define WRITER_KEPT_SHARE 4 /* of the budget, in use altogether, up to which parts are kept */

/* In the order of the option's words. */
enum { WRITER_KEEP_MEMORY, WRITER_KEEP_SPOOL };

struct kept_part;

/* Every part of an upload but the copied ones. */
struct writer_parts {
    struct kept_part *kept;
    unsigned kept_count, kept_capacity;
    uint64_t sent_bytes;    /* in them */
    int spool_fd;           /* -1: none; parts at their offsets */
    uint64_t spooled_bytes; /* room that is reserved there */
    bool goes_back;         /* the program has changed what was written before */
};

struct writer {
    struct engine *engine;
    struct store *store;
    struct upload *upload;
    struct uri uri;
    uint64_t size_hint_bytes;
    uint64_t length_bytes; /* handed to buffers and parts of this upload */
    bool equal_parts;
    struct buffer_block *block; /* being filled; NULL: none yet */
    uint64_t block_serial;      /* counts changes of it */
    uint64_t generation;

    struct writer_parts parts; /* of this upload */

    bool appends;             /* behind whatever is there: never in its place */
    bool exclusive;           /* nothing may be there at the first publish */
    bool is_new;              /* nothing was there when it was opened */
    struct base_version base; /* what is appended to, or was published last; its metadata goes on */
    uint64_t base_bytes;      /* of it, what went through no buffer */
    bool copies_base;         /* the store copies these bytes; else they are to be fetched */
    bool base_sent, fetching;
    bool changed;       /* there is something to store */
    struct attr attr;   /* what is stored with it, now and after a publish */
    struct attr late;   /* of it, what came too late to travel with the upload */
    bool late_xattr;    /* the extended attributes, too */
    char *content_type; /* NULL: the default */

    struct turn turn;
    bool finishing;
};

/* writer.c */

/* The turn. `nested`: a signal handler's call may go on inside the one it interrupted. */
int writer_enter(struct writer *writer, bool nested, const struct limits *limits,
                 struct error *err);
void writer_leave(struct writer *writer);
/* -EBUSY while it is being closed, or takes another name. */
int writer_check_open(const struct writer *writer, struct error *err);
/* Bytes into buffers and parts; the turn is taken. */
int writer_put(struct writer *writer, const unsigned char *data, size_t length_bytes,
               const struct limits *limits, struct error *err);
/* All that is not sent, and the request that makes the object. `goes_on`: the block stays. */
int writer_send_rest(struct writer *writer, bool goes_on, const struct limits *limits,
                     struct error *err);
/* Memory for so many bytes, or more: of the budget, of parts that were kept, after waiting for
 * parts on the wire, of the spool. */
int writer_block_new(struct writer *writer, uint64_t bytes, const struct limits *limits,
                     struct buffer_block **ret_block, struct error *err);
void writer_block_free(void *block);

/* writer_keep.c */

/* Where the block lies in the object; what comes before it are copies, and parts. */
uint64_t writer_block_offset(const struct writer *writer);
/* Lists the block as the next part; how it is to be sent. On failure it is still the caller's. */
int writer_keep(struct writer *writer, struct buffer_block *block, struct upload_memory *ret_memory,
                struct error *err);
/* Frees memory of a part that was sent; false when there is none. */
bool writer_give_up_one(struct writer *writer);
/* Sends what was patched once more; before completion. */
int writer_send_patches(struct writer *writer, const struct limits *limits, struct error *err);
/* Are they few, and all in memory? */
bool writer_can_send_again(const struct writer *writer);
/* Makes them parts of a new upload, in which the same came before them: by sending, or as copies of
 * the same range of what it copies from. */
int writer_send_parts(struct writer *writer, bool copies, const struct limits *limits,
                      struct error *err);
/* Nothing is in flight: frees them all. */
void writer_forget_parts(struct writer *writer);
/* 0, or -EOPNOTSUPP when bytes of a part are gone. */
int writer_parts_are_here(const struct writer *writer, struct error *err);
/* The parts are the caller's from now on, to be given to writer_parts_free; the writer has none. */
struct writer_parts writer_take_parts(struct writer *writer);
/* Once more into the buffers of the writer, what of them lies at or behind `start`. */
int writer_put_parts(struct writer *writer, const struct writer_parts *parts, uint64_t start,
                     const struct limits *limits, struct error *err);
void writer_parts_free(struct writer_parts *parts);
/* All that was written, in order. */
struct writer_part {
    const unsigned char *data; /* NULL: in the spool, or gone */
    uint64_t offset, size_bytes;
    unsigned number; /* 0: was not sent */
    bool is_spooled;
    bool is_patched; /* since it was sent */
};
typedef int writer_part_fn(void *arg, const struct writer_part *part, struct error *err);
int writer_each_part(struct writer *writer, writer_part_fn *function, void *arg, struct error *err);
/* The upload is the caller's, with parts that are on their way; of the writer, writer_free is all
 * that is left. */
struct upload *writer_give_upload(struct writer *writer);

/* writer_append.c */

/* Looks for the base and makes the upload. */
int writer_begin(struct writer *writer, const struct writer_options *options,
                 const struct limits *limits, struct error *err);
/* What was written so far, as an object of its own for a moment: writer_rename.c. */
struct writer_staged {
    struct uri uri;
    struct attr attr;
};
/* An upload that takes the place of the base, or of whatever there is when there is none. Parts are
 * copied from the base, or from what was staged (may be NULL). */
int writer_make_upload(struct writer *writer, const struct writer_staged *staged,
                       struct upload **ret_upload, struct error *err);
/* The same in the place of the one that the writer has, from the beginning. */
int writer_new_upload(struct writer *writer, struct error *err);
/* Before the first byte: fetches the base where it cannot be copied. */
int writer_fetch_base(struct writer *writer, struct limits *limits, struct error *err);
/* Before the first part: has the base copied. */
int writer_send_base(struct writer *writer, const struct limits *limits, struct error *err);
/* What was published is the base; a new upload begins. A block that holds all of it is kept. */
int writer_continue(struct writer *writer, const struct attr *attr, struct error *err);

/* writer_behind.c */

/* Does the error say that what the writer is to come behind is not what is there, or no longer, and
 * that nothing of the writer's is? */
bool writer_is_overtaken(const struct writer *writer, const struct error *err);
/* Puts what was written so far behind what is there now: into a new upload, or all the way, again
 * and again, until the operation's end. Fails for good. */
struct append_turn;
int writer_go_behind(struct writer *writer, struct limits *limits, struct error *err);
int writer_finish_behind(struct writer *writer, struct append_turn *turn, struct limits *limits,
                         struct error *err);

#endif
