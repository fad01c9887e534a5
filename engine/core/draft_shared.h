/* What the processes of a fork tree share of a draft: where its bytes are, what it is made of,
 * whose turn it is. See draft_private.h for the rest, which each has by itself.
 *
 * It lies in memory of a file without a name, mapped by all of them, whose marks are a large range
 * that costs what is touched of it. There are no pointers in it. All but the length is touched by
 * whoever has the turn.
 *
 * A process may be killed at any instruction, and the next one goes on. So what has more than one
 * word is there twice: the spare one is changed, then it becomes the current one by one store. The
 * map of extents is then brought up to date on the other side as well; facts are copied when they
 * are next changed. What single words say may run ahead of it, each in the harmless direction:
 * `changed` is set before there is a change, and what `touched` names of the spool is looked at
 * before it is believed (draft_spool.c).
 */
#ifndef S3DLIO_CORE_DRAFT_SHARED_H
#define S3DLIO_CORE_DRAFT_SHARED_H

#include "core/base_version.h"
#include "core/extents.h"
#include "core/shared_turn.h"
#include "store/store.h"

#define DRAFT_TYPE_MAX  256                 /* bytes of a content type with its NUL */
#define DRAFT_MARKS_MAX ((uint64_t)1 << 22) /* changes that touch nowhere: two million */
#define DRAFT_MAPS_MAX  64u

#define DRAFT_WRITE_ID_MAX 40

struct draft_source {
    struct uri uri;
    struct attr attr; /* ETag, size */
    bool is_tagged;
};

/* Changed seldom. Whole at every moment: draft_facts, draft_facts_begin, draft_facts_commit. */
struct draft_facts {
    struct uri uri;           /* where it is published */
    bool is_unnamed;          /* that stands for no name: nothing is published */
    bool base_exists;         /* false: none, and what follows of it is empty */
    struct attr base;         /* its etag, size, and mode, uid, gid where `has` says so */
    uint32_t metadata_length; /* of it, what is not in attr, and what was set; published again */
    char metadata[STORE_METADATA_MAX];
    bool is_cloned;                    /* BASE and CLEAN bytes are of `source`, not of the base */
    struct draft_source source;        /* another object's version */
    uint64_t source_serial;            /* counts the versions and names that those bytes were of */
    struct attr attr;                  /* has, mode, uid, gid, mtime: what is to be stored */
    char content_type[DRAFT_TYPE_MAX]; /* empty: the default */
    bool was_missing;                  /* there was nothing of the name when it was opened */
    bool exclusive;                    /* nothing was published yet, and nothing may be there */
    bool appends;        /* nothing has changed but the bytes from tail_start on: they may go behind
                          * whatever version there is */
    uint64_t tail_start; /* the bytes before it are at the store: in the base, if that is as long */
    char write_id[DRAFT_WRITE_ID_MAX]; /* of a publication whose end is not known; "": none */
    uint64_t sent_end; /* it puts the tail up to here behind another version; 0: it does not */
    bool is_renewing;  /* all bytes are the base's, whatever else is said: see draft_append.c */
};

struct draft_range {
    uint64_t start, end;
};

struct draft_side {
    _Atomic uint64_t length_bytes;
    uint64_t count;
};

/* Parts of a file that is written from its beginning on, uploaded meanwhile: draft_ahead.c. */
struct draft_ahead {
    bool is_stream;        /* more parts may be sent */
    bool is_void;          /* those that were sent are not used; the spool has all bytes */
    bool goes_back;        /* what was written before has been changed: parts are kept */
    _Atomic uint32_t sent; /* parts that were handed over, in the table draft_sent */
    _Atomic uint32_t done; /* of them, from the first on, acknowledged: the table has them whole */
    _Atomic uint32_t sender; /* counts the processes that took over the sending of parts */
    uint32_t trimmed;        /* of the acknowledged ones, behind the first, that need not be kept */
    char upload_id[STORE_UPLOAD_ID_MAX]; /* "": none was begun */
    char write_id[DRAFT_WRITE_ID_MAX];
    bool lacks_metadata;      /* it was begun before some that is to be stored with it was known */
    struct draft_facts facts; /* that it was begun with */
};
struct draft_sent {
    uint64_t end_bytes; /* of the part; it begins where the one before ends */
    bool is_stale;      /* bytes of it were, or may have been, changed since it was sent */
    struct store_part part;
};

struct draft_shared {
    uint64_t magic; /* DRAFT_MAGIC: a process that was not forked by the maker looks at it */
    struct shared_turn turn;
    _Atomic uint32_t side; /* of the map that counts */
    struct draft_side sides[2];
    uint64_t capacity; /* marks that there is memory for, on each side */

    _Atomic uint32_t facts_side;
    struct draft_facts facts[2];

    bool changed;               /* differs from the base */
    bool was_read;              /* bytes of this version were given to a program */
    uint64_t serial;            /* counts changes */
    uint64_t reserved_bytes;    /* bytes of local extents, counted against the limit of the spool */
    struct draft_range touched; /* of the spool, what is being changed; empty: nothing */
    struct draft_range maps[DRAFT_MAPS_MAX]; /* what somebody may write to through a mapping */
    uint32_t map_count;

    struct draft_ahead ahead;
};

struct draft;

/* Makes draft->shared, empty, and draft->shared_fd. */
int draft_shared_new(struct draft *draft, struct error *err);
/* Maps what another process has made, of which draft->shared_fd is a descriptor: -EINVAL when it is
 * something else, or of another user. */
int draft_shared_adopt(struct draft *draft, struct error *err);
/* This process lets go of it. */
void draft_shared_free(struct draft *draft);

/* Has the turn just been taken: makes draft->extents the map that counts. -EIO when it makes no
 * sense. */
int draft_shared_look(struct draft *draft, struct error *err);
/* After a death: both sides are the one that counted. */
void draft_shared_repair(struct draft *draft);
/* Any thread, at any time. */
uint64_t draft_shared_length(const struct draft_shared *shared);

/* The changes of the map that go together: a length, more of it of `filling`, then [start, end) of
 * `kind`. Room for them is made beforehand: 0, -ENOMEM, -ENOSPC. */
struct draft_change {
    uint64_t length_bytes;
    enum extent_kind filling;
    uint64_t start, end;
    enum extent_kind kind;
};
int draft_reserve_marks(struct draft *draft, struct error *err);
void draft_change_extents(struct draft *draft, const struct draft_change *change);
/* extents_rebase */
void draft_rebase_extents(struct draft *draft);

/* The table of parts, STORE_PARTS_MAX long; what is to be written to is reserved first: 0,
 * -ENOMEM. */
struct draft_sent *draft_sent(const struct draft *draft);
int draft_reserve_sent(struct draft *draft, uint32_t index);

/* What counts. Valid until the second change from now: who sleeps meanwhile takes a copy. */
const struct draft_facts *draft_facts(const struct draft *draft);
/* A copy to be changed, which counts from the commit on. */
struct draft_facts *draft_facts_begin(struct draft *draft);
void draft_facts_commit(struct draft *draft);
/* -E2BIG */
int draft_facts_set_type(struct draft_facts *facts, const char *content_type);
void draft_facts_set_base(struct draft_facts *facts, const struct base_version *base);
/* Is there a version that BASE bytes are of? */
bool draft_facts_have_source(const struct draft_facts *facts);
/* -E2BIG */
int draft_facts_set_metadata(struct draft_facts *facts, const struct store_metadata *metadata);
/* The metadata, as long as the facts are there. */
struct store_metadata draft_facts_metadata(const struct draft_facts *facts);

#endif
