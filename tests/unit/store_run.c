/* A store for a unit test; see store_run.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_run.h"

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

void run_init(struct run *run, struct store_call *call, enum store_operation operation,
              const char *bucket, const char *key)
{
    store_call_init(call, operation, run->store, run->shard);
    call->request.bucket = bucket;
    call->request.key = key;
}

enum error_class run_simple(struct run *run, enum store_operation operation, const char *bucket,
                            const char *key)
{
    struct store_call call;
    enum error_class class;

    run_init(run, &call, operation, bucket, key);
    class = store_call_do(&call);
    store_call_fini(&call);
    return class;
}

enum error_class run_put(struct run *run, const char *bucket, const char *key, const char *text)
{
    struct store_call call;
    enum error_class class;

    run_init(run, &call, STORE_PUT, bucket, key);
    class = store_call_put(&call, text);
    store_call_fini(&call);
    return class;
}

enum error_class run_get(struct run *run, const char *bucket, const char *key, char *data,
                         size_t size)
{
    struct store_call call;
    enum error_class class;

    run_init(run, &call, STORE_GET, bucket, key);
    class = store_call_do(&call);
    store_call_text(&call, data, size);
    store_call_fini(&call);
    return class;
}

enum error_class run_list(struct run *run, const char *bucket, const char *prefix,
                          const char *delimiter, char *names, size_t size)
{
    struct store_call call;
    enum error_class class;

    names[0] = '\0';
    run_init(run, &call, STORE_LIST, bucket, NULL);
    call.request.prefix = prefix;
    call.request.delimiter = delimiter;
    class = store_call_do(&call);
    if (class == ERROR_NONE)
        store_call_names(&call, names, size);
    store_call_fini(&call);
    return class;
}
