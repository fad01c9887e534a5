/* Requests as the limiters see them, and looks at who else is there. See endpoint.h. */
#include "core/endpoint.h"

#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/random.h"
#include "config/options.h"
#include "core/budget.h"
#include "core/stats.h"

#define NEAR_GETS  2u /* measured: core/latency.h */
#define NEAR_PUTS  8u
#define LOOK_NS    (100 * NS_PER_MS) /* between two looks, while much is moved */
#define ALONE_NS   NS_PER_S          /* and while little is */
#define MUCH_BYTES (UINT64_C(1) << 20)

/* ---- life ------------------------------------------------------------------------------------ */

static uint64_t new_process(void)
{
    return random_u64() | 1;
}

/* By the configuration: asking the store would make what it needs for requests, and there may never
 * be one. */
static uint64_t id_of(const struct store *store, const struct options *options)
{
    const char *url = option_text(options, ENDPOINT_URL);

    return hash_text(hash_text(HASH_BASIS, store->ops->scheme), url ? url : "");
}

void endpoint_init(struct endpoint *endpoint, struct store *store, const struct options *options,
                   struct budget *budget)
{
    struct limiter_options limiter = {
        .connections_max = (unsigned)option_int(options, MAX_HTTP_CONNECTIONS),
        .is_local = (store->capabilities & STORE_CAP_INLINE) != 0,
    };

    memset(endpoint, 0, sizeof *endpoint);
    endpoint->store = store;
    endpoint->budget = budget;
    endpoint->seat.process = new_process();
    endpoint->seat.endpoint = id_of(store, options);
    pthread_mutex_init(&endpoint->mutex, NULL);
    latency_init(&endpoint->latency, (unsigned)option_int(options, HEDGE_PERCENT));
    limiter.fixed = (unsigned)option_int(options, GET_INFLIGHT);
    limiter.near_long = NEAR_GETS;
    limiter_init(&endpoint->limiters[ENDPOINT_GETS], &limiter);
    limiter.fixed = (unsigned)option_int(options, PUT_INFLIGHT);
    limiter.near_long = NEAR_PUTS;
    limiter_init(&endpoint->limiters[ENDPOINT_PUTS], &limiter);
}

static void share(struct endpoint *endpoint, const struct fellows_count *count)
{
    endpoint->processes = count->processes;
    for (unsigned i = 0; i < ENDPOINT_DIRECTIONS; i++)
        limiter_set_fellows(&endpoint->limiters[i], count->at_endpoint);
    budget_divide(endpoint->budget, count->processes);
}

void endpoint_reset_child(struct endpoint *endpoint)
{
    const struct fellows_count alone = {1, 1};

    for (unsigned i = 0; i < ENDPOINT_DIRECTIONS; i++)
        limiter_reset_child(&endpoint->limiters[i]);
    share(endpoint, &alone);
    endpoint->seat.process = new_process();
    endpoint->looked_ns = 0;
    endpoint->moved_bytes = 0;
}

void endpoint_leave_fellows(struct endpoint *endpoint)
{
    fellows_leave(endpoint->fellows, &endpoint->seat);
}

/* ---- who else is there ----------------------------------------------------------------------- */

/* Under the mutex. A process that moves little is nobody's fellow, but may have some. */
static void look_around(struct endpoint *endpoint, bool is_long, int64_t now_ns)
{
    bool is_much = is_long || endpoint->moved_bytes >= MUCH_BYTES;
    int64_t since_ns = now_ns - endpoint->looked_ns;
    struct fellows_count count;

    if (is_much ? since_ns < LOOK_NS : endpoint->processes < 2 || since_ns < ALONE_NS)
        return;
    if (!endpoint->is_looking)
        endpoint->fellows = fellows_open();
    endpoint->is_looking = true;
    endpoint->looked_ns = now_ns;
    endpoint->moved_bytes = 0;
    if (is_much)
        fellows_touch(endpoint->fellows, &endpoint->seat, now_ns);
    count = fellows_count(endpoint->fellows, &endpoint->seat, now_ns);
    share(endpoint, &count);
}

/* ---- requests -------------------------------------------------------------------------------- */

static uint64_t body_bytes(const struct store_request *request)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < request->body_count; i++)
        bytes += request->body[i].iov_len;
    return bytes;
}

static bool is_read(const struct store_request *request)
{
    switch (request->operation) {
    case STORE_GET:
    case STORE_HEAD:
    case STORE_LIST:
    case STORE_LIST_BUCKETS:
    case STORE_GET_TAGS:
    case STORE_UPLOAD_LIST: return true;
    default: return false;
    }
}

/* Does the time that it takes say how busy the endpoint is? That of others depends on what the store
 * has to do for it. */
static bool is_comparable(const struct store_request *request)
{
    switch (request->operation) {
    case STORE_GET:
    case STORE_HEAD:
    case STORE_PUT:
    case STORE_DELETE:
    case STORE_COPY:
    case STORE_UPLOAD_PART: return true;
    default: return false;
    }
}

/* Of an object whose size is not known, so that less may come than is asked for. */
static bool is_unsized(const struct store_request *request)
{
    return request->operation == STORE_GET && !request->if_match && request->offset == 0 &&
           (request->length == 0 || limiter_flow(request->length) == LIMITER_LONG);
}

static enum limiter_flow flow_of(const struct endpoint *endpoint,
                                 const struct store_request *request)
{
    if (request->operation != STORE_GET)
        return limiter_flow(body_bytes(request));
    return is_unsized(request) ? endpoint_unsized(endpoint)
                               : limiter_flow(request->length ? request->length : UINT64_MAX);
}

/* For those who look at statistics. */
static void show(struct stats *stats, const struct limiter *limiter,
                 const struct endpoint_begun *begun)
{
    enum limiter_flow flow = begun->begun.flow;

    stats_note_level(stats, begun->direction * LIMITER_FLOWS + flow, limiter_target(limiter, flow),
                     limiter->flows[flow].in_flight);
}

struct endpoint_begun endpoint_begin(struct endpoint *endpoint, const struct store_request *request,
                                     bool is_guess, struct stats *stats, int64_t now_ns)
{
    enum endpoint_direction direction = is_read(request) ? ENDPOINT_GETS : ENDPOINT_PUTS;
    struct limiter *limiter = &endpoint->limiters[direction];
    enum limiter_flow flow = flow_of(endpoint, request);
    struct endpoint_begun begun = {.direction = direction};

    pthread_mutex_lock(&endpoint->mutex);
    look_around(endpoint, flow == LIMITER_LONG, now_ns);
    begun.begun = limiter_begin(limiter, flow, is_guess, endpoint_is_near(endpoint), now_ns);
    show(stats, limiter, &begun);
    pthread_mutex_unlock(&endpoint->mutex);
    return begun;
}

static enum limiter_outcome outcome_of(const struct store_request *request, bool abandoned)
{
    const struct error *error = &request->error;

    if (abandoned)
        return LIMITER_UNKNOWN;
    if (error->class == ERROR_THROTTLED || error->http_status == 503)
        return LIMITER_REFUSED;
    if (!is_comparable(request))
        return LIMITER_UNKNOWN;
    return error->class == ERROR_NONE || error->class == ERROR_NOT_FOUND ? LIMITER_WORKED
                                                                         : LIMITER_UNKNOWN;
}

/* GETs tell it when they are answered (core/fetch). Of these two the answer waits for no body. */
static void learn_latency(struct endpoint *endpoint, const struct store_request *request)
{
    bool is_plain = request->operation == STORE_HEAD || request->operation == STORE_UPLOAD_CREATE;

    if (is_plain && request->sent_ns && request->first_byte_ns)
        latency_on_answer(&endpoint->latency, request->first_byte_ns - request->sent_ns);
}

void endpoint_end(struct endpoint *endpoint, const struct store_request *request,
                  const struct endpoint_begun *begun, bool abandoned, int64_t submitted_ns,
                  int64_t now_ns)
{
    int64_t sent_ns = request->sent_ns ? request->sent_ns : submitted_ns;
    struct limiter_end end = {
        .outcome = outcome_of(request, abandoned),
        .now_ns = now_ns,
        .elapsed_ns = now_ns - sent_ns,
        .first_byte_ns = request->first_byte_ns ? request->first_byte_ns - sent_ns : 0,
        .bytes = is_read(request) ? request->bytes_received : body_bytes(request),
    };

    if (end.outcome == LIMITER_WORKED && is_unsized(request))
        atomic_store_explicit(&endpoint->unsized, (int)limiter_flow(end.bytes),
                              memory_order_relaxed);
    if (end.outcome != LIMITER_REFUSED)
        learn_latency(endpoint, request);
    end.is_near = endpoint_is_near(endpoint);
    end.least_ns = latency_first_byte_ns(&endpoint->latency);
    pthread_mutex_lock(&endpoint->mutex);
    endpoint->moved_bytes += end.bytes;
    limiter_end(&endpoint->limiters[begun->direction], &begun->begun, &end);
    pthread_mutex_unlock(&endpoint->mutex);
}

/* ---- room ------------------------------------------------------------------------------------ */

enum limiter_flow endpoint_unsized(const struct endpoint *endpoint)
{
    return (enum limiter_flow)atomic_load_explicit(&endpoint->unsized, memory_order_relaxed);
}

unsigned endpoint_target(struct endpoint *endpoint, enum endpoint_direction direction,
                         enum limiter_flow flow)
{
    unsigned target;

    pthread_mutex_lock(&endpoint->mutex);
    target = limiter_target(&endpoint->limiters[direction], flow);
    pthread_mutex_unlock(&endpoint->mutex);
    return target;
}

bool endpoint_has_room(struct endpoint *endpoint, enum endpoint_direction direction,
                       enum limiter_flow flow, unsigned own)
{
    bool has_room;

    pthread_mutex_lock(&endpoint->mutex);
    has_room = limiter_has_room(&endpoint->limiters[direction], flow, own);
    pthread_mutex_unlock(&endpoint->mutex);
    return has_room;
}

bool endpoint_has_room_for_guess(struct endpoint *endpoint, enum limiter_flow flow)
{
    bool has_room;

    pthread_mutex_lock(&endpoint->mutex);
    has_room = limiter_has_room_for_guess(&endpoint->limiters[ENDPOINT_GETS], flow);
    pthread_mutex_unlock(&endpoint->mutex);
    return has_room;
}

void endpoint_expect(struct endpoint *endpoint, enum endpoint_direction direction,
                     uint64_t object_bytes, uint64_t count)
{
    pthread_mutex_lock(&endpoint->mutex);
    limiter_expect(&endpoint->limiters[direction], object_bytes, count,
                   latency_first_byte_ns(&endpoint->latency));
    pthread_mutex_unlock(&endpoint->mutex);
}

void endpoint_join(struct endpoint *endpoint, enum endpoint_direction direction)
{
    pthread_mutex_lock(&endpoint->mutex);
    limiter_join(&endpoint->limiters[direction]);
    pthread_mutex_unlock(&endpoint->mutex);
}

void endpoint_leave(struct endpoint *endpoint, enum endpoint_direction direction)
{
    pthread_mutex_lock(&endpoint->mutex);
    limiter_leave(&endpoint->limiters[direction]);
    pthread_mutex_unlock(&endpoint->mutex);
}
