/* Parts of a draft that go up while it is written. Private to the files of a draft, which have the
 * turn; how it works is told in draft_ahead.c (sending) and draft_ahead_kept.c (what stays here of
 * parts that were sent, and changes of them). */
#ifndef S3DLIO_CORE_DRAFT_AHEAD_H
#define S3DLIO_CORE_DRAFT_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/limits.h"

struct attr;
struct draft;
struct draft_facts;
struct upload;

/* A stream has become a draft: its parts may go up while it is written. */
void draft_ahead_begin(struct draft *draft);
/* It has sent some itself: after draft_ahead_begin, with the facts, and the part table's ends and
 * marks, in place. The upload is the draft's. */
struct draft_inherited {
    unsigned late_has;   /* of the attributes, what came too late to travel with the upload */
    bool lacks_metadata; /* other metadata, too */
    bool goes_back;
};
void draft_ahead_inherit(struct draft *draft, struct upload *upload,
                         const struct draft_inherited *inherited);

/* Bytes have been written at the end: sends parts, if they are due. Does not wait for them, nor
 * fail. */
void draft_ahead_go_on(struct draft *draft, const struct limits *limits);
/* No more parts are sent before the next publication. */
void draft_ahead_stop(struct draft *draft);
/* Waits for what this process has on its way: others may go on then. */
void draft_ahead_settle(struct draft *draft, const struct limits *limits);

/* ---- before a change of the draft; -EOPNOTSUPP: bytes are touched that are not here any more ---- */

/* Of the bytes of [start, end). */
int draft_ahead_change(struct draft *draft, uint64_t start, uint64_t end, struct error *err);
/* Of its length, to less. */
int draft_ahead_cut(struct draft *draft, uint64_t length_bytes, const struct limits *limits,
                    struct error *err);
/* In a way that no upload survives. */
int draft_ahead_cast_off(struct draft *draft, struct error *err);

/* The spool is full: gives up bytes that the store has, after waiting for it to have some. 1; 0 when
 * there are none; or the upload's error. */
int draft_ahead_make_room(struct draft *draft, const struct limits *limits, struct error *err);
/* Are there bytes that only the upload has? */
bool draft_has_sent_off(const struct draft *draft);
/* Says so: -EOPNOTSUPP. */
int draft_sent_off(struct error *err);

/* ---- publishing ---- */

struct draft_ahead_taken {
    struct upload *upload; /* all its parts acknowledged, up to `bytes`; NULL: there is none */
    uint64_t bytes;
    bool lacks_attr, lacks_metadata; /* what `facts` say came too late for it: draft_ahead_follow */
    bool has_old_mtime;              /* that was overtaken by a write */
};
/* The upload, if it is good for `facts`; where it is not, it is aborted. It stays the draft's: after
 * a failure draft_ahead_leave. */
int draft_ahead_take(struct draft *draft, const struct draft_facts *facts,
                     const struct limits *limits, struct draft_ahead_taken *ret_taken,
                     struct error *err);
/* The number of the first part from `number` on that is to be sent once more, or 0: where it
 * lies. */
struct draft_part;
uint32_t draft_ahead_stale(const struct draft *draft, uint32_t number, struct draft_part *ret_part);
/* It failed: the next publication goes on with it, or (all bytes are here) begins anew. */
void draft_ahead_leave(struct draft *draft);
/* It is complete: bytes that only it had are the base's now. */
void draft_ahead_publish(struct draft *draft);
/* Stores what came too late; *attr is what is there. */
int draft_ahead_follow(struct draft *draft, const struct draft_facts *facts,
                       const struct draft_ahead_taken *taken, const struct limits *limits,
                       struct attr *attr, struct error *err);
/* Nothing is published: aborts it. */
void draft_ahead_discard(struct draft *draft);
/* This process lets go of what it has of it. */
void draft_ahead_free(struct draft *draft);

/* ---- between the two files ---- */

bool draft_ahead_goes_on(const struct draft *draft);
/* Where the first so many parts end. */
uint64_t draft_ahead_end(const struct draft *draft, uint32_t parts);
/* As draft_ahead_go_on, but where nothing else is on its way a part takes memory beyond the
 * budget. */
void draft_ahead_push(struct draft *draft, const struct limits *limits);
/* Until one part more is acknowledged, or may be sent again: 1; 0: none is on its way; -errno. */
int draft_ahead_wait(struct draft *draft, const struct limits *limits, struct error *err);
/* Gives up what is beyond the room for kept parts. */
void draft_ahead_trim(struct draft *draft);
/* Nothing is left of it, and nothing goes up any more. */
void draft_ahead_clear(struct draft *draft);

#endif
