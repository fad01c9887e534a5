/* Blocking requests on the store under test. See run.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "run.h"

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

void run_call_init(struct store_call *call, enum store_operation operation, const char *key)
{
    store_call_init(call, operation, run.store, run.shard);
    call->request.bucket = run.bucket;
    call->request.key = key;
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
    struct store_call call;

    assert_non_null(data);
    pattern_fill(data, seed, 0, length);
    run_call_init(&call, STORE_PUT, key);
    call.request.body = &body;
    call.request.body_count = length ? 1 : 0;
    assert_class(store_call_do(&call), ERROR_NONE);
    if (ret_etag)
        strcpy(ret_etag, call.request.object.etag);
    store_call_fini(&call);
    free(data);
}

enum error_class try_put(const char *key, const char *text)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, STORE_PUT, key);
    class = store_call_put(&call, text);
    store_call_fini(&call);
    return class;
}

void put_text(const char *key, const char *text)
{
    assert_class(try_put(key, text), ERROR_NONE);
}

static enum error_class try_simple(enum store_operation operation, const char *key)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, operation, key);
    class = store_call_do(&call);
    store_call_fini(&call);
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
    struct store_call call;

    run_call_init(&call, STORE_GET, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_text(&call, text, size);
    store_call_fini(&call);
}

/* ---- listings ------------------------------------------------------------------------------- */

unsigned list_names(const char *prefix, const char *delimiter, unsigned max_keys, char *names,
                    size_t size)
{
    char *token = NULL;
    unsigned pages = 0;
    struct store_call call;

    names[0] = '\0';
    do {
        run_call_init(&call, STORE_LIST, NULL);
        call.request.prefix = prefix;
        call.request.delimiter = delimiter;
        call.request.max_keys = max_keys;
        call.request.token = token;
        assert_class(store_call_do(&call), ERROR_NONE);
        store_call_names(&call, names, size);
        free(token);
        token = call.request.page->next_token ? strdup(call.request.page->next_token) : NULL;
        store_call_fini(&call);
        pages++;
    } while (token);
    return pages;
}

/* Children before the directories they are in. */
static unsigned delete_page(const char *prefix)
{
    unsigned count = 0;
    struct store_call call;

    run_call_init(&call, STORE_LIST, NULL);
    call.request.prefix = prefix;
    assert_class(store_call_do(&call), ERROR_NONE);
    for (size_t i = call.request.page->count; i-- > 0; count++)
        assert_class(try_delete(call.request.page->entries[i].key), ERROR_NONE);
    store_call_fini(&call);
    return count;
}

void delete_below(const char *prefix)
{
    while (delete_page(prefix) > 0)
        continue;
}
