/* Keeps account of requests, each attempt of a call and each hedge of one: it is counted when it
 * is submitted and when it ends, one way or the other, and is a row of the op-log then. With the
 * shard's lock held. */
#ifndef S3DLIO_CORE_ACCOUNT_H
#define S3DLIO_CORE_ACCOUNT_H

#include <stdint.h>

#include "core/endpoint.h"

struct engine;
struct store_request;

/* Of one attempt, while it is under way. */
struct account {
    int64_t submitted_ns; /* 0: none is */
    uint16_t thread;      /* for the op-log */
    bool is_guess;        /* nobody has asked for it yet; the owner says so before it begins */
    struct endpoint *endpoint;
    struct endpoint_begun begun;
};

void account_begin(struct engine *engine, const struct store_request *request,
                   struct account *ret_account);
/* request->error and what came are final for this attempt. */
void account_end(struct engine *engine, const struct store_request *request,
                 struct account *account);
/* Nobody waits for its answer any more; it was abandoned. */
void account_abandoned(struct engine *engine, const struct store_request *request,
                       struct account *account);

#endif
