/* One attempt to connect, by libcurl in CONNECT_ONLY mode. Contract: dial.h.
 *
 * Runs on the dialer's thread only, inside the gate. Each connection has a multi handle of its own,
 * because a handle belongs to one thread at a time and connections later move to their shards.
 * Always HTTP/1.1: with h2 negotiated, curl_easy_recv crashes (libcurl 7.88). curl never resolves a
 * name here: the address of the host goes in by CONNECT_TO, that of a proxy by RESOLVE.
 *
 * TLS sessions are shared by all connections, under locks of ours; curl calls those from whichever
 * thread reads a session ticket. The share is never taken down.
 */
#include "http/dial.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "http/resolver.h"
#include "http/trust.h"
#include "io/fd.h"

#if defined __aarch64__
#    include <sys/auxv.h>
#    ifndef HWCAP_AES
#        define HWCAP_AES (1UL << 3)
#    endif
#endif

#define CIPHERS_AES                                                                                \
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_NO_AES                                                                             \
    "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
#define READ_AHEAD_BYTES ((size_t)128 << 10)

static struct {
    CURLSH *handle; /* the dialer's thread makes it */
    pthread_mutex_t locks[CURL_LOCK_DATA_LAST];
} dial_share;

/* ---- TLS sessions ---------------------------------------------------------------------------- */

static void dial_share_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *arg)
{
    (void)easy;
    (void)access;
    (void)arg;
    pthread_mutex_lock(&dial_share.locks[data]);
}

static void dial_share_unlock(CURL *easy, curl_lock_data data, void *arg)
{
    (void)easy;
    (void)arg;
    pthread_mutex_unlock(&dial_share.locks[data]);
}

/* NULL works, too: then every handshake is a full one. */
static CURLSH *dial_share_get(void)
{
    if (dial_share.handle)
        return dial_share.handle;
    for (unsigned i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_init(&dial_share.locks[i], NULL);
    dial_share.handle = curl_share_init();
    if (dial_share.handle) {
        curl_share_setopt(dial_share.handle, CURLSHOPT_LOCKFUNC, dial_share_lock);
        curl_share_setopt(dial_share.handle, CURLSHOPT_UNLOCKFUNC, dial_share_unlock);
        curl_share_setopt(dial_share.handle, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    }
    return dial_share.handle;
}

/* ---- what curl calls ------------------------------------------------------------------------- */

static curl_socket_t dial_open_socket(void *arg, curlsocktype purpose,
                                      struct curl_sockaddr *address)
{
    int fd;

    (void)arg;
    (void)purpose;
    fd_room_begin(FD_FOR_REQUESTS);
    fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    fd = fd_adopt_own(fd < 0 ? -errno : fd);
    fd_room_end();
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int dial_close_socket(void *arg, curl_socket_t fd)
{
    (void)arg;
    fd_close(fd);
    return 0;
}

/* Does the processor do AES by itself? */
static bool dial_has_aes(void)
{
#if defined __x86_64__ || defined __i386__
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined __aarch64__
    return getauxval(AT_HWCAP) & HWCAP_AES;
#else
    return false;
#endif
}

/* The fastest cipher of TLS 1.3 first: servers that have no wish of their own take it. Records are read
 * several at a time: by itself OpenSSL makes two system calls for each, of 16 KiB at most. */
static CURLcode dial_ssl_context(CURL *easy, void *context, void *arg)
{
    (void)easy;
    SSL_CTX_set1_cert_store(context, arg);
    SSL_CTX_set_ciphersuites(context, dial_has_aes() ? CIPHERS_AES : CIPHERS_NO_AES);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD_BYTES);
    SSL_CTX_set_read_ahead(context, 1);
    return CURLE_OK;
}

static int dial_on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    (void)easy;
    (void)socket_arg;
    dialer_watch(arg, fd, what);
    return 0;
}

/* ---- options --------------------------------------------------------------------------------- */

static int dial_set_address(struct dial *dial)
{
    const struct dial_target *target = dial->target;
    const char *format = strchr(dial->address, ':') ? "::[%s]:%u" : "::%s:%u";
    struct link *link = dial->link;
    char text[512];

    if (target->proxy.url) {
        snprintf(text, sizeof text, "%s:%u:%s", target->proxy.host, target->proxy.port,
                 dial->address);
        link->resolve = curl_slist_append(NULL, text);
        curl_easy_setopt(link->easy, CURLOPT_RESOLVE, link->resolve);
        return link->resolve ? 0 : -ENOMEM;
    }
    snprintf(text, sizeof text, format, dial->address, target->port);
    link->connect_to = curl_slist_append(NULL, text);
    curl_easy_setopt(link->easy, CURLOPT_CONNECT_TO, link->connect_to);
    return link->connect_to ? 0 : -ENOMEM;
}

static int dial_set_url(struct dial *dial)
{
    const struct dial_target *target = dial->target;
    const char *format = strchr(target->host, ':') ? "%s://[%s]:%u/" : "%s://%s:%u/";
    struct buffer url;
    int rc;

    buffer_init(&url, 1024);
    rc = buffer_append_format(&url, format, target->scheme, target->host, target->port);
    if (rc == 0 && curl_easy_setopt(dial->link->easy, CURLOPT_URL, url.data) != CURLE_OK)
        rc = -ENOMEM;
    buffer_fini(&url);
    return rc;
}

static void dial_set_tls(struct dial *dial, X509_STORE *store)
{
    CURL *easy = dial->link->easy;
    long verify = dial->target->tls_verify;

    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify * 2);
    curl_easy_setopt(easy, CURLOPT_SHARE, dial_share_get());
    if (!store)
        return;
    curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, dial_ssl_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, store);
}

static int dial_set_options(struct dial *dial, X509_STORE *store)
{
    const struct dial_target *target = dial->target;
    int64_t left_ns = dial->deadline_ns - clock_now_ns();
    struct link *link = dial->link;
    CURL *easy = link->easy;
    int rc;

    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, link->error);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, target->proxy.url ? target->proxy.url : "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, dial_open_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, dial_close_socket);
    if (dial->deadline_ns != CLOCK_NEVER)
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                         left_ns > NS_PER_MS ? (long)(left_ns / NS_PER_MS) : 1L);
    curl_multi_setopt(link->multi, CURLMOPT_SOCKETFUNCTION, dial_on_socket);
    curl_multi_setopt(link->multi, CURLMOPT_SOCKETDATA, dial);
    link->tls = target->tls;
    if (link->tls)
        dial_set_tls(dial, store);
    rc = dial_set_address(dial);
    return rc < 0 ? rc : dial_set_url(dial);
}

/* ---- one attempt ----------------------------------------------------------------------------- */

static const char *dial_name(const struct dial *dial)
{
    return dial->target->proxy.url ? dial->target->proxy.host : dial->target->host;
}

/* The timer is asked for after every action: curl tells of a timer only when it changes, so one
 * that fired a rounded fraction of a millisecond early would never be told again. */
void dial_socket_action(struct dial *dial, curl_socket_t fd, int events)
{
    long timeout_ms = -1;
    int running;

    curl_multi_socket_action(dial->link->multi, fd, events, &running);
    curl_multi_timeout(dial->link->multi, &timeout_ms);
    dial->timer_ns = timeout_ms < 0 ? CLOCK_NEVER : clock_now_ns() + timeout_ms * NS_PER_MS;
}

int dial_begin(struct dial *dial, struct error *err)
{
    const struct dial_target *target = dial->target;
    X509_STORE *store = NULL;
    int rc = 0;

    if (target->tls && target->tls_verify)
        rc = trust_get(target->ca_file, &store, err);
    if (rc == 0)
        rc = resolver_next(dial_name(dial), dial->address, err);
    if (rc < 0)
        return rc;
    dial->link = link_new();
    if (!dial->link || dial_set_options(dial, store) < 0 ||
        curl_multi_add_handle(dial->link->multi, dial->link->easy) != CURLM_OK)
        return error_set(err, ERROR_NO_MEMORY, "no memory for a connection");
    dial->attempts++;
    dial_socket_action(dial, CURL_SOCKET_TIMEOUT, 0);
    return 0;
}

static const struct dial_code_row {
    CURLcode code;
    enum error_class class;
} dial_codes[] = {
    {CURLE_COULDNT_RESOLVE_HOST, ERROR_DNS},
    {CURLE_COULDNT_RESOLVE_PROXY, ERROR_DNS},
    {CURLE_OPERATION_TIMEDOUT, ERROR_TIMEOUT},
    {CURLE_PEER_FAILED_VERIFICATION, ERROR_TLS},
    {CURLE_SSL_CONNECT_ERROR, ERROR_TLS},
    {CURLE_SSL_CERTPROBLEM, ERROR_TLS},
    {CURLE_SSL_CIPHER, ERROR_TLS},
    {CURLE_SSL_CACERT_BADFILE, ERROR_TLS},
    {CURLE_SSL_ISSUER_ERROR, ERROR_TLS},
    {CURLE_SSL_INVALIDCERTSTATUS, ERROR_TLS},
    {CURLE_SSL_ENGINE_INITFAILED, ERROR_TLS},
    {CURLE_USE_SSL_FAILED, ERROR_TLS},
    {CURLE_OUT_OF_MEMORY, ERROR_NO_MEMORY},
};

static int dial_error(const struct dial *dial, CURLcode code, struct error *err)
{
    const char *text = dial->link->error[0] ? dial->link->error : curl_easy_strerror(code);
    enum error_class class = ERROR_NETWORK;

    for (size_t i = 0; i < sizeof dial_codes / sizeof dial_codes[0]; i++)
        if (dial_codes[i].code == code)
            class = dial_codes[i].class;
    return error_set(err, class, "cannot connect to %s:%u%s%s: %s", dial->target->host,
                     dial->target->port, dial->target->proxy.url ? " by proxy " : "",
                     dial->target->proxy.url ? dial->target->proxy.host : "", text);
}

/* Connected: takes the sockets out of the dialer's set and the callbacks off the handle. */
static int dial_release(struct dial *dial)
{
    struct link *link = dial->link;
    curl_socket_t fd = CURL_SOCKET_BAD;

    while (dial->socket_count > 0)
        dialer_watch(dial, dial->sockets[0], CURL_POLL_REMOVE);
    curl_multi_setopt(link->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    dial->timer_ns = CLOCK_NEVER;
    if (curl_easy_getinfo(link->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD)
        return -ECONNRESET;
    link_connected(link, fd);
    return 0;
}

int dial_check(struct dial *dial, bool *ret_may_repeat, struct error *err)
{
    CURLcode code = CURLE_OK;
    bool done = false;
    CURLMsg *message;
    int left, rc;

    *ret_may_repeat = false;
    while ((message = curl_multi_info_read(dial->link->multi, &left))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        done = true;
        code = message->data.result;
    }
    if (!done)
        return -EAGAIN;
    if (code == CURLE_OK && dial_release(dial) == 0)
        return 0;
    if (code == CURLE_OK)
        code = CURLE_COULDNT_CONNECT;
    rc = dial_error(dial, code, err);
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT) {
        resolver_failed(dial_name(dial), dial->address);
        *ret_may_repeat =
            code == CURLE_COULDNT_CONNECT && dial->attempts < resolver_count(dial_name(dial));
    }
    link_free(dial->link);
    dial->link = NULL;
    return rc;
}
