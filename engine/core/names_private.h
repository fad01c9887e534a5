/* What the files of core/names.h share: questions to the store, and how far a name has been asked
 * for.
 *
 * names_ask.c knows requests, names.c the cache and parents, names_renew.c what the cache knew before,
 * names_change.c what changes names.
 */
#ifndef S3DLIO_CORE_NAMES_PRIVATE_H
#define S3DLIO_CORE_NAMES_PRIVATE_H

#include "core/attr_cache.h"
#include "core/names.h"

/* What is asked, by whom. Names carry no slash at their end. */
struct names_question {
    struct engine *engine;
    const struct limits *limits;
    bool type_only; /* metadata is of no interest: no request for it alone */
};

struct names_answer {
    struct attr attr;
    bool named;          /* of attr only type and inode are known */
    bool parents_judged; /* after -ENOENT: what is above it is not the reason, or has been named */
    enum attr_owed owed; /* the marker alone was asked for */
};

/* ---- names_ask.c: the store's answer, neither cache nor parents ---- */

/* The object of this key. -ENOENT: there is none. */
int names_ask_object(const struct names_question *question, const struct uri *uri,
                     struct names_answer *ret_answer, struct error *err);
/* Object or directory, by a listing of what begins with the key. What it shows of the directory
 * goes into the cache. */
int names_ask_listing(const struct names_question *question, const struct uri *uri,
                      struct names_answer *ret_answer, struct error *err);
/* A directory that was one lately, or a bucket: by the listing that shows its contents. */
int names_ask_directory(const struct names_question *question, const struct uri *uri,
                        struct names_answer *ret_answer, struct error *err);
/* A store that is asked each time, and answers by what the thing itself says? */
bool names_ask_is_own(const struct names_question *question, const struct uri *uri);
/* Stores that answer on the spot, and those whose listings have no order. */
int names_ask_in_turn(const struct names_question *question, const struct uri *uri,
                      struct names_answer *ret_answer, struct error *err);
bool names_ask_is_plain(const struct names_question *question, const struct uri *uri);
/* Lists the directory anew, up to so many pages, so that the cache knows it completely. */
void names_ask_contents(const struct names_question *question, const struct uri *uri,
                        unsigned pages);

/* A directory that had a marker lately: by HEAD of it. Any error: nothing is known. */
int names_ask_hinted(const struct names_question *question, const struct uri *uri,
                     struct names_answer *ret_answer);
/* The first page of what is in the directory, as another look-up would have read it, behind the
 * marker; with the marker it is kept for a listing. False when none is owed. */
bool names_ask_owed(const struct names_question *question, const struct uri *uri);

/* The attributes of a directory that has a marker; what is missing there is missing. */
void names_ask_marker(const struct names_question *question, const struct uri *uri,
                      struct attr *attr);
/* Lists at most so many keys below the directory; the page is the caller's. */
int names_ask_keys(const struct names_question *question, const struct uri *uri, unsigned max_keys,
                   struct store_page **ret_page, struct error *err);

/* ---- names_prime.c ---- */

/* A whole page of what is below the directory, its first entry at `index`: puts every name on it
 * into the cache and makes complete what it shows completely (all, when nothing is grouped). */
void names_prime(struct engine *engine, const struct uri *uri, const struct store_page *page,
                 size_t index, int64_t asked_ns);

/* ---- names_renew.c: names whose attributes have passed ---- */

/* Asks for much of the directory of a name that was of this type lately, where that is worth it; then
 * the cache may know the name again. */
bool names_renew(const struct names_question *question, const struct uri *uri, enum attr_type past);
/* Such a name was looked up by itself, from asked_ns until now. */
void names_renew_end(const struct names_question *question, const struct uri *uri,
                     int64_t asked_ns);

/* ---- names_hint.c: does the directory have a marker? For choosing the first question ---- */

void names_set_hint(struct engine *engine, const struct uri *uri, bool has_marker);
bool names_has_hint(struct engine *engine, const struct uri *uri);

/* ---- names.c ---- */

/* From the cache or the store; parents are asked about after a miss. */
int names_find(const struct names_question *question, const struct uri *uri, bool wants_directory,
               struct names_answer *ret_answer, struct error *err);
/* -ENOENT, -ENOTDIR unless a directory is there. */
int names_require_directory(const struct names_question *question, const struct uri *uri,
                            struct error *err);

/* True when there was a slash at the end; it is gone. */
bool names_strip_slash(struct uri *uri);
/* "key/": where a directory's marker is, and what everything in it begins with. */
int names_marker_of(const struct uri *uri, struct uri *ret_marker, struct error *err);
void names_error(const struct uri *uri, struct error *err);

#endif
