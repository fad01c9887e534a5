/* core/names_renew.c: what it costs to look up names that a listing has shown too long ago.
 *
 * Time is a count: each look at the clock takes a microsecond, a request ten milliseconds, and what is
 * to take longer says so. */
#include "names_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#define PAGE    1000u
#define PAGES   20u
#define TTL_S   3600
#define SHUFFLE 7919u /* a prime that divides no count here */

static _Atomic int64_t passed_ns;

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int64_t now_ns = atomic_fetch_add(&passed_ns, 1000) + NS_PER_S;

    if (clock != CLOCK_MONOTONIC)
        return (int)syscall(SYS_clock_gettime, clock, ret_time);
    *ret_time = (struct timespec){.tv_sec = now_ns / NS_PER_S, .tv_nsec = now_ns % NS_PER_S};
    return 0;
}

static void pass(int64_t ns)
{
    atomic_fetch_add(&passed_ns, ns);
}

static void let_ttl_pass(void)
{
    pass((TTL_S + 1) * NS_PER_S);
}

static const struct store_ops *quick;
static struct store_ops slow;

static void submit_slowly(struct store_request *request)
{
    pass(10 * NS_PER_MS);
    quick->submit(request);
}

static int set_up(void **state)
{
    (void)state;
    core_run_set_option("S3DLIO_META_TTL_MS=3600000");
    core_run_make_bucket("counted");
    quick = core_run_store()->ops;
    slow = *quick;
    slow.submit = submit_slowly;
    core_run_store()->ops = &slow;
    let_ttl_pass();
    names_run_plant_many(B "many/%06u", PAGES * PAGE);
    return 0;
}

/* What was asked of each kind. */
static unsigned heads, lists;

static void count(void)
{
    heads = (unsigned)core_run_count(STORE_HEAD);
    lists = (unsigned)core_run_count(STORE_LIST);
    core_run_reset_counts();
}

/* Reads the directory, and lets that pass. */
static void read_names(const char *directory, unsigned expected)
{
    assert_int_equal(names_run_list(directory, false), expected);
    let_ttl_pass();
    count();
}

static int type_of(const char *directory, unsigned number)
{
    char uri[200];

    snprintf(uri, sizeof uri, "%s/%06u", directory, number);
    return core_run_type(uri);
}

static void look_at(const char *directory, unsigned number)
{
    assert_int_equal(type_of(directory, number), S3DLIO_FILE);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void test_one_look_up_is_one_request(void **state)
{
    read_names(B "many", PAGES * PAGE);
    for (unsigned i = 0; i < 20; i++) {
        look_at(B "many", i);
        count();
        assert_int_equal(heads, 1);
        assert_int_equal(lists, 0);
        let_ttl_pass();
    }
}

static void test_a_few_look_ups(void **state)
{
    read_names(B "many", PAGES * PAGE);
    look_at(B "many", 1);
    look_at(B "many", 2);
    count();
    assert_int_equal(heads, 2);
    assert_int_equal(lists, 0);
}

static void test_all_in_order(void **state)
{
    read_names(B "many", PAGES * PAGE);
    for (unsigned i = 0; i < PAGES * PAGE; i++)
        look_at(B "many", i);
    count();
    assert_in_range(heads, 2, 5); /* the marker among them, at times */
    assert_int_equal(lists, PAGES);
}

static void test_all_in_any_order(void **state)
{
    read_names(B "many", PAGES * PAGE);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < PAGES * PAGE; i++)
            look_at(B "many", i * SHUFFLE % (PAGES * PAGE));
        count();
        assert_in_range(heads, 1, 6);
        assert_int_equal(lists, PAGES);
        let_ttl_pass();
    }
}

/* As many look-ups as fit the TTL, some rounds in all: no more than the pages of each. */
static void test_rounds(void **state)
{
    read_names(B "many", PAGES * PAGE);
    for (unsigned i = 0; i < PAGES * PAGE; i++) {
        look_at(B "many", i * SHUFFLE % (PAGES * PAGE));
        if (i % 5000 == 4999)
            let_ttl_pass();
    }
    count();
    assert_in_range(heads, 1, 4 * 6);
    assert_in_range(lists, PAGES, 4 * PAGES);
}

/* Who does something else between look-ups pays for what he needs, and not for what he might. */
static void test_now_and_then(void **state)
{
    read_names(B "many", PAGES * PAGE);
    for (unsigned i = 0; i < 200; i++) {
        look_at(B "many", i * SHUFFLE % (PAGES * PAGE));
        pass(NS_PER_S);
    }
    count();
    assert_in_range(heads, 3 * PAGES / 2, 3 * PAGES);
    assert_in_range(lists, PAGES / 2, PAGES); /* of each page so much was wanted */
    let_ttl_pass();
    for (unsigned i = 0; i < PAGES; i++) { /* each on a page of its own */
        look_at(B "many", i * PAGE + 7 * i);
        pass(NS_PER_S);
    }
    count();
    assert_int_equal(heads, PAGES);
    assert_int_equal(lists, 0);
}

static void test_listed_again(void **state)
{
    read_names(B "many", PAGES * PAGE);
    assert_int_equal(names_run_list(B "many", false), PAGES * PAGE);
    count();
    assert_int_equal(lists, PAGES);
}

/* Directories among them, on whose boundaries pages end. */
static void test_directories(void **state)
{
    char uri[200];

    names_run_plant_many(B "dirs/%06u/x", 3 * PAGE);
    read_names(B "dirs", 3 * PAGE);
    for (unsigned i = 0; i < 3 * PAGE; i++) {
        snprintf(uri, sizeof uri, B "dirs/%06u", i * SHUFFLE % (3 * PAGE));
        assert_int_equal(core_run_type(uri), S3DLIO_DIRECTORY);
    }
    count();
    assert_in_range(heads + lists, 4, 7); /* each page is one request */
}

static void test_a_bucket(void **state)
{
    core_run_make_bucket("whole");
    let_ttl_pass();
    names_run_plant_many("fault://whole/%06u", 2 * PAGE);
    read_names("fault://whole", 2 * PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i++)
        look_at("fault://whole", i * SHUFFLE % (2 * PAGE));
    count();
    assert_in_range(heads, 2, 6);
    assert_int_equal(lists, 2);
}

/* ---- changes --------------------------------------------------------------------------------- */

static void test_what_has_gone(void **state)
{
    char uri[200];

    names_run_plant_many(B "gone/%06u", PAGE + 500);
    read_names(B "gone", PAGE + 500);
    for (unsigned i = 0; i < PAGE; i += 100) {
        snprintf(uri, sizeof uri, B "gone/%06u", i);
        core_run_delete_elsewhere(uri);
    }
    count();
    for (unsigned i = 0; i < PAGE + 500; i++)
        assert_int_equal(type_of(B "gone", i), i < PAGE && i % 100 == 0 ? -ENOENT : S3DLIO_FILE);
    count();
    assert_in_range(heads + lists, 2, 5 * 10 + 10);
}

static void test_own_changes_between(void **state)
{
    struct s3dlio_attr attr;
    char uri[200];

    names_run_plant_many(B "mine/%06u", 2 * PAGE);
    read_names(B "mine", 2 * PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i += 10) {
        look_at(B "mine", i);
        snprintf(uri, sizeof uri, B "mine/%06u", i + 1);
        assert_int_equal(s3dlio_unlink(uri, NULL, NULL), 0);
        snprintf(uri, sizeof uri, B "mine/%06u", i + 2);
        core_run_put(uri, 100);
        if (i % 500 == 490)
            let_ttl_pass();
        assert_int_equal(type_of(B "mine", i + 1), -ENOENT);
        assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, 100);
        snprintf(uri, sizeof uri, B "mine/%06u", i + 3);
        assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, 1);
    }
}

static void test_others_change_it(void **state)
{
    struct s3dlio_attr attr;
    char uri[200];

    names_run_plant_many(B "theirs/%06u", 2 * PAGE);
    read_names(B "theirs", 2 * PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i += 7) {
        snprintf(uri, sizeof uri, B "theirs/%06u", i);
        core_run_put_elsewhere(uri, 50, 0);
        for (unsigned j = 0; i % 70 == 0 && j < 3; j++)
            look_at(B "theirs", (i + 1 + j * 700) % (2 * PAGE));
    }
    let_ttl_pass();
    for (unsigned i = 0; i < 2 * PAGE; i++) {
        snprintf(uri, sizeof uri, B "theirs/%06u", i);
        assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
        assert_int_equal(attr.size_bytes, i % 7 == 0 ? 50 : 1);
    }
}

/* A page says nothing of modes: not where there are any by now. */
static void test_marked_meanwhile(void **state)
{
    struct s3dlio_write_options mode = {.has = S3DLIO_HAS_MODE, .mode = 0600};

    names_run_plant_many(B "then/%06u", 2 * PAGE);
    read_names(B "then", 2 * PAGE);
    for (unsigned i = 0; i < 10; i++)
        look_at(B "then", 3 * i);
    let_ttl_pass();
    names_run_plant_with(B "then/", "s3dlio-marked", "1"); /* as another machine does it */
    names_run_plant_with(B "then/000777", "mode", "33152");
    for (unsigned i = 0; i < PAGE; i++) {
        char uri[200];

        snprintf(uri, sizeof uri, B "then/%06u", i);
        assert_int_equal(names_run_mode(uri), i == 777 ? 0600 : 0);
    }
    assert_int_equal(s3dlio_put(B "then/000778", "x", 1, &mode, NULL, NULL, NULL), 0);
    assert_int_equal(names_run_mode(B "then/000778"), 0600);
}

static void test_marked_by_this_process(void **state)
{
    struct s3dlio_write_options mode = {.has = S3DLIO_HAS_MODE, .mode = 0600};

    names_run_plant_many(B "now/%06u", 2 * PAGE);
    read_names(B "now", 2 * PAGE);
    for (unsigned i = 0; i < 10; i++)
        look_at(B "now", 3 * i);
    assert_int_equal(s3dlio_put(B "now/001500", "x", 1, &mode, NULL, NULL, NULL), 0);
    for (unsigned i = 0; i < 10; i++)
        look_at(B "now", 1000 + 3 * i);
    assert_int_equal(names_run_mode(B "now/001500"), 0600);
    let_ttl_pass();
    for (unsigned i = 0; i < 2 * PAGE; i++) {
        char uri[200];

        snprintf(uri, sizeof uri, B "now/%06u", i);
        assert_int_equal(names_run_mode(uri), i == 1500 ? 0600 : 0);
    }
}

/* ---- stores that will not -------------------------------------------------------------------- */

static void test_who_may_not_list(void **state)
{
    read_names(B "many", PAGES * PAGE);
    core_run_faults("op=ListObjects fail=access");
    for (unsigned i = 0; i < 100; i++)
        look_at(B "many", i * SHUFFLE % (PAGES * PAGE));
    count();
    assert_in_range(heads, 100, 110);
    assert_in_range(lists, 1, 2 * PAGES);
}

static void test_a_store_without_order(void **state)
{
    read_names(B "many", PAGES * PAGE);
    store_lose(core_run_store(), STORE_CAP_LIST_ORDERED);
    for (unsigned i = 0; i < 100; i++)
        look_at(B "many", i * SHUFFLE % (PAGES * PAGE));
    count();
    assert_int_equal(heads, 100);
    assert_int_equal(lists, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *look_at_half(void *arg)
{
    unsigned half = *(unsigned *)arg;

    for (unsigned i = half; i < PAGES * PAGE; i += 2)
        look_at(B "many", i * SHUFFLE % (PAGES * PAGE));
    return NULL;
}

static void test_two_threads(void **state)
{
    unsigned halves[] = {0, 1};
    pthread_t threads[2];

    read_names(B "many", PAGES * PAGE);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_at_half, &halves[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    count();
    assert_in_range(lists, 1, PAGES);
    assert_in_range(heads, 2, PAGES * PAGE / 10);
}

/* ---- marked directories ---------------------------------------------------------------------- */

static void plant_marked(const char *directory, unsigned number)
{
    char format[200];

    snprintf(format, sizeof format, "%s/", directory);
    names_run_plant_with(format, "s3dlio-marked", "1");
    snprintf(format, sizeof format, "%s/%%06u", directory);
    names_run_plant_many(format, number);
}

static void test_a_marked_directory_in_order(void **state)
{
    unsigned missed = 0;

    plant_marked(B "exact", 2 * PAGE);
    read_names(B "exact", 2 * PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i++) {
        uint64_t before = core_run_count(STORE_HEAD);

        look_at(B "exact", i);
        if (i == 0)
            assert_int_equal(core_run_count(STORE_HEAD), before + 1);
        assert_true(core_run_count(STORE_HEAD) <= 2 * i + 2);
        missed += core_run_count(STORE_HEAD) > before;
    }
    count();
    assert_int_equal(heads, 2 * PAGE);
    assert_int_equal(lists, 0);
    assert_in_range(missed, 8, 20); /* look-ups that had to wait */
}

static void test_a_marked_directory_in_any_order(void **state)
{
    plant_marked(B "mixed", 2 * PAGE);
    read_names(B "mixed", 2 * PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i++)
        look_at(B "mixed", i * SHUFFLE % (2 * PAGE));
    count();
    assert_int_equal(heads, 2 * PAGE);
    assert_int_equal(lists, 0);
}

struct named {
    uint64_t inode;
    unsigned number;
};

static int compare_inodes(const void *left, const void *right)
{
    const struct named *a = left, *b = right;

    return (a->inode > b->inode) - (a->inode < b->inode);
}

/* As fts sorts large directories. */
static void test_a_marked_directory_by_inode(void **state)
{
    static struct named names[2 * PAGE];
    unsigned missed = 0;

    plant_marked(B "inodes", 2 * PAGE);
    for (unsigned i = 0; i < 2 * PAGE; i++) {
        char uri[200];

        snprintf(uri, sizeof uri, B "inodes/%06u", i);
        names[i] = (struct named){attr_inode(uri), i};
    }
    read_names(B "inodes", 2 * PAGE);
    qsort(names, 2 * PAGE, sizeof *names, compare_inodes);
    for (unsigned i = 0; i < 2 * PAGE; i++) {
        uint64_t before = core_run_count(STORE_HEAD);

        look_at(B "inodes", names[i].number);
        missed += core_run_count(STORE_HEAD) > before;
    }
    count();
    assert_int_equal(heads, 2 * PAGE);
    assert_in_range(missed, 8, 40);
}

static void test_a_marked_directory_of_which_much_has_gone(void **state)
{
    char uri[200];

    plant_marked(B "less", 500);
    read_names(B "less", 500);
    for (unsigned i = 0; i < 500; i += 2) {
        snprintf(uri, sizeof uri, B "less/%06u", i);
        core_run_delete_elsewhere(uri);
    }
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(type_of(B "less", i), i % 2 ? S3DLIO_FILE : -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_look_up_is_one_request, core_run_clear),
        cmocka_unit_test_setup(test_a_few_look_ups, core_run_clear),
        cmocka_unit_test_setup(test_all_in_order, core_run_clear),
        cmocka_unit_test_setup(test_all_in_any_order, core_run_clear),
        cmocka_unit_test_setup(test_rounds, core_run_clear),
        cmocka_unit_test_setup(test_now_and_then, core_run_clear),
        cmocka_unit_test_setup(test_listed_again, core_run_clear),
        cmocka_unit_test_setup(test_directories, core_run_clear),
        cmocka_unit_test_setup(test_a_bucket, core_run_clear),
        cmocka_unit_test_setup(test_what_has_gone, core_run_clear),
        cmocka_unit_test_setup(test_own_changes_between, core_run_clear),
        cmocka_unit_test_setup(test_others_change_it, core_run_clear),
        cmocka_unit_test_setup(test_marked_meanwhile, core_run_clear),
        cmocka_unit_test_setup(test_marked_by_this_process, core_run_clear),
        cmocka_unit_test_setup(test_who_may_not_list, core_run_clear),
        cmocka_unit_test_setup(test_a_store_without_order, core_run_clear),
        cmocka_unit_test_setup(test_two_threads, core_run_clear),
        cmocka_unit_test_setup(test_a_marked_directory_in_order, core_run_clear),
        cmocka_unit_test_setup(test_a_marked_directory_in_any_order, core_run_clear),
        cmocka_unit_test_setup(test_a_marked_directory_by_inode, core_run_clear),
        cmocka_unit_test_setup(test_a_marked_directory_of_which_much_has_gone, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
