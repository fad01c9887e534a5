/* stdin, stdout and stderr that become files: freopen, dup2, close and open, with what is pending
 * in them. Each case runs in a child, whose standard streams are its own. */
#include "tests/preload/preload.h"

#include <stdio_ext.h>
#include <sys/wait.h>

static char local[] = "/tmp/s3dlio-test-XXXXXX"; /* a directory on the local disk */

static const char *local_path(const char *name)
{
    static char paths[4][64];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof *paths, "%s/%s", local, name);
    return path;
}

static void assert_content(const char *path, const char *expected)
{
    char text[256] = "";
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        fail_msg("%s: %s", path, strerror(errno));
    read(fd, text, sizeof text - 1);
    close(fd);
    assert_string_equal(text, expected);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

/* The status of a child that runs `body` and ends by exit(0). */
static int in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        body();
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* In the child: ends with a status that tells the line. */
#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1);                                          \
    } while (0)

#define assert_child(body)                                                                         \
    do {                                                                                           \
        int assert_child_status = in_child(body);                                                  \
        if (assert_child_status)                                                                   \
            fail_msg("child ended with %#x (line %d modulo 256)", assert_child_status,             \
                     WEXITSTATUS(assert_child_status));                                            \
    } while (0)

static void reopen_body(void)
{
    FILE *before = stdout;
    FILE *file = freopen(preload_path("reopened"), "w", stdout);
    check(file && file == stdout && fileno(stdout) == 1);
    printf("printed %d\n", 1);
    puts("put");
    check(freopen(preload_path("reopened2"), "w", before) != NULL);
    printf("second");
    check(freopen(local_path("third"), "w", stdout) != NULL);
    printf("third");
    fflush(stdout);
    check(freopen(preload_path("fourth"), "w", stdout) != NULL);
    printf("fourth");
}

static void reopen(void **state)
{
    assert_child(reopen_body);
    assert_content(preload_path("reopened"), "printed 1\nput\n");
    assert_content(preload_path("reopened2"), "second");
    assert_content(local_path("third"), "third");
    assert_content(preload_path("fourth"), "fourth");
}

static void pending_body(void)
{
    check(freopen(local_path("old"), "w", stdout) != NULL);
    printf("pending ");
    int fd = open(preload_path("new"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    check(fd > 2 && dup2(fd, 1) == 1 && close(fd) == 0);
    check(__fpending(stdout) == 8);
    printf("and more");
}

static void pending_output_goes_to_the_new_file(void **state)
{
    assert_child(pending_body);
    assert_content(local_path("old"), "");
    assert_content(preload_path("new"), "pending and more");
}

static void back_body(void)
{
    check(freopen(local_path("log"), "w", stdout) != NULL);
    int kept = dup(1);
    printf("one ");
    fflush(stdout);
    int fd = open(preload_path("aside"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    check(dup2(fd, 1) == 1 && close(fd) == 0);
    printf("two");
    fflush(stdout);
    check(dup2(kept, 1) == 1);
    printf("three ");
    fd = open(preload_path("aside2"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    check(dup2(fd, 1) == 1 && close(fd) == 0);
    printf("four");
    check(dup2(kept, 1) == 1);
    printf(" five");
}

static void there_and_back(void **state)
{
    assert_child(back_body);
    assert_content(preload_path("aside"), "two");
    assert_content(preload_path("aside2"), "");
    assert_content(local_path("log"), "one three four five");
}

static void input_body(void)
{
    char line[32];
    check(freopen(local_path("first"), "r", stdin) != NULL);
    check(fgets(line, sizeof line, stdin) && !strcmp(line, "one\n"));
    int fd = open(preload_path("input"), O_RDONLY);
    check(dup2(fd, 0) == 0 && close(fd) == 0);
    check(fgets(line, sizeof line, stdin) && !strcmp(line, "two\n")); /* was read ahead */
    check(fgets(line, sizeof line, stdin) && !strcmp(line, "three\n"));
    int last = 0;
    check(scanf("%d", &last) == 1 && last == 4);
    check(getchar() == '\n');
    check(getchar() == EOF && feof(stdin));
    check(freopen(preload_path("input"), "r", stdin) == stdin && !feof(stdin));
    check(getchar() == 't');
    check(fflush(stdin) == 0 && lseek(0, 0, SEEK_CUR) == 1);
}

static void input(void **state)
{
    put(local_path("first"), "one\ntwo\n");
    put(preload_path("input"), "three\n4\n");
    assert_child(input_body);
}

static void lowest_body(void)
{
    close(1);
    check(open(preload_path("lowest"), O_WRONLY | O_CREAT | O_TRUNC, 0644) == 1);
    printf("on descriptor 1");
    close(0);
    check(open(preload_path("lowest-input"), O_RDONLY) == 0);
    check(getchar() == 'i');
}

static void close_and_open(void **state)
{
    put(preload_path("lowest-input"), "input");
    assert_child(lowest_body);
    assert_content(preload_path("lowest"), "on descriptor 1");
}

static void error_body(void)
{
    int fd = open(preload_path("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    check(dup2(fd, 2) == 2 && close(fd) == 0);
    fprintf(stderr, "%s: ", "name");
    errno = ENOENT;
    perror("what");
    struct stat st;
    check(!fstat(2, &st) && st.st_size > 10); /* unbuffered */
}

static void standard_error(void **state)
{
    assert_child(error_body);
    assert_content(preload_path("stderr"), "name: what: No such file or directory\n");
}

static void closing_body(void)
{
    check(freopen(preload_path("closed"), "w", stdout) != NULL);
    printf("text");
    check(!ferror(stdout));
    check(fclose(stdout) == 0);
    struct stat st;
    check(!stat(preload_path("closed"), &st) && st.st_size == 4);
}

static void closing(void **state)
{
    assert_child(closing_body);
    assert_content(preload_path("closed"), "text");
}

static void missing_body(void)
{
    check(!freopen(preload_path("missing"), "r", stdin) && errno == ENOENT);
    check(fcntl(0, F_GETFD) < 0 && errno == EBADF);
}

static void reopen_of_nothing(void **state)
{
    assert_child(missing_body);
}

static void mode_body(void)
{
    check(freopen(local_path("lines"), "w", stdout) != NULL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("a\n");
    int fd = open(preload_path("lines"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    check(dup2(fd, 1) == 1 && close(fd) == 0);
    check(__flbf(stdout));
    printf("line\n");
    struct stat st;
    check(!fstat(1, &st) && st.st_size == 5);
    int whole = dup(1);
    check(dup2(whole, 1) == 1 && close(whole) == 0);
    printf("more\n");
    check(!fstat(1, &st) && st.st_size == 10);
}

static void buffering_is_kept(void **state)
{
    assert_child(mode_body);
    assert_content(preload_path("lines"), "line\nmore\n");
}

static int setup(void **state)
{
    return mkdtemp(local) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const names[] = {"old", "log", "first", "third", "lines"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        unlink(local_path(names[i]));
    return rmdir(local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reopen),
        cmocka_unit_test(pending_output_goes_to_the_new_file),
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(input),
        cmocka_unit_test(close_and_open),
        cmocka_unit_test(standard_error),
        cmocka_unit_test(closing),
        cmocka_unit_test(reopen_of_nothing),
        cmocka_unit_test(buffering_is_kept),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
