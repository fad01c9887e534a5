/* core/attr_cache.h and attr.h: what is remembered, for how long, and what may be concluded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "core/attr_cache.h"

static struct attr file_of(uint64_t size_bytes)
{
    struct attr attr = {.type = ATTR_FILE, .size_bytes = size_bytes, .etag = "\"e\""};

    return attr;
}

static enum attr_cache_answer ask(struct attr_cache *cache, const char *uri)
{
    struct attr attr;

    return attr_cache_get(cache, uri, &attr);
}

static void test_ttl(void **state)
{
    struct attr_cache *cache = attr_cache_new(30 * NS_PER_MS, 100);
    struct attr attr = file_of(5), found;

    attr_cache_put(cache, "s3://b/d/f", &attr);
    assert_int_equal(attr_cache_get(cache, "s3://b/d/f", &found), ATTR_CACHE_FOUND);
    assert_int_equal(found.size_bytes, 5);
    assert_int_equal(ask(cache, "s3://b/d/g"), ATTR_CACHE_UNKNOWN);
    usleep(35000);
    assert_int_equal(ask(cache, "s3://b/d/f"), ATTR_CACHE_PAST);
    attr_cache_free(cache);

    cache = attr_cache_new(0, 100);
    attr_cache_put(cache, "s3://b/d/f", &attr);
    assert_int_equal(ask(cache, "s3://b/d/f"), ATTR_CACHE_UNKNOWN);
    attr_cache_free(cache);
}

/* What is known is newer than what a listing said that was asked for before. */
static void test_renewing(void **state)
{
    struct attr_cache *cache = attr_cache_new(NS_PER_S, 100);
    struct attr old = file_of(5), new = file_of(6), found;
    int64_t now_ns = clock_now_ns();

    attr_cache_put(cache, "s3://b/d/known", &new);
    attr_cache_renew(cache, "s3://b/d/known", &old, now_ns, now_ns);
    assert_int_equal(attr_cache_get(cache, "s3://b/d/known", &found), ATTR_CACHE_FOUND);
    assert_int_equal(found.size_bytes, 6);
    attr_cache_put_named(cache, "s3://b/d/named", ATTR_FILE, now_ns);
    attr_cache_renew(cache, "s3://b/d/named", &old, now_ns, now_ns);
    assert_int_equal(attr_cache_get(cache, "s3://b/d/named", &found), ATTR_CACHE_FOUND);
    attr_cache_renew(cache, "s3://b/d/past", &old, now_ns, now_ns - 2 * NS_PER_S);
    assert_int_equal(ask(cache, "s3://b/d/past"), ATTR_CACHE_PAST); /* it counts from then */
    attr_cache_renew(cache, "s3://b/d/past", &new, now_ns, now_ns);
    assert_int_equal(attr_cache_get(cache, "s3://b/d/past", &found), ATTR_CACHE_FOUND);
    assert_int_equal(found.size_bytes, 6);
    attr_cache_forget(cache, "s3://b/d/past");
    attr_cache_renew(cache, "s3://b/d/past", &old, now_ns, now_ns); /* asked for before that */
    assert_int_equal(ask(cache, "s3://b/d/past"), ATTR_CACHE_PAST);
    attr_cache_free(cache);
}

/* A change of metadata keeps the ETag: nothing of what has passed lives on. */
static void test_renewing_forgets_metadata(void **state)
{
    struct attr_cache *cache = attr_cache_new(30 * NS_PER_MS, 100);
    struct attr old = file_of(5), listed = file_of(5), found;
    int64_t since_ns = clock_now_ns();

    old.has = ATTR_HAS_MODE;
    attr_cache_put(cache, "s3://b/d/f", &old);
    while (ask(cache, "s3://b/d/f") != ATTR_CACHE_PAST)
        usleep(5000);
    attr_cache_renew(cache, "s3://b/d/f", &listed, clock_now_ns(), since_ns);
    attr_cache_get(cache, "s3://b/d/f", &found);
    assert_int_equal(found.has, 0);
    attr_cache_free(cache);
}

static void test_following(void **state)
{
    struct attr_cache *cache = attr_cache_new(NS_PER_MS, 100);
    struct attr attr = file_of(5);
    char *names[8];

    for (unsigned i = 0; i < 6; i++) {
        char name[32];

        attr.inode = 100 - 10 * i;
        snprintf(name, sizeof name, "s3://b/d/%u", i);
        attr_cache_put(cache, name, &attr);
        snprintf(name, sizeof name, "s3://b/d/%u/below", 7 + i);
        attr_cache_put(cache, name, &attr);
    }
    while (ask(cache, "s3://b/d/5") != ATTR_CACHE_PAST)
        usleep(1000);
    assert_int_equal(attr_cache_following(cache, "s3://b/d/1", false, 3, names), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(names[i][9], '2' + (int)i);
        free(names[i]);
    }
    assert_int_equal(attr_cache_following(cache, "s3://b/d/1", true, 8, names), 1);
    assert_string_equal(names[0], "s3://b/d/0");
    free(names[0]);
    assert_int_equal(attr_cache_following(cache, "s3://b/d/5", false, 8, names), 0);
    assert_int_equal(attr_cache_following(cache, "s3://b/d/none", false, 8, names), 0);
    attr_cache_free(cache);
}

static void test_complete_directories(void **state)
{
    struct attr_cache *cache = attr_cache_new(NS_PER_S, 100);
    struct attr attr = file_of(5);
    int64_t since_ns = clock_now_ns();

    attr_cache_put(cache, "s3://b/d/f", &attr);
    attr_cache_complete(cache, "s3://b/d", since_ns);
    assert_true(attr_cache_is_complete(cache, "s3://b/d"));
    assert_int_equal(ask(cache, "s3://b/d"), ATTR_CACHE_FOUND);
    assert_int_equal(ask(cache, "s3://b/d/f"), ATTR_CACHE_FOUND);
    assert_int_equal(ask(cache, "s3://b/d/g"), ATTR_CACHE_ABSENT);
    assert_int_equal(ask(cache, "s3://b/d/g/h"), ATTR_CACHE_UNKNOWN);
    /* something deeper makes what is above it exist */
    attr_cache_put(cache, "s3://b/d/g/h", &attr);
    assert_int_equal(ask(cache, "s3://b/d/g"), ATTR_CACHE_PAST);
    /* gone, and known to be */
    attr_cache_remove(cache, "s3://b/d/f");
    assert_int_equal(ask(cache, "s3://b/d/f"), ATTR_CACHE_ABSENT);
    /* perhaps there */
    attr_cache_forget(cache, "s3://b/d/f");
    assert_int_equal(ask(cache, "s3://b/d/f"), ATTR_CACHE_PAST);
    assert_true(attr_cache_is_complete(cache, "s3://b/d"));
    /* the bucket and the list of buckets are directories, too */
    attr_cache_complete(cache, "s3://b", clock_now_ns());
    assert_int_equal(ask(cache, "s3://b/x"), ATTR_CACHE_ABSENT);
    assert_int_equal(ask(cache, "s3://c"), ATTR_CACHE_UNKNOWN);
    attr_cache_free(cache);
}

static void test_eviction_takes_completeness(void **state)
{
    struct attr_cache *cache = attr_cache_new(NS_PER_S, 50);
    struct attr attr = file_of(1);
    char name[64];

    attr_cache_complete(cache, "s3://b/d", clock_now_ns());
    attr_cache_keep(cache, "s3://b/kept");
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "s3://b/d/%u", i);
        attr_cache_put(cache, name, &attr);
        assert_true(attr_cache_count(cache) <= 50);
    }
    assert_int_equal(ask(cache, "s3://b/d/0"), ATTR_CACHE_UNKNOWN);
    assert_int_equal(ask(cache, "s3://b/d/999"), ATTR_CACHE_FOUND);
    assert_int_equal(ask(cache, "s3://b/kept"), ATTR_CACHE_FOUND);
    /* a listing during which something was evicted proves nothing */
    attr_cache_complete(cache, "s3://b/d", clock_now_ns() - NS_PER_S);
    assert_false(attr_cache_is_complete(cache, "s3://b/d"));
    attr_cache_free(cache);
}

static void test_listings_do_not_take_metadata_away(void **state)
{
    struct attr_cache *cache = attr_cache_new(NS_PER_S, 100);
    struct attr known = file_of(5), listed = file_of(5), found;

    known.has = ATTR_HAS_MODE;
    known.mode = 0600;
    attr_cache_put(cache, "s3://b/f", &known);
    attr_cache_put(cache, "s3://b/f", &listed);
    assert_int_equal(attr_cache_get(cache, "s3://b/f", &found), ATTR_CACHE_FOUND);
    assert_int_equal(found.mode, 0600);
    strcpy(listed.etag, "\"another\"");
    attr_cache_put(cache, "s3://b/f", &listed);
    assert_int_equal(attr_cache_get(cache, "s3://b/f", &found), ATTR_CACHE_FOUND);
    assert_int_equal(found.has, 0);
    attr_cache_free(cache);
}

static void test_kept_directories_stay(void **state)
{
    struct attr_cache *cache = attr_cache_new(10 * NS_PER_MS, 100);

    attr_cache_keep(cache, "s3://b/d");
    usleep(15000);
    assert_int_equal(ask(cache, "s3://b/d"), ATTR_CACHE_FOUND);
    assert_true(attr_cache_is_kept(cache, "s3://b/d"));
    attr_cache_remove(cache, "s3://b/d");
    assert_int_equal(ask(cache, "s3://b/d"), ATTR_CACHE_UNKNOWN);
    attr_cache_free(cache);
}

static struct attr attr_with(const char *name, const char *value)
{
    struct store_object object = {.size_bytes = 3, .mtime = {1, 0}};
    struct uri uri = {.scheme = "s3", .bucket = "b", .key = "k"};
    struct attr attr;

    assert_int_equal(store_metadata_add(&object.metadata, name, value), 0);
    attr_from_object(&object, &uri, &attr);
    store_metadata_fini(&object.metadata);
    return attr;
}

static void test_metadata_of_s3fs_and_rclone(void **state)
{
    struct attr attr = attr_with("mode", "33188"); /* S_IFREG | 0644 */

    assert_int_equal(attr.mode, 0644);
    assert_int_equal(attr.type, ATTR_FILE);
    attr = attr_with("mode", "41471"); /* S_IFLNK | 0777 */
    assert_int_equal(attr.type, ATTR_SYMLINK);
    attr = attr_with("uid", "1000");
    assert_true(attr.has == ATTR_HAS_UID && attr.uid == 1000);
    attr = attr_with("mtime", "1700000000");
    assert_int_equal(attr.mtime.tv_sec, 1700000000);
    attr = attr_with("mtime", "1700000000.250000001");
    assert_int_equal(attr.mtime.tv_nsec, 250000001);
    attr = attr_with("mtime", "2023-11-14T22:13:20.5Z");
    assert_int_equal(attr.mtime.tv_sec, 1700000000);
    assert_int_equal(attr.mtime.tv_nsec, 500000000);
}

static void test_metadata_nonsense_is_ignored(void **state)
{
    static const char *const bad[] = {"", "-1", "x", "99999999999999999999", "1 ", "12x"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(attr_with("mode", bad[i]).has, 0);
        assert_int_equal(attr_with("uid", bad[i]).has, 0);
        assert_int_equal(attr_with("mtime", bad[i]).mtime.tv_sec, 1);
    }
}

static void test_metadata_round_trip(void **state)
{
    struct attr attr = {.type = ATTR_FILE, .has = 7, .mode = 04755, .uid = 1, .gid = 0};
    struct store_object object = {0};
    struct uri uri = {.scheme = "s3", .bucket = "b", .key = "k"};
    struct attr back;

    assert_int_equal(attr_to_metadata(&attr, &object.metadata), 0);
    attr_from_object(&object, &uri, &back);
    assert_int_equal(back.has, 7);
    assert_int_equal(back.mode, 04755);
    assert_int_equal(back.uid, 1);
    assert_int_equal(back.gid, 0);
    store_metadata_fini(&object.metadata);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ttl),
        cmocka_unit_test(test_renewing),
        cmocka_unit_test(test_renewing_forgets_metadata),
        cmocka_unit_test(test_following),
        cmocka_unit_test(test_complete_directories),
        cmocka_unit_test(test_eviction_takes_completeness),
        cmocka_unit_test(test_listings_do_not_take_metadata_away),
        cmocka_unit_test(test_kept_directories_stay),
        cmocka_unit_test(test_metadata_of_s3fs_and_rclone),
        cmocka_unit_test(test_metadata_nonsense_is_ignored),
        cmocka_unit_test(test_metadata_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
