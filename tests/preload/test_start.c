/* How a program begins: with errno 0, and whatever it does to the memory it was started with. */
#include "tests/preload/preload.h"

#include <sys/wait.h>

static int first_errno;

static void test_errno(void **state)
{
    assert_int_equal(first_errno, 0);
}

/* As programs do that show a title in ps: the environment moves, and its old place is written over.
 * Nothing virtual was touched before, so the library has yet to look for its settings. */
static void test_title(void **state)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **moved = calloc(count + 1, sizeof *moved), **old = environ;
    assert_non_null(moved);
    for (size_t i = 0; i < count; i++)
        assert_non_null(moved[i] = strdup(environ[i]));
    environ = moved;
    for (size_t i = 0; i < count; i++)
        memset(old[i], 'x', strlen(old[i]));
    preload_make(preload_path("titled"), 5000);
    struct stat st;
    assert_int_equal(stat(preload_path("titled"), &st), 0);
    assert_int_equal(st.st_size, 5000);
}

/* In a child, whose engine is to come. */
static int open_with(void (*change)(void))
{
    const char *path = preload_path("settings");
    int status;
    pid_t pid = fork();
    if (!pid) {
        change();
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        _exit(fd < 0 || close(fd) ? errno : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void give_another_key(void)
{
    setenv("AWS_SECRET_ACCESS_KEY", "another", 1);
    setenv("S3DLIO_LOG", "off", 1);
}

static void give_new_name(void)
{
    setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1", 1);
    setenv("S3DLIO_RETRY_MAX", "0", 1);
    setenv("S3DLIO_LOG", "off", 1);
}

static void take_all_away(void)
{
    clearenv();
}

/* What a program sets before it uses a path counts, and what it takes away counts still. */
static void test_settings_of_the_program(void **state)
{
    assert_int_equal(open_with(give_another_key), preload_is_virtual() ? EACCES : 0);
    assert_int_equal(open_with(give_new_name), preload_is_virtual() ? EIO : 0);
    assert_int_equal(open_with(take_all_away), 0);
    unlink(preload_path("settings"));
}

int main(void)
{
    first_errno = errno;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_settings_of_the_program),
        cmocka_unit_test(test_title),
    };
    return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
