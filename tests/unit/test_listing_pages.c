/* Listings of large directories, several pages at a time: every entry once and in order, whatever the
 * names are like and whatever happens meanwhile. */
#include "names_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sanitizer.h"

#define ENTRIES_MAX 9000u
#define PAGE        1000u
#define NAME_BYTES  48u

static char (*names)[NAME_BYTES]; /* of the entries, in the store's order */
static unsigned name_count;

static int compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void name_counters(unsigned count)
{
    name_count = count;
    for (unsigned i = 0; i < count; i++)
        snprintf(names[i], NAME_BYTES, "img_%06u.jpg", i);
}

static void plant(const char *directory, unsigned count)
{
    char uri[200];

    name_count = count;
    for (unsigned i = 0; i < count; i++) {
        snprintf(uri, sizeof uri, B "%s/%s", directory, names[i]);
        names_run_plant(uri);
    }
    qsort(names, count, sizeof *names, compare);
    names_run_requests();
}

/* "counters" are all that there is room for. */
static int set_up(void **state)
{
    names = calloc(ENTRIES_MAX, sizeof *names);
    assert_non_null(names);
    names_run_set_up(state);
    name_counters(ENTRIES_MAX);
    plant("counters", ENTRIES_MAX);
    return 0;
}

static int tear_down(void **state)
{
    free(names);
    return 0;
}

static struct s3dlio_list *open_list(const char *directory, unsigned flags)
{
    struct s3dlio_list *listing;
    char uri[200];

    snprintf(uri, sizeof uri, B "%s", directory);
    assert_int_equal(s3dlio_list_open(uri, flags, NULL, &listing, NULL), 0);
    return listing;
}

/* names[from] up to names[to], and the end if that is all. */
static void check_names(struct s3dlio_list *listing, unsigned from, unsigned to)
{
    struct s3dlio_entry entry;

    for (unsigned i = from; i < to; i++) {
        assert_int_equal(s3dlio_list_next(listing, &entry, NULL), 1);
        assert_string_equal(entry.name, names[i]);
    }
    if (to == name_count)
        assert_int_equal(s3dlio_list_next(listing, &entry, NULL), 0);
}

static unsigned check_whole(const char *directory, unsigned flags)
{
    struct s3dlio_list *listing = open_list(directory, flags);

    check_names(listing, 0, name_count);
    s3dlio_list_close(listing);
    return (unsigned)core_run_count(STORE_LIST);
}

/* ---- names of all kinds ---------------------------------------------------------------------- */

static unsigned scatter(unsigned number)
{
    number = (number ^ number >> 16) * 0x45d9f3bu;
    return (number ^ number >> 16) * 0x45d9f3bu;
}

static void test_counters(void **state)
{
    name_counters(ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    assert_in_range(check_whole("counters", 0), 9, 18);
    assert_in_range(check_whole("counters", S3DLIO_LIST_RECURSIVE), 18, 36);
}

static void test_hashes(void **state)
{
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        snprintf(names[i], NAME_BYTES, "%08x-%u", scatter(i), i);
    plant("hashes", ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    assert_in_range(check_whole("hashes", 0), 9, 17); /* it is known where they end */
}

static void test_without_zeros(void **state)
{
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        snprintf(names[i], NAME_BYTES, "part%u", i);
    plant("unpadded", ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    assert_in_range(check_whole("unpadded", 0), 9, 26);
}

static void test_several_series(void **state)
{
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        snprintf(names[i], NAME_BYTES, "%s_%05u",
                 i % 3 == 0   ? "a"
                 : i % 3 == 1 ? "test"
                              : "val",
                 i);
    plant("series", ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    assert_in_range(check_whole("series", 0), 9, 26);
    core_run_reset_counts();
    assert_int_equal(check_whole("series", 0), 9); /* where they begin is known by now */
}

static void test_one_far_from_all_others(void **state)
{
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        snprintf(names[i], NAME_BYTES, "%09u", i == 0 ? 999999999 : i);
    plant("far", ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    assert_in_range(check_whole("far", 0), 9, 26);
}

/* ---- directories among them ------------------------------------------------------------------ */

static void test_directories(void **state)
{
    char name[NAME_BYTES];
    unsigned count = 5000;

    for (unsigned i = 0; i < count; i++) { /* every third one is a directory of two files */
        snprintf(name, sizeof name, "entry%05u", i);
        memcpy(names[i], name, sizeof name);
    }
    for (unsigned i = 0; i < count; i++) {
        char uri[200];

        snprintf(uri, sizeof uri, B "mixed/%s%s", names[i], i % 3 == 0 ? "/first" : "");
        names_run_plant(uri);
        snprintf(uri, sizeof uri, B "mixed/%s/second", names[i]);
        if (i % 3 == 0)
            names_run_plant(uri);
    }
    name_count = count;
    names_run_requests();
    core_run_faults("op=ListObjects delay=10");
    assert_in_range(check_whole("mixed", 0), 5, 12);
}

/* ---- how many at a time ---------------------------------------------------------------------- */

static void test_four_pages_are_four_requests(void **state)
{
    name_counters(4 * PAGE);
    plant("four", 4 * PAGE);
    core_run_faults("op=ListObjects delay=10");
    assert_int_equal(check_whole("four", 0), 4);
}

static void test_more_are_under_way_than_are_read(void **state)
{
    struct s3dlio_list *listing;

    name_counters(ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    listing = open_list("counters", 0);
    check_names(listing, 0, PAGE);
    assert_in_range(core_run_count(STORE_LIST), 1, 2);
    check_names(listing, PAGE, 4 * PAGE + PAGE / 2); /* the fifth page is read */
    assert_in_range(core_run_count(STORE_LIST), 7, 12);
    s3dlio_list_close(listing); /* and what was under way is forgotten */
}

static void test_a_store_that_cannot_begin_anywhere(void **state)
{
    name_counters(ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    store_lose(core_run_store(), STORE_CAP_LIST_ORDERED);
    assert_int_equal(check_whole("counters", 0), 9);
}

/* ---- what happens meanwhile ------------------------------------------------------------------ */

/* What the last entry of a page says: the next one may take its time. */
static void test_what_is_at_hand(void **state)
{
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;

    name_counters(2 * PAGE + 1);
    plant("at-hand", 2 * PAGE + 1);
    listing = open_list("at-hand", 0);
    for (unsigned i = 0; i < name_count; i++) {
        assert_int_equal(s3dlio_list_next(listing, &entry, NULL), 1);
        assert_int_equal(entry.next_is_ready, i + 1 != PAGE && i + 1 != 2 * PAGE);
    }
    assert_int_equal(s3dlio_list_next(listing, &entry, NULL), 0);
    s3dlio_list_close(listing);
}

static void test_errors(void **state)
{
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    unsigned count = 0;
    int r;

    name_counters(ENTRIES_MAX);
    core_run_faults("op=ListObjects nth=2 fail=access");
    listing = open_list("counters", 0);
    while ((r = s3dlio_list_next(listing, &entry, NULL)) == 1)
        assert_string_equal(entry.name, names[count++]);
    assert_int_equal(r, -EACCES);
    assert_int_equal(count, PAGE);
    core_run_faults(NULL);
    core_run_faults("op=ListObjects nth=5 count=3 fail=access"); /* of those asked for ahead */
    for (unsigned refused = 0; count < ENTRIES_MAX; refused += r < 0) {
        r = s3dlio_list_next(listing, &entry, NULL);
        assert_true(r == 1 || (r == -EACCES && refused < 3));
        if (r == 1)
            assert_string_equal(entry.name, names[count++]);
    }
    check_names(listing, name_count, name_count);
    s3dlio_list_close(listing);
}

static void test_changes(void **state)
{
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    char uri[200], before[NAME_BYTES];
    unsigned seen = 0;

    name_counters(ENTRIES_MAX);
    plant("changes", ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    listing = open_list("changes", 0);
    check_names(listing, 0, 4 * PAGE);
    strcpy(before, names[4 * PAGE - 1]);
    for (unsigned i = 5000; i < ENTRIES_MAX; i += 50) { /* one goes, one comes */
        snprintf(uri, sizeof uri, B "changes/img_%06u.jpg", i);
        core_run_delete_elsewhere(uri);
        snprintf(uri, sizeof uri, B "changes/img_%06u.new", i);
        names_run_plant(uri);
    }
    while (s3dlio_list_next(listing, &entry, NULL) == 1) {
        unsigned number = (unsigned)atoi(entry.name + 4);

        assert_true(strcmp(entry.name, before) > 0);
        snprintf(before, sizeof before, "%s", entry.name);
        seen += number < 5000 || number % 50 != 0; /* what was there all the time */
    }
    assert_int_equal(seen, ENTRIES_MAX - 4 * PAGE - (ENTRIES_MAX - 5000) / 50);
    s3dlio_list_close(listing);
}

static void test_fork(void **state)
{
    struct s3dlio_list *listing;
    pid_t pid;

    NOT_UNDER_TSAN();
    name_counters(ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=50");
    listing = open_list("counters", 0);
    check_names(listing, 0, 5 * PAGE + 1);
    pid = core_run_fork();
    check_names(listing, 5 * PAGE + 1, name_count);
    if (pid == 0)
        _exit(0);
    core_run_wait_for(pid);
    s3dlio_list_close(listing);
}

static void test_rewind(void **state)
{
    struct s3dlio_list *listing;

    name_counters(ENTRIES_MAX);
    core_run_faults("op=ListObjects delay=10");
    listing = open_list("counters", 0);
    check_names(listing, 0, 6 * PAGE);
    assert_int_equal(s3dlio_list_rewind(listing, NULL), 0);
    check_names(listing, 0, name_count);
    s3dlio_list_close(listing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_counters, core_run_clear),
        cmocka_unit_test_setup(test_hashes, core_run_clear),
        cmocka_unit_test_setup(test_without_zeros, core_run_clear),
        cmocka_unit_test_setup(test_several_series, core_run_clear),
        cmocka_unit_test_setup(test_one_far_from_all_others, core_run_clear),
        cmocka_unit_test_setup(test_directories, core_run_clear),
        cmocka_unit_test_setup(test_four_pages_are_four_requests, core_run_clear),
        cmocka_unit_test_setup(test_more_are_under_way_than_are_read, core_run_clear),
        cmocka_unit_test_setup(test_a_store_that_cannot_begin_anywhere, core_run_clear),
        cmocka_unit_test_setup(test_what_is_at_hand, core_run_clear),
        cmocka_unit_test_setup(test_errors, core_run_clear),
        cmocka_unit_test_setup(test_changes, core_run_clear),
        cmocka_unit_test_setup(test_fork, core_run_clear),
        cmocka_unit_test_setup(test_rewind, core_run_clear),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
