/* core/prefetch.h: what is fetched before it is opened, and that nobody is given what is not the
 * object any more. Answers take a while, so that what waits for its own request differs from
 * what does not. */
#include "core/prefetch.h"
#include "core_run.h"
#include "sanitizer.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define FILES 24u
#define BYTES 1000u

static const char *uri_of(unsigned number)
{
    static _Thread_local char uri[64];

    snprintf(uri, sizeof uri, "fault://prefetch/d/%04u", number);
    return uri;
}

static int make_objects(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=400");
    core_run_make_bucket("prefetch");
    for (unsigned i = 0; i < FILES; i++)
        core_run_put(uri_of(i), BYTES);
    return 0;
}

static uint64_t counter(enum stats_counter which)
{
    return stats_read(&engine_stats(core_run_engine())->counters[which]);
}

static uint64_t used_before, asked_before;

static uint64_t used(void)
{
    return counter(STATS_PREFETCH_USED) - used_before;
}

static uint64_t asked(void)
{
    return counter(STATS_PREFETCH_ASKED) - asked_before;
}

/* Nothing is remembered of the test before, and all that it fetched ahead is over. */
static int set_up(void **state)
{
    core_run_let_ttl_pass();
    core_run_faults("op=GetObject delay=3");
    for (unsigned i = 0; i < FILES; i++)
        core_run_put(uri_of(i), BYTES);
    core_run_let_ttl_pass();
    core_run_reset_counts();
    used_before = counter(STATS_PREFETCH_USED);
    asked_before = counter(STATS_PREFETCH_ASKED);
    return 0;
}

static void list_directory(void)
{
    struct s3dlio_list *list;
    struct s3dlio_entry entry;
    struct s3dlio_error error;

    core_run_must(s3dlio_list_open("fault://prefetch/d/", 0, NULL, &list, &error), &error);
    while (s3dlio_list_next(list, &entry, &error) > 0)
        ;
    s3dlio_list_close(list);
}

static void read_all(struct s3dlio_reader *reader, uint64_t from)
{
    unsigned char buffer[BYTES + 1];
    struct s3dlio_error error;
    ssize_t n = s3dlio_reader_pread(reader, buffer, sizeof buffer, from, NULL, &error);

    core_run_must(n, &error);
    assert_int_equal(n, BYTES - from);
    core_run_check(buffer, (size_t)n, from);
}

static void open_and_read(unsigned number)
{
    struct s3dlio_reader *reader = core_run_open_reader(uri_of(number));

    read_all(reader, 0);
    s3dlio_reader_close(reader);
}

static void in_the_order_of_a_listing(void **state)
{
    list_directory();
    for (unsigned i = 0; i < FILES; i++)
        open_and_read(i);
    assert_int_equal(core_run_count(STORE_GET), FILES); /* one each, and nothing else */
    assert_int_equal(core_run_count(STORE_HEAD), 0);
    assert_int_equal(used(), FILES - 1);
    assert_int_equal(asked(), FILES - 1);
}

static void in_no_order_each_by_itself(void **state)
{
    static const unsigned numbers[] = {13, 4, 20, 9, 1, 22, 7, 16};

    list_directory();
    for (unsigned i = 0; i < 8; i++)
        open_and_read(numbers[i]);
    assert_int_equal(core_run_count(STORE_GET), 8);
    assert_int_equal(asked(), 0);
}

static void as_the_program_was_told(void **state)
{
    char texts[4][64];
    const char *uris[4];

    for (unsigned i = 0; i < 4; i++)
        uris[i] = strcpy(texts[i], uri_of(i * 5 % 7));
    s3dlio_expect(uris, 4);
    for (unsigned i = 0; i < 4; i++)
        open_and_read(i * 5 % 7);
    assert_int_equal(core_run_count(STORE_GET), 4);
    assert_int_equal(used(), 1); /* the third: two begin it, and the last may be where they go */
    s3dlio_expect((const char *[]){"no uri at all", ""}, 2); /* left out */
    s3dlio_expect(NULL, 0);
}

/* Programs look first. */
static void a_look_at_one_is_free(void **state)
{
    struct s3dlio_attr attr;
    struct s3dlio_error error;

    list_directory();
    open_and_read(0);
    core_run_reset_counts();
    for (unsigned i = 1; i < FILES; i++) {
        core_run_must(s3dlio_stat(uri_of(i), NULL, &attr, &error), &error);
        assert_int_equal(attr.size_bytes, BYTES);
        open_and_read(i);
    }
    assert_int_equal(core_run_count(STORE_HEAD), 0);
    assert_int_equal(core_run_count(STORE_GET), FILES - 3);
}

/* Opens the first two, so that what follows is on its way; then the third is another thing. */
static void begin(void)
{
    list_directory();
    open_and_read(0);
    open_and_read(1);
    assert_in_range(asked(), 2, FILES);
}

static void what_is_replaced_is_not_the_old_one(void **state)
{
    struct s3dlio_reader *reader;
    unsigned char byte;
    struct s3dlio_error error;

    begin();
    core_run_put_text(uri_of(2), "new");
    reader = core_run_open_reader(uri_of(2));
    core_run_must(s3dlio_reader_pread(reader, &byte, 1, 0, NULL, &error), &error);
    assert_int_equal(byte, 'n');
    s3dlio_reader_close(reader);
    open_and_read(3);
}

static void what_is_removed_is_gone(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    begin();
    core_run_must(s3dlio_unlink(uri_of(2), NULL, &error), &error);
    assert_int_equal(s3dlio_reader_open(uri_of(2), NULL, &reader, &error), -ENOENT);
    open_and_read(3);
}

static void what_is_renamed_is_elsewhere(void **state)
{
    struct s3dlio_reader *reader;
    struct s3dlio_error error;

    begin();
    core_run_must(s3dlio_rename(uri_of(2), "fault://prefetch/d/zzzz", 0, NULL, &error), &error);
    assert_int_equal(s3dlio_reader_open(uri_of(2), NULL, &reader, &error), -ENOENT);
    reader = core_run_open_reader("fault://prefetch/d/zzzz");
    read_all(reader, 0);
    s3dlio_reader_close(reader);
    core_run_must(s3dlio_unlink("fault://prefetch/d/zzzz", NULL, &error), &error);
}

/* Longer than attributes are trusted: another machine may have changed it. */
static void after_its_time_it_is_asked_for_again(void **state)
{
    uint64_t gets;

    begin();
    core_run_let_ttl_pass();
    gets = core_run_count(STORE_GET);
    open_and_read(2);
    assert_int_equal(core_run_count(STORE_GET), gets + 1);
    assert_int_equal(used(), 1);
}

static void one_that_failed_is_asked_for_again(void **state)
{
    core_run_faults("op=GetObject key=d/0001 nth=1 count=1 fail=server");
    list_directory();
    for (unsigned i = 0; i < 4; i++)
        open_and_read(i);
    assert_in_range(asked(), 3, FILES);
    assert_int_equal(core_run_count(STORE_GET) - asked(), 2); /* the first, and d/0001 again */
}

static void a_child_has_none_of_its_parents(void **state)
{
    pid_t pid;

    NOT_UNDER_TSAN();
    begin();
    pid = core_run_fork();
    if (!pid) {
        for (unsigned i = 2; i < FILES; i++)
            open_and_read(i);
        _exit(0);
    }
    core_run_wait_for(pid);
    for (unsigned i = 2; i < FILES; i++)
        open_and_read(i);
}

static void *read_some(void *arg)
{
    unsigned first = *(unsigned *)arg;

    for (unsigned round = 0; round < 4; round++)
        for (unsigned i = 0; i < FILES; i++)
            open_and_read((first + i) % FILES);
    return NULL;
}

static void by_several_threads(void **state)
{
    unsigned firsts[4] = {0, 0, 5, 12};
    pthread_t threads[4];

    list_directory();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_some, &firsts[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void all_memory_comes_back(void **state)
{
    const struct budget *budget = &core_run_engine()->budget;

    begin();
    for (unsigned tries = 0; tries < 100 && atomic_load(&budget->class_bytes[BUDGET_PREFETCH]);
         tries++)
        core_run_let_ttl_pass();
    assert_int_equal(atomic_load(&budget->class_bytes[BUDGET_PREFETCH]), 0);
    assert_int_equal(budget_used(budget), 0);
}

/* Until so many have been counted since `before`. */
static void await(enum stats_counter which, uint64_t before, uint64_t bytes)
{
    for (unsigned tries = 0; counter(which) - before < bytes; tries++) {
        assert_in_range(tries, 0, 10000);
        usleep(1000);
    }
}

static void await_bytes(uint64_t before, uint64_t bytes)
{
    await(STATS_BYTES_RECEIVED, before, bytes);
}

static void what_nobody_opened_is_wasted_at_the_end(void **state)
{
    uint64_t received = counter(STATS_BYTES_RECEIVED), wasted = counter(STATS_PREFETCH_WASTED);
    uint64_t of_streams = counter(STATS_AHEAD_WASTED);

    begin();
    await_bytes(received, (2 + asked() - used()) * BYTES);
    s3dlio_drop_unused();
    assert_int_equal(counter(STATS_PREFETCH_WASTED) - wasted, (asked() - used()) * BYTES);
    s3dlio_drop_unused(); /* nothing is left to count */
    assert_int_equal(counter(STATS_PREFETCH_WASTED) - wasted, (asked() - used()) * BYTES);
    assert_int_equal(counter(STATS_AHEAD_WASTED), of_streams);
    open_and_read(2);
}

/* Answers that were on their way when the guess was given up. */
static void what_arrives_later_is_wasted_too(void **state)
{
    uint64_t wasted = counter(STATS_PREFETCH_WASTED);

    core_run_faults("op=GetObject key=d/000[2-9] delay=60");
    begin();
    assert_true(asked() > used());
    s3dlio_drop_unused();
    assert_int_equal(counter(STATS_PREFETCH_WASTED) - wasted, 0); /* nothing came yet */
    await(STATS_PREFETCH_WASTED, wasted, (asked() - used()) * BYTES);
    assert_int_equal(counter(STATS_PREFETCH_WASTED) - wasted, (asked() - used()) * BYTES);
}

static void what_nobody_read_is_wasted_at_the_end(void **state)
{
    uint64_t received = counter(STATS_BYTES_RECEIVED), wasted = counter(STATS_AHEAD_WASTED);
    struct s3dlio_reader *reader = core_run_open_reader(uri_of(0));
    unsigned char bytes[10];
    struct s3dlio_error error;

    core_run_must(s3dlio_reader_pread(reader, bytes, sizeof bytes, 0, NULL, &error), &error);
    await_bytes(received, BYTES);
    s3dlio_drop_unused();
    assert_int_equal(counter(STATS_AHEAD_WASTED) - wasted, BYTES - sizeof bytes);
    read_all(reader, 0);
    s3dlio_reader_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, set_up)
        TEST(in_the_order_of_a_listing),
        TEST(in_no_order_each_by_itself),
        TEST(as_the_program_was_told),
        TEST(a_look_at_one_is_free),
        TEST(what_is_replaced_is_not_the_old_one),
        TEST(what_is_removed_is_gone),
        TEST(what_is_renamed_is_elsewhere),
        TEST(after_its_time_it_is_asked_for_again),
        TEST(one_that_failed_is_asked_for_again),
        TEST(a_child_has_none_of_its_parents),
        TEST(by_several_threads),
        TEST(all_memory_comes_back),
        TEST(what_nobody_opened_is_wasted_at_the_end),
        TEST(what_arrives_later_is_wasted_too),
        TEST(what_nobody_read_is_wasted_at_the_end),
    };

    return cmocka_run_group_tests(tests, make_objects, NULL);
}
