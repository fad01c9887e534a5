/* Multipart uploads: any order, copied parts, checksums, conditions, abort. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "cases.h"
#include "run.h"

#define MIB  ((size_t)1 << 20)
#define PART (5 * MIB)

/* An upload under way; parts by number - 1. */
struct upload {
    const char *key;
    char id[STORE_UPLOAD_ID_MAX];
    bool with_crc;
    struct store_part parts[4];
};

static void upload_begin(struct upload *upload, const char *key, bool with_crc,
                         const struct store_metadata *metadata)
{
    struct store_call call;

    *upload = (struct upload){.key = key, .with_crc = with_crc};
    run_call_init(&call, STORE_UPLOAD_CREATE, key);
    call.request.upload_crc32c = with_crc;
    call.request.metadata = metadata;
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_true(call.request.returned_upload_id[0] != '\0');
    strcpy(upload->id, call.request.returned_upload_id);
    store_call_fini(&call);
}

/* Bytes of the pattern from `offset` on. */
static enum error_class upload_part(struct upload *upload, unsigned number, uint64_t offset,
                                    size_t length)
{
    char *data = malloc(length);
    struct iovec body = {data, length};
    enum error_class class;
    struct store_call call;

    assert_non_null(data);
    pattern_fill(data, 9, offset, length);
    run_call_init(&call, STORE_UPLOAD_PART, upload->key);
    call.request.upload_id = upload->id;
    call.request.part_number = number;
    call.request.body = &body;
    call.request.body_count = 1;
    call.request.has_body_crc32c = upload->with_crc;
    call.request.body_crc32c = crc32c_update(0, data, length);
    class = store_call_do(&call);
    if (class == ERROR_NONE) {
        assert_int_equal(call.request.part.number, number);
        assert_int_equal(call.request.part.size_bytes, length);
        assert_true(call.request.part.etag[0] == '"');
        upload->parts[number - 1] = call.request.part;
    }
    store_call_fini(&call);
    free(data);
    return class;
}

static enum error_class upload_copy(struct upload *upload, unsigned number, const char *source,
                                    uint64_t offset, uint64_t length, const char *if_match)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, STORE_UPLOAD_PART_COPY, upload->key);
    call.request.upload_id = upload->id;
    call.request.part_number = number;
    call.request.source_bucket = run.bucket;
    call.request.source_key = source;
    call.request.offset = offset;
    call.request.length = length;
    call.request.if_match = if_match;
    class = store_call_do(&call);
    if (class == ERROR_NONE)
        upload->parts[number - 1] = call.request.part;
    store_call_fini(&call);
    return class;
}

static void complete_init(struct store_call *call, struct upload *upload, unsigned count)
{
    uint32_t crc = 0;

    run_call_init(call, STORE_UPLOAD_COMPLETE, upload->key);
    call->request.upload_id = upload->id;
    call->request.parts = upload->parts;
    call->request.part_count = count;
    call->request.upload_crc32c = upload->with_crc;
    for (unsigned i = 0; i < count; i++)
        crc = crc32c_combine(crc, upload->parts[i].crc32c, upload->parts[i].size_bytes);
    call->request.total_crc32c = crc;
}

static enum error_class upload_complete(struct upload *upload, unsigned count)
{
    enum error_class class;
    struct store_call call;

    complete_init(&call, upload, count);
    class = store_call_do(&call);
    store_call_fini(&call);
    return class;
}

static enum error_class upload_abort(struct upload *upload)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, STORE_UPLOAD_ABORT, upload->key);
    call.request.upload_id = upload->id;
    class = store_call_do(&call);
    store_call_fini(&call);
    return class;
}

static void assert_object(const char *key, size_t length)
{
    struct store_call call;

    run_call_init(&call, STORE_GET, key);
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.length, length);
    assert_pattern(call.data, 9, 0, length);
    store_call_fini(&call);
}

static int teardown(void **state)
{
    (void)state;
    delete_below("mp/");
    return 0;
}

static void parts_out_of_order(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct upload upload;
    struct store_call call;

    (void)state;
    upload_begin(&upload, "mp/order", true, NULL);
    assert_class(upload_part(&upload, 3, 2 * PART, 1), ERROR_NONE);
    assert_class(upload_part(&upload, 2, PART, PART), ERROR_NONE);
    assert_class(upload_part(&upload, 1, 7, PART), ERROR_NONE); /* replaced by the next */
    assert_class(upload_part(&upload, 1, 0, PART), ERROR_NONE);
    assert_class(try_head("mp/order"), ERROR_NOT_FOUND);
    complete_init(&call, &upload, 3);
    assert_class(store_call_do(&call), ERROR_NONE);
    strcpy(etag, call.request.object.etag);
    store_call_fini(&call);
    assert_object("mp/order", 2 * PART + 1);
    run_call_init(&call, STORE_HEAD, "mp/order");
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_string_equal(call.request.object.etag, etag);
    store_call_fini(&call);
    assert_class(upload_complete(&upload, 3), run.traits->complete_twice);
}

static void chosen_parts_only(void **state)
{
    struct upload upload;

    (void)state;
    upload_begin(&upload, "mp/chosen", false, NULL);
    assert_class(upload_part(&upload, 1, 0, PART), ERROR_NONE);
    assert_class(upload_part(&upload, 2, 0, 100), ERROR_NONE);
    assert_class(upload_part(&upload, 3, PART, 100), ERROR_NONE);
    upload.parts[1] = upload.parts[2];
    assert_class(upload_complete(&upload, 2), ERROR_NONE);
    assert_object("mp/chosen", PART + 100);
}

static void wrong_lists_are_refused(void **state)
{
    struct upload upload;
    struct store_part swap;

    (void)state;
    upload_begin(&upload, "mp/wrong", false, NULL);
    assert_class(upload_part(&upload, 1, 0, PART), ERROR_NONE);
    assert_class(upload_part(&upload, 2, PART, 10), ERROR_NONE);
    swap = upload.parts[0];
    upload.parts[0] = upload.parts[1];
    upload.parts[1] = swap;
    assert_class(upload_complete(&upload, 2), ERROR_INVALID);
    upload.parts[1] = upload.parts[0];
    upload.parts[0] = swap;
    strcpy(upload.parts[1].etag, "\"00000000000000000000000000000000\"");
    assert_class(upload_complete(&upload, 2), ERROR_INVALID);
    assert_class(try_head("mp/wrong"), ERROR_NOT_FOUND);
    assert_class(upload_abort(&upload), ERROR_NONE);
}

static void small_parts(void **state)
{
    struct upload upload;

    (void)state;
    upload_begin(&upload, "mp/small", false, NULL);
    assert_class(upload_part(&upload, 1, 0, 1000), ERROR_NONE);
    assert_class(upload_part(&upload, 2, 1000, 1000), ERROR_NONE);
    if (run.traits->has & CHECKS_PART_SIZE) {
        assert_class(upload_complete(&upload, 2), ERROR_INVALID);
        assert_class(upload_abort(&upload), ERROR_NONE);
    } else {
        assert_class(upload_complete(&upload, 2), ERROR_NONE);
        assert_object("mp/small", 2000);
    }
}

static void wrong_total(void **state)
{
    struct upload upload;
    struct store_call call;

    (void)state;
    upload_begin(&upload, "mp/total", true, NULL);
    assert_class(upload_part(&upload, 1, 0, 1000), ERROR_NONE);
    complete_init(&call, &upload, 1);
    call.request.total_crc32c ^= 1;
    assert_class(store_call_do(&call),
                 run.traits->has & CHECKS_TOTAL_CRC ? ERROR_INTEGRITY : ERROR_NONE);
    store_call_fini(&call);
    if (run.traits->has & CHECKS_TOTAL_CRC) {
        assert_class(try_head("mp/total"), ERROR_NOT_FOUND);
        assert_class(upload_abort(&upload), ERROR_NONE);
    }
}

static void copied_parts(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct upload upload;

    (void)state;
    put_pattern("mp/source", 9, 2 * PART, etag);
    upload_begin(&upload, "mp/copied", false, NULL);
    assert_class(upload_copy(&upload, 1, "mp/source", 0, PART, etag), ERROR_NONE);
    assert_class(upload_copy(&upload, 2, "mp/source", PART, 1000, etag), ERROR_NONE);
    assert_class(upload_copy(&upload, 3, "mp/source", 0, PART, "\"0\""), ERROR_CHANGED);
    assert_class(upload_copy(&upload, 3, "mp/absent", 0, PART, NULL), ERROR_NOT_FOUND);
    assert_class(upload_copy(&upload, 3, "mp/source", PART, 2 * PART, NULL),
                 run.traits->copy_beyond_end);
    assert_class(upload_complete(&upload, 2), ERROR_NONE);
    assert_object("mp/copied", PART + 1000);
    put_text("mp/source", "another, shorter version");
    upload_begin(&upload, "mp/of another", false, NULL);
    assert_class(upload_copy(&upload, 1, "mp/source", 0, PART, etag), ERROR_CHANGED);
    assert_class(upload_copy(&upload, 1, "mp/source", PART, PART, etag), ERROR_CHANGED);
    assert_class(upload_abort(&upload), ERROR_NONE);
    put_pattern("mp/source", 9, 2 * PART, etag);
    upload_begin(&upload, "mp/whole", false, NULL);
    assert_class(upload_copy(&upload, 1, "mp/source", 0, 0, etag), ERROR_NONE);
    assert_class(upload_complete(&upload, 1), ERROR_NONE);
    assert_object("mp/whole", 2 * PART);
}

/* What was sent under one key becomes parts of an upload to another, and the first key is free
 * before that is complete: how a stream is renamed. */
static void moved_parts(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct upload upload;
    struct store_call call;

    (void)state;
    put_text("mp/replaced", "as before");
    upload_begin(&upload, "mp/old", true, NULL);
    assert_class(upload_part(&upload, 1, 0, PART), ERROR_NONE);
    assert_class(upload_part(&upload, 2, PART, PART), ERROR_NONE);
    complete_init(&call, &upload, 2);
    call.request.if_none_match = true;
    assert_class(store_call_do(&call), ERROR_NONE);
    strcpy(etag, call.request.object.etag);
    store_call_fini(&call);

    upload_begin(&upload, "mp/replaced", false, NULL);
    assert_class(upload_copy(&upload, 1, "mp/old", 0, PART, etag), ERROR_NONE);
    assert_class(upload_copy(&upload, 2, "mp/old", PART, PART, etag), ERROR_NONE);
    run_call_init(&call, STORE_DELETE, "mp/old");
    call.request.if_match = etag;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    assert_class(try_head("mp/old"), ERROR_NOT_FOUND);
    put_text("mp/old", "another's");
    assert_class(upload_part(&upload, 3, 2 * PART, 77), ERROR_NONE);
    assert_class(upload_complete(&upload, 3), ERROR_NONE);
    assert_object("mp/replaced", 2 * PART + 77);
}

static void copied_parts_with_checksum(void **state)
{
    struct upload upload;
    enum error_class class;

    (void)state;
    put_pattern("mp/source", 9, PART, NULL);
    upload_begin(&upload, "mp/summed", true, NULL);
    class = upload_copy(&upload, 1, "mp/source", 0, PART, NULL);
    if (!(run.traits->has & CRC_WITH_PART_COPY)) {
        assert_true(class != ERROR_NONE || !upload.parts[0].has_crc32c);
        assert_class(upload_abort(&upload), ERROR_NONE);
        return;
    }
    assert_class(class, ERROR_NONE);
    assert_true(upload.parts[0].has_crc32c);
    assert_class(upload_part(&upload, 2, PART, 77), ERROR_NONE);
    upload.parts[0].size_bytes = PART;
    assert_class(upload_complete(&upload, 2), ERROR_NONE);
    assert_object("mp/summed", PART + 77);
}

static void conditions_of_complete(void **state)
{
    char etag[STORE_ETAG_MAX];
    struct upload upload;
    struct store_call call;

    (void)state;
    put_pattern("mp/taken", 1, 10, etag);
    upload_begin(&upload, "mp/taken", false, NULL);
    assert_class(upload_part(&upload, 1, 0, 1000), ERROR_NONE);
    complete_init(&call, &upload, 1);
    call.request.if_none_match = true;
    assert_class(store_call_do(&call), ERROR_EXISTS);
    store_call_fini(&call);
    complete_init(&call, &upload, 1);
    call.request.if_match = "\"00000000000000000000000000000000\"";
    assert_class(store_call_do(&call), ERROR_CHANGED);
    store_call_fini(&call);
    complete_init(&call, &upload, 1);
    call.request.if_match = etag;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    assert_object("mp/taken", 1000);
    upload_begin(&upload, "mp/free", false, NULL);
    assert_class(upload_part(&upload, 1, 0, 1000), ERROR_NONE);
    complete_init(&call, &upload, 1);
    call.request.if_none_match = true;
    assert_class(store_call_do(&call), ERROR_NONE);
    store_call_fini(&call);
    assert_object("mp/free", 1000);
}

static void aborting(void **state)
{
    struct upload upload;

    (void)state;
    upload_begin(&upload, "mp/aborted", false, NULL);
    assert_class(upload_part(&upload, 1, 0, 1000), ERROR_NONE);
    assert_class(upload_abort(&upload), ERROR_NONE);
    assert_class(upload_abort(&upload), run.traits->abort_twice);
    assert_class(upload_part(&upload, 2, 0, 1000), ERROR_NOT_FOUND);
    assert_class(upload_complete(&upload, 1), ERROR_NOT_FOUND);
    assert_class(try_head("mp/aborted"), ERROR_NOT_FOUND);
}

static bool upload_is_listed(const struct upload *upload, const char *prefix)
{
    bool found = false;
    struct store_call call;

    run_call_init(&call, STORE_UPLOAD_LIST, NULL);
    call.request.prefix = prefix;
    assert_class(store_call_do(&call), ERROR_NONE);
    for (size_t i = 0; i < call.request.page->count; i++)
        found |= strcmp(call.request.page->entries[i].key, upload->key) == 0 &&
                 strcmp(store_entry_upload_id(&call.request.page->entries[i]), upload->id) == 0;
    store_call_fini(&call);
    return found;
}

static void uploads_in_flight(void **state)
{
    struct upload one, two;

    (void)state;
    upload_begin(&one, "mp/in flight + \xc3\xa9", false, NULL);
    upload_begin(&two, "mp/in flight/two", false, NULL);
    if (run.traits->has & LISTS_UPLOADS) {
        assert_true(upload_is_listed(&one, "mp/"));
        assert_true(upload_is_listed(&two, "mp/"));
        assert_true(upload_is_listed(&two, "mp/in flight/"));
        assert_false(upload_is_listed(&one, "mp/in flight/"));
        assert_true(upload_is_listed(&one, NULL));
    }
    assert_class(upload_abort(&one), ERROR_NONE);
    assert_class(upload_abort(&two), ERROR_NONE);
    assert_false(upload_is_listed(&two, "mp/"));
}

static void metadata_of_uploads(void **state)
{
    struct store_metadata metadata = {0};
    struct upload upload;
    struct store_call call;

    (void)state;
    if (!(run.traits->has & HAS_METADATA))
        return;
    assert_int_equal(store_metadata_add(&metadata, "mode", "0640"), 0);
    upload_begin(&upload, "mp/described", false, &metadata);
    assert_class(upload_part(&upload, 1, 0, 1000), ERROR_NONE);
    assert_class(upload_complete(&upload, 1), ERROR_NONE);
    run_call_init(&call, STORE_HEAD, "mp/described");
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_string_equal(store_metadata_get(&call.request.object.metadata, "mode"), "0640");
    store_call_fini(&call);
    store_metadata_fini(&metadata);
}

static void bad_part_numbers(void **state)
{
    struct upload upload;
    struct store_call call;

    (void)state;
    upload_begin(&upload, "mp/number", false, NULL);
    for (unsigned number = 0; number <= 10001; number += 10001) {
        run_call_init(&call, STORE_UPLOAD_PART, upload.key);
        call.request.upload_id = upload.id;
        call.request.part_number = number;
        assert_class(store_call_do(&call), ERROR_INVALID);
        store_call_fini(&call);
    }
    assert_class(upload_abort(&upload), ERROR_NONE);
}

int cases_multipart(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_out_of_order),
        cmocka_unit_test(chosen_parts_only),
        cmocka_unit_test(wrong_lists_are_refused),
        cmocka_unit_test(small_parts),
        cmocka_unit_test(wrong_total),
        cmocka_unit_test(copied_parts),
        cmocka_unit_test(moved_parts),
        cmocka_unit_test(copied_parts_with_checksum),
        cmocka_unit_test(conditions_of_complete),
        cmocka_unit_test(aborting),
        cmocka_unit_test(uploads_in_flight),
        cmocka_unit_test(metadata_of_uploads),
        cmocka_unit_test(bad_part_numbers),
    };

    return cmocka_run_group_tests_name("multipart", tests, NULL, teardown);
}
