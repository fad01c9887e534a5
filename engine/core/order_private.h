/* What the files of core/order.h share: order_names.c (orders and their names), order.c (the way
 * through one), order_epoch.c (names that are opened again in another sequence), order_ascent.c
 * (directories that ought to be listed).
 */
#ifndef S3DLIO_CORE_ORDER_PRIVATE_H
#define S3DLIO_CORE_ORDER_PRIVATE_H

#include "core/order.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define ORDER_WRONG_MAX  3u
#define ORDER_KEEP_SHARE 2 /* of the time that a guess keeps: to be opened within */

enum order_source { ORDER_LISTED, ORDER_BY_INODE, ORDER_TOLD, ORDER_OPENED };

struct order_name {
    UT_hash_handle hh;
    struct order_name *prev, *next; /* in the order */
    uint64_t number;
    uint64_t size_bytes;
    uint64_t inode;             /* 0: not known */
    struct {                    /* in ORDER_OPENED: see order_epoch.c */
        uint32_t pass, guessed; /* in which it was opened last, and guessed; 0: never */
        uint32_t serial;        /* of its last open */
        bool is_early;          /* counted for the next pass already */
    } epoch;
    char text[]; /* behind the order's directory */
};

struct order {
    struct order *prev, *next; /* the last used first */
    enum order_source source;
    struct order_name *by_text, *first;
    unsigned count;
    uint64_t numbers;

    struct order_name *last;         /* opened; NULL: none yet */
    struct order_name *last_guess;   /* since then, or before and still ahead of it; NULL: none */
    struct order_name *guess_before; /* what last_guess was, for orders_take_back */
    uint64_t stride;
    bool is_page, is_last_page; /* one that was wished for */
    unsigned followed;          /* opens that followed the order */
    unsigned run;               /* opens in a row that followed the order */
    unsigned depth;             /* how many names may be guessed ahead */
    unsigned depth_max, wrong;
    int64_t last_ns, interval_ns; /* between opens, smoothed */
    size_t directory_length;      /* with its slash */
    char directory[];             /* "" where names are whole */
};

/* See order_epoch.c. Its names are those of the order ORDER_OPENED. */
struct order_epoch {
    uint32_t pass;     /* grows; 0: nothing was opened yet */
    uint32_t floor;    /* names opened in this pass or a later one are done with */
    uint32_t learning; /* the floor of the pass in which the names become known; 0: they are */
    uint32_t serial;   /* of the last open */
    unsigned opened;   /* names that are done with */
    unsigned early;    /* names that count for the next pass already */
    unsigned odd;      /* opens that do not fit an epoch, in this pass */
    unsigned complete; /* passes in a row that were, up to the last one */
    unsigned ahead;    /* names guessed in this pass and not opened yet */
    unsigned wrong;
    bool is_spoiled; /* a guess of this pass was in vain: there are no more */
    int64_t began_ns, last_ns;
    struct {
        int64_t began_ns;
        unsigned opened;
    } before;                  /* the pass before this one */
    struct order_name *cursor; /* all before it were looked at; NULL: all were */
    struct order_name *guess;  /* the last one */
};

/* See order_ascent.c. */
#define ORDER_ASCENTS_MAX 8u
#define ORDER_ASCENT_KEPT 8u

/* Each open writes one: its memory is used again, not asked for anew. */
struct order_text {
    char *text;
    size_t room_bytes;
};

struct order_ascent {
    struct order_text directory; /* without a slash at its end; NULL: none */
    struct order_kept {
        struct order_text name;
        int64_t at_ns;
    } kept[ORDER_ASCENT_KEPT]; /* the last ones that were opened in a row; then memory for others */
    unsigned count;
    unsigned row;                 /* how many were */
    unsigned opens;               /* since a page was asked for */
    bool was_asked, was_followed; /* the last page */
    bool is_over;                 /* no more pages */
    uint32_t used;
};

struct order_ascents {
    struct order_ascent list[ORDER_ASCENTS_MAX];
    struct order_ascent *wished; /* a page of it is; NULL: none */
    uint32_t serial;
    unsigned doubt; /* pages asked for that were not followed so far */
};

struct orders {
    struct order *list;
    struct order *leading; /* gave the last guess, or would; NULL: the epoch */
    unsigned count, names, depth_max;
    int64_t keep_ns;
    struct order_epoch epoch;
    struct order_ascents ascents;
};

/* ---- order_names.c ---- */

/* `directory` without a slash at its end; "" for orders of whole names. NULL: there is none. */
struct order *order_find(struct orders *orders, enum order_source source, const char *directory);
/* The directory with its slash. NULL without memory. */
struct order *order_add(struct orders *orders, enum order_source source, const char *directory,
                        size_t length);
void order_drop(struct orders *orders, struct order *order);
void order_use(struct orders *orders, struct order *order);
struct order_name *order_find_name(const struct order *order, const char *text);
/* At the end. NULL without memory. */
struct order_name *order_add_name(struct orders *orders, struct order *order, const char *text,
                                  uint64_t size_bytes);

/* ---- order.c ---- */

/* The program opens that name, of that order. */
void order_step(struct orders *orders, struct order *order, struct order_name *name,
                int64_t now_ns);

/* ---- order_ascent.c ---- */

/* The program opens that name. */
void order_ascent_note(struct orders *orders, const char *uri, int64_t now_ns);
void order_ascents_fini(struct order_ascents *ascents);

/* ---- order_epoch.c ---- */

/* The program opens a name: for the first time, or again. */
void order_epoch_note_new(struct order_epoch *epoch, const struct order *opened,
                          struct order_name *name, int64_t now_ns);
void order_epoch_note_again(struct order_epoch *epoch, const struct order *opened,
                            struct order_name *name, int64_t now_ns);
/* One of those to come; NULL: none now. */
struct order_name *order_epoch_guess(struct orders *orders, const struct order *opened);
void order_epoch_take_back(struct order_epoch *epoch);
/* False: it was no guess of ours. */
bool order_epoch_note_unused(struct order_epoch *epoch, const struct order_name *name);
/* The name goes, or (NULL) all do. */
void order_epoch_forget(struct order_epoch *epoch, const struct order_name *name);

#endif
