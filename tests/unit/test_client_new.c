/* A client that cannot be made, engine/http/client.h: what is said of the reason. Each in a process
 * of its own, in which nothing was set up before. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "http/client.h"
#include "http_fetch.h"
#include "io/gate.h"
#include "io/shard.h"
#include "no_threads.h"

static const struct http_client_options plain = {.scheme = "http",
                                                 .host = "localhost",
                                                 .port = 1,
                                                 .proxy = "",
                                                 .connections_max = 2,
                                                 .connect_timeout_ns = 1000000000,
                                                 .first_byte_timeout_ns = 1000000000,
                                                 .progress_timeout_ns = 1000000000};

static bool says(const struct error *err, enum error_class class, const char *part)
{
    char line[1024];

    error_format(err, line, sizeof line);
    if (err->class == class && strstr(line, part))
        return true;
    print_error("%s\n", line);
    return false;
}

/* Runs it in a child; true is its success. */
static void in_child(bool (*check)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(!check());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool without_threads(void)
{
    struct http_client *client;
    struct error err = {0};

    if (!forbid_threads())
        return false;
    return http_client_new(&plain, &client, &err) == -ENOMEM &&
           says(&err, ERROR_THREADS, "setting up OpenSSL") &&
           says(&err, ERROR_THREADS, "ulimit -u");
}

static void no_threads_for_the_client(void **state)
{
    (void)state;
    in_child(without_threads);
}

/* Set up, and no thread to connect on. */
static bool without_a_dialer(void)
{
    struct fetch fetch = {0};
    struct http_rig rig = {0};

    gate_enter(&rig.scope);
    if (shard_new(0, &rig.shard) < 0 || http_client_new(&plain, &rig.client, NULL) < 0)
        return false;
    if (!forbid_threads())
        return false;
    shard_lock(rig.shard);
    fetch_get(&rig, &fetch);
    shard_unlock(rig.shard);
    return says(&fetch.error, ERROR_THREADS, "for connecting");
}

static void no_thread_to_connect_on(void **state)
{
    (void)state;
    in_child(without_a_dialer);
}

/* A configuration of OpenSSL in which nothing is. */
static bool without_algorithms(void)
{
    char path[] = "/tmp/s3dlio-openssl-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] = "openssl_conf = all\n[all]\nproviders = providers\n[providers]\n"
                               "base = on\n[on]\nactivate = 1\n";
    struct http_client *client;
    struct error err = {0};
    bool ok = fd >= 0 && write(fd, text, sizeof text - 1) == sizeof text - 1;

    setenv("OPENSSL_CONF", path, 1);
    ok = ok && http_client_new(&plain, &client, &err) == -EIO &&
         says(&err, ERROR_IO, "OpenSSL has no SHA256") && says(&err, ERROR_IO, "OPENSSL_CONF");
    unlink(path);
    return ok;
}

static void no_algorithms(void **state)
{
    (void)state;
    in_child(without_algorithms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_threads_for_the_client),
        cmocka_unit_test(no_thread_to_connect_on),
        cmocka_unit_test(no_algorithms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
