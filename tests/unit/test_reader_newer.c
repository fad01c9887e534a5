/* core/reader.h: what others have put in the place of the version that a reader has. */
#include "core_run.h"

#include <errno.h>
#include <string.h>

#define URI   "fault://newer/object"
#define OTHER "fault://newer/other"

static int set_up(void **state)
{
    core_run_make_bucket("newer");
    return 0;
}

static int clear(void **state)
{
    core_run_clear(state);
    s3dlio_unlink(URI, NULL, NULL);
    return 0;
}

static int look(struct s3dlio_reader *reader, struct s3dlio_reader **ret_newer)
{
    struct s3dlio_error error = {0};
    uint64_t before = core_run_requests();
    int r = s3dlio_reader_newer(reader, ret_newer, &error);

    assert_int_equal(core_run_requests() - before, 1);
    return r;
}

static void check_is(struct s3dlio_reader *reader, size_t length, size_t from)
{
    unsigned char bytes[100];
    struct s3dlio_attr attr;

    s3dlio_reader_attr(reader, &attr);
    assert_int_equal(attr.size_bytes, length);
    assert_int_equal(s3dlio_reader_pread(reader, bytes, sizeof bytes, 50, NULL, NULL),
                     sizeof bytes);
    core_run_check(bytes, sizeof bytes, from + 50);
}

static void test_another_version(void **state)
{
    struct s3dlio_reader *reader, *newer, *newest;

    core_run_put(URI, 1000);
    reader = core_run_open_reader(URI);
    assert_int_equal(look(reader, &newer), 0);
    core_run_put_elsewhere(URI, 2000, 7);
    assert_int_equal(look(reader, &newer), 1);
    check_is(newer, 2000, 7);
    assert_int_equal(look(newer, &newest), 0);
    core_run_put_elsewhere(URI, 500, 3);
    assert_int_equal(look(newer, &newest), 1);
    check_is(newest, 500, 3);
    s3dlio_reader_close(newest);
    s3dlio_reader_close(newer);
    check_is(reader, 1000, 0); /* what it had at hand it has */
    s3dlio_reader_close(reader);
    core_run_check_released();
}

static void test_nothing_there(void **state)
{
    struct s3dlio_reader *reader, *newer;
    struct s3dlio_error error = {0};

    core_run_put(URI, 1000);
    reader = core_run_open_reader(URI);
    core_run_delete_elsewhere(URI);
    assert_int_equal(s3dlio_reader_newer(reader, &newer, &error), 0);
    check_is(reader, 1000, 0);
    core_run_put_elsewhere(URI, 2000, 7);
    assert_int_equal(look(reader, &newer), 1);
    check_is(newer, 2000, 7);
    s3dlio_reader_close(newer);
    s3dlio_reader_close(reader);
    core_run_check_released();
}

/* Its version went, and came back: the reader that met the other one cannot be used again. */
static void test_after_estale(void **state)
{
    struct s3dlio_reader *reader, *newer;
    unsigned char byte;
    size_t far = 64 * MIB;

    core_run_put(URI, far + 1);
    reader = core_run_open_reader(URI);
    core_run_put_elsewhere(URI, 2000, 7);
    assert_int_equal(s3dlio_reader_pread(reader, &byte, 1, far, NULL, NULL), -ESTALE);
    assert_int_equal(look(reader, &newer), 1);
    check_is(newer, 2000, 7);
    s3dlio_reader_close(newer);
    core_run_put(URI, far + 1);
    assert_int_equal(look(reader, &newer), 1);
    check_is(newer, far + 1, 0);
    s3dlio_reader_close(newer);
    s3dlio_reader_close(reader);
    core_run_check_released();
}

/* Renamed by this process: there it is looked for. Replaced by it: that is what is there. */
static void test_own_changes(void **state)
{
    struct s3dlio_reader *reader, *newer;

    core_run_put(URI, 1000);
    reader = core_run_open_reader(URI);
    assert_int_equal(s3dlio_rename(URI, OTHER, 0, NULL, NULL), 0);
    assert_int_equal(look(reader, &newer), 0);
    core_run_put_elsewhere(OTHER, 2000, 7);
    assert_int_equal(look(reader, &newer), 1);
    s3dlio_reader_close(reader);
    core_run_put(OTHER, 3000);
    check_is(newer, 2000, 7);
    assert_int_equal(look(newer, &reader), 1);
    check_is(reader, 3000, 0);
    s3dlio_reader_close(newer);
    s3dlio_reader_close(reader);
    s3dlio_unlink(OTHER, NULL, NULL);
    core_run_check_released();
}

static void test_a_refusal(void **state)
{
    struct s3dlio_reader *reader, *newer;

    core_run_put(URI, 1000);
    reader = core_run_open_reader(URI);
    core_run_faults("op=HeadObject fail=access");
    assert_int_equal(look(reader, &newer), -EACCES);
    core_run_faults(NULL);
    check_is(reader, 1000, 0);
    s3dlio_reader_close(reader);
    core_run_check_released();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_another_version, clear),
        cmocka_unit_test_setup(test_nothing_there, clear),
        cmocka_unit_test_setup(test_after_estale, clear),
        cmocka_unit_test_setup(test_own_changes, clear),
        cmocka_unit_test_setup(test_a_refusal, clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
