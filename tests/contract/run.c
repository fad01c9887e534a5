/* Blocking requests on the store under test. See run.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/gate.h"
#include "run.h"

#define WAIT_NS (60 * NS_PER_S)

struct run run;

/* ---- stores --------------------------------------------------------------------------------- */

static bool is_changed(const char *variable, const char *const *changes)
{
    size_t name = strcspn(variable, "=") + 1;

    for (; *changes; changes++)
        if (strncmp(variable, *changes, name) == 0)
            return true;
    return false;
}

void other_open(struct other *other, const char *const *changes)
{
    const struct store_ops *ops = run.store->ops;
    struct error err = {0};
    size_t count = 0;

    for (char **variable = environ; *variable; variable++) {
        assert_in_range(count, 0, sizeof other->environment / sizeof *other->environment - 16);
        if (!is_changed(*variable, changes))
            other->environment[count++] = *variable;
    }
    for (; *changes; changes++)
        if (strchr(*changes, '=')[1])
            other->environment[count++] = (char *)*changes;
    other->environment[count] = NULL;
    assert_int_equal(options_load(other->environment, NULL, NULL, &other->options), 0);
    if (ops->open(&other->options, &other->store, &err) < 0)
        fail_msg("a store does not open: %s", err.message);
}

void other_close(struct other *other)
{
    other->store->ops->close(other->store);
    options_fini(&other->options);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static struct call *call_of(struct store_sink *sink)
{
    return (struct call *)((char *)sink - offsetof(struct call, sink));
}

static size_t sink_space(struct store_sink *sink, void **ret_where)
{
    struct call *call = call_of(sink);
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
    struct call *call = call_of(sink);

    call->length += length;
    call->data[call->length] = '\0';
}

static void on_done(struct store_request *request)
{
    assert_false(((struct call *)request)->done);
    ((struct call *)request)->done = true;
}

static void on_object(struct store_request *request)
{
    assert_int_equal(((struct call *)request)->length, 0);
    ((struct call *)request)->objects++;
}

void call_init(struct call *call, enum store_operation operation, const char *key)
{
    *call = (struct call){.sink = {sink_space, sink_commit}};
    store_request_init(&call->request, operation, run.store, run.shard, on_done);
    call->request.bucket = run.bucket;
    call->request.key = key;
    if (operation == STORE_GET) {
        call->request.sink = &call->sink;
        call->request.on_object = on_object;
    }
}

static void enter(struct gate_scope *scope)
{
    gate_enter(scope);
    shard_lock(run.shard);
}

static void leave(struct gate_scope *scope)
{
    shard_unlock(run.shard);
    gate_leave(scope);
}

void call_begin(struct call *call)
{
    struct gate_scope scope;

    enter(&scope);
    store_submit(&call->request);
    leave(&scope);
}

void call_resume(struct call *call)
{
    struct gate_scope scope;

    enter(&scope);
    call->pause_at = 0;
    store_request_resume(&call->request);
    leave(&scope);
}

void call_abandon(struct call *call)
{
    struct gate_scope scope;

    enter(&scope);
    store_abandon(&call->request);
    leave(&scope);
}

struct wait {
    struct call *call;
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

void call_wait_bytes(struct call *call, size_t length)
{
    struct wait wait = {call, length};
    struct shard_waiter waiter = {.ready = is_ready, .advance = advance, .arg = &wait};
    struct gate_scope scope;
    int r;

    enter(&scope);
    r = shard_wait(run.shard, &waiter, clock_deadline_ns(WAIT_NS));
    leave(&scope);
    if (r < 0)
        fail_msg("%s did not end within a minute", store_operation_name(call->request.operation));
}

void call_wait(struct call *call)
{
    call_wait_bytes(call, SIZE_MAX);
}

enum error_class call_do(struct call *call)
{
    char line[512];

    call_begin(call);
    call_wait(call);
    if (call->request.error.class != ERROR_NONE && getenv("CONTRACT_VERBOSE")) {
        error_format(&call->request.error, line, sizeof line);
        print_message("%s\n", line);
    }
    return call->request.error.class;
}

void call_fini(struct call *call)
{
    store_request_fini(&call->request);
    free(call->data);
}

/* ---- one-liners ----------------------------------------------------------------------------- */

void pattern_fill(void *data, unsigned seed, uint64_t offset, size_t length)
{
    unsigned char *at = data;

    for (size_t i = 0; i < length; i++) {
        uint64_t x = (offset + i) / 8 * UINT64_C(0x9e3779b97f4a7c15) + seed;

        at[i] = (unsigned char)((x ^ x >> 29) >> 8 * ((offset + i) % 8));
    }
}

void assert_pattern(const void *data, unsigned seed, uint64_t offset, size_t length)
{
    unsigned char *expected = malloc(length ? length : 1);
    size_t i = 0;

    assert_non_null(expected);
    pattern_fill(expected, seed, offset, length);
    while (i < length && ((const unsigned char *)data)[i] == expected[i])
        i++;
    free(expected);
    if (i < length)
        fail_msg("byte %zu is wrong", i);
}

void put_pattern(const char *key, unsigned seed, size_t length, char *ret_etag)
{
    char *data = malloc(length ? length : 1);
    struct iovec body = {data, length};
    struct call call;

    assert_non_null(data);
    pattern_fill(data, seed, 0, length);
    call_init(&call, STORE_PUT, key);
    call.request.body = &body;
    call.request.body_count = length ? 1 : 0;
    assert_class(call_do(&call), ERROR_NONE);
    if (ret_etag)
        strcpy(ret_etag, call.request.object.etag);
    call_fini(&call);
    free(data);
}

enum error_class try_put(const char *key, const char *text)
{
    struct iovec body = {(char *)text, strlen(text)};
    enum error_class class;
    struct call call;

    call_init(&call, STORE_PUT, key);
    call.request.body = &body;
    call.request.body_count = 1;
    class = call_do(&call);
    call_fini(&call);
    return class;
}

void put_text(const char *key, const char *text)
{
    assert_class(try_put(key, text), ERROR_NONE);
}

static enum error_class try_simple(enum store_operation operation, const char *key)
{
    enum error_class class;
    struct call call;

    call_init(&call, operation, key);
    class = call_do(&call);
    call_fini(&call);
    return class;
}

enum error_class try_head(const char *key)
{
    return try_simple(STORE_HEAD, key);
}

enum error_class try_delete(const char *key)
{
    return try_simple(STORE_DELETE, key);
}

void get_text(const char *key, char *text, size_t size)
{
    struct call call;

    call_init(&call, STORE_GET, key);
    assert_class(call_do(&call), ERROR_NONE);
    assert_in_range(call.length, 0, size - 1);
    memcpy(text, call.data ? call.data : "", call.length);
    text[call.length] = '\0';
    call_fini(&call);
}

/* ---- listings ------------------------------------------------------------------------------- */

static void append_names(const struct store_page *page, char *names, size_t size)
{
    for (size_t i = 0; i < page->count; i++) {
        size_t length = strlen(names);

        assert_in_range(length + strlen(page->entries[i].key) + 2, 0, size);
        if (length)
            names[length++] = ' ';
        strcpy(names + length, page->entries[i].key);
    }
}

unsigned list_names(const char *prefix, const char *delimiter, unsigned max_keys, char *names,
                    size_t size)
{
    char *token = NULL;
    unsigned pages = 0;
    struct call call;

    names[0] = '\0';
    do {
        call_init(&call, STORE_LIST, NULL);
        call.request.prefix = prefix;
        call.request.delimiter = delimiter;
        call.request.max_keys = max_keys;
        call.request.token = token;
        assert_class(call_do(&call), ERROR_NONE);
        append_names(call.request.page, names, size);
        free(token);
        token = call.request.page->next_token ? strdup(call.request.page->next_token) : NULL;
        call_fini(&call);
        pages++;
    } while (token);
    return pages;
}

/* Children before the directories they are in. */
static unsigned delete_page(const char *prefix)
{
    unsigned count = 0;
    struct call call;

    call_init(&call, STORE_LIST, NULL);
    call.request.prefix = prefix;
    assert_class(call_do(&call), ERROR_NONE);
    for (size_t i = call.request.page->count; i-- > 0; count++)
        assert_class(try_delete(call.request.page->entries[i].key), ERROR_NONE);
    call_fini(&call);
    return count;
}

void delete_below(const char *prefix)
{
    while (delete_page(prefix) > 0)
        continue;
}
