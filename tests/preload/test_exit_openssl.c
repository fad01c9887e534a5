/* A program that uses OpenSSL itself: its clean-up at exit must not take away what the engine signs
 * the last upload with, and the program's own handlers run as ever. */
#include "tests/preload/preload.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sys/wait.h>

static void digest(void)
{
    unsigned char result[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    assert_int_equal(EVP_Digest("text", 4, result, &length, EVP_sha256(), NULL), 1);
    assert_int_equal(length, 32);
}

static void last_words(void)
{
    printf(" last");
}

static void assert_content(const char *name, const char *expected)
{
    char text[32] = "";
    int fd = open(preload_path(name), O_RDONLY);
    assert_true(fd >= 0);
    read(fd, text, sizeof text - 1);
    close(fd);
    assert_string_equal(text, expected);
}

/* In a child: OpenSSL first or the virtual file first, then output that only exit sends. */
static void run(const char *name, bool openssl_first)
{
    pid_t pid = fork();
    if (!pid) {
        atexit(last_words);
        if (openssl_first)
            digest();
        if (!freopen(preload_path(name), "w", stdout))
            _exit(99);
        printf("first");
        SSL_CTX_free(SSL_CTX_new(TLS_client_method()));
        digest();
        exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_content(name, "first last");
}

static void openssl_before(void **state)
{
    run("openssl-before", true);
}

static void openssl_after(void **state)
{
    run("openssl-after", false);
}

/* As a shell does it: the next program finds its stdout there, and needs no engine before it ends. */
static void inherited(void **state)
{
    const char *path = preload_path("openssl-inherited");
    for (int parent_has_it = 0; parent_has_it < 2; parent_has_it++) {
        unlink(path);
        int fd = parent_has_it ? open(path, O_WRONLY | O_CREAT, 0644) : -1;
        pid_t pid = fork();
        if (!pid) {
            dup2(parent_has_it ? fd : open(path, O_WRONLY | O_CREAT, 0644), 1);
            execl("/proc/self/exe", "test_exit_openssl", "next", (char *)NULL);
            _exit(98);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(!parent_has_it || close(fd) == 0);
        assert_content("openssl-inherited", "first last");
    }
}

static int next(void)
{
    atexit(last_words);
    digest();
    printf("first");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return next();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_after),
        cmocka_unit_test(inherited), /* first: the parent has not used it yet */
        cmocka_unit_test(openssl_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
