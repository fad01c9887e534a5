/* The scripted server. Contract: http_server.h. Every thread is joined by http_server_stop, which
 * shuts the connections down first, so that no script can hang it. */
#include "http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/gate.h"

#define SERVER_PEERS_MAX 256

struct http_server {
    http_serve_fn *serve;
    int fd;
    uint16_t port;
    SSL_CTX *tls;
    char ca_file[64];
    pthread_t acceptor;
    pthread_t threads[SERVER_PEERS_MAX];
    struct http_peer *peers[SERVER_PEERS_MAX];
    _Atomic unsigned count;
    _Atomic bool stop;
    pthread_mutex_t lock; /* closing a peer against stopping it */
};

/* ---- certificate ----------------------------------------------------------------------------- */

static void server_add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

static void server_make_tls(struct http_server *server)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    const char *folder = getenv("TMPDIR");
    FILE *file;
    int fd;

    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_set_version(cert, 2);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)"test server", -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    server_add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    server_add_extension(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    X509_sign(cert, key, EVP_sha256());

    snprintf(server->ca_file, sizeof server->ca_file, "%.40s/s3dlio-ca-XXXXXX",
             folder && strlen(folder) < 40 ? folder : "/tmp");
    fd = mkstemp(server->ca_file);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    PEM_write_X509(file, cert);
    fclose(file);

    server->tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server->tls, cert);
    SSL_CTX_use_PrivateKey(server->tls, key);
    SSL_CTX_set_session_id_context(server->tls, (const unsigned char *)"test", 4);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* What OpenSSL keeps for each thread is made and taken down under locks that a fork child shares:
 * those of threads and of the random numbers' root. */
static void server_meet_openssl(void)
{
    struct gate_scope scope;
    unsigned char byte;

    gate_enter(&scope);
    RAND_bytes(&byte, 1);
    RAND_priv_bytes(&byte, 1);
    gate_leave(&scope);
}

static void server_leave_openssl(void)
{
    struct gate_scope scope;

    gate_enter(&scope);
    OPENSSL_thread_stop();
    gate_leave(&scope);
}

static void *server_peer_main(void *arg)
{
    struct http_peer *peer = arg;
    struct http_server *server = peer->server;
    bool ready = true;

    if (server->tls) {
        server_meet_openssl();
        peer->ssl = SSL_new(server->tls);
        SSL_set_fd(peer->ssl, peer->fd);
        ready = SSL_accept(peer->ssl) == 1;
    }
    if (ready)
        server->serve(peer);
    if (peer->ssl && ready)
        SSL_shutdown(peer->ssl);
    pthread_mutex_lock(&server->lock);
    close(peer->fd);
    peer->fd = -1;
    pthread_mutex_unlock(&server->lock);
    SSL_free(peer->ssl);
    server_leave_openssl();
    return NULL;
}

static void *server_accept_main(void *arg)
{
    struct http_server *server = arg;

    for (;;) {
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC), one = 1;
        unsigned number = atomic_load(&server->count);
        struct http_peer *peer;

        if (fd < 0 || atomic_load(&server->stop) || number == SERVER_PEERS_MAX) {
            close(fd);
            return NULL;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        peer = calloc(1, sizeof *peer);
        peer->server = server;
        peer->fd = fd;
        peer->number = number;
        server->peers[number] = peer;
        atomic_store(&server->count, number + 1);
        pthread_create(&server->threads[number], NULL, server_peer_main, peer);
    }
}

struct http_server *http_server_start(http_serve_fn *serve, bool tls)
{
    struct http_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    sigset_t all, before;

    server->serve = serve;
    pthread_mutex_init(&server->lock, NULL);
    if (tls)
        server_make_tls(server);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->fd, 128), 0);
    getsockname(server->fd, (struct sockaddr *)&address, &length);
    server->port = ntohs(address.sin_port);
    sigfillset(&all); /* the scripts' threads get no signal, not even SIGPIPE's death */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_create(&server->acceptor, NULL, server_accept_main, server);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return server;
}

void http_server_stop(struct http_server *server)
{
    atomic_store(&server->stop, true);
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->acceptor, NULL);
    close(server->fd);
    for (unsigned i = 0; i < atomic_load(&server->count); i++) {
        pthread_mutex_lock(&server->lock);
        if (server->peers[i]->fd >= 0)
            shutdown(server->peers[i]->fd, SHUT_RDWR);
        pthread_mutex_unlock(&server->lock);
        pthread_join(server->threads[i], NULL);
        free(server->peers[i]);
    }
    if (server->tls) {
        SSL_CTX_free(server->tls);
        unlink(server->ca_file);
    }
    pthread_mutex_destroy(&server->lock);
    free(server);
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

const char *http_server_ca_file(const struct http_server *server)
{
    return server->tls ? server->ca_file : NULL;
}

unsigned http_server_connections(const struct http_server *server)
{
    return atomic_load(&server->count);
}

/* ---- what scripts call ----------------------------------------------------------------------- */

static long peer_read(struct http_peer *peer, void *where, size_t length)
{
    return peer->ssl ? SSL_read(peer->ssl, where, (int)length) : read(peer->fd, where, length);
}

bool http_peer_read_head(struct http_peer *peer)
{
    size_t length = peer->early_length;

    memcpy(peer->request, peer->early, length);
    peer->early_length = 0;
    for (;;) {
        char *end;
        long n;

        peer->request[length] = '\0';
        end = strstr(peer->request, "\r\n\r\n");
        if (end) {
            end += 4;
            peer->early_length = length - (size_t)(end - peer->request);
            memcpy(peer->early, end, peer->early_length);
            *end = '\0';
            return true;
        }
        n = peer_read(peer, peer->request + length, sizeof peer->request - 1 - length);
        if (n <= 0)
            return false;
        length += (size_t)n;
    }
}

bool http_peer_read_body(struct http_peer *peer, size_t length)
{
    size_t early = peer->early_length < length ? peer->early_length : length;
    char *chunk = malloc(1 << 16);

    peer->early_length -= early;
    memmove(peer->early, peer->early + early, peer->early_length);
    length -= early;
    while (length > 0) {
        long n = peer_read(peer, chunk, length < 1 << 16 ? length : 1 << 16);

        if (n <= 0)
            break;
        length -= (size_t)n;
    }
    free(chunk);
    return length == 0;
}

bool http_peer_send(struct http_peer *peer, const void *data, size_t length)
{
    const char *at = data;

    while (length > 0) {
        long n = peer->ssl ? SSL_write(peer->ssl, at, (int)(length < 1 << 20 ? length : 1 << 20))
                           : send(peer->fd, at, length, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

bool http_peer_say(struct http_peer *peer, const char *text)
{
    return http_peer_send(peer, text, strlen(text));
}

bool http_peer_answer(struct http_peer *peer, const char *body)
{
    char head[128];

    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    return http_peer_say(peer, head) && http_peer_say(peer, body);
}

void http_peer_reset(struct http_peer *peer)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
