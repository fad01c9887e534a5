/* engine/api: what is common to all public functions, and whole objects, one and many. */
#include "core_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int set_up(void **state)
{
    core_run_make_bucket("api");
    return 0;
}

static void test_errors_say_what_failed(void **state)
{
    struct s3dlio_error error;
    struct s3dlio_attr attr;

    assert_int_equal(s3dlio_stat("fault://api/missing", NULL, &attr, &error), -ENOENT);
    assert_int_equal(error.errnum, ENOENT);
    assert_string_equal(error.class_name, "not-found");
    assert_false(error.retryable);
    assert_non_null(strstr(error.message, "fault://api/missing"));
    core_run_faults("op=PutObject fail=server");
    assert_int_equal(s3dlio_put("fault://api/x", "x", 1, NULL, NULL, NULL, &error), -EIO);
    assert_string_equal(error.operation, "PutObject");
    assert_true(error.retryable);
    assert_non_null(strstr(error.message, "PutObject"));
    assert_int_equal(core_run_count(STORE_PUT), 1 + 5);
}

static void test_bad_names(void **state)
{
    struct s3dlio_error error;
    struct s3dlio_attr attr;
    char *uri = malloc(3000);

    assert_int_equal(s3dlio_stat("", NULL, &attr, &error), -EINVAL);
    assert_int_equal(s3dlio_stat("/plain/path", NULL, &attr, &error), -EINVAL);
    strcpy(uri, "fault://api/");
    memset(uri + 12, 'k', 2000);
    uri[2012] = '\0';
    assert_int_equal(s3dlio_stat(uri, NULL, &attr, &error), -ENAMETOOLONG);
    uri[12 + 1024] = '\0'; /* the longest key there is: no directory can have its name */
    assert_int_equal(s3dlio_stat(uri, NULL, &attr, &error), -ENOENT);
    assert_int_equal(s3dlio_put(uri, "x", 1, NULL, NULL, NULL, &error), 0);
    assert_int_equal(s3dlio_stat(uri, NULL, &attr, &error), 0);
    assert_int_equal(s3dlio_mkdir(uri, NULL, NULL, &error), -EEXIST);
    assert_int_equal(s3dlio_unlink(uri, NULL, &error), 0);
    assert_int_equal(s3dlio_mkdir(uri, NULL, NULL, &error), -ENAMETOOLONG);
    free(uri);
}

static void test_get_range(void **state)
{
    unsigned char *buffer = malloc(20 * MIB);

    core_run_put("fault://api/range", 18 * MIB);
    assert_int_equal(s3dlio_get_range("fault://api/range", 100, buffer, 1000, NULL, NULL), 1000);
    core_run_check(buffer, 1000, 100);
    assert_int_equal(core_run_count(STORE_GET), 1);
    assert_int_equal(s3dlio_get_range("fault://api/range", 0, buffer, 20 * MIB, NULL, NULL),
                     18 * MIB);
    core_run_check(buffer, 18 * MIB, 0);
    assert_int_equal(s3dlio_get_range("fault://api/range", 18 * MIB - 10, buffer, 100, NULL, NULL),
                     10);
    core_run_check(buffer, 10, 18 * MIB - 10);
    assert_int_equal(s3dlio_get_range("fault://api/range", 18 * MIB, buffer, 100, NULL, NULL), 0);
    assert_int_equal(s3dlio_get_range("fault://api/none", 0, buffer, 100, NULL, NULL), -ENOENT);
    assert_int_equal(s3dlio_get_range("fault://api/range", 0, NULL, 100, NULL, NULL), -EFAULT);
    assert_int_equal(s3dlio_get_range("fault://api/range", 5, buffer, 0, NULL, NULL), 0);
    free(buffer);
}

static void test_get(void **state)
{
    size_t length = 1;
    void *data = NULL;

    core_run_put("fault://api/empty", 0);
    assert_int_equal(s3dlio_get("fault://api/empty", NULL, &data, &length, NULL), 0);
    assert_non_null(data);
    assert_int_equal(length, 0);
    s3dlio_free(data);
    core_run_put("fault://api/large", 30 * MIB + 1);
    core_run_faults("op=GetObject p=30 truncate after=100000; op=GetObject delay=1");
    assert_int_equal(s3dlio_get("fault://api/large", NULL, &data, &length, NULL), 0);
    assert_int_equal(length, 30 * MIB + 1);
    core_run_check(data, length, 0);
    s3dlio_free(data);
    data = NULL;
    assert_int_equal(s3dlio_get("fault://api/none", NULL, &data, &length, NULL), -ENOENT);
    assert_null(data);
}

#define MANY 300

static void test_many(void **state)
{
    struct s3dlio_put_item puts[MANY];
    struct s3dlio_get_item gets[MANY + 2];
    struct s3dlio_error error = {0};
    unsigned char *data = malloc(MANY * 100);
    char(*uris)[40] = malloc((MANY + 2) * sizeof *uris);

    core_run_fill(data, MANY * 100, 0);
    for (unsigned i = 0; i < MANY + 2; i++) {
        snprintf(uris[i], sizeof uris[i], "fault://api/many/%u", i);
        gets[i] = (struct s3dlio_get_item){.uri = i == MANY + 1 ? "nonsense" : uris[i]};
    }
    for (unsigned i = 0; i < MANY; i++)
        puts[i] = (struct s3dlio_put_item){.uri = uris[i], .data = data, .length_bytes = i * 100};
    core_run_faults("op=PutObject p=10 fail=server; op=GetObject p=10 fail=server; op=* delay=1");
    assert_int_equal(s3dlio_put_many(puts, MANY, NULL, &error), 0);
    assert_int_equal(s3dlio_get_many(gets, MANY + 2, NULL, &error), 2);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(gets[i].result, 0);
        assert_int_equal(gets[i].length_bytes, i * 100);
        core_run_check(gets[i].data, gets[i].length_bytes, 0);
        s3dlio_free(gets[i].data);
    }
    assert_int_equal(gets[MANY].result, -ENOENT);
    assert_int_equal(gets[MANY + 1].result, -EINVAL);
    assert_null(gets[MANY].data);
    assert_int_equal(error.errnum, ENOENT);
    assert_int_equal(s3dlio_get_many(NULL, 0, NULL, &error), 0);
    free(uris);
    free(data);
}

static void test_many_with_large_ones(void **state)
{
    unsigned char *data = malloc(40 * MIB);
    struct s3dlio_put_item puts[3] = {
        {.uri = "fault://api/l1", .data = data, .length_bytes = 40 * MIB},
        {.uri = "fault://api/l2", .data = data, .length_bytes = 10},
        {.uri = "fault://api", .data = data, .length_bytes = 10},
    };
    struct s3dlio_get_item gets[2] = {{.uri = "fault://api/l1"}, {.uri = "fault://api/l2"}};
    struct s3dlio_error error;

    core_run_fill(data, 40 * MIB, 0);
    assert_int_equal(s3dlio_put_many(puts, 3, NULL, &error), 1);
    assert_int_equal(puts[2].result, -EINVAL);
    assert_int_equal(s3dlio_get_many(gets, 2, NULL, &error), 0);
    core_run_check(gets[0].data, 40 * MIB, 0);
    assert_int_equal(gets[1].length_bytes, 10);
    s3dlio_free(gets[0].data);
    s3dlio_free(gets[1].data);
    free(data);
}

static void test_many_end_at_the_deadline(void **state)
{
    struct s3dlio_call call = {.timeout_ms = 100};
    struct s3dlio_get_item gets[5];
    struct s3dlio_error error;

    core_run_put("fault://api/slow", 100);
    for (unsigned i = 0; i < 5; i++)
        gets[i] = (struct s3dlio_get_item){.uri = "fault://api/slow"};
    core_run_faults("op=GetObject delay=5000");
    assert_int_equal(s3dlio_get_many(gets, 5, &call, &error), 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(gets[i].result, -EIO);
}

static void test_mem_and_file_stores(void **state)
{
    char root[] = "/tmp/s3dlio-test-XXXXXX";
    char uri[128], bucket[64];
    size_t length;
    void *data;

    assert_non_null(mkdtemp(root));
    for (unsigned i = 0; i < 2; i++) {
        struct s3dlio_attr attr;

        snprintf(bucket, sizeof bucket, i == 0 ? "mem://bucket" : "file://tmp/%s/d",
                 strrchr(root, '/') + 1);
        assert_int_equal(s3dlio_mkdir(bucket, NULL, NULL, NULL), 0);
        snprintf(uri, sizeof uri, "%s/object", bucket);
        assert_int_equal(s3dlio_put(uri, "hello", 5, NULL, NULL, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, 5);
        assert_int_equal(s3dlio_get(uri, NULL, &data, &length, NULL), 0);
        assert_int_equal(length, 5);
        assert_memory_equal(data, "hello", 5);
        s3dlio_free(data);
        assert_int_equal(s3dlio_stat(bucket, NULL, &attr, NULL), 0);
        assert_int_equal(attr.type, S3DLIO_DIRECTORY);
        assert_int_equal(s3dlio_rmdir(bucket, NULL, NULL), -ENOTEMPTY);
        assert_int_equal(s3dlio_unlink(uri, NULL, NULL), 0);
        assert_int_equal(s3dlio_rmdir(bucket, NULL, NULL), 0);
        assert_int_equal(s3dlio_stat(bucket, NULL, &attr, NULL), -ENOENT);
    }
    rmdir(root);
}

static void test_statistics(void **state)
{
    struct s3dlio_stats before, after;
    size_t length;
    void *data;

    core_run_put("fault://api/stat", 1000);
    s3dlio_get_stats(&before);
    assert_int_equal(s3dlio_get("fault://api/stat", NULL, &data, &length, NULL), 0);
    s3dlio_free(data);
    s3dlio_get_stats(&after);
    assert_int_equal(after.requests - before.requests, 1);
    assert_int_equal(after.requests_get - before.requests_get, 1);
    assert_int_equal(after.bytes_received - before.bytes_received, 1000);
    assert_int_equal(after.memory_bytes, 0);
    assert_true(after.memory_budget_bytes > 0);
    assert_true(s3dlio_version()[0] != '\0');
}

static void test_cancelled_before_it_begins(void **state)
{
    struct s3dlio_call call = {.cancel = s3dlio_cancel_new()};
    char byte = 0;

    core_run_put("fault://api/any", 10);
    core_run_faults("op=* delay=1000");
    s3dlio_cancel_trigger(call.cancel);
    assert_int_equal(s3dlio_get_range("fault://api/any", 0, &byte, 1, &call, NULL), -ECANCELED);
    s3dlio_cancel_free(call.cancel);
}

static void test_fork_and_go_on(void **state)
{
    pid_t pid;

    core_run_put("fault://api/forked", 1000);
    pid = core_run_fork();
    if (pid == 0) {
        size_t length = 0;
        void *data;

        _exit(s3dlio_get("fault://api/forked", NULL, &data, &length, NULL) != 0 || length != 1000);
    }
    core_run_wait_for(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_errors_say_what_failed, core_run_clear),
        cmocka_unit_test_setup(test_bad_names, core_run_clear),
        cmocka_unit_test_setup(test_get_range, core_run_clear),
        cmocka_unit_test_setup(test_get, core_run_clear),
        cmocka_unit_test_setup(test_many, core_run_clear),
        cmocka_unit_test_setup(test_many_with_large_ones, core_run_clear),
        cmocka_unit_test_setup(test_many_end_at_the_deadline, core_run_clear),
        cmocka_unit_test_setup(test_mem_and_file_stores, core_run_clear),
        cmocka_unit_test_setup(test_statistics, core_run_clear),
        cmocka_unit_test_setup(test_cancelled_before_it_begins, core_run_clear),
        cmocka_unit_test_setup(test_fork_and_go_on, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
