/* Orders: names in the sequence in which a program is likely to open them, and where it is in them.
 *
 * Three sources: the listing of a directory, whose files come in the order of their keys, or are
 * sorted by inode as cp does; names that the program was given (its command line); what it has
 * opened so far, for those that go through their files again, in the same sequence or in another one
 * each time (epochs: order_epoch.c, where any name not opened yet in this epoch may come next). Of a
 * directory whose files are opened in the order of their keys, and that the program has not listed, a
 * page of the listing is wished for (order_ascent.c). A program follows an order when it
 * opens its names one after the other, a few left out now and then, or each n-th (one of n
 * workers). Then some of those that come next are guessed: twice as many with each name that was
 * guessed right, as long as they are opened within the time that a guess keeps. An order that was
 * left three times with guesses unused gives none any more.
 *
 * Nothing is fetched here (core/prefetch.h), and nothing waits. The caller sees to it that one
 * thread is in here at a time. Names are those of attr_uri_text.
 */
#ifndef S3DLIO_CORE_ORDER_H
#define S3DLIO_CORE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/attr.h"

#define ORDERS_MAX 16u
#define ORDER_NAMES_MAX                                                                            \
    65536u /* in all orders; of one that is longer, what comes first goes first */
#define ORDER_SIZE_UNKNOWN UINT64_MAX
#define ORDER_STRIDE_MAX   64u
#define ORDER_LEFT_OUT_MAX 3u

struct orders;

struct order_guess {
    char uri[ATTR_URI_BYTES];
    uint64_t size_bytes; /* or ORDER_SIZE_UNKNOWN */
};

/* At most depth_max guesses ahead of the program; each is good for keep_ns. NULL without memory. */
struct orders *orders_new(unsigned depth_max, int64_t keep_ns);
void orders_free(struct orders *orders); /* NULL is fine */

/* A listing of the directory begins, without a slash at its end: what an earlier one told is
 * over. */
void orders_begin_listing(struct orders *orders, const char *directory);
/* It shows a file of that name in the directory. */
struct order_file {
    uint64_t size_bytes;
    uint64_t inode; /* as readdir shows it: some programs sort by that */
};
void orders_add_listed(struct orders *orders, const char *directory, const char *name,
                       const struct order_file *file);
/* A page of a directory, in place of a listing by the program: the names behind `after`. */
struct order_wish {
    char directory[ATTR_URI_BYTES]; /* without a slash at its end */
    char after[URI_KEY_MAX + 1];
};
/* Is one wished for, since the program has opened the last name? It is, from then on, until somebody
 * says that he has asked for it. */
bool orders_wish(const struct orders *orders, struct order_wish *ret_wish);
void orders_note_asked(struct orders *orders, const struct order_wish *wish);
/* It has come: orders_add_listed in between, and whether the directory ends with it. False: it is of
 * no use any more, and nothing is to be added. */
bool orders_begin_page(struct orders *orders, const struct order_wish *wish);
void orders_end_page(struct orders *orders, const struct order_wish *wish, bool is_last);
/* The program was given these, in this order; NULL begins anew. */
void orders_add_told(struct orders *orders, const char *uri);

/* The program opens that name at now_ns, and so large it is. */
void orders_note_open(struct orders *orders, const char *uri, uint64_t size_bytes, int64_t now_ns);
/* Who comes next, after those that were guessed since the program opened something. False:
 * nobody now. */
bool orders_guess(struct orders *orders, struct order_guess *ret_guess);
/* The last guess was not taken up; it is given again after the next open. */
void orders_take_back(struct orders *orders);
/* The program did not come for that guess in time. False: it is none of an epoch, so tell
 * orders_note_unused, once for all that are over at a time. */
bool orders_note_unused_name(struct orders *orders, const char *uri);
void orders_note_unused(struct orders *orders);

#endif
