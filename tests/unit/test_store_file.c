/* engine/store/file*.c: what only real directories can get wrong. The shared behaviour of stores is
 * in tests/contract. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_run.h"

static struct run run;
static char root[64], outside[64];
static char text[512];

static char *path_in(const char *name)
{
    static char path[256];

    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static int setup(void **state)
{
    char variable[128];
    char *environment[] = {variable, NULL};

    (void)state;
    strcpy(root, "/tmp/s3dlio-file-XXXXXX");
    strcpy(outside, "/tmp/s3dlio-outside-XXXXXX");
    if (!mkdtemp(root) || !mkdtemp(outside))
        return -1;
    snprintf(variable, sizeof variable, "S3DLIO_FILE_ROOT=%s", root);
    run_open(&run, "file", environment);
    return run_simple(&run, STORE_CREATE_BUCKET, "b", NULL) == ERROR_NONE ? 0 : -1;
}

static int teardown(void **state)
{
    char command[256];

    (void)state;
    run_close(&run);
    snprintf(command, sizeof command, "rm -rf '%s' '%s'", root, outside);
    return system(command);
}

static void files_are_plain_files(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(run_put(&run, "b", "x/y/z", "data"), ERROR_NONE);
    assert_int_equal(stat(path_in("b/x/y/z"), &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(chmod(path_in("b/x/y/z"), 0750), 0);
    assert_int_equal(run_put(&run, "b", "x/y/z", "other"), ERROR_NONE);
    assert_int_equal(stat(path_in("b/x/y/z"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0750);
    assert_int_equal(run_get(&run, "", "b/x/y/z", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "other");
    assert_int_equal(run_get(&run, "", "/b/x/y/z", text, sizeof text), ERROR_NONE);
}

static void nothing_outside_is_reached(void **state)
{
    static const char *const keys[] = {"../x", "a/../../x", ".", "..", "a//b", "./a", ""};
    FILE *secret;
    char link[128];

    (void)state;
    for (size_t i = 0; keys[i][0]; i++) {
        assert_int_equal(run_put(&run, "b", keys[i], "x"), ERROR_INVALID);
        assert_int_equal(run_get(&run, "b", keys[i], text, sizeof text), ERROR_INVALID);
    }
    snprintf(link, sizeof link, "%s/secret", outside);
    secret = fopen(link, "w");
    assert_non_null(secret);
    fputs("secret", secret);
    fclose(secret);
    assert_int_equal(symlink(outside, path_in("b/dir")), 0);
    assert_int_equal(symlink(link, path_in("b/file")), 0);
    assert_int_equal(symlink("../../../../etc/passwd", path_in("b/up")), 0);
    assert_int_equal(run_get(&run, "b", "dir/secret", text, sizeof text), ERROR_ACCESS);
    assert_int_equal(run_get(&run, "b", "file", text, sizeof text), ERROR_ACCESS);
    assert_int_equal(run_get(&run, "b", "up", text, sizeof text), ERROR_ACCESS);
    assert_int_equal(run_put(&run, "b", "dir/new", "x"), ERROR_ACCESS);
    assert_int_equal(run_simple(&run, STORE_DELETE, "b", "dir/secret"), ERROR_ACCESS);
    assert_int_equal(access(link, F_OK), 0);
    assert_int_equal(run_list(&run, "b", "", "/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "");
}

static void inner_symlinks_work(void **state)
{
    (void)state;
    assert_int_equal(run_put(&run, "b", "d/k", "inside"), ERROR_NONE);
    assert_int_equal(symlink("d", path_in("b/l")), 0);
    assert_int_equal(symlink("d/k", path_in("b/f")), 0);
    assert_int_equal(run_get(&run, "b", "l/k", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "inside");
    assert_int_equal(run_list(&run, "b", "", "/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "d/ f l/");
    assert_int_equal(run_list(&run, "b", "", NULL, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "d/ d/k f");
}

static void directories_are_real(void **state)
{
    (void)state;
    assert_int_equal(run_put(&run, "b", "d/", ""), ERROR_NONE);
    assert_int_equal(run_put(&run, "b", "d/", "data"), ERROR_INVALID);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "d/"), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "d"), ERROR_NOT_FOUND);
    assert_int_equal(run_get(&run, "b", "d/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "");
    assert_int_equal(run_put(&run, "b", "d", "x"), ERROR_IS_DIRECTORY);
    assert_int_equal(run_put(&run, "b", "d/k", "x"), ERROR_NONE);
    assert_int_equal(run_put(&run, "b", "d/k/below", "x"), ERROR_NOT_DIRECTORY);
    assert_int_equal(run_simple(&run, STORE_DELETE, "b", "d/"), ERROR_NOT_EMPTY);
    assert_int_equal(run_list(&run, "b", "d/", "/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "d/ d/k");
    assert_int_equal(run_simple(&run, STORE_DELETE, "b", "d/k"), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_DELETE, "b", "d/"), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_DELETE, "b", "d/"), ERROR_NONE);
    assert_int_equal(run_simple(&run, STORE_HEAD, "b", "d/"), ERROR_NOT_FOUND);
}

static void order_is_that_of_keys(void **state)
{
    static const char *const keys[] = {"a", "a.b", "a-b", "b/x", "b.c", "b0"};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        assert_int_equal(run_put(&run, "b", keys[i], "x"), ERROR_NONE);
    assert_int_equal(run_list(&run, "b", "", "/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "a a-b a.b b.c b/ b0");
    assert_int_equal(run_list(&run, "b", "", NULL, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "a a-b a.b b.c b/ b/x b0");
    assert_int_equal(run_list(&run, "b", "b", NULL, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "b.c b/ b/x b0");
    assert_int_equal(run_list(&run, "b", "none/", NULL, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "");
    assert_int_equal(run_list(&run, "absent", "", NULL, text, sizeof text), ERROR_NO_BUCKET);
}

static void special_files_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_in("b/fifo"), 0600), 0);
    assert_int_equal(run_get(&run, "b", "fifo", text, sizeof text), ERROR_UNSUPPORTED);
    assert_int_equal(run_list(&run, "b", "", "/", text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "");
}

static void change_in_place_is_another_version(void **state)
{
    struct store_call head, get;
    FILE *file;

    (void)state;
    assert_int_equal(run_put(&run, "b", "k", "0123456789"), ERROR_NONE);
    run_init(&run, &head, STORE_HEAD, "b", "k");
    assert_int_equal(store_call_do(&head), ERROR_NONE);
    run_init(&run, &get, STORE_GET, "b", "k");
    get.request.if_match = head.request.object.etag;
    get.pause_at = 5;
    store_call_begin(&get);
    usleep(20000); /* past the granularity of the file system's clock */
    file = fopen(path_in("b/k"), "r+");
    assert_non_null(file);
    fputs("abcdefghij", file);
    fclose(file);
    store_call_resume(&get);
    assert_true(get.done);
    assert_int_equal(get.request.error.class, ERROR_CHANGED);
    store_call_fini(&get);
    run_init(&run, &get, STORE_GET, "b", "k");
    get.request.if_match = head.request.object.etag;
    assert_int_equal(store_call_do(&get), ERROR_CHANGED);
    store_call_fini(&get);
    store_call_fini(&head);
}

static void shorter_file_does_not_hang(void **state)
{
    struct store_call get;

    (void)state;
    assert_int_equal(run_put(&run, "b", "k", "0123456789"), ERROR_NONE);
    run_init(&run, &get, STORE_GET, "b", "k");
    get.pause_at = 5;
    store_call_begin(&get);
    assert_int_equal(truncate(path_in("b/k"), 5), 0);
    store_call_resume(&get);
    assert_int_equal(get.request.error.class, ERROR_CHANGED);
    store_call_fini(&get);
}

static void hidden_names_stay_hidden(void **state)
{
    struct store_call create;

    (void)state;
    run_init(&run, &create, STORE_UPLOAD_CREATE, "b", "d/k");
    assert_int_equal(store_call_do(&create), ERROR_NONE);
    assert_int_equal(run_list(&run, "b", "", NULL, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "d/");
    assert_int_equal(run_get(&run, "b", "d/.s3dlio-draft-1", text, sizeof text), ERROR_INVALID);
    store_call_fini(&create);
}

static void busy_directory_is_said(void **state)
{
    struct store_call head, put;
    int fd;

    (void)state;
    assert_int_equal(run_put(&run, "b", "k", "x"), ERROR_NONE);
    run_init(&run, &head, STORE_HEAD, "b", "k");
    assert_int_equal(store_call_do(&head), ERROR_NONE);
    fd = open(path_in("b"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    run_init(&run, &put, STORE_PUT, "b", "k");
    put.request.if_match = head.request.object.etag;
    assert_int_equal(store_call_do(&put), ERROR_BUSY);
    store_call_fini(&put);
    close(fd);
    run_init(&run, &put, STORE_PUT, "b", "k");
    put.request.if_match = head.request.object.etag;
    assert_int_equal(store_call_do(&put), ERROR_NONE);
    store_call_fini(&put);
    store_call_fini(&head);
    assert_int_equal(run_list(&run, "b", "", NULL, text, sizeof text), ERROR_NONE);
    assert_string_equal(text, "k");
}

static void large_directory_pages(void **state)
{
    struct store_call list;
    char key[64], last[64] = "", token[128];
    unsigned seen = 0, pages = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof key, i % 3 ? "p/%u" : "p/%u/x", i);
        assert_int_equal(run_put(&run, "b", key, "x"), ERROR_NONE);
    }
    token[0] = '\0';
    do {
        run_init(&run, &list, STORE_LIST, "b", NULL);
        list.request.prefix = "p/";
        list.request.max_keys = 7;
        list.request.token = token[0] ? token : NULL;
        assert_int_equal(store_call_do(&list), ERROR_NONE);
        for (size_t i = 0; i < list.request.page->count; i++, seen++) {
            assert_true(strcmp(last, list.request.page->entries[i].key) < 0);
            strcpy(last, list.request.page->entries[i].key);
        }
        strcpy(token, list.request.page->next_token ? list.request.page->next_token : "");
        store_call_fini(&list);
        pages++;
    } while (token[0]);
    assert_int_equal(seen, 1 + 300 + 100); /* marker, files, directories of every third */
    assert_int_equal(pages, (401 + 6) / 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_plain_files, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_outside_is_reached, setup, teardown),
        cmocka_unit_test_setup_teardown(inner_symlinks_work, setup, teardown),
        cmocka_unit_test_setup_teardown(directories_are_real, setup, teardown),
        cmocka_unit_test_setup_teardown(order_is_that_of_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(special_files_are_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(change_in_place_is_another_version, setup, teardown),
        cmocka_unit_test_setup_teardown(shorter_file_does_not_hang, setup, teardown),
        cmocka_unit_test_setup_teardown(hidden_names_stay_hidden, setup, teardown),
        cmocka_unit_test_setup_teardown(busy_directory_is_said, setup, teardown),
        cmocka_unit_test_setup_teardown(large_directory_pages, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
