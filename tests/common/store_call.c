/* Requests that a test waits for; see store_call.h. */
#include "tests/common/store_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/gate.h"

int64_t store_call_patience_ns = 10 * NS_PER_S;

/* ---- the body -------------------------------------------------------------------------------- */

static struct store_call *call_of(struct store_sink *sink)
{
    return (struct store_call *)((char *)sink - offsetof(struct store_call, sink));
}

static size_t sink_space(struct store_sink *sink, void **ret_where)
{
    struct store_call *call = call_of(sink);
    size_t room;

    if (call->pause_at && call->length >= call->pause_at)
        return 0;
    if (call->capacity - call->length < 2) {
        call->capacity = call->capacity ? 2 * call->capacity : 65536;
        call->data = realloc(call->data, call->capacity);
        assert_non_null(call->data);
    }
    room = call->capacity - call->length - 1;
    if (call->room_max && room > call->room_max)
        room = call->room_max;
    if (call->pause_at && room > call->pause_at - call->length)
        room = call->pause_at - call->length;
    *ret_where = call->data + call->length;
    return room;
}

static void sink_commit(struct store_sink *sink, size_t length)
{
    struct store_call *call = call_of(sink);

    call->length += length;
    call->data[call->length] = '\0';
}

static void on_done(struct store_request *request)
{
    assert_false(((struct store_call *)request)->done);
    ((struct store_call *)request)->done = true;
}

static void on_object(struct store_request *request)
{
    assert_int_equal(((struct store_call *)request)->length, 0);
    ((struct store_call *)request)->objects++;
}

/* ---- the call -------------------------------------------------------------------------------- */

void store_call_init(struct store_call *call, enum store_operation operation, struct store *store,
                     struct shard *shard)
{
    *call = (struct store_call){.sink = {sink_space, sink_commit}};
    store_request_init(&call->request, operation, store, shard, on_done);
    if (operation == STORE_GET) {
        call->request.sink = &call->sink;
        call->request.on_object = on_object;
    }
}

static void enter(struct store_call *call, struct gate_scope *scope)
{
    gate_enter(scope);
    shard_lock(call->request.shard);
}

static void leave(struct store_call *call, struct gate_scope *scope)
{
    shard_unlock(call->request.shard);
    gate_leave(scope);
}

void store_call_begin(struct store_call *call)
{
    struct gate_scope scope;

    enter(call, &scope);
    store_submit(&call->request);
    leave(call, &scope);
}

void store_call_resume(struct store_call *call)
{
    struct gate_scope scope;

    enter(call, &scope);
    call->pause_at = 0;
    store_request_resume(&call->request);
    leave(call, &scope);
}

void store_call_abandon(struct store_call *call)
{
    struct gate_scope scope;

    enter(call, &scope);
    store_abandon(&call->request);
    leave(call, &scope);
}

struct wait {
    struct store_call *call;
    size_t length;
};

static bool is_ready(const struct shard_waiter *waiter)
{
    const struct wait *wait = waiter->arg;

    return wait->call->done || wait->call->length >= wait->length;
}

static bool advance(struct shard_waiter *waiter)
{
    return store_advance(&((struct wait *)waiter->arg)->call->request);
}

void store_call_wait_bytes(struct store_call *call, size_t length)
{
    struct wait wait = {call, length};
    struct shard_waiter waiter = {.ready = is_ready, .advance = advance, .arg = &wait};
    struct gate_scope scope;
    int r;

    enter(call, &scope);
    r = shard_wait(call->request.shard, &waiter, clock_deadline_ns(store_call_patience_ns));
    leave(call, &scope);
    if (r < 0)
        fail_msg("%s did not end within a minute", store_operation_name(call->request.operation));
}

void store_call_wait(struct store_call *call)
{
    store_call_wait_bytes(call, SIZE_MAX);
}

enum error_class store_call_do(struct store_call *call)
{
    char line[512];

    store_call_begin(call);
    store_call_wait(call);
    if (call->request.error.class != ERROR_NONE && getenv("CONTRACT_VERBOSE")) {
        error_format(&call->request.error, line, sizeof line);
        print_message("%s\n", line);
    }
    return call->request.error.class;
}

void store_call_fini(struct store_call *call)
{
    store_request_fini(&call->request);
    free(call->data);
}

/* ---- what goes and comes --------------------------------------------------------------------- */

enum error_class store_call_put(struct store_call *call, const char *text)
{
    call->body = (struct iovec){(char *)text, strlen(text)};
    call->request.body = &call->body;
    call->request.body_count = 1;
    return store_call_do(call);
}

void store_call_text(const struct store_call *call, char *text, size_t size)
{
    assert_in_range(call->length, 0, size - 1);
    memcpy(text, call->data ? call->data : "", call->length);
    text[call->length] = '\0';
}

void store_call_names(const struct store_call *call, char *names, size_t size)
{
    const struct store_page *page = call->request.page;

    for (size_t i = 0; i < page->count; i++) {
        size_t length = strlen(names);

        assert_in_range(length + strlen(page->entries[i].key) + 2, 0, size);
        if (length)
            names[length++] = ' ';
        strcpy(names + length, page->entries[i].key);
    }
}
