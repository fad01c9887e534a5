/* One store request with its retries: started under its shard's lock, ended by on_done or waited
 * for.
 *
 * A call copies the name it is about, so that it survives a caller who was cancelled or jumped
 * away; bodies, sinks, parts and metadata are the owner's and must live until it is done. While it
 * waits for a repeat, only a timer on its shard remembers it.
 *
 * Lost answers: `ambiguous` says that an earlier attempt failed after it may have worked (also one
 * that the store repeated by itself, because a connection of the pool broke), so that an EXISTS or
 * NOT_FOUND of the repeat may be our own doing (core/upload.c settles that).
 *
 * Locking: everything down to call_fini, but call_init, with the shard's lock held; what comes
 * after it without. In a fork child a call
 * of the parent is dead: call_fini only frees it.
 */
#ifndef S3DLIO_CORE_CALL_H
#define S3DLIO_CORE_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uri.h"
#include "core/account.h"
#include "core/limits.h"
#include "store/store.h"

struct call_rival;
struct engine;

struct call {
    struct store_request request; /* the owner sets what the operation needs after call_init */
    struct engine *engine;
    struct endpoint *endpoint;
    struct uri uri;
    int64_t deadline_ns;
    struct account account;
    void (*on_done)(struct call *call); /* may be NULL; may free the call */
    /* Before a repeat, may be NULL: adapt the request (a range goes on where it stopped). */
    void (*on_repeat)(struct call *call);
    /* The repeat counts as a first attempt when there was progress. May be NULL: never. */
    bool (*progressed)(struct call *call);
    /* An attempt has ended: the last word on request.error, before it decides about a repeat. */
    void (*on_answer)(struct call *call); /* may be NULL */
    bool no_retry;
    void *arg;

    struct call_rival *rival; /* the same request, sent again because the answer is late; NULL */
    bool rival_leads; /* it was answered first: `request` is abandoned, and holds its answer */

    bool held, in_flight, done; /* done: request.error and the answer are final */
    bool refused;               /* `refusal` says why */
    bool ambiguous;
    unsigned attempt;
    int64_t overloaded_ns; /* since then the store answers that there is too much to do; 0 */
    struct error refusal;
    uint64_t generation;
    struct shard_timer timer;
};

/* For the object or prefix `uri` names; picks a shard. timeout from `limits` (NULL: the
 * configured). */
void call_init(struct call *call, struct engine *engine, enum store_operation operation,
               const struct uri *uri, struct store *store, const struct limits *limits);
void call_start(struct call *call);
/* Sends a GET that is in flight and not answered once more: whichever is answered first goes on,
 * the other is abandoned. Nothing without memory, or when there are two already. Look-ups and pages
 * of listings do so by themselves when their answer is late (core/latency.h). */
void call_hedge(struct call *call);
/* From on_object: no second one is needed. */
void call_answered(struct call *call);
/* As store_request_resume and store_advance, on the one that goes on. */
void call_resume(struct call *call);
bool call_advance(struct call *call);
/* From a callback of the request: what came is not what we want. The call ends with request.error =
 * *reason soon after, outside the callback. */
void call_refuse(struct call *call, const struct error *reason);
/* What is in flight has not moved for too long: it is left, and repeated as after a timeout. Not
 * from a callback of the request. */
void call_give_up(struct call *call);
/* Says which request of which object the error is about, unless that is known. */
void call_name_error(const struct call *call, struct error *err);
/* Abandons what is in flight and frees what the answer holds; the struct stays the owner's. */
void call_fini(struct call *call);

/* A call on the heap for one blocking round trip, so that a caller who never comes back leaves no
 * dangling request; NULL without memory (with *err). Then call_run locks, starts, waits and
 * unlocks; the answer is in call->request until call_delete, which locks, ends and frees. */
struct call *call_new(struct engine *engine, enum store_operation operation, const struct uri *uri,
                      const struct limits *limits, struct error *err);
int call_run(struct call *call, const struct limits *limits, struct error *err);
/* call_run in two steps, with other work between them; the limits of the second hold from then
 * on. */
void call_begin(struct call *call);
int call_end(struct call *call, const struct limits *limits, struct error *err);
bool call_is_done(struct call *call); /* call_end will not wait */
void call_delete(struct call *call);  /* NULL is fine */

/* Has the store refused the call because of its condition on what is at the key, as far as one can
 * tell? Of an unknown condition some say 501, some 400. */
bool call_condition_refused(const struct call *call);
/* That call once more, without: the caller has looked. When that works the store loses the
 * capability. */
int call_run_without_condition(struct call *call, const struct limits *limits, struct error *err);
/* call_run of a request that must not replace anything, where the caller has looked; with the
 * condition if the store takes it. */
int call_run_exclusive(struct call *call, const struct limits *limits, struct error *err);

#endif
