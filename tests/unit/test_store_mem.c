/* engine/store/store.c, inline_body.c, the in-memory store: pages, metadata, bodies that pause. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/internal.h"
#include "store/mem.h"
#include "store_run.h"

static struct run run;

static int setup(void **state)
{
    (void)state;
    run_open(&run, "mem", NULL);
    return run_simple(&run, STORE_CREATE_BUCKET, "b", NULL) == ERROR_NONE ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    run_close(&run);
    return 0;
}

static void table_rows_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; store_at(i); i++) {
        assert_ptr_equal(store_find(store_at(i)->scheme), store_at(i));
        assert_non_null(store_at(i)->open);
        assert_non_null(store_at(i)->submit);
        assert_non_null(store_at(i)->abandon);
    }
    assert_null(store_find("nonsense"));
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        assert_string_not_equal(store_operation_name(i), "Unknown");
}

static void metadata_keeps_pairs(void **state)
{
    struct store_metadata metadata = {0};
    char large[STORE_METADATA_MAX + 1];

    (void)state;
    assert_null(store_metadata_get(&metadata, "mode"));
    assert_int_equal(store_metadata_add(&metadata, "Mode", "0644"), 0);
    assert_int_equal(store_metadata_add(&metadata, "uid", ""), 0);
    assert_string_equal(store_metadata_get(&metadata, "mode"), "0644");
    assert_string_equal(store_metadata_get(&metadata, "uid"), "");
    assert_null(store_metadata_get(&metadata, "0644"));
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_true(store_metadata_add(&metadata, "large", large) < 0);
    assert_string_equal(store_metadata_get(&metadata, "mode"), "0644");
    store_metadata_fini(&metadata);
}

static void page_sorts_bytewise_and_copies(void **state)
{
    struct store_page_builder *builder = store_page_builder_new();
    struct store_page *page;
    char key[32];

    (void)state;
    for (unsigned i = 1000; i-- > 0;) {
        snprintf(key, sizeof key, "%03u", i);
        assert_int_equal(
            store_page_builder_add(builder, &(struct store_entry){.key = key, .size_bytes = i}), 0);
    }
    assert_int_equal(store_page_builder_add(builder, &(struct store_entry){.key = "\xff"}), 0);
    assert_int_equal(store_page_builder_add(builder, &(struct store_entry){.key = "/"}), 0);
    assert_int_equal(store_page_builder_count(builder), 1002);
    page = store_page_builder_finish(builder, "token");
    assert_non_null(page);
    assert_string_equal(page->next_token, "token");
    assert_string_equal(page->entries[0].key, "/");
    assert_string_equal(page->entries[1001].key, "\xff");
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(page->entries[i + 1].size_bytes, i);
    store_page_free(page);
    store_page_free(NULL);
    store_page_builder_free(NULL);
}

static void errors_name_operation_and_uri(void **state)
{
    struct store_call r;

    (void)state;
    run_init(&run, &r, STORE_GET, "b", "no/such");
    assert_int_equal(store_call_do(&r), ERROR_NOT_FOUND);
    assert_string_equal(r.request.error.operation, "GetObject");
    assert_string_equal(r.request.error.uri, "mem://b/no/such");
    store_call_fini(&r);
    run_init(&run, &r, STORE_GET, "absent", "k");
    assert_int_equal(store_call_do(&r), ERROR_NO_BUCKET);
    store_call_fini(&r);
}

/* A request, not begun, for an object of ten bytes. */
static void init_get(struct store_call *r)
{
    assert_int_equal(run_put(&run, "b", "k", "0123456789"), ERROR_NONE);
    run_init(&run, r, STORE_GET, "b", "k");
}

static void body_comes_in_small_pieces(void **state)
{
    struct store_call r;

    init_get(&r);
    r.room_max = 3;
    r.request.offset = 1;
    r.request.length = 100;
    assert_int_equal(store_call_do(&r), ERROR_NONE);
    assert_string_equal(r.data, "123456789");
    assert_int_equal(r.objects, 1);
    assert_int_equal(r.request.object.size_bytes, 10);
    assert_true(r.request.object_is_range);
    assert_int_equal(r.request.bytes_received, 9);
    store_call_fini(&r);
}

static void body_pauses_and_goes_on(void **state)
{
    struct store_call r;

    init_get(&r);
    r.pause_at = 4;
    store_call_begin(&r);
    assert_false(r.done);
    assert_string_equal(r.data, "0123");
    assert_int_equal(run_put(&run, "b", "k", "another version"), ERROR_NONE);
    store_call_resume(&r);
    assert_true(r.done);
    assert_string_equal(r.data, "0123456789");
    store_call_fini(&r);
}

static void abandoned_body_is_freed(void **state)
{
    struct store_call r;

    init_get(&r);
    r.pause_at = 4;
    store_call_begin(&r);
    store_call_abandon(&r);
    assert_false(r.done);
    store_call_fini(&r);
}

/* A sink that abandons its request from inside commit. */
static void abandoning_commit(struct store_sink *sink, size_t length)
{
    struct store_call *r = (struct store_call *)((char *)sink - offsetof(struct store_call, sink));

    r->length += length;
    store_abandon(&r->request);
}

static void sink_may_abandon(void **state)
{
    struct store_call r;

    init_get(&r);
    r.room_max = 3;
    r.sink.commit = abandoning_commit;
    store_call_begin(&r);
    assert_false(r.done);
    assert_int_equal(r.length, 3);
    store_call_fini(&r);
}

static void counts_operations(void **state)
{
    uint64_t counts[STORE_OPERATION_COUNT];

    (void)state;
    assert_int_equal(run_put(&run, "b", "k", "x"), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "k"), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "no"), ERROR_NOT_FOUND);
    mem_store_counts(run.store, counts);
    assert_int_equal(counts[STORE_PUT], 1);
    assert_int_equal(counts[STORE_HEAD], 2);
    assert_int_equal(counts[STORE_GET], 0);
}

static void wrong_checksum_is_refused(void **state)
{
    struct iovec body = {"data", 4};
    struct store_call r;

    (void)state;
    run_init(&run, &r, STORE_PUT, "b", "k");
    r.request.body = &body;
    r.request.body_count = 1;
    r.request.has_body_crc32c = true;
    r.request.body_crc32c = store_body_crc32c(&r.request) ^ 1;
    assert_int_equal(store_call_do(&r), ERROR_INTEGRITY);
    store_call_fini(&r);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "k"), ERROR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_rows_have_names),
        cmocka_unit_test(metadata_keeps_pairs),
        cmocka_unit_test(page_sorts_bytewise_and_copies),
        cmocka_unit_test_setup_teardown(errors_name_operation_and_uri, setup, teardown),
        cmocka_unit_test_setup_teardown(body_comes_in_small_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(body_pauses_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(abandoned_body_is_freed, setup, teardown),
        cmocka_unit_test_setup_teardown(sink_may_abandon, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_operations, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_checksum_is_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
