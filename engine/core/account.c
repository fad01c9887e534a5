/* From a request to the counters. See account.h. */
#include "core/account.h"

#include "base/clock.h"
#include "core/engine.h"
#include "core/stats_kind.h"

static uint64_t body_bytes(const struct store_request *request)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < request->body_count; i++)
        bytes += request->body[i].iov_len;
    return bytes;
}

static void note_memory(struct stats *stats, const struct budget *budget)
{
    atomic_store_explicit(&stats->memory_bytes, budget_used(budget), memory_order_relaxed);
    atomic_store_explicit(&stats->memory_peak_bytes, budget_peak(budget), memory_order_relaxed);
}

void account_begin(struct engine *engine, const struct store_request *request,
                   struct account *account)
{
    struct stats *stats = engine_stats(engine);

    account->submitted_ns = clock_now_ns();
    account->thread = (uint16_t)shard_thread_id();
    note_memory(stats, &engine->budget);
    stats_begin(stats, request->operation, account->submitted_ns);
    account->endpoint = engine_endpoint(engine, request->store);
    account->begun = endpoint_begin(account->endpoint, request, account->is_guess, stats,
                                    account->submitted_ns);
}

static uint64_t objects_of(const struct store_request *request)
{
    if (request->operation == STORE_DELETE_MANY)
        return request->key_count;
    return request->page ? request->page->count : stats_kind(request->operation)->objects;
}

static void log_end(struct engine *engine, const struct store_request *request, unsigned thread,
                    const struct stats_end *end)
{
    struct oplog_row row = {
        .operation = request->operation,
        .store = request->store,
        .bucket = request->bucket,
        .name = request->prefix ? request->prefix : request->key,
        .error = end->failed ? &request->error : NULL,
        .abandoned = end->abandoned,
        .thread = (uint16_t)thread,
        .objects = objects_of(request),
        .bytes = end->bytes_received + end->bytes_sent,
        .submitted_ns = end->submitted_ns,
        .first_byte_ns = end->first_byte_ns,
        .ended_ns = end->ended_ns,
    };

    oplog_add(engine->oplog, &row);
}

/* Nothing the second time: a call that is refused while it waits for a repeat has ended before. */
static void end(struct engine *engine, const struct store_request *request, struct account *account,
                bool abandoned)
{
    struct stats *stats = engine_stats(engine);
    bool failed = !abandoned && request->error.class != ERROR_NONE;
    struct stats_end end = {
        .operation = request->operation,
        .submitted_ns = account->submitted_ns,
        .sent_ns = request->sent_ns,
        .first_byte_ns = request->first_byte_ns,
        .ended_ns = clock_now_ns(),
        .bytes_received = request->bytes_received,
        .bytes_sent = failed || abandoned ? 0 : body_bytes(request),
        .failed = failed,
        .abandoned = abandoned,
    };

    if (!account->submitted_ns)
        return;
    account->submitted_ns = 0;
    endpoint_end(account->endpoint, request, &account->begun, abandoned, end.submitted_ns,
                 end.ended_ns);
    note_memory(stats, &engine->budget);
    stats_end(stats, &end);
    if (engine->oplog)
        log_end(engine, request, account->thread, &end);
}

void account_end(struct engine *engine, const struct store_request *request,
                 struct account *account)
{
    end(engine, request, account, false);
}

void account_abandoned(struct engine *engine, const struct store_request *request,
                       struct account *account)
{
    end(engine, request, account, true);
}
