/* Appending while others do: core/writer_behind.c, core/draft_append.c, core/append_turn.c. */
#include "core_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/append_turn.h"
#include "core/draft.h"
#include "core/writer.h"

#define URI   "fault://behind/object"
#define PART  (8 * MIB)
#define LARGE (6 * MIB)

/* Two kinds of handles to append with, as one. */
enum kind { STREAM, DRAFT, KINDS };

struct handle {
    enum kind kind;
    struct s3dlio_writer *writer;
    struct s3dlio_draft *draft;
};

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_make_bucket("behind");
    return 0;
}

static struct handle begin(enum kind kind)
{
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_APPEND};
    bool exists = s3dlio_stat(URI, NULL, &(struct s3dlio_attr){0}, NULL) == 0;
    struct handle handle = {.kind = kind};

    if (kind == STREAM)
        assert_int_equal(s3dlio_writer_open(URI, &options, NULL, &handle.writer, NULL), 0);
    else
        assert_int_equal(s3dlio_draft_open(URI, &options,
                                           exists ? S3DLIO_DRAFT_KEEP : S3DLIO_DRAFT_EMPTY, NULL,
                                           &handle.draft, NULL),
                         0);
    return handle;
}

/* The pattern from `from` to `to`. */
static void append(const struct handle *handle, size_t from, size_t to)
{
    unsigned char *data = malloc(to - from);
    uint64_t offset;

    assert_non_null(data);
    core_run_fill(data, to - from, from);
    if (handle->kind == STREAM)
        assert_int_equal(s3dlio_writer_write(handle->writer, data, to - from, NULL), to - from);
    else
        assert_int_equal(s3dlio_draft_append(handle->draft, data, to - from, &offset, NULL),
                         to - from);
    free(data);
}

static int publish(const struct handle *handle)
{
    struct s3dlio_error error = {0};

    return handle->kind == STREAM ? s3dlio_writer_publish(handle->writer, NULL, &error)
                                  : s3dlio_draft_publish(handle->draft, NULL, &error);
}

static int finish(const struct handle *handle)
{
    struct s3dlio_error error = {0};

    return handle->kind == STREAM ? s3dlio_writer_close(handle->writer, NULL, &error)
                                  : s3dlio_draft_close(handle->draft, NULL, &error);
}

static uint64_t length_of(const struct handle *handle)
{
    return handle->kind == STREAM ? s3dlio_writer_length(handle->writer)
                                  : s3dlio_draft_length(handle->draft);
}

/* The object is the pattern from 0 to `before`, and then that from `from` to `to`. */
static void check(size_t before, size_t from, size_t to)
{
    size_t length;
    void *data;

    assert_int_equal(s3dlio_get(URI, NULL, &data, &length, NULL), 0);
    assert_int_equal(length, before + to - from);
    core_run_check(data, before, 0);
    core_run_check((unsigned char *)data + before, to - from, from);
    s3dlio_free(data);
}

#define NOTHING SIZE_MAX

static void put_elsewhere(size_t length)
{
    if (length == NOTHING)
        core_run_delete_elsewhere(URI);
    else
        core_run_put_elsewhere(URI, length, 0);
}

/* ---- another version ------------------------------------------------------------------------- */

static void one_change(enum kind kind, size_t base, size_t other, size_t length)
{
    size_t before = base == NOTHING ? 0 : base, then = other == NOTHING ? 0 : other;
    struct handle handle;

    put_elsewhere(base);
    handle = begin(kind);
    append(&handle, before, before + length);
    put_elsewhere(other);
    assert_int_equal(publish(&handle), 0);
    check(then, before, before + length);
    assert_int_equal(length_of(&handle), then + length);
    append(&handle, 5, 55);
    assert_int_equal(length_of(&handle), then + length + 50);
    core_run_put_elsewhere(URI, 33, 0);
    assert_int_equal(finish(&handle), 0);
    check(33, 5, 55);
    core_run_check_released();
    assert_int_equal(core_run_uploads_left("behind"), 0);
}

static void all_changes(void)
{
    static const size_t sizes[] = {NOTHING, 0, 1000, LARGE};
    static const size_t lengths[] = {100, PART + 7};
    const size_t count = sizeof sizes / sizeof *sizes;

    for (unsigned i = 0; i < KINDS * count * count; i++)
        for (unsigned j = 0; j < sizeof lengths / sizeof *lengths; j++)
            one_change(i % KINDS, sizes[i / KINDS % count],
                       sizes[i / KINDS / count] == sizes[i / KINDS % count] &&
                               sizes[i / KINDS / count] != NOTHING
                           ? sizes[i / KINDS / count] + 3
                           : sizes[i / KINDS / count],
                       lengths[j]);
}

static void test_grown_shrunk_removed_created(void **state)
{
    all_changes();
}

static void test_without_part_copies(void **state)
{
    core_run_store()->capabilities &= ~(unsigned)STORE_CAP_PART_COPY;
    all_changes();
}

static void test_without_conditions(void **state)
{
    core_run_store()->capabilities &=
        ~(unsigned)(STORE_CAP_IF_MATCH_PUT | STORE_CAP_IF_NONE_MATCH);
    all_changes();
}

/* What is refused once, at whichever request, is done once all the same. */
static void test_a_conflict_at_every_request(void **state)
{
    static const char *const operations[] = {"PutObject", "UploadPartCopy",
                                             "CompleteMultipartUpload", "GetObject", "*"};
    static const size_t bases[] = {1000, LARGE};

    for (unsigned i = 0; i < KINDS * 2; i++)
        for (unsigned j = 0; j < sizeof operations / sizeof *operations; j++)
            for (unsigned nth = 1; nth < 4; nth++) {
                size_t base = bases[i / KINDS];
                struct handle handle;
                char rule[80];

                core_run_put(URI, base);
                snprintf(rule, sizeof rule, "op=%s nth=%u count=1 changed", operations[j], nth);
                core_run_faults(rule);
                handle = begin(i % KINDS);
                append(&handle, base, base + PART + 100);
                append(&handle, base + PART + 100, base + PART + 200);
                assert_int_equal(finish(&handle), 0);
                core_run_faults(NULL);
                check(base, base, base + PART + 200);
            }
    core_run_check_released();
}

/* ---- where it ends --------------------------------------------------------------------------- */

static void test_until_the_deadline(void **state)
{
    struct core_run_scope scope;
    struct limits limits;
    struct error err;
    struct attr attr;
    struct handle handle;

    core_run_put(URI, 1000);
    handle = begin(STREAM);
    append(&handle, 1000, 1100);
    core_run_faults("op=PutObject changed");
    core_run_enter(&scope);
    limits_begin(&limits, 50 * 1000000, NULL);
    assert_true(writer_finish((struct writer *)handle.writer, &limits, &attr, &err) < 0);
    limits_end(&limits);
    writer_free((struct writer *)handle.writer);
    core_run_leave(&scope);
    core_run_faults(NULL);
    core_run_check_object(URI, 1000, NULL, 0);
    core_run_check_released();
}

/* The answer was lost, and nobody tells whether it was done: never twice. */
static void test_in_doubt_nothing_is_put_twice(void **state)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct handle handle;

        core_run_put(URI, 1000);
        handle = begin(kind);
        append(&handle, 1000, 1100);
        core_run_faults("op=PutObject nth=1 count=1 lose; op=HeadObject fail=access");
        assert_int_equal(publish(&handle), -ESTALE);
        core_run_faults(NULL);
        assert_true(kind == DRAFT || finish(&handle) == -ESTALE);
        if (kind == DRAFT)
            finish(&handle);
        core_run_check_object(URI, 1100, NULL, 0);
    }
    core_run_check_released();
}

/* Who has written elsewhere than at the end is told. */
static void test_only_what_was_appended(void **state)
{
    struct handle handle;

    core_run_put(URI, 1000);
    handle = begin(DRAFT);
    append(&handle, 1000, 1100);
    core_run_write_at(handle.draft, "patch", 10);
    core_run_put_elsewhere(URI, 2000, 0);
    assert_int_equal(finish(&handle), -ESTALE);

    handle = begin(DRAFT);
    append(&handle, 2000, 2100);
    assert_int_equal(s3dlio_draft_truncate(handle.draft, 50, NULL), 0);
    core_run_put_elsewhere(URI, 3000, 0);
    assert_int_equal(finish(&handle), -ESTALE);
    core_run_check_object(URI, 3000, NULL, 0);
    core_run_check_released();
}

/* An attribute that was set stays set, and others are those of the version that is there. */
static void test_attributes(void **state)
{
    struct s3dlio_attr wanted = {.has = S3DLIO_HAS_UID, .uid = 77}, attr;
    struct s3dlio_write_options others = {.has = S3DLIO_HAS_MODE, .mode = 0604};

    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct handle handle;

        core_run_put(URI, 1000);
        handle = begin(kind);
        append(&handle, 1000, 1100);
        if (kind == STREAM)
            assert_int_equal(s3dlio_writer_set_attr(handle.writer, &wanted, NULL), 0);
        else
            assert_int_equal(s3dlio_draft_set_attr(handle.draft, &wanted, NULL), 0);
        assert_int_equal(s3dlio_put(URI, "others", 6, &others, NULL, NULL, NULL), 0);
        assert_int_equal(finish(&handle), 0);
        assert_int_equal(s3dlio_stat(URI, NULL, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, 106);
        assert_int_equal(attr.uid, 77);
        assert_int_equal(attr.mode, 0604);
    }
}

/* A stream that becomes a draft goes on appending. */
static void test_converted(void **state)
{
    struct handle handle;

    core_run_delete_elsewhere(URI);
    handle = begin(STREAM);
    append(&handle, 0, 100);
    assert_int_equal(s3dlio_draft_from_writer(handle.writer, &handle.draft, NULL), 0);
    handle.kind = DRAFT;
    append(&handle, 100, 200);
    core_run_put_elsewhere(URI, 5000, 0);
    assert_int_equal(finish(&handle), 0);
    check(5000, 0, 200);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void test_a_turn_is_waited_for_where_it_is_needed(void **state)
{
    struct append_turn first = APPEND_TURN_NONE, second = APPEND_TURN_NONE;
    struct store *store = core_run_store();
    struct core_run_scope scope;
    struct limits limits;
    struct error err;
    struct uri uri;

    assert_int_equal(uri_parse(URI, &uri), 0);
    core_run_enter(&scope);
    store->capabilities &= ~(unsigned)STORE_CAP_IF_MATCH_PUT;
    assert_true(append_turn_is_needed(store));
    assert_int_equal(append_turn_take(&first, store, &uri, &scope.limits, &err), 0);
    limits_begin(&limits, 30 * 1000000, NULL);
    assert_true(append_turn_take(&second, store, &uri, &limits, &err) < 0);
    assert_int_equal(err.class, ERROR_TIMEOUT);
    append_turn_give(&second);
    limits_end(&limits);
    append_turn_give(&first);
    assert_int_equal(append_turn_take(&second, store, &uri, &scope.limits, &err), 0);
    append_turn_give(&second);
    core_run_leave(&scope);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_grown_shrunk_removed_created, core_run_clear),
        cmocka_unit_test_setup(test_without_part_copies, core_run_clear),
        cmocka_unit_test_setup(test_without_conditions, core_run_clear),
        cmocka_unit_test_setup(test_a_conflict_at_every_request, core_run_clear),
        cmocka_unit_test_setup(test_until_the_deadline, core_run_clear),
        cmocka_unit_test_setup(test_in_doubt_nothing_is_put_twice, core_run_clear),
        cmocka_unit_test_setup(test_only_what_was_appended, core_run_clear),
        cmocka_unit_test_setup(test_attributes, core_run_clear),
        cmocka_unit_test_setup(test_converted, core_run_clear),
        cmocka_unit_test_setup(test_a_turn_is_waited_for_where_it_is_needed, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
