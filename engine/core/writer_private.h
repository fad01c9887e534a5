/* What the files of a writer share: writer.c (buffers, the calls), writer_append.c (what comes before
 * the first byte that is written). */
#ifndef S3DLIO_CORE_WRITER_PRIVATE_H
#define S3DLIO_CORE_WRITER_PRIVATE_H

#include "core/base_version.h"
#include "core/engine.h"
#include "core/turn.h"
#include "core/writer.h"

struct buffer_block {
    struct engine *engine;
    unsigned char *data;
    uint64_t capacity_bytes, used_bytes;
    uint32_t crc32c;
    bool spooled; /* not of the pool, not of the budget */
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

    struct base_version base; /* what is appended to, or was published last */
    uint64_t base_bytes;      /* of it, what went through no buffer */
    bool copies_base;         /* the store copies these bytes; else they are to be fetched */
    bool base_sent, fetching;
    bool changed;       /* there is something to store */
    struct attr attr;   /* what is stored with it, now and after a publish */
    char *content_type; /* NULL: the default */

    struct turn turn;
    bool finishing;
};

/* writer.c */

int writer_enter(struct writer *writer, const struct limits *limits, struct error *err);
void writer_leave(struct writer *writer);
/* Bytes into buffers and parts; the turn is taken. */
int writer_put(struct writer *writer, const unsigned char *data, size_t length_bytes,
               const struct limits *limits, struct error *err);
void writer_block_free(void *block);

/* writer_append.c */

/* Looks for the base and makes the upload. */
int writer_begin(struct writer *writer, const struct writer_options *options,
                 const struct limits *limits, struct error *err);
/* Before the first byte: fetches the base where it cannot be copied. */
int writer_fetch_base(struct writer *writer, struct limits *limits, struct error *err);
/* Before the first part: has the base copied. */
int writer_send_base(struct writer *writer, const struct limits *limits, struct error *err);
/* What was published is the base; a new upload begins. A block that holds all of it is kept. */
int writer_continue(struct writer *writer, const struct attr *attr, struct error *err);

#endif
