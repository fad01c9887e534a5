/* Listings: order, pages, delimiter, start-after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cases.h"
#include "run.h"

static char names[65536];

static int setup(void **state)
{
    static const char *const keys[] = {"list/a",   "list/a-b", "list/b/1",   "list/b/2",
                                       "list/b.c", "list/c",   "list/d/x/y", "list/e"};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put_text(keys[i], "x");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    delete_below("list/");
    return 0;
}

/* With real directories these stand in a listing themselves. */
static const char *expected(const char *markers, const char *plain)
{
    return run.traits->has & HAS_REAL_DIRECTORIES ? markers : plain;
}

static void everything_in_order(void **state)
{
    (void)state;
    list_names("list/", NULL, 0, names, sizeof names);
    assert_string_equal(names, expected("list/ list/a list/a-b list/b.c list/b/ list/b/1 list/b/2 "
                                        "list/c list/d/ list/d/x/ list/d/x/y list/e",
                                        "list/a list/a-b list/b.c list/b/1 list/b/2 list/c "
                                        "list/d/x/y list/e"));
}

static void one_level(void **state)
{
    struct store_call call;

    (void)state;
    list_names("list/", "/", 0, names, sizeof names);
    assert_string_equal(names,
                        expected("list/ list/a list/a-b list/b.c list/b/ list/c list/d/ list/e",
                                 "list/a list/a-b list/b.c list/b/ list/c list/d/ list/e"));
    list_names("list/b", "/", 0, names, sizeof names);
    assert_string_equal(names, "list/b.c list/b/");
    list_names("list/d/", "/", 0, names, sizeof names);
    assert_string_equal(names, expected("list/d/ list/d/x/", "list/d/x/"));
    list_names("list/zzz", "/", 0, names, sizeof names);
    assert_string_equal(names, "");
    run_call_init(&call, STORE_LIST, NULL);
    call.request.prefix = "list/b";
    call.request.delimiter = "/";
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.request.page->count, 2);
    assert_false(call.request.page->entries[0].is_prefix);
    assert_true(call.request.page->entries[1].is_prefix);
    store_call_fini(&call);
}

static void pages_of_any_size(void **state)
{
    char whole[4096];
    unsigned count = run.traits->has & HAS_REAL_DIRECTORIES ? 8 : 7;

    (void)state;
    list_names("list/", "/", 0, whole, sizeof whole);
    for (unsigned max = 1; max <= 9; max++) {
        unsigned pages = list_names("list/", "/", max, names, sizeof names);

        assert_string_equal(names, whole);
        /* A server may learn only from an empty last page that it is at the end. */
        assert_in_range(pages, (count + max - 1) / max, (count + max - 1) / max + 1);
    }
    list_names("list/", NULL, 0, whole, sizeof whole);
    for (unsigned max = 1; max <= 9; max += 2) {
        list_names("list/", NULL, max, names, sizeof names);
        assert_string_equal(names, whole);
    }
}

static void attributes_agree_with_head(void **state)
{
    struct store_call list, head;

    (void)state;
    put_pattern("list/a", 1, 12345, NULL);
    run_call_init(&head, STORE_HEAD, "list/a");
    assert_class(store_call_do(&head), ERROR_NONE);
    run_call_init(&list, STORE_LIST, NULL);
    list.request.prefix = "list/a";
    assert_class(store_call_do(&list), ERROR_NONE);
    assert_string_equal(list.request.page->entries[0].key, "list/a");
    assert_int_equal(list.request.page->entries[0].size_bytes, 12345);
    assert_string_equal(list.request.page->entries[0].etag, head.request.object.etag);
    assert_int_equal(list.request.page->entries[0].mtime.tv_sec, head.request.object.mtime.tv_sec);
    store_call_fini(&list);
    store_call_fini(&head);
}

static void starting_after(void **state)
{
    static const struct {
        const char *after, *markers, *plain;
    } rows[] = {
        {"list/b.c", "list/b/ list/b/1 list/b/2 list/c list/d/ list/d/x/ list/d/x/y list/e",
         "list/b/1 list/b/2 list/c list/d/x/y list/e"},
        {"list/b/1", "list/b/2 list/c list/d/ list/d/x/ list/d/x/y list/e",
         "list/b/2 list/c list/d/x/y list/e"},
        {"list/b/11", "list/b/2 list/c list/d/ list/d/x/ list/d/x/y list/e",
         "list/b/2 list/c list/d/x/y list/e"},
        {"list/e", "", ""},
        {"a",
         "list/ list/a list/a-b list/b.c list/b/ list/b/1 list/b/2 list/c list/d/ list/d/x/ "
         "list/d/x/y list/e",
         "list/a list/a-b list/b.c list/b/1 list/b/2 list/c list/d/x/y list/e"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct store_call call;

        run_call_init(&call, STORE_LIST, NULL);
        call.request.prefix = "list/";
        call.request.start_after = rows[i].after;
        assert_class(store_call_do(&call), ERROR_NONE);
        names[0] = '\0';
        for (size_t k = 0; k < call.request.page->count; k++)
            strcat(strcat(names, k ? " " : ""), call.request.page->entries[k].key);
        assert_string_equal(names, expected(rows[i].markers, rows[i].plain));
        store_call_fini(&call);
    }
}

/* What is in a directory whose marker is known: behind it, with the delimiter and without. */
static void starting_after_the_prefix(void **state)
{
    static const char *const delimiters[] = {"/", NULL};
    const char *const shown[] = {"list/n/a list/n/b/ list/n/c",
                                 expected("list/n/a list/n/b/ list/n/b/1 list/n/b/2 list/n/c",
                                          "list/n/a list/n/b/1 list/n/b/2 list/n/c")};

    (void)state;
    put_pattern("list/n/", 0, 0, NULL);
    put_text("list/n/a", "x");
    put_text("list/n/b/1", "x");
    put_text("list/n/b/2", "x");
    put_text("list/n/c", "x");
    for (size_t i = 0; i < 2; i++) {
        struct store_call call;

        run_call_init(&call, STORE_LIST, NULL);
        call.request.prefix = call.request.start_after = "list/n/";
        call.request.delimiter = delimiters[i];
        assert_class(store_call_do(&call), ERROR_NONE);
        names[0] = '\0';
        for (size_t k = 0; k < call.request.page->count; k++)
            strcat(strcat(names, k ? " " : ""), call.request.page->entries[k].key);
        assert_string_equal(names, shown[i]);
        store_call_fini(&call);
    }
    assert_class(try_delete("list/n/a"), ERROR_NONE);
    assert_class(try_delete("list/n/b/1"), ERROR_NONE);
    assert_class(try_delete("list/n/b/2"), ERROR_NONE);
    if (run.traits->has & HAS_REAL_DIRECTORIES)
        assert_class(try_delete("list/n/b/"), ERROR_NONE);
    assert_class(try_delete("list/n/c"), ERROR_NONE);
    assert_class(try_delete("list/n/"), ERROR_NONE);
}

static void marker_objects(void **state)
{
    (void)state;
    put_pattern("list/m/", 0, 0, NULL);
    list_names("list/m/", "/", 0, names, sizeof names);
    assert_string_equal(names, "list/m/");
    assert_class(try_head("list/m/"), ERROR_NONE);
    assert_class(try_head("list/m"), ERROR_NOT_FOUND);
    put_text("list/m/k", "x");
    list_names("list/m/", "/", 0, names, sizeof names);
    assert_string_equal(names, "list/m/ list/m/k");
    assert_class(try_delete("list/m/k"), ERROR_NONE);
    list_names("list/m", "/", 0, names, sizeof names);
    assert_string_equal(names, "list/m/");
    assert_class(try_delete("list/m/"), ERROR_NONE);
    list_names("list/m", "/", 0, names, sizeof names);
    assert_string_equal(names, "");
}

/* More than one page of the store's own size. */
static void a_thousand_and_one(void **state)
{
    const char *last = "";
    char key[32];
    struct store_call call;

    (void)state;
    for (unsigned i = 0; i < 1001; i++) {
        snprintf(key, sizeof key, "thousand/%04u", i);
        put_text(key, "x");
    }
    list_names("thousand/", NULL, 0, names, sizeof names);
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        assert_true(strcmp(last, name) < 0);
        last = name;
    }
    assert_string_equal(last, "thousand/1000");
    run_call_init(&call, STORE_LIST, NULL);
    call.request.prefix = "thousand/0";
    assert_class(store_call_do(&call), ERROR_NONE);
    assert_int_equal(call.request.page->count, 1000);
    store_call_fini(&call);
    delete_below("thousand/");
}

int cases_list(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_in_order), cmocka_unit_test(one_level),
        cmocka_unit_test(pages_of_any_size),   cmocka_unit_test(attributes_agree_with_head),
        cmocka_unit_test(starting_after),      cmocka_unit_test(starting_after_the_prefix),
        cmocka_unit_test(marker_objects),      cmocka_unit_test(a_thousand_and_one),
    };

    return cmocka_run_group_tests_name("listings", tests, setup, teardown);
}
