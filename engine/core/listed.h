/* Directories that were listed lately: where their pages begin, and how much of one to ask for again
 * when names in it are looked up whose attributes have passed.
 *
 * Programs that read a directory to its end and then look at each entry (du, find, all that use fts)
 * do so in an order of their own, and long after the TTL. One by one that is a request for each
 * entry; a page of a listing shows a thousand. Which is cheaper shows only as look-ups come, so it is
 * paid for as for skis: first by the name, and when that goes on by the page that holds it, then by
 * two, four, eight pages at a time until all are fresh. A round is what is asked for within the TTL.
 *
 * - Where the look-ups are all that the program waits for ("pressing": it spends less time between
 *   two of them than a request takes), LISTED_NAMES_FIRST come before the first page, and pages
 *   double. A round that answered fewer look-ups than it had pages doubles those that come first.
 * - Elsewhere a page is asked for when as many of its names were, and alone.
 *
 * In a marked directory (core/marked.h) pages show no attributes; there the entries that come next
 * are named instead, more and more while look-ups go on exactly behind the last of them.
 *
 * Nothing here asks a store. At most LISTED_DIRECTORIES, least recently used first out, of each the
 * LISTED_PAGES_MAX pages that were noted last. Any thread inside the gate; one leaf mutex. What a
 * fork child inherits stays true.
 */
#ifndef S3DLIO_CORE_LISTED_H
#define S3DLIO_CORE_LISTED_H

#include <stdbool.h>
#include <stdint.h>

#define LISTED_DIRECTORIES 16u
#define LISTED_PAGES_MAX   1024u
#define LISTED_NAMES_FIRST 2u
#define LISTED_ENTRIES_MAX 256u /* of a marked directory, at a time */

struct listed;

/* NULL without memory. `pages_fresh`: more than so many have no room where their entries go. */
struct listed *listed_new(int64_t ttl_ns, unsigned pages_fresh);
void listed_free(struct listed *listed); /* NULL is fine */

/* Directories go by the name that attr_uri_text gives them, entries by their keys. */

/* A page of a listing with the delimiter: what lies behind the key `from` ("": the beginning), up to
 * its last key; NULL: it was the last one. */
struct listed_page {
    const char *from, *last;
    int64_t asked_ns;
};
void listed_note(struct listed *listed, const char *directory, const struct listed_page *page);
/* It is marked: there is nothing to know of its pages. */
void listed_note_marked(struct listed *listed, const char *directory);

/* Nothing was ever noted: no need to ask. */
bool listed_is_empty(struct listed *listed);
enum listed_kind { LISTED_NOT, LISTED_PLAIN, LISTED_MARKED };
enum listed_kind listed_kind(struct listed *listed, const char *directory);
/* Where the first page begins that does so behind `from`; the caller's, NULL: there is none. False: it
 * is not known whether there is one. */
bool listed_next(struct listed *listed, const char *directory, const char *from, char **ret_from);

/* When the directory was last seen to be unmarked; 0: never. */
int64_t listed_unmarked_ns(struct listed *listed, const char *directory);
void listed_note_unmarked(struct listed *listed, const char *directory, int64_t asked_ns);

/* A look-up of what has passed. */
struct listed_miss {
    const char *directory, *key;
    int64_t now_ns;
    uint64_t found; /* look-ups in this directory that needed no request, so far */
    bool is_pressing;
};
/* Pages behind the keys `from` up to `until` (NULL: just one page), in the order of keys. */
struct listed_span {
    char *from, *until;
};
struct listed_plan {
    struct listed_span *spans;
    unsigned count;
};
/* False: the name alone is to be asked for. What is planned counts as asked for now. */
bool listed_plan(struct listed *listed, const struct listed_miss *miss,
                 struct listed_plan *ret_plan);
void listed_plan_fini(struct listed_plan *plan);
/* So many pages have taken so long. */
void listed_note_took(struct listed *listed, const char *directory, unsigned pages,
                      int64_t took_ns);

/* Of a marked directory: how many entries to ask for, from the one of that name and inode on; 1:
 * that one. *ret_by_inode: in the order of their inodes, else as they were used last. */
unsigned listed_entries(struct listed *listed, const char *directory, const char *entry,
                        uint64_t inode, bool *ret_by_inode);
/* The look-up after these is expected to be of that name; NULL: of none. */
void listed_expect(struct listed *listed, const char *directory, const char *entry);

#endif
