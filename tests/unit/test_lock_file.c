/* Lock files of objects: one for all who ask, gone with the last of them. */
#include "core/lock_file.h"

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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/uri.h"
#include "io/fd.h"
#include "store/store.h"

static const struct uri object = {.scheme = "mem", .bucket = "lock", .key = "one"};
static const struct uri another = {.scheme = "mem", .bucket = "lock", .key = "two"};

static void describe(struct store *store, struct store_description *ret_description)
{
    static const char *const endpoints[] = {"http://one", "http://two"};
    *ret_description = (struct store_description){.tls = "none"};
    strcpy(ret_description->endpoint, endpoints[store->copy_max_bytes]);
}

static const struct store_ops ops = {.describe = describe};
static struct store stores[] = {{.ops = &ops, .copy_max_bytes = 0},
                                {.ops = &ops, .copy_max_bytes = 1}};

static int setup(void **state)
{
    static char place[] = "/tmp/s3dlio-lock-XXXXXX";
    return mkdtemp(place) && !setenv("XDG_RUNTIME_DIR", place, 1) ? 0 : -1;
}

static int lock_open_at(struct store *store, const struct uri *uri)
{
    struct error err = {0};
    int fd = -1;
    assert_int_equal(lock_file_open(store, uri, false, &fd, &err), 0);
    assert_true(fd_owned(fd));
    return fd;
}

static int lock_open(const struct uri *uri)
{
    return lock_open_at(stores, uri);
}

static ino_t inode_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static nlink_t names_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_nlink;
}

static void another_directory_where_it_was_removed(void **state)
{
    char path[256];
    struct stat st;
    lock_file_close(stores, lock_open(&object), &object);
    snprintf(path, sizeof path, "%s/s3dlio", getenv("XDG_RUNTIME_DIR"));
    assert_int_equal(rmdir(path), 0);
    int fd = lock_open(&object);
    assert_int_equal(names_of(fd), 1);
    assert_int_equal(stat(path, &st), 0);
    lock_file_close(stores, fd, &object);
    assert_int_equal(rmdir(path), 0); /* and was empty */
}

static void one_file_for_one_object(void **state)
{
    int a = lock_open(&object), b = lock_open(&object), c = lock_open(&another);
    assert_int_equal(inode_of(a), inode_of(b));
    assert_int_not_equal(inode_of(a), inode_of(c));
    assert_int_equal(flock(a, LOCK_EX), 0);
    assert_int_equal(flock(b, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(flock(c, LOCK_EX | LOCK_NB), 0);
    lock_file_close(stores, a, &object);
    lock_file_close(stores, b, &object);
    lock_file_close(stores, c, &another);
}

static void another_endpoint_another_file(void **state)
{
    int a = lock_open(&object), b = lock_open_at(&stores[1], &object);
    assert_int_not_equal(inode_of(a), inode_of(b));
    lock_file_close(stores, a, &object);
    lock_file_close(&stores[1], b, &object);
}

static void gone_with_its_last_user(void **state)
{
    int a = lock_open(&object), b = lock_open(&object), watch = dup(a);
    lock_file_close(stores, a, &object);
    assert_int_equal(names_of(watch), 1);
    close(watch); /* of one description with a: b alone has it now */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", b);
    watch = open(link, O_RDONLY);
    lock_file_close(stores, b, &object);
    assert_int_equal(names_of(watch), 0);
    close(watch);
}

static void stays_while_a_child_has_it(void **state)
{
    int a = lock_open(&object), status;
    pid_t pid = fork();
    if (!pid) { /* the child's copy goes, the parent's is as before */
        fd_close(a);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(names_of(a), 1);
    int b = lock_open(&object);
    assert_int_equal(inode_of(a), inode_of(b));
    lock_file_close(stores, a, &object);
    lock_file_close(stores, b, &object);
}

/* Opened, used and removed by eight processes at once, nobody locks a file that others do not
 * see. */
static void processes_at_once(void **state)
{
    int counter = open("/tmp", O_TMPFILE | O_RDWR, 0600), status;
    uint64_t value = 0;
    assert_int_equal(pwrite(counter, &value, sizeof value, 0), sizeof value);
    for (int i = 0; i < 8; i++) {
        if (fork())
            continue;
        for (int round = 0; round < 200; round++) {
            int fd = lock_open(&object);
            if (flock(fd, LOCK_EX) < 0 || pread(counter, &value, sizeof value, 0) < 0)
                _exit(1);
            value++;
            if (pwrite(counter, &value, sizeof value, 0) < 0)
                _exit(1);
            lock_file_close(stores, fd, &object);
        }
        _exit(0);
    }
    for (int i = 0; i < 8; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(pread(counter, &value, sizeof value, 0), sizeof value);
    assert_int_equal(value, 8 * 200);
    close(counter);
}

static void a_place_that_others_can_write(void **state)
{
    struct error err = {0};
    int fd = -1;
    char place[256];
    snprintf(place, sizeof place, "%s/s3dlio", getenv("XDG_RUNTIME_DIR"));
    assert_int_equal(chmod(place, 0777), 0); /* others could write: not taken; /dev/shm is */
    assert_int_equal(lock_file_open(stores, &object, false, &fd, &err), 0);
    lock_file_close(stores, fd, &object);
    assert_int_equal(chmod(place, 0700), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_directory_where_it_was_removed),
        cmocka_unit_test(one_file_for_one_object), cmocka_unit_test(another_endpoint_another_file),
        cmocka_unit_test(gone_with_its_last_user), cmocka_unit_test(stays_while_a_child_has_it),
        cmocka_unit_test(processes_at_once),       cmocka_unit_test(a_place_that_others_can_write),
    };
    return cmocka_run_group_tests_name("lock_file", tests, setup, NULL);
}
