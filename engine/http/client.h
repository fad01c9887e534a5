/* HTTP/1.1 requests over pooled connections, asynchronous on a shard.
 *
 * One client for each (endpoint, TLS and proxy settings); its connections are per shard and made by
 * libcurl in CONNECT_ONLY mode on an engine thread, because a program's stack may be too small for
 * a handshake. Bytes of a body are received straight into the memory that the request names.
 *
 * The client retries nothing except a failure on a reused connection before any byte of the answer
 * (once, on a new connection). It follows no redirect. Everything else is the caller's policy. All
 * functions but http_client_new/free are called with the shard's lock held.
 */
#ifndef S3DLIO_HTTP_CLIENT_H
#define S3DLIO_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buffer.h"
#include "base/error.h"
#include "http/response.h"
#include "io/shard.h"

struct http_client;
struct http_connection;

struct http_client_options {
    const char *scheme; /* "http" or "https" */
    const char *host;   /* name or literal address, without brackets */
    uint16_t port;
    const char *ca_file; /* NULL: the system's */
    const char *proxy;   /* NULL: http_proxy, https_proxy, no_proxy of the environment */
    bool tls_verify;
    unsigned connections_max; /* over all shards */
    int64_t idle_timeout_ns;  /* a connection idle for so long is closed; 0: after each request */
    int64_t connect_timeout_ns;
    int64_t first_byte_timeout_ns; /* from the request's last byte to the answer's first */
    int64_t progress_timeout_ns;   /* without a single byte either way */
};

/* Copies the options. Threads and sockets come with the first request, the file of authorities is
 * read then. 0, or -errno with *err: a proxy that is none, OpenSSL or libcurl that cannot be set
 * up. */
int http_client_new(const struct http_client_options *options, struct http_client **ret_client,
                    struct error *err);
void http_client_free(struct http_client *client); /* no request in flight */
/* After fork, in the child, where they are closed: forgets the parent's connections. */
void http_client_reset_child(struct http_client *client);

struct http_request;

struct http_request_ops {
    /* Writes the request line and all headers, Host and Content-Length included, up to and without
     * the empty line. Called when the first byte is about to be sent, again for a repeat: sign
     * here. 0 or -errno with *err. */
    int (*write_head)(struct http_request *request, struct buffer *head, struct error *err);
    /* The final status line and headers came (1xx never shown). Valid during the call only. 0, or
     * -errno with *err: the connection is closed and the request done with that. */
    int (*on_head)(struct http_request *request, const struct http_head *head, struct error *err);
    /* Where the next bytes of the body go. Returns the room in bytes, 0 to pause: nothing is
     * received until http_request_resume. Never called for bodies without bytes. */
    size_t (*body_space)(struct http_request *request, void **ret_where);
    /* `length` bytes were put there. 0, or -errno with *err as in on_head. */
    int (*body_commit)(struct http_request *request, size_t length, struct error *err);
    /* Over: err->class is ERROR_NONE when the whole answer came (whatever its status). The
     * request is the owner's again and may be freed or submitted anew from here. */
    void (*on_done)(struct http_request *request, const struct error *err);
};

struct http_request {
    const struct http_request_ops *ops;
    const struct iovec *body; /* sent after the head; stays valid until on_done */
    unsigned body_count;
    bool head_only;      /* HEAD: the answer has no body whatever its headers say */
    int64_t deadline_ns; /* CLOCK_NEVER: none */

    /* the client's own */
    struct http_client *client;
    struct shard *shard;
    struct http_connection *connection;
    struct http_request *prev, *next;
    uint64_t body_sent;
    bool repeated;
    bool paused;
};

/* Starts it, or queues it for a connection. Always ends in on_done, possibly before it returns. */
void http_request_submit(struct http_client *client, struct shard *shard,
                         struct http_request *request);
/* body_space has room again. */
void http_request_resume(struct http_request *request);
/* Tries to receive now, on the calling thread, without epoll. True when bytes moved or it ended. */
bool http_request_advance(struct http_request *request);
/* Drops the connection and forgets the request: on_done is not called. */
void http_request_abandon(struct http_request *request);

struct http_client_stats {
    uint64_t connections_opened, connections_open, connections_idle, reused;
};
void http_client_get_stats(const struct http_client *client, struct http_client_stats *ret_stats);
/* "TLSv1.3 TLS_AES_128_GCM_SHA256" of the last handshake, "" without TLS. */
const char *http_client_tls(const struct http_client *client);

#endif
