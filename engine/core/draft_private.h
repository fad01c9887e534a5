/* What the files of a draft share: draft.c (life, the public calls), draft_shared.c (what processes
 * have in common), draft_spool.c (the private file), draft_data.c (where bytes are), draft_map.c
 * (mapped ranges), draft_clone.c (bytes of other objects), draft_rename.c, draft_publish.c,
 * draft_body.c (the bytes of a part), draft_ahead.c and draft_ahead_kept.c (parts that go up before
 * that), draft_refresh.c, draft_append.c (behind another version), draft_convert.c, draft_adopt.c.
 *
 * All of it is touched by whoever has the turn, of this process and then of all that have the
 * draft. A signal handler's call may change anything while a thread sleeps in a request: `serial`
 * tells.
 *
 * In the spool, bytes of ZERO extents and behind the end are zeros.
 * */
#ifndef S3DLIO_CORE_DRAFT_PRIVATE_H
#define S3DLIO_CORE_DRAFT_PRIVATE_H

#include "core/draft.h"
#include "core/draft_shared.h"
#include "core/engine.h"
#include "core/reader.h"
#include "core/turn.h"
#include "core/upload.h"

#define DRAFT_LENGTH_MAX (STORE_PARTS_MAX * STORE_PART_MAX)

struct draft_sums;

struct draft {
    struct draft_shared *shared;
    int shared_fd; /* of that memory; -1 where it has no file */
    int spool_fd;  /* made with the draft, so that children have it, too */

    /* of this process alone */
    struct engine *engine;
    struct store *store;
    struct turn turn;
    unsigned inside;         /* calls of the thread whose turn it is, one within the other */
    struct limits_held held; /* the turn among processes, by that thread's call */
    uint64_t generation;     /* of the process that the last call was made in */
    struct extents extents;  /* the shared map, for reading */
    uint64_t counted_bytes;  /* of shared->reserved_bytes, what spool_used of this process has */
    struct reader *reader;   /* of what BASE bytes are of; NULL until it is needed */
    uint64_t reader_serial;  /* draft_facts.source_serial, then */
    struct upload *ahead;    /* of shared->ahead, where this process has sent parts; NULL */
    uint64_t ahead_generation;
    uint32_t ahead_sender;      /* shared->ahead.sender, then */
    struct error ahead_failure; /* why parts of this process's were refused the last time */
    bool is_publishing;         /* by a call that this one, a signal handler's, interrupts */
    struct draft_sums *sums;    /* one for each mapped range; NULL: none */
};

/* draft.c */

/* Of nothing, spool and map empty. */
int draft_new(struct engine *engine, const struct uri *uri, struct draft **ret_draft,
              struct error *err);
/* The turn. `nested`: a signal handler's call may go on inside the one it interrupted. */
int draft_enter(struct draft *draft, bool nested, const struct limits *limits, struct error *err);
void draft_leave(struct draft *draft);

/* draft_clone.c */

/* Before publishing: the source has another name, by this process, or its bytes are here, because
 * this process has removed or replaced it. */
int draft_follow_source(struct draft *draft, struct limits *limits, struct error *err);
/* Has that come about since? */
bool draft_source_moved(const struct draft *draft);
/* Is it all of the source and nothing else, and may the target be replaced unconditionally? Then
 * one copy does. */
bool draft_is_whole_clone(const struct draft *draft, const struct draft_facts *facts);
int draft_copy_whole(struct draft *draft, const struct draft_facts *facts,
                     const struct limits *limits, struct attr *ret_attr, struct error *err);

/* draft_body.c */

/* Memory for the bytes of a part, to be sent with `upload`, for whose parts it may wait; released
 * as its `release` says. -EBUSY: written to meanwhile. */
struct draft_part;
struct draft_body_source {
    struct draft *draft;
    struct upload *upload;
    const struct draft_part *part;
};
int draft_body(const struct draft_body_source *source, struct limits *limits,
               struct upload_memory *ret_body, struct error *err);

/* draft_publish.c */

/* draft_publish, in the turn, of what may be unchanged. */
int draft_publish_now(struct draft *draft, struct limits *limits, struct error *err);
/* Is what is there what this draft has published, though nobody was told so: the answer was lost,
 * or the process died? Then that is the base: 1. 0 otherwise, also where it cannot be known. */
int draft_settle(struct draft *draft, const struct limits *limits);

/* What it is stored with. The options point into *facts and *metadata. */
void draft_upload_options(struct draft *draft, const struct draft_facts *facts,
                          struct store_metadata *metadata, struct upload_options *ret_options);

/* draft_refresh.c */

/* Was there nothing when it was opened, and has nothing been done to it since? Then whatever has
 * come there meanwhile stays: an open makes a file, it replaces none. */
bool draft_is_bare(const struct draft *draft);
/* draft_refresh, in the turn. */
int draft_look(struct draft *draft, struct limits *limits, struct error *err);

/* draft_append.c */

/* Something else than its end is about to change. */
void draft_stop_appending(struct draft *draft);
/* It cannot be known whether the tail is there already: nothing is put in the place of another
 * version, nor behind it. */
void draft_stay_out(struct draft *draft);
uint64_t draft_base_bytes(const struct draft_facts *facts);
/* Puts the tail behind what is there, again and again while others do, until the operation's end.
 * Then the draft is what is there now. ERROR_CHANGED; the tail stays. */
int draft_append_behind(struct draft *draft, struct limits *limits, struct error *err);
/* Finishes that, for a process that did not. */
int draft_renew(struct draft *draft, struct error *err);
/* The tail is there, as far as sent_end. */
void draft_note_sent(struct draft *draft);

/* draft_spool.c */

/* Checks and mends what a process that died, or a call that failed, has left behind. */
int draft_mend(struct draft *draft, struct error *err);
/* This process counts what is reserved by now, whoever did it. */
void draft_count_room(struct draft *draft);
/* The spool has at least this size: what was not written is a hole. */
int draft_need_file(struct draft *draft, uint64_t size_bytes, struct error *err);
/* As pwrite(2), but goes on until nothing more fits. */
ssize_t draft_spool_write(struct draft *draft, const void *data, uint64_t length_bytes,
                          uint64_t offset);
int draft_spool_read(const struct draft *draft, unsigned char *to, uint64_t start, uint64_t end,
                     struct error *err);
/* The spool is changed here before or after the map says so: between the two, at a death, it is no
 * more than this range that has to be looked at. */
void draft_touch(struct draft *draft, uint64_t start, uint64_t end);
void draft_untouch(struct draft *draft);
/* Whatever is in the range, nobody reads it. False: the file system cannot do that. */
bool draft_give_blocks_back(const struct draft *draft, uint64_t start, uint64_t end);
/* Zeros in the spool from start to end, taking their blocks back. */
int draft_punch(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
/* Counts room for what of [start, end) is not local yet. */
int draft_reserve(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
/* The same; drops clean bytes when that helps. */
/* Blocks for what of [start, end) is a hole or behind the end. They are not counted as reserved: a
 * file that keeps its promises to the disk may still meet S3DLIO_SPOOL_LIMIT, if others take it
 * meanwhile. */
int draft_spool_allocate(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
int draft_make_room(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
/* Gives up what was only fetched. True when that made room. */
bool draft_drop_clean(struct draft *draft);
/* What of the reservation for the range was not used. */
void draft_give_room_back(struct draft *draft, uint64_t start, uint64_t end);
/* Makes [start, end), below the length, of one kind and gives back what is not local any more;
 * what becomes local was reserved. Cannot fail after draft_reserve_marks. */
void draft_set_kind(struct draft *draft, uint64_t start, uint64_t end, enum extent_kind kind);
/* Cuts off behind this length. */
int draft_shorten(struct draft *draft, uint64_t length_bytes, struct error *err);
/* Of facts begun, attributes have changed: they count from here on, and the data stays as old as it
 * is, unless that has changed as well. */
void draft_commit_attributes(struct draft *draft, struct draft_facts *facts);
/* The data is about to differ from what was published. */
void draft_note_change(struct draft *draft);

/* draft_data.c */

/* A reader of what BASE bytes are of. */
int draft_reader(struct draft *draft, struct reader **ret_reader, struct error *err);
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
int draft_data_zero(struct draft *draft, uint64_t start, uint64_t end, struct error *err);

/* draft_map.c */

/* Does [start, end) touch a mapped range, of any process? */
bool draft_is_mapped(const struct draft *draft, uint64_t start, uint64_t end);
/* Marks what was changed through mappings since the last time that this process looked. */
int draft_note_mapped(struct draft *draft, struct error *err);
void draft_maps_free(struct draft *draft);

#endif
