/* Attributes seen lately, by name, for the life of S3DLIO_META_TTL_MS.
 *
 * Positive entries come from stat, open, listings and what this process wrote. A failed look-up is
 * not kept; but a directory listed to its end, or made by this process, is known completely for the
 * TTL: a name that is not in it does not exist. Evicting an entry takes the completeness from its
 * directory; forgetting one (something may be there) or removing one (nothing is) does not. A
 * directory that lost its last file through this process is kept as a directory until rmdir.
 *
 * Beside them a few pages of listings that look-ups have read: a listing opened within the TTL
 * begins with one instead of a request of its own (attr_cache_pages.c).
 *
 * What a listing says was true when it was asked for. Where a process of this user has changed
 * something since, that counts no more: neither entries nor pages nor completeness
 * (attr_cache_shared.h).
 *
 * Names are those of attr_uri_text. At most ATTR_CACHE_ENTRIES, least recently used first out. Any
 * thread inside the gate; one leaf mutex.
 */
#ifndef S3DLIO_CORE_ATTR_CACHE_H
#define S3DLIO_CORE_ATTR_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/attr.h"

/* More than the 100,000 entries that fts reads of a directory before it looks at the first. */
#define ATTR_CACHE_ENTRIES 120000u

struct attr_cache;

/* ttl_ns 0: nothing is trusted but kept directories. NULL without memory. */
struct attr_cache *attr_cache_new(int64_t ttl_ns, unsigned entries_max);
void attr_cache_free(struct attr_cache *cache);

enum attr_cache_answer {
    ATTR_CACHE_UNKNOWN,
    ATTR_CACHE_FOUND,  /* *ret_attr is set */
    ATTR_CACHE_ABSENT, /* its directory is known completely and does not hold it */
    ATTR_CACHE_NAMED,  /* it exists; of *ret_attr only type and inode are known */
    ATTR_CACHE_PAST,   /* not known any more; ret_attr->type is what it was, or 0 */
};
enum attr_cache_answer attr_cache_get(struct attr_cache *cache, const char *uri,
                                      struct attr *ret_attr);

void attr_cache_put(struct attr_cache *cache, const char *uri, const struct attr *attr);
/* A listing that was asked for at asked_ns shows it; trusted until the TTL after seen_ns. */
void attr_cache_put_listed(struct attr_cache *cache, const char *uri, const struct attr *attr,
                           int64_t asked_ns, int64_t seen_ns);
/* The same of what is not known any more, trusted until the TTL after since_ns, which is not after
 * asked_ns; what is known stays. */
void attr_cache_renew(struct attr_cache *cache, const char *uri, const struct attr *attr,
                      int64_t asked_ns, int64_t since_ns);
/* As attr_cache_put_listed, where only the type counts: a look-up of it has to ask for its metadata. */
void attr_cache_put_named(struct attr_cache *cache, const char *uri, enum attr_type type,
                          int64_t asked_ns);
/* This process has changed it, or tried to: something may be there, a file most likely. */
void attr_cache_forget(struct attr_cache *cache, const char *uri);
/* It has removed it: nothing is there any more. */
void attr_cache_remove(struct attr_cache *cache, const char *uri);
/* What is known of it is not so any more, as if it were there or not, but the time of its directory
 * is as it was: others have changed it, or this process has changed what is stored with it. */
void attr_cache_doubt(struct attr_cache *cache, const char *uri, bool is_there);
/* The same for everything below the directory, which is then not known completely, but is what it
 * was: something else may be there now. Looks at every entry. */
void attr_cache_drop_below(struct attr_cache *cache, const char *directory);
/* The directory was listed to its end, beginning at since_ns (or made at that time, empty), while
 * everything in it was put: complete until since + TTL. */
void attr_cache_complete(struct attr_cache *cache, const char *directory, int64_t since_ns);
bool attr_cache_is_complete(struct attr_cache *cache, const char *directory);
/* Nothing was there. Not an answer to anybody, only a hint how to ask for it again. */
void attr_cache_note_missing(struct attr_cache *cache, const char *uri);
bool attr_cache_was_missing(struct attr_cache *cache, const char *uri);
/* The directory was complete, that has passed, and meanwhile it spared requests for names like this
 * one (`known`: that it has had); or others changed something below it while it was listed, and names
 * that it lacks were asked for since: how many pages of a listing it is worth to make it complete
 * again. 0: none. Asking begins the count anew. */
unsigned attr_cache_worth_pages(struct attr_cache *cache, const char *directory, bool known);
/* How many look-ups of what is in the directory it has answered with what is there. */
uint64_t attr_cache_found(struct attr_cache *cache, const char *directory);
/* Has a process of this user, this one too, changed something below it, at since_ns or later? */
bool attr_cache_changed_below(struct attr_cache *cache, const char *directory, int64_t since_ns);
/* Files and links of the same directory that are not known any more, those that come next after
 * `name`: in the order in which they were used last, or by their inodes (looks at every entry). At
 * most `max`; the names are the caller's. */
unsigned attr_cache_following(struct attr_cache *cache, const char *name, bool by_inode,
                              unsigned max, char **ret_names);
/* The directory stays one although nothing is left in it. */
void attr_cache_keep(struct attr_cache *cache, const char *directory);
bool attr_cache_is_kept(struct attr_cache *cache, const char *directory);
unsigned attr_cache_count(struct attr_cache *cache);
struct attr_shared *attr_cache_shared(struct attr_cache *cache); /* for its hints; may be NULL */

/* ---- pages ----------------------------------------------------------------------------------- */

#define ATTR_CACHE_PAGE_KEYS 1000u /* what a store shows on a page */

/* The directory was looked up by its marker; the page that other look-ups get of its contents is
 * left for whoever needs it. Nothing where they are known, or the directory is not. */
enum attr_owed { ATTR_OWED_NOTHING, ATTR_OWED_TREE, ATTR_OWED_GROUPS };
void attr_cache_owe_page(struct attr_cache *cache, const char *directory, enum attr_owed owed);
/* What is owed, to be asked for by the caller; its marker as it is known. */
enum attr_owed attr_cache_take_owed(struct attr_cache *cache, const char *directory,
                                    struct attr *ret_marker);

/* Takes `page` over: the first of a listing of what begins with the key of `prefix`, asked for at
 * asked_ns; `grouped`: with the delimiter. */
void attr_cache_keep_page(struct attr_cache *cache, const struct uri *prefix,
                          struct store_page *page, bool grouped, int64_t asked_ns);

/* The beginning of a directory, as a listing with the delimiter shows it. */
struct attr_cache_start {
    struct store_page *page;   /* the caller's; next_token set: go on with that */
    char *after;               /* the caller's; not NULL: go on behind this key */
    int64_t asked_ns, seen_ns; /* when it was asked for, and kept */
};
/* From a page that is kept; the key of `directory` ends in a slash, or is empty. */
bool attr_cache_start(struct attr_cache *cache, const struct uri *directory,
                      struct attr_cache_start *ret_start);

#endif
