/* Blocking requests on a store, for unit tests. See store_run.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "io/gate.h"
#include "store_run.h"

#define WAIT_NS (10 * NS_PER_S)

static void on_problem(void *arg, const char *message)
{
    (void)arg;
    fail_msg("option: %s", message);
}

void run_open(struct run *run, const char *scheme, char *const *environment)
{
    static char *const nothing[] = {NULL};
    const struct store_ops *ops = store_find(scheme);

    assert_non_null(ops);
    assert_int_equal(
        options_load(environment ? environment : nothing, on_problem, NULL, &run->options), 0);
    assert_int_equal(shard_new(0, &run->shard), 0);
    assert_int_equal(ops->open(&run->options, &run->store, NULL), 0);
}

void run_close(struct run *run)
{
    run->store->ops->close(run->store);
    shard_free(run->shard);
    options_fini(&run->options);
}

static size_t sink_space(struct store_sink *sink, void **ret_where)
{
    struct run_request *r =
        (struct run_request *)((char *)sink - offsetof(struct run_request, sink));
    size_t room;

    if (r->pause_at && r->length >= r->pause_at)
        return 0;
    if (r->capacity - r->length < 2) {
        r->capacity = r->capacity ? 2 * r->capacity : 4096;
        r->data = realloc(r->data, r->capacity);
        assert_non_null(r->data);
    }
    room = r->capacity - r->length - 1;
    if (r->room_max && room > r->room_max)
        room = r->room_max;
    if (r->pause_at && room > r->pause_at - r->length)
        room = r->pause_at - r->length;
    *ret_where = r->data + r->length;
    return room;
}

static void sink_commit(struct store_sink *sink, size_t length)
{
    struct run_request *r =
        (struct run_request *)((char *)sink - offsetof(struct run_request, sink));

    r->length += length;
    r->data[r->length] = '\0';
}

static void on_done(struct store_request *request)
{
    assert_false(((struct run_request *)request)->done);
    ((struct run_request *)request)->done = true;
}

static void on_object(struct store_request *request)
{
    ((struct run_request *)request)->objects++;
}

void run_init(struct run *run, struct run_request *r, enum store_operation operation,
              const char *bucket, const char *key)
{
    *r = (struct run_request){.sink = {sink_space, sink_commit}};
    store_request_init(&r->request, operation, run->store, run->shard, on_done);
    r->request.bucket = bucket;
    r->request.key = key;
    if (operation == STORE_GET) {
        r->request.sink = &r->sink;
        r->request.on_object = on_object;
    }
}

static void enter(struct run_request *r, struct gate_scope *scope)
{
    gate_enter(scope);
    shard_lock(r->request.shard);
}

static void leave(struct run_request *r, struct gate_scope *scope)
{
    shard_unlock(r->request.shard);
    gate_leave(scope);
}

void run_begin(struct run_request *r)
{
    struct gate_scope scope;

    enter(r, &scope);
    store_submit(&r->request);
    leave(r, &scope);
}

void run_resume(struct run_request *r)
{
    struct gate_scope scope;

    enter(r, &scope);
    r->pause_at = 0;
    store_request_resume(&r->request);
    leave(r, &scope);
}

void run_abandon(struct run_request *r)
{
    struct gate_scope scope;

    enter(r, &scope);
    store_abandon(&r->request);
    leave(r, &scope);
}

static bool is_done(const struct shard_waiter *waiter)
{
    return ((const struct run_request *)waiter->arg)->done;
}

struct wait_bytes {
    const struct run_request *request;
    size_t length;
};

static bool has_bytes(const struct shard_waiter *waiter)
{
    const struct wait_bytes *wait = waiter->arg;

    return wait->request->length >= wait->length || wait->request->done;
}

static int wait_for(struct run_request *r, const struct shard_waiter *waiter)
{
    struct gate_scope scope;
    int result;

    enter(r, &scope);
    result = shard_wait(r->request.shard, waiter, clock_deadline_ns(WAIT_NS));
    leave(r, &scope);
    return result;
}

int run_wait(struct run_request *r)
{
    return wait_for(r, &(struct shard_waiter){.ready = is_done, .arg = r});
}

int run_wait_bytes(struct run_request *r, size_t length)
{
    struct wait_bytes wait = {r, length};

    return wait_for(r, &(struct shard_waiter){.ready = has_bytes, .arg = &wait});
}

enum error_class run_do(struct run_request *r)
{
    run_begin(r);
    assert_int_equal(run_wait(r), 0);
    return r->request.error.class;
}

void run_fini(struct run_request *r)
{
    store_request_fini(&r->request);
    free(r->data);
}

enum error_class run_simple(struct run *run, enum store_operation operation, const char *bucket,
                            const char *key)
{
    struct run_request r;
    enum error_class class;

    run_init(run, &r, operation, bucket, key);
    class = run_do(&r);
    run_fini(&r);
    return class;
}

enum error_class run_put(struct run *run, const char *bucket, const char *key, const char *text)
{
    struct iovec body = {(char *)text, strlen(text)};
    struct run_request r;
    enum error_class class;

    run_init(run, &r, STORE_PUT, bucket, key);
    r.request.body = &body;
    r.request.body_count = 1;
    class = run_do(&r);
    run_fini(&r);
    return class;
}

enum error_class run_get(struct run *run, const char *bucket, const char *key, char *data,
                         size_t size)
{
    struct run_request r;
    enum error_class class;

    run_init(run, &r, STORE_GET, bucket, key);
    class = run_do(&r);
    assert_in_range(r.length, 0, size - 1);
    memcpy(data, r.data ? r.data : "", r.length);
    data[r.length] = '\0';
    run_fini(&r);
    return class;
}

enum error_class run_list(struct run *run, const char *bucket, const char *prefix,
                          const char *delimiter, char *names, size_t size)
{
    struct run_request r;
    enum error_class class;

    names[0] = '\0';
    run_init(run, &r, STORE_LIST, bucket, NULL);
    r.request.prefix = prefix;
    r.request.delimiter = delimiter;
    class = run_do(&r);
    for (size_t i = 0; class == ERROR_NONE && i < r.request.page->count; i++) {
        assert_in_range(strlen(names) + strlen(r.request.page->entries[i].key) + 2, 0, size);
        strcat(names, i ? " " : "");
        strcat(names, r.request.page->entries[i].key);
    }
    run_fini(&r);
    return class;
}
