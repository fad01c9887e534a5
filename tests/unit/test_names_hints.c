/* core/names.h, attr_cache.h: what another process of the user has seen of a directory, that it has
 * a marker, saves requests; where that is wrong, nothing else is. */
#include "names_run.h"

#include <errno.h>
#include <unistd.h>

/* Another process of this user looks at it, so that the hint is there and nothing else. */
static void let_another_see(const char *uri)
{
    pid_t pid = core_run_fork();

    if (pid == 0)
        _exit(core_run_type(uri) == S3DLIO_DIRECTORY ? 0 : 1);
    core_run_wait_for(pid);
    names_run_requests();
}

static void test_a_hinted_directory_is_its_marker_and_a_page(void **state)
{
    names_run_plant_with(B "hinted/", "mode", "16872"); /* 040750 */
    names_run_plant(B "h-full/");
    names_run_plant_many(B "h-full/%04u", 1000);
    let_another_see(B "h-full");
    assert_int_equal(names_run_ls(B "h-full"), 1000);
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(core_run_type(B "h-full/none"), -ENOENT); /* known completely */
    assert_int_equal(names_run_requests(), 0);
    core_run_let_ttl_pass();
    assert_int_equal(names_run_ls(B "h-full"), 1000); /* and now as one that was a directory */
    assert_int_equal(names_run_requests(), 2);
    let_another_see(B "hinted");
    assert_int_equal(names_run_mode(B "hinted"), 0750);
    assert_int_equal(names_run_requests(), 1);
}

static void test_a_hint_costs_no_more_than_none(void **state)
{
    names_run_plant(B "h-few/");
    names_run_plant_many(B "h-few/%02u", 10);
    names_run_plant(B "h-empty/");
    let_another_see(B "h-few");
    assert_int_equal(names_run_ls(B "h-few"), 10);
    assert_int_equal(names_run_requests(), 2);
    let_another_see(B "h-empty");
    assert_int_equal(names_run_ls(B "h-empty"), 0);
    assert_int_equal(names_run_requests(), 2);
}

/* The page that the look-up left out answers for names, whether they are there or not. */
static void test_names_below_a_hinted_directory(void **state)
{
    names_run_plant(B "h-names/");
    names_run_plant_many(B "h-names/%02u", 10);
    let_another_see(B "h-names");
    names_run_create(B "h-names", 20, 30);
    assert_int_equal(names_run_requests(), 2 + 30);
    assert_int_equal(names_run_list(B "h-names", false), 40);
    names_run_plant(B "h-miss/");
    let_another_see(B "h-miss");
    assert_int_equal(core_run_type(B "h-miss"), S3DLIO_DIRECTORY);
    assert_int_equal(core_run_type(B "h-miss/a.txt"), -ENOENT);
    assert_int_equal(core_run_type(B "h-miss/b"), -ENOENT);
    assert_int_equal(names_run_requests(), 2);
}

static void test_a_hinted_tree(void **state)
{
    names_run_plant(B "h-tree/");
    names_run_plant(B "h-tree/d/");
    names_run_plant_many(B "h-tree/d/%02u", 30);
    names_run_plant(B "h-tree/e/");
    names_run_plant_many(B "h-tree/e/%02u", 30);
    let_another_see(B "h-tree");
    assert_int_equal(names_run_ls(B "h-tree"), 2); /* markers of directories below cost nothing */
    assert_int_equal(names_run_requests(), 2);
    assert_int_equal(names_run_list(B "h-tree/d", false), 30);
    assert_int_equal(names_run_list(B "h-tree/e", false), 30);
    assert_int_equal(names_run_requests(), 2); /* whether they are marked */
}

static void test_wrong_hints(void **state)
{
    names_run_plant(B "h-lost/");
    names_run_plant_many(B "h-lost/%02u", 10);
    let_another_see(B "h-lost");
    core_run_delete_elsewhere(B "h-lost/");
    names_run_requests();
    assert_int_equal(names_run_ls(B "h-lost"), 10);
    assert_int_equal(names_run_requests(), 2); /* the marker, and the usual way */
    core_run_let_ttl_pass();
    assert_int_equal(names_run_ls(B "h-lost"), 10);
    assert_int_equal(names_run_requests(), 1); /* the hint has gone */
    names_run_plant(B "h-gone/");
    let_another_see(B "h-gone");
    core_run_delete_elsewhere(B "h-gone/");
    assert_int_equal(core_run_type(B "h-gone"), -ENOENT);
    names_run_plant(B "h-file/");
    let_another_see(B "h-file");
    core_run_delete_elsewhere(B "h-file/");
    names_run_plant(B "h-file");
    assert_int_equal(core_run_type(B "h-file"), S3DLIO_FILE);
    names_run_plant(B "h-refused/");
    let_another_see(B "h-refused");
    core_run_faults("op=HeadObject fail=access");
    assert_int_equal(core_run_type(B "h-refused"), S3DLIO_DIRECTORY);
}

/* Removing a directory ends the hint, making one begins it. */
static void test_hints_of_this_process(void **state)
{
    assert_int_equal(s3dlio_mkdir(B "h-own", NULL, NULL, NULL), 0);
    names_run_create(B "h-own", 0, 1);
    core_run_let_ttl_pass();
    names_run_requests();
    assert_int_equal(core_run_type(B "h-own"), S3DLIO_DIRECTORY);
    assert_int_equal(names_run_requests(), 1);
    assert_int_equal(s3dlio_unlink(B "h-own/0000.bin", NULL, NULL), 0);
    assert_int_equal(s3dlio_rmdir(B "h-own", NULL, NULL), 0);
    core_run_let_ttl_pass();
    names_run_requests();
    assert_int_equal(core_run_type(B "h-own"), -ENOENT);
    assert_int_equal(names_run_requests(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_hinted_directory_is_its_marker_and_a_page, core_run_clear),
        cmocka_unit_test_setup(test_a_hint_costs_no_more_than_none, core_run_clear),
        cmocka_unit_test_setup(test_names_below_a_hinted_directory, core_run_clear),
        cmocka_unit_test_setup(test_a_hinted_tree, core_run_clear),
        cmocka_unit_test_setup(test_wrong_hints, core_run_clear),
        cmocka_unit_test_setup(test_hints_of_this_process, core_run_clear),
    };

    return cmocka_run_group_tests(tests, names_run_set_up, NULL);
}
