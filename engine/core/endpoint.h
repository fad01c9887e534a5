/* What this process knows of an opened store that all its objects share: how fast it answers, how
 * many requests each way are worth having under way, and its seat among the processes that use it.
 *
 * Every attempt of a request passes begin and end (core/account). Users ask for room before they
 * send what nobody waits for yet; what somebody waits for is sent in any case. Any thread, inside
 * the gate; a leaf mutex guards the limiters and the seat.
 */
#ifndef S3DLIO_CORE_ENDPOINT_H
#define S3DLIO_CORE_ENDPOINT_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/fellows.h"
#include "core/latency.h"
#include "core/limiter.h"
#include "store/store.h"

struct budget;
struct options;
struct stats;

enum endpoint_direction { ENDPOINT_GETS, ENDPOINT_PUTS, ENDPOINT_DIRECTIONS };

struct endpoint {
    const struct store *store;
    struct budget *budget;
    struct latency latency;
    pthread_mutex_t mutex;
    struct limiter limiters[ENDPOINT_DIRECTIONS];
    _Atomic int unsized; /* enum limiter_flow of requests for objects of unknown size */
    struct fellows_table *fellows;
    struct fellows_seat seat;
    bool is_looking;      /* the table was looked for */
    unsigned processes;   /* that moved data at the last look */
    uint64_t moved_bytes; /* since then */
    int64_t looked_ns;
};

/* For a store that was opened; never freed. */
void endpoint_init(struct endpoint *endpoint, struct store *store, const struct options *options,
                   struct budget *budget);
void endpoint_reset_child(struct endpoint *endpoint);
/* The process ends. */
void endpoint_leave_fellows(struct endpoint *endpoint);

/* Of one attempt, while it is under way. */
struct endpoint_begun {
    enum endpoint_direction direction;
    struct limiter_begun begun;
};
struct endpoint_begun endpoint_begin(struct endpoint *endpoint, const struct store_request *request,
                                     bool is_guess, struct stats *stats, int64_t now_ns);
/* abandoned: without an answer. Otherwise what is in the request is final. */
void endpoint_end(struct endpoint *endpoint, const struct store_request *request,
                  const struct endpoint_begun *begun, bool abandoned, int64_t submitted_ns,
                  int64_t now_ns);

/* As the functions of core/limiter.h. */
unsigned endpoint_target(struct endpoint *endpoint, enum endpoint_direction direction,
                         enum limiter_flow flow);
bool endpoint_has_room(struct endpoint *endpoint, enum endpoint_direction direction,
                       enum limiter_flow flow, unsigned own);
bool endpoint_has_room_for_guess(struct endpoint *endpoint, enum limiter_flow flow);
void endpoint_expect(struct endpoint *endpoint, enum endpoint_direction direction,
                     uint64_t object_bytes, uint64_t count);
void endpoint_join(struct endpoint *endpoint, enum endpoint_direction direction);
void endpoint_leave(struct endpoint *endpoint, enum endpoint_direction direction);

/* What kind a request for an object of unknown size is most likely: as the last one was. */
enum limiter_flow endpoint_unsized(const struct endpoint *endpoint);
static inline bool endpoint_is_near(const struct endpoint *endpoint)
{
    return latency_is_near(&endpoint->latency);
}

#endif
