/* The fault store's own interface: wraps another store and spoils chosen requests, for tests.
 *
 * Rules come from S3DLIO_FAULT (scheme "fault") or from fault_store_add. A text is made of clauses
 * separated by ';', each of fields separated by blanks. One clause may set up the store:
 *   store=SCHEME        what is wrapped (default mem)
 *   seed=N              for p=
 * every other clause is a rule, the conditions first:
 *   op=NAME             operation as in messages ("GetObject"), or * (default)
 *   key=GLOB            as fnmatch(3) without flags; default *
 *   nth=N count=M       from the N-th matching request on, M times (0: for ever); default 1, 0
 *   p=PERCENT           only with this probability (decimals allowed)
 * and what then happens, one or more of
 *   fail=CLASS          the request fails without being done; CLASS by its name: "throttled", …
 *   retry-after=MS      said with the failure
 *   error200            fails as an error in the body of a 200 does
 *   lose                is done, but its answer is lost: network error
 *   ignore              is answered as a success, but not done; the answer names an ETag
 *   changed             the object was replaced: another ETag, If-Match fails
 *   delay=MS            begins later
 *   after=BYTES         how much of a body of GET arrives before truncate or pause; default 0
 *   truncate            then the connection ends: network error
 *   pause=MS            then nothing comes for a while
 * All rules that match take part; of two values of one kind the later rule's counts.
 */
#ifndef S3DLIO_STORE_FAULT_H
#define S3DLIO_STORE_FAULT_H

#include "store/store.h"

/* Adds rules from a text without store=. Any thread. 0, -EINVAL with *err, -ENOMEM. */
int fault_store_add(struct store *store, const char *rules, struct error *err);
/* Drops all rules; requests under way keep what they drew. Any thread. */
void fault_store_clear(struct store *store);
/* How many requests a rule has matched and changed. Any thread. */
uint64_t fault_store_hits(struct store *store);

#endif
