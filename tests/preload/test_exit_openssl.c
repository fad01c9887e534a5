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
    char text[32] = "";
    int fd = open(preload_path(name), O_RDONLY);
    assert_true(fd >= 0);
    read(fd, text, sizeof text - 1);
    close(fd);
    assert_string_equal(text, "first last");
}

static void openssl_before(void **state)
{
    run("openssl-before", true);
}

static void openssl_after(void **state)
{
    run("openssl-after", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_after), /* first: the parent has not used it yet */
        cmocka_unit_test(openssl_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
