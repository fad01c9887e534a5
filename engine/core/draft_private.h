/* What the files of a draft share: draft.c (life, the public calls), draft_data.c (where bytes are),
 * draft_map.c (mapped ranges), draft_clone.c (bytes of other objects), draft_rename.c,
 * draft_publish.c, draft_convert.c.
 *
 * All of it is touched by whoever has the turn, but `extents.length_bytes`, which any thread may read.
 * A signal handler's call may change anything while a thread sleeps in a request: `serial` tells.
 *
 * In the spool, bytes of ZERO extents and behind the end are zeros.
 */
#ifndef S3DLIO_CORE_DRAFT_PRIVATE_H
#define S3DLIO_CORE_DRAFT_PRIVATE_H

#include "core/base_version.h"
#include "core/draft.h"
#include "core/engine.h"
#include "core/extents.h"
#include "core/reader.h"
#include "core/turn.h"

#define DRAFT_LENGTH_MAX (STORE_PARTS_MAX * STORE_PART_MAX)

struct draft_map;

struct draft_source {
    struct uri uri;
    struct attr attr; /* ETag, size */
    bool is_tagged;
};

struct draft {
    struct engine *engine;
    struct store *store;
    struct uri uri;
    struct turn turn;
    uint64_t generation;

    struct base_version base;
    bool is_cloned;             /* BASE and CLEAN bytes are of `source`, not of the base */
    struct draft_source source; /* another object's version */
    struct reader *reader;      /* of that version; NULL until it is needed */
    struct attr attr;           /* has, mode, uid, gid, mtime: what is to be stored */
    char *content_type;         /* NULL: the default */
    bool exclusive;             /* nothing was published yet, and nothing may be there */
    bool changed;               /* differs from the base */
    bool is_unnamed;            /* `uri` stands for no name: nothing is published */

    struct extents extents;
    int spool_fd;            /* -1: none yet */
    uint64_t spool_bytes;    /* size of the file */
    uint64_t reserved_bytes; /* bytes of local extents, counted against the limit */
    uint64_t serial;         /* counts changes */

    struct draft_map *maps; /* ranges that somebody may write to through a mapping */
    unsigned map_count;
};

/* draft.c */

/* Of nothing, spool and map empty. */
int draft_new(struct engine *engine, const struct uri *uri, struct draft **ret_draft,
              struct error *err);
/* The turn. `nested`: a signal handler's call may go on inside the one it interrupted. */
int draft_enter(struct draft *draft, bool nested, const struct limits *limits, struct error *err);
void draft_leave(struct draft *draft);

/* draft_clone.c */

/* Is it all of the source and nothing else, and may the target be replaced unconditionally? Then one copy
 * does. */
bool draft_is_whole_clone(const struct draft *draft);
int draft_copy_whole(struct draft *draft, const struct limits *limits, struct attr *ret_attr,
                     struct error *err);

/* draft_data.c */

/* A reader of what BASE bytes are of. */
int draft_reader(struct draft *draft, struct reader **ret_reader, struct error *err);
int draft_need_spool(struct draft *draft, struct error *err);
/* The same, and it has at least this size: what was not written is a hole. */
int draft_need_file(struct draft *draft, uint64_t size_bytes, struct error *err);
/* Reserves room for [start, end) where it is not local yet. Drops clean bytes when that helps. */
int draft_make_room(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
/* What of the reservation for the range was not used. */
void draft_give_room_back(struct draft *draft, uint64_t start, uint64_t end);
/* Makes [start, end), below the length, of one kind and gives back what is not local any more;
 * what becomes local was reserved. Cannot fail after extents_reserve. */
void draft_set_kind(struct draft *draft, uint64_t start, uint64_t end, enum extent_kind kind);
/* Zeros in the spool from start to end, taking their blocks back. */
int draft_punch(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
/* Fetches what of the range is not local and puts it into the spool. */
int draft_fetch(struct draft *draft, uint64_t start, uint64_t end, struct limits *limits,
                struct error *err);
/* Bytes below the length into memory of the engine, from wherever they are. */
int draft_copy_out(struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                   struct limits *limits, struct error *err);
ssize_t draft_data_read(struct draft *draft, unsigned char *buffer, uint64_t start, uint64_t end,
                        struct limits *limits, struct error *err);
ssize_t draft_data_write(struct draft *draft, const void *buffer, size_t length_bytes,
                         uint64_t offset, struct error *err);
int draft_data_resize(struct draft *draft, uint64_t length_bytes, struct error *err);
/* The data differs from what was published. */
void draft_note_change(struct draft *draft);
int draft_data_zero(struct draft *draft, uint64_t start, uint64_t end, struct error *err);

/* draft_map.c */

/* Does [start, end) touch a mapped range? */
bool draft_is_mapped(const struct draft *draft, uint64_t start, uint64_t end);
/* Marks what was changed through mappings since the last time. */
int draft_note_mapped(struct draft *draft, struct error *err);
void draft_maps_free(struct draft *draft);

#endif
