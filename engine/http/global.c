/* One-time set-up of OpenSSL and libcurl.
 *
 * OpenSSL registers no exit handler: uploads are completed after those have run, and need it whole.
 * Nothing is ever taken down, for the same reason. The mutex is only ever held inside the gate or
 * before a second thread exists, so no fork child finds it taken; OpenSSL's own state survives
 * fork.
 */
#include "http/global.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "io/aside.h"
#include "io/gate.h"
#include "io/thread.h"

static struct {
    pthread_mutex_t lock;
    _Atomic bool crypto_done, curl_done;
    EVP_MD *sha256;
    EVP_MAC *hmac;
} http_global = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int no_algorithm(const char *name, struct error *err)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    ERR_clear_error();
    return error_set(err, ERROR_IO,
                     "OpenSSL has no %s (%s): check its configuration, OPENSSL_CONF and "
                     "OPENSSL_MODULES",
                     name, reason ? reason : "no reason given");
}

static int http_global_crypto_locked(struct error *err)
{
    if (atomic_load(&http_global.crypto_done))
        return 0;
    /* Once it got no memory for its own locks, it would go on without and use them. */
    if (!OSSL_LIB_CTX_get0_global_default() || !OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) ||
        !OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL)) {
        ERR_clear_error();
        return error_set_errno(err, ENOMEM, "OpenSSL cannot be set up: there is no memory for it");
    }
    if (!http_global.sha256)
        http_global.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!http_global.hmac)
        http_global.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (!http_global.sha256 || !http_global.hmac)
        return no_algorithm(http_global.sha256 ? "HMAC" : "SHA256", err);
    /* By itself OpenSSL does this when a thread is gone from the gate; it takes locks for it. */
    thread_set_on_end(OPENSSL_thread_stop);
    atomic_store(&http_global.crypto_done, true);
    return 0;
}

int http_global_crypto(struct error *err)
{
    int rc;

    if (atomic_load_explicit(&http_global.crypto_done, memory_order_acquire))
        return 0;
    pthread_mutex_lock(&http_global.lock);
    rc = http_global_crypto_locked(err);
    pthread_mutex_unlock(&http_global.lock);
    return rc;
}

const EVP_MD *http_global_sha256(void)
{
    return http_global.sha256;
}

EVP_MAC *http_global_hmac(void)
{
    return http_global.hmac;
}

struct http_global_result {
    int rc;
    struct error *err;
};

static int http_global_curl_locked(struct error *err)
{
    CURLcode code;

    if (atomic_load(&http_global.curl_done))
        return 0;
    code = curl_global_init(CURL_GLOBAL_ALL);
    if (code != CURLE_OK)
        return error_set(err, ERROR_IO, "libcurl cannot be set up: %s", curl_easy_strerror(code));
    atomic_store(&http_global.curl_done, true);
    return 0;
}

static void http_global_work(void *arg)
{
    struct http_global_result *result = arg;
    struct gate_scope scope;

    gate_enter(&scope);
    pthread_mutex_lock(&http_global.lock);
    result->rc = http_global_crypto_locked(result->err);
    if (result->rc == 0)
        result->rc = http_global_curl_locked(result->err);
    pthread_mutex_unlock(&http_global.lock);
    gate_leave(&scope);
}

int http_global_prepare(struct error *err)
{
    struct error reason = {0};
    struct http_global_result result = {.err = &reason};
    int started;

    if (atomic_load_explicit(&http_global.curl_done, memory_order_acquire))
        return 0;
    started = aside_run("s3dlio-init", http_global_work, &result);
    if (started == -EINTR)
        return error_set(err, ERROR_IO, "the process was forked while OpenSSL was set up");
    if (started < 0)
        return thread_error(err, started, "setting up OpenSSL and libcurl");
    if (result.rc < 0 && err)
        *err = reason;
    return result.rc;
}
