/* A program with one more preloaded library, before this one, that wraps the same calls
 * (libraries/wrapper.c). What this library calls inside itself must not go around by that one. */
#include "tests/preload/preload.h"

#include <sys/wait.h>

#define WRAPPED "S3DLIO_TEST_WRAPPED"

/* In the program with the wrapper: 0, or the number of the step that failed. */
static int wrapped(void)
{
    const char *path = preload_path("wrapped");
    struct stat st;
    struct stat64 st64;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "abc", 3) != 3)
        return 1;
    if (fstat(fd, &st) || st.st_size != 3 || fstat64(fd, &st64) || st64.st_size != 3)
        return 2;
    if (close(fd) || fstatat(AT_FDCWD, path, &st, 0) || st.st_size != 3)
        return 3;
    return unlink(path) || !stat(path, &st) ? 4 : 0;
}

static void test_wrapper(void **state)
{
    char self[PATH_MAX], list[2 * PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    const char *others = getenv("LD_PRELOAD"), *slash = strrchr(self, '/');
    snprintf(list, sizeof list, "%.*s/libwrapper.so%s%s", (int)(slash - self), self,
             others ? " " : "", others ? others : "");
    pid_t child = fork();
    if (!child) {
        char sanitizer[PATH_MAX]; /* which wants to be the first library */
        const char *options = getenv("ASAN_OPTIONS");
        snprintf(sanitizer, sizeof sanitizer, "%s:verify_asan_link_order=0",
                 options ? options : "");
        setenv("ASAN_OPTIONS", sanitizer, 1);
        setenv("LD_PRELOAD", list, 1);
        setenv(WRAPPED, "1", 1);
        execl(self, self, (char *)NULL);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    if (getenv(WRAPPED))
        return wrapped();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wrapper)};
    return cmocka_run_group_tests_name("a wrapper before the library", tests, NULL, NULL);
}
