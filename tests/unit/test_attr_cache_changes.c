/* core/attr_cache.h: answers that changes of this process and of others end, and kept pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/attr_cache.h"

#define DIRECTORY "mem://bucket/directory"

static struct attr_cache *cache;

static int set_up(void **state)
{
    cache = attr_cache_new(10 * NS_PER_S, 100);
    assert_non_null(cache);
    return 0;
}

static int tear_down(void **state)
{
    attr_cache_free(cache);
    return 0;
}

static struct attr file_of(uint64_t size_bytes)
{
    return (struct attr){.type = ATTR_FILE, .size_bytes = size_bytes, .etag = "\"e\""};
}

static enum attr_cache_answer get(const char *name)
{
    struct attr attr = {0};

    return attr_cache_get(cache, name, &attr);
}

static void put(const char *name, uint64_t size_bytes)
{
    struct attr attr = file_of(size_bytes);

    attr_cache_put(cache, name, &attr);
}

static void put_listed(const char *name, int64_t asked_ns)
{
    struct attr attr = file_of(1);

    attr_cache_put_listed(cache, name, &attr, asked_ns, clock_now_ns());
}

static void test_answers(void **state)
{
    int64_t since_ns = clock_now_ns();

    assert_int_equal(get(DIRECTORY "/a"), ATTR_CACHE_UNKNOWN);
    put(DIRECTORY "/a", 1);
    attr_cache_put_named(cache, DIRECTORY "/b", ATTR_FILE, since_ns);
    assert_int_equal(get(DIRECTORY "/a"), ATTR_CACHE_FOUND);
    assert_int_equal(get(DIRECTORY "/b"), ATTR_CACHE_NAMED);
    assert_int_equal(get(DIRECTORY "/c"), ATTR_CACHE_UNKNOWN);
    attr_cache_complete(cache, DIRECTORY, since_ns);
    assert_int_equal(get(DIRECTORY "/c"), ATTR_CACHE_ABSENT);
    attr_cache_forget(cache, DIRECTORY "/c");
    assert_int_equal(get(DIRECTORY "/c"), ATTR_CACHE_PAST);
    attr_cache_remove(cache, DIRECTORY "/c");
    assert_int_equal(get(DIRECTORY "/c"), ATTR_CACHE_ABSENT);
}

static void test_a_listing_does_not_undo_what_happened_since(void **state)
{
    int64_t asked_ns = clock_now_ns();

    put(DIRECTORY "/written", 1);
    put(DIRECTORY "/removed", 1);
    attr_cache_forget(cache, DIRECTORY "/written");
    attr_cache_remove(cache, DIRECTORY "/removed");
    put_listed(DIRECTORY "/written", asked_ns);
    put_listed(DIRECTORY "/removed", asked_ns);
    attr_cache_complete(cache, DIRECTORY, asked_ns);
    assert_int_equal(get(DIRECTORY "/written"), ATTR_CACHE_PAST);
    assert_int_equal(get(DIRECTORY "/removed"), ATTR_CACHE_UNKNOWN);
    assert_false(attr_cache_is_complete(cache, DIRECTORY));
    asked_ns = clock_now_ns();
    put_listed(DIRECTORY "/written", asked_ns);
    attr_cache_complete(cache, DIRECTORY, asked_ns);
    assert_int_equal(get(DIRECTORY "/written"), ATTR_CACHE_FOUND);
    assert_int_equal(get(DIRECTORY "/removed"), ATTR_CACHE_ABSENT);
}

static void test_eviction_ends_completeness(void **state)
{
    char name[100];
    int64_t since_ns = clock_now_ns();

    put(DIRECTORY "/a", 1);
    attr_cache_complete(cache, DIRECTORY, since_ns);
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "mem://other/%u", i);
        put(name, 1);
    }
    assert_int_equal(attr_cache_count(cache), 100);
    assert_int_equal(get(DIRECTORY "/a"), ATTR_CACHE_UNKNOWN);
}

static void test_worth_pages(void **state)
{
    struct attr_cache *brief = attr_cache_new(20 * NS_PER_MS, 5000);
    struct attr attr;

    attr_cache_complete(brief, DIRECTORY, clock_now_ns());
    assert_int_equal(attr_cache_get(brief, DIRECTORY "/a", &attr), ATTR_CACHE_ABSENT);
    assert_int_equal(attr_cache_worth_pages(brief, DIRECTORY, false), 0); /* still complete */
    usleep(30000);
    assert_int_equal(attr_cache_worth_pages(brief, DIRECTORY, true), 0);
    assert_int_equal(attr_cache_worth_pages(brief, DIRECTORY, false), 1);
    assert_int_equal(attr_cache_worth_pages(brief, DIRECTORY, false), 0); /* asked already */
    attr_cache_free(brief);
}

/* Somebody changes something while it is listed: it is worth to be listed again. */
static void test_worth_pages_after_a_change(void **state)
{
    struct attr_cache *other = attr_cache_new(0, 100);
    int64_t since_ns = clock_now_ns();

    attr_cache_note_missing(cache, DIRECTORY "/x");
    assert_int_equal(attr_cache_worth_pages(cache, DIRECTORY, false), 0); /* never listed */
    attr_cache_forget(other, DIRECTORY "/sub");
    attr_cache_complete(cache, DIRECTORY, since_ns);
    assert_false(attr_cache_is_complete(cache, DIRECTORY));
    assert_int_equal(attr_cache_worth_pages(cache, DIRECTORY, false), 0);
    attr_cache_note_missing(cache, DIRECTORY "/a");
    assert_int_equal(attr_cache_worth_pages(cache, DIRECTORY, false), 1);
    assert_int_equal(attr_cache_worth_pages(cache, DIRECTORY, false), 0);
    attr_cache_free(other);
}

/* Another process, or another cache, which is the same. */
static void test_changes_of_others(void **state)
{
    struct attr_cache *other = attr_cache_new(0, 100);
    int64_t since_ns = clock_now_ns();

    put(DIRECTORY "/a", 1);
    put(DIRECTORY "/b", 1);
    put(DIRECTORY "/sub/c", 1);
    attr_cache_complete(cache, DIRECTORY, since_ns);
    attr_cache_complete(cache, DIRECTORY "/sub", since_ns);
    attr_cache_forget(other, DIRECTORY "/a");
    assert_int_equal(get(DIRECTORY "/a"), ATTR_CACHE_PAST);
    assert_int_equal(get(DIRECTORY "/b"), ATTR_CACHE_FOUND);
    assert_int_equal(get(DIRECTORY "/none"), ATTR_CACHE_UNKNOWN);
    assert_int_equal(get(DIRECTORY "/sub/none"), ATTR_CACHE_ABSENT);
    attr_cache_remove(other, DIRECTORY "/sub/c");
    assert_int_equal(get(DIRECTORY "/sub/c"), ATTR_CACHE_PAST);
    assert_int_equal(get(DIRECTORY "/sub/none"), ATTR_CACHE_UNKNOWN);
    attr_cache_free(other);
}

/* What others write elsewhere, a thousand names in each of many directories, costs nothing here. */
static void test_others_are_busy_elsewhere(void **state)
{
    struct attr_cache *large = attr_cache_new(10 * NS_PER_S, 5000);
    struct attr_cache *other = attr_cache_new(0, 100);
    struct attr attr = file_of(1);
    int64_t since_ns = clock_now_ns();
    unsigned lost = 0;
    char name[100];

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "mem://quiet/directory/%u", i);
        attr_cache_put(large, name, &attr);
    }
    attr_cache_complete(large, "mem://quiet/directory", since_ns);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(name, sizeof name, "mem://busy/%u/%u", i / 1000, i);
        attr_cache_forget(other, name);
    }
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "mem://quiet/directory/%u", i);
        lost += attr_cache_get(large, name, &attr) != ATTR_CACHE_FOUND;
    }
    assert_int_equal(lost, 0);
    assert_true(attr_cache_is_complete(large, "mem://quiet/directory"));
    attr_cache_free(other);
    attr_cache_free(large);
}

/* In the same directory: the others' names are asked for anew, hardly any of the rest. */
static void test_others_are_busy_beside(void **state)
{
    struct attr_cache *large = attr_cache_new(10 * NS_PER_S, 5000);
    struct attr_cache *other = attr_cache_new(0, 100);
    struct attr attr = file_of(1);
    unsigned lost = 0;
    char name[100];

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "mem://shared/directory/%u", i);
        attr_cache_put(large, name, &attr);
    }
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "mem://shared/directory/%u", 500 + i);
        attr_cache_forget(other, name);
    }
    for (unsigned i = 0; i < 1000; i++) {
        bool found;

        snprintf(name, sizeof name, "mem://shared/directory/%u", i);
        found = attr_cache_get(large, name, &attr) == ATTR_CACHE_FOUND;
        assert_false(i >= 500 && found);
        lost += i < 500 && !found;
    }
    assert_in_range(lost, 0, 25);
    attr_cache_free(other);
    attr_cache_free(large);
}

static void test_changes_of_a_child(void **state)
{
    int64_t since_ns = clock_now_ns();
    int status;
    pid_t pid;

    attr_cache_complete(cache, DIRECTORY, since_ns);
    attr_cache_forget(cache, DIRECTORY "/own");
    assert_int_equal(get(DIRECTORY "/made"), ATTR_CACHE_ABSENT);
    pid = fork();
    if (pid == 0) {
        bool known = get(DIRECTORY "/made") == ATTR_CACHE_ABSENT;

        attr_cache_forget(cache, DIRECTORY "/made");
        _exit(known && get(DIRECTORY "/never") == ATTR_CACHE_ABSENT ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(get(DIRECTORY "/made"), ATTR_CACHE_UNKNOWN);
}

static struct store_page *page_of(const char *const *keys, const char *token)
{
    struct store_page_builder *builder = store_page_builder_new();

    assert_non_null(builder);
    for (; *keys; keys++)
        assert_int_equal(store_page_builder_add(builder, &(struct store_entry){.key = *keys}), 0);
    return store_page_builder_finish(builder, token);
}

static void check_start(const char *key, const char *expected, const char *after)
{
    struct uri directory = {.scheme = "mem", .bucket = "bucket"};
    struct attr_cache_start start;
    char text[200] = "";

    strcpy(directory.key, key);
    if (!attr_cache_start(cache, &directory, &start)) {
        assert_null(expected);
        return;
    }
    for (size_t i = 0; i < start.page->count; i++) {
        strcat(text, i ? " " : "");
        strcat(text, start.page->entries[i].key);
        assert_int_equal(start.page->entries[i].is_prefix,
                         text[strlen(text) - 1] == '/' &&
                             strcmp(start.page->entries[i].key, key) != 0);
    }
    assert_non_null(expected);
    assert_string_equal(text, expected);
    assert_string_equal(start.after ? start.after : "", after);
    store_page_free(start.page);
    free(start.after);
}

static void test_pages(void **state)
{
    static const char *const keys[] = {"d",     "d-1",   "d/",    "d/a",   "d/b/1",
                                       "d/b/2", "d/c-1", "d/c/1", "d/c/2", NULL};
    struct uri prefix = {.scheme = "mem", .bucket = "bucket", .key = "d"};

    check_start("d/", NULL, "");
    attr_cache_keep_page(cache, &prefix, page_of(keys, "token"), false, clock_now_ns());
    check_start("d/", "d/ d/a d/b/ d/c-1 d/c/", "d/c/2");
    check_start("d/b/", "d/b/1 d/b/2", "");
    check_start("d/c/", "d/c/1 d/c/2", "d/c/2");
    check_start("d/d/", NULL, "");
    check_start("e/", NULL, "");
    check_start("", NULL, "");
    attr_cache_forget(cache, "mem://bucket/d/b/3");
    check_start("d/b/", NULL, "");
    check_start("d/", NULL, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_listing_does_not_undo_what_happened_since, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_eviction_ends_completeness, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worth_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_worth_pages_after_a_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_are_busy_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_are_busy_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changes_of_a_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
