/* The engine that tests of core and api run on; see core_run.h. */
#include "core_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uri.h"
#include "core/call.h"
#include "store/fault.h"
#include "store/mem.h"

static char *environment[32] = {"S3DLIO_RETRY_BASE_MS=1", "S3DLIO_LOG=error", NULL};
static unsigned environment_count = 2;
static uint64_t counts_before[STORE_OPERATION_COUNT];

void core_run_set_option(const char *assignment)
{
    assert_null(engine_peek());
    environment[environment_count++] = (char *)assignment;
}

struct engine *core_run_engine(void)
{
    struct engine *engine = engine_peek();

    if (!engine) {
        assert_int_equal(s3dlio_init(environment, NULL), 0);
        engine = engine_peek();
    }
    return engine;
}

void core_run_enter(struct core_run_scope *scope)
{
    core_run_engine();
    gate_enter(&scope->gate);
    limits_begin(&scope->limits, 10 * NS_PER_S, NULL);
}

void core_run_leave(struct core_run_scope *scope)
{
    limits_end(&scope->limits);
    gate_leave(&scope->gate);
}

static struct store *fault_store(void)
{
    struct core_run_scope scope;
    struct store *store = NULL;
    struct error error;

    core_run_enter(&scope);
    assert_int_equal(engine_store(core_run_engine(), "fault", &store, &error), 0);
    core_run_leave(&scope);
    return store;
}

void core_run_faults(const char *rules)
{
    struct error error = {0};

    if (!rules)
        fault_store_clear(fault_store());
    else if (fault_store_add(fault_store(), rules, &error) < 0)
        fail_msg("%s", error.message);
}

uint64_t core_run_count(enum store_operation operation)
{
    return stats_read(&core_run_engine()->stats.requests[operation]) - counts_before[operation];
}

void core_run_reset_counts(void)
{
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        counts_before[i] = stats_read(&core_run_engine()->stats.requests[i]);
}

void core_run_make_bucket(const char *name)
{
    struct s3dlio_error error;
    char uri[300];

    core_run_engine();
    core_run_faults(NULL);
    snprintf(uri, sizeof uri, "fault://%s", name);
    if (s3dlio_mkdir(uri, NULL, NULL, &error) < 0)
        fail_msg("%s", error.message);
    core_run_reset_counts();
}

unsigned char core_run_byte(uint64_t offset)
{
    return (unsigned char)(offset * 2654435761u >> 13 ^ offset >> 8);
}

void core_run_fill(unsigned char *buffer, size_t length, uint64_t offset)
{
    for (size_t i = 0; i < length; i++)
        buffer[i] = core_run_byte(offset + i);
}

void core_run_check(const unsigned char *buffer, size_t length, uint64_t offset)
{
    for (size_t i = 0; i < length; i++)
        if (buffer[i] != core_run_byte(offset + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
}

void core_run_put(const char *uri, size_t length)
{
    unsigned char *data = malloc(length + 1);
    struct s3dlio_error error;

    assert_non_null(data);
    core_run_fill(data, length, 0);
    if (s3dlio_put(uri, data, length, NULL, NULL, NULL, &error) < 0)
        fail_msg("%s", error.message);
    free(data);
}

static struct call *new_call(enum store_operation operation, const char *uri_text,
                             const struct limits *limits)
{
    struct error error;
    struct call *call;
    struct uri uri;

    assert_int_equal(uri_parse(uri_text, &uri), 0);
    call = call_new(core_run_engine(), operation, &uri, limits, &error);
    assert_non_null(call);
    return call;
}

static void run(struct call *call, const struct limits *limits)
{
    struct error error;

    if (call_run(call, limits, &error) < 0)
        fail_msg("%s", error.message);
    call_delete(call);
}

void core_run_put_elsewhere(const char *uri, size_t length, uint64_t offset)
{
    unsigned char *data = malloc(length + 1);
    struct iovec body = {data, length};
    struct core_run_scope scope;
    struct call *call;

    assert_non_null(data);
    core_run_fill(data, length, offset);
    core_run_enter(&scope);
    call = new_call(STORE_PUT, uri, &scope.limits);
    call->request.body = &body;
    call->request.body_count = 1;
    run(call, &scope.limits);
    core_run_leave(&scope);
    free(data);
}

void core_run_delete_elsewhere(const char *uri)
{
    struct core_run_scope scope;

    core_run_enter(&scope);
    run(new_call(STORE_DELETE, uri, &scope.limits), &scope.limits);
    core_run_leave(&scope);
}
