/* core/prefetch_page.h: files that are opened in the order of their names, in a directory that nobody
 * has listed. Each test has a directory of its own: what was learned of the others does not matter. */
#include "core_run.h"
#include "sanitizer.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/prefetch.h"

#define FILES           32u
#define BYTES           1000u
#define OTHER_DIRECTORY 1000u

static unsigned directory;
static uint64_t used_before, asked_before;

static const char *uri_of(unsigned number)
{
    static _Thread_local char uri[64];

    snprintf(uri, sizeof uri, "fault://pages/%u/%04u", directory, number);
    return uri;
}

static int make_bucket(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=60000");
    core_run_make_bucket("pages");
    return 0;
}

static uint64_t counter(enum stats_counter which)
{
    return stats_read(&engine_stats(core_run_engine())->counters[which]);
}

static uint64_t used(void)
{
    return counter(STATS_PREFETCH_USED) - used_before;
}

static uint64_t asked(void)
{
    return counter(STATS_PREFETCH_ASKED) - asked_before;
}

static int set_up(void **state)
{
    core_run_faults(NULL);
    directory++;
    for (unsigned i = 0; i < FILES; i++)
        core_run_put(uri_of(i), BYTES);
    core_run_faults("op=GetObject delay=3");
    core_run_reset_counts();
    used_before = counter(STATS_PREFETCH_USED);
    asked_before = counter(STATS_PREFETCH_ASKED);
    return 0;
}

static void open_and_read(unsigned number)
{
    struct s3dlio_reader *reader = core_run_open_reader(uri_of(number));
    unsigned char buffer[BYTES + 1];
    struct s3dlio_error error;
    ssize_t n = s3dlio_reader_pread(reader, buffer, sizeof buffer, 0, NULL, &error);

    core_run_must(n, &error);
    assert_int_equal(n, BYTES);
    core_run_check(buffer, BYTES, 0);
    s3dlio_reader_close(reader);
}

static void open_all(unsigned from)
{
    for (unsigned i = from; i < FILES; i++)
        open_and_read(i);
}

/* The fourth open finds the page that was asked for after the third; guesses come once so many were
 * followed that it is likely to go on. */
static void what_follows_is_fetched_ahead(void **state)
{
    open_all(0);
    assert_int_equal(core_run_count(STORE_LIST), 1);
    assert_int_equal(core_run_count(STORE_GET), FILES);
    assert_int_equal(core_run_count(STORE_HEAD), 0);
    assert_int_equal(used(), FILES - 24);
    assert_int_equal(asked(), FILES - 24);
}

/* Nobody waits for it: what it would have told is done without. */
static void a_page_that_does_not_come_is_in_nobodys_way(void **state)
{
    core_run_faults("op=ListObjects delay=100");
    open_all(0);
    assert_int_equal(core_run_count(STORE_LIST), 1);
    assert_int_equal(core_run_count(STORE_GET), FILES);
    for (unsigned i = 0; i < 3; i++)
        open_and_read(i); /* on the way, or here by now */
}

static void a_page_that_fails_is_not_asked_for_again(void **state)
{
    core_run_faults("op=ListObjects fail=server");
    open_all(0);
    assert_int_equal(core_run_count(STORE_LIST), 1);
    assert_int_equal(core_run_count(STORE_GET), FILES);
    assert_int_equal(asked(), 0);
}

static void a_child_has_no_page_of_its_parents(void **state)
{
    pid_t pid;

    NOT_UNDER_TSAN();
    for (unsigned i = 0, here = directory; i < FILES; i++) {
        directory = OTHER_DIRECTORY;
        core_run_put(uri_of(i), BYTES);
        directory = here;
    }
    core_run_faults("op=ListObjects delay=200");
    for (unsigned i = 0; i < 4; i++)
        open_and_read(i);
    pid = core_run_fork();
    if (!pid) {
        open_all(4);
        directory = OTHER_DIRECTORY;
        core_run_reset_counts();
        open_all(0);
        assert_int_equal(core_run_count(STORE_LIST), 1); /* its own */
        _exit(0);
    }
    core_run_wait_for(pid);
    open_all(4);
}

static void a_store_without_order_is_not_asked(void **state)
{
    struct store *store = core_run_store();
    unsigned capabilities = atomic_load(&store->capabilities);

    atomic_store(&store->capabilities, capabilities & ~(unsigned)STORE_CAP_LIST_ORDERED);
    open_all(0);
    atomic_store(&store->capabilities, capabilities);
    assert_int_equal(core_run_count(STORE_LIST), 0);
    assert_int_equal(core_run_count(STORE_GET), FILES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(what_follows_is_fetched_ahead),
        TEST(a_child_has_no_page_of_its_parents),
        /* each of them makes the row longer that is wanted in the next */
        TEST(a_store_without_order_is_not_asked),
        TEST(a_page_that_does_not_come_is_in_nobodys_way),
        TEST(a_page_that_fails_is_not_asked_for_again),
    };

    return cmocka_run_group_tests(tests, make_bucket, NULL);
}
