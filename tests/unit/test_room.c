/* core/endpoint.h in use: readers, uploads and calls about many objects ask for room, count as users
 * while something is under way for them, and leave nothing behind. */
#include "core_run.h"

#include <stdlib.h>

#define PART (5 * MIB)
#define LATE "120000" /* ms: no test waits for it */

static struct endpoint *endpoint(void)
{
    return engine_endpoint(core_run_engine(), core_run_store());
}

static void check_idle(void)
{
    for (unsigned i = 0; i < ENDPOINT_DIRECTIONS; i++) {
        const struct limiter *limiter = &endpoint()->limiters[i];

        assert_int_equal(limiter->users, 0);
        for (unsigned flow = 0; flow < LIMITER_FLOWS; flow++) {
            assert_int_equal(limiter->flows[flow].in_flight, 0);
            assert_int_equal(limiter->flows[flow].guesses, 0);
        }
    }
}

static struct s3dlio_writer *open_writer(const char *uri)
{
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error = {0};

    core_run_must(s3dlio_writer_open(uri, NULL, NULL, &writer, &error), &error);
    return writer;
}

/* The oldest part is the one that takes long, so others are waited for. */
static void test_a_late_part_keeps_nobody(void **state)
{
    struct s3dlio_writer *writer = open_writer("fault://room/late");

    core_run_faults("op=UploadPart nth=1 count=1 delay=" LATE);
    core_run_stream(writer, 0, 30 * PART, MIB); /* within the operation timeout of each write */
    assert_true(core_run_count(STORE_UPLOAD_PART) >= 29);
    assert_int_equal(endpoint()->limiters[ENDPOINT_PUTS].users, 1);
    s3dlio_writer_abort(writer);
    check_idle();
}

static void test_no_more_parts_than_were_set(void **state)
{
    struct s3dlio_writer *writer = open_writer("fault://room/set");

    core_run_faults("op=UploadPart delay=" LATE);
    core_run_stream(writer, 0, 8 * PART, MIB);
    assert_in_range(core_run_count(STORE_UPLOAD_PART), 7,
                    8); /* the eighth is full, or being filled */
    s3dlio_writer_abort(writer);
    check_idle();
}

static void test_a_reader_is_a_user_while_ranges_come(void **state)
{
    const struct limiter *gets = &endpoint()->limiters[ENDPOINT_GETS];
    struct s3dlio_reader *reader;
    char *buffer = malloc(MIB);

    core_run_put("fault://room/read", 40 * MIB);
    reader = core_run_open_reader("fault://room/read");
    core_run_faults("op=GetObject nth=3 delay=" LATE);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, MIB / 2, 0, NULL, NULL), MIB / 2);
    assert_int_equal(s3dlio_reader_pread(reader, buffer, MIB, MIB / 2, NULL, NULL), MIB);
    assert_int_equal(gets->users, 1);
    assert_true(gets->flows[LIMITER_LONG].in_flight > 0);
    s3dlio_reader_close(reader);
    core_run_faults(NULL);
    free(buffer);
    check_idle();
}

static void read_all(const char *uri, size_t size)
{
    struct s3dlio_reader *reader = core_run_open_reader(uri);
    char *buffer = malloc(MIB);

    for (size_t at = 0; at < size; at += MIB)
        assert_int_equal(s3dlio_reader_pread(reader, buffer, MIB, at, NULL, NULL), MIB);
    assert_int_equal(endpoint()->limiters[ENDPOINT_GETS].users, 0); /* and it is open still */
    s3dlio_reader_close(reader);
    free(buffer);
}

static void test_who_has_read_all_leaves(void **state)
{
    core_run_put("fault://room/all", 40 * MIB);
    core_run_faults("op=GetObject delay=3");
    read_all("fault://room/all", 40 * MIB);
    check_idle();
}

static void test_many_objects_leave_nothing(void **state)
{
    struct s3dlio_call call = {.timeout_ms = 100};
    struct s3dlio_put_item puts[20];
    struct s3dlio_get_item gets[20];
    struct s3dlio_error error;
    char uris[20][32];

    for (unsigned i = 0; i < 20; i++) {
        snprintf(uris[i], sizeof uris[i], "fault://room/many/%u", i);
        puts[i] = (struct s3dlio_put_item){.uri = uris[i], .data = "x", .length_bytes = 1};
        gets[i] = (struct s3dlio_get_item){.uri = uris[i]};
    }
    core_run_faults("op=* p=20 fail=throttled; op=* delay=2");
    assert_int_equal(s3dlio_put_many(puts, 20, NULL, &error), 0);
    assert_int_equal(s3dlio_get_many(gets, 20, NULL, &error), 0);
    for (unsigned i = 0; i < 20; i++)
        s3dlio_free(gets[i].data);
    check_idle();
    core_run_faults("op=* delay=" LATE);
    assert_int_equal(s3dlio_put_many(puts, 20, &call, &error), 20);
    assert_int_equal(s3dlio_get_many(gets, 20, &call, &error), 20);
    check_idle();
    core_run_faults(NULL);
    core_run_faults("op=CopyObject delay=2; op=DeleteObject delay=2");
    core_run_must(s3dlio_rename("fault://room/many", "fault://room/moved", 0, NULL, &error),
                  &error);
    check_idle();
}

/* Down to one at a time, but on. */
static void test_refusals_end_nothing(void **state)
{
    core_run_put("fault://room/refused", 40 * MIB);
    core_run_faults("op=GetObject p=30 fail=throttled");
    read_all("fault://room/refused", 40 * MIB);
    check_idle();
}

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_PUT_INFLIGHT=8");
    core_run_set_option("S3DLIO_PUT_PART_SIZE=5M");
    core_run_set_option("S3DLIO_OPERATION_TIMEOUT_SECS=20");
    core_run_set_option("S3DLIO_RETRY_MAX=100");
    core_run_make_bucket("room");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_late_part_keeps_nobody, core_run_clear),
        cmocka_unit_test_setup(test_no_more_parts_than_were_set, core_run_clear),
        cmocka_unit_test_setup(test_a_reader_is_a_user_while_ranges_come, core_run_clear),
        cmocka_unit_test_setup(test_who_has_read_all_leaves, core_run_clear),
        cmocka_unit_test_setup(test_many_objects_leave_nothing, core_run_clear),
        cmocka_unit_test_setup(test_refusals_end_nothing, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
